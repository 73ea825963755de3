//! The retraining policy: from a situation follows what is next, and why nothing else is.
//!
//! In this order: a promoted version that turns out worse than claimed is rolled back while it is on probation; one whose
//! probation is over is confirmed; a training begins when something makes it due, unless it is too soon, a proposal waits
//! for approvals, the data is known to be wrong, or there are too few labelled rows. Whatever was considered and not done
//! is told with its numbers.

mod decline;
mod judge;
mod trigger;

use seawall_base::declare::Retrain;
use seawall_base::watch::{Alternative, Evaluation, Period, Signal, Trigger};
use seawall_base::{Instant, Span};

pub use decline::{AUC_DROP, performance_signal};
pub use judge::{Judgement, judge};

use decline::Decline;

/// What is known about a model when a decision is due.
#[derive(Debug, Clone, PartialEq)]
pub struct Situation {
    /// The model.
    pub model: String,
    /// The time of the decision.
    pub now: Instant,
    /// The version that serves; none before the first promotion.
    pub champion: Option<ChampionState>,
    /// How good the champion is on the newest final labels; none before there are any.
    pub performance: Option<Measured>,
    /// The newest signals of drift of what the champion was served, metric `psi`.
    pub drift: Vec<Signal>,
    /// Ids of open incidents of wrong data that reach the model.
    pub data_incidents: Vec<String>,
    /// When the last training that led to no promotion began.
    pub last_attempt: Option<Instant>,
    /// Rows with final labels that a training could use.
    pub labelled_rows: u64,
    /// Labelled rows below which no training begins.
    pub rows_min: u64,
    /// Whether a proposal waits for approvals.
    pub proposal_open: bool,
}

/// The version that serves.
#[derive(Debug, Clone, PartialEq)]
pub struct ChampionState {
    /// Its number.
    pub version: u32,
    /// When it became champion.
    pub promoted_at: Instant,
    /// How good it was on its hold-out.
    pub claimed: Evaluation,
    /// Until when it is on probation; none when it never was or has been confirmed.
    pub probation_until: Option<Instant>,
    /// The champion before it.
    pub former: Option<u32>,
}

/// How good a champion is on final labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// Its metrics.
    pub evaluation: Evaluation,
    /// The decisions that were evaluated.
    pub window: Period,
}

/// What is next.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Nothing.
    Wait {
        /// What was considered.
        rejected: Vec<Alternative>,
    },
    /// Train a challenger.
    Train {
        /// What made it due.
        trigger: Trigger,
        /// In one sentence, for people.
        reason: String,
        /// What else was considered.
        rejected: Vec<Alternative>,
    },
    /// A training is due, but must not or cannot happen now.
    Postpone {
        /// What made it due.
        trigger: Trigger,
        /// In one sentence, for people.
        reason: String,
        /// What else was considered.
        rejected: Vec<Alternative>,
    },
    /// The former champion comes back.
    RollBack {
        /// Its version.
        to: u32,
        /// What made it due.
        trigger: Trigger,
        /// In one sentence, for people.
        reason: String,
        /// What else was considered.
        rejected: Vec<Alternative>,
    },
    /// The champion has passed its probation.
    Confirm {
        /// In one sentence, for people.
        reason: String,
    },
}

/// Decides what is next for a model under its policy.
pub fn next(policy: &Retrain, situation: &Situation) -> Next {
    let mut rejected = Vec::new();
    let due = match &situation.champion {
        None => trigger::first(situation, &mut rejected),
        Some(champion) => {
            if let Some(next) = on_probation(policy, situation, champion, &mut rejected) {
                return next;
            }
            trigger::due(policy, situation, champion, &mut rejected)
        }
    };
    match due {
        None => Next::Wait { rejected },
        Some(due) => train(policy, situation, due, rejected),
    }
}

