//! `POST /v1/features`: features of the present, and of a moment of the past from the tables.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema};
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use seawall_base::error::Result;
use seawall_base::online::FeatureStatus;
use seawall_base::{Dataset, Error, Instant, VersionedName};
use seawall_catalog::policy::Action;
use seawall_pipeline::explain::explanation_json;
use seawall_pipeline::serving::Decisions;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::error::{Failure, bad_json};
use crate::App;

const EXAMPLE: &str =
    r#"{"training_set": "fraud", "rows": [{"card_id": "c1"}]} or {"views": ["card@1"], "rows": [{"card_id": "c1"}]}"#;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FeaturesBody {
    /// Serves and records the vectors of a training set.
    training_set: Option<String>,
    /// Serves single views, unrecorded.
    #[serde(default)]
    views: Vec<VersionedName>,
    /// One object per decision.
    rows: Vec<Map<String, Value>>,
    /// Decision time; the present when absent. A time of the past is answered from the tables.
    at: Option<String>,
}

pub(super) async fn serve(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Result<Json<Value>, Failure> {
    let body: FeaturesBody = serde_json::from_slice(&body).map_err(|error| bad_json(&error, EXAMPLE))?;
    let resource = body.training_set.clone().unwrap_or_else(|| "views".to_owned());
    let permit = app.access.permit(&app.pipeline.parts().catalog, &headers, Action::ServeFeatures, &resource).await?;
    let now = app.pipeline.parts().clock.now();
    let at = match &body.at {
        Some(text) => text.parse()?,
        None => now,
    };
    let revision = app.pipeline.revision();
    match (&body.training_set, body.views.is_empty()) {
        (Some(name), true) => {
            let set = revision.training_set(name)?;
            let rows = rows_of(&set.spine, &body.rows)?;
            let count = rows.num_rows();
            let decisions = Decisions { rows, at: vec![at; count], now: vec![now; count], position: None };
            let answer = app.pipeline.serve(&permit, name, &decisions).await?;
            Ok(Json(json!({
                "training_set": name,
                "rows": json_rows(&answer.rows)?,
                "status": answer.status,
                "known_at": answer.known_at.first().map(Instant::to_string),
                "cut": answer.cut.to_string(),
            })))
        }
        (None, false) => {
            let mut answered = Vec::new();
            for id in &body.views {
                answered.push(serve_view(&app, &permit, id, &body.rows, at, body.at.is_some()).await?);
            }
            Ok(Json(json!({"views": answered})))
        }
        (Some(_), false) | (None, true) => Err(Failure(
            Error::invalid("SW0892", "name either a training set or views").hint(format!("send for example {EXAMPLE}")),
        )),
    }
}

async fn serve_view(
    app: &App,
    permit: &seawall_base::Permit,
    id: &VersionedName,
    rows: &[Map<String, Value>],
    at: Instant,
    given: bool,
) -> Result<Value> {
    let revision = app.pipeline.revision();
    let view = find_view(&revision.views, id)?;
    let dataset = &revision.dataset(&view.from)?.dataset;
    let entities = entities_of(dataset, &view.entity, rows)?;
    let online = app.pipeline.serve_views(std::slice::from_ref(id), &entities, at).await;
    match online {
        Ok(served) => Ok(json!({
            "view": id,
            "rows": json_rows(&served.views[0].values)?,
            "status": served.views[0].status,
            "source": "online",
            "known_at": served.known_at.first().map(Instant::to_string),
            "cut": served.cut.to_string(),
        })),
        // The online store only knows the present; a given time of the past is answered from the tables, and says so.
        Err(error) if given && error.kind() == seawall_base::ErrorKind::Invalid => {
            let values = app.pipeline.features_as_of(permit, id, &entities, at).await?;
            Ok(json!({
                "view": id,
                "rows": json_rows(&values)?,
                "status": present_or_null(&values),
                "source": "tables",
                "known_at": at.to_string(),
            }))
        }
        Err(error) => Err(error),
    }
}

fn present_or_null(values: &RecordBatch) -> Vec<Vec<FeatureStatus>> {
    use arrow::array::Array;
    let status = |row: usize, column: &dyn Array| match column.is_null(row) {
        true => FeatureStatus::Null,
        false => FeatureStatus::Present,
    };
    let row = |row: usize| values.columns().iter().map(|column| status(row, column.as_ref())).collect();
    (0..values.num_rows()).map(row).collect()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExplainBody {
    view: VersionedName,
    feature: String,
    entity: Map<String, Value>,
    at: Option<String>,
}

pub(super) async fn explain(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Result<Json<Value>, Failure> {
    let example = r#"{"view": "card@1", "feature": "n_1h", "entity": {"card_id": "c1"}, "at": "2026-01-01T00:00:00Z"}"#;
    let body: ExplainBody = serde_json::from_slice(&body).map_err(|error| bad_json(&error, example))?;
    let catalog = &app.pipeline.parts().catalog;
    let permit = app.access.permit(catalog, &headers, Action::ReadRows, &body.view.to_string()).await?;
    let at = match &body.at {
        Some(text) => text.parse()?,
        None => app.pipeline.parts().clock.now(),
    };
    let revision = app.pipeline.revision();
    let view = find_view(&revision.views, &body.view)?;
    let entity = entities_of(&revision.dataset(&view.from)?.dataset, &view.entity, &[body.entity])?;
    let explained = app.pipeline.explain_feature(&permit, &body.view, &body.feature, &entity, at, at).await?;
    Ok(Json(explanation_json(&explained)))
}

fn find_view<'a>(
    views: &'a [seawall_base::declare::FeatureView],
    id: &VersionedName,
) -> Result<&'a seawall_base::declare::FeatureView> {
    views.iter().find(|view| view.id() == *id).ok_or_else(|| {
        let known: Vec<String> = views.iter().map(|view| view.id().to_string()).collect();
        Error::not_found("SW0824", format!("there is no feature view {id}"))
            .hint(format!("feature views: {}", known.join(", ")))
    })
}

/// The entity columns of a view, from JSON objects.
pub fn entities_of(dataset: &Dataset, entity: &[String], rows: &[Map<String, Value>]) -> Result<RecordBatch> {
    let mut fields = Vec::with_capacity(entity.len());
    for column in entity {
        fields.push(dataset.schema.field_with_name(column)?.clone().with_nullable(true));
    }
    decode_rows(Arc::new(Schema::new(fields)), rows)
}

/// Spine rows from JSON objects: columns that no object has are left out.
pub(super) fn rows_of(spine: &Dataset, rows: &[Map<String, Value>]) -> Result<RecordBatch> {
    let given = |field: &Field| rows.iter().any(|row| row.contains_key(field.name()));
    let fields: Vec<Field> = spine
        .schema
        .fields()
        .iter()
        .filter(|field| given(field))
        .map(|field| field.as_ref().clone().with_nullable(true))
        .collect();
    decode_rows(Arc::new(Schema::new(fields)), rows)
}

fn decode_rows(schema: arrow::datatypes::SchemaRef, rows: &[Map<String, Value>]) -> Result<RecordBatch> {
    let known: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    for row in rows {
        if let Some(unknown) = row.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(Error::invalid("SW0894", format!("the rows have no column {unknown:?}"))
                .hint(format!("columns here: {}", known.join(", "))));
        }
    }
    let bad = |error| Error::invalid("SW0895", "a value does not have its column's type").because(error);
    let mut decoder = arrow::json::ReaderBuilder::new(schema.clone())
        .with_batch_size(rows.len().max(1))
        .build_decoder()
        .map_err(bad)?;
    decoder.serialize(rows).map_err(bad)?;
    let decoded = decoder.flush().map_err(bad)?;
    Ok(decoded.unwrap_or_else(|| RecordBatch::new_empty(schema)))
}

/// Rows as JSON objects, nulls included.
pub fn json_rows(batch: &RecordBatch) -> Result<Vec<Value>> {
    let mut writer = arrow::json::WriterBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, arrow::json::writer::JsonArray>(Vec::new());
    writer.write(batch)?;
    writer.finish()?;
    let bytes = writer.into_inner();
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_slice(&bytes).map_err(|e| Error::internal("SW0893", "cannot encode the answer").because(e))
}
