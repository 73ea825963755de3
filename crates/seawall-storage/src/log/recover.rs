//! Reading a log's folder back after any end: what is whole, what is torn, what is damaged.
//!
//! Every segment's header and length are checked. A sealed segment whose footer fits its header and the next one's is
//! not read any further: whoever reads its entries checks them. The others are scanned in order, every frame checked. A
//! scan ends at the first place that is not the next frame.
//! - In a sealed segment that place must be where the next segment's header says that the segment ends.
//! - In the last segment, what follows decides. A header of a later group (or an end mark) proves that the unreadable
//!   frame had been synced, hence possibly acknowledged: the log is damaged and stays untouched. Without such proof the
//!   place is the torn write of a group that nobody was told about: it is zeroed.
//!
//! The last group without proof is written again before it is synced: when a sync failed earlier, the kernel may hold
//! its pages as clean although the disk never got them, and a sync alone would succeed without writing.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use seawall_base::error::Result;
use seawall_base::sabotage::{self, Bug};
use seawall_base::{LogEntry, Offset, durable};
use tracing::warn;

use super::error;
use super::footer::{self, Footer};
use super::frame::{self, HEADER_BYTES, Header, Kind, Tip};
use super::index::Index;
use super::ownership::Epoch;
use super::segment;

/// What a folder held, ready for the writer.
#[derive(Debug)]
pub(super) struct Recovered {
    pub index: Index,
    pub tip: Tip,
    pub last: OpenSegment,
    /// Footers of sealed segments that had none which could be used.
    pub footers: Vec<Footer>,
}

/// The segment that takes further frames.
#[derive(Debug)]
pub(super) struct OpenSegment {
    pub file: File,
    pub number: u64,
    pub length: u64,
    /// Where the next frame goes.
    pub at: u64,
}

/// Where a scan ended and what it knows.
pub(super) struct Scan {
    pub tip: Tip,
    pub at: usize,
    epoch: u64,
    marked: bool,
    /// Position of the first frame of the last group.
    last_group_at: usize,
}

impl Scan {
    /// The end of a sealed segment, as its footer says.
    fn sealed(footer: &Footer) -> Scan {
        let at = usize::try_from(footer.at).unwrap_or(usize::MAX);
        Scan { tip: footer.end, at, epoch: footer.epoch, marked: false, last_group_at: at }
    }

    fn footer(&self, owner: &Epoch, number: u64, start: Tip, positions: Vec<u64>) -> Footer {
        Footer {
            partition: owner.partition,
            id: owner.id,
            number,
            start,
            end: self.tip,
            at: self.at as u64,
            epoch: self.epoch,
            positions,
        }
    }
}

/// Recovers the log in `folder`, whose segments are `numbers` (ordered). Writes only to the last segment's torn tail.
pub(super) fn recover(folder: &Path, owner: &Epoch, numbers: &[u64], mut index: Index) -> Result<Recovered> {
    check_numbers(folder, owner, numbers)?;
    let headers = read_headers(folder, owner, numbers)?;
    let mut footers = Vec::new();
    let mut end: Option<(PathBuf, Scan)> = None;
    for (i, header) in headers.iter().enumerate() {
        let path = segment::path(folder, header.number);
        let epoch = check_start(&path, owner, header, end.as_ref())?;
        let Some(next) = headers.get(i + 1) else {
            let bytes = read_segment(&path)?;
            index.begin_segment(header.number, header.length, header.start);
            let scan = scan(&path, owner, &bytes, header.start, epoch, &mut index)?;
            let last = finish(&path, owner, header.number, &bytes, &scan)?;
            return Ok(Recovered { index, tip: scan.tip, last, footers });
        };
        if let Some(footer) = usable_footer(folder, owner, header, next, epoch) {
            end = Some((path, Scan::sealed(&footer)));
            index.add_sealed(header.length, footer);
            continue;
        }
        let bytes = read_segment(&path)?;
        index.begin_segment(header.number, header.length, header.start);
        let scan = scan(&path, owner, &bytes, header.start, epoch, &mut index)?;
        footers.extend(index.newest().map(|(start, positions)| scan.footer(owner, header.number, start, positions)));
        end = Some((path, scan));
    }
    Err(error::missing(&segment::path(folder, owner.first_segment), "the log has no segment at all"))
}

