//! A live world: the same period, no end, and faults that change nothing before they strike.

use super::*;

const DAY: Span = Span::DAY;

fn live(seed: u64, days: i64, payments_per_day: u32, faults: &[Fault]) -> Live {
    Live::new(options(seed, days, payments_per_day, faults)).unwrap()
}

fn at(day: i64, hour: i64) -> Instant {
    DEFAULT_START + Span(day * DAY.0 + hour * Span::HOUR.0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// During the period a live world is the world, whatever was asked of it before.
    #[test]
    fn a_live_world_is_the_world_until_its_end(seed in 0u64..1_000, days in 1i64..60, mask in 0usize..1024, ahead: bool) {
        let faults: Vec<Fault> = Fault::ALL.into_iter().enumerate().filter(|(i, _)| mask >> i & 1 == 1).map(|(_, f)| f).collect();
        let (mut world, mut live) = (world(seed, days, 50, &faults), live(seed, days, 50, &faults));
        prop_assert_eq!(live.period_end(), world.end());
        for stream in [Stream::Payments, Stream::Chargebacks] {
            if ahead {
                live.batch_between(stream, at(days + 90, 0), at(days + 91, 0));
            }
            let same = live.batch_between(stream, world.start(), world.end());
            prop_assert_eq!(lines(&same), lines(&all(&mut world, stream)));
        }
    }

    /// An injected fault changes no delivery before it, however the deliveries before were asked for, and its truth is
    /// what a world finds that knew of it from the beginning.
    #[test]
    fn an_injected_fault_changes_nothing_before_it(
        seed in 0u64..1_000,
        fault in prop::sample::select(Fault::ALL.to_vec()),
        minutes in 0i64..60 * 24 * 60,
    ) {
        let struck_at = DEFAULT_START + Span(minutes * Span::MINUTE.0);
        let end = struck_at + Span(12 * DAY.0);
        let mut quiet = live(seed, 30, 60, &Fault::ALL);
        let mut struck = live(seed, 30, 60, &Fault::ALL);
        for stream in [Stream::Payments, Stream::Chargebacks] {
            struck.batch_between(stream, struck_at - DAY, struck_at);
        }
        let window = struck.inject(fault, struck_at);
        for stream in [Stream::Payments, Stream::Chargebacks] {
            let before = lines(&struck.batch_between(stream, Instant::MIN, struck_at));
            prop_assert_eq!(before, lines(&quiet.batch_between(stream, Instant::MIN, struck_at)));
            let mut fresh = live(seed, 30, 60, &Fault::ALL);
            fresh.inject(fault, struck_at);
            let after = lines(&struck.batch_between(stream, struck_at, end));
            prop_assert_eq!(after, lines(&fresh.batch_between(stream, struck_at, end)));
        }
        prop_assert!(window.fault == fault && window.start <= struck_at.max(DEFAULT_START) && struck_at < window.over());
        prop_assert_eq!(struck.inject(fault, struck_at).start, window.start);
    }
}

#[test]
fn life_goes_on_after_the_period() {
    let mut live = live(3, 30, 300, &Fault::ALL);
    let mut rows_of_week = |week: i64| {
        let delivered = live.batch_between(Stream::Payments, at(30 + 7 * week, 0), at(37 + 7 * week, 0));
        delivered.iter().map(|delivered| delivered.rows.num_rows() as i64).sum::<i64>()
    };
    for week in [0, 1, 10, 60] {
        assert!((rows_of_week(week) - 2_100).abs() < 150, "{} rows in week {week}", rows_of_week(week));
    }
    assert!(!live.batch_between(Stream::Chargebacks, at(200, 0), at(207, 0)).is_empty());
}

#[test]
fn every_fault_can_be_injected_and_is_told() {
    let mut live = live(5, 20, 400, &[]);
    for (place, fault) in Fault::ALL.into_iter().enumerate() {
        let struck_at = at(21 + 4 * place as i64, 9);
        let window = live.inject(fault, struck_at);
        assert_eq!((window.fault, window.start), (fault, struck_at));
        let truth = live.truth(&window, struck_at + Span(3 * DAY.0));
        assert!(truth.rows > 0, "{truth:?}");
        assert_eq!(live.truth(&window, struck_at).rows, 0);
        match fault {
            Fault::FraudChange => assert_eq!((window.end, truth.end), (Instant::MAX, struck_at + Span(3 * DAY.0))),
            _ => assert_eq!(truth.end, window.end),
        }
    }
    assert_eq!(live.windows().len(), Fault::ALL.len());
    let recounted = recount(&mut live, at(0, 0), at(21 + 4 * 10, 0));
    let rows = |live: &mut Live, place: usize| {
        let window = live.windows()[place];
        live.truth(&window, at(70, 0)).rows
    };
    let quarantined = |reason| recounted.quarantined[&reason];
    assert_eq!(quarantined(Reason::CardRequired), rows(&mut live, 1));
    assert_eq!(recounted.deduplicated, rows(&mut live, 3));
    assert_eq!(quarantined(Reason::KeyConflict), rows(&mut live, 4));
    assert_eq!(quarantined(Reason::ChannelEnum), rows(&mut live, 5));
    assert_eq!(recounted.rejected, rows(&mut live, 8));
    assert_eq!(live.truth(&Window::from(Fault::LateRows, at(3, 0)), at(9, 0)).rows, 0, "was never injected");
}

/// What a simple reader of the contract makes of a part of a live world.
fn recount(live: &mut Live, from: Instant, to: Instant) -> Counts {
    let mut recount = Recount::default();
    live.batch_between(Stream::Payments, from, to).iter().for_each(|delivered| recount.take(delivered));
    recount.counts
}

/// Whatever is injected on top of whatever, every payment comes once, in order, and every day is found in time.
#[test]
fn faults_on_top_of_each_other_lose_nothing() {
    let mut crowded = live(8, 40, 300, &Fault::ALL);
    for fault in Fault::ALL {
        for hour in [0, 5, 9, 15, 20] {
            crowded.inject(fault, at(17, hour));
        }
    }
    let mut quiet = live(8, 40, 300, &[Fault::FraudChange]);
    for hour in [0, 5, 9, 15, 20] {
        quiet.inject(Fault::FraudChange, at(17, hour));
    }
    let ids = |live: &mut Live| {
        let mut ids: BTreeSet<String> = BTreeSet::new();
        let delivered = live.batch_between(Stream::Payments, at(0, 0), at(45, 0));
        assert!(delivered.iter().flat_map(|delivered| &delivered.arrivals).is_sorted());
        for Delivered { rows, .. } in delivered {
            ids.extend((0..rows.num_rows()).map(|row| text(&rows, "payment_id", row).unwrap().to_owned()));
        }
        ids
    };
    let (known, expected) = (ids(&mut crowded), ids(&mut quiet));
    // Late rows of the period's end are still on their way in neither of them.
    assert_eq!(known, expected);
}

#[test]
fn a_source_that_is_stuck_is_not_stuck_twice() {
    let mut live = live(4, 20, 400, &[]);
    let first = live.inject(Fault::StuckSource, at(5, 8));
    assert_eq!(live.inject(Fault::StuckSource, at(5, 12)), first);
    assert_eq!(live.inject(Fault::StuckSource, at(5, 16)), first, "still delivers what it held");
    let second = live.inject(Fault::StuckSource, at(5, 17));
    assert_eq!((second.start, live.windows().len()), (at(5, 17), 2));
    for (window, free) in [(first, at(5, 16)), (second, at(6, 1))] {
        let arrivals = live.batch_between(Stream::Payments, window.start, free);
        assert!(arrivals.is_empty(), "a stuck source delivered something");
    }
}

#[test]
fn faults_have_short_names() {
    let short = ["cents", "nulls", "late", "duplicates", "conflict", "enum", "skew", "stuck", "malformed", "fraud"];
    for (fault, short) in Fault::ALL.into_iter().zip(short) {
        assert_eq!(Fault::from_short(short).unwrap(), fault);
        assert_eq!(Fault::from_short(fault.name()).unwrap(), fault);
    }
    let error = Fault::from_short("gremlins").unwrap_err();
    assert_eq!(error.code(), "SW0723");
    assert!(error.remedy().is_some_and(|hint| hint.contains("stuck")));
}
