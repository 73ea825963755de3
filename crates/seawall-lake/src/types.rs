//! The Arrow types that Seawall's tables and results use: one spelling per meaning.
//!
//! DataFusion answers with views, dictionaries, large offsets and other time units; callers should see none of that.
//! [`normal_type`] names the one spelling, [`conform`] brings a batch into a given schema without ever turning a value
//! that does not fit into null.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, RecordBatchOptions, StructArray, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use seawall_kernel::contract;

#[cfg(test)]
mod tests;

/// The type of instants: `Timestamp(us, UTC)`.
pub fn instant_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The one spelling of `data_type`: no views, no dictionaries, no large offsets, no unsigned integers, microseconds.
pub fn normal_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View | DataType::LargeUtf8 | DataType::Null => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Dictionary(_, values) => normal_type(values),
        DataType::RunEndEncoded(_, values) => normal_type(values.data_type()),
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Float16 => DataType::Float32,
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Date64 => DataType::Date32,
        DataType::Timestamp(_, Some(_)) => instant_type(),
        DataType::Timestamp(_, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => {
            DataType::List(Arc::new(Field::new_list_field(normal_type(item.data_type()), item.is_nullable())))
        }
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|field| normal_field(field)).collect()),
        other => other.clone(),
    }
}

/// `field` with its normal type and without metadata.
pub fn normal_field(field: &Field) -> Arc<Field> {
    Arc::new(Field::new(field.name(), normal_type(field.data_type()), field.is_nullable()))
}

/// `schema` with normal types and without metadata.
pub fn normal_schema(schema: &Schema) -> SchemaRef {
    Arc::new(Schema::new(schema.fields().iter().map(|field| normal_field(field)).collect::<Vec<_>>()))
}

/// Whether two types mean the same values; names of list items and nullability inside nested types do not count.
pub fn same_meaning(left: &DataType, right: &DataType) -> bool {
    match (normal_type(left), normal_type(right)) {
        (DataType::List(left), DataType::List(right)) => same_meaning(left.data_type(), right.data_type()),
        (DataType::Struct(left), DataType::Struct(right)) => {
            left.len() == right.len()
                && left.iter().zip(right.iter()).all(|(left, right)| {
                    left.name() == right.name() && same_meaning(left.data_type(), right.data_type())
                })
        }
        (left, right) => left == right,
    }
}

/// Brings `batch` into `schema`, column by column and by name: a column that the batch lacks is null, one that is
/// spelled otherwise, or has fewer digits, is cast. Errors: a column the schema lacks, another meaning, a null where none may be, a value
/// that does not fit.
pub fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    for field in batch.schema().fields() {
        if schema.column_with_name(field.name()).is_none() {
            return Err(ArrowError::SchemaError(format!("column {:?} is unknown", field.name())));
        }
    }
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        columns.push(match batch.column_by_name(field.name()) {
            Some(column) => conform_column(column, field)?,
            None => new_null_array(field.data_type(), batch.num_rows()),
        });
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
}

fn conform_column(column: &ArrayRef, field: &Field) -> Result<ArrayRef, ArrowError> {
    if column.data_type() == field.data_type() {
        return Ok(Arc::clone(column));
    }
    if contract::widens(&normal_type(column.data_type()), field.data_type()) {
        return widen(column, field.data_type());
    }
    if !same_meaning(column.data_type(), field.data_type()) {
        let (name, has, wants) = (field.name(), column.data_type(), field.data_type());
        return Err(ArrowError::SchemaError(format!("column {name:?} is {has} where {wants} is wanted")));
    }
    cast_strictly(column, field.data_type())
}

/// The values of `column` in a type that holds them all, see [`contract::widens`].
fn widen(column: &ArrayRef, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
    match (column.data_type(), data_type) {
        (has, wants) if has == wants => Ok(Arc::clone(column)),
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let values = column.as_struct();
            let mut children: Vec<ArrayRef> = Vec::with_capacity(fields.len());
            for field in fields {
                children.push(match values.column_by_name(field.name()) {
                    Some(child) => widen(child, field.data_type())?,
                    None => new_null_array(field.data_type(), values.len()),
                });
            }
            let nulls = values.nulls().cloned();
            Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), children, nulls, values.len())?))
        }
        (DataType::List(_), DataType::List(field)) => {
            let lists = column.as_list::<i32>();
            let (offsets, nulls) = (lists.offsets().clone(), lists.nulls().cloned());
            Ok(Arc::new(ListArray::try_new(
                Arc::clone(field),
                offsets,
                widen(lists.values(), field.data_type())?,
                nulls,
            )?))
        }
        _ => cast_strictly(column, data_type),
    }
}

/// Casts and fails on a value that does not fit, where Arrow's default would answer null.
pub fn cast_strictly(column: &ArrayRef, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
    cast_with_options(column, data_type, &CastOptions { safe: false, ..CastOptions::default() })
}

/// `batch` in normal types, column by column and by position, so that names may repeat.
pub fn normalise(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    retype(batch, &normal_schema(&batch.schema()))
}

/// `batch` in the types of `schema`, by position. Errors: another number of columns, another meaning, a value that does
/// not fit.
pub fn retype(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    if batch.num_columns() != schema.fields().len() {
        let (has, wants) = (batch.num_columns(), schema.fields().len());
        return Err(ArrowError::SchemaError(format!("{has} columns where {wants} are wanted")));
    }
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns());
    for (column, field) in batch.columns().iter().zip(schema.fields()) {
        columns.push(conform_column(column, field)?);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
}
