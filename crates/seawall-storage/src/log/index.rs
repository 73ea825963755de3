//! Where entries are: a sparse position index over all segments, and the most recent entries themselves.
//!
//! The index holds the position of every [`SPARSE_EVERY`]th entry of a segment; a reader walks from there. The recent
//! entries are kept up to a number and a size, so that sinks that keep up never read the disk. Of a sealed segment with
//! a footer, only the footer is read.

use std::collections::VecDeque;
use std::sync::Arc;

use seawall_base::{LogEntry, Offset};

use super::footer::Footer;
use super::frame::Tip;

/// Every how many entries of a segment the index holds a position.
pub(super) const SPARSE_EVERY: u64 = 16;

/// Everything a reader needs to find entries.
#[derive(Debug)]
pub(super) struct Index {
    segments: Vec<Segment>,
    recent: VecDeque<Arc<LogEntry>>,
    recent_first: u64,
    recent_bytes: usize,
    recent_entries_max: usize,
    recent_bytes_max: usize,
}

#[derive(Debug)]
struct Segment {
    number: u64,
    /// Length of the file.
    length: u64,
    start: Tip,
    entries: u64,
    positions: Vec<u64>,
}

impl Segment {
    fn end(&self) -> u64 {
        self.start.entry + self.entries
    }
}

/// A place from which a walk over frames reaches the entry asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The segment.
    pub number: u64,
    /// A position in it where a frame begins.
    pub position: u64,
    /// The entry of that frame.
    pub entry: u64,
    /// The entry after the segment's last indexed one.
    pub segment_end: u64,
}

impl Index {
    /// An index without segments, for a log whose next entry is `first_entry`.
    pub fn new(first_entry: u64, recent_entries_max: usize, recent_bytes_max: usize) -> Self {
        Index {
            segments: Vec::new(),
            recent: VecDeque::new(),
            recent_first: first_entry,
            recent_bytes: 0,
            recent_entries_max,
            recent_bytes_max,
        }
    }

    /// Begins a segment behind those known.
    pub fn begin_segment(&mut self, number: u64, length: u64, start: Tip) {
        self.segments.push(Segment { number, length, start, entries: 0, positions: Vec::new() });
    }

    /// Adds a sealed segment behind those known, whose entries stay on the disk.
    pub fn add_sealed(&mut self, length: u64, footer: Footer) {
        let Footer { number, start, end, positions, .. } = footer;
        let entries = end.entry - start.entry;
        self.segments.push(Segment { number, length, start, entries, positions });
        self.recent.clear();
        self.recent_bytes = 0;
        self.recent_first = end.entry;
    }

    /// Where the newest segment begins, and the positions of its frames: what its footer says once it is sealed.
    pub fn newest(&self) -> Option<(Tip, Vec<u64>)> {
        self.segments.last().map(|segment| (segment.start, segment.positions.clone()))
    }

    /// Adds the next entry, whose frame lies at `position` of the newest segment.
    pub fn push(&mut self, position: u64, entry: Arc<LogEntry>) {
        let segment = self.segments.last_mut().expect("a segment begins before its first entry");
        if segment.entries.is_multiple_of(SPARSE_EVERY) {
            segment.positions.push(position);
        }
        segment.entries += 1;
        self.recent_bytes += entry.payload.len();
        self.recent.push_back(entry);
        while self.recent.len() > self.recent_entries_max || self.recent_bytes > self.recent_bytes_max {
            let Some(oldest) = self.recent.pop_front() else { break };
            self.recent_bytes -= oldest.payload.len();
            self.recent_first += 1;
        }
    }

    /// Up to `entries_max` entries from `from`, when they are still in memory.
    pub fn recent(&self, from: u64, entries_max: usize) -> Option<Vec<Arc<LogEntry>>> {
        let skip = usize::try_from(from.checked_sub(self.recent_first)?).ok()?;
        Some(self.recent.iter().skip(skip).take(entries_max).cloned().collect())
    }

    /// Where to begin reading for `entry`; none when it was retired or never written.
    pub fn locate(&self, entry: u64) -> Option<Place> {
        let after = self.segments.partition_point(|segment| segment.start.entry <= entry);
        let segment = &self.segments[after.checked_sub(1)?];
        let step = (entry - segment.start.entry) / SPARSE_EVERY;
        let position = *segment.positions.get(usize::try_from(step).ok()?)?;
        Some(Place {
            number: segment.number,
            position,
            entry: segment.start.entry + step * SPARSE_EVERY,
            segment_end: segment.end(),
        })
    }

    /// The oldest entry that can be read, or the next one of a log without entries.
    pub fn first_entry(&self) -> u64 {
        self.segments.first().map_or(self.recent_first, |segment| segment.start.entry)
    }

    /// Offset of the oldest row that can be read.
    pub fn first_offset(&self) -> Offset {
        Offset(self.segments.first().map_or(0, |segment| segment.start.first))
    }

    /// Bytes that the segments take on the disk.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.length).sum()
    }

    /// How many segments there are.
    pub fn segments(&self) -> usize {
        self.segments.len()
    }

    /// The segments that hold only entries before `entry`, never the newest segment; and the first one that stays, as
    /// number and first entry.
    pub fn retirable(&self, entry: u64) -> (Vec<u64>, Option<(u64, u64)>) {
        let sealed = self.segments.len().saturating_sub(1);
        let count = self.segments[..sealed].iter().take_while(|segment| segment.end() <= entry).count();
        let numbers = self.segments[..count].iter().map(|segment| segment.number).collect();
        (numbers, self.segments.get(count).map(|segment| (segment.number, segment.start.entry)))
    }

    /// Forgets the segments before `number`, and their entries.
    pub fn retire_before(&mut self, number: u64) {
        self.segments.retain(|segment| segment.number >= number);
        let first = self.first_entry();
        while self.recent_first < first {
            let Some(oldest) = self.recent.pop_front() else { break };
            self.recent_bytes -= oldest.payload.len();
            self.recent_first += 1;
        }
    }
}
