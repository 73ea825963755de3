//! Backtests: what the retraining policy would have decided on history, and what a leak is worth.
//!
//! Everything is point in time: at the end of a month only the outcomes known then count, a challenger learns from
//! decisions before the month that it is compared on, and the policy is the one that runs.

use std::collections::HashMap;

use arrow::array::RecordBatch;
use seawall_base::declare::Known;
use seawall_base::error::Result;
use seawall_base::watch::{Alternative, Comparison, Estimate, Evaluation, Period, Signal, Trigger};
use seawall_base::{Error, Instant, Permit, Scorer, Span, TableVersion};
use seawall_kernel::feature::key_hashes;
use seawall_kernel::retrain::decide::{
    ChampionState, Judgement, Measured, Next, Situation, judge, next, performance_signal,
};
use seawall_kernel::retrain::evaluate::{compare, evaluate, unmet};
use serde::Serialize;
use std::sync::Arc;

use crate::pipeline::Pipeline;
use crate::retrainer::{Labelled, Split, labelled_rows, policy_of};
use crate::revision::{DeclaredModel, instants};
use crate::scoring::take_inputs;

/// One month of a backtest.
#[derive(Debug, Clone, Serialize)]
pub struct Month {
    /// `2014-05`.
    pub month: String,
    /// Decisions with a final outcome.
    pub rows: u64,
    /// The champion of that month, by what it had learned from.
    pub champion: String,
    /// How it ranked the month's decisions.
    pub auc_champion: Option<Estimate>,
    /// How a model that learned from everything before the month ranked them.
    pub auc_challenger: Option<Estimate>,
}

/// What the policy would have done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The first champion begins.
    First,
    /// The challenger becomes champion.
    Promote,
    /// The challenger is not better, or not good enough.
    HoldBack,
    /// A training is due, but must not happen now.
    Postpone,
    /// The former champion comes back.
    RollBack,
    /// Nothing was due.
    Keep,
}

impl Outcome {
    /// Its name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::First => "first",
            Outcome::Promote => "promote",
            Outcome::HoldBack => "hold_back",
            Outcome::Postpone => "postpone",
            Outcome::RollBack => "roll_back",
            Outcome::Keep => "keep",
        }
    }
}

/// What was decided at the end of a month.
#[derive(Debug, Clone, Serialize)]
pub struct MonthDecision {
    /// `2014-05`.
    pub month: String,
    /// What.
    pub decision: Outcome,
    /// Why it was due; absent when nothing was.
    pub trigger: Option<String>,
    /// The signal, with its interval.
    pub signal: Option<Signal>,
    /// Challenger's AUC minus champion's, paired.
    pub auc_gain: Option<Estimate>,
    /// Why.
    pub reason: String,
    /// What else could have been decided, and why it was not.
    pub rejected: Vec<Alternative>,
}

/// A backtest.
#[derive(Debug, Clone, Serialize)]
pub struct Backtest {
    /// The model.
    pub model: String,
    /// Decisions before this instant made the first champion.
    pub from: String,
    /// Month by month.
    pub months: Vec<Month>,
    /// What was decided at the end of each.
    pub decisions: Vec<MonthDecision>,
}

/// One line of the leak table.
#[derive(Debug, Clone, Serialize)]
pub struct LeakLine {
    /// `in_time` or `ignore`.
    pub known: String,
    /// AUC on the hold-out rows of its own training set.
    pub claimed: f64,
    /// AUC of the same model on the vectors that were really served for the same decisions.
    pub served: f64,
    /// Decisions compared.
    pub rows: u64,
}

/// A champion of a backtest.
struct Current {
    scorer: Arc<dyn Scorer>,
    learned: String,
    state: ChampionState,
}

