//! Whether the share of bad rows has risen.

use super::stats::binomial_tail;

/// Chance of an alarm without a rise.
const ALPHA: f64 = 1e-6;
/// Share of bad rows that is never held against anyone, however clean the baseline was.
const SHARE_MIN: f64 = 1e-3;

/// Whether more than `share_max` of the current rows are bad, and significantly more than in the baseline; both are
/// `(bad, total)`.
///
/// Exact one-sided binomial test at 1e-6 against the baseline's share, which is taken as at least one in a thousand. A
/// short baseline knows its share badly: it is taken as `(bad + 1) / (total + 2)`, but not as more than `share_max` if
/// it was seen below. Without a baseline the current rows must exceed `share_max` significantly.
pub fn share_rises(baseline: (u64, u64), current: (u64, u64), share_max: f64) -> bool {
    let (bad, total) = current;
    if total == 0 || bad as f64 <= share_max * total as f64 {
        return false;
    }
    let seen = if baseline.1 == 0 { 0.0 } else { baseline.0 as f64 / baseline.1 as f64 };
    let cautious = (baseline.0 as f64 + 1.0) / (baseline.1 as f64 + 2.0);
    let share = cautious.min(seen.max(share_max)).max(SHARE_MIN);
    binomial_tail(bad, total, share) <= ALPHA
}
