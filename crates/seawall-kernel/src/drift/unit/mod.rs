//! Whether a column is suddenly sent in another unit: cents instead of euros, seconds instead of minutes.
//!
//! A [`UnitProfile`] counts values by their order of magnitude, so that a change of unit is a shift by a known distance
//! ([`FACTORS`]), of all rows or, where the change falls into the window, of some. [`unit_change`] takes a shift for a
//! change of unit only if all of this holds:
//!
//! - at least [`CURRENT_MIN`] positive current values and [`REFERENCE_MIN`] of the reference;
//! - the rows are at least `e^7` times as likely under the change as under any natural variation: the reference moved by
//!   up to 0.2 decades (a factor of 1.6) either way, with 2 % of the values anything at all; a short reference counts
//!   for less, as its own shape is uncertain;
//! - with the change undone, what is left of the distance is at most half, and at most 0.2 decades more than three times
//!   what chance explains for so many values;
//! - where all rows changed, the median moved by at least six tenths of the factor, in decades;
//! - where some rows changed (a share of at least 0.3), values beyond 98 % of the reference's are too many for chance (at
//!   1e-6, with twice as many allowed): a busier mix of the known magnitudes is no change of unit.
//!
//! Factors other than powers of ten are taken only if they explain the rows clearly better.
//!
//! Simulated on lognormal values (deviating by 0.4 and 0.6 decades), payments spread over 2.2 decades, two prices and one
//! price, with 8 to 200 current rows against 50 to 5,000: no false alarm in 360,000 windows, in half of which prices had
//! risen by 20 %. Against 2,000 reference rows a factor of 100 is found from 12 rows on in 99 % of the windows of every
//! kind; a factor of 10 from 12 rows if values deviate by up to 0.35 decades, from 30 if they are payments.
//!
//! What it cannot tell: a natural rise by two or more from a factor of ten, with a dozen values (one window in 700 at
//! worst); 60 from 100 in wide values before there are hundreds of rows; a change of some rows where the reference knows
//! two prices whose ratio is the factor.

mod likelihood;
mod shape;

use std::collections::BTreeMap;

use arrow::array::Array;
use serde::{Deserialize, Serialize};

use super::profile::numbers;
use super::stats::{binomial_tail, fisher};
use likelihood::{Density, Fit};
use shape::Shape;

/// Fewest positive values of the current rows.
pub const CURRENT_MIN: u64 = 8;
/// Fewest positive values of the reference.
pub const REFERENCE_MIN: u64 = 50;
/// Least share of rows that must have changed.
pub const SHARE_MIN: f64 = 0.3;
/// What values are multiplied by; each stands for its inverse too.
pub const FACTORS: [f64; 7] = [10.0, 100.0, 1_000.0, 1e6, 60.0, 3_600.0, 24.0];

/// Bins of one decade.
const PER_DECADE: f64 = 20.0;
/// Exponent of the least magnitude that is told apart.
const DECADE_MIN: f64 = -9.0;
/// Bins: up to 1e12.
const BINS: u16 = 420;

/// Least logarithm of the likelihood ratio.
const EVIDENCE_MIN: f64 = 7.0;
/// Least share of the distance that the change must explain.
const EXPLAINED_MIN: f64 = 0.5;
/// Distance in decades that may be left, beyond chance.
const UNEXPLAINED: f64 = 0.2;
/// Times of what chance explains that may be left.
const CHANCE: f64 = 3.0;
/// Least part of the factor, in decades, by which the median must have moved if all rows changed.
const MEDIAN_PART: f64 = 0.6;
/// Share of the reference that counts as its outermost values.
const OUTERMOST: f64 = 0.02;
/// Chance of so many outermost values, if some rows changed.
const OUTERMOST_ALPHA: f64 = 1e-6;

/// The magnitudes of a column's values. Adding and merging give the same counts in any order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitProfile {
    /// Positive values by magnitude: bin `b` holds those from `10^(b/20 - 9)` on; empty bins are left out.
    bins: BTreeMap<u16, u64>,
    /// Values that are zero.
    zeros: u64,
    /// Negative values.
    negatives: u64,
    /// Rows that are null or NaN.
    nulls: u64,
}

impl UnitProfile {
    /// Adds a column of numbers; every row of another type counts as null.
    pub fn add(&mut self, column: &dyn Array) {
        let values = numbers(column);
        self.nulls += (column.len() - values.len()) as u64;
        for value in values {
            self.add_value(value);
        }
    }

    /// Adds one value; NaN counts as null.
    pub fn add_value(&mut self, value: f64) {
        if value > 0.0 {
            *self.bins.entry(bin(value)).or_insert(0) += 1;
        } else if value < 0.0 {
            self.negatives += 1;
        } else if value == 0.0 {
            self.zeros += 1;
        } else {
            self.nulls += 1;
        }
    }

