//! What follows from the rows of a case: the real gate, the real maps, the real features, and no table.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int32Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema};
use seawall_base::declare::{Connector, FeatureView, FileFormat, Transform};
use seawall_base::error::Result;
use seawall_base::{Computed, Dataset, Engine, Error, Hash, Instant, Offset, Partition, Reference, column};
use seawall_catalog::project::Loaded;
use seawall_catalog::project::keep::transforms;
use seawall_kernel::contract::{self, Gate, Input, Limits, Mode, Verdict};
use seawall_kernel::feature::{Decisions, ViewPlan, entity_keys, sweep};
use seawall_pipeline::frame::number;
use seawall_pipeline::revision::{Declared, Revision, instants, with_times};
use serde_json::{Map, Value};

use super::case::{Case, When};
use super::coverage::{Coverage, told};

/// The project, compiled, as far as cases need it.
pub(super) struct World {
    revision: Revision,
    views: Vec<FeatureView>,
    engine: Arc<dyn Engine>,
}

/// What followed.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Rows that passed the gate, in order.
    pub accepted: Vec<Map<String, Value>>,
    /// Rows that did not, each with its number and its reasons.
    pub stopped: Vec<(u64, Vec<String>)>,
    /// Features, when they were asked for.
    pub values: Option<Map<String, Value>>,
}

impl World {
    pub(super) async fn of(loaded: &Loaded, engine: Arc<dyn Engine>, folder: &Path) -> Result<World> {
        let project = &loaded.project;
        let declared = Declared {
            revision: project.revision_hash(),
            contracts: project.contracts.clone(),
            sources: project.sources.clone(),
            views: Vec::new(),
            services: Vec::new(),
            training_sets: Vec::new(),
            models: Vec::new(),
            monitors: Vec::new(),
            corrections: project.corrections.clone(),
            queries: Vec::new(),
            transforms: transforms(project)?,
            owners: Default::default(),
            log_retention: None,
            tables: Default::default(),
            folder: folder.to_owned(),
        };
        let revision = Revision::compile(&declared, &engine).await?;
        Ok(World { revision, views: project.feature_views.clone(), engine })
    }

    /// Every dataset with its gate.
    pub(super) fn gates(&self) -> impl Iterator<Item = (&str, &Gate)> {
        self.revision.datasets.iter().map(|(name, dataset)| (name.as_str(), &dataset.gate))
    }

    /// Runs a case.
    pub(super) async fn run(&self, case: &Case, coverage: &mut Coverage) -> Result<Outcome> {
        match &case.when {
            When::Gate => {
                let mut outcome = Outcome::default();
                for (dataset, rows) in &case.given {
                    let one = self.before_gate(dataset, rows, coverage)?;
                    outcome.accepted.extend(one.accepted);
                    outcome.stopped.extend(one.stopped);
                }
                Ok(outcome)
            }
            When::Source(name) => self.through_source(name, case, coverage).await,
            When::Transform(name) => self.transformed(name, case, coverage).await,
            When::Features { view, entity, at, known_at, available_at } => {
                let known = known_at.unwrap_or(Instant(at.0 + 1));
                let values = self.features(view, entity, (*at, known), available_at.as_deref(), case).await?;
                Ok(Outcome { values: Some(values), ..Outcome::default() })
            }
        }
    }

    fn before_gate(&self, dataset: &str, rows: &[Map<String, Value>], coverage: &mut Coverage) -> Result<Outcome> {
        let gate = &self.revision.dataset(dataset)?.gate;
        let mut outcome = Outcome::default();
        let (mut lines, mut numbers) = (String::new(), Vec::new());
        for (number, row) in (0u64..).zip(rows) {
            let line = format!("{}\n", Value::Object(row.clone()));
            let decoded = contract::decode_ndjson(gate, line.as_bytes(), Limits::default());
            match decoded.failures.into_iter().next() {
                None => {
                    lines.push_str(&line);
                    numbers.push(number);
                }
                Some(failure) => outcome.stopped.push((number, told_all(dataset, &failure.reasons, coverage))),
            }
        }
        let decoded = contract::decode_ndjson(gate, lines.as_bytes(), Limits::default());
        let verdict = gate.check(&decoded.batch, Input::Typed, latest(gate, &decoded.batch));
        self.judged(dataset, &verdict, &numbers, &mut outcome, coverage)?;
        Ok(outcome)
    }

