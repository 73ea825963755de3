//! NDJSON: one JSON object per line. Every column is text.
//!
//! Strings lose their quotes, null is null, every other value keeps its JSON text as it stands in the file, so that no
//! digit of a number is lost. Two passes: the first collects the columns, the second decodes.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use seawall_base::error::Result;
use serde::de::IgnoredAny;

use super::lines::{Line, Lines};
use super::{BATCH_BYTES_MAX, BrokenLine, COLUMNS_MAX, Content, Decoded, Options, RECORD_BYTES_MAX, cannot_read};

pub(super) struct Decoder {
    path: PathBuf,
    lines: Lines,
    schema: SchemaRef,
    columns: HashMap<String, usize>,
    batch_rows: usize,
    /// Rows still to be read of a sample: beyond them the columns are not known.
    rows_left: usize,
}

impl Decoder {
    /// Makes the first pass.
    pub(super) fn open(content: &Content, options: &Options<'_>) -> Result<Self> {
        let path = content.path().to_path_buf();
        let rows_max = options.rows_max.unwrap_or(usize::MAX);
        let mut columns = HashMap::new();
        let mut fields = Vec::new();
        let mut lines = Lines::new(content.open()?);
        let mut rows = 0;
        while rows < rows_max {
            let Some(line) = lines.next().map_err(|e| cannot_read(&path, e))? else { break };
            // Broken lines are reported by the second pass.
            let Ok(members) = members(&line) else { continue };
            rows += 1;
            for (name, _) in members {
                if columns.len() < COLUMNS_MAX && !columns.contains_key(&name) {
                    columns.insert(name.clone(), fields.len());
                    fields.push(Field::new(name, DataType::Utf8, true));
                }
            }
        }
        let schema = Arc::new(Schema::new(fields));
        let lines = Lines::new(content.open()?);
        Ok(Decoder { path, lines, schema, columns, batch_rows: options.batch_rows, rows_left: rows_max })
    }

    pub(super) fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The next rows, or none at the end.
    pub(super) fn decode(&mut self) -> Result<Option<Decoded>> {
        let mut rows: Vec<Vec<(usize, Option<String>)>> = Vec::new();
        let mut broken = Vec::new();
        let mut bytes = 0;
        while rows.len() + broken.len() < self.batch_rows && rows.len() < self.rows_left && bytes < BATCH_BYTES_MAX {
            let Some(line) = self.lines.next().map_err(|e| cannot_read(&self.path, e))? else { break };
            if line.is_blank() {
                continue;
            }
            bytes += line.bytes.len();
            match members(&line).and_then(|members| self.place(members)) {
                Ok(row) => rows.push(row),
                Err(message) => broken.push(BrokenLine::new(line.number, &line.bytes, message)),
            }
        }
        self.rows_left -= rows.len();
        if rows.is_empty() && broken.is_empty() {
            return Ok(None);
        }
        Ok(Some(Decoded { batch: self.batch(rows)?, broken }))
    }

    /// Replaces the names of members by the numbers of their columns, ascending.
    fn place(&self, members: Vec<(String, Option<String>)>) -> Result<Vec<(usize, Option<String>)>, String> {
        let mut row = Vec::with_capacity(members.len());
        for (name, text) in members {
            let column = self.columns.get(&name);
            let column = column.ok_or_else(|| format!("the member {name:?} is one column more than {COLUMNS_MAX}"))?;
            row.push((*column, text));
        }
        row.sort_by_key(|(column, _)| *column);
        match row.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(format!("the member {:?} appears twice", self.schema.field(pair[0].0).name())),
            None => Ok(row),
        }
    }

    fn batch(&self, rows: Vec<Vec<(usize, Option<String>)>>) -> Result<RecordBatch> {
        let mut builders: Vec<StringBuilder> = self.schema.fields().iter().map(|_| StringBuilder::new()).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        for row in rows {
            let mut members = row.into_iter().peekable();
            for (column, builder) in builders.iter_mut().enumerate() {
                match members.next_if(|(c, _)| *c == column) {
                    Some((_, text)) => builder.append_option(text),
                    None => builder.append_null(),
                }
            }
        }
        let arrays: Vec<ArrayRef> = builders.into_iter().map(|mut b| Arc::new(b.finish()) as ArrayRef).collect();
        Ok(RecordBatch::try_new_with_options(self.schema(), arrays, &options)?)
    }
}

/// The members of the object on a line, as names and texts; or what is wrong with the line.
fn members(line: &Line) -> Result<Vec<(String, Option<String>)>, String> {
    if line.too_long {
        return Err(format!("the line is longer than {RECORD_BYTES_MAX} bytes"));
    }
    let text = std::str::from_utf8(line.body()).map_err(|_| "the line is not UTF-8".to_owned())?.trim();
    if !text.starts_with('{') {
        return Err("the line is not a JSON object".to_owned());
    }
    // IgnoredAny checks the syntax without recursion, so depth costs no stack; the scan below may then rely on it.
    serde_json::from_str::<IgnoredAny>(text).map_err(|e| format!("not JSON: {e}"))?;
    let mut scan = Scan { text, at: 1 };
    let mut members = Vec::new();
    while let Some((name, value)) = scan.member() {
        let name = string(name)?;
        let value = match value {
            "null" => None,
            quoted if quoted.starts_with('"') => Some(string(quoted)?),
            other => Some(other.to_owned()),
        };
        members.push((name, value));
    }
    Ok(members)
}

fn string(literal: &str) -> Result<String, String> {
    serde_json::from_str(literal).map_err(|e| format!("not JSON: {e}"))
}

/// Walks over the members of one object whose syntax has been checked.
struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    /// The literals of the next member's name and value; none at the end of the object.
    fn member(&mut self) -> Option<(&'a str, &'a str)> {
        let bytes = self.text.as_bytes();
        while matches!(bytes.get(self.at)?, b',' | b' ' | b'\t' | b'\r') {
            self.at += 1;
        }
        if bytes[self.at] != b'"' {
            return None;
        }
        let name = self.value()?;
        while matches!(bytes.get(self.at)?, b':' | b' ' | b'\t' | b'\r') {
            self.at += 1;
        }
        Some((name, self.value()?))
    }

    /// The literal that begins here, up to the comma, colon or brace that ends it.
    fn value(&mut self) -> Option<&'a str> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        let mut depth = 0usize;
        loop {
            match *bytes.get(self.at)? {
                b'"' => self.skip_string()?,
                b'{' | b'[' => depth += 1,
                b'}' | b']' if depth > 0 => depth -= 1,
                b',' | b'}' | b':' if depth == 0 => break,
                _ => {}
            }
            self.at += 1;
        }
        Some(self.text[start..self.at].trim_end())
    }

    /// Moves from the opening quote to the closing one.
    fn skip_string(&mut self) -> Option<()> {
        let bytes = self.text.as_bytes();
        self.at += 1;
        while *bytes.get(self.at)? != b'"' {
            self.at += if bytes[self.at] == b'\\' { 2 } else { 1 };
        }
        Some(())
    }
}
