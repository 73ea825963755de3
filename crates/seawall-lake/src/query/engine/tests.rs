use arrow::array::{AsArray, Int64Array};
use arrow::datatypes::{DataType, Field, Int64Type};
use seawall_base::error::ErrorKind;
use seawall_base::table::{TableName, TableVersion};

use super::*;
use crate::codes;
use crate::table::MemoryStore;
use crate::table::conformance::{append, rows, schema};
use crate::tests::permit;

fn name(text: &str) -> TableName {
    TableName::new(text).unwrap()
}

fn options() -> EngineOptions {
    EngineOptions { memory_bytes: 1 << 27, threads: 2, spill_folder: None }
}

fn query(sql: &str) -> Query {
    Query { sql: sql.to_owned(), ..Query::default() }
}

async fn fill(store: &dyn TableStore, table: &str, ends: &[u64]) {
    store.ensure(&permit(), &name(table), schema(), &[]).await.unwrap();
    let mut from = 0;
    for end in ends {
        store.append(&permit(), &name(table), append(vec![rows(0, from, *end)], 0, from, *end)).await.unwrap();
        from = *end;
    }
}

/// The same checks over files and over memory.
async fn check_everywhere<F: AsyncFn(&DataFusionEngine)>(check: F) {
    let folder = tempfile::tempdir().unwrap();
    let files = Arc::new(DeltaStore::open(folder.path()).unwrap());
    let memory: Arc<dyn TableStore> = Arc::new(MemoryStore::new());
    for store in [files.as_ref() as &dyn TableStore, memory.as_ref()] {
        fill(store, "t", &[10, 25, 60]).await;
        fill(store, "t__quarantine", &[3]).await;
    }
    check(&DataFusionEngine::new(files, options()).unwrap()).await;
    check(&DataFusionEngine::over(memory, options()).unwrap()).await;
}

async fn ask(engine: &DataFusionEngine, query: Query) -> Result<QueryResult> {
    engine.query(&permit(), query).await
}

async fn numbers(engine: &DataFusionEngine, query: Query) -> Vec<i64> {
    let result = ask(engine, query).await.unwrap();
    result.batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
}

async fn number(engine: &DataFusionEngine, sql: &str) -> i64 {
    numbers(engine, query(sql)).await[0]
}

#[tokio::test]
async fn tables_are_read_at_their_newest_version() {
    check_everywhere(async |engine| {
        assert_eq!(number(engine, "select count(*) from t").await, 60);
        assert_eq!(number(engine, "select sum(id) from t where id >= 10 and note is not null").await, {
            (10..60).filter(|id| id % 3 != 0).sum::<i64>()
        });
        assert_eq!(number(engine, "select count(*) from t join t__quarantine using (id)").await, 3);
        assert_eq!(number(engine, "select max(_lsn) from t").await, 59);
        let note = ask(engine, query("select note from t where id = 7")).await.unwrap();
        assert_eq!(note.schema.field(0).data_type(), &DataType::Utf8);
        assert_eq!(note.batches[0].column(0).as_string::<i32>().value(0), "note 7");
    })
    .await;
}

#[tokio::test]
async fn a_version_can_be_pinned() {
    check_everywhere(async |engine| {
        for (version, count) in [(0, 0), (1, 10), (2, 25), (3, 60)] {
            let pinned =
                Query { versions: vec![("t".into(), TableVersion(version))], ..query("select count(*) from t") };
            assert_eq!(numbers(engine, pinned).await, [count]);
        }
        let absent = Query { versions: vec![("t".into(), TableVersion(9))], ..query("select 1 from t") };
        let error = ask(engine, absent).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::NotFound, codes::VERSION_UNKNOWN), "{error}");
    })
    .await;
}

#[tokio::test]
async fn results_are_cut_off_and_say_so() {
    check_everywhere(async |engine| {
        for (rows_max, expected, truncated) in
            [(Some(7), 7, true), (Some(60), 60, false), (None, 60, false), (Some(0), 0, true)]
        {
            let limited = Query { rows_max, ..query("select id from t order by id") };
            let result = ask(engine, limited).await.unwrap();
            let rows: usize = result.batches.iter().map(RecordBatch::num_rows).sum();
            assert_eq!((rows, result.truncated), (expected, truncated), "{rows_max:?}");
        }
        let first = numbers(engine, Query { rows_max: Some(3), ..query("select id from t order by id desc") }).await;
        assert_eq!(first, [59, 58, 57]);
    })
    .await;
}

#[tokio::test]
async fn system_tables_are_handed_over() {
    check_everywhere(async |engine| {
        let runs = RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![1, 2, 3])) as _)]).unwrap();
        let own = Query { system: vec![("runs".into(), runs)], ..query("select sum(n) from system.runs") };
        assert_eq!(numbers(engine, own).await, [6]);
        assert_eq!(ask(engine, query("select * from system.runs")).await.unwrap_err().code(), codes::SQL_TABLE_UNKNOWN);
    })
    .await;
}

