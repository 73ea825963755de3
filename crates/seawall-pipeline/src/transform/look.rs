//! When transforms run: one at a time, those first that others read, once their inputs show other rows.
//!
//! A look is cheap while nothing was committed since the last one. What fails is told and tried again after growing pauses,
//! and the others go on. A transform that is not row-wise rests after a run for a multiple of the time that it took, so
//! that a busy input cannot keep the engine busy with it.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use seawall_base::error::Result;
use seawall_base::{Error, Hash, Instant, Span, TableName};
use seawall_catalog::policy::Action;
use seawall_catalog::{TransformOutcome, TransformRun};
use serde_json::json;
use tracing::{info, warn};

use super::by_row::done;
use super::compiled::Compiled;
use super::progress::{Input, Progress, Run, Step};
use super::status::Failure;
use crate::dependency::backoff::Backoff;
use crate::pipeline::Pipeline;

/// Pauses before a failed transform is tried again.
const RETRIES: Backoff = Backoff { first: Span::SECOND, cap: Span(5 * Span::MINUTE.0) };
/// How much longer than its last run a transform that is not row-wise rests.
const REST_PER_RUN: i64 = 4;

/// What one look did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Looked {
    /// Transforms that ran to their end.
    pub ran: Vec<String>,
    /// Transforms that failed.
    pub failed: Vec<String>,
}

/// How attempts to run transforms went since the start.
#[derive(Default)]
pub(crate) struct Attempts(Mutex<Known>);

#[derive(Default)]
struct Known {
    running: Option<String>,
    failures: BTreeMap<String, (Hash, Failure)>,
    rests_until: BTreeMap<String, Instant>,
    /// What was looked at when there was nothing to do: the revision, and how much tables held.
    settled: Option<(Hash, u64)>,
    /// Whether the runs that the log tells of are in the catalog.
    are_recorded: bool,
}

/// A run under way, also when whoever waits for it gives up.
struct Running<'a>(&'a Attempts);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.0.lock().running = None;
    }
}

impl Attempts {
    fn begin(&self, transform: &str) -> Running<'_> {
        self.0.lock().running = Some(transform.to_owned());
        Running(self)
    }

    /// Rows went from tables without a commit of the log.
    pub(crate) fn look_again(&self) {
        self.0.lock().settled = None;
    }

    /// The transform that runs.
    pub(super) fn running(&self) -> Option<String> {
        self.0.lock().running.clone()
    }

    /// Why a transform does not run, as of `revision`.
    pub(super) fn failure(&self, transform: &str, revision: Hash) -> Option<Failure> {
        let known = self.0.lock();
        known.failures.get(transform).filter(|(of, _)| *of == revision).map(|(_, failure)| failure.clone())
    }

    fn waits(&self, transform: &str, revision: Hash, now: Instant, pace: Pace) -> bool {
        let failed = self.failure(transform, revision).is_some_and(|failure| now < failure.retry_at);
        let rests = self.0.lock().rests_until.get(transform).is_some_and(|until| now < *until);
        failed || (pace == Pace::Resting && rests)
    }

    fn failed(&self, transform: &Compiled, error: &Error, now: Instant) -> Failure {
        let mut known = self.0.lock();
        let before = known.failures.remove(&transform.transform.name);
        let before = before.filter(|(revision, failure)| {
            *revision == transform.revision && failure.code == error.code() && failure.message == error.to_string()
        });
        let (since, attempts) = before.map_or((now, 0), |(_, failure)| (failure.since, failure.attempts));
        let failure = Failure {
            code: error.code().to_owned(),
            message: error.to_string(),
            hint: error.remedy().map(str::to_owned),
            since,
            attempts: attempts + 1,
            retry_at: now + RETRIES.longest(attempts + 1),
        };
        known.failures.insert(transform.transform.name.clone(), (transform.revision, failure.clone()));
        failure
    }

    fn succeeded(&self, transform: &Compiled, run: &Run) {
        let mut known = self.0.lock();
        known.failures.remove(&transform.transform.name);
        if !transform.plan.is_row_wise {
            let rest = Span((run.ended_at - run.started_at).0.saturating_mul(REST_PER_RUN));
            known.rests_until.insert(transform.transform.name.clone(), run.ended_at + rest);
        }
    }
}

/// Whether transforms rest between runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    Resting,
    Hurried,
}

impl Pipeline {
    /// Runs the transforms that are due and neither rest nor wait for their next attempt.
    pub async fn derive(&self) -> Result<Looked> {
        self.derive_at(Pace::Resting).await
    }

    /// Runs transforms until nothing is new: what was taken in before the call is derived when this returns, but for
    /// transforms that failed.
    pub async fn derive_all(&self) -> Result<Looked> {
        let mut all = Looked::default();
        if self.revision().transforms.is_empty() {
            return Ok(all);
        }
        loop {
            let (entries, _) = self.parts.log.durable_end();
            self.table_writer.flush(entries).await?;
            let looked = self.derive_at(Pace::Hurried).await?;
            all.failed.extend(looked.failed);
            if looked.ran.is_empty() {
                all.failed.sort();
                all.failed.dedup();
                return Ok(all);
            }
            all.ran.extend(looked.ran);
        }
    }

