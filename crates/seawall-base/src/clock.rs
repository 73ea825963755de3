//! The clock port: real time for `serve` and `run`, driven time for `replay`.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::time::Instant;

/// Tells the time. Nothing else in the workspace reads a clock.
pub trait Clock: Send + Sync {
    /// The present instant.
    fn now(&self) -> Instant;
}

/// The machine's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now(&self) -> Instant {
        let now = std::time::SystemTime::now();
        match now.duration_since(std::time::UNIX_EPOCH) {
            Ok(since) => Instant(i64::try_from(since.as_micros()).unwrap_or(i64::MAX)),
            Err(before) => Instant(-i64::try_from(before.duration().as_micros()).unwrap_or(i64::MAX)),
        }
    }
}

/// Simulated time: stands still until somebody advances it, and never goes back.
#[derive(Debug)]
pub struct DrivenClock(AtomicI64);

impl DrivenClock {
    /// A clock that shows `start`.
    pub fn starting_at(start: Instant) -> Self {
        DrivenClock(AtomicI64::new(start.0))
    }

    /// Moves to `now`; an earlier instant changes nothing.
    pub fn advance_to(&self, now: Instant) {
        self.0.fetch_max(now.0, Ordering::SeqCst);
    }
}

impl Clock for DrivenClock {
    fn now(&self) -> Instant {
        Instant(self.0.load(Ordering::SeqCst))
    }
}

/// Time since the first use of this clock in the process. Never goes back and never jumps, whatever happens to the
/// machine's date; for measuring how long something takes, not for telling when it happened.
#[derive(Debug, Default, Clone, Copy)]
pub struct MonotonicClock;

impl Clock for MonotonicClock {
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now(&self) -> Instant {
        static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
        let elapsed = START.get_or_init(std::time::Instant::now).elapsed();
        Instant(i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX))
    }
}
