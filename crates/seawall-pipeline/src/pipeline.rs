//! The running pipeline: recovers its order from the log, owns the writers, and takes rows in.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use seawall_base::declare::TableSettings;
use seawall_base::error::Result;
use seawall_base::{
    Clock, Cut, Engine, Error, ErrorKind, Instant, Log, ModelEngine, OnlineStore, Permit, Span, TableName, TableStore,
    TableUpkeep, VersionedName, column,
};
use seawall_catalog::Catalog;
use seawall_catalog::policy::Action;
use seawall_kernel::contract;
use seawall_storage::keys::KeyRing;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tracing::info;

use crate::attach::{self, Attachment, Late, ensure_tables, unless_away};
use crate::backfill;
use crate::computing::ComputingStore;
use crate::control::Control;
use crate::dependency::persist::Patience;
use crate::dependency::{Dependencies, GuardedEngine, GuardedModels, GuardedTables, GuardedUpkeep, scope};
use crate::feature_writer::{self, FeatureWriter};
use crate::frame::{Frame, FrameSeal, Halt, Header};
use crate::gate::{self, Incoming, Order};
use crate::idempotency::Given;
use crate::receipt::{Omitted, Receipt, Verdicts};
use crate::recovery::retention::{Hold, LogStatus};
use crate::recovery::writer::OrderWriter;
use crate::recovery::{self, Recovered, Sources, States};
use crate::restore::Withdrawn;
use crate::revision::{Declared, Revision};
use crate::scoring::Champions;
use crate::sealing::OpenLog;
use crate::service::ServedService;
use crate::table_writer::{self, TableWriter};
use crate::transform::Attempts;
use crate::upkeep::Upkeep;
use crate::vector_log::{self, ServiceCounts, VectorLog};

#[cfg(test)]
mod tests;

/// Requests with more rows are checked on the blocking pool, so that others are answered meanwhile.
const ROWS_INLINE_MAX: usize = 4_096;
/// How long a server that can do without tables waits for them at its start.
const START_PATIENCE: Span = Span(10 * Span::SECOND.0);
/// How long an end waits for the table store.
const STOP_PATIENCE: Span = Span(10 * Span::SECOND.0);

/// The components that a pipeline runs on.
#[derive(Clone)]
pub struct Parts {
    /// Real or driven time.
    pub clock: Arc<dyn Clock>,
    /// The one order of events.
    pub log: Arc<dyn Log>,
    /// Versioned tables.
    pub tables: Arc<dyn TableStore>,
    /// What keeps them small.
    pub upkeep: Arc<dyn TableUpkeep>,
    /// Features of the present.
    pub online: Arc<dyn OnlineStore>,
    /// SQL and training sets.
    pub engine: Arc<dyn Engine>,
    /// Trains, keeps and loads models.
    pub models: Arc<dyn ModelEngine>,
    /// System of record.
    pub catalog: Arc<Catalog>,
    /// Checkpoints of what a start would otherwise read from the log.
    pub states: Arc<States>,
    /// Keys that personal fields are sealed with in the log.
    pub keys: KeyRing,
    /// Folder that the declarations' relative paths start from.
    pub folder: PathBuf,
}

impl Parts {
    /// The same components, with every call to a dependency guarded, and a log that is opened as it is read.
    fn guarded(self, dependencies: &Dependencies) -> Parts {
        let tables = GuardedTables {
            inner: self.tables,
            reads: dependencies.table_reads.clone(),
            writes: dependencies.table_writes.clone(),
        };
        let upkeep = GuardedUpkeep { inner: self.upkeep, upkeep: dependencies.upkeep.clone() };
        let engine = GuardedEngine {
            inner: self.engine,
            queries: dependencies.queries.clone(),
            training_sets: dependencies.training_sets.clone(),
        };
        let models = GuardedModels {
            inner: self.models,
            trainers: dependencies.trainers.clone(),
            models: dependencies.models.clone(),
        };
        let engine: Arc<dyn Engine> = Arc::new(engine);
        Parts {
            log: Arc::new(OpenLog::of(self.log, self.keys.clone())),
            tables: Arc::new(tables),
            upkeep: Arc::new(upkeep),
            online: Arc::new(ComputingStore::over(self.online, engine.clone())),
            engine,
            models: Arc::new(models),
            ..self
        }
    }
}