#[tokio::test]
async fn what_there_is_can_be_asked() {
    check_everywhere(async |engine| {
        let sql = "select count(*) from information_schema.tables where table_name in ('t', 't__quarantine')";
        assert_eq!(number(engine, sql).await, 2);
        let shown = ask(engine, query("show tables")).await.unwrap();
        assert!(shown.batches.iter().map(RecordBatch::num_rows).sum::<usize>() >= 2);
        let described = ask(engine, Query { rows_max: Some(10), ..query("describe t") }).await.unwrap();
        assert_eq!(described.batches[0].num_rows(), 4);
        assert!(!ask(engine, query("explain select * from t")).await.unwrap().batches.is_empty());
    })
    .await;
}

#[tokio::test]
async fn mistakes_list_what_could_be_meant() {
    check_everywhere(async |engine| {
        let column = ask(engine, query("select nte from t")).await.unwrap_err();
        assert_eq!(column.code(), codes::SQL_COLUMN_UNKNOWN);
        assert!(column.remedy().unwrap().contains("note"), "{column:?}");
        let table = ask(engine, query("select 1 from tt")).await.unwrap_err();
        assert_eq!(table.code(), codes::SQL_TABLE_UNKNOWN);
        assert!(table.remedy().unwrap().contains("t, t__quarantine"), "{table:?}");
        for sql in [
            "drop table t",
            "insert into t values (1)",
            "select 1; select 2",
            "copy t to '/tmp/x.csv'",
            "explain insert into t select * from t",
        ] {
            assert_eq!(ask(engine, query(sql)).await.unwrap_err().code(), codes::SQL_NOT_READ_ONLY, "{sql}");
        }
        assert_eq!(ask(engine, query("select 1 / (id - id) from t")).await.unwrap_err().code(), codes::SQL_FAILED);
    })
    .await;
}

#[tokio::test]
async fn a_damaged_table_fails_a_query_with_its_own_error() {
    let folder = tempfile::tempdir().unwrap();
    let store = DeltaStore::open(folder.path()).unwrap();
    fill(&store, "t", &[5]).await;
    let log = store.folder(&name("t")).unwrap().join("_delta_log");
    std::fs::write(
        log.join(format!("{:020}.json", 2)),
        "{\"add\":{\"path\":\"../x\",\"size\":1,\"modificationTime\":0,\"dataChange\":true}}\n",
    )
    .unwrap();
    let engine = DataFusionEngine::new(Arc::new(store), options()).unwrap();
    let error = ask(&engine, query("select * from t")).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Corrupt, codes::PATH_ESCAPES), "{error}");
}

#[tokio::test]
async fn rows_from_before_a_column_are_null_in_sql() {
    let folder = tempfile::tempdir().unwrap();
    let store = DeltaStore::open(folder.path()).unwrap();
    fill(&store, "t", &[4]).await;
    let mut fields: Vec<Arc<Field>> = schema().fields().iter().cloned().collect();
    fields.insert(1, Arc::new(Field::new("price", DataType::Float64, true)));
    store.ensure(&permit(), &name("t"), Arc::new(Schema::new(fields)), &[]).await.unwrap();
    store.append(&permit(), &name("t"), append(vec![rows(0, 4, 6)], 0, 4, 6)).await.unwrap();
    let engine = DataFusionEngine::new(Arc::new(store), options()).unwrap();
    assert_eq!(number(&engine, "select count(*) from t where price is null").await, 6);
    assert_eq!(number(&engine, "select count(price) from t").await, 0);
    assert_eq!(number(&engine, "select sum(id) from t where price is null and id > 3").await, 9);
}

/// A sort of more rows than the pool holds spills and finishes.
#[tokio::test]
async fn a_large_sort_spills() {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn TableStore> = Arc::new(MemoryStore::new());
    fill(store.as_ref(), "t", &[50_000]).await;
    let small = EngineOptions { memory_bytes: 24 << 20, threads: 1, spill_folder: Some(folder.path().to_owned()) };
    let engine = DataFusionEngine::over(store, small).unwrap();
    let sql = "select id from (select a.id * 1000 + b.id as id, repeat(a.note, 8) as pad from t a cross join
        (select id from t where id < 20) b order by pad, id desc) limit 1000000";
    let result = ask(&engine, query(sql)).await.unwrap();
    assert_eq!(result.batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 1_000_000);
    let padded = "(select id, repeat(coalesce(note, 'nothing'), 900) as pad from t)";
    let hungry = format!("select count(*) from {padded} a join {padded} b on a.id = b.id where a.pad < b.pad");
    let error = ask(&engine, query(&hungry)).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Unavailable, codes::MEMORY), "{error}");
}

/// Queries run on threads of their own: the caller's single thread stays free while one runs.
#[tokio::test(flavor = "current_thread")]
async fn a_query_does_not_hold_up_its_caller() {
    let store: Arc<dyn TableStore> = Arc::new(MemoryStore::new());
    fill(store.as_ref(), "t", &[3_000]).await;
    let engine = DataFusionEngine::over(store, options()).unwrap();
    let mut turns = 0u64;
    let permit = permit();
    let asked = engine.query(&permit, query("select count(*) from t a cross join t b where a.id * b.id % 7 = 3"));
    tokio::pin!(asked);
    let result = loop {
        tokio::select! {
            biased;
            result = &mut asked => break result,
            () = tokio::task::yield_now() => turns += 1,
        }
    };
    assert!(result.is_ok());
    assert!(turns > 100, "the caller had {turns} turns");
}
