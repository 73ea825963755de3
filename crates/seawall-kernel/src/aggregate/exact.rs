//! Exact sums: no rounding before the end, so neither order nor grouping of the terms can change a bit.
//!
//! A finite double is `m * 2^e` with integers `m` and `e`, hence a sum of doubles is an integer times a power of two.
//! [`ExactSum`] keeps that integer, in 128 bits while it fits and in a big integer afterwards. It is rounded once, to
//! the nearest double, ties to even: [`round_ratio`] does so for any quotient of integers, which also gives the mean
//! (`S / n`) and the sample variance (`(n Q - S^2) / (n (n - 1))`, with `S` the sum and `Q` the sum of squares)
//! correctly rounded. Integers and unscaled decimals are terms with `e = 0`.

use num_bigint::{BigInt, BigUint, Sign};
use seawall_base::error::Result;

use super::bytes::{Reader, Writer, garbage};

/// Exponents of sums of doubles and of squares of doubles lie well within.
const EXPONENT_MAX: i32 = 2_600;
/// Longest integer of a sum: 2,098 bits for doubles, twice that for squares, and room for the number of terms.
const MAGNITUDE_BYTES_MAX: usize = 1_024;

/// An exact sum of integers times powers of two.
#[derive(Debug, Clone)]
pub enum ExactSum {
    /// `mantissa * 2^exponent`.
    Small {
        /// Power of two.
        exponent: i32,
        /// Integer.
        mantissa: i128,
    },
    /// The same when 128 bits do not suffice.
    Large {
        /// Power of two.
        exponent: i32,
        /// Integer.
        mantissa: Box<BigInt>,
    },
}

impl Default for ExactSum {
    fn default() -> Self {
        ExactSum::Small { exponent: 0, mantissa: 0 }
    }
}

/// Splits a finite double into an integer and a power of two.
pub fn split(value: f64) -> (i64, i32) {
    let bits = value.to_bits();
    let biased = ((bits >> 52) & 0x7ff) as i32;
    let fraction = (bits & ((1 << 52) - 1)) as i64;
    let (magnitude, exponent) = if biased == 0 { (fraction, -1074) } else { (fraction | (1 << 52), biased - 1075) };
    if magnitude == 0 {
        return (0, 0);
    }
    let zeros = magnitude.trailing_zeros();
    let mantissa = magnitude >> zeros;
    (if value < 0.0 { -mantissa } else { mantissa }, exponent + zeros as i32)
}

impl ExactSum {
    /// Adds `mantissa * 2^exponent`.
    pub fn add(&mut self, mantissa: i128, exponent: i32) {
        if mantissa == 0 {
            return;
        }
        if let ExactSum::Small { exponent: e, mantissa: m } = self
            && let Some((sum_exponent, sum)) = add_small((*e, *m), (exponent, mantissa))
        {
            *e = sum_exponent;
            *m = sum;
            return;
        }
        self.add_large(BigInt::from(mantissa), exponent);
    }

    /// Adds `(mantissa * 2^exponent)^2`.
    pub fn add_square(&mut self, mantissa: i128, exponent: i32) {
        match mantissa.checked_mul(mantissa) {
            Some(square) => self.add(square, 2 * exponent),
            None => self.add_large(BigInt::from(mantissa) * BigInt::from(mantissa), 2 * exponent),
        }
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &ExactSum) {
        match other {
            ExactSum::Small { exponent, mantissa } => self.add(*mantissa, *exponent),
            ExactSum::Large { exponent, mantissa } => self.add_large((**mantissa).clone(), *exponent),
        }
    }

    fn add_large(&mut self, mut term: BigInt, term_exponent: i32) {
        let (exponent, sum) = self.parts();
        let (exponent, mut sum) = if sum.sign() == Sign::NoSign { (term_exponent, sum) } else { (exponent, sum) };
        let low = exponent.min(term_exponent);
        sum <<= (exponent - low) as u32;
        term <<= (term_exponent - low) as u32;
        *self = ExactSum::Large { exponent: low, mantissa: Box::new(sum + term) };
    }

