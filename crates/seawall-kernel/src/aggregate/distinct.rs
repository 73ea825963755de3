//! Approximate number of distinct values: HyperLogLog with 4,096 registers over a fixed 64-bit hash.
//!
//! The registers are a maximum per register, so order and grouping cannot matter. They are kept as a sorted list while
//! few are set and as an array afterwards; which of the two depends on their number only. The estimate is Ertl's
//! ("New cardinality estimation algorithms for HyperLogLog sketches", 2017, section 4): it is linear counting for small
//! numbers and raw HyperLogLog for large ones without a seam between the two, and needs nothing but `+ * / sqrt`, which
//! IEEE 754 defines to the bit. Standard error: 1.04 / sqrt(4096) = 1.6 %.

use seawall_base::Hash;
use seawall_base::error::Result;

use super::bytes::{Reader, Writer, garbage};
use super::value::Value;

/// Index bits: 2^12 registers.
const PRECISION: u32 = 12;
/// Number of registers.
const REGISTERS: usize = 1 << PRECISION;
/// Greatest rank: the hash bits that are left, plus one.
const RANK_MAX: u8 = (64 - PRECISION + 1) as u8;
/// From this many set registers on, the array is no larger than the list.
const DENSE_FROM: usize = REGISTERS / 4;

/// Set registers of a HyperLogLog.
#[derive(Debug, Clone)]
pub enum Distinct {
    /// `register << 8 | rank`, ordered by register.
    Sparse(Vec<u32>),
    /// Rank of every register.
    Dense(Box<[u8; REGISTERS]>),
}

impl Default for Distinct {
    fn default() -> Self {
        Distinct::Sparse(Vec::new())
    }
}

/// Register and rank of a value that is not null.
pub fn register(value: Value<'_>) -> (u16, u8) {
    let mut bytes = Writer::default();
    value.encode(&mut bytes);
    let hash = Hash::of(&bytes.0).low128() as u64;
    let rank = (hash << PRECISION).leading_zeros().min(64 - PRECISION) as u8 + 1;
    ((hash >> (64 - PRECISION)) as u16, rank)
}

impl Distinct {
    /// Raises one register.
    pub fn add(&mut self, register: u16, rank: u8) {
        match self {
            Distinct::Dense(ranks) => {
                let current = &mut ranks[usize::from(register)];
                *current = rank.max(*current);
            }
            Distinct::Sparse(codes) => {
                let code = u32::from(register) << 8 | u32::from(rank);
                match codes.binary_search_by_key(&register, |code| (code >> 8) as u16) {
                    Ok(at) => codes[at] = codes[at].max(code),
                    Err(at) => codes.insert(at, code),
                }
                if codes.len() >= DENSE_FROM {
                    self.densify();
                }
            }
        }
    }

    fn densify(&mut self) {
        let mut ranks = Box::new([0u8; REGISTERS]);
        self.for_each(|register, rank| ranks[usize::from(register)] = rank);
        *self = Distinct::Dense(ranks);
    }

    fn for_each(&self, mut visit: impl FnMut(u16, u8)) {
        match self {
            Distinct::Sparse(codes) => codes.iter().for_each(|code| visit((code >> 8) as u16, *code as u8)),
            Distinct::Dense(ranks) => {
                let set = ranks.iter().enumerate().filter(|(_, rank)| **rank > 0);
                set.for_each(|(register, rank)| visit(register as u16, *rank));
            }
        }
    }

    /// Takes the greater rank of each register.
    pub fn merge(&mut self, other: &Distinct) {
        other.for_each(|register, rank| self.add(register, rank));
    }

    /// Estimated number of distinct values; 0 exactly when nothing was added.
    pub fn estimate(&self) -> i64 {
        let mut counts = [0u32; RANK_MAX as usize + 1];
        let mut set = 0;
        self.for_each(|_, rank| {
            counts[usize::from(rank)] += 1;
            set += 1;
        });
        if set == 0 {
            return 0;
        }
        let m = REGISTERS as f64;
        let empty = f64::from(REGISTERS as u32 - set);
        let mut z = m * tau(1.0 - f64::from(counts[usize::from(RANK_MAX)]) / m);
        for rank in (1..usize::from(RANK_MAX)).rev() {
            z = 0.5 * (z + f64::from(counts[rank]));
        }
        z += m * sigma(empty / m);
        let estimate = m * m / (2.0 * std::f64::consts::LN_2 * z);
        estimate.round() as i64
    }

    /// Heap bytes.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Distinct::Sparse(codes) => codes.capacity() * 4,
            Distinct::Dense(_) => REGISTERS,
        }
    }

    pub(crate) fn encode(&self, out: &mut Writer) {
        match self {
            Distinct::Sparse(codes) => {
                out.len(codes.len());
                codes.iter().for_each(|code| out.u32(*code));
            }
            Distinct::Dense(ranks) => {
                out.len(REGISTERS);
                out.0.extend_from_slice(&ranks[..]);
            }
        }
    }

    pub(crate) fn decode(from: &mut Reader<'_>) -> Result<Self> {
        let count = from.len()?;
        if count == REGISTERS {
            return Distinct::decode_dense(from);
        }
        if count >= DENSE_FROM {
            return Err(garbage("a distinct count has an impossible size"));
        }
        let mut codes = Vec::with_capacity(count);
        for _ in 0..count {
            let code = from.u32()?;
            let in_order = codes.last().is_none_or(|last: &u32| last >> 8 < code >> 8);
            if !in_order || (code >> 8) as usize >= REGISTERS || !(1..=RANK_MAX).contains(&(code as u8)) {
                return Err(garbage("a distinct count has an impossible register"));
            }
            codes.push(code);
        }
        Ok(Distinct::Sparse(codes))
    }

    fn decode_dense(from: &mut Reader<'_>) -> Result<Self> {
        let mut ranks = Box::new([0u8; REGISTERS]);
        ranks.copy_from_slice(from.take(REGISTERS)?);
        let set = ranks.iter().filter(|rank| **rank > 0).count();
        if set < DENSE_FROM || ranks.iter().any(|rank| *rank > RANK_MAX) {
            return Err(garbage("a distinct count has an impossible register"));
        }
        Ok(Distinct::Dense(ranks))
    }
}

/// `x + sum over k of x^(2^k) * 2^(k-1)`, for `0 <= x < 1`.
fn sigma(mut x: f64) -> f64 {
    let mut weight = 1.0;
    let mut sum = x;
    loop {
        x *= x;
        let before = sum;
        sum += x * weight;
        weight += weight;
        if sum == before {
            return sum;
        }
    }
}

/// `(1 - x - sum over k of (1 - x^(2^-k))^2 * 2^-k) / 3`, for `0 <= x <= 1`.
fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let mut weight = 1.0;
    let mut sum = 1.0 - x;
    loop {
        x = x.sqrt();
        let before = sum;
        weight *= 0.5;
        sum -= (1.0 - x) * (1.0 - x) * weight;
        if sum == before {
            return sum / 3.0;
        }
    }
}
