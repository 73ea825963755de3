//! Parquet, untrusted: limits are checked on the metadata before a row is decoded, and a panic of the reader is an error.
//!
//! The Arrow schema that some writers embed is ignored, so that the same Parquet types give the same Arrow types
//! whoever wrote the file: no dictionaries, no large strings; timestamps in UTC where the file says so.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef};
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::Type;
use parquet::column::page::{Page, PageReader};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::reader::{ChunkReader, Length, SerializedPageReader};
use seawall_base::error::Result;
use seawall_base::{Error, ErrorKind};

use super::{COLUMNS_MAX, Chunks, Content, Decoded, Options, Reader};

/// Bytes that the metadata of a file may have.
const METADATA_BYTES_MAX: u32 = 64 << 20;
/// Row groups that a file may have.
const ROW_GROUPS_MAX: usize = 100_000;
/// Rows that a row group may have.
const ROW_GROUP_ROWS_MAX: i64 = 64 << 20;
/// Decoded bytes that a row group may have.
const ROW_GROUP_BYTES_MAX: i64 = 2 << 30;
/// Bytes per value below which a text with a dictionary is taken to repeat.
const REPEATED_TEXT_BYTES_MAX: i64 = 4;
/// Bytes at the end of the file: length of the metadata, and the magic number.
const FOOTER_BYTES: u64 = 8;

pub(super) struct Decoder {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
    schema: SchemaRef,
}

impl Decoder {
    /// Reads the metadata and checks it against the limits.
    pub(super) fn open(content: &Content, options: &Options<'_>) -> Result<Self> {
        let path = content.path();
        let chunks = Chunks::open(content)?;
        let metadata = read_metadata(path, &chunks)?;
        Decoder::over(path, ParquetRecordBatchReaderBuilder::new_with_metadata(chunks, metadata), options.batch_rows)
    }

    fn over(path: &Path, rows: ParquetRecordBatchReaderBuilder<Chunks>, batch_rows: usize) -> Result<Self> {
        let schema = Arc::clone(rows.schema());
        let reader = contained(path, || rows.with_batch_size(batch_rows).build().map_err(|e| unreadable(path, e)))?;
        Ok(Decoder { path: path.to_owned(), reader, schema })
    }

    pub(super) fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The next rows, or none at the end.
    pub(super) fn decode(&mut self) -> Result<Option<Decoded>> {
        let reader = &mut self.reader;
        let next = contained(&self.path, || reader.next().transpose().map_err(|e| unreadable(&self.path, e)))?;
        Ok(next.map(|batch| Decoded { batch, broken: Vec::new() }))
    }
}

/// A Parquet file whose row groups are read each by itself, by any thread. Texts that repeat keep their dictionary.
pub struct RowGroups {
    content: Content,
    metadata: ArrowReaderMetadata,
    batch_rows: usize,
    /// Bytes that the values of a batch may have; as many as they have, when absent.
    batch_bytes_max: Option<u64>,
}

impl RowGroups {
    /// Reads the metadata and checks it against the limits. Batches will have at most `batch_rows` rows.
    ///
    /// # Errors
    /// SW0707 to SW0709 and SW0712 for a file that cannot be read or is beyond the limits.
    pub fn open(content: &Content, batch_rows: usize) -> Result<Self> {
        let plain = RowGroups::open_plain(content, batch_rows)?;
        let path = content.path();
        let options = ArrowReaderOptions::new().with_schema(keep_dictionaries(&plain.metadata));
        let metadata = contained(path, || {
            ArrowReaderMetadata::try_new(Arc::clone(plain.metadata.metadata()), options)
                .map_err(|e| unreadable(path, e))
        })?;
        Ok(RowGroups { metadata, ..plain })
    }

    /// The same without dictionaries.
    ///
    /// # Errors
    /// As [`RowGroups::open`].
    pub fn open_plain(content: &Content, batch_rows: usize) -> Result<Self> {
        let metadata = read_metadata(content.path(), &Chunks::open(content)?)?;
        Ok(RowGroups { content: content.clone(), metadata, batch_rows: batch_rows.max(1), batch_bytes_max: None })
    }

