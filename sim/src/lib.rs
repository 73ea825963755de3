//! Seeded simulation: the real gate, deduplication, table writer and catalog over ports that fail.
//!
//! One seed is one history: producers, crashes, storms of a failing table store and a failing log, all drawn from the
//! seed, on a driven clock and a driven timer. What the ports do is decided per call from the seed and the call's number,
//! so that the same seed gives the same history, which a hash over all calls and answers proves. Tables live in memory;
//! nothing here knows DataFusion or Delta.
//!
//! Files: [`world`] outlives crashes, [`life`] is one process in it, [`ledger`] is the oracle; [`faults`] decides what a
//! call becomes, [`log`] and [`tables`] are the ports.
//!
//! [`parity`] is a fuzzer of its own: it holds the online store to the sweep that builds training sets.

mod faults;
mod ledger;
mod life;
mod log;
mod missing;
pub mod parity;
mod tables;
#[cfg(test)]
mod tests;
mod world;

pub use ledger::Findings;
pub use world::{Outcome, simulate};
