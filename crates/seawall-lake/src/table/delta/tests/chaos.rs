//! Everything at once on one table, by several processes: the oracle is what each commit says it did.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::Duration;

use arrow::array::BooleanArray;
use seawall_base::SeededRng;
use seawall_base::upkeep::{CompactionTargets, RowsToDelete, StagedFiles, VacuumOptions};

use super::*;

const TARGETS: CompactionTargets =
    CompactionTargets { file_bytes: 64 << 20, similar_files: 3, run_bytes_max: 64 << 20 };
/// Where a child process works, and what it is to do.
const CHILD_ROOT: &str = "SEAWALL_CHAOS_ROOT";
const CHILD_ROLE: &str = "SEAWALL_CHAOS_ROLE";

/// A clock that is ahead: leases of a killed process are over for it.
struct Ahead(Span);

impl Clock for Ahead {
    fn now(&self) -> Instant {
        Instant(SystemClock.now().0 + self.0.0)
    }
}

/// Rows whose id divided by 7 leaves 3.
fn every_seventh() -> RowsToDelete {
    let select = |batch: &RecordBatch| {
        let ids = batch.column_by_name("id").unwrap().as_primitive::<Int64Type>();
        Ok(ids.iter().map(|id| id.map(|id| id % 7 == 3)).collect::<BooleanArray>())
    };
    RowsToDelete { reason: "chaos".into(), select: Arc::new(select) }
}

async fn append_until(store: &DeltaStore, partition: u32, end: u64) {
    loop {
        let from = store.snapshot(&name("t"), None).await.unwrap().cut.end(Partition(partition)).0;
        if from >= end {
            return;
        }
        let until = (from + 1 + from % 3).min(end);
        let rows = append(vec![rows(partition, from, until)], partition, from, until);
        store.append(&permit(), &name("t"), rows).await.unwrap();
    }
}

/// A conflict with another operation is the only excuse.
fn excused<T>(outcome: Result<T>) -> Option<T> {
    match outcome {
        Ok(done) => Some(done),
        Err(error) if error.kind() == ErrorKind::Conflict => None,
        Err(error) => panic!("{error:?}"),
    }
}

/// Goes through the versions that are told and compares each with the one before, by what its commit says.
async fn check_history(store: &DeltaStore) -> BTreeSet<(i32, i64)> {
    let mut before: Option<BTreeSet<(i32, i64)>> = None;
    for info in store.versions(&name("t")).await.unwrap() {
        let listed = row_ids(store, &permit(), &name("t"), info.version).await.unwrap();
        let shown: BTreeSet<(i32, i64)> = listed.iter().copied().collect();
        assert_eq!(shown.len(), listed.len(), "version {} shows a row twice", info.version.0);
        if let Some(before) = before {
            let (came, went) = (shown.difference(&before).count(), before.difference(&shown).count());
            match info.operation.as_str() {
                "WRITE" => assert!(went == 0 && came > 0, "an append took {went} rows away"),
                "OPTIMIZE" => assert_eq!((came, went), (0, 0), "a compaction changed rows"),
                "DELETE" => assert!(
                    came == 0 && before.difference(&shown).all(|(_, id)| id % 7 == 3),
                    "a deletion brought {came} rows or took a wrong one"
                ),
                other => panic!("nobody asked for {other}"),
            }
        }
        before = Some(shown);
    }
    before.unwrap()
}

