//! Scoring: serves a model's vector, scores it with the champion, and records the prediction through the log.
//!
//! A prediction is a row of `MODEL__predictions`: the decision's key, T and K, the model's version and digest, the score
//! and its reason codes. With the served vector of the same key, T and K it tells everything that the answer rests on.
//! A missing value does what the model declares; no score is ever made up.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::{filter_record_batch, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use seawall_base::declare::MissingAction;
use seawall_base::error::Result;
use seawall_base::{Contribution, Cut, Error, ErrorKind, Hash, Instant, Permit, Scorer, column};
use seawall_catalog::Counts;
use seawall_catalog::policy::Action;
use serde::Serialize;

use crate::frame::{Frame, FrameSeal, Header, Position};
use crate::gate;
use crate::pipeline::Pipeline;
use crate::revision::{DeclaredModel, Revision, all_nullable, project, with_times};
use crate::sealing::{self, RowKeys};
use crate::serving::{Answer, Decisions};

/// Reason codes kept with a prediction.
const REASONS_MAX: usize = 4;
/// Columns of a prediction that tell nothing of the person whom it is about.
const IMPERSONAL: [&str; 4] = ["prediction_id", "model_version", "model_digest", "status"];

/// A model version that answers.
#[derive(Clone)]
pub struct Champion {
    /// Its version.
    pub version: u32,
    /// Digest of its artifact.
    pub digest: Hash,
    /// The loaded model.
    pub scorer: Arc<dyn Scorer>,
}

/// What a prediction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PredictionStatus {
    /// Every input that must be there was there.
    Ok,
    /// An input was missing that the model may do without.
    Degraded,
    /// An input was missing that the model must not do without: there is no score.
    Halted,
}

impl PredictionStatus {
    fn as_str(self) -> &'static str {
        match self {
            PredictionStatus::Ok => "ok",
            PredictionStatus::Degraded => "degraded",
            PredictionStatus::Halted => "halted",
        }
    }
}

/// One prediction.
#[derive(Debug, Clone, Serialize)]
pub struct Prediction {
    /// Names it for ever; the same decision of a replay gets the same.
    pub prediction_id: String,
    /// Probability of the positive class; absent when halted.
    pub probability: Option<f64>,
    /// Whether something was missing.
    pub status: PredictionStatus,
    /// The inputs that were missing.
    pub missing: Vec<String>,
    /// What moved the score most.
    pub reasons: Vec<Contribution>,
}

/// Answers of a model.
pub struct Predictions {
    /// The model's version.
    pub version: u32,
    /// One per decision, in order.
    pub predictions: Vec<Prediction>,
    /// The served vectors.
    pub served: Answer,
    /// What the predictions rest on is durable up to here.
    pub cut: Cut,
}

/// Champions by model.
#[derive(Default)]
pub(crate) struct Champions(parking_lot::RwLock<BTreeMap<String, Champion>>);

impl Champions {
    fn get(&self, model: &str) -> Option<Champion> {
        self.0.read().get(model).cloned()
    }
}

impl Pipeline {
    /// Brings the loaded champions to what the catalog says.
    pub async fn refresh_champions(&self) -> Result<()> {
        let revision = self.revision();
        let mut wanted = BTreeMap::new();
        for model in revision.models.values() {
            let name = &model.model.name;
            let Some(version) = self.parts.catalog.aliases(name).await?.champion else { continue };
            let loaded = self.champions.get(name).filter(|loaded| loaded.version == version);
            let champion = match loaded {
                Some(loaded) => loaded,
                None => self.load_version(name, version).await?,
            };
            wanted.insert(name.clone(), champion);
        }
        *self.champions.0.write() = wanted;
        Ok(())
    }

    /// Loads a version of a model, its digest checked.
    pub(crate) async fn load_version(&self, model: &str, version: u32) -> Result<Champion> {
        let kept = self.parts.catalog.model_version(model, version).await?;
        let models = self.parts.models.clone();
        let digest = kept.digest;
        let scorer = tokio::task::spawn_blocking(move || models.load(digest))
            .await
            .map_err(|e| Error::internal("SW0833", "loading a model died").because(e))??;
        Ok(Champion { version, digest, scorer })
    }

    /// The champion of a model, when it has one.
    pub fn champion(&self, model: &str) -> Option<Champion> {
        self.champions.get(model)
    }

    /// Serves the vectors of a model's decisions, scores them with its champion, and records both.
    pub async fn predict(&self, permit: &Permit, model: &str, decisions: &Decisions) -> Result<Predictions> {
        let revision = self.revision();
        let declared = revision.model(model)?;
        if self.champion(model).is_none() {
            return Err(Error::not_found("SW0834", format!("model {model:?} has no champion yet"))
                .hint(format!("`seawall model show {model}` tells what it waits for")));
        }
        let served = self.serve(permit, &declared.model.training_set, decisions).await?;
        let answered = self.record_predictions(permit, declared, &served, None).await?;
        let (version, predictions, cut) = answered.ok_or_else(|| {
            Error::new(ErrorKind::Unavailable, "SW0834", format!("the champion of {model:?} was just taken away"))
        })?;
        Ok(Predictions { version, predictions, served, cut })
    }

