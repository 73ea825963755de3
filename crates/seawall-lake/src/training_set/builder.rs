//! Builds a training set from its plan: [`Builder`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{LexicographicalComparator, SortColumn, concat_batches, take_record_batch};
use arrow::datatypes::{Field, Schema, SchemaRef, TimestampMicrosecondType};
use seawall_base::declare::{FeatureRef, FeatureView, Known, TrainingSet};
use seawall_base::derived::Compiling;
use seawall_base::engine::{Fingerprint, PinnedInput, TrainingSetPlan, TrainingSetRows};
use seawall_base::error::{Error, Result};
use seawall_base::ids::Dataset;
use seawall_base::table::{TableName, TableStore, TableVersion};
use seawall_base::{BatchMap, Computed, Hash, Instant, Permit, column, computed};
use seawall_kernel::CORE_VERSION;
use seawall_kernel::feature::{SweepOptions, ViewPlan, key_hashes};

use super::history::{Asked, Budget, History, Source};
use super::{DECISION_TIME, LABEL, content_hash, label, own_contract};
use crate::codes;
use crate::policy;
use crate::query::{QueryRuntime, SessionFactory, SqlMap};
use crate::types;

/// Reads, computes and joins; holds no state between training sets.
pub(crate) struct Builder<'a> {
    store: &'a dyn TableStore,
    sessions: &'a SessionFactory,
    runtime: &'a QueryRuntime,
    permit: &'a Permit,
    budget: &'a Budget,
}

/// The decisions, sorted: the rows of the spine and what follows from them.
struct Spine<'a> {
    dataset: &'a Dataset,
    rows: RecordBatch,
    at: Vec<Instant>,
    own: Vec<Option<u128>>,
}

/// The inputs at their versions, by table.
type Pins = BTreeMap<String, Pin>;

/// An input at its version.
struct Pin {
    input: PinnedInput,
    rows: u64,
}

/// The output in the making: named columns in order.
#[derive(Default)]
struct Output {
    fields: Vec<Field>,
    columns: Vec<ArrayRef>,
}

impl<'a> Builder<'a> {
    /// A builder that reads `store` for the holder of `permit`, on the engine's threads. The history of a view that is
    /// larger than `budget` goes to disk.
    pub(crate) fn new(
        store: &'a dyn TableStore,
        sessions: &'a SessionFactory,
        runtime: &'a QueryRuntime,
        permit: &'a Permit,
        budget: &'a Budget,
    ) -> Self {
        Builder { store, sessions, runtime, permit, budget }
    }

    /// The rows and their fingerprint.
    pub(crate) async fn build(&self, plan: &TrainingSetPlan) -> Result<TrainingSetRows> {
        let training_set = &plan.training_set;
        let inputs = inputs(plan)?;
        policy::check_full(self.permit, inputs.iter().copied(), &format!("training set {}", training_set.name))?;
        let pins = self.pin(plan, &inputs).await?;
        plan.progress.begin(history_rows(plan, &pins)? * 2);
        let spine = self.spine(plan, &pins).await?;
        let mut output = Output::default();
        for key in &spine.dataset.primary_key {
            output.push(training_set, key, Arc::clone(named(&spine.rows, key, spine.dataset)?))?;
        }
        let at = Arc::clone(named(&spine.rows, &training_set.rows.at, spine.dataset)?);
        output.push(training_set, DECISION_TIME, at)?;
        self.add_context(training_set, &spine, &mut output).await?;
        for feature_ref in &training_set.features {
            self.add_features(plan, &pins, &spine, feature_ref, &mut output).await?;
        }
        self.add_derived(training_set, &spine, &mut output).await?;
        self.add_label(plan, &pins, &spine, &mut output).await?;
        let rows = output.finish(spine.rows.num_rows())?;
        let (rows, gated) = own_contract::hold(training_set, rows, plan.built_at)?;
        let stopped = gated.as_ref().map_or(0, |gated| gated.stopped.num_rows() as u64);
        let fingerprint = fingerprint(plan, pins, &rows, stopped)?;
        Ok(TrainingSetRows { rows, fingerprint, gated })
    }

