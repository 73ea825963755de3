//! What the gate does to small batches, rule by rule, and the tools that the other test files share.

mod api;
mod checks;
mod compile_problems;
mod evolve;
mod exchange;
mod faults;
mod fuzz_corpus;
mod generate;
mod generated;
mod input;
mod modes;
mod oracle;
mod service;
mod speed;
mod table;
mod tally;
mod torture;
mod types;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{Field, Schema};
use seawall_base::Instant;
use serde_json::{Value, json};

use super::{Contract, Gate, Input, Limits, Verdict, compile, decode_ndjson};

const NOW: Instant = Instant(1_700_000_000_000_000);

/// A contract with one object `t` of the given properties.
fn contract(properties: Value) -> Contract {
    contract_with(properties, json!({}))
}

/// The same with further keys of the object.
fn contract_with(properties: Value, object: Value) -> Contract {
    let mut schema = json!({"name": "t", "properties": properties});
    for (key, value) in object.as_object().unwrap() {
        schema[key] = value.clone();
    }
    serde_json::from_value(
        json!({"apiVersion": "v3.2.0", "kind": "DataContract", "id": "c", "version": "1.0.0", "schema": [schema]}),
    )
    .unwrap()
}

fn gate(properties: Value) -> Gate {
    compile(&contract(properties), None).unwrap()
}

fn gate_with(properties: Value, object: Value) -> Gate {
    compile(&contract_with(properties, object), None).unwrap()
}

/// Rows of text, one column per name.
fn text_batch(names: &[&str], rows: &[&[Option<&str>]]) -> RecordBatch {
    let fields: Vec<Field> = names.iter().map(|n| Field::new(*n, arrow::datatypes::DataType::Utf8, true)).collect();
    let columns: Vec<ArrayRef> = (0..names.len())
        .map(|c| Arc::new(rows.iter().map(|row| row[c]).collect::<StringArray>()) as ArrayRef)
        .collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn column_batch(name: &str, array: ArrayRef) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable([(name, array, true)]).unwrap()
}

/// Decodes one line per value; every line must decode.
fn json_batch(gate: &Gate, rows: &[Value]) -> RecordBatch {
    let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
    let decoded = decode_ndjson(gate, lines.as_bytes(), Limits::default());
    assert_eq!(decoded.failures, vec![], "the rows decode");
    decoded.batch
}

/// A verdict as text, one line per row or finding.
fn show(verdict: &Verdict) -> String {
    let mut out = String::new();
    if let Some(halt) = &verdict.halt {
        out += &format!("halt: {}: {}\n", halt.rule, halt.message);
    }
    for reason in verdict.rejected.iter().flatten() {
        out += &format!("reject: {}: {}\n", reason.rule, reason.message);
    }
    if verdict.halt.is_none() && verdict.rejected.is_none() {
        out += &format!("accepted {:?}\n", verdict.accepted_rows);
    }
    for row in &verdict.quarantined {
        for reason in &row.reasons {
            let warns = if reason.mode == super::Mode::Warn { " (warn)" } else { "" };
            out += &format!("{}: {}{warns}: {}\n", row.row, reason.rule, reason.message);
        }
    }
    for warning in &verdict.warnings {
        out += &format!("warn: {} x{}: {}\n", warning.rule, warning.rows, warning.message);
    }
    out
}

/// Checks text cells of the one column `v` and compares the verdict.
#[track_caller]
fn check_text(mut property: Value, cells: &[Option<&str>], expected: &str) {
    property["name"] = json!("v");
    let gate = gate(json!([property]));
    let rows: Vec<Vec<Option<&str>>> = cells.iter().map(|cell| vec![*cell]).collect();
    let rows: Vec<&[Option<&str>]> = rows.iter().map(Vec::as_slice).collect();
    let verdict = gate.check(&text_batch(&["v"], &rows), Input::Text, NOW);
    account(&verdict, cells.len());
    assert_eq!(show(&verdict).trim(), unindent(expected));
}

/// Checks JSON values of the one column `v`.
#[track_caller]
fn check_json(mut property: Value, cells: &[Value], expected: &str) {
    property["name"] = json!("v");
    let gate = gate(json!([property]));
    let rows: Vec<Value> = cells.iter().map(|cell| json!({"v": cell})).collect();
    let verdict = gate.check(&json_batch(&gate, &rows), Input::Typed, NOW);
    account(&verdict, cells.len());
    assert_eq!(show(&verdict).trim(), unindent(expected));
}

/// Checks one typed column `v`.
#[track_caller]
fn check_typed(mut property: Value, array: ArrayRef, expected: &str) {
    property["name"] = json!("v");
    let rows = array.len();
    let verdict = gate(json!([property])).check(&column_batch("v", array), Input::Typed, NOW);
    account(&verdict, rows);
    assert_eq!(show(&verdict).trim(), unindent(expected));
}

/// Every row is accepted or quarantined, once, or the batch is refused as a whole.
#[track_caller]
fn account(verdict: &Verdict, rows: usize) {
    assert_eq!(verdict.accepted.num_rows(), verdict.accepted_rows.len());
    if verdict.rejected.is_some() || verdict.halt.is_some() {
        assert!(verdict.accepted_rows.is_empty() && verdict.quarantined.is_empty());
        return;
    }
    let mut seen: Vec<u32> = verdict.accepted_rows.clone();
    seen.extend(verdict.quarantined.iter().map(|row| row.row));
    seen.sort_unstable();
    assert_eq!(seen, (0..rows as u32).collect::<Vec<_>>());
    assert!(verdict.quarantined.iter().all(|row| !row.reasons.is_empty()));
}

fn unindent(text: &str) -> String {
    text.trim().lines().map(str::trim).collect::<Vec<_>>().join("\n")
}
