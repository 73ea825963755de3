//! How much worse a champion is than it claimed.

use seawall_base::Instant;
use seawall_base::declare::Retrain;
use seawall_base::watch::{Estimate, Period, Signal};

use super::{ChampionState, Measured};
use crate::retrain::delong::Z_95;

/// Loss of AUC that counts where the policy names none.
pub const AUC_DROP: f64 = 0.03;
/// One-sided 99.9 % quantile of the standard normal distribution.
const Z_999: f64 = 3.090232306167813;

/// Claimed and measured AUC.
#[derive(Debug, Clone)]
pub(super) struct Decline {
    claimed: Estimate,
    measured: Estimate,
    limit: f64,
    rows: u64,
    window: Period,
}

impl Decline {
    /// None where one of the two cannot be computed.
    pub(super) fn of(policy: &Retrain, champion: &ChampionState, measured: Option<&Measured>) -> Option<Decline> {
        let Measured { evaluation, window } = measured?;
        Some(Decline {
            claimed: champion.claimed.auc()?,
            measured: evaluation.auc()?,
            limit: policy.triggers.auc_drop.unwrap_or(AUC_DROP),
            rows: evaluation.rows,
            window: *window,
        })
    }

    fn value(&self) -> f64 {
        self.claimed.value - self.measured.value
    }

    /// Standard error of the drop, from the widths of both intervals.
    fn error(&self) -> f64 {
        let error = |estimate: &Estimate| (estimate.high - estimate.low) / (2.0 * Z_95);
        error(&self.claimed).hypot(error(&self.measured))
    }

    /// Beyond the limit, and greater than chance makes it in one of a thousand cases.
    pub(super) fn is_breach(&self) -> bool {
        self.value() > self.limit && self.value() > Z_999 * self.error()
    }

    /// Beyond the limit, and the intervals do not overlap.
    pub(super) fn is_beyond_doubt(&self) -> bool {
        self.value() > self.limit && self.measured.high < self.claimed.low
    }

    pub(super) fn text(&self) -> String {
        let Decline { claimed, measured, limit, rows, window } = self;
        let numbers = |auc: &Estimate| format!("{:.4} ({:.4} to {:.4})", auc.value, auc.low, auc.high);
        format!(
            "auc is {} on {rows} decisions from {} to {}, {:.4} {} than the claimed {}, limit {limit}",
            numbers(measured),
            window.from,
            window.to,
            self.value().abs(),
            if self.value() < 0.0 { "more" } else { "less" },
            numbers(claimed)
        )
    }

    pub(super) fn signal(&self, model: &str, at: Instant) -> Signal {
        let half = Z_95 * self.error();
        Signal {
            at,
            metric: "auc_drop".to_owned(),
            subject: model.to_owned(),
            column: None,
            slice: None,
            value: self.value(),
            interval: Some((self.value() - half, self.value() + half)),
            limit: self.limit,
            breached: self.is_breach(),
            rows: self.rows,
            window: self.window,
        }
    }
}

/// The champion's loss of AUC against what it claimed, metric `auc_drop`; breached when it is beyond the policy's trigger
/// ([`AUC_DROP`] where it names none) and significant at 99.9 %. None where one of the two cannot be computed.
pub fn performance_signal(
    policy: &Retrain,
    model: &str,
    champion: &ChampionState,
    measured: &Measured,
    at: Instant,
) -> Option<Signal> {
    Some(Decline::of(policy, champion, Some(measured))?.signal(model, at))
}
