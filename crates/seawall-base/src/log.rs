//! The log port: the one order of events.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::Result;
use crate::ids::{Offset, Partition};

/// One entry as it stands in the log. The log numbers rows; what the payload means is the pipeline's business.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Offset of the entry's first row.
    pub first: Offset,
    /// How many offsets the entry takes, one per row; 0 for an entry that only carries control data.
    pub rows: u32,
    /// The pipeline's frame, see `docs/formats.md`.
    pub payload: Bytes,
}

impl LogEntry {
    /// The offset after the entry's last row.
    pub fn end(&self) -> Offset {
        Offset(self.first.0 + u64::from(self.rows))
    }
}

/// Where an appended entry landed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Ordinal of the entry, from 0: entries without rows have one too.
    pub entry: u64,
    /// Offset of its first row.
    pub first: Offset,
    /// The offset after its last row.
    pub end: Offset,
}

/// What a log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Extent {
    /// Random identity of the log; whoever remembers a position in it remembers this too.
    pub log: u64,
    /// Ordinal of the oldest entry that can be read; earlier ones were retired.
    pub first_entry: u64,
    /// Offset of its first row.
    pub first: Offset,
    /// Durable entries since the log began.
    pub entries: u64,
    /// The offset after the last durable row.
    pub end: Offset,
    /// What it takes on the disk.
    pub bytes: u64,
}

/// An append-only, durable, totally ordered sequence of entries: one partition.
///
/// Contract, checked by `seawall_storage::log::conformance` on every implementation:
/// - `append` returns only after the entry would survive a power cut, and entries are readable in the order in which
///   their appends were numbered, without gaps: entry `n + 1` begins at the end offset of entry `n`.
/// - appends are numbered in the order in which they are first polled.
/// - after any failed write or sync the log is poisoned: every later `append` fails with `Unavailable` until reopened.
/// - `read` never returns an entry whose append could still be lost, and fails with `NotFound` for a retired one.
/// - `retire` gives up only entries before the one that it names, though not necessarily all of them; the newest entry
///   and the numbering stay. What was not given up reads as before, also after a crash in between.
#[async_trait]
pub trait Log: Send + Sync {
    /// The partition that this log orders.
    fn partition(&self) -> Partition;

    /// Appends one entry and waits until it is durable. Concurrent calls share a sync.
    async fn append(&self, rows: u32, payload: Bytes) -> Result<Appended>;

    /// The number of durable entries, and the offset after the last durable row.
    fn durable_end(&self) -> (u64, Offset);

    /// What can be read, and what it takes.
    fn extent(&self) -> Extent;

    /// Up to `entries_max` durable entries from ordinal `from`, in order; empty when there are none yet.
    async fn read(&self, from: u64, entries_max: usize) -> Result<Vec<Arc<LogEntry>>>;

    /// Returns as soon as there are more than `entries` durable entries.
    async fn wait_beyond(&self, entries: u64) -> Result<()>;

    /// Gives the room of entries before `before` back. To be called with what every reader has durably taken.
    async fn retire(&self, before: u64) -> Result<()>;
}

/// The first readable entry that does not lie wholly before `offset`, by its ordinal: where a reader that has taken
/// every row before `offset` goes on. The number of entries when there is none. Reads few entries.
pub async fn entry_at(log: &dyn Log, offset: Offset) -> Result<u64> {
    first_where(log, |entry| Ok(Some(entry.end() > offset || entry.first >= offset))).await
}

/// The first readable entry for which `holds`, by its ordinal; the number of entries when there is none. Reads few
/// entries. Once `holds` is true it must be true for all later entries; it may have no opinion on some, and the entry
/// that is found may then be one of those right before.
pub async fn first_where(
    log: &dyn Log,
    holds: impl Fn(&LogEntry) -> Result<Option<bool>> + Send + Sync,
) -> Result<u64> {
    let Extent { first_entry, entries, .. } = log.extent();
    let (mut from, mut until) = (first_entry, entries);
    while from < until {
        let middle = from + (until - from) / 2;
        match opinion(log, &holds, middle, until).await? {
            Some((_, true)) | None => until = middle,
            Some((at, false)) => from = at + 1,
        }
    }
    Ok(from)
}

/// What `holds` says of the first entry from `from` on that it has an opinion on, and which one that is.
async fn opinion(
    log: &dyn Log,
    holds: &(impl Fn(&LogEntry) -> Result<Option<bool>> + Send + Sync),
    from: u64,
    until: u64,
) -> Result<Option<(u64, bool)>> {
    for at in from..until {
        let entries = log.read(at, 1).await?;
        let Some(entry) = entries.first() else { break };
        if let Some(opinion) = holds(entry)? {
            return Ok(Some((at, opinion)));
        }
    }
    Ok(None)
}
