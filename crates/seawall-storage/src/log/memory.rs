//! The log in memory: the twin of the durable one, for tests and simulation.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use seawall_base::error::Result;
use seawall_base::{Appended, Error, ErrorKind, Extent, Log, LogEntry, Offset, OsRng, Partition, Rng};
use tokio::sync::watch;

/// A log whose entries live as long as it does. What it took counts as durable at once.
#[derive(Debug)]
pub struct MemoryLog {
    partition: Partition,
    id: u64,
    kept: Mutex<Kept>,
    progress: watch::Sender<Progress>,
}

/// The entries from ordinal `first_entry` on.
#[derive(Debug, Default)]
struct Kept {
    first_entry: u64,
    entries: VecDeque<Arc<LogEntry>>,
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
        let mut id = [0; 8];
        OsRng.fill(&mut id);
        let id = u64::from_le_bytes(id);
        MemoryLog { partition, id, kept: Mutex::new(Kept::default()), progress: watch::Sender::new(progress) }
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
        let mut kept = self.kept.lock();
        if self.progress.borrow().poisoned {
            return Err(self.refused());
        }
        let Progress { entries, end: first, .. } = *self.progress.borrow();
        let entry = LogEntry { first, rows, payload };
        let appended = Appended { entry: entries, first, end: entry.end() };
        kept.entries.push_back(Arc::new(entry));
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
        let kept = self.kept.lock();
        let Some(skip) = from.checked_sub(kept.first_entry) else {
            let message = format!("the log begins with entry {}; entry {from} was retired", kept.first_entry);
            return Err(Error::not_found("SW0409", message));
        };
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        Ok(kept.entries.iter().skip(skip).take(entries_max).cloned().collect())
    }

    fn extent(&self) -> Extent {
        let kept = self.kept.lock();
        let (entries, end) = self.durable_end();
        Extent {
            log: self.id,
            first_entry: kept.first_entry,
            first: kept.entries.front().map_or(end, |entry| entry.first),
            entries,
            end,
            bytes: kept.entries.iter().map(|entry| entry.payload.len() as u64).sum(),
        }
    }

    async fn retire(&self, before: u64) -> Result<()> {
        let mut kept = self.kept.lock();
        while kept.first_entry < before && kept.entries.len() > 1 {
            kept.entries.pop_front();
            kept.first_entry += 1;
        }
        Ok(())
    }

    async fn wait_beyond(&self, entries: u64) -> Result<()> {
        let mut progress = self.progress.subscribe();
        match progress.wait_for(|now| now.entries > entries || now.poisoned).await {
            Ok(now) if now.entries > entries => Ok(()),
            _ => Err(self.refused()),
        }
    }
}
