//! Bounds and sets: whether a limit lets more or less through than it did.

use std::cmp::Ordering;

use serde_json::{Number, Value};

use super::super::instant::{self, Zone};
use super::super::model::{Bound, LogicalTypeOptions};
use super::super::text;

/// What a change of a limit does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Same,
    /// Everything that passed passes, and perhaps more.
    Looser,
    /// Something that passed may not pass.
    Tighter,
}

/// Which end a bound is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Low,
    High,
}

/// A bound that is in force.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Limit {
    bound: Bound,
    exclusive: bool,
}

impl Limit {
    /// For people: `>= 0`.
    pub(super) fn words(&self, end: End) -> Value {
        let sign = match (end, self.exclusive) {
            (End::Low, false) => ">=",
            (End::Low, true) => ">",
            (End::High, false) => "<=",
            (End::High, true) => "<",
        };
        let value = match &self.bound {
            Bound::Flag(flag) => flag.to_string(),
            Bound::Number(number) => number.to_string(),
            Bound::Text(text) => text.clone(),
        };
        Value::String(format!("{sign} {value}"))
    }
}

/// The bounds at one end: usually one; two when an inclusive and an exclusive one are given.
pub(super) fn limits(options: &LogicalTypeOptions, end: End) -> Vec<Limit> {
    let (inclusive, exclusive) = match end {
        End::Low => (&options.minimum, &options.exclusive_minimum),
        End::High => (&options.maximum, &options.exclusive_maximum),
    };
    let is_flagged = matches!(exclusive, Some(Bound::Flag(true)));
    let mut limits = Vec::new();
    limits.extend(inclusive.iter().map(|bound| Limit { bound: bound.clone(), exclusive: is_flagged }));
    let own = exclusive.iter().filter(|bound| !matches!(bound, Bound::Flag(_)));
    limits.extend(own.map(|bound| Limit { bound: bound.clone(), exclusive: true }));
    limits
}

/// What becomes of the bounds at one end: looser when each of the new ones is implied by one of the old.
pub(super) fn turn(old: &[Limit], new: &[Limit], end: End) -> Turn {
    if old == new {
        return Turn::Same;
    }
    let is_implied = |limit: &Limit| old.iter().any(|known| implies(known, limit, end));
    if new.iter().all(is_implied) { Turn::Looser } else { Turn::Tighter }
}

/// Whether everything within `known` is within `limit`.
fn implies(known: &Limit, limit: &Limit, end: End) -> bool {
    match (order(&known.bound, &limit.bound), end) {
        (Some(Ordering::Equal), _) => known.exclusive || !limit.exclusive,
        (Some(Ordering::Greater), End::Low) | (Some(Ordering::Less), End::High) => true,
        (Some(_), _) | (None, _) => false,
    }
}

fn order(left: &Bound, right: &Bound) -> Option<Ordering> {
    match (left, right) {
        (Bound::Number(left), Bound::Number(right)) => numbers(left, right),
        (Bound::Text(left), Bound::Text(right)) if left == right => Some(Ordering::Equal),
        (Bound::Text(left), Bound::Text(right)) => moments(left, right),
        _ => None,
    }
}

/// Which of two numbers is greater, exactly for whole ones.
pub(super) fn numbers(left: &Number, right: &Number) -> Option<Ordering> {
    let whole = |number: &Number| number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
    match (whole(left), whole(right)) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
    }
}

/// Which of two dates, timestamps or times is later, when both are written in a form that needs no contract.
fn moments(left: &str, right: &str) -> Option<Ordering> {
    let utc = Zone::utc();
    if let (Ok(left), Ok(right)) = (text::date(left), text::date(right)) {
        return Some(left.cmp(&right));
    }
    if let (Ok(left), Ok(right)) = (instant::timestamp(left, &utc), instant::timestamp(right, &utc)) {
        return Some(left.cmp(&right));
    }
    match (text::time_of_day(left), text::time_of_day(right)) {
        (Ok(left), Ok(right)) => Some(left.cmp(&right)),
        _ => None,
    }
}

/// A count that may not be exceeded, or must be reached.
pub(super) fn count(old: Option<u64>, new: Option<u64>, end: End) -> Turn {
    let looser = match (old, new) {
        _ if old == new => return Turn::Same,
        (_, None) => true,
        (None, _) => false,
        (Some(old), Some(new)) => (new > old) == (end == End::High),
    };
    if looser { Turn::Looser } else { Turn::Tighter }
}

/// A set of allowed values.
pub(super) fn set(old: Option<&[Value]>, new: Option<&[Value]>) -> Turn {
    match (old, new) {
        _ if old == new => Turn::Same,
        (_, None) => Turn::Looser,
        (None, Some(_)) => Turn::Tighter,
        (Some(old), Some(new)) if old.iter().all(|value| new.contains(value)) => Turn::Looser,
        (Some(_), Some(_)) => Turn::Tighter,
    }
}
