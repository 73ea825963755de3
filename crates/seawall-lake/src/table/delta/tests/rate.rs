//! The rate of commits, however many there were: prints JSON.

use std::collections::BTreeSet;

use seawall_base::upkeep::{CompactionTargets, StagedFiles, VacuumOptions};

use super::*;

/// Commits whose latencies are compared, at the beginning and at the end.
const SAMPLE: usize = 100;

/// `commits` appends of 100 rows with compaction beside them, and a vacuum every thousand; the latencies in ms.
async fn measured(commits: u64) -> (Vec<f64>, usize, usize) {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(filled(folder.path(), 0).await);
    let table = name("t");
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let compactor = {
        let (store, stop, table) = (Arc::clone(&store), Arc::clone(&stop), table.clone());
        tokio::spawn(async move {
            let targets = CompactionTargets::default();
            let (mut compactions, mut vacuumed) = (0, 0);
            while !stop.load(Ordering::SeqCst) {
                let run = store.compact(&permit(), &table, &targets).await.unwrap();
                compactions += usize::from(run.merged_files > 0);
                if run.version.0 >= vacuumed + 1_000 {
                    let options = VacuumOptions {
                        pinned: BTreeSet::from([TableVersion(50)]),
                        keep: Span(2 * Span::SECOND.0),
                        staged: StagedFiles::Keep,
                        dry_run: false,
                    };
                    store.vacuum(&permit(), &table, &options).await.unwrap();
                    vacuumed = run.version.0;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            compactions
        })
    };
    let mut times_ms = Vec::new();
    for end in 1..=commits {
        let started = SystemClock.now();
        let (from, until) = ((end - 1) * 100, end * 100);
        store.append(&permit(), &table, append(vec![rows(0, from, until)], 0, from, until)).await.unwrap();
        times_ms.push((SystemClock.now() - started).0 as f64 / 1e3);
    }
    stop.store(true, Ordering::SeqCst);
    let compactions = compactor.await.unwrap();
    let state = store.state(&table, None).await.unwrap();
    assert_eq!(store.row_count(&table).await.unwrap(), commits * 100);
    assert_eq!(store.state(&table, Some(TableVersion(50))).await.unwrap().version, 50, "a pinned version stays");
    (times_ms, compactions, state.files.len())
}

fn quantile(times: &[f64], q: f64) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * q).round() as usize]
}

async fn report(commits: u64, sample: usize) -> (f64, f64) {
    let (times, compactions, files) = measured(commits).await;
    let (first, last) = (&times[SAMPLE..SAMPLE + sample], &times[times.len() - sample..]);
    let (p50, p99) = (quantile(first, 0.5), quantile(first, 0.99));
    let (later_p50, later_p99) = (quantile(last, 0.5), quantile(last, 0.99));
    let ratios = (later_p50 / p50, later_p99 / p99);
    let json = json!({"commits": commits, "compactions": compactions, "files": files,
        "after_100": {"p50_ms": p50, "p99_ms": p99}, "at_the_end": {"p50_ms": later_p50, "p99_ms": later_p99},
        "ratios": {"p50": ratios.0, "p99": ratios.1}, "commits_per_s": commits as f64 * 1e3 / times.iter().sum::<f64>()});
    println!("{json}");
    ratios
}

/// In continuous integration, where other work makes single commits slow: only a trend would fail it.
#[tokio::test(flavor = "multi_thread")]
async fn commits_stay_as_fast_beside_compaction() {
    let (p50, _) = report(600, 200).await;
    assert!(p50 < 3.0, "commits slow down: {p50} times");
}

/// The long form: `cargo test -p seawall-lake --lib -- --ignored --nocapture ten_thousand`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn ten_thousand_commits_are_as_fast_as_a_hundred() {
    let (p50, p99) = report(10_000, 1_000).await;
    assert!(p50 <= 1.5 && p99 <= 1.5, "p50 is {p50} times, p99 {p99} times what it was");
}

/// Twelve processes that append to partitions of their own: no commit fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn twelve_producers_cause_no_failed_commit() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), 0).await;
    let tasks = (0..12u32).map(|partition| {
        let root = folder.path().to_owned();
        tokio::spawn(async move {
            let store = DeltaStore::open(&root).unwrap();
            for end in 1..=25u64 {
                let rows = append(vec![rows(partition, end - 1, end)], partition, end - 1, end);
                store.append(&permit(), &name("t"), rows).await.unwrap();
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let store = DeltaStore::open(folder.path()).unwrap();
    let newest = store.snapshot(&name("t"), None).await.unwrap();
    assert_eq!((newest.rows, newest.version), (300, TableVersion(300)));
    let shown = row_ids(&store, &permit(), &name("t"), newest.version).await.unwrap();
    assert_eq!(shown, (0..12).flat_map(|p| (0..25).map(move |id| (p, id))).collect::<Vec<_>>());
}
