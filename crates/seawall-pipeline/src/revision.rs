//! A revision, compiled: gates, source maps and training sets, ready to run. Immutable; `apply` makes a new one.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use parking_lot::Mutex;
use seawall_base::declare::{
    Available, Correction, FeatureService, FeatureView, Known, Model, Monitor, Source, TableSettings, TrainingSet,
    Transform, View,
};
use seawall_base::error::Result;
use seawall_base::{
    BatchMap, Dataset, Engine, Error, Hash, Instant, Reference, Span, TableName, VersionedName, column,
};
use seawall_kernel::contract::{self, Contract, Gate};

use crate::recovery::retention::LOG_RETENTION_DEFAULT;
pub use crate::served_set::ServedSet;
pub(crate) use crate::served_set::all_nullable;
use crate::service::ServedService;
use crate::source::files;
use crate::transform::{self, Compiled};

/// Compiled maps that a source keeps, one per schema of its input.
const MAPS_MAX: usize = 64;

/// Everything that a revision declares, compiled.
pub struct Revision {
    /// Content hash of the project.
    pub hash: Hash,
    /// Datasets by name.
    pub datasets: BTreeMap<String, Arc<DatasetGate>>,
    /// Sources by name.
    pub sources: BTreeMap<String, Arc<SourceMap>>,
    /// Feature views, every bound version.
    pub views: Vec<FeatureView>,
    /// Training sets by name, but for those that ignore what was known: they are built and never served.
    pub training_sets: BTreeMap<String, Arc<ServedSet>>,
    /// Feature services, every bound version.
    pub services: BTreeMap<VersionedName, Arc<ServedService>>,
    /// By name, the version that is declared.
    current_services: BTreeMap<String, VersionedName>,
    /// Training sets that ignore what was known.
    pub leaking_sets: BTreeMap<String, Arc<ServedSet>>,
    /// Models by name.
    pub models: BTreeMap<String, Arc<DeclaredModel>>,
    /// How each dataset is watched.
    pub monitors: BTreeMap<String, Monitor>,
    /// Datasets for which a monitor is declared.
    pub watched: std::collections::BTreeSet<String>,
    /// How often everything is looked at: hourly where somebody declared a monitor, daily otherwise.
    pub tick: Span,
    /// Named queries.
    pub views_sql: Vec<(String, String)>,
    /// Transforms, those first that others read.
    pub transforms: Vec<Arc<Compiled>>,
    /// Owners of datasets, as far as contracts or monitors name them.
    pub owners: BTreeMap<String, String>,
    /// How long the log keeps what nobody needs.
    pub log_retention: Span,
}

/// A model with what scoring and watching it need.
pub struct DeclaredModel {
    /// The declaration.
    pub model: Model,
    /// The columns that it takes, in order.
    pub inputs: Vec<String>,
    /// The training set whose vectors it scores.
    pub set: Arc<ServedSet>,
    /// Columns of the vector that are kept with a prediction: the decision's key, what joins its outcome, the slices.
    pub kept: Vec<String>,
    /// Table of its predictions.
    pub table: TableName,
    /// Schema of that table without the system columns.
    pub schema: SchemaRef,
    /// Computes the column `positive` of a batch with the column `label`; absent when the label is a boolean.
    pub positive: Option<Arc<dyn BatchMap>>,
}

/// A dataset with its compiled contract.
pub struct DatasetGate {
    /// What the rest of Seawall knows of it.
    pub dataset: Dataset,
    /// The compiled contract.
    pub gate: Gate,
    /// `payments@1`.
    pub contract: String,
}

/// A source with its maps, compiled per input schema on first use.
pub struct SourceMap {
    /// The declaration.
    pub source: Source,
    engine: Arc<dyn Engine>,
    references: Vec<Reference>,
    maps: Mutex<Vec<(SchemaRef, Arc<dyn BatchMap>)>>,
    availability: Option<Availability>,
    /// Mends the mapped rows, in order.
    corrections: Vec<Correction>,
    event_time: Option<String>,
}

enum Availability {
    Column(String),
    Expression(Arc<dyn BatchMap>),
}

