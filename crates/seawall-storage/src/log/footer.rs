//! Footers: what a sealed segment holds, in a file beside it, so that an opening need not read the segment.
//!
//! A footer is written once its segment is sealed, by a thread of its own, and never changed. It says nothing that the
//! segment does not say: when it is missing or damaged, the segment is read instead and the footer written again. All
//! numbers are little-endian:
//!
//! | at | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic `SWFOOTER` |
//! | 8 | 4 | format version, 1 |
//! | 12 | 4 | partition |
//! | 16 | 8 | the log's id |
//! | 24 | 8 | number of the segment |
//! | 32 | 8 | ordinal of its first entry |
//! | 40 | 8 | offset of its first row |
//! | 48 | 4 | header checksum of the entry before its first |
//! | 52 | 4 | header checksum of its last entry |
//! | 56 | 8 | ordinal after its last entry |
//! | 64 | 8 | offset after its last row |
//! | 72 | 8 | position after its last frame |
//! | 80 | 8 | epoch under which its last entry was written, or a later one under which it was sealed |
//! | 88 | 4 | every how many entries a position follows |
//! | 92 | 4 | how many positions follow |
//! | 96 | 8 each | positions of the frames of entries 0, n, 2n, ... of the segment |
//! | | 4 | CRC32C of everything before |

use std::path::{Path, PathBuf};

use seawall_base::{Partition, durable};
use tracing::warn;

use super::frame::{LogId, Tip, u32_at, u64_at};
use super::index::SPARSE_EVERY;

const MAGIC: [u8; 8] = *b"SWFOOTER";
const VERSION: u32 = 1;
const FIXED_BYTES: usize = 96;

/// What a sealed segment holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Footer {
    pub partition: Partition,
    pub id: LogId,
    pub number: u64,
    pub start: Tip,
    pub end: Tip,
    /// Position after the last frame.
    pub at: u64,
    pub epoch: u64,
    /// Position of every [`SPARSE_EVERY`]th frame.
    pub positions: Vec<u64>,
}

/// Path of the footer of segment `number`.
pub(super) fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("segment-{number:020}.footer"))
}

/// The number in a footer's file name; none for other files.
pub(super) fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("segment-")?.strip_suffix(".footer")?;
    if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

impl Footer {
    /// Reads the footer of segment `number`; none when it is missing or not usable, which is said.
    pub fn read(folder: &Path, number: u64) -> Option<Footer> {
        let path = path(folder, number);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return None,
            Err(error) => {
                warn!(file = %path.display(), %error, "cannot read a segment's footer, reading the segment");
                return None;
            }
        };
        let footer = Footer::decode(&bytes).filter(|footer| footer.number == number);
        if footer.is_none() {
            warn!(file = %path.display(), "a segment's footer is damaged, reading the segment");
        }
        footer
    }

    /// Writes the footer durably.
    pub fn write(&self, folder: &Path) -> std::io::Result<()> {
        durable::write_atomic(&path(folder, self.number), &self.encode())
    }

    /// Writes the footer; a failure is said and costs the next opening the time to read the segment.
    pub fn write_or_warn(&self, folder: &Path) {
        if let Err(error) = self.write(folder) {
            warn!(folder = %folder.display(), segment = self.number, %error, "cannot write a segment's footer");
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FIXED_BYTES + 8 * self.positions.len() + 4);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.partition.0.to_le_bytes());
        for number in [self.id.0, self.number, self.start.entry, self.start.first] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.start.previous.to_le_bytes());
        bytes.extend_from_slice(&self.end.previous.to_le_bytes());
        for number in [self.end.entry, self.end.first, self.at, self.epoch] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        let every = u32::try_from(SPARSE_EVERY).expect("SPARSE_EVERY is a small number");
        let count = u32::try_from(self.positions.len()).expect("a segment of at most 4 GiB has fewer frames");
        bytes.extend_from_slice(&every.to_le_bytes());
        bytes.extend_from_slice(&count.to_le_bytes());
        for position in &self.positions {
            bytes.extend_from_slice(&position.to_le_bytes());
        }
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// None unless every byte is as it was written, by a program that keeps positions as this one does.
    pub(super) fn decode(bytes: &[u8]) -> Option<Footer> {
        let (content, crc) = bytes.split_last_chunk::<4>()?;
        if content.len() < FIXED_BYTES || crc32c::crc32c(content) != u32::from_le_bytes(*crc) {
            return None;
        }
        let known = content[..8] == MAGIC
            && u32_at(content, 8) == VERSION
            && u64::from(u32_at(content, 88)) == SPARSE_EVERY
            && content.len() == FIXED_BYTES + 8 * u32_at(content, 92) as usize;
        if !known {
            return None;
        }
        let start = Tip { entry: u64_at(content, 32), first: u64_at(content, 40), previous: u32_at(content, 48) };
        let end = Tip { entry: u64_at(content, 56), first: u64_at(content, 64), previous: u32_at(content, 52) };
        let positions: Vec<u64> = content[FIXED_BYTES..].chunks_exact(8).map(|chunk| u64_at(chunk, 0)).collect();
        let entries = end.entry.checked_sub(start.entry)?;
        if positions.len() as u64 != entries.div_ceil(SPARSE_EVERY) {
            return None;
        }
        Some(Footer {
            partition: Partition(u32_at(content, 12)),
            id: LogId(u64_at(content, 16)),
            number: u64_at(content, 24),
            start,
            end,
            at: u64_at(content, 72),
            epoch: u64_at(content, 80),
            positions,
        })
    }
}
