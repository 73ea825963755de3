//! The machine's clock, for pauses and deadlines of the harnesses; no verdict depends on it.

#![allow(clippy::disallowed_methods, reason = "the harnesses measure a process from outside; no port drives them")]

use std::time::{Duration, Instant, SystemTime};

/// Time since its start.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    pub fn start() -> Stopwatch {
        Stopwatch(Instant::now())
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Seconds since 1970.
pub fn now_s() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
