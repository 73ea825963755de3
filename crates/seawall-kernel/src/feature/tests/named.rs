//! Named tests: bugs that other feature stores had, and the edges of every rule.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int32Array, Int64Array, StringArray};
use arrow::record_batch::RecordBatch;
use seawall_base::declare::{Aggregation, Feature, WindowEdge};
use seawall_base::{Cut, FeatureStatus, Instant, Offset, Partition};

use super::fixture::{Payment, Plain, batch, dataset, feature, key, own, plain_row, plan, view};
use crate::feature::{Decisions, EntityKey, Retention, ViewPlan, ViewState, entity_keys, explain, key_hashes, sweep};

pub(super) fn column(name: &str) -> String {
    name.to_owned()
}

pub(super) fn count(window: &str, edge: WindowEdge) -> Feature {
    feature("count", Aggregation::Count { column: None }, Some(window), edge)
}

pub(super) fn at(text: &str) -> Instant {
    text.parse().unwrap()
}

pub(super) fn bits(x: f64) -> Plain {
    Plain::Bits(x.to_bits())
}

/// A live state that took `rows` in, known as of `known`.
fn live(plan: &Arc<ViewPlan>, rows: &[Payment], known: &str) -> ViewState {
    let mut state = ViewState::new(Arc::clone(plan), Retention::Live);
    state.receive(&batch(rows)).unwrap();
    state.advance(at(known)).unwrap();
    state
}

/// The values of card `c`, shop 1 at `when`, known as of `known`, from a live state and from a sweep, which must agree.
pub(super) fn values(
    features: Vec<Feature>,
    rows: &[Payment],
    when: &str,
    known: &str,
    id: Option<&str>,
) -> Vec<Plain> {
    statuses(features, rows, when, known, id).into_iter().map(|(value, _)| value).collect()
}

pub(super) fn statuses(
    features: Vec<Feature>,
    rows: &[Payment],
    when: &str,
    known: &str,
    id: Option<&str>,
) -> Vec<(Plain, FeatureStatus)> {
    let plan = plan(features);
    let key = key(&plan, Some("c"), Some(1));
    let (values, status) =
        live(&plan, rows, known).values(std::slice::from_ref(&key), &[at(when)], &[own(id)]).unwrap();
    let decisions =
        Decisions { keys: vec![key], at: vec![at(when)], known: vec![at(known)], own: vec![own(id)], cuts: None };
    let swept = sweep(&plan, &[batch(rows)], &decisions).unwrap();
    assert_eq!(swept, values);
    plain_row(&values, 0).into_iter().zip(status[0].clone()).collect()
}

fn ints(first: i64, second: i64) -> RecordBatch {
    let columns: [(&str, ArrayRef); 2] =
        [("a", Arc::new(Int64Array::from(vec![first]))), ("b", Arc::new(Int64Array::from(vec![second])))];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn one(name: &str, array: ArrayRef) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable([(name, array, true)]).unwrap()
}

#[test]
fn composite_keys_do_not_run_together() {
    let names = [column("a"), column("b")];
    assert_ne!(key_hashes(&ints(1, 23), &names).unwrap(), key_hashes(&ints(12, 3), &names).unwrap());
    assert_ne!(key_hashes(&ints(1, 23), &names).unwrap(), key_hashes(&ints(23, 1), &names).unwrap());

    let plan = plan(vec![count("1h", WindowEdge::Exact)]);
    let mut left = Payment::at(0, "2026-01-01T00:00:00Z");
    left.card = Some("1".into());
    left.shop = Some(23);
    let state = live(&plan, &[left], "2026-01-01T00:01:00Z");
    let keys = [key(&plan, Some("1"), Some(23)), key(&plan, Some("12"), Some(3))];
    let (rows, status) = state.values(&keys, &[at("2026-01-01T00:01:00Z"); 2], &[None; 2]).unwrap();
    assert_eq!(plain_row(&rows, 0), [Plain::Int(1)]);
    assert_eq!(plain_row(&rows, 1), [Plain::Int(0)]);
    assert_eq!(status[1], [FeatureStatus::NotFound]);
}

