//! One row, or one cell, of any batch as compact JSON: what the quarantine keeps and what messages show.
//!
//! Instants are RFC 3339; NaN and infinities, which JSON does not know, become strings; bytes become hexadecimal.

use std::fmt::Write;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, TimeUnit};
use arrow::datatypes::{
    Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// Row `row` of `batch` as compact JSON, one member per column in the batch's order, nulls included.
///
/// # Panics
/// When `row` is not a row of `batch`.
pub fn raw_json(batch: &RecordBatch, row: usize) -> String {
    assert!(row < batch.num_rows(), "the row belongs to the batch");
    let mut out = String::from("{");
    for (i, field) in batch.schema_ref().fields().iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        push_string(&mut out, field.name());
        out.push(':');
        push_cell(&mut out, batch.column(i).as_ref(), row);
    }
    out.push('}');
    out
}

/// The cell at `at` as compact JSON.
pub(super) fn cell_json(array: &dyn Array, at: usize) -> String {
    let mut out = String::new();
    push_cell(&mut out, array, at);
    out
}

fn push_cell(out: &mut String, array: &dyn Array, at: usize) {
    if array.is_null(at) {
        out.push_str("null");
        return;
    }
    match array.data_type() {
        DataType::Null => out.push_str("null"),
        DataType::Boolean => push_display(out, array.as_boolean().value(at)),
        DataType::Int8 => push_display(out, array.as_primitive::<Int8Type>().value(at)),
        DataType::Int16 => push_display(out, array.as_primitive::<Int16Type>().value(at)),
        DataType::Int32 => push_display(out, array.as_primitive::<Int32Type>().value(at)),
        DataType::Int64 => push_display(out, array.as_primitive::<Int64Type>().value(at)),
        DataType::UInt8 => push_display(out, array.as_primitive::<UInt8Type>().value(at)),
        DataType::UInt16 => push_display(out, array.as_primitive::<UInt16Type>().value(at)),
        DataType::UInt32 => push_display(out, array.as_primitive::<UInt32Type>().value(at)),
        DataType::UInt64 => push_display(out, array.as_primitive::<UInt64Type>().value(at)),
        DataType::Float16 => push_float(out, f64::from(array.as_primitive::<Float16Type>().value(at))),
        DataType::Float32 => push_float32(out, array.as_primitive::<Float32Type>().value(at)),
        DataType::Float64 => push_float(out, array.as_primitive::<Float64Type>().value(at)),
        DataType::Utf8 => push_string(out, array.as_string::<i32>().value(at)),
        DataType::LargeUtf8 => push_string(out, array.as_string::<i64>().value(at)),
        DataType::Utf8View => push_string(out, array.as_string_view().value(at)),
        DataType::Binary => push_bytes(out, array.as_binary::<i32>().value(at)),
        DataType::LargeBinary => push_bytes(out, array.as_binary::<i64>().value(at)),
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => {
            out.push_str(&formatted(array, at));
        }
        DataType::Timestamp(unit, zone) => push_timestamp(out, array, at, *unit, zone.is_some()),
        DataType::Struct(fields) => {
            let array = array.as_struct();
            out.push('{');
            for (i, field) in fields.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                push_string(out, field.name());
                out.push(':');
                push_cell(out, array.column(i).as_ref(), at);
            }
            out.push('}');
        }
        DataType::List(_) => push_elements(out, array.as_list::<i32>().value(at).as_ref()),
        DataType::LargeList(_) => push_elements(out, array.as_list::<i64>().value(at).as_ref()),
        DataType::Map(..) => push_elements(out, &array.as_map().value(at)),
        DataType::FixedSizeList(..) => push_elements(out, array.as_fixed_size_list().value(at).as_ref()),
        DataType::Dictionary(..) if let Some(texts) = array.as_dictionary_opt::<Int32Type>() => {
            push_cell(out, texts.values().as_ref(), texts.keys().value(at) as usize);
        }
        DataType::Dictionary(..) => {
            // Normalizing the keys of one cell is cheap, of the whole array it is not.
            let one = array.slice(at, 1);
            let dictionary = one.as_any_dictionary();
            push_cell(out, dictionary.values().as_ref(), dictionary.normalized_keys()[0]);
        }
        _ => push_string(out, &formatted(array, at)),
    }
}

fn push_elements(out: &mut String, elements: &dyn Array) {
    out.push('[');
    for at in 0..elements.len() {
        if at > 0 {
            out.push(',');
        }
        push_cell(out, elements, at);
    }
    out.push(']');
}

fn push_display(out: &mut String, value: impl std::fmt::Display) {
    // Writing to a String cannot fail.
    let _ = write!(out, "{value}");
}

fn push_float(out: &mut String, value: f64) {
    match serde_json::Number::from_f64(value) {
        Some(number) => push_display(out, number),
        None => push_string(out, &value.to_string()),
    }
}

fn push_float32(out: &mut String, value: f32) {
    // The shortest digits of the 32-bit value, not those of its 64-bit image.
    if value.is_finite() { push_display(out, value) } else { push_string(out, &value.to_string()) }
}

fn push_string(out: &mut String, text: &str) {
    if text.bytes().all(|byte| byte >= b' ' && !matches!(byte, b'"' | b'\\')) {
        out.extend(["\"", text, "\""]);
        return;
    }
    match serde_json::to_string(text) {
        Ok(json) => out.push_str(&json),
        Err(_) => out.push_str("\"\""),
    }
}

fn push_bytes(out: &mut String, bytes: &[u8]) {
    out.push('"');
    for byte in bytes {
        push_display(out, format_args!("{byte:02x}"));
    }
    out.push('"');
}

fn push_timestamp(out: &mut String, array: &dyn Array, at: usize, unit: TimeUnit, zoned: bool) {
    let value = match unit {
        TimeUnit::Second => array.as_primitive::<TimestampSecondType>().value(at),
        TimeUnit::Millisecond => array.as_primitive::<TimestampMillisecondType>().value(at),
        TimeUnit::Microsecond => array.as_primitive::<TimestampMicrosecondType>().value(at),
        TimeUnit::Nanosecond => array.as_primitive::<TimestampNanosecondType>().value(at),
    };
    let per_second: i128 = match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    };
    let nanos = i128::from(value) * (1_000_000_000 / per_second);
    let Ok(timestamp) = jiff::Timestamp::from_nanosecond(nanos) else {
        push_string(out, &format!("{value} {unit:?}"));
        return;
    };
    if zoned {
        push_string(out, &timestamp.to_string());
    } else {
        push_string(out, &jiff::tz::TimeZone::UTC.to_datetime(timestamp).to_string());
    }
}

fn formatted(array: &dyn Array, at: usize) -> String {
    let options = FormatOptions::default();
    match ArrayFormatter::try_new(array, &options) {
        Ok(formatter) => formatter.value(at).try_to_string().unwrap_or_else(|_| "?".to_owned()),
        Err(_) => format!("a value of type {}", array.data_type()),
    }
}
