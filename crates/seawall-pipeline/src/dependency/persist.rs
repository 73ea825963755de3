//! Persistence: for the few tasks that must get through however long a dependency is away, such as the table writer.
//!
//! There is no loop here: the task keeps its own, stays responsive, and asks [`Patience`] when the next try is due. Calls
//! made inside [`attempt`] are not retried below it, so one layer retries. Tries are rare and one at a time, and
//! wait for the breaker: they add nothing to an overload.

use std::sync::Arc;

use seawall_base::error::Result;
use seawall_base::{Instant, Span};

use super::backoff::Backoff;
use super::call::is_away;
use super::scope;
use super::set::Dependencies;

/// Pauses of whoever persists.
const BACKOFF: Backoff = Backoff { first: Span(50_000), cap: Span(5 * Span::SECOND.0) };

/// Makes one try.
pub async fn attempt<T>(work: impl Future<Output = T>) -> T {
    scope::attempt(scope::deadline(), work).await
}

/// Repeats `work` until what it needs is there; what else is wrong is the answer.
pub async fn through<T, W: Future<Output = Result<T>>>(
    patience: &mut Patience,
    mut work: impl FnMut() -> W,
) -> Result<T> {
    loop {
        patience.due().await;
        match attempt(work()).await {
            Err(error) if is_away(&error) => patience.failed(),
            outcome => {
                patience.succeeded();
                return outcome;
            }
        }
    }
}

/// When the next try is due.
pub struct Patience {
    dependencies: Arc<Dependencies>,
    failures: u32,
    not_before: Option<Instant>,
}

impl Patience {
    /// The first try is due at once.
    pub fn new(dependencies: Arc<Dependencies>) -> Self {
        Patience { dependencies, failures: 0, not_before: None }
    }

    /// The last try succeeded.
    pub fn succeeded(&mut self) {
        self.failures = 0;
        self.not_before = None;
    }

    /// The last try failed: the next is due after a pause, and not while tables refuse everything.
    pub fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
        let pause = BACKOFF.pause(self.failures, self.dependencies.rng().as_ref());
        let now = self.dependencies.timer().now();
        let refused = [&self.dependencies.table_reads, &self.dependencies.table_writes, &self.dependencies.catalog]
            .into_iter()
            .filter_map(|dependency| dependency.refuses_until())
            .max();
        self.not_before = Some((now + pause).max(refused.unwrap_or(now)));
    }

    /// Tries that failed since one succeeded.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Returns when the next try is due.
    pub async fn due(&self) {
        if let Some(at) = self.not_before {
            self.dependencies.timer().wait_until(at).await;
        }
    }
}
