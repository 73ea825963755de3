//! Files as a source: what there is to read, and its rows in batches.
//!
//! CSV and NDJSON columns all stay text until the map or the gate gives them a type; Parquet keeps its types. One bad
//! line never loses a file: it is handed out beside the good rows, with its number and its text, so that it can be
//! quarantined. Files are untrusted: lines, columns, records and row groups have limits, and a panic inside the Parquet
//! reader becomes an error.

mod csv;
mod lines;
mod listing;
mod ndjson;
mod parquet;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use ::parquet::file::reader::ChunkReader;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use seawall_base::declare::{FileFormat, Files, ReferenceFile};
use seawall_base::error::Result;
use seawall_base::{Error, ErrorKind, Hash, Reference};

pub use listing::{format_of, list};
pub use parquet::RowGroups;

/// Columns that a file may have.
pub const COLUMNS_MAX: usize = 4_096;
/// Bytes that a CSV record or an NDJSON line may have.
pub const RECORD_BYTES_MAX: usize = 1 << 20;
/// Bytes of text after which a batch is closed although it has not reached its number of rows.
pub const BATCH_BYTES_MAX: usize = 32 << 20;
/// Bytes kept of a broken line.
pub const RAW_BYTES_MAX: usize = 16 << 10;
/// Rows of a sample that are decoded at once.
const SAMPLE_BATCH_ROWS: usize = 8_192;
/// Bytes that a reference file may have, since it is held in memory as a whole.
pub const REFERENCE_BYTES_MAX: u64 = 256 << 20;

/// A file that a source names, with the content hash by which it is read only once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileToRead {
    /// Where it lies.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Hash of its content.
    pub hash: Hash,
}

/// The next rows of a file, and the lines among them that could not be decoded.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// Rows in the file's shape, see [`Reader::schema`]; may be empty when every line was broken.
    pub batch: RecordBatch,
    /// Lines that could not be decoded, in file order.
    pub broken: Vec<BrokenLine>,
}

/// A line that could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenLine {
    /// Number of the line, from 1.
    pub line: u64,
    /// Its text, at most [`RAW_BYTES_MAX`] bytes of it; bytes that are not UTF-8 are replaced by U+FFFD.
    pub raw: String,
    /// What is wrong, without file and line.
    pub message: String,
}

impl BrokenLine {
    fn new(line: u64, raw: &[u8], message: impl Into<String>) -> Self {
        let kept = &raw[..raw.len().min(RAW_BYTES_MAX)];
        let text = String::from_utf8_lossy(kept);
        BrokenLine { line, raw: text.trim_end_matches(['\r', '\n']).to_owned(), message: message.into() }
    }
}

/// Rows of one file in batches. After an error there is nothing more to read.
pub struct Reader {
    decoder: Decoder,
    failed: bool,
}

enum Decoder {
    Csv(csv::Decoder),
    Ndjson(ndjson::Decoder),
    Parquet(parquet::Decoder),
}

impl Reader {
    /// Shape of every batch of this file.
    pub fn schema(&self) -> SchemaRef {
        match &self.decoder {
            Decoder::Csv(decoder) => decoder.schema(),
            Decoder::Ndjson(decoder) => decoder.schema(),
            Decoder::Parquet(decoder) => decoder.schema(),
        }
    }

    fn open(content: &Content, options: &Options<'_>) -> Result<Self> {
        let decoder = match options.format {
            FileFormat::Csv => Decoder::Csv(csv::Decoder::open(content, options)?),
            FileFormat::Ndjson => Decoder::Ndjson(ndjson::Decoder::open(content, options)?),
            FileFormat::Parquet => Decoder::Parquet(parquet::Decoder::open(content, options)?),
        };
        Ok(Reader { decoder, failed: false })
    }
}

impl Iterator for Reader {
    type Item = Result<Decoded>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let decoded = match &mut self.decoder {
            Decoder::Csv(decoder) => decoder.decode(),
            Decoder::Ndjson(decoder) => decoder.decode(),
            Decoder::Parquet(decoder) => decoder.decode(),
        };
        self.failed = decoded.is_err();
        decoded.transpose()
    }
}

/// How a file is decoded.
struct Options<'a> {
    format: FileFormat,
    null_values: &'a [String],
    batch_rows: usize,
    /// Rows after which a sample ends; none for the whole file.
    rows_max: Option<usize>,
}

