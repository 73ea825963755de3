//! The circuit breaker of a dataset: when too great a share of the rows of a window is refused, what is left may be
//! wrong as well, and the dataset halts until somebody has looked.

use seawall_base::Span;

/// Rows that a window must have before its share says anything.
const ROWS_MIN: u64 = 100;

/// `5% in 1h`: the share of refused rows above which a dataset halts, and the window that it is taken over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Breaker {
    /// The share, in percent.
    pub percent: f64,
    /// The window.
    pub window: Span,
}

impl Breaker {
    /// Reads `5% in 1h`.
    pub(super) fn read(text: &str) -> Option<Breaker> {
        let (share, window) = text.split_once(" in ")?;
        let percent: f64 = share.trim().strip_suffix('%')?.trim().parse().ok()?;
        let window: Span = window.trim().parse().ok()?;
        ((0.0..100.0).contains(&percent) && window > Span::ZERO).then_some(Breaker { percent, window })
    }

    /// Why the dataset must halt when `refused` of the `received` rows of a window were refused; none when it need not.
    pub fn trips(&self, received: u64, refused: u64) -> Option<String> {
        if received < ROWS_MIN {
            return None;
        }
        let share = refused as f64 * 100.0 / received as f64;
        (share > self.percent).then(|| {
            format!(
                "{refused} of {received} rows, {share:.1} %, were refused within {}; more than {} % may not be",
                self.window, self.percent
            )
        })
    }
}
