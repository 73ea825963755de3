//! Quality over time: per dataset and hour of arrival, how many rows came in and how many failed which rule. Sums over the
//! hours are the failures so far; each hour's share of good rows is its score.

use std::collections::BTreeMap;

use seawall_base::{Error, Instant, Permit, Result, Span};
use serde::{Deserialize, Serialize};

use super::WRITERS;
use super::counts::{Counts, FrameFacts, RuleFailures};
use crate::catalog::Catalog;
use crate::database::{Connection, DuringResult, Fields, Row, stored};
use crate::policy::expect_action;

/// The mode of rules about a whole table: 1 or more in an hour in which it was broken when last looked at, else 0.
pub const TABLE_MODE: &str = "table";

const ADD_FAILURES: &str = "
    INSERT INTO quality_hour (dataset, hour, rule, column_name, mode, failed, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (dataset, hour, rule, column_name, mode) DO UPDATE SET
        failed = quality_hour.failed + excluded.failed, updated_at = excluded.updated_at";
const SET_FAILURES: &str = "
    INSERT INTO quality_hour (dataset, hour, rule, column_name, mode, failed, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (dataset, hour, rule, column_name, mode) DO UPDATE SET
        failed = excluded.failed, updated_at = excluded.updated_at";

/// Failures of a rule so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleResult {
    /// The dataset.
    pub dataset: String,
    /// Name of the rule.
    pub rule: String,
    /// Column that it is about, when it is about one.
    pub column: Option<String>,
    /// What the rule does.
    pub mode: String,
    /// Rows that failed.
    pub failed: u64,
    /// When that last changed.
    pub updated_at: Instant,
}

/// What one hour, or a longer period, brought a dataset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeriodQuality {
    /// The dataset.
    pub dataset: String,
    /// The period's first instant.
    pub from: Instant,
    /// Rows that arrived in it; nothing in a period in which only rules about the table were looked at.
    pub counts: Counts,
    /// Failures of each rule that failed, and every rule about the table that was looked at, by rule, column and mode.
    pub rules: Vec<RuleFailures>,
}

impl PeriodQuality {
    /// Share of the received rows that passed the gate, 0 to 1; a row that was there already has passed it before.
    /// None where no row came in.
    pub fn score(&self) -> Option<f64> {
        let passed = self.counts.accepted.saturating_add(self.counts.deduplicated);
        (self.counts.received > 0).then(|| passed as f64 / self.counts.received as f64)
    }

    /// Merges hours, in the order of [`Catalog::quality_over_time`], into periods of length `step` that begin at its
    /// multiples since the epoch. Of a rule about the table the newest look counts.
    pub fn merge(hours: Vec<PeriodQuality>, step: Span) -> Result<Vec<PeriodQuality>> {
        let mut periods: Vec<PeriodQuality> = Vec::new();
        for hour in hours {
            let from = hour.from.floor(step);
            match periods.last_mut().filter(|last| last.dataset == hour.dataset && last.from == from) {
                Some(last) => last.take_in(hour)?,
                None => periods.push(PeriodQuality { from, ..hour }),
            }
        }
        Ok(periods)
    }

    fn take_in(&mut self, hour: PeriodQuality) -> Result<()> {
        let overflow = || Error::invalid("SW0605", format!("the counts of {} are too large to be kept", self.dataset));
        self.counts = self.counts.checked_add(&hour.counts).ok_or_else(overflow)?;
        for rule in hour.rules {
            let key = |one: &RuleFailures| (one.rule.clone(), one.column.clone(), one.mode.clone());
            match self.rules.binary_search_by_key(&key(&rule), key) {
                Ok(at) if rule.mode == TABLE_MODE => self.rules[at].rows = rule.rows,
                Ok(at) => self.rules[at].rows = self.rules[at].rows.saturating_add(rule.rows),
                Err(at) => self.rules.insert(at, rule),
            }
        }
        Ok(())
    }

