//! Parquet, untrusted: limits are checked on the metadata before a row is decoded, and a panic of the reader is an error.
//!
//! The Arrow schema that some writers embed is ignored, so that the same Parquet types give the same Arrow types
//! whoever wrote the file: no dictionaries, no large strings; timestamps in UTC where the file says so.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{ChunkReader, Length};
use seawall_base::error::Result;
use seawall_base::{Error, ErrorKind};

use super::{COLUMNS_MAX, Chunks, Content, Decoded, Options};

/// Bytes that the metadata of a file may have.
const METADATA_BYTES_MAX: u32 = 64 << 20;
/// Row groups that a file may have.
const ROW_GROUPS_MAX: usize = 100_000;
/// Rows that a row group may have.
const ROW_GROUP_ROWS_MAX: i64 = 64 << 20;
/// Decoded bytes that a row group may have.
const ROW_GROUP_BYTES_MAX: i64 = 2 << 30;
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
        let path = content.path().to_path_buf();
        let chunks = Chunks::open(content)?;
        check_footer(&path, &chunks)?;
        let reader_options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let builder = contained(&path, || {
            ParquetRecordBatchReaderBuilder::try_new_with_options(chunks, reader_options)
                .map_err(|e| unreadable(&path, e))
        })?;
        check_metadata(&path, builder.metadata())?;
        let schema = Arc::clone(builder.schema());
        let reader =
            contained(&path, || builder.with_batch_size(options.batch_rows).build().map_err(|e| unreadable(&path, e)))?;
        Ok(Decoder { path, reader, schema })
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
