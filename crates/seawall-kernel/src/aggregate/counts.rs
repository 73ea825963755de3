//! How often each value occurs: exact, and as large as there are different values.
//!
//! Counts per value are added, so order and grouping cannot matter. Values are kept in their order, so equal multisets
//! encode equally, and a tie between equally frequent values goes to the least of them.

use seawall_base::error::Result;

use super::bytes::{Reader, Writer, garbage};
use super::value::{Class, Scalar, Value, compare};

/// Values and how often each occurs, ordered by value.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counts(Vec<(Scalar, u64)>);

impl Counts {
    /// Counts `count` occurrences of a value that is not null.
    pub fn add(&mut self, value: Value<'_>, count: u64) {
        match self.0.binary_search_by(|(known, _)| compare(known.as_value(), value)) {
            Ok(at) => self.0[at].1 += count,
            Err(at) => self.0.splice(at..at, value.to_scalar().map(|value| (value, count))).for_each(drop),
        }
    }

    /// Adds all counts of another.
    pub fn merge(&mut self, other: &Counts) {
        if self.0.is_empty() {
            self.0.clone_from(&other.0);
            return;
        }
        other.0.iter().for_each(|(value, count)| self.add(value.as_value(), *count));
    }

    /// How many different values there are.
    pub fn distinct(&self) -> usize {
        self.0.len()
    }

    /// The value that occurs most often; the least of several.
    pub fn most_frequent(&self) -> Option<&Scalar> {
        let mut most: Option<&(Scalar, u64)> = None;
        for entry in &self.0 {
            if most.is_none_or(|most| entry.1 > most.1) {
                most = Some(entry);
            }
        }
        most.map(|(value, _)| value)
    }

    /// Heap bytes.
    pub(crate) fn heap_bytes(&self) -> usize {
        let texts: usize = self.0.iter().map(|(value, _)| super::text_bytes(value)).sum();
        self.0.capacity() * size_of::<(Scalar, u64)>() + texts
    }

    pub(crate) fn encode(&self, out: &mut Writer) {
        out.len(self.0.len());
        for (value, count) in &self.0 {
            value.as_value().encode(out);
            out.varint(u128::from(*count));
        }
    }

    pub(crate) fn decode(class: Class, from: &mut Reader<'_>) -> Result<Self> {
        let values = from.len()?;
        let mut counts: Vec<(Scalar, u64)> = Vec::new();
        for _ in 0..values {
            let value = Value::decode(from)?;
            let count = u64::try_from(from.varint()?).map_err(|_| garbage("a value has an impossible count"))?;
            let in_order = counts.last().is_none_or(|last| compare(last.0.as_value(), value).is_lt());
            // Fewer than 2^40 of each, so that merging cannot overflow.
            let possible = value.fits(class) && count > 0 && count < 1 << 40;
            match value.to_scalar().filter(|_| in_order && possible) {
                Some(value) => counts.push((value, count)),
                None => return Err(garbage("a count of values has an impossible value")),
            }
        }
        Ok(Counts(counts))
    }
}
