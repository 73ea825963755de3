//! Transforms: how each stands, and what its last run read and made.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use seawall_catalog::policy::Action;
use serde_json::{Value, json};

use super::error::Failure;
use crate::App;

pub(super) async fn list(State(app): State<App>, headers: HeaderMap) -> Result<Json<Value>, Failure> {
    let catalog = &app.pipeline.parts().catalog;
    app.access.permit(catalog, &headers, Action::ReadMetadata, "transforms").await?;
    Ok(Json(json!({"transforms": app.pipeline.transforms().await?})))
}
