//! Profiles: no outlier matters, chance is told from drift, counts merge in any order.

use std::sync::Arc;

use arrow::array::{
    Array, BooleanArray, Decimal128Array, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use proptest::prelude::*;

use super::super::profile::*;
use super::draws::Draws;

fn reference(values: &[f64]) -> Reference {
    Reference::of(&Float64Array::from(values.to_vec())).unwrap()
}

fn drift(reference: &Reference, column: &dyn Array) -> Drift {
    let mut window = Window::new(reference);
    window.add(reference, column);
    reference.compare(&window)
}

fn drift_of(reference: &Reference, values: &[f64]) -> Drift {
    drift(reference, &Float64Array::from(values.to_vec()))
}

#[test]
#[ignore]
fn simulate() {
    for alpha in [0.01, 0.001] {
        for m in [30, 50, 100, 200, 1_000] {
            let trials = 40_000;
            let mut found = 0;
            let mut draws = Draws::new(m as u64);
            let r = reference(&draws.normals(5_000, 0.0));
            for _ in 0..trials {
                let d = drift_of(&r, &draws.normals(m, 0.0));
                found += usize::from(d.psi_p_value <= alpha);
            }
            eprintln!("alpha {alpha} m {m}: {}", found as f64 / trials as f64 / alpha);
        }
    }
}