#[test]
fn keys_are_typed() {
    let text: ArrayRef = Arc::new(StringArray::from(vec!["1"]));
    let number: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let narrow: ArrayRef = Arc::new(Int32Array::from(vec![1]));
    let hash = |array: &ArrayRef| key_hashes(&one("k", Arc::clone(array)), &[column("k")]).unwrap();
    assert_ne!(hash(&text), hash(&number));
    assert_eq!(hash(&narrow), hash(&number));
    let float: ArrayRef = Arc::new(Float64Array::from(vec![1.0]));
    assert_eq!(key_hashes(&one("k", float), &[column("k")]).unwrap_err().code(), "SW0305");

    let plan = plan(vec![count("1h", WindowEdge::Exact)]);
    let swapped = RecordBatch::try_from_iter([("card", number), ("shop", text)]).unwrap();
    assert_eq!(entity_keys(&plan, &swapped).unwrap_err().code(), "SW0312");
    assert_eq!(entity_keys(&plan, &one("card", Arc::new(StringArray::from(vec!["1"])))).unwrap_err().code(), "SW0312");
    assert_eq!(key(&plan, Some("a"), Some(-7)).unwrap().to_string(), "(a, -7)");
}

#[test]
fn a_windowed_max_expires() {
    let max = || vec![feature("max", Aggregation::Max { column: column("x") }, Some("1h"), WindowEdge::Sawtooth)];
    let rows = [Payment::at(0, "2026-01-01T00:00:30Z").x(9.0), Payment::at(1, "2026-01-01T01:30:00Z").x(1.0)];
    let check = |when: &str, expected: Plain| assert_eq!(values(max(), &rows, when, when, None), [expected], "{when}");
    check("2026-01-01T00:59:00Z", bits(9.0));
    check("2026-01-01T01:00:59.999999Z", bits(9.0));
    check("2026-01-01T01:01:00Z", Plain::Null);
    check("2026-01-01T01:31:00Z", bits(1.0));
}

#[test]
fn the_edges_of_a_window_are_as_declared() {
    let rows = [Payment::at(0, "2026-01-01T00:00:00Z")];
    let check = |edge, when: &str, expected: i128| {
        let got = values(vec![count("1h", edge)], &rows, when, "2026-01-01T01:30:00Z", None);
        assert_eq!(got, [Plain::Int(expected)], "{edge:?} at {when}");
    };
    check(WindowEdge::Exact, "2026-01-01T00:30:00Z", 1);
    check(WindowEdge::Exact, "2026-01-01T00:59:59.999999Z", 1);
    check(WindowEdge::Exact, "2026-01-01T01:00:00Z", 0);
    check(WindowEdge::Sawtooth, "2026-01-01T01:00:59.999999Z", 1);
    check(WindowEdge::Sawtooth, "2026-01-01T01:01:00Z", 0);
}

#[test]
fn a_row_at_the_decision_time_is_seen_and_a_later_one_is_not() {
    let rows = [Payment::at(0, "2026-01-01T00:30:00Z"), Payment::at(1, "2026-01-01T00:30:00.000001Z")];
    for edge in [WindowEdge::Exact, WindowEdge::Sawtooth] {
        let got = values(vec![count("1h", edge)], &rows, "2026-01-01T00:30:00Z", "2026-01-01T00:31:00Z", None);
        assert_eq!(got, [Plain::Int(1)]);
    }
}

#[test]
fn the_time_to_live_excludes_its_end() {
    let features = || {
        vec![
            feature("latest", Aggregation::Latest { column: column("n") }, Some("30d"), WindowEdge::Sawtooth),
            feature("idle", Aggregation::TimeSince, Some("30d"), WindowEdge::Sawtooth),
            feature("ever", Aggregation::Latest { column: column("n") }, None, WindowEdge::Sawtooth),
        ]
    };
    let rows = [Payment::at(0, "2026-01-01T00:00:00Z").n(5)];
    let check = |when: &str| statuses(features(), &rows, when, when, None);
    let present = FeatureStatus::Present;
    let inside = check("2026-01-30T23:59:59.999999Z");
    assert_eq!(inside, [(Plain::Int(5), present), (bits(2_591_999.999_999), present), (Plain::Int(5), present)]);
    let outside = (Plain::Null, FeatureStatus::OutsideTtl);
    assert_eq!(check("2026-01-31T00:00:00Z"), [outside.clone(), outside, (Plain::Int(5), present)]);
}

