//! What is served against what was trained on: drift of every input of a champion, measured once a day over a week.

use std::collections::{BTreeMap, VecDeque};

use arrow::array::RecordBatch;
use seawall_base::error::Result;
use seawall_base::watch::{Period, Signal};
use seawall_base::{Error, Instant, Span};
use seawall_kernel::drift::profile::{Reference, Window};
use serde::{Deserialize, Serialize};

/// Days over which served vectors are compared with the training rows: whole weeks, because weekdays differ.
const DAYS: usize = 7;

/// Distribution of each input in the rows that a model version learned from.
pub(crate) type Baseline = BTreeMap<String, Reference>;

/// The baseline of training rows.
pub(crate) fn baseline(rows: &RecordBatch, inputs: &[String]) -> Result<Baseline> {
    let mut baseline = Baseline::new();
    for (name, values) in inputs.iter().zip(crate::revision::project(rows, inputs)?.columns()) {
        if let Some(reference) = Reference::of(values.as_ref()) {
            baseline.insert(name.clone(), reference);
        }
    }
    Ok(baseline)
}

/// Reads a baseline back from the registry.
pub(crate) fn read_baseline(kept: &serde_json::Value) -> Result<Baseline> {
    serde_json::from_value(kept.clone())
        .map_err(|e| Error::corrupt("SW0842", "the baseline of a model version is damaged").because(e))
}

/// Served vectors of one model version, day by day.
#[derive(Debug)]
pub(super) struct ServedWatch {
    baseline: Baseline,
    served: Served,
}

/// What is counted against the baseline of a model version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Served {
    /// The version whose baseline is used.
    pub version: u32,
    /// Since when this version is champion: earlier vectors do not count.
    since: Instant,
    days: VecDeque<(i64, BTreeMap<String, Window>)>,
}

impl ServedWatch {
    pub(super) fn new(version: u32, since: Instant, baseline: Baseline) -> Self {
        Self::restored(Served { version, since, days: VecDeque::new() }, baseline)
    }

    /// Goes on with what was counted before.
    pub(super) fn restored(served: Served, baseline: Baseline) -> Self {
        ServedWatch { baseline, served }
    }

    /// What was counted.
    pub(super) fn served(&self) -> &Served {
        &self.served
    }

    /// Vectors that were served before do not count.
    pub(super) fn counts_from(&self) -> Instant {
        self.served.since.floor(Span::DAY)
    }

    /// Takes served vectors in.
    pub(super) fn fold(&mut self, rows: &RecordBatch) -> Result<()> {
        let at = crate::revision::instants(rows, "_at")?;
        let mut start = 0;
        while start < rows.num_rows() {
            let day = at.value(start).div_euclid(Span::DAY.0);
            let mut end = start + 1;
            while end < rows.num_rows() && at.value(end).div_euclid(Span::DAY.0) == day {
                end += 1;
            }
            if Instant((day + 1) * Span::DAY.0) > self.served.since {
                self.fold_day(day, &rows.slice(start, end - start));
            }
            start = end;
        }
        Ok(())
    }

    fn fold_day(&mut self, day: i64, rows: &RecordBatch) {
        if self.served.days.back().is_none_or(|(last, _)| *last != day) {
            self.served.days.push_back((day, BTreeMap::new()));
            while self.served.days.len() > 2 * DAYS {
                self.served.days.pop_front();
            }
        }
        let Some((_, windows)) = self.served.days.back_mut() else { return };
        for (name, reference) in &self.baseline {
            if let Some(values) = rows.column_by_name(name) {
                let window = windows.entry(name.clone()).or_insert_with(|| Window::new(reference));
                window.add(reference, values.as_ref());
            }
        }
    }

    /// Drift of every input over the last whole days; nothing before a full week was served.
    pub(super) fn signals(&self, model: &str, now: Instant, psi_max: f64) -> Vec<Signal> {
        let today = now.0.div_euclid(Span::DAY.0);
        let days: Vec<_> =
            self.served.days.iter().filter(|(day, _)| (today - DAYS as i64..today).contains(day)).collect();
        let window = Period { from: Instant((today - DAYS as i64) * Span::DAY.0), to: Instant(today * Span::DAY.0) };
        if days.len() < DAYS || window.from < self.served.since {
            return Vec::new();
        }
        let mut signals = Vec::new();
        for (input, reference) in &self.baseline {
            let mut merged = Window::new(reference);
            for (_, windows) in &days {
                if let Some(of_day) = windows.get(input) {
                    merged.merge(of_day);
                }
            }
            let drift = reference.compare(&merged);
            let signal = |metric: &str, value: f64, limit: f64, breached: bool| Signal {
                at: now,
                metric: metric.to_owned(),
                subject: model.to_owned(),
                column: Some(input.clone()),
                slice: None,
                value,
                interval: None,
                limit,
                breached,
                rows: drift.rows,
                window,
            };
            signals.push(signal("psi", drift.psi, psi_max.max(drift.psi_limit_by_chance), drift.breaches(psi_max)));
            signals.push(signal("robust_distance", drift.robust_distance, f64::MAX, false));
            let null_limit = drift.reference_null_rate + NULL_RATE_RISE;
            let nulls_rose = drift.null_significant && drift.null_rate > null_limit;
            signals.push(signal("null_rate", drift.null_rate, null_limit, nulls_rose));
        }
        signals
    }
}

/// Rise of the share of missing values that is told.
const NULL_RATE_RISE: f64 = 0.1;
