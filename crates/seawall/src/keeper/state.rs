//! Whether the recovery objectives are met: declared beside measured.

use seawall_base::error::Result;
use seawall_base::{Instant, Span};
use seawall_catalog::{Catalog, Maintenance, MaintenanceKind};
use serde::Serialize;
use serde_json::Value;

use super::declared;

/// Objectives and what was measured.
#[derive(Debug, Serialize)]
pub struct State {
    /// The recovery point objective, in milliseconds.
    pub rpo_ms: Option<i64>,
    /// The age of the newest backup: what a lost disk would cost now.
    pub backup_age_ms: Option<i64>,
    /// Whether that is within the objective; absent without one.
    pub rpo_met: Option<bool>,
    /// The recovery time objective, in milliseconds.
    pub rto_ms: Option<i64>,
    /// How long the last restore of this installation took, its check included.
    pub restore_ms: Option<i64>,
    /// Whether that was within the objective; absent without one, or when nothing was ever restored.
    pub rto_met: Option<bool>,
    /// The newest backup.
    pub last_backup: Option<Maintenance>,
    /// The newest check in the background.
    pub last_scrub: Option<Maintenance>,
}

/// The state at `now`.
pub async fn state(catalog: &Catalog, now: Instant) -> Result<State> {
    let declared = declared(catalog).await?;
    let newest = async |kind| catalog.newest_maintenance(kind).await;
    let last_backup = newest(MaintenanceKind::Backup).await?;
    let last_scrub = newest(MaintenanceKind::Scrub).await?;
    let restored = newest(MaintenanceKind::Restore).await?;
    let age = last_backup.as_ref().map(|backup| now - backup.at);
    let restore_ms = restored.and_then(|run| run.body.get("elapsed_ms").and_then(Value::as_i64));
    let milliseconds = |span: Span| span.0 / 1_000;
    let (rpo_ms, rto_ms) = (declared.rpo.map(milliseconds), declared.rto.map(milliseconds));
    Ok(State {
        rpo_ms,
        backup_age_ms: age.map(milliseconds),
        rpo_met: declared.rpo.map(|rpo| age.is_some_and(|age| age <= rpo)),
        rto_ms,
        restore_ms,
        rto_met: rto_ms.zip(restore_ms).map(|(objective, took)| took <= objective),
        last_backup,
        last_scrub,
    })
}

impl State {
    /// One line for people; none when there is nothing to tell.
    pub fn line(&self) -> Option<String> {
        let age = match self.backup_age_ms {
            Some(age) => format!("newest backup {} s old", age / 1_000),
            None => "no backup was taken".to_owned(),
        };
        let rpo = self.rpo_ms.map(|rpo| {
            let met = if self.rpo_met == Some(true) { "met" } else { "MISSED" };
            format!(", RPO {} s {met}", rpo / 1_000)
        });
        let rto = self.rto_ms.map(|rto| match (self.restore_ms, self.rto_met) {
            (Some(took), Some(met)) => {
                let met = if met { "met" } else { "MISSED" };
                format!(", RTO {} s {met} by a restore in {took} ms", rto / 1_000)
            }
            _ => format!(", RTO {} s never measured by a restore", rto / 1_000),
        });
        let is_silent = self.backup_age_ms.is_none() && rpo.is_none() && rto.is_none();
        (!is_silent).then(|| format!("recovery: {age}{}{}", rpo.unwrap_or_default(), rto.unwrap_or_default()))
    }
}
