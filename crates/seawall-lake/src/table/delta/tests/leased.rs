//! What the lease and the commit keep apart, and what a vacuum leaves.

use std::collections::BTreeSet;

use seawall_base::upkeep::{CompactionTargets, RowsToDelete, StagedFiles, VacuumOptions};

use super::*;
use crate::table::action::Line;
use crate::table::delta::commit::{Rows, removal, write_checkpoint};

const TARGETS: CompactionTargets =
    CompactionTargets { file_bytes: 64 << 20, similar_files: 4, run_bytes_max: 64 << 20 };

fn everything() -> RowsToDelete {
    let select = |batch: &RecordBatch| Ok(arrow::array::BooleanArray::from(vec![true; batch.num_rows()]));
    RowsToDelete { reason: "test".into(), select: Arc::new(select) }
}

fn vacuum_options(keep: Span) -> VacuumOptions {
    VacuumOptions { pinned: BTreeSet::new(), keep, staged: StagedFiles::Keep, dry_run: false }
}

#[tokio::test]
async fn while_another_process_holds_the_lease_operations_are_refused_and_appends_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (filled(folder.path(), 8).await, DeltaStore::open(folder.path()).unwrap());
    let handle = one.handle(&name("t")).unwrap();
    let lease = handle.leases.take("test").await.unwrap();
    let held =
        |error: Error| assert_eq!((error.kind(), error.code()), (ErrorKind::Conflict, codes::LEASE_HELD), "{error}");
    held(two.compact(&permit(), &name("t"), &TARGETS).await.unwrap_err());
    held(two.vacuum(&permit(), &name("t"), &vacuum_options(Span::ZERO)).await.unwrap_err());
    assert_eq!(two.files(&name("t"), &TARGETS).await.unwrap().lease.as_deref(), Some("test"));
    two.append(&permit(), &name("t"), append(vec![rows(0, 8, 9)], 0, 8, 9)).await.unwrap();
    lease.release().await;
    assert_eq!(two.compact(&permit(), &name("t"), &TARGETS).await.unwrap().merged_files, 9);
    assert_eq!(one.row_count(&name("t")).await.unwrap(), 9);
}

/// The rule is in the commit, so no operation can forget it.
#[tokio::test]
async fn a_commit_that_does_not_fit_its_state_or_has_no_lease_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), 3).await;
    let handle = store.handle(&name("t")).unwrap();
    let state = store.newest(&handle).await.unwrap();
    let some = Arc::clone(state.files.values().next().unwrap());
    let commit =
        |lines: Vec<Line>| Commit { operation: "OPTIMIZE", parameters: json!({}), info: BTreeMap::new(), lines };
    let add = |file: &DataFile| Line { add: Some(file.add.clone()), ..Line::default() };
    let go = || removal(&some, 0, Rows::Stay);

    let without = store.land(&handle, Some(Arc::clone(&state)), &permit(), commit(vec![go()]), None).await;
    assert_eq!(without.err().unwrap().code(), codes::LEASE_LOST, "files are removed under a lease only");
    let lease = handle.leases.take("test").await.unwrap();
    let mut stranger = some.as_ref().clone();
    stranger.add.path = "part-stranger.parquet".into();
    for misfit in [vec![go(), go()], vec![removal(&stranger, 0, Rows::Stay)], vec![add(&some)]] {
        let refused = store.land(&handle, Some(Arc::clone(&state)), &permit(), commit(misfit), Some(&lease)).await;
        assert_eq!(refused.err().unwrap().code(), codes::COMMIT_FAILED);
    }
    // A state that is not the newest any more: its next version is taken, whoever made it.
    store.append(&permit(), &name("t"), append(vec![rows(0, 3, 4)], 0, 3, 4)).await.unwrap();
    let late =
        store.land(&handle, Some(Arc::clone(&state)), &permit(), commit(vec![go()]), Some(&lease)).await.unwrap();
    assert!(matches!(late, Landed::Taken));
    assert_eq!(store.row_count(&name("t")).await.unwrap(), 4);
}

