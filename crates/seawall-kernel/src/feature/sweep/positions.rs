//! A set of positions of which the next smaller member, and every run of members, is found quickly.

/// One bit per position, above that one bit per word that is not empty, and so on up to a single word.
#[derive(Debug, Default)]
pub(crate) struct Positions {
    levels: Vec<Vec<u64>>,
}

impl Positions {
    /// Empties the set and makes room for the positions below `end`.
    pub fn reset(&mut self, end: usize) {
        // With a place for `end` itself: what lies before it is asked for, also when a word ends there.
        let mut words = end / 64 + 1;
        let mut depth = 0;
        loop {
            if self.levels.len() == depth {
                self.levels.push(Vec::new());
            }
            self.levels[depth].clear();
            self.levels[depth].resize(words, 0);
            depth += 1;
            if words == 1 {
                break;
            }
            words = words.div_ceil(64);
        }
        self.levels.truncate(depth);
    }

    /// Adds a position.
    pub fn insert(&mut self, position: usize) {
        let mut at = position;
        for level in &mut self.levels {
            let word = &mut level[at / 64];
            let was_empty = *word == 0;
            *word |= 1 << (at % 64);
            if !was_empty {
                return;
            }
            at /= 64;
        }
    }

    /// Whether a position is a member.
    pub fn contains(&self, position: usize) -> bool {
        self.levels[0][position / 64] >> (position % 64) & 1 == 1
    }

    /// The greatest member below `end`.
    pub fn last_before(&self, end: usize) -> Option<usize> {
        let mut at = end;
        for (depth, level) in self.levels.iter().enumerate() {
            let word = level.get(at / 64).copied().unwrap_or(0) & ((1 << (at % 64)) - 1);
            if word != 0 {
                return Some(self.last_below(depth, at / 64 * 64 + last_bit(word)));
            }
            at /= 64;
        }
        None
    }

    /// The greatest position that the bit `at` of a level stands for.
    fn last_below(&self, depth: usize, mut at: usize) -> usize {
        for level in self.levels[..depth].iter().rev() {
            at = at * 64 + last_bit(level[at]);
        }
        at
    }

    /// Visits the members in `from..until` as runs `first..end`, in order.
    pub fn runs(&self, from: usize, until: usize, mut visit: impl FnMut(usize, usize)) {
        let words = &self.levels[0];
        let mut at = from;
        while at < until {
            let word = words[at / 64] >> (at % 64);
            if word == 0 {
                at = (at / 64 + 1) * 64;
                continue;
            }
            let first = at + word.trailing_zeros() as usize;
            if first >= until {
                return;
            }
            let mut end = first + (words[first / 64] >> (first % 64)).trailing_ones() as usize;
            while end < until && end.is_multiple_of(64) && words[end / 64] == u64::MAX {
                end += 64;
            }
            visit(first, end.min(until));
            at = end;
        }
    }
}

/// The number of the highest bit of a word that is not 0.
fn last_bit(word: u64) -> usize {
    63 - word.leading_zeros() as usize
}
