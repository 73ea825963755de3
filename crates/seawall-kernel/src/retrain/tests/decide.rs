//! Decisions, as text against golden files: `UPDATE_GOLDEN=1` rewrites them.

use std::fmt::Write as _;

use seawall_base::declare::{MetricName, Retrain, Triggers};
use seawall_base::watch::{Alternative, Comparison, Estimate, Evaluation, Period, Signal, Trigger};
use seawall_base::{Instant, Span};

use super::super::decide::*;

fn at(day: i64) -> Instant {
    Instant(1_767_225_600_000_000) + Span(day * Span::DAY.0)
}

fn policy() -> Retrain {
    Retrain {
        min_interval: Span(7 * Span::DAY.0),
        max_interval: Some(Span(60 * Span::DAY.0)),
        triggers: Triggers { psi: Some(0.2), auc_drop: Some(0.03) },
        evaluate: Span(14 * Span::DAY.0),
        probation: Span(7 * Span::DAY.0),
        approve: vec!["owner".to_owned()],
        slice_margin: 0.02,
    }
}

fn estimate(value: f64, half: f64) -> Estimate {
    Estimate { value, low: value - half, high: value + half }
}

fn evaluation(auc: f64, half: f64) -> Evaluation {
    Evaluation {
        rows: 4_000,
        positives: 120,
        metrics: vec![(MetricName::Auc, estimate(auc, half))],
        slices: Vec::new(),
    }
}

fn measured(auc: f64, half: f64) -> Option<Measured> {
    Some(Measured { evaluation: evaluation(auc, half), window: Period { from: at(76), to: at(90) } })
}

fn psi(column: &str, value: f64, breached: bool) -> Signal {
    Signal {
        at: at(90),
        metric: "psi".to_owned(),
        subject: "fraud".to_owned(),
        column: Some(column.to_owned()),
        slice: None,
        value,
        interval: None,
        limit: 0.2,
        breached,
        rows: 900,
        window: Period { from: at(89), to: at(90) },
    }
}

/// A champion of 30 days that is as good as it claimed.
fn calm() -> Situation {
    let champion = ChampionState {
        version: 3,
        promoted_at: at(60),
        claimed: evaluation(0.90, 0.01),
        probation_until: None,
        former: Some(2),
    };
    Situation {
        model: "fraud".to_owned(),
        now: at(90),
        champion: Some(champion),
        performance: measured(0.89, 0.01),
        drift: vec![psi("card__n_1h", 0.02, false), psi("card__sum_24h", 0.05, true)],
        data_incidents: Vec::new(),
        last_attempt: None,
        labelled_rows: 50_000,
        rows_min: 2_000,
        proposal_open: false,
    }
}

fn newborn() -> Situation {
    Situation { champion: None, performance: None, drift: Vec::new(), ..calm() }
}

fn on_probation() -> Situation {
    let mut situation = calm();
    let champion = situation.champion.as_mut().unwrap();
    champion.promoted_at = at(86);
    champion.probation_until = Some(at(93));
    situation
}

/// One change of a situation.
type Change = fn(&mut Situation);

const WORSE: Change = |s| s.performance = measured(0.82, 0.01);
const WORSE_BY_CHANCE: Change = |s| s.performance = measured(0.86, 0.05);
const UNMEASURED: Change = |s| s.performance = None;
const WRONG_DATA: Change = |s| s.data_incidents = vec!["INC-4".to_owned(), "INC-7".to_owned()];
const PROPOSED: Change = |s| s.proposal_open = true;
const ATTEMPTED: Change = |s| s.last_attempt = Some(at(89) + Span::HOUR);
const FEW_ROWS: Change = |s| s.labelled_rows = 1_999;
const LONG_AGO: Change = |s| s.now = at(120);
const DRIFTED: Change = |s| s.drift[1] = psi("card__sum_24h", 0.31, true);
const DRIFTED_BY_CHANCE: Change = |s| s.drift[1] = psi("card__sum_24h", 0.31, false);
const NO_DRIFT_MEASURED: Change = |s| s.drift.clear();
const PROBATION_OVER: Change = |s| s.now = at(93);
const NO_FORMER: Change = |s| s.champion.as_mut().unwrap().former = None;

