//! Power cuts, bit rot and lost files: what was acknowledged is there, or the opening fails loudly.

use proptest::prelude::*;

use super::*;

/// A folder's files as they were at some moment.
type Files = Vec<(String, Vec<u8>)>;

fn files(folder: &Path) -> Files {
    let mut files: Files = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}

fn write_files(folder: &Path, files: &Files) {
    fs::remove_dir_all(folder).ok();
    fs::create_dir_all(folder).unwrap();
    for (name, content) in files {
        fs::write(folder.join(name), content).unwrap();
    }
}

fn content<'a>(files: &'a mut Files, name: &str) -> &'a mut Vec<u8> {
    &mut files.iter_mut().find(|(found, _)| found == name).unwrap().1
}

/// Opens a folder that may be damaged. Either it opens with the entries that were appended, `acknowledged` of them at
/// least, and takes more; or opening it or reading an entry fails as corrupt.
fn open_or_loud(runtime: &tokio::runtime::Runtime, folder: &Path, acknowledged: u64, what: &str) -> Option<u64> {
    match DurableLog::open(folder, Partition(3), small()) {
        Ok(log) => {
            let (entries, _) = log.durable_end();
            assert!(entries >= acknowledged, "{what}: {entries} of {acknowledged} entries left, silently");
            if let Err(error) = runtime.block_on(read_all(&log)) {
                assert_eq!((error.code(), error.kind()), ("SW0403", ErrorKind::Corrupt), "{what}: {error}");
                return None;
            }
            runtime.block_on(async {
                assert_eq!(check_all(&log).await, entries, "{what}");
                append_some(&log, 2).await;
            });
            drop(log);
            let log = open(folder);
            assert_eq!(runtime.block_on(check_all(&log)), entries + 2, "{what}");
            Some(entries)
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
            assert!(error.remedy().is_some() && error.to_string().contains(folder.to_str().unwrap()), "{error}");
            None
        }
    }
}

