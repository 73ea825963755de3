//! JSON events into typed rows of a contract: lines of NDJSON, or the elements of one array.
//!
//! Reading is strict: a string is no number, `12.0` is no integer, NaN is no JSON, a key may occur once. A line that
//! does not fit is left out of the batch and reported with every reason; whatever the bytes are, nothing panics and
//! time is linear in their number.

pub(super) mod parse;
pub(super) mod stage;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{Field, Schema};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use seawall_base::{Error, error::Result};

use self::parse::{Json, SyntaxError};
use self::stage::{Builder, Positions, Staged, Staging};
use super::gate::Gate;
use super::reason;
use super::rule::Column;
use super::text::Fault;
use super::verdict::{Mode, Reason};

/// Names of unknown columns that are remembered; further ones are summed up in one entry.
const UNKNOWN_COLUMNS_MAX: usize = 100;

/// Limits of decoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest line or array element in bytes; longer ones fail and their raw text is cut off here.
    pub line_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { line_bytes_max: 1 << 20 }
    }
}

/// What became of the bytes. A "line" is a line of NDJSON that is not blank, or an element of an array.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// The rows that decoded, in the contract's columns and types, every one of them nullable.
    pub batch: RecordBatch,
    /// For each row of `batch` the index of its line, ascending.
    pub rows: Vec<u32>,
    /// The lines that did not decode, ascending.
    pub failures: Vec<Failure>,
    /// Fields that the contract does not know, as paths, ordered; their values were not kept.
    pub unknown_columns: Vec<String>,
}

/// A line that did not decode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its index among the lines.
    pub line: u32,
    /// Its text; invalid UTF-8 is replaced, over-long lines are cut off.
    pub raw: String,
    /// Every reason.
    pub reasons: Vec<Reason>,
}

/// Decodes NDJSON. Blank lines are skipped, a byte order mark is allowed, lines end with `\n` or `\r\n`.
pub fn decode_ndjson(gate: &Gate, bytes: &[u8], limits: Limits) -> Decoded {
    let mut decoder = Decoder::new(gate, limits);
    for line in without_bom(bytes).split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if !line.trim_ascii().is_empty() {
            decoder.push(line);
        }
    }
    decoder.finish()
}

/// Decodes a JSON array of objects, or a single object. Elements that do not decode are reported one by one; an array
/// that is cut off or broken in its punctuation fails from that element on.
///
/// # Errors
/// `SW0250` when the body is neither an array nor an object.
pub fn decode_json_array(gate: &Gate, bytes: &[u8], limits: Limits) -> Result<Decoded> {
    let body = without_bom(bytes).trim_ascii();
    let mut decoder = Decoder::new(gate, limits);
    match body.first() {
        Some(b'{') => decoder.push(body),
        Some(b'[') => decode_elements(&mut decoder, &body[1..]),
        _ => {
            return Err(Error::invalid("SW0250", "the body is neither a JSON array nor a JSON object")
                .hint(r#"send [{"id": 1}, {"id": 2}], or one object per line as application/x-ndjson"#));
        }
    }
    Ok(decoder.finish())
}

fn without_bom(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes)
}

/// Splits the inside of an array at its own commas, then decodes each element.
fn decode_elements<'b>(decoder: &mut Decoder<'_, 'b>, inside: &'b [u8]) {
    let mut rest = inside.trim_ascii_start();
    if rest.first() == Some(&b']') {
        decoder.expect_nothing_after(&rest[1..]);
        return;
    }
    loop {
        let length = element_length(rest);
        let element = rest[..length].trim_ascii();
        match rest.get(length) {
            Some(b',') => {
                decoder.push(element);
                rest = rest[length + 1..].trim_ascii_start();
            }
            Some(b']') => {
                decoder.push(element);
                decoder.expect_nothing_after(&rest[length + 1..]);
                return;
            }
            _ => {
                decoder.push_truncated(rest);
                return;
            }
        }
    }
}

