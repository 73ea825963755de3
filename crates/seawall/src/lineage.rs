//! Column lineage of a project, out of the declarations and the logical plans of its SQL.

use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use seawall_base::declare::{
    Connector, Correction, FeatureRef, FeatureService, FeatureView, LabelValue, Model, Source, TrainingSet,
};
use seawall_base::error::Result;
use seawall_base::{ColumnEdge, Computed, Dataset, Engine};
use seawall_catalog::lineage::{LineageEdge, ROWS, SCORE, via};
use seawall_catalog::project::Project;
use seawall_kernel::feature::ViewPlan;
use seawall_pipeline::revision::{Declared, Revision};
use seawall_pipeline::source::files;
use seawall_pipeline::transform::{self, Compiled};

/// Rows read of a file to learn its columns.
const SAMPLE_ROWS: usize = 16;

/// Every edge of the project: source column, dataset column, feature, service column, training-set column, model. Its
/// training sets are bound to their services.
pub async fn edges(
    project: &Project,
    datasets: &[Dataset],
    views: &[FeatureView],
    folder: &Path,
    engine: &Arc<dyn Engine>,
) -> Result<Vec<LineageEdge>> {
    let planned = transform::plan(project, views, folder, engine).await?;
    let mut edges: Vec<LineageEdge> = planned.iter().flat_map(|transform| of_transform(transform)).collect();
    for source in &project.sources {
        let Some(dataset) = datasets.iter().find(|dataset| dataset.name == source.dataset) else { continue };
        let mut of_rows = Vec::new();
        of_source(source, dataset, folder, engine.as_ref(), &mut of_rows).await?;
        for correction in project.corrections_of(&source.name) {
            edges.extend(of_correction(correction, dataset, &of_rows));
        }
        edges.append(&mut of_rows);
    }
    for view in views {
        if let Some(dataset) = datasets.iter().find(|dataset| dataset.name == view.from) {
            let computed = Computed::compile(engine.as_ref(), dataset, &[view]).await?;
            ViewPlan::compile(view, &computed.extended(dataset))?;
        }
        of_view(view, &mut edges);
    }
    check_vectors(project, views, engine).await?;
    for service in &project.feature_services {
        of_service(service, views, &mut edges);
    }
    for training_set in &project.training_sets {
        of_training_set(training_set, views, datasets, engine.as_ref(), &mut edges).await?;
    }
    for model in &project.models {
        let set = project.training_sets.iter().find(|set| set.name == model.training_set);
        edges.extend(set.into_iter().flat_map(|set| of_model(model, set, views)));
    }
    edges.sort();
    edges.dedup();
    Ok(edges)
}

/// Compiles every service, and every training set with a service or with something derived: what one takes and the other
/// gives is known when both have their versions, and the types of expressions only to the engine.
async fn check_vectors(project: &Project, views: &[FeatureView], engine: &Arc<dyn Engine>) -> Result<()> {
    let is_of_vectors = |set: &&TrainingSet| set.service.is_some() || !set.derived.is_empty();
    let training_sets: Vec<TrainingSet> = project.training_sets.iter().filter(is_of_vectors).cloned().collect();
    if training_sets.is_empty() && project.feature_services.is_empty() {
        return Ok(());
    }
    let declared = Declared {
        revision: project.revision_hash(),
        contracts: project.contracts.clone(),
        sources: Vec::new(),
        views: views.to_vec(),
        services: project.feature_services.clone(),
        training_sets,
        models: Vec::new(),
        monitors: Vec::new(),
        corrections: Vec::new(),
        queries: Vec::new(),
        transforms: Vec::new(),
        owners: Default::default(),
        log_retention: None,
        tables: Default::default(),
        folder: Default::default(),
    };
    Revision::compile(&declared, engine).await.map(|_| ())
}

fn edge(from: (&str, &str), to: (&str, &str), via: &str) -> LineageEdge {
    LineageEdge {
        from_object: from.0.to_owned(),
        from_column: from.1.to_owned(),
        to_object: to.0.to_owned(),
        to_column: to.1.to_owned(),
        via: via.to_owned(),
    }
}

