//! Values between Arrow and the aggregates: three representations for all supported column types.
//!
//! Booleans, integers, decimals (unscaled), dates and timestamps are `i128`; floats are `f64` with `-0.0` turned into
//! `0.0` and every NaN into the same NaN; text is UTF-8. A column's Arrow type turns a value back into an array.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, StringArray, UInt64Array,
};
use arrow::compute::cast;
use arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DataType, Date32Type, Decimal128Type, DecimalType, Float64Type, Int64Type, TimeUnit,
};
use seawall_base::Error;
use seawall_base::error::Result;

use super::bytes::{Reader, Writer, garbage};

/// What kind of values a column holds; decides which aggregations it admits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// `Boolean`, as 0 and 1.
    Boolean,
    /// Signed and unsigned integers.
    Integer,
    /// `Float32` and `Float64`.
    Float,
    /// `Decimal128`, as unscaled integers.
    Decimal {
        /// Digits after the point.
        scale: i8,
    },
    /// `Utf8`, `LargeUtf8`, `Utf8View`.
    Text,
    /// `Date32`, as days since 1970-01-01.
    Date,
    /// `Timestamp`, in the column's unit since 1970-01-01T00:00:00Z.
    Timestamp(TimeUnit),
}

impl Class {
    /// The class of an Arrow type, when it is supported.
    pub fn of(data_type: &DataType) -> Option<Class> {
        match data_type {
            DataType::Boolean => Some(Class::Boolean),
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => Some(Class::Integer),
            DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => Some(Class::Integer),
            DataType::Float32 | DataType::Float64 => Some(Class::Float),
            DataType::Decimal128(_, scale) => Some(Class::Decimal { scale: *scale }),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(Class::Text),
            DataType::Date32 => Some(Class::Date),
            DataType::Timestamp(unit, _) => Some(Class::Timestamp(*unit)),
            _ => None,
        }
    }

    /// Whether values can be added.
    pub fn is_number(&self) -> bool {
        matches!(self, Class::Integer | Class::Float | Class::Decimal { .. })
    }

    /// Digits after the point of the integer that stands for a value.
    pub fn scale(&self) -> i8 {
        match self {
            Class::Decimal { scale } => *scale,
            _ => 0,
        }
    }
}

/// A value of one row, borrowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// Nothing.
    Null,
    /// Boolean, integer, unscaled decimal, date or timestamp.
    Int(i128),
    /// A float; see [`normal`].
    Float(f64),
    /// Text.
    Text(&'a str),
}

/// A value that is not null, owned.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// Boolean, integer, unscaled decimal, date or timestamp.
    Int(i128),
    /// A float; see [`normal`].
    Float(f64),
    /// Text.
    Text(Box<str>),
}

/// The float that stands for `value`: `0.0` for `-0.0`, one NaN for all.
pub fn normal(value: f64) -> f64 {
    if value.is_nan() { f64::NAN } else { value + 0.0 }
}

impl<'a> Value<'a> {
    /// The owned value; none for null.
    pub fn to_scalar(self) -> Option<Scalar> {
        match self {
            Value::Null => None,
            Value::Int(value) => Some(Scalar::Int(value)),
            Value::Float(value) => Some(Scalar::Float(value)),
            Value::Text(value) => Some(Scalar::Text(value.into())),
        }
    }

    /// Writes the value so that [`Value::decode`] reads it back.
    pub(crate) fn encode(self, out: &mut Writer) {
        match self {
            Value::Null => out.u8(0),
            Value::Int(value) => {
                out.u8(1);
                out.zigzag(value);
            }
            Value::Float(value) => {
                out.u8(2);
                out.u64(value.to_bits());
            }
            Value::Text(value) => {
                out.u8(3);
                out.bytes(value.as_bytes());
            }
        }
    }

    /// Reads one value.
    pub(crate) fn decode(from: &mut Reader<'a>) -> Result<Self> {
        match from.u8()? {
            0 => Ok(Value::Null),
            1 => Ok(Value::Int(from.zigzag()?)),
            2 => Ok(Value::Float(normal(f64::from_bits(from.u64()?)))),
            3 => Ok(Value::Text(from.text()?)),
            _ => Err(garbage("a value has an unknown tag")),
        }
    }

