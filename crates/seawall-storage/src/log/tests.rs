use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;

use bytes::Bytes;
use seawall_base::{ErrorKind, Log, LogEntry, Offset, Partition, durable};
use tempfile::TempDir;

use super::conformance::conformance;
use super::*;

mod check;
mod damage;
mod model;
mod timing;

/// A folder in memory where there is one: these tests open logs thousands of times, and trust `sync` to be called.
fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

fn small() -> Options {
    Options { segment_bytes: 4 << 10, recent_entries_max: 4, recent_bytes_max: 1 << 20 }
}

fn open(folder: &Path) -> DurableLog {
    DurableLog::open(folder, Partition(3), small()).unwrap()
}

fn payload(n: u64) -> Bytes {
    let length = (n as usize * 37) % 300;
    Bytes::from((0..length).map(|i| (i as u64 * 31 + n) as u8).collect::<Vec<u8>>())
}

async fn append_some(log: &DurableLog, count: u64) {
    for n in log.durable_end().0..log.durable_end().0 + count {
        let appended = log.append(n as u32 % 4, payload(n)).await.unwrap();
        assert_eq!(appended.entry, n);
    }
}

/// Every entry of the log, checked against what `append_some` appends.
async fn check_all(log: &DurableLog) -> u64 {
    let mut next = log.stats().first_entry;
    loop {
        let entries = log.read(next, 5).await.unwrap();
        if entries.is_empty() {
            return next;
        }
        for entry in entries {
            assert_eq!((entry.rows, &entry.payload), (next as u32 % 4, &payload(next)), "entry {next}");
            next += 1;
        }
    }
}

