//! Faults: what goes wrong upstream, when, and what the gate must make of it.

use std::fmt;
use std::str::FromStr;

use seawall_base::error::Result;
use seawall_base::{Error, Instant, Span};
use serde::{Deserialize, Serialize};

use super::draw::{Draws, Purpose};

/// How late a late row comes at most.
const LATE_MAX: Span = Span(48 * Span::HOUR.0);
/// How much faster than they were due a source that was stuck delivers what it held.
pub(super) const HELD_SPEED: i64 = 60;

/// A fault that the simulator can inject. Every row is struck by one at most; only [`Fault::FraudChange`], which changes
/// people and not rows, comes beside the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Electronics shops send cents as euros: amounts 100 times too large, of which those above the maximum are
    /// quarantined and the others pass, silently wrong.
    CentsInsteadOfEuros,
    /// Rows without a card: quarantined.
    NullBurst,
    /// Rows delivered hours to two days late: accepted.
    LateRows,
    /// Rows delivered twice: the second is deduplicated.
    Duplicates,
    /// Rows delivered again with another amount: the second is quarantined.
    KeyConflict,
    /// A channel that the contract does not know: quarantined.
    EnumAdded,
    /// Terminals whose clocks run hours ahead: accepted, with event times in the future.
    ClockSkew,
    /// Nothing is delivered for hours, then everything at once: accepted.
    StuckSource,
    /// Batches of a schema version that the contract does not know: rejected as a whole.
    MalformedBatch,
    /// Fraudsters change their ways for good: every row is accepted, and what a model has learnt no longer helps.
    FraudChange,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Fault; 10] = [
        Fault::CentsInsteadOfEuros,
        Fault::NullBurst,
        Fault::LateRows,
        Fault::Duplicates,
        Fault::KeyConflict,
        Fault::EnumAdded,
        Fault::ClockSkew,
        Fault::StuckSource,
        Fault::MalformedBatch,
        Fault::FraudChange,
    ];

    /// Its name in declarations.
    pub fn name(self) -> &'static str {
        match self {
            Fault::CentsInsteadOfEuros => "cents_instead_of_euros",
            Fault::NullBurst => "null_burst",
            Fault::LateRows => "late_rows",
            Fault::Duplicates => "duplicates",
            Fault::KeyConflict => "key_conflict",
            Fault::EnumAdded => "enum_added",
            Fault::ClockSkew => "clock_skew",
            Fault::StuckSource => "stuck_source",
            Fault::MalformedBatch => "malformed_batch",
            Fault::FraudChange => "fraud_change",
        }
    }

    /// Its short name, for people who inject it by hand.
    pub fn short(self) -> &'static str {
        match self {
            Fault::CentsInsteadOfEuros => "cents",
            Fault::NullBurst => "nulls",
            Fault::LateRows => "late",
            Fault::Duplicates => "duplicates",
            Fault::KeyConflict => "conflict",
            Fault::EnumAdded => "enum",
            Fault::ClockSkew => "skew",
            Fault::StuckSource => "stuck",
            Fault::MalformedBatch => "malformed",
            Fault::FraudChange => "fraud",
        }
    }

    /// The fault of a short or full name. Fails with `SW0723` for any other.
    pub fn from_short(text: &str) -> Result<Fault> {
        Fault::ALL.into_iter().find(|fault| fault.short() == text || fault.name() == text).ok_or_else(|| {
            Error::invalid("SW0723", format!("there is no fault {text:?} to inject"))
                .hint(format!("name one of {}", Fault::ALL.map(Fault::short).join(", ")))
        })
    }

    /// What happened upstream, for people.
    pub fn cause(self) -> &'static str {
        match self {
            Fault::CentsInsteadOfEuros => "a release of the electronics shops' checkout sends amounts in cents",
            Fault::NullBurst => "the card vault was down, so that payments were sent without their card",
            Fault::LateRows => "a regional gateway lost its connection and delivered what it had kept later",
            Fault::Duplicates => "a producer repeated requests whose answers it had not seen",
            Fault::KeyConflict => "a producer corrected amounts under payment ids that were in use",
            Fault::EnumAdded => "a new kind of terminal reports the channel kiosk, which the contract does not know",
            Fault::ClockSkew => "the clocks of a terminal model ran hours ahead",
            Fault::StuckSource => "the message broker was stuck and delivered everything when it recovered",
            Fault::MalformedBatch => "a producer was upgraded to schema version 99 before the contract was",
            Fault::FraudChange => "fraudsters left the web shops: one small payment at a terminal, close to home",
        }
    }

    /// How long it lasts when the period is long enough; for good when none.
    fn lasts(self) -> Option<Span> {
        let hours = match self {
            Fault::CentsInsteadOfEuros | Fault::EnumAdded => 24,
            Fault::LateRows | Fault::Duplicates | Fault::KeyConflict => 12,
            Fault::NullBurst | Fault::ClockSkew => 6,
            Fault::StuckSource => 8,
            Fault::MalformedBatch => 2,
            Fault::FraudChange => return None,
        };
        Some(Span(hours * Span::HOUR.0))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Fault {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Fault::ALL.into_iter().find(|fault| fault.name() == text).ok_or_else(|| {
            Error::invalid("SW0721", format!("the simulator has no fault {text:?}"))
                .hint(format!("its faults are {}", Fault::ALL.map(Fault::name).join(", ")))
        })
    }
}

