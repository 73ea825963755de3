//! Data files: rows to Parquet bytes and back, and the statistics that a commit says about them.
//!
//! The same rows give the same bytes, so the name of a file can follow from its content. Columns with personal data
//! get no statistics at all, neither in the Parquet file nor in the log, so that an erased value does not live on as a
//! minimum. Columns with a NaN get none either, because Parquet leaves NaN out of minimum and maximum and a reader
//! would then skip rows that match.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::BatchCoalescer;
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType,
};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::arrow::{ArrowSchemaConverter, ArrowWriter};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use seawall_base::error::{Error, Result};
use seawall_base::hash::Hash;
use serde_json::{Map, Value, json};

use super::log::DataFile;
use crate::codes;
use crate::types;

/// Rows per row group: small enough to read one in memory, large enough to compress well.
const ROW_GROUP_ROWS_MAX: usize = 128 * 1024;
/// Rows that are encoded at once.
const BATCH_ROWS: usize = 8 * 1024;
/// Rows of a batch that is read.
const DECODED_ROWS: usize = 32 * 1024;
/// Rows that are looked at to see which columns repeat their values.
const SAMPLE_ROWS: usize = 1_024;
/// Longest text that a statistic repeats, in bytes.
const STATISTIC_TEXT_BYTES_MAX: usize = 64;
const CREATED_BY: &str = "seawall";

/// Rows as a Parquet file.
#[derive(Debug, Clone)]
pub(crate) struct EncodedFile {
    pub bytes: Bytes,
    pub rows: u64,
    pub hash: Hash,
}

/// Encodes `batches`, which conform to `schema`.
pub(crate) fn encode(batches: &[RecordBatch], schema: &SchemaRef, personal: &[String]) -> Result<EncodedFile> {
    let mut encoder = Encoder::new(schema, columns_without_statistics(batches, schema, personal));
    for batch in batches {
        encoder.write(batch)?;
    }
    encoder.finish()
}

/// A data file in the making: holds what is encoded, and one row group of rows. However rows are batched, they are encoded
/// in batches of [`BATCH_ROWS`]: small ones would cost more than their rows, and the same rows give the same bytes.
pub(crate) struct Encoder {
    schema: SchemaRef,
    silent: BTreeSet<String>,
    waiting: BatchCoalescer,
    /// Made for the first batch, which tells which columns repeat their values.
    writer: Option<ArrowWriter<Vec<u8>>>,
    rows: u64,
}

impl Encoder {
    /// A file of rows that conform to `schema`; the `silent` columns and nested ones get no statistics.
    pub(crate) fn new(schema: &SchemaRef, silent: impl IntoIterator<Item = String>) -> Self {
        let nested =
            schema.fields().iter().filter(|field| field.data_type().is_nested()).map(|field| field.name().clone());
        let silent = silent.into_iter().chain(nested).collect();
        let waiting = BatchCoalescer::new(Arc::clone(schema), BATCH_ROWS);
        Encoder { schema: Arc::clone(schema), silent, waiting, writer: None, rows: 0 }
    }

    /// Takes rows.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.waiting.push_batch(batch.clone())?;
        self.rows += batch.num_rows() as u64;
        self.encode_full()
    }

    /// The file.
    pub(crate) fn finish(mut self) -> Result<EncodedFile> {
        self.waiting.finish_buffered_batch()?;
        self.encode_full()?;
        let writer = match self.writer {
            Some(writer) => writer,
            None => writer(&self.schema, &self.silent, &BTreeSet::new())?,
        };
        let bytes = Bytes::from(writer.into_inner().map_err(encoding)?);
        let hash = Hash::of(&bytes);
        Ok(EncodedFile { bytes, rows: self.rows, hash })
    }

    fn encode_full(&mut self) -> Result<()> {
        while let Some(batch) = self.waiting.next_completed_batch() {
            let writer = match &mut self.writer {
                Some(writer) => writer,
                None => self.writer.insert(writer(&self.schema, &self.silent, &unrepeated_columns(&batch))?),
            };
            writer.write(&batch).map_err(encoding)?;
        }
        Ok(())
    }
}

