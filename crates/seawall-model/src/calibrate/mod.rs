//! From raw scores (log-odds) to probabilities: as they are, by Platt's logistic regression, or by a step function.
//!
//! A calibration is fitted on rows that the trainer did not see: on those it did see its scores are too sure.

use seawall_base::declare::Calibration;
use seawall_base::{Error, Result};
use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// Newton steps of Platt's regression; it needs about ten.
const STEPS_MAX: usize = 100;

/// From raw scores to probabilities.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case", deny_unknown_fields)]
pub enum Calibrator {
    /// The probability that the raw score stands for.
    None {},
    /// The probability that `slope * raw + intercept` stands for.
    Platt {
        /// Steepness.
        slope: f64,
        /// Shift in log-odds.
        intercept: f64,
    },
    /// The value of the last step that begins at or below the raw score; the first value below all steps.
    Isotonic {
        /// Raw scores where the steps begin, rising.
        starts: Vec<f64>,
        /// Probabilities of the steps, never falling.
        values: Vec<f64>,
    },
}

impl Calibrator {
    /// Fits `method` on raw scores and outcomes.
    ///
    /// # Errors
    /// `SW1005` when the outcomes are not of both classes.
    pub fn fit(method: Calibration, raw: &[f64], positive: &[bool]) -> Result<Calibrator> {
        if method == Calibration::None {
            return Ok(Calibrator::None {});
        }
        let positives = positive.iter().filter(|positive| **positive).count();
        if positives == 0 || positives == positive.len() {
            let message = format!(
                "the newest fifth of the training rows, which the calibration is fitted on, has {positives} positive \
                 of {} rows",
                positive.len()
            );
            return Err(Error::invalid("SW1005", message)
                .hint("train on a longer period, or set `calibration: none` for the model"));
        }
        Ok(match method {
            Calibration::Platt => platt(raw, positive),
            Calibration::Isotonic | Calibration::None => isotonic(raw, positive),
        })
    }

    /// The probability that `raw` stands for.
    pub fn probability(&self, raw: f64) -> f64 {
        match self {
            Calibrator::None {} => sigmoid(raw),
            Calibrator::Platt { slope, intercept } => sigmoid(slope * raw + intercept),
            Calibrator::Isotonic { starts, values } => {
                let step = starts.partition_point(|start| *start <= raw);
                values[step.saturating_sub(1)]
            }
        }
    }

    /// Whether a calibrator that was read makes sense; else why not.
    pub fn check(&self) -> Result<(), &'static str> {
        match self {
            Calibrator::None {} => Ok(()),
            Calibrator::Platt { slope, intercept } if slope.is_finite() && intercept.is_finite() => Ok(()),
            Calibrator::Isotonic { starts, values }
                if !starts.is_empty()
                    && starts.len() == values.len()
                    && starts.iter().all(|start| start.is_finite())
                    && starts.windows(2).all(|pair| pair[0] < pair[1])
                    && values.iter().all(|value| (0.0..=1.0).contains(value))
                    && values.windows(2).all(|pair| pair[0] <= pair[1]) =>
            {
                Ok(())
            }
            Calibrator::Platt { .. } | Calibrator::Isotonic { .. } => Err("its calibration is damaged"),
        }
    }
}

/// The probability of log-odds, without overflow on either side.
pub fn sigmoid(raw: f64) -> f64 {
    if raw >= 0.0 {
        1.0 / (1.0 + (-raw).exp())
    } else {
        let odds = raw.exp();
        odds / (1.0 + odds)
    }
}

