//! The circuit breaker: whether a dependency may be called now, decided from how the last calls went.
//!
//! A pure state machine on instants that are passed in. Closed, it keeps the outcomes of the newest calls, within a count
//! and a time, and opens when enough of them failed or were slow. Open, it refuses until a while has passed, which doubles
//! each time up to a limit. Half open, it lets a few calls at a time through as probes: enough good ones in a row close
//! it, a bad one opens it again. Forced open, for a drill or a person, it refuses until an instant.
//!
//! A ticket belongs to the state that issued it. The result of a call that began in an earlier state is ignored, so that
//! calls from before an outage can neither close nor open anything after it.

use std::collections::VecDeque;

use seawall_base::{Instant, Span};

#[cfg(test)]
mod tests;

/// When a breaker opens and closes.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Calls that are looked at: at most so many of the newest,
    pub window_calls_max: usize,
    /// and none that ended longer ago.
    pub window_span: Span,
    /// Calls in the window before it can open.
    pub window_calls_min: usize,
    /// It opens when at least this share of the window failed.
    pub failed_percent: u8,
    /// It opens when at least this share of the window failed or was slow.
    pub slow_percent: u8,
    /// How long it stays open the first time.
    pub open_min: Span,
    /// How long it stays open at most, after several times in a row.
    pub open_max: Span,
    /// Probes that may be in flight while it is half open.
    pub probes_inflight_max: usize,
    /// Good probes that close it.
    pub probes_to_close: usize,
}

/// How a call went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The dependency answered, if only that the caller is mistaken.
    Answered,
    /// It answered, but took longer than it should.
    Slow,
    /// It did not answer, or said that it cannot.
    Failed,
    /// The caller went away before; this says nothing about the dependency.
    Abandoned,
}

/// What a breaker does with calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// All calls go through.
    Closed,
    /// A few calls go through as probes.
    HalfOpen,
    /// No call goes through.
    Open,
    /// No call goes through, because somebody wants it so.
    ForcedOpen,
}

/// The right to make one call; handed back with its outcome.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a ticket that is not handed back keeps its place among the probes for ever"]
pub struct Ticket {
    generation: u64,
}

/// No call now.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    /// When another try may succeed.
    pub retry_at: Instant,
}

/// A step from one state to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Before.
    pub from: State,
    /// After.
    pub to: State,
}

/// The state machine.
#[derive(Debug)]
pub struct Breaker {
    options: Options,
    phase: Phase,
    /// Counts changes of phase; tickets of another generation say nothing.
    generation: u64,
}

#[derive(Debug)]
enum Phase {
    Closed {
        window: VecDeque<(Instant, Outcome)>,
    },
    /// `times` it has opened in a row, this time included.
    Open {
        until: Instant,
        times: u32,
    },
    HalfOpen {
        inflight: usize,
        good: usize,
        times: u32,
    },
    Forced {
        until: Instant,
    },
}

impl Breaker {
    /// A closed breaker.
    pub fn new(options: Options) -> Self {
        Breaker { options, phase: Phase::Closed { window: VecDeque::new() }, generation: 0 }
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        match self.phase {
            Phase::Closed { .. } => State::Closed,
            Phase::HalfOpen { .. } => State::HalfOpen,
            Phase::Open { .. } => State::Open,
            Phase::Forced { .. } => State::ForcedOpen,
        }
    }

    /// Until when it refuses everything, while it does.
    pub fn refuses_until(&self) -> Option<Instant> {
        match self.phase {
            Phase::Open { until, .. } | Phase::Forced { until } => Some(until),
            Phase::Closed { .. } | Phase::HalfOpen { .. } => None,
        }
    }

    /// Asks for a call.
    pub fn admit(&mut self, now: Instant) -> Result<Ticket, Refused> {
        match self.phase {
            Phase::Open { until, times } if now >= until => self.enter(Phase::HalfOpen { inflight: 0, good: 0, times }),
            Phase::Forced { until } if now >= until => {
                self.enter(Phase::HalfOpen { inflight: 0, good: 0, times: 0 });
            }
            _ => {}
        }
        match &mut self.phase {
            Phase::Closed { .. } => {}
            Phase::HalfOpen { inflight, .. } => {
                if *inflight >= self.options.probes_inflight_max {
                    return Err(Refused { retry_at: now + self.options.open_min });
                }
                *inflight += 1;
            }
            Phase::Open { until, .. } | Phase::Forced { until } => return Err(Refused { retry_at: *until }),
        }
        Ok(Ticket { generation: self.generation })
    }

    /// Takes a ticket back.
    pub fn record(&mut self, ticket: Ticket, outcome: Outcome, now: Instant) {
        if ticket.generation != self.generation {
            return;
        }
        match &mut self.phase {
            Phase::Closed { window } => {
                if outcome != Outcome::Abandoned {
                    window.push_back((now, outcome));
                }
                if opens(window, &self.options, now) {
                    self.open(now, 1);
                }
            }
            Phase::HalfOpen { inflight, good, times } => {
                *inflight -= 1;
                match outcome {
                    Outcome::Answered => {
                        *good += 1;
                        if *good >= self.options.probes_to_close {
                            self.enter(Phase::Closed { window: VecDeque::new() });
                        }
                    }
                    Outcome::Slow | Outcome::Failed => {
                        let times = times.saturating_add(1);
                        self.open(now, times);
                    }
                    Outcome::Abandoned => {}
                }
            }
            Phase::Open { .. } | Phase::Forced { .. } => unreachable!("these phases issue no tickets"),
        }
    }

    /// Refuses everything until an instant, or until [`Breaker::release`].
    pub fn force_open(&mut self, until: Instant) {
        self.enter(Phase::Forced { until });
    }

    /// Ends what [`Breaker::force_open`] began: the next calls are probes.
    pub fn release(&mut self) {
        if let Phase::Forced { .. } = self.phase {
            self.enter(Phase::HalfOpen { inflight: 0, good: 0, times: 0 });
        }
    }

    fn open(&mut self, now: Instant, times: u32) {
        let doubled = self.options.open_min.0.saturating_mul(1_i64 << (times.saturating_sub(1)).min(32));
        let until = now + Span(doubled.min(self.options.open_max.0));
        self.enter(Phase::Open { until, times });
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.generation += 1;
    }
}

/// Drops what is too old or too much, and tells whether the rest is bad enough.
fn opens(window: &mut VecDeque<(Instant, Outcome)>, options: &Options, now: Instant) -> bool {
    while window.len() > options.window_calls_max {
        window.pop_front();
    }
    while window.front().is_some_and(|(at, _)| now - *at > options.window_span) {
        window.pop_front();
    }
    let calls = window.len();
    let failed = window.iter().filter(|(_, outcome)| *outcome == Outcome::Failed).count();
    let slow = window.iter().filter(|(_, outcome)| *outcome == Outcome::Slow).count();
    let reaches = |count: usize, percent: u8| count > 0 && count * 100 >= calls * usize::from(percent);
    calls >= options.window_calls_min
        && (reaches(failed, options.failed_percent) || reaches(failed + slow, options.slow_percent))
}
