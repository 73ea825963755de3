//! Sessions: the settings, functions and memory that every statement shares.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use datafusion::prelude::{SQLOptions, SessionConfig};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast;
use seawall_base::error::{Error, Result};

use super::{errors, functions};
use crate::codes;
use crate::store::Home;

/// Name of the catalog in SQL.
pub(crate) const CATALOG: &str = "seawall";
/// Schema of the datasets' tables.
pub(crate) const TABLES: &str = "public";
/// Schema of Seawall's own tables.
pub(crate) const SYSTEM: &str = "system";

/// Memory consumers that an error message names.
const CONSUMERS_NAMED: NonZeroUsize = NonZeroUsize::new(3).expect("three is not zero");

/// Functions whose answer depends on when they run.
const CLOCK_FUNCTIONS: [&str; 5] = ["now", "current_date", "current_time", "current_timestamp", "today"];

/// Makes sessions that share one memory pool.
#[derive(Debug, Clone)]
pub(crate) struct SessionFactory {
    runtime: Arc<RuntimeEnv>,
}

impl SessionFactory {
    /// A pool of `memory_bytes` that spills into `spill_folder`, the system's temporary folder when absent. Files are
    /// read through the store of `home`.
    pub(crate) fn new(memory_bytes: usize, spill_folder: Option<PathBuf>, home: Option<&Home>) -> Result<Self> {
        let disk = match spill_folder {
            Some(folder) => DiskManagerMode::Directories(vec![folder]),
            None => DiskManagerMode::OsTmpDirectory,
        };
        let pool = TrackConsumersPool::new(FairSpillPool::new(memory_bytes), CONSUMERS_NAMED);
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(pool))
            .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(disk))
            .build_arc()
            .map_err(|e| Error::internal(codes::ENGINE_STOPPED, "setting up the engine's memory").because(e))?;
        if let Some(home) = home {
            runtime.register_object_store(home.url(), Arc::clone(home.store()));
        }
        Ok(SessionFactory { runtime })
    }

    /// A session whose plans have `partitions` parallel parts. With one part, row-wise SQL keeps the order of rows.
    pub(crate) fn session(&self, partitions: usize) -> SessionState {
        let mut config = SessionConfig::new()
            .with_target_partitions(partitions.max(1))
            .with_information_schema(true)
            .with_create_default_catalog_and_schema(true)
            .with_default_catalog_and_schema(CATALOG, TABLES);
        let options = config.options_mut();
        // Plain strings: results are handed out as Arrow, and views would have to be copied at the edge.
        options.execution.parquet.schema_force_view_types = false;
        options.sql_parser.map_string_types_to_utf8view = false;
        options.execution.time_zone = Some("UTC".into());
        let mut state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(Arc::clone(&self.runtime))
            .with_default_features()
            .build();
        for function in functions::all() {
            // The default features have no functions of these names, so nothing is replaced.
            let _ = datafusion::execution::FunctionRegistry::register_udf(&mut state, function);
        }
        state
    }
}

/// Plans one read-only statement.
pub(crate) async fn plan_read_only(state: &SessionState, sql: &str) -> Result<LogicalPlan> {
    plan(state, sql, only_reads).await
}

/// Plans one select, as views are.
pub(crate) async fn plan_select(state: &SessionState, sql: &str) -> Result<LogicalPlan> {
    plan(state, sql, is_select).await
}

async fn plan(state: &SessionState, sql: &str, is_allowed: fn(&Statement) -> bool) -> Result<LogicalPlan> {
    let dialect = state.config().options().sql_parser.dialect;
    let statement = state.sql_to_statement(sql, &dialect).map_err(|e| {
        let is_several = e.to_string().contains("single SQL statement");
        if is_several { not_read_only("there is more than one statement") } else { errors::planning(e) }
    })?;
    if !is_allowed(&statement) {
        return Err(not_read_only("it is no select"));
    }
    let plan = Box::pin(state.statement_to_plan(statement)).await.map_err(errors::planning)?;
    let options = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    options.verify_plan(&plan).map_err(|e| not_read_only(&e.strip_backtrace()))?;
    Ok(plan)
}

/// A first look at the statement itself: what is not known to read is refused before it is planned.
fn only_reads(statement: &Statement) -> bool {
    match statement {
        Statement::Statement(statement) => matches!(
            statement.as_ref(),
            ast::Statement::Query(_)
                | ast::Statement::ShowTables { .. }
                | ast::Statement::ShowColumns { .. }
                | ast::Statement::ShowFunctions { .. }
                | ast::Statement::ExplainTable { .. }
        ),
        Statement::Explain(explained) => only_reads(&explained.statement),
        Statement::CreateExternalTable(_) | Statement::CopyTo(_) | Statement::Reset(_) => false,
    }
}

fn is_select(statement: &Statement) -> bool {
    matches!(statement, Statement::Statement(statement) if matches!(statement.as_ref(), ast::Statement::Query(_)))
}

fn not_read_only(why: &str) -> Error {
    Error::invalid(codes::SQL_NOT_READ_ONLY, format!("the SQL is not one read-only statement: {why}"))
        .hint("write one select; tables change only through contracts, sources and transforms")
}

/// Refuses what would answer differently when it is run again: the clock and chance.
pub(crate) fn check_repeatable(plan: &LogicalPlan) -> Result<()> {
    let mut found: HashSet<String> = HashSet::new();
    let walked = plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expression| {
            expression.apply(|part| {
                if let Expr::ScalarFunction(call) = part {
                    let is_volatile = call.func.signature().volatility == Volatility::Volatile;
                    if is_volatile || CLOCK_FUNCTIONS.contains(&call.func.name()) {
                        found.insert(call.func.name().to_owned());
                    }
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    walked.map_err(errors::planning)?;
    match found.iter().min() {
        None => Ok(()),
        Some(name) => {
            let message = format!("{name}() gives another answer each time, so its rows could not be replayed");
            Err(Error::invalid(codes::SQL_NOT_REPEATABLE, message)
                .hint("use a column: the event time, or the arrival that Seawall stamps"))
        }
    }
}

/// Whether a plan only projects: no filter, join, aggregate, window or subquery.
pub(crate) fn is_row_wise(plan: &LogicalPlan) -> bool {
    let mut only_projects = true;
    let walked = plan.apply_with_subqueries(|node| {
        let projects =
            matches!(node, LogicalPlan::Projection(_) | LogicalPlan::TableScan(_) | LogicalPlan::SubqueryAlias(_));
        only_projects &= projects;
        Ok(if projects { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    walked.is_ok() && only_projects
}

/// Whether a plan makes each row of one row of one table, by projection and filter alone.
pub(crate) fn is_of_single_rows(plan: &LogicalPlan) -> bool {
    let mut scans = 0;
    let mut only_these = true;
    let walked = plan.apply_with_subqueries(|node| {
        scans += usize::from(matches!(node, LogicalPlan::TableScan(_)));
        only_these &= matches!(
            node,
            LogicalPlan::Projection(_)
                | LogicalPlan::Filter(_)
                | LogicalPlan::TableScan(_)
                | LogicalPlan::SubqueryAlias(_)
        );
        Ok(if only_these { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    walked.is_ok() && only_these && scans == 1
}
