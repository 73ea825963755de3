//! Column lineage: which column of which table each output column is computed from.
//!
//! The walk goes down the logical plan as SQL states it, before the optimiser renames things. An output column depends
//! on the columns its expression names; columns that only decide which rows appear (filters, join conditions, sort
//! keys) are no part of its lineage.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, JoinType, Result, TableReference};
use datafusion::logical_expr::{Expr, Join, LogicalPlan};
use seawall_base::ColumnEdge;

/// Table and column.
type Origin = (String, String);
/// Where each column of a plan comes from, in the order of its schema.
type Origins = Vec<BTreeSet<Origin>>;

/// The edges of `plan`, ordered and without repetition.
pub(crate) fn edges(plan: &LogicalPlan) -> Result<Vec<ColumnEdge>> {
    edges_of(plan, Walk::default())
}

/// Of these edges, those whose output has values of the input column as they are: columns that are only renamed, and the
/// least, greatest, first and last value of one.
pub(crate) fn copies(plan: &LogicalPlan) -> Result<Vec<ColumnEdge>> {
    edges_of(plan, Walk { only_copies: true, ..Walk::default() })
}

fn edges_of(plan: &LogicalPlan, mut walk: Walk) -> Result<Vec<ColumnEdge>> {
    let origins = walk.origins(plan)?;
    let mut edges = BTreeSet::new();
    for (field, from) in plan.schema().fields().iter().zip(origins) {
        for (table, column) in from {
            edges.insert(ColumnEdge { output: field.name().clone(), table, column });
        }
    }
    Ok(edges.into_iter().collect())
}

/// What the names of recursive queries mean while their recursive term is walked.
#[derive(Default)]
struct Walk {
    recursive: BTreeMap<String, Origins>,
    /// Whether only columns count that an expression hands on as they are.
    only_copies: bool,
}

/// Functions that answer with a value of their argument.
const COPYING: [&str; 10] =
    ["min", "max", "first_value", "last_value", "nth_value", "lag", "lead", "array_agg", "any_value", "coalesce"];

/// The part of an expression whose values it hands on as they are; none when it computes others.
fn copied(expression: &Expr) -> Vec<&Expr> {
    match expression {
        Expr::Alias(alias) => copied(&alias.expr),
        Expr::Column(_) | Expr::ScalarSubquery(_) => vec![expression],
        Expr::Case(case) => {
            let results = case.when_then_expr.iter().map(|(_, then)| then).chain(&case.else_expr);
            results.flat_map(|result| copied(result)).collect()
        }
        Expr::Cast(cast) => copied(&cast.expr),
        Expr::TryCast(cast) => copied(&cast.expr),
        Expr::AggregateFunction(call) if COPYING.contains(&call.func.name()) => {
            call.params.args.first().map(copied).unwrap_or_default()
        }
        Expr::WindowFunction(call) if COPYING.contains(&call.fun.name()) => {
            call.params.args.first().map(copied).unwrap_or_default()
        }
        Expr::ScalarFunction(call) if COPYING.contains(&call.func.name()) => {
            call.args.iter().flat_map(copied).collect()
        }
        _ => Vec::new(),
    }
}

