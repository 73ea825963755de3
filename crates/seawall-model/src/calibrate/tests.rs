use proptest::prelude::*;
use seawall_base::{Rng, SeededRng};

use super::*;

/// Log-odds from -3 to 3, and outcomes drawn from them.
fn drawn(count: usize) -> (Vec<f64>, Vec<bool>) {
    let random = SeededRng::new(7);
    let uniform = || {
        let mut bytes = [0u8; 8];
        random.fill(&mut bytes);
        (u64::from_le_bytes(bytes) >> 11) as f64 / (1u64 << 53) as f64
    };
    let odds: Vec<f64> = (0..count).map(|_| 6.0 * uniform() - 3.0).collect();
    let positive = odds.iter().map(|odds| uniform() < sigmoid(*odds)).collect();
    (odds, positive)
}

fn log_loss(calibrator: &Calibrator, raw: &[f64], positive: &[bool]) -> f64 {
    let loss = |(raw, positive): (&f64, &bool)| {
        let p = calibrator.probability(*raw);
        -(if *positive { p } else { 1.0 - p }).ln()
    };
    raw.iter().zip(positive).map(loss).sum::<f64>() / raw.len() as f64
}

#[test]
fn a_distorted_score_becomes_a_probability_again() {
    let (odds, positive) = drawn(8_000);
    let raw: Vec<f64> = odds.iter().map(|odds| 3.0 * odds + 2.0).collect();
    let (older, newer) = (0..4_000, 4_000..8_000);
    let before = log_loss(&Calibrator::None {}, &raw[newer.clone()], &positive[newer.clone()]);
    let best = log_loss(&Calibrator::None {}, &odds[newer.clone()], &positive[newer.clone()]);
    for method in [Calibration::Platt, Calibration::Isotonic] {
        let fitted = Calibrator::fit(method, &raw[older.clone()], &positive[older.clone()]).unwrap();
        fitted.check().unwrap();
        let after = log_loss(&fitted, &raw[newer.clone()], &positive[newer.clone()]);
        assert!(after < before - 0.2 && after < best + 0.02, "{method:?}: {before} to {after}, at best {best}");
    }
    let Calibrator::Platt { slope, intercept } = Calibrator::fit(Calibration::Platt, &raw, &positive).unwrap() else {
        panic!("Platt was asked for")
    };
    assert!((slope - 1.0 / 3.0).abs() < 0.02 && (intercept + 2.0 / 3.0).abs() < 0.08, "{slope} {intercept}");
}

#[test]
fn separable_and_constant_scores_stay_finite() {
    let positive: Vec<bool> = (0..100).map(|i| i >= 50).collect();
    for raw in [(0..100).map(f64::from).collect::<Vec<_>>(), vec![0.0; 100], vec![5.0; 100]] {
        for method in [Calibration::Platt, Calibration::Isotonic] {
            let fitted = Calibrator::fit(method, &raw, &positive).unwrap();
            fitted.check().unwrap();
            for raw in [f64::MIN, -1.0, 0.0, 49.5, 200.0, f64::MAX] {
                let p = fitted.probability(raw);
                assert!((0.0..=1.0).contains(&p), "{method:?} at {raw}: {p}");
            }
        }
    }
}

#[test]
fn both_classes_are_needed() {
    for positive in [vec![], vec![true], vec![false, false]] {
        let raw = vec![0.5; positive.len()];
        assert_eq!(Calibrator::fit(Calibration::Platt, &raw, &positive).unwrap_err().code(), "SW1005");
    }
    assert_eq!(Calibrator::fit(Calibration::None, &[], &[]).unwrap(), Calibrator::None {});
}

#[test]
fn refuses_damaged_calibrators() {
    let isotonic =
        |starts: &[f64], values: &[f64]| Calibrator::Isotonic { starts: starts.to_vec(), values: values.to_vec() };
    isotonic(&[0.0, 1.0], &[0.2, 0.2]).check().unwrap();
    for broken in [
        isotonic(&[], &[]),
        isotonic(&[0.0], &[0.1, 0.2]),
        isotonic(&[1.0, 0.0], &[0.1, 0.2]),
        isotonic(&[0.0, 1.0], &[0.2, 0.1]),
        isotonic(&[0.0], &[1.5]),
        Calibrator::Platt { slope: f64::NAN, intercept: 0.0 },
    ] {
        assert!(broken.check().is_err(), "{broken:?}");
    }
}

/// The isotonic fit at `i` by its definition: the greatest, over beginnings, of the least mean, over ends.
fn oracle(outcomes: &[f64], i: usize) -> f64 {
    let mean = |from: usize, to: usize| outcomes[from..=to].iter().sum::<f64>() / (to - from + 1) as f64;
    let least = |from: usize| (i..outcomes.len()).map(|to| mean(from, to)).fold(f64::INFINITY, f64::min);
    (0..=i).map(least).fold(f64::NEG_INFINITY, f64::max)
}

proptest! {
    #[test]
    fn isotonic_is_what_its_definition_says(positive in prop::collection::vec(any::<bool>(), 2..40)) {
        prop_assume!(positive.contains(&true) && positive.contains(&false));
        let raw: Vec<f64> = (0..positive.len()).map(|i| i as f64 / 3.0).collect();
        let outcomes: Vec<f64> = positive.iter().map(|p| f64::from(u8::from(*p))).collect();
        let fitted = Calibrator::fit(Calibration::Isotonic, &raw, &positive).unwrap();
        fitted.check().unwrap();
        let edge = 1.0 / (raw.len() as f64 + 2.0);
        for (i, raw) in raw.iter().enumerate() {
            let wanted = oracle(&outcomes, i).clamp(edge, 1.0 - edge);
            prop_assert!((fitted.probability(*raw) - wanted).abs() < 1e-12);
        }
    }
}
