//! Counts of requests that carried events and were not taken in as they came.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why a request was cut off before its rows were looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutOff {
    /// There was no room.
    Busy,
    /// It was too large.
    Oversized,
    /// It came too slowly.
    Slow,
    /// The connection ended before the request did.
    Broken,
    /// More connections than allowed were open.
    Crowded,
}

/// Counts since the start.
#[derive(Debug, Default)]
pub struct Counters {
    busy: AtomicU64,
    oversized: AtomicU64,
    slow: AtomicU64,
    broken: AtomicU64,
    crowded: AtomicU64,
    repeated: AtomicU64,
}

impl Counters {
    /// Counts a request that was cut off.
    pub fn cut_off(&self, why: CutOff) {
        self.of(why).fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a repeat that got the answer of an earlier request.
    pub fn repeated(&self) {
        self.repeated.fetch_add(1, Ordering::Relaxed);
    }

    fn of(&self, why: CutOff) -> &AtomicU64 {
        match why {
            CutOff::Busy => &self.busy,
            CutOff::Oversized => &self.oversized,
            CutOff::Slow => &self.slow,
            CutOff::Broken => &self.broken,
            CutOff::Crowded => &self.crowded,
        }
    }

    /// Appends the counts in the Prometheus text format; `taken` is the room in use.
    pub fn render(&self, out: &mut String, taken: usize) {
        let reasons = [
            ("busy", CutOff::Busy),
            ("oversized", CutOff::Oversized),
            ("slow", CutOff::Slow),
            ("broken", CutOff::Broken),
            ("crowded", CutOff::Crowded),
        ];
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "# HELP seawall_ingest_cut_off_total Requests with events that were cut off; nothing of them was kept.\n\
             # TYPE seawall_ingest_cut_off_total counter"
        );
        for (name, why) in reasons {
            let count = self.of(why).load(Ordering::Relaxed);
            let _ = writeln!(out, "seawall_ingest_cut_off_total{{reason=\"{name}\"}} {count}");
        }
        let repeated = self.repeated.load(Ordering::Relaxed);
        let _ = writeln!(
            out,
            "# HELP seawall_ingest_repeated_total Requests that got the answer of an earlier one with the same key.\n\
             # TYPE seawall_ingest_repeated_total counter\n\
             seawall_ingest_repeated_total {repeated}\n\
             # HELP seawall_ingest_inflight_bytes Room that requests with events take.\n\
             # TYPE seawall_ingest_inflight_bytes gauge\n\
             seawall_ingest_inflight_bytes {taken}"
        );
    }
}
