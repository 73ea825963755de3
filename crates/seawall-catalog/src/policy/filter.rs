//! Row policies as predicates: what is left of a policy once everything but the row is known.
//!
//! Cedar evaluates a policy partially: the principal, the table and the action are known, the row's columns are not. The
//! residual is translated node by node into a [`Predicate`]. Three-valued logic agrees with Cedar because the validator
//! admits `resource.c` only where `resource has c` has been asked, so that no comparison of a null decides anything.
//!
//! - A row is shown when a `permit` holds and no `forbid` does. A `permit` that cannot be decided permits nothing.
//! - A `forbid` that cannot be decided forbids. Cedar would skip it, which is the one place where we are stricter.
//! - What has no translation is an error, never a guess.

use cedar_policy::pst::{BinaryOp, Clause, Expr, Literal as Value, PatternElem, UnaryOp, Var};
use cedar_policy::{Effect, Policy, TpeResponse};
use seawall_base::grant::{Comparison, Literal, Predicate};

use super::shape::ROW_PREFIX;

#[cfg(test)]
mod tests;

/// Why a condition cannot become a predicate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Untranslatable(pub(super) String);

/// Whether the conditions still speak about a principal that is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    /// Everything but the row is known.
    Known,
    /// Any principal: what speaks about the principal alone stands for some value. Checks shapes, decides nothing.
    Any,
}

/// The rows that a partial answer shows.
pub(super) fn rows_shown(response: &TpeResponse<'_>) -> Result<Predicate, Untranslatable> {
    if response.true_forbids().next().is_some() || response.error_forbids().next().is_some() {
        return Ok(Predicate::Constant(false));
    }
    let is_permitted = response.true_permits().next().is_some();
    let mut permits = vec![Predicate::Constant(is_permitted)];
    let mut clauses = Vec::new();
    // The residuals come from a hash map: their order would differ from run to run.
    let mut residuals: Vec<Policy> = response.residual_policies().collect();
    residuals.sort_by_cached_key(|policy| policy.id().to_string());
    for policy in &residuals {
        match policy.effect() {
            Effect::Permit if is_permitted => {}
            Effect::Permit => permits.push(or_else(condition(policy, Asker::Known)?, false)),
            Effect::Forbid => clauses.push(not(or_else(condition(policy, Asker::Known)?, true))),
        }
    }
    clauses.insert(0, any(permits));
    Ok(all(clauses))
}

/// The condition of a residual policy.
pub(super) fn condition(policy: &Policy, asker: Asker) -> Result<Predicate, Untranslatable> {
    let tree = policy.to_pst().map_err(|error| Untranslatable(error.to_string()))?;
    let mut parts = Vec::new();
    for clause in tree.body().clauses() {
        parts.push(match clause {
            Clause::When(expression) => predicate(expression, asker)?,
            Clause::Unless(expression) => not(predicate(expression, asker)?),
        });
    }
    Ok(all(parts))
}

fn predicate(expression: &Expr, asker: Asker) -> Result<Predicate, Untranslatable> {
    if let Expr::Literal(Value::Bool(value)) = expression {
        return Ok(Predicate::Constant(*value));
    }
    if asker == Asker::Any && !speaks_of_row(expression) {
        return Ok(Predicate::Constant(true));
    }
    match expression {
        Expr::UnaryOp { op: UnaryOp::Not, expr } => Ok(not(predicate(expr, asker)?)),
        Expr::BinaryOp { op: BinaryOp::And, left, right } => {
            Ok(all(vec![predicate(left, asker)?, predicate(right, asker)?]))
        }
        Expr::BinaryOp { op: BinaryOp::Or, left, right } => {
            Ok(any(vec![predicate(left, asker)?, predicate(right, asker)?]))
        }
        Expr::BinaryOp { op: BinaryOp::Contains, left, right } => one_of(left, right, asker),
        Expr::BinaryOp { op, left, right } => compare(*op, left, right, asker),
        Expr::IfThenElse { cond, then_expr, else_expr } => {
            let asked = predicate(cond, asker)?;
            let then = all(vec![asked.clone(), predicate(then_expr, asker)?]);
            Ok(any(vec![then, all(vec![not(asked), predicate(else_expr, asker)?])]))
        }
        Expr::Like { expr, pattern } => {
            let column = column(expr).ok_or_else(|| refused(expression))?;
            Ok(Predicate::Like { column, parts: parts(pattern) })
        }
        Expr::HasAttr { expr, attrs } if attrs.tail.is_empty() && is_row(expr) => {
            Ok(Predicate::Present(attrs.head.to_string()))
        }
        Expr::GetAttr { .. } => {
            let column = column(expression).ok_or_else(|| refused(expression))?;
            Ok(Predicate::Compare { column, operator: Comparison::Equal, literal: Literal::Bool(true) })
        }
        _ => Err(refused(expression)),
    }
}

