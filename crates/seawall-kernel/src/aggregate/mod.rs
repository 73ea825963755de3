//! Aggregates: prepare, update, merge, finalize; exact and order-free.
//!
//! An [`Aggregate`] says what is accumulated of which kind of values. [`Aggregate::prepare`] turns a value into an
//! [`Input`], once per row; [`Accumulator::update`] takes it in; [`Accumulator::merge`] joins two accumulators;
//! [`Finish::finalize`] makes the feature's value. Every accumulator is a commutative, associative function of the
//! multiset of its inputs, and its encoding is canonical, so batch boundaries, late rows, tile levels and restarts cannot
//! change a bit. Nothing can be taken out again: what expires is left out of the next merge.
//!
//! Null inputs are ignored, NaN makes a sum, mean or variance NaN and is ignored by min, max and quantile.

pub(crate) mod bytes;
mod codec;
mod counts;
mod distinct;
mod exact;
mod finish;
mod order;
mod quantile;
mod run;
#[cfg(test)]
mod tests;
mod value;

use num_bigint::{BigInt, BigUint};

pub use counts::Counts;
pub use distinct::Distinct;
pub(crate) use exact::split;
pub use exact::{ExactSum, round_ratio};
pub use finish::{Finish, rate, ratio};
pub use order::RowOrder;
pub use quantile::Sketch;
pub use value::{Class, Column, Scalar, Value, normal, to_array};
pub(crate) use value::{compare, overflow, plain_array, typed_array};

/// What is accumulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Rows, whatever their values.
    Rows,
    /// Values that are not null.
    Count,
    /// Exact sum and number of values.
    Sum,
    /// Exact sum, exact sum of squares and number of values.
    Moments,
    /// Least value.
    Min,
    /// Greatest value.
    Max,
    /// Value of the first row in the total order.
    First,
    /// Value of the last row in the total order.
    Last,
    /// Registers of a HyperLogLog.
    Distinct,
    /// Buckets of a DDSketch.
    Quantile,
    /// The last row in the total order, with its value, null or not.
    Newest,
    /// The first row in the total order, with its value, null or not.
    Oldest,
    /// Values and how often each occurs.
    Counts,
}

/// What is accumulated of values with `scale` digits after the point (0 for all but decimals).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Aggregate {
    /// What.
    pub kind: Kind,
    /// Digits after the point of the integers that stand for decimals.
    pub scale: i8,
}

/// A value prepared for one aggregate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Input<'a> {
    /// Leaves the accumulator as it is.
    Nothing,
    /// Counts as one.
    One,
    /// `mantissa * 2^exponent`.
    Term {
        /// Integer.
        mantissa: i128,
        /// Power of two.
        exponent: i32,
    },
    /// NaN or an infinity.
    Special(Specials),
    /// A value to compare or keep, and its row's place in the total order.
    Value(Value<'a>, RowOrder),
    /// A register of a HyperLogLog and its rank.
    Register(u16, u8),
    /// A bucket of a DDSketch.
    Bucket(i32),
}

/// Which values that are not finite were seen; once seen, how often does not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Specials(u8);

impl Specials {
    const NAN: Specials = Specials(1);
    const POSITIVE: Specials = Specials(2);
    const NEGATIVE: Specials = Specials(4);

    /// What a sum with these terms is, when they decide it.
    fn sum(self) -> Option<f64> {
        match self.0 {
            0 => None,
            2 => Some(f64::INFINITY),
            4 => Some(f64::NEG_INFINITY),
            _ => Some(f64::NAN),
        }
    }
}

/// Number and exact sum of values.
#[derive(Debug, Clone, Default)]
pub struct Sum {
    count: u64,
    specials: Specials,
    total: ExactSum,
}

/// Number, exact sum and exact sum of squares of values.
#[derive(Debug, Clone, Default)]
pub struct Moments {
    sum: Sum,
    squares: ExactSum,
}

/// State of an aggregate over some rows.
#[derive(Debug, Clone)]
pub enum Accumulator {
    /// Of [`Kind::Rows`] and [`Kind::Count`].
    Count(u64),
    /// Of [`Kind::Sum`].
    Sum(Sum),
    /// Of [`Kind::Moments`].
    Moments(Box<Moments>),
    /// Of [`Kind::Min`].
    Min(Option<Scalar>),
    /// Of [`Kind::Max`].
    Max(Option<Scalar>),
    /// Of [`Kind::First`].
    First(Option<Box<(RowOrder, Scalar)>>),
    /// Of [`Kind::Last`].
    Last(Option<Box<(RowOrder, Scalar)>>),
    /// Of [`Kind::Distinct`].
    Distinct(Distinct),
    /// Of [`Kind::Quantile`].
    Quantile(Sketch),
    /// Of [`Kind::Newest`].
    Newest(Option<Box<HeldRow>>),
    /// Of [`Kind::Oldest`].
    Oldest(Option<Box<HeldRow>>),
    /// Of [`Kind::Counts`].
    Counts(Counts),
}

