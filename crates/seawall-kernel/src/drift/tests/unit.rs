//! Changes of unit: found in small and wide samples, never seen where there is none.

use arrow::array::{Array, Float64Array, Int64Array, StringArray};
use proptest::prelude::*;

use super::super::unit::*;
use super::draws::Draws;

fn profile(values: impl IntoIterator<Item = f64>) -> UnitProfile {
    let mut profile = UnitProfile::default();
    for value in values {
        profile.add_value(value);
    }
    profile
}

/// How values are distributed.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Lognormal, of this standard deviation in decades.
    Lognormal(f64),
    /// A long right tail over 2.2 decades, times a personal level from 0.6 to 1.8.
    Payments,
    /// The same with a personal level from 0.3 to 3.
    WidePayments,
    /// Nine cheap things to one that costs a hundred times as much.
    TwoPrices,
    /// One price.
    Fixed,
}

const ALL: [Kind; 7] = [
    Kind::Lognormal(0.2),
    Kind::Lognormal(0.4),
    Kind::Lognormal(0.6),
    Kind::Payments,
    Kind::WidePayments,
    Kind::TwoPrices,
    Kind::Fixed,
];

const TAIL: [f64; 17] = [0.06, 0.19, 0.29, 0.39, 0.49, 0.6, 0.72, 0.85, 1.0, 1.18, 1.39, 1.65, 2.0, 2.5, 3.3, 4.9, 9.0];

fn draw(kind: Kind, draws: &mut Draws) -> f64 {
    let lognormal = |draws: &mut Draws, median: f64, deviation: f64| median * 10f64.powf(deviation * draws.normal());
    let tail = |draws: &mut Draws| {
        let (step, part) = (draws.below(16) as usize, draws.unit());
        180.0 * (TAIL[step] * (1.0 - part) + TAIL[step + 1] * part)
    };
    match kind {
        Kind::Lognormal(deviation) => lognormal(draws, 42.0, deviation),
        Kind::Payments => tail(draws) * (0.6 + 1.2 * draws.unit()),
        Kind::WidePayments => tail(draws) * 10f64.powf(draws.unit() - 0.52),
        Kind::TwoPrices if draws.below(10) == 0 => lognormal(draws, 1_000.0, 0.2),
        Kind::TwoPrices => lognormal(draws, 10.0, 0.2),
        Kind::Fixed => 9.99,
    }
}

fn sample(kind: Kind, draws: &mut Draws, rows: usize, times: f64) -> UnitProfile {
    profile((0..rows).map(|_| draw(kind, draws) * times))
}

#[test]
fn natural_variation_is_never_a_change_of_unit() {
    let mut draws = Draws::new(11);
    for kind in ALL {
        for reference_rows in [50, 300, 3_000] {
            for _ in 0..50 {
                let reference = sample(kind, &mut draws, reference_rows, 1.0);
                for trial in 0..20 {
                    let rows = 8 + draws.below(if trial % 2 == 0 { 10 } else { 193 }) as usize;
                    let prices = [1.0, 1.2, 1.0 / 1.2][trial % 3];
                    let current = sample(kind, &mut draws, rows, prices);
                    let found = unit_change(&reference, &current);
                    assert_eq!(found, None, "{kind:?}, {rows} rows against {reference_rows}, prices times {prices}");
                }
            }
        }
    }
}

/// Share of trials in which the factor is found.
fn detected(kind: Kind, rows: usize, factor: f64, changed: f64) -> f64 {
    const TRIALS: u32 = 400;
    let mut draws = Draws::new(rows as u64 + factor.to_bits());
    let reference = sample(kind, &mut draws, 2_000, 1.0);
    let mut found = 0;
    for _ in 0..TRIALS {
        let changed_rows = (rows as f64 * changed) as usize;
        let mut current = sample(kind, &mut draws, rows - changed_rows, 1.0);
        current.merge(&sample(kind, &mut draws, changed_rows, factor));
        let change = unit_change(&reference, &current);
        found += u32::from(change.is_some_and(|change| (change.factor / factor - 1.0).abs() < 1e-9));
    }
    f64::from(found) / f64::from(TRIALS)
}

#[test]
fn a_factor_of_a_hundred_is_found_from_twelve_rows_however_wide_the_values_are() {
    for kind in ALL {
        for factor in [100.0, 0.01] {
            for rows in [12, 20, 200] {
                let share = detected(kind, rows, factor, 1.0);
                assert!(share >= 0.99, "{kind:?} times {factor} in {rows} rows: {share}");
            }
        }
    }
}

#[test]
fn a_factor_of_ten_needs_rows_by_the_width_of_the_values() {
    for (kind, rows, least) in [
        (Kind::Lognormal(0.2), 8, 0.99),
        (Kind::Lognormal(0.35), 12, 0.99),
        (Kind::Lognormal(0.4), 12, 0.97),
        (Kind::Lognormal(0.4), 20, 0.99),
        (Kind::Payments, 12, 0.93),
        (Kind::Payments, 30, 0.99),
        (Kind::WidePayments, 30, 0.99),
        (Kind::Fixed, 8, 1.0),
    ] {
        for factor in [10.0, 0.1] {
            let share = detected(kind, rows, factor, 1.0);
            assert!(share >= least, "{kind:?} times {factor} in {rows} rows: {share}");
        }
    }
}

#[test]
fn other_factors_need_more_rows_than_powers_of_ten() {
    for factor in [60.0, 3_600.0, 24.0, 1.0 / 60.0, 1e3, 1e6, 1e-3, 1e-6] {
        let share = detected(Kind::Lognormal(0.2), 200, factor, 1.0);
        assert!(share >= 0.99, "times {factor}: {share}");
    }
}

