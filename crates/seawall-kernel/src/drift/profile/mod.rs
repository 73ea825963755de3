//! The distribution of one column, held against the one that a model was trained on.
//!
//! A [`Reference`] fixes bins once, from the reference's own quantiles, so that no outlier on either side can move them.
//! A [`Window`] counts rows into those bins; counts merge exactly and in any order. [`Reference::compare`] gives a
//! [`Drift`]: the population stability index with the value that chance alone explains for so many rows, a distance in
//! robust standard deviations, and the share of missing values.
//!
//! What is left to others: which columns are profiled, how long windows are, and the tolerance.

mod cells;
mod grid;
mod read;

use arrow::array::Array;
use serde::{Deserialize, Serialize};

use super::stats::{chi2_quantile, chi2_tail, fisher};
use read::{Content, Kind};

pub(super) use read::numbers;

pub use cells::FLOOR;

/// Chance that a column which did not drift counts as drifted, before the tolerance.
pub const ALPHA: f64 = 0.001;
/// Most categories that are told apart; further ones count as one.
pub const CATEGORIES_MAX: usize = 64;
/// Integers with at most so many values are categories.
pub const INTEGER_CATEGORIES_MAX: usize = 20;
/// Bins of a numeric column, if no values are tied.
const BINS: usize = 10;
/// Quartile distance of the standard normal distribution.
const NORMAL_IQR: f64 = 1.349;
/// Distance of the 1 % and 99 % quantiles of the standard normal distribution.
const NORMAL_CENTRAL: f64 = 4.6527;

/// The distribution of one column of a training set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    /// Values: rows that are neither null nor NaN.
    pub n: u64,
    /// Rows that are null or NaN.
    pub nulls: u64,
    /// How the values are distributed.
    #[serde(flatten)]
    pub shape: Shape,
}

/// How values are distributed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Shape {
    /// Numbers.
    Numeric(Numeric),
    /// Texts, booleans, or integers with few values.
    Categorical(Categorical),
}

/// The distribution of numbers. Numbers are kept as text in JSON: they come back bit for bit, infinities too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Numeric {
    /// Edges of the bins, ascending; a bin holds its upper edge. A value that fills a bin by itself has its own.
    #[serde(with = "read::texts")]
    pub edges: Vec<f64>,
    /// Values in each bin, one more than edges: the first and the last bin are unbounded.
    pub counts: Vec<u64>,
    /// Median.
    #[serde(with = "read::text")]
    pub median: f64,
    /// Third quartile minus first.
    #[serde(with = "read::text")]
    pub iqr: f64,
    /// What distances are measured in: a robust standard deviation.
    #[serde(with = "read::text")]
    pub scale: f64,
    /// Quantiles 0 %, 1 %, ... 100 %: each a value of the column.
    #[serde(with = "read::texts")]
    pub quantiles: Vec<f64>,
    /// Values in the cells of the fine grid around the median, as cell and count; empty cells are left out.
    pub fine: Vec<(u16, u64)>,
}

/// The distribution of categories.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Categorical {
    /// The most frequent categories with their counts, by falling count, then by text.
    pub categories: Vec<(String, u64)>,
    /// Values of all other categories.
    pub other: u64,
}

impl Reference {
    /// The distribution of a column: numbers (decimals too), text and booleans; none for other types, such as
    /// timestamps. NaN counts as null.
    pub fn of(column: &dyn Array) -> Option<Reference> {
        let kind = Kind::of(column.data_type())?;
        let (shape, n) = match kind {
            Kind::Text => categorical(column),
            Kind::Integer | Kind::Number => {
                let mut values = read::numbers(column);
                values.sort_unstable_by(f64::total_cmp);
                let few = values.chunk_by(|a, b| a == b).take(INTEGER_CATEGORIES_MAX + 1).count();
                if kind == Kind::Integer && few <= INTEGER_CATEGORIES_MAX {
                    categorical(column)
                } else {
                    (Shape::Numeric(Numeric::of(&values)), values.len() as u64)
                }
            }
        };
        Some(Reference { n, nulls: column.len() as u64 - n, shape })
    }

    /// How far the window is from this reference.
    pub fn compare(&self, window: &Window) -> Drift {
        let n = self.n;
        let m: u64 = window.bins.iter().sum();
        let groups = cells::groups(&self.cells(window), n, m);
        let df = (groups.len() as u32).saturating_sub(1).max(1);
        let by_chance = if n == 0 || m == 0 { 0.0 } else { 1.0 / n as f64 + 1.0 / m as f64 };
        let psi = cells::psi(&groups, n, m);
        let tail = if by_chance == 0.0 { 1.0 } else { chi2_tail(df, psi / by_chance) };
        Drift {
            psi,
            psi_limit_by_chance: chi2_quantile(df, ALPHA) * by_chance,
            psi_p_value: tail,
            robust_distance: match &self.shape {
                Shape::Numeric(numeric) => grid::distance(&numeric.fine_dense(), &window.fine),
                Shape::Categorical(_) => 0.0,
            },
            null_rate: rate(window.nulls, m),
            reference_null_rate: rate(self.nulls, n),
            null_significant: fisher(self.nulls, n + self.nulls, window.nulls, m + window.nulls) <= ALPHA,
            rows: m + window.nulls,
        }
    }

