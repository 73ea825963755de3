//! From an accumulator to the value of a feature: rounded once, typed, overflow an error.

use num_bigint::{BigInt, BigUint};
use seawall_base::error::Result;

use super::exact::{ExactSum, round_ratio, round_small_ratio};
use super::value::{Scalar, normal, overflow};
use super::{Accumulator, Moments, Sum, scaled};

/// How a feature's value is made of its accumulator.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Finish {
    /// A number of rows or values.
    Count,
    /// The sum of integers, which must fit 64 bits.
    SumOfIntegers,
    /// The sum of decimals, which must fit 38 digits.
    SumOfDecimals,
    /// The sum of floats.
    SumOfFloats,
    /// The mean of numbers with so many digits after the point.
    Mean {
        /// Digits after the point.
        scale: i8,
    },
    /// The sample variance of numbers with so many digits after the point.
    Variance {
        /// Digits after the point.
        scale: i8,
    },
    /// The square root of the sample variance of numbers with so many digits after the point.
    StdDev {
        /// Digits after the point.
        scale: i8,
    },
    /// The value held by a minimum, maximum, first or last.
    Held,
    /// The estimated number of distinct values.
    Distinct,
    /// The number of distinct values, exactly.
    DistinctExact,
    /// The value that occurs most often.
    MostFrequent,
    /// The quantile.
    Quantile {
        /// 0 to 1.
        q: f64,
    },
}

impl Finish {
    /// The value; none when the accumulator holds too few values for one.
    pub fn finalize(&self, accumulator: &Accumulator) -> Result<Option<Scalar>> {
        let value = match (self, accumulator) {
            (Finish::Count, Accumulator::Count(count)) => Some(Scalar::Int(i128::from(*count))),
            (Finish::Distinct, Accumulator::Distinct(distinct)) => {
                Some(distinct.estimate()).filter(|n| *n > 0).map(|n| Scalar::Int(i128::from(n)))
            }
            (Finish::DistinctExact, Accumulator::Counts(counts)) => {
                Some(counts.distinct()).filter(|n| *n > 0).map(|n| Scalar::Int(n as i128))
            }
            (Finish::MostFrequent, Accumulator::Counts(counts)) => counts.most_frequent().cloned(),
            (Finish::SumOfIntegers, Accumulator::Sum(sum)) if sum.count > 0 => {
                let total = sum.total.to_i128().and_then(|total| i64::try_from(total).ok());
                Some(Scalar::Int(i128::from(total.ok_or_else(|| overflow("64-bit integer"))?)))
            }
            (Finish::SumOfDecimals, Accumulator::Sum(sum)) if sum.count > 0 => {
                let total = sum.total.to_i128().filter(|total| total.unsigned_abs() < 10u128.pow(38));
                Some(Scalar::Int(total.ok_or_else(|| overflow("38-digit decimal"))?))
            }
            (Finish::SumOfFloats, Accumulator::Sum(sum)) if sum.count > 0 => {
                Some(Scalar::Float(sum.specials.sum().unwrap_or_else(|| sum.total.to_f64())))
            }
            (Finish::Mean { scale }, Accumulator::Sum(sum)) if sum.count > 0 => Some(Scalar::Float(mean(sum, *scale))),
            (Finish::Variance { scale }, Accumulator::Moments(moments)) if moments.sum.count > 1 => {
                Some(Scalar::Float(variance(moments, *scale)))
            }
            (Finish::StdDev { scale }, Accumulator::Moments(moments)) if moments.sum.count > 1 => {
                Some(Scalar::Float(variance(moments, *scale).sqrt()))
            }
            (Finish::Held, Accumulator::Min(value) | Accumulator::Max(value)) => value.clone(),
            (Finish::Held, Accumulator::First(row) | Accumulator::Last(row)) => row.as_ref().map(|row| row.1.clone()),
            (Finish::Quantile { q }, Accumulator::Quantile(sketch)) => sketch.quantile(*q).map(Scalar::Float),
            _ => None,
        };
        Ok(value.map(|value| match value {
            Scalar::Float(float) => Scalar::Float(normal(float)),
            other => other,
        }))
    }
}

