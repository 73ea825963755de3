//! What was lost is written back as it was, or refused.

use seawall_base::{Offset, Partition};

use super::*;
use crate::table::conformance::{append, row_ids, rows, schema};
use crate::tests::permit;

fn name() -> TableName {
    TableName::new("t").unwrap()
}

fn cut(end: u64) -> Cut {
    if end == 0 { Cut::empty() } else { Cut::of(Partition(0), Offset(end)) }
}

fn lost(version: u64, rows: u64) -> LostCommit {
    LostCommit { version, from: cut(version - 1), until: cut(version), rows: Some(rows) }
}

async fn filled(root: &FilePath, commits: u64) -> DeltaStore {
    let store = DeltaStore::open(root).unwrap();
    store.ensure(&permit(), &name(), schema(), &[]).await.unwrap();
    for end in 1..=commits {
        store.append(&permit(), &name(), append(vec![rows(0, end - 1, end)], 0, end - 1, end)).await.unwrap();
    }
    store.handle(&name()).unwrap().settled().await;
    store
}

fn commit_file(root: &FilePath, version: u64) -> std::path::PathBuf {
    root.join("t").join("_delta_log").join(format!("{version:020}.json"))
}

async fn shows(root: &FilePath, version: u64) -> Vec<(i32, i64)> {
    let store = DeltaStore::open(root).unwrap();
    row_ids(&store, &permit(), &name(), TableVersion(version)).await.unwrap()
}

#[tokio::test]
async fn a_lost_commit_is_known_by_its_data_file() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), 5).await;
    let before = shows(folder.path(), 5).await;
    for version in [3, 5] {
        std::fs::remove_file(commit_file(folder.path(), version)).unwrap();
        let store = DeltaStore::open(folder.path()).unwrap();
        let survey = store.survey(&name()).await.unwrap();
        let lost = lost(version, version);
        let orphan = store.orphan_of(&name(), &survey, &lost).await.unwrap();
        assert_eq!(orphan.as_ref().map(|file| file.rows), Some(1));
        let (permit, table) = (permit(), name());
        let of = |run| store.mend_commit(&permit, &table, &lost, orphan.clone(), Vec::new(), Vec::new(), run);
        assert!(matches!(of(false).await.unwrap(), Source::File(_)));
        assert!(!commit_file(folder.path(), version).exists(), "a plan changes nothing");
        of(true).await.unwrap();
        assert_eq!(shows(folder.path(), 5).await, before);
    }
    let survey = DeltaStore::open(folder.path()).unwrap().survey(&name()).await.unwrap();
    assert!(survey.checked.is_whole(), "{:?}", survey.checked.findings);
}

#[tokio::test]
async fn a_lost_commit_and_its_file_come_back_from_the_rows() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), 4).await;
    let survey = store.survey(&name()).await.unwrap();
    let file = survey.files.values().find(|file| file.shown.0 == 4).unwrap().clone();
    std::fs::remove_file(commit_file(folder.path(), 4)).unwrap();
    std::fs::remove_file(folder.path().join("t").join(&file.path)).unwrap();
    let store = DeltaStore::open(folder.path()).unwrap();
    let survey = store.survey(&name()).await.unwrap();
    assert_eq!(store.orphan_of(&name(), &survey, &lost(4, 4)).await.unwrap(), None);
    let mend = |rows, recorded, run| {
        let (store, lost) = (&store, lost(4, recorded));
        async move { store.mend_commit(&permit(), &name(), &lost, None, rows, Vec::new(), run).await }
    };
    assert_eq!(mend(vec![rows(0, 3, 4)], 7, true).await.unwrap_err().code(), "SW1411");
    assert_eq!(mend(vec![rows(0, 3, 4)], 4, true).await.unwrap(), Source::Rows);
    assert_eq!(shows(folder.path(), 4).await, (0..4).map(|i| (0, i)).collect::<Vec<_>>());
    let survey = DeltaStore::open(folder.path()).unwrap().survey(&name()).await.unwrap();
    assert!(survey.files.contains_key(&file.path), "the same rows make the same file");
}

#[tokio::test]
async fn a_data_file_comes_back_with_its_very_bytes_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), 3).await;
    let survey = store.survey(&name()).await.unwrap();
    let file = survey.files.values().find(|file| file.shown.0 == 2).unwrap();
    let origin = store.origin(&name(), file).await.unwrap();
    assert_eq!(origin, Some(Origin::Log { from: cut(1), until: cut(2) }));
    let path = folder.path().join("t").join(&file.path);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[1..]).unwrap();
    let wrong = store.mend_file(&name(), file, vec![rows(0, 2, 3)], true).await.unwrap_err();
    assert_eq!(wrong.code(), "SW1410");
    store.mend_file(&name(), file, vec![rows(0, 1, 2)], true).await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), whole);
}

#[tokio::test]
async fn a_damaged_checkpoint_gives_way_to_one_of_the_commits() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), 23).await;
    let checkpoint = folder.path().join("t/_delta_log/00000000000000000020.checkpoint.parquet");
    std::fs::write(&checkpoint, b"PAR1").unwrap();
    let store = DeltaStore::open(folder.path()).unwrap();
    assert!(!store.survey(&name()).await.unwrap().checked.is_whole());
    store.renew_checkpoints(&name(), &[20], true).await.unwrap();
    assert!(!checkpoint.exists());
    let survey = store.survey(&name()).await.unwrap();
    assert!(survey.checked.is_whole(), "{:?}", survey.checked.findings);
    store.renew_checkpoints(&name(), &[20], true).await.unwrap();
    assert_eq!(shows(folder.path(), 23).await.len(), 23);
}
