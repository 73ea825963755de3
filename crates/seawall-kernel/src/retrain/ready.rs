//! Whether a model reaches what its declaration asks for.

use seawall_base::declare::{Bounds, MetricName, ReadyWhen};
use seawall_base::watch::{Alternative, Evaluation};

/// The bounds that an evaluation does not meet, on all rows and on each slice by the declared columns; none when it is
/// ready. A metric that cannot be computed meets no bound.
pub fn unmet(evaluation: &Evaluation, ready: &ReadyWhen) -> Vec<Alternative> {
    let mut missing = Vec::new();
    for (metric, bounds) in &ready.bounds {
        check(evaluation, *metric, *bounds, None, &mut missing);
    }
    let by = |slice: &str| slice.split_once('=').is_some_and(|(column, _)| ready.by.iter().any(|by| by == column));
    for (slice, of_slice) in evaluation.slices.iter().filter(|(slice, _)| by(slice)) {
        for (metric, bounds) in &ready.bounds {
            check(of_slice, *metric, *bounds, Some(slice), &mut missing);
        }
    }
    missing
}

fn check(evaluation: &Evaluation, metric: MetricName, bounds: Bounds, slice: Option<&str>, out: &mut Vec<Alternative>) {
    let wanted = [bounds.min.map(|min| ("at least", min)), bounds.max.map(|max| ("at most", max))];
    for (relation, bound) in wanted.into_iter().flatten() {
        let why = match evaluation.metric(metric) {
            Some(estimate) => {
                let met = if relation == "at least" { estimate.value >= bound } else { estimate.value <= bound };
                if met {
                    continue;
                }
                format!(
                    "it is {:.4} ({:.4} to {:.4}) on {} rows",
                    estimate.value, estimate.low, estimate.high, evaluation.rows
                )
            }
            None => {
                format!("it cannot be computed on {} rows, {} of them positive", evaluation.rows, evaluation.positives)
            }
        };
        let place = slice.map_or(String::new(), |slice| format!(" where {slice}"));
        out.push(Alternative { what: format!("{} {relation} {bound}{place}", name(metric)), why });
    }
}

/// The metric's name as in declarations.
fn name(metric: MetricName) -> &'static str {
    match metric {
        MetricName::Auc => "auc",
        MetricName::LogLoss => "log_loss",
        MetricName::Brier => "brier",
        MetricName::CalibrationError => "calibration_error",
    }
}