    /// Turns a verdict into rows and reasons; `numbers` are those of the rows that were judged.
    fn judged(
        &self,
        dataset: &str,
        verdict: &Verdict,
        numbers: &[u64],
        outcome: &mut Outcome,
        coverage: &mut Coverage,
    ) -> Result<()> {
        for row in 0..verdict.accepted.num_rows() {
            let json: Value = serde_json::from_str(&contract::raw_json(&verdict.accepted, row))
                .map_err(|e| Error::internal("SW0893", "an accepted row is no JSON").because(e))?;
            outcome.accepted.extend(json.as_object().cloned());
        }
        for row in &verdict.quarantined {
            let reasons = told_all(dataset, &row.reasons, coverage);
            outcome.stopped.push((numbers.get(row.row as usize).copied().unwrap_or(u64::from(row.row)), reasons));
        }
        let refused: Vec<_> = verdict.rejected.iter().flatten().chain(&verdict.halt).cloned().collect();
        if !refused.is_empty() {
            let reasons = told_all(dataset, &refused, coverage);
            outcome.stopped.extend(numbers.iter().map(|number| (*number, reasons.clone())));
        }
        for warning in &verdict.warnings {
            coverage.saw(dataset, &warning.rule, warning.column.as_deref());
        }
        outcome.stopped.sort();
        Ok(())
    }

    async fn through_source(&self, name: &str, case: &Case, coverage: &mut Coverage) -> Result<Outcome> {
        let source = self.revision.source(name)?;
        let dataset = source.source.dataset.clone();
        let rows = match case.given.as_slice() {
            [(given, rows)] if *given == dataset => rows,
            _ => {
                return Err(case_error(format!("source {name} feeds {dataset}: give rows of it, and of nothing else")));
            }
        };
        if source.source.map.is_none()
            && !matches!(&source.source.connector, Connector::Files(files) if files.format == FileFormat::Csv)
        {
            return self.before_gate(&dataset, rows, coverage);
        }
        let mapped = source.apply(&text_rows(rows)?).await?;
        let gate = &self.revision.dataset(&dataset)?.gate;
        let verdict = gate.check(&mapped, Input::Text, latest(gate, &mapped));
        let mut outcome = Outcome::default();
        let numbers: Vec<u64> = (0..mapped.num_rows() as u64).collect();
        self.judged(&dataset, &verdict, &numbers, &mut outcome, coverage)?;
        Ok(outcome)
    }

    /// The rows of a dataset as its table would hold them: every one must pass its gate.
    fn table(&self, name: &str, rows: &[Map<String, Value>]) -> Result<RecordBatch> {
        let gate = &self.revision.dataset(name)?.gate;
        let lines: String = rows.iter().map(|row| format!("{}\n", Value::Object(row.clone()))).collect();
        let decoded = contract::decode_ndjson(gate, lines.as_bytes(), Limits::default());
        let verdict = gate.check(&decoded.batch, Input::Typed, latest(gate, &decoded.batch));
        let stopped = decoded.failures.iter().flat_map(|failure| &failure.reasons);
        let stopped = stopped.chain(verdict.quarantined.iter().flat_map(|row| &row.reasons));
        match stopped.chain(verdict.rejected.iter().flatten()).next() {
            Some(reason) => {
                Err(case_error(format!("a given row of {name} is stopped at the gate: {}", reason.message)))
            }
            None => Ok(verdict.accepted),
        }
    }

    async fn transformed(&self, name: &str, case: &Case, coverage: &mut Coverage) -> Result<Outcome> {
        let compiled = self.revision.transforms.iter().find(|one| one.transform.name == name);
        let compiled = compiled.ok_or_else(|| case_error(format!("there is no transform {name:?}")))?;
        let Transform { sql, to, .. } = &compiled.transform;
        let mut tables = Vec::new();
        for (dataset, compiled) in &self.revision.datasets {
            let given = case.given.iter().find(|(name, _)| name == dataset);
            let rows = match given {
                Some((_, rows)) => self.table(dataset, rows)?,
                None => RecordBatch::new_empty(compiled.dataset.schema.clone()),
            };
            let rows = as_table(&rows)?;
            tables.push(Reference { name: dataset.clone(), hash: Hash::of(b""), rows });
        }
        let nothing = RecordBatch::new_empty(Arc::new(Schema::empty()));
        let map = self.engine.compile_map(sql, nothing.schema(), &tables).await?;
        let made = compiled.as_upserts(without_identity(&map.apply(&nothing).await?)?)?;
        let gate = &self.revision.dataset(to)?.gate;
        let verdict = gate.check(&made, Input::Typed, latest(gate, &made));
        let mut outcome = Outcome::default();
        let numbers: Vec<u64> = (0..made.num_rows() as u64).collect();
        self.judged(to, &verdict, &numbers, &mut outcome, coverage)?;
        Ok(outcome)
    }

