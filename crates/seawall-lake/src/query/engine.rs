//! The engine: [`DataFusionEngine`].

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use seawall_base::engine::{
    BatchRows, Query, QueryResult, TrainingSetPlan, TrainingSetRows, TransformPlan, TransformRead,
};
use seawall_base::error::Result;
use seawall_base::table::TableStore;
use seawall_base::{BatchMap, Engine, Permit, Reference};

use super::catalog::{QueryCatalog, Scope};
use super::map::{self, SqlMap};
use super::provider::Tables;
use super::runtime::QueryRuntime;
use super::session::{self, SessionFactory};
use super::{errors, explain};
use crate::policy::Salt;
use crate::table::DeltaStore;
use crate::training_set::{Budget, Builder};
use crate::{transform, types};

/// Settings of a [`DataFusionEngine`].
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Memory for all statements together, in bytes; beyond it, sorts, aggregations and joins spill or fail. As much
    /// again for each history that a training set is built from; beyond it, the history spills.
    pub memory_bytes: usize,
    /// Threads that run statements.
    pub threads: usize,
    /// Where statements spill; the system's temporary folder when absent.
    pub spill_folder: Option<PathBuf>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        EngineOptions { memory_bytes: 1 << 30, threads, spill_folder: None }
    }
}

/// SQL and training sets over one table store.
#[derive(Debug, Clone)]
pub struct DataFusionEngine {
    tables: Tables,
    sessions: SessionFactory,
    runtime: QueryRuntime,
    threads: usize,
    /// What a training set may hold of a history in memory.
    budget: Budget,
}

impl DataFusionEngine {
    /// An engine over Delta tables, whose files it scans in parallel.
    pub fn new(store: Arc<DeltaStore>, options: EngineOptions) -> Result<Self> {
        let home = Some(store.home());
        let sessions = SessionFactory::new(options.memory_bytes, options.spill_folder.clone(), home)?;
        DataFusionEngine::start(Tables::Delta(store), sessions, options)
    }

    /// An engine over any other store; a query takes the rows of the tables that it reads into memory.
    pub fn over(store: Arc<dyn TableStore>, options: EngineOptions) -> Result<Self> {
        let sessions = SessionFactory::new(options.memory_bytes, options.spill_folder.clone(), None)?;
        DataFusionEngine::start(Tables::Other(store), sessions, options)
    }

    fn start(tables: Tables, sessions: SessionFactory, options: EngineOptions) -> Result<Self> {
        let threads = options.threads.max(1);
        let budget = Budget { bytes: options.memory_bytes, folder: options.spill_folder };
        Ok(DataFusionEngine { tables, sessions, runtime: QueryRuntime::start(threads)?, threads, budget })
    }

    async fn run_query(self, permit: Permit, query: Query) -> Result<QueryResult> {
        let context = self.context(&permit, &query).await?;
        let state = context.state();
        let plan = match session::plan_read_only(&state, &query.sql).await {
            Ok(plan) => plan,
            Err(e) if e.code() == crate::codes::SQL_TABLE_UNKNOWN => {
                return Err(self.with_table_names(&permit, e).await);
            }
            Err(e) => return Err(e),
        };
        if !permit.grants().is_everything()
            && let Some(explained) = explain::redacted(&state, &plan)?
        {
            return Ok(explained);
        }
        run(&state, plan, query.rows_max).await
    }

    /// A session whose catalog has what the holder of `permit` may see.
    async fn context(&self, permit: &Permit, query: &Query) -> Result<SessionContext> {
        let views: BTreeMap<String, String> = query.views.iter().cloned().collect();
        let lists = lists_tables(&query.sql) || views.values().any(|sql| lists_tables(sql));
        let listed = if lists { Some(self.table_names(permit).await?) } else { None };
        let scope = Scope {
            tables: self.tables.clone(),
            salt: Salt::of_query(permit, &query.sql),
            permit: permit.clone(),
            versions: query.versions.iter().cloned().collect(),
            views,
            sessions: self.sessions.clone(),
            partitions: self.threads,
        };
        let catalog = QueryCatalog::open(scope, query.system.clone(), listed).await.map_err(errors::planning)?;
        let context = SessionContext::new_with_state(self.sessions.session(self.threads));
        context.register_catalog(session::CATALOG, Arc::new(catalog));
        Ok(context)
    }

