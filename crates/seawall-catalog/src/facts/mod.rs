//! Facts about datasets: what every table version contains, how many rows came in and what became of them, and how many
//! rows failed which rule.
//!
//! Facts are written by Seawall's own sinks, which replay after a crash. So all of them are idempotent: a table version
//! is recorded once, and a log entry is counted once per dataset, however entries are batched
//! ([`Catalog::record_frames`]). Counts are sums over the log and could be rebuilt from it; therefore they have no audit
//! entries of their own, while table versions do.

use seawall_base::{Cut, Error, ErrorKind, Instant, Partition, Permit, Result, TableName, TableVersion};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::audit::{self, Draft};
use crate::catalog::Catalog;
use crate::database::{Connection, DuringResult, Fields, Row, stored};
use crate::policy::{Action, expect_action};

mod counts;
mod departures;
mod quality;

#[cfg(test)]
mod tests;

pub(crate) use counts::all_counts;
pub use counts::{Counts, DatasetCounts, FrameFacts, RuleFailures};
pub(crate) use departures::all_departures;
pub use departures::{Departed, DepartedRow, Departure, DepartureFacts, DepartureRecord};
pub(crate) use quality::hours;
pub use quality::{PeriodQuality, RuleResult, TABLE_MODE};

/// A commit of a table, as its writer reports it.
#[derive(Debug, Clone, PartialEq)]
pub struct TableCommit {
    /// The table.
    pub table: TableName,
    /// The version that the commit made.
    pub version: TableVersion,
    /// When it was committed.
    pub committed_at: Instant,
    /// Rows that the version shows.
    pub rows: u64,
    /// The cut that it covers.
    pub cut: Cut,
    /// What else there is to tell about the commit, `null` for nothing.
    pub detail: Value,
}

/// What a version of a table is, as kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableVersionRecord {
    /// The table.
    pub table: String,
    /// Its version.
    pub version: TableVersion,
    /// When the version was committed.
    pub committed_at: Instant,
    /// Rows that it shows.
    pub rows: u64,
    /// The cut that it covers.
    pub cut: Cut,
    /// What else the writer tells about the commit.
    pub detail: Value,
    /// Id of the permit that allowed it.
    pub permit: String,
}

impl TableVersionRecord {
    fn from_row(row: &Row) -> Result<TableVersionRecord> {
        Ok(TableVersionRecord {
            table: row.text("table_name")?,
            version: TableVersion(row.count("version")?),
            committed_at: row.instant("committed_at")?,
            rows: row.count("row_count")?,
            cut: row.parsed("cut")?,
            detail: row.json("detail")?,
            permit: row.text("permit")?,
        })
    }
}

impl Catalog {
    /// Records a version of a table. Recording it again with the same rows and cut changes nothing (the first record
    /// stays); with others it is a `Conflict` (SW0660), because a version never changes.
    ///
    /// Needs a permit for `write_table`, `ingest`, `build_training_set` or `release_quarantine`.
    pub async fn record_table_version(&self, permit: &Permit, commit: &TableCommit) -> Result<()> {
        expect_action(permit, WRITERS)?;
        let TableCommit { table, version, committed_at, rows, cut, detail } = commit;
        let now = self.now();
        let mut write = self.begin().await?;
        if let Some(known) = table_version(write.connection(), table, *version).await? {
            if known.rows == *rows && known.cut == *cut {
                return Ok(());
            }
            let message = format!(
                "version {} of {table} is recorded with {} rows and cut {}, not with {rows} rows and cut {cut}",
                version.0, known.rows, known.cut
            );
            return Err(Error::new(ErrorKind::Conflict, "SW0660", message)
                .hint("a version never changes; the table was replaced or restored: verify it before writing"));
        }
        sqlx::query(
            "INSERT INTO table_version (table_name, version, committed_at, row_count, cut, detail, permit)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(table.as_str())
        .bind(stored(version.0)?)
        .bind(committed_at.0)
        .bind(stored(*rows)?)
        .bind(cut.to_string())
        .bind(detail.to_string())
        .bind(permit.id())
        .execute(write.connection())
        .await
        .during("recording a table version")?;
        let facts = json!({"table": table, "version": version, "rows": rows, "cut": cut.to_string()});
        audit::append(&mut write, now, Draft::of("table_version", permit, facts)).await?;
        write.commit().await
    }

    /// The newest recorded version of `table` that was committed at or before `instant`.
    pub async fn version_at(&self, table: &TableName, instant: Instant) -> Result<Option<TableVersion>> {
        let mut reader = self.read().await?;
        let row = sqlx::query(
            "SELECT version FROM table_version WHERE table_name = $1 AND committed_at <= $2
             ORDER BY version DESC LIMIT 1",
        )
        .bind(table.as_str())
        .bind(instant.0)
        .fetch_optional(&mut *reader)
        .await
        .during("looking a table version up")?;
        row.map(|row| Ok(TableVersion(row.count("version")?))).transpose()
    }

    /// Every recorded version of `table`, oldest first.
    pub async fn table_versions(&self, table: &TableName) -> Result<Vec<TableVersionRecord>> {
        let mut reader = self.read().await?;
        let rows = sqlx::query(
            "SELECT table_name, version, committed_at, row_count, cut, detail, permit
             FROM table_version WHERE table_name = $1 ORDER BY version",
        )
        .bind(table.as_str())
        .fetch_all(&mut *reader)
        .await
        .during("listing table versions")?;
        rows.iter().map(TableVersionRecord::from_row).collect()
    }
}

/// Who writes facts about tables.
const WRITERS: &[Action] =
    &[Action::WriteTable, Action::Ingest, Action::BuildTrainingSet, Action::ReleaseQuarantine, Action::Administer];

async fn table_version(
    connection: &mut Connection,
    table: &TableName,
    version: TableVersion,
) -> Result<Option<TableVersionRecord>> {
    let row = sqlx::query(
        "SELECT table_name, version, committed_at, row_count, cut, detail, permit
         FROM table_version WHERE table_name = $1 AND version = $2",
    )
    .bind(table.as_str())
    .bind(stored(version.0)?)
    .fetch_optional(connection)
    .await
    .during("looking a table version up")?;
    row.map(|row| TableVersionRecord::from_row(&row)).transpose()
}

/// Every recorded version of every table.
pub(crate) async fn all_table_versions(connection: &mut Connection) -> Result<Vec<TableVersionRecord>> {
    let rows = sqlx::query(
        "SELECT table_name, version, committed_at, row_count, cut, detail, permit
         FROM table_version ORDER BY table_name, version",
    )
    .fetch_all(connection)
    .await
    .during("listing table versions")?;
    rows.iter().map(TableVersionRecord::from_row).collect()
}

/// The end of a dataset's counts in a partition, as kept: how many log entries are within.
async fn position(connection: &mut Connection, dataset: &str, partition: Partition) -> Result<u64> {
    let row = sqlx::query("SELECT next_entry FROM frame_position WHERE dataset = $1 AND partition_id = $2")
        .bind(dataset)
        .bind(i64::from(partition.0))
        .fetch_optional(connection)
        .await
        .during("reading how far rows are counted")?;
    row.map_or(Ok(0), |row| row.count("next_entry"))
}
