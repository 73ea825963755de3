//! The rule of features written down once more, over plain vectors: no tiles, no state, none of the kernel's aggregates.
//! Sums are big integers, and the nearest double is found by bisection over all doubles.

use std::cmp::Ordering;

use num_bigint::BigInt;
use seawall_base::declare::{Aggregation, Feature, Measure, Part, WindowEdge};
use seawall_base::{Cut, FeatureStatus, Instant, Offset, Partition, RowId, Span};

use super::fixture::{Payment, Plain};

/// A decision, in the test's own words.
#[derive(Debug, Clone)]
pub struct Decision {
    pub card: Option<String>,
    pub shop: Option<i64>,
    pub at: i64,
    pub known: i64,
    pub cut: Option<Cut>,
    pub own: Option<String>,
}

pub fn answer(history: &[Payment], decision: &Decision, feature: &Feature) -> (Plain, FeatureStatus) {
    if decision.card.is_none() || decision.shop.is_none() {
        return (Plain::Null, FeatureStatus::NotFound);
    }
    let mut rows: Vec<&Payment> = history.iter().filter(|row| visible(row, decision)).collect();
    rows.sort_by_key(|row| (row.at, row.available, row.partition, row.lsn));
    let Some(newest) = rows.last().copied() else {
        let of_nothing = match feature.aggregation {
            Aggregation::Count { .. } => Plain::Int(0),
            Aggregation::Rate { column: None, .. } => Plain::Bits(0),
            _ => Plain::Null,
        };
        return (of_nothing, FeatureStatus::NotFound);
    };
    if feature.filter.is_some() && feature.aggregation.is_of_one_row()
        || feature.aggregation == Aggregation::TimeSinceFirst
    {
        return of_one_row(&rows, decision, feature);
    }
    let inside: Vec<&Payment> =
        rows.into_iter().filter(|row| in_window(feature, row.at.unwrap(), decision.at)).collect();
    let counted: Vec<&Payment> = inside.iter().copied().filter(|row| passes(row, feature.filter.as_deref())).collect();
    let value = match &feature.aggregation {
        Aggregation::Ratio { of, to } => ratio(&side(&inside, of), &side(&inside, to)),
        Aggregation::Rate { column, per } => {
            let part = match column {
                None => Measure::Count { column: None },
                Some(column) => Measure::Sum { column: column.clone() },
            };
            let sum = side(&counted, &Part { measure: part, filter: None });
            let length = decision.at - begin(feature, decision.at);
            ratio(&sum.map(|sum| sum.times(per.0)), &Some(Side::Finite(BigInt::from(length), BigInt::from(1))))
        }
        Aggregation::Latest { column } if !inside.is_empty() => value(newest, column),
        Aggregation::TimeSince if !inside.is_empty() => {
            Plain::Bits(((decision.at - newest.at.unwrap()) as f64 / 1e6).to_bits())
        }
        Aggregation::Latest { .. } | Aggregation::TimeSince => Plain::Null,
        _ => aggregate(&feature.aggregation, &counted),
    };
    let status = match (&value, inside.is_empty()) {
        (Plain::Null, true) => FeatureStatus::OutsideTtl,
        (Plain::Null, false) => FeatureStatus::Null,
        _ => FeatureStatus::Present,
    };
    (value, status)
}

fn visible(row: &Payment, decision: &Decision) -> bool {
    let id = RowId { partition: Partition(row.partition as u32), offset: Offset(row.lsn as u64) };
    row.card == decision.card
        && row.shop == decision.shop
        && row.at.is_some_and(|at| at <= decision.at)
        && row.available < decision.known
        && decision.cut.as_ref().is_none_or(|cut| cut.contains(id))
        && (decision.own.is_none() || row.id != decision.own)
}

/// The newest row that passes the filter, or the first one, whatever its age but for a time to live.
fn of_one_row(rows: &[&Payment], decision: &Decision, feature: &Feature) -> (Plain, FeatureStatus) {
    let mut passing = rows.iter().filter(|row| passes(row, feature.filter.as_deref()));
    let is_first = feature.aggregation == Aggregation::TimeSinceFirst;
    let Some(row) = (if is_first { passing.next() } else { passing.next_back() }) else {
        return (Plain::Null, FeatureStatus::Null);
    };
    let event = row.at.unwrap();
    if !is_first && feature.window.is_some_and(|ttl| event <= decision.at - ttl.0) {
        return (Plain::Null, FeatureStatus::OutsideTtl);
    }
    let value = match &feature.aggregation {
        Aggregation::Latest { column } => value(row, column),
        _ => Plain::Bits(((decision.at - event) as f64 / 1e6).to_bits()),
    };
    let status = if value == Plain::Null { FeatureStatus::Null } else { FeatureStatus::Present };
    (value, status)
}

