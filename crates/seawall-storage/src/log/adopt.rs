//! Making a folder of copied segments a log again, and cutting a log off at an entry.
//!
//! For restored copies that nobody has opened yet: the segments are whole, but the epoch file is that of another moment,
//! and entries behind a point in time may have to go. What is cut off becomes zeros, as if it had never been written.

use std::fs;
use std::path::Path;

use seawall_base::error::Result;
use seawall_base::{Offset, durable};

use super::frame::{HEADER_BYTES, Header, Kind};
use super::ownership::{Epoch, epoch_path};
use super::recover;
use super::{error, footer, segment};

/// Writes the epoch file that fits the segments in `folder`. Entries from ordinal `entries_max` on are cut off. Returns the
/// number of entries and the offset after the last row, as the segments' headers and frames say.
pub fn adopt(folder: &Path, entries_max: Option<u64>) -> Result<(u64, Offset)> {
    let mut owner = Epoch::read(folder)?.ok_or_else(|| error::missing(&epoch_path(folder), "it was not copied"))?;
    let mut numbers = recover::list(folder)?;
    let first = *numbers.first().ok_or_else(|| error::missing(&segment::path(folder, 0), "no segment was copied"))?;
    let first_header = header(folder, first)?;
    (owner.first_segment, owner.first_entry) = (first, first_header.start.entry);
    if let Some(entries_max) = entries_max {
        while numbers.len() > 1 {
            let last = numbers[numbers.len() - 1];
            if header(folder, last)?.start.entry < entries_max {
                break;
            }
            let path = segment::path(folder, last);
            durable::remove_file(&path).map_err(|e| error::io("remove", &path, e))?;
            numbers.pop();
        }
    }
    let last = numbers[numbers.len() - 1];
    owner.last_segment = last;
    // The last segment is sealed no more, and those behind it are gone.
    for number in recover::list_footers(folder)?.into_iter().filter(|number| *number >= last) {
        let path = footer::path(folder, number);
        durable::remove_file(&path).map_err(|e| error::io("remove", &path, e))?;
    }
    let end = cut(folder, &owner, last, entries_max.unwrap_or(u64::MAX))?;
    owner.write(folder).map_err(|e| error::io("write", &epoch_path(folder), e))?;
    Ok(end)
}

fn header(folder: &Path, number: u64) -> Result<segment::Header> {
    let path = segment::path(folder, number);
    let bytes = fs::read(&path).map_err(|e| error::io("read", &path, e))?;
    segment::Header::decode(&path, &bytes)
}

/// Zeros everything from the frame of entry `entries_max` on; where the segment then ends.
fn cut(folder: &Path, owner: &Epoch, number: u64, entries_max: u64) -> Result<(u64, Offset)> {
    let path = segment::path(folder, number);
    let mut bytes = fs::read(&path).map_err(|e| error::io("read", &path, e))?;
    let start = segment::Header::decode(&path, &bytes)?.start;
    let (mut at, mut entries, mut end) = (segment::HEADER_BYTES, start.entry, Offset(start.first));
    while let Some(frame) = bytes.get(at..).and_then(|rest| Header::read(owner.id, rest)) {
        let is_next = frame.kind == Kind::Entry && frame.entry == entries && entries < entries_max;
        if !is_next {
            break;
        }
        (entries, end) = (entries + 1, Offset(frame.first + u64::from(frame.rows)));
        at += HEADER_BYTES + frame.padded();
    }
    if entries == entries_max && bytes[at..].iter().any(|byte| *byte != 0) {
        bytes[at..].fill(0);
        durable::write_atomic(&path, &bytes).map_err(|e| error::io("write", &path, e))?;
    }
    Ok((entries, end))
}