    /// Reference and window side by side, bin by bin.
    fn cells(&self, window: &Window) -> Vec<(u64, u64)> {
        match &self.shape {
            Shape::Numeric(numeric) => numeric.counts.iter().copied().zip(window.bins.iter().copied()).collect(),
            Shape::Categorical(Categorical { categories, other }) => {
                let counts = categories.iter().map(|(_, count)| *count).chain([*other]);
                counts.zip(window.bins.iter().copied()).collect()
            }
        }
    }
}

fn rate(nulls: u64, values: u64) -> f64 {
    if nulls == 0 { 0.0 } else { nulls as f64 / (nulls + values) as f64 }
}

/// The most frequent texts of a column and how many values it has.
fn categorical(column: &dyn Array) -> (Shape, u64) {
    let content = Content::texts(column);
    let mut categories: Vec<(String, u64)> =
        content.counts().into_iter().map(|(text, count)| (text.to_owned(), count)).collect();
    categories.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let n = categories.iter().map(|(_, count)| count).sum();
    let other = categories.iter().skip(CATEGORIES_MAX).map(|(_, count)| count).sum();
    categories.truncate(CATEGORIES_MAX);
    (Shape::Categorical(Categorical { categories, other }), n)
}

impl Numeric {
    /// The distribution of values in ascending order.
    fn of(sorted: &[f64]) -> Numeric {
        // Nearest rank: a value that occurs, whatever the others are.
        let quantile = |percent: usize| match sorted {
            [] => 0.0,
            _ => sorted[(percent * sorted.len()).div_ceil(100).max(1) - 1],
        };
        let edges = if sorted.is_empty() { Vec::new() } else { edges(quantile) };
        let mut numeric = Numeric {
            counts: vec![0; edges.len() + 1],
            edges,
            median: quantile(50),
            iqr: width(quantile(25), quantile(75)),
            scale: scale(width(quantile(25), quantile(75)), width(quantile(1), quantile(99)), quantile(50)),
            quantiles: if sorted.is_empty() { Vec::new() } else { (0..=100).map(quantile).collect() },
            fine: Vec::new(),
        };
        let mut fine = vec![0; grid::cells()];
        for value in sorted {
            let bin = numeric.bin(*value);
            numeric.counts[bin] += 1;
            fine[numeric.fine_cell(*value)] += 1;
        }
        numeric.fine = (0..).zip(fine).filter(|(_, count)| *count > 0).collect();
        numeric
    }

    fn bin(&self, value: f64) -> usize {
        self.edges.partition_point(|edge| *edge < value)
    }

    fn fine_cell(&self, value: f64) -> usize {
        grid::cell((value - self.median) / self.scale)
    }

    fn fine_dense(&self) -> Vec<u64> {
        let mut dense = vec![0; grid::cells()];
        for (cell, count) in &self.fine {
            if let Some(place) = dense.get_mut(usize::from(*cell)) {
                *place = *count;
            }
        }
        dense
    }
}

/// Deciles without repetition. A value at two deciles or more gets a bin of its own, so that both a move above and a
/// move below it show.
fn edges(quantile: impl Fn(usize) -> f64) -> Vec<f64> {
    let deciles: Vec<f64> = (1..BINS).map(|decile| quantile(decile * 100 / BINS)).collect();
    let mut edges: Vec<f64> = Vec::with_capacity(BINS);
    for tied in deciles.chunk_by(|a, b| a == b) {
        if tied.len() > 1 {
            edges.push(tied[0].next_down());
        }
        edges.push(tied[0]);
    }
    edges.dedup();
    edges
}

/// Distance of two values, 0 for the same infinity.
fn width(low: f64, high: f64) -> f64 {
    if low == high { 0.0 } else { high - low }
}

/// A robust standard deviation: by the quartiles; by the central 98 % if the quartiles are one value; by the size of the
/// values if those are one value too.
fn scale(iqr: f64, central: f64, median: f64) -> f64 {
    let candidates = [iqr / NORMAL_IQR, central / NORMAL_CENTRAL, median.abs() / 100.0];
    candidates.into_iter().find(|scale| scale.is_normal() && *scale > 0.0).unwrap_or(1.0)
}

/// Counts of one column against a [`Reference`]. Adding batches and merging windows gives the same counts in any order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Values in each bin of the reference; for categories the last bin is `other`.
    pub bins: Vec<u64>,
    /// Rows that are null or NaN, or of a type that the reference cannot tell.
    pub nulls: u64,
    /// Values in each cell of the fine grid; empty for categories.
    pub fine: Vec<u64>,
}

