//! Rows of a dataset of payments, with everything in their values that is easily got wrong.

use std::sync::Arc;

use anyhow::Result;
use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int32Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::record_batch::RecordBatch;
use seawall_base::{Dataset, Instant, Span};

use super::dice::Dice;

/// Cards that pay; the last does so seldom.
pub(super) const CARDS: [&str; 6] = ["a", "b", "c", "1", "12", "a card with a name that is longer than most"];

/// One payment.
#[derive(Debug, Clone)]
pub(super) struct Payment {
    pub id: Option<String>,
    pub card: Option<&'static str>,
    pub shop: Option<i64>,
    pub paid_at: Option<Instant>,
    pub x: Option<f64>,
    pub n: Option<i64>,
    pub d: Option<i128>,
    pub s: Option<&'static str>,
    pub b: Option<bool>,
    pub arrival: Instant,
    pub available_at: Instant,
    pub partition: u32,
    pub lsn: u64,
}

impl Payment {
    /// A payment that happened at `paid_at`, not numbered yet.
    pub fn random(dice: &mut Dice, number: u64, paid_at: Option<Instant>, available_at: Instant) -> Payment {
        // Some keys are those of other rows, and some rows have none.
        let id = if dice.percent(3) { dice.below(number + 1) } else { number };
        Payment {
            id: (!dice.percent(2)).then(|| format!("r{id}")),
            card: (!dice.percent(3)).then(|| *dice.pick(&CARDS)),
            shop: (!dice.percent(3)).then(|| *dice.pick(&[1, 3, 23])),
            paid_at,
            x: (!dice.percent(10)).then(|| float(dice)),
            n: (!dice.percent(10)).then(|| integer(dice)),
            d: (!dice.percent(10)).then(|| i128::from(dice.between(-1_000_000_000_000, 1_000_000_000_000))),
            s: (!dice.percent(10)).then(|| *dice.pick(&["", "x", "y", "zz", "ß"])),
            b: (!dice.percent(10)).then(|| dice.percent(50)),
            arrival: available_at,
            available_at,
            partition: 0,
            lsn: 0,
        }
    }
}

fn integer(dice: &mut Dice) -> i64 {
    if dice.percent(50) { dice.between(-5, 5) } else { dice.between(-(1 << 50), 1 << 50) }
}

fn float(dice: &mut Dice) -> f64 {
    match dice.below(10) {
        0..=4 => dice.between(-1_000, 1_000) as f64 / 10.0,
        5 | 6 => *dice.pick(&[0.1, 0.2, 0.3, -0.0, 0.0, 1e308, -1e308, 5e-324, f64::MAX, f64::MIN]),
        7 | 8 => f64::from_bits(dice.bits()),
        _ => *dice.pick(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY]),
    }
}

/// When something happened: near `now`, on a boundary, long ago, or in the future.
pub(super) fn happened(dice: &mut Dice, now: Instant) -> Instant {
    let about = match dice.below(10) {
        0..=5 => now - Span(dice.stretch().0 / 8),
        6 | 7 => now - dice.stretch(),
        8 => now - Span(dice.between(0, 20) * Span::DAY.0),
        _ => now + dice.stretch(),
    };
    match dice.below(4) {
        0 => about.floor(*dice.pick(&[Span::MINUTE, Span::HOUR, Span::DAY])) + Span(dice.between(-1, 2)),
        _ => about,
    }
}

/// The dataset.
pub(super) fn dataset() -> Dataset {
    let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let fields = vec![
        Field::new("id", DataType::Utf8, true),
        Field::new("card", DataType::Utf8, true),
        Field::new("shop", DataType::Int64, true),
        Field::new("paid_at", instant, true),
        Field::new("x", DataType::Float64, true),
        Field::new("n", DataType::Int64, true),
        Field::new("d", DataType::Decimal128(20, 2), true),
        Field::new("s", DataType::Utf8, true),
        Field::new("b", DataType::Boolean, true),
    ];
    Dataset {
        name: "payments".to_owned(),
        schema: Arc::new(Schema::new(fields)),
        primary_key: vec!["id".to_owned()],
        event_time: Some("paid_at".to_owned()),
        personal: Vec::new(),
        subject: None,
        changelog: None,
    }
}

/// Rows in the table's schema.
pub(super) fn batch(rows: &[Payment]) -> Result<RecordBatch> {
    let decimals: Decimal128Array = rows.iter().map(|row| row.d).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| row.id.as_deref()).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| row.card).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| row.shop).collect::<Int64Array>()),
        instants(rows.iter().map(|row| row.paid_at)),
        Arc::new(rows.iter().map(|row| row.x).collect::<Float64Array>()),
        Arc::new(rows.iter().map(|row| row.n).collect::<Int64Array>()),
        Arc::new(decimals.with_precision_and_scale(20, 2)?),
        Arc::new(rows.iter().map(|row| row.s).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| row.b).collect::<BooleanArray>()),
        Arc::new(rows.iter().map(|row| Some(row.partition as i32)).collect::<Int32Array>()),
        Arc::new(rows.iter().map(|row| Some(row.lsn as i64)).collect::<Int64Array>()),
        instants(rows.iter().map(|row| Some(row.arrival))),
        instants(rows.iter().map(|row| Some(row.available_at))),
    ];
    Ok(RecordBatch::try_new(dataset().table_schema(), columns)?)
}

fn instants(values: impl Iterator<Item = Option<Instant>>) -> ArrayRef {
    let micros: TimestampMicrosecondArray = values.map(|instant| instant.map(|instant| instant.0)).collect();
    Arc::new(micros.with_timezone("UTC"))
}
