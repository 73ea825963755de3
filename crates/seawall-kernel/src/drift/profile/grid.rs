//! The fine grid: cells around the reference's median, and the distance of two rows of counts in them.
//!
//! Places are robust standard deviations from the median. Within six of them cells are 1/16 wide, beyond they grow by a
//! tenth each up to a thousand million; what lies further counts at that place. Inside a cell values are taken to be
//! spread evenly, on both sides alike.

use std::sync::LazyLock;

/// Where the cells of equal width end.
const LINEAR_END: i32 = 6;
/// Cells of equal width in one standard deviation.
const CELLS_PER_SCALE: i32 = 16;
/// Growth of the cells beyond.
const GROWTH: f64 = 1.1;
/// Where the last cell begins.
const END: f64 = 1e9;
/// Share of the values that is left out at either end.
const TRIMMED: f64 = 0.01;

/// Edges of the cells, ascending.
static EDGES: LazyLock<Vec<f64>> = LazyLock::new(|| {
    let mut outer = vec![f64::from(LINEAR_END)];
    while let Some(last) = outer.last().filter(|last| **last < END) {
        outer.push((last * GROWTH).min(END));
    }
    let inner = (1 - LINEAR_END * CELLS_PER_SCALE)..(LINEAR_END * CELLS_PER_SCALE);
    let left = outer.iter().rev().map(|edge| -edge);
    let middle = inner.map(|edge| f64::from(edge) / f64::from(CELLS_PER_SCALE));
    left.chain(middle).chain(outer.iter().copied()).collect()
});

/// Number of cells; the first and the last are unbounded.
pub(super) fn cells() -> usize {
    EDGES.len() + 1
}

/// The cell of a place; a cell holds its upper edge.
pub(super) fn cell(place: f64) -> usize {
    EDGES.partition_point(|edge| *edge < place)
}

/// A stretch of a quantile function: from one share of the values to another, from one place to another.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    shares: (f64, f64),
    places: (f64, f64),
}

impl Stretch {
    fn at(&self, share: f64) -> f64 {
        let part = (share - self.shares.0) / (self.shares.1 - self.shares.0);
        self.places.0 + part * (self.places.1 - self.places.0)
    }
}

/// The quantile function of counts, empty cells left out.
fn quantile_function(counts: &[u64]) -> Vec<Stretch> {
    let all: u64 = counts.iter().sum();
    let mut below = 0;
    let mut stretches = Vec::new();
    for (cell, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let first = cell.saturating_sub(1).min(EDGES.len() - 1);
        let last = cell.min(EDGES.len() - 1);
        let shares = (below as f64 / all as f64, (below + count) as f64 / all as f64);
        stretches.push(Stretch { shares, places: (EDGES[first], EDGES[last]) });
        below += count;
    }
    stretches
}

/// Mean distance of the quantile functions of two rows of counts over the central 98 %; 0 if one has no values.
pub(super) fn distance(reference: &[u64], window: &[u64]) -> f64 {
    let (left, right) = (quantile_function(reference), quantile_function(window));
    let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
    let mut share = TRIMMED;
    let mut sum = 0.0;
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        let end = a.shares.1.min(b.shares.1).min(1.0 - TRIMMED);
        if end > share {
            sum += (end - share) * mean_of_absolute(a.at(share) - b.at(share), a.at(end) - b.at(end));
            share = end;
        }
        if a.shares.1 <= b.shares.1 {
            left.next()
        } else {
            right.next()
        };
    }
    sum / (1.0 - 2.0 * TRIMMED)
}

/// Mean of the absolute value of a linear function, by its values at both ends.
fn mean_of_absolute(first: f64, last: f64) -> f64 {
    let absolute = first.abs() + last.abs();
    if first * last >= 0.0 { absolute / 2.0 } else { (first * first + last * last) / (2.0 * absolute) }
}
