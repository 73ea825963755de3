//! Row filters over columns: a [`Predicate`] bound to the columns of a batch and evaluated with Arrow's kernels, in
//! three-valued logic.

use std::cmp::Ordering;
use std::collections::HashSet;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::kernels::{boolean, cmp};
use arrow::compute::{cast, prep_null_mask_filter};
use arrow::datatypes::{DataType, Decimal128Type, Int64Type};
use seawall_base::error::Result;
use seawall_base::grant::{Comparison, Literal, Predicate};

/// A predicate bound to the columns of a batch.
#[derive(Debug)]
pub(super) struct Filter(Bound);

#[derive(Debug)]
enum Bound {
    Constant(bool),
    /// Null for every row: a column that the version does not have yet.
    Null,
    Text(usize, TextTest),
    Integer(usize, IntegerTest<i64>),
    /// Unscaled decimals.
    Decimal(usize, IntegerTest<i128>),
    /// Whether a boolean is one of those admitted: false, true.
    Bool(usize, [bool; 2]),
    Present(usize),
    Not(Box<Bound>),
    All(Vec<Bound>),
    Any(Vec<Bound>),
    OrElse(Box<Bound>, bool),
}

#[derive(Debug)]
enum TextTest {
    Compare(Comparison, String),
    OneOf(HashSet<String>),
    Like(Vec<String>),
}

#[derive(Debug)]
enum IntegerTest<T> {
    Compare(Comparison, T),
    /// Nothing of the column's type equals the literal: it lies above or below all.
    Beyond(Comparison, Ordering),
    OneOf(HashSet<T>),
}

/// Finds a column by name: where it is in the batch and its type; none when it is null in every row.
pub(super) type FindColumn<'f> = dyn FnMut(&str) -> Result<Option<(usize, DataType)>, &'static str> + 'f;

/// Why a predicate cannot be bound.
const TYPES: &str = "it compares a column with a value of another type, or a column of a type that has no comparison";
const EMPTY_PATTERN: &str = "a pattern has no parts";

