//! Tests of the aggregates: exactness, independence of order and grouping, canonical bytes, accuracy of sketches.

use num_bigint::{BigInt, BigUint};
use proptest::prelude::*;
use seawall_base::Instant;

use super::bytes::{Reader, Writer};
use super::*;

fn aggregate(kind: Kind) -> Aggregate {
    Aggregate { kind, scale: 0 }
}

fn of(kind: Kind, values: &[Value<'_>]) -> Accumulator {
    let aggregate = aggregate(kind);
    let mut accumulator = aggregate.empty();
    for (index, value) in values.iter().enumerate() {
        accumulator.update(aggregate.prepare(*value, RowOrder::before(Instant(index as i64))));
    }
    accumulator
}

fn floats(values: &[f64]) -> Vec<Value<'static>> {
    values.iter().map(|x| Value::Float(normal(*x))).collect()
}

fn float(kind: Kind, finish: Finish, values: &[f64]) -> f64 {
    match finish.finalize(&of(kind, &floats(values))).unwrap() {
        Some(Scalar::Float(value)) => value,
        other => panic!("no float: {other:?}"),
    }
}

fn sum(values: &[f64]) -> f64 {
    float(Kind::Sum, Finish::SumOfFloats, values)
}

#[test]
fn sums_are_exact() {
    let check = |values: &[f64], expected: f64| {
        assert_eq!(sum(values).to_bits(), expected.to_bits(), "{values:?}");
        let reversed: Vec<f64> = values.iter().rev().copied().collect();
        assert_eq!(sum(&reversed).to_bits(), expected.to_bits(), "{reversed:?}");
    };
    check(&[0.1, 0.2, 0.3], 0.6);
    check(&[0.1; 10], 1.0);
    check(&[1e16, 1.0, -1e16], 1.0);
    check(&[f64::MAX, f64::MAX, -f64::MAX], f64::MAX);
    check(&[f64::MAX, f64::MAX, -f64::MAX, -f64::MAX, 5e-324], 5e-324);
    check(&[f64::MAX, f64::MAX], f64::INFINITY);
    check(&[-f64::MAX, -f64::MAX], f64::NEG_INFINITY);
    check(&[5e-324, 5e-324], 1e-323);
    check(&[f64::MIN_POSITIVE, -5e-324], f64::from_bits(f64::MIN_POSITIVE.to_bits() - 1));
    check(&[-0.0, -0.0], 0.0);
    check(&[1.0, -1.0], 0.0);
    // Ties go to the even neighbour; the slightest excess decides otherwise.
    check(&[1.0, f64::EPSILON / 2.0], 1.0);
    check(&[1.0, f64::EPSILON / 2.0, 5e-324], 1.0 + f64::EPSILON);
    check(&[1.0 + f64::EPSILON, f64::EPSILON / 2.0], 1.0 + 2.0 * f64::EPSILON);
    check(&[f64::INFINITY, 1.0], f64::INFINITY);
    check(&[f64::INFINITY, f64::NEG_INFINITY], f64::NAN);
    check(&[f64::NAN, 1.0], f64::NAN);
}

#[test]
fn means_and_variances_are_rounded_once() {
    let mean = |values: &[f64]| float(Kind::Sum, Finish::Mean { scale: 0 }, values);
    let variance = |values: &[f64]| float(Kind::Moments, Finish::Variance { scale: 0 }, values);
    assert_eq!(mean(&[f64::MAX, f64::MAX]), f64::MAX);
    assert_eq!(mean(&[5e-324, 5e-324, 5e-324]), 5e-324);
    assert_eq!(mean(&[1.0, 2.0]), 1.5);
    // The textbook formula loses every digit of this one.
    assert_eq!(variance(&[1e9 + 4.0, 1e9 + 7.0, 1e9 + 13.0, 1e9 + 16.0]), 30.0);
    assert_eq!(variance(&[0.1, 0.1, 0.1]), 0.0);
    assert_eq!(variance(&[f64::MAX, -f64::MAX]), f64::INFINITY);
    assert!(variance(&[f64::INFINITY, 1.0]).is_nan());
}

#[test]
fn decimals_keep_their_digits() {
    let aggregate = Aggregate { kind: Kind::Moments, scale: 2 };
    let mut moments = aggregate.empty();
    let mut sum = Aggregate { kind: Kind::Sum, scale: 2 }.empty();
    for cents in [110, 220, 330] {
        let order = RowOrder::before(Instant(0));
        moments.update(aggregate.prepare(Value::Int(cents), order));
        sum.update(aggregate.prepare(Value::Int(cents), order));
    }
    assert_eq!(Finish::SumOfDecimals.finalize(&sum).unwrap(), Some(Scalar::Int(660)));
    assert_eq!(Finish::Mean { scale: 2 }.finalize(&sum).unwrap(), Some(Scalar::Float(2.2)));
    assert_eq!(Finish::Variance { scale: 2 }.finalize(&moments).unwrap(), Some(Scalar::Float(1.21)));
}

