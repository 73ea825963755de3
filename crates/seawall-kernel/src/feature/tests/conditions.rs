//! Conditions, lifetimes, rates and shares: the edges of each.

use seawall_base::declare::{Aggregation, Feature, Measure, Part, WindowEdge};
use seawall_base::{FeatureStatus, Span};

use super::fixture::{Payment, Plain, batch, feature, key, plan};
use super::named::{at, bits, column, count, statuses, values};
use crate::feature::explain;

fn condition(name: &str, feature: Feature) -> Feature {
    Feature { filter: Some(name.to_owned()), ..feature }
}

/// Row `lsn` at `when` with the condition `b`.
fn judged(lsn: i64, when: &str, b: Option<bool>) -> Payment {
    Payment { b, ..Payment::at(lsn, when).x(lsn as f64) }
}

const HISTORY: [(i64, &str, Option<bool>); 4] = [
    (1, "2026-01-01T10:00:00Z", Some(true)),
    (2, "2026-01-01T10:10:00Z", Some(false)),
    (3, "2026-01-01T10:20:00Z", None),
    (4, "2026-01-01T10:30:00Z", Some(true)),
];

fn history() -> Vec<Payment> {
    HISTORY.into_iter().map(|(lsn, when, b)| judged(lsn, when, b)).collect()
}

#[test]
fn a_condition_that_is_null_is_not_true() {
    let kept = condition("b", count("1h", WindowEdge::Exact));
    assert_eq!(values(vec![kept], &history(), "2026-01-01T10:35:00Z", "2026-01-01T10:35:00Z", None), [Plain::Int(2)]);
}

#[test]
fn the_newest_row_that_passes_outlives_newer_ones_that_do_not() {
    let latest = Aggregation::Latest { column: column("x") };
    let features = vec![
        condition("b", feature("latest", latest, Some("20m"), WindowEdge::Exact)),
        condition("b", feature("since", Aggregation::TimeSince, None, WindowEdge::Exact)),
        condition("b", feature("first", Aggregation::TimeSinceFirst, None, WindowEdge::Exact)),
    ];
    let rows = &history()[..3];
    let ask = |when| statuses(features.clone(), rows, when, when, None);
    let inside = ask("2026-01-01T10:19:59Z");
    assert_eq!(inside[0], (bits(1.0), FeatureStatus::Present));
    // Three days later the row is kept in tiles only, and the live state and the sweep still agree.
    let later = ask("2026-01-04T10:00:00Z");
    assert_eq!(later[0], (Plain::Null, FeatureStatus::OutsideTtl));
    assert_eq!(later[1], (bits(3.0 * 86_400.0), FeatureStatus::Present));
    assert_eq!(later[2], (bits(3.0 * 86_400.0), FeatureStatus::Present));
    let none = statuses(features.clone(), &rows[1..2], "2026-01-01T10:35:00Z", "2026-01-01T10:35:00Z", None);
    assert_eq!(none[0], (Plain::Null, FeatureStatus::Null));
}

#[test]
fn a_lifetime_forgets_nothing_but_the_asking_row() {
    let lifetime = feature("n", Aggregation::Count { column: None }, None, WindowEdge::Lifetime);
    let mut rows = history();
    rows.push(Payment::at(5, "2019-03-01T00:00:00Z"));
    let now = "2026-01-01T10:30:00.000001Z";
    assert_eq!(values(vec![lifetime.clone()], &rows, now, now, None), [Plain::Int(5)]);
    assert_eq!(values(vec![lifetime], &rows, now, now, Some("r4")), [Plain::Int(4)]);
}

#[test]
fn a_rate_is_not_inflated_by_the_sawtooth() {
    let rate = Aggregation::Rate { column: None, per: Span::HOUR };
    // The window begins at 22:00 of the day before, so that it is 12 h 30 min long and holds four rows.
    let sawtooth = feature("rate", rate.clone(), Some("12h"), WindowEdge::Sawtooth);
    let exact = feature("exact", rate, Some("12h"), WindowEdge::Exact);
    let when = "2026-01-01T10:30:00Z";
    let answer = values(vec![sawtooth, exact], &history(), when, "2026-01-01T11:00:00Z", None);
    assert_eq!(answer, [bits(4.0 / 12.5), bits(4.0 / 12.0)]);
}

#[test]
fn a_share_of_nothing_is_null_and_of_thirds_is_rounded_once() {
    let part =
        |filter: Option<&str>| Part { measure: Measure::Count { column: None }, filter: filter.map(str::to_owned) };
    let share = |of, to| feature("share", Aggregation::Ratio { of, to }, Some("1h"), WindowEdge::Exact);
    let when = "2026-01-01T10:25:00Z";
    let third = values(vec![share(part(Some("b")), part(None))], &history(), when, when, None);
    assert_eq!(third, [bits(1.0 / 3.0)]);
    let nothing = statuses(vec![share(part(None), part(Some("b")))], &history()[1..3], when, when, None);
    assert_eq!(nothing, [(Plain::Null, FeatureStatus::Null)]);
}

#[test]
fn an_explanation_tells_which_rows_a_condition_leaves_out() {
    let plan = plan(vec![condition("b", count("1h", WindowEdge::Exact))]);
    let key = key(&plan, Some("c"), Some(1)).unwrap();
    let when = at("2026-01-01T10:35:00Z");
    let explained = explain(&plan, &[batch(&history())], "count", &key, when, when, None, None).unwrap();
    let told: Vec<(bool, &str)> = explained.rows.iter().map(|row| (row.included, row.why)).collect();
    let (inside, out) = ((true, "in the window"), (false, "its `where` is not true"));
    assert_eq!(told, [inside, out, out, inside]);
}

#[test]
fn an_instant_is_the_same_in_every_zone() {
    let latest = || feature("n", Aggregation::Count { column: None }, Some("1h"), WindowEdge::Exact);
    let rows = [Payment::at(1, "2026-03-29T02:30:00+02:00"), Payment::at(2, "2026-03-29T00:45:00Z")];
    let when = "2026-03-29T03:15:00+02:00";
    assert_eq!(values(vec![latest()], &rows, when, when, None), [Plain::Int(2)]);
    assert_eq!(values(vec![latest()], &rows, "2026-03-29T01:15:00Z", "2026-03-29T01:15:00Z", None), [Plain::Int(2)]);
}
