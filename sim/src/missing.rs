//! Ports that the simulated project never uses: it declares no SQL and no models, so any call is a finding.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use bytes::Bytes;
use seawall_base::engine::{BatchRows, TrainingSetPlan, TrainingSetRows, TransformPlan, TransformRead};
use seawall_base::error::Result;
use seawall_base::upkeep::{
    Compaction, CompactionTargets, Deletion, RowsToDelete, TableFiles, Vacuum, VacuumOptions, VersionInfo,
};
use seawall_base::{
    BatchMap, Engine, Error, Hash, ModelEngine, Permit, Query, QueryResult, Reference, Scorer, TableName, TableUpkeep,
    TableVersion, TrainedModel, TrainingJob,
};

/// Stands where SQL and models would be.
pub struct Missing;

fn missing<T>(what: &str) -> Result<T> {
    Err(Error::internal("SW0832", format!("the simulation has no {what}, and declares nothing that needs it")))
}

#[async_trait]
impl Engine for Missing {
    async fn compile_map(&self, _: &str, _: SchemaRef, _: &[Reference]) -> Result<Arc<dyn BatchMap>> {
        missing("SQL")
    }

    async fn query(&self, _: &Permit, _: Query) -> Result<QueryResult> {
        missing("SQL")
    }

    async fn plan_transform(&self, _: &str, _: &[(String, SchemaRef)]) -> Result<TransformPlan> {
        missing("transforms")
    }

    async fn transform(&self, _: &Permit, _: &TransformRead) -> Result<Box<dyn BatchRows>> {
        missing("transforms")
    }

    async fn training_set(&self, _: &Permit, _: &TrainingSetPlan) -> Result<TrainingSetRows> {
        missing("training sets")
    }
}

#[async_trait]
impl ModelEngine for Missing {
    async fn train(&self, _: &Permit, _: &TrainingJob) -> Result<TrainedModel> {
        missing("trainer")
    }

    fn load(&self, _: Hash) -> Result<Arc<dyn Scorer>> {
        missing("models")
    }

    fn artifact(&self, _: Hash) -> Result<Bytes> {
        missing("models")
    }

    fn keep(&self, _: &Permit, _: Bytes) -> Result<Hash> {
        missing("models")
    }
}

#[async_trait]
impl TableUpkeep for Missing {
    async fn compact(&self, _: &Permit, _: &TableName, _: &CompactionTargets) -> Result<Compaction> {
        missing("files")
    }

    async fn delete_rows(&self, _: &Permit, _: &TableName, _: &RowsToDelete) -> Result<Deletion> {
        missing("files")
    }

    async fn restore_version(
        &self,
        _: &Permit,
        _: &TableName,
        _: TableVersion,
        _: TableVersion,
    ) -> Result<TableVersion> {
        missing("files")
    }

    async fn vacuum(&self, _: &Permit, _: &TableName, _: &VacuumOptions) -> Result<Vacuum> {
        missing("files")
    }

    async fn versions(&self, _: &TableName) -> Result<Vec<VersionInfo>> {
        missing("files")
    }

    async fn files(&self, _: &TableName, _: &CompactionTargets) -> Result<TableFiles> {
        missing("files")
    }
}
