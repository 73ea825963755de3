//! Repair: from what a check found to the steps that mend it, and those steps.
//!
//! [`plan`] names for every finding a step or the reason why there is none; [`run`] takes the steps while it owns the data
//! folder. Nothing is destroyed: what is replaced is moved to `damaged/` in the data folder. Each step is an intent in the
//! catalog before and an outcome after it, both in the audit ledger. A step that was cut off is found and planned anew,
//! because a half-taken step leaves a damage that a check finds.

mod plan;
mod run;

use std::path::PathBuf;

use seawall_base::TableName;
use seawall_lake::table::{ExpectedFile, LostCommit, Origin};
use serde::Serialize;

pub use plan::plan;
pub use run::{Done, run};

/// What can be done, and what cannot.
#[derive(Debug, Default, Serialize)]
pub struct Plan {
    /// Steps in the order in which they are taken.
    pub steps: Vec<Step>,
    /// Findings without a step.
    pub impossible: Vec<Impossible>,
}

/// One step.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// What is mended.
    pub object: String,
    /// What is done, for people.
    pub what: String,
    /// Files that are set aside first.
    pub sets_aside: Vec<PathBuf>,
    #[serde(skip)]
    pub(crate) work: Work,
}

/// A finding that cannot be mended here.
#[derive(Debug, Clone, Serialize)]
pub struct Impossible {
    /// What is damaged.
    pub object: String,
    /// The finding.
    pub what: String,
    /// Why it cannot be mended.
    pub why: String,
    /// What to do instead.
    pub remedy: String,
}

/// What a step does.
#[derive(Debug, Clone)]
pub(crate) enum Work {
    /// Writes a lost commit of rows anew.
    Commit { table: TableName, lost: LostCommit },
    /// Writes a data file back, from the rows of the log.
    File { table: TableName, file: Box<ExpectedFile>, origin: Origin },
    /// Writes a checkpoint of the commits in the place of damaged ones.
    Checkpoints { table: TableName, versions: Vec<u64> },
    /// Lets the next start rebuild the features' states.
    Features,
}