/// A row and its value, none for null.
pub type HeldRow = (RowOrder, Option<Scalar>);

impl Aggregate {
    /// The accumulator over no rows.
    pub fn empty(&self) -> Accumulator {
        match self.kind {
            Kind::Rows | Kind::Count => Accumulator::Count(0),
            Kind::Sum => Accumulator::Sum(Sum::default()),
            Kind::Moments => Accumulator::Moments(Box::default()),
            Kind::Min => Accumulator::Min(None),
            Kind::Max => Accumulator::Max(None),
            Kind::First => Accumulator::First(None),
            Kind::Last => Accumulator::Last(None),
            Kind::Distinct => Accumulator::Distinct(Distinct::default()),
            Kind::Quantile => Accumulator::Quantile(Sketch::default()),
            Kind::Newest => Accumulator::Newest(None),
            Kind::Oldest => Accumulator::Oldest(None),
            Kind::Counts => Accumulator::Counts(Counts::default()),
        }
    }

    /// What `value` of the row at `order` contributes.
    pub fn prepare<'a>(&self, value: Value<'a>, order: RowOrder) -> Input<'a> {
        match self.kind {
            Kind::Rows => return Input::One,
            Kind::Newest | Kind::Oldest => return Input::Value(value, order),
            _ => {}
        }
        if value == Value::Null {
            return Input::Nothing;
        }
        match self.kind {
            Kind::Rows | Kind::Count => Input::One,
            Kind::Sum | Kind::Moments => term(value),
            Kind::Min | Kind::Max if matches!(value, Value::Float(f) if f.is_nan()) => Input::Nothing,
            Kind::Min | Kind::Max | Kind::First | Kind::Last | Kind::Counts => Input::Value(value, order),
            Kind::Newest | Kind::Oldest => Input::Value(value, order),
            Kind::Distinct => {
                let (register, rank) = distinct::register(value);
                Input::Register(register, rank)
            }
            Kind::Quantile => {
                number(value, self.scale).and_then(quantile::bucket).map_or(Input::Nothing, Input::Bucket)
            }
        }
    }
}

