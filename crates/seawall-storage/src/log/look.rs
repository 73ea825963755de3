//! Looking at a log's folder from outside: what it holds, without opening it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use seawall_base::Offset;
use seawall_base::error::Result;
use serde::Serialize;

use super::ownership::Epoch;
use super::{error, recover, segment};

/// What a log's folder holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// Ordinal of the oldest entry.
    pub first_entry: u64,
    /// Offset of its first row.
    pub first: Offset,
    /// What the segments take on the disk.
    pub bytes: u64,
}

/// What the log in `folder` holds; none when there is no log. Reads only, also while a process has it open.
pub fn look(folder: &Path) -> Result<Option<Kept>> {
    let Some(epoch) = Epoch::read(folder)? else { return Ok(None) };
    let path = segment::path(folder, epoch.first_segment);
    let mut header = [0; segment::HEADER_BYTES];
    let read = File::open(&path).and_then(|file| file.read_exact_at(&mut header, 0));
    read.map_err(|e| error::io("read", &path, e))?;
    let start = segment::Header::decode(&path, &header)?.start;
    let mut bytes = 0;
    for number in recover::list(folder)?.into_iter().filter(|number| *number >= epoch.first_segment) {
        let path = segment::path(folder, number);
        match path.metadata() {
            Ok(metadata) => bytes += metadata.len(),
            // Retired since the folder was listed.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(error::io("read", &path, e)),
        }
    }
    Ok(Some(Kept { first_entry: start.entry, first: Offset(start.first), bytes }))
}
