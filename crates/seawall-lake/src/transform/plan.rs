//! What the SQL of a transform would give, from the columns of the tables that it may read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::MemTable;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};
use datafusion::prelude::SessionContext;
use seawall_base::column;
use seawall_base::engine::TransformPlan;
use seawall_base::error::{Error, Result};

use crate::codes;
use crate::query::{SessionFactory, errors, lineage, session};
use crate::types;

type Apart = BTreeMap<String, Option<BTreeSet<String>>>;

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
        apart: apart(&stated).map_err(errors::planning)?,
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

/// See [`TransformPlan::apart`].
fn apart(plan: &LogicalPlan) -> datafusion::common::Result<Apart> {
    let mut scans: BTreeMap<String, usize> = BTreeMap::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            *scans.entry(scan.table_name.table().to_owned()).or_default() += 1;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let mut apart = apart_below(plan)?;
    apart.retain(|table, _| scans.get(table) == Some(&1));
    Ok(apart)
}

/// The same of the tables below a plan, subqueries left out, each as if it were read once.
fn apart_below(plan: &LogicalPlan) -> datafusion::common::Result<Apart> {
    if let LogicalPlan::TableScan(scan) = plan {
        return Ok(BTreeMap::from([(scan.table_name.table().to_owned(), None)]));
    }
    let mut apart = Apart::new();
    for input in plan.inputs() {
        apart.extend(apart_below(input)?);
    }
    match plan {
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Distinct(_)
        | LogicalPlan::Join(_)
        | LogicalPlan::Union(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Repartition(_) => {}
        LogicalPlan::Aggregate(aggregate) => {
            let grouped = grouped(aggregate)?;
            for (table, columns) in &mut apart {
                let by = grouped.iter().filter(|(of, _)| of == table).map(|(_, column)| column.clone());
                let by: BTreeSet<String> = by.collect();
                *columns = Some(columns.take().map_or(by.clone(), |columns| &columns & &by));
            }
        }
        _ => apart.values_mut().for_each(|columns| *columns = Some(BTreeSet::new())),
    }
    Ok(apart)
}

/// The columns of tables that an aggregate groups by as they are.
fn grouped(aggregate: &Aggregate) -> datafusion::common::Result<Vec<(String, String)>> {
    let given = lineage::copies(&aggregate.input)?;
    let mut grouped = Vec::new();
    for expression in &aggregate.group_expr {
        let Expr::Column(column) = expression else { continue };
        let name = column.name();
        let is_ambiguous = aggregate.input.schema().fields().iter().filter(|field| field.name() == name).count() > 1;
        let mut origins = given.iter().filter(|edge| edge.output == name);
        if let (Some(origin), None, false) = (origins.next(), origins.next(), is_ambiguous) {
            grouped.push((origin.table.clone(), origin.column.clone()));
        }
    }
    Ok(grouped)
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
