//! Retention: how far back the log is kept, and for whom.
//!
//! An entry may go once nobody needs it any more: the checkpoint of the order before the newest is behind it, every table
//! had durably committed it when that checkpoint was written, the online store's checkpoint and the monitor's have it,
//! and its rows arrived longer ago than the project's `log_retention`. Segments go as a whole, so the log may begin
//! earlier.

use seawall_base::error::Result;
use seawall_base::sabotage::{self, Bug};
use seawall_base::{Error, Extent, Instant, Log, Span};
use serde::{Deserialize, Serialize};

use super::arrival::first_entry_since;
use super::states::States;
use crate::monitor;

/// How long entries are kept when the project does not say.
pub const LOG_RETENTION_DEFAULT: Span = Span(7 * Span::DAY.0);

/// Whoever needs entries of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    /// A start that has to take the older checkpoint of the order.
    Order,
    /// Tables that have not committed them.
    Tables,
    /// Features that no checkpoint has.
    Features,
    /// Sums of the monitor that its older checkpoint does not have.
    Monitor,
    /// They are younger than `log_retention`.
    Retention,
}

impl Holder {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Holder::Order => "order",
            Holder::Tables => "tables",
            Holder::Features => "features",
            Holder::Monitor => "monitor",
            Holder::Retention => "retention",
        }
    }
}

/// From which entry on somebody needs the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Hold {
    /// Who.
    pub by: Holder,
    /// The first entry that is needed.
    pub from: u64,
}

/// What the log holds, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogStatus {
    /// What can be read.
    #[serde(flatten)]
    pub extent: Extent,
    /// How long entries are kept that nobody needs.
    pub retention: Span,
    /// Who needs entries, as of the newest checkpoint of the order: whole segments before the first of them are removed.
    /// Empty before the first checkpoint, when nothing is removed.
    pub holds: Vec<Hold>,
}

/// How far the features are on the disk, and until when entries are kept anyway.
pub(crate) struct Bounds {
    pub features: u64,
    pub kept_since: Instant,
}

/// Who needs which entries.
pub(crate) async fn holds(log: &dyn Log, states: &States, bounds: &Bounds) -> Result<Vec<Hold>> {
    let (order, tables) = states.held_by_order()?;
    let retention = first_entry_since(log, bounds.kept_since).await?;
    let of = |by, from| Hold { by, from };
    Ok(vec![
        of(Holder::Order, order),
        of(Holder::Tables, tables),
        of(Holder::Features, bounds.features),
        of(Holder::Monitor, states.held_by_monitor()?),
        of(Holder::Retention, retention),
    ])
}

/// The first entry that somebody needs.
pub(crate) fn needed_from(holds: &[Hold]) -> u64 {
    let from = holds.iter().map(|hold| hold.from);
    if sabotage::on(Bug::TrimTooEarly) { from.max() } else { from.min() }.unwrap_or(0)
}

/// The part of an order checkpoint's body that tells where it stands.
#[derive(Deserialize)]
struct OrderPosition {
    entries: u64,
    tables: Entries,
}

#[derive(Deserialize)]
struct Entries {
    entries: u64,
}

impl States {
    /// Entries that the older checkpoint of the order does not have, and that tables did not have then; everything while
    /// there are not two checkpoints.
    fn held_by_order(&self) -> Result<(u64, u64)> {
        let checkpoints = self.order.lock().checkpoints();
        let Some(older) = checkpoints.get(1) else { return Ok((0, 0)) };
        let damaged =
            |e| Error::corrupt("SW0442", "a checkpoint of the order is not what this program writes").because(e);
        let position: OrderPosition = serde_json::from_str(&older.body).map_err(damaged)?;
        Ok((position.entries, position.tables.entries))
    }

    fn held_by_monitor(&self) -> Result<u64> {
        let checkpoints = self.monitor.lock().checkpoints();
        let Some(older) = checkpoints.get(1) else { return Ok(0) };
        let damaged =
            |e| Error::corrupt("SW0442", "a checkpoint of the monitor is not what this program writes").because(e);
        let body: monitor::checkpoint::Body = serde_json::from_str(&older.body).map_err(damaged)?;
        Ok(body.entries)
    }
}
