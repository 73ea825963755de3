//! How long to wait before the next attempt: exponential, with a cap and full jitter.
//!
//! Full jitter draws from the whole interval, so that callers which failed together do not come back together.

use seawall_base::{Rng, Span};

/// The bounds of the pauses.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// Longest first pause.
    pub first: Span,
    /// Longest pause.
    pub cap: Span,
}

impl Backoff {
    /// The longest pause after `failures` failures in a row, at least one.
    pub fn longest(&self, failures: u32) -> Span {
        let doubled = self.first.0.saturating_mul(1_i64 << failures.saturating_sub(1).min(32));
        Span(doubled.min(self.cap.0))
    }

    /// A pause after `failures` failures in a row: anything up to the longest, equally likely.
    pub fn pause(&self, failures: u32, rng: &dyn Rng) -> Span {
        let mut bytes = [0; 8];
        rng.fill(&mut bytes);
        let longest = u128::from(self.longest(failures).0.unsigned_abs());
        let drawn = (u128::from(u64::from_le_bytes(bytes)) * (longest + 1)) >> 64;
        Span(i64::try_from(drawn).expect("a pause is not longer than the longest, which is an i64"))
    }
}
