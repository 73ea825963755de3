use std::sync::atomic::Ordering;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type};
use datafusion::prelude::SessionContext;
use seawall_base::{Cut, Offset, Partition, TableUpkeep};

use super::*;
use crate::store::failing::{FailingStore, When};
use crate::table::action::{self, Add};
use crate::table::conformance::{append, check_all, check_upkeep, row_ids, rows, schema};
use crate::tests::permit;

mod chaos;
mod leased;
mod rate;
mod s3;

fn name(text: &str) -> TableName {
    TableName::new(text).unwrap()
}

fn folder_of(store: &DeltaStore) -> PathBuf {
    store.folder(&name("t")).unwrap()
}

async fn filled(root: &FilePath, commits: u64) -> DeltaStore {
    let store = DeltaStore::open(root).unwrap();
    store.ensure(&permit(), &name("t"), schema(), &[]).await.unwrap();
    for end in 1..=commits {
        store.append(&permit(), &name("t"), append(vec![rows(0, end - 1, end)], 0, end - 1, end)).await.unwrap();
    }
    store.handle(&name("t")).unwrap().settled().await;
    store
}

#[tokio::test]
async fn the_suite_passes() {
    let folder = tempfile::tempdir().unwrap();
    let store = DeltaStore::open(folder.path()).unwrap();
    check_all(&store, &permit()).await.unwrap();
    check_upkeep(&store, &store, &permit()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_passes_on_many_threads() {
    let folder = tempfile::tempdir().unwrap();
    check_all(&DeltaStore::open(folder.path()).unwrap(), &permit()).await.unwrap();
}

#[tokio::test]
async fn the_twin_in_memory_passes_the_suite() {
    let store = crate::table::MemoryStore::new();
    check_all(&store, &permit()).await.unwrap();
    check_upkeep(&store, &store, &permit()).await.unwrap();
}

/// delta-rs reads what Seawall wrote, with its own reader: the format is open.
#[tokio::test(flavor = "multi_thread")]
async fn delta_rs_reads_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), 43).await;
    let url = url::Url::from_directory_path(folder_of(&store)).unwrap();
    let table = deltalake_core::open_table(url).await.unwrap();
    assert_eq!(table.version(), Some(43));
    let state = table.snapshot().unwrap().snapshot();
    let log_store = table.log_store();
    assert_eq!(state.transaction_version(log_store.as_ref(), "seawall/0").await.unwrap(), Some(43));
    let context = SessionContext::new();
    context.register_table("t", table.table_provider().await.unwrap()).unwrap();
    let sql = "select count(*), sum(id), count(note), max(id) from t where id >= 3";
    let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
    let values: Vec<i64> = batches[0].columns().iter().map(|c| c.as_primitive::<Int64Type>().value(0)).collect();
    assert_eq!(values, [40, (3..43).sum::<i64>(), 26, 42]);
}

#[tokio::test]
async fn another_process_sees_every_commit_and_conflicts() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (DeltaStore::open(folder.path()).unwrap(), DeltaStore::open(folder.path()).unwrap());
    let table = name("t");
    one.ensure(&permit(), &table, schema(), &[]).await.unwrap();
    assert_eq!(two.ensure(&permit(), &table, schema(), &[]).await.unwrap(), TableVersion(0));
    for end in 1..=30u64 {
        let writer = if end % 2 == 0 { &one } else { &two };
        writer.append(&permit(), &table, append(vec![rows(0, end - 1, end)], 0, end - 1, end)).await.unwrap();
    }
    let late = append(vec![rows(0, 29, 31)], 0, 29, 31);
    assert_eq!(two.append(&permit(), &table, late).await.unwrap_err().code(), codes::CUT_CONFLICT);
    assert_eq!(
        row_ids(&one, &permit(), &table, TableVersion(30)).await.unwrap(),
        (0..30).map(|i| (0, i)).collect::<Vec<_>>()
    );
}

