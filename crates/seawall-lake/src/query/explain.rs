//! What a caller with a restricted grant is told of a plan: its steps, and the tables and columns that it reads.
//!
//! The engine's own explanation tells file names, row counts, what was pruned and the text of views. This one is made of
//! nothing but the kinds of the steps and names that the caller could list anyway.

use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan};
use seawall_base::engine::QueryResult;
use seawall_base::error::{Error, ErrorKind, Result};

use super::errors;
use crate::codes;

/// The redacted explanation when `plan` asks for one; none when it is to be run.
pub(super) fn redacted(state: &SessionState, plan: &LogicalPlan) -> Result<Option<QueryResult>> {
    match plan {
        LogicalPlan::Explain(explain) => {
            let explained = state.optimize(&explain.plan).map_err(errors::planning)?;
            let mut steps = String::new();
            describe(&explained, 0, &mut steps).map_err(errors::planning)?;
            answer(&steps).map(Some)
        }
        LogicalPlan::Analyze(_) => {
            let message = "explain analyze tells how many rows there are, shown or not";
            Err(Error::new(ErrorKind::Denied, codes::EXPLAIN_ANALYZE, message)
                .hint("use explain without analyze, or ask for the right to read everything"))
        }
        _ => Ok(None),
    }
}

fn describe(plan: &LogicalPlan, depth: usize, steps: &mut String) -> datafusion::common::Result<()> {
    steps.push_str(&"  ".repeat(depth));
    steps.push_str(kind(plan));
    if let LogicalPlan::TableScan(scan) = plan {
        let columns: Vec<&str> = scan.projected_schema.fields().iter().map(|field| field.name().as_str()).collect();
        steps.push_str(&format!(" {} [{}]", scan.table_name.table(), columns.join(", ")));
    }
    steps.push('\n');
    for input in plan.inputs() {
        describe(input, depth + 1, steps)?;
    }
    for subquery in subqueries(plan)? {
        describe(&subquery, depth + 1, steps)?;
    }
    Ok(())
}

/// The plans inside of a plan's own expressions.
fn subqueries(plan: &LogicalPlan) -> datafusion::common::Result<Vec<LogicalPlan>> {
    let mut found = Vec::new();
    plan.apply_expressions(|expression| {
        expression.apply(|part| {
            match part {
                Expr::ScalarSubquery(subquery) => found.push(subquery.subquery.as_ref().clone()),
                Expr::InSubquery(within) => found.push(within.subquery.subquery.as_ref().clone()),
                Expr::Exists(exists) => found.push(exists.subquery.subquery.as_ref().clone()),
                _ => {}
            }
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(found)
}

fn kind(plan: &LogicalPlan) -> &'static str {
    match plan {
        LogicalPlan::TableScan(_) => "TableScan",
        LogicalPlan::Projection(_) => "Projection",
        LogicalPlan::Filter(_) => "Filter",
        LogicalPlan::Aggregate(_) => "Aggregate",
        LogicalPlan::Window(_) => "Window",
        LogicalPlan::Join(_) => "Join",
        LogicalPlan::Sort(_) => "Sort",
        LogicalPlan::Limit(_) => "Limit",
        LogicalPlan::Union(_) => "Union",
        LogicalPlan::Distinct(_) => "Distinct",
        LogicalPlan::Unnest(_) => "Unnest",
        LogicalPlan::Values(_) => "Values",
        LogicalPlan::SubqueryAlias(_) => "SubqueryAlias",
        LogicalPlan::Subquery(_) => "Subquery",
        LogicalPlan::RecursiveQuery(_) => "RecursiveQuery",
        LogicalPlan::Repartition(_) => "Repartition",
        LogicalPlan::EmptyRelation(_) => "EmptyRelation",
        _ => "Step",
    }
}

/// In the columns of the engine's own explanation.
fn answer(steps: &str) -> Result<QueryResult> {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    let schema = Arc::new(Schema::new(vec![text("plan_type"), text("plan")]));
    let columns: Vec<arrow::array::ArrayRef> =
        vec![Arc::new(StringArray::from(vec!["logical_plan"])), Arc::new(StringArray::from(vec![steps.trim_end()]))];
    let rows = RecordBatch::try_new(Arc::clone(&schema), columns)?;
    Ok(QueryResult { schema, batches: vec![rows], truncated: false })
}
