//! Erasing a person: the key of what is sealed in the log is destroyed, and the rows go from the tables.
//!
//! An erasure is announced to the catalog first, without the person's id: a keyed hash stands for it. Then the key is
//! destroyed, which takes the personal fields out of the log and of every copy of it at once; then every table with a
//! column of that name loses the person's rows under its lease, quarantined ones included, and gives up the versions that
//! still show them; features over them are folded anew. Here an erasure outranks what is bound to those versions; the catalog records which were. What is cut
//! off is done by running it again: nothing of it does harm twice.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use seawall_base::declare::FeatureView;
use seawall_base::error::Result;
use seawall_base::upkeep::{RowsToDelete, SelectRows, StagedFiles, VacuumOptions};
use seawall_base::{Error, Permit, Span, TableName, TableVersion};
use seawall_catalog::Effect;
use seawall_catalog::policy::Action;
use seawall_storage::keys::KeyRing;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tracing::{info, warn};

use crate::backfill;
use crate::pipeline::{Parts, Pipeline};
use crate::sealing::{subject_text, whole_dataset};
use crate::upkeep::Tables;

#[cfg(test)]
mod tests;

/// Kind of the intents of erasures.
pub const ERASURE: &str = "erasure";
/// How the name of a quarantine's table ends.
const QUARANTINE: &str = "__quarantine";
/// What an erasure of this release leaves.
const NOT_REACHED: [&str; 3] = [
    "models that were trained on the rows",
    "tables in backups that were taken before: prune those backups",
    "copies that were made outside of Seawall",
];

/// Whom an erasure is about.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Whom {
    /// The person whom a column of this name names so.
    Subject {
        /// The column, as contracts name it by `seawall.subject`.
        column: String,
        /// The person's id.
        id: String,
    },
    /// Everybody in the rows of a dataset that name nobody.
    Unnamed {
        /// The dataset.
        dataset: String,
    },
}

/// What an erasure did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Erasure {
    /// What stands for the person on record.
    pub subject: String,
    /// Id of the intent in the catalog.
    pub intent: String,
    /// Keys that were destroyed; 0 when there was none any more.
    pub keys_destroyed: u64,
    /// Tables that lost rows, or versions that showed such rows.
    pub tables: Vec<ErasedTable>,
    /// What it does not reach.
    pub not_reached: Vec<String>,
}

/// What an erasure did to a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasedTable {
    /// The table.
    pub table: String,
    /// Rows that are gone from its newest version.
    pub rows: u64,
    /// That version.
    pub version: TableVersion,
    /// From this version on all can be read.
    pub readable_from: TableVersion,
    /// Versions that something was bound to, and that cannot be read any more.
    pub unbound: Vec<TableVersion>,
}

impl Pipeline {
    /// Erases `whom`. Returns once nothing of it can be read from the log or from tables.
    pub async fn erase(&self, permit: &Permit, whom: &Whom, reason: &str) -> Result<Erasure> {
        if reason.trim().is_empty() {
            return Err(
                Error::invalid("SW1611", "an erasure needs a reason").hint("give --reason TEXT: it is recorded")
            );
        }
        let ring = &self.parts.keys;
        let (name, subject) = match whom {
            Whom::Subject { column, id } => {
                self.check_column(column)?;
                let id = id.trim();
                if id.is_empty() {
                    return Err(Error::invalid("SW1610", format!("{column}= names nobody"))
                        .hint("write COLUMN=ID, such as customer_id=c-17"));
                }
                (column, ring.subject(column, id))
            }
            Whom::Unnamed { dataset } => {
                self.revision().dataset(dataset)?;
                (dataset, whole_dataset(ring, dataset))
            }
        };
        let _nothing_is_derived = self.deriving.lock().await;
        // What was acknowledged before is in tables afterwards, so that it goes from there too.
        self.catch_up().await?;
        let subject_mark = format!("{name}:{}", KeyRing::mark(subject));
        let expected = json!({"reason": reason, "has_key": ring.has(subject)});
        let effect = Effect { kind: ERASURE.into(), target: subject_mark.clone(), expected };
        let intent = self.parts.catalog.open_intent(permit, &effect).await?;
        let (keys, at) = (ring.clone(), self.parts.clock.now());
        let destroyed = tokio::task::spawn_blocking(move || keys.destroy(&[subject], at));
        let destroyed =
            destroyed.await.map_err(|e| Error::internal("SW1606", "an erasure was cut off").because(e))??;
        let tables = match whom {
            Whom::Subject { column, id } => self.erase_rows(permit, column, id.trim()).await?,
            Whom::Unnamed { .. } => Vec::new(),
        };
        self.forget_derived(&tables).await?;
        self.rebuild_features(&tables).await?;
        let not_reached = NOT_REACHED.map(str::to_owned).to_vec();
        let (subject, intent_id) = (subject_mark, intent.to_string());
        let keys_destroyed = destroyed.len() as u64;
        let erasure = Erasure { subject, intent: intent_id, keys_destroyed, tables, not_reached };
        self.parts.catalog.resolve_intent(permit, &intent, &json!({"done": true, "erasure": erasure})).await?;
        info!(subject = erasure.subject, tables = erasure.tables.len(), "a subject was erased");
        Ok(erasure)
    }