/// Settings of a pipeline.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// When tables are committed.
    pub tables: table_writer::Options,
    /// How often the online store and the order are checkpointed.
    pub checkpoint_interval: Duration,
    /// How often tables are looked after: small files, old versions.
    pub upkeep_interval: Duration,
    /// What is done while the table store is away at the start.
    pub without_tables: WithoutTables,
}

/// What a start does while the table store is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WithoutTables {
    /// It fails: what is wanted needs tables.
    #[default]
    Refuse,
    /// It goes on with the log and the online store, and attaches the tables once they are there.
    Wait,
}

impl Default for Options {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Options {
            tables: table_writer::Options::default(),
            checkpoint_interval: seconds(30),
            upkeep_interval: seconds(10),
            without_tables: WithoutTables::default(),
        }
    }
}

/// The running system.
pub struct Pipeline {
    pub(crate) parts: Parts,
    pub(crate) dependencies: Arc<Dependencies>,
    pub(crate) revision: Arc<RwLock<Arc<Revision>>>,
    pub(crate) order: Arc<tokio::sync::Mutex<Order>>,
    pub(crate) table_writer: table_writer::Handle,
    pub(crate) feature_writer: feature_writer::Handle,
    pub(crate) permit: Permit,
    pub(crate) champions: Champions,
    pub(crate) control: tokio::sync::Mutex<Control>,
    /// Held while rows leave a quarantine, so that each leaves once.
    pub(crate) leaving: tokio::sync::Mutex<()>,
    /// Held while views are defined and filled.
    pub(crate) filling: Arc<tokio::sync::Mutex<()>>,
    /// Held while transforms run, and while a person is erased: what is made must not bring back what goes.
    pub(crate) deriving: tokio::sync::Mutex<()>,
    pub(crate) attempts: Attempts,
    /// What restores withdrew; a restore never comes while a pipeline runs.
    pub(crate) withdrawn: Arc<Withdrawn>,
    /// Records what feature services answered.
    pub(crate) vectors: VectorLog,
    upkeep: Upkeep,
    tasks: Vec<JoinHandle<Result<()>>>,
    /// What a start without tables left to do.
    late: Option<JoinHandle<Result<()>>>,
    /// The writer of the order's checkpoints, and what ends it when it is dropped.
    order_task: (JoinHandle<Result<()>>, mpsc::Sender<()>),
    held: watch::Receiver<Vec<Hold>>,
    pub(crate) checkpoint_interval: Duration,
}

impl Pipeline {
    /// Recovers the order and starts the writers over the declared revision. They catch up with the log in the
    /// background: until [`Pipeline::features_ready`] features are refused, and tables show what they held before.
    pub async fn start(parts: Parts, declared: &Declared, options: Options) -> Result<Pipeline> {
        Pipeline::start_with(parts, declared, options, Dependencies::default()).await
    }