/// What a revision is compiled from.
pub struct Declared {
    /// Content hash of the project.
    pub revision: Hash,
    /// Contracts.
    pub contracts: Vec<Contract>,
    /// Sources.
    pub sources: Vec<Source>,
    /// Feature views, every bound version.
    pub views: Vec<FeatureView>,
    /// Feature services, every bound version; of each name the declared one first.
    pub services: Vec<FeatureService>,
    /// Training sets, with the features of their services.
    pub training_sets: Vec<TrainingSet>,
    /// Models.
    pub models: Vec<Model>,
    /// What is watched closer than by default.
    pub monitors: Vec<Monitor>,
    /// What is mended after a source's map.
    pub corrections: Vec<Correction>,
    /// Named queries.
    pub queries: Vec<View>,
    /// SQL that makes datasets of others.
    pub transforms: Vec<Transform>,
    /// Owners of datasets.
    pub owners: BTreeMap<String, String>,
    /// How long the log keeps what nobody needs, when the project says so.
    pub log_retention: Option<Span>,
    /// How tables are kept.
    pub tables: TableSettings,
    /// Folder that relative paths start from.
    pub folder: PathBuf,
}

impl Revision {
    /// Compiles a project. Fails on the first declaration that does not compile; `check` reports all of them.
    pub async fn compile(declared: &Declared, engine: &Arc<dyn Engine>) -> Result<Revision> {
        let datasets = compile_gates(&declared.contracts)?;
        let transforms = transform::compile(declared, &datasets, engine).await?;
        let mut sources = BTreeMap::new();
        for source in &declared.sources {
            let dataset = datasets.get(&source.dataset).ok_or_else(|| unknown_dataset(&source.dataset))?;
            let compiled = SourceMap::compile(source, &dataset.dataset, declared, engine).await?;
            sources.insert(source.name.clone(), Arc::new(compiled));
        }
        let mut services = BTreeMap::new();
        let mut current_services = BTreeMap::new();
        for service in &declared.services {
            current_services.entry(service.name.clone()).or_insert_with(|| service.id());
            let compiled = ServedService::compile(service, &declared.views, &datasets, engine).await?;
            services.insert(service.id(), Arc::new(compiled));
        }
        let (mut training_sets, mut leaking_sets) = (BTreeMap::new(), BTreeMap::new());
        for training_set in &declared.training_sets {
            let compiled = Arc::new(ServedSet::compile(training_set, &declared.views, &datasets, engine).await?);
            let kind = match training_set.known {
                Known::InTime => &mut training_sets,
                Known::Ignore => &mut leaking_sets,
            };
            kind.insert(training_set.name.clone(), compiled);
        }
        let mut models = BTreeMap::new();
        for model in &declared.models {
            let set = training_sets.get(&model.training_set).ok_or_else(|| unknown_set(&model.training_set))?;
            let compiled = DeclaredModel::compile(model, set, &datasets, engine).await?;
            models.insert(model.name.clone(), Arc::new(compiled));
        }
        let monitors = datasets.keys().map(|name| {
            let given = declared.monitors.iter().find(|monitor| monitor.dataset == *name);
            (name.clone(), given.cloned().unwrap_or_else(|| Monitor::of(name)))
        });
        let monitors = monitors.collect();
        Ok(Revision {
            hash: declared.revision,
            datasets,
            sources,
            views: declared.views.clone(),
            services,
            current_services,
            training_sets,
            leaking_sets,
            models,
            monitors,
            watched: declared.monitors.iter().map(|monitor| monitor.dataset.clone()).collect(),
            tick: if declared.monitors.is_empty() { Span::DAY } else { crate::monitor::TICK },
            views_sql: declared.queries.iter().map(|view| (view.name.clone(), view.sql.clone())).collect(),
            transforms,
            owners: declared.owners.clone(),
            log_retention: declared.log_retention.unwrap_or(LOG_RETENTION_DEFAULT),
        })
    }

    /// The dataset called `name`.
    pub fn dataset(&self, name: &str) -> Result<&Arc<DatasetGate>> {
        self.datasets.get(name).ok_or_else(|| unknown_dataset(name))
    }