    /// Share of the received rows that did not fail `rule`, 0 to 1. A rule about the whole table scores 1 or 0. None
    /// where no row came in that it could have been asked about.
    pub fn score_of(&self, rule: &RuleFailures) -> Option<f64> {
        if rule.mode == TABLE_MODE {
            return Some(if rule.rows == 0 { 1.0 } else { 0.0 });
        }
        let received = self.counts.received;
        (received > 0).then(|| received.saturating_sub(rule.rows) as f64 / received as f64)
    }
}

/// What is added to one hour.
#[derive(Debug, Default)]
pub(super) struct HourDelta<'a> {
    counts: Counts,
    rules: BTreeMap<(&'a str, &'a str, &'a str), u64>,
}

impl<'a> HourDelta<'a> {
    /// Adds a frame; none beyond `u64::MAX`.
    pub(super) fn add(&mut self, frame: &'a FrameFacts) -> Option<()> {
        self.counts = self.counts.checked_add(&frame.counts)?;
        for failures in &frame.rules {
            let column = failures.column.as_deref().unwrap_or_default();
            let rows = self.rules.entry((&failures.rule, column, &failures.mode)).or_default();
            *rows = rows.checked_add(failures.rows)?;
        }
        Some(())
    }
}

impl Catalog {
    /// Records what rules about the whole table of `dataset` come to: unlike the failures of frames, which add up, each
    /// replaces what was recorded of it in the same hour. Needs one of the permits of [`Catalog::record_frames`].
    pub async fn record_table_quality(&self, permit: &Permit, dataset: &str, results: &[RuleFailures]) -> Result<()> {
        expect_action(permit, WRITERS)?;
        if results.is_empty() {
            return Ok(());
        }
        let now = self.now();
        let mut write = self.begin().await?;
        for result in results {
            let column = result.column.as_deref().unwrap_or_default();
            let key = (result.rule.as_str(), column, result.mode.as_str());
            put_failures(write.connection(), SET_FAILURES, dataset, now.floor(Span::HOUR), key, result.rows, now)
                .await?;
        }
        write.commit().await
    }

    /// The failures of every rule of every dataset so far, ordered by dataset, rule, column and mode; of rules about a
    /// table what they came to when last looked at.
    pub async fn quality(&self) -> Result<Vec<RuleResult>> {
        let mut reader = self.read().await?;
        let rows = sqlx::query(
            "SELECT dataset, rule, column_name, mode, CAST(SUM(failed) AS BIGINT) AS failed,
                 MAX(updated_at) AS updated_at
             FROM quality_hour WHERE mode <> $1 GROUP BY dataset, rule, column_name, mode
             UNION ALL
             SELECT dataset, rule, column_name, mode, failed, updated_at FROM quality_hour one
             WHERE mode = $1 AND hour = (SELECT MAX(hour) FROM quality_hour other
                 WHERE other.dataset = one.dataset AND other.rule = one.rule
                     AND other.column_name = one.column_name AND other.mode = one.mode)
             ORDER BY dataset, rule, column_name, mode",
        )
        .bind(TABLE_MODE)
        .fetch_all(&mut *reader)
        .await
        .during("reading quality results")?;
        rows.iter().map(RuleResult::from_row).collect()
    }

    /// The hours of `dataset`, or of every dataset, that begin at `from` or later, by dataset and time.
    pub async fn quality_over_time(&self, dataset: Option<&str>, from: Instant) -> Result<Vec<PeriodQuality>> {
        let mut reader = self.read().await?;
        hours(&mut reader, dataset, from).await
    }
}

impl RuleResult {
    fn from_row(row: &Row) -> Result<RuleResult> {
        Ok(RuleResult {
            dataset: row.text("dataset")?,
            rule: row.text("rule")?,
            column: Some(row.text("column_name")?).filter(|column| !column.is_empty()),
            mode: row.text("mode")?,
            failed: row.count("failed")?,
            updated_at: row.instant("updated_at")?,
        })
    }
}