/// Bytes up to the comma or bracket that ends the element, strings and nesting respected; all bytes when there is none.
fn element_length(bytes: &[u8]) -> usize {
    let mut depth = 0usize;
    let mut in_string = false;
    let mut escaped = false;
    for (at, byte) in bytes.iter().enumerate() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => depth += 1,
            b',' | b']' if depth == 0 => return at,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    bytes.len()
}

struct Decoder<'g, 'b> {
    gate: &'g Gate,
    limits: Limits,
    builders: Vec<Builder<'g>>,
    positions: Positions<'g>,
    lines: u32,
    rows: Vec<u32>,
    failures: Vec<Failure>,
    unknown: BTreeSet<String>,
    unknown_more: bool,
    /// The values of one line, before they are appended; none where the line has no such field.
    staged: Vec<Option<Staged<'b>>>,
}

impl<'g, 'b> Decoder<'g, 'b> {
    fn new(gate: &'g Gate, limits: Limits) -> Self {
        let columns = gate.columns();
        Decoder {
            gate,
            limits,
            builders: columns.iter().map(|column| Builder::new(&column.kind)).collect(),
            positions: Positions::new(columns),
            lines: 0,
            rows: Vec::new(),
            failures: Vec::new(),
            unknown: BTreeSet::new(),
            unknown_more: false,
            staged: columns.iter().map(|_| None).collect(),
        }
    }

    fn push(&mut self, line: &'b [u8]) {
        if self.stage_plain(line) {
            self.builders.iter_mut().zip(&mut self.staged).for_each(|(builder, value)| {
                builder.append(value.take().unwrap_or(Staged::Null));
            });
            self.rows.push(self.lines);
            self.lines += 1;
            return;
        }
        match self.decode(line) {
            Ok(staged) => {
                self.builders.iter_mut().zip(staged).for_each(|(builder, value)| builder.append(value));
                self.rows.push(self.lines);
                self.lines += 1;
            }
            Err(reasons) => self.fail(line, reasons),
        }
    }

    /// Stages a line in which everything is as it should be, without building its JSON. False for any other line, about
    /// which [`Decoder::decode`] then has the word.
    fn stage_plain(&mut self, line: &'b [u8]) -> bool {
        self.staged.iter_mut().for_each(|value| *value = None);
        if line.len() > self.limits.line_bytes_max {
            return false;
        }
        let Ok(text) = std::str::from_utf8(line) else { return false };
        let columns = self.gate.columns();
        let Decoder { positions, staged, gate, .. } = self;
        let mut unknown_inside = false;
        let mut note_unknown = |_: &str| unknown_inside = true;
        let mut staging =
            Staging { zone: gate.zone(), misfits: Vec::new(), steps: Vec::new(), unknown: &mut note_unknown };
        let mut at = 0;
        let is_object = parse::fields(text, |name, value| {
            let Some(column) = positions.find(at, name) else { return false };
            at += 1;
            let is_first = staged[column].is_none();
            staged[column] = Some(staging.stage(&columns[column], value));
            is_first && staging.misfits.is_empty()
        });
        is_object && !unknown_inside
    }

    fn push_truncated(&mut self, rest: &[u8]) {
        let message = format!("the JSON ends after {} bytes of this element, before the array is closed", rest.len());
        self.fail(rest, vec![line_reason("truncated", message)]);
    }

    fn expect_nothing_after(&mut self, rest: &[u8]) {
        if !rest.trim_ascii().is_empty() {
            self.fail(rest.trim_ascii(), vec![line_reason("syntax", "something follows the array".to_owned())]);
        }
    }

    fn fail(&mut self, bytes: &[u8], reasons: Vec<Reason>) {
        let kept = &bytes[..bytes.len().min(self.limits.line_bytes_max)];
        let raw = String::from_utf8_lossy(kept).into_owned();
        self.failures.push(Failure { line: self.lines, raw, reasons });
        self.lines += 1;
    }

