//! `POST /v1/features`: features of the present, and of a moment of the past from the tables.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use seawall_base::declare::FeatureView;
use seawall_base::error::Result;
use seawall_base::online::ViewValues;
use seawall_base::{Cut, Dataset, Error, Instant, Permit, VersionedName};
use seawall_catalog::policy::Action;
use seawall_pipeline::explain::explanation_json;
use seawall_pipeline::revision::Revision;
use seawall_pipeline::serving::{Decisions, present_or_null};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::answer::{last_columns, prefers_arrow};
use super::error::{Failure, bad_json};
use super::served::{Served, views_arrow, views_json};
use super::services;
use crate::App;

/// Values of one answer, rows times features: as JSON some hundred megabytes.
const VALUES_PER_ANSWER_MAX: usize = 5_000_000;
const EXAMPLE: &str =
    r#"{"service": "fraud", "rows": [{"card_id": "c1"}]} or {"views": ["card@1"], "rows": [{"card_id": "c1"}]}"#;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FeaturesBody {
    /// Serves the vectors of a feature service, `NAME` or `NAME@VERSION`, and records those that it says.
    service: Option<String>,
    /// Serves and records the vectors of a training set.
    training_set: Option<String>,
    /// Serves single views, unrecorded.
    #[serde(default)]
    views: Vec<VersionedName>,
    /// One object per decision.
    rows: Vec<Map<String, Value>>,
    /// Decision time; the present when absent. A time of the past is answered from the tables.
    at: Option<String>,
    /// A cut that the answer must cover, as a receipt tells it: read your writes.
    after: Option<Value>,
}

/// A cut as receipts write it, `{"0": 1200}`, or as answers do, `"0:1200"`.
fn cut_of(after: &Value) -> Result<Cut> {
    match after {
        Value::String(text) => text.parse(),
        ends => Cut::deserialize(ends).map_err(|error| bad_json(&error, EXAMPLE)),
    }
}

/// The name in `NAME` or `NAME@VERSION`.
pub(super) fn name_of(text: &str) -> &str {
    text.split_once('@').map_or(text, |(name, _)| name)
}