impl Window {
    /// Nothing yet.
    pub fn new(reference: &Reference) -> Window {
        let (bins, fine) = match &reference.shape {
            Shape::Numeric(numeric) => (numeric.edges.len() + 1, grid::cells()),
            Shape::Categorical(categorical) => (categorical.categories.len() + 1, 0),
        };
        Window { bins: vec![0; bins], nulls: 0, fine: vec![0; fine] }
    }

    /// Whether the window was made with this reference, or with one of the same bins.
    pub fn fits(&self, reference: &Reference) -> bool {
        let empty = Window::new(reference);
        (self.bins.len(), self.fine.len()) == (empty.bins.len(), empty.fine.len())
    }

    /// Adds the rows of a batch. The reference is the one that the window was made with.
    pub fn add(&mut self, reference: &Reference, column: &dyn Array) {
        assert!(self.fits(reference), "a window is added to with the reference that it was made with");
        let values = match &reference.shape {
            Shape::Numeric(numeric) => self.add_numbers(numeric, column),
            Shape::Categorical(categorical) => self.add_texts(categorical, column),
        };
        self.nulls += column.len() as u64 - values;
    }

    fn add_numbers(&mut self, numeric: &Numeric, column: &dyn Array) -> u64 {
        let values = read::numbers(column);
        for value in &values {
            self.bins[numeric.bin(*value)] += 1;
            self.fine[numeric.fine_cell(*value)] += 1;
        }
        values.len() as u64
    }

    fn add_texts(&mut self, categorical: &Categorical, column: &dyn Array) -> u64 {
        let content = Content::texts(column);
        let mut counts = content.counts();
        let mut values = 0;
        for ((text, _), bin) in categorical.categories.iter().zip(&mut self.bins) {
            let count = counts.remove(text.as_str()).unwrap_or(0);
            *bin += count;
            values += count;
        }
        let other: u64 = counts.values().sum();
        if let Some(bin) = self.bins.last_mut() {
            *bin += other;
        }
        values + other
    }

    /// Adds the counts of another window of the same reference.
    pub fn merge(&mut self, other: &Window) {
        self.nulls += other.nulls;
        for (mine, theirs) in self.bins.iter_mut().zip(&other.bins) {
            *mine += theirs;
        }
        for (mine, theirs) in self.fine.iter_mut().zip(&other.fine) {
            *mine += theirs;
        }
    }

    /// Rows, missing values included.
    pub fn rows(&self) -> u64 {
        self.nulls + self.bins.iter().sum::<u64>()
    }
}

/// How far a window is from its reference.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// Population stability index: sum over the bins of `(q - p) ln (q / p)`.
    pub psi: f64,
    /// What it exceeds by chance with probability [`ALPHA`], if nothing drifted: with B bins, n and m values it is
    /// distributed as chi-squared with B - 1 degrees of freedom times `1/n + 1/m` (B. Yurdakul and J. Naranjo,
    /// Statistical properties of the population stability index, Journal of Risk Model Validation 14(3), 2020).
    pub psi_limit_by_chance: f64,
    /// Probability of so great an index by chance.
    pub psi_p_value: f64,
    /// By how many robust standard deviations of the reference the central 98 % of the values moved, on average (the
    /// 1-Wasserstein distance of the trimmed distributions); 0 for categories.
    pub robust_distance: f64,
    /// Share of missing values.
    pub null_rate: f64,
    /// The same in the reference.
    pub reference_null_rate: f64,
    /// Whether the shares of missing values differ by more than chance explains (Fisher's exact test at [`ALPHA`]).
    pub null_significant: bool,
    /// Rows of the window, missing values included.
    pub rows: u64,
}

impl Drift {
    /// Whether the index is beyond chance and beyond what is tolerated.
    pub fn breaches(&self, tolerance_psi: f64) -> bool {
        self.psi > self.psi_limit_by_chance && self.psi > tolerance_psi
    }
}

/// Which of several tests hold, if at most a share `q` of those found may be false: Benjamini and Hochberg, Controlling
/// the false discovery rate, Journal of the Royal Statistical Society B 57(1), 1995. NaN is never found.
pub fn discoveries(p_values: &[f64], q: f64) -> Vec<bool> {
    let mut sorted: Vec<f64> = p_values.iter().copied().filter(|p| !p.is_nan()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let tests = p_values.len() as f64;
    let holds = |(index, p): &(usize, &f64)| **p <= (*index as f64 + 1.0) / tests * q;
    let limit = sorted.iter().enumerate().rfind(holds).map(|(_, p)| *p);
    p_values.iter().map(|p| limit.is_some_and(|limit| *p <= limit)).collect()
}
