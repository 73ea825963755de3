//! A transform with what running it needs, checked against the contracts before there is a row.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use seawall_base::declare::{Available, Connector, FeatureView, Source, TableSettings, TrainingSet, Transform};
use seawall_base::engine::TransformPlan;
use seawall_base::error::Result;
use seawall_base::{Dataset, Engine, Error, Hash, Instant};
use seawall_catalog::project::{Project, keep};
use seawall_kernel::contract::Input as Cells;

use crate::revision::{DatasetGate, Declared, SourceMap, compile_gates};

type Datasets = BTreeMap<String, Arc<DatasetGate>>;

/// A transform, ready to run.
pub struct Compiled {
    /// The declaration.
    pub transform: Transform,
    /// What its SQL reads and makes.
    pub plan: TransformPlan,
    /// Hash of the declaration: a run of another one is another run.
    pub definition: Hash,
    /// Hash of the revision that it belongs to.
    pub revision: Hash,
    /// How its rows enter.
    pub source: Arc<SourceMap>,
    /// The dataset that it makes.
    pub dataset: Arc<DatasetGate>,
}

/// Compiles the transforms of a project that is to be applied, with its views as they will be numbered: everything that
/// can be known before there are rows is checked.
pub async fn plan(
    project: &Project,
    views: &[FeatureView],
    folder: &Path,
    engine: &Arc<dyn Engine>,
) -> Result<Vec<Arc<Compiled>>> {
    let declared = Declared {
        revision: project.revision_hash(),
        contracts: project.contracts.clone(),
        sources: Vec::new(),
        views: views.to_vec(),
        services: Vec::new(),
        training_sets: project.training_sets.clone(),
        models: Vec::new(),
        monitors: Vec::new(),
        corrections: Vec::new(),
        queries: Vec::new(),
        transforms: keep::transforms(project)?,
        owners: BTreeMap::new(),
        log_retention: None,
        tables: TableSettings::default(),
        folder: folder.to_owned(),
    };
    if declared.transforms.is_empty() {
        return Ok(Vec::new());
    }
    compile(&declared, &compile_gates(&declared.contracts)?, engine).await
}

/// Compiles the transforms of a project, those first that others read.
pub(crate) async fn compile(
    declared: &Declared,
    datasets: &Datasets,
    engine: &Arc<dyn Engine>,
) -> Result<Vec<Arc<Compiled>>> {
    let tables: Vec<(String, SchemaRef)> =
        datasets.iter().map(|(name, dataset)| (name.clone(), dataset.dataset.table_schema())).collect();
    let mut compiled = Vec::with_capacity(declared.transforms.len());
    for transform in &declared.transforms {
        let dataset = datasets.get(&transform.to).ok_or_else(|| crate::revision::unknown_dataset(&transform.to))?;
        let plan = engine.plan_transform(&transform.sql, &tables).await;
        let plan = plan.map_err(|error| of_transform(&transform.name, error))?;
        check(transform, &plan, dataset, datasets)?;
        let source = source_of(transform, &plan, dataset);
        let source = SourceMap::compile(&source, &dataset.dataset, declared, engine).await?;
        compiled.push(Arc::new(Compiled {
            transform: transform.clone(),
            plan,
            definition: transform.definition_hash(),
            revision: declared.revision,
            source: Arc::new(source),
            dataset: dataset.clone(),
        }));
    }
    let ordered = in_order(compiled);
    expect_known_availability(declared, &ordered)?;
    Ok(ordered)
}

/// The error of the engine, with the transform that it is about.
fn of_transform(name: &str, error: Error) -> Error {
    let named = Error::new(error.kind(), error.code(), format!("transform {name}: {error}"));
    match error.remedy() {
        Some(remedy) => named.hint(remedy),
        None => named,
    }
}

/// How the rows of a transform enter: under a name of their own, with the availability that is handed on or declared.
fn source_of(transform: &Transform, plan: &TransformPlan, dataset: &DatasetGate) -> Source {
    Source {
        name: transform.source_name(),
        connector: Connector::Http,
        contract: dataset.contract.clone(),
        dataset: transform.to.clone(),
        map: None,
        references: Vec::new(),
        available_at: transform.available_at.clone().map_or(Available::Arrival, Available::At),
        history: plan.is_row_wise || transform.history,
    }
}

