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
    /// For each row of `batch` the index of its line in `raw`, ascending.
    pub rows: Vec<u32>,
    /// The text of every line; invalid UTF-8 is replaced, over-long lines are cut off.
    pub raw: Vec<String>,
    /// The lines that did not decode, ascending, each with every reason.
    pub failures: Vec<(u32, Vec<Reason>)>,
    /// Fields that the contract does not know, as paths, ordered; their values were not kept.
    pub unknown_columns: Vec<String>,
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
fn decode_elements(decoder: &mut Decoder<'_>, inside: &[u8]) {
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

struct Decoder<'g> {
    gate: &'g Gate,
    limits: Limits,
    builders: Vec<Builder<'g>>,
    positions: Positions<'g>,
    rows: Vec<u32>,
    raw: Vec<String>,
    failures: Vec<(u32, Vec<Reason>)>,
    unknown: BTreeSet<String>,
    unknown_more: bool,
}

impl<'g> Decoder<'g> {
    fn new(gate: &'g Gate, limits: Limits) -> Self {
        let columns = gate.columns();
        Decoder {
            gate,
            limits,
            builders: columns.iter().map(|column| Builder::new(&column.kind)).collect(),
            positions: Positions::new(columns),
            rows: Vec::new(),
            raw: Vec::new(),
            failures: Vec::new(),
            unknown: BTreeSet::new(),
            unknown_more: false,
        }
    }

    fn push(&mut self, line: &[u8]) {
        let kept = &line[..line.len().min(self.limits.line_bytes_max)];
        let text = String::from_utf8_lossy(kept);
        let outcome = self.decode(line);
        let index = u32::try_from(self.raw.len()).unwrap_or(u32::MAX);
        match outcome {
            Ok(staged) => {
                self.builders.iter_mut().zip(staged).for_each(|(builder, value)| builder.append(value));
                self.rows.push(index);
            }
            Err(reasons) => self.failures.push((index, reasons)),
        }
        self.raw.push(text.into_owned());
    }

    fn push_truncated(&mut self, rest: &[u8]) {
        let message = format!("the JSON ends after {} bytes of this element, before the array is closed", rest.len());
        self.fail(rest, "truncated", message);
    }

    fn expect_nothing_after(&mut self, rest: &[u8]) {
        if !rest.trim_ascii().is_empty() {
            self.fail(rest.trim_ascii(), "syntax", "something follows the array".to_owned());
        }
    }

    fn fail(&mut self, bytes: &[u8], rule: &str, message: String) {
        let kept = &bytes[..bytes.len().min(self.limits.line_bytes_max)];
        let index = u32::try_from(self.raw.len()).unwrap_or(u32::MAX);
        self.failures.push((index, vec![line_reason(rule, message)]));
        self.raw.push(String::from_utf8_lossy(kept).into_owned());
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
        Decoded { batch, rows: self.rows, raw: self.raw, failures: self.failures, unknown_columns }
    }
}

fn line_reason(rule: &str, message: String) -> Reason {
    Reason { rule: rule.to_owned(), column: None, message, mode: Mode::Quarantine }
}