impl Walk {
    fn origins(&mut self, plan: &LogicalPlan) -> Result<Origins> {
        match plan {
            LogicalPlan::TableScan(scan) => Ok(self.table(&scan.table_name, &scan.projected_schema)),
            LogicalPlan::Projection(projection) => self.expressions(&projection.expr, &projection.input),
            LogicalPlan::Aggregate(aggregate) => {
                let given: Vec<Expr> = aggregate.group_expr.iter().chain(&aggregate.aggr_expr).cloned().collect();
                self.aggregate(&given, &aggregate.input, aggregate.schema.fields().len(), aggregate.aggr_expr.len())
            }
            LogicalPlan::Window(window) => {
                let mut origins = self.origins(&window.input)?;
                origins.extend(self.expressions(&window.window_expr, &window.input)?);
                Ok(origins)
            }
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Union(union) => {
                let mut merged: Origins = vec![BTreeSet::new(); union.schema.fields().len()];
                for input in &union.inputs {
                    merge(&mut merged, self.origins(input)?);
                }
                Ok(merged)
            }
            LogicalPlan::RecursiveQuery(query) => {
                let mut origins = self.origins(&query.static_term)?;
                let outer = self.recursive.insert(query.name.clone(), origins.clone());
                merge(&mut origins, self.origins(&query.recursive_term)?);
                match outer {
                    Some(outer) => self.recursive.insert(query.name.clone(), outer),
                    None => self.recursive.remove(&query.name),
                };
                Ok(origins)
            }
            LogicalPlan::Unnest(unnest) => {
                let input = self.origins(&unnest.input)?;
                let origin = |at: &usize| input.get(*at).cloned().unwrap_or_default();
                Ok(unnest.dependency_indices.iter().map(origin).collect())
            }
            LogicalPlan::Filter(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::Limit(_)
            | LogicalPlan::Repartition(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::Subquery(_)
            | LogicalPlan::Distinct(_) => self.same_columns(plan),
            LogicalPlan::EmptyRelation(_)
            | LogicalPlan::Values(_)
            | LogicalPlan::Statement(_)
            | LogicalPlan::Explain(_)
            | LogicalPlan::Analyze(_)
            | LogicalPlan::Extension(_)
            | LogicalPlan::Dml(_)
            | LogicalPlan::Ddl(_)
            | LogicalPlan::Copy(_)
            | LogicalPlan::DescribeTable(_) => self.everything_below(plan),
        }
    }

    fn table(&self, name: &TableReference, schema: &DFSchema) -> Origins {
        if let Some(origins) = self.recursive.get(name.table()) {
            return origins.clone();
        }
        let shown = match name.schema() {
            Some(schema) if schema != "public" => format!("{schema}.{}", name.table()),
            _ => name.table().to_owned(),
        };
        schema.fields().iter().map(|field| BTreeSet::from([(shown.clone(), field.name().clone())])).collect()
    }

    /// A plan that passes the columns of its first input through. `distinct on` states expressions of its own.
    fn same_columns(&mut self, plan: &LogicalPlan) -> Result<Origins> {
        if let LogicalPlan::Distinct(datafusion::logical_expr::Distinct::On(on)) = plan {
            return self.expressions(&on.select_expr, &on.input);
        }
        match plan.inputs().first() {
            Some(input) => self.origins(input),
            None => self.everything_below(plan),
        }
    }

    /// For plans without columns of their own to tell apart: each output may depend on everything below.
    fn everything_below(&mut self, plan: &LogicalPlan) -> Result<Origins> {
        let mut all = BTreeSet::new();
        for input in plan.inputs() {
            all.extend(self.origins(input)?.into_iter().flatten());
        }
        Ok(vec![all; plan.schema().fields().len()])
    }

    fn expressions(&mut self, expressions: &[Expr], input: &LogicalPlan) -> Result<Origins> {
        let below = self.origins(input)?;
        expressions.iter().map(|expression| self.expression(expression, input.schema(), &below)).collect()
    }

    /// Grouping columns, perhaps a grouping id that depends on nothing, then aggregates. A grouping set is one
    /// expression with several columns.
    fn aggregate(&mut self, given: &[Expr], input: &LogicalPlan, width: usize, aggregates: usize) -> Result<Origins> {
        let below = self.origins(input)?;
        let (groups, values) = given.split_at(given.len() - aggregates);
        let mut origins: Origins = Vec::with_capacity(width);
        for group in groups {
            match group {
                Expr::GroupingSet(set) => {
                    for expression in set.distinct_expr() {
                        origins.push(self.expression(expression, input.schema(), &below)?);
                    }
                }
                other => origins.push(self.expression(other, input.schema(), &below)?),
            }
        }
        origins.resize(width - aggregates, BTreeSet::new());
        for value in values {
            origins.push(self.expression(value, input.schema(), &below)?);
        }
        Ok(origins)
    }

    fn join(&mut self, join: &Join) -> Result<Origins> {
        match join.join_type {
            JoinType::LeftSemi | JoinType::LeftAnti => self.origins(&join.left),
            JoinType::RightSemi | JoinType::RightAnti => self.origins(&join.right),
            JoinType::LeftMark => self.with_mark(&join.left),
            JoinType::RightMark => self.with_mark(&join.right),
            JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => {
                let mut origins = self.origins(&join.left)?;
                origins.extend(self.origins(&join.right)?);
                Ok(origins)
            }
        }
    }

    /// A mark join adds a column that only says whether a partner exists.
    fn with_mark(&mut self, side: &LogicalPlan) -> Result<Origins> {
        let mut origins = self.origins(side)?;
        origins.push(BTreeSet::new());
        Ok(origins)
    }

    fn expression(&mut self, expression: &Expr, schema: &DFSchema, below: &Origins) -> Result<BTreeSet<Origin>> {
        if !self.only_copies {
            return self.used(expression, schema, below);
        }
        let mut from = BTreeSet::new();
        for part in copied(expression) {
            from.extend(self.used(part, schema, below)?);
        }
        Ok(from)
    }

    /// Everything that an expression is computed from.
    fn used(&mut self, expression: &Expr, schema: &DFSchema, below: &Origins) -> Result<BTreeSet<Origin>> {
        let mut columns: Vec<Column> = Vec::new();
        let mut from = BTreeSet::new();
        let mut subqueries: Vec<LogicalPlan> = Vec::new();
        expression.apply(|part| {
            match part {
                Expr::Column(column) => columns.push(column.clone()),
                Expr::ScalarSubquery(subquery) => subqueries.push(subquery.subquery.as_ref().clone()),
                Expr::InSubquery(within) => subqueries.push(within.subquery.subquery.as_ref().clone()),
                Expr::Exists(exists) => subqueries.push(exists.subquery.subquery.as_ref().clone()),
                _ => {}
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        for column in columns {
            if let Some(origin) = schema.maybe_index_of_column(&column).and_then(|at| below.get(at)) {
                from.extend(origin.iter().cloned());
            }
        }
        for subquery in subqueries {
            from.extend(self.origins(&subquery)?.into_iter().flatten());
        }
        Ok(from)
    }
}

fn merge(into: &mut Origins, from: Origins) {
    for (into, from) in into.iter_mut().zip(from) {
        into.extend(from);
    }
}

#[cfg(test)]
mod tests;
