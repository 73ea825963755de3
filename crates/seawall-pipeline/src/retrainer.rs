//! The retrainer: asks the policy once a day, trains, compares on the same decisions, proposes, promotes, rolls back.
//!
//! What it decides is the kernel's (`kernel::retrain`); this file gathers what the policy needs, carries the answer out
//! and records it with everything it rests on. Rows that were decided on while the data was wrong are left out of a
//! training, and the version says so.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use seawall_base::declare::Retrain;
use seawall_base::engine::Fingerprint;
use seawall_base::error::Result;
use seawall_base::watch::{Alternative, Comparison, Decision, DecisionKind, Evaluation, Incident, Period, Trigger};
use seawall_base::{Error, ErrorKind, Hash, Instant, Permit, Scorer, Span, TableVersion, TrainingJob};
use seawall_catalog::models::{ModelVersion, NewModelVersion};
use seawall_catalog::policy::{Action, Principal, SYSTEM_PRINCIPAL};
use seawall_kernel::retrain::decide::{Judgement, Next, Situation, judge, next};
use seawall_kernel::retrain::evaluate::{compare, evaluate, unmet};
use serde::Serialize;

use crate::monitor::{ModelView, baseline, fault, positives};
use crate::pipeline::Pipeline;
use crate::revision::{DeclaredModel, instants};
use crate::scoring::take_inputs;

/// Rows of each class without which nothing can be learned or measured.
const CLASS_ROWS_MIN: usize = 10;
/// How long after a data fault has ended its rows still shape windows.
const FAULT_TAIL: Span = Span(Span::DAY.0);

/// Somebody who approves in driven time, where nobody sits at a keyboard.
#[derive(Debug, Clone)]
pub struct Approver {
    /// Who.
    pub principal: Principal,
    /// What they say.
    pub reason: String,
}

/// Labelled rows of a training set, oldest decision first.
pub(crate) struct Labelled {
    pub rows: RecordBatch,
    pub at: Vec<Instant>,
    pub positive: Vec<bool>,
    pub fingerprint: Fingerprint,
    pub version: TableVersion,
    /// Rows left out, and why.
    pub excluded: Vec<(Period, Alternative)>,
}

/// What came of a training.
#[derive(Debug, Clone, Serialize)]
pub struct Attempt {
    /// What was decided.
    pub decision: Decision,
    /// The version that was trained; absent when the training failed.
    pub version: Option<u32>,
}

impl Pipeline {
    /// One look of the policy of `model`.
    pub(crate) async fn retrain_step(&self, model: &Arc<DeclaredModel>, view: &ModelView, now: Instant) -> Result<()> {
        let Some(policy) = &model.model.retrain else { return Ok(()) };
        let name = &model.model.name;
        let decisions = self.parts.catalog.decisions(Some(name)).await?;
        let situation = Situation {
            model: name.clone(),
            now,
            champion: self.champion_state(model).await?,
            performance: view.performance.clone(),
            drift: view.drift.clone(),
            data_incidents: view.data_incidents.clone(),
            last_attempt: decisions.iter().filter(|decision| is_attempt(decision)).map(|decision| decision.at).max(),
            labelled_rows: view.labelled_rows,
            rows_min: model.model.rows_min,
            proposal_open: self.has_proposal(name).await?,
        };
        match next(policy, &situation) {
            Next::Wait { .. } => Ok(()),
            Next::Train { trigger, reason, rejected } => {
                let asked = Asked { trigger, reason, rejected, by: SYSTEM_PRINCIPAL.to_owned() };
                self.attempt(model, policy, asked, now).await.map(|_| ())
            }
            Next::Postpone { trigger, reason, rejected } => {
                let told = decisions.last().is_some_and(|last| {
                    last.kind == DecisionKind::Postpone && last.trigger.as_ref().map(|t| &t.kind) == Some(&trigger.kind)
                });
                if told {
                    return Ok(());
                }
                let asked = Asked { trigger, reason, rejected, by: SYSTEM_PRINCIPAL.to_owned() };
                let decision = self.draft(model, policy, &asked, now, DecisionKind::Postpone).await?;
                let permit = self.control_permit(Action::TrainModel, name);
                self.parts.catalog.record_decision(&permit, &decision).await.map(|_| ())
            }
            Next::RollBack { to, trigger, reason, .. } => {
                let permit = self.control_permit(Action::RollBack, name);
                self.parts.catalog.roll_back_model(&permit, name, to, trigger, &reason, now).await?;
                self.refresh_champions().await
            }
            Next::Confirm { reason } => {
                let Some(champion) = &situation.champion else { return Ok(()) };
                let permit = self.control_permit(Action::PromoteModel, name);
                self.parts.catalog.confirm(&permit, name, champion.version, &reason, now).await.map(|_| ())
            }
        }
    }

