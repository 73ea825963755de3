//! The total order of rows: event time, then availability, then identity. It breaks every tie the same way everywhere.

use seawall_base::error::Result;
use seawall_base::{Instant, Offset, Partition, RowId};

use super::bytes::{Reader, Writer};

/// Place of a row in the total order `(event_time, available_at, partition, lsn)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowOrder {
    /// When it happened.
    pub event_time: Instant,
    /// When it could first be known.
    pub available_at: Instant,
    /// Identity, first half.
    pub partition: Partition,
    /// Identity, second half.
    pub offset: Offset,
}

impl RowOrder {
    /// Before every row with this event time or a later one.
    pub fn before(event_time: Instant) -> Self {
        RowOrder { event_time, available_at: Instant::MIN, partition: Partition(0), offset: Offset(0) }
    }

    /// After every row with this event time or an earlier one.
    pub fn after(event_time: Instant) -> Self {
        RowOrder { event_time, available_at: Instant::MAX, partition: Partition(u32::MAX), offset: Offset(u64::MAX) }
    }

    /// The row's identity.
    pub fn row(&self) -> RowId {
        RowId { partition: self.partition, offset: self.offset }
    }

    /// Writes the order as 28 bytes.
    pub(crate) fn encode(&self, out: &mut Writer) {
        out.i64(self.event_time.0);
        out.i64(self.available_at.0);
        out.u32(self.partition.0);
        out.u64(self.offset.0);
    }

    /// Reads what [`RowOrder::encode`] wrote.
    pub(crate) fn decode(from: &mut Reader<'_>) -> Result<Self> {
        Ok(RowOrder {
            event_time: Instant(from.i64()?),
            available_at: Instant(from.i64()?),
            partition: Partition(from.u32()?),
            offset: Offset(from.u64()?),
        })
    }
}
