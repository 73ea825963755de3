//! The running pipeline: recovers its order from the log, owns the writers, and takes rows in.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parking_lot::RwLock;
use seawall_base::error::Result;
use seawall_base::{
    Clock, Cut, Engine, Error, ErrorKind, Log, ModelEngine, OnlineStore, Permit, Span, TableName, TableStore, column,
};
use seawall_catalog::Catalog;
use seawall_catalog::policy::Action;
use seawall_kernel::feature::ViewPlan;
use tokio::task::JoinHandle;
use tracing::info;

use crate::control::Control;
use crate::dependency::persist::Patience;
use crate::dependency::{Dependencies, GuardedEngine, GuardedModels, GuardedTables, scope};
use crate::feature_writer::{self, FeatureWriter};
use crate::frame::{Frame, Halt, Header};
use crate::gate::{self, Incoming, Order, Receipt};
use crate::restore::Withdrawn;
use crate::revision::{Declared, Revision};
use crate::scoring::Champions;
use crate::table_writer::{self, TableWriter};

/// Entries read from the log at once while recovering.
const ENTRIES_PER_READ: usize = 256;
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
    /// Features of the present.
    pub online: Arc<dyn OnlineStore>,
    /// SQL and training sets.
    pub engine: Arc<dyn Engine>,
    /// Trains, keeps and loads models.
    pub models: Arc<dyn ModelEngine>,
    /// System of record.
    pub catalog: Arc<Catalog>,
    /// Folder that the declarations' relative paths start from.
    pub folder: PathBuf,
}

impl Parts {
    /// The same components, with every call to a dependency guarded.
    fn guarded(self, dependencies: &Dependencies) -> Parts {
        let tables = GuardedTables {
            inner: self.tables,
            reads: dependencies.table_reads.clone(),
            writes: dependencies.table_writes.clone(),
        };
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
        Parts { tables: Arc::new(tables), engine: Arc::new(engine), models: Arc::new(models), ..self }
    }
}

/// Settings of a pipeline.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// When tables are committed.
    pub tables: table_writer::Options,
    /// How often the online store is checkpointed.
    pub checkpoint_interval: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options { tables: table_writer::Options::default(), checkpoint_interval: Duration::from_secs(30) }
    }
}

/// The running system.
pub struct Pipeline {
    pub(crate) parts: Parts,
    pub(crate) dependencies: Arc<Dependencies>,
    pub(crate) revision: RwLock<Arc<Revision>>,
    pub(crate) order: tokio::sync::Mutex<Order>,
    pub(crate) table_writer: table_writer::Handle,
    pub(crate) feature_writer: feature_writer::Handle,
    pub(crate) permit: Permit,
    pub(crate) champions: Champions,
    pub(crate) control: tokio::sync::Mutex<Control>,
    /// What restores withdrew; a restore never comes while a pipeline runs.
    pub(crate) withdrawn: Arc<Withdrawn>,
    tasks: Vec<JoinHandle<Result<()>>>,
}

