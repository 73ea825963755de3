//! How fast the gate is; run with `cargo test -p seawall-kernel -- --ignored speed --nocapture`.

use std::sync::Arc;

use arrow::array::*;
use serde_json::json;

use super::*;

/// A million rows of ten columns under a dozen rules, one row in a thousand bad.
#[test]
#[ignore = "prints a rate, decides nothing"]
#[allow(clippy::disallowed_methods, reason = "measuring is about the machine's clock")]
fn speed_of_a_million_rows() {
    const ROWS: i64 = 1_000_000;
    let gate = gate(json!([
        {"name": "id", "logicalType": "string", "primaryKey": true},
        {"name": "at", "logicalType": "timestamp", "required": true},
        {"name": "amount", "logicalType": "number", "logicalTypeOptions": {"minimum": 0, "maximum": 50000}},
        {"name": "currency", "logicalType": "string", "enum": ["EUR", "USD", "GBP"]},
        {"name": "country", "logicalType": "string", "logicalTypeOptions": {"pattern": "^[A-Z]{2}$"}},
        {"name": "email", "logicalType": "string", "logicalTypeOptions": {"format": "email"}},
        {"name": "n", "logicalType": "integer", "logicalTypeOptions": {"minimum": 0}},
        {"name": "status", "logicalType": "string", "logicalTypeOptions": {"maxLength": 10}},
        {"name": "flag", "logicalType": "boolean", "required": true},
        {"name": "score", "logicalType": "number"}]));
    let text = |f: &dyn Fn(i64) -> String| Arc::new((0..ROWS).map(|i| Some(f(i))).collect::<StringArray>()) as ArrayRef;
    let batch = RecordBatch::try_from_iter([
        ("id", text(&|i| format!("payment-{i}"))),
        ("at", Arc::new(TimestampMicrosecondArray::from_iter_values(0..ROWS).with_timezone("UTC")) as ArrayRef),
        (
            "amount",
            Arc::new(Float64Array::from_iter_values(
                (0..ROWS).map(|i| if i % 1000 == 0 { -1.0 } else { i as f64 / 40.0 }),
            )),
        ),
        ("currency", text(&|i| ["EUR", "USD", "GBP"][i as usize % 3].to_owned())),
        ("country", text(&|i| ["DE", "US", "FR"][i as usize % 3].to_owned())),
        ("email", text(&|i| format!("user{i}@mail.example"))),
        ("n", Arc::new(Int64Array::from_iter_values(0..ROWS))),
        ("status", text(&|_| "settled".to_owned())),
        ("flag", Arc::new(BooleanArray::from_iter((0..ROWS).map(|i| Some(i % 2 == 0))))),
        ("score", Arc::new(Float64Array::from_iter_values((0..ROWS).map(|i| i as f64)))),
    ])
    .unwrap();
    for _ in 0..3 {
        let start = std::time::Instant::now();
        let verdict = gate.check(&batch, Input::Typed, NOW);
        let seconds = start.elapsed().as_secs_f64();
        assert_eq!(verdict.quarantined.len(), 1_000);
        println!("{:.3} s, {:.1} M rows/s", seconds, ROWS as f64 / seconds / 1e6);
    }
    let start = std::time::Instant::now();
    assert_eq!(super::super::content_hashes(&batch).len(), ROWS as usize);
    println!("content hashes: {:.3} s", start.elapsed().as_secs_f64());
    let lines: String = (0..100_000).map(|i| super::super::raw_json(&batch, i) + "\n").collect();
    let start = std::time::Instant::now();
    assert_eq!(decode_ndjson(&gate, lines.as_bytes(), Limits::default()).rows.len(), 100_000);
    println!("ndjson: {:.1} MB/s", lines.len() as f64 / start.elapsed().as_secs_f64() / 1e6);
}
