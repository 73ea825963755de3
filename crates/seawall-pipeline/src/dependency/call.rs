//! One dependency: admits calls, bounds them, retries the harmless ones, and remembers how they went.

use std::sync::Arc;

use parking_lot::Mutex;
use seawall_base::error::Result;
use seawall_base::{Error, ErrorKind, Instant, Rng, Span};
use tracing::{info, warn};

use super::backoff::Backoff;
use super::breaker::{self, Breaker, Outcome, State, Step, Ticket};
use super::budget::Budget;
use super::fault;
use super::scope;
use super::set::{Change, Changes};
use super::timer::Timer;

/// Bounds of a dependency.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// When the breaker opens and closes.
    pub breaker: breaker::Options,
    /// Calls in flight; one more is refused.
    pub calls_inflight_max: usize,
    /// Attempts of one idempotent call.
    pub attempts_max: u32,
    /// Pauses between them.
    pub backoff: Backoff,
    /// Codes of errors of kind `Unavailable` that say nothing about the dependency.
    pub harmless_codes: &'static [&'static str],
}

/// An operation of a dependency: a fault point of this name, and how long it may take.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// Its name: `append`.
    pub name: &'static str,
    /// How long all attempts together may take.
    pub deadline: Span,
    /// An answer that takes longer counts as slow.
    pub slow_after: Span,
}

/// A call that may be made again without harm.
pub struct Idempotent<F>(F);

impl<F> Idempotent<F> {
    /// The call, and why a second one does no harm: the reason is for whoever reads the code.
    pub fn because(reason: &'static str, call: F) -> Self {
        debug_assert!(!reason.is_empty(), "say why the call may be repeated");
        Idempotent(call)
    }
}

/// How calls went since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Answered, if only with an error of the caller.
    pub answered: u64,
    /// Answered, but late.
    pub slow: u64,
    /// Failed or said that it cannot.
    pub failed: u64,
    /// No answer within the deadline.
    pub timed_out: u64,
    /// Given up by the caller.
    pub abandoned: u64,
    /// Refused because the breaker is open.
    pub refused: u64,
    /// Refused because enough calls are in flight.
    pub shed: u64,
    /// Attempts after the first of a call.
    pub retried: u64,
    /// Retries that the budget had nothing left for.
    pub retries_denied: u64,
}

/// The newest error that told that a dependency is away.
#[derive(Debug, Clone, serde::Serialize)]
pub struct LastError {
    /// Its code.
    pub code: &'static str,
    /// What it said.
    pub message: String,
    /// How long ago, in milliseconds.
    pub ago_ms: u64,
}

/// How a dependency is.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Health {
    /// Its name.
    pub name: &'static str,
    /// What its breaker does.
    pub state: State,
    /// While it refuses: until it may be tried again, in milliseconds.
    pub retry_in_ms: Option<u64>,
    /// Since when it did not answer, in milliseconds; none while the breaker is closed.
    pub away_for_ms: Option<u64>,
    /// Calls in flight.
    pub calls_inflight: usize,
    /// Calls that may be.
    pub calls_inflight_max: usize,
    /// How calls went.
    pub calls: Counts,
    /// What it said last when it failed.
    pub last_error: Option<LastError>,
}

/// What can be away or slow.
pub struct Dependency {
    name: &'static str,
    options: Options,
    timer: Arc<dyn Timer>,
    rng: Arc<dyn Rng>,
    faults: fault::Points,
    state: Mutex<Calls>,
    changes: Arc<Changes>,
}

/// Everything that changes, behind one lock that is held for a decision and never across a call.
struct Calls {
    breaker: Breaker,
    budget: Budget,
    inflight: usize,
    counts: Counts,
    last_error: Option<(Instant, &'static str, String)>,
    away_since: Option<Instant>,
}

impl Dependency {
    pub(super) fn new(
        name: &'static str,
        options: Options,
        timer: Arc<dyn Timer>,
        rng: Arc<dyn Rng>,
        changes: Arc<Changes>,
    ) -> Self {
        let state = Calls {
            breaker: Breaker::new(options.breaker),
            budget: Budget::full(),
            inflight: 0,
            counts: Counts::default(),
            last_error: None,
            away_since: None,
        };
        Dependency { name, options, timer, rng, faults: fault::Points::default(), state: Mutex::new(state), changes }
    }

    /// Its name, as in metrics and status.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Where tests and drills let it fail.
    pub fn faults(&self) -> &fault::Points {
        &self.faults
    }

    /// Refuses every call for a while, as if it were away.
    pub fn force_open(&self, span: Span) {
        let now = self.timer.now();
        let mut calls = self.state.lock();
        let step = stepped(&mut calls.breaker, |breaker| breaker.force_open(now + span));
        self.told(&mut calls, step, now);
    }

