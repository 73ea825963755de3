//! The deduplication index: which keys a dataset holds, and with what content.
//!
//! Rebuilt at start from the order's checkpoint and the log behind it. For that it also keeps the keys that no checkpoint
//! has yet, in the order of the log. A key is unwritten only once its row is in a frame: what a bulk load has merely
//! staged may still be forgotten. Keys are 128-bit hashes; two different keys collide with a probability of about
//! n^2 / 2^129, which is below 1e-18 for ten billion rows. Of the content's hash 64 bits are kept: it is compared with that
//! of one row, the one with the same key, and never with all.
//!
//! A key takes about 40 bytes of memory: 24 for its row ([`rows`]), 10 to 21 for where that stands ([`places`]).

use seawall_base::{Instant, Span};

use self::places::Places;
use self::rows::{Row, Rows, content_of};

mod places;
mod rows;
#[cfg(test)]
mod tests;

/// What the index says of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// The key is new, or its row arrived longer ago than the horizon.
    New,
    /// Same key, same content.
    Same,
    /// Same key, different content.
    Different,
}

/// A row as the index knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Keyed {
    /// When it arrived.
    pub arrival: Instant,
    /// Hash of its primary key.
    pub key: u128,
    /// Hash of its content.
    pub content: u128,
}

/// Keys seen within the horizon.
#[derive(Debug, Default)]
pub struct DedupIndex {
    primary_key: Vec<String>,
    horizon: Option<Span>,
    /// Rows that were taken, in the order of the log. One whose key has a newer row, or was forgotten, is not looked at.
    rows: Rows,
    /// The newest row of each key.
    places: Places,
    unwritten: Unwritten,
}

/// What the next checkpoint has to write of an index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unwritten {
    /// Whether these are all keys: those of earlier checkpoints do not count any more.
    pub is_all: bool,
    /// The keys, in the order of the log.
    pub keys: Vec<Keyed>,
}

impl DedupIndex {
    /// An index of rows with `primary_key` that forgets keys `horizon` after their arrival; never, when there is none.
    pub fn new(primary_key: &[String], horizon: Option<Span>) -> Self {
        let unwritten = Unwritten { is_all: true, keys: Vec::new() };
        DedupIndex { primary_key: primary_key.to_vec(), horizon, unwritten, ..DedupIndex::default() }
    }

    /// An index whose first keys are those of a checkpoint, which [`DedupIndex::restore`] brings back.
    pub fn continued(primary_key: &[String], horizon: Option<Span>) -> Self {
        DedupIndex { primary_key: primary_key.to_vec(), horizon, ..DedupIndex::default() }
    }

    /// Makes room for as many rows of a checkpoint.
    pub fn reserve(&mut self, rows: usize) {
        self.places.reserve(rows);
    }

    /// Takes rows of a checkpoint, in the order of the log.
    pub fn restore(&mut self, rows: &[Keyed]) {
        self.take(rows);
    }

    /// The columns of the key.
    pub fn primary_key(&self) -> &[String] {
        &self.primary_key
    }

    /// How long keys are known.
    pub fn horizon(&self) -> Option<Span> {
        self.horizon
    }

    /// Changes the horizon, for a contract that changed it.
    pub fn set_horizon(&mut self, horizon: Option<Span>) {
        self.horizon = horizon;
    }

    /// Looks at a row and remembers it when it is new.
    pub fn observe(&mut self, row: Keyed) -> Seen {
        self.forget_before(row.arrival);
        let seen = self.look_at(row);
        if seen != Seen::New {
            return seen;
        }
        self.insert(row);
        Seen::New
    }

    /// The row takes the place of the one that its key had, as in a changelog.
    pub fn supersede(&mut self, row: Keyed) {
        self.insert(row);
    }

