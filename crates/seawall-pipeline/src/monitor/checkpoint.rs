//! The monitor's checkpoints, so that a start need not add up the whole log again.
//!
//! A checkpoint's body says how far in which log the sums are; one file holds them as JSON. A start without a usable
//! checkpoint adds up the log from where it begins, and says so when that is not its beginning.

use std::collections::{BTreeMap, BTreeSet};

use seawall_base::error::Result;
use seawall_base::{Clock, Error, Instant, MonotonicClock};
use seawall_storage::state::NewFile;
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::Monitor;
use super::hours::DatasetWatch;
use super::performance::PerformanceWatch;
use super::served::{Served, ServedWatch, read_baseline};
use crate::pipeline::Pipeline;
use crate::quality::QualityWatch;
use crate::recovery::span_of;

#[cfg(test)]
mod tests;

/// How many checkpoint intervals of the pipeline lie between two of the monitor, whose sums are written as a whole.
const INTERVALS: u32 = 10;

/// The body of a checkpoint.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Body {
    /// Identity of the log.
    pub log: u64,
    /// The first entry that is not in the sums.
    pub entries: u64,
    /// The file with the sums.
    file: String,
}

/// The sums.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sums {
    datasets: BTreeMap<String, DatasetWatch>,
    served: BTreeMap<String, Served>,
    performance: BTreeMap<String, PerformanceWatch>,
    models: BTreeSet<String>,
    quality: QualityWatch,
}

#[derive(Serialize)]
struct SumsRef<'m> {
    datasets: &'m BTreeMap<String, DatasetWatch>,
    served: BTreeMap<&'m String, &'m Served>,
    performance: &'m BTreeMap<String, PerformanceWatch>,
    models: &'m BTreeSet<String>,
    quality: &'m QualityWatch,
}

/// When a monitor was written down.
#[derive(Debug)]
pub(super) struct Written {
    /// On the monotonic clock.
    at: Instant,
    entries: u64,
}

impl Pipeline {
    /// Goes on from the newest usable checkpoint, once per process.
    pub(super) async fn load_monitor(&self, monitor: &mut Monitor) -> Result<()> {
        if monitor.written.is_some() {
            return Ok(());
        }
        let (mut entries, mut sums) = (0, Sums::default());
        while let Some((found, read)) = self.read_monitor() {
            match read {
                Ok(read) => {
                    (entries, sums) = (found, read);
                    break;
                }
                Err(error) => {
                    warn!(code = error.code(), %error, "a checkpoint of the monitor cannot be used");
                    self.parts.states.monitor.lock().forget_newest();
                }
            }
        }
        let first_entry = self.parts.log.extent().first_entry;
        if entries < first_entry {
            warn!(first_entry, "the monitor begins anew, and the log does not reach back to its beginning");
            (entries, sums) = (first_entry, Sums::default());
        }
        for (name, served) in sums.served {
            let kept = self.parts.catalog.model_version(&name, served.version).await?;
            monitor.served.insert(name, ServedWatch::restored(served, read_baseline(&kept.baseline)?));
        }
        monitor.datasets = sums.datasets;
        monitor.performance = sums.performance;
        monitor.models = sums.models;
        monitor.quality = sums.quality;
        monitor.next_entry = entries;
        monitor.written = Some(Written { at: MonotonicClock.now(), entries });
        Ok(())
    }

    /// The newest checkpoint: its position, and its sums when they can be read. None when there is none.
    fn read_monitor(&self) -> Option<(u64, Result<Sums>)> {
        let folder = self.parts.states.monitor.lock();
        let newest = folder.checkpoints().into_iter().next()?;
        let damaged =
            |e| Error::corrupt("SW0442", "a checkpoint of the monitor is not what this program writes").because(e);
        let body: Body = match serde_json::from_str(&newest.body) {
            Ok(body) => body,
            Err(e) => return Some((0, Err(damaged(e)))),
        };
        let extent = self.parts.log.extent();
        if body.log != extent.log || body.entries > extent.entries {
            return Some((0, Err(Error::corrupt("SW0442", "a checkpoint of the monitor is of another log"))));
        }
        let sums = folder.read(&body.file).and_then(|bytes| serde_json::from_slice(&bytes).map_err(damaged));
        Some((body.entries, sums))
    }

    /// Writes a checkpoint when the interval has passed. The state stays in memory and in the log when that fails.
    pub(crate) async fn checkpoint_monitor_if_due(&self, monitor: &mut Monitor) {
        let interval = span_of(self.checkpoint_interval.saturating_mul(INTERVALS));
        let is_due = monitor.written.as_ref().is_some_and(|written| MonotonicClock.now() - written.at >= interval);
        if is_due && let Err(error) = self.checkpoint_monitor(monitor).await {
            warn!(code = error.code(), %error, "cannot checkpoint the monitor");
        }
    }

    /// Writes a checkpoint, unless nothing was added up since the one before.
    pub(crate) async fn checkpoint_monitor(&self, monitor: &mut Monitor) -> Result<()> {
        let entries = monitor.next_entry;
        if monitor.written.as_ref().is_none_or(|written| written.entries == entries) {
            return Ok(());
        }
        let sums = SumsRef {
            datasets: &monitor.datasets,
            served: monitor.served.iter().map(|(name, watch)| (name, watch.served())).collect(),
            performance: &monitor.performance,
            models: &monitor.models,
            quality: &monitor.quality,
        };
        let failed = |e| Error::internal("SW0441", "cannot write the monitor down").because(e);
        let content = serde_json::to_vec(&sums).map_err(failed)?;
        let (states, log) = (self.parts.states.clone(), self.parts.log.extent().log);
        let writing = tokio::task::spawn_blocking(move || {
            let mut folder = states.monitor.lock();
            let file = NewFile { name: folder.name(0), content };
            let body = serde_json::to_string(&Body { log, entries, file: file.name.clone() }).map_err(failed)?;
            folder.write(body, &[], vec![file])
        });
        writing.await.map_err(|e| Error::internal("SW0441", "the monitor's checkpoint died").because(e))??;
        monitor.written = Some(Written { at: MonotonicClock.now(), entries });
        Ok(())
    }
}
