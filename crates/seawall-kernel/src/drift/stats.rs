//! The few distributions that verdicts rest on: gamma, chi-squared, binomial, Poisson, hypergeometric.
//!
//! Tails are computed as tails, never as one minus the other side, so that probabilities of 1e-9 and less keep their
//! digits.

/// Iterations after which a series or continued fraction is taken as it stands; they need about the square root of
/// their argument.
const ITERATIONS_MAX: u32 = 10_000_000;
/// Relative size of a term that no longer matters.
const NEGLIGIBLE: f64 = 1e-17;

/// Natural logarithm of the gamma function for `x > 0`: Lanczos' approximation with g = 7 and 9 terms (P. Godfrey,
/// 2001), relative error below 1e-14.
pub(crate) fn ln_gamma(x: f64) -> f64 {
    const COEFFICIENTS: [f64; 8] = [
        676.5203681218851,
        -1259.1392167224028,
        771.3234287776531,
        -176.6150291621406,
        12.507343278686905,
        -0.13857109526572012,
        9.984369578019572e-6,
        1.5056327351493116e-7,
    ];
    let below = x - 1.0;
    let mut series = 0.9999999999998099;
    for (index, coefficient) in COEFFICIENTS.iter().enumerate() {
        series += coefficient / (below + index as f64 + 1.0);
    }
    let shifted = below + 7.5;
    0.5 * (2.0 * std::f64::consts::PI).ln() + (below + 0.5) * shifted.ln() - shifted + series.ln()
}

/// Lower and upper regularized incomplete gamma functions P(a, x) and Q(a, x), for `a > 0`: by series below `a + 1`, by
/// Lentz's continued fraction above (Press et al., Numerical Recipes, 3rd edition, section 6.2).
pub(crate) fn incomplete_gamma(a: f64, x: f64) -> (f64, f64) {
    if x <= 0.0 || x.is_nan() {
        return (0.0, 1.0);
    }
    if x.is_infinite() {
        return (1.0, 0.0);
    }
    let front = (a * x.ln() - x - ln_gamma(a)).exp();
    if x < a + 1.0 {
        let lower = (front * gamma_series(a, x)).min(1.0);
        (lower, 1.0 - lower)
    } else {
        let upper = (front * gamma_fraction(a, x)).min(1.0);
        (1.0 - upper, upper)
    }
}

fn gamma_series(a: f64, x: f64) -> f64 {
    let mut term = 1.0 / a;
    let mut sum = term;
    for step in 1..ITERATIONS_MAX {
        term *= x / (a + f64::from(step));
        sum += term;
        if term < sum * NEGLIGIBLE {
            break;
        }
    }
    sum
}

fn gamma_fraction(a: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let mut b = x + 1.0 - a;
    let mut c = 1.0 / TINY;
    let mut d = 1.0 / b;
    let mut fraction = d;
    for step in 1..ITERATIONS_MAX {
        let step = f64::from(step);
        let numerator = -step * (step - a);
        b += 2.0;
        d = away_from_zero(numerator * d + b, TINY).recip();
        c = away_from_zero(b + numerator / c, TINY);
        let factor = d * c;
        fraction *= factor;
        if (factor - 1.0).abs() < 1e-16 {
            break;
        }
    }
    fraction
}

fn away_from_zero(value: f64, tiny: f64) -> f64 {
    if value.abs() < tiny { tiny } else { value }
}

/// Probability that a chi-squared variable with `df` degrees of freedom exceeds `x`: Q(df / 2, x / 2).
pub(crate) fn chi2_tail(df: u32, x: f64) -> f64 {
    incomplete_gamma(f64::from(df) / 2.0, x / 2.0).1
}

/// The value that a chi-squared variable with `df >= 1` degrees of freedom exceeds with probability `tail`: the inverse
/// of [`chi2_tail`] by bisection, to the last bit that it can tell.
pub(crate) fn chi2_quantile(df: u32, tail: f64) -> f64 {
    let mut high = f64::from(df) + 1.0;
    while chi2_tail(df, high) > tail && high < 1e9 {
        high *= 2.0;
    }
    let mut low = 0.0;
    loop {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            return high;
        }
        if chi2_tail(df, middle) > tail { low = middle } else { high = middle }
    }
}

/// Natural logarithm of the binomial coefficient.
fn ln_choose(n: f64, k: f64) -> f64 {
    ln_gamma(n + 1.0) - ln_gamma(k + 1.0) - ln_gamma(n - k + 1.0)
}

/// Probability of at least `k` successes in `n` trials of probability `p`, summed term by term.
pub(crate) fn binomial_tail(k: u64, n: u64, p: f64) -> f64 {
    if k == 0 || p >= 1.0 {
        return 1.0;
    }
    if k > n || p <= 0.0 {
        return 0.0;
    }
    let (trials, odds) = (n as f64, p / (1.0 - p));
    let first = |k: f64| (ln_choose(trials, k) + k * p.ln() + (trials - k) * (-p).ln_1p()).exp();
    if k as f64 > trials * p {
        // Above the mean the terms fall from here on.
        let ratio = |at: f64| (trials - at) / (at + 1.0) * odds;
        return falling_sum(first(k as f64), k as f64, 1.0, trials, ratio).min(1.0);
    }
    let ratio = |at: f64| at / (trials - at + 1.0) / odds;
    let below = k as f64 - 1.0;
    (1.0 - falling_sum(first(below), below, -1.0, 0.0, ratio)).clamp(0.0, 1.0)
}

/// Sums terms from the one at `from` up to the one at `end`, each the one before times `ratio` of its place.
fn falling_sum(first: f64, from: f64, step: f64, end: f64, ratio: impl Fn(f64) -> f64) -> f64 {
    let (mut term, mut sum, mut at) = (first, first, from);
    while at != end {
        let factor = ratio(at);
        term *= factor;
        sum += term;
        at += step;
        if factor < 1.0 && term <= sum * NEGLIGIBLE {
            break;
        }
    }
    sum
}

/// Probability that a Poisson variable of this mean is at most `k`: Q(k + 1, mean).
pub(crate) fn poisson_at_most(k: u64, mean: f64) -> f64 {
    incomplete_gamma(k as f64 + 1.0, mean).1
}

/// Fisher's exact test, two-sided by doubling the smaller tail: how likely two samples of `n` and `m` are to differ at
/// least so much in their numbers of marked members, `a` and `b`, if one chance marks both.
pub(crate) fn fisher(a: u64, n: u64, b: u64, m: u64) -> f64 {
    let (a, n, b, m) = (a as f64, n as f64, b as f64, m as f64);
    let marked = a + b;
    let (least, most) = ((marked - n).max(0.0), marked.min(m));
    let first = (ln_choose(m, b) + ln_choose(n, a) - ln_choose(n + m, marked)).exp();
    // Number of marked members of the second sample: each term from the one before.
    let up = |at: f64| (m - at) / (at + 1.0) * (marked - at) / (n - marked + at + 1.0);
    let down = |at: f64| at / (m - at + 1.0) * (n - marked + at) / (marked - at + 1.0);
    let tail = if b * (n + m) >= marked * m {
        falling_sum(first, b, 1.0, most, up)
    } else {
        falling_sum(first, b, -1.0, least, down)
    };
    (2.0 * tail).min(1.0)
}
