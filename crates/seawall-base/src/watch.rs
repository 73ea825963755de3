//! What is watched and decided, as data: signals, incidents, evaluations, decisions. The kernel computes them, the
//! catalog keeps them, the pipeline acts on them.

use serde::{Deserialize, Serialize};

use crate::declare::MetricName;
use crate::hash::Hash;
use crate::ids::RowId;
use crate::time::Instant;

/// A period, from its first instant to the one after its last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    /// First instant.
    #[serde(with = "crate::time::text")]
    pub from: Instant,
    /// The instant after the last.
    #[serde(with = "crate::time::text")]
    pub to: Instant,
}

/// An estimate with its 95 % confidence interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The estimate.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

/// One measurement of one thing at one time, with the limit it was held against.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    /// When it was measured, on Seawall's clock.
    #[serde(with = "crate::time::text")]
    pub at: Instant,
    /// What was measured: `psi`, `robust_distance`, `null_rate`, `auc`, `auc_drop`, `freshness_s`, `volume`,
    /// `quarantine_share`, `unit_factor`, `ahead_s`.
    pub metric: String,
    /// Dataset, training set or model.
    pub subject: String,
    /// The column, where one is concerned.
    pub column: Option<String>,
    /// The slice, as `column=value`, where one is concerned.
    pub slice: Option<String>,
    /// The measured value.
    pub value: f64,
    /// Its confidence interval, where it is an estimate.
    pub interval: Option<(f64, f64)>,
    /// The limit it was held against.
    pub limit: f64,
    /// Whether the limit was broken, significantly.
    pub breached: bool,
    /// Rows that it was measured on.
    pub rows: u64,
    /// What it was measured over.
    pub window: Period,
}

/// Why something went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CauseKind {
    /// A source sends a column in another unit.
    UnitChange,
    /// Rows break one rule of the contract far more often than before.
    Quarantine,
    /// Batches are rejected as a whole.
    Rejection,
    /// A source sends nothing.
    Freshness,
    /// A source sends far less than usual.
    Volume,
    /// Event times lie ahead of their arrival.
    ClockAhead,
    /// The share of missing values of a column changed.
    NullRate,
    /// What was served is distributed otherwise than what was trained on.
    FeatureDrift,
    /// A model is worse than it claimed, on final labels.
    Performance,
    /// Something that was kept is not what was written any more.
    Damage,
    /// A rule of the contract about the whole table is broken.
    Quality,
    /// A service level of the contract is not kept.
    ServiceLevel,
    /// So many rows were refused that the dataset halted.
    Breaker,
}

impl CauseKind {
    /// Whether the data is wrong, so that a model must not learn from it.
    pub fn is_data_fault(self) -> bool {
        use CauseKind::{Damage, FeatureDrift, Performance, Quality, ServiceLevel};
        !matches!(self, FeatureDrift | Performance | Quality | ServiceLevel | Damage)
    }

    /// Its name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            CauseKind::UnitChange => "unit_change",
            CauseKind::Quarantine => "quarantine",
            CauseKind::Rejection => "rejection",
            CauseKind::Freshness => "freshness",
            CauseKind::Volume => "volume",
            CauseKind::ClockAhead => "clock_ahead",
            CauseKind::NullRate => "null_rate",
            CauseKind::FeatureDrift => "feature_drift",
            CauseKind::Performance => "performance",
            CauseKind::Damage => "damage",
            CauseKind::Quality => "quality",
            CauseKind::ServiceLevel => "service_level",
            CauseKind::Breaker => "breaker",
        }
    }
}

/// Something went wrong, once: as long as it is open, the same cause adds evidence to it instead of opening another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// `INC-1`, given by the catalog.
    pub id: String,
    /// What the cause is told apart by: kind, subject, column and slice.
    pub key: String,
    /// Why.
    pub cause: CauseKind,
    /// In one sentence, for people.
    pub summary: String,
    /// Dataset or model.
    pub subject: String,
    /// Source of the rows concerned, by lineage.
    pub source: Option<String>,
    /// The column.
    pub column: Option<String>,
    /// The slice, as `column=value`.
    pub slice: Option<String>,
    /// By what the values are multiplied, for a change of unit.
    pub factor: Option<f64>,
    /// First row that shows it.
    pub first_bad: Option<RowId>,
    /// Arrival of that row; of the last good row for a source that sends nothing.
    #[serde(with = "crate::time::text")]
    pub first_bad_at: Instant,
    /// When it was noticed.
    #[serde(with = "crate::time::text")]
    pub opened_at: Instant,
    /// When it was closed, and why.
    pub closed: Option<Closed>,
    /// The signals that show it, newest last, at most 32.
    pub evidence: Vec<Signal>,
    /// What else it could have been, and why it is not.
    pub excluded: Vec<Alternative>,
    /// What it reaches.
    pub blast: Blast,
    /// What to do.
    pub remedy: Remedy,
}

