//! Column lineage of a project, out of the declarations and the logical plans of its SQL.

use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use seawall_base::declare::{Connector, Correction, FeatureView, LabelValue, Model, Source, TrainingSet};
use seawall_base::error::Result;
use seawall_base::{ColumnEdge, Computed, Dataset, Engine};
use seawall_catalog::lineage::{LineageEdge, ROWS, SCORE, via};
use seawall_catalog::project::Loaded;
use seawall_kernel::feature::ViewPlan;
use seawall_pipeline::source::files;
use seawall_pipeline::transform::{self, Compiled};

/// Rows read of a file to learn its columns.
const SAMPLE_ROWS: usize = 16;

/// Every edge of the project: source column, dataset column, feature, training-set column, model.
pub async fn edges(
    loaded: &Loaded,
    views: &[FeatureView],
    folder: &Path,
    engine: &Arc<dyn Engine>,
) -> Result<Vec<LineageEdge>> {
    let planned = transform::plan(&loaded.project, views, folder, engine).await?;
    let engine = engine.as_ref();
    let mut edges: Vec<LineageEdge> = planned.iter().flat_map(|transform| of_transform(transform)).collect();
    for source in &loaded.project.sources {
        let Some(dataset) = loaded.datasets.iter().find(|dataset| dataset.name == source.dataset) else { continue };
        let mut of_rows = Vec::new();
        of_source(source, dataset, folder, engine, &mut of_rows).await?;
        for correction in loaded.project.corrections_of(&source.name) {
            edges.extend(of_correction(correction, dataset, &of_rows));
        }
        edges.append(&mut of_rows);
    }
    for view in views {
        if let Some(dataset) = loaded.datasets.iter().find(|dataset| dataset.name == view.from) {
            let computed = Computed::compile(engine, dataset, &[view]).await?;
            ViewPlan::compile(view, &computed.extended(dataset))?;
        }
        of_view(view, &mut edges);
    }
    for training_set in &loaded.project.training_sets {
        of_training_set(training_set, views, &loaded.datasets, engine, &mut edges).await?;
    }
    for model in &loaded.project.models {
        let set = loaded.project.training_sets.iter().find(|set| set.name == model.training_set);
        edges.extend(set.into_iter().flat_map(|set| of_model(model, set, views)));
    }
    edges.sort();
    edges.dedup();
    Ok(edges)
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
    for view in set.features.iter().filter_map(|bound| views.iter().find(|view| view.id() == bound.view)) {
        columns.extend(view.features.iter().map(|feature| format!("{}__{}", view.name, feature.name)));
    }
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

async fn of_training_set(
    set: &TrainingSet,
    views: &[FeatureView],
    datasets: &[Dataset],
    engine: &dyn Engine,
    edges: &mut Vec<LineageEdge>,
) -> Result<()> {
    edges.push(edge((&set.rows.from, &set.rows.at), (&set.name, "_at"), via::DECISION_TIME));
    for reference in &set.features {
        let Some(view) = views.iter().find(|view| view.id() == reference.view) else { continue };
        for feature in &view.features {
            let column = format!("{}__{}", view.name, feature.name);
            edges.push(edge((&view.id().to_string(), &feature.name), (&set.name, &column), via::TRAINING_SET));
        }
    }
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

/// The first rows of a file, for `init --from`.
pub fn sample(path: &Path, rows: usize) -> Result<Vec<RecordBatch>> {
    files::sample(path, files::format_of(path)?, rows)
}
