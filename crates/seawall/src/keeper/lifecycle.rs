//! Lifecycle rules at their declared interval.

use std::sync::Arc;

use seawall_base::Clock;
use seawall_base::error::Result;
use seawall_catalog::MaintenanceKind;
use seawall_catalog::policy::Action;
use seawall_catalog::project::keep::Lifecycle;
use seawall_pipeline::upkeep::Tables;

use super::{LOOK_INTERVAL, is_due};
use crate::assemble::Installation;
use crate::lifecycle;

/// Carries rules out until the task is ended.
pub(super) async fn run(installation: &Installation, clock: &Arc<dyn Clock>) {
    let mut tick = tokio::time::interval(LOOK_INTERVAL);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if let Err(error) = run_if_due(installation, clock).await {
            tracing::warn!(code = error.code(), %error, "lifecycle rules failed, they are tried again");
        }
    }
}

async fn run_if_due(installation: &Installation, clock: &Arc<dyn Clock>) -> Result<()> {
    let catalog = &installation.catalog;
    let Some(active) = catalog.active().await? else { return Ok(()) };
    let Some(rules) = Lifecycle::of(&active.project)? else { return Ok(()) };
    if !is_due(catalog, MaintenanceKind::Lifecycle, rules.every, clock.now()).await? {
        return Ok(());
    }
    let tables = Tables {
        tables: installation.tables.clone(),
        upkeep: installation.tables.clone(),
        catalog: catalog.clone(),
        clock: clock.clone(),
    };
    let permit = catalog.system_permit(Action::Administer, "lifecycle");
    let plan = lifecycle::run(installation, &tables, &permit, &rules, clock.now()).await?;
    tracing::info!(steps = plan.steps.len(), stays = plan.stays.len(), "lifecycle rules carried out");
    Ok(())
}