pub(super) async fn serve(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Result<Response, Failure> {
    let began = app.pipeline.answer_begins();
    let body: FeaturesBody = serde_json::from_slice(&body).map_err(|error| bad_json(&error, EXAMPLE))?;
    // Policies speak of a service by its name, whichever version is asked for.
    let service = body.service.as_ref().map(|text| name_of(text));
    let resource = service.or(body.training_set.as_deref()).unwrap_or("views");
    let permit = app.access.permit(&app.pipeline.parts().catalog, &headers, Action::ServeFeatures, resource).await?;
    if let Some(after) = &body.after {
        app.pipeline.wait_for_features(&cut_of(after)?).await?;
    }
    let now = app.pipeline.parts().clock.now();
    let given = body.at.as_ref().map(|text| text.parse()).transpose()?;
    let at = given.unwrap_or(now);
    let arrow = prefers_arrow(&headers);
    match (&body.service, &body.training_set, body.views.as_slice()) {
        (Some(name), None, []) => {
            let revision = app.pipeline.revision();
            let service = revision.service(name)?;
            let served = services::serve(&app, &permit, service, &body.rows, given).await?;
            let told = if arrow { served.arrow() } else { served.json("service", &service.service.id().to_string()) }?;
            app.pipeline.answered(service, began);
            Ok(told)
        }
        (None, Some(name), []) => {
            let served = serve_training_set(&app, &permit, name, &body.rows, at, now).await?;
            Ok(if arrow { served.arrow() } else { served.json("training_set", name) }?)
        }
        (None, None, [_, ..]) => {
            let mut served = serve_views(&app, &permit, &body, at).await?;
            Ok(match (arrow, served.pop()) {
                (true, Some(only)) if served.is_empty() => only.arrow(),
                (true, last) => views_arrow(&body.views, served.into_iter().chain(last).collect()),
                (false, last) => {
                    served.extend(last);
                    views_json(&body.views, &served)
                }
            }?)
        }
        (_, _, _) => Err(Failure(
            Error::invalid("SW0892", "name a service, a training set or views, and one of them")
                .hint(format!("send for example {EXAMPLE}")),
        )),
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
    let features = set.feature_columns();
    check_size(rows.len(), features.len())?;
    let rows = rows_of(&set.spine, rows)?;
    let count = rows.num_rows();
    let decisions = Decisions { rows, at: vec![at; count], now: vec![now; count], position: None };
    let fresh = app.pipeline.feature_freshness();
    let answer = app.pipeline.serve(permit, name, &decisions).await?;
    Ok(Served {
        features,
        known_at: answer.known_at.first().copied(),
        rows: answer.rows,
        status: answer.status,
        source: None,
        cut: Some(answer.cut),
        fresh,
    })
}

/// Refuses a request whose answer would not fit into memory beside those of others.
pub(super) fn check_size(rows: usize, features: usize) -> Result<()> {
    let values = rows.saturating_mul(features);
    if values <= VALUES_PER_ANSWER_MAX {
        return Ok(());
    }
    let message = format!(
        "{rows} rows with {features} features each are {values} values, at most {VALUES_PER_ANSWER_MAX} are served at once"
    );
    Err(Error::invalid("SW0829", message).hint("ask for fewer rows per request; build a training set for whole tables"))
}

/// Serves every view of a request at one K and one cut.
async fn serve_views(app: &App, permit: &Permit, body: &FeaturesBody, at: Instant) -> Result<Vec<Served>> {
    let revision = app.pipeline.revision();
    let mut views = Vec::with_capacity(body.views.len());
    for id in &body.views {
        views.push(find_view(&revision.views, id)?);
    }
    if let Some(twice) = body.views.iter().enumerate().find_map(|(i, id)| body.views[..i].contains(id).then_some(id)) {
        return Err(Error::invalid("SW0892", format!("view {twice} is named twice")).hint("name each view once"));
    }
    check_size(body.rows.len(), views.iter().map(|view| view.features.len()).sum())?;
    let entities = entities_of_all(&revision, &views, &body.rows)?;
    let fresh = app.pipeline.feature_freshness();
    match app.pipeline.serve_views(&body.views, &entities, at).await {
        Ok(served) => {
            let (known_at, cut) = (served.known_at.first().copied(), served.cut);
            let told = |view: ViewValues| Served {
                features: last_columns(&view.values, view.values.num_columns()),
                rows: view.values,
                status: view.status,
                source: Some("online"),
                known_at,
                cut: Some(cut.clone()),
                fresh: fresh.clone(),
            };
            Ok(served.views.into_iter().map(told).collect())
        }
        // The online store only knows the present; a given time of the past is answered from the tables, and says so.
        Err(error) if body.at.is_some() && error.kind() == seawall_base::ErrorKind::Invalid => {
            let mut told = Vec::with_capacity(views.len());
            for (id, entities) in body.views.iter().zip(&entities) {
                told.push(serve_from_tables(app, permit, id, entities, at).await?);
            }
            Ok(told)
        }
        Err(error) => Err(error),
    }
}

async fn serve_from_tables(
    app: &App,
    permit: &Permit,
    id: &VersionedName,
    entities: &RecordBatch,
    at: Instant,
) -> Result<Served> {
    let rows = app.pipeline.features_as_of(permit, id, entities, at).await?;
    Ok(Served {
        features: last_columns(&rows, rows.num_columns()),
        status: present_or_null(&rows),
        rows,
        source: Some("tables"),
        known_at: Some(at),
        cut: None,
        // It waited until tables held everything.
        fresh: app.pipeline.table_freshness(),
    })
}

/// The entity columns of each view. A request for several views has the columns of all; views of the same entity share
/// theirs.
pub(super) fn entities_of_all(
    revision: &Revision,
    views: &[&FeatureView],
    rows: &[Map<String, Value>],
) -> Result<Vec<RecordBatch>> {
    let known = |name: &String| views.iter().any(|view| view.entity.contains(name));
    let mut decoded: Vec<RecordBatch> = Vec::new();
    let mut all = Vec::with_capacity(views.len());
    for view in views {
        let schema = entity_schema(&revision.dataset(&view.from)?.dataset, &view.entity)?;
        let same = decoded.iter().find(|batch| batch.schema() == schema);
        let batch = match same {
            Some(batch) => batch.clone(),
            None if rows.iter().all(|row| row.keys().all(|name| view.entity.contains(name))) => {
                decode_rows(schema, rows)?
            }
            None => {
                let is_anothers = |name: &String| known(name) && !view.entity.contains(name);
                let own = |row: &Map<String, Value>| -> Map<String, Value> {
                    let stays = row.iter().filter(|(name, _)| !is_anothers(name));
                    stays.map(|(name, value)| (name.clone(), value.clone())).collect()
                };
                decode_rows(schema, &rows.iter().map(own).collect::<Vec<_>>())?
            }
        };
        decoded.push(batch.clone());
        all.push(batch);
    }
    Ok(all)
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

/// The view `id`.
pub(super) fn find_view<'a>(views: &'a [FeatureView], id: &VersionedName) -> Result<&'a FeatureView> {
    views.iter().find(|view| view.is(id)).ok_or_else(|| {
        let known: Vec<String> = views.iter().map(|view| view.id().to_string()).collect();
        Error::not_found("SW0824", format!("there is no feature view {id}"))
            .hint(format!("feature views: {}", known.join(", ")))
    })
}

/// The entity columns of a view, from JSON objects.
pub fn entities_of(dataset: &Dataset, entity: &[String], rows: &[Map<String, Value>]) -> Result<RecordBatch> {
    decode_rows(entity_schema(dataset, entity)?, rows)
}

fn entity_schema(dataset: &Dataset, entity: &[String]) -> Result<SchemaRef> {
    let mut fields = Vec::with_capacity(entity.len());
    for column in entity {
        fields.push(dataset.schema.field_with_name(column)?.clone().with_nullable(true));
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// Spine rows from JSON objects: columns that no object has are left out.
pub(super) fn rows_of(spine: &Dataset, rows: &[Map<String, Value>]) -> Result<RecordBatch> {
    check_known(&spine.schema, rows)?;
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

/// Refuses names that no column has.
fn check_known(schema: &Schema, rows: &[Map<String, Value>]) -> Result<()> {
    for row in rows {
        if let Some(unknown) = row.keys().find(|name| schema.column_with_name(name).is_none()) {
            let known: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            return Err(Error::invalid("SW0894", format!("the rows have no column {unknown:?}"))
                .hint(format!("columns here: {}", known.join(", "))));
        }
    }
    Ok(())
}

fn decode_rows(schema: SchemaRef, rows: &[Map<String, Value>]) -> Result<RecordBatch> {
    check_known(&schema, rows)?;
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