/// Rolls back or confirms a champion on probation; none when neither is due.
fn on_probation(
    policy: &Retrain,
    situation: &Situation,
    champion: &ChampionState,
    rejected: &mut Vec<Alternative>,
) -> Option<Next> {
    let until = champion.probation_until?;
    let decline = Decline::of(policy, champion, situation.performance.as_ref());
    if let Some(decline) = decline.as_ref().filter(|decline| decline.is_beyond_doubt()) {
        let Some(to) = champion.former else {
            reject(rejected, "roll back", format!("{}, but there is no former champion", decline.text()));
            return None;
        };
        return Some(roll_back(situation, champion, decline, to));
    }
    let seen = decline.map_or("no final labels have come in since".to_owned(), |decline| decline.text());
    if situation.now >= until {
        let reason = format!("version {} is past its probation, which ended at {until}: {seen}", champion.version);
        return Some(Next::Confirm { reason });
    }
    reject(rejected, "roll back", format!("no decline is beyond doubt: {seen}; the probation lasts until {until}"));
    None
}

fn roll_back(situation: &Situation, champion: &ChampionState, decline: &Decline, to: u32) -> Next {
    let mut rejected = Vec::new();
    let at_once = format!("version {to} is there at once, a training takes its time");
    reject(&mut rejected, "train a challenger first", at_once);
    if !situation.data_incidents.is_empty() {
        let why = format!("with {} open the cause is not certain; the former champion is safe", incidents(situation));
        reject(&mut rejected, "wait until the data is mended", why);
    }
    let reason =
        format!("version {} is worse than it claimed, while on probation: {}", champion.version, decline.text());
    let trigger =
        Trigger { kind: "probation".to_owned(), signal: Some(decline.signal(&situation.model, situation.now)) };
    Next::RollBack { to, trigger, reason, rejected }
}

/// A training is due: whether it may begin.
fn train(policy: &Retrain, situation: &Situation, due: trigger::Due, mut rejected: Vec<Alternative>) -> Next {
    let trigger::Due { trigger, reason } = due;
    let not_now = not_now(policy, situation);
    if let Some(why) = not_now {
        reject(&mut rejected, &format!("train because {reason}"), why);
        return Next::Wait { rejected };
    }
    let obstacle = if !situation.data_incidents.is_empty() {
        Some(format!("{} open: the data is wrong, not the world", incidents(situation)))
    } else if situation.labelled_rows < situation.rows_min {
        Some(format!("{} labelled rows of at least {}", situation.labelled_rows, situation.rows_min))
    } else {
        None
    };
    match obstacle {
        Some(obstacle) => {
            reject(&mut rejected, "train now", obstacle.clone());
            Next::Postpone {
                trigger,
                reason: format!("a training is due because {reason}, but not now: {obstacle}"),
                rejected,
            }
        }
        None => {
            let due_now =
                format!("{} labelled rows are there and no open incident speaks against it", situation.labelled_rows);
            reject(&mut rejected, "postpone", due_now);
            Next::Train { trigger, reason, rejected }
        }
    }
}

/// Why a training that is due does not begin, if it is the policy's own rhythm that holds it back.
fn not_now(policy: &Retrain, situation: &Situation) -> Option<String> {
    if situation.proposal_open {
        return Some("a proposal waits for approvals".to_owned());
    }
    let promoted = situation.champion.as_ref().map(|champion| champion.promoted_at);
    let since = promoted.max(situation.last_attempt)?;
    let passed = situation.now - since;
    let what = if promoted == Some(since) { "promotion" } else { "attempt" };
    (passed < policy.min_interval)
        .then(|| format!("{} since the last {what} of at least {}", age(passed), policy.min_interval))
}

fn reject(rejected: &mut Vec<Alternative>, what: &str, why: String) {
    rejected.push(Alternative { what: what.to_owned(), why });
}

fn incidents(situation: &Situation) -> String {
    situation.data_incidents.join(", ")
}

/// A length of time for people: in whole hours from an hour on.
fn age(span: Span) -> Span {
    let unit = if span < Span::HOUR { Span::SECOND } else { Span::HOUR };
    Span(span.0 - span.0 % unit.0)
}
