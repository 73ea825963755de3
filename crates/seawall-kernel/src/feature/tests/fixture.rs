//! A dataset of payments, plain rows of it, and batches made of them.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int32Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::record_batch::RecordBatch;
use seawall_base::declare::{Aggregation, Feature, FeatureView, WindowEdge};
use seawall_base::{Dataset, Instant};

use crate::feature::{EntityKey, ViewPlan, entity_keys, key_hashes};

/// One row, in the test's own words.
#[derive(Debug, Clone)]
pub struct Payment {
    pub id: Option<String>,
    pub card: Option<String>,
    pub shop: Option<i64>,
    pub at: Option<i64>,
    pub x: Option<f64>,
    pub n: Option<i64>,
    pub d: Option<i128>,
    pub s: Option<String>,
    pub b: Option<bool>,
    pub available: i64,
    pub partition: i32,
    pub lsn: i64,
}

impl Payment {
    /// A payment of card `c`, shop 1, known at once, with nothing but a time.
    pub fn at(lsn: i64, at: &str) -> Payment {
        let at = at.parse::<Instant>().unwrap().0;
        Payment {
            id: Some(format!("r{lsn}")),
            card: Some("c".into()),
            shop: Some(1),
            at: Some(at),
            x: None,
            n: None,
            d: None,
            s: None,
            b: None,
            available: at,
            partition: 0,
            lsn,
        }
    }

    pub fn x(mut self, x: f64) -> Payment {
        self.x = Some(x);
        self
    }

    pub fn n(mut self, n: i64) -> Payment {
        self.n = Some(n);
        self
    }

    pub fn available(mut self, at: &str) -> Payment {
        self.available = at.parse::<Instant>().unwrap().0;
        self
    }
}

pub fn instant_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

pub fn dataset() -> Dataset {
    let fields = vec![
        Field::new("id", DataType::Utf8, true),
        Field::new("card", DataType::Utf8, true),
        Field::new("shop", DataType::Int64, true),
        Field::new("paid_at", instant_type(), true),
        Field::new("x", DataType::Float64, true),
        Field::new("n", DataType::Int64, true),
        Field::new("d", DataType::Decimal128(20, 2), true),
        Field::new("s", DataType::Utf8, true),
        Field::new("b", DataType::Boolean, true),
    ];
    Dataset {
        name: "payments".into(),
        schema: Arc::new(Schema::new(fields)),
        primary_key: vec!["id".into()],
        event_time: Some("paid_at".into()),
        personal: Vec::new(),
        subject: None,
        changelog: None,
    }
}

pub fn feature(name: &str, aggregation: Aggregation, window: Option<&str>, edge: WindowEdge) -> Feature {
    Feature { name: name.into(), aggregation, window: window.map(|w| w.parse().unwrap()), edge, filter: None }
}

pub fn view(features: Vec<Feature>) -> FeatureView {
    FeatureView {
        name: "card".into(),
        version: 1,
        entity: vec!["card".into(), "shop".into()],
        from: "payments".into(),
        time: "paid_at".into(),
        features,
        computed: Vec::new(),
    }
}

pub fn plan(features: Vec<Feature>) -> Arc<ViewPlan> {
    Arc::new(ViewPlan::compile(&view(features), &dataset()).unwrap())
}

fn instants(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}

pub fn batch(rows: &[Payment]) -> RecordBatch {
    let decimals: Decimal128Array = rows.iter().map(|r| r.d).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|r| r.id.clone()).collect::<StringArray>()),
        Arc::new(rows.iter().map(|r| r.card.clone()).collect::<StringArray>()),
        Arc::new(rows.iter().map(|r| r.shop).collect::<Int64Array>()),
        instants(rows.iter().map(|r| r.at)),
        Arc::new(rows.iter().map(|r| r.x).collect::<Float64Array>()),
        Arc::new(rows.iter().map(|r| r.n).collect::<Int64Array>()),
        Arc::new(decimals.with_precision_and_scale(20, 2).unwrap()),
        Arc::new(rows.iter().map(|r| r.s.clone()).collect::<StringArray>()),
        Arc::new(rows.iter().map(|r| r.b).collect::<BooleanArray>()),
        Arc::new(rows.iter().map(|r| Some(r.partition)).collect::<Int32Array>()),
        Arc::new(rows.iter().map(|r| Some(r.lsn)).collect::<Int64Array>()),
        instants(rows.iter().map(|r| Some(r.available))),
        instants(rows.iter().map(|r| Some(r.available))),
    ];
    RecordBatch::try_new(dataset().table_schema(), columns).unwrap()
}

pub fn key(plan: &ViewPlan, card: Option<&str>, shop: Option<i64>) -> Option<EntityKey> {
    let columns: Vec<(&str, ArrayRef)> =
        vec![("a", Arc::new(StringArray::from(vec![card]))), ("b", Arc::new(Int64Array::from(vec![shop])))];
    entity_keys(
        plan,
        &RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true))).unwrap(),
    )
    .unwrap()
    .remove(0)
}

pub fn own(id: Option<&str>) -> Option<u128> {
    let column: ArrayRef = Arc::new(StringArray::from(vec![id]));
    let rows = RecordBatch::try_from_iter_with_nullable([("request", column, true)]).unwrap();
    key_hashes(&rows, &["request".into()]).unwrap()[0]
}

/// A value in comparable form; floats by their bits.
#[derive(Debug, Clone, PartialEq)]
pub enum Plain {
    Null,
    Int(i128),
    Bits(u64),
    Text(String),
}

pub fn plain(array: &ArrayRef, row: usize) -> Plain {
    if array.is_null(row) {
        return Plain::Null;
    }
    let any = array.as_any();
    if let Some(a) = any.downcast_ref::<Int64Array>() {
        Plain::Int(i128::from(a.value(row)))
    } else if let Some(a) = any.downcast_ref::<Float64Array>() {
        Plain::Bits(a.value(row).to_bits())
    } else if let Some(a) = any.downcast_ref::<Decimal128Array>() {
        Plain::Int(a.value(row))
    } else if let Some(a) = any.downcast_ref::<BooleanArray>() {
        Plain::Int(i128::from(a.value(row)))
    } else if let Some(a) = any.downcast_ref::<StringArray>() {
        Plain::Text(a.value(row).into())
    } else {
        panic!("unexpected type {}", array.data_type())
    }
}

pub fn plain_row(rows: &RecordBatch, row: usize) -> Vec<Plain> {
    rows.columns().iter().map(|column| plain(column, row)).collect()
}
