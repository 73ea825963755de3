use arrow::array::{AsArray, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type};
use seawall_base::error::ErrorKind;
use seawall_base::hash::Hash;

use super::*;

struct Maps {
    sessions: SessionFactory,
    runtime: QueryRuntime,
}

impl Maps {
    fn new() -> Self {
        let sessions = SessionFactory::new(1 << 26, None, None).unwrap();
        Maps { sessions, runtime: QueryRuntime::start(1).unwrap() }
    }

    async fn compile(&self, sql: &str) -> Result<SqlMap> {
        SqlMap::compile(&self.sessions, &self.runtime, sql, input(&[]).schema(), &[airports()]).await
    }

    async fn fails(&self, sql: &str) -> Error {
        match self.compile(sql).await {
            Ok(_) => panic!("{sql} compiles"),
            Err(e) => e,
        }
    }
}

fn input(rows: &[(i64, Option<&str>)]) -> RecordBatch {
    let schema = Schema::new(vec![Field::new("id", DataType::Int64, false), Field::new("code", DataType::Utf8, true)]);
    let ids = Int64Array::from(rows.iter().map(|row| row.0).collect::<Vec<_>>());
    let codes = StringArray::from(rows.iter().map(|row| row.1).collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(ids), Arc::new(codes)]).unwrap()
}

fn airports() -> Reference {
    let rows = RecordBatch::try_from_iter([
        ("code", Arc::new(StringArray::from(vec!["SEA", "PDX"])) as _),
        ("city", Arc::new(StringArray::from(vec!["Seattle", "Portland"])) as _),
    ]);
    Reference { name: "airports".into(), rows: rows.unwrap(), hash: Hash::of(b"airports") }
}

fn numbers(batch: &RecordBatch, column: usize) -> Vec<i64> {
    batch.column(column).as_primitive::<Int64Type>().values().to_vec()
}

#[tokio::test]
async fn a_map_runs_on_every_batch_and_keeps_the_order_of_rows() {
    let maps = Maps::new();
    let map = maps.compile("select id * 10 as x, upper(code) as code from input where id <> 3").await.unwrap();
    let types: Vec<&DataType> = map.output.fields().iter().map(|field| field.data_type()).collect();
    assert_eq!(types, [&DataType::Int64, &DataType::Utf8]);
    let shuffled: Vec<(i64, Option<&str>)> = (0..20_000).map(|i| ((i * 7_919) % 20_000, Some("sea"))).collect();
    let result = map.apply(&input(&shuffled)).await.unwrap();
    let expected: Vec<i64> = shuffled.iter().map(|row| row.0).filter(|id| *id != 3).map(|id| id * 10).collect();
    assert_eq!(numbers(&result, 0), expected);
    assert_eq!(result.column(1).as_string::<i32>().value(0), "SEA");
    assert_eq!(result.schema(), map.schema());
    let empty = map.apply(&input(&[])).await.unwrap();
    assert_eq!((empty.num_rows(), empty.schema()), (0, map.schema()));
    assert!(!map.is_row_wise(), "a filter drops rows");
}

#[tokio::test]
async fn a_map_joins_references_and_subqueries_read_the_batch() {
    let maps = Maps::new();
    let sql =
        "select id, city, (select count(*) from input) as n from input left join airports using (code) order by id";
    let map = maps.compile(sql).await.unwrap();
    for ids in [vec![1, 2, 3], vec![7, 8]] {
        let rows: Vec<(i64, Option<&str>)> =
            ids.iter().map(|id| (*id, Some(if id % 2 == 0 { "PDX" } else { "??" }))).collect();
        let result = map.apply(&input(&rows)).await.unwrap();
        assert_eq!(numbers(&result, 0), ids);
        assert_eq!(numbers(&result, 2), vec![ids.len() as i64; ids.len()], "the subquery sees this batch");
        let cities: Vec<Option<&str>> = result.column(1).as_string::<i32>().iter().collect();
        let expected: Vec<Option<&str>> = ids.iter().map(|id| (id % 2 == 0).then_some("Portland")).collect();
        assert_eq!(cities, expected);
    }
    let edges: Vec<String> = map.lineage().iter().map(|e| format!("{}<-{}.{}", e.output, e.table, e.column)).collect();
    assert_eq!(edges, ["city<-airports.city", "id<-input.id"]);
}

#[tokio::test]
async fn result_types_are_normal() {
    let maps = Maps::new();
    let sql = "select row_number() over (order by id) as n, arrow_cast(id, 'LargeUtf8') as t, null as nothing,
        arrow_cast(id, 'Timestamp(Nanosecond, None)') as local, arrow_cast(id, 'Timestamp(Second, Some(\"UTC\"))') as instant from input";
    let map = maps.compile(sql).await.unwrap();
    let result = map.apply(&input(&[(5, None)])).await.unwrap();
    let types: Vec<DataType> = result.schema().fields().iter().map(|field| field.data_type().clone()).collect();
    let local = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None);
    assert_eq!(types, [DataType::Int64, DataType::Utf8, DataType::Utf8, local, types::instant_type()]);
    assert_eq!(result.schema(), map.schema());
}