#[test]
fn a_sum_that_does_not_fit_is_an_error_only_at_the_end() {
    let check = |finish: Finish, values: &[i128], expected: Option<i128>| {
        let values: Vec<Value<'_>> = values.iter().map(|v| Value::Int(*v)).collect();
        let result = finish.finalize(&of(Kind::Sum, &values));
        match expected {
            Some(expected) => assert_eq!(result.unwrap(), Some(Scalar::Int(expected))),
            None => assert_eq!(result.unwrap_err().code(), "SW0322"),
        }
    };
    let (max, min) = (i128::from(i64::MAX), i128::from(i64::MIN));
    let nines = 10i128.pow(38) - 1;
    check(Finish::SumOfIntegers, &[max, 1], None);
    check(Finish::SumOfIntegers, &[max, max, -max], Some(max));
    check(Finish::SumOfIntegers, &[min, max, -1], Some(-2));
    check(Finish::SumOfIntegers, &[min], Some(min));
    check(Finish::SumOfDecimals, &[nines, nines, nines, -nines, -nines], Some(nines));
    check(Finish::SumOfDecimals, &[nines, 1], None);
    check(Finish::SumOfDecimals, &[nines, nines, nines], None);
}

#[test]
fn too_few_values_have_no_value() {
    for (kind, finish) in [
        (Kind::Sum, Finish::SumOfFloats),
        (Kind::Sum, Finish::SumOfIntegers),
        (Kind::Sum, Finish::Mean { scale: 0 }),
        (Kind::Moments, Finish::Variance { scale: 0 }),
        (Kind::Min, Finish::Held),
        (Kind::Max, Finish::Held),
        (Kind::First, Finish::Held),
        (Kind::Last, Finish::Held),
        (Kind::Distinct, Finish::Distinct),
        (Kind::Quantile, Finish::Quantile { q: 0.5 }),
    ] {
        assert_eq!(finish.finalize(&of(kind, &[Value::Null])).unwrap(), None, "{kind:?}");
    }
    assert_eq!(Finish::Variance { scale: 0 }.finalize(&of(Kind::Moments, &[Value::Int(1)])).unwrap(), None);
    assert_eq!(Finish::Count.finalize(&of(Kind::Count, &[Value::Null])).unwrap(), Some(Scalar::Int(0)));
    assert_eq!(Finish::Count.finalize(&of(Kind::Rows, &[Value::Null])).unwrap(), Some(Scalar::Int(1)));
}

#[test]
fn nan_is_neither_least_nor_greatest() {
    for kind in [Kind::Min, Kind::Max] {
        assert_eq!(float(kind, Finish::Held, &[f64::NAN, 2.0]), 2.0);
    }
    assert_eq!(float(Kind::Max, Finish::Held, &[-1.0, f64::INFINITY]), f64::INFINITY);
    assert_eq!(float(Kind::Min, Finish::Held, &[-0.0]).to_bits(), 0);
}

#[test]
fn distinct_is_within_five_standard_errors_at_every_size() {
    let mut distinct = Distinct::default();
    let mut added = 0i128;
    for size in [1, 2, 3, 10, 100, 1_000, 5_000, 10_000, 20_000, 50_000, 200_000] {
        while added < size {
            let (register, rank) = super::distinct::register(Value::Int(added));
            distinct.add(register, rank);
            added += 1;
        }
        let error = (distinct.estimate() as f64 - size as f64).abs() / size as f64;
        assert!(error <= 5.0 * 1.04 / 64.0, "{size}: {}", distinct.estimate());
        assert!(size > 10 || distinct.estimate() == size as i64, "{size}: {}", distinct.estimate());
    }
}

#[test]
fn seven_values_under_one_name_are_counted_once() {
    let values: Vec<Value<'_>> = ["a", "b", "a", "a", "c", "b", "a"].into_iter().map(Value::Text).collect();
    assert_eq!(Finish::Distinct.finalize(&of(Kind::Distinct, &values)).unwrap(), Some(Scalar::Int(3)));
}

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        3 => -1e6..1e6,
        3 => any::<f64>(),
        1 => prop::sample::select(vec![0.1, 1e308, -1e308, f64::MAX, 5e-324, -5e-324, 1e-308, -0.0]),
    ]
}