impl Pipeline {
    /// Runs the policy of `model` over history: the first champion learns from decisions before `from`, then every
    /// month is evaluated, judged and decided on.
    pub async fn backtest(
        &self,
        permit: &Permit,
        model: &str,
        from: Instant,
        progress: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<Backtest> {
        let revision = self.revision();
        let model = revision.model(model)?.clone();
        self.catch_up().await?;
        let whole = self.rows_as_of(permit, &model, Instant::MAX, Known::InTime).await?;
        let Some(end) = whole.at.last().copied() else {
            return Err(Error::invalid("SW0872", "there is no decision with a final outcome").hint("replay first"));
        };
        let (mut current, first) = self.first_champion(permit, &model, from).await?;
        let mut test = Backtest {
            model: model.model.name.clone(),
            from: from.to_string(),
            months: Vec::new(),
            decisions: vec![first],
        };
        let mut last_attempt = None;
        for period in months(from, end) {
            progress(&month_name(period.from));
            self.one_month(permit, &model, period, &mut current, &mut last_attempt, &mut test).await?;
        }
        Ok(test)
    }

    async fn first_champion(
        &self,
        permit: &Permit,
        model: &Arc<DeclaredModel>,
        from: Instant,
    ) -> Result<(Current, MonthDecision)> {
        let known = self.rows_as_of(permit, model, from, Known::InTime).await?;
        let split = known.split(model.model.holdout);
        let scorer = self.trained(permit, model, &known, &split).await?;
        let claimed = self.evaluated(model, &known, scorer.as_ref(), &split)?;
        let unmet = unmet(&claimed, &model.model.ready_when);
        let (reason, rejected) = match judge(&policy_of(model), None, &unmet) {
            Judgement::Propose { reason, rejected } | Judgement::HoldBack { reason, rejected } => (reason, rejected),
        };
        if let Some(unmet) = unmet.first() {
            return Err(Error::invalid("SW0873", format!("no champion can begin: {} {}", unmet.what, unmet.why))
                .hint("loosen `ready_when`, or begin later so that there is more to learn from"));
        }
        let state = ChampionState { version: 1, promoted_at: from, claimed, probation_until: None, former: None };
        let decision = MonthDecision {
            month: month_name(from - Span(15 * Span::DAY.0)),
            decision: Outcome::First,
            trigger: Some("first".into()),
            signal: None,
            auc_gain: None,
            reason,
            rejected,
        };
        Ok((Current { scorer, learned: format!("before {from}"), state }, decision))
    }

    async fn one_month(
        &self,
        permit: &Permit,
        model: &Arc<DeclaredModel>,
        period: Period,
        current: &mut Current,
        last_attempt: &mut Option<Instant>,
        test: &mut Backtest,
    ) -> Result<()> {
        let known = self.rows_as_of(permit, model, period.to, Known::InTime).await?;
        let first = known.at.partition_point(|at| *at < period.from);
        let split = Split { train: 0..first, test: first..known.at.len() };
        let labels = &known.positive[split.test.clone()];
        let slices = known.slices(&model.model.ready_when.by, split.test.clone())?;
        let champion = known.scores(current.scorer.as_ref(), split.test.clone())?;
        let scorer = self.trained(permit, model, &known, &split).await?;
        let challenger = known.scores(scorer.as_ref(), split.test.clone())?;
        let comparison = compare(period, &champion, &challenger, labels, &slices);
        test.months.push(Month {
            month: month_name(period.from),
            rows: labels.len() as u64,
            champion: current.learned.clone(),
            auc_champion: comparison.champion.auc(),
            auc_challenger: comparison.challenger.auc(),
        });

        let situation = Situation {
            model: model.model.name.clone(),
            now: period.to,
            champion: Some(current.state.clone()),
            performance: Some(Measured { evaluation: comparison.champion.clone(), window: period }),
            drift: Vec::new(),
            data_incidents: Vec::new(),
            last_attempt: *last_attempt,
            labelled_rows: known.at.len() as u64,
            rows_min: model.model.rows_min,
            proposal_open: false,
        };
        let decision = decide(model, &situation, &current.state, &comparison, period);
        if matches!(decision.decision, Outcome::Promote | Outcome::HoldBack) {
            *last_attempt = Some(period.to);
        }
        if decision.decision == Outcome::Promote {
            promote(current, scorer, &comparison.challenger, period);
        }
        test.decisions.push(decision);
        Ok(())
    }

    async fn trained(
        &self,
        permit: &Permit,
        model: &DeclaredModel,
        known: &Labelled,
        split: &Split,
    ) -> Result<Arc<dyn Scorer>> {
        let job = known.job(model, split)?;
        let trained = self.parts.models.train(permit, &job).await?;
        let models = self.parts.models.clone();
        tokio::task::spawn_blocking(move || models.load(trained.digest))
            .await
            .map_err(|e| Error::internal("SW0833", "loading a model died").because(e))?
    }

    fn evaluated(
        &self,
        model: &DeclaredModel,
        known: &Labelled,
        scorer: &dyn Scorer,
        split: &Split,
    ) -> Result<Evaluation> {
        let scores = known.scores(scorer, split.test.clone())?;
        let slices = known.slices(&model.model.ready_when.by, split.test.clone())?;
        Ok(evaluate(&scores, &known.positive[split.test.clone()], &slices))
    }

    /// Decisions with an outcome that was final at `built_at`, not kept as a table version.
    async fn rows_as_of(
        &self,
        permit: &Permit,
        model: &DeclaredModel,
        built_at: Instant,
        known: Known,
    ) -> Result<Labelled> {
        let revision = self.revision();
        let mut plan = crate::training::plan(&revision, &model.set, built_at);
        plan.training_set.known = known;
        let built = self.parts.engine.training_set(permit, &plan).await?;
        let mut labelled = labelled_rows(model, built.rows, built.fingerprint, TableVersion(0), Vec::new()).await?;
        // What was decided after that instant was not there yet.
        let end = labelled.at.partition_point(|at| *at < built_at);
        labelled.rows = labelled.rows.slice(0, end);
        labelled.at.truncate(end);
        labelled.positive.truncate(end);
        Ok(labelled)
    }

    /// Trains once in time and once on everything, and scores with both what was really served from `from` on.
    pub async fn leak_table(&self, permit: &Permit, model: &str, from: Instant) -> Result<Vec<LeakLine>> {
        let revision = self.revision();
        let model = revision.model(model)?.clone();
        self.catch_up().await?;
        let served = self.served_rows(permit, &model).await?;
        let mut lines = Vec::new();
        for (known, name) in [(Known::InTime, "in_time"), (Known::Ignore, "ignore")] {
            let rows = self.rows_as_of(permit, &model, Instant::MAX, known).await?;
            let first = rows.at.partition_point(|at| *at < from);
            let split = Split { train: 0..first, test: first..rows.at.len() };
            let scorer = self.trained(permit, &model, &rows, &split).await?;
            let labels = &rows.positive[split.test.clone()];
            let claimed = rows.scores(scorer.as_ref(), split.test.clone())?;
            let (vectors, labels_served) = vectors_of(&model, &served, &rows, &split)?;
            let inputs: Vec<u32> = (0..vectors.num_rows() as u32).collect();
            let scored = scorer.score(&take_inputs(&vectors, &inputs, scorer.inputs())?)?.probability;
            lines.push(LeakLine {
                known: name.to_owned(),
                claimed: auc_of(&claimed, labels)?,
                served: auc_of(&scored, &labels_served)?,
                rows: labels_served.len() as u64,
            });
        }
        Ok(lines)
    }

    async fn served_rows(&self, permit: &Permit, model: &DeclaredModel) -> Result<RecordBatch> {
        let snapshot = self.parts.tables.snapshot(&model.set.served_table, None).await?;
        let batches = self.parts.tables.scan(permit, &model.set.served_table, snapshot.version, None).await?;
        Ok(arrow::compute::concat_batches(&snapshot.schema, &batches)?)
    }
}

/// What the policy says at the end of a month.
fn decide(
    model: &DeclaredModel,
    situation: &Situation,
    champion: &ChampionState,
    comparison: &Comparison,
    period: Period,
) -> MonthDecision {
    let policy = policy_of(model);
    let measured = situation.performance.as_ref();
    let signal =
        measured.and_then(|measured| performance_signal(&policy, &situation.model, champion, measured, period.to));
    let told =
        |decision: Outcome, trigger: Option<Trigger>, reason: String, rejected: Vec<Alternative>| MonthDecision {
            month: month_name(period.from),
            decision,
            trigger: trigger.map(|trigger| trigger.kind),
            signal: signal.clone(),
            auc_gain: comparison.auc_gain,
            reason,
            rejected,
        };
    let (trigger, reason, mut rejected) = match next(&policy, situation) {
        Next::Wait { rejected } => return told(Outcome::Keep, None, "nothing was due".into(), rejected),
        Next::Confirm { reason } => return told(Outcome::Keep, None, reason, Vec::new()),
        Next::Postpone { trigger, reason, rejected } => {
            return told(Outcome::Postpone, Some(trigger), reason, rejected);
        }
        Next::RollBack { trigger, reason, rejected, .. } => {
            return told(Outcome::RollBack, Some(trigger), reason, rejected);
        }
        Next::Train { trigger, reason, rejected } => (trigger, reason, rejected),
    };
    let unmet = unmet(&comparison.challenger, &model.model.ready_when);
    let (decision, judged, more) = match judge(&policy, Some(comparison), &unmet) {
        Judgement::Propose { reason, rejected } => (Outcome::Promote, reason, rejected),
        Judgement::HoldBack { reason, rejected } => (Outcome::HoldBack, reason, rejected),
    };
    rejected.extend(more);
    told(decision, Some(trigger), format!("{reason}; {judged}"), rejected)
}

fn promote(current: &mut Current, scorer: Arc<dyn Scorer>, claimed: &Evaluation, period: Period) {
    current.scorer = scorer;
    current.learned = format!("before {}", period.from);
    current.state = ChampionState {
        version: current.state.version + 1,
        promoted_at: period.to,
        claimed: claimed.clone(),
        probation_until: None,
        former: Some(current.state.version),
    };
}

fn auc_of(scores: &[f64], labels: &[bool]) -> Result<f64> {
    seawall_kernel::retrain::evaluate::auc(scores, labels).map(|auc| auc.value).ok_or_else(|| {
        Error::invalid("SW0872", "there is no decision with a final outcome of each class").hint("begin earlier")
    })
}

/// The served vectors of the held-out decisions, with their outcomes.
fn vectors_of(
    model: &DeclaredModel,
    served: &RecordBatch,
    rows: &Labelled,
    split: &Split,
) -> Result<(RecordBatch, Vec<bool>)> {
    let key = &model.set.spine.primary_key;
    let served_at = instants(served, "_at")?;
    let mut by_decision: HashMap<(u128, i64), u32> = HashMap::new();
    for (row, hash) in key_hashes(served, key)?.into_iter().enumerate() {
        if let Some(hash) = hash {
            by_decision.insert((hash, served_at.value(row)), row as u32);
        }
    }
    let held_out = rows.rows.slice(split.test.start, split.test.len());
    let (mut chosen, mut labels) = (Vec::new(), Vec::new());
    for (row, hash) in key_hashes(&held_out, key)?.into_iter().enumerate() {
        let at = rows.at[split.test.start + row];
        if let Some(served) = hash.and_then(|hash| by_decision.get(&(hash, at.0))) {
            chosen.push(*served);
            labels.push(rows.positive[split.test.start + row]);
        }
    }
    debug_assert!(served_at.len() >= chosen.len(), "each decision has one vector");
    Ok((arrow::compute::take_record_batch(served, &arrow::array::UInt32Array::from(chosen))?, labels))
}

/// Calendar months in UTC-like local offset of `from`: each begins at the same time of day and day of month.
fn months(from: Instant, end: Instant) -> Vec<Period> {
    let mut months = Vec::new();
    let mut start = from;
    // The rest of a day after the last month is no month.
    while start + Span::DAY <= end {
        let next = next_month(start);
        months.push(Period { from: start, to: next });
        start = next;
    }
    months
}

fn next_month(at: Instant) -> Instant {
    let timestamp = jiff::Timestamp::from_microsecond(at.0).unwrap_or(jiff::Timestamp::MAX);
    let zoned = timestamp.to_zoned(jiff::tz::TimeZone::UTC);
    match zoned.checked_add(jiff::Span::new().months(1)) {
        Ok(next) => Instant(next.timestamp().as_microsecond()),
        Err(_) => Instant::MAX,
    }
}

/// The month that a period of a month mostly covers.
fn month_name(start: Instant) -> String {
    (start + Span(Span::DAY.0 / 2)).to_string().chars().take(7).collect()
}
