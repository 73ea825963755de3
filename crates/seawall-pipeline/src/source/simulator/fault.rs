//! Faults: what goes wrong upstream, when, and what the gate must make of it.

use std::fmt;
use std::str::FromStr;

use seawall_base::error::Result;
use seawall_base::{Error, Instant, Span};
use serde::{Deserialize, Serialize};

use super::draw::{Draws, Purpose};

/// A fault that the simulator can inject. Every row has at most one.
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
}

impl Fault {
    /// Every fault.
    pub const ALL: [Fault; 9] = [
        Fault::CentsInsteadOfEuros,
        Fault::NullBurst,
        Fault::LateRows,
        Fault::Duplicates,
        Fault::KeyConflict,
        Fault::EnumAdded,
        Fault::ClockSkew,
        Fault::StuckSource,
        Fault::MalformedBatch,
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
        }
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
        }
    }

    /// How long it lasts when the period is long enough.
    fn lasts(self) -> Span {
        let hours = match self {
            Fault::CentsInsteadOfEuros | Fault::EnumAdded => 24,
            Fault::LateRows | Fault::Duplicates | Fault::KeyConflict => 12,
            Fault::NullBurst | Fault::ClockSkew => 6,
            Fault::StuckSource => 8,
            Fault::MalformedBatch => 2,
        };
        Span(hours * Span::HOUR.0)
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
pub(super) struct Window {
    pub(super) fault: Fault,
    pub(super) start: Instant,
    pub(super) end: Instant,
}

impl Window {
    pub(super) fn contains(&self, at: Instant) -> bool {
        self.start <= at && at < self.end
    }
}

/// Spreads the faults over the middle of the period, in an order drawn from the seed.
///
/// Each fault has a slot of its own and lies inside of it with a quarter of the slot free on both sides, so that a
/// repeated or held delivery of one fault never falls into the window of another; only late rows can.
pub(super) fn windows(seed: u64, start: Instant, length: Span, faults: &[Fault]) -> Vec<Window> {
    let mut order: Vec<Fault> = faults.to_vec();
    order.sort();
    order.dedup();
    let mut draws = Draws::of(seed, Purpose::FaultWindow, 0);
    for place in (1..order.len()).rev() {
        order.swap(place, draws.below(place as u64 + 1) as usize);
    }
    let slot = length.0 / 10 * 8 / (order.len() as i64).max(1);
    let mut windows = Vec::with_capacity(order.len());
    for (place, fault) in order.into_iter().enumerate() {
        let slot_start = start.0 + length.0 / 10 + slot * place as i64;
        let lasts = fault.lasts().0.min(slot / 2);
        let latest_start = slot_start + slot / 4 * 3 - lasts;
        let mut window_start = draws.between(slot_start + slot / 4, latest_start + 1);
        // At night little happens; in a long slot a fault begins in the morning.
        let morning = window_start - window_start.rem_euclid(Span::DAY.0) + 8 * Span::HOUR.0;
        if (slot_start + slot / 4..=latest_start).contains(&morning) {
            window_start = morning;
        }
        windows.push(Window { fault, start: Instant(window_start), end: Instant(window_start + lasts) });
    }
    windows
}
