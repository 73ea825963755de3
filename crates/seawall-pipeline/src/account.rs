//! The account of a prediction: everything that it rests on, as records that a certificate can sign.
//!
//! Prediction, served vector, input events of every feature, what is derived from them, feature versions, model version with its training
//! fingerprint, and the decision that made this version champion, with its approvals.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::Schema;
use arrow::util::display::array_value_to_string;
use seawall_base::error::Result;
use seawall_base::{Cut, Error, Hash, Instant, Permit, Query};
use seawall_kernel::feature::{Explanation, ViewPlan, entity_keys, explain, key_hashes};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::pipeline::Pipeline;
use crate::revision::{DeclaredModel, ServedSet, instants, project};

/// Input events told per feature.
const EVENTS_MAX: usize = 20;

/// Everything a prediction rests on.
#[derive(Debug, Clone, Serialize)]
pub struct Account {
    /// Id of the prediction.
    pub prediction_id: String,
    /// The model.
    pub model: String,
    /// Records by name, in the order in which they are told: `prediction`, `vector`, `features`, `model_version`,
    /// `decision`.
    pub records: Vec<(String, Value)>,
}

impl Account {
    /// A record by name.
    pub fn record(&self, name: &str) -> &Value {
        self.records.iter().find(|(known, _)| known == name).map_or(&Value::Null, |(_, record)| record)
    }
}

impl Pipeline {
    /// Tells everything that a prediction rests on.
    pub async fn account_of(&self, permit: &Permit, prediction_id: &str) -> Result<Account> {
        let (name, row) = self.find_prediction(permit, prediction_id).await?;
        let revision = self.revision();
        let model = revision.model(&name)?;
        let at = Instant(instants(&row, "_at")?.value(0));
        let known = Instant(instants(&row, "_known_at")?.value(0));
        let vector = self.vector_of(permit, model, &row, at, known).await?;
        let features = self.features_of(permit, model, &vector, at, known).await?;
        let version = version_of(&row)?;
        let kept = self.parts.catalog.model_version(&name, version).await?;
        let decision = self.decision_of(&name, version, at).await?;
        let records = vec![
            ("prediction".to_owned(), row_json(&row)?),
            ("vector".to_owned(), row_json(&vector)?),
            ("features".to_owned(), features),
            ("model_version".to_owned(), model_record(&kept)),
            ("decision".to_owned(), decision),
        ];
        Ok(Account { prediction_id: prediction_id.to_owned(), model: name, records })
    }

    async fn vector_of(
        &self,
        permit: &Permit,
        model: &DeclaredModel,
        row: &RecordBatch,
        at: Instant,
        known: Instant,
    ) -> Result<RecordBatch> {
        let mut conditions = vec![
            format!("_at = arrow_cast('{at}', 'Timestamp(Microsecond, Some(\"UTC\"))')"),
            format!("_known_at = arrow_cast('{known}', 'Timestamp(Microsecond, Some(\"UTC\"))')"),
        ];
        for name in &model.set.spine.primary_key {
            let values = row.column_by_name(name).ok_or_else(|| crate::verify::missing_column("_key"))?;
            conditions.push(match values.is_null(0) {
                true => format!("\"{name}\" is null"),
                false => {
                    let text = array_value_to_string(values, 0)?.replace('\'', "''");
                    format!(
                        "cast(\"{name}\" as varchar) = cast(arrow_cast('{text}', '{}') as varchar)",
                        values.data_type()
                    )
                }
            });
        }
        let sql = format!("select * from {} where {} limit 1", model.set.served_table, conditions.join(" and "));
        let found = self.parts.engine.query(permit, Query { sql, ..Query::default() }).await?;
        found.batches.into_iter().find(|batch| batch.num_rows() > 0).ok_or_else(|| {
            Error::not_found("SW0844", "the vector that this prediction was made of is not visible")
                .hint("it was erased, or a policy hides it from you")
        })
    }

    /// Per feature: version, definition, value, and the events in it.
    async fn features_of(
        &self,
        permit: &Permit,
        model: &DeclaredModel,
        vector: &RecordBatch,
        at: Instant,
        known: Instant,
    ) -> Result<Value> {
        let cut: Cut = match vector.column_by_name("_cut").map(|cut| array_value_to_string(cut, 0)) {
            Some(text) => text?.parse()?,
            None => return Err(crate::verify::missing_column("_cut")),
        };
        let own = key_hashes(vector, &model.set.spine.primary_key)?.first().copied().flatten();
        let mut told = Vec::new();
        for (plan, reference) in model.set.views.iter().zip(&model.set.training_set.features) {
            let (view, rows) = self.history_of(permit, &reference.view).await?;
            let entity = project(vector, &reference.entity)?;
            let key = entity_keys(plan, &entity)?.into_iter().next().flatten();
            let own = own.filter(|_| plan.dataset() == model.set.spine.name);
            for feature in &plan.view().features {
                let explained = match &key {
                    Some(key) => Some(explain(&view, &rows, &feature.name, key, at, known, Some(&cut), own)?),
                    None => None,
                };
                told.push(feature_record(&view, &feature.name, vector, explained.as_ref())?);
            }
        }
        told.extend(derived_records(&model.set, vector).await?);
        Ok(Value::Array(told))
    }

