//! Whether a trained version is proposed for promotion.

use seawall_base::declare::Retrain;
use seawall_base::watch::{Alternative, Comparison, Estimate};

use super::reject;

/// What becomes of a trained version.
#[derive(Debug, Clone, PartialEq)]
pub enum Judgement {
    /// It is proposed for promotion.
    Propose {
        /// In one sentence, for people.
        reason: String,
        /// What spoke against it, and why that did not suffice.
        rejected: Vec<Alternative>,
    },
    /// It is not.
    HoldBack {
        /// In one sentence, for people.
        reason: String,
        /// Why it was not proposed, each reason with its numbers.
        rejected: Vec<Alternative>,
    },
}

/// Judges a trained version. `comparison` is absent for a model without champion; `unmet` is what it does not reach on its
/// hold-out.
///
/// It is proposed when it reaches everything, its AUC is significantly greater than the champion's on the same rows, and
/// on no slice significantly smaller by more than the policy's margin.
pub fn judge(policy: &Retrain, comparison: Option<&Comparison>, unmet: &[Alternative]) -> Judgement {
    let mut against: Vec<Alternative> =
        unmet.iter().map(|bound| Alternative { what: format!("propose: {}", bound.what), ..bound.clone() }).collect();
    let mut doubts = Vec::new();
    let mut reason = "it is the first version, and it reaches what it must".to_owned();
    if let Some(comparison) = comparison {
        match comparison.auc_gain {
            Some(gain) if gain.low > 0.0 => reason = format!("its auc is greater by {}", text(gain, comparison)),
            Some(gain) => {
                let why = format!("its auc differs by {}, which is not significantly more", text(gain, comparison));
                reject(&mut against, "propose: better than the champion", why);
            }
            None => {
                let why = format!("{} rows do not suffice to compare", comparison.challenger.rows);
                reject(&mut against, "propose: better than the champion", why);
            }
        }
        slices(policy, comparison, &mut against, &mut doubts);
    }
    match against.first() {
        None => Judgement::Propose { reason, rejected: doubts },
        Some(first) => {
            let reason = format!("{}: {}", first.what.replacen("propose: ", "not ", 1), first.why);
            Judgement::HoldBack { reason, rejected: against }
        }
    }
}

/// Slices on which the challenger is worse: significantly beyond the margin speaks against it, others raise doubts.
fn slices(policy: &Retrain, comparison: &Comparison, against: &mut Vec<Alternative>, doubts: &mut Vec<Alternative>) {
    let margin = policy.slice_margin;
    for (slice, gain) in &comparison.slices {
        let numbers = format!("its auc differs by {:.4} ({:.4} to {:.4})", gain.value, gain.low, gain.high);
        if gain.high < -margin {
            let why = format!("{numbers}, significantly less by more than {margin}");
            reject(against, &format!("propose: no worse where {slice}"), why);
        } else if gain.value < -margin {
            let why = format!("{numbers}, not significantly less by more than {margin}");
            reject(doubts, &format!("hold back: worse where {slice}"), why);
        }
    }
}

fn text(gain: Estimate, comparison: &Comparison) -> String {
    let auc = |evaluation: &seawall_base::watch::Evaluation| evaluation.auc().map_or(f64::NAN, |auc| auc.value);
    format!(
        "{:.4} ({:.4} to {:.4}): {:.4} against {:.4} on the same {} decisions",
        gain.value,
        gain.low,
        gain.high,
        auc(&comparison.challenger),
        auc(&comparison.champion),
        comparison.challenger.rows
    )
}