/// Adds to an hour of a dataset, inside the caller's transaction.
pub(super) async fn add_hour(
    connection: &mut Connection,
    dataset: &str,
    hour: Instant,
    delta: &HourDelta<'_>,
    now: Instant,
) -> Result<()> {
    let counts = &delta.counts;
    if counts.received > 0 {
        sqlx::query(
            "INSERT INTO intake_hour (dataset, hour, received, accepted, quarantined, deduplicated, rejected)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (dataset, hour) DO UPDATE SET
                 received = intake_hour.received + excluded.received,
                 accepted = intake_hour.accepted + excluded.accepted,
                 quarantined = intake_hour.quarantined + excluded.quarantined,
                 deduplicated = intake_hour.deduplicated + excluded.deduplicated,
                 rejected = intake_hour.rejected + excluded.rejected",
        )
        .bind(dataset)
        .bind(hour.0)
        .bind(stored(counts.received)?)
        .bind(stored(counts.accepted)?)
        .bind(stored(counts.quarantined)?)
        .bind(stored(counts.deduplicated)?)
        .bind(stored(counts.rejected)?)
        .execute(&mut *connection)
        .await
        .during("counting rows by the hour")?;
    }
    for (key, rows) in &delta.rules {
        put_failures(connection, ADD_FAILURES, dataset, hour, *key, *rows, now).await?;
    }
    Ok(())
}

/// `sql` is one of the statements that add to an earlier number of the hour or replace it.
async fn put_failures(
    connection: &mut Connection,
    sql: &'static str,
    dataset: &str,
    hour: Instant,
    (rule, column, mode): (&str, &str, &str),
    rows: u64,
    now: Instant,
) -> Result<()> {
    sqlx::query(sql)
        .bind(dataset)
        .bind(hour.0)
        .bind(rule)
        .bind(column)
        .bind(mode)
        .bind(stored(rows)?)
        .bind(now.0)
        .execute(connection)
        .await
        .during("recording quality results")?;
    Ok(())
}

/// See [`Catalog::quality_over_time`].
pub(crate) async fn hours(
    connection: &mut Connection,
    dataset: Option<&str>,
    from: Instant,
) -> Result<Vec<PeriodQuality>> {
    let doing = "reading quality over time";
    let intakes = sqlx::query(
        "SELECT dataset, hour, received, accepted, quarantined, deduplicated, rejected FROM intake_hour
         WHERE hour >= $1 AND ($2 = '' OR dataset = $2)",
    )
    .bind(from.0)
    .bind(dataset.unwrap_or_default())
    .fetch_all(&mut *connection)
    .await
    .during(doing)?;
    let failures = sqlx::query(
        "SELECT dataset, hour, rule, column_name, mode, failed FROM quality_hour
         WHERE hour >= $1 AND ($2 = '' OR dataset = $2) ORDER BY rule, column_name, mode",
    )
    .bind(from.0)
    .bind(dataset.unwrap_or_default())
    .fetch_all(&mut *connection)
    .await
    .during(doing)?;
    let mut hours: BTreeMap<(String, Instant), (Counts, Vec<RuleFailures>)> = BTreeMap::new();
    for row in &intakes {
        hours.entry((row.text("dataset")?, row.instant("hour")?)).or_default().0 = counts_of(row)?;
    }
    for row in &failures {
        let rule = RuleFailures {
            rule: row.text("rule")?,
            column: Some(row.text("column_name")?).filter(|column| !column.is_empty()),
            mode: row.text("mode")?,
            rows: row.count("failed")?,
        };
        hours.entry((row.text("dataset")?, row.instant("hour")?)).or_default().1.push(rule);
    }
    let period = |((dataset, from), (counts, rules))| PeriodQuality { dataset, from, counts, rules };
    Ok(hours.into_iter().map(period).collect())
}

fn counts_of(row: &Row) -> Result<Counts> {
    Ok(Counts {
        received: row.count("received")?,
        accepted: row.count("accepted")?,
        quarantined: row.count("quarantined")?,
        deduplicated: row.count("deduplicated")?,
        rejected: row.count("rejected")?,
        ..Counts::default()
    })
}