    /// Trains because somebody asked for it.
    pub async fn train_by_hand(&self, principal: &Principal, model: &str) -> Result<Attempt> {
        let revision = self.revision();
        let model = revision.model(model)?;
        let policy = policy_of(model);
        let trigger = Trigger { kind: "by_hand".into(), signal: None };
        let reason = format!("{} asked for it", principal.name);
        let asked = Asked { trigger, reason, rejected: Vec::new(), by: principal.name.clone() };
        let now = self.parts.clock.now();
        let attempt = self.attempt(model, &policy, asked, now).await?;
        self.settle_proposals(&[], now).await?;
        Ok(attempt)
    }

    async fn attempt(
        &self,
        model: &Arc<DeclaredModel>,
        policy: &Retrain,
        asked: Asked,
        now: Instant,
    ) -> Result<Attempt> {
        let permit = self.control_permit(Action::TrainModel, &model.model.name);
        let labelled = match self.labelled(model, now).await {
            Err(refused) if refused.code() == crate::training::REFUSED => {
                let mut decision = self.draft(model, policy, &asked, now, DecisionKind::TrainingFailed).await?;
                decision.reason = refused.to_string();
                let decision = self.parts.catalog.record_decision(&permit, &decision).await?;
                return Ok(Attempt { decision, version: None });
            }
            labelled => labelled?,
        };
        let champion = self.champion_state(model).await?;
        let length = if champion.is_some() { policy.evaluate } else { model.model.holdout };
        let split = labelled.split(length);
        if let Some(why) = labelled.too_few(&split) {
            let mut decision = self.draft(model, policy, &asked, now, DecisionKind::TrainingFailed).await?;
            decision.reason = why;
            let decision = self.parts.catalog.record_decision(&permit, &decision).await?;
            return Ok(Attempt { decision, version: None });
        }
        let trained = match self.train_on(model, &labelled, &split, &permit).await {
            Ok(trained) => trained,
            Err(error) if matches!(error.kind(), ErrorKind::Invalid | ErrorKind::NotFound) => {
                let mut decision = self.draft(model, policy, &asked, now, DecisionKind::TrainingFailed).await?;
                decision.reason = format!("[{}] {}", error.code(), error.message());
                // The end of a trainer's log goes to Seawall's own log only: it may hold rows, which no record keeps.
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                tracing::warn!(model = %model.model.name, code = error.code(), "{}: {cause}", error.message());
                let decision = self.parts.catalog.record_decision(&permit, &decision).await?;
                return Ok(Attempt { decision, version: None });
            }
            Err(error) => return Err(error),
        };
        let scorer = self.scorer(trained.digest).await?;
        let slices = labelled.slices(&model.model.ready_when.by, split.test.clone())?;
        let challenger = labelled.scores(scorer.as_ref(), split.test.clone())?;
        let labels = &labelled.positive[split.test.clone()];
        let evaluation = evaluate(&challenger, labels, &slices);
        let kept = self.keep(model, &labelled, &split, trained, &evaluation, now, &permit).await?;

        let comparison = match &champion {
            None => None,
            Some(champion) => {
                let loaded = self.load_version(&model.model.name, champion.version).await?;
                let scores = labelled.scores(loaded.scorer.as_ref(), split.test.clone())?;
                Some(compare(split.tested_on(&labelled), &scores, &challenger, labels, &slices))
            }
        };
        let decision = self.judge(model, policy, asked, &kept, comparison, now, &permit).await?;
        Ok(Attempt { decision, version: Some(kept.version) })
    }