    /// Ends [`Dependency::force_open`].
    pub fn release(&self) {
        let now = self.timer.now();
        let mut calls = self.state.lock();
        let step = stepped(&mut calls.breaker, Breaker::release);
        self.told(&mut calls, step, now);
    }

    /// How it is.
    pub fn health(&self) -> Health {
        let now = self.timer.now();
        let calls = self.state.lock();
        Health {
            name: self.name,
            state: calls.breaker.state(),
            retry_in_ms: calls.breaker.refuses_until().map(|until| milliseconds(until - now)),
            away_for_ms: calls.away_since.map(|since| milliseconds(now - since)),
            calls_inflight: calls.inflight,
            calls_inflight_max: self.options.calls_inflight_max,
            calls: calls.counts,
            last_error: calls.last_error.as_ref().map(|(at, code, message)| LastError {
                code,
                message: message.clone(),
                ago_ms: milliseconds(now - *at),
            }),
        }
    }

    /// When a call may be admitted again, while the breaker refuses all of them.
    pub(super) fn refuses_until(&self) -> Option<Instant> {
        self.state.lock().breaker.refuses_until()
    }

    /// Makes a call once.
    pub async fn once<T>(&self, operation: Operation, call: impl Future<Output = Result<T>>) -> Result<T> {
        self.state.lock().budget.earn();
        let deadline = self.deadline(operation);
        self.attempt(operation, deadline, scope::until(deadline, call)).await
    }

    /// Makes a call that does not wait, once. It cannot be cut off: its deadline only tells whether it was slow.
    pub fn once_blocking<T>(&self, operation: Operation, call: impl FnOnce() -> Result<T>) -> Result<T> {
        self.state.lock().budget.earn();
        let admitted = self.admit(operation)?;
        let outcome = call();
        admitted.end(&outcome);
        outcome
    }

    /// Makes a call, and again when the dependency was away, as far as the deadline and the budget go.
    pub async fn repeat<T, W: Future<Output = Result<T>>>(
        &self,
        operation: Operation,
        call: Idempotent<impl FnMut() -> W>,
    ) -> Result<T> {
        let Idempotent(mut call) = call;
        let deadline = self.deadline(operation);
        self.state.lock().budget.earn();
        let mut failures = 0;
        loop {
            let outcome = self.attempt(operation, deadline, scope::attempt(deadline, call())).await;
            let Err(error) = &outcome else { return outcome };
            failures += 1;
            if !self.is_away(error) || !self.may_retry(error, failures) {
                return outcome;
            }
            let at = self.timer.now() + self.options.backoff.pause(failures, self.rng.as_ref());
            if at >= deadline {
                return outcome;
            }
            if !self.take_retry() {
                return outcome;
            }
            self.timer.wait_until(at).await;
        }
    }

    /// Whether an error tells that the dependency is away.
    fn is_away(&self, error: &Error) -> bool {
        is_away(error) && !self.options.harmless_codes.contains(&error.code())
    }

    /// A refusal is final: repeating it at once would turn shedding into load.
    fn may_retry(&self, error: &Error, failures: u32) -> bool {
        failures < self.options.attempts_max && !is_refusal(error) && !scope::retries_above()
    }

    fn take_retry(&self) -> bool {
        let mut calls = self.state.lock();
        let taken = calls.budget.take();
        match taken {
            true => calls.counts.retried += 1,
            false => calls.counts.retries_denied += 1,
        }
        taken
    }

    fn deadline(&self, operation: Operation) -> Instant {
        scope::deadline().min(self.timer.now() + operation.deadline)
    }

    async fn attempt<T>(
        &self,
        operation: Operation,
        deadline: Instant,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let admitted = self.admit(operation)?;
        let call = self.faults.around(operation.name, self.timer.as_ref(), call);
        let outcome = tokio::select! {
            biased;
            outcome = call => outcome,
            () = self.timer.wait_until(deadline) => Err(self.late(operation)),
        };
        admitted.end(&outcome);
        outcome
    }

    fn admit(&self, operation: Operation) -> Result<Admitted<'_>> {
        let now = self.timer.now();
        let mut calls = self.state.lock();
        if calls.inflight >= self.options.calls_inflight_max {
            calls.counts.shed += 1;
            return Err(self.full(operation));
        }
        let mut admitted = None;
        let step = stepped(&mut calls.breaker, |breaker| admitted = Some(breaker.admit(now)));
        self.told(&mut calls, step, now);
        match admitted.expect("the closure above was called") {
            Ok(ticket) => {
                calls.inflight += 1;
                Ok(Admitted { dependency: self, operation, began: now, ticket: Some(ticket) })
            }
            Err(refused) => {
                calls.counts.refused += 1;
                let cause = calls.last_error.as_ref().map(|(_, code, message)| format!("[{code}] {message}"));
                Err(self.open(operation, refused.retry_at - now, cause))
            }
        }
    }

