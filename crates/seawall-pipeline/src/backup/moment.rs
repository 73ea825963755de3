//! When a log entry came in.

use arrow::array::{RecordBatch, TimestampMicrosecondArray};
use seawall_base::error::Result;
use seawall_base::{Instant, LogEntry, column};

use crate::frame::Frame;

/// The latest arrival among an entry's rows; none for an entry without rows, which came when the one before it did.
pub fn arrival_of(entry: &LogEntry) -> Result<Option<Instant>> {
    let frame = Frame::decode_public(&entry.payload)?;
    let latest = |rows: &RecordBatch| -> Option<i64> {
        let arrivals = rows.column_by_name(column::ARRIVAL)?;
        let arrivals = arrivals.as_any().downcast_ref::<TimestampMicrosecondArray>()?;
        arrow::compute::max(arrivals)
    };
    Ok(frame.accepted.iter().chain(&frame.quarantined).filter_map(latest).max().map(Instant))
}