    /// Decides once which version of each input is read, so that everything sees the same.
    async fn pin(&self, plan: &TrainingSetPlan, inputs: &BTreeSet<&str>) -> Result<Pins> {
        let mut pins = Pins::new();
        for name in inputs.iter().copied() {
            let wanted = plan.versions.iter().find(|(table, _)| table == name).map(|(_, version)| *version);
            let snapshot = self.store.snapshot(&TableName::dataset(name)?, wanted).await?;
            let input = PinnedInput { table: name.to_owned(), version: snapshot.version, cut: snapshot.cut };
            pins.insert(name.to_owned(), Pin { input, rows: snapshot.rows });
        }
        Ok(pins)
    }

    async fn read(&self, pins: &Pins, name: &str, columns: Option<&[String]>) -> Result<Vec<RecordBatch>> {
        let version: TableVersion = pins.get(name).map(|pin| pin.input.version).ok_or_else(|| not_planned(name))?;
        self.store.scan(self.permit, &TableName::dataset(name)?, version, columns).await
    }

    async fn spine(&self, plan: &'a TrainingSetPlan, pins: &Pins) -> Result<Spine<'a>> {
        let declared = &plan.training_set.rows;
        let dataset = dataset(plan, &declared.from)?;
        if dataset.primary_key.is_empty() {
            return Err(Error::invalid(codes::SPINE, format!("dataset {} has no primary key", declared.from))
                .hint("declare one in its contract: a decision excludes its own row by its key"));
        }
        let batches = self.read(pins, &declared.from, None).await?;
        let schema = batches.first().map_or_else(|| dataset.table_schema(), RecordBatch::schema);
        let unordered = concat_batches(&schema, &batches)?;
        drop(batches);
        let order = decision_order(&unordered, dataset, &instants(&unordered, &declared.at, dataset)?)?;
        let rows = take_record_batch(&unordered, &order)?;
        let at = instants(&rows, &declared.at, dataset)?;
        let reads_itself = plan.views.iter().any(|view| view.from == dataset.name);
        let own = if reads_itself { key_hashes(&rows, &dataset.primary_key)? } else { Vec::new() };
        Ok(Spine { dataset, rows, at, own })
    }

    async fn add_context(&self, training_set: &TrainingSet, spine: &Spine<'_>, output: &mut Output) -> Result<()> {
        if training_set.context.is_empty() {
            return Ok(());
        }
        let sql = context_sql(&training_set.context);
        let compiling = SqlMap::compile(self.sessions, self.runtime, &sql, spine.rows.schema(), &[]);
        let map = Box::pin(compiling).await?;
        let computed = map.apply_here(&spine.rows).await?;
        if !map.is_row_wise() || computed.num_rows() != spine.rows.num_rows() {
            let message = format!("the context of {} is not computed from each row alone", training_set.name);
            return Err(Error::invalid(codes::CONTEXT, message)
                .hint("write expressions over the row's columns, without aggregates, windows and subqueries"));
        }
        for (name, computed) in training_set.context.iter().zip(computed.columns()) {
            output.push(training_set, &name.0, Arc::clone(computed))?;
        }
        Ok(())
    }

    /// What the view computes from each row before anything is aggregated.
    async fn computed(&self, dataset: &Dataset, view: &FeatureView) -> Result<Computed> {
        let statements = computed::statements(dataset, [view])?;
        let mut maps: Vec<Arc<dyn BatchMap>> = Vec::with_capacity(statements.len());
        for statement in &statements {
            let input = Arc::clone(&statement.input);
            let map = SqlMap::compile(self.sessions, self.runtime, &statement.sql, input, &[]);
            maps.push(Arc::new(Box::pin(map).await?));
        }
        Computed::of(dataset, &statements, maps)
    }

    async fn add_features(
        &self,
        plan: &TrainingSetPlan,
        pins: &Pins,
        spine: &Spine<'_>,
        feature_ref: &FeatureRef,
        output: &mut Output,
    ) -> Result<()> {
        let view = view(plan, feature_ref)?;
        let declared = dataset(plan, &view.from)?;
        let computed = self.computed(declared, view).await?;
        let compiled = Arc::new(ViewPlan::compile(view, &computed.extended(declared))?);
        let pin = pins.get(&view.from).ok_or_else(|| not_planned(&view.from))?;
        let (store, permit, table) = (self.store, self.permit, TableName::dataset(&view.from)?);
        let source = Source { store, permit, table, version: pin.input.version, rows: pin.rows, computed };
        let history = History::read(&source, &compiled, self.budget, &plan.progress).await?;
        let asked = Asked {
            entity: entity_columns(view, feature_ref, spine, output, &plan.training_set)?,
            at: spine.at.clone(),
            known: spine.at.iter().map(|at| known_at(&plan.training_set, *at)).collect(),
            own: if view.from == spine.dataset.name { spine.own.clone() } else { Vec::new() },
        };
        let options = SweepOptions::on(std::thread::available_parallelism().map_or(1, usize::from));
        let progress = Arc::clone(&plan.progress);
        let sweeping = tokio::task::spawn_blocking(move || history.sweep(&compiled, asked, options, &progress));
        let values = sweeping.await.map_err(|e| {
            Error::internal(codes::ENGINE_STOPPED, format!("sweeping view {} was stopped", view.name)).because(e)
        })??;
        for (field, values) in values.schema().fields().iter().zip(values.columns()) {
            output.push(&plan.training_set, &format!("{}__{}", view.name, field.name()), Arc::clone(values))?;
        }
        Ok(())
    }

    /// Adds what is derived from the columns so far and from what a service takes of the rows.
    async fn add_derived(&self, training_set: &TrainingSet, spine: &Spine<'_>, output: &mut Output) -> Result<()> {
        if training_set.derived.is_empty() {
            return Ok(());
        }
        let vector = output.with_request(training_set, spine)?;
        let mut compiling = Compiling::begin(&training_set.name, &training_set.derived, vector.schema())?;
        while let Some(statements) = compiling.next()? {
            let mut maps: Vec<Arc<dyn BatchMap>> = Vec::with_capacity(statements.len());
            for statement in &statements {
                let input = Arc::clone(&statement.input);
                let map = SqlMap::compile(self.sessions, self.runtime, &statement.sql, input, &[]);
                maps.push(Arc::new(Box::pin(map).await?));
            }
            compiling.add(&statements, maps)?;
        }
        let derived = compiling.finish()?.apply(&vector).await?;
        for (feature, values) in training_set.derived.iter().zip(derived.columns) {
            output.push(training_set, &feature.name, values)?;
        }
        Ok(())
    }

    /// Adds the label, when one is declared.
    async fn add_label(
        &self,
        plan: &TrainingSetPlan,
        pins: &Pins,
        spine: &Spine<'_>,
        output: &mut Output,
    ) -> Result<()> {
        let Some(declared) = &plan.training_set.label else { return Ok(()) };
        let outcomes_of = dataset(plan, &declared.from)?;
        let columns = label::columns(declared);
        let batches = self.read(pins, &declared.from, Some(&columns)).await?;
        let schema = batches.first().map_or_else(|| outcomes_of.table_schema(), RecordBatch::schema);
        let outcomes = concat_batches(&schema, &batches)?;
        let labels = label::join(declared, &spine.rows, &spine.at, &outcomes, plan.built_at)?;
        output.push(&plan.training_set, LABEL, labels)
    }
}

impl Output {
    fn push(&mut self, training_set: &TrainingSet, name: &str, column: ArrayRef) -> Result<()> {
        if self.fields.iter().any(|field| field.name() == name) {
            let message = format!("training set {} has two columns named {name}", training_set.name);
            return Err(Error::invalid(codes::PLAN_INCOMPLETE, message)
                .hint("rename a context column, or bind each feature view once"));
        }
        self.fields.push(Field::new(name, types::normal_type(column.data_type()), true));
        self.columns.push(column);
        Ok(())
    }

