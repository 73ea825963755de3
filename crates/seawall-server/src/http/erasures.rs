//! Erasures: a person is taken out of the log and of the tables.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use seawall_catalog::policy::Action;
use seawall_pipeline::erasure::Whom;
use serde::Deserialize;
use serde_json::Value;

use super::error::{Failure, bad_json};
use super::models::json_of;
use crate::App;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Erase {
    whom: Whom,
    reason: String,
}

pub(super) async fn erase(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Result<Json<Value>, Failure> {
    let example =
        r#"{"whom": {"subject": {"column": "customer_id", "id": "c-17"}}, "reason": "asked for on 2026-05-01"}"#;
    let erase: Erase = serde_json::from_slice(&body).map_err(|error| bad_json(&error, example))?;
    let catalog = &app.pipeline.parts().catalog;
    let permit = app.access.permit(catalog, &headers, Action::Administer, "erasure").await?;
    json_of(&app.pipeline.erase(&permit, &erase.whom, &erase.reason).await?)
}
