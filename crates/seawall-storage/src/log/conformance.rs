//! What every log must do, as one suite that runs on each implementation.

use std::sync::Arc;

use bytes::Bytes;
use seawall_base::log::entry_at;
use seawall_base::{ErrorKind, Log, LogEntry, Offset};

/// Checks the contract of [`Log`] on empty logs that `make` provides. Panics with the promise that was broken. Needs a
/// tokio runtime.
pub async fn conformance(make: impl AsyncFn() -> Arc<dyn Log>) {
    an_empty_log_has_nothing(make().await).await;
    entries_come_back_as_they_went_in(make().await).await;
    control_entries_take_no_offsets(make().await).await;
    reads_respect_their_bounds(make().await).await;
    concurrent_appends_leave_no_gap(make().await).await;
    waiting_ends_with_the_entry(make().await).await;
    retired_entries_are_refused_and_the_rest_stays(make().await).await;
    entries_are_found_by_offset(make().await).await;
}

async fn an_empty_log_has_nothing(log: Arc<dyn Log>) {
    assert_eq!(log.durable_end(), (0, Offset(0)), "an empty log ends at its beginning");
    let entries = log.read(0, 10).await.expect("reading an empty log succeeds");
    assert!(entries.is_empty(), "an empty log has no entries");
    let entries = log.read(u64::MAX, usize::MAX).await.expect("reading beyond the end succeeds");
    assert!(entries.is_empty(), "there is nothing beyond the end");
}

async fn entries_come_back_as_they_went_in(log: Arc<dyn Log>) {
    let mut end = 0;
    for (entry, rows) in [1u32, 7, 0, 1_000].into_iter().enumerate() {
        let payload = Bytes::from(vec![entry as u8; 3 * entry]);
        let appended = log.append(rows, payload.clone()).await.expect("append succeeds");
        assert_eq!(appended.entry, entry as u64, "entries are numbered from 0 without gaps");
        assert_eq!(appended.first, Offset(end), "an entry begins where the one before ended");
        end += u64::from(rows);
        assert_eq!(appended.end, Offset(end), "an entry takes one offset per row");
        assert_eq!(log.durable_end(), (entry as u64 + 1, Offset(end)), "an acknowledged entry is durable");
        let read = log.read(entry as u64, 1).await.expect("read succeeds");
        assert_eq!(read.len(), 1, "an acknowledged entry can be read");
        assert_eq!((read[0].rows, &read[0].payload), (rows, &payload), "an entry reads as it was appended");
    }
}

async fn control_entries_take_no_offsets(log: Arc<dyn Log>) {
    for _ in 0..3 {
        let appended = log.append(0, Bytes::from_static(b"control")).await.expect("append succeeds");
        assert_eq!((appended.first, appended.end), (Offset(0), Offset(0)), "no rows, no offsets");
    }
    assert_eq!(log.durable_end(), (3, Offset(0)), "entries without rows are entries");
}

async fn reads_respect_their_bounds(log: Arc<dyn Log>) {
    for i in 0..50u8 {
        log.append(1, Bytes::from(vec![i])).await.expect("append succeeds");
    }
    assert!(log.read(0, 0).await.expect("read succeeds").is_empty(), "nothing was asked for");
    let mut next = 0u64;
    while next < 50 {
        let entries = log.read(next, 7).await.expect("read succeeds");
        assert!((1..=7).contains(&entries.len()), "a read returns at least one and at most what was asked for");
        for entry in entries {
            assert_eq!((entry.first, entry.payload[0]), (Offset(next), next as u8), "entries come in order");
            next += 1;
        }
    }
    assert!(log.read(50, 7).await.expect("read succeeds").is_empty(), "there is nothing beyond the end");
}

