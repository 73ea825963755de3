//! Policies of a project: what they speak about, compiled, put in force, and what a change of them means.

use seawall_base::declare::{Aggregation, DerivedFeature, FeatureRef, FeatureService, FeatureView, TrainingSet};
use seawall_base::error::Result;
use seawall_base::{Dataset, Error, TableName};
use seawall_catalog::lineage::{LineageEdge, via};
use seawall_catalog::policy::{ColumnShape, Shape, TableKind, TableShape};
use seawall_catalog::policy::{PolicyProblem, PolicySet, Principal, Role, access_diff};
use seawall_catalog::project::{Project, column_labels, owner_of};
use seawall_catalog::{AccessLine, ActiveProject, Catalog};
use seawall_kernel::contract;

use arrow::datatypes::DataType;

/// Compiles the policies of a project.
pub fn compile(
    project: &Project,
    views: &[FeatureView],
    edges: &[LineageEdge],
) -> std::result::Result<PolicySet, Vec<PolicyProblem>> {
    let files: Vec<(String, String)> =
        project.policies.iter().map(|file| (file.path.clone(), file.text.clone())).collect();
    PolicySet::compile(&files, &shape(project, views, edges))
}

/// Like [`compile`]; the first problem is the error, with the number of the others.
pub fn compiled(project: &Project, views: &[FeatureView], edges: &[LineageEdge]) -> Result<PolicySet> {
    compile(project, views, edges).map_err(|problems| {
        let more = problems.len().saturating_sub(1);
        match problems.into_iter().next() {
            Some(first) if more > 0 => {
                let hint = first.hint.clone().unwrap_or_default();
                Error::from(first).hint(format!("{hint} ({more} more problems in the policies)"))
            }
            Some(first) => Error::from(first),
            None => Error::internal("SW0915", "the policies do not compile, and nothing says why"),
        }
    })
}

/// Puts the policies of the active project in force.
pub async fn install(catalog: &Catalog) -> Result<()> {
    if let Some(active) = catalog.active().await? {
        catalog.install_policies(of_active(catalog, &active).await?);
    }
    Ok(())
}

/// The active project with every version of its services that is served, whose tables policies speak about.
pub fn in_force(active: &ActiveProject) -> Project {
    Project { feature_services: active.services.clone(), ..active.project.clone() }
}

/// The policies of an applied project, compiled.
pub async fn of_active(catalog: &Catalog, active: &ActiveProject) -> Result<PolicySet> {
    let edges = catalog.lineage_of(active.revision).await?;
    compiled(&in_force(active), &active.views, &edges)
}

/// Who gains and who loses access when `project` takes the place of what is active: roles and everybody with a token.
pub async fn access_lines(
    catalog: &Catalog,
    project: &Project,
    views: &[FeatureView],
    edges: &[LineageEdge],
) -> Result<Vec<AccessLine>> {
    let Some(active) = catalog.active().await? else { return Ok(Vec::new()) };
    let (old, new) = (of_active(catalog, &active).await?, compiled(project, views, edges)?);
    let role = |role: Role| Principal { name: format!("any {role}"), role, groups: Vec::new() };
    let mut principals: Vec<Principal> = Role::ALL.into_iter().map(role).collect();
    for token in catalog.tokens().await?.into_iter().filter(|token| token.revoked_at.is_none()) {
        principals.push(Principal { name: token.name, role: token.role, groups: token.groups });
    }
    let changes = access_diff(&old, &new, &principals);
    let line = |change: seawall_catalog::policy::AccessChange| AccessLine {
        principal: change.principal.name,
        gains: change.gains,
        loses: change.loses,
    };
    Ok(changes.into_iter().map(line).collect())
}

/// The tables that policies speak about.
fn shape(project: &Project, views: &[FeatureView], edges: &[LineageEdge]) -> Shape {
    let mut tables = Vec::new();
    for contract in &project.contracts {
        let owner = owner_of(contract);
        for object in &contract.schema {
            let name = object.name.as_str();
            let Ok(gate) = contract::compile(contract, Some(name)) else { continue };
            tables.extend(dataset_tables(gate.dataset(), &column_labels(object), owner.as_deref(), edges));
        }
    }
    let datasets: Vec<TableShape> = tables.iter().filter(|table| table.kind == TableKind::Dataset).cloned().collect();
    for service in &project.feature_services {
        tables.extend(service_table(service, &datasets, views));
    }
    for set in &project.training_sets {
        let Some(spine) = datasets.iter().find(|table| table.dataset == set.rows.from) else { continue };
        let columns = vector_columns(set, spine, &datasets, views);
        let table = |name: seawall_base::Result<TableName>, kind: TableKind, columns: Vec<ColumnShape>| {
            let owner = spine.owner.clone();
            let classification = spine.classification.clone();
            let name = name.ok()?.as_str().to_owned();
            Some(TableShape { name, dataset: set.rows.from.clone(), kind, owner, classification, columns })
        };
        tables.extend(table(TableName::served(&set.name), TableKind::Served, columns.clone()));
        let mut trained = columns.clone();
        trained.extend(label_column(set, &datasets));
        let mut stopped = trained.clone();
        stopped.push(reasons_column("_reasons", &trained));
        tables.extend(table(TableName::training_set(&set.name), TableKind::TrainingSet, trained));
        tables.extend(table(TableName::stopped(&set.name), TableKind::TrainingSet, stopped));
        for model in project.models.iter().filter(|model| model.training_set == set.name) {
            let mut predicted = columns.clone();
            predicted.push(reasons_column("reasons", &columns));
            tables.extend(table(TableName::predictions(&model.name), TableKind::Predictions, predicted));
        }
    }
    Shape { tables }
}

