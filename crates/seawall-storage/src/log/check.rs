//! Reading a log's folder without owning it: is everything that was acknowledged still what was written?
//!
//! The same checks as those of an opening, but nothing is changed, every segment is looked at on its own, and the folder
//! may belong to a running server: segments that it adds or retires meanwhile are no damage, nor is a group that it is
//! just writing. A torn tail is none either, because nobody was told about it; the next opening takes it away.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use seawall_base::{Checked, Damage, Error, ErrorKind, Finding, LogEntry, Offset, Result, Severity};

use super::frame::{self, Tip};
use super::index::Index;
use super::ownership::Epoch;
use super::recover;
use super::{error, segment};

/// What every finding is about.
const OBJECT: &str = "log";
/// How often the last segment is read again while a writer moves its end.
const READINGS_MAX: usize = 20;
/// Pause between two such readings: far longer than a group takes to be written.
const READING_PAUSE: Duration = Duration::from_millis(50);

/// A log's folder as it was found.
#[derive(Debug)]
pub struct Survey {
    folder: PathBuf,
    owner: Option<Epoch>,
    segments: Vec<u64>,
    checked: Checked,
}

/// A log's folder that nobody else can open meanwhile.
#[derive(Debug)]
pub struct Owned {
    _lock: fs::File,
}

/// Keeps every other process out of the log in `folder` without opening the log, which may be damaged.
pub fn own(folder: &Path) -> Result<Owned> {
    Ok(Owned { _lock: crate::folder_lock::lock(folder)? })
}

/// One segment, checked.
#[derive(Debug, Default)]
pub struct SegmentChecked {
    /// What was read and found.
    pub checked: Checked,
    /// Ordinal of the entry after the last whole one.
    pub entries: u64,
    /// Offset after its last row.
    pub end: Offset,
    /// Bytes of the file up to the end of its last whole frame.
    pub used_bytes: u64,
}

impl Survey {
    /// Looks at the epoch file and at which segments there are. A folder that does not exist is a log that never began.
    pub fn of(folder: &Path) -> Survey {
        let mut survey =
            Survey { folder: folder.to_owned(), owner: None, segments: Vec::new(), checked: Checked::default() };
        if !folder.exists() {
            return survey;
        }
        if let Err(found) = survey.look() {
            survey.checked.findings.push(finding(&found, folder));
        }
        survey
    }

    fn look(&mut self) -> Result<()> {
        // The epoch file first: what it names was there before, so a segment that is added now is none too many.
        let owner = Epoch::read(&self.folder)?;
        let numbers = recover::list(&self.folder)?;
        let Some(owner) = owner else {
            self.segments = numbers;
            return match self.segments.is_empty() {
                true => Ok(()),
                false => Err(error::missing(&super::ownership::epoch_path(&self.folder), "segments exist")),
            };
        };
        self.checked.bytes += 64;
        self.owner = Some(owner);
        self.segments = numbers.into_iter().filter(|number| *number >= owner.first_segment).collect();
        match owner.epoch == 0 && self.segments.is_empty() {
            true => Ok(()),
            false => recover::check_numbers(&self.folder, &owner, &self.segments),
        }
    }

    /// What was found so far.
    pub fn checked(&self) -> &Checked {
        &self.checked
    }

    /// The segments, by number, that can be checked.
    pub fn segments(&self) -> &[u64] {
        match self.owner {
            Some(_) => &self.segments,
            None => &[],
        }
    }

    /// The epoch file that belongs to these segments, though their owner may have gone on; none when it cannot be read.
    pub fn epoch_file(&self) -> Option<Vec<u8>> {
        let found = self.owner?;
        // Frames that were written since carry the owner's epoch of now.
        let now = Epoch::read(&self.folder).ok().flatten().map_or(found.epoch, |now| now.epoch.max(found.epoch));
        Some(Epoch { epoch: now, ..found }.encode().to_vec())
    }

    /// The file of a segment.
    pub fn path(&self, number: u64) -> PathBuf {
        segment::path(&self.folder, number)
    }

    /// Checks every frame of a segment and that the segment ends where its successor begins; hands whole entries to
    /// `visit` with their ordinals. Blocks on the disk.
    pub fn check(&self, number: u64, visit: &mut dyn FnMut(u64, &LogEntry)) -> SegmentChecked {
        let Some(owner) = self.owner else { return SegmentChecked::default() };
        let path = self.path(number);
        let mut last_place = None;
        for _ in 0..READINGS_MAX {
            match self.read(&owner, number, &path) {
                Ok(read) => return read.told(visit),
                Err(_) if self.is_retired(number) => return SegmentChecked::default(),
                Err(found) => {
                    // A writer that moves on leaves its place; damage stays where it is.
                    let place = found.place().map(|place| place.byte);
                    let moves = self.is_last(number) && last_place != Some(place);
                    if !moves {
                        let checked = Checked { bytes: length(&path), findings: vec![finding(&found, &path)] };
                        return SegmentChecked { checked, ..SegmentChecked::default() };
                    }
                    last_place = Some(place);
                    std::thread::sleep(READING_PAUSE);
                }
            }
        }
        let what = format!("{} changed at every reading", path.display());
        let found =
            Finding::new(OBJECT, Damage::Unreadable, Severity::High, what, "its newest segment was not checked")
                .in_file(path, None)
                .remedy("seawall verify data");
        SegmentChecked { checked: Checked { bytes: 0, findings: vec![found] }, ..SegmentChecked::default() }
    }

