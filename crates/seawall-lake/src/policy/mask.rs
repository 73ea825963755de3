//! Masks: the nine actions of Apache Iceberg's read restrictions, on columns and on single JSON values.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray, StringArray, StructArray,
    new_empty_array, new_null_array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, TimeUnit, TimestampMicrosecondType};
use aws_lc_rs::digest::{Context, SHA256};
use seawall_base::Permit;
use seawall_base::error::{Error, Result};
use seawall_base::grant::Mask;
use serde_json::Value;

use crate::codes;

/// The text that replaces every text, as Iceberg has it.
const FIXED_TEXT: &str = "XXXXXXXX";
/// Characters that `show-first-4` and `show-last-4` show.
const SHOWN_CHARACTERS: usize = 4;
const MICROS_PER_DAY: i64 = 86_400_000_000;

/// What hashes that are local to a query begin with. Two queries have different ones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Salt([u8; 32]);

impl Salt {
    /// The salt of one query under one permit, whose id is unique.
    pub(crate) fn of_query(permit: &Permit, sql: &str) -> Salt {
        Salt::of(permit, "query", sql)
    }

    /// The salt of scans under one permit.
    pub(crate) fn of_scan(permit: &Permit) -> Salt {
        Salt::of(permit, "scan", "")
    }

    fn of(permit: &Permit, kind: &str, text: &str) -> Salt {
        let mut context = Context::new(&SHA256);
        for part in [permit.id(), kind, text] {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part.as_bytes());
        }
        let mut salt = [0; 32];
        salt.copy_from_slice(context.finish().as_ref());
        Salt(salt)
    }
}

/// Whether a mask can be applied to a type.
pub(super) fn admits(mask: &Mask, data_type: &DataType) -> bool {
    match mask {
        Mask::ReplaceWithNull => true,
        Mask::MaskToFixedValue => has_fixed_value(data_type),
        Mask::TruncateToYear | Mask::TruncateToMonth => {
            matches!(data_type, DataType::Date32 | DataType::Timestamp(TimeUnit::Microsecond, _))
        }
        Mask::MaskAlphanum | Mask::ShowFirst4 | Mask::ShowLast4 | Mask::Sha256Global | Mask::Sha256QueryLocal => {
            *data_type == DataType::Utf8
        }
    }
}

/// A column as it is shown, in the same type.
pub(super) fn apply(mask: &Mask, column: &ArrayRef, salt: Salt) -> Result<ArrayRef> {
    match mask {
        Mask::ReplaceWithNull => Ok(new_null_array(column.data_type(), column.len())),
        Mask::MaskToFixedValue => fixed_values(column.data_type(), column.len()),
        Mask::TruncateToYear | Mask::TruncateToMonth => truncate(mask, column),
        Mask::MaskAlphanum | Mask::ShowFirst4 | Mask::ShowLast4 | Mask::Sha256Global | Mask::Sha256QueryLocal => {
            let texts = column.as_string_opt::<i32>().ok_or_else(|| unfit(column.data_type()))?;
            let masked: StringArray =
                texts.iter().map(|value| value.and_then(|value| text(mask, value, salt))).collect();
            Ok(Arc::new(masked))
        }
    }
}

/// A text as it is shown; none when the mask is not one for text.
pub(super) fn text(mask: &Mask, value: &str, salt: Salt) -> Option<String> {
    match mask {
        Mask::MaskAlphanum => Some(value.chars().map(masked_character).collect()),
        Mask::ShowFirst4 => {
            let stars = value.chars().skip(SHOWN_CHARACTERS).map(|_| '*');
            let is_short = value.chars().nth(SHOWN_CHARACTERS).is_none();
            let shown = value.chars().take(SHOWN_CHARACTERS).map(|c| if is_short { '*' } else { c });
            Some(shown.chain(stars).collect())
        }
        Mask::ShowLast4 => {
            let count = value.chars().count();
            let hidden = if count <= SHOWN_CHARACTERS { count } else { count - SHOWN_CHARACTERS };
            Some(std::iter::repeat_n('*', hidden).chain(value.chars().skip(hidden)).collect())
        }
        Mask::MaskToFixedValue => Some(FIXED_TEXT.to_owned()),
        Mask::Sha256Global => Some(hexadecimal(&[], value)),
        Mask::Sha256QueryLocal => Some(hexadecimal(&salt.0, value)),
        Mask::ReplaceWithNull | Mask::TruncateToYear | Mask::TruncateToMonth => None,
    }
}

fn masked_character(character: char) -> char {
    if character.is_alphabetic() {
        'x'
    } else if character.is_numeric() {
        'n'
    } else {
        character
    }
}

