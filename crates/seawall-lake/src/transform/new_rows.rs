//! Row-wise SQL over the rows beyond a cut: the plan that reads only those, and carries which row each row was made of.
//!
//! The identity and the availability of the input's row travel as three more columns through every projection, under
//! names that SQL of an author does not use, and order the result: whoever takes a prefix of it knows which rows of the
//! input are done.

use std::sync::Arc;

use datafusion::common::{Column, Result};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Projection, col, lit};
use seawall_base::engine::NewRows;
use seawall_base::{Cut, Offset, Partition, column};

/// What travels, with the names under which it does.
const CARRIED: [(&str, &str); 3] = [
    (column::PARTITION, "__seawall_partition"),
    (column::LSN, "__seawall_lsn"),
    (column::AVAILABLE_AT, "__seawall_available_at"),
];

/// The plan of row-wise SQL over the new rows: the columns called `made`, then `_partition`, `_lsn` and `_available_at`
/// of the input's row, ordered by the first two.
pub(super) fn carrying(stated: &LogicalPlan, new: &NewRows, made: &[String]) -> Result<LogicalPlan> {
    let carried = carry(stated, new)?;
    let by = CARRIED[..2].iter().map(|(_, name)| found(&carried, name).map(|column| column.sort(true, false)));
    let by: Vec<_> = by.collect::<Result<_>>()?;
    let mut shown = Vec::with_capacity(made.len() + CARRIED.len());
    for name in made {
        shown.push(found(&carried, name)?);
    }
    for (name, carried_as) in CARRIED {
        shown.push(found(&carried, carried_as)?.alias(name));
    }
    LogicalPlanBuilder::from(carried).sort(by)?.project(shown)?.build()
}

fn carry(plan: &LogicalPlan, new: &NewRows) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::TableScan(_) => {
            let read = LogicalPlanBuilder::from(plan.clone()).filter(beyond(&new.after, &new.until))?;
            let all = plan.schema().iter().map(|(qualifier, field)| Expr::Column(Column::from((qualifier, field))));
            let mut kept: Vec<Expr> = all.collect();
            for (name, carried_as) in CARRIED {
                kept.push(found(plan, name)?.alias(carried_as));
            }
            read.project(kept)?.build()
        }
        LogicalPlan::SubqueryAlias(alias) => {
            LogicalPlanBuilder::from(carry(&alias.input, new)?).alias(alias.alias.clone())?.build()
        }
        LogicalPlan::Filter(filter) => {
            LogicalPlanBuilder::from(carry(&filter.input, new)?).filter(filter.predicate.clone())?.build()
        }
        LogicalPlan::Projection(projection) => {
            let input = carry(&projection.input, new)?;
            let mut kept = projection.expr.clone();
            for (_, carried_as) in CARRIED {
                kept.push(found(&input, carried_as)?);
            }
            Ok(LogicalPlan::Projection(Projection::try_new(kept, Arc::new(input))?))
        }
        other => {
            datafusion::common::internal_err!("row-wise SQL has a step {}", other.display())
        }
    }
}

/// The only column of a name, with its qualifier.
fn found(plan: &LogicalPlan, name: &str) -> Result<Expr> {
    let (qualifier, field) = plan.schema().qualified_field_with_unqualified_name(name)?;
    Ok(Expr::Column(Column::from((qualifier, field))))
}

/// Rows of partitions whose end moved, from where it was.
fn beyond(after: &Cut, until: &Cut) -> Expr {
    let mut whole = Vec::new();
    let mut any: Option<Expr> = None;
    let mut add = |condition: Expr| any = Some(any.take().map_or(condition.clone(), |sum| sum.or(condition)));
    for (partition, end) in until.iter() {
        let from = after.end(partition);
        if from == Offset(0) {
            whole.push(number(partition));
        } else if from < end {
            let here = col(column::PARTITION).eq(number(partition));
            add(here.and(col(column::LSN).gt_eq(lit(i64::try_from(from.0).unwrap_or(i64::MAX)))));
        }
    }
    if !whole.is_empty() {
        add(col(column::PARTITION).in_list(whole, false));
    }
    any.unwrap_or_else(|| lit(false))
}

fn number(partition: Partition) -> Expr {
    lit(i32::try_from(partition.0).unwrap_or(i32::MAX))
}