impl Pipeline {
    /// Recovers from the log and starts the writers over the declared revision.
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
        check_tables_are_there(&parts, &revision).await?;
        ensure_tables(&parts, &revision, &permit).await?;
        let withdrawn = Arc::new(Withdrawn::read(parts.log.as_ref()).await?);
        let order = recover(&parts, &revision, &permit, &withdrawn).await?;
        crate::training::resolve_intents(&parts).await?;
        let ends = table_writer::Ends {
            log: parts.log.clone(),
            tables: parts.tables.clone(),
            catalog: parts.catalog.clone(),
            clock: parts.clock.clone(),
            permit: permit.clone(),
            dependencies: dependencies.clone(),
        };
        let (table_writer, table_task) = TableWriter::start(ends, options.tables);
        define_views(&parts, &revision, &table_writer, &permit).await?;
        let ends = feature_writer::Ends {
            log: parts.log.clone(),
            tables: parts.tables.clone(),
            online: parts.online.clone(),
            clock: parts.clock.clone(),
            permit: permit.clone(),
            withdrawn: withdrawn.clone(),
            schemas: table_schemas(&parts, &revision).await?,
        };
        let patience = Patience::new(dependencies.clone());
        let (feature_writer, feature_task) = FeatureWriter::start(ends, patience, options.checkpoint_interval);
        // Nobody is answered from a state that lags behind what was acknowledged before the restart.
        if let Err(stopped) = feature_writer.wait_for(parts.log.durable_end().0).await {
            let cause = feature_task.await.map_err(|e| Error::internal("SW0832", "a pipeline task died").because(e))?;
            return Err(cause.err().unwrap_or(stopped));
        }
        let pipeline = Pipeline {
            parts,
            dependencies,
            champions: Champions::default(),
            control: tokio::sync::Mutex::new(Control::default()),
            revision: RwLock::new(revision),
            order: tokio::sync::Mutex::new(order),
            table_writer,
            feature_writer,
            permit,
            withdrawn,
            tasks: vec![table_task, feature_task],
        };
        pipeline.refresh_champions().await?;
        Ok(pipeline)
    }

    /// The revision that runs.
    pub fn revision(&self) -> Arc<Revision> {
        self.revision.read().clone()
    }

    /// The components it runs on; every call to a dependency is guarded.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// What it depends on.
    pub fn dependencies(&self) -> &Arc<Dependencies> {
        &self.dependencies
    }

    /// Switches to another revision: new tables are made, changed ones evolve, new views are backfilled from tables
    /// before they are served.
    pub async fn switch(&self, declared: &Declared) -> Result<()> {
        let revision = Arc::new(Revision::compile(declared, &self.parts.engine).await?);
        ensure_tables(&self.parts, &revision, &self.permit).await?;
        self.table_writer.schemas_changed().await?;
        let mut order = self.order.lock().await;
        let (entries, _) = self.parts.log.durable_end();
        self.feature_writer.wait_for(entries).await?;
        define_views(&self.parts, &revision, &self.table_writer, &self.permit).await?;
        self.renew_keys(&revision, &mut order).await?;
        *self.revision.write() = revision.clone();
        drop(order);
        self.refresh_champions().await?;
        info!(revision = %revision.hash.short(), "switched to revision");
        Ok(())
    }

    /// Rebuilds deduplication for datasets that are new to this process or have another primary key now.
    async fn renew_keys(&self, revision: &Revision, order: &mut Order) -> Result<()> {
        let before = self.revision();
        let same_key = |dataset: &crate::revision::DatasetGate| {
            let old = before.datasets.get(&dataset.dataset.name);
            old.is_some_and(|old| old.dataset.primary_key == dataset.dataset.primary_key)
        };
        let changed: Vec<&String> =
            revision.datasets.iter().filter(|(_, dataset)| !same_key(dataset)).map(|(name, _)| name).collect();
        if changed.is_empty() {
            return Ok(());
        }
        let mut recovered = recover(&self.parts, revision, &self.permit, &self.withdrawn).await?;
        for name in changed {
            match recovered.dedup.remove(name) {
                Some(index) => order.dedup.insert(name.clone(), index),
                None => order.dedup.remove(name),
            };
        }
        Ok(())
    }

    /// Takes rows in: returns when they are durable.
    pub async fn ingest(&self, permit: &Permit, source: &str, incoming: Incoming) -> Result<Receipt> {
        self.begin_ingest(permit, source, incoming).await?.durable().await
    }

    /// Takes rows in: returns when their place in the order is decided. The rows are not acknowledged before
    /// [`PendingReceipt::durable`] returns.
    pub async fn begin_ingest(&self, permit: &Permit, source: &str, incoming: Incoming) -> Result<PendingReceipt> {
        let revision = self.revision();
        let source = revision.source(source)?;
        let dataset = revision.dataset(&source.source.dataset)?;
        let now = self.parts.clock.now();
        let checked = gate::check_request(source, dataset, &incoming, now).await?;
        let warnings = checked.warnings.clone();
        let unknown_columns = checked.unknown_columns.clone();

        let mut order = self.order.lock().await;
        let admitted = order.admit(source, dataset, permit, checked, &incoming, now)?;
        let append = gate::append_in_order(&self.parts.log, &admitted.frame, order).await?;
        let receipt = Receipt {
            counts: admitted.frame.header.counts,
            cut: Cut::empty(),
            rows: admitted.verdicts,
            warnings,
            unknown_columns,
        };
        Ok(PendingReceipt { append, receipt, refusal: admitted.refusal })
    }

    /// Lets a halted dataset go on. `NotFound` when it is not halted.
    pub async fn resume(&self, permit: &Permit, dataset: &str) -> Result<()> {
        let mut order = self.order.lock().await;
        if !order.halted.contains_key(dataset) {
            return Err(Error::not_found("SW0823", format!("dataset {dataset:?} is not halted")));
        }
        let header = Header {
            dataset: dataset.to_owned(),
            source: "resume".into(),
            permit: permit.id().to_owned(),
            counts: crate::Counts::default(),
            rules: Vec::new(),
            position: None,
            files: Vec::new(),
            load: None,
            halt: Some(Halt::Resumed),
            restore: None,
        };
        let frame = Frame { header, accepted: None, quarantined: None };
        order.note(&frame);
        gate::append_in_order(&self.parts.log, &frame, order).await?.durable().await?;
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
        }
    }

    /// What was taken in since the log began, per dataset, and the datasets that are halted.
    pub async fn accounting(&self) -> Accounting {
        let order = self.order.lock().await;
        Accounting { counts: order.counts.clone(), halted: order.halted.clone() }
    }

    /// The newest arrival that was stamped.
    pub async fn last_arrival(&self) -> Option<seawall_base::Instant> {
        self.order.lock().await.last_arrival
    }

    /// Commits and checkpoints everything, then ends the tasks. The first failure of a task is returned. That tables are
    /// away is none: the rows are in the log, and the next start commits them.
    pub async fn stop(self) -> Result<()> {
        let until = self.dependencies.timer().now() + STOP_PATIENCE;
        match scope::until(until, self.catch_up()).await {
            Err(error) if error.code() == "SW1304" => {}
            outcome => outcome?,
        }
        self.audit_dependencies().await?;
        let Pipeline { tasks, table_writer, feature_writer, .. } = self;
        drop(table_writer);
        drop(feature_writer);
        for task in tasks {
            task.await.map_err(|e| Error::internal("SW0832", "a pipeline task died").because(e))??;
        }
        Ok(())
    }
}

