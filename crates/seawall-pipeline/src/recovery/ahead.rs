//! Reading the log ahead of a replay: entries are decoded and the keys of their rows hashed on all processors, and handed out
//! in the order of the log. What is read ahead is bounded in bytes, however long the log is.

use std::collections::VecDeque;
use std::sync::Arc;

use seawall_base::error::Result;
use seawall_base::{Error, Instant, Log, LogEntry, Offset, column};
use tokio::task::JoinHandle;

use super::{Datasets, ENTRIES_PER_READ};
use crate::dedup::Keyed;
use crate::frame::{Frame, Header};
use crate::gate::keyed_rows;
use crate::portion::Portion;

/// Portions that are decoded at the same time, at most.
const PORTIONS_AHEAD_MAX: usize = 4;
/// Bytes of a portion, about; decoded it takes up to three times as many.
const PORTION_BYTES: usize = 4 << 20;

/// What the order needs to know of an entry.
pub(super) struct Decoded {
    pub header: Header,
    /// The offset after its last row.
    pub end: Offset,
    /// The newest arrival of its rows.
    pub newest_arrival: Option<Instant>,
    /// The keys of its accepted rows.
    pub keyed: Vec<Keyed>,
}

/// The entries of a log from somewhere on.
pub(super) struct Ahead<'l> {
    log: &'l dyn Log,
    datasets: Arc<Datasets>,
    next_entry: u64,
    portion: Portion,
    is_read: bool,
    decoding: VecDeque<JoinHandle<Result<Vec<Decoded>>>>,
    portions_max: usize,
}

impl<'l> Ahead<'l> {
    pub fn new(log: &'l dyn Log, datasets: &Datasets, from: u64) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Ahead {
            log,
            datasets: Arc::new(datasets.clone()),
            next_entry: from,
            portion: Portion::of(PORTION_BYTES, ENTRIES_PER_READ),
            is_read: false,
            decoding: VecDeque::new(),
            portions_max: processors.min(PORTIONS_AHEAD_MAX),
        }
    }

    /// The next entries; none when the log was read to its end.
    pub async fn next(&mut self) -> Result<Option<Vec<Decoded>>> {
        while !self.is_read && self.decoding.len() < self.portions_max {
            let entries = self.log.read(self.next_entry, self.portion.entries()).await?;
            self.portion.note(&entries);
            self.is_read = entries.is_empty();
            self.next_entry += entries.len() as u64;
            if !self.is_read {
                let datasets = self.datasets.clone();
                self.decoding.push_back(tokio::task::spawn_blocking(move || decode(&entries, &datasets)));
            }
        }
        let Some(first) = self.decoding.pop_front() else { return Ok(None) };
        let decoded = first.await.map_err(|e| Error::internal("SW0832", "decoding log entries died").because(e))?;
        decoded.map(Some)
    }
}

fn decode(entries: &[Arc<LogEntry>], datasets: &Datasets) -> Result<Vec<Decoded>> {
    let mut decoded = Vec::with_capacity(entries.len());
    for entry in entries {
        let frame = Frame::decode(&entry.payload)?;
        let mut newest_arrival = None;
        for rows in frame.accepted.iter().chain(&frame.quarantined) {
            let newest = crate::revision::instants(rows, column::ARRIVAL)?.values().iter().max().copied();
            newest_arrival = newest_arrival.max(newest.map(Instant));
        }
        let keyed = match (&frame.accepted, datasets.get(&frame.header.dataset)) {
            (Some(rows), Some(dataset)) => keyed_rows(dataset, rows)?,
            _ => Vec::new(),
        };
        decoded.push(Decoded { header: frame.header, end: entry.end(), newest_arrival, keyed });
    }
    Ok(decoded)
}
