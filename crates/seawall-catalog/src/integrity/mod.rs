//! Checking the catalog, and reading what it has on record of the rest of the installation.
//!
//! The database is opened for reading only and is not migrated, so that a damaged one is looked at and not changed, also
//! beside a running server. SQLite checks its own pages and keys; the audit ledger checks its chain. SQLite keeps no
//! checksums over values: a value that was changed into another possible one shows only where another record disagrees.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use seawall_base::{Checked, Clock, Damage, Error, ErrorKind, Finding, Hash, Partition, Result, Rng, Severity};

use crate::catalog::{Catalog, DATABASE_FILE};
use crate::database::{Connection, Database, DuringResult, Fields};
use crate::facts::{self, Counts, TableVersionRecord};
use crate::revision::ActiveProject;
use crate::signing;

#[cfg(test)]
mod tests;

/// What every finding is about.
const OBJECT: &str = "catalog";

/// What the catalog has on record.
#[derive(Debug, Default)]
pub struct Records {
    /// Every recorded table version, by table and version.
    pub versions: BTreeMap<String, BTreeMap<u64, TableVersionRecord>>,
    /// Per dataset and partition, how many log entries its counts cover.
    pub positions: BTreeMap<(String, Partition), u64>,
    /// The counts of each dataset.
    pub counts: BTreeMap<String, Counts>,
    /// The artifact of every model version.
    pub models: Vec<RecordedModel>,
    /// The active project; none when nothing was applied.
    pub active: Option<ActiveProject>,
}

/// A model version's artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedModel {
    /// The model.
    pub model: String,
    /// Its version.
    pub version: u64,
    /// BLAKE3 of its artifact.
    pub digest: Hash,
}

/// Checks the catalog in `folder`; what it has on record, when it can be read. A folder without a catalog is an
/// installation that never began.
pub async fn check(folder: &Path, clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> (Checked, Option<Records>) {
    let file = folder.join(DATABASE_FILE);
    let bytes = std::fs::metadata(&file).map_or(0, |metadata| metadata.len());
    let mut checked = Checked { bytes, findings: Vec::new() };
    if !folder.exists() {
        return (checked, None);
    }
    let opened = match file.exists() {
        true => Database::open_to_read(&file).await,
        false => Err(Error::corrupt("SW0603", format!("{} is missing", file.display()))),
    };
    let database = match opened {
        Ok(database) => database,
        Err(error) => {
            checked.findings.push(finding(&error, &file));
            return (checked, None);
        }
    };
    let catalog = Catalog::assemble(database, clock, rng, Some(folder.to_owned()));
    for outcome in [catalog.check_pages().await, catalog.verify_audit().await, check_key(&catalog, folder).await] {
        if let Err(error) = outcome {
            checked.findings.push(finding(&error, &file));
        }
    }
    match catalog.records().await {
        Ok(records) => (checked, Some(records)),
        Err(error) => {
            // A damaged page makes many reads fail; one finding tells it.
            if checked.is_whole() {
                checked.findings.push(finding(&error, &file));
            }
            (checked, None)
        }
    }
}

impl Catalog {
    /// SQLite's own check of its pages, indexes and keys.
    async fn check_pages(&self) -> Result<()> {
        let mut reader = self.read().await?;
        let doing = "checking the catalog's pages";
        let rows = sqlx::query("SELECT integrity_check AS said FROM pragma_integrity_check")
            .fetch_all(&mut *reader)
            .await
            .during(doing)?;
        let said: Vec<String> = rows.iter().map(|row| row.text("said")).collect::<Result<_>>()?;
        if said != ["ok"] {
            return Err(Error::corrupt("SW0603", format!("the catalog's pages are damaged: {}", said.join("; "))));
        }
        let orphans = sqlx::query("SELECT \"table\" AS said FROM pragma_foreign_key_check")
            .fetch_all(&mut *reader)
            .await
            .during(doing)?;
        match orphans.first() {
            None => Ok(()),
            Some(row) => {
                let table = row.text("said")?;
                let message =
                    format!("{} rows of the catalog name others that are gone, the first in {table}", orphans.len());
                Err(Error::corrupt("SW0603", message))
            }
        }
    }

    /// What is on record, as of one moment.
    async fn records(&self) -> Result<Records> {
        let mut reader = self.read().await?;
        let mut records = Records { active: crate::revision::active_in(&mut reader).await?, ..Records::default() };
        for version in facts::all_table_versions(&mut reader).await? {
            records.versions.entry(version.table.clone()).or_default().insert(version.version.0, version);
        }
        for counts in facts::all_counts(&mut reader).await? {
            records.counts.insert(counts.dataset, counts.counts);
        }
        records.positions = positions(&mut reader).await?;
        records.models = models(&mut reader).await?;
        Ok(records)
    }
}

async fn positions(connection: &mut Connection) -> Result<BTreeMap<(String, Partition), u64>> {
    let rows = sqlx::query("SELECT dataset, partition_id, next_entry FROM frame_position")
        .fetch_all(connection)
        .await
        .during("reading how far rows are counted")?;
    let mut positions = BTreeMap::new();
    for row in rows {
        let partition = u32::try_from(row.count("partition_id")?).map(Partition).unwrap_or(Partition(u32::MAX));
        positions.insert((row.text("dataset")?, partition), row.count("next_entry")?);
    }
    Ok(positions)
}

async fn models(connection: &mut Connection) -> Result<Vec<RecordedModel>> {
    let rows = sqlx::query("SELECT model, version, digest FROM model_version ORDER BY model, version")
        .fetch_all(connection)
        .await
        .during("listing model versions")?;
    rows.iter()
        .map(|row| {
            Ok(RecordedModel { model: row.text("model")?, version: row.count("version")?, digest: row.hash("digest")? })
        })
        .collect()
}

/// The signing key must be readable, and must be there once something was signed.
async fn check_key(catalog: &Catalog, folder: &Path) -> Result<()> {
    let file: PathBuf = signing::key_file(folder);
    if file.exists() {
        return signing::load(&file).map(|_| ());
    }
    let mut reader = catalog.read().await?;
    let row = sqlx::query("SELECT COUNT(*) AS signed FROM certificate")
        .fetch_one(&mut *reader)
        .await
        .during("counting certificates")?;
    match row.count("signed")? {
        0 => Ok(()),
        signed => {
            let message = format!("the signing key is missing, though {signed} certificates were signed with it");
            Err(Error::corrupt("SW1401", message).in_file(file, None))
        }
    }
}

fn finding(error: &Error, file: &Path) -> Finding {
    let damage = match error.kind() {
        ErrorKind::Corrupt if error.message().contains("missing") => Damage::Missing,
        ErrorKind::Corrupt => Damage::Altered,
        _ => Damage::Unreadable,
    };
    let means = "declarations, versions, decisions, approvals or audit entries cannot be trusted or read";
    let finding = Finding::of_error(OBJECT, damage, Severity::Critical, error, means);
    match finding.file {
        Some(_) => finding,
        None => finding.in_file(file, None),
    }
}