    #[allow(clippy::too_many_arguments, reason = "what a judgement rests on, each thing once")]
    async fn judge(
        &self,
        model: &DeclaredModel,
        policy: &Retrain,
        asked: Asked,
        kept: &ModelVersion,
        comparison: Option<Comparison>,
        now: Instant,
        permit: &Permit,
    ) -> Result<Decision> {
        let unmet = unmet(&kept.evaluation, &model.model.ready_when);
        let (kind, reason, more) = match judge(policy, comparison.as_ref(), &unmet) {
            Judgement::Propose { reason, rejected } => (DecisionKind::Propose, reason, rejected),
            Judgement::HoldBack { reason, rejected } => (DecisionKind::HoldBack, reason, rejected),
        };
        let mut decision = self.draft(model, policy, &asked, now, kind).await?;
        decision.reason = format!("{}; {reason}", asked.reason);
        decision.rejected.extend(more);
        decision.version = Some(kept.version);
        decision.evaluation = Some(kept.evaluation.clone());
        decision.comparison = comparison;
        decision.binds = binds(kept, &decision);
        if kind != DecisionKind::Propose {
            return self.parts.catalog.record_decision(permit, &decision).await;
        }
        self.parts.catalog.set_challenger(permit, &model.model.name, Some(kept.version), now).await?;
        self.parts.catalog.record_proposal(permit, &decision, &policy.approve).await
    }

    async fn draft(
        &self,
        model: &DeclaredModel,
        policy: &Retrain,
        asked: &Asked,
        now: Instant,
        kind: DecisionKind,
    ) -> Result<Decision> {
        let aliases = self.parts.catalog.aliases(&model.model.name).await?;
        Ok(Decision {
            id: String::new(),
            model: model.model.name.clone(),
            at: now,
            kind,
            version: None,
            champion: aliases.champion,
            trigger: Some(asked.trigger.clone()),
            reason: asked.reason.clone(),
            rejected: asked.rejected.clone(),
            comparison: None,
            evaluation: None,
            of: None,
            policy: policy.definition_hash(),
            binds: Hash::of_json(&(&model.model.name, now.0, kind.as_str())),
            by: asked.by.clone(),
        })
    }

    async fn train_on(
        &self,
        model: &DeclaredModel,
        labelled: &Labelled,
        split: &Split,
        permit: &Permit,
    ) -> Result<seawall_base::TrainedModel> {
        let job = labelled.job(model, split)?;
        self.parts.models.train(permit, &job).await
    }