fn with(mut situation: Situation, changes: &[Change]) -> Situation {
    for change in changes {
        change(&mut situation);
    }
    situation
}

fn situations() -> Vec<(&'static str, Situation)> {
    vec![
        ("no champion and enough rows", newborn()),
        ("no champion and too few rows", with(newborn(), &[FEW_ROWS])),
        ("no champion, an attempt yesterday", with(newborn(), &[ATTEMPTED])),
        ("no champion, wrong data", with(newborn(), &[WRONG_DATA])),
        ("no champion, a proposal waits", with(newborn(), &[PROPOSED])),
        ("all is well", calm()),
        ("auc fell", with(calm(), &[WORSE])),
        ("auc fell by chance", with(calm(), &[WORSE_BY_CHANCE])),
        ("auc fell, psi rose, and long ago", with(calm(), &[WORSE, DRIFTED, LONG_AGO])),
        ("auc fell, too few rows", with(calm(), &[WORSE, FEW_ROWS])),
        ("auc fell, wrong data", with(calm(), &[WORSE, WRONG_DATA])),
        ("auc fell, a proposal waits", with(calm(), &[WORSE, PROPOSED])),
        ("auc fell, an attempt yesterday", with(calm(), &[WORSE, ATTEMPTED])),
        ("psi rose", with(calm(), &[DRIFTED])),
        ("psi rose by chance", with(calm(), &[DRIFTED_BY_CHANCE])),
        ("nothing measured", with(calm(), &[UNMEASURED, NO_DRIFT_MEASURED])),
        ("long ago", with(calm(), &[LONG_AGO])),
        ("on probation and well", on_probation()),
        ("on probation and worse", with(on_probation(), &[WORSE])),
        ("on probation and worse by chance", with(on_probation(), &[WORSE_BY_CHANCE])),
        ("on probation and worse, wrong data, a proposal", with(on_probation(), &[WORSE, WRONG_DATA, PROPOSED])),
        ("on probation and worse, no former", with(on_probation(), &[WORSE, NO_FORMER])),
        ("probation over", with(on_probation(), &[PROBATION_OVER])),
        ("probation over, nothing measured", with(on_probation(), &[PROBATION_OVER, UNMEASURED])),
        ("probation over and worse", with(on_probation(), &[PROBATION_OVER, WORSE])),
    ]
}

fn trigger_text(trigger: &Trigger) -> String {
    let signal = trigger.signal.as_ref();
    let signal = signal.map(|s| format!("{} {:.4} breached {}", s.metric, s.value, s.breached));
    format!("{}, {}", trigger.kind, signal.unwrap_or("no signal".to_owned()))
}

fn text(next: &Next) -> String {
    let taken = |what: &str, trigger: &Trigger, reason: &str, rejected: &[Alternative]| {
        format!("  {what} [{}]: {reason}\n{}", trigger_text(trigger), rejected_text(rejected))
    };
    match next {
        Next::Wait { rejected } => format!("  wait\n{}", rejected_text(rejected)),
        Next::Train { trigger, reason, rejected } => taken("train", trigger, reason, rejected),
        Next::Postpone { trigger, reason, rejected } => taken("postpone", trigger, reason, rejected),
        Next::RollBack { to, trigger, reason, rejected } => {
            taken(&format!("roll back to {to}"), trigger, reason, rejected)
        }
        Next::Confirm { reason } => format!("  confirm: {reason}\n"),
    }
}

fn rejected_text(rejected: &[Alternative]) -> String {
    rejected.iter().fold(String::new(), |mut text, alternative| {
        writeln!(text, "    not {}: {}", alternative.what, alternative.why).unwrap();
        text
    })
}

