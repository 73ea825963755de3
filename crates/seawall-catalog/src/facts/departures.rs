//! How rows left their quarantine: released into their table, or discarded; by whom, when and why.
//!
//! A departure is decided by a frame of the log, and recorded from it in the transaction that counts the frame, with an
//! entry of the audit ledger. A row leaves once: a second departure of the same row is refused by the database itself. A
//! rollback that withdraws a released row from its table brings it back into quarantine.

use seawall_base::{Error, Instant, Offset, Partition, Permit, Result, RowId};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::audit::{self, Draft};
use crate::catalog::Catalog;
use crate::database::{Connection, DuringResult, Fields, Row, Write, stored};
use crate::policy::{Action, expect_action};

/// Rows of a departure that its entry in the audit ledger names; the table of departures has all.
const AUDITED_ROWS_MAX: usize = 100;

/// The columns of a [`DepartureRecord`], then `$tail`.
macro_rules! select {
    ($tail:literal) => {
        concat!(
            "SELECT dataset, partition_id, lsn, outcome, arrived_at, left_at, released_lsn, changed, contract,
             principal, permit, reason, withdrawn_at FROM quarantine_departure ",
            $tail
        )
    };
}

/// What became of a row that left its quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Departed {
    /// It passed the gate and is in the table.
    Released,
    /// Nobody wants it any more.
    Discarded,
}

impl Departed {
    /// The word that is kept.
    pub fn as_str(self) -> &'static str {
        match self {
            Departed::Released => "released",
            Departed::Discarded => "discarded",
        }
    }
}

/// Rows that leave the quarantine of a dataset together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Departure {
    /// What becomes of them.
    pub outcome: Departed,
    /// When, in the order of the log.
    pub at: Instant,
    /// Who let them.
    pub by: String,
    /// Why.
    pub reason: String,
    /// The contract whose gate released rows passed.
    pub contract: String,
    /// The rows. Released ones stand in the order of the frame's accepted rows.
    pub rows: Vec<DepartedRow>,
}

/// One row of a [`Departure`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DepartedRow {
    /// Its identity in the quarantine.
    pub row: RowId,
    /// When it had arrived.
    pub arrived_at: Instant,
    /// Columns that were given another value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<String>,
}

/// A departure as a log entry tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DepartureFacts {
    /// What left.
    pub departure: Departure,
    /// Id of the permit that allowed it.
    pub permit: String,
    /// Offset in the live partition of the first released row.
    pub first: Offset,
}

/// A row that left, as kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DepartureRecord {
    /// The dataset.
    pub dataset: String,
    /// Its identity in the quarantine.
    pub row: RowId,
    /// What became of it.
    pub outcome: Departed,
    /// When it had arrived.
    pub arrived_at: Instant,
    /// When it left.
    pub left_at: Instant,
    /// Its identity in the table, when it was released.
    pub released_as: Option<RowId>,
    /// Columns that were given another value.
    pub changed: Vec<String>,
    /// The contract whose gate it passed, or that was in force.
    pub contract: String,
    /// Who let it.
    pub by: String,
    /// Id of the permit.
    pub permit: String,
    /// Why.
    pub reason: String,
    /// When a rollback withdrew it from the table: since then it is in quarantine again.
    pub withdrawn_at: Option<Instant>,
}

impl DepartureRecord {
    fn from_row(row: &Row) -> Result<DepartureRecord> {
        let partition = row.count("partition_id")?;
        let partition = u32::try_from(partition)
            .map_err(|_| Error::corrupt("SW1508", format!("a departure names partition {partition}")))?;
        let outcome = match row.text("outcome")?.as_str() {
            "released" => Departed::Released,
            "discarded" => Departed::Discarded,
            other => return Err(Error::corrupt("SW1508", format!("a departure has the outcome {other:?}"))),
        };
        let released = row.int_maybe("released_lsn")?.and_then(|offset| u64::try_from(offset).ok());
        Ok(DepartureRecord {
            dataset: row.text("dataset")?,
            row: RowId { partition: Partition(partition), offset: Offset(row.count("lsn")?) },
            outcome,
            arrived_at: row.instant("arrived_at")?,
            left_at: row.instant("left_at")?,
            released_as: released.map(|offset| RowId { partition: Partition::LIVE, offset: Offset(offset) }),
            changed: row.json("changed")?,
            contract: row.text("contract")?,
            by: row.text("principal")?,
            permit: row.text("permit")?,
            reason: row.text("reason")?,
            withdrawn_at: row.int_maybe("withdrawn_at")?.map(Instant),
        })
    }
}

impl Catalog {
    /// The rows that left the quarantine of `dataset` and were not brought back, in the order in which they left.
    pub async fn departures(&self, dataset: &str) -> Result<Vec<DepartureRecord>> {
        let mut departures = self.departure_history(dataset).await?;
        departures.retain(|departure| departure.withdrawn_at.is_none());
        Ok(departures)
    }

