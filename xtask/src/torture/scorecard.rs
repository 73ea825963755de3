//! The scorecard: per fault the promise, the trials, what was lost, doubled or silently wrong, and the honest bound.

use serde::{Deserialize, Serialize};

use super::book::Findings;

/// What a run found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scorecard {
    /// Version of this format.
    pub version: u32,
    /// `short` or `long`.
    pub form: String,
    /// The day it ended, UTC.
    pub date: String,
    /// The commits of the tree that ran, in order.
    pub commits: Vec<String>,
    /// What it ran on.
    pub machine: String,
    /// Acknowledged rows that are gone.
    pub lost: u64,
    /// Rows that are there too often.
    pub duplicated: u64,
    /// Answers that are wrong without an error.
    pub silent: u64,
    /// Rows that were acknowledged while faults were injected.
    pub acknowledged: u64,
    /// One per harness.
    pub rows: Vec<Row>,
    /// Whether the harnesses can fail.
    pub sabotage: Sabotage,
}

/// One harness.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Name of the harness.
    pub name: String,
    /// What is done to the system.
    pub fault: String,
    /// What must hold nevertheless.
    pub promise: String,
    /// How often it was done.
    pub trials: u64,
    /// Trials in which something was wrong.
    pub failed: u64,
    /// Acknowledged rows that are gone.
    pub losses: u64,
    /// Rows that are there too often.
    pub duplicates: u64,
    /// Answers that are wrong without an error.
    pub silent: u64,
    /// Rows that were acknowledged.
    pub acknowledged: u64,
    /// With 95 % confidence a trial fails less often than this.
    pub bound_95: f64,
    /// Seconds it took.
    pub seconds: u64,
    /// The seed of its first trial.
    pub seed: u64,
    /// The commits of the tree that ran, in order.
    #[serde(default)]
    pub commits: Vec<String>,
    /// Why it did not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    /// Numbers that belong to this harness alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The first findings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
}

/// Planted bugs, and how many of them turned a harness red.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sabotage {
    /// Bugs that were planted.
    pub planted: u64,
    /// Bugs that a harness found.
    pub caught: u64,
    /// Each bug with the harness that was to find it.
    #[serde(default)]
    pub bugs: Vec<Bug>,
    /// Why it did not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
}

/// A planted bug.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bug {
    /// Its name.
    pub name: String,
    /// The harness that was run against it.
    pub harness: String,
    /// Whether that turned red.
    pub caught: bool,
    /// Whether the machine lacks what that harness needs, so that it did not run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skipped: bool,
    /// The first finding, or why there is none.
    pub finding: String,
}

impl Row {
    /// Adds the outcome of a trial.
    pub fn note(&mut self, findings: &Findings) {
        self.failed += u64::from(!findings.is_clean());
        self.losses += findings.lost;
        self.duplicates += findings.duplicated;
        self.silent += findings.silent;
        let room = 5usize.saturating_sub(self.examples.len());
        self.examples.extend(findings.examples.iter().take(room).cloned());
        self.bound_95 = bound_95(self.failed.min(self.trials), self.trials);
    }
}

impl Scorecard {
    /// Sums over the rows.
    pub fn sum(&mut self) {
        let sum = |of: fn(&Row) -> u64| self.rows.iter().map(of).sum();
        (self.lost, self.duplicated) = (sum(|row| row.losses), sum(|row| row.duplicates));
        (self.silent, self.acknowledged) = (sum(|row| row.silent), sum(|row| row.acknowledged));
    }

    /// Whether nothing is wrong: nothing lost, doubled or silent, and every bug caught that was looked for.
    pub fn is_clean(&self) -> bool {
        let failed: u64 = self.rows.iter().map(|row| row.failed).sum();
        let missed = self.sabotage.bugs.iter().any(|bug| !bug.caught && !bug.skipped);
        self.lost + self.duplicated + self.silent + failed == 0 && !missed
    }
}

/// The greatest rate of failure that `failed` of `trials` leave possible, with 95 % confidence (Clopper and Pearson, one
/// sided): for no failure it is close to three divided by the trials.
pub fn bound_95(failed: u64, trials: u64) -> f64 {
    if failed >= trials {
        return 1.0;
    }
    let (mut low, mut high) = (0.0_f64, 1.0_f64);
    for _ in 0..60 {
        let rate = f64::midpoint(low, high);
        if at_most(failed, trials, rate) > 0.05 { low = rate } else { high = rate }
    }
    high
}

/// The probability of at most `failed` failures in `trials` trials that fail with `rate`.
fn at_most(failed: u64, trials: u64, rate: f64) -> f64 {
    let mut logarithm = trials as f64 * (1.0 - rate).ln();
    let mut sum = logarithm.exp();
    for k in 1..=failed {
        logarithm += ((trials - k + 1) as f64 / k as f64).ln() + rate.ln() - (1.0 - rate).ln();
        sum += logarithm.exp();
    }
    sum
}

#[cfg(test)]
mod tests;
