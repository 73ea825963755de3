//! What makes a training due.

use seawall_base::declare::Retrain;
use seawall_base::watch::{Alternative, Signal, Trigger};

use super::decline::Decline;
use super::{ChampionState, Situation, age, reject};

/// A training is due.
pub(super) struct Due {
    pub(super) trigger: Trigger,
    /// Completes "because ...".
    pub(super) reason: String,
}

impl Due {
    fn new(kind: &str, signal: Option<Signal>, reason: String) -> Due {
        Due { trigger: Trigger { kind: kind.to_owned(), signal }, reason }
    }
}

/// Without a champion a training is due as soon as there are enough labelled rows.
pub(super) fn first(situation: &Situation, rejected: &mut Vec<Alternative>) -> Option<Due> {
    let (rows, least) = (situation.labelled_rows, situation.rows_min);
    if rows < least {
        reject(rejected, "train the first version", format!("{rows} labelled rows of at least {least}"));
        return None;
    }
    Some(Due::new("first", None, format!("there is no champion yet and {rows} labelled rows are there")))
}

/// The first trigger that fires: loss of performance, then drift, then time. Those that do not are rejected; further
/// ones that do are part of the reason.
pub(super) fn due(
    policy: &Retrain,
    situation: &Situation,
    champion: &ChampionState,
    rejected: &mut Vec<Alternative>,
) -> Option<Due> {
    let all = [
        performance(policy, situation, champion, rejected),
        drift(policy, situation, rejected),
        time(policy, situation, champion, rejected),
    ];
    let mut fired = all.into_iter().flatten();
    let mut due = fired.next()?;
    for other in fired {
        due.reason = format!("{}; also {}", due.reason, other.reason);
    }
    Some(due)
}

fn performance(
    policy: &Retrain,
    situation: &Situation,
    champion: &ChampionState,
    rejected: &mut Vec<Alternative>,
) -> Option<Due> {
    policy.triggers.auc_drop?;
    let what = "train because of performance";
    let Some(decline) = Decline::of(policy, champion, situation.performance.as_ref()) else {
        reject(rejected, what, "there are no final labels to measure the auc on".to_owned());
        return None;
    };
    let signal = decline.signal(&situation.model, situation.now);
    if !signal.breached {
        let why = if signal.value > signal.limit { ", but not significant at 99.9 %" } else { "" };
        reject(rejected, what, format!("{}{why}", decline.text()));
        return None;
    }
    Some(Due::new("auc_drop", Some(signal), decline.text()))
}

fn drift(policy: &Retrain, situation: &Situation, rejected: &mut Vec<Alternative>) -> Option<Due> {
    let limit = policy.triggers.psi?;
    let what = "train because of drift";
    // The greatest first; ties by column, so that the order in which signals are handed over does not matter.
    let mut signals: Vec<&Signal> = situation.drift.iter().filter(|signal| signal.metric == "psi").collect();
    signals.sort_by(|a, b| b.value.total_cmp(&a.value).then_with(|| a.column.cmp(&b.column)));
    let Some(greatest) = signals.first() else {
        reject(rejected, what, "no drift was measured".to_owned());
        return None;
    };
    let Some(signal) = signals.iter().find(|signal| signal.breached && signal.value > limit) else {
        let why = if greatest.value > limit { ", but chance explains it" } else { "" };
        reject(rejected, what, format!("the greatest psi is {}, limit {limit}{why}", drift_text(greatest)));
        return None;
    };
    let reason = format!("psi is {}, beyond {limit}", drift_text(signal));
    Some(Due::new("psi", Some((*signal).clone()), reason))
}

fn drift_text(signal: &Signal) -> String {
    let column = signal.column.as_deref().unwrap_or(&signal.subject);
    format!("{:.4} for {column} on {} rows", signal.value, signal.rows)
}

fn time(
    policy: &Retrain,
    situation: &Situation,
    champion: &ChampionState,
    rejected: &mut Vec<Alternative>,
) -> Option<Due> {
    let longest = policy.max_interval?;
    let passed = situation.now - champion.promoted_at;
    let text = format!("{} since version {} was promoted", age(passed), champion.version);
    if passed < longest {
        reject(rejected, "train because of time", format!("{text}, the longest interval is {longest}"));
        return None;
    }
    Some(Due::new("max_interval", None, format!("{text}, beyond the longest interval {longest}")))
}
