//! What is served together, compiled: the vector of a training set, or of a feature service.
//!
//! A vector has what the rows give (`kept`), its context, the features of views, and what is derived from all of these.
//! Whoever serves, records, refolds or trains uses the same plans and the same expressions.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use seawall_base::declare::{FeatureRef, FeatureView, TrainingSet};
use seawall_base::error::Result;
use seawall_base::{BatchMap, Computed, Dataset, Derived, Engine, Error, Hash, TableName};
use seawall_kernel::feature::ViewPlan;

use crate::revision::{DatasetGate, project, unknown_dataset};

/// A training set or a feature service with what serving needs of it.
pub struct ServedSet {
    /// The declaration; of a service, what it is as a training set without rows.
    pub training_set: TrainingSet,
    /// The spine's dataset; of a service, the columns of a request.
    pub spine: Dataset,
    /// Compiled views with the features that are taken, in declared order.
    pub views: Vec<Arc<ViewPlan>>,
    /// What the views compute from the rows of each dataset that they read.
    pub computed: BTreeMap<String, Computed>,
    /// Context columns, computed from a batch with the spine's columns, every one nullable.
    pub context: Option<Arc<dyn BatchMap>>,
    /// What is derived from the rest of the vector.
    pub derived: Derived,
    /// Columns of the spine that are kept with a vector: primary key, what joins the label, entities, what the service
    /// takes from a request.
    pub kept: Vec<String>,
    /// Table that records what was served.
    pub served_table: TableName,
    /// Schema of that table without the system columns, see [`ServedSet::compile`].
    pub served_schema: SchemaRef,
    /// Hash of the declaration and of its views.
    pub definition: Hash,
}

/// What a vector is compiled from.
pub(crate) struct Vector<'a> {
    pub training_set: &'a TrainingSet,
    pub spine: Dataset,
    pub kept: Vec<String>,
    pub served_table: TableName,
    /// Hash of the declaration without its views.
    pub declared: Hash,
}

impl ServedSet {
    /// Compiles a training set for serving. The served table has: the spine columns that are kept, `_at`, `_known_at`,
    /// `_cut`, `_definition`, the context columns, the features as `VIEW__FEATURE`, and what is derived.
    pub(crate) async fn compile(
        training_set: &TrainingSet,
        views: &[FeatureView],
        datasets: &BTreeMap<String, Arc<DatasetGate>>,
        engine: &Arc<dyn Engine>,
    ) -> Result<ServedSet> {
        let from = &training_set.rows.from;
        let spine = datasets.get(from).ok_or_else(|| unknown_dataset(from))?.dataset.clone();
        let vector = Vector {
            training_set,
            kept: kept_columns(training_set, &spine),
            spine,
            served_table: TableName::served(&training_set.name)?,
            declared: training_set.definition_hash(),
        };
        ServedSet::of(vector, views, datasets, engine).await
    }

