//! From Arrow columns to the numbers that models take: one `f64` per value, NaN for missing, column by column.
//!
//! Numbers, booleans and decimals are taken as they are. Text becomes the code of its category: codes count from 0 by
//! falling frequency in the training rows, then by name; what training did not see is missing. Instants are refused,
//! because a model that learns from them never sees the same value again.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use arrow::record_batch::RecordBatch;
use arrow::util::display::array_value_to_string;
use seawall_base::{Error, Result};
use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// Categories of one input; rarer ones are missing.
pub const CATEGORIES_MAX: usize = 10_000;

/// Where larger numbers and the infinities are cut off, so that every number has a place among a booster's bins.
const NUMBER_MAX: f64 = 1e300;

/// A column that a model takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Name of the column.
    pub name: String,
    /// How its values become numbers.
    #[serde(flatten)]
    pub kind: InputKind,
}

/// How values become numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum InputKind {
    /// The number itself; 0 and 1 for a boolean.
    Numeric,
    /// The position of the text among the categories.
    Categorical {
        /// Texts by code.
        categories: Vec<String>,
    },
}

/// Numbers of rows, column by column.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    /// Rows.
    pub rows: usize,
    /// One vector of `rows` numbers per input; NaN for missing, never infinite.
    pub columns: Vec<Vec<f64>>,
}

impl Matrix {
    /// The first rows, `rows_max` of them.
    pub fn head(&self, rows_max: usize) -> Matrix {
        let rows = self.rows.min(rows_max);
        Matrix { rows, columns: self.columns.iter().map(|column| column[..rows].to_vec()).collect() }
    }

    /// The numbers of one row.
    pub fn row(&self, row: usize) -> impl Iterator<Item = f64> + '_ {
        self.columns.iter().map(move |column| column[row])
    }
}

/// Decides how the columns `names` of training rows become numbers.
///
/// # Errors
/// `SW1001` for a column that is not there or named twice, `SW1002` for a type that no model takes.
pub fn learn(rows: &RecordBatch, names: &[String]) -> Result<Vec<Input>> {
    let mut inputs: Vec<Input> = Vec::with_capacity(names.len());
    for name in names {
        if inputs.iter().any(|input| input.name == *name) {
            return Err(Error::invalid("SW1001", format!("input {name} is listed twice")));
        }
        let column = column(rows, name)?;
        let kind = match family(column.data_type()) {
            Family::Number => InputKind::Numeric,
            Family::Text => InputKind::Categorical { categories: categories(column)? },
            Family::Refused => return Err(refused(name, column.data_type())),
        };
        inputs.push(Input { name: name.clone(), kind });
    }
    Ok(inputs)
}

/// Turns rows into numbers, by the names of `inputs`.
///
/// # Errors
/// `SW1001` for a column that is not there, `SW1003` for one of another type than in training.
pub fn encode(rows: &RecordBatch, inputs: &[Input]) -> Result<Matrix> {
    let mut columns = Vec::with_capacity(inputs.len());
    for input in inputs {
        let column = column(rows, &input.name)?;
        columns.push(match (&input.kind, family(column.data_type())) {
            (_, _) if column.data_type() == &DataType::Null => vec![f64::NAN; rows.num_rows()],
            (InputKind::Numeric, Family::Number) => numbers(column)?,
            (InputKind::Categorical { categories }, Family::Text) => codes(column, categories)?,
            (InputKind::Numeric, _) => return Err(mismatch(input, column.data_type(), "a number")),
            (InputKind::Categorical { .. }, _) => return Err(mismatch(input, column.data_type(), "text")),
        });
    }
    Ok(Matrix { rows: rows.num_rows(), columns })
}

/// The value of `input` in `row` as text; none when it is missing.
pub fn text(rows: &RecordBatch, input: &Input, row: usize) -> Result<Option<String>> {
    let column = column(rows, &input.name)?;
    if column.is_null(row) || column.data_type() == &DataType::Null {
        return Ok(None);
    }
    let text = array_value_to_string(column, row)?;
    Ok((text != "NaN" || family(column.data_type()) == Family::Text).then_some(text))
}

/// What becomes of a type.
#[derive(PartialEq)]
enum Family {
    Number,
    Text,
    Refused,
}

fn family(data_type: &DataType) -> Family {
    match data_type {
        DataType::Null | DataType::Boolean | DataType::Decimal128(..) | DataType::Decimal256(..) => Family::Number,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Family::Text,
        DataType::Dictionary(_, values) => family(values),
        other if other.is_integer() || other.is_floating() => Family::Number,
        _ => Family::Refused,
    }
}

fn column<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    rows.column_by_name(name).ok_or_else(|| {
        Error::invalid("SW1001", format!("the rows have no column {name}, which the model takes"))
            .hint("give it with every row; null where nothing is known")
    })
}

fn numbers(column: &ArrayRef) -> Result<Vec<f64>> {
    let numbers = cast(column, &DataType::Float64)?;
    let numbers: &Float64Array = numbers.as_primitive::<Float64Type>();
    let clean = |value: f64| value.clamp(-NUMBER_MAX, NUMBER_MAX);
    Ok(numbers.iter().map(|value| value.map_or(f64::NAN, clean)).collect())
}

fn codes(column: &ArrayRef, categories: &[String]) -> Result<Vec<f64>> {
    let code_of: HashMap<&str, usize> = categories.iter().enumerate().map(|(i, name)| (name.as_str(), i)).collect();
    let texts = cast(column, &DataType::Utf8)?;
    let code = |text: &str| code_of.get(text).map_or(f64::NAN, |code| *code as f64);
    Ok(texts.as_string::<i32>().iter().map(|text| text.map_or(f64::NAN, code)).collect())
}

/// The texts of a column by falling frequency, then by name.
fn categories(column: &ArrayRef) -> Result<Vec<String>> {
    let texts = cast(column, &DataType::Utf8)?;
    let mut counts: HashMap<&str, u64> = HashMap::new();
    for text in texts.as_string::<i32>().iter().flatten() {
        *counts.entry(text).or_default() += 1;
    }
    let mut ordered: Vec<(&str, u64)> = counts.into_iter().collect();
    ordered.sort_unstable_by(|(a, a_count), (b, b_count)| b_count.cmp(a_count).then(a.cmp(b)));
    Ok(ordered.into_iter().take(CATEGORIES_MAX).map(|(text, _)| text.to_owned()).collect())
}

fn refused(name: &str, data_type: &DataType) -> Error {
    Error::invalid("SW1002", format!("column {name} is of type {data_type}, which no model takes"))
        .hint("list the model's inputs without it, or make a number of it, such as a duration or an hour of the day")
}

fn mismatch(input: &Input, data_type: &DataType, wanted: &str) -> Error {
    let name = &input.name;
    Error::invalid("SW1003", format!("column {name} is of type {data_type}, and the model learned {wanted}"))
        .hint("give the column as it was in the training set, or train the model again")
}
