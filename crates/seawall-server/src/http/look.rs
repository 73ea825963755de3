//! Looking: health, metrics, status, datasets, lineage, queries.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use seawall_base::error::Result;
use seawall_base::{Engine, Error, Query as Sql, Span, TableVersion};
use seawall_catalog::lineage::Direction;
use seawall_catalog::policy::Action;
use seawall_catalog::{Catalog, PeriodQuality};
use seawall_pipeline::freshness::Freshness;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Provenance, arrow_stream, prefers_arrow};
use super::error::{Failure, bad_json};
use super::features::json_rows;
use crate::{Access, App};

/// Rows of an answer when the request does not say how many.
pub(super) const ROWS_DEFAULT: usize = 1_000;
/// Steps that lineage is followed when the request does not say how many.
const DEPTH_DEFAULT: u32 = 10;
/// How far back quality is told when the request does not say how far.
pub const QUALITY_LAST_DEFAULT: Span = Span(7 * Span::DAY.0);

pub(super) async fn health(State(app): State<App>) -> Json<Value> {
    Json(json!({"status": "ok", "instance": app.instance}))
}

pub(super) async fn metrics(State(app): State<App>) -> Response {
    let mut text = app.metrics.render(&app.pipeline).await;
    app.counters.render(&mut text, app.room.taken());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

pub(super) async fn status(State(app): State<App>, headers: HeaderMap) -> Result<Json<Value>, Failure> {
    app.access.permit(&app.pipeline.parts().catalog, &headers, Action::ReadMetadata, "status").await?;
    Ok(Json(status_json(&app).await))
}

async fn status_json(app: &App) -> Value {
    let revision = app.pipeline.revision();
    let accounting = app.pipeline.accounting().await;
    let progress = app.pipeline.progress();
    let views: Vec<String> = revision.views.iter().map(|view| view.id().to_string()).collect();
    json!({
        "revision": revision.hash.to_string(),
        "now": app.pipeline.parts().clock.now().to_string(),
        "datasets": revision.datasets.keys().map(|name| {
            let counts = accounting.counts.get(name).copied().unwrap_or_default();
            (name.clone(), json!({"counts": counts, "halted": accounting.halted.get(name)}))
        }).collect::<serde_json::Map<String, Value>>(),
        "feature_views": views,
        "feature_services": super::services::services_json(&app.pipeline),
        "training_sets": revision.training_set_names(),
        "progress": progress,
        "log": app.pipeline.log_status(),
        "tables": app.pipeline.table_freshness(),
        "features": app.pipeline.feature_freshness(),
        "filling": app.pipeline.parts().online.filling(),
        "transforms": app.pipeline.transforms().await.ok(),
        "dependencies": app.pipeline.dependencies().health(),
    })
}

pub(super) async fn datasets(State(app): State<App>, headers: HeaderMap) -> Result<Json<Value>, Failure> {
    app.access.permit(&app.pipeline.parts().catalog, &headers, Action::ReadMetadata, "datasets").await?;
    let revision = app.pipeline.revision();
    let datasets: Vec<Value> = revision
        .datasets
        .values()
        .map(|gate| {
            let columns: Vec<Value> = gate
                .dataset
                .schema
                .fields()
                .iter()
                .map(|field| json!({"name": field.name(), "type": field.data_type().to_string(), "nullable": field.is_nullable()}))
                .collect();
            json!({
                "name": gate.dataset.name,
                "contract": gate.contract,
                "primary_key": gate.dataset.primary_key,
                "event_time": gate.dataset.event_time,
                "columns": columns,
            })
        })
        .collect();
    Ok(Json(json!({"datasets": datasets})))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct QueryBody {
    sql: String,
    /// Rows of the answer at most: [`ROWS_DEFAULT`] when absent, every row when null.
    #[serde(default, deserialize_with = "given")]
    rows_max: Option<Option<usize>>,
    /// Versions of tables to read instead of the newest, by name.
    #[serde(default)]
    versions: BTreeMap<String, u64>,
}

/// Tells null from a key that is absent.
fn given<'de, D: serde::Deserializer<'de>>(value: D) -> std::result::Result<Option<Option<usize>>, D::Error> {
    Option::deserialize(value).map(Some)
}

pub(super) async fn query(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Result<Response, Failure> {
    let parts = app.pipeline.parts();
    let views = app.pipeline.revision().views_sql.clone();
    let asked = Asked { access: &app.access, catalog: &parts.catalog, engine: parts.engine.as_ref(), views };
    // Before the read, so that what is said of it holds of every table that it looked at.
    let fresh = app.pipeline.table_freshness();
    asked.answer(&headers, &body, Some(&fresh)).await
}

/// What a statement is answered by.
pub(crate) struct Asked<'a> {
    /// Who may ask.
    pub access: &'a Access,
    /// Knows who asks, and the system tables.
    pub catalog: &'a Catalog,
    /// Runs the statement.
    pub engine: &'a dyn Engine,
    /// Named queries.
    pub views: Vec<(String, String)>,
}

impl Asked<'_> {
    /// Answers a statement from tables that are this fresh; nobody knows how fresh, when it is not said.
    pub async fn answer(
        self,
        headers: &HeaderMap,
        body: &[u8],
        fresh: Option<&Freshness>,
    ) -> Result<Response, Failure> {
        let body: QueryBody = serde_json::from_slice(body)
            .map_err(|error| bad_json(&error, r#"{"sql": "select count(*) from payments"}"#))?;
        let principal = self.access.principal(self.catalog, headers).await?;
        let permit = self.catalog.authorize(&principal, Action::ReadRows, "query").await?;
        let system = self.catalog.system_tables_for(&principal).await?;
        let rows_max = body.rows_max.unwrap_or(Some(ROWS_DEFAULT));
        let versions = body.versions.into_iter().map(|(table, version)| (table, TableVersion(version))).collect();
        let query = Sql { sql: body.sql, system, views: self.views, versions, rows_max };
        let result = self.engine.query(&permit, query).await?;
        if prefers_arrow(headers) {
            let provenance = Provenance { truncated: Some(result.truncated), ..Provenance::default() };
            let provenance = match fresh {
                Some(fresh) => provenance.fresh(fresh),
                None => Provenance { degraded: Some(true), ..provenance },
            };
            return Ok(arrow_stream(&result.schema, &result.batches, provenance)?);
        }
        let mut rows = Vec::new();
        for batch in &result.batches {
            rows.extend(json_rows(batch)?);
        }
        let answer = json!({"rows": rows, "truncated": result.truncated});
        let told = match fresh {
            Some(fresh) => with_freshness(answer, fresh),
            None => with_unknown_freshness(answer),
        };
        Ok(Json(told).into_response())
    }
}

/// An answer that says how fresh it is.
pub(super) fn with_freshness(mut answer: Value, fresh: &Freshness) -> Value {
    answer["degraded"] = fresh.degraded.into();
    answer["staleness_ms"] = fresh.staleness_ms.into();
    answer["cut"] = fresh.cut.to_string().into();
    answer
}

/// An answer of which nobody knows yet how fresh it is.
fn with_unknown_freshness(mut answer: Value) -> Value {
    answer["degraded"] = true.into();
    answer["staleness_ms"] = Value::Null;
    answer["cut"] = Value::Null;
    answer
}

#[derive(Debug, Deserialize)]
pub(super) struct LineageQuery {
    object: String,
    column: Option<String>,
    direction: Option<String>,
    depth: Option<u32>,
}

pub(super) async fn lineage(
    State(app): State<App>,
    Query(asked): Query<LineageQuery>,
    headers: HeaderMap,
) -> Result<Json<Value>, Failure> {
    let catalog = &app.pipeline.parts().catalog;
    app.access.permit(catalog, &headers, Action::ReadMetadata, &asked.object).await?;
    let direction = match asked.direction.as_deref() {
        None | Some("up") => Direction::Up,
        Some("down") => Direction::Down,
        Some(other) => {
            return Err(Failure(Error::invalid("SW0896", format!("{other:?} is no direction")).hint("use up or down")));
        }
    };
    let depth = asked.depth.unwrap_or(DEPTH_DEFAULT);
    let edges = catalog.lineage(&asked.object, asked.column.as_deref(), direction, depth).await?;
    Ok(Json(json!({"object": asked.object, "edges": edges})))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct QualityQuery {
    dataset: Option<String>,
    /// How far back.
    last: Option<Span>,
    by: Option<String>,
}

/// Quality over time: rows received, share of good ones, failures by rule, per dataset and hour or day of arrival.
pub(super) async fn quality(
    State(app): State<App>,
    Query(asked): Query<QualityQuery>,
    headers: HeaderMap,
) -> Result<Json<Value>, Failure> {
    let catalog = &app.pipeline.parts().catalog;
    let of = asked.dataset.as_deref();
    app.access.permit(catalog, &headers, Action::ReadMetadata, of.unwrap_or("quality")).await?;
    if let Some(name) = of {
        app.pipeline.revision().dataset(name)?;
    }
    let step = match asked.by.as_deref() {
        None | Some("day") => Span::DAY,
        Some("hour") => Span::HOUR,
        Some(other) => {
            let wrong = Error::invalid("SW0896", format!("{other:?} is no period")).hint("use day or hour");
            return Err(Failure(wrong));
        }
    };
    let now = app.pipeline.parts().clock.now();
    let from = now - asked.last.unwrap_or(QUALITY_LAST_DEFAULT);
    let periods = PeriodQuality::merge(catalog.quality_over_time(of, from.floor(step)).await?, step)?;
    Ok(Json(json!({"periods": periods.iter().map(quality_json).collect::<Vec<_>>()})))
}

/// A period with its scores.
pub fn quality_json(period: &PeriodQuality) -> Value {
    let rules = period.rules.iter().map(|rule| {
        json!({
            "rule": rule.rule,
            "column": rule.column,
            "mode": rule.mode,
            "failed": rule.rows,
            "score": period.score_of(rule),
        })
    });
    json!({
        "dataset": period.dataset,
        "from": period.from.to_string(),
        "counts": period.counts,
        "score": period.score(),
        "rules": rules.collect::<Vec<_>>(),
    })
}
