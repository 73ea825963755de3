//! Bodies that arrive compressed, unpacked within the limits of a request.

use std::io::Read;

use bytes::Bytes;
use seawall_base::Error;
use seawall_base::error::Result;

use super::{BODY_BYTES_MAX, Taken};

#[cfg(test)]
mod tests;

/// Window that a zstd stream may ask for, as a power of two: what `zstd -19` uses.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// Bytes that are unpacked between two looks at the limits.
const STEP_BYTES: usize = 64 << 10;

/// How a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// `gzip`.
    Gzip,
    /// `zstd`.
    Zstd,
}

impl Encoding {
    /// Reads a `Content-Encoding`.
    pub fn parse(text: &str) -> Result<Encoding> {
        match text.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Encoding::Identity),
            "gzip" | "x-gzip" => Ok(Encoding::Gzip),
            "zstd" => Ok(Encoding::Zstd),
            other => Err(Error::invalid("SW1206", format!("cannot read a body with the encoding {other:?}"))
                .hint("send gzip, zstd, or no Content-Encoding at all")),
        }
    }
}

/// Unpacks a body; `room` grows with it, before memory does.
pub fn decompress(encoding: Encoding, packed: Bytes, room: &mut Taken) -> Result<Bytes> {
    let broken = |error: std::io::Error| Error::invalid("SW0888", "the body cannot be unpacked").because(error);
    match encoding {
        Encoding::Identity => Ok(packed),
        Encoding::Gzip => unpack(flate2::read::MultiGzDecoder::new(&packed[..]), room),
        Encoding::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(&packed[..]).map_err(broken)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(broken)?;
            unpack(decoder, room)
        }
    }
}

fn unpack(mut reader: impl Read, room: &mut Taken) -> Result<Bytes> {
    let mut out = Vec::new();
    loop {
        room.grow(STEP_BYTES)?;
        let before = out.len();
        let step = reader.by_ref().take(STEP_BYTES as u64).read_to_end(&mut out);
        step.map_err(|error| Error::invalid("SW0888", "the body cannot be unpacked").because(error))?;
        if out.len() > BODY_BYTES_MAX {
            return Err(super::too_large());
        }
        if out.len() == before {
            return Ok(out.into());
        }
    }
}