    /// Like [`Pipeline::start`], with dependencies that are measured by another timer.
    pub async fn start_with(
        parts: Parts,
        declared: &Declared,
        options: Options,
        dependencies: Dependencies,
    ) -> Result<Pipeline> {
        let dependencies = Arc::new(dependencies);
        let parts = parts.guarded(&dependencies);
        let permit = parts.catalog.system_permit(Action::WriteTable, "*");
        let revision = Arc::new(Revision::compile(declared, &parts.engine).await?);
        let without_tables = options.without_tables;
        let attachment = Attachment { parts: parts.clone(), revision: revision.clone(), permit: permit.clone() };
        let patience_ends = match without_tables {
            WithoutTables::Refuse => Instant::MAX,
            WithoutTables::Wait => dependencies.timer().now() + START_PATIENCE,
        };
        let prepared = scope::until(patience_ends, attachment.prepare()).await;
        let are_there = unless_away(prepared, without_tables)?.is_some();
        // What is away was waited for already.
        let until = if are_there { Instant::MAX } else { patience_ends };
        let recovered = scope::until(until, recovery::recover(&parts, &revision, &permit, without_tables)).await?;
        let Recovered { order, withdrawn, tables } = recovered;
        let (order, withdrawn) = (Arc::new(tokio::sync::Mutex::new(order)), Arc::new(withdrawn));
        crate::erasure::resolve_intents(&parts).await?;
        let from = match are_there {
            true => unless_away(attachment.beginning(&tables).await, without_tables)?,
            false => None,
        };
        let ends = table_writer::Ends {
            log: parts.log.clone(),
            tables: parts.tables.clone(),
            catalog: parts.catalog.clone(),
            clock: parts.clock.clone(),
            permit: permit.clone(),
            dependencies: dependencies.clone(),
        };
        let (log, online) = (parts.log.as_ref(), parts.online.as_ref());
        let (table_writer, table_task) = match from {
            Some(from) => TableWriter::start(ends, options.tables, from),
            None => {
                let at_least = recovery::start::of_position(log, &tables).await?;
                let later = table_writer::Later { attachment: attachment.clone(), position: tables.clone() };
                TableWriter::start_later(ends, options.tables, at_least, later)
            }
        };
        let are_there = from.is_some();
        let (mut features_begin, mut features_told) = (None, None);
        let schemas = match are_there {
            true => {
                let datasets = revision.datasets.keys().map(String::as_str);
                recovery::start::skip_retired(log, parts.tables.as_ref(), online, datasets).await?;
                backfill::keep_views(&parts, &revision, &table_writer, &permit).await?;
                attachment.schemas().await?
            }
            false => {
                if attach::log_reaches_features(&parts) {
                    backfill::define(&parts, &revision).await?;
                } else {
                    let (begin, told) = oneshot::channel();
                    (features_begin, features_told) = (Some(begin), Some(told));
                }
                attachment.wanted_schemas()
            }
        };
        let ends = feature_writer::Ends {
            log: parts.log.clone(),
            tables: parts.tables.clone(),
            online: parts.online.clone(),
            clock: parts.clock.clone(),
            permit: permit.clone(),
            withdrawn: withdrawn.clone(),
            schemas,
        };
        let patience = Patience::new(dependencies.clone());
        let interval = options.checkpoint_interval;
        let (feature_writer, feature_task) = match features_told {
            None => {
                let from = recovery::start::of_features(log, online).await?;
                FeatureWriter::start(ends, patience, interval, from)
            }
            Some(told) => FeatureWriter::start_later(ends, patience, interval, attach::told(told)),
        };
        let running = Arc::new(RwLock::new(revision));
        let (holds, held) = watch::channel(Vec::new());
        let order_writer = OrderWriter {
            log: parts.log.clone(),
            tables: parts.tables.clone(),
            states: parts.states.clone(),
            order: order.clone(),
            withdrawn: withdrawn.clone(),
            table_writer: table_writer.clone(),
            feature_writer: feature_writer.clone(),
            clock: parts.clock.clone(),
            revision: running.clone(),
            interval: options.checkpoint_interval,
            tables_known: tokio::sync::Mutex::new(tables),
            holds,
        };
        let filling = Arc::new(tokio::sync::Mutex::default());
        let late = (!are_there).then(|| Late {
            parts: parts.clone(),
            permit: permit.clone(),
            revision: running.clone(),
            order: order.clone(),
            withdrawn: withdrawn.clone(),
            filling: filling.clone(),
            table_writer: table_writer.clone(),
            feature_writer: feature_writer.clone(),
            features_begin,
            patience: Patience::new(dependencies.clone()),
        });
        let late = late.map(|late| tokio::spawn(crate::reporting("attaching tables", late.run())));
        let (open, closed) = mpsc::channel(1);
        let order_task = tokio::spawn(crate::reporting("order writer", order_writer.run(closed)));
        let upkeep = Upkeep::start(&parts, declared.tables, options.upkeep_interval);
        let ends = vector_log::Ends {
            log: parts.log.clone(),
            keys: parts.keys.clone(),
            order: order.clone(),
            permit: permit.clone(),
        };
        let (vectors, vector_task) = VectorLog::start(ends);
        let pipeline = Pipeline {
            parts,
            dependencies,
            champions: Champions::default(),
            control: tokio::sync::Mutex::new(Control::default()),
            leaving: tokio::sync::Mutex::default(),
            filling,
            deriving: tokio::sync::Mutex::default(),
            attempts: Attempts::default(),
            revision: running,
            order,
            table_writer,
            feature_writer,
            permit,
            withdrawn,
            vectors,
            upkeep,
            tasks: vec![table_task, feature_task, vector_task],
            late,
            order_task: (order_task, open),
            held,
            checkpoint_interval: options.checkpoint_interval,
        };
        pipeline.refresh_champions().await?;
        Ok(pipeline)
    }

