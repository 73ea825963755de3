//! The keys of an entity's rows that are not kept any more, by day: 8 bytes each, the lower half of the key's hash. A row
//! that asks and is among them cannot be left out, and is refused.

/// Hashes that are searched one by one.
const UNSORTED_MAX: usize = 64;

/// Hashes by day.
#[derive(Debug, Clone, Default)]
pub(crate) struct OldKeys(Vec<(i64, Hashes)>);

/// A set of hashes in one list: sorted runs, each twice as long as the next, of which there is one for each bit that is
/// set in the number of [`UNSORTED_MAX`]s; behind them those that are not sorted yet. A hash may be there twice.
#[derive(Debug, Clone, Default)]
struct Hashes(Vec<u64>);

impl OldKeys {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first day.
    pub fn first_day(&self) -> Option<i64> {
        self.0.first().map(|(day, _)| *day)
    }

    /// Remembers a hash.
    pub fn insert(&mut self, day: i64, hash: u64) {
        let at = match self.0.binary_search_by_key(&day, |(day, _)| *day) {
            Ok(at) => at,
            Err(at) => {
                self.0.reserve_exact(1);
                self.0.insert(at, (day, Hashes::default()));
                at
            }
        };
        self.0[at].1.insert(hash);
    }

    /// Whether the hash is remembered on `from` or a later day.
    pub fn contains(&self, from: i64, hash: u64) -> bool {
        self.0.iter().rev().take_while(|(day, _)| *day >= from).any(|(_, hashes)| hashes.contains(hash))
    }

    /// Forgets the days before `day`.
    pub fn forget_before(&mut self, day: i64) {
        self.0.retain(|(kept, _)| *kept >= day);
    }

    /// The only hash, with its day.
    pub fn only(&self) -> Option<(i64, u64)> {
        match self.0.as_slice() {
            [(day, hashes)] if hashes.0.len() == 1 => Some((*day, hashes.0[0])),
            _ => None,
        }
    }

    /// Every day with its hashes, both ascending.
    pub fn ordered(&self) -> impl ExactSizeIterator<Item = (i64, Vec<u64>)> {
        self.0.iter().map(|(day, hashes)| {
            let mut hashes = hashes.0.clone();
            hashes.sort_unstable();
            hashes.dedup();
            (*day, hashes)
        })
    }

    /// Adds a later day with its hashes, ascending.
    pub fn push(&mut self, day: i64, hashes: Vec<u64>) {
        self.0.push((day, Hashes(hashes)));
    }

    /// Estimated bytes.
    pub fn memory_bytes(&self) -> usize {
        self.0.iter().map(|(_, hashes)| size_of::<(i64, Hashes)>() + hashes.0.capacity() * 8).sum()
    }
}

impl Hashes {
    fn insert(&mut self, hash: u64) {
        if self.0.len() == self.0.capacity() {
            self.0.reserve_exact((self.0.len() / 2).max(1));
        }
        self.0.push(hash);
        let length = self.0.len();
        if length.is_multiple_of(UNSORTED_MAX) {
            // Runs that became equally long are merged, which sorting does in one pass over them.
            let merged = UNSORTED_MAX << (length / UNSORTED_MAX).trailing_zeros();
            self.0[length - merged..].sort();
        }
    }

    fn contains(&self, hash: u64) -> bool {
        let (mut runs, unsorted) = self.0.split_at(self.0.len() / UNSORTED_MAX * UNSORTED_MAX);
        while !runs.is_empty() {
            let longest = UNSORTED_MAX << (runs.len() / UNSORTED_MAX).ilog2();
            let (run, rest) = runs.split_at(longest);
            if run.binary_search(&hash).is_ok() {
                return true;
            }
            runs = rest;
        }
        unsorted.contains(&hash)
    }
}