    async fn scorer(&self, digest: Hash) -> Result<Arc<dyn Scorer>> {
        let models = self.parts.models.clone();
        tokio::task::spawn_blocking(move || models.load(digest))
            .await
            .map_err(|e| Error::internal("SW0833", "loading a model died").because(e))?
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of a model version, each once")]
    async fn keep(
        &self,
        model: &DeclaredModel,
        labelled: &Labelled,
        split: &Split,
        trained: seawall_base::TrainedModel,
        evaluation: &Evaluation,
        now: Instant,
        permit: &Permit,
    ) -> Result<ModelVersion> {
        let encode = |value: serde_json::Result<serde_json::Value>| {
            value.map_err(|e| Error::internal("SW0801", "cannot encode a model version").because(e))
        };
        let rows = labelled.rows.slice(split.train.start, split.train.len());
        let version = NewModelVersion {
            model: model.model.name.clone(),
            digest: trained.digest,
            definition: encode(serde_json::to_value(&model.model))?,
            definition_hash: model.model.definition_hash(),
            fingerprint: labelled.fingerprint.clone(),
            training_set_version: labelled.version,
            trained_at: now,
            trained_on: split.trained_on(labelled),
            holdout: split.tested_on(labelled),
            rows: split.train.len() as u64,
            positives: labelled.positive[split.train.clone()].iter().filter(|positive| **positive).count() as u64,
            excluded: labelled.excluded.iter().map(|(_, why)| why.clone()).collect(),
            evaluation: evaluation.clone(),
            report: trained.report,
            baseline: encode(serde_json::to_value(baseline(&rows, &model.inputs)?))?,
            log: trained.log,
        };
        self.parts.catalog.record_model_version(permit, &version).await
    }

    /// The labelled rows of a model's training set as of `now`, without those of data faults.
    async fn labelled(&self, model: &DeclaredModel, now: Instant) -> Result<Labelled> {
        let permit = self.control_permit(Action::BuildTrainingSet, &model.model.training_set);
        let (built, rows) = self.build_training_set(&permit, &model.model.training_set, now).await?;
        let faults = self.faults_of(&model.model.name, now).await?;
        labelled_rows(model, rows.rows, built.fingerprint, built.version, faults).await
    }

    /// Periods whose decisions a model must not learn from.
    async fn faults_of(&self, model: &str, now: Instant) -> Result<Vec<(Period, Alternative)>> {
        let wrong = |incident: &&Incident| {
            incident.remedy.retrain == seawall_base::watch::Advice::DoNotRetrain
                && incident.cause.is_data_fault()
                && incident.first_bad_at <= now
                && incident.blast.models.iter().any(|reached| reached == model)
        };
        let mut faults = Vec::new();
        for incident in self.parts.catalog.incidents(false).await?.iter().filter(wrong) {
            let period = fault(incident, now);
            let column = incident.column.as_deref().unwrap_or("rows");
            let why = format!("{}: {} of {column} in {}", incident.id, incident.cause.as_str(), incident.subject);
            let what = format!("decisions from {} to {}", period.from, period.to + FAULT_TAIL);
            faults.push((Period { from: period.from, to: period.to + FAULT_TAIL }, Alternative { what, why }));
        }
        Ok(faults)
    }

    async fn has_proposal(&self, model: &str) -> Result<bool> {
        let open = self.parts.catalog.open_proposals().await?;
        Ok(open.iter().any(|proposal| proposal.decision.model == model))
    }

    /// Lets `approvers` approve what waits, and promotes what is approved.
    pub async fn settle_proposals(&self, approvers: &[Approver], now: Instant) -> Result<Vec<Decision>> {
        let mut promoted = Vec::new();
        for proposal in self.parts.catalog.open_proposals().await? {
            let decision = &proposal.decision;
            let mut missing = proposal.missing.clone();
            for approver in approvers {
                if missing.is_empty() {
                    break;
                }
                let Principal { groups, .. } = &approver.principal;
                let fits = |slot: &String| groups.contains(slot) || approver.principal.role.as_str() == slot;
                if !missing.iter().any(fits) {
                    continue;
                }
                let permit = self.parts.catalog.authorize(&approver.principal, Action::ApproveDecision, &decision.id);
                let permit = permit.await?;
                let catalog = &self.parts.catalog;
                let (binds, reason) = (decision.binds, &approver.reason);
                let state = catalog.approve(&permit, &approver.principal, groups, &decision.id, binds, reason).await?;
                missing = state.proposal.missing;
            }
            if missing.is_empty() {
                promoted.push(self.promote(&decision.id, now).await?);
            }
        }
        Ok(promoted)
    }

    /// Promotes what an approved proposal proposes.
    pub async fn promote(&self, proposal: &str, now: Instant) -> Result<Decision> {
        let permit = self.control_permit(Action::PromoteModel, proposal);
        let decision = self.parts.catalog.promote(&permit, proposal, now).await?;
        self.refresh_champions().await?;
        if let Some(version) = decision.version {
            self.close_answered(&decision.model, version, now).await?;
        }
        Ok(decision)
    }

    /// Builds the rows of a kept version again, at the versions that its fingerprint pins, and trains again.
    pub async fn reproduce(&self, permit: &Permit, model: &str, version: u32) -> Result<Reproduction> {
        let kept = self.parts.catalog.model_version(model, version).await?;
        let revision = self.revision();
        let declared = revision.model(model)?;
        if declared.model.definition_hash() != kept.definition_hash {
            return Err(Error::new(ErrorKind::Conflict, "SW0843", format!("model {model} is declared otherwise now"))
                .hint(format!(
                    "`seawall rollback revision {}` brings its declaration back",
                    kept.fingerprint.revision
                )));
        }
        let set = &declared.set;
        let mut plan = crate::training::plan(&revision, set, kept.fingerprint.built_at);
        plan.versions = kept.fingerprint.inputs.iter().map(|input| (input.table.clone(), input.version)).collect();
        let rows = self.parts.engine.training_set(permit, &plan).await?;
        let content = rows.fingerprint.content;
        let faults = self.faults_of(model, kept.trained_at).await?;
        let faults = faults.into_iter().filter(|(_, why)| kept.excluded.contains(why)).collect();
        let fingerprint = kept.fingerprint.clone();
        let labelled = labelled_rows(declared, rows.rows, fingerprint, kept.training_set_version, faults).await?;
        let split = labelled.split_at(&kept.trained_on, &kept.holdout);
        let trained = self.train_on(declared, &labelled, &split, permit).await?;
        Ok(Reproduction {
            model: model.to_owned(),
            version,
            content_kept: kept.fingerprint.content,
            content_rebuilt: content,
            digest_kept: kept.digest,
            digest_rebuilt: trained.digest,
        })
    }
}

/// A kept version and the one made again.
#[derive(Debug, Clone, Serialize)]
pub struct Reproduction {
    /// The model.
    pub model: String,
    /// Its version.
    pub version: u32,
    /// Content of the training set as kept.
    pub content_kept: Hash,
    /// Content of the training set as built again.
    pub content_rebuilt: Hash,
    /// Digest of the artifact as kept.
    pub digest_kept: Hash,
    /// Digest of the artifact as trained again.
    pub digest_rebuilt: Hash,
}

impl Reproduction {
    /// Whether everything is the same.
    pub fn holds(&self) -> bool {
        self.content_kept == self.content_rebuilt && self.digest_kept == self.digest_rebuilt
    }
}

struct Asked {
    trigger: Trigger,
    reason: String,
    rejected: Vec<Alternative>,
    by: String,
}

/// The policy of a model, or that of one that is only trained by hand.
pub(crate) fn policy_of(model: &DeclaredModel) -> Retrain {
    model.model.retrain.clone().unwrap_or_else(|| Retrain {
        min_interval: Span::ZERO,
        max_interval: None,
        triggers: Default::default(),
        evaluate: model.model.holdout,
        probation: Span::ZERO,
        approve: Vec::new(),
        slice_margin: 0.05,
    })
}

fn is_attempt(decision: &Decision) -> bool {
    use DecisionKind as Kind;
    matches!(decision.kind, Kind::Propose | Kind::Promote | Kind::HoldBack | Kind::TrainingFailed | Kind::RollBack)
}

/// What approvals bind to: the artifact, the rows, the policy, and what was measured.
fn binds(kept: &ModelVersion, decision: &Decision) -> Hash {
    Hash::of_json(&(
        kept.digest,
        &kept.fingerprint,
        kept.definition_hash,
        decision.policy,
        &decision.evaluation,
        &decision.comparison,
    ))
}

/// Which rows are learned from and which are held out, as ranges of the labelled rows.
#[derive(Debug, Clone)]
pub(crate) struct Split {
    pub train: std::ops::Range<usize>,
    pub test: std::ops::Range<usize>,
}

impl Split {
    fn trained_on(&self, labelled: &Labelled) -> Period {
        labelled.period(&self.train)
    }