fn hexadecimal(salt: &[u8], value: &str) -> String {
    let mut context = Context::new(&SHA256);
    context.update(salt);
    context.update(value.as_bytes());
    let mut text = String::with_capacity(64);
    for byte in context.finish().as_ref() {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A JSON value of a column of `data_type` as it is shown; none when there is nothing to show, or when the value is not
/// what the mask is for.
pub(super) fn json(mask: &Mask, value: Option<&Value>, data_type: &DataType, salt: Salt) -> Option<Value> {
    match (mask, value) {
        (Mask::ReplaceWithNull, _) => None,
        (Mask::MaskToFixedValue, _) => fixed_json(data_type),
        (Mask::TruncateToYear | Mask::TruncateToMonth, Some(Value::String(time))) => {
            truncate_text(mask, time).map(Value::String)
        }
        (_, Some(Value::String(value))) => text(mask, value, salt).map(Value::String),
        _ => None,
    }
}

fn has_fixed_value(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(fields) => fields.iter().all(|field| has_fixed_value(field.data_type())),
        DataType::List(_) | DataType::Utf8 | DataType::Binary | DataType::Boolean | DataType::Date32 => true,
        DataType::Timestamp(TimeUnit::Microsecond, _) | DataType::Decimal128(..) => true,
        other => other.is_integer() || other.is_floating(),
    }
}

fn fixed_values(data_type: &DataType, rows: usize) -> Result<ArrayRef> {
    Ok(match data_type {
        DataType::Utf8 => Arc::new(StringArray::from(vec![FIXED_TEXT; rows])),
        DataType::Boolean => Arc::new(BooleanArray::from(vec![false; rows])),
        DataType::Binary => Arc::new(arrow::array::BinaryArray::from(vec![b"".as_slice(); rows])),
        DataType::Struct(fields) => {
            let columns: Result<Vec<ArrayRef>> =
                fields.iter().map(|field| fixed_values(field.data_type(), rows)).collect();
            let length = rows;
            Arc::new(StructArray::try_new_with_length(fields.clone(), columns?, None, length)?)
        }
        DataType::List(item) => {
            let offsets = arrow::buffer::OffsetBuffer::new_zeroed(rows);
            let none = new_empty_array(item.data_type());
            Arc::new(arrow::array::ListArray::try_new(Arc::clone(item), offsets, none, None)?)
        }
        // Zero is the fixed value of numbers, and the epoch that of dates and times.
        DataType::Date32 => Arc::new(PrimitiveArray::<Date32Type>::from_value(0, rows)),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            Arc::new(PrimitiveArray::<TimestampMicrosecondType>::from_value(0, rows).with_timezone_opt(zone.clone()))
        }
        other if has_fixed_value(other) => {
            let zeros: ArrayRef = Arc::new(PrimitiveArray::<arrow::datatypes::Int8Type>::from_value(0, rows));
            cast(&zeros, other)?
        }
        other => return Err(unfit(other)),
    })
}

fn fixed_json(data_type: &DataType) -> Option<Value> {
    Some(match data_type {
        DataType::Utf8 => Value::from(FIXED_TEXT),
        DataType::Boolean => Value::from(false),
        DataType::Date32 => Value::from("1970-01-01"),
        DataType::Timestamp(_, Some(_)) => Value::from("1970-01-01T00:00:00Z"),
        DataType::Timestamp(_, None) => Value::from("1970-01-01T00:00:00"),
        other if other.is_numeric() => Value::from(0),
        _ => return None,
    })
}

fn truncate(mask: &Mask, column: &ArrayRef) -> Result<ArrayRef> {
    match column.data_type() {
        DataType::Date32 => {
            let days = column.as_primitive::<Date32Type>();
            Ok(mapped(days, |day| i32::try_from(first_day(mask, i64::from(day))).unwrap_or(i32::MIN)))
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let times = column.as_primitive::<TimestampMicrosecondType>();
            let first = |time: i64| first_day(mask, time.div_euclid(MICROS_PER_DAY)).saturating_mul(MICROS_PER_DAY);
            let truncated: PrimitiveArray<TimestampMicrosecondType> = times.unary(first);
            Ok(Arc::new(truncated.with_timezone_opt(zone.clone())))
        }
        other => Err(unfit(other)),
    }
}

fn mapped<T: ArrowPrimitiveType>(values: &PrimitiveArray<T>, map: impl Fn(T::Native) -> T::Native) -> ArrayRef {
    let mapped: PrimitiveArray<T> = values.unary(map);
    Arc::new(mapped)
}

/// The first day of the year or the month of a day, in days since 1970-01-01 of the proleptic Gregorian calendar.
fn first_day(mask: &Mask, day: i64) -> i64 {
    // Years begin in March here, so that the leap day is a year's last one; 400 years have 146,097 days.
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    if *mask == Mask::TruncateToMonth {
        return day - (of_year - (153 * month_from_march + 2) / 5);
    }
    // January and February belong to the year that began in March before them; 306 days from March to January.
    let is_after_new_year = month_from_march >= 10;
    let year = year_of_era - i64::from(!is_after_new_year);
    let (era, year) = if year < 0 { (era - 1, year + 400) } else { (era, year) };
    era * 146_097 + 365 * year + year / 4 - year / 100 + 306 - 719_468
}

/// The first instant of the year or month of a time in text, spelled as the time is; none for other text.
fn truncate_text(mask: &Mask, time: &str) -> Option<String> {
    let first = |date: jiff::civil::Date| match mask {
        Mask::TruncateToMonth => date.first_of_month(),
        _ => date.first_of_year(),
    };
    if let Ok(instant) = time.parse::<jiff::Timestamp>() {
        let date = jiff::tz::Offset::UTC.to_datetime(instant).date();
        return Some(format!("{}T00:00:00Z", first(date)));
    }
    let is_date_only = !time.contains([':', 'T', 't', ' ']);
    let date = time.parse::<jiff::civil::DateTime>().ok().map(|time| time.date());
    let date = first(date.or_else(|| time.parse::<jiff::civil::Date>().ok())?);
    Some(if is_date_only { date.to_string() } else { format!("{date}T00:00:00") })
}

fn unfit(data_type: &DataType) -> Error {
    Error::internal(codes::MASK_UNFIT, format!("a mask was bound to a column of {data_type}"))
}
