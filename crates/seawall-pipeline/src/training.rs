//! Training sets of the running revision: built by the engine, kept as a table version with its fingerprint.

use std::sync::Arc;

use seawall_base::engine::{Fingerprint, TrainingSetPlan, TrainingSetRows};
use seawall_base::error::Result;
use seawall_base::{Append, Cut, Instant, Offset, Partition, Permit, TableName, TableVersion};
use serde::Serialize;

use crate::pipeline::{Pipeline, ensure_with_known_columns};
use crate::revision::{Revision, ServedSet};
use crate::table_writer::conform;

/// A training set that was built and kept.
#[derive(Debug, Clone, Serialize)]
pub struct BuiltTrainingSet {
    /// Table that holds it.
    pub table: TableName,
    /// Version of that table.
    pub version: TableVersion,
    /// What it was made of.
    pub fingerprint: Fingerprint,
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
        self.catch_up().await?;
        let revision = self.revision();
        let set = revision.training_set(name)?;
        let rows = self.parts.engine.training_set(permit, &plan(&revision, set, built_at)).await?;
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
        let version = self.parts.tables.replace(permit, &table, append).await?;
        self.parts.catalog.record_training_set(permit, name, version, &rows.fingerprint).await?;
        Ok((BuiltTrainingSet { table, version, fingerprint: rows.fingerprint.clone() }, rows))
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
