//! What was done to keep the installation: backups, restores, scrubs, repairs, lifecycle runs, with what each measured.

use std::path::Path;

use seawall_base::{Error, Instant, Permit, Result};
use serde::Serialize;
use serde_json::Value;

use crate::audit::{self, Draft};
use crate::catalog::Catalog;
use crate::database::{Connection, DuringResult, Fields, Row, stored};
use crate::policy::{Action, expect_action};

/// Kind of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MaintenanceKind {
    /// A backup was taken.
    Backup,
    /// This installation was restored from a backup.
    Restore,
    /// Everything that is kept was read and compared.
    Scrub,
    /// Damages were mended.
    Repair,
    /// Lifecycle rules were carried out.
    Lifecycle,
}

impl MaintenanceKind {
    fn as_str(self) -> &'static str {
        match self {
            MaintenanceKind::Backup => "backup",
            MaintenanceKind::Restore => "restore",
            MaintenanceKind::Scrub => "scrub",
            MaintenanceKind::Repair => "repair",
            MaintenanceKind::Lifecycle => "lifecycle",
        }
    }

    fn event(self) -> &'static str {
        match self {
            MaintenanceKind::Backup => "backup_taken",
            MaintenanceKind::Restore => "restored",
            MaintenanceKind::Scrub => "scrubbed",
            MaintenanceKind::Repair => "repaired",
            MaintenanceKind::Lifecycle => "lifecycle_run",
        }
    }
}

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Maintenance {
    /// Number, from 1.
    pub seq: u64,
    /// What was done.
    pub kind: String,
    /// When it began.
    #[serde(with = "seawall_base::time::text")]
    pub at: Instant,
    /// What it measured.
    pub body: Value,
    /// Id of the permit that allowed it.
    pub permit: String,
}

impl Maintenance {
    fn from_row(row: &Row) -> Result<Maintenance> {
        Ok(Maintenance {
            seq: row.count("seq")?,
            kind: row.text("kind")?,
            at: row.instant("at")?,
            body: row.json("body")?,
            permit: row.text("permit")?,
        })
    }
}

impl Catalog {
    /// Records a run that began at `at`. Needs a permit for `administer`.
    pub async fn record_maintenance(
        &self,
        permit: &Permit,
        kind: MaintenanceKind,
        at: Instant,
        body: &Value,
    ) -> Result<()> {
        expect_action(permit, &[Action::Administer])?;
        let now = self.now();
        let mut write = self.begin().await?;
        let row = sqlx::query("SELECT COALESCE(MAX(seq), 0) AS last FROM maintenance")
            .fetch_one(write.connection())
            .await
            .during("numbering a maintenance run")?;
        sqlx::query("INSERT INTO maintenance (seq, kind, at, body, permit) VALUES ($1, $2, $3, $4, $5)")
            .bind(stored(row.count("last")? + 1)?)
            .bind(kind.as_str())
            .bind(at.0)
            .bind(body.to_string())
            .bind(permit.id())
            .execute(write.connection())
            .await
            .during("recording a maintenance run")?;
        audit::append(&mut write, now, Draft::of(kind.event(), permit, body.clone())).await?;
        write.commit().await
    }

    /// The newest run of a kind.
    pub async fn newest_maintenance(&self, kind: MaintenanceKind) -> Result<Option<Maintenance>> {
        let mut reader = self.read().await?;
        let row = sqlx::query(
            "SELECT seq, kind, at, body, permit FROM maintenance WHERE kind = $1 ORDER BY seq DESC LIMIT 1",
        )
        .bind(kind.as_str())
        .fetch_optional(&mut *reader)
        .await
        .during("reading a maintenance run")?;
        row.as_ref().map(Maintenance::from_row).transpose()
    }

    /// Writes the whole catalog as it stands at one moment into the new file `file`, also while it is written to.
    pub async fn copy_to(&self, file: &Path) -> Result<()> {
        let shown = file.to_str().ok_or_else(|| {
            Error::invalid("SW0601", format!("{} is not plain text", file.display())).hint("choose another folder")
        })?;
        self.inner.database.copy_to(shown).await
    }

    /// Ends every connection, so that all of the catalog is in its one file. Nothing can be asked afterwards.
    pub async fn close(&self) {
        self.inner.database.close().await;
    }
}

/// The newest runs, oldest of them first.
pub(crate) async fn newest(connection: &mut Connection, limit: u64) -> Result<Vec<Maintenance>> {
    let rows = sqlx::query("SELECT seq, kind, at, body, permit FROM maintenance ORDER BY seq DESC LIMIT $1")
        .bind(stored(limit)?)
        .fetch_all(connection)
        .await
        .during("listing maintenance runs")?;
    rows.iter().rev().map(Maintenance::from_row).collect()
}