fn passes(row: &Payment, filter: Option<&str>) -> bool {
    filter.is_none_or(|filter| value(row, filter) == Plain::Int(1))
}

/// One side of a ratio: a quotient of integers, or what is not finite.
enum Side {
    Finite(BigInt, BigInt),
    Special(f64),
}

impl Side {
    fn times(self, factor: i64) -> Side {
        match self {
            Side::Finite(numerator, denominator) => Side::Finite(numerator * factor, denominator),
            special => special,
        }
    }
}

fn side(rows: &[&Payment], part: &Part) -> Option<Side> {
    let rows: Vec<&Payment> = rows.iter().copied().filter(|row| passes(row, part.filter.as_deref())).collect();
    let column = match &part.measure {
        Measure::Count { column } => {
            let counted = |row: &&&Payment| column.as_ref().is_none_or(|column| value(row, column) != Plain::Null);
            return Some(Side::Finite(BigInt::from(rows.iter().filter(counted).count()), BigInt::from(1)));
        }
        Measure::Sum { column } => column,
    };
    let values: Vec<Plain> = rows.iter().map(|row| value(row, column)).filter(|v| *v != Plain::Null).collect();
    let scale = if column == "d" { 2 } else { 0 };
    let mut exact = None;
    let sum = moment(&values, scale, |sums| {
        exact = Some((sums.x.clone(), sums.unit.clone()));
        (sums.x, sums.unit)
    });
    match (sum, exact) {
        (Plain::Null, _) => None,
        (_, Some((numerator, denominator))) => Some(Side::Finite(numerator, denominator)),
        (Plain::Bits(special), None) => Some(Side::Special(f64::from_bits(special))),
        other => panic!("{other:?}"),
    }
}

fn ratio(of: &Option<Side>, to: &Option<Side>) -> Plain {
    let (Some(of), Some(to)) = (of, to) else { return Plain::Null };
    let zero = BigInt::from(0);
    let quotient = match (of, to) {
        (_, Side::Finite(to, _)) if *to == zero => return Plain::Null,
        (Side::Finite(a, b), Side::Finite(c, d)) => {
            let (numerator, denominator) = (a * d, b * c);
            if denominator < zero { nearest(&-numerator, &-denominator) } else { nearest(&numerator, &denominator) }
        }
        (Side::Special(of), Side::Finite(to, _)) => {
            if *to < zero {
                -of
            } else {
                *of
            }
        }
        (Side::Finite(..), Side::Special(to)) if to.is_infinite() => 0.0,
        _ => f64::NAN,
    };
    Plain::Bits(if quotient.is_nan() { f64::NAN } else { quotient + 0.0 }.to_bits())
}

fn in_window(feature: &Feature, event: i64, at: i64) -> bool {
    let Some(window) = feature.window else { return true };
    let exact = feature.aggregation.is_of_one_row() || feature.edge == WindowEdge::Exact;
    if exact { event > at - window.0 } else { event >= begin(feature, at) }
}

/// Where the window of a feature begins; the instant itself is outside of an exact one.
fn begin(feature: &Feature, at: i64) -> i64 {
    let window = feature.window.unwrap();
    if feature.edge == WindowEdge::Exact {
        return at - window.0;
    }
    let hop = if window.0 >= 12 * Span::DAY.0 {
        Span::DAY
    } else if window.0 >= 12 * Span::HOUR.0 {
        Span::HOUR
    } else {
        Span::MINUTE
    };
    Instant(at - window.0).floor(hop).0
}

fn value(row: &Payment, column: &str) -> Plain {
    let float = |x: f64| {
        Plain::Bits(if x == 0.0 {
            0
        } else if x.is_nan() {
            f64::NAN.to_bits()
        } else {
            x.to_bits()
        })
    };
    match column {
        "x" => row.x.map_or(Plain::Null, float),
        "n" => row.n.map_or(Plain::Null, |n| Plain::Int(i128::from(n))),
        "d" => row.d.map_or(Plain::Null, Plain::Int),
        "s" => row.s.clone().map_or(Plain::Null, Plain::Text),
        "b" => row.b.map_or(Plain::Null, |b| Plain::Int(i128::from(b))),
        other => panic!("no column {other}"),
    }
}