    /// Scores a served vector with the champion and records the predictions; nothing without a champion.
    pub(crate) async fn record_predictions(
        &self,
        permit: &Permit,
        model: &DeclaredModel,
        served: &Answer,
        position: Option<Position>,
    ) -> Result<Option<(u32, Vec<Prediction>, Cut)>> {
        let Some(champion) = self.champion(&model.model.name) else { return Ok(None) };
        let predictions = score(model, &champion, served)?;
        let rows = prediction_rows(model, &champion, served, &predictions)?;
        let cut = self.record_rows(permit, model, rows, &served.known_at, position).await?;
        Ok(Some((champion.version, predictions, cut)))
    }

    /// Appends rows of a table that no contract describes, and waits until they are durable.
    async fn record_rows(
        &self,
        permit: &Permit,
        model: &DeclaredModel,
        rows: RecordBatch,
        known_at: &[Instant],
        position: Option<Position>,
    ) -> Result<Cut> {
        let table = model.table.as_str();
        let keys = sealing::derived_keys(&self.parts.keys, table, &model.set.spine, &rows, &IMPERSONAL).await?;
        let mut order = self.order.lock().await;
        let arrivals = order.stamp(rows.num_rows(), None, known_at.last().copied().unwrap_or(Instant::MIN));
        let count = rows.num_rows() as u64;
        let counts = Counts { received: count, accepted: count, ..Counts::default() };
        let header = Header { position, ..Header::new(table, "scoring", permit, counts) };
        let frame = Frame { header, accepted: Some(with_times(&rows, arrivals.clone(), arrivals)?), quarantined: None };
        order.note(&frame);
        let seal = FrameSeal { accepted: keys.as_ref().map(RowKeys::all), quarantined: None };
        let end = gate::append_in_order(&self.parts.log, &frame, &seal, order).await?.durable().await?;
        Ok(gate::live_cut(end))
    }

    /// The prediction with this id, with its row of the predictions table.
    pub async fn find_prediction(&self, permit: &Permit, id: &str) -> Result<(String, RecordBatch)> {
        let wellformed = id.len() == 18 && id.starts_with("p-") && id[2..].bytes().all(|b| b.is_ascii_hexdigit());
        if !wellformed {
            return Err(Error::invalid("SW0835", format!("{id:?} is no prediction's id"))
                .hint("ids look like p-0123456789abcdef; `seawall query` on MODEL__predictions lists them"));
        }
        self.catch_up().await?;
        for model in self.revision().models.values() {
            let sql = format!("select * from {} where prediction_id = '{id}'", model.table);
            let query = seawall_base::Query { sql, rows_max: Some(2), ..seawall_base::Query::default() };
            let found = self.parts.engine.query(permit, query).await?;
            if let Some(row) = found.batches.into_iter().find(|batch| batch.num_rows() > 0) {
                return Ok((model.model.name.clone(), row.slice(0, 1)));
            }
        }
        Err(Error::not_found("SW0835", format!("there is no prediction {id}"))
            .hint("`seawall query \"select prediction_id from MODEL__predictions limit 5\"` lists some"))
    }

    /// A permit of the system itself for what the control loop does.
    pub(crate) fn control_permit(&self, action: Action, resource: &str) -> Permit {
        self.parts.catalog.system_permit(action, resource)
    }
}

/// Scores served vectors.
pub(crate) fn score(model: &DeclaredModel, champion: &Champion, served: &Answer) -> Result<Vec<Prediction>> {
    let inputs = project(&served.rows, champion.scorer.inputs())?;
    let missing = missing_inputs(&inputs);
    let statuses: Vec<PredictionStatus> = missing.iter().map(|names| status_of(model, names)).collect();
    let scored: BooleanArray = statuses.iter().map(|status| Some(*status != PredictionStatus::Halted)).collect();
    let rows = filter_record_batch(&inputs, &scored)?;
    let scores = champion.scorer.score(&rows)?;
    let mut reasons = champion.scorer.explain(&rows, REASONS_MAX)?.into_iter();
    let mut probabilities = scores.probability.into_iter();
    let mut predictions = Vec::with_capacity(statuses.len());
    for (row, (status, missing)) in statuses.into_iter().zip(missing).enumerate() {
        let is_scored = scored.value(row);
        predictions.push(Prediction {
            prediction_id: prediction_id(model, served, row)?,
            probability: if is_scored { probabilities.next() } else { None },
            status,
            missing,
            reasons: if is_scored { reasons.next().unwrap_or_default() } else { Vec::new() },
        });
    }
    Ok(predictions)
}

/// Names of the inputs that are null, per row.
fn missing_inputs(inputs: &RecordBatch) -> Vec<Vec<String>> {
    let mut missing = vec![Vec::new(); inputs.num_rows()];
    for (field, values) in inputs.schema().fields().iter().zip(inputs.columns()) {
        if values.null_count() == 0 {
            continue;
        }
        for (row, names) in missing.iter_mut().enumerate() {
            if values.is_null(row) {
                names.push(field.name().clone());
            }
        }
    }
    missing
}

