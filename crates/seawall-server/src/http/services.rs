//! Feature services: what there is, their vectors, and the proof that recorded ones can be computed again.

use std::sync::Arc;

use arrow::array::RecordBatch;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use seawall_base::declare::LogShare;
use seawall_base::error::Result;
use seawall_base::{Error, Instant, Permit};
use seawall_catalog::policy::Action;
use seawall_pipeline::Pipeline;
use seawall_pipeline::service::ServedService;
use seawall_pipeline::serving::Answer;
use serde_json::{Map, Value, json};

use super::error::Failure;
use super::features::{check_size, name_of, rows_of};
use super::served::Served;
use crate::App;

#[cfg(test)]
mod tests;

/// The feature services of the running revision, with what was counted of each since the start.
pub(super) async fn list(State(app): State<App>, headers: HeaderMap) -> Result<Json<Value>, Failure> {
    app.access.permit(&app.pipeline.parts().catalog, &headers, Action::ReadMetadata, "feature_services").await?;
    Ok(Json(json!({"feature_services": services_json(&app.pipeline)})))
}

/// Replays every recorded vector of a service; the certificate is the answer.
pub(super) async fn verify(
    State(app): State<App>,
    Path(service): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Failure> {
    let resource = name_of(&service);
    let permit = app.access.permit(&app.pipeline.parts().catalog, &headers, Action::VerifySkew, resource).await?;
    let verified = app.pipeline.verify_service(&permit, &service).await?;
    let certificate = serde_json::to_value(&verified.certificate)
        .map_err(|e| Error::internal("SW0893", "cannot encode the answer").because(e))?;
    Ok(Json(certificate))
}

/// Serves vectors, of the present or from the tables, and records what the service says.
pub(super) async fn serve(
    app: &App,
    permit: &Permit,
    service: &Arc<ServedService>,
    rows: &[Map<String, Value>],
    at: Option<Instant>,
) -> Result<Served> {
    let set = &service.set;
    check_size(rows.len(), set.feature_columns().len())?;
    let rows = rows_of(&set.spine, rows)?;
    let fresh = app.pipeline.feature_freshness();
    let now = app.pipeline.parts().clock.now();
    match app.pipeline.serve_service(service, rows.clone(), at.unwrap_or(now)).await {
        Ok(answer) => {
            let (known_at, cut) = (answer.known_at.first().copied(), Some(answer.cut.clone()));
            let (rows, features) = features_of(service, &answer)?;
            Ok(Served { rows, features, status: answer.status, source: Some("online"), known_at, cut, fresh })
        }
        // The online store only knows the present; a given time of the past is answered from the tables, and says so.
        Err(error) if error.kind() == seawall_base::ErrorKind::Invalid => {
            let Some(at) = at else { return Err(error) };
            let answer = app.pipeline.service_as_of(permit, service, rows, at).await?;
            let (rows, features) = features_of(service, &answer)?;
            let fresh = app.pipeline.table_freshness();
            let (status, source) = (answer.status, Some("tables"));
            Ok(Served { rows, features, status, source, known_at: Some(at), cut: None, fresh })
        }
        Err(error) => Err(error),
    }
}

/// The features of an answer and what is derived: it ends with them.
pub(super) fn features_of(service: &ServedService, answer: &Answer) -> Result<(RecordBatch, Vec<String>)> {
    let features = service.set.feature_columns();
    let first = answer.rows.num_columns() - features.len();
    let places: Vec<usize> = (first..answer.rows.num_columns()).collect();
    Ok((answer.rows.project(&places)?, features))
}

/// Every service with its request, its features, and what was counted.
pub(super) fn services_json(pipeline: &Pipeline) -> Vec<Value> {
    let revision = pipeline.revision();
    let counts = pipeline.service_counts();
    let columns = |fields: &[arrow::datatypes::FieldRef]| -> Vec<Value> {
        fields.iter().map(|field| json!({"name": field.name(), "type": field.data_type().to_string()})).collect()
    };
    let told = revision.services.iter().map(|(id, service)| {
        let set = &service.set;
        let vector = set.served_schema.fields();
        json!({
            "service": id.to_string(),
            "request": columns(set.spine.schema.fields()),
            "features": columns(&vector[vector.len() - set.feature_columns().len()..]),
            "budget": service.service.budget.map(|budget| budget.to_string()),
            "log": share_text(service.service.log),
            "table": (!service.service.log.is_none()).then(|| set.served_table.to_string()),
            "counts": counts.get(id).cloned().unwrap_or_default(),
        })
    });
    told.collect()
}

/// As declarations write it.
fn share_text(share: LogShare) -> String {
    match share {
        LogShare(0) => "none".to_owned(),
        LogShare::ALL => "all".to_owned(),
        LogShare(millionths) => {
            let text = format!("{}.{:04}", millionths / 10_000, millionths % 10_000);
            format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
        }
    }
}
