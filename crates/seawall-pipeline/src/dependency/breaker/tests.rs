//! The breaker against a slow, obvious model that keeps everything that ever happened.

use proptest::prelude::*;
use seawall_base::{Instant, Span};

use super::{Breaker, Options, Outcome, State, Ticket};

const OPTIONS: Options = Options {
    window_calls_max: 6,
    window_span: Span(1_000),
    window_calls_min: 3,
    failed_percent: 50,
    slow_percent: 80,
    open_min: Span(100),
    open_max: Span(450),
    probes_inflight_max: 2,
    probes_to_close: 3,
};

#[derive(Debug, Clone, Copy)]
enum Event {
    Wait(i64),
    Call,
    /// Ends the n-th call in flight.
    End(usize, Outcome),
    Force(i64),
    Release,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let outcome = prop_oneof![
        3 => Just(Outcome::Answered),
        1 => Just(Outcome::Slow),
        3 => Just(Outcome::Failed),
        1 => Just(Outcome::Abandoned),
    ];
    let event = prop_oneof![
        4 => (0..300_i64).prop_map(Event::Wait),
        8 => Just(Event::Call),
        8 => (0..4_usize, outcome).prop_map(|(call, outcome)| Event::End(call, outcome)),
        1 => (0..300_i64).prop_map(Event::Force),
        1 => Just(Event::Release),
    ];
    proptest::collection::vec(event, 1..200)
}

/// The model: the history since the last change of state, looked at afresh for each decision.
struct Model {
    state: State,
    since: usize,
    until: i64,
    opened_in_a_row: u32,
    calls: Vec<Call>,
    /// Every call that ended, in order: which one, when and how.
    ended: Vec<(usize, i64, Outcome)>,
}

struct Call {
    /// The state that admitted it, as a place in their history.
    period: usize,
    is_inflight: bool,
}

impl Model {
    fn new() -> Self {
        Model { state: State::Closed, since: 0, until: 0, opened_in_a_row: 0, calls: Vec::new(), ended: Vec::new() }
    }

    fn change(&mut self, state: State) {
        self.state = state;
        self.since += 1;
    }

    /// When and how calls ended that the present state admitted.
    fn of_this_period(&self) -> impl DoubleEndedIterator<Item = (i64, Outcome)> {
        let admitted_now = |(call, _, _): &&(usize, i64, Outcome)| self.calls[*call].period == self.since;
        self.ended.iter().filter(admitted_now).map(|(_, at, outcome)| (*at, *outcome))
    }

    fn admit(&mut self, now: i64) -> Option<usize> {
        if matches!(self.state, State::Open | State::ForcedOpen) && now >= self.until {
            if self.state == State::ForcedOpen {
                self.opened_in_a_row = 0;
            }
            self.change(State::HalfOpen);
        }
        let admitted = match self.state {
            State::Closed => true,
            State::HalfOpen => {
                self.calls.iter().filter(|call| call.period == self.since && call.is_inflight).count() < 2
            }
            State::Open | State::ForcedOpen => false,
        };
        admitted.then(|| {
            self.calls.push(Call { period: self.since, is_inflight: true });
            self.calls.len() - 1
        })
    }

    fn end(&mut self, call: usize, outcome: Outcome, now: i64) {
        self.calls[call].is_inflight = false;
        self.ended.push((call, now, outcome));
        if self.calls[call].period != self.since {
            return;
        }
        match self.state {
            State::Closed => {
                let counts = |(_, outcome): &(i64, Outcome)| *outcome != Outcome::Abandoned;
                let newest = self.of_this_period().rev().filter(counts).take(6);
                let newest: Vec<(i64, Outcome)> = newest.filter(|(at, _)| now - at <= 1_000).collect();
                let failed = newest.iter().filter(|(_, outcome)| *outcome == Outcome::Failed).count() as f64;
                let slow = newest.iter().filter(|(_, outcome)| *outcome == Outcome::Slow).count() as f64;
                let calls = newest.len() as f64;
                let is_bad = failed / calls >= 0.5 || (failed + slow) / calls >= 0.8;
                if newest.len() >= 3 && is_bad {
                    self.opened_in_a_row = 0;
                    self.open(now);
                }
            }
            State::HalfOpen => match outcome {
                Outcome::Failed | Outcome::Slow => self.open(now),
                Outcome::Answered => {
                    if self.of_this_period().filter(|(_, outcome)| *outcome == Outcome::Answered).count() >= 3 {
                        self.change(State::Closed);
                    }
                }
                Outcome::Abandoned => {}
            },
            State::Open | State::ForcedOpen => unreachable!("no call was admitted in this period"),
        }
    }