/// Reads `file` in batches of at most `batch_rows` rows, in file order.
///
/// CSV needs a header line; every column is `Utf8`; empty fields and `null_values` are null. NDJSON is read twice: the
/// first pass collects the columns of the whole file, in order of first appearance, so that every batch has the same
/// shape and a column that appears late is not lost; every column is `Utf8`: strings without quotes, other values as
/// their JSON text. Parquet is typed as its own schema says. Blank lines are skipped.
pub fn read(file: &FileToRead, files: &Files, batch_rows: usize) -> Result<Reader> {
    let content = Content::File(file.path.clone());
    let bytes = content.size()?;
    if bytes != file.bytes {
        let message = format!("{} has {bytes} bytes now, {} when it was listed", file.path.display(), file.bytes);
        return Err(Error::new(ErrorKind::Conflict, "SW0706", message)
            .hint("put finished files into place with a rename; what was appended is read on the next pass"));
    }
    read_content(&content, files.format, &files.null_values, batch_rows)
}

/// [`read`] of a file or of bytes that are in memory.
pub fn read_content(
    content: &Content,
    format: FileFormat,
    null_values: &[String],
    batch_rows: usize,
) -> Result<Reader> {
    Reader::open(content, &Options { format, null_values, batch_rows: batch_rows.max(1), rows_max: None })
}

/// Reads a reference file as one batch: exactly the bytes that the hash covers. CSV and NDJSON columns are text.
///
/// Fails when the file is missing, larger than [`REFERENCE_BYTES_MAX`], or has a broken line: a map that joins half a
/// table would quietly give wrong rows.
pub fn read_reference(reference: &ReferenceFile, project_folder: &Path) -> Result<Reference> {
    let path = listing::the_one_file(&reference.files, project_folder)?;
    let bytes = read_bounded(&path)?;
    let hash = Hash::of(&bytes);
    let options = Options {
        format: reference.files.format,
        null_values: &reference.files.null_values,
        batch_rows: 65_536,
        rows_max: None,
    };
    let reader = Reader::open(&Content::Bytes(path.clone(), bytes), &options)?;
    let schema = reader.schema();
    let mut batches = Vec::new();
    for decoded in reader {
        let Decoded { batch, broken } = decoded?;
        if let Some(line) = broken.first() {
            let message = format!("{}, line {}: {}", path.display(), line.line, line.message);
            return Err(Error::invalid("SW0711", message).hint("a reference table must be whole: correct the line"));
        }
        batches.push(batch);
    }
    Ok(Reference { name: reference.name.clone(), rows: concat_batches(&schema, &batches)?, hash })
}

/// The first `rows` rows of a file, for a first look at its shape. Broken lines are passed over; a file with broken
/// lines only is an error.
pub fn sample(path: &Path, format: FileFormat, rows: usize) -> Result<Vec<RecordBatch>> {
    sample_content(&Content::File(path.to_path_buf()), format, rows)
}

/// [`sample_content`] of a file that nobody vouches for: more than `bytes_max` of decoded rows are an error.
pub fn sample_within(content: &Content, format: FileFormat, rows: usize, bytes_max: u64) -> Result<Vec<RecordBatch>> {
    match format {
        FileFormat::Csv | FileFormat::Ndjson => sample_texts(content, format, rows, bytes_max),
        FileFormat::Parquet => {
            let groups = RowGroups::open_plain(content, rows.clamp(1, SAMPLE_BATCH_ROWS))?.within(bytes_max)?;
            let mut batches = Vec::new();
            let mut wanted = rows;
            for group in 0..groups.count() {
                for decoded in groups.read(group)? {
                    let batch = decoded?.batch;
                    let batch = batch.slice(0, batch.num_rows().min(wanted));
                    wanted -= batch.num_rows();
                    batches.push(batch);
                    if wanted == 0 {
                        return Ok(batches);
                    }
                }
            }
            Ok(batches)
        }
    }
}

/// [`sample`] of a file or of bytes that are in memory.
pub fn sample_content(content: &Content, format: FileFormat, rows: usize) -> Result<Vec<RecordBatch>> {
    sample_texts(content, format, rows, u64::MAX)
}

