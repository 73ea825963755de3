//! Column lineage of a project, out of the declarations and the logical plans of its SQL.

use std::path::Path;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use seawall_base::declare::{Connector, FeatureView, LabelValue, Source, TrainingSet};
use seawall_base::error::Result;
use seawall_base::{Dataset, Engine};
use seawall_catalog::lineage::LineageEdge;
use seawall_catalog::project::Loaded;
use seawall_pipeline::source::files;

/// Rows read of a file to learn its columns.
const SAMPLE_ROWS: usize = 16;

/// Every edge of the project: source column, dataset column, feature, training-set column.
pub async fn edges(
    loaded: &Loaded,
    views: &[FeatureView],
    folder: &Path,
    engine: &dyn Engine,
) -> Result<Vec<LineageEdge>> {
    let mut edges = Vec::new();
    for source in &loaded.project.sources {
        let Some(dataset) = loaded.datasets.iter().find(|dataset| dataset.name == source.dataset) else { continue };
        of_source(source, dataset, folder, engine, &mut edges).await?;
    }
    for view in views {
        of_view(view, &mut edges);
    }
    for training_set in &loaded.project.training_sets {
        of_training_set(training_set, views, &loaded.datasets, engine, &mut edges).await?;
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
            edges.push(edge((&source.name, field.name()), (&dataset.name, field.name()), "gate"));
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
        edges.push(edge((from, &used.column), (&dataset.name, &used.output), "map"));
    }
    Ok(())
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
        used.push(feature.aggregation.column().unwrap_or("*"));
        for column in used {
            edges.push(edge((&view.from, column), (&id, &feature.name), "feature"));
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
    edges.push(edge((&set.rows.from, &set.rows.at), (&set.name, "_at"), "decision time"));
    for reference in &set.features {
        let Some(view) = views.iter().find(|view| view.id() == reference.view) else { continue };
        for feature in &view.features {
            let column = format!("{}__{}", view.name, feature.name);
            edges.push(edge((&view.id().to_string(), &feature.name), (&set.name, &column), "training set"));
        }
    }
    if let Some(label) = &set.label {
        let column = match &label.value {
            LabelValue::Column(column) => column.as_str(),
            LabelValue::Present { .. } => "*",
        };
        edges.push(edge((&label.from, column), (&set.name, "label"), "label"));
        for join in &label.join {
            edges.push(edge((&label.from, join), (&set.name, "label"), "label"));
        }
    }
    let Some(spine) = datasets.iter().find(|dataset| dataset.name == set.rows.from) else { return Ok(()) };
    for (name, sql) in &set.context {
        let select = format!("select ({sql}) as \"{name}\" from input");
        let map = engine.compile_map(&select, spine.schema.clone(), &[]).await?;
        for used in map.lineage() {
            edges.push(edge((&spine.name, &used.column), (&set.name, name), "context"));
        }
    }
    Ok(())
}

/// The first rows of a file, for `init --from`.
pub fn sample(path: &Path, rows: usize) -> Result<Vec<RecordBatch>> {
    files::sample(path, files::format_of(path)?, rows)
}
