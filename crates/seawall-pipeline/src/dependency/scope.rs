//! What a call inherits from its caller: until when an answer is of use, and whether somebody above tries again already.
//!
//! A deadline is a point in time and is passed down, so that what lies below cannot take longer than who asked waits. At
//! most one layer retries: three layers with three attempts each would make 27 calls out of one.

use seawall_base::Instant;

#[derive(Debug, Clone, Copy)]
struct Scope {
    deadline: Instant,
    retries_above: bool,
}

tokio::task_local! {
    static SCOPE: Scope;
}

fn current() -> Scope {
    SCOPE.try_with(|scope| *scope).unwrap_or(Scope { deadline: Instant::MAX, retries_above: false })
}

/// The instant after which the caller has no use for an answer.
pub fn deadline() -> Instant {
    current().deadline
}

/// Whether a caller above tries again when this fails.
pub(super) fn retries_above() -> bool {
    current().retries_above
}

/// Runs `work`, whose calls may take until `at`, or less when the caller has less time.
pub async fn until<T>(at: Instant, work: impl Future<Output = T>) -> T {
    let above = current();
    SCOPE.scope(Scope { deadline: at.min(above.deadline), ..above }, work).await
}

/// Runs one attempt of `work`, which the caller tries again if it fails.
pub(super) async fn attempt<T>(at: Instant, work: impl Future<Output = T>) -> T {
    SCOPE.scope(Scope { deadline: at, retries_above: true }, work).await
}
