//! CSV by RFC 4180: comma, double quotes, a header line. Every column is text.
//!
//! A record that cannot be read costs one line: when a quote stays open, the line it began on is broken and reading
//! goes on with the next line. A row with too few or too many fields, or with bytes that are not UTF-8, is broken too.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use seawall_base::Error;
use seawall_base::error::Result;

use super::lines::{Line, Lines};
use super::{BATCH_BYTES_MAX, BrokenLine, COLUMNS_MAX, Content, Decoded, Options, RECORD_BYTES_MAX, cannot_read};

pub(super) struct Decoder {
    path: PathBuf,
    records: Records,
    schema: SchemaRef,
    null_values: HashSet<String>,
    batch_rows: usize,
}

impl Decoder {
    /// Reads the header.
    pub(super) fn open(content: &Content, options: &Options<'_>) -> Result<Self> {
        let path = content.path().to_path_buf();
        let mut records = Records { lines: Lines::new(content.open()?), splitter: Splitter::default() };
        let schema = header(&path, &mut records)?;
        let null_values = options.null_values.iter().cloned().collect();
        Ok(Decoder { path, records, schema, null_values, batch_rows: options.batch_rows })
    }

    pub(super) fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The next rows, or none at the end.
    pub(super) fn decode(&mut self) -> Result<Option<Decoded>> {
        let columns = self.schema.fields().len();
        let mut builders: Vec<StringBuilder> = (0..columns).map(|_| StringBuilder::new()).collect();
        let mut broken = Vec::new();
        let (mut rows, mut bytes) = (0, 0);
        while rows + broken.len() < self.batch_rows && bytes < BATCH_BYTES_MAX {
            let record = self.records.next().map_err(|e| cannot_read(&self.path, e))?;
            match record {
                None => break,
                Some(Record::Broken(line)) => {
                    bytes += line.raw.len();
                    broken.push(line);
                }
                Some(Record::Row(row)) => match row.fields(columns) {
                    Ok(fields) => {
                        for (builder, field) in builders.iter_mut().zip(&fields) {
                            let null = field.is_empty() || self.null_values.contains(*field);
                            builder.append_option((!null).then_some(*field));
                        }
                        bytes += row.raw.len();
                        rows += 1;
                    }
                    Err(message) => broken.push(BrokenLine::new(row.line, &row.raw, message)),
                },
            }
        }
        if rows == 0 && broken.is_empty() {
            return Ok(None);
        }
        let arrays: Vec<ArrayRef> = builders.into_iter().map(|mut b| Arc::new(b.finish()) as ArrayRef).collect();
        Ok(Some(Decoded { batch: RecordBatch::try_new(self.schema(), arrays)?, broken }))
    }
}

fn header(path: &Path, records: &mut Records) -> Result<SchemaRef> {
    let row = match records.next().map_err(|e| cannot_read(path, e))? {
        Some(Record::Row(row)) => row,
        Some(Record::Broken(line)) => return Err(bad_header(path, line.line, &line.message)),
        None => {
            return Err(Error::invalid("SW0704", format!("{} is empty: it has no header line", path.display()))
                .hint("write the column names, separated by commas, on the first line"));
        }
    };
    let names = row.fields(row.ends.len()).map_err(|message| bad_header(path, row.line, &message))?;
    if names.len() > COLUMNS_MAX {
        let message = format!("{} has {} columns; at most {COLUMNS_MAX} are read", path.display(), names.len());
        return Err(Error::invalid("SW0713", message).hint("check that its records are separated by line ends"));
    }
    let mut seen = HashSet::new();
    for (i, name) in names.iter().enumerate() {
        if name.trim().is_empty() {
            return Err(bad_header(path, row.line, &format!("column {} has no name", i + 1)));
        }
        if !seen.insert(name.trim()) {
            return Err(bad_header(path, row.line, &format!("two columns are named {:?}", name.trim())));
        }
    }
    let fields: Vec<Field> = names.iter().map(|name| Field::new(name.trim(), DataType::Utf8, true)).collect();
    Ok(Arc::new(Schema::new(fields)))
}

fn bad_header(path: &Path, line: u64, message: &str) -> Error {
    Error::invalid("SW0705", format!("{}, line {line}: {message}", path.display()))
        .hint("the first line must name every column once, in UTF-8, separated by commas")
}

enum Record {
    Row(Row),
    Broken(BrokenLine),
}

