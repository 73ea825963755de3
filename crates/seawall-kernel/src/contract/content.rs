//! Content of rows: an unambiguous encoding per row, hashed for deduplication.
//!
//! A row is encoded as its columns in order of name, each that is not null as the first 8 bytes of its name's BLAKE3
//! hash, type tag and value, every part of variable length preceded by its length in 4 bytes. Null columns are left out, so that a column added later does not change the
//! content of rows that have no value in it, and neither does the order of columns.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};

use super::raw;

/// The first 128 bits of the BLAKE3 hash of each row's content over all columns of `batch`.
pub fn content_hashes(batch: &RecordBatch) -> Vec<u128> {
    let encoder = Encoder::new(batch);
    let mut bytes = Vec::with_capacity(256);
    let mut hashes = Vec::with_capacity(batch.num_rows());
    for row in 0..batch.num_rows() {
        bytes.clear();
        encoder.encode(row, &mut bytes);
        hashes.push(seawall_base::Hash::of(&bytes).low128());
    }
    hashes
}

/// Encodes rows of one batch.
pub(super) struct Encoder<'b> {
    columns: Vec<([u8; 8], &'b dyn Array)>,
}

impl<'b> Encoder<'b> {
    pub(super) fn new(batch: &'b RecordBatch) -> Self {
        let names = batch.schema_ref().fields().iter().map(|field| field.name().as_str());
        Encoder::of(names.zip(batch.columns().iter().map(AsRef::as_ref)).collect())
    }

    pub(super) fn of(mut columns: Vec<(&'b str, &'b dyn Array)>) -> Self {
        columns.sort_by_key(|(name, _)| *name);
        Encoder { columns: columns.into_iter().map(|(name, array)| (name_digest(name), array)).collect() }
    }

    pub(super) fn encode(&self, row: usize, out: &mut Vec<u8>) {
        for (digest, array) in &self.columns {
            if array.is_valid(row) {
                out.extend_from_slice(digest);
                push_value(out, *array, row);
            }
        }
    }
}

fn name_digest(name: &str) -> [u8; 8] {
    let hash = seawall_base::Hash::of(name.as_bytes());
    let mut digest = [0; 8];
    digest.copy_from_slice(&hash.0[..8]);
    digest
}

fn push_sized(out: &mut Vec<u8>, bytes: &[u8]) {
    // Arrow's offsets are 32 bits wide, so no value of a batch is longer than that.
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Tag and value of a cell that is not null.
pub(super) fn push_value(out: &mut Vec<u8>, array: &dyn Array, at: usize) {
    match array.data_type() {
        DataType::Utf8 => {
            out.push(b's');
            push_sized(out, array.as_string::<i32>().value(at).as_bytes());
        }
        DataType::Int64 => {
            out.push(b'i');
            out.extend_from_slice(&array.as_primitive::<Int64Type>().value(at).to_le_bytes());
        }
        DataType::Float64 => {
            out.push(b'f');
            out.extend_from_slice(&array.as_primitive::<Float64Type>().value(at).to_bits().to_le_bytes());
        }
        DataType::Boolean => out.extend_from_slice(&[b'b', u8::from(array.as_boolean().value(at))]),
        DataType::Date32 => {
            out.push(b'd');
            out.extend_from_slice(&array.as_primitive::<Date32Type>().value(at).to_le_bytes());
        }
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
            out.push(b't');
            out.extend_from_slice(&array.as_primitive::<TimestampMicrosecondType>().value(at).to_le_bytes());
        }
        DataType::Decimal128(_, scale) => {
            out.extend_from_slice(&[b'n', scale.to_le_bytes()[0]]);
            out.extend_from_slice(&array.as_primitive::<Decimal128Type>().value(at).to_le_bytes());
        }
        DataType::List(_) => {
            let elements = array.as_list::<i32>().value(at);
            out.push(b'l');
            out.extend_from_slice(&(elements.len() as u32).to_le_bytes());
            for element in 0..elements.len() {
                push_optional(out, elements.as_ref(), element);
            }
        }
        DataType::Struct(fields) => {
            let array = array.as_struct();
            let children: Vec<&dyn Array> = array.columns().iter().map(AsRef::as_ref).collect();
            let names = fields.iter().map(|field| field.name().as_str());
            let mut inner = Vec::new();
            Encoder::of(names.zip(children).collect()).encode(at, &mut inner);
            out.push(b'o');
            push_sized(out, &inner);
        }
        // Types that no contract asks for: their text stands for them.
        _ => {
            out.push(b'x');
            push_sized(out, raw::cell_json(array, at).as_bytes());
        }
    }
}

fn push_optional(out: &mut Vec<u8>, array: &dyn Array, at: usize) {
    if array.is_null(at) {
        out.push(0);
    } else {
        push_value(out, array, at);
    }
}