    /// Waits until features are answered from everything that was acknowledged before the start.
    pub async fn features_ready(&self) -> Result<()> {
        self.feature_writer.ready().await
    }

    /// The revision that runs.
    pub fn revision(&self) -> Arc<Revision> {
        self.revision.read().clone()
    }

    /// The components it runs on; every call to a dependency is guarded.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// What was counted of every feature service that was asked for since the start.
    pub fn service_counts(&self) -> BTreeMap<VersionedName, ServiceCounts> {
        self.vectors.counts()
    }

    /// When an answer of a feature service begins, on a clock that never jumps.
    pub fn answer_begins(&self) -> Instant {
        self.vectors.now()
    }

    /// Counts the answer of a feature service that began at `began`.
    pub fn answered(&self, service: &ServedService, began: Instant) {
        self.vectors.answered(service, began);
    }

    /// How tables are kept.
    pub fn table_settings(&self) -> TableSettings {
        self.upkeep.settings()
    }

    /// What it depends on.
    pub fn dependencies(&self) -> &Arc<Dependencies> {
        &self.dependencies
    }

    /// Switches to another revision: new tables are made, changed ones evolve, new views are filled from tables. Events
    /// are taken in and features served meanwhile, by the revision before, until everything has caught up.
    pub async fn switch(&self, declared: &Declared) -> Result<()> {
        let _filling = self.filling.lock().await;
        let revision = Arc::new(Revision::compile(declared, &self.parts.engine).await?);
        ensure_tables(&self.parts, &revision, &self.permit).await?;
        self.table_writer.schemas_changed().await?;
        self.feature_writer.schemas_changed();
        let (entries, _) = self.parts.log.durable_end();
        self.feature_writer.wait_for(entries).await?;
        backfill::keep_views(&self.parts, &revision, &self.table_writer, &self.permit).await?;
        let mut order = self.order.lock().await;
        self.renew_keys(&revision, &mut order).await?;
        *self.revision.write() = revision.clone();
        self.upkeep.follow(declared.tables);
        drop(order);
        self.refresh_champions().await?;
        info!(revision = %revision.hash.short(), "switched to revision");
        Ok(())
    }

    /// Rebuilds deduplication for datasets that have another primary key now or remember keys for longer, and for those
    /// that are new to this process.
    async fn renew_keys(&self, revision: &Revision, order: &mut Order) -> Result<()> {
        let mut changed = BTreeSet::new();
        for (name, dataset) in &revision.datasets {
            let key = &dataset.dataset.primary_key;
            let is_known = match order.dedup.get(name) {
                Some(index) => index.primary_key() == key && !is_longer(dataset.gate.dedup_horizon(), index.horizon()),
                None => key.is_empty() || !order.counts.contains_key(name),
            };
            if !is_known {
                changed.insert(name.clone());
            }
        }
        self.rebuild_keys(revision, &changed, order).await
    }

    /// Makes the keys of these datasets anew, from their tables and the log.
    pub(crate) async fn rebuild_keys(
        &self,
        revision: &Revision,
        names: &BTreeSet<String>,
        order: &mut Order,
    ) -> Result<()> {
        let sources = Sources {
            log: self.parts.log.as_ref(),
            tables: self.parts.tables.as_ref(),
            permit: &self.permit,
            without_tables: WithoutTables::Refuse,
        };
        let rebuilt = recovery::rebuild_keys(&sources, &revision.datasets, names, &self.withdrawn).await?;
        order.keys_unknown.retain(|name| !rebuilt.contains_key(name));
        order.dedup.extend(rebuilt);
        Ok(())
    }

