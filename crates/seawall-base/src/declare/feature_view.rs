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
    /// What the features read that is no column of the dataset, each once. A feature names it by its SQL.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub computed: Vec<Expression>,
}

/// An SQL expression over the columns of one row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expression {
    /// The expression, which is also its name.
    pub sql: String,
    /// The columns of the dataset that it reads, ordered; at least one.
    pub columns: Vec<String>,
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

    /// Hash of everything but the version. The features name what is computed by its SQL, so that it is covered.
    pub fn definition_hash(&self) -> Hash {
        Hash::of_json(&(&self.name, &self.entity, &self.from, &self.time, &self.features))
    }

    /// The expression that features read under this name; none when it names a column of the dataset.
    pub fn expression(&self, name: &str) -> Option<&Expression> {
        self.computed.iter().find(|expression| expression.sql == name)
    }

    /// The columns of the dataset that `feature` is made of, besides entity and time; each once.
    pub fn reads<'a>(&'a self, feature: &'a Feature) -> Vec<&'a str> {
        let mut reads = Vec::new();
        for name in feature.inputs() {
            let columns: Vec<&str> = match self.expression(name) {
                Some(expression) => expression.columns.iter().map(String::as_str).collect(),
                None => vec![name],
            };
            reads.extend(columns);
        }
        reads.sort_unstable();
        reads.dedup();
        reads
    }
}

/// One feature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Feature {
    /// Name, unique within the view.
    pub name: String,
    /// What is computed.
    pub aggregation: Aggregation,
    /// Length of the window; absent for [`WindowEdge::Lifetime`], and for [`Aggregation::Latest`],
    /// [`Aggregation::TimeSince`] and [`Aggregation::TimeSinceFirst`] without bound. For the first two of these it is the
    /// time to live.
    pub window: Option<Span>,
    /// Where the window begins.
    pub edge: WindowEdge,
    /// A boolean column or expression: only rows for which it is true count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
}

impl Feature {
    /// What it reads: columns of the dataset, or expressions by their SQL.
    pub fn inputs(&self) -> Vec<&str> {
        let mut inputs: Vec<&str> = self.aggregation.columns();
        inputs.extend(self.filter.as_deref());
        if let Aggregation::Ratio { of, to } = &self.aggregation {
            inputs.extend([of, to].into_iter().filter_map(|part| part.filter.as_deref()));
        }
        inputs
    }
}

/// Where a window begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WindowEdge {
    /// `floor(T - w, hop) <= event_time <= T`, the hop chosen by the window's length.
    Sawtooth,
    /// `T - w < event_time <= T`.
    Exact,
    /// Nowhere: every row of the entity counts.
    Lifetime,
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
    /// Number of distinct values, Int64: by HyperLogLog with 4,096 registers, or exactly. Null when there is none.
    Distinct {
        /// The column.
        column: String,
        /// Whether every different value is kept.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        exact: bool,
    },
    /// The value that occurs most often; the least of several. Every different value is kept.
    MostFrequent {
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
    /// Square root of the sample variance (n - 1) as Float64; null for fewer than two values.
    StdDev {
        /// The column.
        column: String,
    },
    /// Rows, or the sum of a column, per unit of time: divided by the time from the beginning of the window to the decision,
    /// exactly, rounded once. Float64; null when there is nothing to sum.
    Rate {
        /// The column, or none for rows.
        column: Option<String>,
        /// The unit of time.
        per: Span,
    },
    /// One count or sum over another, exactly, rounded once. Float64; null when there is nothing to sum, and when the second
    /// is zero.
    Ratio {
        /// What is divided.
        of: Part,
        /// By what.
        to: Part,
    },
    /// Seconds from the first row's event time to the decision time, Float64.
    TimeSinceFirst,
}

/// One side of a ratio.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// What is counted or summed.
    pub measure: Measure,
    /// A boolean column or expression: only rows for which it is true count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
}

/// What a side of a ratio measures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Rows, or non-null values of a column.
    Count {
        /// The column, or none for rows.
        column: Option<String>,
    },
    /// Sum of a column.
    Sum {
        /// The column.
        column: String,
    },
}

impl Measure {
    /// The input column, when there is one.
    pub fn column(&self) -> Option<&str> {
        match self {
            Measure::Count { column } => column.as_deref(),
            Measure::Sum { column } => Some(column),
        }
    }
}

impl Aggregation {
    /// The input columns, those of filters left out.
    pub fn columns(&self) -> Vec<&str> {
        match self {
            Aggregation::Count { column } | Aggregation::Rate { column, .. } => column.as_deref().into_iter().collect(),
            Aggregation::Sum { column }
            | Aggregation::Mean { column }
            | Aggregation::Min { column }
            | Aggregation::Max { column }
            | Aggregation::Variance { column }
            | Aggregation::StdDev { column }
            | Aggregation::First { column }
            | Aggregation::Last { column }
            | Aggregation::Distinct { column, .. }
            | Aggregation::MostFrequent { column }
            | Aggregation::Quantile { column, .. }
            | Aggregation::Latest { column } => vec![column],
            Aggregation::Ratio { of, to } => [of, to].into_iter().filter_map(|part| part.measure.column()).collect(),
            Aggregation::TimeSince | Aggregation::TimeSinceFirst => Vec::new(),
        }
    }

    /// Whether it is about one row of the entity, the newest or the first: it has no window then.
    pub fn is_of_one_row(&self) -> bool {
        matches!(self, Aggregation::Latest { .. } | Aggregation::TimeSince | Aggregation::TimeSinceFirst)
    }
}