    fn late(&self, operation: Operation) -> Error {
        let message = format!("{} of {} did not answer in time", operation.name, self.name);
        Error::new(ErrorKind::Unavailable, "SW1301", message)
            .hint("it is slow or hangs: `seawall status` shows how it is; try again later")
    }

    fn open(&self, operation: Operation, retry_in: Span, cause: Option<String>) -> Error {
        let seconds = milliseconds(retry_in).div_ceil(1_000);
        let message = format!("{} of {} is refused, because the latter is away", operation.name, self.name);
        let error = Error::new(ErrorKind::Unavailable, "SW1302", message)
            .hint(format!("it is tried again in {seconds} s; `seawall status` shows how it is"));
        match cause {
            Some(cause) => error.because(cause),
            None => error,
        }
    }

    fn full(&self, operation: Operation) -> Error {
        let most = self.options.calls_inflight_max;
        let message = format!("{} of {} is refused, because {most} calls are in flight", operation.name, self.name);
        Error::new(ErrorKind::Unavailable, "SW1303", message).hint("try again in a moment")
    }

    /// Says and keeps what a person must know: that the dependency went away, or is back. Probes are neither.
    fn told(&self, calls: &mut Calls, step: Option<Step>, now: Instant) {
        let Some(step) = step else { return };
        let last = calls.last_error.as_ref().map(|(_, code, message)| format!("[{code}] {message}"));
        let away_ms = calls.away_since.map(|since| milliseconds(now - since));
        match step.to {
            State::Open if step.from == State::Closed => {
                calls.away_since = Some(now);
                warn!(dependency = self.name, last_error = last, "a dependency is away, calls to it are refused");
            }
            State::ForcedOpen => {
                calls.away_since.get_or_insert(now);
                warn!(dependency = self.name, "calls to a dependency are refused on demand");
            }
            State::Closed => {
                calls.away_since = None;
                info!(dependency = self.name, away_ms, "a dependency is back");
            }
            State::Open | State::HalfOpen => return,
        }
        let refused = calls.counts.refused;
        self.changes.keep(Change { dependency: self.name, to: step.to, last_error: last, away_ms, refused });
    }
}

/// Whether an error says that something is away and may come back by itself. A store that refuses our credentials
/// (`SW0512` of kind `Denied`) does, too: somebody renews them.
pub(crate) fn is_away(error: &Error) -> bool {
    error.kind() == ErrorKind::Unavailable || error.code() == "SW0512"
}

/// Whether an error says that a call was never made.
pub(super) fn is_refusal(error: &Error) -> bool {
    matches!(error.code(), "SW1302" | "SW1303")
}

/// The step that `work` makes a breaker take, if it does.
fn stepped(breaker: &mut Breaker, work: impl FnOnce(&mut Breaker)) -> Option<Step> {
    let from = breaker.state();
    work(breaker);
    let to = breaker.state();
    (from != to).then_some(Step { from, to })
}

fn milliseconds(span: Span) -> u64 {
    u64::try_from(span.0 / 1_000).unwrap_or(0)
}

/// A call in flight. Dropped without an end, it was given up by its caller.
struct Admitted<'a> {
    dependency: &'a Dependency,
    operation: Operation,
    began: Instant,
    ticket: Option<Ticket>,
}

impl Admitted<'_> {
    fn end<T>(mut self, result: &Result<T>) {
        let now = self.dependency.timer.now();
        let outcome = match result {
            Err(error) if self.dependency.is_away(error) => Outcome::Failed,
            _ if now - self.began > self.operation.slow_after => Outcome::Slow,
            _ => Outcome::Answered,
        };
        self.settle(outcome, result.as_ref().err(), now);
    }

    fn settle(&mut self, outcome: Outcome, error: Option<&Error>, now: Instant) {
        let Some(ticket) = self.ticket.take() else { return };
        let mut calls = self.dependency.state.lock();
        calls.inflight -= 1;
        let timed_out = error.is_some_and(|error| error.code() == "SW1301");
        match outcome {
            Outcome::Answered if timed_out => calls.counts.timed_out += 1,
            Outcome::Answered => calls.counts.answered += 1,
            Outcome::Slow if timed_out => calls.counts.timed_out += 1,
            Outcome::Slow => calls.counts.slow += 1,
            Outcome::Failed if timed_out => calls.counts.timed_out += 1,
            Outcome::Failed => calls.counts.failed += 1,
            Outcome::Abandoned => calls.counts.abandoned += 1,
        }
        if let (Outcome::Failed, Some(error)) = (outcome, error) {
            calls.last_error = Some((now, error.code(), error.to_string()));
        }
        let step = stepped(&mut calls.breaker, |breaker| breaker.record(ticket, outcome, now));
        self.dependency.told(&mut calls, step, now);
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        let now = self.dependency.timer.now();
        self.settle(Outcome::Abandoned, None, now);
    }
}
