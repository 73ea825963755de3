//! Rules about a whole table that are SQL: `sql` rules, foreign keys, and the rules of Seawall's own engine for
//! `custom`. The kernel says what to ask and what the answer means; whoever holds a query engine asks.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use serde_json::Value;

use super::rule::Threshold;
use super::verdict::Mode;

/// A rule that is a question in SQL.
#[derive(Debug, Clone, PartialEq)]
pub struct TableRule {
    /// Name in results.
    pub rule: String,
    /// Column that it is about, if any.
    pub column: Option<String>,
    /// Where it stands in the contract, `schema/0/quality/1`.
    pub path: String,
    /// What happens when it is broken. No row stands for it, so `quarantine` and `reject` warn.
    pub mode: Mode,
    /// What must hold, for people.
    pub description: String,
    /// One read-only statement with one row and one column.
    pub sql: String,
    /// Datasets of the contract that the statement reads besides the rule's own.
    pub tables: Vec<String>,
    pub(super) expected: Expected,
}

/// What the answer must be.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expected {
    Number(Threshold),
    /// `mustBe` and `mustNotBe` of a boolean or a text.
    Is(Value),
    IsNot(Value),
}

impl Expected {
    pub(super) fn words(&self) -> String {
        match self {
            Expected::Number(threshold) => threshold.words(),
            Expected::Is(value) => format!("must be {value}"),
            Expected::IsNot(value) => format!("must not be {value}"),
        }
    }
}

/// What a rule found.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// Whether the rule holds.
    pub holds: bool,
    /// The value that was compared.
    pub value: String,
    /// What was found, for people.
    pub message: String,
}

impl TableRule {
    /// Compares the answer of the statement with what the rule asks for; the error says why that cannot be done.
    pub fn judge(&self, answer: &[RecordBatch]) -> Result<Measurement, String> {
        let value = single(answer)?;
        let holds = match (&self.expected, &value) {
            (Expected::Number(threshold), Value::Number(number)) => {
                threshold.holds(number.as_f64().ok_or("the answer is no number")?)
            }
            (Expected::Is(wanted), value) => same(wanted, value),
            (Expected::IsNot(unwanted), value) => !same(unwanted, value),
            (Expected::Number(_), other) => return Err(format!("the answer is {other}, which is no number")),
        };
        let shown = value.to_string();
        let message = format!("{} is {shown}; it {}", self.rule, self.expected.words());
        Ok(Measurement { holds, value: shown, message })
    }
}

fn same(left: &Value, right: &Value) -> bool {
    match (left.as_f64(), right.as_f64()) {
        (Some(left), Some(right)) => left == right,
        _ => left == right,
    }
}

/// The one value of an answer.
fn single(answer: &[RecordBatch]) -> Result<Value, String> {
    let rows: usize = answer.iter().map(RecordBatch::num_rows).sum();
    let batch = answer.iter().find(|batch| batch.num_rows() > 0);
    let Some(batch) = batch.filter(|batch| rows == 1 && batch.num_columns() == 1) else {
        let columns = answer.first().map_or(0, RecordBatch::num_columns);
        return Err(format!("the statement answers {rows} rows and {columns} columns; one value is wanted"));
    };
    let column = batch.column(0);
    if column.is_null(0) {
        return Err("the statement answers null".to_owned());
    }
    if let Some(truth) = column.as_boolean_opt() {
        return Ok(Value::Bool(truth.value(0)));
    }
    if column.data_type().is_numeric() {
        let number = cast(column, &DataType::Float64).map_err(|e| e.to_string())?;
        let number = number.as_primitive::<Float64Type>().value(0);
        return serde_json::Number::from_f64(number)
            .map(Value::Number)
            .ok_or_else(|| "the answer is not finite".into());
    }
    let text = cast(column, &DataType::Utf8).map_err(|_| format!("the answer has type {}", column.data_type()))?;
    Ok(Value::String(text.as_string::<i32>().value(0).to_owned()))
}

/// Why `sql` cannot be the statement of a rule: it must be one statement that reads. The engine has the last word.
pub(super) fn objection(sql: &str) -> Option<String> {
    let words = outside_of_quotes(sql);
    let mut statements = words.split(';').map(str::trim).filter(|statement| !statement.is_empty());
    let Some(first) = statements.next() else { return Some("the statement is empty".to_owned()) };
    if statements.next().is_some() {
        return Some("there are several statements".to_owned());
    }
    let begins = first.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').find(|word| !word.is_empty());
    let begins = begins.unwrap_or_default().to_ascii_lowercase();
    match begins.as_str() {
        "select" | "with" => None,
        other => Some(format!("the statement begins with {}; a rule begins with SELECT or WITH", other.to_uppercase())),
    }
}

/// `sql` without comments and without what stands in quotes.
fn outside_of_quotes(sql: &str) -> String {
    let mut kept = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some(c) = rest.chars().next() {
        if rest.starts_with("--") {
            rest = rest.find('\n').map_or("", |end| &rest[end..]);
        } else if rest.starts_with("/*") {
            rest = rest.find("*/").map_or("", |end| &rest[end + 2..]);
        } else if c == '\'' || c == '"' {
            kept.push('q');
            rest = rest[1..].find(c).map_or("", |end| &rest[end + 2..]);
        } else {
            kept.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    kept
}

/// `name` as an identifier of SQL.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