/// A count or a sum, exactly: `numerator / denominator * 2^exponent`.
struct Exact {
    numerator: BigInt,
    denominator: BigUint,
    exponent: i32,
}

/// What an accumulator of numbers with `scale` digits after the point holds; a float when a value is not finite, none when
/// there is nothing to sum.
fn exact(accumulator: &Accumulator, scale: i8) -> Option<std::result::Result<Exact, f64>> {
    match accumulator {
        Accumulator::Count(count) => {
            Some(Ok(Exact { numerator: BigInt::from(*count), denominator: BigUint::from(1u32), exponent: 0 }))
        }
        Accumulator::Sum(sum) if sum.count > 0 => {
            if let Some(special) = sum.specials.sum() {
                return Some(Err(special));
            }
            let (exponent, total) = sum.total.parts();
            let (numerator, denominator) = scaled(total, BigUint::from(1u32), i32::from(scale));
            Some(Ok(Exact { numerator, denominator, exponent }))
        }
        _ => None,
    }
}

/// `of / to`, rounded once; none when one of them has nothing to sum, and when `to` is zero.
pub fn ratio(of: (&Accumulator, i8), to: (&Accumulator, i8)) -> Option<Scalar> {
    let (of, to) = (exact(of.0, of.1)?, exact(to.0, to.1)?);
    let zero = BigInt::from(0);
    let quotient = match (of, to) {
        (_, Ok(to)) if to.numerator == zero => return None,
        (Ok(of), Ok(to)) => {
            let sign = if to.numerator < zero { -1 } else { 1 };
            let numerator = of.numerator * sign * BigInt::from(to.denominator);
            let denominator = of.denominator * to.numerator.magnitude();
            round_ratio(&numerator, &denominator, of.exponent - to.exponent)
        }
        (Err(of), Ok(to)) if to.numerator < zero => -of,
        (Err(of), Ok(_)) => of,
        (Ok(_), Err(to)) if to.is_infinite() => 0.0,
        (Ok(_) | Err(_), Err(_)) => f64::NAN,
    };
    Some(Scalar::Float(normal(quotient)))
}

/// What `accumulator` holds per `per` microseconds of `length`, rounded once; none when there is nothing to sum.
pub fn rate(accumulator: &Accumulator, scale: i8, per: i64, length: u128) -> Option<Scalar> {
    let rate = match exact(accumulator, scale)? {
        Ok(sum) => round_ratio(&(sum.numerator * per), &(sum.denominator * length), sum.exponent),
        Err(special) => special,
    };
    Some(Scalar::Float(normal(rate)))
}

/// `S / n`, rounded once.
fn mean(sum: &Sum, scale: i8) -> f64 {
    if let Some(special) = sum.specials.sum() {
        return special;
    }
    if scale == 0
        && let ExactSum::Small { exponent, mantissa } = sum.total
        && let Some(mean) = round_small_ratio(mantissa, sum.count, exponent)
    {
        return mean;
    }
    let (exponent, total) = sum.total.parts();
    let (numerator, denominator) = scaled(total, BigUint::from(sum.count), i32::from(scale));
    round_ratio(&numerator, &denominator, exponent)
}

/// `(n Q - S^2) / (n (n - 1))`, evaluated in integers and rounded once; NaN when a value is not finite.
fn variance(moments: &Moments, scale: i8) -> f64 {
    let n = moments.sum.count;
    if moments.sum.specials.sum().is_some() {
        return f64::NAN;
    }
    let (sum_exponent, sum) = moments.sum.total.parts();
    let (squares_exponent, squares) = moments.squares.parts();
    let low = squares_exponent.min(2 * sum_exponent);
    let n_squares = (squares * BigInt::from(n)) << (squares_exponent - low) as u32;
    let sum_square = (&sum * &sum) << (2 * sum_exponent - low) as u32;
    let denominator = BigUint::from(n) * BigUint::from(n - 1);
    let (numerator, denominator) = scaled(n_squares - sum_square, denominator, 2 * i32::from(scale));
    round_ratio(&numerator, &denominator, low)
}
