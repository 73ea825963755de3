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
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{ChunkReader, Length};
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
    path: PathBuf,
    metadata: ArrowReaderMetadata,
    batch_rows: usize,
}

impl RowGroups {
    /// Reads the metadata and checks it against the limits. Batches will have at most `batch_rows` rows.
    ///
    /// # Errors
    /// SW0707 to SW0709 and SW0712 for a file that cannot be read or is beyond the limits.
    pub fn open(path: &Path, batch_rows: usize) -> Result<Self> {
        let chunks = Chunks::open(&Content::File(path.to_owned()))?;
        let plain = read_metadata(path, &chunks)?;
        let options = ArrowReaderOptions::new().with_schema(keep_dictionaries(&plain));
        let metadata = contained(path, || {
            ArrowReaderMetadata::try_new(Arc::clone(plain.metadata()), options).map_err(|e| unreadable(path, e))
        })?;
        Ok(RowGroups { path: path.to_owned(), metadata, batch_rows: batch_rows.max(1) })
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
        let chunks = Chunks::open(&Content::File(self.path.clone()))?;
        let rows = ParquetRecordBatchReaderBuilder::new_with_metadata(chunks, self.metadata.clone());
        let decoder = Decoder::over(&self.path, rows.with_row_groups(vec![group]), self.batch_rows)?;
        Ok(Reader { decoder: super::Decoder::Parquet(decoder), failed: false })
    }
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
