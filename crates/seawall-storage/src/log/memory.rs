//! The log in memory: the twin of the durable one, for tests and simulation.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use seawall_base::error::Result;
use seawall_base::{Appended, Error, ErrorKind, Log, LogEntry, Offset, Partition};
use tokio::sync::watch;

/// A log whose entries live as long as it does. What it took counts as durable at once.
#[derive(Debug)]
pub struct MemoryLog {
    partition: Partition,
    entries: Mutex<Vec<Arc<LogEntry>>>,
    progress: watch::Sender<Progress>,
}

#[derive(Debug, Clone, Copy)]
struct Progress {
    entries: u64,
    end: Offset,
    poisoned: bool,
}

impl MemoryLog {
    /// An empty log of `partition`.
    pub fn new(partition: Partition) -> Self {
        let progress = Progress { entries: 0, end: Offset(0), poisoned: false };
        MemoryLog { partition, entries: Mutex::new(Vec::new()), progress: watch::Sender::new(progress) }
    }

    /// Behaves from now on as if a write had failed: appends are refused, reads go on.
    pub fn poison(&self) {
        self.progress.send_modify(|progress| progress.poisoned = true);
    }

    fn refused(&self) -> Error {
        let message = format!("the log of partition {} takes no entries since a write failed", self.partition.0);
        Error::new(ErrorKind::Unavailable, "SW0402", message).hint("restart")
    }
}

#[async_trait]
impl Log for MemoryLog {
    fn partition(&self) -> Partition {
        self.partition
    }

    async fn append(&self, rows: u32, payload: Bytes) -> Result<Appended> {
        if payload.len() > super::PAYLOAD_BYTES_MAX {
            return Err(super::error::too_large(payload.len()));
        }
        let mut entries = self.entries.lock();
        if self.progress.borrow().poisoned {
            return Err(self.refused());
        }
        let first = entries.last().map_or(Offset(0), |last| last.end());
        let entry = LogEntry { first, rows, payload };
        let appended = Appended { entry: entries.len() as u64, first, end: entry.end() };
        entries.push(Arc::new(entry));
        self.progress.send_modify(|progress| {
            progress.entries = appended.entry + 1;
            progress.end = appended.end;
        });
        Ok(appended)
    }

    fn durable_end(&self) -> (u64, Offset) {
        let progress = self.progress.borrow();
        (progress.entries, progress.end)
    }

    async fn read(&self, from: u64, entries_max: usize) -> Result<Vec<Arc<LogEntry>>> {
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        Ok(self.entries.lock().iter().skip(from).take(entries_max).cloned().collect())
    }

    async fn wait_beyond(&self, entries: u64) -> Result<()> {
        let mut progress = self.progress.subscribe();
        match progress.wait_for(|now| now.entries > entries || now.poisoned).await {
            Ok(now) if now.entries > entries => Ok(()),
            _ => Err(self.refused()),
        }
    }
}
