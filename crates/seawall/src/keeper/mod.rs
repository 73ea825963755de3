//! The keeper: what a server does in the background so that what it keeps stays whole and can be brought back.
//!
//! It follows the declaration of recovery of the applied project: [`backups`] are taken at their interval, [`scrub`] reads
//! everything again at a bounded rate, [`lifecycle`] gives up what the project's rules say. All look at what is on record of the last run, so a restart neither skips nor
//! repeats one. A failure is logged and tried again at the next look.

mod backups;
mod lifecycle;
mod scrub;
mod state;

use std::sync::Arc;
use std::time::Duration;

use seawall_base::error::Result;
use seawall_base::{Clock, Instant, Span};
use seawall_catalog::project::keep::Recovery;
use seawall_catalog::{Catalog, MaintenanceKind};

use crate::assemble::Installation;

pub use state::state;

/// How often the keeper looks whether something is due.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Keeps until the task is ended.
pub async fn keep(installation: Arc<Installation>, clock: Arc<dyn Clock>) {
    tokio::join!(
        backups::run(&installation, clock.as_ref()),
        scrub::run(&installation, clock.as_ref()),
        lifecycle::run(&installation, &clock)
    );
}

/// What the applied project declares.
async fn declared(catalog: &Catalog) -> Result<Recovery> {
    match catalog.active().await? {
        Some(active) => Recovery::of(&active.project),
        None => Ok(Recovery::default()),
    }
}

/// Whether the newest run of a kind began at least `every` ago.
async fn is_due(catalog: &Catalog, kind: MaintenanceKind, every: Span, now: Instant) -> Result<bool> {
    let newest = catalog.newest_maintenance(kind).await?;
    Ok(newest.is_none_or(|newest| newest.at + every <= now))
}
