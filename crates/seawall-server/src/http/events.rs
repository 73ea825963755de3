//! `POST /v1/datasets/{dataset}/events`: NDJSON, a JSON array or an Arrow IPC stream, plain or gzip.

use std::io::Read;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use flate2::read::GzDecoder;
use seawall_base::error::Result;
use seawall_base::{Error, ErrorKind};
use seawall_catalog::policy::Action;
use seawall_kernel::contract::{self, Decoded, Input};
use seawall_pipeline::Receipt;
use seawall_pipeline::gate::{Broken, Incoming};
use seawall_pipeline::ipc;
use seawall_pipeline::revision::DatasetGate;
use serde_json::Value;
use std::sync::Arc;

use super::error::Failure;
use crate::{App, BODY_BYTES_MAX};

pub(super) async fn push(
    State(app): State<App>,
    Path(dataset): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Receipt>, Failure> {
    let permit = app.access.permit(&app.pipeline.parts().catalog, &headers, Action::Ingest, &dataset).await?;
    let _slot = app.ingest_slots.try_acquire().map_err(|_| {
        Error::new(ErrorKind::Unavailable, "SW0884", "too many requests carry events at the moment")
            .hint("send again after the time that Retry-After tells; nothing of this request was kept")
    })?;
    let revision = app.pipeline.revision();
    let source = revision.source_of(&dataset)?;
    let gate = revision.dataset(&dataset)?.clone();
    let mapped_source = source.source.map.is_some();
    let kind = content_type(&headers);
    let gzip = headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding == "gzip");
    let decode = move || -> Result<Incoming> {
        let bytes = if gzip { gunzip(&body)? } else { body.to_vec() };
        decode(&kind, &bytes, &gate, mapped_source)
    };
    let incoming = tokio::task::spawn_blocking(decode)
        .await
        .map_err(|e| Error::internal("SW0887", "decoding the request failed").because(e))??;
    Ok(Json(app.pipeline.ingest(&permit, &source.source.name, incoming).await?))
}

pub(super) async fn resume(
    State(app): State<App>,
    Path(dataset): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Failure> {
    let permit =
        app.access.permit(&app.pipeline.parts().catalog, &headers, Action::ReleaseQuarantine, &dataset).await?;
    app.pipeline.resume(&permit, &dataset).await?;
    Ok(Json(serde_json::json!({"dataset": dataset, "halted": false})))
}

fn content_type(headers: &HeaderMap) -> String {
    let value =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("application/x-ndjson");
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn gunzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut reader = GzDecoder::new(bytes).take(BODY_BYTES_MAX as u64 + 1);
    reader.read_to_end(&mut out).map_err(|e| Error::invalid("SW0888", "the body is not gzip").because(e))?;
    if out.len() > BODY_BYTES_MAX {
        return Err(Error::invalid("SW0889", format!("the body is larger than {BODY_BYTES_MAX} bytes"))
            .hint("send several smaller requests"));
    }
    Ok(out)
}

/// Decodes a body into rows for the gate.
pub fn decode(content_type: &str, bytes: &[u8], gate: &DatasetGate, mapped_source: bool) -> Result<Incoming> {
    let limits = contract::Limits::default();
    let incoming = match content_type {
        "application/vnd.apache.arrow.stream" => return decode_arrow(bytes),
        "application/x-ndjson" | "application/jsonl" | "text/plain" | "application/octet-stream" if mapped_source => {
            text_rows(lines_of(bytes))?
        }
        "application/json" if mapped_source => text_rows(elements_of(bytes)?)?,
        "application/x-ndjson" | "application/jsonl" | "text/plain" | "application/octet-stream" => {
            typed(contract::decode_ndjson(&gate.gate, bytes, limits))
        }
        "application/json" => typed(contract::decode_json_array(&gate.gate, bytes, limits)?),
        other => {
            return Err(Error::invalid("SW0890", format!("cannot read events of type {other:?}")).hint(
                "send application/x-ndjson, application/json (an array) or application/vnd.apache.arrow.stream",
            ));
        }
    };
    Ok(incoming)
}

fn typed(decoded: Decoded) -> Incoming {
    let broken = decoded
        .failures
        .into_iter()
        .map(|(line, reasons)| Broken { raw: decoded.raw[line as usize].clone(), reasons })
        .collect();
    Incoming {
        rows: decoded.batch,
        input: Input::Typed,
        mapped: false,
        broken,
        arrivals: None,
        position: None,
        files: Vec::new(),
    }
}

fn decode_arrow(bytes: &[u8]) -> Result<Incoming> {
    let damaged = |error| Error::invalid("SW0891", "the body is not an Arrow IPC stream").because(error);
    let batches = ipc::read(bytes).map_err(damaged)?;
    let Some(first) = batches.first() else {
        return Err(Error::invalid("SW0891", "the body is an Arrow IPC stream without rows"));
    };
    let rows = concat_batches(&first.schema(), &batches).map_err(damaged)?;
    Ok(Incoming {
        rows,
        input: Input::Typed,
        mapped: false,
        broken: Vec::new(),
        arrivals: None,
        position: None,
        files: Vec::new(),
    })
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
    let elements: Vec<Value> =
        serde_json::from_slice(bytes).map_err(|error| super::error::bad_json(&error, r#"[{"payment_id": "p1"}]"#))?;
    Ok(elements.into_iter().map(|value| (value.to_string(), Ok(value))).collect())
}

/// Rows for a source with a map: every column is text, strings without quotes, other values as their JSON.
fn text_rows(lines: Vec<(String, Result<Value, String>)>) -> Result<Incoming> {
    let mut names: Vec<String> = Vec::new();
    let mut rows = Vec::new();
    let mut broken = Vec::new();
    for (raw, value) in lines {
        match value {
            Ok(Value::Object(row)) => {
                for name in row.keys().filter(|name| !names.contains(name)).cloned().collect::<Vec<_>>() {
                    names.push(name);
                }
                rows.push(row);
            }
            Ok(_) => broken.push(not_a_row(raw, "it is not a JSON object".to_owned())),
            Err(message) => broken.push(not_a_row(raw, message)),
        }
    }
    names.sort();
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(names.len());
    for name in &names {
        let cells: StringArray = rows.iter().map(|row| row.get(name).and_then(cell)).collect();
        columns.push(Arc::new(cells));
    }
    let fields: Vec<Field> = names.iter().map(|name| Field::new(name, DataType::Utf8, true)).collect();
    let options = arrow::record_batch::RecordBatchOptions::new().with_row_count(Some(rows.len()));
    let rows = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?;
    Ok(Incoming { rows, input: Input::Text, mapped: false, broken, arrivals: None, position: None, files: Vec::new() })
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
    Broken { raw, reasons: vec![contract::Reason { rule: "decode".into(), column: None, message, mode }] }
}
