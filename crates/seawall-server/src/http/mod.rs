//! HTTP: routes and what they share.

mod answer;
mod body;
mod contracts;
mod deadline;
mod erasures;
pub mod error;
mod events;
mod feast;
mod features;
mod incidents;
pub(crate) mod look;
mod models;
mod quarantine;
mod served;
mod services;
mod tables;
mod training;
mod transforms;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};

use seawall_base::Error;
use seawall_base::error::Result;
use serde_json::Value;

use crate::App;
use crate::ingest::BODY_BYTES_MAX;

/// Every route.
pub fn router(app: App) -> Router {
    Router::new()
        .route("/health", get(look::health))
        .route("/metrics", get(look::metrics))
        .route("/v1/status", get(look::status))
        .route("/v1/datasets", get(look::datasets))
        .route("/v1/datasets/{dataset}/events", post(events::push))
        .route("/v1/datasets/{dataset}/quarantine", get(quarantine::list))
        .route("/v1/datasets/{dataset}/quarantine/{row}", get(quarantine::show))
        .route("/v1/datasets/{dataset}/quarantine/departures", get(quarantine::departures))
        .route("/v1/datasets/{dataset}/quarantine/release", post(quarantine::release))
        .route("/v1/datasets/{dataset}/quarantine/fix", post(quarantine::fix))
        .route("/v1/datasets/{dataset}/quarantine/discard", post(quarantine::discard))
        .route("/v1/datasets/{dataset}/resume", post(events::resume))
        .route("/v1/datasets/{dataset}/test", post(contracts::rows::test))
        .route("/v1/contracts", get(contracts::list))
        .route("/v1/contracts/lint", post(contracts::lint))
        .route("/v1/contracts/diff", post(contracts::diff))
        .route("/v1/contracts/test", post(contracts::rows::test_posted))
        .route("/v1/contracts/infer", post(contracts::rows::infer))
        .route("/v1/contracts/generate", post(contracts::rows::generate_posted))
        .route("/v1/contracts/export", post(contracts::export_posted))
        .route("/v1/contracts/import", post(contracts::import))
        .route("/v1/contracts/{contract}", get(contracts::show))
        .route("/v1/contracts/{contract}/export", get(contracts::export))
        .route("/v1/contracts/{contract}/generate", get(contracts::rows::generate))
        .route("/v1/tables", get(tables::list))
        .route("/v1/tables/{table}/versions", get(tables::versions))
        .route("/v1/query", post(look::query))
        .route("/v1/lineage", get(look::lineage))
        .route("/v1/quality", get(look::quality))
        .route("/v1/features", post(features::serve))
        .route("/get-online-features", post(feast::serve))
        .route("/v1/features/explain", post(features::explain))
        .route("/v1/feature-services", get(services::list))
        .route("/v1/feature-services/{service}/verify", post(services::verify))
        .route("/v1/training-sets/{name}", get(training::builds))
        .route("/v1/training-sets/{name}/build", post(training::build))
        .route("/v1/training-sets/{name}/diff", get(training::diff))
        .route("/v1/training-sets/{name}/verify", post(training::verify))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{model}", get(models::show))
        .route("/v1/models/{model}/champion", get(models::champion))
        .route("/v1/models/{model}/decisions", get(models::decisions))
        .route("/v1/models/{model}/predict", post(models::predict))
        .route("/v1/models/{model}/train", post(models::train))
        .route("/v1/models/{model}/rollback", post(models::roll_back))
        .route("/v1/models/{model}/versions/{version}/reproduce", post(models::reproduce))
        .route("/v1/predictions/{id}", get(models::account))
        .route("/v1/proposals", get(models::proposals))
        .route("/v1/decisions/{id}/approve", post(models::approve))
        .route("/v1/decisions/{id}/reject", post(models::reject))
        .route("/v1/incidents", get(incidents::list))
        .route("/v1/incidents/{id}", get(incidents::show))
        .route("/v1/incidents/{id}/close", post(incidents::close))
        .route("/v1/transforms", get(transforms::list))
        .route("/v1/erasures", post(erasures::erase))
        .fallback(error::unknown_route)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(app.clone(), deadline::keep))
        .layer(middleware::from_fn_with_state(app.clone(), count))
        .with_state(app)
}

pub use contracts::ContractJobs;
pub(crate) use events::IDEMPOTENCY_KEY;
pub use features::json_rows;
pub use look::{QUALITY_LAST_DEFAULT, quality_json};

/// Answers one request in this process, as the running server would, for a command that runs without one.
pub async fn answer(app: &App, path: &str, body: &Value) -> Result<Value> {
    use axum::body::Body;
    use tower::ServiceExt;
    let failed = |error: String| Error::internal("SW0893", format!("cannot answer {path} in this process: {error}"));
    let request = Request::post(path)
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .map_err(|e| failed(e.to_string()))?;
    let response = router(app.clone()).oneshot(request).await.map_err(|e| failed(e.to_string()))?;
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.map_err(|e| failed(e.to_string()))?;
    let answer: Value = serde_json::from_slice(&bytes).map_err(|e| failed(e.to_string()))?;
    match answer.get("error") {
        None => Ok(answer),
        Some(error) => Err(error::told(error)),
    }
}

async fn count(State(app): State<App>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("unknown", |path| path.as_str()).to_owned();
    let response = next.run(request).await;
    app.metrics.answered(&route, response.status().as_u16());
    response
}