fn dataset_tables(
    dataset: &Dataset,
    labels: &[seawall_catalog::project::ColumnLabels],
    owner: Option<&str>,
    edges: &[LineageEdge],
) -> Vec<TableShape> {
    let column = |field: &std::sync::Arc<arrow::datatypes::Field>| {
        let label = labels.iter().find(|label| label.column == *field.name());
        ColumnShape {
            name: field.name().clone(),
            data_type: field.data_type().clone(),
            classification: label.and_then(|label| label.classification.clone()),
            tags: label.map(|label| label.tags.clone()).unwrap_or_default(),
            derived_from: taken_over(&dataset.name, field.name(), edges),
        }
    };
    let columns: Vec<ColumnShape> = dataset.schema.fields().iter().map(column).collect();
    let table = |name: String, kind: TableKind, columns: Vec<ColumnShape>| TableShape {
        name,
        dataset: dataset.name.clone(),
        kind,
        owner: owner.map(str::to_owned),
        classification: None,
        columns,
    };
    let mut tables = vec![table(dataset.name.clone(), TableKind::Dataset, columns)];
    if let Ok(quarantine) = TableName::quarantine(&dataset.name) {
        tables.push(table(quarantine.as_str().to_owned(), TableKind::Quarantine, Vec::new()));
    }
    tables
}

/// The columns whose values a transform took over, unchanged, into a column of a derived dataset.
fn taken_over(dataset: &str, column: &str, edges: &[LineageEdge]) -> Vec<(String, String)> {
    let is_copy = |edge: &&LineageEdge| edge.via == via::COPY && edge.to_object == dataset && edge.to_column == column;
    edges.iter().filter(is_copy).map(|edge| (edge.from_object.clone(), edge.from_column.clone())).collect()
}

/// A column whose values are those of `column` of `table`.
fn same_values(name: String, table: &TableShape, column: &str) -> Option<ColumnShape> {
    let base = table.columns.iter().find(|base| base.name == column)?;
    Some(ColumnShape { name, derived_from: vec![(table.dataset.clone(), column.to_owned())], ..base.clone() })
}

/// Columns of a vector whose values stand in some dataset as they are.
fn vector_columns(
    set: &TrainingSet,
    spine: &TableShape,
    datasets: &[TableShape],
    views: &[FeatureView],
) -> Vec<ColumnShape> {
    // Any column of the spine may be kept with a vector under its own name.
    let mut columns: Vec<ColumnShape> =
        spine.columns.iter().filter_map(|column| same_values(column.name.clone(), spine, &column.name)).collect();
    for (name, sql) in &set.context {
        if columns.iter().any(|column| column.name == *name) {
            continue;
        }
        let plain = spine.columns.iter().find(|column| column.name == sql.trim());
        columns.push(match plain.and_then(|column| same_values(name.clone(), spine, &column.name)) {
            Some(column) => column,
            // What is computed of a confidential column is as confidential.
            None => computed(name.clone(), spine, sql),
        });
    }
    columns.extend(feature_columns(&set.features, datasets, views));
    columns.extend(derived_columns(&set.derived, &columns));
    columns
}

/// The vectors that a feature service records, as a table of the dataset that its first view reads.
fn service_table(service: &FeatureService, datasets: &[TableShape], views: &[FeatureView]) -> Option<TableShape> {
    let from_of = |reference: &FeatureRef| {
        let view = views.iter().find(|view| view.id() == reference.view)?;
        Some((view, datasets.iter().find(|table| table.dataset == view.from)?))
    };
    let (_, first) = service.features.first().and_then(from_of)?;
    let mut columns: Vec<ColumnShape> = Vec::new();
    for reference in &service.features {
        let Some((view, from)) = from_of(reference) else { continue };
        for (of_view, column) in view.entity.iter().zip(&reference.entity) {
            if !columns.iter().any(|known| known.name == *column) {
                columns.extend(same_values(column.clone(), from, of_view));
            }
        }
    }
    columns.extend(feature_columns(&service.features, datasets, views));
    columns.extend(derived_columns(&service.derived, &columns));
    Some(TableShape {
        name: TableName::served_by(&service.id()).ok()?.as_str().to_owned(),
        dataset: first.dataset.clone(),
        kind: TableKind::Served,
        owner: first.owner.clone(),
        classification: first.classification.clone(),
        columns,
    })
}

