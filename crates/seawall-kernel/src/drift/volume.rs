//! Whether far fewer rows came in than expected.

use super::stats::poisson_at_most;

/// Chance of an alarm without a fall, if rows come independently.
const ALPHA: f64 = 1e-9;

/// Whether fewer than `fraction` of the `expected` rows were observed, and fewer than chance explains: a Poisson variable
/// with this mean is so small with a probability of at most 1e-9. At least 21 rows must be expected for silence to tell.
pub fn volume_falls(expected: f64, observed: u64, fraction: f64) -> bool {
    expected > 0.0 && (observed as f64) < fraction * expected && poisson_at_most(observed, expected) <= ALPHA
}
