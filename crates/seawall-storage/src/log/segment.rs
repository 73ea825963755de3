//! Segments: the files of a log, preallocated with zeros and filled with frames from byte 64 on.
//!
//! A segment begins with a header of 64 bytes, little-endian:
//!
//! | at | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic `SWSEGMNT` |
//! | 8 | 4 | format version, 1 |
//! | 12 | 4 | partition |
//! | 16 | 8 | the log's id |
//! | 24 | 8 | number of the segment |
//! | 32 | 8 | length of the file in bytes |
//! | 40 | 8 | ordinal of the first entry |
//! | 48 | 8 | offset of its first row |
//! | 56 | 4 | header checksum of the entry before: the end of the segment before |
//! | 60 | 4 | CRC32C of bytes 0 to 60 |
//!
//! A segment gets its name only when its zeros and its header are durable, and only after everything in the segment
//! before was synced. So the header is also the seal of the segment before: it repeats where that one must end.

use std::path::{Path, PathBuf};

use seawall_base::error::Result;
use seawall_base::{Partition, durable};

use super::error;
use super::frame::{HEADER_BYTES as FRAME_HEADER_BYTES, LogId, Tip, frame_bytes, u32_at, u64_at};

/// Length of a segment's header; the first frame begins here.
pub(super) const HEADER_BYTES: usize = 64;

const MAGIC: [u8; 8] = *b"SWSEGMNT";
const VERSION: u32 = 1;
const SPARE: &str = "spare.tmp";
const PAGE_BYTES: u64 = 4_096;

/// What a segment's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub partition: Partition,
    pub id: LogId,
    pub number: u64,
    pub length: u64,
    pub start: Tip,
}

impl Header {
    /// The header as it stands in the file.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.partition.0.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.id.0.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.number.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.length.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.start.entry.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.start.first.to_le_bytes());
        bytes[56..60].copy_from_slice(&self.start.previous.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads the header of the segment in `path`, whose content is `bytes`.
    pub fn decode(path: &Path, bytes: &[u8]) -> Result<Header> {
        let bad = |at: u64, what: &str| Err(error::damaged(path, at, what));
        let Some(header) = bytes.get(..HEADER_BYTES) else {
            return bad(bytes.len() as u64, "the file ends within its header");
        };
        if header[..8] != MAGIC || crc32c::crc32c(&header[..60]) != u32_at(header, 60) {
            return bad(0, "the segment header is not what was written");
        }
        if u32_at(header, 8) != VERSION {
            return Err(error::other_version(path, u32_at(header, 8)));
        }
        Ok(Header {
            partition: Partition(u32_at(header, 12)),
            id: LogId(u64_at(header, 16)),
            number: u64_at(header, 24),
            length: u64_at(header, 32),
            start: Tip { entry: u64_at(header, 40), first: u64_at(header, 48), previous: u32_at(header, 56) },
        })
    }
}

/// Path of segment `number`.
pub(super) fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("segment-{number:020}.log"))
}

/// The number in a segment's file name; none for other files.
pub(super) fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("segment-")?.strip_suffix(".log")?;
    if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// Path of the file that is being prepared as the next segment.
pub(super) fn spare_path(folder: &Path) -> PathBuf {
    folder.join(SPARE)
}

/// Length of a segment that must take a payload of `payload` bytes: `usual`, or more when that does not fit.
pub(super) fn length_for(usual: u64, payload: usize) -> u64 {
    let needed = (HEADER_BYTES + frame_bytes(payload) + FRAME_HEADER_BYTES) as u64;
    usual.max(needed.next_multiple_of(PAGE_BYTES))
}

/// Whether a frame of `frame` bytes fits at `at` into a segment of `length` bytes, with room for the end mark.
pub(super) fn fits(length: u64, at: u64, frame: usize) -> bool {
    at + (frame + FRAME_HEADER_BYTES) as u64 <= length
}

/// Where the copy of an end mark at `at` stands: at least a page further, so that one bad sector never takes both the
/// last frame and every mark behind it. None near the end of a segment.
pub(super) fn mark_copy_at(length: u64, at: u64) -> Option<u64> {
    let copy = (at + PAGE_BYTES).next_multiple_of(PAGE_BYTES);
    (copy + FRAME_HEADER_BYTES as u64 <= length).then_some(copy)
}

/// Gives a prepared file of zeros its header and its name, durably.
pub(super) fn install(spare: &std::fs::File, folder: &Path, header: &Header) -> std::io::Result<()> {
    use std::os::unix::fs::FileExt;
    spare.write_all_at(&header.encode(), 0)?;
    durable::rename_synced(&spare_path(folder), &path(folder, header.number))
}
