use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{Int32Type, Int64Type, SchemaRef};
use seawall_base::engine::{NewRows, TransformPlan, TransformRead};
use seawall_base::table::{TableName, TableStore, TableVersion};
use seawall_base::{Cut, Engine, Offset, Partition};

use crate::query::{DataFusionEngine, EngineOptions};
use crate::table::conformance::{append, rows, schema};
use crate::table::{DeltaStore, MemoryStore};
use crate::tests::permit;

fn options() -> EngineOptions {
    EngineOptions { memory_bytes: 1 << 27, threads: 2, spill_folder: None }
}

fn engine() -> DataFusionEngine {
    DataFusionEngine::over(Arc::new(MemoryStore::new()), options()).unwrap()
}

async fn plan(sql: &str) -> TransformPlan {
    let tables: Vec<(String, SchemaRef)> = ["t", "u"].map(|name| (name.to_owned(), schema())).into();
    engine().plan_transform(sql, &tables).await.unwrap()
}

async fn refused(sql: &str) -> &'static str {
    engine().plan_transform(sql, &[("t".to_owned(), schema())]).await.unwrap_err().code()
}

#[tokio::test]
async fn a_plan_tells_which_sql_is_row_wise() {
    for sql in [
        "select id, upper(note) as note from t",
        "select id from t where note is not null and id % 2 = 0",
        "select * from t",
        "with a as (select id + 1 as id, note from t where id > 3) select b.id from a as b where b.note like '%7'",
        "select x.n from (select id as n from t) as x where n > 4",
    ] {
        assert!(plan(sql).await.is_row_wise, "{sql}");
    }
    for sql in [
        "select count(*) as n from t",
        "select distinct note from t",
        "select t.id from t join u on t.id = u.id",
        "select id from t union all select id from t",
        "select id from t order by id limit 3",
        "select id, row_number() over (order by id) as n from t",
        "select id from t where id in (select id from u)",
        "select id, (select max(id) from t) as newest from t",
        "select unnest([id, id]) as id from t",
        "select 1 as id",
    ] {
        assert!(!plan(sql).await.is_row_wise, "{sql}");
    }
}

#[tokio::test]
async fn a_plan_tells_inputs_columns_and_copies() {
    let made = plan("select t.id as key, max(u.note) as last, count(*) as n, length(min(t.note)) as l from t join u using (id) group by t.id").await;
    assert_eq!(made.inputs, ["t", "u"]);
    let names: Vec<&str> = made.schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["key", "last", "n", "l"]);
    let edges = |of: &[seawall_base::ColumnEdge]| -> Vec<String> {
        of.iter().map(|edge| format!("{} <- {}.{}", edge.output, edge.table, edge.column)).collect()
    };
    assert_eq!(edges(&made.copies), ["key <- t.id", "last <- u.note"]);
    assert_eq!(edges(&made.lineage), ["key <- t.id", "l <- t.note", "last <- u.note"]);
    let star = plan("select * from t").await;
    assert!(star.schema.column_with_name("_lsn").is_none() && star.schema.column_with_name("id").is_some());
}

#[tokio::test]
async fn a_plan_tells_whose_rows_may_meet() {
    for (sql, are_apart) in [
        ("select id, note from t", true),
        ("select distinct id, note from t where id > 3 order by note limit 4", true),
        ("select t.id, u.note from t join u on t.note = u.note", true),
        ("select id, max(note) as note from t group by id", true),
        (
            "with a as (select id as who, note from t) select who as id, min(note) as note from a group by who, note",
            true,
        ),
        (
            "select t.id, max(t.note) as note from t join (select id as other from u) as v on t.id = other group by t.id",
            true,
        ),
        // Two columns of one name: which of them is grouped by is not looked into.
        ("select t.id, max(t.note) as note from t join u using (id) group by t.id", false),
        ("select min(id) as id, max(note) as note from t", false),
        ("select min(id) as id, max(note) as note from t group by note", false),
        ("select id % 2 as id, max(note) as note from t group by id % 2", false),
        ("select a.id, b.note from t as a join t as b on a.note = b.note", false),
        ("select id, note from t union all select id, upper(note) as note from t", false),
        ("select id, lag(note) over (order by id) as note from t", false),
        ("select u.id, (select max(note) from t) as note from u", false),
        ("select id, max(note) as note from (select min(id) as id, note from t group by note) group by id", false),
    ] {
        assert_eq!(plan(sql).await.keeps_apart("t", "id"), are_apart, "{sql}");
    }
}

