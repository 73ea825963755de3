//! Rows of an index in the order of the log: 24 bytes each, and their arrivals once per run of rows that share one.
//!
//! Rows are numbered as they come and leave at the front. They lie in chunks that never move, so that growing costs neither
//! a pause nor a second copy.

use std::collections::VecDeque;

use seawall_base::Instant;

use super::Keyed;

/// Rows of a chunk.
const CHUNK_ROWS: u64 = 4_096;

/// What is kept of a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    /// Hash of the key, its lower half first.
    key: [u64; 2],
    /// The lower half of the content's hash.
    pub content: u64,
}

impl Row {
    pub fn of(row: Keyed) -> Row {
        Row { key: [row.key as u64, (row.key >> 64) as u64], content: content_of(row) }
    }

    pub fn key(&self) -> u128 {
        u128::from(self.key[1]) << 64 | u128::from(self.key[0])
    }
}

/// What tells contents of one key apart.
pub(super) fn content_of(row: Keyed) -> u64 {
    row.content as u64
}

/// Rows by number.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// The first chunk has row `first`; all but the last are full.
    chunks: VecDeque<Vec<Row>>,
    first: u64,
    end: u64,
    /// The first row of each run of equal arrivals, with the arrival.
    arrivals: VecDeque<(u64, Instant)>,
}

impl Rows {
    /// Number of the first row.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Number of the next row.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Adds a row, which becomes number [`Rows::end`].
    pub fn push(&mut self, row: Row, arrival: Instant) {
        if self.end.is_multiple_of(CHUNK_ROWS) {
            self.chunks.push_back(Vec::with_capacity(CHUNK_ROWS as usize));
        }
        self.chunks.back_mut().expect("a chunk begins before its first row").push(row);
        if self.arrivals.back().is_none_or(|(_, newest)| *newest != arrival) {
            self.arrivals.push_back((self.end, arrival));
        }
        self.end += 1;
    }

    /// A row that is held.
    pub fn row(&self, number: u64) -> &Row {
        assert!((self.first..self.end).contains(&number), "only rows that are held are asked for");
        let chunk = number / CHUNK_ROWS - self.first / CHUNK_ROWS;
        &self.chunks[chunk as usize][(number % CHUNK_ROWS) as usize]
    }

    /// When a row that is held arrived.
    pub fn arrival(&self, number: u64) -> Instant {
        let after = self.arrivals.partition_point(|(first, _)| *first <= number);
        self.arrivals[after - 1].1
    }

    /// When the first row arrived.
    pub fn first_arrival(&self) -> Option<Instant> {
        self.arrivals.front().map(|(_, arrival)| *arrival)
    }

    /// Gives up the first row.
    pub fn drop_first(&mut self) {
        assert!(self.first < self.end, "there is a first row");
        self.first += 1;
        if self.first.is_multiple_of(CHUNK_ROWS) {
            self.chunks.pop_front();
        }
        // A run ends where the next one begins, or with the last row.
        if self.arrivals.get(1).map_or(self.end, |(next, _)| *next) == self.first {
            self.arrivals.pop_front();
        }
    }
}
