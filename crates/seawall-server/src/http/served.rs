//! Served values as answers: JSON written straight from the columns, or an Arrow stream.
//!
//! JSON of a hundred decisions over 25 views holds 25,000 values with their statuses, so no tree is built of it: names
//! are escaped once per column, and values go into the buffer that is sent.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use seawall_base::error::Result;
use seawall_base::online::FeatureStatus;
use seawall_base::{Cut, Error, Instant, VersionedName};
use seawall_pipeline::freshness::Freshness;
use serde_json::json;

use super::answer::{Provenance, arrow_stream, status_name, with_status};

#[cfg(test)]
mod tests;

/// Bytes that a value with its name and its status takes in JSON, as a first guess.
const VALUE_BYTES: usize = 40;

/// Served values and what they were made from.
pub(super) struct Served {
    /// One row per decision.
    pub rows: RecordBatch,
    /// Status of the features of each row.
    pub status: Vec<Vec<FeatureStatus>>,
    /// The columns that are features.
    pub features: Vec<String>,
    /// `online` or `tables`, where both are possible.
    pub source: Option<&'static str>,
    /// K.
    pub known_at: Option<Instant>,
    /// C.
    pub cut: Option<Cut>,
    /// How fresh it is.
    pub fresh: Freshness,
}

impl Served {
    /// `{"KIND": "NAME", "rows": ..., "status": ..., ...}`.
    pub fn json(&self, kind: &str, name: &str) -> Result<Response> {
        let mut out = Vec::with_capacity(self.json_bytes());
        self.write_json(kind, name, &mut out)?;
        Ok(json_response(out))
    }

    /// An Arrow stream.
    pub fn arrow(self) -> Result<Response> {
        let rows = with_status(&self.rows, &self.status)?;
        let provenance = Provenance {
            truncated: Some(false),
            known_at: self.known_at.map(|known_at| known_at.to_string()),
            cut: self.cut.map(|cut| cut.to_string()),
            source: self.source,
            features: Some(self.features),
            ..Provenance::default()
        };
        let provenance = provenance.fresh(&self.fresh);
        arrow_stream(&rows.schema(), std::slice::from_ref(&rows), provenance)
    }

    fn json_bytes(&self) -> usize {
        256 + self.rows.num_rows() * self.rows.num_columns() * VALUE_BYTES
    }

    fn write_json(&self, kind: &str, name: &str, out: &mut Vec<u8>) -> Result<()> {
        out.push(b'{');
        write_text(kind, out);
        out.push(b':');
        write_text(name, out);
        out.extend_from_slice(b",\"rows\":");
        write_rows(&self.rows, out)?;
        out.extend_from_slice(b",\"status\":");
        write_status(&self.status, out);
        let known_at = self.known_at.map(|known_at| known_at.to_string());
        let mut told = json!({});
        if let Some(source) = self.source {
            told["source"] = source.into();
        }
        told["known_at"] = known_at.into();
        if let Some(cut) = &self.cut {
            told["cut"] = cut.to_string().into();
        }
        told["degraded"] = self.fresh.degraded.into();
        told["staleness_ms"] = self.fresh.staleness_ms.into();
        let told = told.to_string();
        out.push(b',');
        // Without its opening brace: the object goes on.
        out.extend_from_slice(&told.as_bytes()[1..]);
        Ok(())
    }
}

/// `{"views": [...]}`, each view with its name.
pub(super) fn views_json(views: &[VersionedName], served: &[Served]) -> Result<Response> {
    let mut out = Vec::with_capacity(16 + served.iter().map(Served::json_bytes).sum::<usize>());
    out.extend_from_slice(b"{\"views\":[");
    for (index, (id, served)) in views.iter().zip(served).enumerate() {
        if index > 0 {
            out.push(b',');
        }
        served.write_json("view", &id.to_string(), &mut out)?;
    }
    out.extend_from_slice(b"]}");
    Ok(json_response(out))
}

/// One Arrow stream of several views that were served together: each feature is the column `VIEW__FEATURE`, as in a
/// training set; `VIEW@VERSION__FEATURE` when several versions of a view were asked for.
pub(super) fn views_arrow(views: &[VersionedName], served: Vec<Served>) -> Result<Response> {
    let is_ambiguous = |id: &VersionedName| views.iter().filter(|other| other.name == id.name).count() > 1;
    let versioned = views.iter().any(is_ambiguous);
    let (mut fields, mut columns): (Vec<Field>, Vec<ArrayRef>) = (Vec::new(), Vec::new());
    let mut joined: Option<Served> = None;
    for (id, served) in views.iter().zip(served) {
        let view = if versioned { id.to_string() } else { id.name.clone() };
        for (field, column) in served.rows.schema().fields().iter().zip(served.rows.columns()) {
            fields.push(field.as_ref().clone().with_name(format!("{view}__{}", field.name())));
            columns.push(column.clone());
        }
        match &mut joined {
            None => joined = Some(served),
            Some(joined) => {
                for (row, more) in joined.status.iter_mut().zip(served.status) {
                    row.extend(more);
                }
            }
        }
    }
    let Some(joined) = joined else { return Err(Error::internal("SW0893", "no view was served")) };
    let features = fields.iter().map(|field| field.name().clone()).collect();
    let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
    Served { rows, features, ..joined }.arrow()
}