/// Two writers, two compactors, a deleter and a vacuum, each with a handle of its own as another process would have.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn compaction_beside_appends_and_deletions_never_repeats_or_revives_a_row() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), 0).await;
    let open = || DeltaStore::open(folder.path()).unwrap();
    let writers = [0u32, 1].map(|partition| {
        let store = open();
        tokio::spawn(async move { append_until(&store, partition, 120).await })
    });
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let others = (0..4).map(|role| {
        let (store, stop) = (open(), Arc::clone(&stop));
        tokio::spawn(async move {
            let mut done = 0;
            while !stop.load(Ordering::SeqCst) {
                let did = match role {
                    0 | 1 => excused(store.compact(&permit(), &name("t"), &TARGETS).await).map(|run| run.merged_files),
                    2 => excused(store.delete_rows(&permit(), &name("t"), &every_seventh()).await).map(|d| d.files),
                    _ => {
                        let options = VacuumOptions {
                            pinned: BTreeSet::new(),
                            keep: Span::DAY,
                            staged: StagedFiles::Keep,
                            dry_run: false,
                        };
                        excused(store.vacuum(&permit(), &name("t"), &options).await).map(|v| v.data_files)
                    }
                };
                done += usize::from(did.is_some_and(|did| did > 0));
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
            done
        })
    });
    let others: Vec<_> = others.collect();
    for writer in writers {
        writer.await.unwrap();
    }
    stop.store(true, Ordering::SeqCst);
    let mut done = Vec::new();
    for other in others {
        done.push(other.await.unwrap());
    }
    assert!(done[0] + done[1] > 3 && done[2] > 0, "the operations met: {done:?}");
    let store = open();
    let left = check_history(&store).await;
    let everything: BTreeSet<(i32, i64)> = (0..2).flat_map(|p| (0..120).map(move |id| (p, id))).collect();
    let missing: Vec<_> = everything.difference(&left).collect();
    assert!(missing.iter().all(|(_, id)| id % 7 == 3), "rows are lost: {missing:?}");
    assert_eq!(left.difference(&everything).count(), 0);
    let newest = store.snapshot(&name("t"), None).await.unwrap();
    let ends = [Offset(120), Offset(120)];
    assert_eq!([newest.cut.end(Partition(0)), newest.cut.end(Partition(1))], ends);
    store.verify(&name("t"), newest.version).await.unwrap();
}

/// What a child process does until it is killed; run by [`killed_processes_leave_a_table_that_others_go_on_with`].
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a part of another test"]
async fn chaos_child() {
    let (Ok(root), Ok(role)) = (std::env::var(CHILD_ROOT), std::env::var(CHILD_ROLE)) else { return };
    let options = DeltaStoreOptions { clock: Arc::new(Ahead(role.parse::<Span>().unwrap())), ..Default::default() };
    let store = DeltaStore::open_with(FilePath::new(&root), options).unwrap();
    let mut end = store.snapshot(&name("t"), None).await.unwrap().cut.end(Partition(0)).0;
    loop {
        end += 5;
        append_until(&store, 0, end).await;
        excused(store.compact(&permit(), &name("t"), &TARGETS).await);
        excused(store.delete_rows(&permit(), &name("t"), &every_seventh()).await);
    }
}

/// Real processes, killed at moments drawn by chance while they append, compact and delete; then another one goes on.
#[tokio::test(flavor = "multi_thread")]
async fn killed_processes_leave_a_table_that_others_go_on_with() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), 0).await;
    let rng = SeededRng::new(11);
    for round in 1..=12i64 {
        // Each one is a minute further on, as if the leases of the killed one had ended.
        let ahead = Span(2 * round * Span::MINUTE.0);
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "table::delta::tests::chaos::chaos_child", "--ignored"])
            .env(CHILD_ROOT, folder.path())
            .env(CHILD_ROLE, ahead.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut byte = [0u8];
        rng.fill(&mut byte);
        tokio::time::sleep(Duration::from_millis(150 + 2 * u64::from(byte[0]))).await;
        assert!(child.try_wait().unwrap().is_none(), "a child ended by itself, so something failed in it");
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let options = DeltaStoreOptions { clock: Arc::new(Ahead(Span::DAY)), ..Default::default() };
    let store = DeltaStore::open_with(folder.path(), options).unwrap();
    let before = store.snapshot(&name("t"), None).await.unwrap();
    let end = before.cut.end(Partition(0)).0;
    assert!(end > 20, "the children got to work: {end}");
    store.compact(&permit(), &name("t"), &TARGETS).await.unwrap();
    store.delete_rows(&permit(), &name("t"), &every_seventh()).await.unwrap();
    append_until(&store, 0, end + 7).await;
    let left = check_history(&store).await;
    let missing: Vec<i64> = (0..end as i64 + 7).filter(|id| !left.contains(&(0, *id))).collect();
    assert!(missing.iter().all(|id| id % 7 == 3), "rows are lost: {missing:?}");
    let newest = store.snapshot(&name("t"), None).await.unwrap();
    store.verify(&name("t"), newest.version).await.unwrap();
}