/// Transforms in the order of the chain; that there is no circle is checked with the project.
fn in_order(mut waiting: Vec<Arc<Compiled>>) -> Vec<Arc<Compiled>> {
    let mut ordered: Vec<Arc<Compiled>> = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let is_made_later = |table: &String| waiting.iter().any(|other| other.transform.to == *table);
        let next = waiting.iter().position(|one| !one.plan.inputs.iter().any(is_made_later));
        ordered.push(waiting.remove(next.unwrap_or(0)));
    }
    ordered
}

fn check(transform: &Transform, plan: &TransformPlan, dataset: &DatasetGate, datasets: &Datasets) -> Result<()> {
    if plan.inputs.is_empty() {
        let message = format!("transform {} reads no dataset, so it would never run again", transform.name);
        return Err(Error::invalid("SW1900", message).hint("read at least one dataset of the project's contracts"));
    }
    check_columns(transform, plan, dataset)?;
    if plan.is_row_wise {
        if transform.available_at.is_some() {
            let message = format!("transform {} is row-wise and declares `available_at`", transform.name);
            return Err(Error::invalid("SW1904", message)
                .hint("leave it out: each row is known as soon as the row that it is made of"));
        }
    } else {
        check_key(transform, dataset)?;
    }
    check_personal(transform, plan, dataset, datasets)?;
    check_subjects(transform, plan, dataset, datasets)
}

/// What the SQL makes must be what the contract describes: the same names, and types that fit.
fn check_columns(transform: &Transform, plan: &TransformPlan, dataset: &DatasetGate) -> Result<()> {
    let contract = &dataset.contract;
    let changelog = dataset.dataset.changelog.as_ref();
    if let Some(op) = changelog.filter(|op| !plan.is_row_wise && plan.schema.column_with_name(op).is_some()) {
        let message = format!("transform {} makes the column {op}, which says what a row does", transform.name);
        return Err(Error::invalid("SW1901", message)
            .hint("leave it out: what is new, changed or gone is found by comparing the result with the table"));
    }
    let mut fields: Vec<Arc<Field>> = plan.schema.fields().iter().cloned().collect();
    if let Some(op) = changelog.filter(|op| plan.schema.column_with_name(op).is_none()) {
        fields.push(Arc::new(Field::new(op, DataType::Utf8, false)));
    }
    let nothing = RecordBatch::new_empty(Arc::new(Schema::new(fields)));
    let verdict = dataset.gate.check(&nothing, Cells::Typed, Instant(0));
    let known = || -> Vec<&str> { dataset.dataset.schema.fields().iter().map(|field| field.name().as_str()).collect() };
    if let Some(column) = verdict.unknown_columns.first() {
        let message =
            format!("transform {} makes the column {column}, which {contract} does not describe", transform.name);
        return Err(Error::invalid("SW1901", message)
            .hint(format!("describe it or leave it out; the contract has {}", known().join(", "))));
    }
    // Counts of rows hold or not once there are rows; what is about columns is known now.
    let about_columns = |rule: &str| matches!(rule, "missing_column" | "type");
    if let Some(misfit) = verdict.rejected.iter().flatten().find(|reason| about_columns(&reason.rule)) {
        let message = format!("transform {} does not fit {contract}: {}", transform.name, misfit.message);
        return Err(
            Error::invalid("SW1901", message).hint("change the select list, for example with a cast, or the contract")
        );
    }
    Ok(())
}

/// What changed in a result can only be told by a key that is always there and never forgotten.
fn check_key(transform: &Transform, dataset: &DatasetGate) -> Result<()> {
    let refused = |why: String, hint: &str| {
        let message = format!("transform {} is not row-wise, and {why}", transform.name);
        Err(Error::invalid("SW1902", message).hint(hint))
    };
    let key = &dataset.dataset.primary_key;
    if key.is_empty() {
        let hint = "give the columns that tell its rows apart primaryKey: true, such as those it groups by";
        return refused(format!("{} has no primary key", dataset.contract), hint);
    }
    for name in key {
        if dataset.dataset.schema.field_with_name(name)?.is_nullable() {
            return refused(format!("the key {name} of {} may be null", dataset.contract), "make it required: true");
        }
    }
    if dataset.gate.dedup_horizon().is_some() {
        let hint = "remove seawall.dedupHorizon: a forgotten row would be made again";
        return refused(format!("{} forgets keys", dataset.contract), hint);
    }
    Ok(())
}