    fn is_last(&self, number: u64) -> bool {
        self.segments.last() == Some(&number)
    }

    /// Whether the log's owner has retired the segment since the survey.
    fn is_retired(&self, number: u64) -> bool {
        matches!(Epoch::read(&self.folder), Ok(Some(now)) if number < now.first_segment)
    }

    fn read(&self, owner: &Epoch, number: u64, path: &Path) -> Result<Read> {
        // The owner may have been replaced since; frames of the present owner are no damage.
        let owner = Epoch::read(&self.folder)?.filter(|now| now.id == owner.id).unwrap_or(*owner);
        let successor = self.successor(number)?;
        let bytes = Bytes::from(fs::read(path).map_err(|e| unreadable(path, e))?);
        let header = recover::check_header(path, &owner, number, &bytes, bytes.len() as u64)?;
        if number == owner.first_segment && header.start.entry != owner.first_entry {
            return Err(error::damaged(path, 40, format!("the log's first entry should be {}", owner.first_entry)));
        }
        let mut index = Index::new(header.start.entry, usize::MAX, usize::MAX);
        index.begin_segment(number, header.length, header.start);
        let scan = recover::scan(path, &owner, &bytes, header.start, 0, &mut index)?;
        match successor {
            Some(start) if start != scan.tip => {
                let what = format!(
                    "expected entry {} here; the next segment begins with entry {}",
                    scan.tip.entry, start.entry
                );
                return Err(error::damaged(path, scan.at as u64, what));
            }
            Some(_) => {}
            None => check_tail(path, &owner, &bytes, scan.at, scan.tip.entry)?,
        }
        let first = header.start.entry;
        let entries = index.recent(first, usize::MAX).unwrap_or_default();
        Ok(Read { first, entries, tip: scan.tip, used_bytes: scan.at as u64, bytes: bytes.len() as u64 })
    }

    /// Where the next segment begins; none for the last one.
    fn successor(&self, number: u64) -> Result<Option<Tip>> {
        let path = self.path(number + 1);
        let mut head = [0; segment::HEADER_BYTES];
        let opened = match fs::File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(unreadable(&path, e)),
        };
        match std::io::Read::read_exact(&mut &opened, &mut head) {
            // What is wrong with the next segment is told when it is its turn.
            Ok(()) => Ok(segment::Header::decode(&path, &head).ok().map(|header| header.start)),
            Err(_) => Ok(None),
        }
    }
}

/// A segment whose frames are whole.
struct Read {
    first: u64,
    entries: Vec<std::sync::Arc<LogEntry>>,
    tip: Tip,
    used_bytes: u64,
    bytes: u64,
}

impl Read {
    fn told(self, visit: &mut dyn FnMut(u64, &LogEntry)) -> SegmentChecked {
        for (ordinal, entry) in (self.first..).zip(&self.entries) {
            visit(ordinal, entry);
        }
        SegmentChecked {
            checked: Checked { bytes: self.bytes, findings: Vec::new() },
            entries: self.tip.entry,
            end: Offset(self.tip.first),
            used_bytes: self.used_bytes,
        }
    }
}

/// Fails when something behind the last whole frame proves that the frame that belongs there had been synced.
fn check_tail(path: &Path, owner: &Epoch, bytes: &[u8], at: usize, entry: u64) -> Result<()> {
    match frame::find_later_group(owner.id, bytes, at + frame::ALIGN, entry) {
        None => Ok(()),
        Some(proof) => {
            let what = format!(
                "the frame of entry {entry} is not what was written, and byte {proof} shows that it had been made durable"
            );
            Err(error::damaged(path, at as u64, what))
        }
    }
}

fn unreadable(path: &Path, cause: std::io::Error) -> Error {
    error::io("read", path, cause).in_file(path, None)
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

fn finding(found: &Error, path: &Path) -> Finding {
    let damage = match found.code() {
        "SW0404" => Damage::Missing,
        "SW0405" | "SW0410" => Damage::Disagrees,
        _ if found.kind() == ErrorKind::Corrupt => Damage::Altered,
        _ => Damage::Unreadable,
    };
    let means = "the log does not open: nothing can be taken in, and entries behind the damage cannot be read";
    let finding = Finding::of_error(OBJECT, damage, Severity::Critical, found, means);
    match finding.file {
        Some(_) => finding,
        None => finding.in_file(path, None),
    }
}
