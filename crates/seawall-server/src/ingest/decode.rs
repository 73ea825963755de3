//! Bytes of a request into rows for the gate.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use seawall_base::Error;
use seawall_base::error::Result;
use seawall_kernel::contract::{self, Decoded, Input};
use seawall_pipeline::gate::{Broken, Incoming};
use seawall_pipeline::ipc;
use seawall_pipeline::revision::DatasetGate;
use serde_json::Value;

/// The media type of an Arrow IPC stream.
pub const ARROW_STREAM: &str = "application/vnd.apache.arrow.stream";

/// Fields that the rows of one request to a source with a map may have: each is a column of all of them.
const COLUMNS_MAX: usize = 1_024;

/// Decodes a body into rows for the gate.
pub fn decode(content_type: &str, bytes: &Bytes, gate: &DatasetGate, mapped_source: bool) -> Result<Incoming> {
    let limits = contract::Limits::default();
    match content_type {
        ARROW_STREAM => decode_arrow(bytes.clone()),
        "application/x-ndjson" | "application/jsonl" | "text/plain" | "application/octet-stream" => match mapped_source
        {
            true => text_rows(lines_of(bytes)),
            false => Ok(typed(contract::decode_ndjson(&gate.gate, bytes, limits))),
        },
        "application/json" if mapped_source => text_rows(elements_of(bytes)?),
        "application/json" => Ok(typed(contract::decode_json_array(&gate.gate, bytes, limits)?)),
        other => Err(Error::invalid("SW0890", format!("cannot read events of type {other:?}"))
            .hint("send application/x-ndjson, application/json (an array) or application/vnd.apache.arrow.stream")),
    }
}

/// The batches of one request as rows for the gate.
pub fn rows_of(batches: &[RecordBatch]) -> Result<Incoming> {
    let rows = match batches {
        [] => return Err(Error::invalid("SW0891", "the request is an Arrow stream without rows")),
        [only] => only.clone(),
        [first, ..] => concat_batches(&first.schema(), batches)
            .map_err(|error| Error::invalid("SW0891", "the batches of the Arrow stream do not fit").because(error))?,
    };
    Ok(Incoming::new(rows, Input::Typed))
}

fn decode_arrow(bytes: Bytes) -> Result<Incoming> {
    let damaged = |error| Error::invalid("SW0891", "the body is not an Arrow IPC stream").because(error);
    rows_of(&ipc::read(bytes).map_err(damaged)?)
}

fn typed(decoded: Decoded) -> Incoming {
    let lines = (!decoded.failures.is_empty()).then_some(decoded.rows);
    let broken = decoded.failures.into_iter();
    let broken = broken.map(|failure| Broken { line: Some(failure.line), raw: failure.raw, reasons: failure.reasons });
    Incoming {
        broken: broken.collect(),
        lines,
        unknown_columns: decoded.unknown_columns,
        ..Incoming::new(decoded.batch, Input::Typed)
    }
}

fn lines_of(bytes: &[u8]) -> Vec<(String, Result<Value, String>)> {
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    lines
        .map(|line| {
            let value = serde_json::from_slice(line).map_err(|error| error.to_string());
            (String::from_utf8_lossy(line).into_owned(), value)
        })
        .collect()
}

fn elements_of(bytes: &[u8]) -> Result<Vec<(String, Result<Value, String>)>> {
    let elements: Vec<Value> = serde_json::from_slice(bytes)
        .map_err(|error| crate::http::error::bad_json(&error, r#"[{"payment_id": "p1"}]"#))?;
    Ok(elements.into_iter().map(|value| (value.to_string(), Ok(value))).collect())
}

/// Rows for a source with a map: every column is text, strings without quotes, other values as their JSON.
fn text_rows(lines: Vec<(String, Result<Value, String>)>) -> Result<Incoming> {
    let mut names: BTreeSet<String> = BTreeSet::new();
    let mut rows = Vec::new();
    let mut broken = Vec::new();
    for (raw, value) in lines {
        match value {
            Ok(Value::Object(row)) => {
                let new: Vec<&String> = row.keys().filter(|name| !names.contains(*name)).collect();
                names.extend(new.into_iter().take(COLUMNS_MAX + 1).cloned());
                rows.push(row);
            }
            Ok(_) => broken.push(not_a_row(raw, "it is not a JSON object".to_owned())),
            Err(message) => broken.push(not_a_row(raw, message)),
        }
        if names.len() > COLUMNS_MAX {
            let message = format!("the rows of one request have more than {COLUMNS_MAX} different fields");
            return Err(Error::invalid("SW1208", message).hint("a map needs the same fields in every row"));
        }
    }
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(names.len());
    for name in &names {
        let cells: StringArray = rows.iter().map(|row| row.get(name).and_then(cell)).collect();
        columns.push(Arc::new(cells));
    }
    let fields: Vec<Field> = names.iter().map(|name| Field::new(name, DataType::Utf8, true)).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    let rows = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?;
    Ok(Incoming { broken, ..Incoming::new(rows, Input::Text) })
}

fn cell(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

fn not_a_row(raw: String, message: String) -> Broken {
    let mode = contract::Mode::Quarantine;
    Broken { line: None, raw, reasons: vec![contract::Reason { rule: "decode".into(), column: None, message, mode }] }
}
