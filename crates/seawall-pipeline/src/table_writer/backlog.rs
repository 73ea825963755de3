//! What the table writer has read of the log and not committed yet: rows per table, with the cuts around them.
//!
//! Bounded by rows and by bytes of log entries; beyond, the writer does not read on, and the rest waits in the log.
//! Rows that a table holds already are not taken again, so an entry can be offered any number of times.

use std::collections::BTreeMap;

use arrow::array::{Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::SchemaRef;
use seawall_base::error::Result;
use seawall_base::sabotage::{self, Bug};
use seawall_base::{Append, Cut, Instant, LogEntry, Partition, StagedFile, TableName, TableSnapshot, column};
use seawall_catalog::{Departure, DepartureFacts, FrameFacts};

use super::conform;
use crate::frame::Frame;

/// Rows of one table that wait for a commit.
pub(super) struct Buffer {
    schema: SchemaRef,
    committed: Cut,
    until: Cut,
    batches: Vec<RecordBatch>,
    staged: Vec<StagedFile>,
}

impl Buffer {
    /// Nothing waits; the table is as in `snapshot`.
    pub(super) fn after(snapshot: TableSnapshot) -> Self {
        Buffer {
            schema: snapshot.schema,
            committed: snapshot.cut.clone(),
            until: snapshot.cut,
            batches: Vec::new(),
            staged: Vec::new(),
        }
    }

    /// The commit that writes what waits; none when nothing does.
    pub(super) fn append(&self) -> Option<Append> {
        let waits = !self.batches.is_empty() || !self.staged.is_empty();
        waits.then(|| Append {
            batches: self.batches.clone(),
            staged: self.staged.clone(),
            from: self.committed.clone(),
            until: self.until.clone(),
        })
    }

    /// The commit has landed.
    pub(super) fn is_committed(&mut self) {
        self.batches.clear();
        self.staged.clear();
        self.committed = self.until.clone();
    }
}

/// Everything that waits.
#[derive(Default)]
pub(super) struct Backlog {
    pub(super) buffers: BTreeMap<TableName, Buffer>,
    pub(super) facts: BTreeMap<String, Vec<FrameFacts>>,
    rows: usize,
    bytes: usize,
    /// Arrival of the oldest rows that wait.
    oldest: Option<Instant>,
}

impl Backlog {
    /// Rows that wait.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes of the log entries that were read since the last commit.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Arrival of the oldest rows that wait.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.oldest
    }

    /// Takes an entry's rows. The buffers of its tables must be there.
    pub(super) fn take(&mut self, ordinal: u64, entry: &LogEntry, frame: &Frame) -> Result<()> {
        let header = &frame.header;
        let table = TableName::new(header.dataset.as_str())?;
        let live_end = Cut::of(Partition::LIVE, entry.end());
        if let Some(rows) = frame.numbered_accepted(entry)? {
            self.put_rows(&table, &rows, &live_end)?;
        }
        if let Some(load) = &header.load {
            self.put_staged(&table, &load.staged, &Cut::of(load.partition, load.end));
        }
        if let Some(rows) = frame.numbered_quarantined(entry)? {
            let until = match &header.load {
                Some(load) => Cut::of(load.partition, load.end),
                None => live_end,
            };
            self.put_rows(&TableName::quarantine(&header.dataset)?, &rows, &until)?;
        }
        self.put_facts(ordinal, entry, frame);
        self.bytes += entry.payload.len();
        Ok(())
    }

    fn put_rows(&mut self, table: &TableName, rows: &RecordBatch, until: &Cut) -> Result<()> {
        let buffer =
            self.buffers.get_mut(table).expect("the writer makes an entry's buffers before it takes the entry");
        if buffer.until.covers(until) && !sabotage::on(Bug::SkipTxnCheck) {
            return Ok(());
        }
        buffer.batches.push(conform(rows, &buffer.schema)?);
        buffer.until.join(until);
        self.rows += rows.num_rows();
        self.oldest = match (self.oldest, first_arrival(rows)) {
            (Some(known), Some(arrival)) => Some(known.min(arrival)),
            (known, arrival) => known.or(arrival),
        };
        Ok(())
    }

    fn put_staged(&mut self, table: &TableName, staged: &[StagedFile], until: &Cut) {
        let buffer =
            self.buffers.get_mut(table).expect("the writer makes an entry's buffers before it takes the entry");
        if !buffer.until.covers(until) {
            buffer.staged.extend_from_slice(staged);
            buffer.until.join(until);
        }
    }

    fn put_facts(&mut self, ordinal: u64, entry: &LogEntry, frame: &Frame) {
        let header = &frame.header;
        if header.counts == crate::Counts::default() {
            return;
        }
        let facts = self.facts.entry(header.dataset.clone()).or_default();
        if facts.last().is_none_or(|last| last.entry < ordinal) {
            let facts_of = |departure: &Departure| DepartureFacts {
                departure: departure.clone(),
                permit: header.permit.clone(),
                first: entry.first,
            };
            let departure = header.departure.as_ref().map(facts_of);
            facts.push(FrameFacts {
                entry: ordinal,
                arrival: frame_arrival(frame),
                counts: header.counts,
                rules: header.rules.clone(),
                departure,
            });
        }
    }

    /// Everything is committed.
    pub(super) fn is_committed(&mut self) {
        self.rows = 0;
        self.bytes = 0;
        self.oldest = None;
    }
}

/// The tables that a frame has rows for.
pub(super) fn tables_of(frame: &Frame) -> Result<Vec<TableName>> {
    let mut tables = Vec::with_capacity(2);
    if frame.accepted.is_some() || frame.header.load.is_some() {
        tables.push(TableName::new(frame.header.dataset.as_str())?);
    }
    if frame.quarantined.is_some() {
        tables.push(TableName::quarantine(&frame.header.dataset)?);
    }
    Ok(tables)
}

/// When a frame's rows arrived; nothing is told by a frame without rows, such as one of a refused batch or a bulk load.
fn frame_arrival(frame: &Frame) -> Option<Instant> {
    let of_rows = || frame.accepted.iter().chain(&frame.quarantined).find_map(first_arrival);
    frame.header.arrival.or_else(of_rows)
}

fn first_arrival(rows: &RecordBatch) -> Option<Instant> {
    let arrivals = rows.column_by_name(column::ARRIVAL)?.as_any().downcast_ref::<TimestampMicrosecondArray>()?;
    (!arrivals.is_empty()).then(|| Instant(arrivals.value(0)))
}
