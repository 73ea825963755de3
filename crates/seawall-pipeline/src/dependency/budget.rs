//! The retry budget: retries may add a tenth to the load of a dependency, and no more.
//!
//! Every first attempt earns a tenth of a retry. What was earned and not used is kept up to a limit, which is also what a
//! budget begins with, so that a rare call can be retried too. After any number of first attempts, at most a tenth of
//! them and that limit have been retried: in an outage, retries cannot multiply what producers already send.

/// First attempts that earn one retry.
pub const FIRST_ATTEMPTS_PER_RETRY: u32 = 10;
/// Retries that a budget holds at most, and begins with.
pub const RETRIES_KEPT_MAX: u32 = 10;

/// What is left of it, in tenths of a retry.
#[derive(Debug)]
pub struct Budget {
    tenths: u32,
}

impl Budget {
    /// A full budget.
    pub fn full() -> Self {
        Budget { tenths: RETRIES_KEPT_MAX * FIRST_ATTEMPTS_PER_RETRY }
    }

    /// Earns for a first attempt.
    pub fn earn(&mut self) {
        self.tenths = (self.tenths + 1).min(RETRIES_KEPT_MAX * FIRST_ATTEMPTS_PER_RETRY);
    }

    /// Takes one retry, if there is one.
    pub fn take(&mut self) -> bool {
        match self.tenths.checked_sub(FIRST_ATTEMPTS_PER_RETRY) {
            Some(left) => {
                self.tenths = left;
                true
            }
            None => false,
        }
    }
}
