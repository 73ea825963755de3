//! The answers of a range, feature by feature, in the types that they end in.

use arrow::array::{Array, ArrayRef, Float64Array, Int64Array, new_null_array};
use arrow::compute::{cast, interleave};
use arrow::datatypes::DataType;
use seawall_base::Error;
use seawall_base::error::Result;

use super::rows::Chunk;
use crate::aggregate::{Class, Scalar, overflow, to_array, typed_array};
use crate::feature::plan::Compute;

/// Values of one feature. A number takes the place of a number: there may be hundreds of millions of them.
pub(super) enum Answers {
    /// Integers of up to 64 bits, and instants.
    Int(Vec<Option<i64>>),
    /// Floats.
    Float(Vec<Option<f64>>),
    /// Anything else that is computed.
    Scalar(Vec<Option<Scalar>>),
    /// Values of rows: chunk and row.
    Row {
        /// The input column.
        column: usize,
        /// Where the value lies; none where there is no row.
        sources: Vec<Option<(usize, usize)>>,
    },
}

impl Answers {
    /// No answers to a feature of this type.
    pub fn new(compute: &Compute, data_type: &DataType) -> Self {
        if let Compute::Latest { column, .. } = compute {
            return Answers::Row { column: *column, sources: Vec::new() };
        }
        match Class::of(data_type) {
            Some(Class::Integer | Class::Timestamp(_)) if data_type != &DataType::UInt64 => Answers::Int(Vec::new()),
            Some(Class::Float) => Answers::Float(Vec::new()),
            _ => Answers::Scalar(Vec::new()),
        }
    }

    /// Adds a computed value.
    pub fn push(&mut self, value: Option<Scalar>) -> Result<()> {
        match (self, value) {
            (Answers::Int(values), Some(Scalar::Int(value))) => {
                values.push(Some(i64::try_from(value).map_err(|_| overflow("64-bit integer"))?));
            }
            (Answers::Float(values), Some(Scalar::Float(value))) => values.push(Some(value)),
            (Answers::Int(values), _) => values.push(None),
            (Answers::Float(values), _) => values.push(None),
            (Answers::Scalar(values), value) => values.push(value),
            (Answers::Row { .. }, _) => return Err(Error::internal("SW0322", "a row's value was computed")),
        }
        Ok(())
    }

    /// Adds the value of the row that lies there.
    pub fn push_row(&mut self, source: Option<(usize, usize)>) -> Result<()> {
        match self {
            Answers::Row { sources, .. } => sources.push(source),
            Answers::Int(_) | Answers::Float(_) | Answers::Scalar(_) => {
                return Err(Error::internal("SW0322", "a computed value was taken from a row"));
            }
        }
        Ok(())
    }

    /// The array of them.
    pub fn finish(self, chunks: &[Chunk], data_type: &DataType) -> Result<ArrayRef> {
        match self {
            Answers::Int(values) => Ok(cast(&Int64Array::from(values), data_type)?),
            Answers::Float(values) => Ok(cast(&Float64Array::from(values), data_type)?),
            Answers::Scalar(values) => to_array(&values, data_type),
            Answers::Row { column, sources } => taken(chunks, column, &sources, data_type),
        }
    }
}

/// The values of rows, null where there is none.
fn taken(
    chunks: &[Chunk],
    column: usize,
    sources: &[Option<(usize, usize)>],
    data_type: &DataType,
) -> Result<ArrayRef> {
    let Some(first) = chunks.first() else { return Ok(new_null_array(data_type, sources.len())) };
    let nothing = new_null_array(first.values[column].data_type(), 1);
    let arrays = chunks.iter().map(|chunk| chunk.values[column].as_ref());
    let arrays: Vec<&dyn Array> = arrays.chain([nothing.as_ref()]).collect();
    let sources: Vec<(usize, usize)> = sources.iter().map(|source| source.unwrap_or((chunks.len(), 0))).collect();
    typed_array(&interleave(&arrays, &sources)?, data_type)
}