/// Reads every entry, as a reader that begins at the log's beginning does.
async fn read_all(log: &DurableLog) -> seawall_base::Result<()> {
    let mut next = 0;
    loop {
        let entries = log.read(next, 7).await?;
        if entries.is_empty() {
            return Ok(());
        }
        next += entries.len() as u64;
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

/// A log of `entries` acknowledged entries over several segments, its process killed.
fn killed(entries: u64) -> (TempDir, Files) {
    killed_with(entries, small())
}

fn killed_with(entries: u64, options: Options) -> (TempDir, Files) {
    let root = scratch();
    let folder = root.path().join("log");
    let log = DurableLog::open(&folder, Partition(3), options).unwrap();
    runtime().block_on(append_some(&log, entries));
    // The writer marks the end when it falls idle, a moment after the acknowledgement.
    let marked = || {
        let path = segments(&folder).pop().unwrap();
        let bytes = fs::read(&path).unwrap();
        let tip = log.durable_end().0;
        (0..bytes.len())
            .step_by(8)
            .any(|at| bytes[at..].starts_with(b"SWFR\x02") && frame::u64_at(&bytes, at + 24) == tip)
    };
    while !marked() {
        std::thread::yield_now();
    }
    let files = files(&folder);
    drop(log);
    (root, files)
}

#[test]
fn a_flipped_bit_anywhere_is_harmless_or_loud() {
    let (root, whole) = killed(45);
    let folder = root.path().join("damaged");
    let runtime = runtime();
    assert!(whole.iter().filter(|(name, _)| name.starts_with("segment")).count() >= 3);
    let (mut harmless, mut loud) = (0, 0);
    for (name, bytes) in &whole {
        for at in 0..bytes.len() {
            let mut files = whole.clone();
            content(&mut files, name)[at] ^= 1 << (at % 8);
            write_files(&folder, &files);
            match open_or_loud(&runtime, &folder, 45, &format!("{name} byte {at}")) {
                Some(_) => harmless += 1,
                None => loud += 1,
            }
        }
    }
    // Unused zeros behind the last frame, footers and the end mark itself are all that may change without harm.
    assert!(loud > 4 * 1_024 && harmless > 0, "{loud} loud, {harmless} harmless");
}

#[test]
fn a_zeroed_range_is_harmless_or_loud() {
    // Segments with room for the copy of the end mark: one bad sector may take the last frame and the mark behind it.
    let (root, whole) = killed_with(45, Options { segment_bytes: 32 << 10, ..small() });
    let folder = root.path().join("damaged");
    let runtime = runtime();
    for (name, bytes) in &whole {
        for length in [8, 64, 512] {
            for at in (0..bytes.len()).step_by(56) {
                let mut files = whole.clone();
                let bytes = content(&mut files, name);
                let end = (at + length).min(bytes.len());
                bytes[at..end].fill(0);
                write_files(&folder, &files);
                open_or_loud(&runtime, &folder, 45, &format!("{name}: {length} zeros at {at}"));
            }
        }
    }
}

#[test]
fn a_shortened_file_is_loud() {
    let (root, whole) = killed(45);
    let folder = root.path().join("damaged");
    let runtime = runtime();
    for (name, bytes) in whole.iter().filter(|(_, bytes)| !bytes.is_empty()) {
        for length in (0..bytes.len()).step_by(7) {
            let mut files = whole.clone();
            content(&mut files, name).truncate(length);
            write_files(&folder, &files);
            let opened = open_or_loud(&runtime, &folder, 45, &format!("{name} cut at {length}"));
            assert_eq!(opened.is_some(), name.ends_with(".footer"), "{name} cut at {length}");
        }
    }
}

#[test]
fn a_lost_file_is_loud() {
    let (root, whole) = killed(45);
    let folder = root.path().join("damaged");
    for (name, _) in whole.iter().filter(|(name, _)| name != "lock") {
        let files = whole.iter().filter(|(other, _)| other != name).cloned().collect();
        write_files(&folder, &files);
        let opened = open_or_loud(&runtime(), &folder, 45, name);
        assert_eq!(opened.is_some(), name.ends_with(".footer"), "{name} removed");
    }
}

#[test]
fn a_segment_of_another_log_is_loud() {
    let (root, mut whole) = killed(45);
    let (_other_root, mut other) = killed(45);
    let name = whole.iter().map(|(name, _)| name).rfind(|name| name.starts_with("segment")).unwrap().clone();
    *content(&mut whole, &name) = content(&mut other, &name).clone();
    let folder = root.path().join("damaged");
    write_files(&folder, &whole);
    assert_eq!(open_or_loud(&runtime(), &folder, 45, "swapped"), None);
}

/// What the files held when a group was written but not yet synced, and before it was written.
struct Torn {
    before: Files,
    during: Files,
    acknowledged: u64,
    _root: TempDir,
    folder: PathBuf,
}

/// Appends `acknowledged` entries, then a group of `group` entries whose sync never returns.
fn torn(acknowledged: u64, group: u64) -> Torn {
    let root = scratch();
    let folder = root.path().join("log");
    let (sync, waits, permit) = gated();
    let log = Arc::new(DurableLog::open_with(&folder, Partition(3), small(), sync).unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let spawn = |n: u64| {
        let log = log.clone();
        runtime.spawn(async move { log.append(n as u32 % 4, payload(n)).await })
    };
    for n in 0..acknowledged - 1 {
        let appending = spawn(n);
        waits.recv().unwrap();
        permit.send(Ok(())).unwrap();
        runtime.block_on(appending).unwrap().unwrap();
    }
    // While the last acknowledged entry is being synced, the group gathers behind it.
    let last = spawn(acknowledged - 1);
    waits.recv().unwrap();
    let before = files(&folder);
    let gathering: Vec<_> = (acknowledged..acknowledged + group)
        .map(|n| {
            let appending = spawn(n);
            while log.queued() < (n - acknowledged + 1) as usize {
                std::thread::yield_now();
            }
            appending
        })
        .collect();
    permit.send(Ok(())).unwrap();
    runtime.block_on(last).unwrap().unwrap();
    waits.recv().unwrap();
    let during = files(&folder);
    drop(permit);
    for appending in gathering {
        runtime.block_on(appending).unwrap().unwrap();
    }
    Torn { before, during, acknowledged, _root: root, folder: folder.with_file_name("cut") }
}

impl Torn {
    /// The power fails: of the group, only what `reached` says reached the disk, per sector of 512 bytes; of the last
    /// one, only `bytes`.
    fn cut(&self, reached: impl Fn(usize) -> usize) {
        let mut files = self.before.clone();
        for (name, during) in &self.during {
            let before = content(&mut files, name);
            for (sector, bytes) in during.chunks(512).enumerate() {
                let kept = reached(sector).min(bytes.len());
                before[sector * 512..sector * 512 + kept].copy_from_slice(&bytes[..kept]);
            }
        }
        write_files(&self.folder, &files);
    }
}

#[test]
fn a_write_torn_at_any_byte_loses_nothing_acknowledged() {
    let torn = torn(3, 6);
    let runtime = runtime();
    let length = torn.during.iter().map(|(_, bytes)| bytes.len()).max().unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for at in 0..=length {
        torn.cut(|sector| at.saturating_sub(sector * 512));
        let opened = open_or_loud(&runtime, &torn.folder, torn.acknowledged, &format!("torn at {at}"));
        seen.insert(opened.expect("a torn write is no damage"));
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), (3..=9).collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn sectors_may_reach_the_disk_in_any_order(acknowledged in 1..4u64, group in 1..8u64, reached in any::<u8>()) {
        let torn = torn(acknowledged, group);
        torn.cut(|sector| if reached >> (sector % 8) & 1 == 1 { 512 } else { 0 });
        let opened = open_or_loud(&runtime(), &torn.folder, acknowledged, "reordered");
        prop_assert!(opened.is_some(), "a torn group is no damage");
    }
}

#[test]
fn a_payload_that_imitates_a_later_frame_does_not_stop_recovery() {
    let root = scratch();
    let folder = root.path().join("log");
    let runtime = runtime();
    let log = open(&folder);
    runtime.block_on(append_some(&log, 2));
    let tip = frame::Tip { entry: 900, first: 900, previous: 1 };
    let imitation = frame::mark(frame::LogId(12_345), 1, &tip);
    runtime.block_on(log.append(1, Bytes::copy_from_slice(&imitation))).unwrap();
    let mut files = files(&folder);
    drop(log);
    // The third entry was torn: its header never reached the disk, its payload did; nor did the end mark.
    let bytes = content(&mut files, "segment-00000000000000000000.log");
    let at = bytes.windows(56).position(|window| window == imitation).unwrap();
    bytes[at - 56..at].fill(0);
    bytes[at + 56..].fill(0);
    write_files(&folder, &files);
    assert_eq!(open(&folder).durable_end().0, 2);
}
