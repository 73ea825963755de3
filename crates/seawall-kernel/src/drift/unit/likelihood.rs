//! How likely magnitudes are under the reference, moved or not.

use super::{BINS, FACTORS, PER_DECADE, SHARE_MIN, UnitProfile};

/// Share of values that may be anything at all.
const ANYTHING: f64 = 0.02;
/// Least width of the kernel, in bins.
const WIDTH_MIN: f64 = 2.0;
/// Natural variation, in bins either way: 0.2 decades.
const NATURAL: i32 = 4;
/// Variation beside a change of unit, in bins either way: 0.1 decades.
const BESIDE: i32 = 2;
/// By how much a factor that is no power of ten must be better, in logarithms of likelihood.
const ODD_FACTOR: f64 = 6.0;
/// By how much a change of some rows must be better than one of all.
const PARTIAL: f64 = 3.0;
/// Steps of the share between [`SHARE_MIN`] and 1.
const SHARE_STEPS: u32 = 14;

/// The reference as a smooth distribution over bins.
pub(super) struct Density {
    /// Number of values that it was made of.
    values: f64,
    masses: Vec<f64>,
}

/// A change of unit and how much speaks for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fit {
    pub(super) factor: f64,
    pub(super) share: f64,
    /// Logarithm of the likelihood ratio against natural variation.
    pub(super) evidence: f64,
    /// The same, less what the change owes for being an unusual one.
    score: f64,
}

impl Density {
    /// The profile's positive values, smoothed with a normal kernel whose width is Silverman's for their spread.
    pub(super) fn of(profile: &UnitProfile) -> Density {
        let n = profile.positives() as f64;
        let quantile = |share: f64| {
            let mut below = 0.0;
            let reached = |(_, count): &(&u16, &u64)| {
                below += **count as f64;
                below >= share * n
            };
            profile.bins.iter().find(reached).map_or(0.0, |(bin, _)| f64::from(*bin))
        };
        let spread = (quantile(0.75) - quantile(0.25)) / 1.349;
        let width = (0.9 * spread * n.powf(-0.2)).max(WIDTH_MIN);
        let reach = (4.0 * width).ceil() as i32;
        let kernel: Vec<f64> = (-reach..=reach).map(|at| (-0.5 * (f64::from(at) / width).powi(2)).exp()).collect();
        let kernel_sum: f64 = kernel.iter().sum();
        let mut masses = vec![ANYTHING / f64::from(BINS); usize::from(BINS)];
        for (bin, count) in &profile.bins {
            let mass = (1.0 - ANYTHING) * *count as f64 / n / kernel_sum;
            for (offset, weight) in (-reach..=reach).zip(&kernel) {
                let place = usize::try_from(i32::from(*bin) + offset).ok();
                if let Some(at) = place.and_then(|place| masses.get_mut(place)) {
                    *at += mass * weight;
                }
            }
        }
        Density { values: n, masses }
    }

    /// Probability of the bin at a place, between two bins in proportion.
    pub(super) fn mass(&self, place: f64) -> f64 {
        let below = place.floor();
        let part = place - below;
        let at = |bin: f64| {
            let known = (bin >= 0.0).then(|| self.masses.get(bin as usize)).flatten();
            known.copied().unwrap_or(ANYTHING / f64::from(BINS))
        };
        if part == 0.0 { at(below) } else { (1.0 - part) * at(below) + part * at(below + 1.0) }
    }

    /// The change that explains the profile best; none of an empty profile.
    pub(super) fn best_fit(&self, profile: &UnitProfile) -> Option<Fit> {
        // The reference is a sample too: with few values it knows its own shape no better than the rows do.
        let weight = self.values / (self.values + profile.positives() as f64);
        let rows: Vec<(f64, f64)> =
            profile.bins.iter().map(|(bin, count)| (f64::from(*bin), *count as f64 * weight)).collect();
        let natural = (-NATURAL..=NATURAL).map(|moved| self.likelihood(&rows, f64::from(moved)));
        let natural = natural.max_by(f64::total_cmp)?;
        let factors = FACTORS.iter().flat_map(|factor| [*factor, factor.recip()]);
        factors.map(|factor| self.fit(&rows, factor, natural)).max_by(|a, b| a.score.total_cmp(&b.score))
    }

    fn likelihood(&self, rows: &[(f64, f64)], moved: f64) -> f64 {
        rows.iter().map(|(place, count)| count * self.mass(place - moved).ln()).sum()
    }

    /// The most likely share of rows that one factor changed, and what speaks for it.
    fn fit(&self, rows: &[(f64, f64)], factor: f64, natural: f64) -> Fit {
        let shift = factor.log10() * PER_DECADE;
        let moves = (-BESIDE..=BESIDE).map(|beside| shift + f64::from(beside));
        let whole = moves.map(|moved| self.likelihood(rows, moved)).fold(f64::NEG_INFINITY, f64::max);
        let masses: Vec<(f64, f64, f64)> =
            rows.iter().map(|(place, count)| (*count, self.mass(*place), self.mass(place - shift))).collect();
        let mixed = |share: f64| -> f64 {
            masses.iter().map(|(count, kept, moved)| count * ((1.0 - share) * kept + share * moved).ln()).sum()
        };
        let step = (1.0 - SHARE_MIN) / f64::from(SHARE_STEPS);
        let shares = (0..SHARE_STEPS).map(|index| SHARE_MIN + step * f64::from(index));
        let partial = shares.map(|share| (share, mixed(share))).max_by(|a, b| a.1.total_cmp(&b.1));
        let (share, likelihood) = match partial {
            Some((share, likelihood)) if likelihood > whole + PARTIAL => (share, likelihood - PARTIAL),
            _ => (1.0, whole),
        };
        let decades = factor.log10();
        let odd = if (decades - decades.round()).abs() < 1e-9 { 0.0 } else { ODD_FACTOR };
        let evidence = likelihood - natural;
        Fit { factor, share, evidence, score: evidence - odd }
    }
}
