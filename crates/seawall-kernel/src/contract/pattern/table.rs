//! A pattern as a dense table of states, run over several values side by side: each step waits for the one before it, so
//! one value alone would leave the processor idle.

use std::array;

use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;
use regex_automata::{Anchored, MatchKind};

/// Bytes that a table may have; patterns with a larger one (many Unicode classes, large repetitions) do without.
const TABLE_BYTES_MAX: usize = 1 << 20;
/// Bytes that making it may take.
const WORK_BYTES_MAX: usize = 4 << 20;
/// Values that are searched side by side.
pub(super) const LANES: usize = 4;

/// The table of a pattern that matches anywhere in a value.
#[derive(Debug)]
pub(super) struct Table {
    states: dense::DFA<Vec<u32>>,
    start: StateID,
}

impl Table {
    /// The table of a pattern in Rust's syntax; none when it has none of a bearable size.
    pub(super) fn of(pattern: &str) -> Option<Table> {
        let config = dense::Config::new()
            .match_kind(MatchKind::LeftmostFirst)
            .start_kind(StartKind::Unanchored)
            .accelerate(false)
            .dfa_size_limit(Some(TABLE_BYTES_MAX))
            .determinize_size_limit(Some(WORK_BYTES_MAX));
        let states = dense::Builder::new().configure(config).build(pattern).ok()?;
        let start = states.start_state(&start::Config::new().anchored(Anchored::No)).ok()?;
        Some(Table { states, start })
    }

    /// Whether each value contains a match.
    pub(super) fn is_match(&self, values: [&[u8]; LANES]) -> [bool; LANES] {
        let common = values.iter().map(|value| value.len()).min().unwrap_or_default();
        let heads = values.map(|value| &value[..common]);
        let mut states = [self.start; LANES];
        let mut at = 0;
        while at < common && !states.iter().any(|state| self.states.is_special_state(*state)) {
            states = array::from_fn(|lane| self.states.next_state(states[lane], heads[lane][at]));
            at += 1;
        }
        array::from_fn(|lane| self.finish(states[lane], &values[lane][at..]))
    }

    /// Whether a match is found from `state` on.
    fn finish(&self, mut state: StateID, rest: &[u8]) -> bool {
        for byte in rest {
            if self.states.is_special_state(state) {
                if self.states.is_match_state(state) {
                    return true;
                }
                if self.states.is_dead_state(state) {
                    return false;
                }
            }
            state = self.states.next_state(state, *byte);
        }
        // A match is told one step late.
        self.states.is_match_state(state) || self.states.is_match_state(self.states.next_eoi_state(state))
    }
}