#[test]
fn ties_are_broken_by_availability_then_identity() {
    let features = || {
        vec![
            feature("first", Aggregation::First { column: column("n") }, Some("1h"), WindowEdge::Sawtooth),
            feature("last", Aggregation::Last { column: column("n") }, Some("1h"), WindowEdge::Sawtooth),
            feature("latest", Aggregation::Latest { column: column("n") }, None, WindowEdge::Sawtooth),
        ]
    };
    let t = "2026-01-01T00:00:00Z";
    let mut rows = vec![
        Payment::at(7, t).n(1).available("2026-01-01T00:00:02Z"),
        Payment::at(8, t).n(2).available("2026-01-01T00:00:01Z"),
        Payment::at(9, t).n(3).available("2026-01-01T00:00:01Z"),
        Payment { partition: 1, ..Payment::at(3, t).n(4).available("2026-01-01T00:00:02Z") },
    ];
    for _ in 0..rows.len() {
        rows.rotate_left(1);
        let got = values(features(), &rows, "2026-01-01T00:10:00Z", "2026-01-01T00:10:00Z", None);
        assert_eq!(got, [Plain::Int(2), Plain::Int(4), Plain::Int(4)]);
    }
}

#[test]
fn latest_keeps_a_null_and_last_skips_it() {
    let features = vec![
        feature("latest", Aggregation::Latest { column: column("n") }, None, WindowEdge::Sawtooth),
        feature("last", Aggregation::Last { column: column("n") }, Some("1h"), WindowEdge::Sawtooth),
        feature("sum", Aggregation::Sum { column: column("x") }, Some("1h"), WindowEdge::Sawtooth),
    ];
    let rows = [Payment::at(0, "2026-01-01T00:00:00Z").n(5), Payment::at(1, "2026-01-01T00:01:00Z")];
    let got = statuses(features, &rows, "2026-01-01T00:02:00Z", "2026-01-01T00:02:00Z", None);
    let null = (Plain::Null, FeatureStatus::Null);
    assert_eq!(got, [null.clone(), (Plain::Int(5), FeatureStatus::Present), null]);
}

#[test]
fn a_null_key_asks_for_nobody() {
    let plan = plan(vec![count("1h", WindowEdge::Exact)]);
    let mut nobody = Payment::at(0, "2026-01-01T00:00:00Z");
    nobody.card = None;
    let state = live(&plan, &[nobody], "2026-01-01T00:01:00Z");
    assert_eq!(state.entities(), 0);
    let (rows, status) = state.values(&[key(&plan, None, Some(1))], &[at("2026-01-01T00:01:00Z")], &[None]).unwrap();
    assert_eq!(plain_row(&rows, 0), [Plain::Null]);
    assert_eq!(status[0], [FeatureStatus::NotFound]);
}

#[test]
fn what_is_missing_says_why() {
    let features = || {
        vec![
            count("1h", WindowEdge::Sawtooth),
            feature("mean", Aggregation::Mean { column: column("x") }, Some("1h"), WindowEdge::Sawtooth),
        ]
    };
    let rows = [Payment::at(0, "2026-01-01T00:00:00Z").x(2.0)];
    let check = |when: &str, count: (i128, FeatureStatus), mean: (Plain, FeatureStatus)| {
        let got = statuses(features(), &rows, when, "2026-01-01T02:00:00Z", None);
        assert_eq!(got, [(Plain::Int(count.0), count.1), mean], "{when}");
    };
    check("2026-01-01T01:00:00Z", (1, FeatureStatus::Present), (bits(2.0), FeatureStatus::Present));
    check("2026-01-01T02:00:00Z", (0, FeatureStatus::Present), (Plain::Null, FeatureStatus::OutsideTtl));
    let none = statuses(features(), &[], "2026-01-01T02:00:00Z", "2026-01-01T02:00:00Z", None);
    assert_eq!(none, [(Plain::Int(0), FeatureStatus::NotFound), (Plain::Null, FeatureStatus::NotFound)]);
}

#[test]
fn sums_do_not_depend_on_the_order_of_arrival() {
    let sum = || vec![feature("sum", Aggregation::Sum { column: column("x") }, Some("3h"), WindowEdge::Sawtooth)];
    let amounts = [1e16, 0.1, -1e16, 0.2, 1e308, 0.3, -1e308];
    let mut rows: Vec<Payment> =
        (0..7).map(|i| Payment::at(i, &format!("2026-01-01T0{}:00:00Z", i / 3)).x(amounts[i as usize])).collect();
    for _ in 0..rows.len() {
        rows.rotate_left(1);
        assert_eq!(values(sum(), &rows, "2026-01-01T02:30:00Z", "2026-01-01T02:30:00Z", None), [bits(0.6)]);
    }
}

