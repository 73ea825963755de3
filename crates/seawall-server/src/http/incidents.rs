//! Incidents: what went wrong, once per cause.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use seawall_base::watch::Closed;
use seawall_catalog::policy::Action;
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::{Failure, bad_json};
use super::models::json_of;
use crate::App;

#[derive(Debug, Deserialize)]
pub(super) struct ListQuery {
    /// Closed ones too.
    #[serde(default)]
    all: bool,
}

pub(super) async fn list(
    State(app): State<App>,
    Query(query): Query<ListQuery>,
    headers: HeaderMap,
) -> Result<Json<Value>, Failure> {
    let catalog = &app.pipeline.parts().catalog;
    app.access.permit(catalog, &headers, Action::ReadMetadata, "incidents").await?;
    Ok(Json(json!({"incidents": catalog.incidents(!query.all).await?})))
}

pub(super) async fn show(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Failure> {
    let catalog = &app.pipeline.parts().catalog;
    app.access.permit(catalog, &headers, Action::ReadMetadata, &id).await?;
    json_of(&catalog.incident(&id).await?)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CloseBody {
    reason: String,
}

pub(super) async fn close(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Failure> {
    let body: CloseBody = serde_json::from_slice(&body)
        .map_err(|error| bad_json(&error, r#"{"reason": "the producer was repaired"}"#))?;
    let parts = app.pipeline.parts();
    let principal = app.access.principal(&parts.catalog, &headers).await?;
    let permit = parts.catalog.authorize(&principal, Action::ManageIncidents, &id).await?;
    let closed = Closed { at: parts.clock.now(), by: principal.name, reason: body.reason };
    json_of(&parts.catalog.close_incident(&permit, &id, closed).await?)
}
