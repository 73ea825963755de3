//! Requests of the load generator: encoded once, then only the numbers in them are replaced.
//!
//! A request carries a block of events, numbered from `block * events`. Its head names the block as idempotency key, so
//! that it can be sent again.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::ipc::writer::StreamWriter;
use clap::ValueEnum;
use seawall_base::error::Result;
use seawall_base::{Instant, Span};

#[cfg(test)]
mod tests;

/// Numbers of events begin here, so that all have equally many digits.
const FIRST_EVENT: u64 = 1_000_000_000_000_000;
const DIGITS: usize = 16;
/// Bytes of an event: of its line, or of its cells and offsets in an Arrow batch.
const EVENT_BYTES: usize = 100;
/// Bytes of the cells of an event but its note: number, time, amount, user, and the offsets of two texts.
const CELL_BYTES: usize = 8 + 8 + 8 + 8 + 4 + 4;

/// How events are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// One JSON object per line.
    Ndjson,
    /// An Arrow IPC stream.
    Arrow,
}

/// The bytes of an HTTP request.
#[derive(Debug, Clone)]
pub(super) struct Request {
    bytes: Vec<u8>,
    key_at: usize,
    events: u64,
    numbers: Numbers,
}

/// Where the numbers of the events stand.
#[derive(Debug, Clone)]
enum Numbers {
    /// Decimal digits, one number at each place.
    Digits(Vec<usize>),
    /// Eight bytes each, one after the other.
    Column(usize),
}

impl Request {
    /// A request with `events` events that happened at `at`, for `dataset` at `host`.
    pub fn new(
        host: &str,
        dataset: &str,
        token: Option<&str>,
        form: Form,
        events: u64,
        at: Instant,
    ) -> Result<Request> {
        let at = at.floor(Span::SECOND);
        let (content_type, body, numbers) = match form {
            Form::Ndjson => ndjson(events, at),
            Form::Arrow => arrow_stream(events, at)?,
        };
        let key = "0".repeat(DIGITS);
        let mut head = format!("POST /v1/datasets/{dataset}/events HTTP/1.1\r\nhost: {host}\r\n");
        if let Some(token) = token {
            // Writing to a string cannot fail.
            let _ = write!(head, "authorization: Bearer {token}\r\n");
        }
        let _ = write!(head, "content-type: {content_type}\r\ncontent-length: {}\r\nidempotency-key: ", body.len());
        let key_at = head.len();
        let _ = write!(head, "{key}\r\n\r\n");
        let begin = head.len();
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&body);
        let numbers = match numbers {
            Numbers::Digits(places) => Numbers::Digits(places.into_iter().map(|at| begin + at).collect()),
            Numbers::Column(at) => Numbers::Column(begin + at),
        };
        Ok(Request { bytes, key_at, events, numbers })
    }

    /// The request for a block.
    pub fn of_block(&mut self, block: u64) -> &[u8] {
        put_digits(&mut self.bytes[self.key_at..], FIRST_EVENT + block);
        let first = FIRST_EVENT + block * self.events;
        match &self.numbers {
            Numbers::Digits(places) => {
                for (event, at) in (first..).zip(places) {
                    put_digits(&mut self.bytes[*at..], event);
                }
            }
            Numbers::Column(at) => {
                let column = self.bytes[*at..].chunks_exact_mut(8);
                for (event, cell) in (first..first + self.events).zip(column) {
                    cell.copy_from_slice(&event.to_le_bytes());
                }
            }
        }
        &self.bytes
    }
}

fn put_digits(place: &mut [u8], number: u64) {
    let mut rest = number;
    for digit in place[..DIGITS].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

/// The user of an event, by its place in the request.
fn user(place: u64) -> String {
    format!("u{:07}", place % 10_000_000)
}

fn ndjson(events: u64, at: Instant) -> (&'static str, Vec<u8>, Numbers) {
    let prefix = r#"{"event_id":"#;
    let end = "\"}\n";
    let mut body = String::with_capacity(events as usize * EVENT_BYTES);
    for event in 0..events {
        let rest = format!(r#","at":"{at}","user":"{}","amount":12.5,"note":""#, user(event));
        let note = "n".repeat(EVENT_BYTES - prefix.len() - DIGITS - rest.len() - end.len());
        body.push_str(&format!("{prefix}{FIRST_EVENT}{rest}{note}{end}"));
    }
    let places = (0..events as usize).map(|event| event * EVENT_BYTES + prefix.len()).collect();
    ("application/x-ndjson", body.into_bytes(), Numbers::Digits(places))
}

fn arrow_stream(events: u64, at: Instant) -> Result<(&'static str, Vec<u8>, Numbers)> {
    let count = events as usize;
    let numbers: Vec<i64> = (0..events).map(|event| (FIRST_EVENT + event) as i64).collect();
    let column: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    let note = "n".repeat(EVENT_BYTES - CELL_BYTES);
    let batch = RecordBatch::try_from_iter([
        ("event_id", Arc::new(Int64Array::from(numbers)) as ArrayRef),
        ("at", Arc::new(TimestampMicrosecondArray::from(vec![at.0; count]).with_timezone("UTC"))),
        ("user", Arc::new((0..events).map(|event| Some(user(event))).collect::<StringArray>())),
        ("amount", Arc::new(Float64Array::from(vec![12.5; count]))),
        ("note", Arc::new(StringArray::from(vec![note.as_str(); count]))),
    ])?;
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema())?;
    writer.write(&batch)?;
    let body = writer.into_inner()?;
    let at = body.windows(column.len()).position(|window| window == column);
    Ok(("application/vnd.apache.arrow.stream", body, Numbers::Column(at.expect("the column was just encoded"))))
}
