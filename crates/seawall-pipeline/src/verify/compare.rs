//! Bit equality of columns, and a hash of their content.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::kernels::cmp::distinct;
use arrow::datatypes::{DataType, Float64Type};
use seawall_base::Hash;
use seawall_base::error::Result;

/// Rows in which two columns differ: null against value, or another bit. NaN equals the same NaN; 0.0 and -0.0 differ.
pub(super) fn differing_rows(left: &ArrayRef, right: &ArrayRef) -> Result<Vec<bool>> {
    if left.data_type() != right.data_type() {
        return Ok(vec![true; left.len()]);
    }
    if left.data_type() == &DataType::Float64 {
        let (left, right) = (left.as_primitive::<Float64Type>(), right.as_primitive::<Float64Type>());
        let bits = |value: Option<f64>| value.map(f64::to_bits);
        return Ok(left.iter().zip(right.iter()).map(|(left, right)| bits(left) != bits(right)).collect());
    }
    let distinct = distinct(&left.as_ref(), &right.as_ref())?;
    Ok(distinct.iter().map(|differs| differs != Some(false)).collect())
}

/// Hash of values in row order, by column: the Arrow rows of each batch, then its column names.
pub(super) fn content_hash(batches: &[RecordBatch]) -> Result<Hash> {
    use arrow::row::{RowConverter, SortField};
    let mut parts: Vec<Vec<u8>> = Vec::new();
    for batch in batches {
        let fields: Vec<SortField> =
            batch.schema().fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
        let converter = RowConverter::new(fields)?;
        let rows = converter.convert_columns(batch.columns())?;
        let mut bytes = Vec::new();
        for row in &rows {
            bytes.extend_from_slice(&(row.as_ref().len() as u64).to_le_bytes());
            bytes.extend_from_slice(row.as_ref());
        }
        let names: Vec<&str> = batch.schema_ref().fields().iter().map(|field| field.name().as_str()).collect();
        parts.push(names.join(",").into_bytes());
        parts.push(bytes);
    }
    Ok(Hash::of_parts(parts.iter().map(Vec::as_slice)))
}