fn check_golden(name: &str, rendered: &str) {
    let path = format!("{}/src/retrain/tests/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, rendered).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(rendered, golden, "{name}: run with UPDATE_GOLDEN=1 and review the difference");
}

#[test]
fn what_is_next() {
    let mut rendered = String::new();
    for (name, situation) in situations() {
        write!(rendered, "{name}\n{}\n", text(&next(&policy(), &situation))).unwrap();
    }
    check_golden("next.txt", &rendered);
}

#[test]
fn a_policy_without_triggers_waits_but_watches_a_probation() {
    let quiet = Retrain { triggers: Triggers::default(), max_interval: None, ..policy() };
    let all_wrong = with(calm(), &[WORSE, DRIFTED]);
    assert_eq!(next(&quiet, &all_wrong), Next::Wait { rejected: Vec::new() });
    let on_probation = Situation { champion: on_probation().champion, ..all_wrong };
    assert!(matches!(next(&quiet, &on_probation), Next::RollBack { to: 2, .. }));
}

#[test]
fn the_order_of_signals_changes_nothing() {
    let mut situation = calm();
    situation.drift = vec![psi("b", 0.4, true), psi("a", 0.4, true), psi("c", 0.9, false)];
    let reversed = with(situation.clone(), &[|s| s.drift.reverse()]);
    let taken = next(&policy(), &situation);
    assert_eq!(taken, next(&policy(), &reversed));
    let Next::Train { trigger, .. } = taken else { panic!("psi makes a training due") };
    assert_eq!(trigger.signal.unwrap().column.as_deref(), Some("a"));
}

fn comparison(gain: Option<Estimate>, slices: &[(&str, Estimate)]) -> Comparison {
    Comparison {
        window: Period { from: at(76), to: at(90) },
        champion: evaluation(0.87, 0.01),
        challenger: evaluation(0.90, 0.01),
        auc_gain: gain,
        slices: slices.iter().map(|(name, gain)| ((*name).to_owned(), *gain)).collect(),
    }
}

#[test]
fn what_becomes_of_a_trained_version() {
    let bound = Alternative { what: "auc at least 0.8".to_owned(), why: "it is 0.7431".to_owned() };
    let better = |slice: f64| Some(comparison(Some(estimate(0.03, 0.01)), &[("country=DE", estimate(slice, 0.02))]));
    let cases = [
        ("first and ready", None, vec![]),
        ("first and not ready", None, vec![bound.clone()]),
        ("better", better(0.01), vec![]),
        ("better, but not ready", better(0.01), vec![bound]),
        ("not significantly better", Some(comparison(Some(estimate(0.03, 0.031)), &[])), vec![]),
        ("worse", Some(comparison(Some(estimate(-0.03, 0.01)), &[])), vec![]),
        ("not comparable", Some(comparison(None, &[])), vec![]),
        ("better, worse on a slice", better(-0.05), vec![]),
        ("better, perhaps worse on a slice", better(-0.03), vec![]),
    ];
    let mut rendered = String::new();
    for (name, comparison, unmet) in cases {
        let (verdict, reason, rejected) = match judge(&policy(), comparison.as_ref(), &unmet) {
            Judgement::Propose { reason, rejected } => ("propose", reason, rejected),
            Judgement::HoldBack { reason, rejected } => ("hold back", reason, rejected),
        };
        write!(rendered, "{name}\n  {verdict}: {reason}\n{}\n", rejected_text(&rejected)).unwrap();
    }
    check_golden("judge.txt", &rendered);
}

#[test]
fn the_signal_of_performance_is_held_against_limit_and_chance() {
    for (auc, half, value, breached) in
        [(0.89, 0.01, 0.01, false), (0.82, 0.01, 0.08, true), (0.86, 0.05, 0.04, false), (0.95, 0.01, -0.05, false)]
    {
        let (champion, measured) = (calm().champion.unwrap(), measured(auc, half).unwrap());
        let signal = performance_signal(&policy(), "fraud", &champion, &measured, at(90)).unwrap();
        assert!((signal.value - value).abs() < 1e-12 && signal.breached == breached, "{signal:?}");
        let (low, high) = signal.interval.unwrap();
        assert!((high - low - 2.0 * f64::hypot(0.01, half)).abs() < 1e-12);
        assert_eq!((signal.limit, signal.rows, signal.metric.as_str()), (0.03, 4_000, "auc_drop"));
    }
    let mut unmeasured = measured(0.8, 0.01).unwrap();
    unmeasured.evaluation.metrics.clear();
    assert_eq!(performance_signal(&policy(), "fraud", &calm().champion.unwrap(), &unmeasured, at(90)), None);
}