/// A JSON body that is written already.
pub(super) fn json_response(body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// Rows as a JSON array of objects, nulls included.
fn write_rows(batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
    if batch.num_rows() == 0 {
        out.extend_from_slice(b"[]");
        return Ok(());
    }
    let columns: Option<Vec<Cells<'_>>> = batch.columns().iter().map(Cells::of).collect();
    let Some(columns) = columns else { return write_any_rows(batch, out) };
    let names: Vec<Vec<u8>> = batch.schema().fields().iter().enumerate().map(|(i, field)| label(i, field)).collect();
    out.push(b'[');
    for row in 0..batch.num_rows() {
        out.extend_from_slice(if row == 0 { b"{" } else { b",{" });
        for (name, cells) in names.iter().zip(&columns) {
            out.extend_from_slice(name);
            cells.write(row, out);
        }
        out.push(b'}');
    }
    out.push(b']');
    Ok(())
}

/// One column as a JSON array, nulls included.
pub(super) fn write_column(batch: &RecordBatch, column: usize, out: &mut Vec<u8>) -> Result<()> {
    let array = batch.column(column);
    let Some(cells) = Cells::of(array) else {
        let rows = super::json_rows(&batch.project(&[column])?)?;
        let values: Vec<Option<&serde_json::Value>> = rows.iter().map(|row| row.as_object()?.values().next()).collect();
        write_value(&values, out);
        return Ok(());
    };
    out.push(b'[');
    for row in 0..array.len() {
        if row > 0 {
            out.push(b',');
        }
        cells.write(row, out);
    }
    out.push(b']');
    Ok(())
}

/// Columns of every type there is.
fn write_any_rows(batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
    let mut writer =
        arrow::json::WriterBuilder::new().with_explicit_nulls(true).build::<_, arrow::json::writer::JsonArray>(out);
    writer.write(batch)?;
    writer.finish()?;
    Ok(())
}

/// What stands before a value: a comma but for the first, its name, a colon.
fn label(index: usize, field: &Field) -> Vec<u8> {
    let mut label = Vec::with_capacity(field.name().len() + 4);
    if index > 0 {
        label.push(b',');
    }
    write_text(field.name(), &mut label);
    label.push(b':');
    label
}

/// A column of the types that most features have.
enum Cells<'a> {
    Int(&'a Int64Array),
    Float(&'a Float64Array),
    Text(&'a StringArray),
    Boolean(&'a BooleanArray),
}

impl<'a> Cells<'a> {
    fn of(array: &'a ArrayRef) -> Option<Cells<'a>> {
        match array.data_type() {
            DataType::Int64 => array.as_primitive_opt::<Int64Type>().map(Cells::Int),
            DataType::Float64 => array.as_primitive_opt::<Float64Type>().map(Cells::Float),
            DataType::Utf8 => array.as_string_opt::<i32>().map(Cells::Text),
            DataType::Boolean => array.as_boolean_opt().map(Cells::Boolean),
            _ => None,
        }
    }

    fn write(&self, row: usize, out: &mut Vec<u8>) {
        match self {
            Cells::Int(cells) if cells.is_valid(row) => write_value(&cells.value(row), out),
            // JSON has no infinities and no NaN: serde writes null, as for a missing value, and the status tells.
            Cells::Float(cells) if cells.is_valid(row) => write_value(&cells.value(row), out),
            Cells::Text(cells) if cells.is_valid(row) => write_text(cells.value(row), out),
            Cells::Boolean(cells) if cells.is_valid(row) => write_value(&cells.value(row), out),
            Cells::Int(_) | Cells::Float(_) | Cells::Text(_) | Cells::Boolean(_) => out.extend_from_slice(b"null"),
        }
    }
}

fn write_status(status: &[Vec<FeatureStatus>], out: &mut Vec<u8>) {
    out.push(b'[');
    for (row, statuses) in status.iter().enumerate() {
        out.extend_from_slice(if row == 0 { b"[" } else { b",[" });
        for (column, status) in statuses.iter().enumerate() {
            out.extend_from_slice(if column == 0 { b"\"" } else { b",\"" });
            out.extend_from_slice(status_name(*status).as_bytes());
            out.push(b'"');
        }
        out.push(b']');
    }
    out.push(b']');
}

pub(super) fn write_text(text: &str, out: &mut Vec<u8>) {
    write_value(text, out);
}

pub(super) fn write_value<T: serde::Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("texts and numbers can be written to memory");
}