#[tokio::test]
async fn mistakes_are_told_with_what_to_do() {
    let maps = Maps::new();
    let unknown = maps.fails("select idd from input").await;
    assert_eq!((unknown.kind(), unknown.code()), (ErrorKind::Invalid, codes::SQL_COLUMN_UNKNOWN));
    assert!(unknown.message().contains("idd") && unknown.remedy().unwrap().contains("id, code"), "{unknown:?}");
    let table = maps.fails("select 1 from nowhere").await;
    assert_eq!((table.kind(), table.code()), (ErrorKind::NotFound, codes::SQL_TABLE_UNKNOWN));
    assert_eq!(maps.fails("selec id from input").await.code(), codes::SQL_INVALID);
    assert_eq!(maps.fails("").await.code(), codes::SQL_INVALID);
    let twice = maps.fails("select i.code, a.code from input i join airports a on i.code = a.code").await;
    assert!(twice.message().contains("two columns named \"code\""), "{twice}");
    for clock in ["now()", "current_date", "random()", "uuid()"] {
        let error = maps.fails(&format!("select id, {clock} as x from input")).await;
        assert_eq!(error.code(), codes::SQL_NOT_REPEATABLE, "{clock}");
    }
    let zone = maps.compile("select local_to_instant(code, 'Mars/Olympus') as x from input").await.unwrap();
    let error = zone.apply(&input(&[(1, Some("2014-01-01T00:00:00"))])).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, codes::ZONE_UNKNOWN), "{error}");
    let cast = maps.compile("select cast(code as int) as x from input").await.unwrap();
    let error = cast.apply(&input(&[(1, Some("many"))])).await.unwrap_err();
    assert_eq!(error.code(), codes::SQL_FAILED);
    assert!(error.to_string().contains("many"), "{error}");
}

#[tokio::test]
async fn nothing_but_one_select_is_accepted() {
    let maps = Maps::new();
    let statements = [
        "select 1; select 2",
        "create table x as select 1",
        "drop table input",
        "insert into input values (1, 'a')",
        "delete from input",
        "copy input to '/tmp/seawall-copy.csv'",
        "create external table f stored as csv location '/etc/passwd'",
        "set datafusion.execution.batch_size = 1",
    ];
    for sql in statements {
        assert_eq!(maps.fails(sql).await.code(), codes::SQL_NOT_READ_ONLY, "{sql}");
    }
    assert_eq!(maps.fails("select * from '/etc/passwd'").await.code(), codes::SQL_TABLE_UNKNOWN);
}

#[tokio::test]
async fn a_batch_of_another_shape_is_refused() {
    let maps = Maps::new();
    let map = maps.compile("select id from input").await.unwrap();
    let other = RecordBatch::try_from_iter([("id", Arc::new(StringArray::from(vec!["1"])) as _)]).unwrap();
    assert_eq!(map.apply(&other).await.unwrap_err().code(), codes::MAP_INPUT);
}

/// Expressions are evaluated without a plan, and give what the plan gives: values, types and failures.
#[tokio::test]
async fn expressions_give_what_their_plan_gives() {
    let maps = Maps::new();
    let batch = input(&[(1, Some("7")), (2, None), (0, Some("x")), (-5, Some("")), (9, Some("SEA"))]);
    let selects = [
        "select id + 1 as a, id * id as b, id * id + (id + 1) as c from input",
        "select case when id = 0 then null else 10 / id end as a from input",
        "select coalesce(code, '-') || cast(id as varchar) as a, code is null as b from input",
        "select try_cast(code as bigint) as a, cast(id as double) / 3 as b, true as c from input",
        "select date_part('year', to_timestamp_micros(id)) as a, id in (1, 9) as b from input",
        "select x + 1 as a from (select id + 1 as x, code from input) as inner_rows",
        "select code like 'S%' as a, length(code) as b, substr(code, 1, 1) as c from input",
        "select 10 / id as a from input",
        "select cast(code as bigint) as a from input",
    ];
    for sql in selects {
        let map = maps.compile(sql).await.unwrap();
        let direct = map.expressions.as_ref().unwrap_or_else(|| panic!("{sql} needs a plan"));
        for rows in [batch.clone(), batch.slice(1, 1), batch.slice(2, 1), batch.slice(0, 0)] {
            let planned = run(&map.state, &map.plan, rows.clone(), &map.output).await;
            let evaluated = direct.evaluate(rows).and_then(|rows| normal_rows(&rows, &map.output));
            match (planned, evaluated) {
                (Ok(planned), Ok(evaluated)) => assert_eq!(planned, evaluated, "{sql}"),
                (Err(planned), Err(evaluated)) => {
                    assert_eq!((planned.kind(), planned.code()), (evaluated.kind(), evaluated.code()), "{sql}");
                }
                (planned, evaluated) => panic!("{sql}: {planned:?} and {evaluated:?}"),
            }
        }
    }
    for sql in [
        "select id from input where id > 1",
        "select max(id) as a from input",
        "select city from input join airports using (code)",
    ] {
        assert!(maps.compile(sql).await.unwrap().expressions.is_none(), "{sql} is more than expressions");
    }
}
