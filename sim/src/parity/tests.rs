//! The short form, and that the comparison sees one bit.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array};
use arrow::record_batch::RecordBatch;

use super::compare::differences;
use super::{Tally, history};

#[test]
fn served_values_equal_the_sweep_to_the_bit() {
    let mut tally = Tally::default();
    for seed in 1..=40 {
        tally.add(history(seed, 120).unwrap());
    }
    assert_eq!((tally.mismatched, &tally.examples), (0, &Vec::new()));
    assert!(tally.values > 50_000, "{tally:?}");
    let happened = [
        tally.late,
        tally.pending,
        tally.released,
        tally.repeated,
        tally.loaded,
        tally.restarts,
        tally.checkpoints,
        tally.redefined,
        tally.refused,
    ];
    assert!(happened.iter().all(|count| *count > 0), "everything must have happened: {tally:?}");
}

#[test]
fn the_same_seed_gives_the_same_history() {
    assert_eq!(history(5, 80).unwrap(), history(5, 80).unwrap());
    assert_ne!(history(5, 80).unwrap(), history(6, 80).unwrap());
}

fn values(floats: [Option<f64>; 3]) -> RecordBatch {
    let floats: ArrayRef = Arc::new(Float64Array::from(floats.to_vec()));
    let ints: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    RecordBatch::try_from_iter_with_nullable([("x", floats, true), ("n", ints, true)]).unwrap()
}

#[test]
fn one_bit_is_a_mismatch() {
    let check = |served, expected, differ: &[(usize, usize)]| {
        let mut tally = Tally::default();
        assert_eq!(differences(&values(served), &values(expected), &mut tally).unwrap(), differ);
        assert_eq!((tally.values, tally.mismatched), (6, differ.len() as u64));
    };
    let plain = [Some(0.1), Some(f64::NAN), None];
    check(plain, plain, &[]);
    check(plain, [Some(f64::from_bits(0.1f64.to_bits() + 1)), Some(f64::NAN), None], &[(0, 0)]);
    check([Some(0.0), None, None], [Some(-0.0), None, None], &[(0, 0)]);
    check([None, None, Some(0.0)], [None, None, None], &[(2, 0)]);
}