/// Why an incident was closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// When.
    #[serde(with = "crate::time::text")]
    pub at: Instant,
    /// By whom: `seawall` when the values recovered.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// What an incident reaches, by column lineage.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blast {
    /// Features, `VIEW@VERSION.FEATURE`.
    pub features: Vec<String>,
    /// Training sets.
    pub training_sets: Vec<String>,
    /// Models.
    pub models: Vec<String>,
    /// Who answers for what is reached.
    pub owners: Vec<String>,
}

/// What to do about an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remedy {
    /// `correct`, `wait`, `fix_source`, `release_after_fix`, `retrain`, `none`.
    pub action: String,
    /// In words.
    pub text: String,
    /// A command that carries it out, or shows what it would do.
    pub command: Option<String>,
    /// Whether the models must not be trained on what came in.
    pub retrain: Advice,
}

/// Whether to train on what came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Advice {
    /// The data is wrong.
    DoNotRetrain,
    /// The world changed.
    Retrain,
    /// It makes no difference.
    NoMatter,
}

/// What was not done, or is not the cause, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alternative {
    /// What.
    pub what: String,
    /// Why not.
    pub why: String,
}

/// How good a model is on rows with final labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Rows.
    pub rows: u64,
    /// Rows of the positive class.
    pub positives: u64,
    /// Metrics; those that cannot be computed, for want of one of the classes, are absent.
    pub metrics: Vec<(MetricName, Estimate)>,
    /// The same by slice, `column=value`, for slices with at least 20 rows of each class.
    pub slices: Vec<(String, Evaluation)>,
}

impl Evaluation {
    /// One metric.
    pub fn metric(&self, name: MetricName) -> Option<Estimate> {
        self.metrics.iter().find(|(known, _)| *known == name).map(|(_, estimate)| *estimate)
    }

    /// Area under the ROC curve.
    pub fn auc(&self) -> Option<Estimate> {
        self.metric(MetricName::Auc)
    }
}

/// Champion and challenger on the same rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Decisions that were compared.
    pub window: Period,
    /// The champion.
    pub champion: Evaluation,
    /// The challenger.
    pub challenger: Evaluation,
    /// Challenger's AUC minus champion's, paired.
    pub auc_gain: Option<Estimate>,
    /// The same by slice, `column=value`.
    pub slices: Vec<(String, Estimate)>,
}

/// What was decided about a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecisionKind {
    /// A new version is proposed for promotion and waits for approvals.
    Propose,
    /// A version becomes champion.
    Promote,
    /// A trained version is not better, or not good enough.
    HoldBack,
    /// A training is due, but must not or cannot happen now.
    Postpone,
    /// A training failed.
    TrainingFailed,
    /// The former champion comes back.
    RollBack,
    /// A promoted version has passed its probation.
    Confirm,
    /// A proposal was refused or has lapsed.
    Reject,
}

impl DecisionKind {
    /// Its name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            DecisionKind::Propose => "propose",
            DecisionKind::Promote => "promote",
            DecisionKind::HoldBack => "hold_back",
            DecisionKind::Postpone => "postpone",
            DecisionKind::TrainingFailed => "training_failed",
            DecisionKind::RollBack => "roll_back",
            DecisionKind::Confirm => "confirm",
            DecisionKind::Reject => "reject",
        }
    }
}

/// Why a training or a rollback was due.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trigger {
    /// `first`, `auc_drop`, `psi`, `max_interval`, `probation`, `by_hand`.
    pub kind: String,
    /// The signal, where there is one.
    pub signal: Option<Signal>,
}

/// A decision about a model, with everything it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// `DEC-1`, given by the catalog.
    pub id: String,
    /// The model.
    pub model: String,
    /// When.
    #[serde(with = "crate::time::text")]
    pub at: Instant,
    /// What.
    pub kind: DecisionKind,
    /// The version that it is about.
    pub version: Option<u32>,
    /// The champion at that time.
    pub champion: Option<u32>,
    /// Why it was due.
    pub trigger: Option<Trigger>,
    /// In one sentence, for people.
    pub reason: String,
    /// What else could have been decided, and why it was not.
    pub rejected: Vec<Alternative>,
    /// Champion and challenger, where both exist.
    pub comparison: Option<Comparison>,
    /// How good the version is on its hold-out.
    pub evaluation: Option<Evaluation>,
    /// The decision that this one carries out: the proposal of a promotion.
    pub of: Option<String>,
    /// Hash of the retraining policy that it was made under.
    pub policy: Hash,
    /// Hash of what approvals bind to: artifact, fingerprint, comparison and policy.
    pub binds: Hash,
    /// Who decided: `seawall`, or a person.
    pub by: String,
}