    /// The source called `name`.
    pub fn source(&self, name: &str) -> Result<&Arc<SourceMap>> {
        self.sources.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.sources.keys().map(String::as_str).collect();
            Error::not_found("SW0810", format!("there is no source {name:?}"))
                .hint(format!("declared sources: {}", known.join(", ")))
        })
    }

    /// What delivers rows under `name`: a source, or a transform by its [`Transform::source_name`].
    pub fn deliverer(&self, name: &str) -> Option<&Arc<SourceMap>> {
        let made = self.transforms.iter().map(|one| &one.source).find(|source| source.source.name == name);
        self.sources.get(name).or(made)
    }

    /// The source that feeds `dataset` by push, or the only one that feeds it.
    pub fn source_of(&self, dataset: &str) -> Result<&Arc<SourceMap>> {
        self.dataset(dataset)?;
        let mut feeding = self.sources.values().filter(|source| source.source.dataset == dataset);
        feeding.next().ok_or_else(|| {
            Error::not_found("SW0811", format!("no source feeds the dataset {dataset:?}"))
                .hint("declare a source with `http: {}` and this contract, then apply")
        })
    }

    /// The feature service that `text` names, `NAME@VERSION`, or `NAME` for the version that is declared.
    pub fn service(&self, text: &str) -> Result<&Arc<ServedService>> {
        let found = match text.split_once('@') {
            Some(_) => self.services.get(&text.parse()?),
            None => self.current_services.get(text).and_then(|id| self.services.get(id)),
        };
        found.ok_or_else(|| {
            let known: Vec<String> = self.services.keys().map(VersionedName::to_string).collect();
            Error::not_found("SW0845", format!("there is no feature service {text:?}"))
                .hint(format!("feature services: {}", known.join(", ")))
        })
    }

    /// The training set called `name`.
    pub fn training_set(&self, name: &str) -> Result<&Arc<ServedSet>> {
        self.training_sets.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.training_sets.keys().map(String::as_str).collect();
            Error::not_found("SW0812", format!("there is no training set {name:?}"))
                .hint(format!("declared training sets: {}", known.join(", ")))
        })
    }
}

pub(crate) fn unknown_dataset(name: &str) -> Error {
    Error::not_found("SW0813", format!("there is no dataset {name:?}"))
        .hint("datasets are the schema objects of the project's contracts; `seawall status` lists them")
}

pub(crate) fn compile_gates(contracts: &[Contract]) -> Result<BTreeMap<String, Arc<DatasetGate>>> {
    let mut datasets = BTreeMap::new();
    for contract in contracts {
        for object in contract.object_names() {
            let gate = contract::compile(contract, Some(&object)).map_err(|problems| {
                let first = problems.first().map_or_else(String::new, |p| format!("{}: {}", p.path, p.message));
                Error::invalid("SW0814", format!("contract {} does not compile: {first}", contract.id()))
                    .hint("`seawall check` reports every problem with line and column")
            })?;
            let compiled =
                DatasetGate { dataset: gate.dataset().clone(), contract: gate.contract_name().to_owned(), gate };
            datasets.insert(object, Arc::new(compiled));
        }
    }
    Ok(datasets)
}

impl SourceMap {
    pub(crate) async fn compile(
        source: &Source,
        dataset: &Dataset,
        declared: &Declared,
        engine: &Arc<dyn Engine>,
    ) -> Result<SourceMap> {
        let mut references = Vec::new();
        for reference in &source.references {
            references.push(files::read_reference(reference, &declared.folder)?);
        }
        let availability = match &source.available_at {
            Available::Arrival => None,
            Available::At(text) => Some(compile_availability(text, dataset, engine).await?),
        };
        Ok(SourceMap {
            source: source.clone(),
            engine: engine.clone(),
            references,
            maps: Mutex::new(Vec::new()),
            availability,
            corrections: declared.corrections.iter().filter(|one| one.source == source.name).cloned().collect(),
            event_time: dataset.event_time.clone(),
        })
    }