const FLOAT_KINDS: [Kind; 13] = [
    Kind::Rows,
    Kind::Count,
    Kind::Sum,
    Kind::Moments,
    Kind::Min,
    Kind::Max,
    Kind::First,
    Kind::Last,
    Kind::Distinct,
    Kind::Quantile,
    Kind::Newest,
    Kind::Oldest,
    Kind::Counts,
];

fn encoded(accumulator: &Accumulator) -> Vec<u8> {
    let mut out = Writer::default();
    accumulator.encode(&mut out);
    out.0
}

proptest! {
    #[test]
    fn order_and_grouping_change_no_byte(
        values in prop::collection::vec(any_value(), 0..60),
        groups in prop::collection::vec(0usize..5, 60),
        turn in 0usize..60,
    ) {
        for kind in FLOAT_KINDS {
            let aggregate = aggregate(kind);
            let mut parts: Vec<Accumulator> = (0..5).map(|_| aggregate.empty()).collect();
            let mut whole = aggregate.empty();
            for (index, value) in values.iter().enumerate() {
                let input = aggregate.prepare(Value::Float(normal(*value)), RowOrder::before(Instant(index as i64)));
                whole.update(input);
                parts[groups[index]].update(input);
            }
            parts.rotate_left(turn % 5);
            let mut merged = aggregate.empty();
            parts.iter().for_each(|part| merged.merge(part));
            prop_assert_eq!(encoded(&merged), encoded(&whole), "{:?}", kind);

            let bytes = encoded(&whole);
            let mut from = Reader(&bytes);
            let again = Accumulator::decode(kind, Class::Float, &mut from).unwrap();
            prop_assert!(from.0.is_empty());
            prop_assert_eq!(encoded(&again), bytes);
        }
    }

    #[test]
    fn one_double_sums_to_itself(x in any::<f64>()) {
        prop_assert_eq!(sum(&[x]).to_bits(), normal(x).to_bits());
        prop_assert_eq!(float(Kind::Sum, Finish::Mean { scale: 0 }, &[x, x, x]).to_bits(), normal(x).to_bits());
    }

    #[test]
    fn two_doubles_sum_as_the_processor_says(x in any_value(), y in any_value()) {
        prop_assert_eq!(sum(&[x, y]).to_bits(), normal(x + y).to_bits());
    }

    #[test]
    fn a_quotient_is_rounded_as_the_processor_says(x in -(1i64 << 53)..1 << 53, y in 1u64..1 << 53) {
        let expected = normal(x as f64 / y as f64);
        prop_assert_eq!(round_ratio(&BigInt::from(x), &BigUint::from(y), 0).to_bits(), expected.to_bits());
    }

    #[test]
    fn a_small_ratio_is_rounded_like_any_other(
        numerator in prop_oneof![any::<i128>(), -1_000i128..1_000, any::<i64>().prop_map(i128::from)],
        denominator in prop_oneof![1u64..100, 1u64..1 << 62],
        exponent in prop_oneof![-60i32..10, -1_200i32..1_000],
    ) {
        let expected = round_ratio(&BigInt::from(numerator), &BigUint::from(denominator), exponent);
        let small = exact::round_small_ratio(numerator, denominator, exponent).unwrap();
        prop_assert_eq!(small.to_bits(), expected.to_bits());
    }

    #[test]
    fn quantiles_are_within_one_percent(
        mut values in prop::collection::vec(prop_oneof![-1e9..1e9, any::<f64>()], 1..200),
        q in 0.0..=1.0,
    ) {
        values.retain(|x: &f64| x.is_normal() || *x == 0.0);
        prop_assume!(!values.is_empty());
        let got = float(Kind::Quantile, Finish::Quantile { q }, &values);
        values.sort_by(f64::total_cmp);
        let truth = values[(q * (values.len() - 1) as f64) as usize];
        prop_assert!((got - truth).abs() <= 0.01 * truth.abs(), "{} for {}", got, truth);
    }

    #[test]
    fn garbage_is_an_error(bytes in prop::collection::vec(any::<u8>(), 0..100), class in 0usize..3) {
        let class = [Class::Float, Class::Text, Class::Integer][class];
        for kind in FLOAT_KINDS {
            if let Ok(mut accumulator) = Accumulator::decode(kind, class, &mut Reader(&bytes)) {
                accumulator.merge(&accumulator.clone());
                for finish in [Finish::SumOfFloats, Finish::SumOfIntegers, Finish::Mean { scale: 2 },
                    Finish::Variance { scale: 2 }, Finish::Distinct, Finish::DistinctExact, Finish::MostFrequent, Finish::Quantile { q: 0.5 }, Finish::Held] {
                    let _ = finish.finalize(&accumulator);
                }
            }
        }
    }
}