    /// The tables that there are for the holder of `permit`.
    async fn table_names(&self, permit: &Permit) -> Result<Vec<String>> {
        let mut tables = self.tables.store().tables().await?;
        tables.retain(|table| permit.grants().table(table.as_str()).is_some());
        Ok(tables.iter().map(ToString::to_string).collect())
    }

    async fn with_table_names(&self, permit: &Permit, error: seawall_base::Error) -> seawall_base::Error {
        match self.table_names(permit).await {
            Ok(names) if !names.is_empty() => error.hint(format!("the tables are {}", names.join(", "))),
            _ => error,
        }
    }
}

/// Whether a statement may ask which tables there are. Listing them for one that does not would only cost time.
fn lists_tables(sql: &str) -> bool {
    let sql = sql.to_lowercase();
    ["information_schema", "show", "describe"].iter().any(|word| sql.contains(word))
}

async fn run(state: &SessionState, plan: LogicalPlan, rows_max: Option<usize>) -> Result<QueryResult> {
    let schema: Schema = plan.schema().as_arrow().clone();
    let schema = types::normal_schema(&schema);
    let plan = with_limit(plan, rows_max)?;
    let physical = Box::pin(state.create_physical_plan(&plan)).await.map_err(errors::planning)?;
    let mut stream = execute_stream(physical, state.task_ctx()).map_err(errors::running)?;
    let mut batches: Vec<RecordBatch> = Vec::new();
    let mut left = rows_max.unwrap_or(usize::MAX);
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(errors::running)?;
        let truncated = batch.num_rows() > left;
        let kept = batch.slice(0, batch.num_rows().min(left));
        left -= kept.num_rows();
        if kept.num_rows() > 0 {
            batches.push(map::normal_rows(&kept, &schema)?);
        }
        if truncated {
            return Ok(QueryResult { schema, batches, truncated });
        }
    }
    Ok(QueryResult { schema, batches, truncated: false })
}

/// One row more than allowed tells whether the result was cut off; the rest need not be computed.
fn with_limit(plan: LogicalPlan, rows_max: Option<usize>) -> Result<LogicalPlan> {
    let explains = matches!(plan, LogicalPlan::Explain(_) | LogicalPlan::Analyze(_) | LogicalPlan::DescribeTable(_));
    let Some(rows_max) = rows_max.filter(|_| !explains) else { return Ok(plan) };
    let limited = LogicalPlanBuilder::from(plan).limit(0, Some(rows_max.saturating_add(1)));
    limited.and_then(LogicalPlanBuilder::build).map_err(errors::planning)
}

#[async_trait]
impl Engine for DataFusionEngine {
    async fn compile_map(&self, sql: &str, input: SchemaRef, references: &[Reference]) -> Result<Arc<dyn BatchMap>> {
        let map = Box::pin(SqlMap::compile(&self.sessions, &self.runtime, sql, input, references)).await?;
        Ok(Arc::new(map))
    }

    async fn plan_transform(&self, sql: &str, tables: &[(String, SchemaRef)]) -> Result<TransformPlan> {
        let (sessions, sql, tables) = (self.sessions.clone(), sql.to_owned(), tables.to_vec());
        self.runtime.run(Box::pin(async move { transform::plan(&sessions, &sql, &tables).await })).await
    }

    async fn transform(&self, permit: &Permit, read: &TransformRead) -> Result<Box<dyn BatchRows>> {
        let (engine, permit, read) = (self.clone(), permit.clone(), read.clone());
        let begin = async move {
            let query = Query { sql: read.sql.clone(), versions: read.versions.clone(), ..Query::default() };
            let context = engine.context(&permit, &query).await?;
            transform::Rows::begin(&context.state(), &read, &engine.runtime).await
        };
        Ok(Box::new(self.runtime.run(Box::pin(begin)).await?))
    }

    async fn query(&self, permit: &Permit, query: Query) -> Result<QueryResult> {
        let work = Box::pin(self.clone().run_query(permit.clone(), query));
        self.runtime.run(work).await
    }

    async fn training_set(&self, permit: &Permit, plan: &TrainingSetPlan) -> Result<TrainingSetRows> {
        let (engine, permit, plan) = (self.clone(), permit.clone(), plan.clone());
        let work = async move {
            let store = engine.tables.store();
            let builder = Builder::new(store, &engine.sessions, &engine.runtime, &permit, &engine.budget);
            builder.build(&plan).await
        };
        self.runtime.run(Box::pin(work)).await
    }
}

#[cfg(test)]
mod tests;
