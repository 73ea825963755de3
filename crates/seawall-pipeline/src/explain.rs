//! Explaining a number: the rows behind a feature value, and why others are not.

use std::sync::Arc;

use arrow::array::RecordBatch;
use seawall_base::error::Result;
use seawall_base::online::FeatureStatus;
use seawall_base::{Computed, Error, ErrorKind, Instant, Permit, TableName, VersionedName};
use seawall_kernel::feature::{Decisions, Explanation, ViewPlan, entity_keys, explain, sweep};
use serde_json::json;

use crate::pipeline::Pipeline;

impl Pipeline {
    /// Explains one feature of one entity as known at `known`, from the tables.
    pub async fn explain_feature(
        &self,
        permit: &Permit,
        view: &VersionedName,
        feature: &str,
        entity: &RecordBatch,
        at: Instant,
        known: Instant,
    ) -> Result<Explanation> {
        let (plan, rows) = self.history_of(permit, view).await?;
        let key = entity_keys(&plan, entity)?.into_iter().next().flatten();
        let key = key.ok_or_else(|| {
            Error::invalid("SW0870", "the entity's key has a missing part")
                .hint(format!("give every one of: {}", plan.view().entity.join(", ")))
        })?;
        explain(&plan, &rows, feature, &key, at, known, None, None)
    }

    /// Features of one view as a training set would hold them: from the tables, known at K = T.
    pub async fn features_as_of(
        &self,
        permit: &Permit,
        view: &VersionedName,
        entities: &RecordBatch,
        at: Instant,
    ) -> Result<RecordBatch> {
        let (plan, rows) = self.history_of(permit, view).await?;
        let count = entities.num_rows();
        let decisions = Decisions {
            keys: entity_keys(&plan, entities)?,
            at: vec![at; count],
            known: vec![at; count],
            own: vec![None; count],
            cuts: None,
        };
        sweep(&plan, &rows, &decisions)
    }

    pub(crate) async fn history_of(
        &self,
        permit: &Permit,
        view: &VersionedName,
    ) -> Result<(Arc<ViewPlan>, Vec<RecordBatch>)> {
        self.catch_up().await?;
        let revision = self.revision();
        let declared = revision.views.iter().find(|declared| declared.id() == *view).ok_or_else(|| {
            let known: Vec<String> = revision.views.iter().map(|view| view.id().to_string()).collect();
            Error::not_found("SW0824", format!("there is no feature view {view}"))
                .hint(format!("feature views: {}", known.join(", ")))
        })?;
        let dataset = &revision.dataset(&declared.from)?.dataset;
        let computed = Computed::compile(self.parts.engine.as_ref(), dataset, &[declared]).await?;
        let plan = ViewPlan::compile(declared, &computed.extended(dataset))?;
        check_shown(permit, &plan)?;
        let table = TableName::dataset(&declared.from)?;
        let snapshot = self.parts.tables.snapshot(&table, None).await?;
        let rows = self.parts.tables.scan(permit, &table, snapshot.version, Some(&plan.input_columns())).await?;
        Ok((Arc::new(plan), computed.apply_all(rows).await?))
    }
}

/// Refuses whoever may not see every row of the view's dataset, and each column that its values come from: a value, and
/// the rows behind it, rest on all of them. The entity's key may be masked, because who asks names it.
fn check_shown(permit: &Permit, plan: &ViewPlan) -> Result<()> {
    let view = plan.view();
    let values = plan.input_columns().into_iter().filter(|column| !view.entity.contains(column));
    let shown = permit.grants().table(&view.from).is_some_and(|grant| {
        let whole = |column: String| !grant.masks.contains_key(&column) && !grant.hidden.contains(&column);
        grant.rows.is_none() && values.into_iter().all(whole)
    });
    if shown {
        return Ok(());
    }
    let message =
        format!("{} may not see every row and value of {} behind {}", permit.principal(), view.from, view.id());
    Err(Error::new(ErrorKind::Denied, "SW0610", message)
        .hint("a feature rests on all of them; ask an owner for a token that reads the whole dataset"))
}

/// An explanation as JSON: instants as text, values as text.
pub fn explanation_json(explained: &Explanation) -> serde_json::Value {
    let rows = explained.rows.iter().map(|row| {
        json!({
            "row": row.row,
            "event_time": row.event_time.to_string(),
            "available_at": row.available_at.to_string(),
            "value": row.value,
            "included": row.included,
            "why": row.why,
        })
    });
    json!({
        "feature": explained.feature,
        "value": explained.value,
        "status": explained.status,
        "meaning": status_text(explained.status),
        "from": explained.from.map(|from| from.to_string()),
        "until": explained.until.to_string(),
        "rows": rows.collect::<Vec<_>>(),
        "rows_left_out": explained.rows_left_out,
    })
}

/// What a missing value means, for people.
fn status_text(status: FeatureStatus) -> &'static str {
    match status {
        FeatureStatus::Present => "present",
        FeatureStatus::Null => "no value: rows exist, but none gives one",
        FeatureStatus::NotFound => "not found: no visible row of this entity",
        FeatureStatus::MissingInput => "no value: what it is derived from has none",
        FeatureStatus::OutsideTtl => "outside the time to live: the newest row is too old",
    }
}
