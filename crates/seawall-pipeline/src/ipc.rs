//! Arrow IPC streams from disk or wire, read within limits.
//!
//! The IPC reader trusts the lengths that a stream states: a damaged or hostile one makes it allocate without bound, or
//! panic. Here every message is measured against the bytes that are really there before the reader sees it, and a
//! panic that remains is an error.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::convert::fb_to_schema;
use arrow::ipc::reader::{read_dictionary, read_record_batch};
use arrow::ipc::{Message, root_as_message};
use bytes::Bytes;

/// Marks the beginning of a message.
const CONTINUATION: [u8; 4] = [0xff; 4];
/// Rows that a batch may state per byte of its body: a column of booleans has eight, and one of nulls has none at all.
const ROWS_PER_BYTE_MAX: i64 = 8;
/// Rows that a batch may state besides.
const ROWS_MAX: i64 = 1 << 20;

/// Reads every batch of a stream; the batches share its bytes where these are aligned.
pub fn read(bytes: Bytes) -> Result<Vec<RecordBatch>, ArrowError> {
    let bytes = &Buffer::from(bytes);
    let mut messages = Messages::default();
    let mut batches = Vec::new();
    let mut at = 0;
    while let Some((message, body)) = split(bytes, &mut at)? {
        batches.extend(messages.take(&message, &body)?);
    }
    match messages.schema {
        Some(_) => Ok(batches),
        None => Err(bad("the stream has no schema")),
    }
}

/// Reads a stream message by message: its schema, then dictionaries and batches.
#[derive(Debug, Default)]
pub struct Messages {
    schema: Option<SchemaRef>,
    dictionaries: HashMap<i64, ArrayRef>,
}

impl Messages {
    /// Reads the next message; the batch that it holds, if any.
    pub fn next(&mut self, header: &[u8], body: &Buffer) -> Result<Option<RecordBatch>, ArrowError> {
        let message = root_as_message(header).map_err(|error| bad(format!("a message is damaged: {error}")))?;
        self.take(&message, body)
    }

    fn take(&mut self, message: &Message<'_>, body: &Buffer) -> Result<Option<RecordBatch>, ArrowError> {
        if usize::try_from(message.bodyLength()).is_ok_and(|length| length > body.len()) || message.bodyLength() < 0 {
            return Err(bad("a body is shorter than it states"));
        }
        check_lengths(message)?;
        let read = || self.read(message, body);
        catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| {
            let said = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            Err(bad(format!("the reader gave up: {}", said.unwrap_or("no reason given"))))
        })
    }

    fn read(&mut self, message: &Message<'_>, body: &Buffer) -> Result<Option<RecordBatch>, ArrowError> {
        if let Some(schema) = message.header_as_schema() {
            if self.schema.is_some() {
                return Err(bad("the stream has a second schema"));
            }
            self.schema = Some(Arc::new(fb_to_schema(schema)));
            return Ok(None);
        }
        let schema = self.schema.clone().ok_or_else(|| bad("the stream does not begin with a schema"))?;
        let version = message.version();
        if let Some(dictionary) = message.header_as_dictionary_batch() {
            read_dictionary(body, dictionary, &schema, &mut self.dictionaries, &version)?;
            return Ok(None);
        }
        let Some(batch) = message.header_as_record_batch() else { return Ok(None) };
        read_record_batch(body, batch, schema, &self.dictionaries, None, &version).map(Some)
    }
}

fn bad(what: impl Into<String>) -> ArrowError {
    ArrowError::IpcError(what.into())
}

/// The message at `at`, header and body, and moves on behind it; none at the end of the stream.
fn split<'b>(bytes: &'b Buffer, at: &mut usize) -> Result<Option<(Message<'b>, Buffer)>, ArrowError> {
    let rest = &bytes[*at..];
    if rest.is_empty() {
        return Ok(None);
    }
    let length = rest.strip_prefix(&CONTINUATION).ok_or_else(|| bad("a message does not begin where it should"))?;
    let (length, after) = length.split_first_chunk::<4>().ok_or_else(|| bad("a message is cut off"))?;
    let length = u32::from_le_bytes(*length) as usize;
    if length == 0 {
        return Ok(None);
    }
    let (header, after) = after.split_at_checked(length).ok_or_else(|| bad("a message is cut off"))?;
    let message = root_as_message(header).map_err(|error| bad(format!("a message is damaged: {error}")))?;
    let body = usize::try_from(message.bodyLength()).map_err(|_| bad("a message states a negative length"))?;
    if after.len() < body {
        return Err(bad("a body is shorter than it states"));
    }
    let begin = *at + CONTINUATION.len() + 4;
    *at = begin + length + body;
    Ok(Some((message, bytes.slice_with_length(begin + length, body))))
}

/// Rows and buffers of a batch lie within its body, and nothing is compressed, because a compressed buffer states its
/// own length.
fn check_lengths(message: &Message<'_>) -> Result<(), ArrowError> {
    let batch = match (message.header_as_record_batch(), message.header_as_dictionary_batch()) {
        (Some(batch), _) => batch,
        (None, Some(dictionary)) => dictionary.data().ok_or_else(|| bad("a dictionary has no values"))?,
        (None, None) => return Ok(()),
    };
    if batch.compression().is_some() {
        return Err(bad("the stream is compressed inside; compress the whole request instead"));
    }
    let body = message.bodyLength();
    let rows_max = body.saturating_mul(ROWS_PER_BYTE_MAX).saturating_add(ROWS_MAX);
    let fits = |length: i64| (0..=rows_max).contains(&length);
    let nodes_fit = batch.nodes().is_none_or(|nodes| nodes.iter().all(|node| fits(node.length())));
    let inside = |offset: i64, length: i64| offset >= 0 && length >= 0 && offset.saturating_add(length) <= body;
    let buffers_fit = batch.buffers().is_none_or(|all| all.iter().all(|b| inside(b.offset(), b.length())));
    match fits(batch.length()) && nodes_fit && buffers_fit {
        true => Ok(()),
        false => Err(bad("a batch states more than its body holds")),
    }
}
