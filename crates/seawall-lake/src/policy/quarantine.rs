//! Policies over quarantines, whose rows are JSON text: filter and masks are given under the dataset's column names and
//! apply to the members of each row, and to what the reasons tell of them.
//!
//! A stopped row is a row that something is wrong with, so nothing about it is taken for granted: a row that cannot be
//! read is not shown, a member that the dataset does not know is left out, a value of another shape than its column's is
//! left out, and a reason tells the value of a column only when that column is shown as it is.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StringArray};
use arrow::datatypes::{DataType, SchemaRef};
use seawall_base::error::Result;
use seawall_base::grant::{Comparison, Literal, Predicate, TableGrant};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::mask::{self, Salt};
use super::predicate::{holds, is_like};

/// Column with the rows as they came.
pub(super) const RAW: &str = "_raw";
/// Column with the reasons, a JSON list.
pub(super) const REASONS: &str = "_reasons";

/// Bytes of a row that is still parsed; a longer one is not shown.
const RAW_BYTES_MAX: usize = 1 << 20;
/// What a reason says instead of a message that would tell a value.
const NOT_SHOWN: &str = "not shown";

/// A grant over the rows of a quarantine.
#[derive(Debug)]
pub(super) struct RawPolicy {
    grant: TableGrant,
    /// The dataset's columns today.
    known: SchemaRef,
    salt: Salt,
}

/// A reason as the gate writes it.
#[derive(Debug, Serialize, Deserialize)]
struct Reason {
    rule: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    column: Option<String>,
    message: String,
    mode: String,
}

impl RawPolicy {
    /// The policy of `grant` for stopped rows of a dataset with the columns `known`.
    pub(super) fn new(grant: &TableGrant, known: SchemaRef, salt: Salt) -> Self {
        RawPolicy { grant: grant.clone(), known, salt }
    }

    /// Which raw rows are shown.
    pub(super) fn keep(&self, rows: &ArrayRef) -> Result<BooleanArray> {
        let rows = rows.as_string::<i32>();
        Ok(rows.iter().map(|row| Some(row.and_then(parse).is_some_and(|row| self.admits(&row)))).collect())
    }

    fn admits(&self, row: &Map<String, Value>) -> bool {
        self.grant.rows.as_ref().is_none_or(|predicate| self.decide(predicate, row) == Some(true))
    }

    /// The raw rows with what the grant does not show left out.
    pub(super) fn show(&self, rows: &ArrayRef) -> Result<ArrayRef> {
        let rows = rows.as_string::<i32>();
        // Rows that cannot be read were filtered out before; if not, they show nothing.
        let shown: StringArray =
            rows.iter().map(|row| Some(self.shown(&row.and_then(parse).unwrap_or_default()))).collect();
        Ok(Arc::new(shown))
    }

    fn shown(&self, row: &Map<String, Value>) -> String {
        let mut shown = Map::new();
        for (name, value) in row {
            if let Some(value) = self.shown_value(name, Some(value)) {
                shown.insert(name.clone(), value);
            }
        }
        // A fixed value stands for missing values, too.
        for name in self.grant.masks.keys().filter(|name| !row.contains_key(*name)) {
            if let Some(value) = self.shown_value(name, None) {
                shown.insert(name.clone(), value);
            }
        }
        Value::Object(shown).to_string()
    }

    fn shown_value(&self, name: &String, value: Option<&Value>) -> Option<Value> {
        let field = self.known.field_with_name(name).ok()?;
        if self.grant.hidden.contains(name) {
            return None;
        }
        match self.grant.masks.get(name) {
            Some(mask) => mask::json(mask, value, field.data_type(), self.salt),
            None => value.filter(|value| is_of_shape(value, field.data_type())).cloned(),
        }
    }

    /// The reasons with messages only about columns that are shown as they are. Null when they cannot be read.
    pub(super) fn show_reasons(&self, reasons: &ArrayRef, rows: &ArrayRef) -> Result<ArrayRef> {
        let (reasons, rows) = (reasons.as_string::<i32>(), rows.as_string::<i32>());
        let shown: StringArray = (0..reasons.len())
            .map(|at| {
                let row = rows.is_valid(at).then(|| parse(rows.value(at))).flatten()?;
                let reasons = reasons.is_valid(at).then(|| reasons.value(at))?;
                let reasons: Vec<Reason> = serde_json::from_str(reasons).ok()?;
                let shown: Vec<Reason> = reasons.into_iter().map(|reason| self.shown_reason(reason, &row)).collect();
                serde_json::to_string(&shown).ok()
            })
            .collect();
        Ok(Arc::new(shown))
    }

