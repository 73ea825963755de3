//! Dice: small random choices, many of them, all from the seed.

use seawall_base::{Rng, SeededRng, Span};

/// A stream of choices (splitmix64).
pub(super) struct Dice(u64);

impl Dice {
    /// The choices of a seed.
    pub fn new(seed: u64) -> Dice {
        let mut bytes = [0; 8];
        SeededRng::new(seed).fill(&mut bytes);
        Dice(u64::from_le_bytes(bytes))
    }

    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.bits() % bound
    }

    /// A number from `from` on, below `until`.
    pub fn between(&mut self, from: i64, until: i64) -> i64 {
        from + self.below((until - from) as u64) as i64
    }

    /// True in so many cases of a hundred.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of several, which are not none.
    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len() as u64) as usize]
    }

    /// Another order of the same things.
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for index in (1..list.len()).rev() {
            list.swap(index, self.below(index as u64 + 1) as usize);
        }
    }

    /// A stretch of time that is usually short.
    pub fn stretch(&mut self) -> Span {
        let unit = match self.below(20) {
            0..=3 => Span(1),
            4..=8 => Span::SECOND,
            9..=15 => Span::MINUTE,
            16..=18 => Span::HOUR,
            _ => Span::DAY,
        };
        Span(self.between(0, 30) * unit.0)
    }
}