/// When a fault strikes: payments made at `start <= t < end`, or for a stuck source, deliveries due then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Which one.
    pub fault: Fault,
    /// Its beginning.
    pub start: Instant,
    /// Its end, exclusive; [`Instant::MAX`] when it stays for good.
    pub end: Instant,
    /// How late a late row comes at most.
    pub(super) late_max: Span,
}

impl Window {
    /// The window of a fault that begins at `at` and lasts as long as it usually does.
    pub(super) fn from(fault: Fault, at: Instant) -> Window {
        let end = fault.lasts().map_or(Instant::MAX, |lasts| at + lasts);
        Window { fault, start: at, end, late_max: LATE_MAX }
    }

    pub(super) fn contains(&self, at: Instant) -> bool {
        self.start <= at && at < self.end
    }

    /// The instant from which nothing of what it held back is left to deliver.
    pub(super) fn over(&self) -> Instant {
        match self.fault {
            Fault::StuckSource => self.end + Span((self.end - self.start).0 / HELD_SPEED + 2),
            _ => self.end,
        }
    }
}

/// The faults of a period, ordered by start.
///
/// Fraudsters change their ways after 40 % of the period, at midnight; other faults lie in the part from 42 % to 88 %,
/// when a first model can exist, in an order drawn from the seed. Each of them has a slot of its own and lies inside of
/// it with a quarter of the slot free on both sides, so that a repeated or held delivery of one fault never falls into
/// the window of another; only late rows can.
pub(super) fn windows(seed: u64, start: Instant, length: Span, faults: &[Fault]) -> Vec<Window> {
    let mut order: Vec<Fault> = faults.to_vec();
    order.sort();
    order.dedup();
    let mut windows = Vec::with_capacity(order.len());
    if order.contains(&Fault::FraudChange) {
        order.retain(|fault| *fault != Fault::FraudChange);
        let change = (start + Span(length.0 / 10 * 4)).floor(Span::DAY).max(start);
        windows.push(Window { end: start + length, ..Window::from(Fault::FraudChange, change) });
    }
    let mut draws = Draws::of(seed, Purpose::FaultWindow, 0);
    for place in (1..order.len()).rev() {
        order.swap(place, draws.below(place as u64 + 1) as usize);
    }
    let slot = length.0 / 100 * 46 / (order.len() as i64).max(1);
    for (place, fault) in order.into_iter().enumerate() {
        let slot_start = start.0 + length.0 / 100 * 42 + slot * place as i64;
        let lasts = fault.lasts().map_or(slot / 2, |lasts| lasts.0.min(slot / 2));
        let latest_start = slot_start + slot / 4 * 3 - lasts;
        let mut window_start = draws.between(slot_start + slot / 4, latest_start + 1);
        // At night little happens; in a long slot a fault begins in the morning.
        let morning = window_start - window_start.rem_euclid(Span::DAY.0) + 8 * Span::HOUR.0;
        if (slot_start + slot / 4..=latest_start).contains(&morning) {
            window_start = morning;
        }
        let end = Instant(window_start + lasts);
        // Late rows come within the period, so that they are part of its truth.
        let late_max = Span(((start + length) - end).0 / 4 * 3).min(LATE_MAX);
        windows.push(Window { fault, start: Instant(window_start), end, late_max });
    }
    windows
}