    /// What transforms make is compared with what deduplication knows, which must not be what went: a person who comes back
    /// with the same values would be missing.
    async fn forget_derived(&self, erased: &[ErasedTable]) -> Result<()> {
        let revision = self.revision();
        let lost_rows = |dataset: &&String| erased.iter().any(|table| table.rows > 0 && table.table == **dataset);
        let derived = revision.transforms.iter().map(|one| &one.transform.to).filter(lost_rows);
        let names: BTreeSet<String> = derived.cloned().collect();
        if !names.is_empty() {
            let mut order = self.order.lock().await;
            self.rebuild_keys(&revision, &names, &mut order).await?;
        }
        self.attempts.look_again();
        Ok(())
    }

    /// Folds the features of tables that lost rows anew, from what the tables still show.
    async fn rebuild_features(&self, erased: &[ErasedTable]) -> Result<()> {
        let revision = self.revision();
        let lost_rows = |view: &&FeatureView| erased.iter().any(|table| table.rows > 0 && table.table == view.from);
        let views: Vec<_> = revision.views.iter().filter(lost_rows).map(FeatureView::id).collect();
        if views.is_empty() {
            return Ok(());
        }
        let online = &self.parts.online;
        let _filling = self.filling.lock().await;
        let order = self.order.lock().await;
        let (entries, _) = self.parts.log.durable_end();
        self.feature_writer.wait_for(entries).await?;
        for view in &views {
            online.forget(view)?;
        }
        backfill::keep_views(&self.parts, &revision, &self.table_writer, &self.permit).await?;
        drop(order);
        // So that no older checkpoint is what a start takes.
        online.checkpoint().await
    }

    /// A typing error must not pass for an erasure.
    fn check_column(&self, column: &str) -> Result<()> {
        let revision = self.revision();
        let subjects = revision.datasets.values().filter_map(|dataset| dataset.dataset.subject.clone());
        let subjects: BTreeSet<String> = subjects.collect();
        if subjects.contains(column) {
            return Ok(());
        }
        let known: Vec<&str> = subjects.iter().map(String::as_str).collect();
        Err(Error::not_found("SW1610", format!("no contract names {column:?} as its subject")).hint(match known[..] {
            [] => "add the custom property `seawall.subject: COLUMN` to a contract with personal columns, then apply"
                .into(),
            _ => format!("subjects of this project: {}", known.join(", ")),
        }))
    }

    async fn erase_rows(&self, permit: &Permit, column: &str, id: &str) -> Result<Vec<ErasedTable>> {
        let mut erased = Vec::new();
        for table in self.parts.tables.tables().await? {
            let snapshot = self.parts.tables.snapshot(&table, None).await?;
            let select = if snapshot.schema.column_with_name(column).is_some() {
                rows_of(column, id)
            } else if self.is_quarantine_about(&table, column) {
                quarantined_of(column, id)
            } else {
                continue;
            };
            erased.extend(self.erase_from(permit, &table, select).await?);
        }
        Ok(erased)
    }

    fn is_quarantine_about(&self, table: &TableName, column: &str) -> bool {
        let dataset = table.as_str().strip_suffix(QUARANTINE);
        let revision = self.revision();
        let dataset = dataset.and_then(|name| revision.datasets.get(name));
        dataset.is_some_and(|dataset| dataset.dataset.subject.as_deref() == Some(column))
    }

