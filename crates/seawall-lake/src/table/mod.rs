//! Versioned tables, appended to exactly once.
//!
//! [`DeltaStore`] keeps each table as a Delta table in a folder of its own; [`MemoryStore`] is its twin for tests and
//! simulations; [`conformance`] is what both promise. The life of an append in [`DeltaStore`]:
//! 1. under the table's writer lock, the cut of the known state (its `txn` actions) decides: covered already, conflict,
//!    or go on;
//! 2. [`file`] encodes the rows as one Parquet file whose name follows from the append, so a retry rewrites the same
//!    bytes, and the durable store syncs it;
//! 3. one `put if absent` of the next commit file makes rows and cut visible together; whatever it answers, the log is
//!    read again to see whether the commit landed, and a commit that finds its version taken is decided anew.
//!
//! What takes files away (compaction, deletion, replacement, return to an older version, vacuum) goes the same way, under
//! the table's [`lease`].

mod action;
mod checkpoint;
mod compaction;
pub mod conformance;
mod delta;
mod evolve;
mod file;
mod horizon;
mod lease;
pub(crate) mod log;
mod memory;
mod path;
mod rules;
mod schema;

/// The folder of a table's commits.
pub(crate) const LOG_FOLDER: &str = "_delta_log";

pub use delta::{DeltaStore, DeltaStoreOptions, ExpectedFile, LostCommit, Origin, Source, TableSurvey, VersionFacts};
pub(crate) use lease::{Lease, Leases};
pub(crate) use log::{DataFile, TableState};
pub use memory::MemoryStore;
pub(crate) use path::confine_on_disk;
pub(crate) use rules::{unknown_column, unknown_table};
