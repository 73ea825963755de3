//! Recovery: what a start reads, so that it need not read the whole log.
//!
//! The order's state is written down from time to time ([`checkpoint`], [`writer`]) with its position in the log; a start
//! takes the newest checkpoint and replays the log behind it. A checkpoint that is damaged, or of another log, is said
//! and the one before is taken, or the log is read from its beginning. A dataset whose keys a checkpoint cannot give (it
//! is new, its primary key or horizon changed, a restore withdrew rows) gets them from its table and the log.
//!
//! The writers of tables and features begin where their own durable state ends: [`start`] tells where that is. What nobody
//! would read any more is retired: [`retention`] tells what that is.

mod ahead;
pub(crate) mod arrival;
pub(crate) mod checkpoint;
mod rebuild;
pub mod retention;
pub(crate) mod start;
mod states;
#[cfg(test)]
mod tests;
pub(crate) mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use seawall_base::error::Result;
use seawall_base::{Error, ErrorKind, Extent, Log, Permit, Span, TableName, TableStore};
use tracing::{info, warn};

use crate::dependency::is_away;
use crate::frame::Load;
use crate::gate::{Order, keyed_rows};
use crate::pipeline::{Parts, WithoutTables};
use crate::restore::Withdrawn;
use crate::revision::{DatasetGate, Revision};
use ahead::{Ahead, Decoded};
use checkpoint::{Body, TablePosition};
pub(crate) use rebuild::rebuild_keys;
pub use states::States;
use writer::Writing;

/// Entries read from the log at once.
const ENTRIES_PER_READ: usize = 256;
/// Keys that wait for a checkpoint at most, about, before one is written.
pub(crate) const UNWRITTEN_ROWS_MAX: usize = 1_000_000;

/// What a start knows once it has caught up with the log.
pub(crate) struct Recovered {
    pub order: Order,
    pub withdrawn: Withdrawn,
    pub tables: TablePosition,
}

/// The datasets of a revision, by name: what recovery needs to know of it.
pub(crate) type Datasets = BTreeMap<String, Arc<DatasetGate>>;

/// Rebuilds the order's state from its checkpoint and the log behind it.
///
/// Keys that only tables have are left unknown while these are away, if the start need not have them.
pub(crate) async fn recover(
    parts: &Parts,
    revision: &Revision,
    permit: &Permit,
    without_tables: WithoutTables,
) -> Result<Recovered> {
    let sources = Sources { log: parts.log.as_ref(), tables: parts.tables.as_ref(), permit, without_tables };
    recover_from(&sources, &parts.states, &revision.datasets).await
}

/// What recovery reads from, beside the checkpoints.
pub(crate) struct Sources<'a> {
    pub log: &'a dyn Log,
    pub tables: &'a dyn TableStore,
    pub permit: &'a Permit,
    /// What is done about keys that only tables have while these are away.
    pub without_tables: WithoutTables,
}

impl Sources<'_> {
    /// Whether what failed can be done once tables are back.
    fn may_wait(&self, error: &Error) -> bool {
        self.without_tables == WithoutTables::Wait && is_away(error)
    }
}

async fn recover_from(sources: &Sources<'_>, states: &Arc<States>, datasets: &Datasets) -> Result<Recovered> {
    let extent = sources.log.extent();
    let Begun { mut recovered, mut stale } = begin(sources, states, datasets, &extent).await?;
    let from = recovered.order.entries;
    let mut ahead = Ahead::new(sources.log, datasets, from);
    let mut writing = None;
    while let Some(portion) = ahead.next().await? {
        for decoded in portion {
            replay(sources, datasets, decoded, &mut recovered, &mut stale).await?;
        }
        if writer::unwritten_rows(&recovered.order) >= UNWRITTEN_ROWS_MAX {
            // The replay goes on while a checkpoint is written, but at most one waits for the disk.
            settle(writing.take()).await?;
            writing = Some(checkpoint_recovered(sources, states, &mut recovered, &stale).await?);
        }
    }
    settle(writing).await?;
    let Recovered { order, withdrawn, .. } = &mut recovered;
    let replayed = order.entries - from;
    match rebuild_keys(sources, datasets, &stale, withdrawn).await {
        Ok(rebuilt) => order.dedup.extend(rebuilt),
        Err(error) if sources.may_wait(&error) => {
            warn!(code = error.code(), %error, datasets = ?stale, "keys are in tables that are away, their datasets wait");
            // What a restore withdrew is still in the keys of the checkpoint.
            stale.iter().for_each(|dataset| drop(order.dedup.remove(dataset)));
            order.keys_unknown = stale.clone();
        }
        Err(error) => return Err(error),
    }
    let unknown = order.keys_unknown.len();
    info!(from, replayed, rebuilt = stale.len() - unknown, unknown, "order recovered");
    Ok(recovered)
}

/// Begins to write down what was recovered so far.
async fn checkpoint_recovered(
    sources: &Sources<'_>,
    states: &Arc<States>,
    recovered: &mut Recovered,
    stale: &BTreeSet<String>,
) -> Result<Writing> {
    let Recovered { order, withdrawn, tables } = recovered;
    // Keys that are to be rebuilt are not taken for whole by a start after this one.
    stale.iter().for_each(|dataset| drop(order.dedup.remove(dataset)));
    let taken = checkpoint::Taken::of(order)?;
    writer::begin(sources.log, states, taken, withdrawn, tables, stale).await.map_err(|failed| failed.0)
}

/// Waits for a checkpoint that is being written.
async fn settle(writing: Option<Writing>) -> Result<()> {
    match writing {
        Some(writing) => writing.done().await.map_err(|failed| failed.0),
        None => Ok(()),
    }
}

