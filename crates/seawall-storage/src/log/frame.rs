//! Frames: how an entry lies in a segment.
//!
//! A frame is a header of 56 bytes, the payload, and zeros up to the next multiple of 8. All numbers are little-endian.
//!
//! | at | bytes | field |
//! |---|---|---|
//! | 0 | 4 | magic `SWFR` |
//! | 4 | 4 | kind: 1 entry, 2 end mark |
//! | 8 | 4 | payload length in bytes, without padding; 0 in a mark |
//! | 12 | 4 | CRC32C of payload and padding |
//! | 16 | 8 | epoch of the writer |
//! | 24 | 8 | ordinal of the entry; in a mark, of the next one |
//! | 32 | 8 | offset of the first row; in a mark, of the next one |
//! | 40 | 4 | rows; 0 in a mark |
//! | 44 | 4 | how many entries of the same group lie before this one; 0 in a mark |
//! | 48 | 4 | header checksum of the entry before: the chain; 0 before the first entry of a log |
//! | 52 | 4 | header checksum: CRC32C of the log's id (8 bytes) and of bytes 0 to 52 |
//!
//! The log's id is random, so that no payload from outside can hold bytes that pass for a frame of this log.

use seawall_base::sabotage::{self, Bug};

/// Length of a frame's header, and of a whole end mark.
pub(super) const HEADER_BYTES: usize = 56;
/// Frames begin at multiples of this.
pub(super) const ALIGN: usize = 8;

const MAGIC: [u8; 4] = *b"SWFR";
const KIND_ENTRY: u32 = 1;
const KIND_MARK: u32 = 2;

/// Random identity of a log, mixed into every header checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LogId(pub u64);

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub kind: Kind,
    pub length: u32,
    pub payload_crc: u32,
    pub epoch: u64,
    pub entry: u64,
    pub first: u64,
    pub rows: u32,
    pub group_back: u32,
    pub previous: u32,
    pub crc: u32,
}

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// An entry.
    Entry,
    /// The end mark: everything before it was synced before it was written.
    Mark,
}

/// Where the next frame belongs: what a header must agree with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tip {
    /// Ordinal of the next entry.
    pub entry: u64,
    /// Offset of its first row.
    pub first: u64,
    /// Header checksum of the entry before.
    pub previous: u32,
}

impl Tip {
    /// The tip of an empty log.
    pub const START: Tip = Tip { entry: 0, first: 0, previous: 0 };

    /// The tip after an entry with this header; none when its numbers overflow.
    pub fn after(header: &Header) -> Option<Tip> {
        let entry = header.entry.checked_add(1)?;
        let first = header.first.checked_add(u64::from(header.rows))?;
        Some(Tip { entry, first, previous: header.crc })
    }
}

impl Header {
    /// Reads a header at the beginning of `bytes`; none unless magic and header checksum are right.
    pub fn read(id: LogId, bytes: &[u8]) -> Option<Header> {
        let bytes = bytes.get(..HEADER_BYTES)?;
        if bytes[..4] != MAGIC || header_crc(id, bytes) != u32_at(bytes, 52) {
            return None;
        }
        let kind = match u32_at(bytes, 4) {
            KIND_ENTRY => Kind::Entry,
            KIND_MARK => Kind::Mark,
            _ => return None,
        };
        Some(Header {
            kind,
            length: u32_at(bytes, 8),
            payload_crc: u32_at(bytes, 12),
            epoch: u64_at(bytes, 16),
            entry: u64_at(bytes, 24),
            first: u64_at(bytes, 32),
            rows: u32_at(bytes, 40),
            group_back: u32_at(bytes, 44),
            previous: u32_at(bytes, 48),
            crc: u32_at(bytes, 52),
        })
    }

    /// Length of payload and padding.
    pub fn padded(&self) -> usize {
        padded(self.length as usize)
    }

