//! Metrics against slow and obvious computations, and against a change of order.

use proptest::prelude::*;
use seawall_base::Instant;
use seawall_base::declare::{Bounds, MetricName, ReadyWhen};
use seawall_base::watch::{Estimate, Period};

use super::super::evaluate::*;
use crate::drift::tests::draws::Draws;

const Z: f64 = 1.959963984540054;
const WINDOW: Period = Period { from: Instant(0), to: Instant(1) };

fn close(got: f64, expected: f64) {
    assert!((got - expected).abs() <= 1e-9 * expected.abs().max(1.0), "{got} is not {expected}");
}

/// 1, 1/2 or 0: whether the positive row is above the negative one.
fn kernel(positive: f64, negative: f64) -> f64 {
    if positive > negative {
        1.0
    } else if positive == negative {
        0.5
    } else {
        0.0
    }
}

/// Structural components by the definition, all pairs: of positives, then of negatives.
fn components(scores: &[f64], labels: &[bool]) -> (Vec<f64>, Vec<f64>) {
    let of = |class: bool| -> Vec<f64> {
        scores.iter().zip(labels).filter(|(_, label)| **label == class).map(|(score, _)| *score).collect()
    };
    let (positives, negatives) = (of(true), of(false));
    let share = |sum: f64, count: usize| sum / count as f64;
    let v10 = positives.iter().map(|p| share(negatives.iter().map(|n| kernel(*p, *n)).sum(), negatives.len()));
    let v01 = negatives.iter().map(|n| share(positives.iter().map(|p| kernel(*p, *n)).sum(), positives.len()));
    (v10.collect(), v01.collect())
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn variance(values: &[f64]) -> f64 {
    values.iter().map(|value| (value - mean(values)).powi(2)).sum::<f64>() / (values.len() as f64 - 1.0)
}

/// Two models' scores with ties, and labels that are more likely positive the higher both are.
fn labelled() -> impl Strategy<Value = (Vec<f64>, Vec<f64>, Vec<bool>)> {
    let row = (0u32..12, 0u32..12, 0u32..12).prop_map(|(a, b, luck)| {
        let (a_score, b_score) = (f64::from(a) / 12.0, f64::from(b) / 7.3 / 12.0);
        (a_score, b_score, luck < (a + b).div_ceil(2))
    });
    prop::collection::vec(row, 0..80).prop_map(|rows| {
        let scores = rows.iter().map(|row| row.0).collect();
        let others = rows.iter().map(|row| row.1).collect();
        (scores, others, rows.iter().map(|row| row.2).collect())
    })
}

proptest! {
    #[test]
    fn auc_and_its_variance_meet_their_definitions((scores, _, labels) in labelled()) {
        let (v10, v01) = components(&scores, &labels);
        let got = auc(&scores, &labels);
        prop_assert_eq!(got.is_some(), !v10.is_empty() && !v01.is_empty());
        if let Some(Estimate { value, low, high }) = got {
            close(value, mean(&v10));
            prop_assert!((0.0..=1.0).contains(&low) && low <= value && value <= high && high <= 1.0);
            if v10.len() > 1 && v01.len() > 1 {
                let error = (variance(&v10) / v10.len() as f64 + variance(&v01) / v01.len() as f64).sqrt();
                if error > 1e-12 {
                    close(low, (mean(&v10) - Z * error).max(0.0));
                    close(high, (mean(&v10) + Z * error).min(1.0));
                }
            }
        }
    }

    #[test]
    fn a_gain_meets_its_definition((champion, challenger, labels) in labelled()) {
        let (old, new) = (components(&champion, &labels), components(&challenger, &labels));
        let minus = |a: &[f64], b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| a - b).collect() };
        let (v10, v01) = (minus(&new.0, &old.0), minus(&new.1, &old.1));
        let gain = compare(WINDOW, &champion, &challenger, &labels, &[]).auc_gain;
        prop_assert_eq!(gain.is_some(), v10.len() > 1 && v01.len() > 1);
        if let Some(gain) = gain {
            let error = (variance(&v10) / v10.len() as f64 + variance(&v01) / v01.len() as f64).sqrt();
            close(gain.value, mean(&v10));
            close(gain.low, mean(&v10) - Z * error);
            close(gain.high, mean(&v10) + Z * error);
        }
    }

    #[test]
    fn the_order_of_rows_changes_no_bit((scores, others, labels) in labelled(), seed in any::<u64>()) {
        let slices = |order: &[usize]| {
            let values = order.iter().map(|row| (row % 3 > 0).then(|| format!("{}", row % 2))).collect();
            vec![("parity".to_owned(), values)]
        };
        let order: Vec<usize> = (0..scores.len()).collect();
        let mut shuffled = order.clone();
        let mut draws = Draws::new(seed);
        for last in (1..shuffled.len()).rev() {
            shuffled.swap(last, draws.below(last as u64 + 1) as usize);
        }
        let pick = |values: &[f64]| -> Vec<f64> { shuffled.iter().map(|row| values[*row]).collect() };
        let shuffled_labels: Vec<bool> = shuffled.iter().map(|row| labels[*row]).collect();
        let straight = compare(WINDOW, &scores, &others, &labels, &slices(&order));
        let mixed = compare(WINDOW, &pick(&scores), &pick(&others), &shuffled_labels, &slices(&shuffled));
        prop_assert_eq!(serde_json::to_string(&straight).unwrap(), serde_json::to_string(&mixed).unwrap());
    }

    #[test]
    fn losses_meet_their_definitions((scores, _, labels) in labelled()) {
        let evaluation = evaluate(&scores, &labels, &[]);
        prop_assert_eq!(evaluation.rows, scores.len() as u64);
        let losses = |loss: fn(f64, bool) -> f64| -> Vec<f64> {
            scores.iter().zip(&labels).map(|(score, label)| loss(*score, *label)).collect()
        };
        let brier = losses(|p, y| (p - f64::from(u8::from(y))).powi(2));
        let log = losses(|p, y| -(if y { p } else { 1.0 - p }).clamp(1e-15, 1.0 - 1e-15).ln());
        for (metric, terms) in [(MetricName::Brier, brier), (MetricName::LogLoss, log)] {
            let Some(got) = evaluation.metric(metric) else {
                prop_assert!(terms.len() < 2);
                continue;
            };
            close(got.value, mean(&terms));
            close(got.low, (mean(&terms) - Z * (variance(&terms) / terms.len() as f64).sqrt()).max(0.0));
        }
    }
}