fn writer(
    schema: &SchemaRef,
    silent: &BTreeSet<String>,
    unrepeated: &BTreeSet<String>,
) -> Result<ArrowWriter<Vec<u8>>> {
    let properties = writer_properties(schema, silent, unrepeated).map_err(encoding)?;
    ArrowWriter::try_new(Vec::new(), Arc::clone(schema), Some(properties)).map_err(encoding)
}

/// The columns whose values hardly repeat in the first rows: a dictionary of them would be as large as they are, and most
/// of the time of writing them would go into it.
fn unrepeated_columns(rows: &RecordBatch) -> BTreeSet<String> {
    let sample = rows.slice(0, rows.num_rows().min(SAMPLE_ROWS));
    let is_unrepeated =
        |column: &ArrayRef| distinct_values(column).is_some_and(|values| values > sample.num_rows() * 9 / 10);
    let schema = sample.schema();
    let columns = schema.fields().iter().zip(sample.columns());
    columns.filter(|(_, column)| is_unrepeated(column)).map(|(field, _)| field.name().clone()).collect()
}

/// How many values a column has, each counted once; none for types that are not counted.
fn distinct_values(column: &ArrayRef) -> Option<usize> {
    let count = match column.data_type() {
        DataType::Int64 => column.as_primitive::<Int64Type>().values().iter().collect::<HashSet<_>>().len(),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            column.as_primitive::<TimestampMicrosecondType>().values().iter().collect::<HashSet<_>>().len()
        }
        DataType::Float64 => {
            let bits = column.as_primitive::<Float64Type>().values().iter().map(|value| value.to_bits());
            bits.collect::<HashSet<_>>().len()
        }
        DataType::Utf8 => column.as_string::<i32>().iter().collect::<HashSet<_>>().len(),
        _ => return None,
    };
    Some(count)
}

fn encoding(error: parquet::errors::ParquetError) -> Error {
    Error::internal(codes::PARQUET, "encoding rows as Parquet").because(error)
}

/// The columns of which a file that holds these rows of `data_file` may tell no bounds: those that may have a NaN.
pub(crate) fn silent_columns(data_file: &DataFile, schema: &Schema) -> Result<Vec<String>> {
    let stats: Option<Value> = match data_file.add.stats.as_deref() {
        Some(text) if !text.is_empty() => Some(
            serde_json::from_str(text)
                .map_err(|e| damaged(&data_file.path, "has statistics in the log that cannot be read").because(e))?,
        ),
        Some(_) | None => None,
    };
    let tells = |name: &str| stats.as_ref().is_some_and(|stats| stats["nullCount"].get(name).is_some());
    let floats = schema.fields().iter().filter(|field| field.data_type().is_floating());
    Ok(floats.map(|field| field.name().clone()).filter(|name| !tells(name)).collect())
}

fn columns_without_statistics(batches: &[RecordBatch], schema: &Schema, personal: &[String]) -> BTreeSet<String> {
    let mut silent: BTreeSet<String> = personal.iter().cloned().collect();
    for (at, field) in schema.fields().iter().enumerate() {
        if batches.iter().any(|batch| has_nan(batch.column(at))) {
            silent.insert(field.name().clone());
        }
    }
    silent
}

fn has_nan(column: &ArrayRef) -> bool {
    match column.data_type() {
        DataType::Float64 => column.as_primitive::<Float64Type>().iter().flatten().any(f64::is_nan),
        DataType::Float32 => column.as_primitive::<Float32Type>().iter().flatten().any(f32::is_nan),
        _ => false,
    }
}