#[test]
fn a_row_does_not_see_itself() {
    let features = || {
        vec![
            count("30d", WindowEdge::Sawtooth),
            feature("max", Aggregation::Max { column: column("x") }, Some("30d"), WindowEdge::Sawtooth),
            feature("latest", Aggregation::Latest { column: column("x") }, None, WindowEdge::Sawtooth),
        ]
    };
    let rows = [
        Payment::at(0, "2026-01-01T00:00:00Z").x(1.0),
        Payment::at(1, "2026-01-20T11:30:00Z").x(9.0),
        Payment::at(2, "2026-01-20T11:30:00Z").x(2.0),
        Payment::at(3, "2026-01-20T11:45:00Z").x(3.0),
    ];
    let when = "2026-01-20T12:00:00Z";
    let got = values(features(), &rows, when, when, Some("r1"));
    assert_eq!(got, [Plain::Int(3), bits(3.0), bits(3.0)]);
    assert_eq!(values(features(), &rows, when, when, Some("r3")), [Plain::Int(3), bits(9.0), bits(2.0)]);
    assert_eq!(values(features(), &rows, when, when, Some("unheard of")), [Plain::Int(4), bits(9.0), bits(3.0)]);
}

#[test]
fn an_own_row_that_was_merged_is_refused() {
    let plan = plan(vec![count("30d", WindowEdge::Sawtooth)]);
    let rows = [Payment::at(0, "2026-01-01T00:00:00Z"), Payment::at(1, "2026-01-02T00:00:00Z")];
    let state = live(&plan, &rows, "2026-01-05T00:00:00Z");
    let key = [key(&plan, Some("c"), Some(1))];
    let now = [at("2026-01-05T00:00:00Z")];
    for id in ["r0", "r1"] {
        assert_eq!(state.values(&key, &now, &[own(Some(id))]).unwrap_err().code(), "SW0321");
    }
    let (rows, _) = state.values(&key, &now, &[own(Some("r9"))]).unwrap();
    assert_eq!(plain_row(&rows, 0), [Plain::Int(2)]);
}

#[test]
fn old_decision_times_are_refused_online_only() {
    let plan = plan(vec![count("1h", WindowEdge::Sawtooth)]);
    let key = [key(&plan, Some("c"), Some(1))];
    let check = |retention, when: &str| {
        let mut state = ViewState::new(Arc::clone(&plan), retention);
        state.advance(at("2026-01-05T12:00:00Z")).unwrap();
        state.values(&key, &[at(when)], &[None]).map(|_| ()).map_err(|e| e.code())
    };
    assert_eq!(check(Retention::Live, "2026-01-05T11:00:00Z"), Ok(()));
    assert_eq!(check(Retention::Live, "2026-01-05T10:59:59.999999Z"), Err("SW0320"));
    assert_eq!(check(Retention::All, "2020-01-05T10:59:59Z"), Ok(()));
}

#[test]
fn the_oldest_answered_decision_still_has_all_its_rows() {
    let features = || {
        vec![
            count("3h", WindowEdge::Exact),
            feature("latest", Aggregation::Latest { column: column("n") }, None, WindowEdge::Exact),
        ]
    };
    let plan = plan(features());
    let rows = [
        Payment::at(0, "2026-01-01T08:30:30Z").n(1),
        Payment::at(1, "2026-01-01T08:30:30.000001Z").n(2),
        Payment::at(2, "2026-01-01T11:30:30Z").n(3),
        Payment::at(3, "2026-01-01T11:30:30.000001Z").n(4),
    ];
    // Restarted, so that nothing is kept beyond the horizon.
    let bytes = live(&plan, &rows, "2026-01-01T12:30:30Z").encode();
    let state = ViewState::decode(Arc::clone(&plan), Retention::Live, &bytes).unwrap();
    let keys = [key(&plan, Some("c"), Some(1))];
    let (values, _) = state.values(&keys, &[at("2026-01-01T11:30:30Z")], &[None]).unwrap();
    assert_eq!(plain_row(&values, 0), [Plain::Int(2), Plain::Int(3)]);
}

