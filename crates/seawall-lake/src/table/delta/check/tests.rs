//! File surgery: whatever is changed in a table's folder is found, or makes no difference.

use super::*;
use crate::table::conformance::{append, row_ids, rows, schema};
use crate::tests::permit;

fn name() -> TableName {
    TableName::new("t").unwrap()
}

async fn filled(root: &std::path::Path, commits: u64) -> DeltaStore {
    let store = DeltaStore::open(root).unwrap();
    store.ensure(&permit(), &name(), schema(), &["note".to_owned()]).await.unwrap();
    for end in 1..=commits {
        store.append(&permit(), &name(), append(vec![rows(0, end - 1, end)], 0, end - 1, end)).await.unwrap();
    }
    store.handle(&name()).unwrap().settled().await;
    store
}

/// Everything that a fresh store finds.
async fn findings(root: &std::path::Path) -> Vec<Finding> {
    let store = DeltaStore::open(root).unwrap();
    let survey = store.survey(&name()).await.unwrap();
    let mut found = survey.checked.findings;
    for file in survey.files.values() {
        found.extend(store.check_file(&name(), file).await.findings);
    }
    found
}

fn log_file(root: &std::path::Path, name: &str) -> PathBuf {
    root.join("t").join("_delta_log").join(name)
}

fn data_files(root: &std::path::Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root.join("t")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.is_file()).collect();
    files.sort();
    files
}

#[tokio::test]
async fn a_whole_table_tells_its_versions_and_has_no_findings() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), 43).await;
    store.replace(&permit(), &name(), append(vec![rows(0, 0, 44)], 0, 43, 44)).await.unwrap();
    assert_eq!(findings(folder.path()).await, Vec::new());
    let survey = store.survey(&name()).await.unwrap();
    assert_eq!((survey.newest, survey.versions.len(), survey.files.len()), (Some(44), 45, 44));
    assert_eq!(survey.versions[&12].rows, Some(12));
    assert_eq!(survey.versions[&44].rows, Some(44));
    assert_eq!(survey.versions[&44].operation, "WRITE");
    assert_eq!(survey.files.values().filter(|file| file.is_current).count(), 1);
}

#[tokio::test]
async fn every_changed_byte_of_a_commit_is_found() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), 3).await;
    for commit in ["00000000000000000000.json", "00000000000000000002.json", "00000000000000000003.json"] {
        let path = log_file(folder.path(), commit);
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            std::fs::write(&path, &flipped).unwrap();
            let found = findings(folder.path()).await;
            assert!(!found.is_empty(), "{commit}: byte {at} was changed silently");
        }
        std::fs::write(&path, &whole).unwrap();
    }
    assert_eq!(findings(folder.path()).await, Vec::new());
}

#[tokio::test]
async fn emptied_cut_off_and_missing_commits_are_found_and_named() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), 5).await;
    for version in 0..=5u64 {
        let file = format!("{version:020}.json");
        let path = log_file(folder.path(), &file);
        let whole = std::fs::read(&path).unwrap();
        for kept in [0, 1, whole.len() / 2, whole.len() - 1] {
            std::fs::write(&path, &whole[..kept]).unwrap();
            let found = findings(folder.path()).await;
            let first = found.first().unwrap_or_else(|| panic!("{file} cut off at {kept} is not noticed"));
            assert_eq!((first.file.as_ref(), first.severity), (Some(&path), Severity::Critical), "{found:?}");
        }
        std::fs::remove_file(&path).unwrap();
        let found = findings(folder.path()).await;
        // The newest commit is missed by whoever has it on record.
        assert_eq!(found.is_empty(), version == 5, "{file} is missing: {found:?}");
        std::fs::write(&path, &whole).unwrap();
    }
}

#[tokio::test]
async fn every_changed_byte_of_a_data_file_is_found() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), 2).await;
    let path = data_files(folder.path()).remove(0);
    let whole = std::fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        std::fs::write(&path, &flipped).unwrap();
        let found = findings(folder.path()).await;
        assert_eq!(found.first().map(|found| found.damage), Some(Damage::Altered), "byte {at}");
    }
    std::fs::write(&path, &whole[..7]).unwrap();
    assert_eq!(findings(folder.path()).await[0].damage, Damage::Altered);
    std::fs::remove_file(&path).unwrap();
    let found = findings(folder.path()).await;
    assert_eq!((found[0].damage, found[0].file.as_ref()), (Damage::Missing, Some(&path)));
}

/// A changed checkpoint is found, or tells what the commits tell.
#[tokio::test]
async fn a_changed_checkpoint_is_found_or_harmless() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), 22).await;
    let path = log_file(folder.path(), "00000000000000000020.checkpoint.parquet");
    let whole = std::fs::read(&path).unwrap();
    let expected: Vec<_> = (0..22).map(|i| (0, i)).collect();
    let mut noticed = 0;
    for at in (0..whole.len()).step_by(41) {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x04;
        std::fs::write(&path, &flipped).unwrap();
        if findings(folder.path()).await.is_empty() {
            let store = DeltaStore::open(folder.path()).unwrap();
            assert_eq!(row_ids(&store, &permit(), &name(), TableVersion(22)).await.unwrap(), expected, "byte {at}");
        } else {
            noticed += 1;
        }
    }
    assert!(noticed > 0);
    std::fs::write(&path, b"").unwrap();
    assert_eq!(findings(folder.path()).await[0].file.as_ref(), Some(&path));
    std::fs::remove_file(&path).unwrap();
    let found = findings(folder.path()).await;
    assert_eq!((found.len(), found[0].severity), (1, Severity::Low), "the pointer leads nowhere: {found:?}");
}

/// Behind an old damage the newest checkpoint tells the state again.
#[tokio::test]
async fn versions_behind_a_checkpoint_are_known_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), 43).await;
    std::fs::write(log_file(folder.path(), "00000000000000000007.json"), b"").unwrap();
    let survey = store.survey(&name()).await.unwrap();
    assert_eq!(survey.checked.findings.len(), 1);
    assert!(
        survey.versions.contains_key(&6) && !survey.versions.contains_key(&7) && !survey.versions.contains_key(&19)
    );
    assert_eq!((survey.versions[&20].rows, survey.versions[&43].rows), (Some(20), Some(43)));
    assert!(survey.files.values().all(|file| file.is_current));
}
