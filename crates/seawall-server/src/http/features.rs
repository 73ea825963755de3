//! `POST /v1/features`: features of the present, and of a moment of the past from the tables.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema};
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use seawall_base::error::Result;
use seawall_base::online::FeatureStatus;
use seawall_base::{Cut, Dataset, Error, Instant, Permit, VersionedName};
use seawall_catalog::policy::Action;
use seawall_pipeline::explain::explanation_json;
use seawall_pipeline::freshness::Freshness;
use seawall_pipeline::serving::Decisions;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::answer::{Provenance, arrow_stream, last_columns, prefers_arrow, with_status};
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

pub(super) async fn serve(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Result<Response, Failure> {
    let body: FeaturesBody = serde_json::from_slice(&body).map_err(|error| bad_json(&error, EXAMPLE))?;
    let resource = body.training_set.clone().unwrap_or_else(|| "views".to_owned());
    let permit = app.access.permit(&app.pipeline.parts().catalog, &headers, Action::ServeFeatures, &resource).await?;
    let now = app.pipeline.parts().clock.now();
    let at = match &body.at {
        Some(text) => text.parse()?,
        None => now,
    };
    let arrow = prefers_arrow(&headers);
    match (&body.training_set, body.views.as_slice()) {
        (Some(name), []) => {
            let served = serve_training_set(&app, &permit, name, &body.rows, at, now).await?;
            Ok(served.answer(json!({"training_set": name}), arrow)?)
        }
        (None, [id]) if arrow => {
            let served = serve_view(&app, &permit, id, &body.rows, at, body.at.is_some()).await?;
            Ok(served.arrow()?)
        }
        (None, [_, ..]) => {
            let rows = entity_rows(&app, &body.views, &body.rows)?;
            let mut answered = Vec::new();
            for (id, rows) in body.views.iter().zip(&rows) {
                let served = serve_view(&app, &permit, id, rows, at, body.at.is_some()).await?;
                answered.push(served.json(json!({"view": id}))?);
            }
            Ok(Json(json!({"views": answered})).into_response())
        }
        (Some(_), [_, ..]) | (None, []) => Err(Failure(
            Error::invalid("SW0892", "name either a training set or views").hint(format!("send for example {EXAMPLE}")),
        )),
    }
}

/// Served values and what they were made from.
struct Served {
    rows: RecordBatch,
    status: Vec<Vec<FeatureStatus>>,
    features: Vec<String>,
    source: Option<&'static str>,
    known_at: Option<Instant>,
    cut: Option<Cut>,
    fresh: Freshness,
}

impl Served {
    fn answer(self, named: Value, arrow: bool) -> Result<Response> {
        match arrow {
            true => self.arrow(),
            false => Ok(Json(self.json(named)?).into_response()),
        }
    }

    /// The object `named`, with everything that was served.
    fn json(self, mut named: Value) -> Result<Value> {
        named["rows"] = json_rows(&self.rows)?.into();
        named["status"] = json!(self.status);
        if let Some(source) = self.source {
            named["source"] = source.into();
        }
        named["known_at"] = self.known_at.map(|known_at| known_at.to_string()).into();
        if let Some(cut) = self.cut {
            named["cut"] = cut.to_string().into();
        }
        named["degraded"] = self.fresh.degraded.into();
        named["staleness_ms"] = self.fresh.staleness_ms.into();
        Ok(named)
    }

    fn arrow(self) -> Result<Response> {
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
}

async fn serve_training_set(
    app: &App,
    permit: &Permit,
    name: &str,
    rows: &[Map<String, Value>],
    at: Instant,
    now: Instant,
) -> Result<Served> {
    let revision = app.pipeline.revision();
    let set = revision.training_set(name)?;
    let rows = rows_of(&set.spine, rows)?;
    let count = rows.num_rows();
    let decisions = Decisions { rows, at: vec![at; count], now: vec![now; count], position: None };
    let fresh = app.pipeline.feature_freshness();
    let answer = app.pipeline.serve(permit, name, &decisions).await?;
    let features = set.views.iter().map(|view| view.view().features.len()).sum();
    Ok(Served {
        features: last_columns(&answer.rows, features),
        known_at: answer.known_at.first().copied(),
        rows: answer.rows,
        status: answer.status,
        source: None,
        cut: Some(answer.cut),
        fresh,
    })
}

async fn serve_view(
    app: &App,
    permit: &Permit,
    id: &VersionedName,
    rows: &[Map<String, Value>],
    at: Instant,
    given: bool,
) -> Result<Served> {
    let revision = app.pipeline.revision();
    let view = find_view(&revision.views, id)?;
    let dataset = &revision.dataset(&view.from)?.dataset;
    let entities = entities_of(dataset, &view.entity, rows)?;
    let mut fresh = app.pipeline.feature_freshness();
    let online = app.pipeline.serve_views(std::slice::from_ref(id), &entities, at).await;
    let (values, status, source, known_at, cut) = match online {
        Ok(served) => {
            let [view] = served.views.try_into().map_err(|_| Error::internal("SW0893", "one view has one answer"))?;
            (view.values, view.status, "online", served.known_at.first().copied(), Some(served.cut))
        }
        // The online store only knows the present; a given time of the past is answered from the tables, and says so.
        Err(error) if given && error.kind() == seawall_base::ErrorKind::Invalid => {
            let values = app.pipeline.features_as_of(permit, id, &entities, at).await?;
            // It waited until tables held everything.
            fresh = app.pipeline.table_freshness();
            let status = present_or_null(&values);
            (values, status, "tables", Some(at), None)
        }
        Err(error) => return Err(error),
    };
    let features = last_columns(&values, values.num_columns());
    Ok(Served { rows: values, status, features, source: Some(source), known_at, cut, fresh })
}

/// For each view the rows with only its own entity columns: a request for several views has the columns of all.
fn entity_rows(
    app: &App,
    views: &[VersionedName],
    rows: &[Map<String, Value>],
) -> Result<Vec<Vec<Map<String, Value>>>> {
    let revision = app.pipeline.revision();
    let mut entities = Vec::with_capacity(views.len());
    for id in views {
        entities.push(&find_view(&revision.views, id)?.entity);
    }
    let known: Vec<&String> = entities.iter().copied().flatten().collect();
    let only = |row: &Map<String, Value>, entity: &Vec<String>| -> Map<String, Value> {
        let stays = |name: &String| entity.contains(name) || !known.contains(&name);
        row.iter().filter(|(name, _)| stays(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    Ok(entities.iter().map(|entity| rows.iter().map(|row| only(row, entity)).collect()).collect())
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
