//! What the SQL of a transform would give, from the columns of the tables that it may read.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::MemTable;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use seawall_base::column;
use seawall_base::engine::TransformPlan;
use seawall_base::error::{Error, Result};

use crate::codes;
use crate::query::{SessionFactory, errors, lineage, session};
use crate::types;

/// Plans `sql` over tables with these columns.
pub(crate) async fn plan(
    sessions: &SessionFactory,
    sql: &str,
    tables: &[(String, SchemaRef)],
) -> Result<TransformPlan> {
    let context = SessionContext::new_with_state(sessions.session(1));
    for (name, schema) in tables {
        let table = MemTable::try_new(Arc::clone(schema), vec![vec![]]).map_err(errors::planning)?;
        context.register_table(name.as_str(), Arc::new(table)).map_err(errors::planning)?;
    }
    let stated = session::plan_select(&context.state(), sql).await?;
    session::check_repeatable(&stated)?;
    let is_made = |edge: &seawall_base::ColumnEdge| !column::SYSTEM.contains(&edge.output.as_str());
    Ok(TransformPlan {
        schema: made(&stated)?,
        inputs: inputs(&stated)?,
        lineage: lineage::edges(&stated).map_err(errors::planning)?.into_iter().filter(is_made).collect(),
        copies: lineage::copies(&stated).map_err(errors::planning)?.into_iter().filter(is_made).collect(),
        is_row_wise: session::is_of_single_rows(&stated),
    })
}

/// The columns that a plan makes, without those of Seawall's own: each needs a name, and the identity of a row is no part
/// of what is made of it.
pub(super) fn made(plan: &LogicalPlan) -> Result<SchemaRef> {
    let all: &Schema = plan.schema().as_arrow();
    let mut names = BTreeSet::new();
    let mut fields = Vec::new();
    for field in all.fields() {
        if column::SYSTEM.contains(&field.name().as_str()) {
            continue;
        }
        if !names.insert(field.name().as_str()) {
            let message = format!("the result has two columns named {:?}", field.name());
            return Err(Error::invalid(codes::SQL_INVALID, message).hint("give one of them an alias with `as`"));
        }
        fields.push(Arc::clone(field));
    }
    Ok(types::normal_schema(&Schema::new(fields)))
}

fn inputs(plan: &LogicalPlan) -> Result<Vec<String>> {
    let mut names = BTreeSet::new();
    let walked = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            names.insert(scan.table_name.table().to_owned());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    walked.map_err(errors::planning)?;
    Ok(names.into_iter().collect())
}