    async fn decision_of(&self, model: &str, version: u32, at: Instant) -> Result<Value> {
        let reign = self.parts.catalog.champion_at(model, at).await?;
        Ok(match reign {
            Some(reign) if reign.version == version => json!({
                "champion": reign.version,
                "since": reign.from.to_string(),
                "until": reign.until.map(|until| until.to_string()),
                "promoted_by": reign.decision,
                "proposed_by": reign.proposal,
                "approvals": reign.approvals,
            }),
            Some(reign) => json!({"champion": reign.version, "scored_by": version, "note": "a promotion fell between"}),
            None => json!({"champion": null, "scored_by": version}),
        })
    }
}

fn version_of(row: &RecordBatch) -> Result<u32> {
    let column = row.column_by_name("model_version").ok_or_else(|| crate::verify::missing_column("_version"))?;
    array_value_to_string(column, 0)?
        .parse()
        .map_err(|e| Error::corrupt("SW0860", "a prediction has no model version").because(e))
}

fn model_record(kept: &seawall_catalog::models::ModelVersion) -> Value {
    json!({
        "model": kept.model,
        "version": kept.version,
        "digest": kept.digest,
        "definition_hash": kept.definition_hash,
        "trained_at": kept.trained_at.to_string(),
        "trained_on": kept.trained_on,
        "holdout": kept.holdout,
        "rows": kept.rows,
        "excluded": kept.excluded,
        "fingerprint": kept.fingerprint,
        "evaluation": kept.evaluation,
    })
}

fn feature_record(
    plan: &ViewPlan,
    feature: &str,
    vector: &RecordBatch,
    explained: Option<&Explanation>,
) -> Result<Value> {
    let column = format!("{}__{feature}", plan.view().name);
    let value = match vector.column_by_name(&column).filter(|values| values.is_valid(0)) {
        Some(values) => Some(array_value_to_string(values, 0)?),
        None => None,
    };
    let included = || explained.into_iter().flat_map(|explained| &explained.rows).filter(|row| row.included);
    let events: Vec<Value> = included()
        .take(EVENTS_MAX)
        .map(|row| json!({"row": row.row, "event_time": row.event_time.to_string(), "value": row.value}))
        .collect();
    Ok(json!({
        "feature": format!("{}.{feature}", plan.view().id()),
        "definition": plan.view().definition_hash(),
        "from": plan.dataset(),
        "value": value,
        "recomputed": explained.map(|explained| explained.value.clone()),
        "status": explained.map(|explained| explained.status),
        "events": included().count(),
        "first_events": events,
    }))
}

/// What was derived, and what comes of it when it is derived again from the vector as it was recorded.
async fn derived_records(set: &ServedSet, vector: &RecordBatch) -> Result<Vec<Value>> {
    if set.derived.is_empty() {
        return Ok(Vec::new());
    }
    let again = set.derived.apply(&in_types(set, vector)?).await?;
    let text = |values: &ArrayRef| values.is_valid(0).then(|| array_value_to_string(values, 0)).transpose();
    let mut records = Vec::with_capacity(set.training_set.derived.len());
    for (place, derived) in set.training_set.derived.iter().enumerate() {
        let recorded = vector.column_by_name(&derived.name).map(text).transpose()?.flatten();
        records.push(json!({
            "feature": derived.name,
            "definition": Hash::of_json(derived),
            "from": derived.sql,
            "value": recorded,
            "recomputed": text(&again.columns[place])?,
            "status": again.status[0][place],
            "reads": derived.reads,
        }));
    }
    Ok(records)
}

/// A recorded vector without what was derived, in the types that it was served with: a table's may have become wider since.
fn in_types(set: &ServedSet, vector: &RecordBatch) -> Result<RecordBatch> {
    let count = set.served_schema.fields().len() - set.derived.fields().len();
    let fields = &set.served_schema.fields()[..count];
    let mut columns = Vec::with_capacity(count);
    for field in fields {
        let column = vector.column_by_name(field.name()).ok_or_else(|| crate::verify::missing_column("_vector"))?;
        columns.push(arrow::compute::cast(column, field.data_type())?);
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields.to_vec())), columns)?)
}

/// One row as a JSON object of texts.
fn row_json(row: &RecordBatch) -> Result<Value> {
    let mut object = Map::new();
    for (field, values) in row.schema().fields().iter().zip(row.columns()) {
        let value = match values.is_null(0) {
            true => Value::Null,
            false => Value::String(array_value_to_string(values, 0)?),
        };
        object.insert(field.name().clone(), value);
    }
    Ok(Value::Object(object))
}