fn aggregate(aggregation: &Aggregation, rows: &[&Payment]) -> Plain {
    let column = aggregation.columns().first().copied();
    let values: Vec<Plain> = match column {
        None => rows.iter().map(|_| Plain::Int(1)).collect(),
        Some(column) => rows.iter().map(|row| value(row, column)).filter(|v| *v != Plain::Null).collect(),
    };
    let scale = if column == Some("d") { 2u32 } else { 0 };
    match aggregation {
        Aggregation::Count { .. } => Plain::Int(values.len() as i128),
        Aggregation::Sum { .. } if column == Some("x") => moment(&values, 0, |sums| (sums.x, sums.unit)),
        Aggregation::Sum { .. } if values.is_empty() => Plain::Null,
        Aggregation::Sum { .. } => Plain::Int(values.iter().map(|v| if let Plain::Int(i) = v { *i } else { 0 }).sum()),
        Aggregation::Mean { .. } => moment(&values, scale, |sums| (sums.x, sums.unit * sums.n)),
        Aggregation::Variance { .. } if values.len() < 2 => Plain::Null,
        Aggregation::Variance { .. } if values.iter().any(not_finite) => Plain::Bits(f64::NAN.to_bits()),
        Aggregation::StdDev { column } => match aggregate(&Aggregation::Variance { column: column.clone() }, rows) {
            Plain::Bits(bits) => Plain::Bits(f64::from_bits(bits).sqrt().to_bits()),
            other => other,
        },
        Aggregation::Variance { .. } => moment(&values, scale, |s| {
            let numerator = &s.n * &s.xx - &s.x * &s.x;
            (numerator, &s.n * (&s.n - 1) * &s.unit * &s.unit)
        }),
        Aggregation::Min { .. } => ordered(values).into_iter().next().unwrap_or(Plain::Null),
        Aggregation::Max { .. } => ordered(values).into_iter().next_back().unwrap_or(Plain::Null),
        Aggregation::First { .. } => values.into_iter().next().unwrap_or(Plain::Null),
        Aggregation::Last { .. } => values.into_iter().next_back().unwrap_or(Plain::Null),
        Aggregation::Distinct { exact: false, .. } => distinct(&values),
        Aggregation::Distinct { exact: true, .. } => {
            let mut seen: Vec<&Plain> = Vec::new();
            values.iter().for_each(|value| {
                if !seen.contains(&value) {
                    seen.push(value)
                }
            });
            if seen.is_empty() { Plain::Null } else { Plain::Int(seen.len() as i128) }
        }
        Aggregation::MostFrequent { .. } => {
            let often = |value: &Plain| values.iter().filter(|other| *other == value).count();
            let most = values.iter().map(often).max().unwrap_or(0);
            let mut winners: Vec<Plain> = values.iter().filter(|value| often(value) == most).cloned().collect();
            winners.sort_by(by_value);
            winners.into_iter().next().unwrap_or(Plain::Null)
        }
        Aggregation::Quantile { q, .. } => quantile(&values, *q, scale),
        other => unreachable!("not a plain aggregate: {other:?}"),
    }
}

/// Numbers by size, NaN last; texts by bytes.
fn by_value(a: &Plain, b: &Plain) -> Ordering {
    match (a, b) {
        (Plain::Int(a), Plain::Int(b)) => a.cmp(b),
        (Plain::Text(a), Plain::Text(b)) => a.cmp(b),
        (Plain::Bits(a), Plain::Bits(b)) => f64::from_bits(*a).total_cmp(&f64::from_bits(*b)),
        _ => Ordering::Equal,
    }
}

fn not_finite(value: &Plain) -> bool {
    matches!(value, Plain::Bits(bits) if !f64::from_bits(*bits).is_finite())
}

fn ordered(mut values: Vec<Plain>) -> Vec<Plain> {
    values.retain(|v| !matches!(v, Plain::Bits(bits) if f64::from_bits(*bits).is_nan()));
    values.sort_by(|a, b| match (a, b) {
        (Plain::Int(a), Plain::Int(b)) => a.cmp(b),
        (Plain::Text(a), Plain::Text(b)) => a.cmp(b),
        (Plain::Bits(a), Plain::Bits(b)) => f64::from_bits(*a).partial_cmp(&f64::from_bits(*b)).unwrap(),
        _ => Ordering::Equal,
    });
    values
}

/// Exact sums of `unit`-ths.
struct Sums {
    n: BigInt,
    x: BigInt,
    xx: BigInt,
    unit: BigInt,
}

fn moment(values: &[Plain], scale: u32, quotient: impl FnOnce(Sums) -> (BigInt, BigInt)) -> Plain {
    if values.is_empty() {
        return Plain::Null;
    }
    let floats = || values.iter().filter_map(|v| if let Plain::Bits(b) = v { Some(f64::from_bits(*b)) } else { None });
    if floats().any(|x| !x.is_finite()) {
        let sum: f64 = floats().filter(|x| !x.is_finite()).sum();
        return Plain::Bits(if sum.is_nan() { f64::NAN.to_bits() } else { sum.to_bits() });
    }
    let is_float = floats().next().is_some();
    let unit = if is_float { BigInt::from(1) << 1074 } else { BigInt::from(10).pow(scale) };
    let mut sums = Sums { n: BigInt::from(values.len()), x: BigInt::from(0), xx: BigInt::from(0), unit };
    for v in values {
        let term = match v {
            Plain::Int(i) => BigInt::from(*i),
            Plain::Bits(bits) => in_units(f64::from_bits(*bits)),
            _ => panic!("not a number"),
        };
        sums.xx += &term * &term;
        sums.x += term;
    }
    let (numerator, denominator) = quotient(sums);
    Plain::Bits(nearest(&numerator, &denominator).to_bits())
}