impl Filter {
    /// Binds `predicate`; the error says why it cannot be computed, without names and values.
    pub(super) fn bind(predicate: &Predicate, find: &mut FindColumn<'_>) -> Result<Filter, &'static str> {
        bind(predicate, find).map(Filter)
    }

    /// Which rows it admits: null does not.
    pub(super) fn keep(&self, batch: &RecordBatch) -> Result<BooleanArray> {
        let decided = self.0.decide(batch)?;
        Ok(if decided.null_count() > 0 { prep_null_mask_filter(&decided) } else { decided })
    }
}

fn bind(predicate: &Predicate, find: &mut FindColumn<'_>) -> Result<Bound, &'static str> {
    match predicate {
        Predicate::Constant(value) => Ok(Bound::Constant(*value)),
        Predicate::Compare { column, operator, literal } => match find(column)? {
            None => Ok(Bound::Null),
            Some((at, data_type)) => compare(at, &data_type, *operator, literal),
        },
        Predicate::OneOf { column, literals } => match find(column)? {
            None => Ok(Bound::Null),
            Some((at, data_type)) => one_of(at, &data_type, literals),
        },
        Predicate::Present(column) => Ok(find(column)?.map_or(Bound::Constant(false), |(at, _)| Bound::Present(at))),
        Predicate::Like { parts, .. } if parts.is_empty() => Err(EMPTY_PATTERN),
        Predicate::Like { column, parts } => match find(column)? {
            None => Ok(Bound::Null),
            Some((at, DataType::Utf8)) => Ok(Bound::Text(at, TextTest::Like(parts.clone()))),
            Some(_) => Err(TYPES),
        },
        Predicate::Not(inner) => Ok(Bound::Not(Box::new(bind(inner, find)?))),
        Predicate::All(parts) => Ok(Bound::All(bind_all(parts, find)?)),
        Predicate::Any(parts) => Ok(Bound::Any(bind_all(parts, find)?)),
        Predicate::OrElse(inner, otherwise) => Ok(Bound::OrElse(Box::new(bind(inner, find)?), *otherwise)),
    }
}

fn bind_all(parts: &[Predicate], find: &mut FindColumn<'_>) -> Result<Vec<Bound>, &'static str> {
    let mut bound = Vec::with_capacity(parts.len());
    for part in parts {
        bound.push(bind(part, find)?);
    }
    Ok(bound)
}

fn compare(at: usize, data_type: &DataType, operator: Comparison, literal: &Literal) -> Result<Bound, &'static str> {
    match (data_type, literal) {
        (DataType::Utf8, Literal::Text(text)) => Ok(Bound::Text(at, TextTest::Compare(operator, text.clone()))),
        (DataType::Boolean, Literal::Bool(value)) => match operator {
            Comparison::Equal => Ok(Bound::Bool(at, [!value, *value])),
            Comparison::NotEqual => Ok(Bound::Bool(at, [*value, !value])),
            Comparison::Less | Comparison::LessOrEqual | Comparison::Greater | Comparison::GreaterOrEqual => Err(TYPES),
        },
        (DataType::Decimal128(_, scale), Literal::Integer(value)) => Ok(match unscaled(*value, *scale)? {
            Some(value) => Bound::Decimal(at, IntegerTest::Compare(operator, value)),
            None => Bound::Decimal(at, IntegerTest::Beyond(operator, value.cmp(&0))),
        }),
        (whole, Literal::Integer(value)) if is_whole(whole) => {
            Ok(Bound::Integer(at, IntegerTest::Compare(operator, *value)))
        }
        _ => Err(TYPES),
    }
}

fn one_of(at: usize, data_type: &DataType, literals: &[Literal]) -> Result<Bound, &'static str> {
    match data_type {
        DataType::Utf8 => {
            let texts = literals.iter().map(|literal| as_text(literal).ok_or(TYPES));
            Ok(Bound::Text(at, TextTest::OneOf(texts.collect::<Result<_, _>>()?)))
        }
        DataType::Boolean => {
            let mut admitted = [false, false];
            for literal in literals {
                let Literal::Bool(value) = literal else { return Err(TYPES) };
                admitted[usize::from(*value)] = true;
            }
            Ok(Bound::Bool(at, admitted))
        }
        DataType::Decimal128(_, scale) => {
            let mut values = HashSet::new();
            for literal in literals {
                values.extend(unscaled(as_integer(literal).ok_or(TYPES)?, *scale)?);
            }
            Ok(Bound::Decimal(at, IntegerTest::OneOf(values)))
        }
        whole if is_whole(whole) => {
            let values = literals.iter().map(|literal| as_integer(literal).ok_or(TYPES));
            Ok(Bound::Integer(at, IntegerTest::OneOf(values.collect::<Result<_, _>>()?)))
        }
        _ => Err(TYPES),
    }
}

/// Whether every value of a type is a 64-bit integer.
fn is_whole(data_type: &DataType) -> bool {
    data_type.is_integer() && *data_type != DataType::UInt64
}

fn as_text(literal: &Literal) -> Option<String> {
    match literal {
        Literal::Text(text) => Some(text.clone()),
        Literal::Integer(_) | Literal::Bool(_) => None,
    }
}

fn as_integer(literal: &Literal) -> Option<i64> {
    match literal {
        Literal::Integer(value) => Some(*value),
        Literal::Text(_) | Literal::Bool(_) => None,
    }
}

/// A whole number as a decimal of `scale`; none when it lies beyond them all.
fn unscaled(value: i64, scale: i8) -> Result<Option<i128>, &'static str> {
    let scale = u32::try_from(scale).map_err(|_| TYPES)?;
    Ok(10i128.checked_pow(scale).and_then(|factor| factor.checked_mul(i128::from(value))))
}

impl Bound {
    fn decide(&self, batch: &RecordBatch) -> Result<BooleanArray> {
        match self {
            Bound::Constant(value) => Ok(BooleanArray::from(vec![*value; batch.num_rows()])),
            Bound::Null => Ok(BooleanArray::new_null(batch.num_rows())),
            Bound::Text(at, test) => test.decide(batch.column(*at).as_string()),
            Bound::Integer(at, test) => test.decide_integers(batch.column(*at)),
            Bound::Decimal(at, test) => Ok(test.decide_decimals(batch.column(*at).as_primitive::<Decimal128Type>())),
            Bound::Bool(at, admitted) => {
                let values = batch.column(*at).as_boolean();
                Ok(values.iter().map(|value| value.map(|value| admitted[usize::from(value)])).collect())
            }
            Bound::Present(at) => Ok(boolean::is_not_null(batch.column(*at))?),
            Bound::Not(inner) => Ok(boolean::not(&inner.decide(batch)?)?),
            Bound::All(parts) => fold(parts, batch, true, boolean::and_kleene),
            Bound::Any(parts) => fold(parts, batch, false, boolean::or_kleene),
            Bound::OrElse(inner, otherwise) => {
                let decided = inner.decide(batch)?;
                Ok(decided.iter().map(|value| Some(value.unwrap_or(*otherwise))).collect())
            }
        }
    }
}

