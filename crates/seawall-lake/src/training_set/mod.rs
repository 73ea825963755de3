//! Training sets: one row per decision, with what was known then.
//!
//! [`Builder`] reads every input at its pinned version, sorts the spine by decision time and key, evaluates the context
//! columns with the same evaluator that serves them, lets [`seawall_kernel::feature::sweep`] compute each view's
//! features at K = T - visibility lag, out of histories that go to disk when they are too large ([`history`]), joins the label, holds the rows to the set's own contract, and fingerprints the
//! result. It writes no table.

mod builder;
pub mod content_hash;
mod history;
mod label;
mod own_contract;

pub(crate) use builder::Builder;
pub use content_hash::content_hash;
pub(crate) use history::Budget;

/// Name of the column with the decision time.
pub const DECISION_TIME: &str = "_at";
/// Name of the column with the label.
pub const LABEL: &str = "label";
