//! The simulator: equal bytes however it is asked, and a truth that a recount confirms.

mod drift;
mod live;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType};
use proptest::prelude::*;
use seawall_base::Hash;

use super::day::{CHARGEBACK_AFTER_MAX, CHARGEBACK_AFTER_MIN};
use super::*;

fn options(seed: u64, days: i64, payments_per_day: u32, faults: &[Fault]) -> Options {
    let length = Span(days * Span::DAY.0);
    Options { seed, start: DEFAULT_START, length, payments_per_day, faults: faults.to_vec() }
}

fn world(seed: u64, days: i64, payments_per_day: u32, faults: &[Fault]) -> World {
    World::new(options(seed, days, payments_per_day, faults)).unwrap()
}

/// Every row as text, after its arrival. Numbers are shown by their bits.
fn lines(delivered: &[Delivered]) -> Vec<String> {
    let mut lines = Vec::new();
    for Delivered { rows, arrivals, .. } in delivered {
        for (row, arrival) in arrivals.iter().enumerate() {
            let cells: Vec<String> = rows.columns().iter().map(|column| cell(column, row)).collect();
            lines.push(format!("{} {}", arrival.0, cells.join(" ")));
        }
    }
    lines
}

fn cell(column: &ArrayRef, row: usize) -> String {
    if column.is_null(row) {
        return "-".into();
    }
    match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().value(row).to_owned(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Float64 => format!("{:016x}", column.as_primitive::<Float64Type>().value(row).to_bits()),
        DataType::Timestamp(_, _) => column.as_primitive::<TimestampMicrosecondType>().value(row).to_string(),
        other => panic!("no stream has a column of {other}"),
    }
}

fn all(world: &mut World, stream: Stream) -> Vec<Delivered> {
    let (start, end) = (world.start(), world.end());
    world.batch_between(stream, start, end)
}

fn text<'a>(rows: &'a RecordBatch, column: &str, row: usize) -> Option<&'a str> {
    let column = rows.column_by_name(column).unwrap().as_string::<i32>();
    column.is_valid(row).then(|| column.value(row))
}

fn amount(rows: &RecordBatch, row: usize) -> f64 {
    rows.column_by_name("amount_eur").unwrap().as_primitive::<Float64Type>().value(row)
}

fn instant(rows: &RecordBatch, column: &str, row: usize) -> Instant {
    Instant(rows.column_by_name(column).unwrap().as_primitive::<TimestampMicrosecondType>().value(row))
}

fn version(rows: &RecordBatch, row: usize) -> i64 {
    rows.column_by_name("schema_version").unwrap().as_primitive::<Int64Type>().value(row)
}

/// What a simple reader of the contract makes of payments: no simulator code but the rows.
#[derive(Default)]
struct Recount {
    counts: Counts,
    accepted: HashMap<String, String>,
}

impl Recount {
    fn take(&mut self, delivered: &Delivered) {
        let rows = &delivered.rows;
        let foreign = (0..rows.num_rows()).filter(|row| version(rows, *row) != 1).count();
        assert!(foreign == 0 || foreign == rows.num_rows(), "a rejected batch would take good rows along");
        assert_eq!(delivered.malformed, foreign > 0);
        let one = Delivered { arrivals: vec![Instant(0); rows.num_rows()], ..delivered.clone() };
        for (row, content) in lines(std::slice::from_ref(&one)).into_iter().enumerate() {
            self.counts.received += 1;
            match self.breach(rows, row, content) {
                None if foreign > 0 => self.counts.rejected += 1,
                None => self.counts.accepted += 1,
                Some(Ok(())) => self.counts.deduplicated += 1,
                Some(Err(reason)) => *self.counts.quarantined.entry(reason).or_default() += 1,
            }
        }
    }