fn status_of(model: &DeclaredModel, missing: &[String]) -> PredictionStatus {
    let actions = || missing.iter().map(|input| model.model.on_missing.action(input));
    if actions().any(|action| action == MissingAction::Halt) {
        PredictionStatus::Halted
    } else if actions().any(|action| action == MissingAction::Degrade) {
        PredictionStatus::Degraded
    } else {
        PredictionStatus::Ok
    }
}

fn prediction_id(model: &DeclaredModel, served: &Answer, row: usize) -> Result<String> {
    let mut parts: Vec<Vec<u8>> = vec![model.model.name.clone().into_bytes()];
    for name in &model.kept {
        let values = served.rows.column_by_name(name).ok_or_else(|| crate::verify::missing_column("_key"))?;
        parts.push(arrow::util::display::array_value_to_string(values, row)?.into_bytes());
    }
    for name in ["_at", "_known_at"] {
        parts.push(crate::revision::instants(&served.rows, name)?.value(row).to_le_bytes().to_vec());
    }
    let hash = Hash::of_parts(parts.iter().map(Vec::as_slice)).to_string();
    Ok(format!("p-{}", &hash[..16]))
}

/// Schema of the predictions of a model, without the system columns.
pub(crate) fn predictions_schema(kept: &[Field]) -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let mut fields = vec![text("prediction_id")];
    fields.extend(kept.iter().cloned());
    fields.extend([
        Field::new("_at", crate::instant_type(), false),
        Field::new("_known_at", crate::instant_type(), false),
        Field::new("model_version", DataType::Int32, false),
        text("model_digest"),
        Field::new("probability", DataType::Float64, true),
        text("status"),
        text("missing"),
        text("reasons"),
    ]);
    Arc::new(Schema::new(fields))
}

fn prediction_rows(
    model: &DeclaredModel,
    champion: &Champion,
    served: &Answer,
    predictions: &[Prediction],
) -> Result<RecordBatch> {
    let rows = predictions.len();
    let text = |value: &dyn Fn(&Prediction) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(predictions.iter().map(value)))
    };
    let mut columns: Vec<ArrayRef> = vec![text(&|one| one.prediction_id.clone())];
    columns.extend(project(&served.rows, &model.kept)?.columns().iter().cloned());
    for name in ["_at", "_known_at"] {
        let instants: TimestampMicrosecondArray = crate::revision::instants(&served.rows, name)?.clone();
        columns.push(Arc::new(instants));
    }
    columns.push(Arc::new(Int32Array::from_value(champion.version as i32, rows)));
    columns.push(Arc::new(StringArray::from(vec![champion.digest.to_string(); rows])));
    columns.push(Arc::new(predictions.iter().map(|one| one.probability).collect::<Float64Array>()));
    columns.push(text(&|one| one.status.as_str().to_owned()));
    columns.push(json_texts(predictions.iter().map(|one| serde_json::to_string(&one.missing)))?);
    columns.push(json_texts(predictions.iter().map(|one| serde_json::to_string(&one.reasons)))?);
    Ok(RecordBatch::try_new(model.schema.clone(), columns)?)
}

fn json_texts(texts: impl Iterator<Item = serde_json::Result<String>>) -> Result<ArrayRef> {
    let texts: serde_json::Result<Vec<String>> = texts.collect();
    let texts = texts.map_err(|e| Error::internal("SW0801", "cannot encode a prediction").because(e))?;
    Ok(Arc::new(StringArray::from(texts)))
}

/// Schema of the table of predictions.
pub(crate) fn predictions_table_schema(model: &DeclaredModel) -> SchemaRef {
    let mut fields: Vec<Arc<Field>> = model.schema.fields().iter().cloned().collect();
    for name in [column::ARRIVAL, column::AVAILABLE_AT] {
        fields.push(Arc::new(Field::new(name, crate::instant_type(), false)));
    }
    crate::pipeline::with_system_columns(&Arc::new(Schema::new(fields)))
}

/// Rows of `batch` at `rows`, with every column nullable: what a model is asked of may lack any value.
pub(crate) fn take_inputs(batch: &RecordBatch, rows: &[u32], inputs: &[String]) -> Result<RecordBatch> {
    let chosen = take_record_batch(&project(batch, inputs)?, &arrow::array::UInt32Array::from(rows.to_vec()))?;
    Ok(RecordBatch::try_new(all_nullable(&chosen.schema()), chosen.columns().to_vec())?)
}

impl Revision {
    /// The model called `name`.
    pub fn model(&self, name: &str) -> Result<&Arc<DeclaredModel>> {
        self.models.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.models.keys().map(String::as_str).collect();
            Error::not_found("SW0836", format!("there is no model {name:?}")).hint(match known.is_empty() {
                true => "declare one with `kind: model`, then apply".to_owned(),
                false => format!("declared models: {}", known.join(", ")),
            })
        })
    }
}
