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

/// An append-only, durable, totally ordered sequence of entries: one partition.
///
/// Contract, checked by `seawall_storage::log::conformance` on every implementation:
/// - `append` returns only after the entry would survive a power cut, and entries are readable in the order in which
///   their appends were numbered, without gaps: entry `n + 1` begins at the end offset of entry `n`.
/// - appends are numbered in the order in which they are first polled.
/// - after any failed write or sync the log is poisoned: every later `append` fails with `Unavailable` until reopened.
/// - `read` never returns an entry whose append could still be lost.
#[async_trait]
pub trait Log: Send + Sync {
    /// The partition that this log orders.
    fn partition(&self) -> Partition;

    /// Appends one entry and waits until it is durable. Concurrent calls share a sync.
    async fn append(&self, rows: u32, payload: Bytes) -> Result<Appended>;

    /// The number of durable entries, and the offset after the last durable row.
    fn durable_end(&self) -> (u64, Offset);

    /// Up to `entries_max` durable entries from ordinal `from`, in order; empty when there are none yet.
    async fn read(&self, from: u64, entries_max: usize) -> Result<Vec<Arc<LogEntry>>>;

    /// Returns as soon as there are more than `entries` durable entries.
    async fn wait_beyond(&self, entries: u64) -> Result<()>;
}