    /// Adapts a batch to the contract's shape; the batch itself when the source has no map.
    pub async fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let mut rows = match &self.source.map {
            Some(sql) => self.map_for(sql, batch.schema()).await?.apply(batch).await?,
            None => batch.clone(),
        };
        for correction in &self.corrections {
            let sql = correction_sql(correction, &rows.schema(), &self.event_time)?;
            rows = self.map_for(&sql, rows.schema()).await?.apply(&rows).await?;
        }
        Ok(rows)
    }

    /// The map over batches of `schema`, compiled once.
    pub async fn map_for(&self, sql: &str, schema: SchemaRef) -> Result<Arc<dyn BatchMap>> {
        let known = |maps: &Vec<(SchemaRef, Arc<dyn BatchMap>)>| {
            maps.iter().find(|(known, _)| *known == schema).map(|(_, map)| map.clone())
        };
        if let Some(map) = known(&self.maps.lock()) {
            return Ok(map);
        }
        let map = self.engine.compile_map(sql, schema.clone(), &self.references).await?;
        let mut maps = self.maps.lock();
        // Producers choose the columns they send, so a source could be asked for any number of maps.
        if maps.len() >= MAPS_MAX {
            maps.remove(0);
        }
        maps.push((schema, map.clone()));
        Ok(map)
    }

    /// The declared availability of accepted rows: microseconds, null where the expression has no value. `None` when
    /// rows are available on arrival.
    pub async fn declared_availability(&self, accepted: &RecordBatch) -> Result<Option<TimestampMicrosecondArray>> {
        let column = match &self.availability {
            None => return Ok(None),
            Some(Availability::Column(name)) => accepted.column_by_name(name).cloned(),
            Some(Availability::Expression(map)) => Some(map.apply(accepted).await?.column(0).clone()),
        };
        let column = column.ok_or_else(|| self.bad_availability("names no column of the dataset"))?;
        let instants = arrow::compute::cast(&column, &crate::instant_type())?;
        let instants = instants.as_any().downcast_ref::<TimestampMicrosecondArray>();
        Ok(Some(instants.expect("the cast gives microseconds").clone()))
    }

    fn bad_availability(&self, what: &str) -> Error {
        Error::invalid("SW0815", format!("`available_at` of source {:?} {what}", self.source.name))
            .hint("name a timestamp column of the contract, or an SQL expression over its columns")
    }
}

/// The SQL of a correction: every column as it is, but the mended one.
fn correction_sql(correction: &Correction, schema: &SchemaRef, event_time: &Option<String>) -> Result<String> {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let text = |value: &str| format!("'{}'", value.replace('\'', "''"));
    let missing = |column: &str| {
        Error::invalid("SW0837", format!("correction {}: the rows have no column {column:?}", correction.name))
            .hint("corrections apply after the source's map; name a column of its result")
    };
    let known = |column: &str| schema.field_with_name(column).map_err(|_| missing(column));
    let mended = known(&correction.column)?;
    let mut conditions = Vec::new();
    if let Some((column, value)) = &correction.only {
        known(column)?;
        conditions.push(format!("cast({} as varchar) = {}", quoted(column), text(value)));
    }
    if let (Some(from), Some(time)) = (correction.from, event_time) {
        known(time)?;
        conditions.push(format!(
            "cast({} as timestamp) >= cast({} as timestamp)",
            quoted(time),
            text(&from.to_string())
        ));
    }
    let condition = if conditions.is_empty() { "true".to_owned() } else { conditions.join(" and ") };
    let column = quoted(&correction.column);
    let divided = format!(
        "arrow_cast(cast({column} as double) / cast({} as double), {})",
        correction.divide_by,
        text(&mended.data_type().to_string())
    );
    let mut columns = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let name = quoted(field.name());
        columns.push(match *field.name() == correction.column {
            true => format!("case when {condition} then {divided} else {column} end as {name}"),
            false => name,
        });
    }
    Ok(format!("select {} from input", columns.join(", ")))
}

async fn compile_availability(text: &str, dataset: &Dataset, engine: &Arc<dyn Engine>) -> Result<Availability> {
    if dataset.schema.column_with_name(text).is_some() {
        return Ok(Availability::Column(text.to_owned()));
    }
    let sql = format!("select ({text}) as available_at from input");
    Ok(Availability::Expression(engine.compile_map(&sql, dataset.schema.clone(), &[]).await?))
}