    /// Compiles a vector.
    pub(crate) async fn of(
        vector: Vector<'_>,
        views: &[FeatureView],
        datasets: &BTreeMap<String, Arc<DatasetGate>>,
        engine: &Arc<dyn Engine>,
    ) -> Result<ServedSet> {
        let Vector { training_set, spine, kept, served_table, declared } = vector;
        let name = &training_set.name;
        let bound = bound_views(training_set, views)?;
        let find = |name: &str| datasets.get(name).map(|gate| &gate.dataset).ok_or_else(|| unknown_dataset(name));
        let mut computed = BTreeMap::new();
        for view in &bound {
            if !computed.contains_key(&view.from) {
                let compiled = Computed::compile(engine.as_ref(), find(&view.from)?, &bound).await?;
                computed.insert(view.from.clone(), compiled);
            }
        }
        let mut plans = Vec::with_capacity(bound.len());
        let mut hashes = vec![declared];
        for (view, reference) in bound.iter().zip(&training_set.features) {
            let dataset = computed[&view.from].extended(find(&view.from)?);
            plans.push(Arc::new(ViewPlan::compile(&reference.narrow(view), &dataset)?));
            hashes.push(view.definition_hash());
        }
        let context = compile_context(training_set, &spine, engine).await?;
        let mut fields = kept_fields(&kept, &spine, name)?;
        let given = context_fields(training_set, &kept, context.as_deref())?;
        check_request(training_set, &fields, &given)?;
        fields.extend(record_fields());
        fields.extend(given);
        for view in &plans {
            for field in view.output_schema().fields() {
                let name = format!("{}__{}", view.view().name, field.name());
                fields.push(Arc::new(field.as_ref().clone().with_name(name).with_nullable(true)));
            }
        }
        let read = Arc::new(Schema::new(fields.clone()));
        let derived = Derived::compile(engine.as_ref(), name, &training_set.derived, read).await?;
        fields.extend(derived.fields().iter().cloned());
        let parts: Vec<[u8; 32]> = hashes.iter().map(|hash| hash.0).collect();
        Ok(ServedSet {
            training_set: training_set.clone(),
            spine,
            views: plans,
            computed,
            context,
            derived,
            kept,
            served_table,
            served_schema: Arc::new(Schema::new(fields)),
            definition: Hash::of_parts(parts.iter().map(<[u8; 32]>::as_slice)),
        })
    }

    /// Context, feature and derived columns, in the order of the served vector.
    pub fn value_columns(&self) -> Vec<String> {
        let context = self.training_set.context.iter().map(|(name, _)| name.clone());
        context.chain(self.feature_columns()).collect()
    }

    /// Feature and derived columns, in the order of the served vector, which ends with them.
    pub fn feature_columns(&self) -> Vec<String> {
        let mut columns = Vec::new();
        for view in &self.views {
            let schema = view.output_schema();
            columns.extend(schema.fields().iter().map(|field| format!("{}__{}", view.view().name, field.name())));
        }
        columns.extend(self.derived.fields().iter().map(|field| field.name().clone()));
        columns
    }

    /// The columns that give the entity of a view: of the rows, or of their context where a service asks for that name.
    pub(crate) fn entity(
        &self,
        reference: &FeatureRef,
        rows: &RecordBatch,
        context: Option<&RecordBatch>,
    ) -> Result<RecordBatch> {
        let computed = context.filter(|_| self.training_set.service.is_some());
        let Some(computed) = computed else { return project(rows, &reference.entity) };
        let mut fields: Vec<FieldRef> = Vec::with_capacity(reference.entity.len());
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(reference.entity.len());
        for name in &reference.entity {
            let from = if computed.column_by_name(name).is_some() { computed } else { rows };
            let one = project(from, std::slice::from_ref(name))?;
            fields.push(Arc::new(one.schema().field(0).clone()));
            columns.push(one.column(0).clone());
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?)
    }
}

/// The views of a vector, in declared order.
fn bound_views<'v>(training_set: &TrainingSet, views: &'v [FeatureView]) -> Result<Vec<&'v FeatureView>> {
    let mut bound = Vec::with_capacity(training_set.features.len());
    for reference in &training_set.features {
        bound.push(views.iter().find(|view| view.id() == reference.view).ok_or_else(|| {
            let message = format!("{} uses {}, which does not exist", training_set.name, reference.view);
            Error::not_found("SW0816", message).hint("`seawall status` lists the feature views and their versions")
        })?);
    }
    Ok(bound)
}

fn kept_columns(training_set: &TrainingSet, spine: &Dataset) -> Vec<String> {
    let mut kept = spine.primary_key.clone();
    let is_context =
        |name: &String| training_set.service.is_some() && training_set.context.iter().any(|(known, _)| known == name);
    let joined = training_set.label.iter().flat_map(|label| &label.join);
    let entities =
        training_set.features.iter().flat_map(|reference| &reference.entity).filter(|name| !is_context(name));
    let told = training_set.request.iter().map(|value| &value.name).filter(|name| !is_context(name));
    for column in joined.chain(entities).chain(told) {
        if !kept.contains(column) {
            kept.push(column.clone());
        }
    }
    kept
}

