//! Runs of transforms: what each read, what became of it, and why one failed.
//!
//! The log tells of every run that came to its end, so recording it is idempotent: a run is known by its transform and when
//! it began. An attempt that fails again for the same reason is counted, not listed again. Runs have no audit entries of
//! their own; what they changed has.

use seawall_base::{Instant, Permit, Result};
use serde::Serialize;
use serde_json::Value;

use crate::catalog::Catalog;
use crate::database::{Connection, DuringResult, Fields, Row, Write, stored};
use crate::policy::{Action, expect_action};

#[cfg(test)]
mod tests;

/// Runs that are kept of a transform, the newest.
pub const RUNS_KEPT: u64 = 1_000;

/// A run of a transform.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TransformRun {
    /// The transform.
    pub transform: String,
    /// The dataset that it makes.
    pub dataset: String,
    /// The revision that declares it.
    pub revision: String,
    /// When it began; of one that fails again and again, when it did so first.
    #[serde(with = "seawall_base::time::text")]
    pub started_at: Instant,
    /// When it ended.
    #[serde(with = "seawall_base::time::text")]
    pub ended_at: Instant,
    /// How.
    #[serde(flatten)]
    pub outcome: TransformOutcome,
    /// How often it was tried.
    pub attempts: u64,
    /// What it read and made.
    pub detail: Value,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum TransformOutcome {
    /// The dataset holds what it made.
    Done,
    /// It is tried again.
    Failed {
        /// Code of the error.
        code: String,
        /// What happened.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
}

impl TransformOutcome {
    /// Its word in the database.
    pub fn as_str(&self) -> &'static str {
        match self {
            TransformOutcome::Done => "done",
            TransformOutcome::Failed { .. } => "failed",
        }
    }

    fn told(&self) -> (Option<&str>, Option<&str>, Option<&str>) {
        match self {
            TransformOutcome::Done => (None, None, None),
            TransformOutcome::Failed { code, message, hint } => (Some(code), Some(message), hint.as_deref()),
        }
    }
}

impl TransformRun {
    fn from_row(row: &Row) -> Result<TransformRun> {
        let outcome = match row.text_maybe("code")? {
            None => TransformOutcome::Done,
            Some(code) => {
                TransformOutcome::Failed { code, message: row.text("message")?, hint: row.text_maybe("hint")? }
            }
        };
        Ok(TransformRun {
            transform: row.text("transform")?,
            dataset: row.text("dataset")?,
            revision: row.text("revision")?,
            started_at: row.instant("started_at")?,
            ended_at: row.instant("ended_at")?,
            outcome,
            attempts: row.count("attempts")?,
            detail: row.json("detail")?,
        })
    }
}

impl Catalog {
    /// Records a run; one that is recorded already gets its newest end and attempts. Needs a permit for `write_table`.
    pub async fn record_transform_run(&self, permit: &Permit, run: &TransformRun) -> Result<()> {
        expect_action(permit, &[Action::WriteTable])?;
        let mut write = self.begin().await?;
        if !renew(&mut write, run).await? {
            insert(&mut write, permit, run).await?;
            forget_oldest(&mut write, &run.transform).await?;
        }
        write.commit().await
    }

    /// The newest run of every transform, and its newest one that came to its end, ordered by transform and time.
    pub async fn newest_transform_runs(&self) -> Result<Vec<TransformRun>> {
        let mut reader = self.read().await?;
        let rows = sqlx::query(
            "SELECT transform, dataset, revision, started_at, ended_at, code, message, hint, attempts, detail
             FROM transform_run
             WHERE seq IN (SELECT MAX(seq) FROM transform_run GROUP BY transform)
                OR seq IN (SELECT MAX(seq) FROM transform_run WHERE code IS NULL GROUP BY transform)
             ORDER BY transform, seq",
        )
        .fetch_all(&mut *reader)
        .await
        .during("reading runs of transforms")?;
        rows.iter().map(TransformRun::from_row).collect()
    }
}

/// Whether the run was there already.
async fn renew(write: &mut Write<'_>, run: &TransformRun) -> Result<bool> {
    let renewed = sqlx::query(
        "UPDATE transform_run SET ended_at = $1, attempts = $2
         WHERE transform = $3 AND started_at = $4 AND outcome = $5",
    )
    .bind(run.ended_at.0)
    .bind(stored(run.attempts)?)
    .bind(&run.transform)
    .bind(run.started_at.0)
    .bind(run.outcome.as_str())
    .execute(write.connection())
    .await
    .during("recording a run of a transform")?;
    Ok(renewed.rows_affected() > 0)
}

async fn insert(write: &mut Write<'_>, permit: &Permit, run: &TransformRun) -> Result<()> {
    let row = sqlx::query("SELECT COALESCE(MAX(seq), 0) AS last FROM transform_run")
        .fetch_one(write.connection())
        .await
        .during("numbering a run of a transform")?;
    let (code, message, hint) = run.outcome.told();
    sqlx::query(
        "INSERT INTO transform_run (seq, transform, dataset, revision, started_at, ended_at, outcome, code, message, hint,
                                    attempts, detail, permit)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind(stored(row.count("last")? + 1)?)
    .bind(&run.transform)
    .bind(&run.dataset)
    .bind(&run.revision)
    .bind(run.started_at.0)
    .bind(run.ended_at.0)
    .bind(run.outcome.as_str())
    .bind(code)
    .bind(message)
    .bind(hint)
    .bind(stored(run.attempts)?)
    .bind(run.detail.to_string())
    .bind(permit.id())
    .execute(write.connection())
    .await
    .during("recording a run of a transform")?;
    Ok(())
}

async fn forget_oldest(write: &mut Write<'_>, transform: &str) -> Result<()> {
    sqlx::query(
        "DELETE FROM transform_run WHERE transform = $1 AND seq <= COALESCE(
            (SELECT seq FROM transform_run WHERE transform = $1 ORDER BY seq DESC LIMIT 1 OFFSET $2), 0)",
    )
    .bind(transform)
    .bind(stored(RUNS_KEPT)?)
    .execute(write.connection())
    .await
    .during("forgetting old runs of a transform")?;
    Ok(())
}

/// The newest runs, oldest of them first.
pub(crate) async fn newest(connection: &mut Connection, limit: u64) -> Result<Vec<TransformRun>> {
    let rows = sqlx::query(
        "SELECT transform, dataset, revision, started_at, ended_at, code, message, hint, attempts, detail
         FROM transform_run ORDER BY seq DESC LIMIT $1",
    )
    .bind(stored(limit)?)
    .fetch_all(connection)
    .await
    .during("listing runs of transforms")?;
    rows.iter().rev().map(TransformRun::from_row).collect()
}