    /// Whether `padded_payload` is what was written.
    pub fn matches(&self, padded_payload: &[u8]) -> bool {
        let unchanged = crc32c::crc32c(padded_payload) == self.payload_crc || sabotage::on(Bug::IgnoreChecksum);
        padded_payload.len() == self.padded() && unchanged
    }

    /// Whether the frame belongs at `tip`.
    pub fn follows(&self, tip: &Tip) -> bool {
        self.entry == tip.entry && self.first == tip.first && self.previous == tip.previous
    }

    /// Ordinal of the first entry of the group. Everything before it was synced before this frame was written.
    pub fn group_first(&self) -> u64 {
        self.entry.saturating_sub(u64::from(self.group_back))
    }
}

/// Length of a frame with a payload of `length` bytes.
pub(super) fn frame_bytes(length: usize) -> usize {
    HEADER_BYTES + padded(length)
}

/// Appends the frame of an entry at `tip` to `buffer`; returns the tip after it.
pub(super) fn put_entry(
    buffer: &mut Vec<u8>,
    id: LogId,
    epoch: u64,
    tip: &Tip,
    group_back: u32,
    rows: u32,
    payload: &[u8],
) -> Tip {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; HEADER_BYTES]);
    buffer.extend_from_slice(payload);
    buffer.resize(start + frame_bytes(payload.len()), 0);
    let length = u32::try_from(payload.len()).expect("append refuses payloads over PAYLOAD_BYTES_MAX");
    let (head, body) = buffer[start..].split_at_mut(HEADER_BYTES);
    let crc = fill_header(head, id, KIND_ENTRY, length, crc32c::crc32c(body), epoch, tip, group_back, rows);
    Tip { entry: tip.entry + 1, first: tip.first + u64::from(rows), previous: crc }
}

/// The end mark at `tip`.
pub(super) fn mark(id: LogId, epoch: u64, tip: &Tip) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    fill_header(&mut bytes, id, KIND_MARK, 0, 0, epoch, tip, 0, 0);
    bytes
}

#[allow(clippy::too_many_arguments, reason = "one parameter per field of the format")]
fn fill_header(
    head: &mut [u8],
    id: LogId,
    kind: u32,
    length: u32,
    payload_crc: u32,
    epoch: u64,
    tip: &Tip,
    group_back: u32,
    rows: u32,
) -> u32 {
    head[..4].copy_from_slice(&MAGIC);
    head[4..8].copy_from_slice(&kind.to_le_bytes());
    head[8..12].copy_from_slice(&length.to_le_bytes());
    head[12..16].copy_from_slice(&payload_crc.to_le_bytes());
    head[16..24].copy_from_slice(&epoch.to_le_bytes());
    head[24..32].copy_from_slice(&tip.entry.to_le_bytes());
    head[32..40].copy_from_slice(&tip.first.to_le_bytes());
    head[40..44].copy_from_slice(&rows.to_le_bytes());
    head[44..48].copy_from_slice(&group_back.to_le_bytes());
    head[48..52].copy_from_slice(&tip.previous.to_le_bytes());
    let crc = header_crc(id, head);
    head[52..56].copy_from_slice(&crc.to_le_bytes());
    crc
}

fn header_crc(id: LogId, header: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&id.0.to_le_bytes()), &header[..52])
}

/// The first header at an aligned position from `from` on that proves that entry `entry` had been synced: one whose
/// group began after it. Returns its position.
pub(super) fn find_later_group(id: LogId, bytes: &[u8], from: usize, entry: u64) -> Option<usize> {
    let mut at = from.next_multiple_of(ALIGN);
    while at + HEADER_BYTES <= bytes.len() {
        if bytes[at..at + 4] == MAGIC
            && let Some(header) = Header::read(id, &bytes[at..])
            && header.group_first() > entry
        {
            return Some(at);
        }
        at += ALIGN;
    }
    None
}

fn padded(length: usize) -> usize {
    length.next_multiple_of(ALIGN)
}

/// The little-endian number at `at`; the caller has checked the length.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// The little-endian number at `at`; the caller has checked the length.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
