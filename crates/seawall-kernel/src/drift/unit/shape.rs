//! Magnitudes as a cumulative distribution, and distances between two.

use super::{BINS, PER_DECADE, UnitProfile};

/// Bins on either side of the range, so that a distribution can be moved by six decades.
const MARGIN: i32 = 120;

/// Share of values below each edge of a bin, with the margin; inside a bin values are spread evenly.
pub(super) struct Shape(Vec<f64>);

impl Shape {
    pub(super) fn of(profile: &UnitProfile) -> Shape {
        let all = profile.positives().max(1) as f64;
        let mut counts = profile.bins.iter().peekable();
        let mut below = 0;
        let edges = -MARGIN..=i32::from(BINS) + MARGIN;
        let shares = edges.map(|edge| {
            while let Some((_, count)) = counts.next_if(|(bin, _)| i32::from(**bin) < edge) {
                below += count;
            }
            below as f64 / all
        });
        Shape(shares.collect())
    }

    /// This distribution with a share of the values moved by so many decades.
    pub(super) fn changed(&self, decades: f64, share: f64) -> Shape {
        let moved = |edge: usize| self.at(edge as f64 - decades * PER_DECADE);
        Shape(self.0.iter().enumerate().map(|(edge, kept)| (1.0 - share) * kept + share * moved(edge)).collect())
    }

    /// Share of values below a place between edges.
    fn at(&self, place: f64) -> f64 {
        let last = (self.0.len() - 1) as f64;
        let place = place.clamp(0.0, last);
        let below = place.floor();
        let (low, high) = (self.0[below as usize], self.0[(below + 1.0).min(last) as usize]);
        low + (place - below) * (high - low)
    }

    /// The place in decades, from some origin, below which a share of the values lies.
    pub(super) fn quantile(&self, share: f64) -> f64 {
        let edge = self.0.partition_point(|below| *below < share).clamp(1, self.0.len() - 1);
        let (low, high) = (self.0[edge - 1], self.0[edge]);
        let part = if high > low { (share - low) / (high - low) } else { 0.0 };
        ((edge - 1) as f64 + part) / PER_DECADE
    }

    /// 1-Wasserstein distance in decades.
    pub(super) fn distance(&self, other: &Shape) -> f64 {
        self.0.iter().zip(&other.0).map(|(a, b)| (a - b).abs()).sum::<f64>() / PER_DECADE
    }

    /// What the distance between this distribution and n values drawn from it is at most on average, times the root of
    /// n, in decades: the integral of `sqrt(F (1 - F))` (S. Bobkov and M. Ledoux, One-dimensional empirical measures,
    /// order statistics, and Kantorovich transport distances, 2019, theorem 3.2).
    pub(super) fn chance(&self) -> f64 {
        self.0.iter().map(|below| (below * (1.0 - below)).max(0.0).sqrt()).sum::<f64>() / PER_DECADE
    }
}
