//! The log as its readers see it: everything opened that can be.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use seawall_base::error::Result;
use seawall_base::log::Extent;
use seawall_base::{Appended, Error, Log, LogEntry, Offset, Partition};
use seawall_storage::keys::KeyRing;

use crate::frame::is_sealed;

/// A log whose frames are opened as they are read. What is appended must be sealed already: that takes keys that are
/// durable, and the order of appends must not wait for them.
pub struct OpenLog {
    inner: Arc<dyn Log>,
    ring: KeyRing,
}

impl OpenLog {
    /// The frames of `inner`, opened with the keys of `ring`.
    pub fn of(inner: Arc<dyn Log>, ring: KeyRing) -> OpenLog {
        OpenLog { inner, ring }
    }
}

/// The entry with its frame opened.
pub fn open_entry(entry: &LogEntry, ring: &KeyRing) -> Result<LogEntry> {
    Ok(LogEntry { payload: super::open(&entry.payload, ring)?, ..*entry })
}

#[async_trait]
impl Log for OpenLog {
    fn partition(&self) -> Partition {
        self.inner.partition()
    }

    async fn append(&self, rows: u32, payload: Bytes) -> Result<Appended> {
        self.inner.append(rows, payload).await
    }

    fn durable_end(&self) -> (u64, Offset) {
        self.inner.durable_end()
    }

    fn extent(&self) -> Extent {
        self.inner.extent()
    }

    async fn read(&self, from: u64, entries_max: usize) -> Result<Vec<Arc<LogEntry>>> {
        let entries = self.inner.read(from, entries_max).await?;
        if !entries.iter().any(|entry| is_sealed(&entry.payload)) {
            return Ok(entries);
        }
        let ring = self.ring.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let mut opened = Vec::with_capacity(entries.len());
            for entry in entries {
                let is_plain = !is_sealed(&entry.payload);
                opened.push(if is_plain { entry } else { Arc::new(open_entry(&entry, &ring)?) });
            }
            Ok(opened)
        });
        opened.await.map_err(|e| Error::internal("SW0832", "opening log entries died").because(e))?
    }

    async fn wait_beyond(&self, entries: u64) -> Result<()> {
        self.inner.wait_beyond(entries).await
    }

    async fn retire(&self, before: u64) -> Result<()> {
        self.inner.retire(before).await
    }
}
