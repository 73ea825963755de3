//! Upkeep of tables: small files are merged and old versions given up, in the background and by command.
//!
//! A task looks at one table after the other and does one bounded run at a time, so that a commit never waits long for
//! it. A table that another process works on, or that is away, is left for the next look. What is bound to a version (a
//! built training set, a certificate) keeps it readable; a vacuum is announced to the catalog before it removes anything.

use std::sync::Arc;
use std::time::Duration;

use seawall_base::declare::TableSettings;
use seawall_base::error::Result;
use seawall_base::upkeep::{Compaction, CompactionTargets, Deletion, RowsToDelete, StagedFiles, Vacuum, VacuumOptions};
use seawall_base::{Clock, Error, ErrorKind, Instant, Permit, Span, TableName, TableStore, TableUpkeep};
use seawall_catalog::policy::Action;
use seawall_catalog::{Catalog, Effect};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{debug, info, warn};

use crate::pipeline::Parts;
use crate::table_writer::table_commit;

/// Runs that one table gets per look, so that the others get theirs.
const RUNS_PER_LOOK_MAX: usize = 4;
/// How often old versions are looked for.
const VACUUM_INTERVAL: Span = Span(6 * Span::HOUR.0);
/// Kind of the intent to give up versions of a table.
const VACUUM: &str = "vacuum_table";

/// What upkeep works on.
#[derive(Clone)]
pub struct Tables {
    /// Reads tables.
    pub tables: Arc<dyn TableStore>,
    /// Looks after them.
    pub upkeep: Arc<dyn TableUpkeep>,
    /// Keeps what is bound, announced and done.
    pub catalog: Arc<Catalog>,
    /// Real or driven time.
    pub clock: Arc<dyn Clock>,
}

impl Tables {
    /// One run over a table, recorded in the ledger with the hashes of the files that it wrote.
    pub async fn compact(&self, permit: &Permit, table: &TableName, targets: &CompactionTargets) -> Result<Compaction> {
        let run = self.upkeep.compact(permit, table, targets).await?;
        if run.merged_files > 0 {
            let snapshot = self.tables.snapshot(table, Some(run.version)).await?;
            self.catalog.record_table_version(permit, &table_commit(table, &snapshot, self.clock.now())).await?;
            info!(%table, version = run.version.0, merged = run.merged_files, rows = run.rows, "files merged");
        }
        Ok(run)
    }

    /// Gives up versions that ended longer than `keep` ago and that nothing is bound to.
    pub async fn vacuum(&self, permit: &Permit, table: &TableName, keep: Span, dry_run: bool) -> Result<Vacuum> {
        let pins = self.catalog.pinned_versions().await?;
        let pinned = pins.get(table.as_str()).cloned().unwrap_or_default();
        let plan = VacuumOptions { pinned: pinned.clone(), keep, staged: StagedFiles::Keep, dry_run: true };
        let planned = self.upkeep.vacuum(permit, table, &plan).await?;
        if dry_run || (planned.data_files == 0 && planned.log_files == 0) {
            return Ok(planned);
        }
        self.close_interrupted(permit, table).await?;
        let expected = json!({"keep": keep, "pinned": pinned, "readable_from": planned.readable_from});
        let effect = Effect { kind: VACUUM.into(), target: table.to_string(), expected };
        let intent = self.catalog.open_intent(permit, &effect).await?;
        let vacuum = self.upkeep.vacuum(permit, table, &VacuumOptions { dry_run: false, ..plan }).await?;
        self.catalog.resolve_intent(permit, &intent, &json!(vacuum)).await?;
        info!(%table, files = vacuum.data_files, from = vacuum.readable_from.0, "old versions given up");
        Ok(vacuum)
    }

    /// Deletes rows, recorded in the ledger with the hashes of the files that it wrote. Older versions keep them.
    pub async fn delete(&self, permit: &Permit, table: &TableName, rows: &RowsToDelete) -> Result<Deletion> {
        let deletion = self.upkeep.delete_rows(permit, table, rows).await?;
        if deletion.rows > 0 {
            let snapshot = self.tables.snapshot(table, Some(deletion.version)).await?;
            self.catalog.record_table_version(permit, &table_commit(table, &snapshot, self.clock.now())).await?;
            info!(%table, version = deletion.version.0, rows = deletion.rows, reason = rows.reason, "rows deleted");
        }
        Ok(deletion)
    }

