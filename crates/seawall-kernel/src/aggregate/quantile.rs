//! Quantiles within 1 % of the true value: a DDSketch whose buckets are read off the bits of a double.
//!
//! The bucket of a positive normal double is its exponent and the first six bits of its fraction: each power of two is
//! cut into 64 equal parts, so a bucket `[a, b)` has `b / a <= 65 / 64`, and its midpoint is within 1/128 = 0.78 % of
//! every value in it. No logarithm is taken, so the same value has the same bucket on every machine. Negative values
//! mirror positive ones; magnitudes below 2^-1022 count as zero; infinities have a bucket each; NaN is left out. Counts
//! are added, so order and grouping cannot matter.

use seawall_base::error::Result;

use super::bytes::{Reader, Writer, garbage};

/// Fraction bits that do not take part in the bucket.
const DROPPED_BITS: u32 = 52 - 6;
/// Bucket of the least normal double.
const NORMAL_FROM: i32 = 1 << 6;
/// Bucket of infinity.
const INFINITE: i32 = 0x7ff << 6;

/// Counts per bucket, ordered by bucket.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sketch(Vec<(i32, u64)>);

/// Bucket of a value; none for NaN.
pub fn bucket(value: f64) -> Option<i32> {
    if value.is_nan() {
        return None;
    }
    let magnitude = (value.abs().to_bits() >> DROPPED_BITS) as i32;
    let magnitude = if magnitude < NORMAL_FROM { 0 } else { magnitude };
    Some(if value < 0.0 { -magnitude } else { magnitude })
}

/// The value that stands for a bucket.
fn representative(bucket: i32) -> f64 {
    let magnitude = bucket.unsigned_abs();
    let absolute = match bucket.abs() {
        0 => return 0.0,
        INFINITE => f64::INFINITY,
        _ => f64::from_bits(u64::from(magnitude) << DROPPED_BITS | 1 << (DROPPED_BITS - 1)),
    };
    if bucket < 0 { -absolute } else { absolute }
}

impl Sketch {
    /// Counts `count` values of one bucket.
    pub fn add(&mut self, bucket: i32, count: u64) {
        match self.0.binary_search_by_key(&bucket, |entry| entry.0) {
            Ok(at) => self.0[at].1 += count,
            Err(at) => self.0.insert(at, (bucket, count)),
        }
    }

    /// Adds all counts of another sketch.
    pub fn merge(&mut self, other: &Sketch) {
        if self.0.is_empty() {
            self.0.clone_from(&other.0);
            return;
        }
        other.0.iter().for_each(|(bucket, count)| self.add(*bucket, *count));
    }

    /// The value at rank `floor(q * (n - 1))` of the ordered values, within 1 %; none without values.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let values: u64 = self.0.iter().map(|entry| entry.1).sum();
        let last = values.checked_sub(1)?;
        let rank = ((q * last as f64) as u64).min(last);
        let mut seen = 0;
        for (bucket, count) in &self.0 {
            seen += count;
            if seen > rank {
                return Some(representative(*bucket));
            }
        }
        None
    }

    /// Heap bytes.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.0.capacity() * size_of::<(i32, u64)>()
    }

    pub(crate) fn encode(&self, out: &mut Writer) {
        out.len(self.0.len());
        for (bucket, count) in &self.0 {
            out.zigzag(i128::from(*bucket));
            out.varint(u128::from(*count));
        }
    }

    pub(crate) fn decode(from: &mut Reader<'_>) -> Result<Self> {
        let buckets = from.len()?;
        let mut sketch = Vec::with_capacity(buckets);
        for _ in 0..buckets {
            let bucket = i32::try_from(from.zigzag()?).map_err(|_| garbage("a quantile has an impossible bucket"))?;
            let count = u64::try_from(from.varint()?).map_err(|_| garbage("a quantile has an impossible count"))?;
            let in_order = sketch.last().is_none_or(|last: &(i32, u64)| last.0 < bucket);
            let possible = bucket == 0 || (NORMAL_FROM..=INFINITE).contains(&bucket.abs());
            // Fewer than 2^40 values per bucket, so that their sum cannot overflow.
            if !in_order || !possible || count == 0 || count >= 1 << 40 {
                return Err(garbage("a quantile has an impossible bucket"));
            }
            sketch.push((bucket, count));
        }
        Ok(Sketch(sketch))
    }
}
