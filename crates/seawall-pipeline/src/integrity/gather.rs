//! Rows of tables out of the log: those that a commit between two cuts took.
//!
//! Batches come as the table writer handed them over: one per frame, numbered, in the order of the log. So the same rows
//! encode to the same file again.

use arrow::array::RecordBatch;
use seawall_base::error::Result;
use seawall_base::{Cut, LogEntry, Offset, Partition, StagedFile};
use seawall_storage::keys::KeyRing;

use crate::frame::Frame;
use crate::sealing::open_entry;

/// What is looked for, and what was found of it.
#[derive(Debug, Clone)]
pub struct Gathered {
    /// The dataset.
    pub dataset: String,
    /// Whether its stopped rows are meant.
    pub is_quarantine: bool,
    /// The cut before.
    pub from: Cut,
    /// The cut after.
    pub until: Cut,
    /// The rows.
    pub rows: Vec<RecordBatch>,
    /// Files of bulk loads that became visible.
    pub staged: Vec<StagedFile>,
    /// Whether the log still held everything in between, and could be read.
    pub is_complete: bool,
}

impl Gathered {
    /// To look for the rows of `dataset` between two cuts.
    pub fn wanted(dataset: &str, is_quarantine: bool, from: Cut, until: Cut) -> Gathered {
        let (dataset, rows, staged) = (dataset.to_owned(), Vec::new(), Vec::new());
        Gathered { dataset, is_quarantine, from, until, rows, staged, is_complete: false }
    }

    fn live(&self) -> (Offset, Offset) {
        (self.from.end(Partition::LIVE), self.until.end(Partition::LIVE))
    }

    fn moves(&self, partition: Partition) -> bool {
        self.until.end(partition) > self.from.end(partition)
    }

    fn take(&mut self, entry: &LogEntry, keys: Option<&KeyRing>) -> Result<()> {
        let header = Frame::decode_header(&entry.payload)?;
        if header.dataset != self.dataset {
            return Ok(());
        }
        let (from, until) = self.live();
        let is_within = match &header.load {
            Some(load) => self.moves(load.partition),
            None => entry.first >= from && entry.end() <= until && entry.rows > 0,
        };
        if !is_within {
            return Ok(());
        }
        let frame = match keys {
            Some(keys) => Frame::decode(&open_entry(entry, keys)?.payload)?,
            None => Frame::decode(&entry.payload)?,
        };
        let rows = match self.is_quarantine {
            true => frame.numbered_quarantined(entry)?,
            false => frame.numbered_accepted(entry)?,
        };
        self.rows.extend(rows);
        if let (Some(load), false) = (frame.header.load, self.is_quarantine) {
            self.staged.extend(load.staged);
        }
        Ok(())
    }
}

/// A walk over the log that gathers rows for several commits at once.
#[derive(Debug)]
pub struct Gather {
    /// Absent when they cannot be read: what is sealed is then missing.
    keys: Option<KeyRing>,
    wanted: Vec<Gathered>,
    first: Option<Offset>,
    end: Offset,
    failed: bool,
}

impl Gather {
    /// To gather all of `wanted` from a log that is sealed with `keys`.
    pub fn of(wanted: Vec<Gathered>, keys: Option<KeyRing>) -> Gather {
        Gather { keys, wanted, first: None, end: Offset(0), failed: false }
    }

    /// Takes the next entry of the log.
    pub fn take(&mut self, entry: &LogEntry) {
        self.first.get_or_insert(entry.first);
        self.end = entry.end();
        for wanted in &mut self.wanted {
            self.failed |= wanted.take(entry, self.keys.as_ref()).is_err();
        }
    }

    /// What was found, in the order in which it was asked for. `log_is_whole` says whether every segment could be read.
    pub fn finish(mut self, log_is_whole: bool) -> Vec<Gathered> {
        let (first, end) = (self.first.unwrap_or(Offset(0)), self.end);
        for wanted in &mut self.wanted {
            let (from, until) = wanted.live();
            let held = from == until || (first <= from && until <= end);
            wanted.is_complete = log_is_whole && !self.failed && held;
        }
        self.wanted
    }
}
