//! Keys in rising order of one of their columns, as events come in order of time: each is beyond all before it, so it is
//! new without a look-up, and one that comes again is found by its value.
//!
//! At most one key has a value, and the value is compared itself, so that half of the hash tells keys apart: of a billion
//! rows, one is taken for another with a chance of less than 1 in 10^10.

/// Keys by a value that rises from each to the next.
#[derive(Default)]
pub(super) struct Rising {
    values: Vec<i64>,
    /// The lower half of each hash, whose lowest bit tells whether the key was counted as repeated.
    hashes: Vec<u64>,
}

impl Rising {
    /// Whether every key so far has a smaller value.
    pub(super) fn is_behind(&self, value: i64) -> bool {
        self.values.last().is_none_or(|last| *last < value)
    }

    /// Adds a key whose value all others [are behind](Self::is_behind).
    pub(super) fn push(&mut self, value: i64, hash: u128) {
        self.values.push(value);
        self.hashes.push(hash as u64);
    }

    /// What is kept of the key's hash, if it is here.
    pub(super) fn find(&mut self, value: i64, hash: u128) -> Option<&mut u64> {
        // What is late is mostly a little late: the search gallops from the end.
        let mut stride = 1;
        let mut end = self.values.len();
        while stride < end && self.values[end - stride] > value {
            end -= stride;
            stride *= 2;
        }
        let start = end.saturating_sub(stride);
        let at = start + self.values[start..end].partition_point(|known| *known < value);
        let known = self.hashes.get_mut(at).filter(|_| self.values[at] == value)?;
        (*known | 1 == hash as u64 | 1).then_some(known)
    }

    /// Makes room for so many more keys, at first for all that are expected.
    pub(super) fn reserve(&mut self, more: usize, expected: usize) {
        let more = if self.values.is_empty() { more.max(expected) } else { more };
        self.values.reserve(more);
        self.hashes.reserve(more);
    }
}