    fn decode<'l>(&mut self, line: &'l [u8]) -> std::result::Result<Vec<Staged<'l>>, Vec<Reason>> {
        if line.len() > self.limits.line_bytes_max {
            let message = format!("the line has {} bytes; at most {} are read", line.len(), self.limits.line_bytes_max);
            return Err(vec![line_reason("line_length", message)]);
        }
        let text = std::str::from_utf8(line).map_err(|e| {
            let message = format!("byte {} of the line is not valid UTF-8", e.valid_up_to());
            vec![line_reason("encoding", message)]
        })?;
        match parse::parse(text) {
            Ok(Json::Object(fields)) => self.stage(fields),
            Ok(_) => Err(vec![line_reason("type", "the line is no JSON object".to_owned())]),
            Err(SyntaxError { offset, rule, message }) => {
                Err(vec![line_reason(rule, format!("{message}, at byte {offset}"))])
            }
        }
    }

    fn stage<'l>(
        &mut self,
        fields: Vec<(Cow<'l, str>, Json<'l>)>,
    ) -> std::result::Result<Vec<Staged<'l>>, Vec<Reason>> {
        let columns = self.gate.columns();
        let mut staged: Vec<Staged<'l>> = columns.iter().map(|_| Staged::Null).collect();
        let Decoder { positions, unknown, unknown_more, .. } = self;
        let mut note_unknown = |path: &str| {
            if unknown.len() < UNKNOWN_COLUMNS_MAX {
                unknown.insert(reason::shorten(path));
            } else {
                *unknown_more |= !unknown.contains(&reason::shorten(path));
            }
        };
        let mut staging =
            Staging { zone: self.gate.zone(), misfits: Vec::new(), steps: Vec::new(), unknown: &mut note_unknown };
        for (i, (name, value)) in fields.into_iter().enumerate() {
            match positions.find(i, &name) {
                Some(at) => staged[at] = staging.stage(&columns[at], value),
                None => (staging.unknown)(&name),
            }
        }
        if staging.misfits.is_empty() {
            return Ok(staged);
        }
        let misfits = staging.misfits;
        Err(misfits.into_iter().map(|misfit| self.reason(columns, misfit)).collect())
    }

    fn reason(&self, columns: &[Column], misfit: stage::Misfit) -> Reason {
        let top = misfit.path.split(['.', '[']).next().unwrap_or_default();
        let declared = columns.iter().find(|column| column.name == top).map(|column| self.gate.mode(column.type_rule));
        let shown = (!misfit.personal).then(|| misfit.shown.clone());
        Reason {
            rule: misfit.fault.rule().to_owned(),
            message: self.misfit_message(&misfit, shown.as_deref()),
            column: Some(misfit.column),
            mode: declared.unwrap_or(Mode::Quarantine).max(Mode::Quarantine),
        }
    }

    /// A form is told by the description of the type.
    fn misfit_message(&self, misfit: &stage::Misfit, shown: Option<&str>) -> String {
        match misfit.fault {
            Fault::Form => reason::limit_message(&misfit.path, shown, &format!("must be {}", misfit.wanted)),
            fault => reason::fault_message(&misfit.path, shown, fault),
        }
    }

    fn finish(self) -> Decoded {
        let rows = self.rows.len();
        let columns = self.gate.columns();
        let fields: Vec<Field> = columns.iter().map(|c| Field::new(&c.name, c.kind.data_type(), true)).collect();
        let arrays: Vec<ArrayRef> = self.builders.into_iter().map(|builder| builder.finish(rows)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)
            .expect("every column was built with one value per row, in its own type");
        let mut unknown_columns: Vec<String> = self.unknown.into_iter().collect();
        if self.unknown_more {
            unknown_columns.push("and more".to_owned());
        }
        Decoded { batch, rows: self.rows, failures: self.failures, unknown_columns }
    }
}

fn line_reason(rule: &str, message: String) -> Reason {
    Reason { rule: rule.to_owned(), column: None, message, mode: Mode::Quarantine }
}