/// Copies a folder as it is at one moment: again when its idle writer finished a file meanwhile.
fn copy_folder(from: &Path, to: &Path) {
    let names = || -> Vec<_> {
        let mut names: Vec<_> = fs::read_dir(from).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    loop {
        fs::create_dir_all(to).unwrap();
        let before = names();
        let copied = before.iter().all(|name| fs::copy(from.join(name), to.join(name)).is_ok());
        if copied && names() == before {
            return;
        }
        fs::remove_dir_all(to).unwrap();
    }
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    recover::list(folder).unwrap().into_iter().map(|number| segment::path(folder, number)).collect()
}

#[tokio::test]
async fn the_memory_log_conforms() {
    conformance(async || Arc::new(MemoryLog::new(Partition::LIVE)) as Arc<dyn Log>).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_durable_log_conforms() {
    let root = tempfile::tempdir().unwrap();
    let made = AtomicU64::new(0);
    for recent_entries_max in [0, 3, 10_000] {
        conformance(async || {
            let folder = root.path().join(made.fetch_add(1, Ordering::Relaxed).to_string());
            let options = Options { recent_entries_max, ..small() };
            Arc::new(DurableLog::open(&folder, Partition::LIVE, options).unwrap()) as Arc<dyn Log>
        })
        .await;
    }
}

#[tokio::test]
async fn a_memory_log_can_play_dead() {
    let log = MemoryLog::new(Partition::LIVE);
    log.append(1, Bytes::new()).await.unwrap();
    log.poison();
    assert_eq!(log.append(1, Bytes::new()).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(log.wait_beyond(1).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(log.read(0, 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_reopened_log_continues_where_it_ended() {
    let root = scratch();
    let mut expected = 0;
    for opening in 1..=6u64 {
        let log = open(root.path());
        assert_eq!(log.epoch(), opening);
        assert_eq!(log.durable_end().0, expected);
        assert_eq!(check_all(&log).await, expected);
        append_some(&log, 17 * opening).await;
        expected += 17 * opening;
        assert_eq!(check_all(&log).await, expected);
    }
    assert!(segments(root.path()).len() > 5, "the test is meant to cross segments");
}

#[tokio::test]
async fn a_second_owner_is_refused_until_the_first_is_gone() {
    let root = scratch();
    let log = open(root.path());
    let error = DurableLog::open(root.path(), Partition(3), small()).unwrap_err();
    assert_eq!((error.code(), error.kind()), ("SW0400", ErrorKind::Unavailable));
    assert!(error.remedy().is_some());
    drop(log);
    open(root.path());
}

#[tokio::test]
async fn a_folder_belongs_to_one_partition() {
    let root = scratch();
    drop(open(root.path()));
    let error = DurableLog::open(root.path(), Partition(4), small()).unwrap_err();
    assert_eq!((error.code(), error.kind()), ("SW0405", ErrorKind::Invalid));
}

#[tokio::test]
async fn an_entry_larger_than_a_segment_gets_one_of_its_own() {
    let root = scratch();
    let large = Bytes::from(vec![7; 50_000]);
    for _ in 0..2 {
        let log = open(root.path());
        let (n, _) = log.durable_end();
        log.append(1, Bytes::from_static(b"before")).await.unwrap();
        log.append(2, large.clone()).await.unwrap();
        log.append(1, Bytes::from_static(b"after")).await.unwrap();
        append_nothing_lost(&log, n, &large).await;
    }
    let log = open(root.path());
    append_nothing_lost(&log, 0, &large).await;
    append_nothing_lost(&log, 3, &large).await;
}

async fn append_nothing_lost(log: &DurableLog, n: u64, large: &Bytes) {
    let entries: Vec<Arc<LogEntry>> =
        [log.read(n, 1).await.unwrap(), log.read(n + 1, 1).await.unwrap(), log.read(n + 2, 1).await.unwrap()].concat();
    assert_eq!(entries[0].payload, Bytes::from_static(b"before"));
    assert_eq!(&entries[1].payload, large);
    assert_eq!(entries[2].payload, Bytes::from_static(b"after"));
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_appends_share_syncs() {
    let root = tempfile::tempdir().unwrap();
    let sync = |file: &File| {
        std::thread::sleep(std::time::Duration::from_millis(2));
        durable::sync_data(file)
    };
    let options = Options { segment_bytes: 1 << 20, ..small() };
    let log = Arc::new(DurableLog::open_with(root.path(), Partition::LIVE, options, Box::new(sync)).unwrap());
    let producers: Vec<_> = (0..32)
        .map(|_| {
            let log = log.clone();
            tokio::spawn(async move {
                for _ in 0..20 {
                    log.append(1, Bytes::from_static(b"row")).await.unwrap();
                }
            })
        })
        .collect();
    for producer in producers {
        producer.await.unwrap();
    }
    let stats = log.stats();
    assert_eq!((stats.entries, stats.end), (640, Offset(640)));
    assert!(stats.syncs * 4 < stats.entries, "{} syncs for {} appends", stats.syncs, stats.entries);
}

/// A sync that waits for a permission, and says when it waits.
fn gated() -> (writer::Sync, mpsc::Receiver<()>, mpsc::Sender<io::Result<()>>) {
    let (waiting, waits) = mpsc::channel();
    let (permit, permits) = mpsc::channel::<io::Result<()>>();
    let sync = move |file: &File| {
        waiting.send(()).ok();
        permits.recv().unwrap_or(Ok(()))?;
        durable::sync_data(file)
    };
    (Box::new(sync), waits, permit)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_acknowledged_or_readable_before_its_sync() {
    let root = scratch();
    let (sync, waits, permit) = gated();
    let log = Arc::new(DurableLog::open_with(root.path(), Partition::LIVE, small(), sync).unwrap());
    let appending = {
        let log = log.clone();
        tokio::spawn(async move { log.append(5, Bytes::from_static(b"five rows")).await })
    };
    waits.recv().unwrap();
    assert!(!appending.is_finished());
    assert_eq!(log.durable_end(), (0, Offset(0)));
    assert!(log.read(0, 1).await.unwrap().is_empty());
    permit.send(Ok(())).unwrap();
    assert_eq!(appending.await.unwrap().unwrap().end, Offset(5));
    assert_eq!(log.durable_end(), (1, Offset(5)));
    drop(permit);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_poisons_the_log_until_it_is_reopened() {
    let root = scratch();
    let broken = Arc::new(AtomicBool::new(false));
    let sync = {
        let broken = broken.clone();
        move |file: &File| match broken.swap(false, Ordering::SeqCst) {
            true => Err(io::Error::other("injected")),
            false => durable::sync_data(file),
        }
    };
    let log = DurableLog::open_with(root.path(), Partition(3), small(), Box::new(sync)).unwrap();
    append_some(&log, 3).await;
    broken.store(true, Ordering::SeqCst);
    let error = log.append(3, payload(3)).await.unwrap_err();
    assert_eq!((error.code(), error.kind()), ("SW0402", ErrorKind::Unavailable));
    assert!(error.to_string().contains("injected"), "{error}");
    // The disk works again, but nobody knows what it holds.
    assert_eq!(log.append(3, payload(3)).await.unwrap_err().code(), "SW0402");
    assert_eq!(log.wait_beyond(3).await.unwrap_err().code(), "SW0402");
    assert_eq!(log.durable_end().0, 3);
    assert_eq!(check_all(&log).await, 3);
    drop(log);
    let log = open(root.path());
    assert!((3..=4).contains(&log.durable_end().0));
    append_some(&log, 3).await;
    check_all(&log).await;
}

#[tokio::test]
async fn a_segment_that_cannot_be_added_poisons_the_log() {
    let root = scratch();
    let log = open(root.path());
    fs::create_dir_all(segment::path(root.path(), 1).join("in the way")).unwrap();
    let mut appended = 0;
    let error = loop {
        match log.append(appended as u32 % 4, payload(appended)).await {
            Ok(_) => appended += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((error.code(), error.kind()), ("SW0402", ErrorKind::Unavailable));
    assert_eq!(check_all(&log).await, appended);
    drop(log);
    fs::remove_dir_all(segment::path(root.path(), 1)).unwrap();
    let log = open(root.path());
    assert_eq!(log.durable_end().0, appended);
    append_some(&log, 30).await;
    assert_eq!(check_all(&log).await, appended + 30);
}

#[tokio::test]
async fn oversized_entries_and_odd_options_are_refused() {
    let root = scratch();
    let error = DurableLog::open(root.path(), Partition(3), Options { segment_bytes: 100, ..small() }).unwrap_err();
    assert_eq!((error.code(), error.kind()), ("SW0407", ErrorKind::Invalid));
    let log = open(root.path());
    let too_large = Bytes::from(vec![0; PAYLOAD_BYTES_MAX + 1]);
    assert_eq!(log.append(1, too_large).await.unwrap_err().code(), "SW0406");
    append_some(&log, 1).await;
}

#[tokio::test]
async fn retired_segments_are_gone_and_the_rest_stays() {
    let root = scratch();
    let log = open(root.path());
    append_some(&log, 200).await;
    let before = segments(root.path()).len();
    log.retire(100).await.unwrap();
    let first = log.extent().first_entry;
    assert!((1..=100).contains(&first), "whole segments go: {first}");
    assert!(segments(root.path()).len() < before);
    assert_eq!(log.read(first - 1, 1).await.unwrap_err().code(), "SW0409");
    assert_eq!(check_all(&log).await, 200);
    log.retire(100).await.unwrap();
    assert_eq!(log.extent().first_entry, first);
    append_some(&log, 10).await;
    drop(log);
    let log = open(root.path());
    assert_eq!(log.stats().first_entry, first);
    assert_eq!(check_all(&log).await, 210);
    log.retire(u64::MAX).await.unwrap();
    assert!(log.extent().first_entry <= 210, "the last segment always stays");
    append_some(&log, 1).await;
    assert_eq!(check_all(&log).await, 211);
}

#[tokio::test]
async fn a_log_can_be_looked_at_while_it_is_open() {
    let root = scratch();
    let folder = root.path().join("log");
    assert_eq!(look(&folder).unwrap(), None);
    let log = open(&folder);
    append_some(&log, 200).await;
    log.retire(100).await.unwrap();
    let extent = log.extent();
    let expected = Kept { first_entry: extent.first_entry, first: extent.first, bytes: extent.bytes };
    assert_eq!(look(&folder).unwrap(), Some(expected));
    assert!(extent.first_entry > 0 && extent.bytes >= 4 << 10);
}

/// The folder's files, with their content.
fn content_of(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
}

#[tokio::test]
async fn a_retirement_that_is_cut_anywhere_is_finished_by_the_next_opening() {
    let root = scratch();
    let log = open(root.path());
    append_some(&log, 200).await;
    drop(log);
    let before = content_of(root.path());
    let log = open(root.path());
    log.retire(150).await.unwrap();
    let first = log.extent().first_entry;
    drop(log);
    let after = content_of(root.path());
    let removed: Vec<&PathBuf> = before.keys().filter(|path| !after.contains_key(*path)).collect();
    assert!(removed.len() > 10, "segments and their footers go");
    for cut in 0..=removed.len() {
        // The files that were to be removed from here on are still there.
        for path in &removed[cut..] {
            fs::write(path, &before[*path]).unwrap();
        }
        let log = open(root.path());
        assert_eq!(log.extent().first_entry, first, "cut after {cut} removals");
        assert_eq!(check_all(&log).await, 200);
        drop(log);
        assert!(removed.iter().all(|path| !path.exists()), "cut after {cut} removals");
    }
    // The power fails before the epoch file tells of the retirement: nothing was removed yet.
    for (path, content) in &before {
        fs::write(path, content).unwrap();
    }
    let log = open(root.path());
    assert_eq!(log.extent().first_entry, 0);
    assert_eq!(check_all(&log).await, 200);
}

#[tokio::test]
async fn an_opening_reads_no_sealed_segment_that_has_a_footer() {
    let root = scratch();
    let log = open(root.path());
    append_some(&log, 200).await;
    drop(log);
    let footers = recover::list_footers(root.path()).unwrap();
    let sealed = segments(root.path()).len() - 1;
    assert_eq!(footers, (0..sealed as u64).collect::<Vec<_>>(), "every sealed segment has one");
    // Content that a scan would refuse; a read does.
    let damaged = segment::path(root.path(), 3);
    let mut bytes = fs::read(&damaged).unwrap();
    bytes[segment::HEADER_BYTES + 200] ^= 1;
    fs::write(&damaged, &bytes).unwrap();
    let log = open(root.path());
    assert_eq!(log.durable_end().0, 200);
    assert_eq!(damaged_entry(&log).await, "SW0403");
    drop(log);
    fs::remove_file(footer::path(root.path(), 3)).unwrap();
    let error = DurableLog::open(root.path(), Partition(3), small()).unwrap_err();
    assert_eq!(error.code(), "SW0403", "without a footer the segment is read");
}

async fn damaged_entry(log: &DurableLog) -> &'static str {
    for entry in 0..log.durable_end().0 {
        if let Err(error) = log.read(entry, 1).await {
            return error.code();
        }
    }
    panic!("every entry can be read");
}

#[tokio::test]
async fn footers_that_are_missing_or_damaged_are_written_again() {
    let root = scratch();
    let log = open(root.path());
    append_some(&log, 200).await;
    drop(log);
    let whole = content_of(root.path());
    let footers: Vec<PathBuf> =
        recover::list_footers(root.path()).unwrap().into_iter().map(|n| footer::path(root.path(), n)).collect();
    for (n, path) in footers.iter().enumerate() {
        match n % 4 {
            0 => fs::remove_file(path).unwrap(),
            1 => fs::write(path, &whole[path][..50]).unwrap(),
            2 => fs::write(path, &whole[&footers[0]]).unwrap(),
            _ => {
                let mut bytes = whole[path].clone();
                bytes[n * 3 % 90] ^= 0x10;
                fs::write(path, bytes).unwrap();
            }
        }
    }
    let log = open(root.path());
    assert_eq!(check_all(&log).await, 200);
    drop(log);
    for path in &footers {
        assert!(fs::read(path).unwrap() == whole[path], "{}", path.display());
    }
}

#[test]
fn a_full_disk_is_waited_for_and_a_failing_one_is_not() {
    let check = |failures: Vec<io::ErrorKind>, closed: bool, expected: std::result::Result<usize, io::ErrorKind>| {
        let (sender, queue) = tokio::sync::mpsc::channel(1);
        let sender = (!closed).then_some(sender);
        let mut failures = failures.into_iter();
        let mut tries = 0;
        let done = writer::when_room(Path::new("/log"), &queue, || {
            tries += 1;
            failures.next().map_or(Ok(tries), |kind| Err(kind.into()))
        });
        assert_eq!(done.map_err(|e| e.kind()), expected);
        drop(sender);
    };
    use io::ErrorKind::{PermissionDenied, QuotaExceeded, StorageFull};
    check(vec![], false, Ok(1));
    check(vec![StorageFull, QuotaExceeded], false, Ok(3));
    check(vec![StorageFull, PermissionDenied], false, Err(PermissionDenied));
    // Nobody is left who could append: the folder is given back.
    check(vec![StorageFull], true, Err(StorageFull));
}
