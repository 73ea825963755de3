//! One run of a transform's SQL: batches, as somebody asks for them.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, ident};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::StreamExt;
use seawall_base::engine::{BatchRows, TransformRead};
use seawall_base::error::{Error, Result};
use tokio::sync::mpsc;

use super::new_rows;
use super::plan::made;
use crate::codes;
use crate::query::{QueryRuntime, StopOnDrop, errors, normal_rows, session};
use crate::types;

/// Batches that are computed before somebody asks for them.
const BATCHES_AHEAD_MAX: usize = 2;

/// Batches of a run.
pub(crate) struct Rows {
    /// None when there are no more: a computation that died says nothing.
    batches: mpsc::Receiver<Result<Option<RecordBatch>>>,
    is_at_end: bool,
    plan: Arc<dyn ExecutionPlan>,
    /// Ends the computation with the run.
    _task: StopOnDrop<()>,
}

impl Rows {
    /// Plans `read` in a session whose catalog has the tables, and begins to compute.
    pub(crate) async fn begin(state: &SessionState, read: &TransformRead, runtime: &QueryRuntime) -> Result<Rows> {
        let stated = session::plan_select(state, &read.sql).await?;
        session::check_repeatable(&stated)?;
        let logical = shown(&stated, read).map_err(errors::planning)?;
        let schema: &Schema = logical.schema().as_arrow();
        let schema = types::normal_schema(schema);
        let plan = Box::pin(state.create_physical_plan(&logical)).await.map_err(errors::planning)?;
        let stream = execute_stream(Arc::clone(&plan), state.task_ctx()).map_err(errors::running)?;
        let (sender, batches) = mpsc::channel(BATCHES_AHEAD_MAX);
        let task = runtime.spawn(send(stream, schema, sender))?;
        Ok(Rows { batches, is_at_end: false, plan, _task: task })
    }
}

/// The plan whose result is handed out.
fn shown(stated: &LogicalPlan, read: &TransformRead) -> datafusion::common::Result<LogicalPlan> {
    let made = made(stated).map_err(|e| datafusion::common::DataFusionError::External(Box::new(e)))?;
    let names: Vec<String> = made.fields().iter().map(|field| field.name().clone()).collect();
    match &read.new {
        Some(new) => new_rows::carrying(stated, new, &names),
        None if names.len() == stated.schema().fields().len() => Ok(stated.clone()),
        None => LogicalPlanBuilder::from(stated.clone()).project(names.iter().map(ident))?.build(),
    }
}

async fn send(
    mut stream: datafusion::execution::SendableRecordBatchStream,
    schema: SchemaRef,
    sender: mpsc::Sender<Result<Option<RecordBatch>>>,
) {
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(errors::running).and_then(|batch| normal_rows(&batch, &schema));
        let is_last = batch.is_err();
        if sender.send(batch.map(Some)).await.is_err() || is_last {
            return;
        }
    }
    // Whoever has gone does not need to know.
    let _ = sender.send(Ok(None)).await;
}

/// Rows that the scans of a plan gave.
fn scanned(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let children = plan.children();
    if children.is_empty() {
        return plan.metrics().and_then(|metrics| metrics.output_rows()).unwrap_or_default();
    }
    children.into_iter().map(scanned).sum()
}

#[async_trait]
impl BatchRows for Rows {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        if self.is_at_end {
            return Ok(None);
        }
        let died = || Error::internal(codes::ENGINE_STOPPED, "the engine stopped before it had given every row");
        let batch = self.batches.recv().await.ok_or_else(died)??;
        self.is_at_end = batch.is_none();
        Ok(batch)
    }

    fn rows_read(&self) -> u64 {
        scanned(&self.plan) as u64
    }
}