    fn column(&self, name: &str) -> Option<&ArrayRef> {
        let place = self.fields.iter().position(|field| field.name() == name)?;
        self.columns.get(place)
    }

    /// The columns so far, and those of the spine that a service takes as they are, each in the type that serving has.
    fn with_request(&self, training_set: &TrainingSet, spine: &Spine<'_>) -> Result<RecordBatch> {
        let (mut fields, mut columns) = (self.fields.clone(), self.columns.clone());
        let entities = training_set.features.iter().flat_map(|reference| &reference.entity);
        let told = training_set.request.iter().map(|value| &value.name);
        for name in entities.chain(told) {
            if fields.iter().any(|field| field.name() == name) {
                continue;
            }
            let column = named(&spine.rows, name, spine.dataset)?;
            let declared = spine.dataset.schema.field_with_name(name)?.data_type();
            fields.push(Field::new(name, declared.clone(), true));
            columns.push(types::cast_strictly(column, declared)?);
        }
        for (field, column) in fields.iter_mut().zip(&mut columns) {
            *column = types::cast_strictly(column, field.data_type())?;
        }
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(spine.rows.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?)
    }

    fn finish(self, rows: usize) -> Result<RecordBatch> {
        let schema: SchemaRef = Arc::new(Schema::new(self.fields));
        let mut columns = Vec::with_capacity(self.columns.len());
        for (column, field) in self.columns.iter().zip(schema.fields()) {
            columns.push(types::cast_strictly(column, field.data_type())?);
        }
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
    }
}

/// The datasets that a training set reads.
fn inputs(plan: &TrainingSetPlan) -> Result<BTreeSet<&str>> {
    let training_set = &plan.training_set;
    let mut names = BTreeSet::from([training_set.rows.from.as_str()]);
    names.extend(training_set.label.iter().map(|label| label.from.as_str()));
    for feature_ref in &training_set.features {
        names.insert(&view(plan, feature_ref)?.from);
    }
    Ok(names)
}

/// The rows of all histories; those that two views read count twice.
fn history_rows(plan: &TrainingSetPlan, pins: &Pins) -> Result<u64> {
    let mut rows = 0;
    for feature_ref in &plan.training_set.features {
        rows += pins.get(&view(plan, feature_ref)?.from).map_or(0, |pin| pin.rows);
    }
    Ok(rows)
}

/// K of a decision: rows that were available before it are visible to its features.
fn known_at(training_set: &TrainingSet, at: Instant) -> Instant {
    match training_set.known {
        Known::InTime => at - training_set.visibility_lag,
        // Every row is available some day. Which of them happened by T is still told by their event times.
        Known::Ignore => Instant::MAX,
    }
}

/// The statement that computes context columns: on both sides, so that both compute the same.
fn context_sql(context: &[(String, String)]) -> String {
    let columns: Vec<String> =
        context.iter().map(|(name, sql)| format!("({sql}) as \"{}\"", name.replace('"', "\"\""))).collect();
    format!("select {} from input", columns.join(", "))
}

/// The order of the rows by decision time, then key, then identity: an order that no file or batch decides. Most rows are
/// told apart by their times alone, so only those of one time are compared column by column.
fn decision_order(rows: &RecordBatch, dataset: &Dataset, at: &[Instant]) -> Result<UInt32Array> {
    let count = u32::try_from(at.len()).map_err(|_| {
        let message = format!("{} decisions are too many for one training set", at.len());
        Error::invalid(codes::SPINE, message).hint("take the rows from a dataset that holds fewer of them")
    })?;
    let keys = dataset.primary_key.iter().map(String::as_str).chain([column::PARTITION, column::LSN]);
    let mut columns = Vec::new();
    for name in keys {
        columns.push(SortColumn { values: Arc::clone(named(rows, name, dataset)?), options: None });
    }
    let comparator = LexicographicalComparator::try_new(&columns)?;
    let mut order: Vec<(Instant, u32)> = at.iter().copied().zip(0..count).collect();
    order.sort_unstable();
    for of_one_time in order.chunk_by_mut(|a, b| a.0 == b.0) {
        of_one_time.sort_unstable_by(|a, b| comparator.compare(a.1 as usize, b.1 as usize));
    }
    Ok(order.into_iter().map(|(_, row)| row).collect::<Vec<u32>>().into())
}

fn instants(rows: &RecordBatch, at: &str, dataset: &Dataset) -> Result<Vec<Instant>> {
    let times = named(rows, at, dataset)?;
    if *times.data_type() != types::instant_type() {
        let message = format!("the decision time {at} of dataset {} is {}", dataset.name, times.data_type());
        return Err(Error::invalid(codes::SPINE, message).hint("decide at a column of timestamps with a zone"));
    }
    if times.null_count() > 0 {
        let message = format!("{} rows of dataset {} have no decision time {at}", times.null_count(), dataset.name);
        return Err(Error::invalid(codes::SPINE, message)
            .hint("make the column required in the contract, so that the gate stops such rows"));
    }
    Ok(times.as_primitive::<TimestampMicrosecondType>().values().iter().map(|at| Instant(*at)).collect())
}

/// The columns that give the view's entity, under the view's names.
fn entity_columns(
    view: &FeatureView,
    feature_ref: &FeatureRef,
    spine: &Spine<'_>,
    output: &Output,
    training_set: &TrainingSet,
) -> Result<RecordBatch> {
    if feature_ref.entity.len() != view.entity.len() {
        let (has, wants) = (feature_ref.entity.len(), view.entity.len());
        let message = format!("view {} has {wants} entity columns, but {has} are given", feature_ref.view);
        return Err(Error::invalid(codes::PLAN_INCOMPLETE, message).hint("name a spine column for each of them"));
    }
    let mut columns = Vec::with_capacity(view.entity.len());
    for (name, from) in view.entity.iter().zip(&feature_ref.entity) {
        // What a service asks for is told by the context, where that has a column of the name.
        let is_context = training_set.service.is_some() && training_set.context.iter().any(|(known, _)| known == from);
        let column = match output.column(from).filter(|_| is_context) {
            Some(computed) => computed,
            None => named(&spine.rows, from, spine.dataset)?,
        };
        columns.push((name.as_str(), Arc::clone(column), true));
    }
    Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
}

fn named<'r>(rows: &'r RecordBatch, name: &str, dataset: &Dataset) -> Result<&'r ArrayRef> {
    rows.column_by_name(name).ok_or_else(|| {
        let known: Vec<String> = rows.schema().fields().iter().map(|field| field.name().clone()).collect();
        Error::invalid(codes::SPINE, format!("dataset {} has no column {name:?}", dataset.name))
            .hint(format!("its columns are {}", known.join(", ")))
    })
}