    async fn features(
        &self,
        name: &str,
        entity: &Map<String, Value>,
        (at, known): (Instant, Instant),
        available_at: Option<&str>,
        case: &Case,
    ) -> Result<Map<String, Value>> {
        let view = self.views.iter().find(|view| view.name == name);
        let view = view.ok_or_else(|| case_error(format!("there is no feature view {name:?}")))?;
        let dataset = &self.revision.dataset(&view.from)?.dataset;
        let given = case.given.iter().find(|(given, _)| *given == view.from);
        let rows = given.map(|(_, rows)| rows.as_slice()).unwrap_or_default();
        let table = self.table(&view.from, rows)?;
        let computed = Computed::compile(self.engine.as_ref(), dataset, &[view]).await?;
        let plan = Arc::new(ViewPlan::compile(view, &computed.extended(dataset))?);
        let available = instants(&table, available_at.unwrap_or(&view.time))?;
        let history = computed.apply(&with_identity(dataset, &table, available.values())?).await?;
        let keys = entity_keys(&plan, &entity_row(&plan, entity)?)?;
        let decisions = Decisions { keys, at: vec![at], known: vec![known], own: vec![None], cuts: None };
        let values = sweep(&plan, &[history], &decisions)?;
        let json: Value = serde_json::from_str(&contract::raw_json(&values, 0))
            .map_err(|e| Error::internal("SW0893", "values of features are no JSON").because(e))?;
        Ok(json.as_object().cloned().unwrap_or_default())
    }
}

/// Rows as they stand in a table, each with its identity; all of them came at once.
fn as_table(rows: &RecordBatch) -> Result<RecordBatch> {
    let at = vec![0; rows.num_rows()];
    let rows = with_times(rows, at.clone(), at)?;
    number(&rows, Partition::LIVE, Offset(0))
}

/// What is made of rows has an identity of its own.
fn without_identity(rows: &RecordBatch) -> Result<RecordBatch> {
    let schema = rows.schema();
    let own = (0..rows.num_columns()).filter(|at| !column::SYSTEM.contains(&schema.field(*at).name().as_str()));
    Ok(rows.project(&own.collect::<Vec<_>>())?)
}

fn case_error(message: String) -> Error {
    Error::invalid("SW1720", message)
}

/// Reasons as cases name them, and noted as seen.
fn told_all(dataset: &str, reasons: &[contract::Reason], coverage: &mut Coverage) -> Vec<String> {
    let mut names = BTreeSet::new();
    for reason in reasons {
        coverage.saw(dataset, &reason.rule, reason.column.as_deref());
        if reason.mode != Mode::Warn {
            names.insert(told(&reason.rule, reason.column.as_deref()));
        }
    }
    names.into_iter().collect()
}

/// The newest event of a batch: a case has no present of its own, so that rules about the age of events hold.
fn latest(gate: &Gate, batch: &RecordBatch) -> Instant {
    let time = gate.dataset().event_time.as_deref().and_then(|time| instants(batch, time).ok());
    Instant(time.and_then(|times| times.iter().flatten().max()).unwrap_or(0))
}

/// Rows as a source with a map sees them: every column is text.
fn text_rows(rows: &[Map<String, Value>]) -> Result<RecordBatch> {
    let mut names: Vec<&String> = Vec::new();
    for name in rows.iter().flat_map(Map::keys) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let cell = |value: &Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    let column = |name: &&String| -> ArrayRef {
        Arc::new(rows.iter().map(|row| row.get(name.as_str()).and_then(cell)).collect::<StringArray>())
    };
    let fields: Vec<Field> = names.iter().map(|name| Field::new(name.as_str(), DataType::Utf8, true)).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), names.iter().map(column).collect(), &options)?)
}

/// The entity that is asked for, in the types of the view.
fn entity_row(plan: &ViewPlan, entity: &Map<String, Value>) -> Result<RecordBatch> {
    let mut columns = Vec::new();
    for field in plan.entity_fields() {
        let value = entity.get(field.name()).ok_or_else(|| {
            case_error(format!("`when.entity` does not say {:?}, which the feature view is keyed by", field.name()))
        })?;
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let text: ArrayRef = Arc::new(StringArray::from(vec![text]));
        let strict = CastOptions { safe: false, ..CastOptions::default() };
        columns.push(cast_with_options(&text, field.data_type(), &strict)?);
    }
    let fields: Vec<_> = plan.entity_fields().to_vec();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// Rows as the table holds them: with identity, arrival and availability.
fn with_identity(dataset: &Dataset, rows: &RecordBatch, available: &[i64]) -> Result<RecordBatch> {
    let count = rows.num_rows();
    let times = || -> ArrayRef { Arc::new(TimestampMicrosecondArray::from(available.to_vec()).with_timezone("UTC")) };
    let mut columns = rows.columns().to_vec();
    columns.push(Arc::new(Int32Array::from(vec![0; count])));
    columns.push(Arc::new(Int64Array::from_iter_values(0..count as i64)));
    columns.extend([times(), times()]);
    Ok(RecordBatch::try_new(dataset.table_schema(), columns)?)
}
