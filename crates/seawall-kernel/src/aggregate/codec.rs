//! Canonical bytes of accumulators: equal multisets of inputs encode equally, whatever the order of updates and merges.

use seawall_base::error::Result;

use super::bytes::{Reader, Writer, garbage};
use super::{
    Accumulator, Class, Counts, Distinct, ExactSum, HeldRow, Kind, Moments, RowOrder, Scalar, Sketch, Specials, Sum,
    Value,
};

impl Accumulator {
    /// Writes the state; its kind is known from the plan.
    pub(crate) fn encode(&self, out: &mut Writer) {
        match self {
            Accumulator::Count(count) => out.varint(u128::from(*count)),
            Accumulator::Sum(sum) => sum.encode(out),
            Accumulator::Moments(moments) => {
                moments.sum.encode(out);
                moments.squares.encode(out);
            }
            Accumulator::Min(value) | Accumulator::Max(value) => {
                value.as_ref().map_or(Value::Null, Scalar::as_value).encode(out);
            }
            Accumulator::First(row) | Accumulator::Last(row) => {
                row.as_ref().map_or(Value::Null, |row| row.1.as_value()).encode(out);
                row.iter().for_each(|row| row.0.encode(out));
            }
            Accumulator::Distinct(distinct) => distinct.encode(out),
            Accumulator::Quantile(sketch) => sketch.encode(out),
            Accumulator::Counts(counts) => counts.encode(out),
            Accumulator::Newest(row) | Accumulator::Oldest(row) => {
                out.u8(u8::from(row.is_some()));
                if let Some(row) = row {
                    row.0.encode(out);
                    super::held_value(row).encode(out);
                }
            }
        }
    }

    /// Reads the state of an aggregate of `kind` over a column of `class`.
    pub(crate) fn decode(kind: Kind, class: Class, from: &mut Reader<'_>) -> Result<Self> {
        Ok(match kind {
            Kind::Rows | Kind::Count => Accumulator::Count(count(from)?),
            Kind::Sum => Accumulator::Sum(Sum::decode(from)?),
            Kind::Moments => {
                Accumulator::Moments(Box::new(Moments { sum: Sum::decode(from)?, squares: ExactSum::decode(from)? }))
            }
            Kind::Min => Accumulator::Min(value(class, from)?.to_scalar()),
            Kind::Max => Accumulator::Max(value(class, from)?.to_scalar()),
            Kind::First => Accumulator::First(row(class, from)?),
            Kind::Last => Accumulator::Last(row(class, from)?),
            Kind::Distinct => Accumulator::Distinct(Distinct::decode(from)?),
            Kind::Quantile => Accumulator::Quantile(Sketch::decode(from)?),
            Kind::Counts => Accumulator::Counts(Counts::decode(class, from)?),
            Kind::Newest => Accumulator::Newest(held_row(class, from)?),
            Kind::Oldest => Accumulator::Oldest(held_row(class, from)?),
        })
    }
}

impl Sum {
    fn encode(&self, out: &mut Writer) {
        out.varint(u128::from(self.count));
        out.u8(self.specials.0);
        self.total.encode(out);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self> {
        let count = count(from)?;
        let specials = Specials(from.u8()?);
        if specials.0 > 7 {
            return Err(garbage("a sum has an unknown special value"));
        }
        Ok(Sum { count, specials, total: ExactSum::decode(from)? })
    }
}

/// A number of rows; fewer than 2^48, so that merging cannot overflow.
fn count(from: &mut Reader<'_>) -> Result<u64> {
    let count = u64::try_from(from.varint()?).ok().filter(|count| *count < 1 << 48);
    count.ok_or_else(|| garbage("a number of rows is impossible"))
}

fn value<'a>(class: Class, from: &mut Reader<'a>) -> Result<Value<'a>> {
    let value = Value::decode(from)?;
    if value.fits(class) { Ok(value) } else { Err(garbage("a value is not of its column's type")) }
}

fn held_row(class: Class, from: &mut Reader<'_>) -> Result<Option<Box<HeldRow>>> {
    match from.u8()? {
        0 => Ok(None),
        1 => Ok(Some(Box::new((RowOrder::decode(from)?, value(class, from)?.to_scalar())))),
        _ => Err(garbage("a row is neither there nor absent")),
    }
}

fn row(class: Class, from: &mut Reader<'_>) -> Result<Option<Box<(RowOrder, Scalar)>>> {
    match value(class, from)?.to_scalar() {
        None => Ok(None),
        Some(value) => Ok(Some(Box::new((RowOrder::decode(from)?, value)))),
    }
}
