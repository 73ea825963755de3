//! Backups at their declared interval.

use std::path::Path;

use seawall_base::Clock;
use seawall_base::error::Result;
use seawall_catalog::MaintenanceKind;
use seawall_catalog::project::keep::Backups;

use super::{LOOK_INTERVAL, declared, is_due};
use crate::assemble::Installation;
use crate::backup::place;
use crate::cli::create_backup;
use crate::integrity::{Pace, Places};

/// Takes backups until the task is ended.
pub(super) async fn run(installation: &Installation, clock: &dyn Clock) {
    let mut tick = tokio::time::interval(LOOK_INTERVAL);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if let Err(error) = take_if_due(installation, clock).await {
            tracing::warn!(code = error.code(), %error, "a backup failed, it is tried again");
        }
    }
}

async fn take_if_due(installation: &Installation, clock: &dyn Clock) -> Result<()> {
    let Some(backup) = declared(&installation.catalog).await?.backup else { return Ok(()) };
    if !is_due(&installation.catalog, MaintenanceKind::Backup, backup.every, clock.now()).await? {
        return Ok(());
    }
    let to = place::declared(&installation.settings.project, &backup.to);
    let places = Places::of(&installation.settings.data)?;
    let (manifest, stats) = create_backup(installation, &places, &to, &Pace::unbounded(Box::new(|_, _| ()))).await?;
    if !manifest.damaged.is_empty() {
        tracing::error!(backup = manifest.id, files = manifest.damaged.len(), "damaged files were found by a backup");
    }
    tracing::info!(backup = manifest.id, new_bytes = stats.new_bytes, "backup taken");
    tokio::task::block_in_place(|| prune(&to, &places.data, &backup))
}

/// Removes the backups that are more than declared.
fn prune(to: &Path, data: &Path, backup: &Backups) -> Result<()> {
    let Some(keep) = backup.keep else { return Ok(()) };
    let store = place::existing(to, data)?;
    let (manifests, _) = store.backups()?;
    let surplus = manifests.len().saturating_sub(keep as usize);
    if surplus > 0 {
        let ids: Vec<String> = manifests[..surplus].iter().map(|manifest| manifest.id.clone()).collect();
        store.remove(&ids)?;
    }
    Ok(())
}