fn writer_properties(
    schema: &Schema,
    silent: &BTreeSet<String>,
    unrepeated: &BTreeSet<String>,
) -> Result<WriterProperties, parquet::errors::ParquetError> {
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_created_by(CREATED_BY.to_owned())
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS_MAX))
        .set_statistics_truncate_length(Some(STATISTIC_TEXT_BYTES_MAX));
    let described = ArrowSchemaConverter::new().convert(schema)?;
    for leaf in described.columns() {
        let Some(root) = leaf.path().parts().first() else { continue };
        if silent.contains(root) {
            builder = builder.set_column_statistics_enabled(leaf.path().clone(), EnabledStatistics::None);
        }
        if unrepeated.contains(root) {
            builder = builder.set_column_dictionary_enabled(leaf.path().clone(), false);
        }
    }
    Ok(builder.build())
}

/// The footer of a Parquet file; `Corrupt` when it cannot be read.
pub(crate) fn footer(bytes: &Bytes, shown: &str) -> Result<ArrowReaderMetadata> {
    ArrowReaderMetadata::load(bytes, ArrowReaderOptions::new())
        .map_err(|e| damaged(shown, "has no readable footer").because(e))
}

/// Rows that the footer counts.
pub(crate) fn rows(footer: &ArrowReaderMetadata) -> u64 {
    u64::try_from(footer.metadata().file_metadata().num_rows()).unwrap_or(0)
}

/// The `stats` of an add action, out of the file's footer: rows, and for columns with statistics their nulls and
/// bounds.
pub(crate) fn statistics(footer: &ArrowReaderMetadata, personal: &[String]) -> Result<String> {
    let (mut least, mut greatest, mut nulls) = (Map::new(), Map::new(), Map::new());
    for field in footer.schema().fields() {
        let name = field.name();
        if field.data_type().is_nested() || personal.contains(name) {
            continue;
        }
        let Some(bounds) = column_bounds(footer, name)? else { continue };
        nulls.insert(name.clone(), json!(bounds.nulls));
        if let (Some(low), Some(high)) = (bounds.least, bounds.greatest) {
            least.insert(name.clone(), low);
            greatest.insert(name.clone(), high);
        }
    }
    let stats = json!({"numRecords": rows(footer), "minValues": least, "maxValues": greatest, "nullCount": nulls});
    Ok(stats.to_string())
}

struct Bounds {
    nulls: u64,
    least: Option<Value>,
    greatest: Option<Value>,
}

/// Bounds over all row groups; none when one of them has no statistics for the column.
fn column_bounds(footer: &ArrowReaderMetadata, name: &str) -> Result<Option<Bounds>> {
    let failed = |e: parquet::errors::ParquetError| Error::internal(codes::PARQUET, "reading statistics").because(e);
    let groups = footer.metadata().row_groups();
    let file_schema = footer.metadata().file_metadata().schema_descr();
    let converter = StatisticsConverter::try_new(name, footer.schema(), file_schema)
        .map_err(failed)?
        .with_missing_null_counts_as_zero(false);
    let null_counts = converter.row_group_null_counts(groups).map_err(failed)?;
    if null_counts.is_empty() || null_counts.null_count() > 0 {
        return Ok(None);
    }
    let mins = converter.row_group_mins(groups).map_err(failed)?;
    let maxes = converter.row_group_maxes(groups).map_err(failed)?;
    Ok(Some(Bounds {
        nulls: null_counts.values().iter().sum(),
        least: extreme(&mins, false)?,
        greatest: extreme(&maxes, true)?,
    }))
}