/// Where a replay begins.
struct Begun {
    recovered: Recovered,
    /// Datasets whose keys have to be rebuilt.
    stale: BTreeSet<String>,
}

/// The newest usable checkpoint, or the beginning of the log.
async fn begin(sources: &Sources<'_>, states: &States, datasets: &Datasets, extent: &Extent) -> Result<Begun> {
    while let Some((number, body)) = states.newest_order() {
        let refused = match usable(sources, states, body, datasets, extent).await {
            Ok(begun) => return Ok(begun),
            Err(error) if error.kind() == ErrorKind::Corrupt => error,
            Err(error) => return Err(error),
        };
        warn!(number, code = refused.code(), %refused, "a checkpoint of the order cannot be used, taking the one before");
        states.forget_newest_order();
    }
    if extent.first_entry > 0 {
        let message = format!(
            "the log begins with entry {}, and no checkpoint of the order that can be used reaches that far",
            extent.first_entry
        );
        return Err(Error::corrupt("SW0443", message).hint(
            "restore the folder `state` from a backup that is not older than the log's first entry; nothing was changed",
        ));
    }
    let order = Order { next_load: 1, ..Order::default() };
    let recovered = Recovered { order, withdrawn: Withdrawn::default(), tables: TablePosition::default() };
    Ok(Begun { recovered, stale: BTreeSet::new() })
}

/// What a checkpoint holds; `Corrupt` when it is damaged or does not fit the log.
async fn usable(
    sources: &Sources<'_>,
    states: &States,
    body: Result<Body>,
    datasets: &Datasets,
    extent: &Extent,
) -> Result<Begun> {
    let body = body?;
    let unfit = |why: String| Err(Error::corrupt("SW0442", format!("the checkpoint does not fit the log: {why}")));
    if body.log != extent.log {
        return unfit("it is of another log".to_owned());
    }
    let (position, first, end) = (body.entries, extent.first_entry, extent.entries);
    if !(first..=end).contains(&position) {
        return unfit(format!("it stands at entry {position}, and the log holds entries {first} to {end}"));
    }
    let at = match sources.log.read(position, 1).await?.first() {
        Some(entry) => entry.first,
        None => extent.end,
    };
    if at != body.end {
        return unfit(format!("entry {position} begins at offset {}, not at {}", at.0, body.end.0));
    }
    take(states, body, datasets)
}

fn take(states: &States, body: Body, datasets: &Datasets) -> Result<Begun> {
    let damaged =
        |e| Error::corrupt("SW0442", "the order in the checkpoint is not what this program writes").because(e);
    let mut order: Order = serde_json::from_value(body.order).map_err(damaged)?;
    order.entries = body.entries;
    order.end = body.end;
    let mut stale = BTreeSet::new();
    for (name, dataset) in datasets {
        let (primary_key, horizon) = (&dataset.dataset.primary_key, dataset.gate.dedup_horizon());
        if primary_key.is_empty() {
            continue;
        }
        let kept = body.keys.get(name).filter(|keys| keys.serve(primary_key, horizon));
        match kept.map(|keys| states.read_keys(keys, horizon)) {
            Some(Ok(index)) => {
                order.dedup.insert(name.clone(), index);
            }
            // A dataset that never had a row has no keys to rebuild.
            None if !order.counts.contains_key(name) => {}
            Some(Err(error)) if error.kind() != ErrorKind::Corrupt => return Err(error),
            Some(Err(error)) => {
                warn!(dataset = name, code = error.code(), %error, "keys are damaged, rebuilding them");
                stale.insert(name.clone());
            }
            None => {
                stale.insert(name.clone());
            }
        }
    }
    Ok(Begun { recovered: Recovered { order, withdrawn: body.withdrawn, tables: body.tables }, stale })
}

async fn replay(
    sources: &Sources<'_>,
    datasets: &Datasets,
    decoded: Decoded,
    recovered: &mut Recovered,
    stale: &mut BTreeSet<String>,
) -> Result<()> {
    let Decoded { header, end, newest_arrival, keyed } = decoded;
    let dataset = datasets.get(&header.dataset).map(Arc::as_ref).filter(|_| !stale.contains(&header.dataset));
    recovered.order.recover(&header, end, newest_arrival);
    if let Some(dataset) = dataset {
        recovered.order.recover_keys(dataset, &keyed);
    }
    if let (Some(load), Some(dataset)) = (&header.load, dataset) {
        match replay_load(sources, dataset, load, &mut recovered.order).await {
            Err(error) if sources.may_wait(&error) => {
                recovered.order.dedup.remove(&header.dataset);
                stale.insert(header.dataset.clone());
            }
            outcome => outcome?,
        }
    }
    if let Some(restore) = header.restore {
        let keyed = |name: &&String| datasets.get(*name).is_some_and(|d| !d.dataset.primary_key.is_empty());
        stale.extend(restore.tables.keys().filter(keyed).cloned());
        recovered.withdrawn.push(end, restore);
    }
    Ok(())
}

/// Remembers the keys of a bulk load, which are in its staged files.
async fn replay_load(sources: &Sources<'_>, dataset: &DatasetGate, load: &Load, order: &mut Order) -> Result<()> {
    let table = TableName::dataset(&dataset.dataset.name)?;
    for file in &load.staged {
        for rows in sources.tables.read_staged(sources.permit, &table, file).await? {
            order.recover_keys(dataset, &keyed_rows(dataset, &rows)?);
        }
    }
    Ok(())
}

/// A length of the machine's time; one that is too long to be told is as good as for ever.
pub(crate) fn span_of(duration: Duration) -> Span {
    Span(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX))
}