#[test]
fn auc_of_known_rows() {
    let check = |scores: &[f64], labels: &[bool], expected: Option<(f64, f64, f64)>| {
        let got = auc(scores, labels).map(|auc| (auc.value, auc.low, auc.high));
        assert_eq!(got, expected, "{scores:?} {labels:?}");
    };
    check(&[], &[], None);
    check(&[0.1, 0.2], &[true, true], None);
    // One row in a class tells nothing about chance.
    check(&[0.1, 0.2, 0.3], &[false, false, true], Some((1.0, 0.0, 1.0)));
    check(&[0.5, 0.5], &[false, true], Some((0.5, 0.0, 1.0)));
    // A score that is no number is no row; zero is zero.
    check(&[0.1, f64::NAN, 0.3], &[false, true, true], Some((1.0, 0.0, 1.0)));
    check(&[0.0, -0.0], &[false, true], Some((0.5, 0.0, 1.0)));
    // Without exception among two and two: the interval is not a point.
    let perfect = auc(&[0.1, 0.2, 0.3, 0.4], &[false, false, true, true]).unwrap();
    close(perfect.low, 0.025_f64.sqrt());
    assert_eq!((perfect.value, perfect.high), (1.0, 1.0));
}

/// Rows whose label is positive with the probability that is their score.
fn calibrated(rows: usize, seed: u64) -> (Vec<f64>, Vec<bool>) {
    let mut draws = Draws::new(seed);
    let row = |_| {
        let probability = draws.unit();
        (probability, draws.unit() < probability)
    };
    (0..rows).map(row).unzip()
}