async fn of_source(
    source: &Source,
    dataset: &Dataset,
    folder: &Path,
    engine: &dyn Engine,
    edges: &mut Vec<LineageEdge>,
) -> Result<()> {
    let (Some(sql), Some(schema)) = (&source.map, file_schema(source, folder)?) else {
        for field in dataset.schema.fields() {
            edges.push(edge((&source.name, field.name()), (&dataset.name, field.name()), via::GATE));
        }
        return Ok(());
    };
    let mut references = Vec::with_capacity(source.references.len());
    for reference in &source.references {
        references.push(files::read_reference(reference, folder)?);
    }
    let map = engine.compile_map(sql, schema, &references).await?;
    for used in map.lineage() {
        if dataset.schema.column_with_name(&used.output).is_none() {
            continue;
        }
        let from = if used.table == "input" { source.name.as_str() } else { used.table.as_str() };
        edges.push(edge((from, &used.column), (&dataset.name, &used.output), via::MAP));
    }
    Ok(())
}

/// A column that counts rows is made of those of every input.
fn of_transform(transform: &Compiled) -> Vec<LineageEdge> {
    let Compiled { transform, plan, .. } = transform;
    let mut edges = Vec::new();
    for field in plan.schema.fields() {
        let made = (transform.to.as_str(), field.name().as_str());
        let used: Vec<&ColumnEdge> = plan.lineage.iter().filter(|used| used.output == *field.name()).collect();
        if used.is_empty() {
            edges.extend(plan.inputs.iter().map(|input| edge((input, ROWS), made, via::TRANSFORM)));
        }
        for used in used {
            let how = if plan.copies.contains(used) { via::COPY } else { via::TRANSFORM };
            edges.push(edge((&used.table, &used.column), made, how));
        }
    }
    edges
}

/// A corrected column is made of what it was made of before, and of what decides whether a row is mended; `of_source`
/// says what the columns of the source's rows are made of.
fn of_correction(correction: &Correction, dataset: &Dataset, of_source: &[LineageEdge]) -> Vec<LineageEdge> {
    let how = format!("{}{}", via::CORRECTION, correction.name);
    let only = correction.only.iter().map(|(column, _)| column.as_str());
    let time = dataset.event_time.as_deref().filter(|_| correction.from.is_some());
    let read: Vec<&str> = only.chain(time).chain([correction.column.as_str()]).collect();
    let inputs = of_source.iter().filter(|input| read.contains(&input.to_column.as_str()));
    let corrected = (dataset.name.as_str(), correction.column.as_str());
    inputs.map(|input| edge((&input.from_object, &input.from_column), corrected, &how)).collect()
}

/// A model's score is made of its inputs and of the label that it learned.
fn of_model(model: &Model, set: &TrainingSet, views: &[FeatureView]) -> Vec<LineageEdge> {
    let mut columns: Vec<String> = set.context.iter().map(|(name, _)| name.clone()).collect();
    columns.extend(taken(&set.features, views).map(|(_, _, column)| column));
    columns.extend(set.derived.iter().map(|derived| derived.name.clone()));
    columns.retain(|column| model.inputs.is_empty() || model.inputs.contains(column));
    columns.extend(set.label.iter().map(|_| "label".to_owned()));
    columns.iter().map(|column| edge((&set.name, column), (&model.name, SCORE), via::MODEL)).collect()
}

/// The columns of a source's files, when it reads files and there is one.
fn file_schema(source: &Source, folder: &Path) -> Result<Option<SchemaRef>> {
    let Connector::Files(declared) = &source.connector else { return Ok(None) };
    let listed = files::list(declared, folder)?;
    let Some(first) = listed.first() else { return Ok(None) };
    Ok(Some(files::read(first, declared, SAMPLE_ROWS)?.schema()))
}

