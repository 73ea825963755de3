//! The body of a request that carries events: read within limits of size and time, and counted when it is cut off.

use std::pin::pin;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::{HeaderMap, header};
use bytes::BytesMut;
use futures::{FutureExt, StreamExt};
use seawall_base::error::Result;
use seawall_base::{Error, ErrorKind};
use tokio::time::timeout;

use crate::ingest::{BODY_BYTES_MAX, Counters, CutOff, Taken, too_large};

#[cfg(test)]
mod tests;

/// How long a body may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Between two pieces of it.
    pub pause_max: Duration,
    /// Altogether.
    pub body_time_max: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience { pause_max: Duration::from_secs(10), body_time_max: Duration::from_secs(60) }
    }
}

/// Bodies up to this length are read to their end before they are refused, so that the refusal can be read.
const DRAINED_BYTES_MAX: u64 = 64 << 10;
/// How long that may take.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(1);

/// The length that a request states; none when it comes in chunks.
pub(super) fn stated_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads a body. `room` covers the stated length already, and grows with what comes beyond it.
pub(super) async fn read(
    body: Body,
    stated: Option<u64>,
    patience: Patience,
    room: &mut Taken,
    counters: &Counters,
) -> Result<Bytes> {
    // A handler that is dropped was left alone by its client.
    let unread = Unread(Some(counters));
    let mut reading = pin!(read_all(body.into_data_stream(), stated, patience.pause_max, room));
    // What is there already costs no timer.
    let read = match reading.as_mut().now_or_never() {
        Some(read) => read,
        None => timeout(patience.body_time_max, reading).await.unwrap_or_else(|_| Err(too_slow())),
    };
    unread.done();
    read.map_err(|(why, error)| {
        counters.cut_off(why);
        error
    })
}

/// Reads what a small refused request still sends; a large one is cut off.
pub(super) async fn drain(body: Body, stated: Option<u64>) {
    if stated.is_some_and(|length| length <= DRAINED_BYTES_MAX) {
        let mut chunks = body.into_data_stream();
        let rest = async { while let Some(Ok(_)) = chunks.next().await {} };
        // Who is too slow for that does not learn why it was refused.
        let _ = timeout(DRAIN_TIME_MAX, rest).await;
    }
}

async fn read_all(
    mut chunks: BodyDataStream,
    stated: Option<u64>,
    pause_max: Duration,
    room: &mut Taken,
) -> std::result::Result<Bytes, (CutOff, Error)> {
    let covered = stated.map_or(0, |length| usize::try_from(length).unwrap_or(usize::MAX));
    let Some(first) = next(&mut chunks, pause_max).await? else { return Ok(Bytes::new()) };
    check_size(first.len(), covered, first.len(), room)?;
    if first.len() == covered {
        return Ok(first);
    }
    let mut whole = BytesMut::with_capacity(covered.max(first.len()));
    whole.extend_from_slice(&first);
    while let Some(chunk) = next(&mut chunks, pause_max).await? {
        check_size(whole.len() + chunk.len(), covered, chunk.len(), room)?;
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.freeze())
}

/// The next chunk.
async fn next(chunks: &mut BodyDataStream, pause_max: Duration) -> std::result::Result<Option<Bytes>, (CutOff, Error)> {
    let chunk = match chunks.next().now_or_never() {
        Some(chunk) => chunk,
        None => timeout(pause_max, chunks.next()).await.map_err(|_| too_slow())?,
    };
    chunk.transpose().map_err(|error| {
        let message = "the connection ended before the body did";
        (CutOff::Broken, Error::invalid("SW1205", message).because(error).hint("nothing of this request was kept"))
    })
}

fn too_slow() -> (CutOff, Error) {
    let hint = "send smaller requests, or compress them; nothing of this request was kept";
    (CutOff::Slow, Error::new(ErrorKind::Unavailable, "SW1202", "the body came too slowly").hint(hint))
}

fn check_size(
    length: usize,
    covered: usize,
    chunk: usize,
    room: &mut Taken,
) -> std::result::Result<(), (CutOff, Error)> {
    if length > BODY_BYTES_MAX {
        return Err((CutOff::Oversized, too_large()));
    }
    if length <= covered {
        return Ok(());
    }
    room.grow(chunk).map_err(|error| (CutOff::Busy, error))
}

/// Counts a body whose reader went away in the middle.
struct Unread<'c>(Option<&'c Counters>);

impl Unread<'_> {
    fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for Unread<'_> {
    fn drop(&mut self) {
        if let Some(counters) = self.0 {
            counters.cut_off(CutOff::Broken);
        }
    }
}
