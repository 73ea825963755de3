//! The deduplication index: which keys a dataset holds, and with what content.
//!
//! Rebuilt from the log at start, so it needs no file of its own. Keys and contents are 128-bit hashes; two different
//! keys collide with a probability of about n^2 / 2^129, which is below 1e-18 for ten billion rows.

use std::collections::{HashMap, VecDeque};

use seawall_base::{Instant, Span};

#[cfg(test)]
mod tests;

/// What the index says of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// The key is new, or was forgotten after the horizon.
    New,
    /// Same key, same content.
    Same,
    /// Same key, different content.
    Different,
}

/// Keys seen within the horizon.
#[derive(Debug, Default)]
pub struct DedupIndex {
    horizon: Option<Span>,
    rows: HashMap<u128, Entry>,
    by_arrival: VecDeque<(Instant, u128)>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    content: u128,
    arrival: Instant,
}

impl DedupIndex {
    /// An index that forgets keys `horizon` after their arrival; never, when there is none.
    pub fn new(horizon: Option<Span>) -> Self {
        DedupIndex { horizon, ..DedupIndex::default() }
    }

    /// Changes the horizon, for a contract that changed it.
    pub fn set_horizon(&mut self, horizon: Option<Span>) {
        self.horizon = horizon;
    }

    /// Looks at a row and remembers it when it is new.
    pub fn observe(&mut self, key: u128, content: u128, arrival: Instant) -> Seen {
        self.forget(arrival);
        match self.rows.get(&key) {
            Some(entry) if entry.content == content => Seen::Same,
            Some(_) => Seen::Different,
            None => {
                self.rows.insert(key, Entry { content, arrival });
                if self.horizon.is_some() {
                    self.by_arrival.push_back((arrival, key));
                }
                Seen::New
            }
        }
    }

    /// Forgets keys that were observed for rows which then did not become visible.
    pub fn forget_keys(&mut self, keys: &[u128]) {
        for key in keys {
            self.rows.remove(key);
        }
    }

    /// Keys held.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether no key is held.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn forget(&mut self, now: Instant) {
        let Some(horizon) = self.horizon else { return };
        while let Some((arrival, key)) = self.by_arrival.front().copied() {
            if now - arrival <= horizon {
                break;
            }
            self.by_arrival.pop_front();
            if self.rows.get(&key).is_some_and(|entry| entry.arrival == arrival) {
                self.rows.remove(&key);
            }
        }
    }
}
