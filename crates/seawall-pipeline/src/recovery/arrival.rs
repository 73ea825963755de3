//! Finding log entries by the time at which their rows arrived, which never decreases along the log.

use seawall_base::error::Result;
use seawall_base::log::first_where;
use seawall_base::{Instant, Log, LogEntry, column};

use crate::frame::Frame;

/// An entry before which no row arrived at or after `at`; the number of entries when none did. Reads few entries.
pub(crate) async fn first_entry_since(log: &dyn Log, at: Instant) -> Result<u64> {
    first_where(log, |entry| Ok(newest(entry)?.map(|arrival| arrival >= at))).await
}

/// When the oldest row arrived that the log still has; the beginning of time when it has all or none.
pub(crate) async fn oldest(log: &dyn Log) -> Result<Instant> {
    let extent = log.extent();
    if extent.first_entry == 0 {
        return Ok(Instant::MIN);
    }
    for at in extent.first_entry..extent.entries {
        if let Some(entry) = log.read(at, 1).await?.first()
            && let Some(arrival) = newest(entry)?
        {
            return Ok(arrival);
        }
    }
    Ok(Instant::MIN)
}

/// The newest arrival among an entry's rows. A bulk load's rows arrived when it began, not in the order of the log.
fn newest(entry: &LogEntry) -> Result<Option<Instant>> {
    if entry.rows == 0 || Frame::decode_header(&entry.payload)?.load.is_some() {
        return Ok(None);
    }
    let frame = Frame::decode_public(&entry.payload)?;
    let mut newest = None;
    for rows in frame.accepted.iter().chain(&frame.quarantined) {
        newest = newest.max(crate::revision::instants(rows, column::ARRIVAL)?.values().iter().max().copied());
    }
    Ok(newest.map(Instant))
}