#[tokio::test]
async fn an_operation_whose_lease_was_taken_over_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), 3).await;
    let handle = store.handle(&name("t")).unwrap();
    let state = store.newest(&handle).await.unwrap();
    let stopped = handle.leases.take("first").await.unwrap();
    let _next = handle.leases.take("second").await.unwrap();
    let goes = state.files.values().map(|file| removal(file, 0, Rows::Change)).collect();
    let commit = Commit { operation: "DELETE", parameters: json!({}), info: BTreeMap::new(), lines: goes };
    let fenced = store.land(&handle, Some(Arc::clone(&state)), &permit(), commit, Some(&stopped)).await;
    assert_eq!(fenced.err().unwrap().code(), codes::LEASE_LOST);
    assert_eq!(store.row_count(&name("t")).await.unwrap(), 3);
}

fn files_in(folder: &FilePath, ends: &str) -> BTreeSet<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(ends)).collect()
}

fn age(file: &FilePath, by: Span) {
    let then = std::time::UNIX_EPOCH + std::time::Duration::from_micros((SystemClock.now().0 - by.0) as u64);
    std::fs::File::options().write(true).open(file).unwrap().set_modified(then).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vacuum_removes_what_nobody_needs_and_delta_rs_still_reads_the_table() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), 50).await;
    while store.compact(&permit(), &name("t"), &TARGETS).await.unwrap().more {}
    let root = folder_of(&store);
    let log = root.join("_delta_log");
    let staged = store.stage(&permit(), &name("t"), vec![rows(9, 0, 3)]).await.unwrap();
    let (old, young) = (root.join("part-old.parquet"), root.join("part-young.parquet"));
    for orphan in [&old, &young] {
        std::fs::write(orphan, b"PAR1").unwrap();
    }
    for ancient in [&old, &root.join(&staged.path)] {
        age(ancient, Span::DAY);
    }
    let newest = store.snapshot(&name("t"), None).await.unwrap();
    let vacuum = store.vacuum(&permit(), &name("t"), &vacuum_options(Span::ZERO)).await.unwrap();
    assert_eq!((vacuum.readable_from, vacuum.staged_kept), (newest.version, 1));
    assert!(!old.exists() && young.exists() && root.join(&staged.path).exists());
    assert_eq!(files_in(&log, ".json").len(), 1, "commits behind the checkpoint went");
    assert_eq!(files_in(&log, ".checkpoint.parquet").len(), 1);
    let shown: BTreeSet<String> = store.state(&name("t"), None).await.unwrap().files.keys().cloned().collect();
    let kept = files_in(&root, ".parquet");
    assert_eq!(kept.difference(&shown).count(), 2, "the young orphan and the staged file are left");

    let again = store.vacuum(&permit(), &name("t"), &vacuum_options(Span::ZERO)).await.unwrap();
    assert_eq!((again.data_files, again.log_files), (0, 0), "a second vacuum finds nothing");
    let with_staged = VacuumOptions { staged: StagedFiles::Remove, ..vacuum_options(Span::ZERO) };
    assert_eq!(store.vacuum(&permit(), &name("t"), &with_staged).await.unwrap().data_files, 1);

    let reopened = DeltaStore::open(folder.path()).unwrap();
    assert_eq!(reopened.row_count(&name("t")).await.unwrap(), 50);
    reopened.append(&permit(), &name("t"), append(vec![rows(0, 50, 51)], 0, 50, 51)).await.unwrap();
    let url = url::Url::from_directory_path(&root).unwrap();
    let table = deltalake_core::open_table(url).await.unwrap();
    assert_eq!(table.version(), Some(newest.version.0 + 1));
    let context = SessionContext::new();
    context.register_table("t", table.table_provider().await.unwrap()).unwrap();
    let batches = context.sql("select count(*), sum(id) from t").await.unwrap().collect().await.unwrap();
    let value = |column: usize| batches[0].column(column).as_primitive::<Int64Type>().value(0);
    assert_eq!((value(0), value(1)), (51, (0..51).sum::<i64>()));
}