/// Many tasks race to append the same offsets: each row is shown once.
#[tokio::test(flavor = "multi_thread")]
async fn racing_processes_append_each_row_once() {
    let folder = tempfile::tempdir().unwrap();
    let table = name("t");
    filled(folder.path(), 0).await;
    let tasks = (0..4).map(|_| {
        let (root, table) = (folder.path().to_owned(), table.clone());
        tokio::spawn(async move {
            let store = DeltaStore::open(&root).unwrap();
            for _ in 0..200 {
                let end = store.snapshot(&table, None).await.unwrap().cut.end(Partition(0)).0;
                if end >= 12 {
                    return;
                }
                let outcome =
                    store.append(&permit(), &table, append(vec![rows(0, end, end + 1)], 0, end, end + 1)).await;
                assert!(outcome.is_ok() || outcome.unwrap_err().kind() == ErrorKind::Conflict);
            }
            panic!("the race does not end");
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let store = DeltaStore::open(folder.path()).unwrap();
    let newest = store.snapshot(&table, None).await.unwrap();
    assert_eq!((newest.rows, newest.version), (12, TableVersion(12)));
    assert_eq!(
        row_ids(&store, &permit(), &table, newest.version).await.unwrap(),
        (0..12).map(|i| (0, i)).collect::<Vec<_>>()
    );
}

async fn check_unknown_outcome(suffix: &'static str, when: When, lands: bool) {
    let folder = tempfile::tempdir().unwrap();
    let failing = Arc::new(FailingStore::new(suffix, when));
    let options = DeltaStoreOptions { store: Arc::<FailingStore>::clone(&failing), ..DeltaStoreOptions::default() };
    let store = DeltaStore::open_with(folder.path(), options).unwrap();
    let table = name("t");
    store.ensure(&permit(), &table, schema(), &[]).await.unwrap();
    let mut end = 0;
    while end < 25 {
        // A checkpoint that is still being written must not take the fault.
        store.handle(&table).unwrap().settled().await;
        failing.arm(usize::from(end % 3 == 0));
        let before = failing.failed.load(Ordering::SeqCst);
        let outcome = store.append(&permit(), &table, append(vec![rows(0, end, end + 1)], 0, end, end + 1)).await;
        let injected = failing.failed.load(Ordering::SeqCst) > before;
        match outcome {
            Ok(_) => {
                assert!(lands || !injected, "a failed write was taken for a commit");
                end += 1;
            }
            Err(error) => {
                assert!(injected && !lands, "{error}");
                assert_eq!(error.kind(), ErrorKind::Unavailable);
                failing.arm(0);
                store.append(&permit(), &table, append(vec![rows(0, end, end + 1)], 0, end, end + 1)).await.unwrap();
                end += 1;
            }
        }
    }
    assert!(failing.failed.load(Ordering::SeqCst) >= 8, "the faults were injected");
    let newest = store.snapshot(&table, None).await.unwrap();
    assert_eq!((newest.version, newest.rows), (TableVersion(25), 25));
    assert_eq!(
        row_ids(&store, &permit(), &table, newest.version).await.unwrap(),
        (0..25).map(|i| (0, i)).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_counts_and_is_not_repeated() {
    check_unknown_outcome(".json", When::After, true).await;
}

#[tokio::test]
async fn a_commit_that_failed_is_reported_and_can_be_repeated() {
    check_unknown_outcome(".json", When::Before, false).await;
}

#[tokio::test]
async fn a_data_file_that_failed_is_no_commit() {
    check_unknown_outcome(".parquet", When::Before, false).await;
}

#[tokio::test]
async fn a_data_file_whose_answer_was_lost_is_written_again_under_its_name() {
    check_unknown_outcome(".parquet", When::After, false).await;
}

/// 300 commits: the last ones are not much slower than the first ones. Prints the rates.
#[tokio::test(flavor = "multi_thread")]
async fn the_rate_of_commits_does_not_degrade() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), 0).await;
    let table = name("t");
    let mut times_ms = Vec::new();
    for end in 1..=300u64 {
        let started = SystemClock.now();
        let (from, until) = ((end - 1) * 100, end * 100);
        store.append(&permit(), &table, append(vec![rows(0, from, until)], 0, from, until)).await.unwrap();
        times_ms.push((SystemClock.now() - started).0 as f64 / 1e3);
    }
    // The lower quartile, because other work on the machine slows single commits down.
    let typical = |times: &[f64]| {
        let mut sorted = times.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 4]
    };
    store.handle(&table).unwrap().settled().await;
    let (first, last) = (typical(&times_ms[..60]), typical(&times_ms[240..]));
    let total: f64 = times_ms.iter().sum();
    println!("300 commits: {:.0}/s; first 60 take {first:.1} ms, last 60 {last:.1} ms", 300.0 / (total / 1e3));
    assert!(last < first * 4.0 + 5.0, "commits slow down: {first} ms, then {last} ms");
    assert_eq!(store.row_count(&table).await.unwrap(), 30_000);
    let names: Vec<String> = std::fs::read_dir(store.folder(&table).unwrap().join("_delta_log"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names.iter().filter(|name| name.ends_with(".checkpoint.parquet")).count(), 15);
    assert_eq!(names.iter().filter(|name| name.ends_with(".json")).count(), 301);

    let reopened = DeltaStore::open(folder.path()).unwrap();
    assert_eq!(reopened.row_count(&table).await.unwrap(), 30_000);
    assert_eq!(reopened.snapshot(&table, None).await.unwrap().cut, Cut::of(Partition(0), Offset(30_000)));
}

#[tokio::test]
async fn an_empty_commit_is_refused_wherever_it_lies() {
    for emptied in [2u64, 5] {
        let folder = tempfile::tempdir().unwrap();
        let store = filled(folder.path(), 5).await;
        let log = folder_of(&store).join("_delta_log");
        std::fs::write(log.join(format!("{emptied:020}.json")), b"").unwrap();
        let error = DeltaStore::open(folder.path()).unwrap().snapshot(&name("t"), None).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Corrupt, codes::LOG_BROKEN), "{error}");
    }
}

#[tokio::test]
async fn a_torn_or_missing_commit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), 5).await;
    let log = folder_of(&store).join("_delta_log");
    let commit = log.join(format!("{:020}.json", 4));
    let bytes = std::fs::read(&commit).unwrap();
    std::fs::write(&commit, &bytes[..bytes.len() / 2]).unwrap();
    let reopened = || DeltaStore::open(folder.path()).unwrap();
    assert_eq!(reopened().snapshot(&name("t"), None).await.unwrap_err().code(), codes::LOG_BROKEN);
    std::fs::remove_file(&commit).unwrap();
    assert_eq!(reopened().snapshot(&name("t"), None).await.unwrap_err().code(), codes::LOG_BROKEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_checkpoint_is_passed_over() {
    for content in [&b""[..], &b"PAR1 nonsense"[..]] {
        let folder = tempfile::tempdir().unwrap();
        let store = filled(folder.path(), 43).await;
        let log = folder_of(&store).join("_delta_log");
        for checkpoint in [20, 40] {
            let path = log.join(format!("{checkpoint:020}.checkpoint.parquet"));
            assert!(path.exists());
            std::fs::write(path, content).unwrap();
        }
        let reopened = DeltaStore::open(folder.path()).unwrap();
        assert_eq!(reopened.row_count(&name("t")).await.unwrap(), 43);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_says_what_the_commits_say() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), 41).await;
    let handle = store.handle(&name("t")).unwrap();
    let with = handle.log.load().await.unwrap().unwrap();
    let log = folder_of(&store).join("_delta_log");
    for checkpoint in [20, 40] {
        std::fs::remove_file(log.join(format!("{checkpoint:020}.checkpoint.parquet"))).unwrap();
    }
    let without = handle.log.load().await.unwrap().unwrap();
    assert_eq!((&with.files, &with.txns), (&without.files, &without.txns));
    assert_eq!(with.metadata.configuration, without.metadata.configuration);
    assert_eq!((with.schema, with.protocol), (without.schema, without.protocol));
}

