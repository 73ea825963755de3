//! Distributions against tables and against sums that need no cleverness.

use super::super::stats::*;

fn close(got: f64, expected: f64, relative: f64) {
    assert!((got - expected).abs() <= relative * expected.abs(), "{got:e} is not {expected:e}");
}

#[test]
fn the_gamma_function_meets_factorials() {
    let mut factorial: f64 = 1.0;
    for n in 1..60u32 {
        factorial *= f64::from(n);
        close(ln_gamma(f64::from(n) + 1.0).exp(), factorial, 2e-13);
    }
    close(ln_gamma(0.5).exp(), std::f64::consts::PI.sqrt(), 1e-14);
}

#[test]
fn chi_squared_quantiles_meet_the_tables() {
    for (df, tail, expected) in [
        (1, 0.001, 10.827566170662733),
        (1, 0.05, 3.841458820694124),
        (2, 0.001, 13.815510557964274),
        (5, 0.01, 15.08627246938899),
        (9, 0.001, 27.877164871256568),
        (9, 0.01, 21.665994333461924),
        (64, 0.05, 83.67526074272097),
        (100, 0.001, 149.44925277903886),
    ] {
        close(chi2_quantile(df, tail), expected, 1e-11);
        close(chi2_tail(df, expected), tail, 1e-11);
    }
}

#[test]
fn small_tails_keep_their_digits() {
    // Two degrees of freedom: exp(-x / 2).
    for x in [1.0, 10.0, 100.0, 1_000.0] {
        close(chi2_tail(2, x), (-x / 2.0_f64).exp(), 1e-11);
    }
    close(poisson_at_most(0, 30.0), (-30.0_f64).exp(), 1e-11);
    close(binomial_tail(20, 20, 0.01), 1e-40, 1e-11);
}

#[test]
fn poisson_and_binomial_tails_meet_their_sums() {
    for (k, mean) in [(0u64, 3.0), (3, 3.0), (10, 3.0), (50, 100.0), (110, 100.0)] {
        let mut term = f64::exp(-mean);
        let mut sum = term;
        for i in 1..=k {
            term *= mean / i as f64;
            sum += term;
        }
        close(poisson_at_most(k, mean), sum, 1e-11);
    }
    for (n, p) in [(10u64, 0.3), (40, 0.02), (40, 0.9)] {
        for k in 0..=n {
            close(binomial_tail(k, n, p), (k..=n).map(|i| binomial(n, i, p)).sum(), 1e-10);
        }
    }
}

fn choose(n: u64, k: u64) -> f64 {
    (0..k).map(|i| (n - i) as f64 / (i + 1) as f64).product()
}

fn binomial(n: u64, k: u64, p: f64) -> f64 {
    choose(n, k) * p.powi(k as i32) * (1.0 - p).powi((n - k) as i32)
}

#[test]
fn fisher_meets_its_sum() {
    let (n, m) = (30, 12);
    for marked in 0..=20 {
        let probability = |b: u64| choose(m, b) * choose(n, marked - b) / choose(n + m, marked);
        let all: Vec<u64> = (marked.saturating_sub(n)..=marked.min(m)).collect();
        for b in &all {
            let above: f64 = all.iter().filter(|other| *other >= b).map(|b| probability(*b)).sum();
            let below: f64 = all.iter().filter(|other| *other <= b).map(|b| probability(*b)).sum();
            let tail = if b * (n + m) >= marked * m { above } else { below };
            close(fisher(marked - b, n, *b, m), (2.0 * tail).min(1.0), 1e-10);
        }
    }
}
