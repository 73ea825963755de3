//! How good a champion is on decisions whose outcome is final.

use std::collections::{BTreeMap, HashMap};

use arrow::array::{Array, AsArray, Float64Array, Int32Array, RecordBatch};
use seawall_base::declare::LabelValue;
use seawall_base::error::Result;
use seawall_base::watch::Period;
use seawall_base::{Instant, LogEntry, Span, column};
use seawall_kernel::feature::key_hashes;
use seawall_kernel::retrain::decide::Measured;
use seawall_kernel::retrain::evaluate::evaluate;
use serde::{Deserialize, Serialize};

use super::written;
use crate::frame::Frame;
use crate::revision::{DeclaredModel, instants};

/// Decisions are kept this long after their outcome became final, or could have.
const KEPT_AFTER: Span = Span(120 * Span::DAY.0);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Predicted {
    key: Option<u128>,
    version: u32,
    #[serde(with = "written::bits")]
    probability: f64,
    slices: Vec<Option<String>>,
}

/// Predictions and outcomes of one model.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct PerformanceWatch {
    predictions: BTreeMap<i64, Vec<Predicted>>,
    /// First outcome by key: when it became known, and whether it is positive.
    #[serde(with = "written::pairs")]
    outcomes: HashMap<u128, (i64, Option<bool>)>,
    /// Decisions that were to be made, by day.
    decisions: BTreeMap<i64, u64>,
}

impl PerformanceWatch {
    /// Whether frames of `dataset` say something of the model.
    pub(super) fn concerns(&self, model: &DeclaredModel, dataset: &str) -> bool {
        dataset == model.table.as_str() || dataset == model.set.spine.name || is_outcome(model, dataset)
    }

    /// Takes a frame in, if it says something of the model.
    pub(super) async fn fold(&mut self, model: &DeclaredModel, frame: &Frame, entry: &LogEntry) -> Result<()> {
        let dataset = frame.header.dataset.as_str();
        let Some(rows) = &frame.accepted else { return Ok(()) };
        if dataset == model.table.as_str() {
            self.fold_predictions(model, rows)?;
        }
        if dataset == model.set.spine.name {
            self.fold_decisions(model, rows)?;
        }
        if is_outcome(model, dataset)
            && let Some(rows) = frame.numbered_accepted(entry)?
        {
            self.fold_outcomes(model, &rows).await?;
        }
        Ok(())
    }

    /// Takes predictions in.
    fn fold_predictions(&mut self, model: &DeclaredModel, rows: &RecordBatch) -> Result<()> {
        let Some(label) = &model.set.training_set.label else { return Ok(()) };
        let at = instants(rows, "_at")?;
        let keys = key_hashes(rows, &label.join)?;
        let missing = || crate::verify::missing_column("_prediction");
        let probability: &Float64Array =
            rows.column_by_name("probability").and_then(|c| c.as_any().downcast_ref()).ok_or_else(missing)?;
        let version: &Int32Array =
            rows.column_by_name("model_version").and_then(|c| c.as_any().downcast_ref()).ok_or_else(missing)?;
        for (row, key) in keys.into_iter().enumerate() {
            if probability.is_null(row) {
                continue;
            }
            let slice = |name: &String| {
                let values = rows.column_by_name(name)?;
                values.is_valid(row).then(|| arrow::util::display::array_value_to_string(values, row).ok())?
            };
            self.predictions.entry(at.value(row)).or_default().push(Predicted {
                key,
                version: version.value(row) as u32,
                probability: probability.value(row),
                slices: model.model.ready_when.by.iter().map(slice).collect(),
            });
        }
        Ok(())
    }

    /// Counts decisions that can be learned from one day.
    fn fold_decisions(&mut self, model: &DeclaredModel, rows: &RecordBatch) -> Result<()> {
        for at in instants(rows, &model.set.training_set.rows.at)?.iter().flatten() {
            *self.decisions.entry(at.div_euclid(Span::DAY.0)).or_default() += 1;
        }
        Ok(())
    }

    /// Decisions whose outcome is final at `now`, about: whole days are counted.
    pub(super) fn labelled(&self, model: &DeclaredModel, now: Instant) -> u64 {
        match model.set.training_set.label.as_ref().map(|label| &label.value) {
            Some(LabelValue::Present { final_after }) => {
                let last = (now - *final_after).0.div_euclid(Span::DAY.0);
                self.decisions.range(..last).map(|(_, rows)| rows).sum()
            }
            Some(LabelValue::Column(_)) => self.outcomes.values().filter(|(known, _)| *known < now.0).count() as u64,
            None => 0,
        }
    }