    /// Takes rows that were new when they came in, whatever the horizon is now: of each key the newest row stands. Tells of
    /// each row whether it stood when it came.
    ///
    /// Keys are put in their places shard by shard, because a shard fits the processor's cache, and all of them do not.
    fn take(&mut self, rows: &[Keyed]) -> Vec<bool> {
        let first = self.rows.end();
        rows.iter().for_each(|row| self.rows.push(Row::of(*row), row.arrival));
        let mut by_shard: Vec<usize> = (0..rows.len()).collect();
        // Stable: rows of one key stay in the order of the log.
        by_shard.sort_by_key(|at| places::shard_of(rows[*at].key));
        let mut stood = vec![false; rows.len()];
        for at in by_shard {
            stood[at] = !self.has_newer(rows[at]);
            if stood[at] {
                self.places.put(rows[at].key, first + at as u64, &self.rows);
            }
        }
        if let Some(newest) = rows.iter().map(|row| row.arrival).max() {
            self.forget_before(newest);
        }
        stood
    }

    /// Whether the row that stands for a key is newer, or this very one.
    fn has_newer(&self, row: Keyed) -> bool {
        self.places.find(row.key, &self.rows).is_some_and(|number| {
            let (arrival, content) = (self.rows.arrival(number), self.rows.row(number).content);
            arrival > row.arrival || arrival == row.arrival && content == content_of(row)
        })
    }

    fn insert(&mut self, row: Keyed) {
        let number = self.rows.end();
        self.rows.push(Row::of(row), row.arrival);
        self.places.put(row.key, number, &self.rows);
    }

    /// Looks at a row without remembering it.
    pub fn look_at(&self, row: Keyed) -> Seen {
        match self.places.find(row.key, &self.rows) {
            Some(number) if self.is_over(self.rows.arrival(number), row.arrival) => Seen::New,
            Some(number) if self.rows.row(number).content == content_of(row) => Seen::Same,
            Some(_) => Seen::Different,
            None => Seen::New,
        }
    }

    /// Rows that were observed are in a frame now: the next checkpoint writes them.
    pub fn confirm(&mut self, rows: impl IntoIterator<Item = Keyed>) {
        self.unwritten.keys.extend(rows);
    }

    /// Takes rows of frames from the log, in its order.
    pub fn replay(&mut self, rows: &[Keyed]) {
        let stood = self.take(rows);
        let fresh = rows.iter().zip(stood).filter(|(_, stood)| *stood);
        self.unwritten.keys.extend(fresh.map(|(row, _)| *row));
    }

    /// Forgets rows that were observed and then did not become visible.
    pub fn forget(&mut self, rows: &[Keyed]) {
        for row in rows {
            self.places.remove(row.key, None, &self.rows);
        }
    }

    /// What the next checkpoint has to write; the index then counts it as written.
    pub fn take_unwritten(&mut self) -> Unwritten {
        std::mem::take(&mut self.unwritten)
    }

    /// Gives back what a checkpoint could not write.
    pub fn put_back(&mut self, mut unwritten: Unwritten) {
        if self.unwritten.is_all {
            // The index was made anew since.
            return;
        }
        unwritten.keys.append(&mut self.unwritten.keys);
        self.unwritten = unwritten;
    }

    /// Rows that no checkpoint has.
    pub fn unwritten_rows(&self) -> usize {
        self.unwritten.keys.len()
    }

    /// The rows that are known to one that arrives at `now`, ordered.
    #[cfg(test)]
    pub(crate) fn held(&self, now: Instant) -> Vec<Keyed> {
        let of = |number| {
            let row = self.rows.row(number);
            Keyed { arrival: self.rows.arrival(number), key: row.key(), content: u128::from(row.content) }
        };
        let numbers = self.rows.first()..self.rows.end();
        let newest = numbers.filter(|n| self.places.find(self.rows.row(*n).key(), &self.rows) == Some(*n));
        let mut held: Vec<Keyed> = newest.map(of).filter(|row| !self.is_over(row.arrival, now)).collect();
        held.sort_unstable();
        held
    }

    /// Keys held.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether no key is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn is_over(&self, arrival: Instant, now: Instant) -> bool {
        self.horizon.is_some_and(|horizon| now - arrival > horizon)
    }

    fn forget_before(&mut self, now: Instant) {
        while self.rows.first_arrival().is_some_and(|arrival| self.is_over(arrival, now)) {
            let first = self.rows.first();
            self.places.remove(self.rows.row(first).key(), Some(first), &self.rows);
            self.rows.drop_first();
        }
    }
}
