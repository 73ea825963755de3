//! Tables: their files and their versions.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use seawall_base::TableName;
use seawall_catalog::policy::Action;
use serde_json::{Value, json};

use super::error::Failure;
use crate::App;

/// Every table with its files, measured by the settings of the revision that runs.
pub(super) async fn list(State(app): State<App>, headers: HeaderMap) -> Result<Json<Value>, Failure> {
    let parts = app.pipeline.parts();
    app.access.permit(&parts.catalog, &headers, Action::ReadMetadata, "tables").await?;
    let targets = app.pipeline.table_settings().targets();
    let mut tables = Vec::new();
    for table in parts.tables.tables().await? {
        let files = parts.upkeep.files(&table, &targets).await?;
        tables.push(json!({"table": table, "files": files}));
    }
    Ok(Json(json!({"tables": tables})))
}

/// The commits of a table, oldest first.
pub(super) async fn versions(
    State(app): State<App>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Failure> {
    let parts = app.pipeline.parts();
    app.access.permit(&parts.catalog, &headers, Action::ReadMetadata, &name).await?;
    let table = TableName::new(name)?;
    let versions = parts.upkeep.versions(&table).await?;
    Ok(Json(json!({"table": table, "versions": versions})))
}
