//! How good scores are: area under the ROC curve, log loss, Brier score, calibration error, each with a 95 % interval, on
//! all rows and by slice.
//!
//! Sums are exact and rounded once ([`ExactSum`]), ranks are integers: the same rows in any order give the same bits. Rows
//! whose score is not a finite number are left out.

use std::collections::BTreeMap;

use num_bigint::BigUint;
use seawall_base::declare::MetricName;
use seawall_base::watch::{Comparison, Estimate, Evaluation, Period};

use super::delong::{Placements, Z_95};
use crate::aggregate::{ExactSum, split};

pub use super::ready::unmet;

/// Rows of each class that a slice must have.
pub const SLICE_ROWS_MIN: usize = 20;
/// Bins of the calibration error.
const CALIBRATION_BINS: usize = 10;
/// Probabilities are taken to be at least this far from 0 and 1 for the log loss.
const PROBABILITY_MIN: f64 = 1e-15;

/// Columns to slice by: name and each row's value.
pub type SliceColumns = [(String, Vec<Option<String>>)];

/// Area under the ROC curve with DeLong's 95 % interval, ties counting half; none without both classes.
pub fn auc(scores: &[f64], labels: &[bool]) -> Option<Estimate> {
    let rows = Rows::of(scores, labels);
    Placements::of(&rows.scores, &rows.labels).estimate()
}

/// Evaluates calibrated probabilities against labels. Columns to slice by have a value for each row.
pub fn evaluate(scores: &[f64], labels: &[bool], slices: &SliceColumns) -> Evaluation {
    let all = Rows::of(scores, labels);
    let slices = sliced(labels, slices).into_iter().filter_map(|(name, rows)| {
        let of_slice = Rows::pick(scores, labels, &rows);
        of_slice.large_enough().then(|| (name, of_slice.evaluation()))
    });
    Evaluation { slices: slices.collect(), ..all.evaluation() }
}

/// Compares champion and challenger on the same rows, those on which both have a finite score.
pub fn compare(
    window: Period,
    champion: &[f64],
    challenger: &[f64],
    labels: &[bool],
    slices: &SliceColumns,
) -> Comparison {
    assert_eq!(champion.len(), challenger.len(), "champion and challenger have scored the same rows");
    let both = |row: &usize| champion[*row].is_finite() && challenger[*row].is_finite();
    // A score that only one of them has is left out for both.
    let masked = |scores: &[f64]| -> Vec<f64> {
        (0..scores.len()).map(|row| if both(&row) { scores[row] } else { f64::NAN }).collect()
    };
    let (champion, challenger) = (masked(champion), masked(challenger));
    let gain = |rows: &[usize]| {
        let (old, new) = (Rows::pick(&champion, labels, rows), Rows::pick(&challenger, labels, rows));
        let gain = Placements::of(&new.scores, &new.labels).gain(&Placements::of(&old.scores, &old.labels));
        gain.filter(|_| old.large_enough())
    };
    let by_slice = sliced(labels, slices).into_iter().filter_map(|(name, rows)| Some((name, gain(&rows)?)));
    let (all_old, all_new) = (Rows::of(&champion, labels), Rows::of(&challenger, labels));
    let all_gain = Placements::of(&all_new.scores, &all_new.labels);
    Comparison {
        window,
        auc_gain: all_gain.gain(&Placements::of(&all_old.scores, &all_old.labels)),
        slices: by_slice.collect(),
        champion: evaluate(&champion, labels, slices),
        challenger: evaluate(&challenger, labels, slices),
    }
}

/// Rows by slice, `column=value`: columns in their order, values in theirs.
fn sliced(labels: &[bool], slices: &SliceColumns) -> Vec<(String, Vec<usize>)> {
    let mut all = Vec::new();
    for (column, values) in slices {
        assert_eq!(values.len(), labels.len(), "a column to slice by has a value for each row");
        let mut by_value: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (row, value) in values.iter().enumerate() {
            if let Some(value) = value {
                by_value.entry(value).or_default().push(row);
            }
        }
        all.extend(by_value.into_iter().map(|(value, rows)| (format!("{column}={value}"), rows)));
    }
    all
}

/// Rows with finite scores.
struct Rows {
    scores: Vec<f64>,
    labels: Vec<bool>,
}

impl Rows {
    fn of(scores: &[f64], labels: &[bool]) -> Rows {
        assert_eq!(scores.len(), labels.len(), "each score has a label");
        Rows::collect(scores.iter().copied().zip(labels.iter().copied()))
    }

    fn pick(scores: &[f64], labels: &[bool], rows: &[usize]) -> Rows {
        Rows::collect(rows.iter().map(|row| (scores[*row], labels[*row])))
    }