fn sample_texts(content: &Content, format: FileFormat, rows: usize, bytes_max: u64) -> Result<Vec<RecordBatch>> {
    let path = content.path();
    let options =
        Options { format, null_values: &[], batch_rows: rows.clamp(1, SAMPLE_BATCH_ROWS), rows_max: Some(rows) };
    let mut batches = Vec::new();
    let mut first_broken = None;
    let (mut wanted, mut bytes) = (rows, 0);
    for decoded in Reader::open(content, &options)? {
        let Decoded { batch, broken } = decoded?;
        first_broken = first_broken.or(broken.into_iter().next());
        let batch = batch.slice(0, batch.num_rows().min(wanted));
        wanted -= batch.num_rows();
        bytes += batch.get_array_memory_size() as u64;
        if bytes > bytes_max {
            let message = format!("the first rows of {} take more than {bytes_max} bytes of memory", path.display());
            return Err(Error::invalid("SW0254", message).hint("give fewer rows, or fewer columns"));
        }
        if batch.num_rows() > 0 {
            batches.push(batch);
        }
        if wanted == 0 {
            break;
        }
    }
    match first_broken {
        Some(line) if batches.is_empty() => {
            let message =
                format!("{} has no line that can be read; line {}: {}", path.display(), line.line, line.message);
            Err(Error::invalid("SW0714", message).hint("check that the file is what its extension says"))
        }
        _ => Ok(batches),
    }
}

/// What is decoded: a file, or the bytes of a file that were read already.
#[derive(Debug, Clone)]
pub enum Content {
    /// The file at this path.
    File(PathBuf),
    /// Bytes, with the name that messages call them by.
    Bytes(PathBuf, Bytes),
}

impl Content {
    /// The path, for messages.
    fn path(&self) -> &Path {
        match self {
            Content::File(path) | Content::Bytes(path, _) => path,
        }
    }

    fn size(&self) -> Result<u64> {
        match self {
            Content::File(path) => Ok(listing::regular_file(path)?.len()),
            Content::Bytes(_, bytes) => Ok(bytes.len() as u64),
        }
    }

    /// A fresh pass over the content.
    pub(crate) fn open(&self) -> Result<Box<dyn BufRead + Send>> {
        match self {
            Content::File(path) => {
                listing::regular_file(path)?;
                let file = File::open(path).map_err(|e| cannot_read(path, e))?;
                Ok(Box::new(BufReader::with_capacity(1 << 18, file)))
            }
            Content::Bytes(_, bytes) => Ok(Box::new(Cursor::new(bytes.clone()))),
        }
    }
}

fn cannot_read(path: &Path, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "SW0712", format!("could not read {}", path.display())).because(error)
}

/// Reads a whole file, refusing one that is, or grows, larger than a reference may be.
fn read_bounded(path: &Path) -> Result<Bytes> {
    let size = listing::regular_file(path)?.len();
    let file = File::open(path).map_err(|e| cannot_read(path, e))?;
    let mut bytes = Vec::new();
    if size <= REFERENCE_BYTES_MAX {
        file.take(REFERENCE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|e| cannot_read(path, e))?;
    }
    if size.max(bytes.len() as u64) > REFERENCE_BYTES_MAX {
        let message = format!("{} has {size} bytes; a reference table may have {REFERENCE_BYTES_MAX}", path.display());
        return Err(Error::invalid("SW0710", message)
            .hint("load it as a dataset with a source of its own, and join it in a transform"));
    }
    Ok(Bytes::from(bytes))
}

/// Random access to the content, for Parquet.
enum Chunks {
    File(File),
    Bytes(Bytes),
}

impl Chunks {
    fn open(content: &Content) -> Result<Self> {
        match content {
            Content::File(path) => {
                listing::regular_file(path)?;
                Ok(Chunks::File(File::open(path).map_err(|e| cannot_read(path, e))?))
            }
            Content::Bytes(_, bytes) => Ok(Chunks::Bytes(bytes.clone())),
        }
    }
}

impl ::parquet::file::reader::Length for Chunks {
    fn len(&self) -> u64 {
        match self {
            Chunks::File(file) => ::parquet::file::reader::Length::len(file),
            Chunks::Bytes(bytes) => bytes.len() as u64,
        }
    }
}

impl ChunkReader for Chunks {
    type T = Box<dyn Read + Send>;

    fn get_read(&self, start: u64) -> ::parquet::errors::Result<Self::T> {
        match self {
            Chunks::File(file) => Ok(Box::new(file.get_read(start)?)),
            Chunks::Bytes(bytes) => Ok(Box::new(bytes.get_read(start)?)),
        }
    }

    fn get_bytes(&self, start: u64, length: usize) -> ::parquet::errors::Result<Bytes> {
        match self {
            Chunks::File(file) => file.get_bytes(start, length),
            Chunks::Bytes(bytes) => bytes.get_bytes(start, length),
        }
    }
}