    /// Takes rows in: returns when they are durable.
    pub async fn ingest(&self, permit: &Permit, source: &str, incoming: Incoming) -> Result<Receipt> {
        self.begin_ingest(permit, source, incoming).await?.durable().await
    }

    /// Takes rows in: returns when their place in the order is decided. The rows are not acknowledged before
    /// [`PendingReceipt::durable`] returns.
    pub async fn begin_ingest(&self, permit: &Permit, source: &str, incoming: Incoming) -> Result<PendingReceipt> {
        let rows = incoming.rows.num_rows() + incoming.broken.len();
        let door = Door {
            revision: self.revision(),
            order: self.order.clone(),
            log: self.parts.log.clone(),
            keys: self.parts.keys.clone(),
            permit: permit.clone(),
            now: self.parts.clock.now(),
        };
        if rows <= ROWS_INLINE_MAX {
            return door.admit(source, incoming).await;
        }
        let (runtime, source, until) = (tokio::runtime::Handle::current(), source.to_owned(), scope::deadline());
        let admit = move || runtime.block_on(scope::until(until, door.admit(&source, incoming)));
        let work = tokio::task::spawn_blocking(admit);
        work.await.map_err(|e| Error::internal("SW0832", "checking a request died").because(e))?
    }

    /// Lets a halted dataset go on. `NotFound` when it is not halted.
    pub async fn resume(&self, permit: &Permit, dataset: &str) -> Result<()> {
        let order = self.order.lock().await;
        if !order.halted.contains_key(dataset) {
            return Err(Error::not_found("SW0823", format!("dataset {dataset:?} is not halted")));
        }
        self.log_halt(order, permit, dataset, "resume", Halt::Resumed).await
    }

    /// Halts a dataset whose breaker tripped: nothing is taken in until somebody resumes.
    pub(crate) async fn halt(&self, dataset: &str, message: &str) -> Result<()> {
        let order = self.order.lock().await;
        self.log_halt(order, &self.permit, dataset, "breaker", Halt::Halted(message.to_owned())).await
    }

    async fn log_halt(
        &self,
        mut order: tokio::sync::MutexGuard<'_, Order>,
        permit: &Permit,
        dataset: &str,
        source: &str,
        halt: Halt,
    ) -> Result<()> {
        let header = Header { halt: Some(halt), ..Header::new(dataset, source, permit, crate::Counts::default()) };
        let frame = Frame { header, accepted: None, quarantined: None };
        order.note(&frame);
        gate::append_in_order(&self.parts.log, &frame, &FrameSeal::default(), order).await?.durable().await?;
        Ok(())
    }

    /// Waits until tables and the online store hold every row that is durable now.
    pub async fn catch_up(&self) -> Result<()> {
        let (entries, _) = self.parts.log.durable_end();
        self.feature_writer.wait_for(entries).await?;
        self.table_writer.flush(entries).await
    }

    /// Waits until the online store holds every row that is durable now.
    pub async fn catch_up_features(&self) -> Result<()> {
        let (entries, _) = self.parts.log.durable_end();
        self.feature_writer.wait_for(entries).await
    }

    /// Log entries that are durable, that tables hold, and that the online store holds.
    pub fn progress(&self) -> Progress {
        Progress {
            durable_entries: self.parts.log.durable_end().0,
            committed_entries: self.table_writer.progress().committed_entries,
            folded_entries: self.feature_writer.entries(),
            waiting_rows: self.table_writer.progress().waiting_rows,
            table_store_away: self.table_writer.progress().away_since.is_some(),
            tables_attached: self.table_writer.progress().is_attached,
        }
    }

    /// What the log holds, and why.
    pub fn log_status(&self) -> LogStatus {
        let retention = self.revision.read().log_retention;
        LogStatus { extent: self.parts.log.extent(), retention, holds: self.held.borrow().clone() }
    }

    /// What was taken in since the log began, per dataset, and the datasets that are halted.
    pub async fn accounting(&self) -> Accounting {
        let order = self.order.lock().await;
        Accounting { counts: order.counts.clone(), halted: order.halted.clone() }
    }

    /// The newest arrival that was stamped.
    pub async fn last_arrival(&self) -> Option<Instant> {
        self.order.lock().await.last_arrival
    }

