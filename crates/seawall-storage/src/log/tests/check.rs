//! A check finds what an opening would find, changes nothing, and leaves a writer alone.

use seawall_base::Finding;

use super::*;

/// What a check finds in a folder, and the entries that it hands out.
fn look(folder: &Path) -> (Vec<Finding>, Vec<(u64, Bytes)>) {
    let survey = Survey::of(folder);
    let mut findings = survey.checked().findings.clone();
    let mut entries = Vec::new();
    for number in survey.segments() {
        let segment = survey.check(*number, &mut |ordinal, entry| entries.push((ordinal, entry.payload.clone())));
        findings.extend(segment.checked.findings);
    }
    (findings, entries)
}

async fn written(folder: &Path, entries: u64) {
    let log = open(folder);
    append_some(&log, entries).await;
}

#[tokio::test]
async fn a_whole_log_hands_out_every_entry_and_stays_as_it_is() {
    let root = scratch();
    written(root.path(), 60).await;
    let before: Vec<_> = segments(root.path()).iter().map(|path| fs::read(path).unwrap()).collect();
    assert!(before.len() > 3);
    let (findings, entries) = look(root.path());
    assert!(findings.is_empty(), "{findings:?}");
    assert_eq!(entries, (0..60).map(|n| (n, payload(n))).collect::<Vec<_>>());
    let after: Vec<_> = segments(root.path()).iter().map(|path| fs::read(path).unwrap()).collect();
    assert_eq!(before, after);
    assert!(look(&root.path().join("nowhere")).0.is_empty());
}

/// Every byte that matters: what an opening refuses, a check finds.
#[tokio::test]
async fn every_changed_byte_is_found_that_an_opening_would_refuse() {
    let root = scratch();
    written(root.path(), 40).await;
    let names: Vec<PathBuf> = segments(root.path()).into_iter().chain([root.path().join("epoch")]).collect();
    let copy = scratch();
    for name in names {
        let whole = fs::read(&name).unwrap();
        for at in (0..whole.len()).step_by(11) {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x40;
            fs::write(&name, &flipped).unwrap();
            let folder = copy.path().join("log");
            fs::remove_dir_all(&folder).ok();
            copy_folder(root.path(), &folder);
            let (findings, entries) = look(root.path());
            match DurableLog::open(&folder, Partition(3), small()) {
                Ok(log) => {
                    let is_harmless = entries.len() as u64 >= log.durable_end().0;
                    assert!(is_harmless || !findings.is_empty(), "{} byte {at}", name.display());
                }
                Err(_) => assert!(!findings.is_empty(), "{} byte {at} is overlooked", name.display()),
            }
            for finding in &findings {
                assert!(finding.file.is_some(), "{finding:?}");
            }
        }
        fs::write(&name, &whole).unwrap();
    }
}

#[tokio::test]
async fn missing_and_cut_off_files_are_found() {
    let root = scratch();
    written(root.path(), 60).await;
    for path in segments(root.path()).into_iter().chain([root.path().join("epoch")]) {
        let whole = fs::read(&path).unwrap();
        for kept in [0, 10, whole.len() / 2] {
            fs::write(&path, &whole[..kept]).unwrap();
            assert!(!look(root.path()).0.is_empty(), "{} cut off at {kept}", path.display());
        }
        fs::remove_file(&path).unwrap();
        assert!(!look(root.path()).0.is_empty(), "{} is missing", path.display());
        fs::write(&path, &whole).unwrap();
    }
    assert!(look(root.path()).0.is_empty());
}

/// While a writer appends and retires, nothing is a damage.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_being_written_has_no_findings() {
    let root = scratch();
    let log = Arc::new(open(root.path()));
    let stop = Arc::new(AtomicBool::new(false));
    let (writing, stopped) = (log.clone(), stop.clone());
    let writer = tokio::spawn(async move {
        // However fast the looks are: until something was retired, too.
        while !stopped.load(Ordering::Relaxed) || (writing.stats().first_entry == 0 && writing.durable_end().0 < 900) {
            append_some(&writing, 3).await;
            if writing.durable_end().0.is_multiple_of(90) {
                writing.retire(writing.durable_end().0.saturating_sub(40)).await.unwrap();
            }
        }
    });
    let folder = root.path().to_owned();
    let looks = tokio::task::spawn_blocking(move || (0..60).map(|_| look(&folder).0).collect::<Vec<_>>());
    for findings in looks.await.unwrap() {
        assert!(findings.is_empty(), "{findings:?}");
    }
    stop.store(true, Ordering::Relaxed);
    writer.await.unwrap();
    assert!(log.stats().first_entry > 0, "the test is meant to retire segments");
}

/// A copied log that is cut off anywhere opens with exactly the entries before.
#[tokio::test]
async fn a_copy_is_cut_off_at_any_entry() {
    let root = scratch();
    written(root.path(), 50).await;
    for keep in 0..=51u64 {
        let copy = scratch();
        copy_folder(root.path(), copy.path());
        let (entries, _) = adopt(copy.path(), Some(keep)).unwrap();
        assert_eq!(entries, keep.min(50));
        assert!(look(copy.path()).0.is_empty(), "{keep}");
        let log = open(copy.path());
        assert_eq!(check_all(&log).await, keep.min(50));
        append_some(&log, 4).await;
        check_all(&log).await;
    }
    let copy = scratch();
    copy_folder(root.path(), copy.path());
    fs::remove_file(&segments(copy.path())[0]).unwrap();
    adopt(copy.path(), None).unwrap();
    let log = open(copy.path());
    assert!(log.stats().first_entry > 0);
    check_all(&log).await;
}