    /// Exponent and integer.
    pub fn parts(&self) -> (i32, BigInt) {
        match self {
            ExactSum::Small { exponent, mantissa } => (*exponent, BigInt::from(*mantissa)),
            ExactSum::Large { exponent, mantissa } => (*exponent, (**mantissa).clone()),
        }
    }

    /// The sum as an integer; none when it is no integer or does not fit.
    pub fn to_i128(&self) -> Option<i128> {
        match self.canonical() {
            ExactSum::Small { mantissa: 0, .. } => Some(0),
            ExactSum::Small { exponent, mantissa } => shift_left(mantissa, u32::try_from(exponent).ok()?),
            ExactSum::Large { .. } => None,
        }
    }

    /// The sum divided by `divisor` (not 0), rounded once.
    pub fn over(&self, divisor: &BigUint) -> f64 {
        let (exponent, sum) = self.parts();
        round_ratio(&sum, divisor, exponent)
    }

    /// The sum, rounded once; beyond the greatest double it is infinite.
    pub fn to_f64(&self) -> f64 {
        match self {
            ExactSum::Small { exponent, mantissa } => round(*mantissa < 0, mantissa.unsigned_abs(), *exponent, false),
            ExactSum::Large { exponent, mantissa } => {
                round_big(mantissa.sign(), mantissa.magnitude(), *exponent, false)
            }
        }
    }

    /// The one representation of this value: an odd integer (or zero), small when it fits.
    pub fn canonical(&self) -> ExactSum {
        match self {
            ExactSum::Small { mantissa: 0, .. } => ExactSum::default(),
            ExactSum::Small { exponent, mantissa } => {
                let zeros = mantissa.trailing_zeros();
                ExactSum::Small { exponent: exponent + zeros as i32, mantissa: mantissa >> zeros }
            }
            ExactSum::Large { exponent, mantissa } => {
                let zeros = mantissa.trailing_zeros().unwrap_or(0);
                let odd: BigInt = &**mantissa >> zeros;
                let exponent = exponent + zeros as i32;
                match i128::try_from(&odd) {
                    Ok(0) => ExactSum::default(),
                    Ok(mantissa) => ExactSum::Small { exponent, mantissa },
                    Err(_) => ExactSum::Large { exponent, mantissa: Box::new(odd) },
                }
            }
        }
    }

    /// Heap bytes.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            ExactSum::Small { .. } => 0,
            ExactSum::Large { mantissa, .. } => 40 + mantissa.bits() as usize / 8,
        }
    }

    pub(crate) fn encode(&self, out: &mut Writer) {
        match self.canonical() {
            ExactSum::Small { exponent, mantissa } => {
                out.u8(0);
                out.zigzag(i128::from(exponent));
                out.zigzag(mantissa);
            }
            ExactSum::Large { exponent, mantissa } => {
                out.u8(1);
                out.zigzag(i128::from(exponent));
                out.bytes(&mantissa.to_signed_bytes_le());
            }
        }
    }

    pub(crate) fn decode(from: &mut Reader<'_>) -> Result<Self> {
        let tag = from.u8()?;
        let exponent = i32::try_from(from.zigzag()?).map_err(|_| garbage("a sum has an impossible exponent"))?;
        if exponent.abs() > EXPONENT_MAX {
            return Err(garbage("a sum has an impossible exponent"));
        }
        if tag == 0 {
            return Ok(ExactSum::Small { exponent, mantissa: from.zigzag()? });
        }
        let bytes = from.bytes()?;
        if tag != 1 || bytes.len() > MAGNITUDE_BYTES_MAX {
            return Err(garbage("a sum has an impossible size"));
        }
        Ok(ExactSum::Large { exponent, mantissa: Box::new(BigInt::from_signed_bytes_le(bytes)) })
    }
}

fn add_small(a: (i32, i128), b: (i32, i128)) -> Option<(i32, i128)> {
    if a.1 == 0 {
        return Some(b);
    }
    let low = a.0.min(b.0);
    let a = shift_left(a.1, (a.0 - low) as u32)?;
    let b = shift_left(b.1, (b.0 - low) as u32)?;
    Some((low, a.checked_add(b)?))
}

