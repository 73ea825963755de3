//! The query engine with every call guarded that reads tables.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use seawall_base::error::Result;
use seawall_base::{BatchMap, Engine, Permit, Query, QueryResult, Reference, Span};

use super::call::{Dependency, Idempotent, Operation};
use super::set::Dependencies;
use seawall_base::engine::{BatchRows, TrainingSetPlan, TrainingSetRows, TransformPlan, TransformRead};

const QUERY: Operation =
    Operation { name: "query", deadline: Span(10 * Span::MINUTE.0), slow_after: Span(10 * Span::MINUTE.0) };
/// One batch of a transform: an aggregation gives its first one after it has read everything.
const TRANSFORM: Operation =
    Operation { name: "transform", deadline: Span(Span::HOUR.0), slow_after: Span(Span::HOUR.0) };
const TRAINING_SET: Operation =
    Operation { name: "training_set", deadline: Span(6 * Span::HOUR.0), slow_after: Span(6 * Span::HOUR.0) };

/// Guards an engine.
pub(crate) struct GuardedEngine {
    pub(crate) inner: Arc<dyn Engine>,
    pub(crate) queries: Arc<Dependency>,
    pub(crate) training_sets: Arc<Dependency>,
}

/// A run of a transform whose batches are waited for with a deadline.
struct GuardedRows {
    inner: Box<dyn BatchRows>,
    queries: Arc<Dependency>,
}

#[async_trait]
impl BatchRows for GuardedRows {
    /// Not repeated: the batches before are gone.
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        self.queries.once(TRANSFORM, self.inner.next()).await
    }

    fn rows_read(&self) -> u64 {
        self.inner.rows_read()
    }
}

/// `engine` with its calls guarded as a pipeline guards them, for whoever asks before one runs.
pub fn guarded_engine(engine: Arc<dyn Engine>) -> Arc<dyn Engine> {
    let Dependencies { queries, training_sets, .. } = Dependencies::default();
    Arc::new(GuardedEngine { inner: engine, queries, training_sets })
}

#[async_trait]
impl Engine for GuardedEngine {
    /// Compiling reads no table: there is nothing that could be away.
    async fn compile_map(&self, sql: &str, input: SchemaRef, references: &[Reference]) -> Result<Arc<dyn BatchMap>> {
        self.inner.compile_map(sql, input, references).await
    }

    /// Planning reads no table either.
    async fn plan_transform(&self, sql: &str, tables: &[(String, SchemaRef)]) -> Result<TransformPlan> {
        self.inner.plan_transform(sql, tables).await
    }

    async fn transform(&self, permit: &Permit, read: &TransformRead) -> Result<Box<dyn BatchRows>> {
        let call = || self.inner.transform(permit, read);
        let begun = self.queries.repeat(TRANSFORM, Idempotent::because("nothing is handed out yet", call)).await?;
        Ok(Box::new(GuardedRows { inner: begun, queries: self.queries.clone() }))
    }

    async fn query(&self, permit: &Permit, query: Query) -> Result<QueryResult> {
        let call = || self.inner.query(permit, query.clone());
        self.queries.repeat(QUERY, Idempotent::because("a statement only reads", call)).await
    }

    /// Not repeated: it may take hours, and whoever wants it decides whether it is worth them again.
    async fn training_set(&self, permit: &Permit, plan: &TrainingSetPlan) -> Result<TrainingSetRows> {
        self.training_sets.once(TRAINING_SET, self.inner.training_set(permit, plan)).await
    }
}
