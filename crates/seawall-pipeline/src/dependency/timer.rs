//! The time that calls are measured with: it never goes back, whatever happens to the machine's clock.
//!
//! It is not the pipeline's clock. A replay drives that one through months in minutes, and must still wait real seconds
//! for a disk.

use async_trait::async_trait;
use seawall_base::{Clock, Instant, MonotonicClock};
use tokio::sync::watch;

/// Tells the time since some beginning, and waits.
#[async_trait]
pub trait Timer: Send + Sync {
    /// Time since the timer's own beginning.
    fn now(&self) -> Instant;

    /// Returns at `at`, or at once when that has passed.
    async fn wait_until(&self, at: Instant);
}

/// The machine's time.
#[derive(Debug, Default, Clone, Copy)]
pub struct MachineTimer {
    clock: MonotonicClock,
}

#[async_trait]
impl Timer for MachineTimer {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    async fn wait_until(&self, at: Instant) {
        let left = (at - self.now()).0;
        if left > 0 {
            tokio::time::sleep(std::time::Duration::from_micros(left.unsigned_abs())).await;
        }
    }
}

/// Time that stands still until somebody advances it.
#[derive(Debug)]
pub struct DrivenTimer {
    now: watch::Sender<Instant>,
}

impl Default for DrivenTimer {
    fn default() -> Self {
        DrivenTimer { now: watch::Sender::new(Instant(0)) }
    }
}

impl DrivenTimer {
    /// Moves to `now`; an earlier instant changes nothing.
    pub fn advance_to(&self, now: Instant) {
        self.now.send_if_modified(|shown| {
            let forward = now > *shown;
            *shown = now.max(*shown);
            forward
        });
    }
}

#[async_trait]
impl Timer for DrivenTimer {
    fn now(&self) -> Instant {
        *self.now.borrow()
    }

    async fn wait_until(&self, at: Instant) {
        let mut shown = self.now.subscribe();
        // The sender lives as long as this timer.
        let _ = shown.wait_for(|now| *now >= at).await;
    }
}