    /// Every departure from the quarantine of `dataset`, in the order of the log, those that a rollback took back
    /// included.
    pub async fn departure_history(&self, dataset: &str) -> Result<Vec<DepartureRecord>> {
        let mut reader = self.read().await?;
        let rows = sqlx::query(select!("WHERE dataset = $1 ORDER BY entry, partition_id, lsn"))
            .bind(dataset)
            .fetch_all(&mut *reader)
            .await
            .during("listing what left a quarantine")?;
        rows.iter().map(DepartureRecord::from_row).collect()
    }

    /// Like [`Catalog::departures`], of the rows with offsets from `first` to `last` in any partition.
    pub async fn departures_between(&self, dataset: &str, first: Offset, last: Offset) -> Result<Vec<DepartureRecord>> {
        let mut reader = self.read().await?;
        let rows = sqlx::query(select!(
            "WHERE dataset = $1 AND lsn BETWEEN $2 AND $3 AND withdrawn_at IS NULL ORDER BY entry, partition_id, lsn"
        ))
        .bind(dataset)
        .bind(stored(first.0)?)
        .bind(stored(last.0)?)
        .fetch_all(&mut *reader)
        .await
        .during("looking up what left a quarantine")?;
        rows.iter().map(DepartureRecord::from_row).collect()
    }

    /// Takes released rows of `dataset` back that lie in the live partition at or behind `kept_end` and before `end`: a
    /// rollback withdrew them from the table. Doing it again changes nothing. Returns how many rows are back.
    ///
    /// Needs a permit for `write_table`.
    pub async fn take_back_released(
        &self,
        permit: &Permit,
        dataset: &str,
        kept_end: Offset,
        end: Offset,
    ) -> Result<u64> {
        expect_action(permit, &[Action::WriteTable])?;
        let now = self.now();
        let mut write = self.begin().await?;
        let taken = sqlx::query(
            "UPDATE quarantine_departure SET withdrawn_at = $1
             WHERE dataset = $2 AND withdrawn_at IS NULL AND released_lsn >= $3 AND released_lsn < $4",
        )
        .bind(now.0)
        .bind(dataset)
        .bind(stored(kept_end.0)?)
        .bind(stored(end.0)?)
        .execute(write.connection())
        .await
        .during("bringing released rows back into quarantine")?;
        let rows = taken.rows_affected();
        if rows == 0 {
            return Ok(0);
        }
        let detail = json!({"dataset": dataset, "rows": rows, "kept_end": kept_end, "end": end});
        audit::append(&mut write, now, Draft::of("quarantine_taken_back", permit, detail)).await?;
        write.commit().await?;
        Ok(rows)
    }
}

/// Records a departure of log entry `entry` in the transaction that counts it.
pub(super) async fn record(
    write: &mut Write<'_>,
    dataset: &str,
    entry: u64,
    facts: &DepartureFacts,
    now: Instant,
) -> Result<()> {
    let DepartureFacts { departure, permit, first } = facts;
    for (at, left) in (0u64..).zip(&departure.rows) {
        let released = match departure.outcome {
            Departed::Released => Some(stored(first.0 + at)?),
            Departed::Discarded => None,
        };
        insert(write.connection(), dataset, entry, facts, left, released).await?;
    }
    let named: Vec<RowId> = departure.rows.iter().take(AUDITED_ROWS_MAX).map(|left| left.row).collect();
    let detail = json!({
        "dataset": dataset, "outcome": departure.outcome, "rows": departure.rows.len(), "named": named,
        "reason": departure.reason, "contract": departure.contract, "entry": entry,
    });
    let draft = Draft {
        event: "quarantine_left",
        principal: departure.by.clone(),
        action: Action::ReleaseQuarantine.as_str().to_owned(),
        resource: dataset.to_owned(),
        permit: permit.clone(),
        detail,
    };
    audit::append(write, now, draft).await
}

async fn insert(
    connection: &mut Connection,
    dataset: &str,
    entry: u64,
    facts: &DepartureFacts,
    left: &DepartedRow,
    released: Option<i64>,
) -> Result<()> {
    let departure = &facts.departure;
    sqlx::query(
        "INSERT INTO quarantine_departure (dataset, partition_id, lsn, entry, outcome, arrived_at, left_at,
             released_lsn, changed, contract, principal, permit, reason)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind(dataset)
    .bind(i64::from(left.row.partition.0))
    .bind(stored(left.row.offset.0)?)
    .bind(stored(entry)?)
    .bind(departure.outcome.as_str())
    .bind(left.arrived_at.0)
    .bind(departure.at.0)
    .bind(released)
    .bind(json!(left.changed).to_string())
    .bind(departure.contract.as_str())
    .bind(departure.by.as_str())
    .bind(facts.permit.as_str())
    .bind(departure.reason.as_str())
    .execute(connection)
    .await
    .during("recording what left a quarantine")?;
    Ok(())
}

/// Every departure from every quarantine.
pub(crate) async fn all_departures(connection: &mut Connection) -> Result<Vec<DepartureRecord>> {
    let rows = sqlx::query(select!("ORDER BY dataset, entry, partition_id, lsn"))
        .fetch_all(connection)
        .await
        .during("listing what left the quarantines")?;
    rows.iter().map(DepartureRecord::from_row).collect()
}
