//! The area under the ROC curve with its variance, and the difference of two on the same rows.
//!
//! E. DeLong, D. DeLong and D. Clarke-Pearson, Comparing the areas under two or more correlated receiver operating
//! characteristic curves, Biometrics 44(3), 1988; computed from midranks in O(n log n) as in X. Sun and W. Xu, Fast
//! implementation of DeLong's algorithm, IEEE Signal Processing Letters 21(11), 2014. Everything up to the last division
//! is done in integers, so no order of the rows can change a bit.

use seawall_base::watch::Estimate;

/// Two-sided 95 % quantile of the standard normal distribution.
pub(super) const Z_95: f64 = 1.959963984540054;

/// For each row, twice the number of rows of the other class that it is on the right side of; ties count half.
pub(super) struct Placements {
    /// Rows of the positive class, in the order of the rows.
    positives: Vec<i64>,
    /// Rows of the negative class, in the order of the rows.
    negatives: Vec<i64>,
}

impl Placements {
    /// Places each row; no score is NaN.
    pub(super) fn of(scores: &[f64], labels: &[bool]) -> Placements {
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_unstable_by(|a, b| scores[*a].total_cmp(&scores[*b]));
        let all_positives = labels.iter().filter(|label| **label).count() as i64;
        let (mut positives_below, mut negatives_below) = (0, 0);
        let mut placed = vec![0; scores.len()];
        for tied in order.chunk_by(|a, b| scores[*a] == scores[*b]) {
            let positives = tied.iter().filter(|row| labels[**row]).count() as i64;
            let negatives = tied.len() as i64 - positives;
            let positives_above = all_positives - positives_below - positives;
            for row in tied {
                placed[*row] =
                    if labels[*row] { 2 * negatives_below + negatives } else { 2 * positives_above + positives };
            }
            positives_below += positives;
            negatives_below += negatives;
        }
        let of_class = |class: bool| {
            let rows = placed.iter().zip(labels).filter(|(_, label)| **label == class);
            rows.map(|(place, _)| *place).collect()
        };
        Placements { positives: of_class(true), negatives: of_class(false) }
    }

    /// Pairs of a positive and a negative row.
    fn pairs(&self) -> f64 {
        self.positives.len() as f64 * self.negatives.len() as f64
    }

    fn area(&self) -> f64 {
        let twice: i128 = self.positives.iter().map(|place| i128::from(*place)).sum();
        twice as f64 / (2.0 * self.pairs())
    }

    fn has_both_classes(&self) -> bool {
        !self.positives.is_empty() && !self.negatives.is_empty()
    }

    /// The area with its 95 % interval; none without both classes.
    ///
    /// With one row in a class the interval is everything. If the classes are separated without exception, DeLong's
    /// variance is zero; the interval then reaches to where the smaller class would show no exception in one of forty
    /// samples, `0.025 ^ (1 / size)`.
    pub(super) fn estimate(&self) -> Option<Estimate> {
        if !self.has_both_classes() {
            return None;
        }
        let area = self.area();
        let smaller = self.positives.len().min(self.negatives.len()) as f64;
        let variance = self.variance(&self.positives, &self.negatives);
        let half = variance.map_or(1.0, |variance| Z_95 * variance.sqrt());
        let exception = if half == 0.0 { 1.0 - 0.025_f64.powf(smaller.recip()) } else { 0.0 };
        let half = half.max(exception);
        Some(Estimate { value: area, low: (area - half).max(0.0), high: (area + half).min(1.0) })
    }

    /// This area minus another on the same rows, paired; none with fewer than two rows in a class.
    pub(super) fn gain(&self, other: &Placements) -> Option<Estimate> {
        let minus =
            |mine: &[i64], theirs: &[i64]| -> Vec<i64> { mine.iter().zip(theirs).map(|(a, b)| a - b).collect() };
        let (positives, negatives) =
            (minus(&self.positives, &other.positives), minus(&self.negatives, &other.negatives));
        let half = Z_95 * self.variance(&positives, &negatives)?.sqrt();
        let twice: i128 = positives.iter().map(|place| i128::from(*place)).sum();
        let value = twice as f64 / (2.0 * self.pairs());
        Some(Estimate { value, low: value - half, high: value + half })
    }

    /// Variance of an area or of a difference of areas, by its structural components.
    fn variance(&self, positives: &[i64], negatives: &[i64]) -> Option<f64> {
        let (p, n) = (self.positives.len() as f64, self.negatives.len() as f64);
        Some(sample_variance(positives)? / (4.0 * n * n * p) + sample_variance(negatives)? / (4.0 * p * p * n))
    }
}

/// Unbiased variance, from exact sums; none of fewer than two values.
fn sample_variance(values: &[i64]) -> Option<f64> {
    let count = i128::try_from(values.len()).ok().filter(|count| *count >= 2)?;
    let sum: i128 = values.iter().map(|value| i128::from(*value)).sum();
    let squares: i128 = values.iter().map(|value| i128::from(*value) * i128::from(*value)).sum();
    Some((count * squares - sum * sum) as f64 / (count * (count - 1)) as f64)
}