    fn open(&mut self, now: i64) {
        self.until = now + [100, 200, 400, 450][self.opened_in_a_row.min(3) as usize];
        self.opened_in_a_row += 1;
        self.change(State::Open);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_breaker_decides_as_its_model_does(events in events()) {
        let (mut breaker, mut model) = (Breaker::new(OPTIONS), Model::new());
        let mut inflight: Vec<(Ticket, usize)> = Vec::new();
        let mut now = 0;
        for event in events {
            match event {
                Event::Wait(span) => now += span,
                Event::Call => {
                    let (ticket, call) = (breaker.admit(Instant(now)), model.admit(now));
                    prop_assert_eq!(ticket.is_ok(), call.is_some());
                    inflight.extend(ticket.ok().zip(call));
                }
                Event::End(n, outcome) => {
                    if !inflight.is_empty() {
                        let (ticket, call) = inflight.remove(n % inflight.len());
                        breaker.record(ticket, outcome, Instant(now));
                        model.end(call, outcome, now);
                    }
                }
                Event::Force(span) => {
                    breaker.force_open(Instant(now + span));
                    model.until = now + span;
                    model.change(State::ForcedOpen);
                }
                Event::Release => {
                    breaker.release();
                    if model.state == State::ForcedOpen {
                        model.opened_in_a_row = 0;
                        model.change(State::HalfOpen);
                    }
                }
            }
            prop_assert_eq!(breaker.state(), model.state);
        }
    }
}

/// Whatever calls do, half open lets through no more than the quota: this is what keeps a recovering store alive.
#[test]
fn half_open_lets_through_two_at_a_time() {
    let mut breaker = open_at_zero();
    let first = breaker.admit(Instant(100)).unwrap();
    let second = breaker.admit(Instant(100)).unwrap();
    for _ in 0..1_000 {
        assert!(breaker.admit(Instant(100)).is_err());
    }
    breaker.record(first, Outcome::Abandoned, Instant(101));
    let third = breaker.admit(Instant(101)).expect("an abandoned probe gives its place back");
    assert!(breaker.admit(Instant(101)).is_err());
    breaker.record(second, Outcome::Answered, Instant(102));
    breaker.record(third, Outcome::Answered, Instant(102));
    assert_eq!(breaker.state(), State::HalfOpen);
    let last = breaker.admit(Instant(103)).unwrap();
    breaker.record(last, Outcome::Answered, Instant(104));
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn a_late_answer_from_before_closes_nothing() {
    let mut breaker = Breaker::new(OPTIONS);
    let late: Vec<Ticket> = (0..5).map(|_| breaker.admit(Instant(0)).unwrap()).collect();
    for _ in 0..3 {
        let ticket = breaker.admit(Instant(0)).unwrap();
        breaker.record(ticket, Outcome::Failed, Instant(0));
    }
    assert_eq!(breaker.state(), State::Open);
    let probe = breaker.admit(Instant(100)).unwrap();
    for ticket in late {
        breaker.record(ticket, Outcome::Answered, Instant(100));
    }
    assert_eq!(breaker.state(), State::HalfOpen);
    breaker.record(probe, Outcome::Failed, Instant(100));
    assert_eq!(breaker.state(), State::Open);
    assert_eq!(breaker.refuses_until(), Some(Instant(300)), "the second time it stays open twice as long");
}

fn open_at_zero() -> Breaker {
    let mut breaker = Breaker::new(OPTIONS);
    for _ in 0..3 {
        let ticket = breaker.admit(Instant(0)).unwrap();
        breaker.record(ticket, Outcome::Failed, Instant(0));
    }
    assert_eq!(breaker.state(), State::Open);
    breaker
}
