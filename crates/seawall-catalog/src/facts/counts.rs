//! Accounting: `received = accepted + quarantined + deduplicated + rejected`, per dataset, each log entry once. Rows that
//! left their quarantine since are counted beside it: a table got `accepted + released` rows, and in quarantine there are
//! `quarantined - released - discarded`, but for what rollbacks and erasures changed.

use std::collections::BTreeMap;

use seawall_base::{Error, Instant, Partition, Permit, Result, Span};
use serde::{Deserialize, Serialize};

use super::departures::{self, DepartureFacts};
use super::quality::{self, HourDelta};
use super::{WRITERS, position};
use crate::catalog::Catalog;
use crate::database::{Connection, DuringResult, Fields, stored};
use crate::policy::expect_action;

/// What became of received rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Rows that came in.
    pub received: u64,
    /// Rows in the dataset.
    pub accepted: u64,
    /// Rows stopped at the gate and kept.
    pub quarantined: u64,
    /// Rows that were there already.
    pub deduplicated: u64,
    /// Rows reported to the producer and not kept.
    pub rejected: u64,
    /// Rows that left the quarantine for the table.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub released: u64,
    /// Rows that left the quarantine because nobody wants them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub discarded: u64,
}

/// For rows that most answers have none of. Serde passes a reference.
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Counts {
    /// Rows in quarantine.
    pub fn in_quarantine(&self) -> u64 {
        self.quarantined.saturating_sub(self.released.saturating_add(self.discarded))
    }

    /// Whether every received row is accounted for.
    pub fn balanced(&self) -> bool {
        let kinds = [self.accepted, self.quarantined, self.deduplicated, self.rejected];
        kinds.iter().try_fold(0u64, |sum, count| sum.checked_add(*count)) == Some(self.received)
    }

    /// Adds `other`, kind by kind; `None` beyond `u64::MAX`.
    pub fn checked_add(&self, other: &Counts) -> Option<Counts> {
        Some(Counts {
            received: self.received.checked_add(other.received)?,
            accepted: self.accepted.checked_add(other.accepted)?,
            quarantined: self.quarantined.checked_add(other.quarantined)?,
            deduplicated: self.deduplicated.checked_add(other.deduplicated)?,
            rejected: self.rejected.checked_add(other.rejected)?,
            released: self.released.checked_add(other.released)?,
            discarded: self.discarded.checked_add(other.discarded)?,
        })
    }
}

/// Rows of one log entry that failed one rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleFailures {
    /// Name of the rule.
    pub rule: String,
    /// Column that it is about, when it is about one.
    pub column: Option<String>,
    /// What the rule does: `warn`, `quarantine`, `reject`, `halt`.
    pub mode: String,
    /// Rows that failed.
    pub rows: u64,
}

/// What one log entry adds to a dataset's counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameFacts {
    /// Ordinal of the log entry in its partition, from 0 ([`seawall_base::Appended::entry`]); entries without rows have
    /// one too, so a batch that was rejected as a whole is counted as well.
    pub entry: u64,
    /// When its rows arrived, which decides the hour they are counted in; entries that do not tell are counted in the
    /// hour in which they are recorded.
    pub arrival: Option<Instant>,
    /// Rows of this entry.
    pub counts: Counts,
    /// Failures of this entry, one per rule, column and mode.
    pub rules: Vec<RuleFailures>,
    /// Rows that left the quarantine with this entry.
    pub departure: Option<DepartureFacts>,
}

/// Counts of a dataset so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetCounts {
    /// The dataset.
    pub dataset: String,
    /// Its counts.
    pub counts: Counts,
    /// When they last changed.
    pub updated_at: Instant,
}

/// The sum of the frames that were not counted before.
struct Delta<'a> {
    frames: u64,
    counts: Counts,
    hours: BTreeMap<Instant, HourDelta<'a>>,
}

impl Catalog {
    /// Counts log entries of `partition` into `dataset`, each once: entries below the stored position are ignored, in
    /// whatever batches they come again. Position, counts, rule failures and departures from the quarantine move in one
    /// transaction. Returns how many of `frames` were new.
    ///
    /// Entries must ascend (SW0661) and balance (SW0662), else nothing is counted. Needs a permit for `write_table`,
    /// `ingest`, `build_training_set` or `release_quarantine`.
    pub async fn record_frames(
        &self,
        permit: &Permit,
        dataset: &str,
        partition: Partition,
        frames: &[FrameFacts],
    ) -> Result<u64> {
        expect_action(permit, WRITERS)?;
        check(dataset, frames)?;
        let Some(last) = frames.last() else { return Ok(0) };
        let now = self.now();
        let mut write = self.begin().await?;
        let next_entry = position(write.connection(), dataset, partition).await?;
        let delta = sum(dataset, frames.iter().filter(|frame| frame.entry >= next_entry), now)?;
        if delta.frames == 0 {
            return Ok(0);
        }
        add_counts(write.connection(), dataset, &delta.counts, now).await?;
        for (hour, delta) in &delta.hours {
            quality::add_hour(write.connection(), dataset, *hour, delta, now).await?;
        }
        for frame in frames.iter().filter(|frame| frame.entry >= next_entry) {
            if let Some(departure) = &frame.departure {
                departures::record(&mut write, dataset, frame.entry, departure, now).await?;
            }
        }
        sqlx::query(
            "INSERT INTO frame_position (dataset, partition_id, next_entry) VALUES ($1, $2, $3)
             ON CONFLICT (dataset, partition_id) DO UPDATE SET next_entry = excluded.next_entry",
        )
        .bind(dataset)
        .bind(i64::from(partition.0))
        .bind(stored(last.entry.saturating_add(1))?)
        .execute(write.connection())
        .await
        .during("recording how far rows are counted")?;
        write.commit().await?;
        Ok(delta.frames)
    }