    /// Whether a column of `class` can hold this value.
    pub(crate) fn fits(self, class: Class) -> bool {
        match self {
            Value::Null => true,
            Value::Int(_) => !matches!(class, Class::Float | Class::Text),
            Value::Float(_) => class == Class::Float,
            Value::Text(_) => class == Class::Text,
        }
    }
}

impl Scalar {
    /// The borrowed value.
    pub fn as_value(&self) -> Value<'_> {
        match self {
            Scalar::Int(value) => Value::Int(*value),
            Scalar::Float(value) => Value::Float(*value),
            Scalar::Text(value) => Value::Text(value),
        }
    }
}

/// Order of two values of one column: numbers by size, text by bytes; floats by IEEE total order.
pub(crate) fn compare(a: Value<'_>, b: Value<'_>) -> Ordering {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => a.cmp(&b),
        (Value::Float(a), Value::Float(b)) => a.total_cmp(&b),
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        (a, b) => rank(a).cmp(&rank(b)),
    }
}

/// Values of different representations never meet in one column; this keeps the order total all the same.
fn rank(value: Value<'_>) -> u8 {
    match value {
        Value::Null => 0,
        Value::Int(_) => 1,
        Value::Float(_) => 2,
        Value::Text(_) => 3,
    }
}

/// A column of a batch, ready to give values by row.
#[derive(Debug)]
pub enum Column {
    /// Booleans.
    Boolean(BooleanArray),
    /// Signed integers, narrow unsigned ones, dates, timestamps.
    Int(Int64Array),
    /// Unsigned 64-bit integers.
    UInt(UInt64Array),
    /// Unscaled decimals.
    Decimal(Decimal128Array),
    /// Floats.
    Float(Float64Array),
    /// Text.
    Text(StringArray),
}

impl Column {
    /// Reads an Arrow array of a supported type.
    pub fn new(array: &ArrayRef) -> Result<Column> {
        let unsupported =
            || Error::invalid("SW0310", format!("values of type {} are not supported", array.data_type()));
        match Class::of(array.data_type()).ok_or_else(unsupported)? {
            Class::Boolean => typed(array, &DataType::Boolean).map(Column::Boolean),
            Class::Integer if array.data_type() == &DataType::UInt64 => {
                typed(array, &DataType::UInt64).map(Column::UInt)
            }
            Class::Date => {
                let days: Date32Array = typed(array, &DataType::Date32)?;
                Ok(Column::Int(days.unary::<_, Int64Type>(i64::from)))
            }
            Class::Integer | Class::Timestamp(_) => typed(array, &DataType::Int64).map(Column::Int),
            Class::Float => typed(array, &DataType::Float64).map(Column::Float),
            Class::Decimal { .. } => typed(array, array.data_type()).map(Column::Decimal),
            Class::Text => typed(array, &DataType::Utf8).map(Column::Text),
        }
    }

    /// The value in `row`.
    pub fn value(&self, row: usize) -> Value<'_> {
        match self {
            Column::Boolean(a) if a.is_valid(row) => Value::Int(i128::from(a.value(row))),
            Column::Int(a) if a.is_valid(row) => Value::Int(i128::from(a.value(row))),
            Column::UInt(a) if a.is_valid(row) => Value::Int(i128::from(a.value(row))),
            Column::Decimal(a) if a.is_valid(row) => Value::Int(a.value(row)),
            Column::Float(a) if a.is_valid(row) => Value::Float(normal(a.value(row))),
            Column::Text(a) if a.is_valid(row) => Value::Text(a.value(row)),
            _ => Value::Null,
        }
    }
}

/// The array of a supported type as the values' representation has it, so that arrays of one column fit together.
pub(crate) fn plain_array(array: &ArrayRef) -> Result<ArrayRef> {
    let plain = match Class::of(array.data_type()) {
        Some(Class::Integer) if array.data_type() == &DataType::UInt64 => DataType::UInt64,
        Some(Class::Integer | Class::Timestamp(_)) => DataType::Int64,
        Some(Class::Float) => DataType::Float64,
        Some(Class::Text) => DataType::Utf8,
        Some(Class::Decimal { scale }) => DataType::Decimal128(DECIMAL128_MAX_PRECISION, scale),
        Some(Class::Boolean | Class::Date) | None => array.data_type().clone(),
    };
    Ok(if *array.data_type() == plain { Arc::clone(array) } else { cast(array, &plain)? })
}