    fn shown_reason(&self, reason: Reason, row: &Map<String, Value>) -> Reason {
        let hidden = || NOT_SHOWN.to_owned();
        // A reason about the whole row may tell any of its values, or those of another row.
        let Some(path) = &reason.column else { return Reason { message: hidden(), ..reason } };
        let column = path.split(['.', '[']).next().unwrap_or_default().to_owned();
        if self.known.column_with_name(&column).is_none() || self.grant.hidden.contains(&column) {
            return Reason { rule: hidden(), column: None, message: hidden(), mode: reason.mode };
        }
        let value = row.get(&column);
        let is_as_it_is = !self.grant.masks.contains_key(&column) && self.shown_value(&column, value).as_ref() == value;
        if is_as_it_is { reason } else { Reason { message: hidden(), ..reason } }
    }

    /// A predicate over the members of a row; none where it is null.
    fn decide(&self, predicate: &Predicate, row: &Map<String, Value>) -> Option<bool> {
        match predicate {
            Predicate::Constant(value) => Some(*value),
            Predicate::Compare { column, operator, literal } => {
                compare(self.member(column, row)?, literal).and_then(|order| holds_for(*operator, literal, order))
            }
            Predicate::OneOf { column, literals } => {
                let value = self.member(column, row)?;
                let mut found = false;
                for literal in literals {
                    found |= compare(value, literal)?.is_eq();
                }
                Some(found)
            }
            Predicate::Present(column) => Some(self.member(column, row).is_some()),
            Predicate::Like { parts, .. } if parts.is_empty() => None,
            Predicate::Like { column, parts } => Some(is_like(self.member(column, row)?.as_str()?, parts)),
            Predicate::Not(inner) => self.decide(inner, row).map(|value| !value),
            Predicate::All(parts) => self.fold(parts, row, true),
            Predicate::Any(parts) => self.fold(parts, row, false),
            Predicate::OrElse(inner, otherwise) => Some(self.decide(inner, row).unwrap_or(*otherwise)),
        }
    }

    /// All of (`neutral` true) or any of (`neutral` false).
    fn fold(&self, parts: &[Predicate], row: &Map<String, Value>, neutral: bool) -> Option<bool> {
        let mut decided = Some(neutral);
        for part in parts {
            match self.decide(part, row) {
                Some(value) if value == neutral => {}
                Some(value) => return Some(value),
                None => decided = None,
            }
        }
        decided
    }

    /// A member that has a value. Text in a column of another type is what a file without types holds.
    fn member<'r>(&self, column: &str, row: &'r Map<String, Value>) -> Option<&'r Value> {
        let field = self.known.field_with_name(column).ok()?;
        row.get(column).filter(|value| !value.is_null() && is_of_shape(value, field.data_type()))
    }
}

fn parse(row: &str) -> Option<Map<String, Value>> {
    if row.len() > RAW_BYTES_MAX {
        return None;
    }
    serde_json::from_str(row).ok()
}

/// Whether a value is a single one where its column holds single ones.
fn is_of_shape(value: &Value, data_type: &DataType) -> bool {
    data_type.is_nested() || !(value.is_object() || value.is_array())
}

/// How a value is ordered to a literal; none when they cannot be compared.
fn compare(value: &Value, literal: &Literal) -> Option<Ordering> {
    match (value, literal) {
        (Value::String(text), Literal::Text(literal)) => Some(text.as_str().cmp(literal)),
        (Value::Bool(value), Literal::Bool(literal)) => Some(value.cmp(literal)),
        (Value::String(text), Literal::Bool(literal)) => text.trim().parse::<bool>().ok().map(|v| v.cmp(literal)),
        (Value::String(text), Literal::Integer(literal)) => text.trim().parse::<i64>().ok().map(|v| v.cmp(literal)),
        (Value::Number(number), Literal::Integer(literal)) => compare_numbers(number, *literal),
        _ => None,
    }
}

fn compare_numbers(number: &serde_json::Number, literal: i64) -> Option<Ordering> {
    if let Some(value) = number.as_i64() {
        return Some(value.cmp(&literal));
    }
    if number.is_u64() {
        return Some(Ordering::Greater);
    }
    // Beyond 2^53 neighbouring integers are one double, so nothing is said there.
    let is_exact = literal.unsigned_abs() <= 1 << 53;
    number.as_f64().filter(|_| is_exact)?.partial_cmp(&(literal as f64))
}

/// Booleans have no order.
fn holds_for(operator: Comparison, literal: &Literal, order: Ordering) -> Option<bool> {
    let is_ordered = !matches!(literal, Literal::Bool(_));
    let needs_order = !matches!(operator, Comparison::Equal | Comparison::NotEqual);
    (is_ordered || !needs_order).then(|| holds(operator, order))
}
