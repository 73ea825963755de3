use std::collections::BTreeMap;

use arrow::array::{ArrayRef, BooleanArray, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use seawall_base::engine::{Engine, Query};
use seawall_base::error::ErrorKind;
use seawall_base::grant::{Comparison, Grants, Literal, Mask, Predicate, TableGrant};
use seawall_base::table::{Append, TableName, TableStore, TableVersion};
use seawall_base::{Cut, Offset, Partition, Permit, column};

use super::*;
use crate::codes;
use crate::query::{DataFusionEngine, EngineOptions};
use crate::table::{DeltaStore, MemoryStore};
use crate::tests::permit;
use crate::types::instant_type;

mod attack;
mod difference;
mod views;

const DAY: i64 = 86_400_000_000;
/// 2024-03-01.
const MARCH: i64 = 19_783 * DAY;

/// One payment: card, country, amount, secret, day of March.
type Payment = (Option<&'static str>, Option<&'static str>, Option<i64>, &'static str, i64);

/// Payments of which the analyst sees those of Germany: 0, 2, 4 and 6.
const PAYMENTS: [Payment; 7] = [
    (Some("4000111122220000"), Some("DE"), Some(10), "s0", 5),
    (Some("4000111122221111"), Some("FR"), Some(100), "s1", 6),
    (Some("4000333344442222"), Some("DE"), Some(20), "s2", 7),
    (Some("4000111122223333"), None, Some(100), "s3", 8),
    (Some("1234"), Some("DE"), Some(30), "s4", 9),
    (Some("seven"), Some("FR"), Some(-7), "s5", 10),
    (None, Some("DE"), None, "s6", 11),
];

/// The same for the analyst: what is hidden or masked away differs.
const OTHERS: [Payment; 9] = [
    (Some("5999888877770000"), Some("DE"), Some(10), "t0", 25),
    (Some("9"), Some("AT"), Some(0), "t1", 1),
    (Some("6011222233332222"), Some("DE"), Some(20), "t2", 17),
    (None, Some("D"), Some(i64::MAX), "t3", 2),
    (Some("9876"), Some("DE"), Some(30), "t4", 3),
    (Some("4000111122220000"), Some("de"), Some(i64::MIN), "t5", 4),
    (None, Some("DE"), None, "t6", 30),
    (Some("x"), None, None, "t7", 12),
    (Some("8"), Some("US"), Some(8), "t8", 13),
];

fn name(text: &str) -> TableName {
    TableName::new(text).unwrap()
}

fn fields() -> Vec<Field> {
    vec![
        Field::new("payment_id", DataType::Utf8, false),
        Field::new("card_id", DataType::Utf8, true),
        Field::new("country", DataType::Utf8, true),
        Field::new("amount", DataType::Int64, true),
        Field::new("vip", DataType::Boolean, true),
        Field::new("secret", DataType::Utf8, true),
        Field::new("paid_at", instant_type(), false),
    ]
}

fn system_fields() -> Vec<Field> {
    vec![Field::new(column::PARTITION, DataType::Int32, false), Field::new(column::LSN, DataType::Int64, false)]
}

fn with_system(batch_fields: Vec<Field>, mut columns: Vec<ArrayRef>) -> RecordBatch {
    let rows = columns[0].len();
    columns.push(Arc::new(Int32Array::from(vec![0; rows])));
    columns.push(Arc::new(Int64Array::from((0..rows as i64).collect::<Vec<_>>())));
    let fields: Vec<Field> = batch_fields.into_iter().chain(system_fields()).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn payment_rows(payments: &[Payment]) -> RecordBatch {
    let times: Vec<i64> = payments.iter().map(|p| MARCH + (p.4 - 1) * DAY + 3_600_000_000).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new((0..payments.len()).map(|at| Some(format!("p{at}"))).collect::<StringArray>()),
        Arc::new(payments.iter().map(|p| p.0).collect::<StringArray>()),
        Arc::new(payments.iter().map(|p| p.1).collect::<StringArray>()),
        Arc::new(payments.iter().map(|p| p.2).collect::<Int64Array>()),
        Arc::new((0..payments.len()).map(|at| Some(at % 4 == 0)).collect::<BooleanArray>()),
        Arc::new(payments.iter().map(|p| Some(p.3)).collect::<StringArray>()),
        Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC")),
    ];
    with_system(fields(), columns)
}

/// Stopped rows: one visible, one of another country, one that is no JSON, one without a country, one with a surprise.
fn quarantine_rows() -> RecordBatch {
    let raw = [
        r#"{"payment_id":"q0","card_id":"4000999988887777","country":"DE","amount":"many","secret":"hush","paid_at":"2024-03-20T10:00:00Z"}"#,
        r#"{"payment_id":"q1","card_id":"4000999988886666","country":"FR","amount":1}"#,
        r#"card 4000999988885555 country DE"#,
        r#"{"payment_id":"q3","card_id":"4000999988884444","amount":1}"#,
        r#"{"payment_id":"q4","karte":"4000999988883333","country":"DE","amount":{"card_id":"4000999988882222"},"paid_at":"4000"}"#,
    ];
    let reasons = [
        r#"[{"rule":"type","column":"amount","message":"amount is \"many\", which is not a number","mode":"quarantine"},
            {"rule":"pattern","column":"card_id","message":"card_id is \"4000999988887777\"","mode":"quarantine"},
            {"rule":"no_hush","column":"secret","message":"secret is hush","mode":"warn"},
            {"rule":"key_conflict","message":"p1 is 4000111122221111 elsewhere","mode":"quarantine"}]"#,
        "[]",
        r#"[{"rule":"json","message":"4000999988885555","mode":"quarantine"}]"#,
        "[]",
        r#"[{"rule":"type","column":"amount","message":"amount is {\"card_id\":\"4000999988882222\"}","mode":"quarantine"}]"#,
    ];
    let text = |values: &[&str]| Arc::new(values.iter().map(|v| Some(*v)).collect::<StringArray>()) as ArrayRef;
    let fields = vec![Field::new("_raw", DataType::Utf8, false), Field::new("_reasons", DataType::Utf8, false)];
    with_system(fields, vec![text(&raw), text(&reasons)])
}

async fn load(store: &dyn TableStore, table: &str, batch: RecordBatch) {
    store.ensure(&permit(), &name(table), batch.schema(), &[]).await.unwrap();
    let until = Cut::of(Partition(0), Offset(batch.num_rows() as u64));
    let append = Append { batches: vec![batch], staged: vec![], from: Cut::empty(), until };
    store.append(&permit(), &name(table), append).await.unwrap();
}

async fn fill(store: &dyn TableStore, payments: &[Payment]) {
    load(store, "payments", payment_rows(payments)).await;
    load(store, "payments__quarantine", quarantine_rows()).await;
    load(store, "fraud__served", payment_rows(payments)).await;
    load(store, "salaries", payment_rows(payments)).await;
    load(store, "notes", payment_rows(&PAYMENTS[..1])).await;
}

fn of_germany() -> Predicate {
    Predicate::Compare { column: "country".into(), operator: Comparison::Equal, literal: Literal::Text("DE".into()) }
}

fn grant() -> TableGrant {
    let masks = [("card_id", Mask::ShowLast4), ("paid_at", Mask::TruncateToMonth)];
    TableGrant {
        rows: Some(of_germany()),
        masks: masks.into_iter().map(|(column, mask)| (column.to_owned(), mask)).collect(),
        hidden: vec!["secret".into()],
    }
}

/// Sees payments of Germany, stopped ones and served vectors alike, all notes, and no salaries.
fn analyst() -> Permit {
    restricted(&[
        ("payments", grant()),
        ("payments__quarantine", grant()),
        ("fraud__served", grant()),
        ("notes", TableGrant::default()),
    ])
}

fn restricted(grants: &[(&str, TableGrant)]) -> Permit {
    let tables: BTreeMap<String, TableGrant> =
        grants.iter().map(|(table, grant)| ((*table).to_owned(), grant.clone())).collect();
    permit().restricted_by_policy(Grants::Tables(tables))
}

/// An engine over files, with its folder.
struct Lake {
    engine: DataFusionEngine,
    store: Arc<DeltaStore>,
    _folder: tempfile::TempDir,
}

async fn lake() -> Lake {
    lake_of(&PAYMENTS, 2).await
}

async fn lake_of(payments: &[Payment], threads: usize) -> Lake {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(DeltaStore::open(folder.path()).unwrap());
    fill(store.as_ref(), payments).await;
    let options = EngineOptions { memory_bytes: 1 << 27, threads, spill_folder: None };
    Lake { engine: DataFusionEngine::new(Arc::clone(&store), options).unwrap(), store, _folder: folder }
}

fn sql(text: &str) -> Query {
    Query { sql: text.to_owned(), ..Query::default() }
}

type Rows = Vec<Vec<String>>;

async fn ask_as(engine: &DataFusionEngine, permit: &Permit, query: Query) -> seawall_base::Result<Rows> {
    let result = engine.query(permit, query).await?;
    let options = FormatOptions::default().with_null("null");
    let mut rows = Rows::new();
    for batch in &result.batches {
        let columns: Vec<ArrayFormatter<'_>> =
            batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options).unwrap()).collect();
        rows.extend((0..batch.num_rows()).map(|row| columns.iter().map(|c| c.value(row).to_string()).collect()));
    }
    Ok(rows)
}

impl Lake {
    async fn ask(&self, text: &str) -> seawall_base::Result<Rows> {
        ask_as(&self.engine, &analyst(), sql(text)).await
    }

    async fn rows(&self, text: &str) -> Rows {
        self.ask(text).await.unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    /// The single value of an answer.
    async fn value(&self, text: &str) -> String {
        let rows = self.rows(text).await;
        assert_eq!((rows.len(), rows[0].len()), (1, 1), "{text}: {rows:?}");
        rows[0][0].clone()
    }

    async fn refused(&self, text: &str) -> seawall_base::Error {
        match self.ask(text).await {
            Ok(rows) => panic!("{text} answered {rows:?}"),
            Err(error) => error,
        }
    }
}