#[test]
fn rows_wait_until_they_are_available() {
    let plan = plan(vec![count("1h", WindowEdge::Sawtooth)]);
    let mut state = ViewState::new(Arc::clone(&plan), Retention::Live);
    let row = Payment::at(0, "2026-01-01T00:00:00Z").available("2026-01-01T00:10:00Z");
    state.receive(&batch(&[row])).unwrap();
    assert_eq!(state.next_pending(), Some(at("2026-01-01T00:10:00Z")));
    let count = |state: &ViewState| {
        let keys = [key(&plan, Some("c"), Some(1))];
        plain_row(&state.values(&keys, &[at("2026-01-01T00:10:00Z")], &[None]).unwrap().0, 0)
    };
    state.advance(at("2026-01-01T00:10:00Z")).unwrap();
    assert_eq!((count(&state), state.pending_rows(), state.newest_folded()), (vec![Plain::Int(0)], 1, None));
    state.advance(at("2026-01-01T00:10:00.000001Z")).unwrap();
    assert_eq!((count(&state), state.pending_rows()), (vec![Plain::Int(1)], 0));
    assert_eq!(state.newest_folded(), Some(at("2026-01-01T00:10:00Z")));
    state.advance(at("2025-01-01T00:00:00Z")).unwrap();
    assert_eq!(state.known(), at("2026-01-01T00:10:00.000001Z"));
}

#[test]
fn a_live_state_does_not_grow_with_what_has_passed() {
    let plan = plan(vec![count("3h", WindowEdge::Sawtooth)]);
    let mut state = ViewState::new(Arc::clone(&plan), Retention::Live);
    let mut sizes = Vec::new();
    for day in 0..20 {
        let mut rows = Vec::new();
        for minute in 0..1_440 {
            let mut row = Payment::at(day * 1_440 + minute, "2026-01-01T00:00:00Z");
            row.at = row.at.map(|t| t + (day * 1_440 + minute) * 60_000_000);
            row.available = row.at.unwrap();
            rows.push(row);
        }
        state.receive(&batch(&rows)).unwrap();
        state.advance(Instant(rows[1_439].available + 1)).unwrap();
        sizes.push(state.memory_bytes());
    }
    assert!(sizes[19] <= sizes[2] + sizes[2] / 10, "{sizes:?}");
}

#[test]
fn a_sum_that_overflows_names_the_feature() {
    let plan = plan(vec![feature("total", Aggregation::Sum { column: column("n") }, Some("1h"), WindowEdge::Exact)]);
    let rows = [Payment::at(0, "2026-01-01T00:00:00Z").n(i64::MAX), Payment::at(1, "2026-01-01T00:00:00Z").n(1)];
    let state = live(&plan, &rows, "2026-01-01T00:01:00Z");
    let keys = [key(&plan, Some("c"), Some(1))];
    let error = state.values(&keys, &[at("2026-01-01T00:01:00Z")], &[None]).unwrap_err();
    assert_eq!(error.code(), "SW0322");
    assert!(error.message().contains("total"), "{error}");
}

#[test]
fn mistakes_in_a_view_are_found_when_it_is_compiled() {
    let good = || count("1h", WindowEdge::Exact);
    let check = |change: &dyn Fn(&mut seawall_base::declare::FeatureView), code: &str, says: &str| {
        let mut view = view(vec![good()]);
        change(&mut view);
        let error = ViewPlan::compile(&view, &dataset()).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.message().contains(says), "{error}");
    };
    check(&|v| v.entity[0] = column("kard"), "SW0300", "kard");
    check(&|v| v.time = column("when"), "SW0300", "when");
    check(&|v| v.features[0].aggregation = Aggregation::Min { column: column("y") }, "SW0300", "y");
    check(&|v| v.features[0].aggregation = Aggregation::Sum { column: column("s") }, "SW0301", "Utf8");
    check(&|v| v.features[0].aggregation = Aggregation::Mean { column: column("b") }, "SW0301", "Boolean");
    check(&|v| v.features[0].aggregation = Aggregation::Variance { column: column("paid_at") }, "SW0301", "paid_at");
    check(&|v| v.features[0].window = None, "SW0302", "count");
    check(&|v| v.features[0].window = Some("0s".parse().unwrap()), "SW0302", "0s");
    check(&|v| v.time = column("s"), "SW0303", "Utf8");
    check(&|v| v.entity.clear(), "SW0304", "entity");
    check(&|v| v.features.push(good()), "SW0304", "twice");
    check(&|v| v.entity[1] = column("x"), "SW0305", "Float64");
    check(&|v| v.features[0].aggregation = Aggregation::Quantile { column: column("x"), q: f64::NAN }, "SW0306", "NaN");
    check(&|v| v.from = column("elsewhere"), "SW0307", "elsewhere");
}