fn compare(op: BinaryOp, left: &Expr, right: &Expr, asker: Asker) -> Result<Predicate, Untranslatable> {
    let refusal = || Untranslatable(format!("`{} {op} {}`", shown(left), shown(right)));
    let operator = match op {
        BinaryOp::Eq => Comparison::Equal,
        BinaryOp::NotEq => Comparison::NotEqual,
        BinaryOp::Less => Comparison::Less,
        BinaryOp::LessEq => Comparison::LessOrEqual,
        BinaryOp::Greater => Comparison::Greater,
        BinaryOp::GreaterEq => Comparison::GreaterOrEqual,
        _ => return Err(refusal()),
    };
    if let Some(column) = column(left) {
        let literal = literal(right, asker).ok_or_else(refusal)?;
        return Ok(Predicate::Compare { column, operator, literal });
    }
    let column = column(right).ok_or_else(refusal)?;
    let literal = literal(left, asker).ok_or_else(refusal)?;
    Ok(Predicate::Compare { column, operator: mirrored(operator), literal })
}

fn mirrored(operator: Comparison) -> Comparison {
    match operator {
        Comparison::Equal => Comparison::Equal,
        Comparison::NotEqual => Comparison::NotEqual,
        Comparison::Less => Comparison::Greater,
        Comparison::LessOrEqual => Comparison::GreaterOrEqual,
        Comparison::Greater => Comparison::Less,
        Comparison::GreaterOrEqual => Comparison::LessOrEqual,
    }
}

fn one_of(set: &Expr, element: &Expr, asker: Asker) -> Result<Predicate, Untranslatable> {
    let refusal = || Untranslatable(format!("`{}.contains({})`", shown(set), shown(element)));
    let column = column(element).ok_or_else(refusal)?;
    let literals = match set {
        Expr::Set(elements) => elements.iter().map(|element| literal(element, asker)).collect::<Option<Vec<Literal>>>(),
        _ if asker == Asker::Any && !speaks_of_row(set) => Some(Vec::new()),
        _ => None,
    };
    let mut literals = literals.ok_or_else(refusal)?;
    literals.sort();
    literals.dedup();
    Ok(Predicate::OneOf { column, literals })
}

/// The value of an expression in which no row occurs; any value when the principal is not known.
fn literal(expression: &Expr, asker: Asker) -> Option<Literal> {
    match expression {
        Expr::Literal(Value::String(text)) => Some(Literal::Text(text.to_string())),
        Expr::Literal(Value::Long(number)) => Some(Literal::Integer(*number)),
        Expr::Literal(Value::Bool(value)) => Some(Literal::Bool(*value)),
        Expr::UnaryOp { op: UnaryOp::Neg, expr } => match literal(expr, asker)? {
            Literal::Integer(number) => number.checked_neg().map(Literal::Integer),
            Literal::Text(_) | Literal::Bool(_) => None,
        },
        _ if asker == Asker::Any && !speaks_of_row(expression) => Some(Literal::Bool(true)),
        _ => None,
    }
}

/// The texts between the wildcards.
fn parts(pattern: &[PatternElem]) -> Vec<String> {
    let mut parts = vec![String::new()];
    for element in pattern {
        match (element, parts.last_mut()) {
            (PatternElem::Char(char), Some(part)) => part.push(*char),
            _ => parts.push(String::new()),
        }
    }
    parts
}

/// The column that an expression reads.
fn column(expression: &Expr) -> Option<String> {
    match expression {
        Expr::GetAttr { expr, attr } if is_row(expr) => Some(attr.to_string()),
        _ => None,
    }
}