/// What is made of personal columns is personal, and names the same person: or no erasure could reach it.
fn check_personal(
    transform: &Transform,
    plan: &TransformPlan,
    dataset: &DatasetGate,
    datasets: &Datasets,
) -> Result<()> {
    for edge in &plan.lineage {
        let Some(input) = datasets.get(&edge.table) else { continue };
        if !input.dataset.personal.contains(&edge.column) {
            continue;
        }
        let made = format!("transform {} makes {} of {}.{}", transform.name, edge.output, edge.table, edge.column);
        if !dataset.dataset.personal.contains(&edge.output) {
            let message = format!("{made}, which is personal, and {} does not say so", dataset.contract);
            return Err(Error::invalid("SW1903", message)
                .hint(format!("give {} `classification: personal`, or leave it out", edge.output)));
        }
        let Some(subject) = &input.dataset.subject else { continue };
        let takes_over = |copy: &seawall_base::ColumnEdge| {
            copy.output == *subject && copy.column == *subject && copy.table == edge.table
        };
        if dataset.dataset.subject.as_ref() != Some(subject) || !plan.copies.iter().any(takes_over) {
            let message = format!("{made}, which is about the person in {subject}, and does not take {subject} over");
            return Err(Error::invalid("SW1903", message).hint(format!(
                "select {subject}, and name it as `seawall.subject` of {}, so that an erasure finds the rows",
                dataset.contract
            )));
        }
        if !plan.keeps_apart(&edge.table, subject) {
            let message = format!("{made}, in which rows of several persons may meet under the {subject} of one");
            return Err(Error::invalid("SW1903", message).hint(format!(
                "read {} once, outside of subqueries and windows, and group by {subject}, or leave {} out",
                edge.table, edge.output
            )));
        }
    }
    Ok(())
}

/// Who takes over whom rows are about is about the same persons: the id stays sealed in the log, and an erasure finds it.
fn check_subjects(
    transform: &Transform,
    plan: &TransformPlan,
    dataset: &DatasetGate,
    datasets: &Datasets,
) -> Result<()> {
    let Dataset { subject, personal, .. } = &dataset.dataset;
    for copy in &plan.copies {
        let Some(input) = datasets.get(&copy.table) else { continue };
        let is_id = input.dataset.subject.as_ref() == Some(&copy.column) && !input.dataset.personal.is_empty();
        if !is_id {
            continue;
        }
        let is_sealed = copy.output == copy.column || personal.contains(&copy.output);
        if subject.as_ref() != Some(&copy.column) || personal.is_empty() || !is_sealed {
            let (name, id) = (&transform.name, &copy.column);
            let message = format!("transform {name} takes over {}.{id}, which tells whom rows are about", copy.table);
            return Err(Error::invalid("SW1903", message).hint(format!(
                "name {id} as `seawall.subject` of {} and give it `classification: personal`, so that it stays sealed",
                dataset.contract
            )));
        }
    }
    Ok(())
}

/// Refuses features and labels over a dataset of which nobody knows when its rows could be known. What is made of such rows
/// row by row knows as little.
fn expect_known_availability(declared: &Declared, in_order: &[Arc<Compiled>]) -> Result<()> {
    let mut unknown: Vec<&str> = Vec::new();
    for one in in_order {
        let hands_on = one.plan.inputs.iter().any(|input| unknown.contains(&input.as_str()));
        let is_known = one.transform.available_at.is_some() || (one.plan.is_row_wise && !hands_on);
        if is_known {
            continue;
        }
        let name = one.transform.to.as_str();
        unknown.push(name);
        if let Some(reader) = reader_of(declared, name) {
            let transform = &one.transform.name;
            let message =
                format!("{reader} reads {name}, and transform {transform} does not tell when its rows were known");
            return Err(Error::invalid("SW1905", message).hint(
                "declare `available_at: COLUMN` where rows are joined or grouped (and `history: true` if that may lie in the past)",
            ));
        }
    }
    Ok(())
}

/// A feature view or a label over a dataset.
fn reader_of(declared: &Declared, dataset: &str) -> Option<String> {
    let view = declared.views.iter().find(|view| view.from == dataset);
    let reads = |set: &&TrainingSet| set.label.iter().any(|label| label.from == dataset);
    let set = || declared.training_sets.iter().find(reads);
    view.map(|view| format!("feature view {}", view.id()))
        .or_else(|| set().map(|set| format!("the label of training set {}", set.name)))
}