fn read_headers(folder: &Path, owner: &Epoch, numbers: &[u64]) -> Result<Vec<segment::Header>> {
    let mut headers = Vec::with_capacity(numbers.len());
    for number in numbers {
        let path = segment::path(folder, *number);
        let failed = |e| error::io("read", &path, e);
        let file = File::open(&path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let mut bytes = vec![0; length.min(segment::HEADER_BYTES as u64) as usize];
        file.read_exact_at(&mut bytes, 0).map_err(failed)?;
        headers.push(check_header(&path, owner, *number, &bytes, length)?);
    }
    Ok(headers)
}

fn read_segment(path: &Path) -> Result<Bytes> {
    fs::read(path).map(Bytes::from).map_err(|e| error::io("read", path, e))
}

/// The footer of a sealed segment, when it says what the headers of the segment and of the next one say.
fn usable_footer(
    folder: &Path,
    owner: &Epoch,
    header: &segment::Header,
    next: &segment::Header,
    epoch: u64,
) -> Option<Footer> {
    let footer = Footer::read(folder, header.number)?;
    let fits = footer.id == owner.id
        && footer.partition == owner.partition
        && (footer.start, footer.end) == (header.start, next.start)
        && (epoch..=owner.epoch).contains(&footer.epoch);
    if !fits {
        warn!(folder = %folder.display(), segment = header.number, "a footer is of another segment, reading the segment");
    }
    fits.then_some(footer)
}

/// The numbers of the segments in `folder`, ordered.
pub(super) fn list(folder: &Path) -> Result<Vec<u64>> {
    list_named(folder, segment::number_of)
}

/// The numbers of the segments that have a footer in `folder`, ordered.
pub(super) fn list_footers(folder: &Path) -> Result<Vec<u64>> {
    list_named(folder, footer::number_of)
}

fn list_named(folder: &Path, number_of: fn(&str) -> Option<u64>) -> Result<Vec<u64>> {
    let failed = |e| error::io("list", folder, e);
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        numbers.extend(name.to_str().and_then(number_of));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

pub(super) fn check_numbers(folder: &Path, owner: &Epoch, numbers: &[u64]) -> Result<()> {
    let mut expected = owner.first_segment;
    for number in numbers {
        if *number != expected {
            return Err(error::missing(&segment::path(folder, expected), "later segments exist"));
        }
        expected += 1;
    }
    if expected <= owner.last_segment {
        return Err(error::missing(
            &segment::path(folder, expected),
            "the epoch file names a later segment as the last",
        ));
    }
    Ok(())
}

pub(super) fn check_header(
    path: &Path,
    owner: &Epoch,
    number: u64,
    bytes: &[u8],
    length: u64,
) -> Result<segment::Header> {
    let header = segment::Header::decode(path, bytes)?;
    if header.partition != owner.partition {
        return Err(error::other_partition(path, header.partition, owner.partition));
    }
    if header.id != owner.id {
        return Err(error::damaged(path, 16, "the segment belongs to another log"));
    }
    if header.number != number {
        return Err(error::damaged(path, 24, format!("the segment was written as number {}", header.number)));
    }
    if header.length != length {
        let what = format!("the file has {length} bytes, but was created with {}", header.length);
        return Err(error::damaged(path, header.length.min(length), what));
    }
    Ok(header)
}

/// Checks that a segment begins where the one before it ends; returns the last epoch seen.
fn check_start(path: &Path, owner: &Epoch, header: &segment::Header, before: Option<&(PathBuf, Scan)>) -> Result<u64> {
    match before {
        Some((_, scan)) if scan.tip == header.start => Ok(scan.epoch),
        Some((sealed, scan)) => {
            let what = format!(
                "expected entry {} here; the segment was sealed with entry {} as its end",
                scan.tip.entry, header.start.entry
            );
            Err(error::damaged(sealed, scan.at as u64, what))
        }
        None if header.start.entry != owner.first_entry => {
            Err(error::damaged(path, 40, format!("the log's first entry should be {}", owner.first_entry)))
        }
        None => Ok(0),
    }
}

/// Reads frames from byte 64 on until something is not the next frame.
pub(super) fn scan(
    path: &Path,
    owner: &Epoch,
    bytes: &Bytes,
    start: Tip,
    epoch: u64,
    index: &mut Index,
) -> Result<Scan> {
    let first = segment::HEADER_BYTES;
    let mut scan = Scan { tip: start, at: first, epoch, marked: false, last_group_at: first };
    while let Some(header) = bytes.get(scan.at..).and_then(|rest| Header::read(owner.id, rest)) {
        if header.kind == Kind::Mark && header.entry < scan.tip.entry {
            // The copy of an earlier mark, which stood further behind and was not overwritten yet.
            break;
        }
        if !header.follows(&scan.tip) || header.epoch < scan.epoch || header.epoch > owner.epoch {
            let what = format!(
                "a frame of entry {} (offset {}, epoch {}) stands where entry {} (offset {}) belongs",
                header.entry, header.first, header.epoch, scan.tip.entry, scan.tip.first
            );
            return Err(error::damaged(path, scan.at as u64, what));
        }
        if header.kind == Kind::Mark {
            scan.marked = true;
            break;
        }
        let body = scan.at + HEADER_BYTES;
        let Some(padded) = bytes.get(body..body + header.padded()).filter(|padded| header.matches(padded)) else {
            break;
        };
        let Some(tip) = Tip::after(&header) else { break };
        let is_last = || {
            let behind = Header::read(owner.id, &bytes[body + header.padded()..]);
            behind.is_none_or(|behind| behind.kind == Kind::Mark)
        };
        if sabotage::on(Bug::TruncateWholeTail) && is_last() {
            break;
        }
        if header.group_back == 0 {
            scan.last_group_at = scan.at;
        }
        // Copied out of the file's buffer, which would otherwise live as long as the cache holds any entry of it.
        let payload = Bytes::copy_from_slice(&padded[..header.length as usize]);
        index.push(scan.at as u64, Arc::new(LogEntry { first: Offset(header.first), rows: header.rows, payload }));
        scan.epoch = header.epoch;
        scan.tip = tip;
        scan.at = body + header.padded();
    }
    Ok(scan)
}

/// Decides what stands behind the last frame of the last segment, and makes the segment whole and durable.
fn finish(path: &Path, owner: &Epoch, number: u64, bytes: &[u8], scan: &Scan) -> Result<OpenSegment> {
    if let Some(proof) = frame::find_later_group(owner.id, bytes, scan.at + frame::ALIGN, scan.tip.entry) {
        let what = format!(
            "the frame of entry {} is not what was written, and byte {proof} shows that it had been made durable",
            scan.tip.entry
        );
        return Err(error::damaged(path, scan.at as u64, what));
    }
    let failed = |e| error::io("repair the tail of", path, e);
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(failed)?;
    if !scan.marked {
        let last_group = &bytes[scan.last_group_at..scan.at];
        file.write_all_at(last_group, scan.last_group_at as u64).map_err(failed)?;
    }
    let clean = if scan.marked { scan.at + HEADER_BYTES } else { scan.at };
    let stale = bytes[clean..].iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    if stale > 0 {
        // The copy of an end mark, which the writer makes anew, or a torn write.
        if !scan.marked {
            warn!(file = %path.display(), at = clean, bytes = stale, "log ended within a write, truncated");
        }
        file.write_all_at(&vec![0; stale], clean as u64).map_err(failed)?;
    }
    durable::sync_all(&file).map_err(failed)?;
    durable::sync_parent(path).map_err(failed)?;
    Ok(OpenSegment { file, number, length: bytes.len() as u64, at: scan.at as u64 })
}