    fn collect(rows: impl Iterator<Item = (f64, bool)>) -> Rows {
        // Adding 0.0 makes one zero of two.
        let (scores, labels) = rows.filter(|(score, _)| score.is_finite()).map(|(score, l)| (score + 0.0, l)).unzip();
        Rows { scores, labels }
    }

    fn positives(&self) -> usize {
        self.labels.iter().filter(|label| **label).count()
    }

    fn large_enough(&self) -> bool {
        self.positives().min(self.labels.len() - self.positives()) >= SLICE_ROWS_MIN
    }

    /// Metrics of these rows, without slices.
    fn evaluation(&self) -> Evaluation {
        let metrics = [
            (MetricName::Auc, Placements::of(&self.scores, &self.labels).estimate()),
            (MetricName::LogLoss, self.mean(log_loss, f64::INFINITY)),
            (MetricName::Brier, self.mean(brier, 1.0)),
            (MetricName::CalibrationError, self.calibration_error()),
        ];
        Evaluation {
            rows: self.labels.len() as u64,
            positives: self.positives() as u64,
            metrics: metrics.into_iter().filter_map(|(name, estimate)| Some((name, estimate?))).collect(),
            slices: Vec::new(),
        }
    }

    /// Mean of a loss that is at least 0; none of fewer than two rows.
    fn mean(&self, loss: fn(f64, bool) -> f64, most: f64) -> Option<Estimate> {
        let terms: Vec<f64> = self.scores.iter().zip(&self.labels).map(|(score, label)| loss(*score, *label)).collect();
        let (value, variance) = mean_and_variance(&terms)?;
        Some(estimate(value, variance / terms.len() as f64, most))
    }

    /// Expected calibration error: the mean over bins of equal count, weighted by rows, of the absolute difference of
    /// mean probability and share of positives. Rows of equal score stay together, in the bin of the middle one. The
    /// interval is that of a sum of independent bin means.
    fn calibration_error(&self) -> Option<Estimate> {
        let rows = self.scores.len();
        if rows < 2 {
            return None;
        }
        let mut order: Vec<usize> = (0..rows).collect();
        order.sort_unstable_by(|a, b| self.scores[*a].total_cmp(&self.scores[*b]));
        let mut bins: Vec<Vec<f64>> = vec![Vec::new(); CALIBRATION_BINS];
        let mut first = 0;
        for tied in order.chunk_by(|a, b| self.scores[*a] == self.scores[*b]) {
            let end = first + tied.len();
            let bin = ((first + end) * CALIBRATION_BINS / (2 * rows)).min(CALIBRATION_BINS - 1);
            bins[bin].extend(tied.iter().map(|row| self.scores[*row] - f64::from(u8::from(self.labels[*row]))));
            first = end;
        }
        let (mut error, mut variance) = (0.0, 0.0);
        for bin in &bins {
            let weight = bin.len() as f64 / rows as f64;
            error += weight * mean(bin).unwrap_or(0.0).abs();
            let spread = mean_and_variance(bin).map_or(0.0, |(_, variance)| variance);
            variance += weight * spread / rows as f64;
        }
        Some(estimate(error, variance, 1.0))
    }
}

fn log_loss(probability: f64, label: bool) -> f64 {
    let right = if label { probability } else { 1.0 - probability };
    -right.clamp(PROBABILITY_MIN, 1.0 - PROBABILITY_MIN).ln()
}

fn brier(probability: f64, label: bool) -> f64 {
    let difference = probability - f64::from(u8::from(label));
    difference * difference
}

/// An estimate between 0 and `most` with its normal 95 % interval.
fn estimate(value: f64, variance: f64, most: f64) -> Estimate {
    let half = Z_95 * variance.sqrt();
    Estimate { value, low: (value - half).max(0.0), high: (value + half).min(most).max(value) }
}

fn exact_sum(terms: impl Iterator<Item = f64>) -> ExactSum {
    let mut sum = ExactSum::default();
    for term in terms.filter(|term| term.is_finite()) {
        let (mantissa, exponent) = split(term);
        sum.add(i128::from(mantissa), exponent);
    }
    sum
}

/// Mean, rounded once; none of no terms.
fn mean(terms: &[f64]) -> Option<f64> {
    (!terms.is_empty()).then(|| exact_sum(terms.iter().copied()).over(&BigUint::from(terms.len())))
}

/// Mean and unbiased variance; none of fewer than two terms.
fn mean_and_variance(terms: &[f64]) -> Option<(f64, f64)> {
    let mean = mean(terms).filter(|_| terms.len() >= 2)?;
    let squares = exact_sum(terms.iter().map(|term| (term - mean) * (term - mean)));
    Some((mean, squares.over(&BigUint::from(terms.len() - 1))))
}