#[tokio::test]
async fn sql_that_writes_or_answers_differently_each_time_is_refused() {
    assert_eq!(refused("insert into t values (1)").await, "SW0521");
    assert_eq!(refused("show tables").await, "SW0521");
    assert_eq!(refused("select id, now() as at from t").await, "SW0527");
    assert_eq!(refused("select id from nowhere").await, "SW0523");
    assert_eq!(refused("select id, id from t").await, "SW0520");
}

async fn read(engine: &DataFusionEngine, sql: &str, version: u64, new: Option<NewRows>) -> (Vec<RecordBatch>, u64) {
    let versions = vec![("t".to_owned(), TableVersion(version))];
    let read = TransformRead { sql: sql.to_owned(), versions, new };
    let mut rows = engine.transform(&permit(), &read).await.unwrap();
    let mut batches = Vec::new();
    while let Some(batch) = rows.next().await.unwrap() {
        batches.push(batch);
    }
    (batches, rows.rows_read())
}

/// The rows of the conformance suite with when they were known.
fn known_rows(partition: u32, from: u64, end: u64) -> RecordBatch {
    let rows = rows(partition, from, end);
    let known: ArrayRef =
        Arc::new(TimestampMicrosecondArray::from_iter_values(from as i64..end as i64).with_timezone("UTC"));
    let mut columns: Vec<(String, ArrayRef)> =
        rows.schema().fields().iter().map(|field| field.name().clone()).zip(rows.columns().iter().cloned()).collect();
    columns.push(("_available_at".to_owned(), known));
    RecordBatch::try_from_iter(columns).unwrap()
}

/// Rows of partition 0 in three versions, then of partition 7 in one.
async fn fill(store: &dyn TableStore) -> Cut {
    let table = TableName::new("t").unwrap();
    store.ensure(&permit(), &table, known_rows(0, 0, 1).schema(), &[]).await.unwrap();
    for (from, end) in [(0, 10), (10, 25), (25, 60)] {
        store.append(&permit(), &table, append(vec![known_rows(0, from, end)], 0, from, end)).await.unwrap();
    }
    let before = store.snapshot(&table, None).await.unwrap().cut;
    let mut until = before.clone();
    until.advance(Partition(7), Offset(5));
    let load = seawall_base::Append {
        batches: vec![known_rows(7, 0, 5)],
        staged: Vec::new(),
        from: before,
        until: until.clone(),
    };
    store.append(&permit(), &table, load).await.unwrap();
    until
}

#[tokio::test]
async fn only_rows_beyond_a_cut_are_read_in_order_and_with_their_identity() {
    let folder = tempfile::tempdir().unwrap();
    let files = Arc::new(DeltaStore::open(folder.path()).unwrap());
    let memory: Arc<dyn TableStore> = Arc::new(MemoryStore::new());
    let until = fill(files.as_ref()).await;
    fill(memory.as_ref()).await;
    let engines =
        [DataFusionEngine::new(files, options()).unwrap(), DataFusionEngine::over(memory, options()).unwrap()];
    for (engine, is_on_disk) in engines.iter().zip([true, false]) {
        for (after, expected) in [
            (Cut::empty(), 65),
            (Cut::of(Partition::LIVE, Offset(10)), 55),
            (Cut::of(Partition::LIVE, Offset(60)), 5),
            (until.clone(), 0),
        ] {
            let new = NewRows { table: "t".into(), after: after.clone(), until: until.clone() };
            let sql = "select a.id as key from t as a where a.id >= 0";
            let (batches, rows_read) = read(engine, sql, 4, Some(new)).await;
            let mut found = Vec::new();
            for batch in &batches {
                assert_eq!(batch.num_columns(), 4);
                let partitions = batch.column(1).as_primitive::<Int32Type>().values();
                found.extend(
                    partitions.iter().copied().zip(batch.column(2).as_primitive::<Int64Type>().values().to_vec()),
                );
            }
            assert_eq!(found.len(), expected, "{after}");
            assert!(found.is_sorted(), "{found:?}");
            assert!(found.iter().all(|(p, lsn)| *lsn as u64 >= after.end(Partition(*p as u32)).0));
            // A scan of memory does not tell.
            assert!(!is_on_disk || rows_read >= expected as u64, "{rows_read}");
        }
        let (all, rows_read) = read(engine, "select count(*) as n from t where id >= 0", 3, None).await;
        assert_eq!((all[0].column(0).as_primitive::<Int64Type>().value(0), rows_read > 0), (60, is_on_disk));
    }
}
