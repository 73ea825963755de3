//! Evolution: what differs between two versions of a contract, and whom each difference breaks.
//!
//! - [`diff`] compares two contracts key by key. A change that tightens a rule breaks producers, whose rows may be stopped
//!   from now on; one that takes away what readers were promised breaks consumers; every other change is compatible.
//! - [`schema_change`] compares two versions of a table: what it says is incompatible, no table can follow by itself.
//!
//! A change that is not recognised as harmless is taken for a breaking one.

mod bound;
mod diff;
mod guarantee;
mod options;
mod property;
mod table;

pub use diff::{Breaks, Bump, ContractChange, ContractDiff, diff};
pub use table::{Change, ChangeKind, schema_change, widens};