/// A record that is complete, but whose fields are not checked yet.
struct Row {
    line: u64,
    raw: Vec<u8>,
    unquoted: Vec<u8>,
    ends: Vec<usize>,
}

impl Row {
    /// The fields as text, or what is wrong with them.
    fn fields(&self, expected: usize) -> Result<Vec<&str>, String> {
        if self.ends.len() != expected {
            return Err(format!("{} fields where the header has {expected}", self.ends.len()));
        }
        let text = std::str::from_utf8(&self.unquoted).map_err(|_| "the line is not UTF-8".to_owned())?;
        let mut fields = Vec::with_capacity(expected);
        let mut start = 0;
        for &end in &self.ends {
            // A field could begin or end inside of a character only if a separator were not ASCII.
            fields.push(text.get(start..end).ok_or_else(|| "the line is not UTF-8".to_owned())?);
            start = end;
        }
        Ok(fields)
    }
}

struct Records {
    lines: Lines,
    splitter: Splitter,
}

impl Records {
    fn next(&mut self) -> std::io::Result<Option<Record>> {
        let first = loop {
            match self.lines.next()? {
                None => return Ok(None),
                Some(line) if line.is_blank() => {}
                Some(line) => break line,
            }
        };
        if first.too_long {
            let message = format!("the line is longer than {RECORD_BYTES_MAX} bytes");
            return Ok(Some(Record::Broken(BrokenLine::new(first.number, &first.bytes, message))));
        }
        self.splitter.clear();
        let mut split = self.splitter.feed(&first);
        let mut bytes = first.bytes.len();
        let mut more: Vec<Line> = Vec::new();
        while split == Split::Open {
            let Some(line) = self.lines.next()? else { break };
            bytes += line.bytes.len();
            let fits = !line.too_long && bytes <= RECORD_BYTES_MAX;
            if fits {
                split = self.splitter.feed(&line);
            }
            more.push(line);
            if !fits {
                break;
            }
        }
        Ok(Some(self.finish(first, more, split)))
    }

    fn finish(&mut self, first: Line, more: Vec<Line>, split: Split) -> Record {
        let message = match split {
            Split::Complete => {
                let line = first.number;
                let mut raw = first.bytes;
                more.iter().for_each(|l| raw.extend_from_slice(&l.bytes));
                let Splitter { unquoted, ends, .. } = std::mem::take(&mut self.splitter);
                return Record::Row(Row { line, raw, unquoted, ends });
            }
            Split::Open => "a quote is opened on this line and not closed",
            Split::TextAfterQuote => "text follows a closing quote",
        };
        self.lines.put_back(more);
        Record::Broken(BrokenLine::new(first.number, &first.bytes, message))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Split {
    Complete,
    /// The record goes on: a quote is open at the end of the line.
    Open,
    TextAfterQuote,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    #[default]
    FieldStart,
    Unquoted,
    Quoted,
    /// After a quote inside a quoted field: it closed the field, or is the first of two.
    AfterQuote,
}

/// Splits a record into fields, line by line.
#[derive(Default)]
struct Splitter {
    place: Place,
    unquoted: Vec<u8>,
    ends: Vec<usize>,
}

impl Splitter {
    fn clear(&mut self) {
        self.place = Place::FieldStart;
        self.unquoted.clear();
        self.ends.clear();
    }

    fn feed(&mut self, line: &Line) -> Split {
        for &byte in line.body() {
            self.place = match (self.place, byte) {
                (Place::FieldStart, b'"') => Place::Quoted,
                (Place::Quoted, b'"') => Place::AfterQuote,
                (Place::FieldStart | Place::Unquoted | Place::AfterQuote, b',') => self.end_field(),
                (Place::AfterQuote, b'"') => self.keep(byte, Place::Quoted),
                (Place::AfterQuote, _) => return Split::TextAfterQuote,
                (Place::FieldStart | Place::Unquoted, _) => self.keep(byte, Place::Unquoted),
                (Place::Quoted, _) => self.keep(byte, Place::Quoted),
            };
        }
        if self.place == Place::Quoted {
            self.unquoted.extend_from_slice(line.terminator());
            return Split::Open;
        }
        self.end_field();
        Split::Complete
    }

    fn keep(&mut self, byte: u8, next: Place) -> Place {
        self.unquoted.push(byte);
        next
    }

    fn end_field(&mut self) -> Place {
        self.ends.push(self.unquoted.len());
        Place::FieldStart
    }
}