    /// Commits and checkpoints everything, then ends the tasks. The first failure of a task is returned. That tables are
    /// away is none: the rows are in the log, and the next start commits them.
    pub async fn stop(mut self) -> Result<()> {
        let until = self.dependencies.timer().now() + STOP_PATIENCE;
        self.vectors.flush().await?;
        let caught_up = tokio::select! {
            outcome = scope::until(until, self.catch_up()) => match outcome {
                Err(error) if error.code() == "SW1304" => Ok(()),
                outcome => outcome,
            },
            () = self.features_wait_still(until) => Ok(()),
        };
        let mut attached = Ok(());
        if let Some(late) = self.late.take() {
            late.abort();
            // It holds the writers until it has ended.
            attached = match late.await {
                Err(ended) if ended.is_cancelled() => Ok(()),
                Err(died) => Err(Error::internal("SW0832", "attaching tables died").because(died)),
                Ok(outcome) => outcome,
            };
        }
        let watched = self.checkpoint_monitor(&mut self.control.lock().await.monitor).await;
        self.audit_dependencies().await?;
        let Pipeline { tasks, table_writer, feature_writer, vectors, upkeep, order_task: (order_task, open), .. } =
            self;
        upkeep.stop().await;
        drop(vectors);
        // Before the table writer, whose progress it writes down.
        drop(open);
        let died = |e| Error::internal("SW0832", "a pipeline task died").because(e);
        let checkpointed = order_task.await.map_err(died)?;
        drop(table_writer);
        drop(feature_writer);
        for task in tasks {
            task.await.map_err(died)??;
        }
        caught_up.and(attached).and(checkpointed).and(watched)
    }
}

impl Pipeline {
    /// Returns when features wait for tables at `until`, or begin to later.
    async fn features_wait_still(&self, until: Instant) {
        self.dependencies.timer().wait_until(until).await;
        self.feature_writer.blocked().await;
    }
}

/// What a request passes on its way into the log.
struct Door {
    revision: Arc<Revision>,
    order: Arc<tokio::sync::Mutex<Order>>,
    log: Arc<dyn Log>,
    keys: KeyRing,
    permit: Permit,
    now: Instant,
}

impl Door {
    /// Checks rows, decides on their order and hands them to the log.
    async fn admit(self, source: &str, incoming: Incoming) -> Result<PendingReceipt> {
        let Door { revision, order, log, keys, permit, now } = self;
        let source = revision.source(source)?;
        let dataset = revision.dataset(&source.source.dataset)?;
        let checked = gate::check_request(source, dataset, &keys, &incoming, now).await?;
        let warnings = checked.warnings.clone();
        let unknown_columns = checked.unknown_columns.clone();

        let mut ordered = order.lock().await;
        if let Some(key) = &incoming.key {
            let arrives = ordered.last_arrival.map_or(now, |last| last.max(now));
            if let Some(given) = ordered.answers.find(&dataset.dataset.name, permit.principal(), key, arrives)? {
                drop(ordered);
                return Ok(PendingReceipt(Pending::Repeat { log, given, verdicts: incoming.verdicts }));
            }
        }
        let admitted = ordered.admit(source, dataset, &permit, checked, &incoming, now)?;
        let gate::Admitted { header, payload, rows, verdicts, refusal } = admitted;
        let append = gate::hand_over(&log, &header, payload, rows, ordered).await?;
        let mut receipt = Receipt {
            counts: header.counts,
            cut: Cut::empty(),
            rows: verdicts,
            rows_omitted: Omitted::default(),
            warnings,
            unknown_columns,
            repeated: false,
        };
        receipt.tell(incoming.verdicts);
        Ok(PendingReceipt(Pending::New { append, receipt, refusal }))
    }
}

/// Rows whose place in the order is decided, on their way to the disk.
pub struct PendingReceipt(Pending);

enum Pending {
    New { append: gate::PendingAppend, receipt: Receipt, refusal: Option<Error> },
    Repeat { log: Arc<dyn Log>, given: Given, verdicts: Verdicts },
}

