//! SQL compiled once and run per batch: [`SqlMap`].

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::common::tree_node::Transformed;
use datafusion::datasource::provider_as_source;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::SessionContext;
use seawall_base::error::{Error, Result};
use seawall_base::{BatchMap, ColumnEdge, Reference};

use super::expressions::Expressions;
use super::runtime::QueryRuntime;
use super::session::{self, SessionFactory};
use super::{errors, lineage};
use crate::codes;
use crate::types;

/// The batch's name in SQL.
const INPUT: &str = "input";

/// A compiled map. Planning and optimising happen once. Expressions over the batch alone are evaluated as they are; anything
/// else gets a physical plan per batch.
pub(crate) struct SqlMap {
    state: Arc<SessionState>,
    plan: Arc<LogicalPlan>,
    expressions: Option<Arc<Expressions>>,
    input: SchemaRef,
    output: SchemaRef,
    edges: Vec<ColumnEdge>,
    is_row_wise: bool,
    runtime: QueryRuntime,
}

impl SqlMap {
    /// Compiles `sql` over batches of schema `input`.
    pub(crate) async fn compile(
        sessions: &SessionFactory,
        runtime: &QueryRuntime,
        sql: &str,
        input: SchemaRef,
        references: &[Reference],
    ) -> Result<SqlMap> {
        let state = sessions.session(1);
        let context = SessionContext::new_with_state(state);
        register(&context, INPUT, &RecordBatch::new_empty(Arc::clone(&input)))?;
        for reference in references {
            register(&context, &reference.name, &reference.rows)?;
        }
        let state = context.state();
        let stated = session::plan_read_only(&state, sql).await?;
        session::check_repeatable(&stated)?;
        let output = output_schema(&stated)?;
        let edges = lineage::edges(&stated).map_err(errors::planning)?;
        let plan = state.optimize(&stated).map_err(errors::planning)?;
        let is_row_wise = session::is_row_wise(&stated);
        let expressions = Expressions::of(&state, &plan, INPUT).map(Arc::new);
        let (state, plan, runtime) = (Arc::new(state), Arc::new(plan), runtime.clone());
        Ok(SqlMap { state, plan, expressions, input, output, edges, is_row_wise, runtime })
    }

    /// Runs the map on the caller's own threads, which must be those of the engine.
    pub(crate) async fn apply_here(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let batch = fit(batch, &self.input)?;
        match &self.expressions {
            Some(expressions) => normal_rows(&expressions.evaluate(batch)?, &self.output),
            None => run(&self.state, &self.plan, batch, &self.output).await,
        }
    }
}

#[async_trait]
impl BatchMap for SqlMap {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.output)
    }

    async fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let batch = fit(batch, &self.input)?;
        let output = Arc::clone(&self.output);
        if let Some(expressions) = self.expressions.clone() {
            let evaluate = async move { normal_rows(&expressions.evaluate(batch)?, &output) };
            return self.runtime.run(evaluate).await;
        }
        let (state, plan) = (Arc::clone(&self.state), Arc::clone(&self.plan));
        self.runtime.run(async move { run(&state, &plan, batch, &output).await }).await
    }

    fn lineage(&self) -> &[ColumnEdge] {
        &self.edges
    }

    fn is_row_wise(&self) -> bool {
        self.is_row_wise
    }
}

async fn run(state: &SessionState, plan: &LogicalPlan, batch: RecordBatch, output: &SchemaRef) -> Result<RecordBatch> {
    let plan = with_input(plan, batch).map_err(errors::running)?;
    let physical = physical_plan(state, &plan).await?;
    let batches = Box::pin(collect(physical, state.task_ctx())).await.map_err(errors::running)?;
    let mut normal = Vec::with_capacity(batches.len());
    for batch in &batches {
        normal.push(normal_rows(batch, output)?);
    }
    Ok(concat_batches(output, &normal)?)
}

async fn physical_plan(state: &SessionState, plan: &LogicalPlan) -> Result<Arc<dyn ExecutionPlan>> {
    // The logical plan is optimised already, so this skips `SessionState::create_physical_plan`.
    Box::pin(state.query_planner().create_physical_plan(plan, state)).await.map_err(errors::running)
}

/// Result rows in normal types, by position.
pub(crate) fn normal_rows(batch: &RecordBatch, output: &SchemaRef) -> Result<RecordBatch> {
    let failed = |e: arrow::error::ArrowError| {
        Error::invalid(codes::SQL_FAILED, "a value of the result does not fit its column").because(e)
    };
    types::retype(batch, output).map_err(failed)
}

/// The plan with the rows of `batch` where it reads `input`.
fn with_input(plan: &LogicalPlan, batch: RecordBatch) -> datafusion::common::Result<LogicalPlan> {
    let source = provider_as_source(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?));
    let replaced = plan.clone().transform_up_with_subqueries(|node| match node {
        LogicalPlan::TableScan(mut scan) if scan.table_name.table() == INPUT => {
            scan.source = Arc::clone(&source);
            Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(replaced.data)
}

/// `batch` in the schema that the map was compiled for.
fn fit(batch: &RecordBatch, input: &SchemaRef) -> Result<RecordBatch> {
    if batch.schema() == *input {
        return Ok(batch.clone());
    }
    types::conform(batch, input).map_err(|e| {
        Error::invalid(codes::MAP_INPUT, "a batch does not have the columns that its map was compiled for")
            .because(e)
            .hint("compile the map for the batch's schema")
    })
}

fn register(context: &SessionContext, name: &str, rows: &RecordBatch) -> Result<()> {
    let table: Arc<dyn TableProvider> =
        Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows.clone()]]).map_err(errors::planning)?);
    let replaced = context.register_table(name, table).map_err(errors::planning)?;
    if replaced.is_some() {
        let message = format!("two tables of a map are named {name}");
        return Err(Error::invalid(codes::SQL_INVALID, message).hint("`input` is the batch; rename the reference"));
    }
    Ok(())
}

/// The normal schema of a map's result; each column needs a name of its own.
fn output_schema(plan: &LogicalPlan) -> Result<SchemaRef> {
    let schema: Schema = plan.schema().as_arrow().clone();
    let mut names = BTreeSet::new();
    for field in schema.fields() {
        if !names.insert(field.name().as_str()) {
            let message = format!("the result has two columns named {:?}", field.name());
            return Err(Error::invalid(codes::SQL_INVALID, message).hint("give one of them an alias with `as`"));
        }
    }
    Ok(types::normal_schema(&schema))
}

#[cfg(test)]
mod tests;