    /// Nothing when no version of the table shows a selected row.
    async fn erase_from(
        &self,
        permit: &Permit,
        table: &TableName,
        select: Arc<SelectRows>,
    ) -> Result<Option<ErasedTable>> {
        let Parts { tables, upkeep, catalog, clock, .. } = self.parts.clone();
        let all = Tables { tables, upkeep: upkeep.clone(), catalog: catalog.clone(), clock };
        let reason = "a person was erased".to_owned();
        let deletion = all.delete(permit, table, &RowsToDelete { reason, select: select.clone() }).await?;
        if deletion.rows == 0 && !self.older_versions_show(permit, table, &select).await? {
            return Ok(None);
        }
        let bound = catalog.pinned_versions().await?.remove(table.as_str()).unwrap_or_default();
        let options =
            VacuumOptions { pinned: BTreeSet::new(), keep: Span(0), staged: StagedFiles::Keep, dry_run: false };
        let vacuum = upkeep.vacuum(permit, table, &options).await?;
        let unbound = bound.into_iter().filter(|version| *version < vacuum.readable_from).collect();
        Ok(Some(ErasedTable {
            table: table.to_string(),
            rows: deletion.rows,
            version: deletion.version,
            readable_from: vacuum.readable_from,
            unbound,
        }))
    }

    /// Whether a version that can still be read shows a selected row, though the newest does not: before a commit that took
    /// rows away.
    async fn older_versions_show(&self, permit: &Permit, table: &TableName, select: &Arc<SelectRows>) -> Result<bool> {
        for info in self.parts.upkeep.versions(table).await?.iter().rev() {
            if info.removed_files == 0 || info.operation == "OPTIMIZE" || info.version.0 == 0 {
                continue;
            }
            let before = TableVersion(info.version.0 - 1);
            let Ok(batches) = self.parts.tables.scan(permit, table, before, None).await else { continue };
            for batch in &batches {
                if select(batch)?.true_count() > 0 {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

/// Rows whose column holds `id`.
fn rows_of(column: &str, id: &str) -> Arc<SelectRows> {
    let (column, id) = (column.to_owned(), id.to_owned());
    Arc::new(move |rows: &RecordBatch| {
        let Some(values) = rows.column_by_name(&column) else { return Ok(none_of(rows)) };
        let mut selected = Vec::with_capacity(rows.num_rows());
        for row in 0..rows.num_rows() {
            selected.push(subject_text(values, row)?.as_deref() == Some(id.as_str()));
        }
        Ok(BooleanArray::from(selected))
    })
}

/// Quarantined rows whose text holds `id` in this column.
fn quarantined_of(column: &str, id: &str) -> Arc<SelectRows> {
    let (column, id) = (column.to_owned(), id.to_owned());
    Arc::new(move |rows: &RecordBatch| {
        let raw = rows.column_by_name("_raw").and_then(|raw| raw.as_string_opt::<i32>());
        let Some(raw) = raw else { return Ok(none_of(rows)) };
        let is_about = |text: &str| match serde_json::from_str::<Value>(text).ok()?.get(&column)? {
            Value::String(text) => Some(text.trim() == id),
            Value::Number(number) => Some(number.to_string() == id),
            _ => None,
        };
        Ok(raw.iter().map(|text| Some(text.and_then(is_about).unwrap_or(false))).collect())
    })
}

fn none_of(rows: &RecordBatch) -> BooleanArray {
    BooleanArray::from(vec![false; rows.num_rows()])
}

/// Says of erasures that a crash cut off that they are to be run again: nobody but who ran them knows the id.
pub(crate) async fn resolve_intents(parts: &Parts) -> Result<()> {
    let permit = parts.catalog.system_permit(Action::Administer, ERASURE);
    for intent in parts.catalog.open_intents().await? {
        if intent.effect.kind != ERASURE {
            continue;
        }
        warn!(subject = intent.effect.target, by = intent.principal, "an erasure was cut off: run it again");
        let outcome = json!({"done": false, "error": "it was cut off; run it again"});
        parts.catalog.resolve_intent(&permit, &intent.id, &outcome).await?;
    }
    Ok(())
}