fn dataset<'p>(plan: &'p TrainingSetPlan, name: &str) -> Result<&'p Dataset> {
    plan.datasets.iter().find(|dataset| dataset.name == name).ok_or_else(|| not_planned(name))
}

fn view<'p>(plan: &'p TrainingSetPlan, feature_ref: &FeatureRef) -> Result<&'p FeatureView> {
    let found = plan.views.iter().find(|view| view.id() == feature_ref.view);
    found.ok_or_else(|| not_planned(&feature_ref.view.to_string()))
}

fn not_planned(name: &str) -> Error {
    Error::invalid(codes::PLAN_INCOMPLETE, format!("the training set reads {name}, which its plan does not contain"))
        .hint("apply the project again: the declaration and what it refers to belong to one revision")
}

fn fingerprint(plan: &TrainingSetPlan, pins: Pins, rows: &RecordBatch, stopped: u64) -> Result<Fingerprint> {
    let training_set = &plan.training_set;
    let mut definitions: Vec<(String, Hash)> = vec![(training_set.name.clone(), training_set.definition_hash())];
    for feature_ref in &training_set.features {
        definitions.push((feature_ref.view.to_string(), view(plan, feature_ref)?.definition_hash()));
    }
    Ok(Fingerprint {
        training_set: training_set.name.clone(),
        inputs: pins.into_values().map(|pin| pin.input).collect(),
        definitions,
        revision: plan.revision.clone(),
        core_version: CORE_VERSION,
        built_at: plan.built_at,
        rows: rows.num_rows() as u64,
        labelled: own_contract::labelled(rows),
        content: content_hash(std::slice::from_ref(rows)),
        stopped,
    })
}

#[cfg(test)]
mod tests;