/// Whether an expression is the row itself: the variable, or the id that stands for whichever row it is.
fn is_row(expression: &Expr) -> bool {
    match expression {
        Expr::Var(Var::Resource) => true,
        Expr::Literal(Value::EntityUID(uid)) => uid.ty.0.id.as_str().starts_with(ROW_PREFIX),
        _ => false,
    }
}

fn speaks_of_row(expression: &Expr) -> bool {
    expression.reduce(
        &|part| match part {
            Expr::ResidualError | Expr::Unknown { .. } => Some(true),
            part => is_row(part).then_some(true),
        },
        &|left, right| left || right,
        false,
    )
}

fn refused(expression: &Expr) -> Untranslatable {
    Untranslatable(format!("`{}`", shown(expression)))
}

/// The expression as the author wrote it, more or less.
fn shown(expression: &Expr) -> String {
    let text = expression.to_string();
    let Some(begin) = text.find(ROW_PREFIX) else { return text };
    let Some(id) = text[begin..].find("::\"?\"") else { return text };
    text.replace(&format!("{}::\"?\"", &text[begin..begin + id]), "resource")
}

/// Not, with constants folded.
pub(super) fn not(inner: Predicate) -> Predicate {
    match inner {
        Predicate::Constant(value) => Predicate::Constant(!value),
        Predicate::Not(inner) => *inner,
        inner => Predicate::Not(Box::new(inner)),
    }
}

/// All of them, with constants folded.
pub(super) fn all(parts: Vec<Predicate>) -> Predicate {
    let mut kept = Vec::new();
    for part in parts {
        match part {
            Predicate::Constant(true) => {}
            Predicate::Constant(false) => return Predicate::Constant(false),
            Predicate::All(inner) => kept.extend(inner),
            part => kept.push(part),
        }
    }
    match kept.len() {
        0 => Predicate::Constant(true),
        1 => kept.swap_remove(0),
        _ => Predicate::All(kept),
    }
}

/// Any of them, with constants folded.
pub(super) fn any(parts: Vec<Predicate>) -> Predicate {
    let mut kept = Vec::new();
    for part in parts {
        match part {
            Predicate::Constant(false) => {}
            Predicate::Constant(true) => return Predicate::Constant(true),
            Predicate::Any(inner) => kept.extend(inner),
            part => kept.push(part),
        }
    }
    match kept.len() {
        0 => Predicate::Constant(false),
        1 => kept.swap_remove(0),
        _ => Predicate::Any(kept),
    }
}

fn or_else(inner: Predicate, otherwise: bool) -> Predicate {
    match inner {
        Predicate::Constant(value) => Predicate::Constant(value),
        inner => Predicate::OrElse(Box::new(inner), otherwise),
    }
}

/// Calls `visit` with every column that the predicate reads.
pub(super) fn each_column(predicate: &Predicate, visit: &mut impl FnMut(&str)) {
    match predicate {
        Predicate::Constant(_) => {}
        Predicate::Compare { column, .. }
        | Predicate::OneOf { column, .. }
        | Predicate::Present(column)
        | Predicate::Like { column, .. } => visit(column),
        Predicate::Not(inner) | Predicate::OrElse(inner, _) => each_column(inner, visit),
        Predicate::All(parts) | Predicate::Any(parts) => {
            for part in parts {
                each_column(part, visit);
            }
        }
    }
}

/// The same predicate over other names of the columns.
pub(super) fn renamed(predicate: &Predicate, name: &impl Fn(&str) -> String) -> Predicate {
    let every = |parts: &[Predicate]| parts.iter().map(|part| renamed(part, name)).collect();
    match predicate {
        Predicate::Constant(value) => Predicate::Constant(*value),
        Predicate::Compare { column, operator, literal } => {
            Predicate::Compare { column: name(column), operator: *operator, literal: literal.clone() }
        }
        Predicate::OneOf { column, literals } => Predicate::OneOf { column: name(column), literals: literals.clone() },
        Predicate::Present(column) => Predicate::Present(name(column)),
        Predicate::Like { column, parts } => Predicate::Like { column: name(column), parts: parts.clone() },
        Predicate::Not(inner) => Predicate::Not(Box::new(renamed(inner, name))),
        Predicate::All(parts) => Predicate::All(every(parts)),
        Predicate::Any(parts) => Predicate::Any(every(parts)),
        Predicate::OrElse(inner, otherwise) => Predicate::OrElse(Box::new(renamed(inner, name)), *otherwise),
    }
}