#[tokio::test]
async fn versions_of_the_last_days_stay_readable() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), 30).await;
    let log = folder_of(&store).join("_delta_log");
    for version in 0..=20u64 {
        age(&log.join(format!("{version:020}.json")), Span(8 * Span::DAY.0));
    }
    store.delete_rows(&permit(), &name("t"), &everything()).await.unwrap();
    let vacuum = store.vacuum(&permit(), &name("t"), &vacuum_options(Span(7 * Span::DAY.0))).await.unwrap();
    assert_eq!(vacuum.readable_from, TableVersion(20), "what was the newest a week ago is the oldest that is kept");
    for version in 20..=30u64 {
        let shown = row_ids(&store, &permit(), &name("t"), TableVersion(version)).await.unwrap();
        assert_eq!(shown.len() as u64, version);
    }
    assert_eq!(store.snapshot(&name("t"), Some(TableVersion(19))).await.unwrap_err().code(), codes::VERSION_EXPIRED);
    assert_eq!(store.row_count(&name("t")).await.unwrap(), 0);
}

/// A process that slept through a vacuum must not go on from what it remembers: the version after it may look free.
#[tokio::test]
async fn a_process_that_slept_through_a_vacuum_does_not_fork_the_table() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(seawall_base::DrivenClock::starting_at(SystemClock.now()));
    let options = DeltaStoreOptions { clock: Arc::<seawall_base::DrivenClock>::clone(&clock), ..Default::default() };
    let sleeper = DeltaStore::open_with(folder.path(), options).unwrap();
    let awake = filled(folder.path(), 5).await;
    assert_eq!(sleeper.row_count(&name("t")).await.unwrap(), 5);
    for end in 6..=40u64 {
        awake.append(&permit(), &name("t"), append(vec![rows(0, end - 1, end)], 0, end - 1, end)).await.unwrap();
    }
    awake.vacuum(&permit(), &name("t"), &vacuum_options(Span::ZERO)).await.unwrap();
    clock.advance_to(Instant(clock.now().0 + Span::HOUR.0));
    let stale = sleeper.append(&permit(), &name("t"), append(vec![rows(0, 5, 6)], 0, 5, 6)).await.unwrap();
    assert_eq!(stale, TableVersion(40), "its rows are there already");
    assert_eq!(sleeper.row_count(&name("t")).await.unwrap(), 40);
    sleeper.append(&permit(), &name("t"), append(vec![rows(0, 40, 41)], 0, 40, 41)).await.unwrap();
    assert_eq!(awake.row_count(&name("t")).await.unwrap(), 41);
}

#[tokio::test]
async fn a_vacuum_that_stopped_half_way_is_finished_by_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), 30).await;
    store.delete_rows(&permit(), &name("t"), &everything()).await.unwrap();
    let handle = store.handle(&name("t")).unwrap();
    let state = store.newest(&handle).await.unwrap();
    write_checkpoint(&handle, Arc::clone(&state)).await.unwrap();
    handle.log.set_horizon(&Horizon { readable_from: 31, ..Horizon::default() }).await.unwrap();
    let some = files_in(&folder_of(&store), ".parquet").into_iter().next().unwrap();
    std::fs::remove_file(folder_of(&store).join(some)).unwrap();
    // Half of the files are gone: what cannot be read any more says why.
    let gone = row_ids(&store, &permit(), &name("t"), TableVersion(30)).await.unwrap_err();
    assert_eq!(gone.code(), codes::VERSION_EXPIRED);
    let vacuum = store.vacuum(&permit(), &name("t"), &vacuum_options(Span::ZERO)).await.unwrap();
    assert_eq!((vacuum.data_files, vacuum.log_files), (29, 32));
    assert!(files_in(&folder_of(&store), ".parquet").is_empty());
    assert_eq!(DeltaStore::open(folder.path()).unwrap().row_count(&name("t")).await.unwrap(), 0);
}

#[cfg(unix)]
#[tokio::test]
async fn links_in_the_log_and_in_place_of_a_table_are_refused() {
    for linked in ["_delta_log", "_delta_log/00000000000000000001.json", ""] {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("tables");
        let table = filled(&home, 2).await.folder(&name("t")).unwrap();
        let (original, outside) = (table.join(linked), folder.path().join("outside"));
        std::fs::rename(&original, &outside).unwrap();
        std::os::unix::fs::symlink(&outside, original.to_str().unwrap().trim_end_matches('/')).unwrap();
        let error = DeltaStore::open(&home).unwrap().snapshot(&name("t"), None).await.unwrap_err();
        assert_eq!(error.code(), codes::PATH_ESCAPES, "{linked}: {error}");
    }
}
