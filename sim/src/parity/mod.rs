//! The parity fuzzer: random histories drive the online store and the sweep that builds training sets, and every served
//! value must equal, to the bit, what the sweep computes from the table for the recorded T, K and C.
//!
//! A history has rows that come late, out of order, twice, before they are available, or out of quarantine; bulk loads
//! that declare the past; crashes with and without a checkpoint, after which the log is read again; tables whose rows
//! are rewritten in another order and batching; and definitions that change while rows keep coming. One seed is one
//! history, and the same seed gives the same one.
//!
//! Files: [`rows`] makes rows, [`views`] makes definitions, [`life`] is a history, [`compare`] sweeps what it served.

mod compare;
mod dice;
mod life;
mod rows;
#[cfg(test)]
mod tests;
mod views;

use anyhow::Result;
use serde::Serialize;

/// What histories came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Histories.
    pub histories: u64,
    /// Served values that were computed again.
    pub values: u64,
    /// Those that differ.
    pub mismatched: u64,
    /// Decisions that were served.
    pub decisions: u64,
    /// Requests that the store refused, each for a reason that it declares.
    pub refused: u64,
    /// Rows that were received.
    pub rows: u64,
    /// Rows that happened more than an hour before they arrived.
    pub late: u64,
    /// Rows that were not available yet when they arrived.
    pub pending: u64,
    /// Rows that came out of quarantine.
    pub released: u64,
    /// Rows that were delivered again.
    pub repeated: u64,
    /// Rows of bulk loads with the past declared.
    pub loaded: u64,
    /// Stores that were opened again.
    pub restarts: u64,
    /// Checkpoints.
    pub checkpoints: u64,
    /// Definitions that changed while rows kept coming.
    pub redefined: u64,
    /// The first mismatches, with their seeds.
    pub examples: Vec<String>,
}

impl Tally {
    /// Adds what other histories came to.
    pub fn add(&mut self, other: Tally) {
        self.histories += other.histories;
        self.values += other.values;
        self.mismatched += other.mismatched;
        self.decisions += other.decisions;
        self.refused += other.refused;
        self.rows += other.rows;
        self.late += other.late;
        self.pending += other.pending;
        self.released += other.released;
        self.repeated += other.repeated;
        self.loaded += other.loaded;
        self.restarts += other.restarts;
        self.checkpoints += other.checkpoints;
        self.redefined += other.redefined;
        let room = EXAMPLES_MAX.saturating_sub(self.examples.len());
        self.examples.extend(other.examples.into_iter().take(room));
    }
}

/// Mismatches that are told in full.
const EXAMPLES_MAX: usize = 10;

/// Lives one history of `steps` steps and sweeps what it served.
pub fn history(seed: u64, steps: u64) -> Result<Tally> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut life = life::Life::new(seed)?;
    runtime.block_on(life.live(steps))?;
    compare::against_sweep(life)
}
