//! What a view computes, in words: the hop and the error of a sawtooth window are never hidden.

use seawall_base::Span;
use seawall_base::declare::{Aggregation, Feature, Measure, Part};

use super::{Compute, ViewPlan};
use crate::window::Level;

/// One feature in words.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct FeatureDescription {
    /// Name of the feature.
    pub name: String,
    /// What it computes and over which window.
    pub text: String,
    /// By how much its window advances; none for exact windows and for latest values.
    pub hop: Option<Span>,
    /// By how much its window may be longer than declared (it is never shorter); none when it is exact.
    pub sawtooth_error: Option<Span>,
}

impl ViewPlan {
    /// One description per feature, in declared order.
    pub fn describe(&self) -> Vec<FeatureDescription> {
        let features = self.view().features.iter().zip(&self.features);
        features.map(|(feature, compute)| describe(feature, compute)).collect()
    }
}

fn describe(feature: &Feature, compute: &Compute) -> FeatureDescription {
    let mut what = aggregation_text(&feature.aggregation);
    if let Some(filter) = &feature.filter {
        what = format!("{what} where {filter}");
    }
    let reach = match compute {
        Compute::Window { reach, .. } | Compute::Ratio { reach, .. } | Compute::Rate { reach, .. } => Some(*reach),
        Compute::Latest { .. } | Compute::TimeSince { .. } | Compute::OneRow { .. } => None,
    };
    let hop = reach.and_then(|reach| reach.hop()).map(Level::span);
    let text = match (reach, feature.window, hop) {
        (None, None, _) => what,
        (None, Some(ttl), _) => format!("{what}, if it is younger than {ttl}"),
        (Some(_), None, _) => format!("{what} over all rows so far"),
        (Some(_), Some(window), None) => format!("{what} over exactly {window}"),
        (Some(_), Some(window), Some(hop)) => {
            let span = format!("{window} and up to {hop} more");
            format!("{what} over {span}: the window begins on a multiple of {hop}")
        }
    };
    FeatureDescription { name: feature.name.clone(), text, hop, sawtooth_error: hop }
}

fn part_text(part: &Part) -> String {
    let what = match &part.measure {
        Measure::Count { column: None } => "number of rows".to_owned(),
        Measure::Count { column: Some(column) } => format!("number of values of {column}"),
        Measure::Sum { column } => format!("sum of {column}"),
    };
    match &part.filter {
        Some(filter) => format!("{what} where {filter}"),
        None => what,
    }
}

fn aggregation_text(aggregation: &Aggregation) -> String {
    match aggregation {
        Aggregation::Count { column: None } => "number of rows".to_owned(),
        Aggregation::Count { column: Some(column) } => format!("number of values of {column}"),
        Aggregation::Sum { column } => format!("exact sum of {column}"),
        Aggregation::Mean { column } => format!("mean of {column}"),
        Aggregation::Min { column } => format!("least {column}"),
        Aggregation::Max { column } => format!("greatest {column}"),
        Aggregation::Variance { column } => format!("sample variance of {column}"),
        Aggregation::First { column } => format!("first {column}"),
        Aggregation::Last { column } => format!("last {column}"),
        Aggregation::Distinct { column, exact: true } => format!("number of distinct values of {column}"),
        Aggregation::MostFrequent { column } => format!("most frequent {column}"),
        Aggregation::Distinct { column, exact: false } => {
            format!("number of distinct values of {column}, within about 1.6 %")
        }
        Aggregation::Quantile { column, q } => format!("quantile {q} of {column}, within 1 %"),
        Aggregation::Latest { column } => format!("{column} of the newest row"),
        Aggregation::TimeSince => "seconds since the newest row".to_owned(),
        Aggregation::TimeSinceFirst => "seconds since the first row".to_owned(),
        Aggregation::StdDev { column } => format!("sample standard deviation of {column}"),
        Aggregation::Rate { column: None, per } => format!("rows per {per}"),
        Aggregation::Rate { column: Some(column), per } => format!("sum of {column} per {per}"),
        Aggregation::Ratio { of, to } => format!("{} over {}", part_text(of), part_text(to)),
    }
}
