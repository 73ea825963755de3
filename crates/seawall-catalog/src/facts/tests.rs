//! Facts are the same however often and in whatever batches a sink reports them.

use std::collections::BTreeMap;

use proptest::prelude::*;
use seawall_base::{Offset, Span};

use super::*;
use crate::fixtures::{Fixture, START, on_both};

fn commit(version: u64, committed_at: Instant, rows: u64) -> TableCommit {
    TableCommit {
        table: TableName::dataset("payments").unwrap(),
        version: TableVersion(version),
        committed_at,
        rows,
        cut: Cut::of(Partition::LIVE, Offset(rows)),
        detail: json!({"files": 1}),
    }
}

#[tokio::test]
async fn versions_are_found_by_number_and_by_time() {
    on_both(async |fixture: Fixture| {
        let table = TableName::dataset("payments").unwrap();
        let permit = fixture.permit(Action::WriteTable);
        for version in 1..=3 {
            let at = START + Span(Span::HOUR.0 * version as i64);
            fixture.catalog.record_table_version(&permit, &commit(version, at, 10 * version)).await.unwrap();
        }
        let check = async |at: Span, expected: Option<u64>| {
            let found = fixture.catalog.version_at(&table, START + at).await.unwrap();
            assert_eq!(found, expected.map(TableVersion), "at {at}");
        };
        check(Span(Span::HOUR.0 - 1), None).await;
        check(Span::HOUR, Some(1)).await;
        check(Span(3 * Span::HOUR.0 - 1), Some(2)).await;
        check(Span::DAY, Some(3)).await;
        assert_eq!(fixture.catalog.version_at(&TableName::new("other").unwrap(), Instant::MAX).await.unwrap(), None);
        let versions = fixture.catalog.table_versions(&table).await.unwrap();
        assert_eq!(versions.iter().map(|v| (v.version.0, v.rows)).collect::<Vec<_>>(), [(1, 10), (2, 20), (3, 30)]);
        assert_eq!(versions[2].cut, Cut::of(Partition::LIVE, Offset(30)));
        assert_eq!((versions[2].permit.as_str(), &versions[2].detail), (permit.id(), &json!({"files": 1})));
        assert_eq!(fixture.events().await, ["table_version"; 3]);
    })
    .await;
}

#[tokio::test]
async fn a_version_never_changes() {
    on_both(async |fixture: Fixture| {
        let permit = fixture.permit(Action::WriteTable);
        fixture.catalog.record_table_version(&permit, &commit(1, START, 10)).await.unwrap();
        fixture.catalog.record_table_version(&permit, &commit(1, START, 10)).await.unwrap();
        assert_eq!(fixture.events().await.len(), 1);
        let refused = fixture.catalog.record_table_version(&permit, &commit(1, START, 11)).await.unwrap_err();
        assert_eq!((refused.kind(), refused.code()), (ErrorKind::Conflict, "SW0660"));
        let reader = fixture.permit(Action::ReadRows);
        let denied = fixture.catalog.record_table_version(&reader, &commit(2, START, 20)).await.unwrap_err();
        assert_eq!((denied.kind(), denied.code()), (ErrorKind::Denied, "SW0611"));
    })
    .await;
}

fn frame(entry: u64, accepted: u64, quarantined: u64) -> FrameFacts {
    let counts = Counts { received: accepted + quarantined, accepted, quarantined, ..Counts::default() };
    let failures = |rule: &str, column: Option<&str>, rows: u64| RuleFailures {
        rule: rule.to_owned(),
        column: column.map(str::to_owned),
        mode: "quarantine".to_owned(),
        rows,
    };
    let rules = match quarantined {
        0 => Vec::new(),
        rows => vec![failures("maximum", Some("amount_eur"), rows), failures("row_count", None, 1)],
    };
    FrameFacts { entry, arrival: Some(START), counts, rules, departure: None }
}

