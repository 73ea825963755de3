//! The query engine with every call guarded that reads tables.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use seawall_base::error::Result;
use seawall_base::{BatchMap, Engine, Permit, Query, QueryResult, Reference, Span};

use super::call::{Dependency, Idempotent, Operation};
use super::set::Dependencies;
use seawall_base::engine::{TrainingSetPlan, TrainingSetRows};

const QUERY: Operation =
    Operation { name: "query", deadline: Span(10 * Span::MINUTE.0), slow_after: Span(10 * Span::MINUTE.0) };
const TRAINING_SET: Operation =
    Operation { name: "training_set", deadline: Span(6 * Span::HOUR.0), slow_after: Span(6 * Span::HOUR.0) };

/// Guards an engine.
pub(crate) struct GuardedEngine {
    pub(crate) inner: Arc<dyn Engine>,
    pub(crate) queries: Arc<Dependency>,
    pub(crate) training_sets: Arc<Dependency>,
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

    async fn query(&self, permit: &Permit, query: Query) -> Result<QueryResult> {
        let call = || self.inner.query(permit, query.clone());
        self.queries.repeat(QUERY, Idempotent::because("a statement only reads", call)).await
    }

    /// Not repeated: it may take hours, and whoever wants it decides whether it is worth them again.
    async fn training_set(&self, permit: &Permit, plan: &TrainingSetPlan) -> Result<TrainingSetRows> {
        self.training_sets.once(TRAINING_SET, self.inner.training_set(permit, plan)).await
    }
}
