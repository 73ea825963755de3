//! How transforms stand, for whoever asks.

use seawall_base::error::Result;
use seawall_base::{Hash, Instant};
use serde::Serialize;

use super::progress::Run;
use crate::pipeline::Pipeline;

/// What a transform does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The dataset holds what the SQL makes of its inputs.
    Current,
    /// The inputs have other rows since the last run.
    Due,
    /// It runs.
    Running,
    /// The last attempt failed.
    Failed,
}

/// How one transform stands.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Its name.
    pub transform: String,
    /// The dataset that it makes.
    pub dataset: String,
    /// Whether only new rows are read.
    pub is_row_wise: bool,
    /// The datasets that it reads.
    pub inputs: Vec<String>,
    /// Hash of its definition.
    pub definition: Hash,
    /// What it does now.
    pub state: State,
    /// The last run that came to its end.
    pub last_run: Option<Run>,
    /// Why it does not run.
    pub failure: Option<Failure>,
}

/// Why a transform does not run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Failure {
    /// Code of the error.
    pub code: String,
    /// What happened.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// When it failed so for the first time.
    #[serde(with = "seawall_base::time::text")]
    pub since: Instant,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried again.
    #[serde(with = "seawall_base::time::text")]
    pub retry_at: Instant,
}

impl Pipeline {
    /// Every transform, and whether its last attempt failed.
    pub fn failing_transforms(&self) -> Vec<(String, bool)> {
        let revision = self.revision();
        let transforms = revision.transforms.iter();
        let failing = |name: &String| self.attempts.failure(name, revision.hash).is_some();
        transforms.map(|one| (one.transform.name.clone(), failing(&one.transform.name))).collect()
    }

    /// How the transforms of the revision stand, in the order in which they run.
    pub async fn transforms(&self) -> Result<Vec<Status>> {
        let revision = self.revision();
        let running = self.attempts.running();
        let mut statuses = Vec::with_capacity(revision.transforms.len());
        for one in &revision.transforms {
            let name = &one.transform.name;
            let failure = self.attempts.failure(name, one.revision);
            let progress = self.derived(&one.transform.to).await;
            let state = if running.as_ref() == Some(name) {
                State::Running
            } else if failure.is_some() {
                State::Failed
            } else if progress.is_due(one.definition, &self.inputs_of(one).await?) {
                State::Due
            } else {
                State::Current
            };
            statuses.push(Status {
                transform: name.clone(),
                dataset: one.transform.to.clone(),
                is_row_wise: one.plan.is_row_wise,
                inputs: one.plan.inputs.clone(),
                definition: one.definition,
                state,
                last_run: progress.last,
                failure,
            });
        }
        Ok(statuses)
    }
}