    /// How many log entries of `partition` are within the counts of `dataset`: where a sink resumes.
    pub async fn frame_position(&self, dataset: &str, partition: Partition) -> Result<u64> {
        let mut reader = self.read().await?;
        position(&mut reader, dataset, partition).await
    }

    /// The counts of every dataset, ordered by name.
    pub async fn counts(&self) -> Result<Vec<DatasetCounts>> {
        let mut reader = self.read().await?;
        all_counts(&mut reader).await
    }
}

/// Refuses what cannot come from a log and a gate.
fn check(dataset: &str, frames: &[FrameFacts]) -> Result<()> {
    for pair in frames.windows(2) {
        if pair[0].entry >= pair[1].entry {
            let message = format!("entries of {dataset} do not ascend: {} then {}", pair[0].entry, pair[1].entry);
            return Err(Error::invalid("SW0661", message));
        }
    }
    for frame in frames {
        if !frame.counts.balanced() {
            let message = format!("entry {} of {dataset} does not balance: {:?}", frame.entry, frame.counts);
            return Err(Error::invalid("SW0662", message)
                .hint("received must be accepted + quarantined + deduplicated + rejected"));
        }
    }
    Ok(())
}

fn sum<'a>(dataset: &str, frames: impl Iterator<Item = &'a FrameFacts>, now: Instant) -> Result<Delta<'a>> {
    let overflow = || Error::invalid("SW0605", format!("the counts of {dataset} are too large to be kept"));
    let mut delta = Delta { frames: 0, counts: Counts::default(), hours: BTreeMap::new() };
    for frame in frames {
        delta.frames += 1;
        delta.counts = delta.counts.checked_add(&frame.counts).ok_or_else(overflow)?;
        let hour = delta.hours.entry(frame.arrival.unwrap_or(now).floor(Span::HOUR)).or_default();
        hour.add(frame).ok_or_else(overflow)?;
    }
    Ok(delta)
}

async fn add_counts(connection: &mut Connection, dataset: &str, delta: &Counts, now: Instant) -> Result<()> {
    sqlx::query(
        "INSERT INTO ingest_count (dataset, received, accepted, quarantined, deduplicated, rejected, released,
             discarded, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (dataset) DO UPDATE SET
             received = ingest_count.received + excluded.received,
             accepted = ingest_count.accepted + excluded.accepted,
             quarantined = ingest_count.quarantined + excluded.quarantined,
             deduplicated = ingest_count.deduplicated + excluded.deduplicated,
             rejected = ingest_count.rejected + excluded.rejected,
             released = ingest_count.released + excluded.released,
             discarded = ingest_count.discarded + excluded.discarded,
             updated_at = excluded.updated_at",
    )
    .bind(dataset)
    .bind(stored(delta.received)?)
    .bind(stored(delta.accepted)?)
    .bind(stored(delta.quarantined)?)
    .bind(stored(delta.deduplicated)?)
    .bind(stored(delta.rejected)?)
    .bind(stored(delta.released)?)
    .bind(stored(delta.discarded)?)
    .bind(now.0)
    .execute(connection)
    .await
    .during("counting rows")?;
    Ok(())
}

pub(crate) async fn all_counts(connection: &mut Connection) -> Result<Vec<DatasetCounts>> {
    let rows = sqlx::query(
        "SELECT dataset, received, accepted, quarantined, deduplicated, rejected, released, discarded, updated_at
         FROM ingest_count ORDER BY dataset",
    )
    .fetch_all(connection)
    .await
    .during("reading counts")?;
    let mut counts = Vec::with_capacity(rows.len());
    for row in rows {
        counts.push(DatasetCounts {
            dataset: row.text("dataset")?,
            counts: Counts {
                received: row.count("received")?,
                accepted: row.count("accepted")?,
                quarantined: row.count("quarantined")?,
                deduplicated: row.count("deduplicated")?,
                rejected: row.count("rejected")?,
                released: row.count("released")?,
                discarded: row.count("discarded")?,
            },
            updated_at: row.instant("updated_at")?,
        });
    }
    Ok(counts)
}