/// `x * 2^1074`.
fn in_units(x: f64) -> BigInt {
    let bits = x.abs().to_bits();
    let (exponent, fraction) = ((bits >> 52) as u32, bits & ((1 << 52) - 1));
    let magnitude =
        if exponent == 0 { BigInt::from(fraction) } else { BigInt::from(fraction + (1 << 52)) << (exponent - 1) };
    if x < 0.0 { -magnitude } else { magnitude }
}

/// The double nearest to `p / q` with `q > 0`, ties to even, by bisection.
pub fn nearest(p: &BigInt, q: &BigInt) -> f64 {
    if *p < BigInt::from(0) {
        return -nearest(&-p, q) + 0.0;
    }
    // In units of 2^-1074; infinity stands for 2^1024, the next double if there were one.
    let p = p << 1074u32;
    let units = |bits: u64| {
        if bits == f64::INFINITY.to_bits() { BigInt::from(1) << 2098 } else { in_units(f64::from_bits(bits)) }
    };
    let (mut low, mut high) = (0u64, f64::INFINITY.to_bits());
    if units(high) * q <= p {
        return f64::INFINITY;
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if units(middle) * q <= p { low = middle } else { high = middle }
    }
    let twice: BigInt = &p * 2;
    match twice.cmp(&((units(low) + units(high)) * q)) {
        Ordering::Less => f64::from_bits(low),
        Ordering::Greater => f64::from_bits(high),
        Ordering::Equal => f64::from_bits(if low % 2 == 0 { low } else { high }),
    }
}

fn distinct(values: &[Plain]) -> Plain {
    if values.is_empty() {
        return Plain::Null;
    }
    let mut ranks = vec![0u32; 4096];
    for v in values {
        let mut bytes = Vec::new();
        match v {
            Plain::Int(i) => {
                bytes.push(1);
                let mut zigzag = if *i < 0 { (-*i as u128) * 2 - 1 } else { *i as u128 * 2 };
                while zigzag > 127 {
                    bytes.push((zigzag % 128) as u8 + 128);
                    zigzag /= 128;
                }
                bytes.push(zigzag as u8);
            }
            Plain::Bits(bits) => {
                bytes.push(2);
                bytes.extend(bits.to_le_bytes());
            }
            Plain::Text(text) => {
                assert!(text.len() < 128);
                bytes.push(3);
                bytes.push(text.len() as u8);
                bytes.extend(text.as_bytes());
            }
            Plain::Null => panic!("null"),
        }
        let hash = u64::from_le_bytes(blake3::hash(&bytes).as_bytes()[..8].try_into().unwrap());
        let register = (hash >> 52) as usize;
        let rank = (0..52).find(|bit| hash & (1 << (51 - bit)) != 0).unwrap_or(52) + 1;
        ranks[register] = ranks[register].max(rank);
    }
    // Few values: linear counting is the truth that any estimator must meet here.
    let empty = ranks.iter().filter(|rank| **rank == 0).count() as f64;
    Plain::Int((4096.0 * (4096.0 / empty).ln()).round() as i128)
}

fn quantile(values: &[Plain], q: f64, scale: u32) -> Plain {
    let mut numbers: Vec<f64> = Vec::new();
    for v in values {
        match v {
            Plain::Int(i) => numbers.push(nearest(&BigInt::from(*i), &BigInt::from(10).pow(scale))),
            Plain::Bits(bits) => numbers.push(f64::from_bits(*bits)),
            _ => panic!("not a number"),
        }
    }
    numbers.retain(|x| !x.is_nan());
    numbers.sort_by(f64::total_cmp);
    if numbers.is_empty() {
        return Plain::Null;
    }
    let x = numbers[((numbers.len() - 1) as f64 * q).floor() as usize];
    let magnitude = x.abs();
    if magnitude < f64::MIN_POSITIVE {
        return Plain::Bits(0);
    }
    if magnitude.is_infinite() {
        return Plain::Bits(x.to_bits());
    }
    // The middle of the 64th of a power of two that holds x.
    let power = f64::from_bits(magnitude.to_bits() >> 52 << 52);
    let part = ((magnitude / power - 1.0) * 64.0).floor();
    let middle = power * (1.0 + (part + 0.5) / 64.0);
    Plain::Bits(if x < 0.0 { -middle } else { middle }.to_bits())
}
