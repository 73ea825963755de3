//! Versioned tables, appended to exactly once.
//!
//! [`DeltaStore`] keeps each table as a Delta table in a folder of its own; [`MemoryStore`] is its twin for tests and
//! simulations; [`conformance`] is what both promise. The life of an append in [`DeltaStore`]:
//! 1. under the table's writer lock, [`log`] brings the known state up to the newest commit of the log;
//! 2. the state's cut (its `txn` actions) decides: covered already, conflict, or go on;
//! 3. [`file`] encodes the rows as one Parquet file whose name follows from the commit, so a retry rewrites the same
//!    bytes, and the durable store syncs it;
//! 4. one `put if absent` of the next commit file makes rows and cut visible together; whatever it answers, the log is
//!    read again to see whether the commit landed.

mod action;
mod check;
pub mod conformance;
mod delta;
mod evolve;
mod file;
mod home;
mod log;
mod memory;
mod mend;
mod path;
mod rules;
mod schema;

pub use check::{ExpectedFile, TableSurvey, VersionFacts};
pub use delta::{DeltaStore, DeltaStoreOptions, VersionInfo};
pub(crate) use log::{DataFile, TableState};
pub use memory::MemoryStore;
pub use mend::{LostCommit, Origin, Source};
pub(crate) use rules::{unknown_column, unknown_table};
