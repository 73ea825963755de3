//! The dependencies of a pipeline, and their bounds.
//!
//! Reads and writes of tables are two dependencies: a disk that is full or read-only must not make unreadable what can
//! be read. Queries, training sets and trainings have bulkheads of their own, so that a burst of the one cannot use up
//! the places of the others.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use seawall_base::{OsRng, Rng, Span};

use super::backoff::Backoff;
use super::breaker::{self, State};
use super::call::{Dependency, Health, Options};
use super::timer::{MachineTimer, Timer};

/// Changes that wait to be put into the audit ledger; beyond, the oldest are only in the log.
const CHANGES_KEPT_MAX: usize = 256;
/// Reads of the table store in flight.
const TABLE_READS_MAX: usize = 64;
/// Writes to the table store in flight.
const TABLE_WRITES_MAX: usize = 32;
/// Operations of upkeep in flight.
const UPKEEP_MAX: usize = 8;
/// Queries in flight.
const QUERIES_MAX: usize = 32;
/// Training sets that are built at a time.
const TRAINING_SETS_MAX: usize = 4;
/// Models that are trained at a time.
const TRAININGS_MAX: usize = 4;
/// Kept models that are read or written at a time.
const MODELS_MAX: usize = 64;
/// Records of the table writer that are written to the catalog at a time.
const CATALOG_MAX: usize = 16;

const BREAKER: breaker::Options = breaker::Options {
    window_calls_max: 20,
    window_span: Span(2 * Span::MINUTE.0),
    window_calls_min: 3,
    failed_percent: 50,
    slow_percent: 80,
    open_min: Span::SECOND,
    open_max: Span(10 * Span::SECOND.0),
    probes_inflight_max: 2,
    probes_to_close: 2,
};
const BACKOFF: Backoff = Backoff { first: Span(50_000), cap: Span(5 * Span::SECOND.0) };

/// That a dependency went away, came back, or is refused on demand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which one.
    pub dependency: &'static str,
    /// What its breaker does now.
    pub to: State,
    /// What it said last when it failed, with its code.
    pub last_error: Option<String>,
    /// How long it was away, in milliseconds, when it is back.
    pub away_ms: Option<u64>,
    /// Calls refused since the start.
    pub refused: u64,
}

/// Changes that nobody took yet.
#[derive(Debug, Default)]
pub(super) struct Changes(Mutex<VecDeque<Change>>);

impl Changes {
    pub(super) fn keep(&self, change: Change) {
        let mut waiting = self.0.lock();
        if waiting.len() == CHANGES_KEPT_MAX {
            waiting.pop_front();
        }
        waiting.push_back(change);
    }
}

/// Everything that a pipeline depends on.
pub struct Dependencies {
    /// Snapshots and rows of tables.
    pub table_reads: Arc<Dependency>,
    /// Commits and staged files.
    pub table_writes: Arc<Dependency>,
    /// Small files, old versions and rows to delete.
    pub upkeep: Arc<Dependency>,
    /// SQL.
    pub queries: Arc<Dependency>,
    /// Building training sets.
    pub training_sets: Arc<Dependency>,
    /// Training models, the project's own commands included.
    pub trainers: Arc<Dependency>,
    /// Kept models.
    pub models: Arc<Dependency>,
    /// The table writer's records of what it committed.
    pub catalog: Arc<Dependency>,
    timer: Arc<dyn Timer>,
    rng: Arc<dyn Rng>,
    changes: Arc<Changes>,
}

impl Default for Dependencies {
    fn default() -> Self {
        Dependencies::new(Arc::new(MachineTimer::default()), Arc::new(OsRng))
    }
}

impl Dependencies {
    /// Dependencies that are all well, measured by `timer`.
    pub fn new(timer: Arc<dyn Timer>, rng: Arc<dyn Rng>) -> Self {
        let changes = Arc::new(Changes::default());
        let dependency = |name, calls_inflight_max, harmless_codes| {
            let options =
                Options { breaker: BREAKER, calls_inflight_max, attempts_max: 3, backoff: BACKOFF, harmless_codes };
            Arc::new(Dependency::new(name, options, timer.clone(), rng.clone(), changes.clone()))
        };
        Dependencies {
            table_reads: dependency("table_reads", TABLE_READS_MAX, &[]),
            table_writes: dependency("table_writes", TABLE_WRITES_MAX, &[]),
            upkeep: dependency("upkeep", UPKEEP_MAX, &[]),
            // A statement that needs more memory or time than there is says something about itself.
            queries: dependency("queries", QUERIES_MAX, &["SW0526", "SW1301"]),
            training_sets: dependency("training_sets", TRAINING_SETS_MAX, &["SW0526", "SW1301"]),
            trainers: dependency("trainers", TRAININGS_MAX, &["SW1301"]),
            models: dependency("models", MODELS_MAX, &[]),
            catalog: dependency("catalog", CATALOG_MAX, &[]),
            timer,
            rng,
            changes,
        }
    }

    /// All of them.
    pub fn all(&self) -> [&Arc<Dependency>; 8] {
        [
            &self.table_reads,
            &self.table_writes,
            &self.upkeep,
            &self.queries,
            &self.training_sets,
            &self.trainers,
            &self.models,
            &self.catalog,
        ]
    }

    /// How they are.
    pub fn health(&self) -> Vec<Health> {
        self.all().into_iter().map(|dependency| dependency.health()).collect()
    }

    /// The time that calls are measured with.
    pub fn timer(&self) -> &Arc<dyn Timer> {
        &self.timer
    }

    /// The randomness of pauses.
    pub(crate) fn rng(&self) -> &Arc<dyn Rng> {
        &self.rng
    }

    /// Takes the oldest change that nobody took yet.
    pub(crate) fn next_change(&self) -> Option<Change> {
        self.changes.0.lock().pop_front()
    }

    /// Puts a change back that could not be recorded.
    pub(crate) fn put_back(&self, change: Change) {
        self.changes.0.lock().push_front(change);
    }
}
