//! How many log entries to read at once: so many that they have about as many bytes as wanted, judged by the last ones.

use std::sync::Arc;

use seawall_base::LogEntry;

/// What one read asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Portion {
    bytes: usize,
    entries_max: usize,
    /// Bytes of an entry, about.
    entry_bytes: usize,
}

impl Portion {
    /// Portions of about `bytes`, and of at most `entries_max` entries.
    pub fn of(bytes: usize, entries_max: usize) -> Portion {
        Portion { bytes, entries_max, entry_bytes: bytes.div_ceil(16) }
    }

    /// Entries to ask for.
    pub fn entries(&self) -> usize {
        (self.bytes / self.entry_bytes.max(1)).clamp(1, self.entries_max)
    }

    /// Learns from what was read.
    pub fn note(&mut self, entries: &[Arc<LogEntry>]) {
        if !entries.is_empty() {
            let bytes: usize = entries.iter().map(|entry| entry.payload.len()).sum();
            self.entry_bytes = bytes / entries.len();
        }
    }
}
