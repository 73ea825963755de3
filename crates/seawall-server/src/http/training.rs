//! Building training sets and proving that they equal what was served.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use seawall_base::{Error, TableName, TableVersion};
use seawall_catalog::policy::Action;
use seawall_pipeline::training::{BuiltTrainingSet, Difference};
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::Failure;
use crate::App;

/// The builds of a training set, oldest first, and the columns that order its rows after the decision time.
pub(super) async fn builds(
    State(app): State<App>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Failure> {
    let catalog = &app.pipeline.parts().catalog;
    app.access.permit(catalog, &headers, Action::ReadMetadata, &name).await?;
    let revision = app.pipeline.revision();
    let key = &revision.training_set(&name)?.spine.primary_key;
    let builds = catalog.training_sets(&name).await?;
    Ok(Json(json!({"training_set": name, "table": TableName::training_set(&name)?, "key": key, "builds": builds})))
}

pub(super) async fn build(
    State(app): State<App>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Json<BuiltTrainingSet>, Failure> {
    let parts = app.pipeline.parts();
    let permit = app.access.permit(&parts.catalog, &headers, Action::BuildTrainingSet, &name).await?;
    let (built, _) = app.pipeline.build_training_set(&permit, &name, parts.clock.now()).await?;
    Ok(Json(built))
}

/// Which two builds are compared.
#[derive(Debug, Deserialize)]
pub(super) struct Versions {
    from: u64,
    until: u64,
}

/// What changed between two builds, as the caller may read their rows.
pub(super) async fn diff(
    State(app): State<App>,
    Path(name): Path<String>,
    Query(versions): Query<Versions>,
    headers: HeaderMap,
) -> Result<Json<Difference>, Failure> {
    let catalog = &app.pipeline.parts().catalog;
    let table = TableName::training_set(&name)?.to_string();
    let permit = app.access.permit(catalog, &headers, Action::ReadRows, &table).await?;
    let (from, until) = (TableVersion(versions.from), TableVersion(versions.until));
    Ok(Json(app.pipeline.diff_training_set(&permit, &name, from, until).await?))
}

pub(super) async fn verify(
    State(app): State<App>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Failure> {
    let parts = app.pipeline.parts();
    let permit = app.access.permit(&parts.catalog, &headers, Action::VerifySkew, &name).await?;
    let verified = app.pipeline.verify_skew_as_of(&permit, &name, None).await?;
    let certificate = serde_json::to_value(&verified.certificate)
        .map_err(|e| Error::internal("SW0893", "cannot encode the answer").because(e))?;
    Ok(Json(certificate))
}
