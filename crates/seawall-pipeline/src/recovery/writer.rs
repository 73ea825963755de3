//! Writes the order's checkpoints while the pipeline runs.
//!
//! What is new is taken from the order under its lock, in time proportional to what is new; then the lock is given back,
//! and what was taken is written once every entry that it speaks of is durable. A checkpoint that fails is given back to
//! the order, and the next one tries again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use seawall_base::error::Result;
use seawall_base::{Clock, Error, ErrorKind, Log, MonotonicClock, Offset, TableStore};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinHandle;
use tracing::{debug, info, warn};

use super::checkpoint::{Body, TablePosition, Taken, next_keys};
use super::retention::{self, Bounds, Hold};
use super::states::States;
use super::{UNWRITTEN_ROWS_MAX, span_of};
use crate::gate::Order;
use crate::restore::Withdrawn;
use crate::revision::Revision;
use crate::{feature_writer, table_writer};

/// How often the writer looks whether a checkpoint is due.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// How long a checkpoint waits for the log: a disk that is full must not keep a server from ending.
const DURABLE_PATIENCE: Duration = Duration::from_secs(10);

/// What the writer works on.
pub(crate) struct OrderWriter {
    pub log: Arc<dyn Log>,
    pub tables: Arc<dyn TableStore>,
    pub states: Arc<States>,
    pub order: Arc<Mutex<Order>>,
    pub withdrawn: Arc<Withdrawn>,
    pub table_writer: table_writer::Handle,
    pub feature_writer: feature_writer::Handle,
    pub clock: Arc<dyn Clock>,
    pub revision: Arc<RwLock<Arc<Revision>>>,
    pub interval: Duration,
    /// How far the tables were when they were last looked at.
    pub tables_known: Mutex<TablePosition>,
    /// Who needs entries of the log, as of the newest checkpoint.
    pub holds: watch::Sender<Vec<Hold>>,
}

impl OrderWriter {
    /// Writes a checkpoint when the interval has passed, or much is new; a last one when every sender of `closed` is gone.
    pub async fn run(self, mut closed: mpsc::Receiver<()>) -> Result<()> {
        let mut look = tokio::time::interval(LOOK_INTERVAL);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let interval = span_of(self.interval);
        let mut written = (MonotonicClock.now(), self.order.lock().await.entries);
        loop {
            tokio::select! {
                _ = closed.recv() => return self.checkpoint().await,
                _ = look.tick() => {}
            }
            let (entries, unwritten) = {
                let order = self.order.lock().await;
                (order.entries, unwritten_rows(&order))
            };
            let is_due = unwritten >= UNWRITTEN_ROWS_MAX
                || (entries > written.1 && MonotonicClock.now() - written.0 >= interval);
            if !is_due {
                continue;
            }
            // The state is in memory and in the log; the next checkpoint tries again.
            if let Err(error) = self.checkpoint().await {
                warn!(code = error.code(), %error, "cannot checkpoint the order");
            }
            written = (MonotonicClock.now(), entries);
        }
    }

    /// Writes a checkpoint of what the order knows now.
    pub async fn checkpoint(&self) -> Result<()> {
        let tables = self.table_position().await?;
        let (taken, unknown) = {
            let mut order = self.order.lock().await;
            if order.diverged.is_some() {
                return Ok(());
            }
            (Taken::of(&mut order)?, order.keys_unknown.clone())
        };
        let begun = begin(self.log.as_ref(), &self.states, taken, &self.withdrawn, &tables, &unknown).await;
        let written = match begun {
            Ok(writing) => writing.done().await,
            Err(failed) => Err(failed),
        };
        if let Err(failed) = written {
            let (error, taken) = *failed;
            taken.give_back(&mut *self.order.lock().await);
            return Err(error);
        }
        // Keys that only tables have are read from them and from the log behind them: that part must stay.
        if !unknown.is_empty() {
            return Ok(());
        }
        // What is kept for longer than needed is retired after a later checkpoint.
        if let Err(error) = self.retire().await {
            warn!(code = error.code(), %error, "cannot retire entries of the log");
        }
        Ok(())
    }

    /// How far the tables are; while their store is away, how far they were.
    async fn table_position(&self) -> Result<TablePosition> {
        let progress = self.table_writer.progress();
        let mut known = self.tables_known.lock().await;
        if !progress.is_attached {
            return Ok(known.clone());
        }
        match table_position(self.tables.as_ref(), progress.committed_entries).await {
            Ok(position) => *known = position,
            Err(error) if error.kind() == ErrorKind::Unavailable => {}
            Err(error) => return Err(error),
        }
        Ok(known.clone())
    }

