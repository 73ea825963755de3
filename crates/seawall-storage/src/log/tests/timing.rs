//! How fast the log takes entries here. Prints, asserts nothing: run with `--ignored --nocapture`.

use super::*;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
#[allow(clippy::disallowed_methods, reason = "measures the machine")]
async fn appended_entries_per_second() {
    const PAYLOAD_BYTES: usize = 10 << 10;
    for producers in [1u64, 8, 64] {
        let root = tempfile::tempdir().unwrap();
        let log = Arc::new(DurableLog::open(root.path(), Partition::LIVE, Options::default()).unwrap());
        let each = 200 * 8 / producers.min(8);
        let started = std::time::Instant::now();
        let tasks: Vec<_> = (0..producers)
            .map(|_| {
                let log = log.clone();
                tokio::spawn(async move {
                    let mut slowest = std::time::Duration::ZERO;
                    for _ in 0..each {
                        let begun = std::time::Instant::now();
                        log.append(100, Bytes::from(vec![1; PAYLOAD_BYTES])).await.unwrap();
                        slowest = slowest.max(begun.elapsed());
                    }
                    slowest
                })
            })
            .collect();
        let mut slowest = std::time::Duration::ZERO;
        for task in tasks {
            slowest = slowest.max(task.await.unwrap());
        }
        let seconds = started.elapsed().as_secs_f64();
        let stats = log.stats();
        println!(
            "{producers:3} producers: {:8.0} entries/s, {:7.1} MB/s, {:6.1} entries per sync, slowest {slowest:?}",
            stats.entries as f64 / seconds,
            stats.entries as f64 * PAYLOAD_BYTES as f64 / seconds / 1e6,
            stats.entries as f64 / stats.syncs as f64,
        );
    }
}