/// What is derived of a confidential column is as confidential.
fn derived_columns(derived: &[DerivedFeature], columns: &[ColumnShape]) -> Vec<ColumnShape> {
    let mut made: Vec<ColumnShape> = Vec::new();
    let mut waiting: Vec<&DerivedFeature> = derived.iter().collect();
    // One that reads another comes after it; those in a circle were refused.
    while let Some(place) =
        waiting.iter().position(|one| !one.reads.iter().any(|read| waiting.iter().any(|other| other.name == *read)))
    {
        let one = waiting.remove(place);
        let read: Vec<ColumnShape> =
            columns.iter().chain(&made).filter(|column| one.reads.contains(&column.name)).cloned().collect();
        let column = reasons_column(&one.name, &read);
        made.extend(Some(column).filter(|column| !column.derived_from.is_empty()));
    }
    made
}

/// Features whose values stand in some dataset as they are.
fn feature_columns(references: &[FeatureRef], datasets: &[TableShape], views: &[FeatureView]) -> Vec<ColumnShape> {
    let mut columns = Vec::new();
    for reference in references {
        let Some(view) = views.iter().find(|view| view.id() == reference.view) else { continue };
        let Some(from) = datasets.iter().find(|table| table.dataset == view.from) else { continue };
        for feature in view.features.iter().filter(|feature| reference.takes(&feature.name)) {
            let keeps = match &feature.aggregation {
                Aggregation::Latest { column }
                | Aggregation::First { column }
                | Aggregation::Last { column }
                | Aggregation::MostFrequent { column }
                | Aggregation::Min { column }
                | Aggregation::Max { column } => Some(column),
                Aggregation::Count { .. }
                | Aggregation::Sum { .. }
                | Aggregation::Mean { .. }
                | Aggregation::Variance { .. }
                | Aggregation::Distinct { .. }
                | Aggregation::Quantile { .. }
                | Aggregation::StdDev { .. }
                | Aggregation::Rate { .. }
                | Aggregation::Ratio { .. }
                | Aggregation::TimeSince
                | Aggregation::TimeSinceFirst => None,
            };
            if let Some(expression) = keeps.and_then(|column| view.expression(column)) {
                let column = computed(format!("{}__{}", view.name, feature.name), from, &expression.sql);
                columns.extend(Some(column).filter(|column| !column.derived_from.is_empty()));
                continue;
            }
            let base = keeps.and_then(|column| from.columns.iter().find(|base| base.name == *column));
            // The value of another row says nothing about whose row this is: only what is confidential is followed.
            let followed = base.filter(|base| base.classification.is_some() || !base.tags.is_empty());
            let name = format!("{}__{}", view.name, feature.name);
            columns.extend(followed.and_then(|base| same_values(name, from, &base.name)));
        }
    }
    columns
}

fn computed(name: String, spine: &TableShape, sql: &str) -> ColumnShape {
    let mut column = ColumnShape {
        name,
        data_type: DataType::Utf8,
        classification: None,
        tags: Vec::new(),
        derived_from: Vec::new(),
    };
    for base in spine.columns.iter().filter(|base| sql.contains(base.name.as_str())) {
        if base.classification.is_some() || !base.tags.is_empty() {
            column.classification = column.classification.or_else(|| base.classification.clone());
            column.tags.extend(base.tags.iter().cloned());
            column.derived_from.push((spine.dataset.clone(), base.name.clone()));
        }
    }
    column
}

/// Reason codes quote values of inputs.
fn reasons_column(name: &str, columns: &[ColumnShape]) -> ColumnShape {
    let confidential = || columns.iter().filter(|column| column.classification.is_some() || !column.tags.is_empty());
    ColumnShape {
        name: name.to_owned(),
        data_type: DataType::Utf8,
        classification: confidential().find_map(|column| column.classification.clone()),
        tags: confidential().flat_map(|column| column.tags.clone()).collect(),
        derived_from: confidential().flat_map(|column| column.derived_from.clone()).collect(),
    }
}

fn label_column(set: &TrainingSet, datasets: &[TableShape]) -> Option<ColumnShape> {
    use seawall_base::declare::LabelValue;
    let label = set.label.as_ref()?;
    let LabelValue::Column(column) = &label.value else { return None };
    let from = datasets.iter().find(|table| table.dataset == label.from)?;
    same_values("label".to_owned(), from, column)
}