    /// The same for a file that nobody vouches for: refused when it has more than `bytes_max` when unpacked, and read in
    /// batches whose values have no more than that. A dictionary can make a long value stand in every row of a short file.
    ///
    /// # Errors
    /// SW0708 when there is more.
    pub fn within(self, bytes_max: u64) -> Result<Self> {
        let columns = self.metadata.metadata().row_groups().iter().flat_map(|group| group.columns());
        let bytes = columns.map(|column| u64::try_from(column.uncompressed_size()).unwrap_or(0)).sum::<u64>();
        if bytes > bytes_max {
            return Err(beyond_limit(self.content.path(), "bytes when unpacked", bytes, bytes_max));
        }
        Ok(RowGroups { batch_bytes_max: Some(bytes_max), ..self })
    }

    /// Rows, as the file says.
    pub fn rows(&self) -> u64 {
        self.metadata.metadata().file_metadata().num_rows().try_into().unwrap_or_default()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.metadata.metadata().num_row_groups()
    }

    /// The rows of one of them in batches.
    ///
    /// # Errors
    /// SW0707, SW0709 and SW0712 as above.
    pub fn read(&self, group: usize) -> Result<Reader> {
        let batch_rows = match self.batch_bytes_max {
            Some(bytes_max) => self.batch_rows.min(self.rows_within(group, bytes_max)?),
            None => self.batch_rows,
        };
        let chunks = Chunks::open(&self.content)?;
        let rows = ParquetRecordBatchReaderBuilder::new_with_metadata(chunks, self.metadata.clone());
        let decoder = Decoder::over(self.content.path(), rows.with_row_groups(vec![group]), batch_rows)?;
        Ok(Reader { decoder: super::Decoder::Parquet(decoder), failed: false })
    }

    /// How many rows of a group have values of at most `bytes_max` together, if each had the longest of its dictionary.
    fn rows_within(&self, group: usize, bytes_max: u64) -> Result<usize> {
        let path = self.content.path();
        let group = self.metadata.metadata().row_group(group);
        let mut row_bytes = 1;
        for column in group.columns().iter().filter(|column| column.dictionary_page_offset().is_some()) {
            let longest = contained(path, || self.longest_value(column, group.num_rows()))?;
            if column.column_descr().max_rep_level() == 0 {
                row_bytes += longest;
                continue;
            }
            // One row may hold every element.
            let values = u64::try_from(column.num_values()).unwrap_or(u64::MAX);
            if longest.saturating_mul(values) > bytes_max {
                return Err(beyond_limit(
                    path,
                    "bytes in a list when unpacked",
                    longest.saturating_mul(values),
                    bytes_max,
                ));
            }
        }
        Ok(usize::try_from(bytes_max / row_bytes).unwrap_or(usize::MAX).max(1))
    }

    /// Bytes of the longest value in a column's dictionary; 0 for values of a fixed length that every page holds.
    fn longest_value(&self, column: &ColumnChunkMetaData, rows: i64) -> Result<u64> {
        let path = self.content.path();
        let damaged = |e| unreadable(path, e);
        match column.column_type() {
            Type::BYTE_ARRAY => {}
            Type::FIXED_LEN_BYTE_ARRAY => return Ok(column.column_descr().type_length().try_into().unwrap_or(0)),
            _ => return Ok(0),
        }
        let chunks = Arc::new(Chunks::open(&self.content)?);
        let rows = usize::try_from(rows).unwrap_or(0);
        let mut pages = SerializedPageReader::new(chunks, column, rows, None).map_err(damaged)?;
        match pages.get_next_page().map_err(damaged)? {
            Some(Page::DictionaryPage { buf, .. }) => Ok(longest_of(&buf)),
            Some(Page::DataPage { .. } | Page::DataPageV2 { .. }) | None => Ok(0),
        }
    }
}

/// The longest of values that stand one after the other, each behind its length.
fn longest_of(mut values: &[u8]) -> u64 {
    let mut longest = 0;
    while let Some((length, rest)) = values.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length);
        longest = longest.max(u64::from(length));
        values = rest.get(length as usize..).unwrap_or_default();
    }
    longest
}

fn read_metadata(path: &Path, chunks: &Chunks) -> Result<ArrowReaderMetadata> {
    check_footer(path, chunks)?;
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let metadata = contained(path, || ArrowReaderMetadata::load(chunks, options).map_err(|e| unreadable(path, e)))?;
    check_metadata(path, metadata.metadata())?;
    Ok(metadata)
}