/// Rows whose place in the order is decided, on their way to the disk.
pub struct PendingReceipt {
    append: gate::PendingAppend,
    receipt: Receipt,
    refusal: Option<Error>,
}

impl PendingReceipt {
    /// Waits until the rows are durable.
    pub async fn durable(self) -> Result<Receipt> {
        let end = self.append.durable().await?;
        match self.refusal {
            Some(refusal) => Err(refusal),
            None => Ok(Receipt { cut: gate::live_cut(end), ..self.receipt }),
        }
    }
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
}

/// What was taken in.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Accounting {
    /// Per dataset.
    pub counts: std::collections::BTreeMap<String, crate::Counts>,
    /// Halted datasets and why.
    pub halted: std::collections::BTreeMap<String, String>,
}

/// Refuses to begin tables anew that the catalog knows to have versions: the disk with them is not mounted, or the folder
/// was replaced, and what was committed would be gone in silence.
async fn check_tables_are_there(parts: &Parts, revision: &Revision) -> Result<()> {
    for name in revision.datasets.keys() {
        let table = TableName::dataset(name)?;
        let Some(known) = parts.catalog.version_at(&table, seawall_base::Instant::MAX).await? else { continue };
        match parts.tables.snapshot(&table, None).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let message = format!("table {table} is gone, but the catalog knows its version {}", known.0);
                return Err(Error::new(ErrorKind::Unavailable, "SW1308", message)
                    .because(error)
                    .hint("mount the disk with the folder `tables`, or restore it from a backup, and start again"));
            }
            outcome => outcome?,
        };
    }
    Ok(())
}