#[tokio::test]
async fn frames_count_once() {
    on_both(async |fixture: Fixture| {
        let catalog = &fixture.catalog;
        let permit = fixture.permit(Action::WriteTable);
        let frames = [frame(0, 5, 1), frame(2, 3, 0), frame(3, 0, 2)];
        let record = async |frames: &[FrameFacts]| {
            catalog.record_frames(&permit, "payments", Partition::LIVE, frames).await.unwrap()
        };
        assert_eq!(record(&frames[..2]).await, 2);
        assert_eq!(record(&frames[..2]).await, 0);
        assert_eq!(record(&frames).await, 1);
        assert_eq!(record(&[]).await, 0);
        assert_eq!(catalog.frame_position("payments", Partition::LIVE).await.unwrap(), 4);
        // Another partition, and another dataset, have positions of their own.
        catalog.record_frames(&permit, "payments", Partition(7), &frames[..1]).await.unwrap();
        catalog.record_frames(&permit, "landings", Partition::LIVE, &frames[..1]).await.unwrap();
        let counts = catalog.counts().await.unwrap();
        let of = |n: usize| (counts[n].dataset.as_str(), counts[n].counts.received, counts[n].counts.quarantined);
        assert_eq!([of(0), of(1)], [("landings", 6, 1), ("payments", 17, 4)]);
        let quality = catalog.quality().await.unwrap();
        let failed: Vec<_> =
            quality.iter().map(|r| (r.dataset.as_str(), r.rule.as_str(), r.column.as_deref(), r.failed)).collect();
        let expected = [
            ("landings", "maximum", Some("amount_eur"), 1),
            ("landings", "row_count", None, 1),
            ("payments", "maximum", Some("amount_eur"), 4),
            ("payments", "row_count", None, 3),
        ];
        assert_eq!(failed, expected);
    })
    .await;
}