/// The file's schema with a dictionary for each column of texts that is written with one throughout and is small by it.
fn keep_dictionaries(file: &ArrowReaderMetadata) -> SchemaRef {
    let groups = file.metadata().row_groups();
    let parquet = file.parquet_schema();
    let repeats = |column: usize| {
        let mut chunks = groups.iter().map(|group| group.column(column));
        chunks.all(|chunk| {
            chunk.dictionary_page_offset().is_some()
                && chunk.uncompressed_size() < chunk.num_values().saturating_mul(REPEATED_TEXT_BYTES_MAX)
        })
    };
    let fields = file.schema().fields().iter().enumerate().map(|(root, field)| {
        let mut leaves = (0..parquet.num_columns()).filter(|leaf| parquet.get_column_root_idx(*leaf) == root);
        match (field.data_type(), leaves.next()) {
            (DataType::Utf8, Some(leaf)) if repeats(leaf) => {
                let encoded = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
                Arc::new(field.as_ref().clone().with_data_type(encoded))
            }
            _ => Arc::clone(field),
        }
    });
    Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), file.schema().metadata().clone()))
}

/// Runs a step of the Parquet reader. A reader that panicked is not used again: [`super::Reader`] ends at an error.
pub(super) fn contained<T>(path: &Path, step: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(step)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        let message =
            format!("the Parquet reader gave up on {}: {}", path.display(), said.unwrap_or("no reason given"));
        Err(Error::invalid("SW0709", message).hint("the file is damaged or not Parquet: write it again"))
    })
}

fn unreadable(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Invalid, "SW0707", format!("{} cannot be read as Parquet", path.display()))
        .because(error)
        .hint("the file is damaged or not Parquet: write it again")
}

fn beyond_limit(path: &Path, what: &str, found: impl std::fmt::Display, limit: impl std::fmt::Display) -> Error {
    Error::invalid("SW0708", format!("{} has {found} {what}; at most {limit} are read", path.display()))
        .hint("write it again as several files, or with smaller row groups")
}

fn check_footer(path: &Path, chunks: &Chunks) -> Result<()> {
    let too_short = || {
        Error::invalid("SW0707", format!("{} is too short to be Parquet", path.display()))
            .hint("the file is damaged or not Parquet: write it again")
    };
    let start = chunks.len().checked_sub(FOOTER_BYTES).ok_or_else(too_short)?;
    let footer = chunks.get_bytes(start, FOOTER_BYTES as usize).map_err(|e| unreadable(path, e))?;
    let length: [u8; 4] = footer.get(..4).and_then(|bytes| bytes.try_into().ok()).ok_or_else(too_short)?;
    let length = u32::from_le_bytes(length);
    // The magic number is the reader's to check; a text file must not be refused for its "metadata length".
    if footer.ends_with(b"PAR1") && length > METADATA_BYTES_MAX {
        return Err(beyond_limit(path, "bytes of metadata", length, METADATA_BYTES_MAX));
    }
    Ok(())
}

fn check_metadata(path: &Path, metadata: &ParquetMetaData) -> Result<()> {
    let columns = metadata.file_metadata().schema_descr().num_columns();
    if columns > COLUMNS_MAX {
        return Err(beyond_limit(path, "columns", columns, COLUMNS_MAX));
    }
    if metadata.num_row_groups() > ROW_GROUPS_MAX {
        return Err(beyond_limit(path, "row groups", metadata.num_row_groups(), ROW_GROUPS_MAX));
    }
    for group in metadata.row_groups() {
        if !(0..=ROW_GROUP_ROWS_MAX).contains(&group.num_rows()) {
            return Err(beyond_limit(path, "rows in a row group", group.num_rows(), ROW_GROUP_ROWS_MAX));
        }
        let mut decoded_bytes = 0i64;
        for column in group.columns() {
            decoded_bytes = decoded_bytes.saturating_add(column.uncompressed_size().max(0));
        }
        if decoded_bytes > ROW_GROUP_BYTES_MAX {
            return Err(beyond_limit(path, "bytes in a row group", decoded_bytes, ROW_GROUP_BYTES_MAX));
        }
    }
    Ok(())
}