    fn tested_on(&self, labelled: &Labelled) -> Period {
        labelled.period(&self.test)
    }
}

impl Labelled {
    /// Everything but the newest `length` is learned from.
    pub(crate) fn split(&self, length: Span) -> Split {
        let end = self.at.last().map_or(Instant::MIN, |last| *last + Span(1));
        let from = self.at.partition_point(|at| *at < end - length);
        Split { train: 0..from, test: from..self.at.len() }
    }

    /// The split of a kept version.
    fn split_at(&self, trained_on: &Period, holdout: &Period) -> Split {
        let range = |period: &Period| {
            self.at.partition_point(|at| *at < period.from)..self.at.partition_point(|at| *at < period.to)
        };
        Split { train: range(trained_on), test: range(holdout) }
    }

    fn period(&self, range: &std::ops::Range<usize>) -> Period {
        let at = &self.at[range.clone()];
        match (at.first(), at.last()) {
            (Some(from), Some(last)) => Period { from: *from, to: *last + Span(1) },
            (_, _) => Period { from: Instant(0), to: Instant(0) },
        }
    }

    fn too_few(&self, split: &Split) -> Option<String> {
        for (range, what) in [(&split.train, "to learn from"), (&split.test, "to evaluate on")] {
            let positives = self.positive[range.clone()].iter().filter(|positive| **positive).count();
            let least = positives.min(range.len() - positives);
            if least < CLASS_ROWS_MIN {
                return Some(format!("there are only {least} rows of one class {what}, {CLASS_ROWS_MIN} are needed"));
            }
        }
        None
    }