/// The least or greatest of the row groups' bounds, as Delta's JSON spells it; none for types that are not spelled
/// exactly, and when no row group has a value.
fn extreme(bounds: &ArrayRef, greatest: bool) -> Result<Option<Value>> {
    let options = arrow::compute::SortOptions { descending: greatest, nulls_first: false };
    let order = arrow::compute::sort_to_indices(bounds, Some(options), Some(1))?;
    let Some(at) = order.values().first().map(|at| *at as usize) else { return Ok(None) };
    if bounds.is_null(at) {
        return Ok(None);
    }
    let value = bounds.slice(at, 1);
    let number = |value: &ArrayRef| -> Result<Option<Value>> {
        let wide = types::cast_strictly(value, &DataType::Int64)?;
        Ok(Some(json!(wide.as_primitive::<arrow::datatypes::Int64Type>().value(0))))
    };
    match value.data_type() {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => number(&value),
        DataType::Float32 => Ok(finite(f64::from(value.as_primitive::<Float32Type>().value(0)))),
        DataType::Float64 => Ok(finite(value.as_primitive::<Float64Type>().value(0))),
        DataType::Utf8 => Ok(Some(json!(value.as_string::<i32>().value(0)))),
        DataType::Date32 | DataType::Timestamp(_, _) => {
            let text = arrow::util::display::array_value_to_string(&value, 0)?;
            Ok(Some(json!(text)))
        }
        _ => Ok(None),
    }
}

/// JSON has no infinity.
fn finite(value: f64) -> Option<Value> {
    value.is_finite().then(|| json!(value))
}

/// Reads rows out of the bytes of a data file, with the columns of `schema` only, in its types.
pub(crate) fn decode(bytes: Bytes, schema: &SchemaRef, shown: &str) -> Result<Vec<RecordBatch>> {
    let opened = Opened::new(bytes, schema, shown)?;
    opened.decode(0..opened.row_groups())
}

/// A data file whose row groups are decoded by themselves, on any thread.
pub(crate) struct Opened {
    bytes: Bytes,
    footer: ArrowReaderMetadata,
    schema: SchemaRef,
    shown: String,
}

impl Opened {
    /// The file with these bytes, of which the columns of `schema` are wanted, in its types.
    pub(crate) fn new(bytes: Bytes, schema: &SchemaRef, shown: &str) -> Result<Self> {
        let footer = footer(&bytes, shown)?;
        Ok(Opened { bytes, footer, schema: Arc::clone(schema), shown: shown.to_owned() })
    }

    /// How many row groups it has.
    pub(crate) fn row_groups(&self) -> usize {
        self.footer.metadata().num_row_groups()
    }

    /// The rows of some row groups, in order.
    pub(crate) fn decode(&self, row_groups: Range<usize>) -> Result<Vec<RecordBatch>> {
        let unreadable = |e: parquet::errors::ParquetError| damaged(&self.shown, "cannot be decoded").because(e);
        let parquet_schema = self.footer.parquet_schema();
        let columns = parquet_schema.root_schema().get_fields().iter().enumerate();
        let wanted = columns.filter(|(_, field)| self.schema.column_with_name(field.name()).is_some());
        let mask = ProjectionMask::roots(parquet_schema, wanted.map(|(at, _)| at));
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(self.bytes.clone(), self.footer.clone())
            .with_projection(mask)
            .with_row_groups(row_groups.collect())
            .with_batch_size(DECODED_ROWS);
        let mut batches = Vec::new();
        for batch in reader.build().map_err(unreadable)? {
            let batch = batch.map_err(|e| damaged(&self.shown, "cannot be decoded").because(e))?;
            let conformed = types::conform(&batch, &self.schema);
            batches.push(conformed.map_err(|e| damaged(&self.shown, "does not fit its table").because(e))?);
        }
        Ok(batches)
    }
}

/// Fails when `bytes` are not what the log promised.
pub(crate) fn check_hash(bytes: &[u8], hash: &Hash, shown: &str) -> Result<()> {
    if Hash::of(bytes) == *hash { Ok(()) } else { Err(damaged(shown, "has other bytes than were written")) }
}

/// The error for a data file that cannot be trusted.
pub(crate) fn damaged(shown: &str, how: &str) -> Error {
    Error::corrupt(codes::FILE_DAMAGED, format!("the data file {shown} {how}"))
        .hint("restore the file from a backup, or load its rows again from the source")
}

#[cfg(test)]
mod tests;
