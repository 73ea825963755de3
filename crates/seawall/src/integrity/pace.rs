//! How fast a check may read, and who is told how far it is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Told what was read, and how many bytes in all.
pub type Progress = Box<dyn Fn(&str, u64) + Send + Sync>;

/// Told that a unit of a check, a data file or a segment, is done.
pub type OnUnit = Box<dyn Fn(&str) + Send + Sync>;

/// The pace of a check, and where it begins.
pub struct Pace {
    bytes: AtomicU64,
    bytes_per_second_max: Option<u64>,
    progress: Progress,
    after: Option<String>,
    on_unit: Option<OnUnit>,
}

impl Pace {
    /// As fast as the disk goes.
    pub fn unbounded(progress: Progress) -> Pace {
        Pace { bytes: AtomicU64::new(0), bytes_per_second_max: None, progress, after: None, on_unit: None }
    }

    /// At most so many bytes per second, over any stretch longer than one file.
    pub fn bounded(bytes_per_second_max: u64, progress: Progress) -> Pace {
        Pace { bytes_per_second_max: Some(bytes_per_second_max.max(1)), ..Pace::unbounded(progress) }
    }

    /// Begins behind the unit `after`, and tells every unit that is done, so that a check that was cut off goes on there.
    pub fn resuming(self, after: Option<String>, on_unit: OnUnit) -> Pace {
        Pace { after, on_unit: Some(on_unit), ..self }
    }

    /// Whether an earlier part of this check has done the unit already. Units come in the order of their names.
    pub fn is_past(&self, unit: &str) -> bool {
        self.after.as_deref().is_some_and(|after| unit <= after)
    }

    /// Whether this is the later part of a check.
    pub fn is_resumed(&self) -> bool {
        self.after.is_some()
    }

    /// To be told when a unit is done.
    pub fn finished(&self, unit: &str) {
        if let Some(on_unit) = &self.on_unit {
            on_unit(unit);
        }
    }

    /// To be told after every file; rests as long as the pace asks for.
    pub async fn read(&self, what: &str, bytes: u64) {
        let all = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        (self.progress)(what, all);
        if let Some(rate) = self.bytes_per_second_max {
            tokio::time::sleep(Duration::from_micros(bytes.saturating_mul(1_000_000) / rate)).await;
        }
    }
}