    /// Why a row of a good batch is not accepted: nothing is wrong, it is known, or a reason.
    fn breach(&mut self, rows: &RecordBatch, row: usize, content: String) -> Option<Result<(), Reason>> {
        if version(rows, row) != 1 {
            return None;
        }
        if text(rows, "card_id", row).is_none() {
            return Some(Err(Reason::CardRequired));
        }
        if !(0.01..=50_000.0).contains(&amount(rows, row)) {
            return Some(Err(Reason::AmountMaximum));
        }
        if !["pos", "web", "app"].contains(&text(rows, "channel", row).unwrap()) {
            return Some(Err(Reason::ChannelEnum));
        }
        let key = text(rows, "payment_id", row).unwrap().to_owned();
        match self.accepted.get(&key) {
            None => {
                self.accepted.insert(key, content);
                None
            }
            Some(known) if *known == content => Some(Ok(())),
            Some(_) => Some(Err(Reason::KeyConflict)),
        }
    }
}

#[test]
fn the_truth_is_what_a_recount_finds() {
    for seed in 0..20 {
        let (days, per_day) = (1 + seed as i64 % 7 * 3, 60 + 40 * seed as u32);
        let mut world = world(seed, days, per_day, &Fault::ALL);
        let truth = world.truth();
        let mut recount = Recount::default();
        for delivered in world.deliveries(Stream::Payments, Instant::MIN) {
            recount.take(&delivered);
        }
        assert_eq!(recount.counts, truth.payments, "seed {seed}");
        let Counts { received, accepted, deduplicated, rejected, .. } = truth.payments;
        assert_eq!(received, accepted + truth.payments.quarantined_rows() + deduplicated + rejected);
        let chargebacks: usize = all(&mut world, Stream::Chargebacks).iter().map(|d| d.rows.num_rows()).sum();
        assert_eq!(
            truth.chargebacks,
            Counts { received: chargebacks as u64, accepted: chargebacks as u64, ..Counts::default() }
        );
    }
}

#[test]
fn without_faults_nothing_is_wrong() {
    for seed in 0..20 {
        let mut world = world(seed, 5, 200, &[]);
        let mut recount = Recount::default();
        all(&mut world, Stream::Payments).iter().for_each(|delivered| recount.take(delivered));
        assert!(recount.counts.received > 800, "about 1,000 payments in five days");
        assert_eq!(recount.counts.accepted, recount.counts.received);
        assert!(world.truth().faults.is_empty());
    }
}

#[test]
fn every_fault_strikes_and_shows_as_it_should() {
    let mut world = world(3, 90, 400, &Fault::ALL);
    let truth = world.truth();
    assert_eq!(truth.faults.len(), Fault::ALL.len());
    for fault in &truth.faults {
        assert!(fault.rows > 0, "{fault:?}");
        assert!(truth.start < fault.start && fault.end <= truth.end, "{fault:?}");
    }
    let (lasting, passing): (Vec<_>, Vec<_>) = truth.faults.iter().partition(|fault| fault.fault == Fault::FraudChange);
    for pair in passing.windows(2) {
        assert!(pair[0].end < pair[1].start, "faults overlap: {pair:?}");
    }
    assert_eq!((lasting[0].start, lasting[0].end), (truth.start + Span(36 * Span::DAY.0), truth.end));
    let rows = |fault| truth.faults.iter().find(|found| found.fault == fault).unwrap().rows;
    let quarantined = &truth.payments.quarantined;
    assert_eq!(quarantined[&Reason::CardRequired], rows(Fault::NullBurst));
    assert_eq!(quarantined[&Reason::ChannelEnum], rows(Fault::EnumAdded));
    assert_eq!(quarantined[&Reason::KeyConflict], rows(Fault::KeyConflict));
    let too_large = quarantined[&Reason::AmountMaximum];
    assert!(0 < too_large && too_large < rows(Fault::CentsInsteadOfEuros), "a part passes, silently wrong");
    assert_eq!(truth.payments.deduplicated, rows(Fault::Duplicates));
    assert_eq!(truth.payments.rejected, rows(Fault::MalformedBatch));

    let (mut late, mut early) = (0, 0);
    let stuck = truth.faults.iter().find(|fault| fault.fault == Fault::StuckSource).unwrap();
    for Delivered { rows, arrivals, .. } in all(&mut world, Stream::Payments) {
        for (row, arrival) in arrivals.iter().enumerate() {
            let lag = (*arrival - instant(&rows, "requested_at", row)).0;
            late += u64::from(lag > Span::HOUR.0);
            early += u64::from(lag < -Span::HOUR.0);
            assert!(lag < 57 * Span::HOUR.0, "a row is at most two days late and held for eight hours");
            assert!(!(stuck.start <= *arrival && *arrival < stuck.end), "a stuck source delivered something");
        }
    }
    assert_eq!(early, rows(Fault::ClockSkew));
    assert!(late >= rows(Fault::LateRows), "{late}");
}

