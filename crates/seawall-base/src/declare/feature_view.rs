//! `kind: feature_view`: latest values and windowed aggregates per entity.

use serde::{Deserialize, Serialize};

use crate::hash::Hash;
use crate::ids::VersionedName;
use crate::time::Span;

/// A feature view: features of one entity over one dataset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeatureView {
    /// Name.
    pub name: String,
    /// Version, given by `apply`; a changed definition gets the next one.
    pub version: u32,
    /// Columns that identify the entity, in key order; at least one.
    pub entity: Vec<String>,
    /// Dataset whose rows are aggregated.
    pub from: String,
    /// Column with the event time of a row.
    pub time: String,
    /// The features, in declared order.
    pub features: Vec<Feature>,
}

impl FeatureView {
    /// Name and version.
    pub fn id(&self) -> VersionedName {
        VersionedName { name: self.name.clone(), version: self.version }
    }

    /// Whether this is the view that `id` names.
    pub fn is(&self, id: &VersionedName) -> bool {
        self.name == id.name && self.version == id.version
    }

    /// Hash of everything but the version.
    pub fn definition_hash(&self) -> Hash {
        Hash::of_json(&(&self.name, &self.entity, &self.from, &self.time, &self.features))
    }
}

/// One feature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Feature {
    /// Name, unique within the view.
    pub name: String,
    /// What is computed.
    pub aggregation: Aggregation,
    /// Length of the window; absent for [`Aggregation::Latest`] and [`Aggregation::TimeSince`] without bound.
    /// For those two this is the time to live.
    pub window: Option<Span>,
    /// Where the window begins.
    pub edge: WindowEdge,
}

/// Where a window begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WindowEdge {
    /// `floor(T - w, hop) <= event_time <= T`, the hop chosen by the window's length.
    Sawtooth,
    /// `T - w < event_time <= T`.
    Exact,
}

/// What a feature computes of the rows in its window. Null inputs are ignored by all but `Count` of rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregation {
    /// Rows (`count: "*"`) or non-null values of a column. Int64; 0 when rows of the entity are known but none lies in
    /// the window, and also 0 when none is known.
    Count {
        /// The column, or none for rows.
        column: Option<String>,
    },
    /// Sum: Int64 of integers (overflow is an error), Float64 (exact, rounded once), Decimal of decimals.
    Sum {
        /// The column.
        column: String,
    },
    /// Arithmetic mean as Float64.
    Mean {
        /// The column.
        column: String,
    },
    /// Least value.
    Min {
        /// The column.
        column: String,
    },
    /// Greatest value.
    Max {
        /// The column.
        column: String,
    },
    /// Sample variance (n - 1) as Float64; null for fewer than two values.
    Variance {
        /// The column.
        column: String,
    },
    /// Value of the first row in the total order, null values skipped.
    First {
        /// The column.
        column: String,
    },
    /// Value of the last row in the total order, null values skipped.
    Last {
        /// The column.
        column: String,
    },
    /// Approximate number of distinct values: HyperLogLog with 4,096 registers, Int64.
    Distinct {
        /// The column.
        column: String,
    },
    /// Quantile `q` by DDSketch with 1 % relative error, Float64.
    Quantile {
        /// The column.
        column: String,
        /// 0 to 1.
        q: f64,
    },
    /// Value of the newest row, even when that value is null; `window` is its time to live.
    Latest {
        /// The column.
        column: String,
    },
    /// Seconds from the newest row's event time to the decision time, Float64; `window` is its time to live.
    TimeSince,
}

impl Aggregation {
    /// The input column, when there is one.
    pub fn column(&self) -> Option<&str> {
        match self {
            Aggregation::Count { column } => column.as_deref(),
            Aggregation::Sum { column }
            | Aggregation::Mean { column }
            | Aggregation::Min { column }
            | Aggregation::Max { column }
            | Aggregation::Variance { column }
            | Aggregation::First { column }
            | Aggregation::Last { column }
            | Aggregation::Distinct { column }
            | Aggregation::Quantile { column, .. }
            | Aggregation::Latest { column } => Some(column),
            Aggregation::TimeSince => None,
        }
    }
}
