//! Taking events in from the wire, the same for HTTP and Flight: room, decompression, decoding, counters.
//!
//! A request takes room for its bytes before they are read, and gives it back when it was answered. When there is
//! none, it is refused before memory grows.

use seawall_base::Hash;
use seawall_base::error::Result;
use seawall_pipeline::idempotency::RequestKey;

mod compressed;
mod counters;
mod decode;
mod room;
mod shares;

pub use compressed::{Encoding, decompress};
pub use counters::{Counters, CutOff};
pub use decode::{ARROW_STREAM, decode, rows_of};
pub(crate) use room::too_large;
pub use room::{Room, Taken};

/// The key of a request with its unpacked body: the same bytes as another type are another body.
pub fn request_key(key: &str, content_type: &str, body: &[u8]) -> Result<RequestKey> {
    RequestKey::new(key, Hash::of_parts([content_type.as_bytes(), body]))
}

/// Bytes of one request after decompression.
pub const BODY_BYTES_MAX: usize = 32 << 20;
/// Bytes of all requests that are being taken in, decompressed, [`REQUEST_BYTES`] for each included.
pub const INFLIGHT_BYTES_MAX: usize = 256 << 20;
/// What a request takes besides its body: buffers, tasks, the answer.
pub const REQUEST_BYTES: usize = 16 << 10;
/// Bodies up to this length are decoded where they arrive, larger ones on the blocking pool.
pub const INLINE_BYTES_MAX: usize = 64 << 10;