impl DeclaredModel {
    async fn compile(
        model: &Model,
        set: &Arc<ServedSet>,
        datasets: &BTreeMap<String, Arc<DatasetGate>>,
        engine: &Arc<dyn Engine>,
    ) -> Result<DeclaredModel> {
        let inputs = if model.inputs.is_empty() { set.value_columns() } else { model.inputs.clone() };
        let mut kept = set.spine.primary_key.clone();
        let joined = set.training_set.label.iter().flat_map(|label| &label.join);
        for column in joined.chain(&model.ready_when.by) {
            if !kept.contains(column) {
                kept.push(column.clone());
            }
        }
        let mut fields = Vec::with_capacity(kept.len());
        for column in kept.iter().chain(&inputs) {
            let field = set.served_schema.field_with_name(column).map_err(|_| {
                Error::invalid("SW0838", format!("model {} needs the column {column:?}", model.name)).hint(format!(
                    "columns of {}: {}",
                    set.training_set.name,
                    set.value_columns().join(", ")
                ))
            })?;
            if fields.len() < kept.len() {
                fields.push(field.clone().with_nullable(true));
            }
        }
        let positive = match (&model.positive, &set.training_set.label) {
            (Some(sql), Some(label)) => {
                let data_type = label_type(label, datasets)?;
                let input = Arc::new(Schema::new(vec![Field::new("label", data_type, true)]));
                Some(engine.compile_map(&format!("select ({sql}) as positive from input"), input, &[]).await?)
            }
            (_, _) => None,
        };
        Ok(DeclaredModel {
            table: TableName::predictions(&model.name)?,
            schema: crate::scoring::predictions_schema(&fields),
            model: model.clone(),
            inputs,
            set: set.clone(),
            kept,
            positive,
        })
    }
}

/// Type of a label.
fn label_type(
    label: &seawall_base::declare::Label,
    datasets: &BTreeMap<String, Arc<DatasetGate>>,
) -> Result<arrow::datatypes::DataType> {
    use seawall_base::declare::LabelValue;
    match &label.value {
        LabelValue::Present { .. } => Ok(arrow::datatypes::DataType::Boolean),
        LabelValue::Column(column) => {
            let outcomes = datasets.get(&label.from).ok_or_else(|| unknown_dataset(&label.from))?;
            Ok(outcomes.dataset.schema.field_with_name(column)?.data_type().clone())
        }
    }
}

fn unknown_set(name: &str) -> Error {
    Error::not_found("SW0839", format!("there is no training set {name:?} that a model could serve"))
        .hint("a model learns from a training set of `known: in_time`")
}

/// Columns of `batch` by name, in order.
pub fn project(batch: &RecordBatch, columns: &[String]) -> Result<RecordBatch> {
    let mut indices = Vec::with_capacity(columns.len());
    for name in columns {
        indices.push(batch.schema().index_of(name).map_err(|_| {
            Error::invalid("SW0817", format!("the rows have no column {name:?}"))
                .hint("send every column that the entity keys and the context need")
        })?);
    }
    Ok(batch.project(&indices)?)
}

/// Appends `_arrival` and `_available_at` to rows.
pub fn with_times(rows: &RecordBatch, arrival: Vec<i64>, available: Vec<i64>) -> Result<RecordBatch> {
    let instants =
        |values: Vec<i64>| -> ArrayRef { Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC")) };
    with_time_columns(rows, instants(arrival), instants(available))
}

/// The rows with one instant for the arrival and the availability of all.
pub(crate) fn with_one_time(rows: &RecordBatch, at: Instant) -> Result<RecordBatch> {
    let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from_value(at.0, rows.num_rows()).with_timezone("UTC"));
    with_time_columns(rows, times.clone(), times)
}

fn with_time_columns(rows: &RecordBatch, arrival: ArrayRef, available: ArrayRef) -> Result<RecordBatch> {
    static FIELDS: LazyLock<[FieldRef; 2]> = LazyLock::new(|| {
        [column::ARRIVAL, column::AVAILABLE_AT].map(|name| Arc::new(Field::new(name, crate::instant_type(), false)))
    });
    let mut fields: Vec<FieldRef> = rows.schema_ref().fields().iter().cloned().collect();
    fields.extend(FIELDS.iter().cloned());
    let mut columns = rows.columns().to_vec();
    columns.extend([arrival, available]);
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// The instants of a timestamp column, by name.
pub fn instants<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a TimestampMicrosecondArray> {
    let column = batch.column_by_name(name);
    let instants = column.and_then(|column| column.as_any().downcast_ref::<TimestampMicrosecondArray>());
    instants.ok_or_else(|| Error::invalid("SW0818", format!("the rows have no timestamp column {name:?}")))
}
