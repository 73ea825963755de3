//! Random definitions over the payments: every aggregation, windows on both sides of every tile level, both edges.

use seawall_base::Span;
use seawall_base::declare::{Aggregation, Feature, FeatureView, WindowEdge};

use super::dice::Dice;

const WINDOWS: [Span; 12] = [
    Span(1),
    Span(30 * Span::SECOND.0),
    Span::MINUTE,
    Span(90 * Span::SECOND.0),
    Span::HOUR,
    Span(3 * Span::HOUR.0),
    Span(12 * Span::HOUR.0),
    Span(25 * Span::HOUR.0),
    Span(2 * Span::DAY.0),
    Span(12 * Span::DAY.0),
    Span(13 * Span::DAY.0),
    Span(60 * Span::DAY.0),
];
const NUMBERS: [&str; 3] = ["x", "n", "d"];
const COLUMNS: [&str; 5] = ["x", "n", "d", "s", "b"];
const ENTITIES: [&[&str]; 3] = [&["card"], &["card", "shop"], &["shop"]];

/// A view with 1 to 8 features; some have only those that need the newest row.
pub(super) fn view(dice: &mut Dice, name: String, version: u32) -> FeatureView {
    let entity = dice.pick(&ENTITIES).iter().map(|column| (*column).to_owned()).collect();
    let latest_only = dice.percent(30);
    let features = (0..dice.between(1, 9)).map(|number| feature(dice, number, latest_only)).collect();
    FeatureView {
        name,
        version,
        entity,
        from: "payments".to_owned(),
        time: "paid_at".to_owned(),
        features,
        computed: Vec::new(),
    }
}

fn feature(dice: &mut Dice, number: i64, latest_only: bool) -> Feature {
    let aggregation = aggregation(dice, latest_only);
    let is_optional = matches!(aggregation, Aggregation::Latest { .. } | Aggregation::TimeSince);
    let window = (!is_optional || dice.percent(50)).then(|| *dice.pick(&WINDOWS));
    let edge = if dice.percent(50) { WindowEdge::Exact } else { WindowEdge::Sawtooth };
    Feature { name: format!("f{number}"), aggregation, window, edge, filter: None }
}

fn aggregation(dice: &mut Dice, latest_only: bool) -> Aggregation {
    let number = (*dice.pick(&NUMBERS)).to_owned();
    let column = (*dice.pick(&COLUMNS)).to_owned();
    match if latest_only { dice.between(11, 14) } else { dice.between(0, 16) } {
        0 => Aggregation::Count { column: None },
        1 => Aggregation::Count { column: Some(column) },
        2 => Aggregation::Sum { column: number },
        3 => Aggregation::Mean { column: number },
        4 => Aggregation::Min { column },
        5 => Aggregation::Max { column },
        6 => Aggregation::Variance { column: number },
        7 => Aggregation::First { column },
        8 => Aggregation::Last { column },
        9 => Aggregation::Distinct { column, exact: dice.percent(50) },
        10 => Aggregation::Quantile { column: number, q: *dice.pick(&[0.0, 0.5, 0.9, 1.0]) },
        11 | 12 => Aggregation::Latest { column },
        15 => Aggregation::MostFrequent { column },
        16 => Aggregation::TimeSinceFirst,
        _ => Aggregation::TimeSince,
    }
}
