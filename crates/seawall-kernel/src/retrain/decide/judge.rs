//! Whether a trained version is proposed for promotion.

use seawall_base::declare::Retrain;
use seawall_base::watch::{Alternative, Comparison, Estimate, Evaluation};

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
    let mut against: Vec<String> = unmet.iter().map(|bound| format!("{}: {}", bound.what, bound.why)).collect();
    let mut doubts = Vec::new();
    let mut reason = "it is the first version, and it reaches what it must".to_owned();
    if let Some(comparison) = comparison {
        match comparison.auc_gain {
            Some(gain) if gain.low > 0.0 => reason = format!("its auc is greater by {}", text(gain, comparison)),
            Some(gain) => {
                against.push(format!("its auc is not significantly greater, it differs by {}", text(gain, comparison)));
            }
            None => against.push(format!("{} rows do not suffice to compare", comparison.challenger.rows)),
        }
        slices(policy, comparison, &mut against, &mut doubts);
    }
    if against.is_empty() {
        return Judgement::Propose { reason, rejected: doubts };
    }
    let reason = against.join("; ");
    let rejected = against.into_iter().map(|why| Alternative { what: "propose".to_owned(), why });
    Judgement::HoldBack { reason, rejected: rejected.collect() }
}

/// Slices on which the challenger is worse: significantly beyond the margin speaks against it, others raise doubts.
fn slices(policy: &Retrain, comparison: &Comparison, against: &mut Vec<String>, doubts: &mut Vec<Alternative>) {
    let margin = policy.slice_margin;
    for (slice, gain) in &comparison.slices {
        let Estimate { value, low, high } = gain;
        let numbers = format!("where {slice} its auc differs by {value:.4} ({low:.4} to {high:.4})");
        if *high < -margin {
            against.push(format!("{numbers}, significantly less by more than {margin}"));
        } else if *value < -margin {
            reject(doubts, "hold back", format!("{numbers}, not significantly less by more than {margin}"));
        }
    }
}

fn text(gain: Estimate, comparison: &Comparison) -> String {
    let auc = |evaluation: &Evaluation| evaluation.auc().map_or(f64::NAN, |auc| auc.value);
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
