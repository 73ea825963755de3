//! Expressions over the rows of one batch, evaluated without a plan: what a vector of one row is derived by must not wait for
//! the planner.
//!
//! It is what the engine's own projection does with each batch: the same physical expressions, in the same order.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::PhysicalExpr;
use seawall_base::error::Result;

use super::errors;

/// Projections over a batch, innermost first.
#[derive(Debug)]
pub(crate) struct Expressions {
    /// Columns of the batch that the first one reads; all of them when absent.
    read: Option<Vec<usize>>,
    projections: Vec<Projection>,
}

#[derive(Debug)]
struct Projection {
    expressions: Vec<Arc<dyn PhysicalExpr>>,
    schema: SchemaRef,
}

impl Expressions {
    /// The projections that `plan` is over the table `input`; none when it is anything else.
    pub fn of(state: &SessionState, plan: &LogicalPlan, input: &str) -> Option<Expressions> {
        match plan {
            LogicalPlan::TableScan(scan) if scan.table_name.table() == input => {
                let is_plain = scan.filters.is_empty() && scan.fetch.is_none();
                is_plain.then(|| Expressions { read: scan.projection.clone(), projections: Vec::new() })
            }
            LogicalPlan::SubqueryAlias(alias) => Expressions::of(state, &alias.input, input),
            LogicalPlan::Projection(projection) => {
                let mut inner = Expressions::of(state, &projection.input, input)?;
                let from = projection.input.schema();
                let mut expressions = Vec::with_capacity(projection.expr.len());
                for expression in &projection.expr {
                    // What cannot stand alone, such as a subquery, is left to the planner.
                    expressions.push(state.create_physical_expr(expression.clone(), from).ok()?);
                }
                let schema = Arc::clone(projection.schema.inner());
                inner.projections.push(Projection { expressions, schema });
                Some(inner)
            }
            _ => None,
        }
    }

    /// The rows of the result.
    pub fn evaluate(&self, batch: RecordBatch) -> Result<RecordBatch> {
        let mut rows = match &self.read {
            Some(columns) => batch.project(columns)?,
            None => batch,
        };
        for projection in &self.projections {
            let mut columns = Vec::with_capacity(projection.expressions.len());
            for expression in &projection.expressions {
                let values = expression.evaluate(&rows).and_then(|values| values.into_array(rows.num_rows()));
                columns.push(values.map_err(errors::running)?);
            }
            let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
            rows = RecordBatch::try_new_with_options(Arc::clone(&projection.schema), columns, &options)?;
        }
        Ok(rows)
    }
}