#[tokio::test]
async fn a_path_out_of_the_table_is_refused_before_anything_is_read() {
    for escape in ["../secret.parquet", "%2e%2e/secret.parquet", "/etc/passwd", "file:///etc/passwd"] {
        let folder = tempfile::tempdir().unwrap();
        let store = filled(folder.path(), 1).await;
        let log = folder_of(&store).join("_delta_log");
        std::fs::write(folder.path().join("secret.parquet"), b"secret").unwrap();
        let add = json!({"add": {"path": escape, "partitionValues": {}, "size": 6, "modificationTime": 0, "dataChange": true}});
        std::fs::write(log.join(format!("{:020}.json", 2)), format!("{add}\n")).unwrap();
        let error = store.scan(&permit(), &name("t"), TableVersion(2), None).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Corrupt, codes::PATH_ESCAPES), "{escape}: {error}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_out_of_the_table_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), 1).await;
    let state = store.state(&name("t"), None).await.unwrap();
    let path = folder_of(&store).join(state.files.keys().next().unwrap());
    let outside = folder.path().join("outside.parquet");
    std::fs::rename(&path, &outside).unwrap();
    std::os::unix::fs::symlink(&outside, &path).unwrap();
    let error = store.scan(&permit(), &name("t"), TableVersion(1), None).await.unwrap_err();
    assert_eq!(error.code(), codes::PATH_ESCAPES, "{error}");
}

#[tokio::test]
async fn a_flipped_bit_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), 1).await;
    let table = name("t");
    assert_eq!(store.verify(&table, TableVersion(1)).await.unwrap(), 1);
    let state = store.state(&table, None).await.unwrap();
    let path = store.folder(&table).unwrap().join(state.files.keys().next().unwrap());
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 3;
    bytes[middle] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(store.scan(&permit(), &table, TableVersion(1), None).await.unwrap_err().code(), codes::FILE_DAMAGED);
    assert_eq!(store.verify(&table, TableVersion(1)).await.unwrap_err().code(), codes::FILE_DAMAGED);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(store.verify(&table, TableVersion(1)).await.unwrap_err().code(), codes::FILE_DAMAGED);
}

