//! Models: predictions, versions, champions, decisions and their approvals.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use seawall_base::error::Result;
use seawall_base::watch::Trigger;
use seawall_base::{Error, Hash, Instant};
use seawall_catalog::policy::Action;
use seawall_pipeline::serving::Decisions;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::error::{Failure, bad_json};
use super::features::rows_of;
use crate::App;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PredictBody {
    /// One object per decision.
    rows: Vec<Map<String, Value>>,
    /// Whether reason codes are told.
    #[serde(default)]
    explain: bool,
}

/// `POST /v1/models/{model}/predict`: serves the vectors, scores them with the champion, and records both.
pub(super) async fn predict(
    State(app): State<App>,
    Path(model): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Failure> {
    let example = r#"{"rows": [{"card_id": "c1", "amount_eur": 12.5}], "explain": true}"#;
    let body: PredictBody = serde_json::from_slice(&body).map_err(|error| bad_json(&error, example))?;
    let parts = app.pipeline.parts();
    let permit = app.access.permit(&parts.catalog, &headers, Action::Predict, &model).await?;
    let now = parts.clock.now();
    let revision = app.pipeline.revision();
    let rows = rows_of(&revision.model(&model)?.set.spine, &body.rows)?;
    let count = rows.num_rows();
    let decisions = Decisions { rows, at: vec![now; count], now: vec![now; count], position: None };
    let fresh = app.pipeline.feature_freshness();
    let mut answer = app.pipeline.predict(&permit, &model, &decisions).await?;
    if !body.explain {
        answer.predictions.iter_mut().for_each(|prediction| prediction.reasons.clear());
    }
    Ok(Json(json!({
        "model": model,
        "version": answer.version,
        "predictions": answer.predictions,
        "known_at": answer.served.known_at.first().map(Instant::to_string),
        "cut": answer.cut.to_string(),
        "degraded": fresh.degraded,
        "staleness_ms": fresh.staleness_ms,
    })))
}

/// `GET /v1/models`: every declared model with its champion.
pub(super) async fn list(State(app): State<App>, headers: HeaderMap) -> Result<Json<Value>, Failure> {
    let catalog = &app.pipeline.parts().catalog;
    app.access.permit(catalog, &headers, Action::ReadMetadata, "models").await?;
    let mut models = Vec::new();
    for model in app.pipeline.revision().models.values() {
        let name = &model.model.name;
        models.push(json!({
            "name": name,
            "training_set": model.model.training_set,
            "owner": model.model.owner,
            "aliases": catalog.aliases(name).await?,
            "versions": catalog.model_versions(name).await?.len(),
        }));
    }
    Ok(Json(json!({"models": models})))
}

/// `GET /v1/models/{model}`: declaration, versions, aliases.
pub(super) async fn show(
    State(app): State<App>,
    Path(model): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Failure> {
    let catalog = &app.pipeline.parts().catalog;
    app.access.permit(catalog, &headers, Action::ReadMetadata, &model).await?;
    let revision = app.pipeline.revision();
    let declared = revision.model(&model)?;
    Ok(Json(json!({
        "declaration": declared.model,
        "inputs": declared.inputs,
        "aliases": catalog.aliases(&model).await?,
        "versions": catalog.model_versions(&model).await?,
    })))
}

#[derive(Debug, Deserialize)]
pub(super) struct AtQuery {
    at: Option<String>,
}

/// `GET /v1/models/{model}/champion?at=`: who was champion then, and why.
pub(super) async fn champion(
    State(app): State<App>,
    Path(model): Path<String>,
    Query(query): Query<AtQuery>,
    headers: HeaderMap,
) -> Result<Json<Value>, Failure> {
    let parts = app.pipeline.parts();
    app.access.permit(&parts.catalog, &headers, Action::ReadMetadata, &model).await?;
    app.pipeline.revision().model(&model)?;
    let at = match &query.at {
        Some(text) => text.parse()?,
        None => parts.clock.now(),
    };
    let reign = parts.catalog.champion_at(&model, at).await?;
    Ok(Json(json!({"model": model, "at": at.to_string(), "champion": reign})))
}

/// `GET /v1/models/{model}/decisions`: every decision with what it rests on.
pub(super) async fn decisions(
    State(app): State<App>,
    Path(model): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Failure> {
    let catalog = &app.pipeline.parts().catalog;
    app.access.permit(catalog, &headers, Action::ReadMetadata, &model).await?;
    Ok(Json(json!({"model": model, "decisions": catalog.decisions(Some(&model)).await?})))
}

/// `POST /v1/models/{model}/train`: trains now, and proposes or holds back.
pub(super) async fn train(
    State(app): State<App>,
    Path(model): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Failure> {
    let catalog = &app.pipeline.parts().catalog;
    let principal = app.access.principal(catalog, &headers).await?;
    catalog.authorize(&principal, Action::TrainModel, &model).await?;
    json_of(&app.pipeline.train_by_hand(&principal, &model).await?)
}

/// `POST /v1/models/{model}/versions/{version}/reproduce`: builds and trains again, and compares digests.
pub(super) async fn reproduce(
    State(app): State<App>,
    Path((model, version)): Path<(String, u32)>,
    headers: HeaderMap,
) -> Result<Json<Value>, Failure> {
    let catalog = &app.pipeline.parts().catalog;
    let permit = app.access.permit(catalog, &headers, Action::TrainModel, &model).await?;
    json_of(&app.pipeline.reproduce(&permit, &model, version).await?)
}

/// `GET /v1/predictions/{id}`: everything that a prediction rests on.
pub(super) async fn account(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Failure> {
    let catalog = &app.pipeline.parts().catalog;
    let permit = app.access.permit(catalog, &headers, Action::ReadRows, &id).await?;
    let account = app.pipeline.account_of(&permit, &id).await?;
    let certificate = catalog.decision_certificate(&permit, account.records.clone()).await?;
    Ok(Json(json!({"account": account, "certificate": certificate})))
}

/// `GET /v1/proposals`: what waits for approvals.
pub(super) async fn proposals(State(app): State<App>, headers: HeaderMap) -> Result<Json<Value>, Failure> {
    let catalog = &app.pipeline.parts().catalog;
    app.access.permit(catalog, &headers, Action::ReadMetadata, "proposals").await?;
    Ok(Json(json!({"proposals": catalog.open_proposals().await?})))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ApproveBody {
    /// The hash that the approval binds to, as the proposal shows it.
    binds: Hash,
    reason: String,
}

/// `POST /v1/decisions/{id}/approve`: one approval; the last one promotes.
pub(super) async fn approve(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Failure> {
    let example = r#"{"binds": "0123...", "reason": "better on every slice"}"#;
    let body: ApproveBody = serde_json::from_slice(&body).map_err(|error| bad_json(&error, example))?;
    let parts = app.pipeline.parts();
    let principal = app.access.principal(&parts.catalog, &headers).await?;
    let permit = parts.catalog.authorize(&principal, Action::ApproveDecision, &id).await?;
    let groups = principal.groups.clone();
    let state = parts.catalog.approve(&permit, &principal, &groups, &id, body.binds, &body.reason).await?;
    let promoted = match state.complete {
        true => Some(app.pipeline.promote(&id, parts.clock.now()).await?),
        false => None,
    };
    Ok(Json(json!({"proposal": state.proposal, "complete": state.complete, "promoted": promoted})))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReasonBody {
    reason: String,
}

/// `POST /v1/decisions/{id}/reject`: refuses a proposal.
pub(super) async fn reject(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Failure> {
    let body: ReasonBody =
        serde_json::from_slice(&body).map_err(|error| bad_json(&error, r#"{"reason": "the slice DE is worse"}"#))?;
    let catalog = &app.pipeline.parts().catalog;
    let principal = app.access.principal(catalog, &headers).await?;
    let permit = catalog.authorize(&principal, Action::ApproveDecision, &id).await?;
    json_of(&catalog.reject(&permit, &principal, &id, &body.reason).await?)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RollBackBody {
    /// The version that comes back; the former champion when absent.
    to: Option<u32>,
    reason: String,
}

/// `POST /v1/models/{model}/rollback`: an earlier version becomes champion again.
pub(super) async fn roll_back(
    State(app): State<App>,
    Path(model): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Failure> {
    let body: RollBackBody =
        serde_json::from_slice(&body).map_err(|error| bad_json(&error, r#"{"to": 1, "reason": "complaints"}"#))?;
    let parts = app.pipeline.parts();
    let permit = app.access.permit(&parts.catalog, &headers, Action::RollBack, &model).await?;
    let former = parts.catalog.aliases(&model).await?.former;
    let to = body.to.or(former).ok_or_else(|| {
        Error::not_found("SW0846", format!("model {model} has no former champion"))
            .hint("name a version: `seawall model show` lists them")
    })?;
    let trigger = Trigger { kind: "by_hand".into(), signal: None };
    let now = parts.clock.now();
    let decision = parts.catalog.roll_back_model(&permit, &model, to, trigger, &body.reason, now).await?;
    app.pipeline.refresh_champions().await?;
    json_of(&decision)
}

pub(super) fn json_of<T: Serialize>(value: &T) -> Result<Json<Value>, Failure> {
    let value =
        serde_json::to_value(value).map_err(|e| Error::internal("SW0893", "cannot encode the answer").because(e))?;
    Ok(Json(value))
}