    /// A vacuum that a crash cut off is finished by the next one, which lists what is left.
    async fn close_interrupted(&self, permit: &Permit, table: &TableName) -> Result<()> {
        for intent in self.catalog.open_intents().await? {
            if intent.effect.kind == VACUUM && intent.effect.target == table.as_str() {
                self.catalog.resolve_intent(permit, &intent.id, &json!({"interrupted": true})).await?;
            }
        }
        Ok(())
    }
}

/// The background task.
pub(crate) struct Upkeep {
    settings: watch::Sender<TableSettings>,
    task: JoinHandle<()>,
}

impl Upkeep {
    /// Starts looking after every table. The task ends when this is dropped, after the run that it is in.
    pub(crate) fn start(parts: &Parts, settings: TableSettings, interval: Duration) -> Upkeep {
        let tables = Tables {
            tables: parts.tables.clone(),
            upkeep: parts.upkeep.clone(),
            catalog: parts.catalog.clone(),
            clock: parts.clock.clone(),
        };
        let permit = parts.catalog.system_permit(Action::WriteTable, "*");
        let (settings, followed) = watch::channel(settings);
        let task = tokio::spawn(look_after(tables, permit, followed, interval));
        Upkeep { settings, task }
    }

    /// The settings that are followed.
    pub(crate) fn settings(&self) -> TableSettings {
        *self.settings.borrow()
    }

    /// Follows the settings of another revision.
    pub(crate) fn follow(&self, settings: TableSettings) {
        self.settings.send_replace(settings);
    }

    /// Ends the task after the run that it is in.
    pub(crate) async fn stop(self) {
        drop(self.settings);
        // A look that failed was told when it did.
        let _ = self.task.await;
    }
}

async fn look_after(tables: Tables, permit: Permit, mut settings: watch::Receiver<TableSettings>, interval: Duration) {
    let mut tick = tokio::time::interval(interval);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    tick.tick().await;
    let mut vacuumed_at = Instant::MIN;
    loop {
        tokio::select! {
            changed = settings.changed() => if changed.is_err() { return },
            _ = tick.tick() => {
                let now = tables.clock.now();
                let vacuums = now.0.saturating_sub(vacuumed_at.0) >= VACUUM_INTERVAL.0;
                if vacuums {
                    vacuumed_at = now;
                }
                if let Err(error) = look(&tables, &permit, &settings, vacuums).await {
                    warn!(code = error.code(), %error, "tables cannot be looked after now");
                }
            }
        }
    }
}

/// Looks at every table once; ends early when the task is to end.
async fn look(
    tables: &Tables,
    permit: &Permit,
    settings: &watch::Receiver<TableSettings>,
    vacuums: bool,
) -> Result<()> {
    for table in tables.tables.tables().await? {
        if settings.has_changed().is_err() {
            return Ok(());
        }
        let current = *settings.borrow();
        excused(&table, compact_some(tables, permit, &table, &current.targets()).await)?;
        if vacuums {
            excused(&table, tables.vacuum(permit, &table, current.keep_versions, false).await.map(|_| ()))?;
        }
    }
    Ok(())
}

async fn compact_some(tables: &Tables, permit: &Permit, table: &TableName, targets: &CompactionTargets) -> Result<()> {
    for _ in 0..RUNS_PER_LOOK_MAX {
        if !tables.compact(permit, table, targets).await?.more {
            break;
        }
    }
    Ok(())
}

/// What is wrong with one table does not keep the others from being looked after; a store that is away does.
fn excused(table: &TableName, outcome: Result<()>) -> Result<()> {
    match outcome {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::Conflict => {
            debug!(%table, %error, "another operation works on the table");
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::Unavailable => Err(error),
        Err(error) => {
            warn_of(table, &error);
            Ok(())
        }
    }
}

fn warn_of(table: &TableName, error: &Error) {
    warn!(%table, code = error.code(), %error, "table cannot be looked after");
}