#[test]
fn calibration_error_tells_probabilities_from_scores() {
    let (scores, labels) = calibrated(20_000, 1);
    let error =
        |scores: &[f64], labels: &[bool]| evaluate(scores, labels, &[]).metric(MetricName::CalibrationError).unwrap();
    assert!(error(&scores, &labels).value < 0.015);
    let squared: Vec<f64> = scores.iter().map(|score| score * score).collect();
    // The mean of p - p^2 over the unit interval is 1/6.
    let wrong = error(&squared, &labels);
    assert!((wrong.value - 1.0 / 6.0).abs() < 0.01 && wrong.low > 0.15 && wrong.high < 0.18, "{wrong:?}");
    // Ties stay together: one score for all rows is right on average, or is not.
    let three_tenths: Vec<bool> = (0..1_000).map(|row| row < 300).collect();
    assert!(error(&[0.3; 1_000], &three_tenths).value < 1e-12);
    close(error(&[0.5; 1_000], &three_tenths).value, 0.2);
    close(error(&[0.0, 1.0, 0.0, 1.0], &[false, true, false, true]).value, 0.0);
}

#[test]
fn intervals_hold_the_truth_as_often_as_they_say() {
    // Normal scores one standard deviation apart: the normal distribution at the square root of a half.
    let truth = 0.760_249_938_906_523_7;
    let mut draws = Draws::new(17);
    let mut inside = 0;
    for _ in 0..1_000 {
        let scores: Vec<f64> = (0..200).map(|row| draws.normal() + f64::from(u8::from(row % 4 == 0))).collect();
        let labels: Vec<bool> = (0..200).map(|row| row % 4 == 0).collect();
        let auc = auc(&scores, &labels).unwrap();
        inside += u32::from(auc.low <= truth && truth <= auc.high);
    }
    assert!((930..=970).contains(&inside), "{inside} of 1000");
}

#[test]
fn slices_need_rows_of_each_class() {
    let (scores, labels) = calibrated(400, 2);
    let country = |row: usize| match row {
        0..30 => Some("FR".to_owned()),
        30..60 => None,
        _ => Some("DE".to_owned()),
    };
    let slices = [("country".to_owned(), (0..400).map(country).collect())];
    let evaluation = evaluate(&scores, &labels, &slices);
    let names: Vec<&str> = evaluation.slices.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["country=DE"]);
    assert_eq!(evaluation.slices[0].1, evaluate(&scores[60..], &labels[60..], &[]));
    let comparison = compare(WINDOW, &scores, &scores, &labels, &slices);
    assert_eq!(comparison.slices, [("country=DE".to_owned(), Estimate { value: 0.0, low: 0.0, high: 0.0 })]);
    assert_eq!((&comparison.champion, comparison.window), (&evaluation, WINDOW));
}

#[test]
fn rows_that_only_one_model_scored_are_compared_for_neither() {
    let (mut champion, labels) = calibrated(100, 3);
    let challenger: Vec<f64> = champion.iter().map(|score| score * 0.9).collect();
    champion[7] = f64::NAN;
    let comparison = compare(WINDOW, &champion, &challenger, &labels, &[]);
    assert_eq!((comparison.champion.rows, comparison.challenger.rows), (99, 99));
    assert_eq!(comparison.auc_gain.unwrap().value, 0.0);
}

#[test]
fn unmet_bounds_are_told_with_their_numbers() {
    let (scores, labels) = calibrated(400, 4);
    let column = |name: &str| (name.to_owned(), vec![Some("x".to_owned()); 400]);
    let evaluation = evaluate(&scores, &labels, &[column("a"), column("b")]);
    let ready = |metric, min, max| ReadyWhen { bounds: vec![(metric, Bounds { min, max })], by: vec!["b".to_owned()] };
    let check = |ready: ReadyWhen, expected: &[&str]| {
        let got: Vec<String> = unmet(&evaluation, &ready).into_iter().map(|unmet| unmet.what).collect();
        assert_eq!(got, expected);
    };
    check(ReadyWhen::default(), &[]);
    check(ready(MetricName::Auc, Some(0.7), None), &[]);
    check(ready(MetricName::Brier, None, Some(0.3)), &[]);
    check(ready(MetricName::Auc, Some(0.95), None), &["auc at least 0.95", "auc at least 0.95 where b=x"]);
    check(ready(MetricName::LogLoss, None, Some(0.1)), &["log_loss at most 0.1", "log_loss at most 0.1 where b=x"]);
    let one_class = evaluate(&[0.2, 0.3], &[false, false], &[]);
    let auc = unmet(&one_class, &ready(MetricName::Auc, Some(0.5), None));
    assert_eq!(auc[0].why, "it cannot be computed on 2 rows, 0 of them positive");
}