/// An array of `data_type` from a plain one; a value that the type cannot hold is an error.
pub(crate) fn typed_array(plain: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    let column = Column::new(plain)?;
    match (&column, Class::of(data_type)) {
        (Column::Int(values), Some(Class::Integer | Class::Timestamp(_))) if data_type != &DataType::UInt64 => {
            Ok(cast(values, data_type)?)
        }
        (Column::Float(values), Some(Class::Float)) => Ok(cast(&values.unary::<_, Float64Type>(normal), data_type)?),
        (Column::Text(values), Some(Class::Text)) => Ok(cast(values, data_type)?),
        _ => {
            let scalars: Vec<Option<Scalar>> = (0..plain.len()).map(|row| column.value(row).to_scalar()).collect();
            to_array(&scalars, data_type)
        }
    }
}

fn typed<T: Array + Clone + 'static>(array: &ArrayRef, data_type: &DataType) -> Result<T> {
    let cast = if array.data_type() == data_type { Arc::clone(array) } else { cast(array, data_type)? };
    let lost = || Error::internal("SW0310", format!("an array of {data_type} has another layout than its type"));
    cast.as_any().downcast_ref::<T>().cloned().ok_or_else(lost)
}

/// An array of `data_type` from values; a value that the type cannot hold is an error.
pub fn to_array(values: &[Option<Scalar>], data_type: &DataType) -> Result<ArrayRef> {
    match Class::of(data_type) {
        Some(Class::Float) => {
            let floats: Float64Array = values.iter().map(|v| v.as_ref().and_then(float)).collect();
            fitting(floats, data_type)
        }
        Some(Class::Text) => {
            let texts: StringArray = values.iter().map(|v| v.as_ref().and_then(text)).collect();
            fitting(texts, data_type)
        }
        Some(Class::Boolean) => Ok(Arc::new(values.iter().map(|v| int(v).map(|i| i != 0)).collect::<BooleanArray>())),
        Some(Class::Decimal { scale }) => {
            let DataType::Decimal128(precision, _) = data_type else {
                return Err(Error::internal("SW0322", "a decimal feature has no decimal type"));
            };
            for value in values.iter().filter_map(int) {
                Decimal128Type::validate_decimal_precision(value, *precision, scale)
                    .map_err(|e| overflow("decimal").because(e))?;
            }
            let decimals: Decimal128Array = values.iter().map(int).collect();
            Ok(Arc::new(decimals.with_precision_and_scale(*precision, scale)?))
        }
        Some(Class::Date) => {
            let days: Int64Array = narrow(values)?;
            let days: Date32Array =
                days.try_unary::<_, Date32Type, Error>(|d| i32::try_from(d).map_err(|_| overflow("date")))?;
            Ok(Arc::new(days))
        }
        Some(Class::Integer) if data_type == &DataType::UInt64 => {
            let mut out = Vec::with_capacity(values.len());
            for value in values {
                out.push(int(value).map(u64::try_from).transpose().map_err(|_| overflow("unsigned integer"))?);
            }
            Ok(Arc::new(UInt64Array::from(out)))
        }
        Some(Class::Integer | Class::Timestamp(_)) => fitting(narrow(values)?, data_type),
        None => Err(Error::internal("SW0310", format!("a feature cannot have type {data_type}"))),
    }
}

/// The array as one of `data_type`.
fn fitting(array: impl Array + 'static, data_type: &DataType) -> Result<ArrayRef> {
    if array.data_type() == data_type { Ok(Arc::new(array)) } else { Ok(cast(&array, data_type)?) }
}

fn narrow(values: &[Option<Scalar>]) -> Result<Int64Array> {
    let mut out = Vec::with_capacity(values.len());
    for value in values {
        out.push(int(value).map(i64::try_from).transpose().map_err(|_| overflow("64-bit integer"))?);
    }
    Ok(Int64Array::from(out))
}

fn int(value: &Option<Scalar>) -> Option<i128> {
    match value {
        Some(Scalar::Int(value)) => Some(*value),
        _ => None,
    }
}

fn float(value: &Scalar) -> Option<f64> {
    match value {
        Scalar::Float(value) => Some(*value),
        _ => None,
    }
}

fn text(value: &Scalar) -> Option<&str> {
    match value {
        Scalar::Text(value) => Some(value),
        _ => None,
    }
}

/// The error for a result that its type cannot hold.
pub(crate) fn overflow(type_name: &str) -> Error {
    Error::invalid("SW0322", format!("a feature value does not fit its {type_name} type"))
        .hint("shorten the window, or make the column a float")
}