impl PendingReceipt {
    /// Waits until the rows are durable.
    pub async fn durable(self) -> Result<Receipt> {
        match self.0 {
            Pending::New { append, receipt, refusal } => {
                let end = append.durable().await?;
                match refusal {
                    Some(refusal) => Err(refusal),
                    None => Ok(Receipt { cut: gate::live_cut(end), ..receipt }),
                }
            }
            Pending::Repeat { log, given, verdicts } => repeated(log.as_ref(), given, verdicts).await,
        }
    }
}

/// The answer to an earlier request, once its rows are durable: read back from its frame.
async fn repeated(log: &dyn Log, given: Given, verdicts: Verdicts) -> Result<Receipt> {
    log.wait_beyond(given.entry).await?;
    let frame = match log.read(given.entry, 1).await {
        // It was retired; counts and cut are known still.
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        read => read?,
    };
    let header = frame.first().map(|entry| Frame::decode_header(&entry.payload)).transpose()?;
    let told = header.and_then(|header| header.answer);
    let (rows, warnings, unknown_columns) =
        told.map(|told| (told.rows, told.warnings, told.unknown_columns)).unwrap_or_default();
    let cut = gate::live_cut(given.end);
    let rows_omitted = Omitted::default();
    let mut receipt =
        Receipt { counts: given.counts, cut, rows, rows_omitted, warnings, unknown_columns, repeated: true };
    receipt.tell(verdicts);
    Ok(receipt)
}

/// How far the stages have come, in log entries.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct Progress {
    /// Entries that would survive a power cut.
    pub durable_entries: u64,
    /// Entries whose rows are in tables.
    pub committed_entries: u64,
    /// Entries whose rows the online store has.
    pub folded_entries: u64,
    /// Rows that the table writer has in memory; the rest of what tables lack is in the log only.
    pub waiting_rows: u64,
    /// Whether the table store is away.
    pub table_store_away: bool,
    /// Whether tables were there since the start.
    pub tables_attached: bool,
}

/// What was taken in.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Accounting {
    /// Per dataset.
    pub counts: std::collections::BTreeMap<String, crate::Counts>,
    /// Halted datasets and why.
    pub halted: std::collections::BTreeMap<String, String>,
}

/// Like `ensure`, but columns that the table has and `schema` does not want any more stay, null from here on: a table of
/// served vectors or training rows outlives the definitions that it was made under.
pub(crate) async fn ensure_with_known_columns(
    tables: &dyn TableStore,
    permit: &Permit,
    table: &TableName,
    schema: &arrow::datatypes::SchemaRef,
    personal: &[String],
) -> Result<()> {
    use arrow::datatypes::{Field, Schema};
    let mut fields: Vec<Arc<Field>> = schema.fields().iter().cloned().collect();
    match tables.snapshot(table, None).await {
        Ok(known) => {
            for field in &mut fields {
                // A revision that became active again asks for less than the table holds since.
                if let Ok(had) = known.schema.field_with_name(field.name())
                    && contract::widens(field.data_type(), had.data_type())
                {
                    *field = Arc::new(had.clone());
                }
            }
            for field in known.schema.fields() {
                if schema.column_with_name(field.name()).is_none() {
                    fields.push(Arc::new(field.as_ref().clone().with_nullable(true)));
                }
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    tables.ensure(permit, table, Arc::new(Schema::new(fields)), personal).await.map(|_| ())
}

/// A frame's schema (ending in `_arrival`, `_available_at`) with the identity columns before those two.
pub(crate) fn with_system_columns(frame: &arrow::datatypes::SchemaRef) -> arrow::datatypes::SchemaRef {
    use arrow::datatypes::{DataType, Field, Schema};
    let mut fields: Vec<Arc<Field>> = frame.fields().iter().cloned().collect();
    let own = fields.len() - 2;
    fields.insert(own, Arc::new(Field::new(column::PARTITION, DataType::Int32, false)));
    fields.insert(own + 1, Arc::new(Field::new(column::LSN, DataType::Int64, false)));
    Arc::new(Schema::new(fields))
}

/// Whether `horizon` reaches back further than `other`; none reaches back for ever.
fn is_longer(horizon: Option<Span>, other: Option<Span>) -> bool {
    match (horizon, other) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(horizon), Some(other)) => horizon > other,
    }
}