/// Newton's method with halved steps on the cross-entropy against Platt's targets, which keep a separable score from
/// becoming certain (Lin, Lin and Weng, 2007).
fn platt(raw: &[f64], positive: &[bool]) -> Calibrator {
    let positives = positive.iter().filter(|positive| **positive).count() as f64;
    let negatives = positive.len() as f64 - positives;
    let (high, low) = ((positives + 1.0) / (positives + 2.0), 1.0 / (negatives + 2.0));
    let target: Vec<f64> = positive.iter().map(|positive| if *positive { high } else { low }).collect();
    let (mut slope, mut intercept) = (0.0, ((positives + 1.0) / (negatives + 1.0)).ln());
    let mut loss = cross_entropy(raw, &target, slope, intercept);
    for _ in 0..STEPS_MAX {
        let (by_slope, by_intercept) = newton_step(raw, &target, slope, intercept);
        let mut size = 1.0;
        let better = loop {
            let (next_slope, next_intercept) = (slope - size * by_slope, intercept - size * by_intercept);
            let next = cross_entropy(raw, &target, next_slope, next_intercept);
            if next < loss {
                let gained = loss - next;
                (slope, intercept, loss) = (next_slope, next_intercept, next);
                break gained > 1e-12 * loss.abs();
            }
            size /= 2.0;
            if size < 1e-10 {
                break false;
            }
        };
        if !better {
            break;
        }
    }
    Calibrator::Platt { slope, intercept }
}

/// The inverse Hessian times the gradient.
fn newton_step(raw: &[f64], target: &[f64], slope: f64, intercept: f64) -> (f64, f64) {
    // A small ridge keeps the matrix invertible when all scores are equal.
    let (mut h11, mut h22, mut h12, mut g1, mut g2) = (1e-12, 1e-12, 0.0, 0.0, 0.0);
    for (raw, target) in raw.iter().zip(target) {
        let p = sigmoid(slope * raw + intercept);
        let weight = p * (1.0 - p);
        h11 += raw * raw * weight;
        h22 += weight;
        h12 += raw * weight;
        g1 += raw * (p - target);
        g2 += p - target;
    }
    let determinant = h11 * h22 - h12 * h12;
    if determinant.abs() < f64::MIN_POSITIVE {
        return (g1, g2);
    }
    ((h22 * g1 - h12 * g2) / determinant, (h11 * g2 - h12 * g1) / determinant)
}

fn cross_entropy(raw: &[f64], target: &[f64], slope: f64, intercept: f64) -> f64 {
    let loss = |(raw, target): (&f64, &f64)| {
        let z = slope * raw + intercept;
        // log(1 + e^z) - target * z, without overflow.
        z.max(0.0) + (-z.abs()).exp().ln_1p() - target * z
    };
    raw.iter().zip(target).map(loss).sum()
}

/// Pool adjacent violators. No step claims certainty: values stay within `1 / (n + 2)` of 0 and 1.
fn isotonic(raw: &[f64], positive: &[bool]) -> Calibrator {
    let mut order: Vec<usize> = (0..raw.len()).collect();
    order.sort_by(|a, b| raw[*a].total_cmp(&raw[*b]));
    let mut blocks: Vec<Block> = Vec::new();
    for at in order {
        let row = Block { start: raw[at], rows: 1.0, positives: f64::from(u8::from(positive[at])) };
        match blocks.last_mut() {
            Some(last) if last.start == row.start => last.absorb(&row),
            _ => blocks.push(row),
        }
    }
    let mut pooled: Vec<Block> = Vec::new();
    for block in blocks {
        pooled.push(block);
        while let [.., before, last] = pooled.as_mut_slice() {
            if before.mean() < last.mean() {
                break;
            }
            before.absorb(last);
            pooled.pop();
        }
    }
    let edge = 1.0 / (raw.len() as f64 + 2.0);
    let values = pooled.iter().map(|block| block.mean().clamp(edge, 1.0 - edge)).collect();
    Calibrator::Isotonic { starts: pooled.iter().map(|block| block.start).collect(), values }
}

/// Rows with neighbouring scores that get one probability.
struct Block {
    start: f64,
    rows: f64,
    positives: f64,
}

impl Block {
    fn mean(&self) -> f64 {
        self.positives / self.rows
    }

    fn absorb(&mut self, other: &Block) {
        self.rows += other.rows;
        self.positives += other.positives;
    }
}
