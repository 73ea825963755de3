//! Training sets of the running revision: built by the engine, kept as a table version with its fingerprint.

use std::sync::Arc;

use seawall_base::engine::{Fingerprint, TrainingSetPlan, TrainingSetRows};
use seawall_base::error::Result;
use seawall_base::{Append, Cut, Error, Instant, Offset, Partition, Permit, TableName, TableVersion};
use seawall_catalog::Effect;
use seawall_catalog::policy::Action;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::pipeline::{Parts, Pipeline, ensure_with_known_columns};
use crate::revision::{Revision, ServedSet};
use crate::table_writer::conform;

/// Kind of the intent to make a training set the next version of its table.
const REPLACE: &str = "replace_training_set";

/// What a build announces: enough to tell later whether it happened, and to record it.
#[derive(Debug, Serialize, Deserialize)]
struct Expected {
    training_set: String,
    build: u64,
    fingerprint: Fingerprint,
}

/// Finishes the records of builds that a crash cut off between the table's commit and its record: it looks at the table.
pub(crate) async fn resolve_intents(parts: &Parts) -> Result<()> {
    let permit = parts.catalog.system_permit(Action::BuildTrainingSet, "*");
    for intent in parts.catalog.open_intents().await? {
        if intent.effect.kind != REPLACE {
            continue;
        }
        let expected: Expected = serde_json::from_value(intent.effect.expected.clone())
            .map_err(|e| Error::corrupt("SW0871", format!("intent {} is damaged", intent.id)).because(e))?;
        let table = TableName::training_set(&expected.training_set)?;
        let newest = parts.tables.snapshot(&table, None).await?;
        let landed = newest.cut.end(Partition::LIVE).0 >= expected.build;
        if landed {
            let fingerprint = &expected.fingerprint;
            parts.catalog.record_training_set(&permit, &expected.training_set, newest.version, fingerprint).await?;
        }
        let outcome = json!({"recovered": true, "landed": landed, "version": landed.then_some(newest.version)});
        parts.catalog.resolve_intent(&permit, &intent.id, &outcome).await?;
    }
    Ok(())
}

fn as_json(expected: &Expected) -> Result<Value> {
    serde_json::to_value(expected).map_err(|e| Error::internal("SW0801", "cannot encode an intent").because(e))
}

/// A training set that was built and kept.
#[derive(Debug, Clone, Serialize)]
pub struct BuiltTrainingSet {
    /// Table that holds it.
    pub table: TableName,
    /// Version of that table.
    pub version: TableVersion,
    /// What it was made of.
    pub fingerprint: Fingerprint,
    /// Milliseconds on the pipeline's clock that the engine took to read the tables and to compute the rows.
    pub engine_ms: u64,
    /// Milliseconds on the pipeline's clock for everything: catching up with the log, the engine, the table's commit.
    pub elapsed_ms: u64,
}

/// Whole milliseconds between two instants; none when time stood still, as driven time does.
fn milliseconds(from: Instant, to: Instant) -> u64 {
    u64::try_from((to.0 - from.0) / 1_000).unwrap_or(0)
}

impl Pipeline {
    /// Builds a training set from everything that is durable now, with labels known before `built_at`, and keeps it as
    /// the next version of its table.
    pub async fn build_training_set(
        &self,
        permit: &Permit,
        name: &str,
        built_at: Instant,
    ) -> Result<(BuiltTrainingSet, TrainingSetRows)> {
        let clock = self.parts.clock.as_ref();
        let began = clock.now();
        self.catch_up().await?;
        let revision = self.revision();
        let set = revision.training_set(name)?;
        let engine_began = clock.now();
        let rows = self.parts.engine.training_set(permit, &plan(&revision, set, built_at)).await?;
        let engine_ms = milliseconds(engine_began, clock.now());
        let table = TableName::training_set(name)?;
        let tables = self.parts.tables.as_ref();
        ensure_with_known_columns(tables, permit, &table, &rows.rows.schema(), &set.spine.personal).await?;
        let before = tables.snapshot(&table, None).await?;
        // A table of training sets has no rows of the log: its cut counts builds.
        let build = before.cut.end(Partition::LIVE).0 + 1;
        let append = Append {
            batches: vec![conform(&rows.rows, &before.schema)?],
            staged: Vec::new(),
            from: before.cut,
            until: Cut::of(Partition::LIVE, Offset(build)),
        };
        // The table's commit cannot share a transaction with its record: it is announced first.
        let expected = Expected { training_set: name.to_owned(), build, fingerprint: rows.fingerprint.clone() };
        let effect = Effect { kind: REPLACE.into(), target: table.to_string(), expected: as_json(&expected)? };
        let intent = self.parts.catalog.open_intent(permit, &effect).await?;
        let version = tables.replace(permit, &table, append).await?;
        self.parts.catalog.record_training_set(permit, name, version, &rows.fingerprint).await?;
        self.parts.catalog.resolve_intent(permit, &intent, &json!({"version": version})).await?;
        let elapsed_ms = milliseconds(began, clock.now());
        Ok((BuiltTrainingSet { table, version, fingerprint: rows.fingerprint.clone(), engine_ms, elapsed_ms }, rows))
    }
}

/// The engine's plan of a training set over the newest versions.
pub(crate) fn plan(revision: &Arc<Revision>, set: &ServedSet, built_at: Instant) -> TrainingSetPlan {
    TrainingSetPlan {
        training_set: set.training_set.clone(),
        views: set.views.iter().map(|view| view.view().clone()).collect(),
        datasets: revision.datasets.values().map(|dataset| dataset.dataset.clone()).collect(),
        revision: revision.hash.to_string(),
        built_at,
        versions: Vec::new(),
    }
}
