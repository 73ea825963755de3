//! Carrying out a plan.

use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use seawall_base::error::Result;
use seawall_base::upkeep::RowsToDelete;
use seawall_base::{Error, Instant, Permit};
use seawall_catalog::project::keep::Lifecycle;
use seawall_catalog::{Effect, MaintenanceKind};
use seawall_pipeline::upkeep::Tables;
use serde_json::json;

use super::plan::older_than;
use super::{Plan, Step, Work};
use crate::assemble::Installation;

/// Kind of the intents of runs.
const LIFECYCLE: &str = "lifecycle";

/// Makes a plan and carries it out, announced in the catalog before and recorded after. A step that fails ends the run; the
/// next one goes on.
pub async fn run(
    installation: &Installation,
    tables: &Tables,
    permit: &Permit,
    lifecycle: &Lifecycle,
    now: Instant,
) -> Result<Plan> {
    let catalog = &installation.catalog;
    close_interrupted(installation, permit).await?;
    let plan = super::plan(installation, tables, permit, lifecycle, now).await?;
    if !plan.steps.is_empty() {
        let effect = Effect { kind: LIFECYCLE.into(), target: "*".into(), expected: json!({"plan": plan}) };
        let intent = catalog.open_intent(permit, &effect).await?;
        for step in &plan.steps {
            carry_out(installation, tables, permit, lifecycle, step, now).await?;
            tracing::info!(object = step.object, what = step.what, rule = step.why, "given up");
        }
        catalog.resolve_intent(permit, &intent, &json!({"done": true, "steps": plan.steps.len()})).await?;
    }
    catalog.record_maintenance(permit, MaintenanceKind::Lifecycle, now, &json!({"plan": plan})).await?;
    Ok(plan)
}

/// A run that was cut off is finished by the next one, whose plan has what is left.
async fn close_interrupted(installation: &Installation, permit: &Permit) -> Result<()> {
    for intent in installation.catalog.open_intents().await? {
        if intent.effect.kind == LIFECYCLE {
            installation.catalog.resolve_intent(permit, &intent.id, &json!({"interrupted": true})).await?;
        }
    }
    Ok(())
}

async fn carry_out(
    installation: &Installation,
    tables: &Tables,
    permit: &Permit,
    lifecycle: &Lifecycle,
    step: &Step,
    now: Instant,
) -> Result<()> {
    match &step.work {
        Work::Versions { table, keep } => tables.vacuum(permit, table, *keep, false).await.map(|_| ()),
        Work::Quarantine { table, keep } => {
            let keep = *keep;
            let select = move |rows: &RecordBatch| Ok(BooleanArray::from(older_than(rows, now, keep)?));
            let rows = RowsToDelete { reason: step.why.clone(), select: Arc::new(select) };
            tables.delete(permit, table, &rows).await.map(|_| ())
        }
        Work::Model { digest } => {
            let folder = installation.settings.data.join("models");
            let to = lifecycle.move_models_to.as_ref().map(|to| installation.settings.project.join(to));
            let digest = *digest;
            let retire = move || seawall_model::retire::retire(&folder, digest, to.as_deref(), now);
            let retired = tokio::task::spawn_blocking(retire).await;
            retired.map_err(|e| Error::internal("SW1623", "retiring a model was cut off").because(e))?
        }
    }
}
