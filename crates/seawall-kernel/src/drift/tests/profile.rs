//! Profiles: no outlier matters, chance is told from drift, counts merge in any order.

use arrow::array::{
    Array, BooleanArray, Decimal128Array, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use proptest::prelude::*;

use super::super::profile::*;
use super::super::stats::{chi2_quantile, chi2_tail};
use super::draws::Draws;

/// What is usually tolerated.
const TOLERANCE: f64 = 0.1;

fn reference(values: &[f64]) -> Reference {
    Reference::of(&Float64Array::from(values.to_vec())).unwrap()
}

fn window(reference: &Reference, column: &dyn Array) -> Window {
    let mut window = Window::new(reference);
    window.add(reference, column);
    window
}

fn drift(reference: &Reference, values: &[f64]) -> Drift {
    reference.compare(&window(reference, &Float64Array::from(values.to_vec())))
}

fn texts(values: &[&str]) -> StringArray {
    StringArray::from(values.to_vec())
}

#[test]
fn no_outlier_on_either_side_changes_a_verdict() {
    let mut draws = Draws::new(1);
    let old = draws.normals(50_000, 0.0);
    let same = draws.normals(50_000, 0.0);
    let moved = draws.normals(50_000, 2.0);
    let with = |values: &[f64], outliers: &[f64]| [values, outliers].concat();
    for outliers in [vec![], vec![1e6], vec![-1e6], vec![f64::MAX], vec![f64::INFINITY], vec![1e6; 500]] {
        for (old, same, moved) in [
            (with(&old, &outliers), same.clone(), moved.clone()),
            (old.clone(), with(&same, &outliers), with(&moved, &outliers)),
        ] {
            let reference = reference(&old);
            let calm = drift(&reference, &same);
            assert!(!calm.breaches(TOLERANCE) && calm.psi < 0.01 && calm.robust_distance < 0.05, "{calm:?}");
            let gross = drift(&reference, &moved);
            assert!(gross.breaches(TOLERANCE) && gross.psi > 3.0, "{gross:?}");
            assert!((gross.robust_distance - 2.0).abs() < 0.06, "{gross:?}");
        }
    }
}

#[test]
fn distance_without_drift_is_small_and_exact_for_a_shift() {
    let mut draws = Draws::new(2);
    let old = draws.normals(50_000, 0.0);
    let reference = reference(&old);
    assert!(drift(&reference, &draws.normals(50_000, 0.0)).robust_distance < 0.02);
    assert_eq!(drift(&reference, &old).robust_distance, 0.0);
    for shift in [0.5, 1.0, 4.0, -4.0, 30.0] {
        let moved: Vec<f64> = old.iter().map(|value| value + shift).collect();
        let distance = drift(&reference, &moved).robust_distance;
        assert!((distance - f64::abs(shift)).abs() < 0.03 * f64::abs(shift), "{shift}: {distance}");
    }
}

#[test]
fn samples_without_drift_are_found_as_rarely_as_promised() {
    for (rows, trials) in [(30, 20_000), (50, 20_000), (100, 20_000), (200, 8_000), (1_000, 3_000), (10_000, 400)] {
        let mut draws = Draws::new(rows as u64);
        let (mut at_hundredth, mut at_thousandth, mut breaches) = (0, 0, 0);
        let mut known = reference(&draws.normals(5_000, 0.0));
        for trial in 1..=trials {
            if trial % 200 == 0 {
                known = reference(&draws.normals(5_000, 0.0));
            }
            let drift = drift(&known, &draws.normals(rows, 0.0));
            at_hundredth += u32::from(drift.psi_p_value <= 0.01);
            at_thousandth += u32::from(drift.psi > drift.psi_limit_by_chance);
            breaches += u32::from(drift.breaches(TOLERANCE));
        }
        let trials = f64::from(trials);
        assert!(f64::from(at_hundredth) <= 0.015 * trials, "{rows} rows: {at_hundredth} at 0.01");
        // Three standard errors of the trials' own count are allowed on top.
        let allowed = 0.0015 * trials + 3.0 * (0.001 * trials).sqrt();
        assert!(f64::from(at_thousandth) <= allowed, "{rows} rows: {at_thousandth} at 0.001");
        assert!(breaches <= at_thousandth);
    }
}

#[test]
fn a_gross_shift_is_always_found_and_a_trifle_never() {
    let mut draws = Draws::new(5);
    let reference = reference(&draws.normals(20_000, 0.0));
    for rows in [30, 50, 200, 5_000] {
        for _ in 0..200 {
            assert!(drift(&reference, &draws.normals(rows, 2.0)).breaches(0.2), "{rows} rows");
        }
    }
    // Significant on so many rows, and irrelevant.
    let trifle = drift(&reference, &draws.normals(200_000, 0.05));
    assert!(trifle.psi > trifle.psi_limit_by_chance && !trifle.breaches(TOLERANCE), "{trifle:?}");
}

#[test]
fn tied_values_move_in_both_directions() {
    let mostly_zero = |other: f64| -> Vec<f64> { (0..1_000).map(|i| if i % 10 == 0 { other } else { 0.0 }).collect() };
    for (old, new, breach) in [
        (vec![5.0; 1_000], vec![5.0; 100], false),
        (vec![5.0; 1_000], vec![4.0; 100], true),
        (vec![5.0; 1_000], vec![6.0; 100], true),
        // All that lies above nine tenths of the values is one bin: the index does not see a move inside of it.
        (mostly_zero(3.0), mostly_zero(4.0), false),
        (mostly_zero(3.0), mostly_zero(-3.0), true),
        (mostly_zero(3.0), mostly_zero(3.0), false),
        (mostly_zero(3.0), vec![0.0; 1_000], true),
    ] {
        let drift = drift(&reference(&old), &new);
        assert_eq!(drift.breaches(0.05), breach, "{:?} {:?}: {drift:?}", &old[..2], &new[..2]);
    }
    // A single row of a kind that was never seen is no drift, however few rows there are.
    let constant = reference(&vec![5.0; 50_000]);
    for rows in [1, 5, 30, 1_000] {
        let mut values = vec![5.0; rows];
        values[0] = 1e6;
        assert!(!drift(&constant, &values).breaches(TOLERANCE), "{rows} rows");
    }
}

#[test]
fn categories_drift_by_share_and_by_novelty() {
    let old: Vec<&str> = (0..1_000).map(|i| ["web", "app", "pos", "pos"][i % 4]).collect();
    let reference = Reference::of(&texts(&old)).unwrap();
    let Shape::Categorical(categorical) = &reference.shape else { panic!("text is categorical") };
    assert_eq!(categorical.categories[0], ("pos".to_owned(), 500));
    let drift = |values: &[&str]| reference.compare(&window(&reference, &texts(values)));
    assert!(!drift(&old[..200]).breaches(TOLERANCE));
    assert!(drift(&["web"; 60]).breaches(TOLERANCE));
    let kiosk: Vec<&str> = (0..200).map(|i| if i % 5 == 0 { "kiosk" } else { old[i] }).collect();
    assert!(drift(&kiosk).breaches(TOLERANCE));
    assert_eq!(drift(&kiosk).robust_distance, 0.0);
}

#[test]
fn many_categories_are_counted_up_to_a_limit() {
    let values: Vec<String> = (0..1_000).flat_map(|i| vec![format!("c{i:04}"); 1 + usize::from(i < 10)]).collect();
    let reference = Reference::of(&StringArray::from(values)).unwrap();
    let Shape::Categorical(categorical) = &reference.shape else { panic!("text is categorical") };
    assert_eq!(categorical.categories.len(), CATEGORIES_MAX);
    assert_eq!(categorical.categories[10].0, "c0010");
    assert_eq!(categorical.other, 1_000 - CATEGORIES_MAX as u64);
    assert_eq!(reference.n, 1_010);
}

#[test]
fn types_are_profiled_by_their_nature() {
    let kind = |column: &dyn Array| Reference::of(column).map(|reference| matches!(reference.shape, Shape::Numeric(_)));
    assert_eq!(kind(&Int64Array::from_iter_values(0..20)), Some(false));
    assert_eq!(kind(&Int64Array::from_iter_values(0..21)), Some(true));
    assert_eq!(kind(&BooleanArray::from(vec![true, false])), Some(false));
    assert_eq!(kind(&Float64Array::from(vec![1.0, 1.0])), Some(true));
    assert_eq!(kind(&TimestampMicrosecondArray::from(vec![1])), None);
    let decimals = Decimal128Array::from_iter_values((0..100).map(|i| i * 25)).with_precision_and_scale(10, 2).unwrap();
    let Shape::Numeric(numeric) = Reference::of(&decimals).unwrap().shape else { panic!("decimals are numbers") };
    assert_eq!(numeric.median, 12.25);
}

#[test]
fn missing_values_are_told_from_chance() {
    let with_nulls = |rows: usize, nulls: usize| -> Float64Array {
        (0..rows).map(|i| (i >= nulls).then_some(if i % 2 == 0 { i as f64 } else { 0.5 })).collect()
    };
    let reference = Reference::of(&with_nulls(10_000, 100)).unwrap();
    for (rows, nulls, significant) in
        [(1_000, 10, false), (1_000, 20, false), (1_000, 60, true), (10, 1, false), (10, 5, true), (0, 0, false)]
    {
        let drift = reference.compare(&window(&reference, &with_nulls(rows, nulls)));
        assert_eq!(drift.null_significant, significant, "{nulls} of {rows}");
        assert_eq!(drift.rows, rows as u64);
        assert_eq!(drift.reference_null_rate, 0.01);
    }
    let nan = reference.compare(&window(&reference, &Float64Array::from(vec![f64::NAN; 50])));
    assert_eq!((nan.null_rate, nan.null_significant, nan.psi), (1.0, true, 0.0));
    // What cannot be read as a number is missing.
    let text = reference.compare(&window(&reference, &texts(&["a", "b"])));
    assert_eq!(text.null_rate, 1.0);
}

#[test]
fn empty_columns_compare_to_nothing() {
    let empty = Reference::of(&Float64Array::from(vec![None, None])).unwrap();
    assert_eq!((empty.n, empty.nulls), (0, 2));
    assert!(!drift(&empty, &[1.0, 2.0]).breaches(0.0));
    let full = reference(&[1.0, 2.0, 3.0]);
    let nothing = full.compare(&Window::new(&full));
    assert!(!nothing.breaches(0.0) && nothing.rows == 0 && nothing.robust_distance == 0.0);
}

#[test]
fn a_reference_comes_back_from_json_bit_for_bit() {
    let mut draws = Draws::new(9);
    let mut values = draws.normals(500, 0.1);
    values.extend([f64::INFINITY, f64::NEG_INFINITY, 1e-300, f64::MAX, 0.1 + 0.2]);
    for known in [reference(&values), reference(&[f64::INFINITY; 9]), Reference::of(&texts(&["a", "b"])).unwrap()] {
        let json = serde_json::to_string(&known).unwrap();
        assert_eq!(serde_json::from_str::<Reference>(&json).unwrap(), known, "{json}");
    }
    let json = serde_json::to_string(&window(&reference(&values), &texts(&["a"]))).unwrap();
    assert_eq!(serde_json::from_str::<Window>(&json).unwrap().nulls, 1);
}

#[test]
fn discoveries_follow_benjamini_and_hochberg() {
    // The example of the paper: 15 tests at 0.05, of which four are found.
    let p = [
        0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590,
        1.0,
    ];
    assert_eq!(discoveries(&p, 0.05).iter().filter(|found| **found).count(), 4);
    assert_eq!(discoveries(&[0.04, 0.03], 0.05), [true, true]);
    assert_eq!(discoveries(&[0.04, f64::NAN, 0.9], 0.05), [false, false, false]);
    assert_eq!(discoveries(&[], 0.05), [] as [bool; 0]);
}

#[test]
fn the_limit_is_that_of_the_stated_distribution() {
    let known = reference(&(0..1_000).map(f64::from).collect::<Vec<_>>());
    let drift = drift(&known, &(0..500).map(|i| f64::from(i) * 2.0).collect::<Vec<_>>());
    let by_chance = 1.0 / 1_000.0 + 1.0 / 500.0;
    assert_eq!(drift.psi_limit_by_chance, chi2_quantile(9, ALPHA) * by_chance);
    assert_eq!(drift.psi_p_value, chi2_tail(9, drift.psi / by_chance));
}

proptest! {
    #[test]
    fn windows_do_not_depend_on_order_or_batches(
        old in prop::collection::vec(prop::option::of(-1e3..1e3f64), 1..200),
        mut new in prop::collection::vec(prop::option::of(prop::num::f64::ANY), 0..200),
        cut in 0usize..200,
        integers in any::<bool>(),
    ) {
        let column = |rows: &[Option<f64>]| -> Box<dyn Array> {
            if integers {
                Box::new(rows.iter().map(|v| v.map(|v| v as i64 % 30)).collect::<Int64Array>())
            } else {
                Box::new(rows.iter().copied().collect::<Float64Array>())
            }
        };
        let reference = Reference::of(&*column(&old)).unwrap();
        let whole = window(&reference, &*column(&new));
        new.reverse();
        let (left, right) = new.split_at(cut.min(new.len()));
        let mut merged = window(&reference, &*column(right));
        merged.merge(&window(&reference, &*column(left)));
        prop_assert_eq!(&merged, &whole);
        prop_assert_eq!(whole.rows(), new.len() as u64);
        let drift = reference.compare(&whole);
        prop_assert!(drift.psi.is_finite() && drift.psi >= -1e-12);
        prop_assert!(drift.robust_distance.is_finite() && drift.robust_distance >= 0.0);
        prop_assert!((0.0..=1.0).contains(&drift.psi_p_value));
    }

    #[test]
    fn every_value_of_the_reference_is_counted(values in prop::collection::vec(prop::num::f64::ANY, 0..300)) {
        let reference = reference(&values);
        let Shape::Numeric(numeric) = &reference.shape else { panic!("doubles are numbers") };
        prop_assert_eq!(reference.n + reference.nulls, values.len() as u64);
        prop_assert_eq!(numeric.counts.iter().sum::<u64>(), reference.n);
        prop_assert_eq!(numeric.fine.iter().map(|(_, count)| count).sum::<u64>(), reference.n);
        prop_assert!(numeric.edges.windows(2).all(|pair| pair[0] < pair[1]));
        let drift = drift(&reference, &values);
        prop_assert!(!drift.breaches(0.0), "{:?}", drift);
    }
}