#[tokio::test]
async fn personal_columns_leave_no_trace_in_statistics() {
    let folder = tempfile::tempdir().unwrap();
    let store = DeltaStore::open(folder.path()).unwrap();
    let table = name("people");
    let fields = vec![
        Field::new("email", DataType::Utf8, true),
        Field::new("age", DataType::Int64, true),
        Field::new("city", DataType::Utf8, true),
        Field::new("score", DataType::Float64, true),
    ];
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let personal = ["email".to_owned(), "age".to_owned()];
    store.ensure(&permit(), &table, Arc::clone(&schema), &personal).await.unwrap();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec!["zoe@example.org", "adam@example.org"])),
        Arc::new(Int64Array::from(vec![77, 33])),
        Arc::new(StringArray::from(vec![Some("Bern"), None])),
        Arc::new(Float64Array::from(vec![0.5, f64::NAN])),
    ];
    let batch = RecordBatch::try_new(schema, columns).unwrap();
    let staged = store.stage(&permit(), &table, vec![batch.clone()]).await.unwrap();
    let append = Append { staged: vec![staged], ..append(vec![batch], 0, 0, 4) };
    store.append(&permit(), &table, append).await.unwrap();

    let log =
        std::fs::read_to_string(store.folder(&table).unwrap().join("_delta_log/00000000000000000001.json")).unwrap();
    let lines = action::parse_lines("people", "1", log.as_bytes()).unwrap();
    let adds: Vec<Add> = lines.into_iter().filter_map(|line| line.add).collect();
    assert_eq!(adds.len(), 2);
    for add in adds {
        let stats: serde_json::Value = serde_json::from_str(add.stats.as_deref().unwrap()).unwrap();
        let expected = json!({"numRecords": 2, "minValues": {"city": "Bern"}, "maxValues": {"city": "Bern"},
            "nullCount": {"city": 1}});
        assert_eq!(stats, expected);
        let bytes = Bytes::from(std::fs::read(store.folder(&table).unwrap().join(&add.path)).unwrap());
        let footer = file::footer(&bytes, &add.path).unwrap();
        let columns = footer.metadata().row_group(0).columns();
        let described: Vec<bool> = columns.iter().map(|column| column.statistics().is_some()).collect();
        assert_eq!(described, [false, false, true, false], "email, age, city, score");
    }
}

#[tokio::test]
async fn history_tells_who_committed_what() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), 2).await;
    let history = store.versions(&name("t")).await.unwrap();
    let told: Vec<(u64, &str, Cut)> =
        history.iter().map(|info| (info.version.0, info.operation.as_str(), info.moved.clone())).collect();
    let end = |end| Cut::of(Partition(0), Offset(end));
    assert_eq!(told, [(0, "CREATE TABLE", Cut::empty()), (1, "WRITE", end(1)), (2, "WRITE", end(2))]);
    assert!(history.iter().all(|info| info.permit_id.as_deref() == Some("conformance")));
}

#[tokio::test]
async fn local_timestamps_raise_the_protocol_and_others_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let store = DeltaStore::open(folder.path()).unwrap();
    let table = name("t");
    store.ensure(&permit(), &table, schema(), &[]).await.unwrap();
    assert_eq!(store.state(&table, None).await.unwrap().protocol.min_writer_version, 2);
    let mut fields: Vec<Arc<Field>> = schema().fields().iter().cloned().collect();
    let local = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None);
    fields.push(Arc::new(Field::new("local", local, true)));
    let wider: SchemaRef = Arc::new(Schema::new(fields));
    store.ensure(&permit(), &table, Arc::clone(&wider), &[]).await.unwrap();
    let state = store.state(&table, None).await.unwrap();
    assert_eq!((state.protocol.min_writer_version, &state.schema), (7, &wider));
    let url = url::Url::from_directory_path(store.folder(&table).unwrap()).unwrap();
    assert_eq!(deltalake_core::open_table(url).await.unwrap().version(), Some(1));
}

#[tokio::test]
async fn leftovers_of_a_crash_are_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), 3).await;
    let log = folder_of(&store).join("_delta_log");
    std::fs::write(log.join("00000000000000000004.json#0"), b"{").unwrap();
    std::fs::write(log.join("00000000000000000020.checkpoint.parquet.77-0.uploading"), b"PAR").unwrap();
    std::fs::write(folder_of(&store).join("part-orphan.parquet"), b"PAR").unwrap();
    let reopened = DeltaStore::open(folder.path()).unwrap();
    assert_eq!(reopened.row_count(&name("t")).await.unwrap(), 3);
    let url = url::Url::from_directory_path(folder_of(&store)).unwrap();
    assert_eq!(deltalake_core::open_table(url).await.unwrap().version(), Some(3));
}
