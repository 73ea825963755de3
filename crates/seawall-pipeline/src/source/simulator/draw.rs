//! Numbers drawn by name: a draw is a function of seed, purpose and index, never of what was drawn before elsewhere.
//!
//! This is what lets the simulator begin anywhere in its period, and gives equal bytes on every machine: integers only.

/// What a number is drawn for; equal indexes of different purposes are unrelated.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    Day = 1,
    Payment,
    Episode,
    PaymentId,
    ChargebackId,
    Chargeback,
    Fault,
    FaultWindow,
    Card,
    Customer,
    Merchant,
    Device,
}

/// A sequence of numbers.
#[derive(Debug, Clone)]
pub(super) struct Draws(u64);

impl Draws {
    /// The sequence of `index` for `purpose`.
    pub(super) fn of(seed: u64, purpose: Purpose, index: u64) -> Self {
        Draws(unique(seed, purpose, index))
    }

    /// The next 64 bits (SplitMix64).
    pub(super) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A number in `0..end`; `end` is at least 1.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(end)) >> 64) as u64
    }

    /// A number in `start..end`; `start` when the range is empty.
    pub(super) fn between(&mut self, start: i64, end: i64) -> i64 {
        start + self.below(end.saturating_sub(start).max(1).unsigned_abs()) as i64
    }

    /// True in `permille` of 1,000 draws.
    pub(super) fn chance(&mut self, permille: u64) -> bool {
        self.below(1_000) < permille
    }

    /// A place in `weights`, drawn in proportion; the weights are not all zero.
    pub(super) fn weighted(&mut self, weights: &[u32]) -> usize {
        let total: u64 = weights.iter().map(|w| u64::from(*w)).sum();
        let mut left = self.below(total);
        for (place, weight) in weights.iter().enumerate() {
            if left < u64::from(*weight) {
                return place;
            }
            left -= u64::from(*weight);
        }
        weights.len() - 1
    }
}

/// A number that no other index has for this seed and purpose: every step is a bijection of `index`.
pub(super) fn unique(seed: u64, purpose: Purpose, index: u64) -> u64 {
    let key = mix(seed ^ (purpose as u64).wrapping_mul(0xD6E8_FEB8_6659_FD93));
    mix(mix(index ^ key).wrapping_add(key))
}

/// The finalizer of SplitMix64, a bijection.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