fn of_view(view: &FeatureView, edges: &mut Vec<LineageEdge>) {
    let id = view.id().to_string();
    for feature in &view.features {
        let mut used: Vec<&str> = view.entity.iter().map(String::as_str).collect();
        used.push(&view.time);
        used.extend(view.reads(feature));
        if feature.aggregation.columns().is_empty() {
            used.push("*");
        }
        for column in used {
            edges.push(edge((&view.from, column), (&id, &feature.name), via::FEATURE));
        }
    }
}

/// The features that references take: view, feature, and the column of the vector.
fn taken<'a>(
    references: &'a [FeatureRef],
    views: &'a [FeatureView],
) -> impl Iterator<Item = (&'a FeatureView, &'a str, String)> {
    references.iter().flat_map(move |reference| {
        let view = views.iter().find(|view| view.id() == reference.view);
        let features = view.into_iter().flat_map(|view| view.features.iter().map(move |feature| (view, feature)));
        features
            .filter(|(_, feature)| reference.takes(&feature.name))
            .map(|(view, feature)| (view, feature.name.as_str(), format!("{}__{}", view.name, feature.name)))
    })
}

fn of_service(service: &FeatureService, views: &[FeatureView], edges: &mut Vec<LineageEdge>) {
    let id = service.id().to_string();
    for (view, feature, column) in taken(&service.features, views) {
        edges.push(edge((&view.id().to_string(), feature), (&id, &column), via::FEATURE_SERVICE));
    }
    for derived in &service.derived {
        for read in &derived.reads {
            edges.push(edge((&id, read), (&id, &derived.name), via::DERIVED));
        }
    }
}

async fn of_training_set(
    set: &TrainingSet,
    views: &[FeatureView],
    datasets: &[Dataset],
    engine: &dyn Engine,
    edges: &mut Vec<LineageEdge>,
) -> Result<()> {
    edges.push(edge((&set.rows.from, &set.rows.at), (&set.name, "_at"), via::DECISION_TIME));
    for (view, feature, column) in taken(&set.features, views) {
        edges.push(edge((&view.id().to_string(), feature), (&set.name, &column), via::TRAINING_SET));
        if let Some(service) = &set.service {
            edges.push(edge((&service.to_string(), &column), (&set.name, &column), via::TRAINING_SET));
        }
    }
    of_derived(set, edges);
    if let Some(label) = &set.label {
        let column = match &label.value {
            LabelValue::Column(column) => column.as_str(),
            LabelValue::Present { .. } => "*",
        };
        edges.push(edge((&label.from, column), (&set.name, "label"), via::LABEL));
        for join in &label.join {
            edges.push(edge((&label.from, join), (&set.name, "label"), via::LABEL));
        }
    }
    let Some(spine) = datasets.iter().find(|dataset| dataset.name == set.rows.from) else { return Ok(()) };
    for (name, sql) in &set.context {
        let select = format!("select ({sql}) as \"{name}\" from input");
        let map = engine.compile_map(&select, spine.schema.clone(), &[]).await?;
        for used in map.lineage() {
            edges.push(edge((&spine.name, &used.column), (&set.name, name), via::CONTEXT));
        }
    }
    Ok(())
}

/// What is derived of other columns of the vector, and of columns of the rows that a service takes as they are.
fn of_derived(set: &TrainingSet, edges: &mut Vec<LineageEdge>) {
    let entities = set.features.iter().flat_map(|reference| &reference.entity);
    let told: Vec<&String> = entities.chain(set.request.iter().map(|value| &value.name)).collect();
    for derived in &set.derived {
        let to = (set.name.as_str(), derived.name.as_str());
        for read in &derived.reads {
            let is_of_rows = told.contains(&read) && !set.context.iter().any(|(name, _)| name == read);
            edges.push(match is_of_rows {
                true => edge((&set.rows.from, read), to, via::CONTEXT),
                false => edge((&set.name, read), to, via::DERIVED),
            });
        }
        if let Some(service) = &set.service {
            edges.push(edge((&service.to_string(), &derived.name), to, via::TRAINING_SET));
        }
    }
}

/// The first rows of a file, for `init --from`.
pub fn sample(path: &Path, rows: usize) -> Result<Vec<RecordBatch>> {
    files::sample(path, files::format_of(path)?, rows)
}
