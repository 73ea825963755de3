//! Restores: rows that a rollback withdrew.
//!
//! A restore is a frame of the log. Rows of its datasets between the kept end and the frame are withdrawn: the newest
//! table version does not show them, the online store does not fold them, deduplication does not know them. Versions
//! before it still show them, which is how vectors that were made of them are proved.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::TimestampMicrosecondArray;
use arrow::array::{Array, ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use seawall_base::error::Result;
use seawall_base::{Cut, Instant, Log, LogEntry, Offset, Partition, Permit, TableVersion, column};
use serde::{Deserialize, Serialize};

use crate::frame::{Frame, Header, Restore};

/// Table with one row per restore.
pub const TABLE: &str = "seawall_restores";
/// The restores of a log, oldest first, each with the offset after its frame.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Withdrawn {
    restores: Vec<(Offset, Restore)>,
}

impl Withdrawn {
    /// Takes note of a restore whose frame ends at `end`.
    pub(crate) fn push(&mut self, end: Offset, restore: Restore) {
        self.restores.push((end, restore));
    }

    /// The rows of a numbered batch of the live partition that are not withdrawn.
    pub fn keep(&self, dataset: &str, rows: RecordBatch) -> Result<RecordBatch> {
        let ranges: Vec<(u64, u64)> = self.ranges(dataset).collect();
        if ranges.is_empty() {
            return Ok(rows);
        }
        keep_where(&rows, |partition, offset| {
            partition != Partition::LIVE || !ranges.iter().any(|(from, to)| (*from..*to).contains(&offset))
        })
    }

    /// The accepted rows of a frame, without identity, that are not withdrawn.
    pub fn keep_accepted(&self, frame: &Frame, entry: &LogEntry) -> Result<Option<RecordBatch>> {
        let Some(rows) = &frame.accepted else { return Ok(None) };
        let ranges: Vec<(u64, u64)> = self.ranges(&frame.header.dataset).collect();
        let first = entry.first.0;
        let kept = |offset: u64| !ranges.iter().any(|(from, to)| (*from..*to).contains(&offset));
        let keep: BooleanArray = (0..rows.num_rows() as u64).map(|row| Some(kept(first + row))).collect();
        Ok(Some(filter_record_batch(rows, &keep)?))
    }

    /// How many restores `cut` covers.
    pub fn phase(&self, cut: &Cut) -> usize {
        self.restores.iter().filter(|(end, _)| *end <= cut.end(Partition::LIVE)).count()
    }

    /// How many restores there are: the phase of the present.
    pub fn len(&self) -> usize {
        self.restores.len()
    }

    /// Whether nothing was ever withdrawn.
    pub fn is_empty(&self) -> bool {
        self.restores.is_empty()
    }

    /// The version of a dataset that shows what was visible in `phase`; none when the newest does.
    pub fn version_in(&self, phase: usize, dataset: &str) -> Option<TableVersion> {
        let later = self.restores.get(phase..).unwrap_or_default().iter();
        later.filter_map(|(_, restore)| restore.tables.get(dataset)).map(|table| table.version_before).next()
    }

    fn ranges<'a>(&'a self, dataset: &'a str) -> impl Iterator<Item = (u64, u64)> + 'a {
        let of = move |(end, restore): &'a (Offset, Restore)| Some((restore.tables.get(dataset)?.kept_end, end.0));
        self.restores.iter().filter_map(of)
    }
}

/// The rows for whose partition and offset `keep` holds.
pub(crate) fn keep_where(rows: &RecordBatch, keep: impl Fn(Partition, u64) -> bool) -> Result<RecordBatch> {
    let ids = |name: &str| rows.column_by_name(name).ok_or_else(|| crate::verify::missing_column(name));
    let (partitions, offsets) = (ids(column::PARTITION)?, ids(column::LSN)?);
    let (Some(partitions), Some(offsets)) =
        (partitions.as_any().downcast_ref::<Int32Array>(), offsets.as_any().downcast_ref::<Int64Array>())
    else {
        return Err(crate::verify::missing_column(column::LSN));
    };
    let kept: BooleanArray = (0..rows.num_rows())
        .map(|row| Some(keep(Partition(partitions.value(row) as u32), offsets.value(row) as u64)))
        .collect();
    if kept.true_count() == rows.num_rows() {
        return Ok(rows.clone());
    }
    Ok(filter_record_batch(rows, &kept)?)
}

/// How many rows of a scan a restore to `kept_end` withdraws.
pub fn rows_behind(batches: &[RecordBatch], kept_end: u64) -> Result<u64> {
    let mut rows = 0;
    for batch in batches {
        let behind = keep_where(batch, |partition, offset| partition == Partition::LIVE && offset >= kept_end)?;
        rows += behind.num_rows() as u64;
    }
    Ok(rows)
}

/// Appends the frame of a restore. Nothing else may write to the log, tables must hold all of it, and the checkpoints of
/// the online store must be gone: it is rebuilt from the log by the next start, which also finishes the tables.
pub async fn append(log: &dyn Log, permit: &Permit, restore: Restore, arrival: Instant) -> Result<()> {
    let instants =
        |at: Instant| -> ArrayRef { Arc::new(TimestampMicrosecondArray::from(vec![at.0]).with_timezone("UTC")) };
    let columns = vec![
        instants(restore.at),
        Arc::new(StringArray::from(vec![restore.reason.clone()])) as ArrayRef,
        instants(arrival),
        instants(arrival),
    ];
    let header = Header { restore: Some(restore), ..Header::new(TABLE, "rollback", permit, crate::Counts::default()) };
    let frame = Frame { header, accepted: Some(RecordBatch::try_new(schema(), columns)?), quarantined: None };
    log.append(frame.live_rows(), frame.encode()?).await.map(|_| ())
}

/// Columns of a restore's row in the log.
pub(crate) fn schema() -> SchemaRef {
    let instant = |name: &str| Field::new(name, crate::instant_type(), false);
    Arc::new(Schema::new(vec![
        instant("restored_to"),
        Field::new("reason", DataType::Utf8, false),
        instant(column::ARRIVAL),
        instant(column::AVAILABLE_AT),
    ]))
}

/// The kept ends of what a restore brings back, by dataset.
pub(crate) fn kept_ends(restore: &Restore) -> BTreeMap<&str, u64> {
    restore.tables.iter().map(|(dataset, table)| (dataset.as_str(), table.kept_end)).collect()
}