    /// Gives entries of the log up that nobody needs any more.
    async fn retire(&self) -> Result<()> {
        let retention = self.revision.read().log_retention;
        let kept_since = self.clock.now() - retention;
        let bounds = Bounds { features: self.feature_writer.checkpointed_entries(), kept_since };
        let holds = retention::holds(self.log.as_ref(), &self.states, &bounds).await?;
        let needed_from = retention::needed_from(&holds);
        self.holds.send_replace(holds);
        let before = self.log.extent();
        self.log.retire(needed_from).await?;
        let after = self.log.extent();
        if after.first_entry > before.first_entry {
            info!(
                first_entry = after.first_entry,
                bytes = before.bytes.saturating_sub(after.bytes),
                "log entries retired"
            );
        }
        Ok(())
    }
}

/// Keys of an order that no checkpoint has.
pub(crate) fn unwritten_rows(order: &Order) -> usize {
    order.dedup.values().map(|index| index.unwritten_rows()).sum()
}

/// The cuts of the tables that the table writer fills, some time after it had committed `entries`.
async fn table_position(tables: &dyn TableStore, entries: u64) -> Result<TablePosition> {
    let mut position = TablePosition { entries, cuts: Default::default() };
    for table in tables.tables().await? {
        // Training sets are made from tables, not from the log.
        if !table.is_training_set() {
            let cut = tables.snapshot(&table, None).await?.cut;
            position.cuts.insert(table.as_str().to_owned(), cut);
        }
    }
    Ok(position)
}

/// What became of a checkpoint; what was taken for it comes back with a failure.
pub(super) type Outcome<T> = std::result::Result<T, Box<(Error, Taken)>>;

/// A checkpoint on its way to the disk.
pub(super) struct Writing(JoinHandle<Outcome<()>>);

impl Writing {
    /// Waits until it is there.
    pub async fn done(self) -> Outcome<()> {
        match self.0.await {
            Ok(written) => written,
            Err(e) => std::panic::resume_unwind(e.into_panic()),
        }
    }
}

/// Begins to write a checkpoint once all of its entries are durable. `without` names datasets whose keys are not to be had.
pub(super) async fn begin(
    log: &dyn Log,
    states: &Arc<States>,
    taken: Taken,
    withdrawn: &Withdrawn,
    tables: &TablePosition,
    without: &BTreeSet<String>,
) -> Outcome<Writing> {
    let end = match end_of(log, taken.entries).await {
        Ok(end) => end,
        Err(error) => return Err(Box::new((error, taken))),
    };
    let (states, withdrawn, tables, without) = (states.clone(), withdrawn.clone(), tables.clone(), without.clone());
    let id = log.extent().log;
    Ok(Writing(tokio::task::spawn_blocking(move || {
        let written = states.write_order(id, end, &taken, withdrawn, tables, &without);
        written.map_err(|error| Box::new((error, taken)))
    })))
}

/// The offset after the first `entries` entries, once they are durable; `Unavailable` when that takes too long.
async fn end_of(log: &dyn Log, entries: u64) -> Result<Offset> {
    let Some(last) = entries.checked_sub(1) else { return Ok(Offset(0)) };
    match tokio::time::timeout(DURABLE_PATIENCE, log.wait_beyond(last)).await {
        Ok(reached) => reached?,
        Err(_) => {
            let message = "the log has no room for entries that a checkpoint of the order speaks of";
            return Err(Error::new(ErrorKind::Unavailable, "SW0441", message).hint("make room on the disk"));
        }
    }
    let read = log.read(last, 1).await?;
    read.first().map(|entry| entry.end()).ok_or_else(|| Error::internal("SW0441", "a durable entry cannot be read"))
}

impl States {
    fn write_order(
        &self,
        log: u64,
        end: Offset,
        taken: &Taken,
        withdrawn: Withdrawn,
        tables: TablePosition,
        without: &BTreeSet<String>,
    ) -> Result<()> {
        let mut folder = self.order.lock();
        let before = folder.checkpoints().first().map(|newest| serde_json::from_str::<Body>(&newest.body));
        let before = before.transpose().map_err(|e| {
            Error::corrupt("SW0442", "the checkpoint before is not what this program writes").because(e)
        })?;
        let mut files = Vec::new();
        let mut keys = next_keys(&folder, before.as_ref().map(|before| &before.keys), &taken.keys, &mut files)?;
        keys.retain(|dataset, _| !without.contains(dataset));
        let reused: Vec<String> = keys
            .values()
            .flat_map(|keys| &keys.runs)
            .map(|run| run.file.clone())
            .filter(|name| files.iter().all(|file| file.name != *name))
            .collect();
        let (entries, order) = (taken.entries, taken.order.clone());
        let body = Body { log, entries, end, order, withdrawn, keys, tables };
        let body = serde_json::to_string(&body)
            .map_err(|e| Error::internal("SW0441", "cannot write a checkpoint of the order down").because(e))?;
        folder.write(body, &reused, files)?;
        debug!(entries, "order checkpointed");
        Ok(())
    }
}
