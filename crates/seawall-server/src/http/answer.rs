//! Answers as Arrow: whether a caller asks for it, and streams that say in their schema what they were made from.
//!
//! JSON is the answer to everybody who does not prefer Arrow. Values go out as they are computed: Arrow keeps types, bits
//! and nulls that JSON cannot tell.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, ListBuilder, RecordBatch, StringBuilder};
use arrow::datatypes::{Field, Schema};
use arrow::ipc::writer::StreamWriter;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use seawall_base::FeatureStatus;
use seawall_base::error::Result;
use seawall_pipeline::freshness::Freshness;

/// The media type of an Arrow IPC stream.
pub const ARROW_STREAM: &str = "application/vnd.apache.arrow.stream";
/// Column of an answer with features: a list with the status of each, in the order of [`Provenance::features`].
pub const STATUS: &str = "_status";

#[cfg(test)]
mod tests;

/// What an answer was made from, told in the metadata of its schema under keys that begin with `seawall.`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provenance {
    /// `seawall.truncated`: whether rows were left out.
    pub truncated: Option<bool>,
    /// `seawall.known_at`: K, RFC 3339.
    pub known_at: Option<String>,
    /// `seawall.cut`: C.
    pub cut: Option<String>,
    /// `seawall.source`: `online` or `tables`.
    pub source: Option<&'static str>,
    /// `seawall.features`: the columns that are features, as a JSON array.
    pub features: Option<Vec<String>>,
    /// `seawall.degraded`: whether the answer lags more than it should.
    pub degraded: Option<bool>,
    /// `seawall.staleness_ms`: age of the oldest acknowledged row that the answer lacks.
    pub staleness_ms: Option<u64>,
}

impl Provenance {
    /// Says how fresh the answer is.
    pub fn fresh(self, fresh: &Freshness) -> Provenance {
        let cut = self.cut.or_else(|| Some(fresh.cut.to_string()));
        Provenance { degraded: Some(fresh.degraded), staleness_ms: Some(fresh.staleness_ms), cut, ..self }
    }

    fn metadata(self) -> HashMap<String, String> {
        let features = self.features.map(|names| serde_json::Value::from(names).to_string());
        let told = [
            ("seawall.truncated", self.truncated.map(|truncated| truncated.to_string())),
            ("seawall.known_at", self.known_at),
            ("seawall.cut", self.cut),
            ("seawall.source", self.source.map(str::to_owned)),
            ("seawall.features", features),
            ("seawall.degraded", self.degraded.map(|degraded| degraded.to_string())),
            ("seawall.staleness_ms", self.staleness_ms.map(|staleness| staleness.to_string())),
        ];
        told.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
    }
}

/// Whether a caller prefers Arrow to JSON. Without a word on either, or with a tie, JSON it is; but who names Arrow and
/// takes JSON only as part of `*/*` asks for Arrow.
pub fn prefers_arrow(headers: &HeaderMap) -> bool {
    let mut arrow = None;
    let mut json = None;
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    for range in accepted.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let quality = |part: &str| part.strip_prefix("q=").and_then(|q| q.parse::<f32>().ok());
        let media = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weight = parts.find_map(quality).unwrap_or(1.0);
        match media.as_str() {
            ARROW_STREAM => arrow = Some(weight),
            "application/json" => json = Some(weight),
            _ => {}
        }
    }
    arrow.is_some_and(|arrow| arrow > json.unwrap_or(0.0))
}

/// An Arrow stream of `batches`, whose schema tells `provenance`.
pub fn arrow_stream(schema: &Schema, batches: &[RecordBatch], provenance: Provenance) -> Result<Response> {
    let mut metadata = schema.metadata().clone();
    metadata.extend(provenance.metadata());
    let schema = Arc::new(schema.clone().with_metadata(metadata));
    let mut writer = StreamWriter::try_new(Vec::new(), &schema)?;
    for batch in batches {
        writer.write(batch)?;
    }
    Ok(([(header::CONTENT_TYPE, ARROW_STREAM)], writer.into_inner()?).into_response())
}

/// `rows` with one more column, [`STATUS`]. Each row has the status of each of its features.
pub fn with_status(rows: &RecordBatch, status: &[Vec<FeatureStatus>]) -> Result<RecordBatch> {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for of_row in status {
        of_row.iter().for_each(|status| lists.values().append_value(status_name(*status)));
        lists.append(true);
    }
    let lists: ArrayRef = Arc::new(lists.finish());
    let mut fields: Vec<Arc<Field>> = rows.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(STATUS, lists.data_type().clone(), false)));
    let mut columns = rows.columns().to_vec();
    columns.push(lists);
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// As in JSON.
pub fn status_name(status: FeatureStatus) -> &'static str {
    match status {
        FeatureStatus::Present => "present",
        FeatureStatus::Null => "null",
        FeatureStatus::NotFound => "not_found",
        FeatureStatus::OutsideTtl => "outside_ttl",
        FeatureStatus::MissingInput => "missing_input",
    }
}

/// Names of the last `count` columns: in an answer with features, these are the features.
pub fn last_columns(rows: &RecordBatch, count: usize) -> Vec<String> {
    let schema = rows.schema();
    let skipped = schema.fields().len().saturating_sub(count);
    schema.fields().iter().skip(skipped).map(|field| field.name().clone()).collect()
}