#[test]
fn a_seed_always_gives_the_same_bytes() {
    let hash = |seed, stream| {
        let mut world = world(seed, 60, 100, &Fault::ALL);
        Hash::of(lines(&all(&mut world, stream)).join("\n").as_bytes()).short()
    };
    assert_eq!(hash(7, Stream::Payments), "27d0b7f45b7f");
    assert_eq!(hash(7, Stream::Chargebacks), "ba55884ba6d1");
    assert_ne!(hash(8, Stream::Payments), hash(7, Stream::Payments));
}

#[test]
fn rows_come_in_the_order_of_arrival_within_the_asked_time() {
    let mut world = world(11, 60, 150, &Fault::ALL);
    for stream in [Stream::Payments, Stream::Chargebacks] {
        let (from, to) = (world.start() + Span(40 * Span::DAY.0), world.start() + Span(55 * Span::DAY.0));
        let delivered = world.batch_between(stream, from, to);
        let arrivals: Vec<Instant> = delivered.iter().flat_map(|d| d.arrivals.iter().copied()).collect();
        assert!(!arrivals.is_empty());
        assert!(arrivals.is_sorted());
        assert!(arrivals.iter().all(|at| from <= *at && *at < to));
        assert!(delivered.iter().all(|d| d.rows.schema() == stream.schema()));
    }
    assert!(world.batch_between(Stream::Payments, world.end(), Instant::MAX).is_empty());
    assert!(world.batch_between(Stream::Payments, Instant::MIN, world.start()).is_empty());
    assert_eq!(
        all(&mut world, Stream::Payments).len(),
        world.batch_between(Stream::Payments, Instant::MIN, Instant::MAX).len()
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Slices of any size, asked for in any order by worlds that know nothing of the others, join to the whole.
    #[test]
    fn slicing_and_resuming_change_no_row(
        seed in 0u64..1_000,
        mut cuts in prop::collection::vec(0i64..50 * Span::DAY.0, 0..6),
        backwards: bool,
    ) {
        let faults = Fault::ALL;
        for stream in [Stream::Payments, Stream::Chargebacks] {
            let whole = lines(&all(&mut world(seed, 50, 40, &faults), stream));
            cuts.extend([0, 50 * Span::DAY.0]);
            cuts.sort_unstable();
            let mut slices: Vec<(usize, i64, i64)> =
                cuts.windows(2).enumerate().map(|(place, pair)| (place, pair[0], pair[1])).collect();
            if backwards {
                slices.reverse();
            }
            let mut kept = world(seed, 50, 40, &faults);
            let mut parts = BTreeMap::new();
            for (place, from, to) in slices {
                let (from, to) = (DEFAULT_START + Span(from), DEFAULT_START + Span(to));
                let fresh = lines(&world(seed, 50, 40, &faults).batch_between(stream, from, to));
                prop_assert_eq!(&fresh, &lines(&kept.batch_between(stream, from, to)));
                parts.insert(place, fresh);
            }
            prop_assert_eq!(parts.into_values().flatten().collect::<Vec<_>>(), whole);
        }
    }

    /// Windows keep a quarter of their slot free on both sides, whatever the period; a change of fraud takes no slot.
    #[test]
    fn windows_do_not_touch(seed: u64, days in 1i64..400, mask in 0usize..1024) {
        let faults: Vec<Fault> = Fault::ALL.into_iter().enumerate().filter(|(i, _)| mask >> i & 1 == 1).map(|(_, f)| f).collect();
        let length = Span(days * Span::DAY.0);
        let windows = fault::windows(seed, DEFAULT_START, length, &faults);
        prop_assert!(windows.is_sorted_by_key(|window| window.start));
        let (lasting, passing): (Vec<Window>, Vec<Window>) =
            windows.iter().partition(|window| window.fault == Fault::FraudChange);
        let slot = length.0 / 100 * 46 / (passing.len() as i64).max(1);
        let mut free_from = DEFAULT_START.0 + length.0 / 100 * 42 - slot / 4;
        for window in &passing {
            prop_assert!(window.start.0 - free_from >= slot / 2 - 1, "{window:?}");
            prop_assert!(window.start < window.end);
            free_from = window.end.0;
        }
        prop_assert!(free_from <= DEFAULT_START.0 + length.0 / 100 * 88);
        for window in &lasting {
            prop_assert_eq!(window.start, DEFAULT_START + Span(days * 2 / 5 * Span::DAY.0));
            prop_assert_eq!(window.end, DEFAULT_START + length);
        }
        prop_assert_eq!(windows.iter().map(|w| w.fault).collect::<BTreeSet<_>>(), faults.into_iter().collect());
    }
}

/// Whoever notes how far he came after each batch and is killed then, misses nothing and sees nothing twice.
#[test]
fn any_batch_can_be_the_last_before_a_resume() {
    let faults = [Fault::MalformedBatch, Fault::StuckSource];
    for stream in [Stream::Payments, Stream::Chargebacks] {
        let mut world = world(6, 30, 4_000, &faults);
        let delivered = all(&mut world, stream);
        assert!(stream == Stream::Chargebacks || delivered.len() > 12);
        for place in 0..delivered.len() {
            let rest = world.batch_between(stream, delivered[place].until(), Instant::MAX);
            assert_eq!(lines(&rest), lines(&delivered[place + 1..]), "after batch {place}");
        }
    }
}

#[test]
fn the_days_kept_are_those_near_the_last_one_made() {
    let mut world = world(1, 90, 10, &[]);
    for from in [0, 89, 0, 60, 30] {
        let from = world.start() + Span(from * Span::DAY.0);
        for stream in [Stream::Payments, Stream::Chargebacks] {
            world.batch_between(stream, from, from + Span::HOUR);
            let made = (from - world.start()).0 / Span::DAY.0;
            assert!(world.chargebacks.contains_key(&(made as u32)), "day {made} is forgotten at once");
        }
        assert!(world.payments.len() <= PAYMENT_DAYS_KEPT && world.chargebacks.len() <= CHARGEBACK_DAYS_KEPT);
    }
}

#[test]
fn rows_of_one_microsecond_stay_together() {
    let rows: Vec<i64> = (0..30_000).map(|row| row / 5_000).collect();
    let lengths: Vec<usize> = pieces(&rows, |row| Instant(*row)).iter().map(|piece| piece.len()).collect();
    assert_eq!(lengths, [10_000, 10_000, 10_000]);
    assert!(pieces(&rows[..0], |row| Instant(*row)).is_empty());
}

#[test]
fn chargebacks_follow_their_payments_by_3_to_45_days() {
    let mut world = world(5, 120, 300, &Fault::ALL);
    let mut requested = HashMap::new();
    for Delivered { rows, .. } in all(&mut world, Stream::Payments) {
        for row in 0..rows.num_rows() {
            requested.insert(text(&rows, "payment_id", row).unwrap().to_owned(), instant(&rows, "requested_at", row));
        }
    }
    let truth = world.truth();
    let labels: HashMap<_, _> = truth.labels.iter().map(|label| (label.payment_id.as_str(), label)).collect();
    let mut ids = BTreeSet::new();
    let (mut early, mut late) = (0, 0);
    for Delivered { rows, arrivals, .. } in all(&mut world, Stream::Chargebacks) {
        for (row, arrival) in arrivals.iter().enumerate() {
            let payment = text(&rows, "payment_id", row).unwrap();
            let reported_at = instant(&rows, "reported_at", row);
            let after = reported_at - requested[payment];
            assert!(CHARGEBACK_AFTER_MIN <= after && after <= CHARGEBACK_AFTER_MAX, "{after}");
            assert!(*arrival < requested[payment] + Span(45 * Span::DAY.0), "known before absence is final");
            assert_eq!(labels[payment].charged_back_at, Some(reported_at));
            assert!(ids.insert(text(&rows, "chargeback_id", row).unwrap().to_owned()));
            early += usize::from(after < Span(10 * Span::DAY.0));
            late += usize::from(after > Span(30 * Span::DAY.0));
        }
    }
    assert_eq!(ids.len() as u64, truth.chargebacks.accepted);
    assert!(early > 20 && late > 20, "{early} early, {late} late");
    let friendly = truth.labels.iter().filter(|label| !label.fraud).count();
    let silent = truth.labels.iter().filter(|label| label.fraud && label.charged_back_at.is_none()).count();
    assert!(friendly > 0 && silent > 0, "labels are not the truth: {friendly} friendly, {silent} never charged back");
}

#[test]
fn entities_agree_with_the_streams_and_are_not_real() {
    let mut world = world(2, 30, 200, &[]);
    let (customers, cards, merchants) = (world.customers(), world.cards(), world.merchants());
    let index = |rows: &RecordBatch, key: &str| -> HashMap<String, usize> {
        (0..rows.num_rows()).map(|row| (text(rows, key, row).unwrap().to_owned(), row)).collect()
    };
    let (by_customer, by_card) = (index(&customers, "customer_id"), index(&cards, "card_id"));
    let by_merchant = index(&merchants, "merchant_id");
    assert_eq!(by_customer.len(), customers.num_rows());
    for Delivered { rows, .. } in all(&mut world, Stream::Payments) {
        for row in 0..rows.num_rows() {
            let customer = by_customer[text(&rows, "customer_id", row).unwrap()];
            let card = by_card[text(&rows, "card_id", row).unwrap()];
            let merchant = by_merchant[text(&rows, "merchant_id", row).unwrap()];
            assert_eq!(text(&customers, "email", customer), text(&rows, "customer_email", row));
            assert_eq!(text(&cards, "customer_id", card), text(&rows, "customer_id", row));
            assert_eq!(text(&merchants, "category", merchant), text(&rows, "merchant_category", row));
            assert_eq!(text(&merchants, "country", merchant), text(&rows, "country", row));
            assert!(instant(&merchants, "opened_at", merchant) <= instant(&rows, "requested_at", row));
        }
    }
    for row in 0..cards.num_rows() {
        let number = text(&cards, "pan", row).unwrap();
        let doubled = |(place, digit): (usize, char)| {
            let value = digit.to_digit(10).unwrap() * if place % 2 == 1 { 2 } else { 1 };
            value / 10 + value % 10
        };
        assert_eq!(number.chars().rev().enumerate().map(doubled).sum::<u32>() % 10, 0, "{number}");
        assert!(number.starts_with("9999") && number.len() == 16, "{number}");
    }
    assert!((0..customers.num_rows()).all(|row| text(&customers, "email", row).unwrap().contains("@example.")));
}

#[test]
fn declarations_are_checked() {
    let declared = |stream: &str, days: i64, payments_per_day: u32, fault: &str| {
        let faults = vec![fault.to_owned()];
        let length = Span(days * Span::DAY.0);
        Options::of(&Simulator { stream: stream.into(), seed: 1, length, payments_per_day, faults })
    };
    let (stream, options) = declared("chargebacks", 10, 100, "late_rows").unwrap();
    assert_eq!((stream, options.faults), (Stream::Chargebacks, vec![Fault::LateRows]));
    assert_eq!(declared("refunds", 10, 100, "late_rows").unwrap_err().code(), "SW0720");
    let error = declared("payments", 10, 100, "gremlins").unwrap_err();
    assert_eq!(error.code(), "SW0721");
    assert!(error.remedy().is_some_and(|hint| hint.contains("clock_skew")));
    for (days, per_day) in [(0, 100), (2_000, 100), (10, 0), (10, u32::MAX)] {
        assert_eq!(declared("payments", days, per_day, "late_rows").unwrap_err().code(), "SW0722");
    }
    assert!(World::new(super::Options { length: Span(-1), ..Options::default() }).is_err());
}

#[test]
fn the_truth_survives_json() {
    let truth = world(4, 20, 100, &Fault::ALL).truth();
    let json = serde_json::to_string(&truth).unwrap();
    assert!(json.contains("\"card_required\""), "{json}");
    assert_eq!(serde_json::from_str::<Truth>(&json).unwrap(), truth);
}