#[tokio::test]
async fn frames_that_cannot_be_are_refused_as_a_whole() {
    let fixture = Fixture::in_memory().await;
    let permit = fixture.permit(Action::WriteTable);
    let check = async |frames: &[FrameFacts], code: &str| {
        let refused = fixture.catalog.record_frames(&permit, "payments", Partition::LIVE, frames).await.unwrap_err();
        assert_eq!(refused.code(), code);
    };
    check(&[frame(1, 1, 0), frame(1, 1, 0)], "SW0661").await;
    check(&[frame(1, 1, 0), frame(0, 1, 0)], "SW0661").await;
    let mut unbalanced = frame(1, 1, 0);
    unbalanced.counts.received = 2;
    check(&[frame(0, 1, 0), unbalanced], "SW0662").await;
    check(&[frame(0, u64::MAX, 0)], "SW0605").await;
    check(&[frame(0, u64::MAX, 0), frame(1, 1, 0)], "SW0605").await;
    check(&[frame(u64::MAX, 1, 0)], "SW0605").await;
    assert!(fixture.catalog.counts().await.unwrap().is_empty());
    assert_eq!(fixture.catalog.frame_position("payments", Partition::LIVE).await.unwrap(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// A sink that crashes goes back to any entry it is not sure of, and batches as it likes; the sums are those of the
    /// log, each entry once.
    #[test]
    fn sums_do_not_depend_on_batches_or_replays(
        log in prop::collection::vec((0u64..50, 0u64..5), 1..20),
        runs in prop::collection::vec((0usize..20, 1usize..20), 0..12),
    ) {
        let frames: Vec<FrameFacts> = (0..).zip(&log).map(|(n, (a, q))| frame(n, *a, *q)).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (counts, failed) = runtime.block_on(async {
            let fixture = Fixture::in_memory().await;
            let permit = fixture.permit(Action::WriteTable);
            let mut end = 0;
            // A run never begins beyond what is counted: the position is where a sink resumes.
            for (from, length) in runs.into_iter().chain([(0, log.len())]) {
                let from = from.min(end);
                let to = (from + length).min(frames.len());
                end = end.max(to);
                let run = &frames[from..to];
                fixture.catalog.record_frames(&permit, "payments", Partition::LIVE, run).await.unwrap();
            }
            let counts = fixture.catalog.counts().await.unwrap()[0].counts;
            let quality = fixture.catalog.quality().await.unwrap();
            let failed: BTreeMap<String, u64> = quality.into_iter().map(|r| (r.rule, r.failed)).collect();
            (counts, failed)
        });
        let accepted: u64 = log.iter().map(|(a, _)| a).sum();
        let quarantined: u64 = log.iter().map(|(_, q)| q).sum();
        let received = accepted + quarantined;
        prop_assert_eq!(counts, Counts { received, accepted, quarantined, ..Counts::default() });
        prop_assert_eq!(failed.get("maximum").copied().unwrap_or(0), quarantined);
        prop_assert_eq!(failed.get("row_count").copied().unwrap_or(0), log.iter().filter(|(_, q)| *q > 0).count() as u64);
    }
}

#[tokio::test]
async fn what_a_table_comes_to_replaces_what_it_came_to_before() {
    on_both(async |fixture: Fixture| {
        let catalog = &fixture.catalog;
        let permit = fixture.permit(Action::WriteTable);
        let result = |rows: u64| RuleFailures {
            rule: "duplicates".to_owned(),
            column: Some("email".to_owned()),
            mode: "table".to_owned(),
            rows,
        };
        for rows in [5, 7, 0] {
            catalog.record_table_quality(&permit, "payments", &[result(rows)]).await.unwrap();
            let quality = catalog.quality().await.unwrap();
            let failed: Vec<_> = quality.iter().map(|r| (r.rule.as_str(), r.mode.as_str(), r.failed)).collect();
            assert_eq!(failed, [("duplicates", "table", rows)]);
        }
        catalog.record_table_quality(&permit, "payments", &[]).await.unwrap();
        let reader = fixture.permit(Action::ReadRows);
        let denied = catalog.record_table_quality(&reader, "payments", &[result(1)]).await.unwrap_err();
        assert_eq!((denied.kind(), denied.code()), (ErrorKind::Denied, "SW0611"));
    })
    .await;
}

/// A release of the rows at `offsets`, or a discard when `first` is none.
fn departing(entry: u64, offsets: &[u64], first: Option<u64>) -> FrameFacts {
    let rows = offsets.len() as u64;
    let (outcome, counts) = match first {
        Some(_) => (Departed::Released, Counts { released: rows, ..Counts::default() }),
        None => (Departed::Discarded, Counts { discarded: rows, ..Counts::default() }),
    };
    let row = |offset: &u64| DepartedRow {
        row: seawall_base::RowId { partition: Partition::LIVE, offset: Offset(*offset) },
        arrived_at: START,
        changed: vec!["amount".to_owned()],
    };
    let departure = Departure {
        outcome,
        at: START + Span::HOUR,
        by: "ada".to_owned(),
        reason: "the bound was wrong".to_owned(),
        contract: "payments@1".to_owned(),
        rows: offsets.iter().map(row).collect(),
    };
    let facts = DepartureFacts { departure, permit: "p1".to_owned(), first: Offset(first.unwrap_or_default()) };
    FrameFacts { entry, arrival: Some(START), counts, rules: Vec::new(), departure: Some(facts) }
}

#[tokio::test]
async fn a_row_leaves_quarantine_once_and_comes_back_with_a_rollback() {
    on_both(async |fixture: Fixture| {
        let (catalog, permit) = (&fixture.catalog, fixture.permit(Action::WriteTable));
        let record =
            async |frames: &[FrameFacts]| catalog.record_frames(&permit, "payments", Partition::LIVE, frames).await;
        let left = async || {
            let departures = catalog.departures("payments").await.unwrap();
            departures.iter().map(|one| (one.row.offset.0, one.released_as.map(|row| row.offset.0))).collect::<Vec<_>>()
        };
        let frames = [frame(0, 1, 3), departing(1, &[1, 3], Some(4)), departing(2, &[2], None)];
        record(&frames).await.unwrap();
        record(&frames).await.unwrap();
        assert_eq!(left().await, [(1, Some(4)), (3, Some(5)), (2, None)]);
        let counts = catalog.counts().await.unwrap()[0].counts;
        assert!(counts.balanced());
        assert_eq!((counts.released, counts.discarded, counts.in_quarantine()), (2, 1, 0));
        let between = catalog.departures_between("payments", Offset(2), Offset(3)).await.unwrap();
        assert_eq!(between.iter().map(|one| one.row.offset.0).collect::<Vec<_>>(), [3, 2]);
        assert_eq!((between[0].by.as_str(), between[0].changed.as_slice()), ("ada", ["amount".to_owned()].as_slice()));

        // The database itself refuses a second departure, and nothing of its frame is counted.
        assert!(record(&[departing(3, &[3], Some(6))]).await.is_err());
        assert_eq!(catalog.frame_position("payments", Partition::LIVE).await.unwrap(), 3);

        // A rollback behind the first released row brings the second back, once; then it may leave again.
        for expected in [1, 0] {
            let back = catalog.take_back_released(&permit, "payments", Offset(5), Offset(6)).await.unwrap();
            assert_eq!(back, expected);
        }
        assert_eq!(left().await, [(1, Some(4)), (2, None)]);
        record(&[departing(3, &[3], Some(7))]).await.unwrap();
        assert_eq!(left().await, [(1, Some(4)), (2, None), (3, Some(7))]);
        assert_eq!(catalog.departure_history("payments").await.unwrap().len(), 4);
        let left = fixture.events().await.into_iter().filter(|event| event == "quarantine_left").count();
        assert_eq!(left, 3);
    })
    .await;
}

#[tokio::test]
async fn quality_is_told_by_the_hour_of_arrival() {
    on_both(async |fixture: Fixture| {
        let (catalog, permit) = (&fixture.catalog, fixture.permit(Action::WriteTable));
        let later = START + Span::HOUR;
        let at = |arrival, frame: FrameFacts| FrameFacts { arrival, ..frame };
        let frames = [
            at(Some(START), frame(0, 6, 2)),
            at(Some(later), frame(1, 1, 0)),
            // A late batch of the hour before, and one that does not tell.
            at(Some(START), frame(2, 1, 1)),
            at(None, frame(3, 3, 1)),
        ];
        catalog.record_frames(&permit, "payments", Partition::LIVE, &frames).await.unwrap();
        catalog.record_frames(&permit, "payments", Partition::LIVE, &frames).await.unwrap();
        catalog.record_frames(&permit, "landings", Partition::LIVE, &frames[1..2]).await.unwrap();
        let (first, second) = (START.floor(Span::HOUR), later.floor(Span::HOUR));
        let told = |periods: &[PeriodQuality]| -> Vec<String> {
            let rule = |rule: &RuleFailures| format!(", {} {}", rule.rule, rule.rows);
            let rules = |one: &PeriodQuality| one.rules.iter().map(rule).collect::<String>();
            let line = |one: &PeriodQuality| {
                let good = one.score().map(|score| score * one.counts.received as f64);
                format!("{} {} {good:?} of {}{}", one.dataset, one.from, one.counts.received, rules(one))
            };
            periods.iter().map(line).collect()
        };
        let hours = catalog.quality_over_time(Some("payments"), Instant::MIN).await.unwrap();
        let expected = [
            format!("payments {first} Some(10.0) of 14, maximum 4, row_count 3"),
            format!("payments {second} Some(1.0) of 1"),
        ];
        assert_eq!(told(&hours), expected);
        assert_eq!(hours[0].score_of(&hours[0].rules[0]), Some(10.0 / 14.0));

        let all = catalog.quality_over_time(None, second).await.unwrap();
        assert_eq!(all.iter().map(|one| one.dataset.as_str()).collect::<Vec<_>>(), ["landings", "payments"]);
        let days = PeriodQuality::merge(hours, Span::DAY).unwrap();
        let day = START.floor(Span::DAY);
        assert_eq!(told(&days), [format!("payments {day} Some(11.0) of 15, maximum 4, row_count 3")]);
    })
    .await;
}

#[tokio::test]
async fn a_rule_about_the_table_counts_as_last_looked_at() {
    on_both(async |fixture: Fixture| {
        let (catalog, permit) = (&fixture.catalog, fixture.permit(Action::WriteTable));
        let outcome =
            |rows| [RuleFailures { rule: "total".to_owned(), column: None, mode: TABLE_MODE.to_owned(), rows }];
        for (hours, rows) in [(0, 1), (0, 0), (1, 1), (25, 0)] {
            fixture.clock.advance_to(START + Span(hours * Span::HOUR.0));
            catalog.record_table_quality(&permit, "payments", &outcome(rows)).await.unwrap();
        }
        let scores = |periods: &[PeriodQuality]| -> Vec<Option<f64>> {
            periods.iter().map(|one| one.score_of(&one.rules[0])).collect()
        };
        let hours = catalog.quality_over_time(None, Instant::MIN).await.unwrap();
        assert_eq!(scores(&hours), [Some(1.0), Some(0.0), Some(1.0)]);
        assert_eq!(hours[0].score(), None, "no row came in");
        assert_eq!(scores(&PeriodQuality::merge(hours, Span::DAY).unwrap()), [Some(0.0), Some(1.0)]);
        let newest = catalog.quality().await.unwrap();
        assert_eq!(newest.iter().map(|one| (one.rule.as_str(), one.failed)).collect::<Vec<_>>(), [("total", 0)]);
    })
    .await;
}
