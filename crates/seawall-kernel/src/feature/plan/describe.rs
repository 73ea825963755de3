//! What a view computes, in words: the hop and the error of a sawtooth window are never hidden.

use seawall_base::Span;
use seawall_base::declare::{Aggregation, WindowEdge};

use super::ViewPlan;
use crate::window::hop;

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
        let describe = |feature: &seawall_base::declare::Feature| {
            let what = aggregation_text(&feature.aggregation);
            let of_newest_row = matches!(feature.aggregation, Aggregation::Latest { .. } | Aggregation::TimeSince);
            let (text, hop) = match feature.window {
                None => (what, None),
                Some(ttl) if of_newest_row => (format!("{what}, if it is younger than {ttl}"), None),
                Some(window) if feature.edge == WindowEdge::Exact => (format!("{what} over exactly {window}"), None),
                Some(window) => {
                    let hop = hop(window).span();
                    let span = format!("{window} and up to {hop} more");
                    (format!("{what} over {span}: the window begins on a multiple of {hop}"), Some(hop))
                }
            };
            FeatureDescription { name: feature.name.clone(), text, hop, sawtooth_error: hop }
        };
        self.view().features.iter().map(describe).collect()
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
        Aggregation::Distinct { column } => format!("number of distinct values of {column}, within about 1.6 %"),
        Aggregation::Quantile { column, q } => format!("quantile {q} of {column}, within 1 %"),
        Aggregation::Latest { column } => format!("{column} of the newest row"),
        Aggregation::TimeSince => "seconds since the newest row".to_owned(),
    }
}
