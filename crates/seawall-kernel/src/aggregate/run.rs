//! Runs of rows: an accumulator takes in consecutive values of a column at once.
//!
//! [`Accumulator::update_run`] does what [`Aggregate::prepare`] and [`Accumulator::update`] do row by row, to the bit; the
//! kinds that are asked for most go through a column's numbers without looking at what they are for each of them.

use std::cmp::Ordering;
use std::ops::Range;

use arrow::array::{Array, Float64Array, Int64Array};

use super::value::{Column, Scalar, Value, normal};
use super::{Accumulator, Aggregate, Kind, RowOrder, Sum, compare, offer, term};

impl Accumulator {
    /// Takes in the values in `rows` of `column` (none for an aggregate over rows); `order` is the place of a row in the
    /// total order.
    pub(crate) fn update_run(
        &mut self,
        aggregate: Aggregate,
        column: Option<&Column>,
        rows: Range<usize>,
        order: impl Fn(usize) -> RowOrder,
    ) {
        let Some(column) = column else {
            return self.update_rows(aggregate, rows, order);
        };
        match (&mut *self, aggregate.kind, column) {
            (Accumulator::Sum(sum), Kind::Sum, Column::Int(values)) => add_integers(sum, values, rows),
            (Accumulator::Sum(sum), Kind::Sum, Column::Float(values)) => add_floats(sum, values, rows),
            (Accumulator::Min(held), Kind::Min, Column::Float(values)) => {
                offer_float(held, values, rows, Ordering::Less)
            }
            (Accumulator::Max(held), Kind::Max, Column::Float(values)) => {
                offer_float(held, values, rows, Ordering::Greater);
            }
            (Accumulator::Min(held), Kind::Min, Column::Int(values)) => {
                offer_integer(held, values, rows, Ordering::Less)
            }
            (Accumulator::Max(held), Kind::Max, Column::Int(values)) => {
                offer_integer(held, values, rows, Ordering::Greater);
            }
            _ => rows.for_each(|row| self.update(aggregate.prepare(column.value(row), order(row)))),
        }
    }

    /// Takes in rows whatever their values.
    fn update_rows(&mut self, aggregate: Aggregate, rows: Range<usize>, order: impl Fn(usize) -> RowOrder) {
        match (&mut *self, aggregate.kind) {
            (Accumulator::Count(count), Kind::Rows) => *count += rows.len() as u64,
            _ => rows.for_each(|row| self.update(aggregate.prepare(Value::Null, order(row)))),
        }
    }
}

fn add_integers(sum: &mut Sum, values: &Int64Array, rows: Range<usize>) {
    // Fewer than 2^63 integers of 64 bits cannot leave 128 bits.
    let mut total = 0i128;
    for row in rows {
        if values.is_valid(row) {
            sum.count += 1;
            total += i128::from(values.value(row));
        }
    }
    sum.total.add(total, 0);
}

fn add_floats(sum: &mut Sum, values: &Float64Array, rows: Range<usize>) {
    for row in rows {
        if values.is_valid(row) {
            sum.update(term(Value::Float(values.value(row))));
        }
    }
}

/// Offers the least or the greatest number of the run; NaN is neither.
fn offer_float(held: &mut Option<Scalar>, values: &Float64Array, rows: Range<usize>, better: Ordering) {
    let mut best: Option<f64> = None;
    for row in rows {
        let value = normal(values.value(row));
        if values.is_valid(row) && !value.is_nan() && best.is_none_or(|best| value.total_cmp(&best) == better) {
            best = Some(value);
        }
    }
    if let Some(best) = best {
        offer(held, Value::Float(best), |a, b| compare(a, b) == better);
    }
}

fn offer_integer(held: &mut Option<Scalar>, values: &Int64Array, rows: Range<usize>, better: Ordering) {
    let mut best: Option<i64> = None;
    for row in rows {
        let value = values.value(row);
        if values.is_valid(row) && best.is_none_or(|best| value.cmp(&best) == better) {
            best = Some(value);
        }
    }
    if let Some(best) = best {
        offer(held, Value::Int(i128::from(best)), |a, b| compare(a, b) == better);
    }
}