#[test]
fn a_change_within_the_window_is_found_with_its_share() {
    let mut draws = Draws::new(3);
    let reference = sample(Kind::Payments, &mut draws, 2_000, 1.0);
    for changed in [30, 50, 80, 100] {
        let mut current = sample(Kind::Payments, &mut draws, 100 - changed, 1.0);
        current.merge(&sample(Kind::Payments, &mut draws, changed, 100.0));
        let change = unit_change(&reference, &current).unwrap();
        assert_eq!(change.factor, 100.0);
        assert!((change.share - changed as f64 / 100.0).abs() <= 0.1, "{changed}: {change:?}");
        assert!(change.explained > 0.7 && change.unexplained < 0.4, "{change:?}");
    }
    assert!(detected(Kind::Payments, 40, 100.0, 0.4) >= 0.99);
    assert!(detected(Kind::Payments, 40, 100.0, 0.1) == 0.0);
}

#[test]
fn a_busier_mix_of_known_prices_is_no_change() {
    let mut draws = Draws::new(4);
    let reference = sample(Kind::TwoPrices, &mut draws, 2_000, 1.0);
    for dear in [20, 40, 60] {
        for _ in 0..50 {
            let mut current = sample(Kind::Lognormal(0.2), &mut draws, 100 - dear, 10.0 / 42.0);
            current.merge(&sample(Kind::Lognormal(0.2), &mut draws, dear, 1_000.0 / 42.0));
            assert_eq!(unit_change(&reference, &current), None, "{dear} % dear");
        }
    }
}

#[test]
fn values_cut_off_by_a_rule_do_not_hide_the_change() {
    let mut draws = Draws::new(5);
    let reference = sample(Kind::Payments, &mut draws, 2_000, 1.0);
    for _ in 0..100 {
        let accepted = (0..25).map(|_| draw(Kind::Payments, &mut draws) * 100.0).filter(|value| *value <= 50_000.0);
        let change = unit_change(&reference, &profile(accepted.collect::<Vec<_>>())).unwrap();
        assert_eq!((change.factor, change.share), (100.0, 1.0));
    }
}

#[test]
fn too_few_values_say_nothing() {
    let reference = |rows: usize| profile(vec![9.99; rows]);
    assert_eq!(unit_change(&reference(50), &profile(vec![999.0; 7])), None);
    assert_eq!(unit_change(&reference(49), &profile(vec![999.0; 8])), None);
    let change = unit_change(&reference(50), &profile(vec![999.0; 8])).unwrap();
    assert_eq!((change.factor, change.share), (100.0, 1.0));
    let zeros = profile([vec![0.0; 100], vec![-999.0; 100], vec![f64::NAN; 100]].concat());
    assert_eq!(unit_change(&reference(50), &zeros), None);
    assert_eq!((zeros.positives(), zeros.rows()), (0, 300));
}

#[test]
fn the_first_bad_row_is_named() {
    let mut draws = Draws::new(6);
    let reference = sample(Kind::Payments, &mut draws, 2_000, 1.0);
    for (value, factor, expected) in [
        (180.0, 100.0, false),
        (18_000.0, 100.0, true),
        (2_500.0, 100.0, false),
        (1.8, 0.01, true),
        (180.0, 0.01, false),
        (0.0, 100.0, false),
        (-18_000.0, 100.0, false),
        (f64::NAN, 100.0, false),
        (18_000.0, f64::NAN, false),
    ] {
        assert_eq!(first_beyond(&reference, value, factor), expected, "{value} times {factor}");
    }
    let named = |times: f64, draws: &mut Draws| {
        (0..2_000).filter(|_| first_beyond(&reference, draw(Kind::Payments, draws) * times, 100.0)).count()
    };
    assert!(named(1.0, &mut draws) <= 10, "good rows are hardly ever named");
    assert!(named(100.0, &mut draws) >= 1_600, "most bad rows are");
}

proptest! {
    #[test]
    fn profiles_do_not_depend_on_order_or_batches(
        mut values in prop::collection::vec(prop::option::of(prop::num::f64::ANY), 0..100),
        cut in 0usize..100,
    ) {
        let add = |rows: &[Option<f64>]| {
            let mut profile = UnitProfile::default();
            profile.add(&rows.iter().copied().collect::<Float64Array>() as &dyn Array);
            profile
        };
        let whole = add(&values);
        values.reverse();
        let (left, right) = values.split_at(cut.min(values.len()));
        let mut merged = add(right);
        merged.merge(&add(left));
        prop_assert_eq!(&merged, &whole);
        prop_assert_eq!(whole.rows(), values.len() as u64);
        let json = serde_json::to_string(&whole).unwrap();
        prop_assert_eq!(serde_json::from_str::<UnitProfile>(&json).unwrap(), whole);
    }

    #[test]
    fn nothing_that_can_be_counted_breaks_it(
        old in prop::collection::vec(prop::num::f64::ANY, 0..120),
        new in prop::collection::vec(prop::num::f64::ANY, 0..40),
        value in prop::num::f64::ANY,
        factor in prop::num::f64::ANY,
    ) {
        let (old, new) = (profile(old), profile(new));
        if let Some(change) = unit_change(&old, &new) {
            prop_assert!((SHARE_MIN..=1.0).contains(&change.share) && (0.0..=1.0).contains(&change.explained));
        }
        first_beyond(&old, value, factor);
    }
}

#[test]
fn columns_of_integers_count_and_texts_are_missing() {
    let mut profile = UnitProfile::default();
    profile.add(&Int64Array::from(vec![Some(5), None, Some(0), Some(-3)]));
    profile.add(&StringArray::from(vec!["5"]));
    assert_eq!((profile.positives(), profile.rows()), (1, 5));
}