    /// Takes rows of the outcomes' dataset in.
    async fn fold_outcomes(&mut self, model: &DeclaredModel, rows: &RecordBatch) -> Result<()> {
        let Some(label) = &model.set.training_set.label else { return Ok(()) };
        let keys = key_hashes(rows, &label.join)?;
        let known = instants(rows, column::AVAILABLE_AT)?;
        let positive = match &label.value {
            LabelValue::Present { .. } => vec![Some(true); rows.num_rows()],
            LabelValue::Column(name) => positives(model, rows, name).await?,
        };
        for (row, key) in keys.into_iter().enumerate() {
            let Some(key) = key else { continue };
            let outcome = (known.value(row), positive[row]);
            let first = self.outcomes.entry(key).or_insert(outcome);
            if outcome.0 < first.0 {
                *first = outcome;
            }
        }
        Ok(())
    }

    /// How good `version` was over the newest `length` of decisions whose outcome is final at `now`; none when there
    /// are no such decisions.
    pub(super) fn measured(&self, model: &DeclaredModel, version: u32, now: Instant, length: Span) -> Option<Measured> {
        let label = model.set.training_set.label.as_ref()?;
        let final_after = match &label.value {
            LabelValue::Present { final_after } => *final_after,
            LabelValue::Column(_) => Span::ZERO,
        };
        let window = Period { from: now - final_after - length, to: now - final_after };
        let (mut scores, mut labels) = (Vec::new(), Vec::new());
        let mut slices: Vec<(String, Vec<Option<String>>)> =
            model.model.ready_when.by.iter().map(|name| (name.clone(), Vec::new())).collect();
        for (at, made) in self.predictions.range(window.from.0..window.to.0) {
            for prediction in made.iter().filter(|prediction| prediction.version == version) {
                let final_at = Instant(*at) + final_after;
                let Some(positive) = self.label(&label.value, prediction.key, final_at, now) else { continue };
                scores.push(prediction.probability);
                labels.push(positive);
                for ((_, values), value) in slices.iter_mut().zip(&prediction.slices) {
                    values.push(value.clone());
                }
            }
        }
        (!scores.is_empty()).then(|| Measured { evaluation: evaluate(&scores, &labels, &slices), window })
    }

    fn label(&self, value: &LabelValue, key: Option<u128>, final_at: Instant, now: Instant) -> Option<bool> {
        let outcome = key.and_then(|key| self.outcomes.get(&key)).filter(|(known, _)| Instant(*known) < now);
        match value {
            LabelValue::Present { .. } => Some(outcome.is_some_and(|(known, _)| Instant(*known) <= final_at)),
            LabelValue::Column(_) => outcome.and_then(|(_, positive)| *positive),
        }
    }

    /// Forgets decisions that no measurement asks for any more.
    pub(super) fn forget(&mut self, model: &DeclaredModel, now: Instant) {
        let final_after = match model.set.training_set.label.as_ref().map(|label| &label.value) {
            Some(LabelValue::Present { final_after }) => *final_after,
            Some(LabelValue::Column(_)) | None => Span::ZERO,
        };
        let oldest = now - final_after - KEPT_AFTER;
        self.predictions = self.predictions.split_off(&oldest.0);
        if !self.predictions.is_empty() {
            self.outcomes.retain(|_, (known, _)| *known >= oldest.0);
        }
    }
}

fn is_outcome(model: &DeclaredModel, dataset: &str) -> bool {
    model.set.training_set.label.as_ref().is_some_and(|label| label.from == dataset)
}

/// Whether each outcome is of the positive class.
pub(crate) async fn positives(model: &DeclaredModel, rows: &RecordBatch, label: &str) -> Result<Vec<Option<bool>>> {
    use arrow::datatypes::{Field, Schema};
    let values = rows.column_by_name(label).ok_or_else(|| crate::verify::missing_column("_label"))?;
    let flags = match &model.positive {
        None => arrow::compute::cast(values, &arrow::datatypes::DataType::Boolean)?,
        Some(map) => {
            let schema = Schema::new(vec![Field::new("label", values.data_type().clone(), true)]);
            let input = RecordBatch::try_new(std::sync::Arc::new(schema), vec![values.clone()])?;
            map.apply(&input).await?.column(0).clone()
        }
    };
    Ok(flags.as_boolean().iter().collect())
}
