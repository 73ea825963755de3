//! Lifecycle rules: what a project gives up when, by class.
//!
//! A plan says what would go, by which rule, and what stays although it is old enough and why; a run carries out a plan
//! that it has just made. Nothing goes that something is bound to: versions that training sets or certificates name, models
//! that serve, may serve again or wait for approval. Segments of the log go by their own rule (`log_retention`), as soon as
//! nobody needs them; a plan only tells of them.

mod plan;
mod run;

use seawall_base::{Hash, Span, TableName};
use seawall_catalog::project::keep::Class;
use serde::Serialize;

pub use plan::plan;
pub use run::run;

/// What is to be done.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Plan {
    /// What goes.
    pub steps: Vec<Step>,
    /// What is old enough, and stays.
    pub stays: Vec<Stays>,
}

/// One thing that goes.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// Its class.
    pub class: Class,
    /// What it is, for people.
    pub object: String,
    /// What happens to it, for people.
    pub what: String,
    /// The rule.
    pub why: String,
    /// Rows that go.
    pub rows: u64,
    /// Files that go.
    pub files: u64,
    /// Bytes that go.
    pub bytes: u64,
    /// What to do.
    #[serde(skip)]
    work: Work,
}

/// One thing that stays.
#[derive(Debug, Clone, Serialize)]
pub struct Stays {
    /// Its class.
    pub class: Class,
    /// What it is.
    pub object: String,
    /// Why it stays.
    pub why: String,
}

#[derive(Debug, Clone)]
enum Work {
    Versions { table: TableName, keep: Span },
    Quarantine { table: TableName, keep: Span },
    Model { digest: Hash },
}