fn fold(
    parts: &[Bound],
    batch: &RecordBatch,
    of_none: bool,
    join: impl Fn(&BooleanArray, &BooleanArray) -> Result<BooleanArray, arrow::error::ArrowError>,
) -> Result<BooleanArray> {
    let mut decided = BooleanArray::from(vec![of_none; batch.num_rows()]);
    for part in parts {
        decided = join(&decided, &part.decide(batch)?)?;
    }
    Ok(decided)
}

impl TextTest {
    fn decide(&self, values: &StringArray) -> Result<BooleanArray> {
        match self {
            TextTest::Compare(operator, text) => compare_arrays(*operator, values, &StringArray::new_scalar(text)),
            TextTest::OneOf(texts) => Ok(values.iter().map(|value| value.map(|value| texts.contains(value))).collect()),
            TextTest::Like(parts) => Ok(values.iter().map(|value| value.map(|value| is_like(value, parts))).collect()),
        }
    }
}

impl IntegerTest<i64> {
    fn decide_integers(&self, values: &ArrayRef) -> Result<BooleanArray> {
        let values = cast(values, &DataType::Int64)?;
        let values = values.as_primitive::<Int64Type>();
        match self {
            IntegerTest::Compare(operator, value) => compare_arrays(*operator, values, &Int64Array::new_scalar(*value)),
            IntegerTest::Beyond(operator, order) => Ok(decide_beyond(values.iter(), *operator, *order)),
            IntegerTest::OneOf(among) => Ok(values.iter().map(|v| v.map(|v| among.contains(&v))).collect()),
        }
    }
}

impl IntegerTest<i128> {
    fn decide_decimals(&self, values: &Decimal128Array) -> BooleanArray {
        match self {
            IntegerTest::Compare(operator, literal) => {
                values.iter().map(|value| value.map(|value| holds(*operator, value.cmp(literal)))).collect()
            }
            IntegerTest::Beyond(operator, order) => decide_beyond(values.iter(), *operator, *order),
            IntegerTest::OneOf(among) => values.iter().map(|v| v.map(|v| among.contains(&v))).collect(),
        }
    }
}

/// Every value compares the same way with a literal beyond them all.
fn decide_beyond<T>(
    values: impl Iterator<Item = Option<T>>,
    operator: Comparison,
    literal_to_zero: Ordering,
) -> BooleanArray {
    let decided = holds(operator, literal_to_zero.reverse());
    values.map(|value| value.map(|_| decided)).collect()
}

fn compare_arrays(
    operator: Comparison,
    values: &dyn arrow::array::Datum,
    literal: &dyn arrow::array::Datum,
) -> Result<BooleanArray> {
    Ok(match operator {
        Comparison::Equal => cmp::eq(values, literal)?,
        Comparison::NotEqual => cmp::neq(values, literal)?,
        Comparison::Less => cmp::lt(values, literal)?,
        Comparison::LessOrEqual => cmp::lt_eq(values, literal)?,
        Comparison::Greater => cmp::gt(values, literal)?,
        Comparison::GreaterOrEqual => cmp::gt_eq(values, literal)?,
    })
}

/// Whether a comparison holds for how the value is ordered to the literal.
pub(super) fn holds(operator: Comparison, order: Ordering) -> bool {
    match operator {
        Comparison::Equal => order.is_eq(),
        Comparison::NotEqual => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
    }
}

/// Whether `text` is the parts in order with anything in between; a single part is the whole text.
pub(super) fn is_like(text: &str, parts: &[String]) -> bool {
    let Some((first, rest)) = parts.split_first() else { return false };
    let Some((last, middle)) = rest.split_last() else { return text == first };
    let Some(mut left) = text.strip_prefix(first.as_str()) else { return false };
    for part in middle {
        let Some(at) = left.find(part.as_str()) else { return false };
        left = &left[at + part.len()..];
    }
    left.ends_with(last.as_str())
}
