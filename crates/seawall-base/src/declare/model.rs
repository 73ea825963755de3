//! `kind: model`: what a model learns from, when it may serve, and when it is trained again.

use serde::{Deserialize, Serialize};

use crate::hash::Hash;
use crate::time::Span;

/// A model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Name.
    pub name: String,
    /// The training set that it learns from, and whose vectors it scores.
    pub training_set: String,
    /// Who answers for it: a team or a person.
    pub owner: Option<String>,
    /// SQL over the column `label` that is true for the positive class, such as `label > 15`; absent when the label is
    /// itself a boolean.
    pub positive: Option<String>,
    /// Columns of the training set that it takes, context columns and `VIEW__FEATURE`; every one when empty.
    pub inputs: Vec<String>,
    /// How it is trained.
    pub trainer: Trainer,
    /// How raw scores become probabilities.
    pub calibration: Calibration,
    /// The newest part of the labelled decisions that no training sees.
    pub holdout: Span,
    /// Labelled rows below which no training begins.
    pub rows_min: u64,
    /// What a missing value does.
    pub on_missing: OnMissing,
    /// What it must reach before it may serve.
    pub ready_when: ReadyWhen,
    /// When it is trained again; never by itself when absent.
    pub retrain: Option<Retrain>,
}

impl Model {
    /// Hash of the declaration.
    pub fn definition_hash(&self) -> Hash {
        Hash::of_json(self)
    }
}

/// How a model is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trainer {
    /// Built-in gradient boosting of trees.
    Boosting(Boosting),
    /// A command of the project, run apart from Seawall.
    Command(CommandTrainer),
}

/// Settings of gradient boosting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Boosting {
    /// Trees.
    pub trees: u32,
    /// Weight of each tree.
    pub learning_rate: f64,
    /// Leaves of a tree.
    pub leaves: u32,
    /// Least sum of hessians in a leaf.
    pub leaf_weight_min: f64,
    /// Seed of whatever is drawn.
    pub seed: u64,
}

impl Default for Boosting {
    fn default() -> Self {
        Boosting { trees: 150, learning_rate: 0.1, leaves: 15, leaf_weight_min: 5.0, seed: 7 }
    }
}

/// A command that trains: the rows come in as Parquet with their fingerprint, ONNX and metrics go out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandTrainer {
    /// Program and arguments, run in the project's folder.
    pub command: Vec<String>,
    /// After how long it is killed.
    pub timeout: Span,
    /// Address space that it may take, in bytes.
    pub memory_bytes_max: u64,
}

/// How raw scores become probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Calibration {
    /// The score as it is.
    None,
    /// Logistic regression of the label on the score.
    Platt,
    /// A monotone step function of the score.
    Isotonic,
}

/// What missing values do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnMissing {
    /// For features that are not named.
    pub default: MissingAction,
    /// By column of the training set.
    pub columns: Vec<(String, MissingAction)>,
}

impl OnMissing {
    /// What a missing value of `column` does.
    pub fn action(&self, column: &str) -> MissingAction {
        self.columns.iter().find(|(name, _)| name == column).map_or(self.default, |(_, action)| *action)
    }
}

/// What a missing value does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissingAction {
    /// The decision gets no score.
    Halt,
    /// The decision is scored and marked as degraded.
    Degrade,
    /// Missing is a value like any other.
    Accept,
}

/// What a model must reach.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ReadyWhen {
    /// Bounds, by metric, on the hold-out.
    pub bounds: Vec<(MetricName, Bounds)>,
    /// Columns by whose values the bounds must hold too, where a slice has enough rows.
    pub by: Vec<String>,
}

/// A metric of a binary classifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricName {
    /// Area under the ROC curve.
    Auc,
    /// Mean negative log-likelihood, in nats.
    LogLoss,
    /// Mean squared difference of probability and outcome.
    Brier,
    /// Expected calibration error over ten equal-count bins.
    CalibrationError,
}

/// Least and greatest value that are good enough.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Bounds {
    /// The least.
    pub min: Option<f64>,
    /// The greatest.
    pub max: Option<f64>,
}

/// When a model is trained again and how it is promoted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Retrain {
    /// Least time between two trainings, counted from the last promotion, or from the last attempt that led to none.
    pub min_interval: Span,
    /// Time from a promotion after which a training is due without any signal.
    pub max_interval: Option<Span>,
    /// Signals that make a training due.
    pub triggers: Triggers,
    /// The newest period of final labels, on which champion and challenger are compared.
    pub evaluate: Span,
    /// How long a promoted model is watched for a rollback; zero for not at all.
    pub probation: Span,
    /// Roles or groups, one of whose members must approve each; none for no approval.
    pub approve: Vec<String>,
    /// Loss of AUC that a challenger may have on a slice and still be promoted.
    pub slice_margin: f64,
}

impl Retrain {
    /// Hash of the policy: what a decision was made under.
    pub fn definition_hash(&self) -> Hash {
        Hash::of_json(self)
    }
}

/// Signals that make a training due.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Triggers {
    /// Population stability index of a served feature against the training baseline.
    pub psi: Option<f64>,
    /// Loss of AUC against what was claimed on the hold-out.
    pub auc_drop: Option<f64>,
}
