//! The content hash of rows: equal for equal schema and values in equal order, whatever files and batches they came in.
//!
//! Each column is hashed on its own, value after value, then the columns' hashes together with names, types and the
//! number of rows. Values are hashed in normal types ([`crate::types`]), so that a view, a dictionary and a plain array
//! of the same texts agree. The encoding is part of every fingerprint: it must never change.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};
use seawall_base::hash::Hash;

use crate::types;

const NULL: &[u8] = &[0];
const VALUE: &[u8] = &[1];

/// Bytes that are hashed at once: a hasher that gets them value by value takes ten times as long.
const FEED_BYTES: usize = 64 * 1024;

/// A hasher that is fed in large portions.
#[derive(Default)]
struct Feed {
    hasher: blake3::Hasher,
    waiting: Vec<u8>,
}

impl Feed {
    fn update(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= FEED_BYTES {
            self.hasher.update(&self.waiting);
            self.waiting.clear();
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.hasher.update(&self.waiting);
        self.hasher.finalize().as_bytes().to_vec()
    }
}

/// Hash of schema and rows of `batches`, which share one schema. Without any batch: the hash of no columns and no rows.
pub fn content_hash(batches: &[RecordBatch]) -> Hash {
    let mut parts: Vec<Vec<u8>> = Vec::new();
    let rows: u64 = batches.iter().map(|batch| batch.num_rows() as u64).sum();
    parts.push(rows.to_le_bytes().to_vec());
    let schema = batches.first().map(|batch| types::normal_schema(&batch.schema()));
    for (at, field) in schema.iter().flat_map(|schema| schema.fields().iter().enumerate()) {
        let mut hasher = Feed::default();
        for batch in batches {
            feed_column(&mut hasher, batch.column(at), field.data_type());
        }
        parts.push(field.name().as_bytes().to_vec());
        parts.push(type_name(field.data_type()).into_bytes());
        parts.push(hasher.finish());
    }
    Hash::of_parts(parts.iter().map(Vec::as_slice))
}

/// Feeds a column in its normal type; a column that does not fit it (a `u64` above `i64::MAX`) is fed as its text.
fn feed_column(hasher: &mut Feed, column: &ArrayRef, normal: &DataType) {
    if column.data_type() == normal {
        return feed(hasher, column);
    }
    match types::cast_strictly(column, normal) {
        Ok(cast) => feed(hasher, &cast),
        Err(_) => feed_text(hasher, column),
    }
}

fn feed(hasher: &mut Feed, array: &ArrayRef) {
    match array.data_type() {
        DataType::Boolean => feed_each(hasher, array.as_boolean().iter(), |hasher, value| {
            hasher.update(&[u8::from(value)]);
        }),
        DataType::Int8 => feed_primitive::<Int8Type, _>(hasher, array, |value| value.to_le_bytes()),
        DataType::Int16 => feed_primitive::<Int16Type, _>(hasher, array, |value| value.to_le_bytes()),
        DataType::Int32 => feed_primitive::<Int32Type, _>(hasher, array, |value| value.to_le_bytes()),
        DataType::Int64 => feed_primitive::<Int64Type, _>(hasher, array, |value| value.to_le_bytes()),
        DataType::Date32 => feed_primitive::<Date32Type, _>(hasher, array, |value| value.to_le_bytes()),
        DataType::Decimal128(_, _) => feed_primitive::<Decimal128Type, _>(hasher, array, |value| value.to_le_bytes()),
        DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, _) => {
            feed_primitive::<TimestampMicrosecondType, _>(hasher, array, |value| value.to_le_bytes());
        }
        DataType::Float32 => feed_primitive::<Float32Type, _>(hasher, array, |value| one_nan32(value).to_le_bytes()),
        DataType::Float64 => feed_primitive::<Float64Type, _>(hasher, array, |value| one_nan64(value).to_le_bytes()),
        DataType::Utf8 => feed_each(hasher, array.as_string::<i32>().iter(), |hasher, value| {
            feed_bytes(hasher, value.as_bytes());
        }),
        DataType::Binary => feed_each(hasher, array.as_binary::<i32>().iter(), feed_bytes),
        DataType::List(_) => feed_each(hasher, array.as_list::<i32>().iter(), |hasher, items| {
            hasher.update(&(items.len() as u64).to_le_bytes());
            feed(hasher, &items);
        }),
        DataType::Struct(_) => feed_struct(hasher, array),
        _ => feed_text(hasher, array),
    }
}

fn feed_struct(hasher: &mut Feed, array: &ArrayRef) {
    let rows = array.as_struct();
    for row in 0..rows.len() {
        if rows.is_null(row) {
            hasher.update(NULL);
            continue;
        }
        hasher.update(VALUE);
        for column in rows.columns() {
            feed(hasher, &column.slice(row, 1));
        }
    }
}

fn feed_each<T>(hasher: &mut Feed, values: impl Iterator<Item = Option<T>>, mut feed_value: impl FnMut(&mut Feed, T)) {
    for value in values {
        match value {
            None => {
                hasher.update(NULL);
            }
            Some(value) => {
                hasher.update(VALUE);
                feed_value(hasher, value);
            }
        }
    }
}

fn feed_primitive<T: ArrowPrimitiveType, const N: usize>(
    hasher: &mut Feed,
    array: &ArrayRef,
    encode: impl Fn(T::Native) -> [u8; N],
) {
    feed_each(hasher, array.as_primitive::<T>().iter(), |hasher, value| {
        hasher.update(&encode(value));
    });
}

fn feed_bytes(hasher: &mut Feed, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}

/// For types outside of tables (intervals, times of day): the text that Arrow shows for them.
fn feed_text(hasher: &mut Feed, array: &ArrayRef) {
    for row in 0..array.len() {
        if array.is_null(row) {
            hasher.update(NULL);
            continue;
        }
        hasher.update(VALUE);
        let text = arrow::util::display::array_value_to_string(array, row).unwrap_or_default();
        feed_bytes(hasher, text.as_bytes());
    }
}

fn one_nan32(value: f32) -> f32 {
    if value.is_nan() { f32::NAN } else { value }
}

fn one_nan64(value: f64) -> f64 {
    if value.is_nan() { f64::NAN } else { value }
}

fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::List(item) => format!("list<{}>", type_name(item.data_type())),
        DataType::Struct(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|field| format!("{}:{}", field.name(), type_name(field.data_type()))).collect();
            format!("struct<{}>", fields.join(","))
        }
        DataType::Timestamp(_, Some(_)) => "instant".to_owned(),
        DataType::Timestamp(_, None) => "local".to_owned(),
        other => format!("{other}").to_lowercase(),
    }
}

#[cfg(test)]
mod tests;