/// `value * 2^by`, when it fits.
fn shift_left(value: i128, by: u32) -> Option<i128> {
    if by > 126 {
        return None;
    }
    let shifted = value << by;
    (shifted >> by == value).then_some(shifted)
}

/// The double nearest to `numerator / denominator * 2^exponent`, ties to even; `denominator` is not 0.
pub fn round_ratio(numerator: &BigInt, denominator: &BigUint, exponent: i32) -> f64 {
    let magnitude = numerator.magnitude();
    if numerator.sign() == Sign::NoSign {
        return 0.0;
    }
    // A quotient of at least 65 bits and the knowledge whether anything remains decide every rounding.
    let want = denominator.bits() + 66;
    let shift = want.saturating_sub(magnitude.bits());
    let scaled: BigUint = magnitude << shift;
    let quotient = &scaled / denominator;
    let inexact = &quotient * denominator != scaled;
    round_big(numerator.sign(), &quotient, exponent - shift as i32, inexact)
}

/// [`round_ratio`] without big integers; none when the quotient might have too few bits to decide the rounding.
pub(crate) fn round_small_ratio(numerator: i128, denominator: u64, exponent: i32) -> Option<f64> {
    if numerator == 0 {
        return Some(0.0);
    }
    if denominator >= 1 << 62 {
        return None;
    }
    let magnitude = numerator.unsigned_abs();
    let shift = magnitude.leading_zeros();
    let (scaled, denominator) = (magnitude << shift, u128::from(denominator));
    // At least 2^127 by less than 2^62: at least 65 bits.
    let quotient = scaled / denominator;
    Some(round(numerator < 0, quotient, exponent - shift as i32, quotient * denominator != scaled))
}

fn round_big(sign: Sign, magnitude: &BigUint, exponent: i32, inexact: bool) -> f64 {
    let excess = magnitude.bits().saturating_sub(120);
    let inexact = inexact || magnitude.trailing_zeros().is_some_and(|zeros| zeros < excess);
    let top = u128::try_from(magnitude >> excess).expect("at most 120 bits are left");
    round(sign == Sign::Minus, top, exponent + excess as i32, inexact)
}

/// The double nearest to `magnitude * 2^exponent`; when `inexact`, a little more than that. An inexact magnitude has at
/// least 65 bits.
fn round(negative: bool, magnitude: u128, exponent: i32, inexact: bool) -> f64 {
    if magnitude == 0 {
        return 0.0;
    }
    let bits = 128 - magnitude.leading_zeros() as i32;
    let unit = (exponent + bits - 53).max(-1074);
    let drop = unit - exponent;
    let kept = if drop <= 0 {
        magnitude << (-drop) as u32
    } else if drop >= 128 {
        0
    } else {
        let kept = magnitude >> drop;
        let rest = magnitude & ((1u128 << drop) - 1);
        let half = 1u128 << (drop - 1);
        let up = rest > half || (rest == half && (inexact || kept & 1 == 1));
        kept + u128::from(up)
    };
    let absolute = assemble(kept as u64, unit);
    // Adding 0.0 keeps a result that rounded to zero from being negative.
    if negative { 0.0 - absolute } else { absolute }
}

/// `kept * 2^unit` with `kept <= 2^53` and `unit >= -1074`.
fn assemble(kept: u64, unit: i32) -> f64 {
    const HIDDEN: u64 = 1 << 52;
    let (kept, unit) = if kept == 2 * HIDDEN { (HIDDEN, unit + 1) } else { (kept, unit) };
    if kept < HIDDEN {
        return f64::from_bits(kept);
    }
    let biased = unit + 1075;
    if biased >= 0x7ff {
        return f64::INFINITY;
    }
    f64::from_bits(((biased as u64) << 52) | (kept & (HIDDEN - 1)))
}

/// `10^power`.
pub(crate) fn power_of_ten(power: u32) -> BigUint {
    BigUint::from(10u32).pow(power)
}