/// A number as an integer times a power of two.
fn term(value: Value<'_>) -> Input<'_> {
    match value {
        Value::Int(mantissa) => Input::Term { mantissa, exponent: 0 },
        Value::Float(value) if value.is_nan() => Input::Special(Specials::NAN),
        Value::Float(f64::INFINITY) => Input::Special(Specials::POSITIVE),
        Value::Float(f64::NEG_INFINITY) => Input::Special(Specials::NEGATIVE),
        Value::Float(value) => {
            let (mantissa, exponent) = exact::split(value);
            Input::Term { mantissa: i128::from(mantissa), exponent }
        }
        Value::Null | Value::Text(_) => Input::Nothing,
    }
}

/// A number as the nearest double.
fn number(value: Value<'_>, scale: i8) -> Option<f64> {
    match value {
        Value::Int(value) if scale == 0 => Some(value as f64),
        Value::Int(value) => {
            let (numerator, denominator) = scaled(BigInt::from(value), BigUint::from(1u32), i32::from(scale));
            Some(round_ratio(&numerator, &denominator, 0))
        }
        Value::Float(value) => Some(value),
        Value::Null | Value::Text(_) => None,
    }
}

/// `numerator / (denominator * 10^scale)` as a quotient of integers.
fn scaled(numerator: BigInt, denominator: BigUint, scale: i32) -> (BigInt, BigUint) {
    let power = exact::power_of_ten(scale.unsigned_abs());
    if scale >= 0 { (numerator, denominator * power) } else { (numerator * BigInt::from(power), denominator) }
}

impl Sum {
    fn update(&mut self, input: Input<'_>) {
        match input {
            Input::Term { mantissa, exponent } => {
                self.count += 1;
                self.total.add(mantissa, exponent);
            }
            Input::Special(special) => {
                self.count += 1;
                self.specials.0 |= special.0;
            }
            _ => {}
        }
    }

    fn merge(&mut self, other: &Sum) {
        self.count += other.count;
        self.specials.0 |= other.specials.0;
        self.total.merge(&other.total);
    }
}

impl Accumulator {
    /// Takes in one prepared value; an input of another aggregate changes nothing.
    pub fn update(&mut self, input: Input<'_>) {
        match (self, input) {
            (Accumulator::Count(count), Input::One) => *count += 1,
            (Accumulator::Sum(sum), input) => sum.update(input),
            (Accumulator::Moments(moments), input) => {
                moments.sum.update(input);
                if let Input::Term { mantissa, exponent } = input {
                    moments.squares.add_square(mantissa, exponent);
                }
            }
            (Accumulator::Min(least), Input::Value(value, _)) => offer(least, value, |a, b| compare(a, b).is_lt()),
            (Accumulator::Max(greatest), Input::Value(value, _)) => {
                offer(greatest, value, |a, b| compare(a, b).is_gt());
            }
            (Accumulator::First(first), Input::Value(value, order)) => {
                offer_ordered(first, value, order, |new, old| new < old);
            }
            (Accumulator::Last(last), Input::Value(value, order)) => {
                offer_ordered(last, value, order, |new, old| new > old);
            }
            (Accumulator::Distinct(distinct), Input::Register(register, rank)) => distinct.add(register, rank),
            (Accumulator::Quantile(sketch), Input::Bucket(bucket)) => sketch.add(bucket, 1),
            (Accumulator::Counts(counts), Input::Value(value, _)) => counts.add(value, 1),
            (Accumulator::Newest(newest), Input::Value(value, order)) => {
                offer_row(newest, value, order, |new, old| new > old);
            }
            (Accumulator::Oldest(oldest), Input::Value(value, order)) => {
                offer_row(oldest, value, order, |new, old| new < old);
            }
            _ => {}
        }
    }

    /// Takes in all rows of `other`, an accumulator of the same aggregate over other rows.
    pub fn merge(&mut self, other: &Accumulator) {
        match (self, other) {
            (Accumulator::Count(count), Accumulator::Count(more)) => *count += more,
            (Accumulator::Sum(sum), Accumulator::Sum(more)) => sum.merge(more),
            (Accumulator::Moments(moments), Accumulator::Moments(more)) => {
                moments.sum.merge(&more.sum);
                moments.squares.merge(&more.squares);
            }
            (Accumulator::Min(least), Accumulator::Min(Some(value))) => {
                offer(least, value.as_value(), |a, b| compare(a, b).is_lt());
            }
            (Accumulator::Max(greatest), Accumulator::Max(Some(value))) => {
                offer(greatest, value.as_value(), |a, b| compare(a, b).is_gt());
            }
            (Accumulator::First(first), Accumulator::First(Some(row))) => {
                offer_ordered(first, row.1.as_value(), row.0, |new, old| new < old);
            }
            (Accumulator::Last(last), Accumulator::Last(Some(row))) => {
                offer_ordered(last, row.1.as_value(), row.0, |new, old| new > old);
            }
            (Accumulator::Distinct(distinct), Accumulator::Distinct(more)) => distinct.merge(more),
            (Accumulator::Quantile(sketch), Accumulator::Quantile(more)) => sketch.merge(more),
            (Accumulator::Counts(counts), Accumulator::Counts(more)) => counts.merge(more),
            (Accumulator::Newest(newest), Accumulator::Newest(Some(row))) => {
                offer_row(newest, held_value(row), row.0, |new, old| new > old);
            }
            (Accumulator::Oldest(oldest), Accumulator::Oldest(Some(row))) => {
                offer_row(oldest, held_value(row), row.0, |new, old| new < old);
            }
            _ => {}
        }
    }

    /// Heap bytes.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Accumulator::Count(_) => 0,
            Accumulator::Sum(sum) => sum.total.heap_bytes(),
            Accumulator::Moments(m) => size_of::<Moments>() + m.sum.total.heap_bytes() + m.squares.heap_bytes(),
            Accumulator::Min(value) | Accumulator::Max(value) => value.as_ref().map_or(0, text_bytes),
            Accumulator::First(row) | Accumulator::Last(row) => {
                row.as_ref().map_or(0, |row| size_of::<(RowOrder, Scalar)>() + text_bytes(&row.1))
            }
            Accumulator::Distinct(distinct) => distinct.heap_bytes(),
            Accumulator::Quantile(sketch) => sketch.heap_bytes(),
            Accumulator::Counts(counts) => counts.heap_bytes(),
            Accumulator::Newest(row) | Accumulator::Oldest(row) => {
                row.as_ref().map_or(0, |row| size_of::<HeldRow>() + row.1.as_ref().map_or(0, text_bytes))
            }
        }
    }
}

fn text_bytes(value: &Scalar) -> usize {
    match value {
        Scalar::Text(text) => text.len(),
        Scalar::Int(_) | Scalar::Float(_) => 0,
    }
}

fn offer(held: &mut Option<Scalar>, value: Value<'_>, better: impl Fn(Value<'_>, Value<'_>) -> bool) {
    if held.as_ref().is_none_or(|held| better(value, held.as_value())) {
        *held = value.to_scalar();
    }
}

fn held_value(row: &HeldRow) -> Value<'_> {
    row.1.as_ref().map_or(Value::Null, Scalar::as_value)
}

fn offer_row(
    held: &mut Option<Box<HeldRow>>,
    value: Value<'_>,
    order: RowOrder,
    better: impl Fn(RowOrder, RowOrder) -> bool,
) {
    if held.as_ref().is_none_or(|held| better(order, held.0)) {
        *held = Some(Box::new((order, value.to_scalar())));
    }
}

fn offer_ordered(
    held: &mut Option<Box<(RowOrder, Scalar)>>,
    value: Value<'_>,
    order: RowOrder,
    better: impl Fn(RowOrder, RowOrder) -> bool,
) {
    if held.as_ref().is_none_or(|held| better(order, held.0)) {
        *held = value.to_scalar().map(|value| Box::new((order, value)));
    }
}