#[test]
fn a_batch_that_lacks_a_column_changes_nothing() {
    let plan = plan(vec![count("1h", WindowEdge::Exact)]);
    let mut state = ViewState::new(Arc::clone(&plan), Retention::All);
    let rows = batch(&[Payment::at(0, "2026-01-01T00:00:00Z")]);
    let without_time = rows.project(&[0, 1, 2]).unwrap();
    assert_eq!(state.receive(&without_time).unwrap_err().code(), "SW0310");
    assert_eq!(state.pending_rows(), 0);
    let columns = plan.input_columns();
    assert_eq!(columns, ["card", "shop", "paid_at", "id", "_partition", "_lsn", "_arrival", "_available_at"]);
    let indices: Vec<usize> = columns.iter().map(|name| rows.schema().index_of(name).unwrap()).collect();
    state.receive(&rows.project(&indices).unwrap()).unwrap();
    assert_eq!(state.pending_rows(), 1);
}

#[test]
fn a_description_tells_hop_and_error() {
    let plan = plan(vec![
        count("30d", WindowEdge::Sawtooth),
        feature("mean", Aggregation::Mean { column: column("x") }, Some("3h"), WindowEdge::Exact),
    ]);
    let described = plan.describe();
    assert_eq!(described[0].hop, Some("1d".parse().unwrap()));
    assert_eq!(described[0].sawtooth_error, Some("1d".parse().unwrap()));
    assert_eq!(described[0].text, "number of rows over 30d and up to 1d more: the window begins on a multiple of 1d");
    assert_eq!((described[1].text.as_str(), described[1].hop), ("mean of x over exactly 3h", None));
}

#[test]
fn an_explanation_tells_every_row_its_reason() {
    let plan = plan(vec![feature("sum", Aggregation::Sum { column: column("n") }, Some("1h"), WindowEdge::Exact)]);
    let rows = [
        Payment::at(0, "2026-01-01T10:30:00Z").n(1),
        Payment::at(1, "2026-01-01T11:00:00Z").n(2),
        Payment::at(2, "2026-01-01T11:10:00Z").n(4),
        Payment::at(3, "2026-01-01T11:20:00Z").n(8).available("2026-01-01T12:00:00Z"),
        Payment::at(4, "2026-01-01T11:30:00Z"),
        Payment::at(5, "2026-01-01T11:40:00Z").n(16),
        Payment::at(6, "2026-01-01T12:00:00.000001Z").n(32).available("2026-01-01T11:00:00Z"),
        Payment::at(7, "2026-01-01T11:50:00Z").n(64),
    ];
    let key: EntityKey = key(&plan, Some("c"), Some(1)).unwrap();
    let noon = at("2026-01-01T12:00:00Z");
    let cut = Cut::of(Partition(0), Offset(7));
    let explained = explain(&plan, &[batch(&rows)], "sum", &key, noon, noon, Some(&cut), own(Some("r5"))).unwrap();
    assert_eq!((explained.value.as_deref(), explained.status), (Some("4"), FeatureStatus::Present));
    assert_eq!(explained.from, Some(at("2026-01-01T11:00:00.000001Z")));
    let reasons: Vec<_> = explained.rows.iter().map(|row| (row.row.offset.0, row.included, row.why)).collect();
    assert_eq!(
        reasons,
        [
            (0, false, "before the window"),
            (1, false, "before the window"),
            (2, true, "in the window"),
            (3, false, "not yet available"),
            (4, false, "in the window, but null"),
            (5, false, "the asking row itself"),
            (7, false, "after the cut"),
            (6, false, "after the decision time"),
        ]
    );
    let error = explain(&plan, &[], "total", &key, noon, noon, None, None).unwrap_err();
    assert_eq!(error.code(), "SW0340");
}

/// Found by the parity fuzzer: an entity lost all of its rows in a training set when it had as many as fill a word.
#[test]
fn an_entity_of_exactly_one_word_of_rows_is_found() {
    let plan = plan(vec![feature("since", Aggregation::TimeSince, None, WindowEdge::Exact)]);
    for count in [63, 64, 65, 128, 4096] {
        let rows: Vec<Payment> = (0..count).map(|lsn| Payment::at(lsn, "2026-01-01T00:00:00Z")).collect();
        let decisions = Decisions {
            keys: vec![key(&plan, Some("c"), Some(1))],
            at: vec![at("2026-01-01T00:00:05Z")],
            known: vec![at("2026-01-01T00:00:05Z")],
            own: vec![None],
            cuts: None,
        };
        let swept = sweep(&plan, &[batch(&rows)], &decisions).unwrap();
        assert_eq!(plain_row(&swept, 0), [Plain::Bits(5f64.to_bits())], "{count} rows");
    }
}