    /// Adds the counts of another profile.
    pub fn merge(&mut self, other: &UnitProfile) {
        for (bin, count) in &other.bins {
            *self.bins.entry(*bin).or_insert(0) += count;
        }
        self.zeros += other.zeros;
        self.negatives += other.negatives;
        self.nulls += other.nulls;
    }

    /// Positive values: those that a verdict rests on.
    pub fn positives(&self) -> u64 {
        self.bins.values().sum()
    }

    /// Rows.
    pub fn rows(&self) -> u64 {
        self.positives() + self.zeros + self.negatives + self.nulls
    }
}

/// The bin of a positive value; values out of range are in the first or the last.
fn bin(value: f64) -> u16 {
    let bin = ((value.log10() - DECADE_MIN) * PER_DECADE).floor();
    bin.clamp(0.0, f64::from(BINS - 1)) as u16
}

/// A change of unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct UnitChange {
    /// What values are multiplied by.
    pub factor: f64,
    /// Share of the rows that changed; 1 for all.
    pub share: f64,
    /// Share of the distance to the reference that the change explains, 0 to 1.
    pub explained: f64,
    /// Distance that it leaves unexplained, in decades.
    pub unexplained: f64,
}

/// The change of unit between a reference and the current rows; none if there is none, or if the rows do not suffice to
/// tell. The module says when.
pub fn unit_change(reference: &UnitProfile, current: &UnitProfile) -> Option<UnitChange> {
    let rows = current.positives();
    if rows < CURRENT_MIN || reference.positives() < REFERENCE_MIN {
        return None;
    }
    let before = (Shape::of(reference), Shape::of(current));
    if !likely_at_all(&before.0, &before.1) {
        return None;
    }
    let fit = Density::of(reference).best_fit(current)?;
    if fit.evidence < EVIDENCE_MIN || !beyond_known_magnitudes(reference, current, &fit) {
        return None;
    }
    let median_shift = before.1.quantile(0.5) - before.0.quantile(0.5);
    let decades = fit.factor.log10();
    if fit.share >= 1.0 && median_shift / decades < MEDIAN_PART {
        return None;
    }
    let changed = before.0.changed(decades, fit.share);
    let chance = changed.chance() * (1.0 / rows as f64 + 1.0 / reference.positives() as f64).sqrt();
    let unexplained = changed.distance(&before.1);
    let explained = (1.0 - unexplained / before.0.distance(&before.1)).clamp(0.0, 1.0);
    let fits = unexplained <= UNEXPLAINED + CHANCE * chance && explained >= EXPLAINED_MIN;
    fits.then_some(UnitChange { factor: fit.factor, share: fit.share, explained, unexplained })
}

/// Whether anything speaks for a change: spares the common case the work. A shift of at least a decade in at least three
/// tenths of the rows moves one of the outer deciles by more than this.
fn likely_at_all(reference: &Shape, current: &Shape) -> bool {
    let moved = |share: f64| current.quantile(share) - reference.quantile(share);
    moved(0.9).max(moved(0.75)) > 0.2 || moved(0.1).min(moved(0.25)) < -0.2
}

/// Whether enough values lie where the reference has hardly any, on the side that the factor points to.
fn beyond_known_magnitudes(reference: &UnitProfile, current: &UnitProfile, fit: &Fit) -> bool {
    if fit.share >= 1.0 {
        return true;
    }
    let all = reference.positives();
    let outermost = (all as f64 * OUTERMOST) as u64;
    let beyond = |profile: &UnitProfile, limit: u16| -> u64 {
        let outside = |bin: u16| if fit.factor > 1.0 { bin > limit } else { bin < limit };
        profile.bins.iter().filter(|(bin, _)| outside(**bin)).map(|(_, count)| count).sum()
    };
    let mut limits: Vec<u16> = reference.bins.keys().copied().collect();
    if fit.factor < 1.0 {
        limits.reverse();
    }
    let Some(limit) = limits.into_iter().find(|limit| beyond(reference, *limit) <= outermost) else { return false };
    let (seen, now, rows) = (beyond(reference, limit), beyond(current, limit), current.positives());
    binomial_tail(now, rows, 2.0 * OUTERMOST) <= OUTERMOST_ALPHA && fisher(seen, all, now, rows) <= OUTERMOST_ALPHA
}

/// Whether a single value is at least ten times as likely among the reference's values multiplied by `factor` as among
/// the reference's: names the first bad row of a change that [`unit_change`] has found.
pub fn first_beyond(reference: &UnitProfile, value: f64, factor: f64) -> bool {
    if value <= 0.0 || value.is_nan() || factor <= 0.0 || factor.is_nan() || reference.positives() == 0 {
        return false;
    }
    let density = Density::of(reference);
    let place = f64::from(bin(value));
    density.mass(place - factor.log10() * PER_DECADE) >= 10.0 * density.mass(place)
}
