//! The log port over a log in memory: appends fail, and a failed one poisons the log until it is opened again.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use seawall_base::error::Result;
use seawall_base::{Appended, Error, ErrorKind, Extent, Log, LogEntry, Offset, Partition};
use seawall_storage::log::MemoryLog;
use tokio::sync::watch;

use crate::faults::{Fate, Faults, Place};

/// One opening of the log. Entries outlive it; poison does not.
pub struct FailingLog {
    entries: Arc<MemoryLog>,
    faults: Arc<Faults>,
    poisoned: watch::Sender<bool>,
}

impl FailingLog {
    /// Opens the log whose entries are `entries`.
    pub fn open(entries: Arc<MemoryLog>, faults: Arc<Faults>) -> FailingLog {
        FailingLog { entries, faults, poisoned: watch::Sender::new(false) }
    }

    /// Whether an append has failed since this opening.
    pub fn is_poisoned(&self) -> bool {
        *self.poisoned.borrow()
    }

    fn poison(&self) -> Error {
        self.poisoned.send_replace(true);
        poisoned()
    }
}

fn poisoned() -> Error {
    Error::new(ErrorKind::Unavailable, "SW0402", "a write to the log failed").hint("restart")
}

#[async_trait]
impl Log for FailingLog {
    fn partition(&self) -> Partition {
        self.entries.partition()
    }

    async fn append(&self, rows: u32, payload: Bytes) -> Result<Appended> {
        if self.is_poisoned() {
            return Err(poisoned());
        }
        if self.faults.is_dead() {
            // What stands behind an append that died with the process is not durable either.
            return std::future::pending().await;
        }
        // Decided at the first poll, which is what numbers appends.
        let fate = self.faults.next(Place::LogAppend);
        self.faults.trace("log", &format!("append {rows} {} {fate:?}", blake3::hash(&payload).to_hex()));
        match fate {
            Fate::Refused => Err(self.poison()),
            Fate::DoneAndFailed => {
                self.entries.append(rows, payload).await?;
                Err(self.poison())
            }
            Fate::DiesBefore => std::future::pending().await,
            Fate::DiesAfter => {
                self.entries.append(rows, payload).await?;
                std::future::pending().await
            }
            Fate::Done => {
                let appended = self.entries.append(rows, payload).await?;
                // The sync that a real log waits for.
                tokio::task::yield_now().await;
                Ok(appended)
            }
        }
    }

    fn durable_end(&self) -> (u64, Offset) {
        self.entries.durable_end()
    }

    fn extent(&self) -> Extent {
        self.entries.extent()
    }

    async fn read(&self, from: u64, entries_max: usize) -> Result<Vec<Arc<LogEntry>>> {
        self.entries.read(from, entries_max).await
    }

    async fn wait_beyond(&self, entries: u64) -> Result<()> {
        let mut poison = self.poisoned.subscribe();
        tokio::select! {
            biased;
            reached = self.entries.wait_beyond(entries) => reached,
            _ = poison.wait_for(|poisoned| *poisoned) => Err(poisoned()),
        }
    }

    async fn retire(&self, before: u64) -> Result<()> {
        self.entries.retire(before).await
    }
}