fn kept_fields(kept: &[String], spine: &Dataset, owner: &str) -> Result<Vec<FieldRef>> {
    let mut fields: Vec<FieldRef> = Vec::with_capacity(kept.len());
    for column in kept {
        let field = spine.schema.field_with_name(column).map_err(|_| {
            Error::invalid("SW0854", format!("{owner} needs {column:?}, which the rows of {} do not have", spine.name))
                .hint(format!("compute it from the row: `context: {{{column}: EXPRESSION}}`"))
        })?;
        fields.push(Arc::new(field.clone().with_nullable(true)));
    }
    Ok(fields)
}

/// What every record of a vector tells besides its values.
fn record_fields() -> [FieldRef; 4] {
    [
        Arc::new(Field::new("_at", crate::instant_type(), false)),
        Arc::new(Field::new("_known_at", crate::instant_type(), false)),
        Arc::new(Field::new("_cut", DataType::Utf8, false)),
        Arc::new(Field::new("_definition", DataType::Utf8, false)),
    ]
}

/// The context columns that are not kept under the same name already.
fn context_fields(
    training_set: &TrainingSet,
    kept: &[String],
    context: Option<&dyn BatchMap>,
) -> Result<Vec<FieldRef>> {
    let mut fields: Vec<FieldRef> = Vec::new();
    let Some(context) = context else { return Ok(fields) };
    for (field, (name, sql)) in context.schema().fields().iter().zip(&training_set.context) {
        if !kept.contains(name) {
            fields.push(Arc::new(field.as_ref().clone().with_nullable(true)));
        } else if sql.trim() != name {
            return Err(Error::invalid("SW0819", format!("context column {name:?} hides a spine column"))
                .hint("give the context column another name"));
        }
    }
    Ok(fields)
}

/// What a service takes from a request must have the declared types.
fn check_request(training_set: &TrainingSet, kept: &[FieldRef], context: &[FieldRef]) -> Result<()> {
    for value in &training_set.request {
        let field = context.iter().chain(kept).find(|field| *field.name() == value.name);
        let Some(field) = field.filter(|field| *field.data_type() != value.of.data_type()) else { continue };
        let message = format!(
            "{} takes {:?} as {}, but {} gives {}",
            training_set.service.as_ref().map_or_else(String::new, ToString::to_string),
            value.name,
            value.of.data_type(),
            training_set.name,
            field.data_type()
        );
        return Err(Error::invalid("SW0854", message).hint(format!(
            "cast it in the context: `context: {{{0}: \"arrow_cast(COLUMN, '{1}')\"}}`",
            value.name,
            value.of.data_type()
        )));
    }
    Ok(())
}

async fn compile_context(
    training_set: &TrainingSet,
    spine: &Dataset,
    engine: &Arc<dyn Engine>,
) -> Result<Option<Arc<dyn BatchMap>>> {
    if training_set.context.is_empty() {
        return Ok(None);
    }
    let columns: Vec<String> =
        training_set.context.iter().map(|(name, sql)| format!("({sql}) as \"{name}\"")).collect();
    let sql = format!("select {} from input", columns.join(", "));
    Ok(Some(engine.compile_map(&sql, all_nullable(&spine.schema), &[]).await?))
}

/// The same columns, each nullable: a request need not know every column of the spine.
pub(crate) fn all_nullable(schema: &SchemaRef) -> SchemaRef {
    let nullable = |field: &Arc<Field>| field.as_ref().clone().with_nullable(true);
    Arc::new(Schema::new(schema.fields().iter().map(nullable).collect::<Vec<_>>()))
}
