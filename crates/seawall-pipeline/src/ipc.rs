//! Arrow IPC streams from disk or wire, read within limits.
//!
//! The IPC reader trusts the lengths that a stream states: a damaged or hostile one makes it allocate without bound, or
//! panic. Here every message is measured against the bytes that are really there before the reader sees it, and a
//! panic that remains is an error.

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::{Message, root_as_message};

/// Marks the beginning of a message.
const CONTINUATION: [u8; 4] = [0xff; 4];
/// Rows that a batch may state per byte of its body: a column of booleans has eight, and one of nulls has none at all.
const ROWS_PER_BYTE_MAX: i64 = 8;
/// Rows that a batch may state besides.
const ROWS_MAX: i64 = 1 << 20;

/// Reads every batch of a stream.
pub fn read(bytes: &[u8]) -> Result<Vec<RecordBatch>, ArrowError> {
    measure(bytes)?;
    let read = || StreamReader::try_new(bytes, None)?.collect();
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(bad(format!("the reader gave up: {}", said.unwrap_or("no reason given"))))
    })
}

fn bad(what: impl Into<String>) -> ArrowError {
    ArrowError::IpcError(what.into())
}

/// Walks the messages without reading their bodies.
fn measure(mut rest: &[u8]) -> Result<(), ArrowError> {
    while !rest.is_empty() {
        let length = rest.strip_prefix(&CONTINUATION).ok_or_else(|| bad("a message does not begin where it should"))?;
        let (length, after) = length.split_first_chunk::<4>().ok_or_else(|| bad("a message is cut off"))?;
        let length = u32::from_le_bytes(*length) as usize;
        if length == 0 {
            return Ok(());
        }
        let (metadata, after) = after.split_at_checked(length).ok_or_else(|| bad("a message is cut off"))?;
        let message = root_as_message(metadata).map_err(|error| bad(format!("a message is damaged: {error}")))?;
        let body = usize::try_from(message.bodyLength()).map_err(|_| bad("a message states a negative length"))?;
        let (_, after) = after.split_at_checked(body).ok_or_else(|| bad("a body is shorter than it states"))?;
        check_lengths(&message)?;
        rest = after;
    }
    Ok(())
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
