//! Reading entries from the disk, each checked again.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use seawall_base::error::Result;
use seawall_base::{LogEntry, Offset};

use super::frame::{HEADER_BYTES, Header, Kind, LogId};
use super::index::Place;
use super::writer::Shared;
use super::{READ_BYTES_MAX, error, segment};

/// Bytes read from a segment at once, unless a frame is larger.
const CHUNK_BYTES: usize = 1 << 20;

/// Entries that were read so far, up to the limits of one read.
struct Batch {
    entries: Vec<Arc<LogEntry>>,
    entries_max: usize,
    bytes: usize,
    /// The entry that comes next.
    next: u64,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.entries.len() >= self.entries_max || self.bytes >= READ_BYTES_MAX
    }
}

/// Up to `entries_max` durable entries from `from`, at least one.
pub(super) fn read_from_disk(shared: &Shared, id: LogId, from: u64, entries_max: usize) -> Result<Vec<Arc<LogEntry>>> {
    let mut batch = Batch { entries: Vec::new(), entries_max, bytes: 0, next: from };
    while !batch.is_full() {
        let (place, first) = {
            let index = shared.index.read();
            (index.locate(batch.next), index.first_entry())
        };
        match place {
            Some(place) if batch.next < place.segment_end => read_segment(shared, id, &place, &mut batch)?,
            _ if batch.next < first => return Err(error::retired(&shared.folder, batch.next, first)),
            _ => break,
        }
    }
    Ok(batch.entries)
}

/// Reads entries of one segment, to its end or until the batch is full.
fn read_segment(shared: &Shared, id: LogId, place: &Place, batch: &mut Batch) -> Result<()> {
    let path = segment::path(&shared.folder, place.number);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(cause) => {
            let first = shared.index.read().first_entry();
            return Err(match batch.next < first {
                // Retired since it was located.
                true => error::retired(&shared.folder, batch.next, first),
                false => error::io("open", &path, cause),
            });
        }
    };
    let mut chunks = Chunks { file: &file, start: 0, bytes: Bytes::new() };
    let (mut position, mut entry) = (place.position, place.entry);
    while entry < place.segment_end && !batch.is_full() {
        let head = chunks.get(position, HEADER_BYTES).map_err(|e| error::io("read", &path, e))?;
        let header = Header::read(id, &head).filter(|header| header.kind == Kind::Entry && header.entry == entry);
        let Some(header) = header else {
            return Err(error::damaged(&path, position, format!("the frame of entry {entry} is not what was written")));
        };
        let body = position + HEADER_BYTES as u64;
        if entry == batch.next {
            let payload = read_payload(&mut chunks, &path, &header, body)?;
            batch.bytes += payload.len();
            batch.next += 1;
            batch.entries.push(Arc::new(LogEntry { first: Offset(header.first), rows: header.rows, payload }));
        }
        position = body + header.padded() as u64;
        entry += 1;
    }
    Ok(())
}

fn read_payload(chunks: &mut Chunks<'_>, path: &Path, header: &Header, at: u64) -> Result<Bytes> {
    let payload = chunks.get(at, header.padded()).map_err(|e| error::io("read", path, e))?;
    if !header.matches(&payload) {
        let what = format!("the payload of entry {} is not what was written", header.entry);
        return Err(error::damaged(path, at, what));
    }
    Ok(payload.slice(..header.length as usize))
}

/// A file that is read forward, in pieces that many small frames share.
struct Chunks<'f> {
    file: &'f File,
    /// Position of `bytes` in the file.
    start: u64,
    bytes: Bytes,
}

impl Chunks<'_> {
    /// `length` bytes from `at` on.
    fn get(&mut self, at: u64, length: usize) -> io::Result<Bytes> {
        let within = |start: u64, bytes: &Bytes| {
            let from = usize::try_from(at.checked_sub(start)?).ok()?;
            let to = from.checked_add(length)?;
            (to <= bytes.len()).then(|| bytes.slice(from..to))
        };
        if let Some(found) = within(self.start, &self.bytes) {
            return Ok(found);
        }
        let mut bytes = vec![0; length.max(CHUNK_BYTES)];
        let mut filled = 0;
        while filled < bytes.len() {
            match self.file.read_at(&mut bytes[filled..], at + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        bytes.truncate(filled);
        (self.start, self.bytes) = (at, Bytes::from(bytes));
        within(self.start, &self.bytes).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}