async fn concurrent_appends_leave_no_gap(log: Arc<dyn Log>) {
    const PRODUCERS: u32 = 8;
    const EACH: u32 = 25;
    let mut producers = Vec::new();
    for producer in 0..PRODUCERS {
        let log = log.clone();
        producers.push(tokio::spawn(async move {
            let mut mine = Vec::new();
            for i in 0..EACH {
                let payload = Bytes::from(format!("{producer}/{i}"));
                mine.push((log.append(1 + i % 3, payload.clone()).await.expect("append succeeds"), payload));
            }
            mine
        }));
    }
    let mut acknowledged = Vec::new();
    for producer in producers {
        let mine = producer.await.expect("a producer does not panic");
        assert!(mine.is_sorted_by_key(|(appended, _)| appended.entry), "one producer's appends keep their order");
        acknowledged.extend(mine);
    }
    acknowledged.sort_by_key(|(appended, _)| appended.entry);
    let mut end = Offset(0);
    for (n, (appended, payload)) in acknowledged.iter().enumerate() {
        assert_eq!((appended.entry, appended.first), (n as u64, end), "no gap, no overlap");
        end = appended.end;
        let read = log.read(appended.entry, 1).await.expect("read succeeds");
        assert_eq!(&read[0].payload, payload, "an acknowledgement names the entry that holds the payload");
    }
    assert_eq!(log.durable_end(), (u64::from(PRODUCERS * EACH), end), "everything acknowledged is durable");
}

async fn waiting_ends_with_the_entry(log: Arc<dyn Log>) {
    log.append(1, Bytes::new()).await.expect("append succeeds");
    log.wait_beyond(0).await.expect("waiting for what is there succeeds");
    let waiting = {
        let log = log.clone();
        tokio::spawn(async move {
            log.wait_beyond(1).await.expect("waiting succeeds");
            log.durable_end().0
        })
    };
    tokio::task::yield_now().await;
    log.append(1, Bytes::new()).await.expect("append succeeds");
    assert_eq!(waiting.await.expect("the waiter does not panic"), 2, "the waiter sees the entry");
}

async fn retired_entries_are_refused_and_the_rest_stays(log: Arc<dyn Log>) {
    log.retire(7).await.expect("retiring from an empty log succeeds");
    for i in 0..200u8 {
        log.append(2, Bytes::from(vec![i; 100])).await.expect("append succeeds");
    }
    let before = log.extent();
    assert_eq!((before.first_entry, before.first), (0, Offset(0)), "nothing was retired yet");
    log.retire(150).await.expect("retire succeeds");
    let after = log.extent();
    assert!((1..=150).contains(&after.first_entry), "only entries before the named one go: {after:?}");
    assert!(after.bytes < before.bytes, "their room is given back");
    assert_eq!(after.first, Offset(2 * after.first_entry), "the oldest offset is that of the oldest entry");
    assert_eq!((after.log, after.entries, after.end), (before.log, 200, Offset(400)), "the numbering stays");
    let refused = log.read(after.first_entry - 1, 1).await.expect_err("a retired entry cannot be read");
    assert_eq!(refused.kind(), ErrorKind::NotFound, "a retired entry is not found");
    let entries = log.read(after.first_entry, 1).await.expect("the oldest entry can be read");
    assert_eq!((entries[0].first, entries[0].payload[0]), (after.first, after.first_entry as u8), "the rest stays");
    log.retire(u64::MAX).await.expect("retire succeeds");
    assert!(log.extent().first_entry < 200, "the newest entry stays");
    let appended = log.append(1, Bytes::new()).await.expect("append succeeds");
    assert_eq!((appended.entry, appended.first), (200, Offset(400)), "the numbering goes on");
}

async fn entries_are_found_by_offset(log: Arc<dyn Log>) {
    let found = async |offset: u64| entry_at(log.as_ref(), Offset(offset)).await.expect("finding succeeds");
    assert_eq!(found(0).await, 0, "an empty log goes on with its first entry");
    // Entries of 0, 1 and 2 rows: 0..0, 0..1, 1..3, 3..3, 3..4, ...
    for i in 0..60u32 {
        log.append(i % 3, Bytes::new()).await.expect("append succeeds");
    }
    let entries = log.read(0, 60).await.expect("read succeeds");
    let mut all = entries.clone();
    while all.len() < 60 {
        all.extend(log.read(all.len() as u64, 60).await.expect("read succeeds"));
    }
    for offset in 0..=60 {
        let wholly_before = |entry: &Arc<LogEntry>| entry.end().0 <= offset && entry.first.0 < offset;
        let expected = all.iter().take_while(|entry| wholly_before(entry)).count() as u64;
        assert_eq!(found(offset).await, expected, "the entry that does not lie wholly before offset {offset}");
    }
    assert_eq!(found(61).await, 60, "beyond the end is the number of entries");
}