    async fn derive_at(&self, pace: Pace) -> Result<Looked> {
        let _one_at_a_time = self.deriving.lock().await;
        let revision = self.revision();
        let committed = self.table_writer.progress().committed_entries;
        let seen = (revision.hash, committed);
        let mut looked = Looked::default();
        if revision.transforms.is_empty() || self.attempts.0.lock().settled == Some(seen) {
            return Ok(looked);
        }
        self.record_earlier_runs(&revision.transforms).await?;
        let mut is_settled = true;
        for transform in &revision.transforms {
            let name = &transform.transform.name;
            let now = self.parts.clock.now();
            if self.attempts.waits(name, transform.revision, now, pace) {
                is_settled = false;
                continue;
            }
            match self.derive_one(transform).await {
                Ok(false) => {}
                Ok(true) => looked.ran.push(name.clone()),
                Err(error) => {
                    self.tell_failure(transform, &error).await?;
                    looked.failed.push(name.clone());
                }
            }
        }
        is_settled &= looked.ran.is_empty() && looked.failed.is_empty();
        self.attempts.0.lock().settled = is_settled.then_some(seen);
        Ok(looked)
    }

    /// Runs a transform if it is due; whether it ran to its end.
    async fn derive_one(&self, transform: &Compiled) -> Result<bool> {
        let inputs = self.inputs_of(transform).await?;
        let progress = self.derived(&transform.transform.to).await;
        if !progress.is_due(transform.definition, &inputs) {
            // What failed has been done since, or need not be done any more.
            self.attempts.0.lock().failures.remove(&transform.transform.name);
            return Ok(false);
        }
        let running = self.attempts.begin(&transform.transform.name);
        let outcome = self.run_transform(transform, &progress, inputs).await;
        drop(running);
        let Some(run) = outcome? else { return Ok(false) };
        self.attempts.succeeded(transform, &run);
        let (transform, counts) = (&transform.transform.name, run.made.counts);
        info!(
            transform,
            rows = run.made.rows_made,
            accepted = counts.accepted,
            quarantined = counts.quarantined,
            "transform ran"
        );
        Ok(true)
    }

    async fn run_transform(
        &self,
        transform: &Compiled,
        progress: &Progress,
        inputs: Vec<Input>,
    ) -> Result<Option<Run>> {
        let started_at = self.parts.clock.now();
        let made = match (transform.plan.is_row_wise, &inputs[..]) {
            (true, [input]) => self.derive_by_row(transform, progress, input).await?,
            (_, inputs) => self.derive_whole(transform, inputs).await?,
        };
        let Some(made) = made else { return Ok(None) };
        let all_done = inputs.first().filter(|_| transform.plan.is_row_wise);
        let all_done = all_done.map(|input| done(input, input.cut.clone()));
        let ended_at = self.parts.clock.now();
        let run = Run { started_at, ended_at, revision: transform.revision, inputs, made };
        let step = Step { run: Some(run.clone()), ..transform.step(all_done) };
        self.conclude(transform, step).await?;
        if let Err(error) = self.record_run(transform, &run).await {
            self.attempts.0.lock().are_recorded = false;
            return Err(error);
        }
        if run.made.vanished > 0 && transform.dataset.dataset.changelog.is_none() {
            let (transform, dataset) = (&transform.transform.name, &transform.transform.to);
            warn!(
                transform,
                dataset,
                rows = run.made.vanished,
                "rows are no longer in the result and stay in the table"
            );
        }
        Ok(Some(run))
    }

    /// The newest versions of what a transform reads.
    pub(super) async fn inputs_of(&self, transform: &Compiled) -> Result<Vec<Input>> {
        let mut inputs = Vec::with_capacity(transform.plan.inputs.len());
        for name in &transform.plan.inputs {
            let snapshot = self.parts.tables.snapshot(&TableName::dataset(name)?, None).await?;
            inputs.push(Input::of(name, &snapshot));
        }
        Ok(inputs)
    }

    /// How far a derived dataset is.
    pub(super) async fn derived(&self, dataset: &str) -> Progress {
        self.order.lock().await.derived.get(dataset).cloned().unwrap_or_default()
    }

    /// Whether another revision became active since a run of `transform` began.
    pub(super) fn has_moved_on(&self, transform: &Compiled) -> bool {
        self.revision().hash != transform.revision
    }

    async fn tell_failure(&self, transform: &Compiled, error: &Error) -> Result<()> {
        let now = self.parts.clock.now();
        let failure = self.attempts.failed(transform, error, now);
        let name = &transform.transform.name;
        if failure.attempts == 1 {
            warn!(transform = name, code = error.code(), %error, "a transform failed, and is tried again later");
        }
        let run = TransformRun {
            transform: name.clone(),
            dataset: transform.transform.to.clone(),
            revision: transform.revision.to_string(),
            started_at: failure.since,
            ended_at: now,
            outcome: TransformOutcome::Failed { code: failure.code, message: failure.message, hint: failure.hint },
            attempts: u64::from(failure.attempts),
            detail: serde_json::Value::Null,
        };
        let permit = self.control_permit(Action::WriteTable, &transform.transform.to);
        self.parts.catalog.record_transform_run(&permit, &run).await
    }

    async fn record_run(&self, transform: &Compiled, run: &Run) -> Result<()> {
        let recorded = TransformRun {
            transform: transform.transform.name.clone(),
            dataset: transform.transform.to.clone(),
            revision: run.revision.to_string(),
            started_at: run.started_at,
            ended_at: run.ended_at,
            outcome: TransformOutcome::Done,
            attempts: 1,
            detail: json!(run),
        };
        let permit = self.control_permit(Action::WriteTable, &transform.transform.to);
        self.parts.catalog.record_transform_run(&permit, &recorded).await
    }

    /// A crash may have come between the last frame of a run and its record.
    async fn record_earlier_runs(&self, transforms: &[std::sync::Arc<Compiled>]) -> Result<()> {
        if self.attempts.0.lock().are_recorded {
            return Ok(());
        }
        for transform in transforms {
            if let Some(run) = self.derived(&transform.transform.to).await.last {
                self.record_run(transform, &run).await?;
            }
        }
        self.attempts.0.lock().are_recorded = true;
        Ok(())
    }
}