    pub(crate) fn job(&self, model: &DeclaredModel, split: &Split) -> Result<TrainingJob> {
        let rows: Vec<u32> = (split.train.start as u32..split.train.end as u32).collect();
        Ok(TrainingJob {
            model: model.model.clone(),
            rows: take_inputs(&self.rows, &rows, &model.inputs)?,
            inputs: model.inputs.clone(),
            positive: self.positive[split.train.clone()].to_vec(),
            fingerprint: self.fingerprint.clone(),
        })
    }

    pub(crate) fn scores(&self, scorer: &dyn Scorer, range: std::ops::Range<usize>) -> Result<Vec<f64>> {
        let rows: Vec<u32> = (range.start as u32..range.end as u32).collect();
        Ok(scorer.score(&take_inputs(&self.rows, &rows, scorer.inputs())?)?.probability)
    }

    pub(crate) fn slices(
        &self,
        by: &[String],
        range: std::ops::Range<usize>,
    ) -> Result<Vec<(String, Vec<Option<String>>)>> {
        let mut slices = Vec::with_capacity(by.len());
        for name in by {
            let column = self.rows.column_by_name(name).ok_or_else(|| crate::verify::missing_column("_slice"))?;
            let mut values = Vec::with_capacity(range.len());
            for row in range.clone() {
                values.push(match column.is_valid(row) {
                    true => Some(arrow::util::display::array_value_to_string(column, row)?),
                    false => None,
                });
            }
            slices.push((name.clone(), values));
        }
        Ok(slices)
    }
}

/// The first decisions of all: their windows reach before the first row, so that their features are not what serving
/// sees ever after.
fn warm_up(model: &DeclaredModel, first: Option<i64>) -> Option<(Period, Alternative)> {
    let windowed = |feature: &seawall_base::declare::Feature| {
        use seawall_base::declare::Aggregation;
        let is_window = !matches!(feature.aggregation, Aggregation::Latest { .. } | Aggregation::TimeSince);
        feature.window.filter(|_| is_window)
    };
    let windows = model.set.views.iter().flat_map(|view| view.view().features.iter().filter_map(windowed));
    let (longest, first) = (windows.max()?, Instant(first?));
    let period = Period { from: first, to: first + longest };
    let what = format!("decisions from {} to {}", period.from, period.to);
    let why = format!("warm-up: windows of up to {longest} reach before the first row");
    Some((period, Alternative { what, why }))
}

/// The labelled rows among those of a training set, oldest first, without the warm-up and the
/// periods of `faults`.
pub(crate) async fn labelled_rows(
    model: &DeclaredModel,
    rows: RecordBatch,
    fingerprint: Fingerprint,
    version: TableVersion,
    faults: Vec<(Period, Alternative)>,
) -> Result<Labelled> {
    let flags = match &model.positive {
        Some(_) => positives(model, &rows, "label").await?,
        None => {
            let label = rows.column_by_name("label").ok_or_else(|| crate::verify::missing_column("_label"))?;
            arrow::compute::cast(label, &arrow::datatypes::DataType::Boolean)?.as_boolean().iter().collect()
        }
    };
    let times = instants(&rows, "_at")?.clone();
    let mut faults = faults;
    faults.extend(warm_up(model, times.iter().flatten().min()));
    let faulty = |at: i64| faults.iter().any(|(period, _)| period.from.0 <= at && at < period.to.0);
    let mut kept: Vec<u32> = Vec::new();
    for (row, flag) in flags.iter().enumerate() {
        if flag.is_some() && !faulty(times.value(row)) {
            kept.push(row as u32);
        }
    }
    let chosen = arrow::compute::take_record_batch(&rows, &arrow::array::UInt32Array::from(kept.clone()))?;
    let rows = concat_batches(&chosen.schema(), [&chosen])?;
    let first = kept.first().map(|row| times.value(*row as usize));
    let last = kept.last().map(|row| times.value(*row as usize));
    let touches = |period: &Period| {
        first.is_some_and(|first| period.to.0 > first) && last.is_some_and(|last| period.from.0 <= last)
    };
    Ok(Labelled {
        rows,
        at: kept.iter().map(|row| Instant(times.value(*row as usize))).collect(),
        positive: kept.iter().map(|row| flags[*row as usize] == Some(true)).collect(),
        fingerprint,
        version,
        excluded: faults.into_iter().filter(|(period, _)| touches(period)).collect(),
    })
}