async fn ensure_tables(parts: &Parts, revision: &Revision, permit: &Permit) -> Result<()> {
    let restores = with_system_columns(&crate::restore::schema());
    parts.tables.ensure(permit, &TableName::new(crate::restore::TABLE)?, restores, &[]).await?;
    for dataset in revision.datasets.values() {
        let dataset = &dataset.dataset;
        let table = TableName::dataset(&dataset.name)?;
        let tables = parts.tables.as_ref();
        ensure_with_known_columns(tables, permit, &table, &dataset.table_schema(), &dataset.personal).await?;
        let quarantine = TableName::quarantine(&dataset.name)?;
        let personal = ["_raw".to_owned(), "_reasons".to_owned()];
        parts
            .tables
            .ensure(permit, &quarantine, with_system_columns(&crate::frame::quarantine_schema()), &personal)
            .await?;
    }
    for set in revision.training_sets.values() {
        let schema = crate::serving::served_table_schema(set);
        ensure_with_known_columns(parts.tables.as_ref(), permit, &set.served_table, &schema, &set.spine.personal)
            .await?;
    }
    for model in revision.models.values() {
        let schema = crate::scoring::predictions_table_schema(model);
        let personal = &model.set.spine.personal;
        ensure_with_known_columns(parts.tables.as_ref(), permit, &model.table, &schema, personal).await?;
    }
    Ok(())
}

/// Schema of every dataset's table.
async fn table_schemas(parts: &Parts, revision: &Revision) -> Result<HashMap<String, SchemaRef>> {
    let mut schemas = HashMap::with_capacity(revision.datasets.len());
    for name in revision.datasets.keys() {
        let snapshot = parts.tables.snapshot(&TableName::dataset(name)?, None).await?;
        schemas.insert(name.clone(), snapshot.schema);
    }
    Ok(schemas)
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

/// Rebuilds deduplication, positions, loads and halts from the whole log.
async fn recover(parts: &Parts, revision: &Revision, permit: &Permit, withdrawn: &Withdrawn) -> Result<Order> {
    let mut order = Order { next_load: 1, ..Order::default() };
    let mut next = 0;
    loop {
        let entries = parts.log.read(next, ENTRIES_PER_READ).await?;
        if entries.is_empty() {
            return Ok(order);
        }
        for entry in &entries {
            let mut frame = Frame::decode(&entry.payload)?;
            frame.accepted = withdrawn.keep_accepted(&frame, entry)?;
            let dataset = revision.datasets.get(&frame.header.dataset).map(Arc::as_ref);
            order.recover(&frame, dataset)?;
            if let (Some(load), Some(dataset)) = (&frame.header.load, dataset) {
                let table = TableName::dataset(&dataset.dataset.name)?;
                for file in &load.staged {
                    for rows in parts.tables.read_staged(permit, &table, file).await? {
                        order.recover_rows(dataset, &rows)?;
                    }
                }
            }
        }
        next += entries.len() as u64;
    }
}

/// Defines every view in the online store. A view that the store did not keep yet is filled from its table, up to the
/// store's cut, so that it continues from there like the others.
async fn define_views(
    parts: &Parts,
    revision: &Revision,
    tables: &table_writer::Handle,
    permit: &Permit,
) -> Result<()> {
    for view in &revision.views {
        let dataset = &revision.dataset(&view.from)?.dataset;
        parts.online.define(view, dataset).await?;
        // After the definition, so that it covers the beginning of the view's gap.
        let store_cut = parts.online.store_cut();
        if parts.online.cut(&view.id())?.covers(&store_cut) {
            continue;
        }
        tables.flush(parts.log.durable_end().0).await?;
        let plan = ViewPlan::compile(view, dataset)?;
        let table = TableName::dataset(&view.from)?;
        let snapshot = parts.tables.snapshot(&table, None).await?;
        let columns = plan.input_columns();
        let batches = parts.tables.scan(permit, &table, snapshot.version, Some(&columns)).await?;
        let schema = match batches.first() {
            Some(batch) => batch.schema(),
            None => crate::revision::project(&RecordBatch::new_empty(dataset.table_schema()), &columns)?.schema(),
        };
        // In one call, so that a checkpoint never sees half of it.
        let rows = rows_within(&arrow::compute::concat_batches(&schema, &batches)?, &store_cut)?;
        parts.online.backfill(&view.id(), &rows, &store_cut).await?;
        info!(view = %view.id(), rows = rows.num_rows(), "feature view filled from its table");
    }
    Ok(())
}

/// The rows of `batch` that lie within `cut`.
pub(crate) fn rows_within(batch: &RecordBatch, cut: &Cut) -> Result<RecordBatch> {
    crate::restore::keep_where(batch, |partition, offset| offset < cut.end(partition).0)
}
