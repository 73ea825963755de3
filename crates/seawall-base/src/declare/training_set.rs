//! `kind: training_set`: decisions, their features and their labels.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::hash::Hash;
use crate::ids::VersionedName;
use crate::time::Span;

use super::feature_service::{DerivedFeature, FeatureService, RequestValue};
use super::feature_view::FeatureView;

/// A training set; under the same name its features are served online, and what was served is recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingSet {
    /// Name.
    pub name: String,
    /// The rows to decide on.
    pub rows: Spine,
    /// What is to be predicted.
    pub label: Option<Label>,
    /// The service whose features these are; none when it names views of its own. What the service brings is filled in
    /// by [`TrainingSet::bound`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<VersionedName>,
    /// The features, in declared order.
    pub features: Vec<FeatureRef>,
    /// Columns computed from the spine row alone: name and SQL expression; the same evaluator on both sides.
    pub context: Vec<(String, String)>,
    /// What its service takes from a request: context columns of these names, or else columns of the spine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub request: Vec<RequestValue>,
    /// Features computed from the others and from the context, in declared order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub derived: Vec<DerivedFeature>,
    /// How much later than its availability a row is visible to serving: K = T - lag in training.
    pub visibility_lag: Span,
    /// Whether a decision sees only what was known at its time.
    #[serde(default, skip_serializing_if = "Known::is_in_time")]
    pub known: Known,
    /// Rules that its rows keep before a version is published: `properties` and `quality` of the contract standard, as
    /// JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<serde_json::Value>,
}

impl TrainingSet {
    /// Hash of the declaration.
    pub fn definition_hash(&self) -> Hash {
        Hash::of_json(self)
    }

    /// The same set with the features of its service, which must be among `services`; unchanged when it has none.
    pub fn bound(&self, services: &[FeatureService]) -> Result<TrainingSet> {
        let Some(id) = &self.service else { return Ok(self.clone()) };
        let service = services.iter().find(|service| service.id() == *id).ok_or_else(|| {
            let known: Vec<String> = services.iter().map(|service| service.id().to_string()).collect();
            Error::invalid("SW0686", format!("training set {} is bound to {id}, which does not exist", self.name))
                .hint(format!("feature services: {}", known.join(", ")))
        })?;
        Ok(TrainingSet {
            features: service.features.clone(),
            request: service.request.clone(),
            derived: service.derived.clone(),
            ..self.clone()
        })
    }
}

/// What a decision of a training set sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Known {
    /// Only what was available at its time: the rule of features.
    #[default]
    InTime,
    /// Everything with an event time in the window, whenever it became known. It shows what a leak is worth; such a set
    /// is never served and its models cannot be promoted.
    Ignore,
}

impl Known {
    /// Whether availability counts.
    pub fn is_in_time(&self) -> bool {
        matches!(self, Known::InTime)
    }
}

/// The rows to decide on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spine {
    /// Dataset; it must have a primary key.
    pub from: String,
    /// Column with the decision time.
    pub at: String,
    /// Whether a view over the same dataset may see the row itself.
    pub own_row: OwnRow,
}

/// Whether a decision may see its own row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnRow {
    /// It never does.
    Exclude,
}

/// What is to be predicted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Label {
    /// Dataset with the outcomes.
    pub from: String,
    /// Columns that join an outcome to a spine row: the same names on both sides. When several outcomes match, the
    /// first by (available_at, partition, lsn) counts.
    pub join: Vec<String>,
    /// The label's value.
    pub value: LabelValue,
}

/// The label's value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelValue {
    /// The value of a column of the outcome; a row without an outcome has no label.
    Column(String),
    /// True when there is an outcome, false when there is none; no label before either is final.
    Present {
        /// When presence or absence becomes final, counted from the decision time.
        final_after: Span,
    },
}

/// One feature view bound to a training set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeatureRef {
    /// The view.
    pub view: VersionedName,
    /// For each entity column of the view, in key order, the column of the rows that gives it: of the spine, or of a
    /// service's request.
    pub entity: Vec<String>,
    /// The features of the view that are meant, in this order; all of them when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
}

impl FeatureRef {
    /// The view with the features that are meant, in the order in which they are; its name and version stay.
    pub fn narrow(&self, view: &FeatureView) -> FeatureView {
        if self.only.is_empty() {
            return view.clone();
        }
        let named = |name: &String| view.features.iter().find(|feature| feature.name == *name).cloned();
        FeatureView { features: self.only.iter().filter_map(named).collect(), ..view.clone() }
    }

    /// Whether the feature called `name` is meant.
    pub fn takes(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|taken| taken == name)
    }
}
