//! Everything at once on one table, by several processes: the oracle is what each commit says it did.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Duration;

use arrow::array::BooleanArray;
use seawall_base::SeededRng;
use seawall_base::upkeep::{CompactionTargets, RowsToDelete, StagedFiles, VacuumOptions};

use super::*;

const TARGETS: CompactionTargets =
    CompactionTargets { file_bytes: 64 << 20, similar_files: 3, run_bytes_max: 64 << 20 };
/// Rows per writer: at least, and at most while the operations have not met.
const ROWS_MIN: u64 = 120;
const ROWS_MAX: u64 = 1_200;
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

/// How often each role did something: two compactors, a deleter, a vacuum.
type Done = Arc<[AtomicUsize; 4]>;

/// Whether the operations met often enough for the test to mean something.
fn have_met(done: &Done) -> bool {
    let times = |role: usize| done[role].load(Ordering::SeqCst);
    times(0) + times(1) > 3 && times(2) > 1
}

/// Appends until the operations have met; the end that was reached. Fifty commits a second, because every version is
/// looked at afterwards.
async fn append_until_met(store: DeltaStore, partition: u32, done: Done) -> u64 {
    let mut end = 0;
    while end < ROWS_MIN || (end < ROWS_MAX && !have_met(&done)) {
        end += 3;
        append_until(&store, partition, end).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    end
}

/// One thing of a role; how much it did.
async fn act(store: &DeltaStore, role: usize) -> usize {
    let table = name("t");
    let did = match role {
        0 | 1 => excused(store.compact(&permit(), &table, &TARGETS).await).map(|run| run.merged_files),
        2 => excused(store.delete_rows(&permit(), &table, &every_seventh()).await).map(|deletion| deletion.files),
        _ => {
            let (pinned, keep) = (BTreeSet::new(), Span::DAY);
            let options = VacuumOptions { pinned, keep, staged: StagedFiles::Keep, dry_run: false };
            excused(store.vacuum(&permit(), &table, &options).await).map(|vacuum| vacuum.data_files)
        }
    };
    did.unwrap_or(0)
}

/// Two writers, two compactors, a deleter and a vacuum, each with a handle of its own as another process would have.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn compaction_beside_appends_and_deletions_never_repeats_or_revives_a_row() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), 0).await;
    let open = || DeltaStore::open(folder.path()).unwrap();
    let done = Done::default();
    let writers = [0u32, 1].map(|partition| tokio::spawn(append_until_met(open(), partition, Arc::clone(&done))));
    let stop = Arc::new(AtomicBool::new(false));
    let others = (0..4).map(|role| {
        let (store, stop, done) = (open(), Arc::clone(&stop), Arc::clone(&done));
        tokio::spawn(async move {
            while !stop.load(Ordering::SeqCst) {
                let did = act(&store, role).await;
                done[role].fetch_add(usize::from(did > 0), Ordering::SeqCst);
                // Whoever removes rows or versions leaves time for the others, and so do compactors that did their part: one
                // that never rests holds the lease whenever the deleter asks.
                let rest = match (role < 2, done[role].load(Ordering::SeqCst) > 3) {
                    (true, true) => 60,
                    (true, false) => 2,
                    (false, _) => 15,
                };
                tokio::time::sleep(Duration::from_millis(rest)).await;
            }
        })
    });
    let others: Vec<_> = others.collect();
    let mut ends = Vec::new();
    for writer in writers {
        ends.push(writer.await.unwrap());
    }
    stop.store(true, Ordering::SeqCst);
    for other in others {
        other.await.unwrap();
    }
    assert!(have_met(&done), "the operations met: {done:?}");
    let store = open();
    let left = check_history(&store).await;
    let rows_of = |partition: usize| (0..ends[partition] as i64).map(move |id| (partition as i32, id));
    let everything: BTreeSet<(i32, i64)> = rows_of(0).chain(rows_of(1)).collect();
    let missing: Vec<_> = everything.difference(&left).collect();
    assert!(missing.iter().all(|(_, id)| id % 7 == 3), "rows are lost: {missing:?}");
    assert_eq!(left.difference(&everything).count(), 0);
    let newest = store.snapshot(&name("t"), None).await.unwrap();
    assert_eq!([0, 1].map(|partition| newest.cut.end(Partition(partition)).0).to_vec(), ends);
    store.verify(&name("t"), newest.version).await.unwrap();
}

/// A writer of another process that never pauses takes most versions that an operation wants, but not all of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn operations_get_through_beside_a_writer_that_never_pauses() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), 0).await;
    let (done, stop) = (Done::default(), Arc::new(AtomicBool::new(false)));
    let writer = {
        let (store, stop) = (DeltaStore::open(folder.path()).unwrap(), Arc::clone(&stop));
        tokio::spawn(async move {
            let mut end = 0;
            while !stop.load(Ordering::SeqCst) {
                end += 3;
                append_until(&store, 0, end).await;
            }
            end
        })
    };
    let store = DeltaStore::open(folder.path()).unwrap();
    while !have_met(&done) {
        for role in [0, 2] {
            done[role].fetch_add(usize::from(act(&store, role).await > 0), Ordering::SeqCst);
        }
    }
    stop.store(true, Ordering::SeqCst);
    let end = writer.await.unwrap() as i64;
    let newest = store.snapshot(&name("t"), None).await.unwrap();
    let shown = row_ids(&store, &permit(), &name("t"), newest.version).await.unwrap();
    let left: BTreeSet<(i32, i64)> = shown.iter().copied().collect();
    assert_eq!(left.len(), shown.len(), "a row is shown twice");
    let missing: Vec<i64> = (0..end).filter(|id| !left.contains(&(0, *id))).collect();
    assert!(missing.iter().all(|id| id % 7 == 3), "rows are lost: {missing:?}");
    assert!(!missing.is_empty() && left.iter().all(|(_, id)| *id < end));
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
