//! What the tests of models, decisions and certificates share: versions, proposals, people.

use seawall_base::declare::{Boosting, Calibration, MetricName, MissingAction, Model, OnMissing, ReadyWhen, Trainer};
use seawall_base::engine::{Fingerprint, PinnedInput};
use seawall_base::watch::{Alternative, Decision, DecisionKind, Estimate, Evaluation, Period, Signal, Trigger};
use seawall_base::{Cut, Hash, Instant, Offset, Partition, Permit, Span, TableVersion};
use serde_json::json;

use super::NewModelVersion;
use crate::fixtures::{Fixture, START};
use crate::policy::{Action, Principal, Role};

/// An instant, in hours after the start of every fixture.
pub(crate) fn hour(hours: i64) -> Instant {
    START + Span(hours * Span::HOUR.0)
}

pub(crate) fn period(from: i64, to: i64) -> Period {
    Period { from: hour(from), to: hour(to) }
}

pub(crate) fn evaluation(auc: f64) -> Evaluation {
    let estimate = Estimate { value: auc, low: auc - 0.02, high: auc + 0.02 };
    Evaluation {
        rows: 2000,
        positives: 150,
        metrics: vec![(MetricName::Auc, estimate), (MetricName::Brier, Estimate { value: 0.1, low: 0.09, high: 0.11 })],
        slices: Vec::new(),
    }
}

pub(crate) fn declaration() -> Model {
    Model {
        name: "fraud".to_owned(),
        training_set: "fraud".to_owned(),
        owner: Some("risk".to_owned()),
        positive: None,
        inputs: Vec::new(),
        trainer: Trainer::Boosting(Boosting::default()),
        calibration: Calibration::Platt,
        holdout: Span(14 * Span::DAY.0),
        rows_min: 1000,
        on_missing: OnMissing { default: MissingAction::Degrade, columns: Vec::new() },
        ready_when: ReadyWhen { bounds: Vec::new(), by: vec!["country".to_owned(), "channel".to_owned()] },
        retrain: None,
    }
}

/// A version of `fraud` that was trained `hours` after the start.
pub(crate) fn trained(hours: i64) -> NewModelVersion {
    let mut evaluation = evaluation(0.9);
    evaluation.slices = vec![("country=DE".to_owned(), self::evaluation(0.8))];
    NewModelVersion {
        model: "fraud".to_owned(),
        digest: Hash::of(&hours.to_le_bytes()),
        definition: json!(declaration()),
        definition_hash: declaration().definition_hash(),
        fingerprint: Fingerprint {
            training_set: "fraud".to_owned(),
            inputs: vec![PinnedInput {
                table: "payments".to_owned(),
                version: TableVersion(4),
                cut: Cut::of(Partition::LIVE, Offset(1200)),
            }],
            definitions: vec![("card@1".to_owned(), Hash::of(b"card"))],
            revision: Hash::of(b"revision").to_string(),
            core_version: 1,
            built_at: hour(hours),
            rows: 10_000,
            labelled: 9_000,
            content: Hash::of(b"content"),
            stopped: 0,
        },
        training_set_version: TableVersion(3),
        trained_at: hour(hours),
        trained_on: period(-1000, -100),
        holdout: period(-100, 0),
        rows: 7_000,
        positives: 500,
        excluded: vec![Alternative { what: "2023-11-01 to 2023-11-03".to_owned(), why: "INC-1".to_owned() }],
        evaluation,
        report: json!({"trees": 150}),
        baseline: json!({"amount": {"bins": (0..50).collect::<Vec<u32>>(), "nulls": 0.1}}),
        log: String::new(),
    }
}

/// A decision about `fraud`; everything that it rests on follows from its version.
pub(crate) fn decision(kind: DecisionKind, version: Option<u32>, champion: Option<u32>, at: Instant) -> Decision {
    Decision {
        id: String::new(),
        model: "fraud".to_owned(),
        at,
        kind,
        version,
        champion,
        trigger: Some(trigger()),
        reason: "better on every slice".to_owned(),
        rejected: Vec::new(),
        comparison: None,
        evaluation: Some(evaluation(0.9)),
        of: None,
        policy: Hash::of(b"policy"),
        binds: binds(version.unwrap_or_default()),
        by: "seawall".to_owned(),
    }
}

/// What approvals of a version bind to.
pub(crate) fn binds(version: u32) -> Hash {
    Hash::of(&version.to_le_bytes())
}

pub(crate) fn trigger() -> Trigger {
    Trigger { kind: "psi".to_owned(), signal: Some(signal(0, 0.31)) }
}

pub(crate) fn signal(hours: i64, value: f64) -> Signal {
    Signal {
        at: hour(hours),
        metric: "psi".to_owned(),
        subject: "fraud".to_owned(),
        column: Some("card__n".to_owned()),
        slice: None,
        value,
        interval: Some((value - 0.1, value + 0.1)),
        limit: 0.2,
        breached: value > 0.2,
        rows: 500,
        window: period(hours - 6, hours),
    }
}

pub(crate) fn person(name: &str, role: Role) -> Principal {
    Principal { name: name.to_owned(), role, groups: Vec::new() }
}

impl Fixture {
    /// Records versions 1 to `count` of `fraud`, trained an hour apart.
    pub(crate) async fn train(&self, count: i64) {
        let permit = self.permit(Action::TrainModel);
        for hours in 1..=count {
            self.catalog.record_model_version(&permit, &trained(hours)).await.unwrap();
        }
    }

    /// Proposes a version and gives the id of the proposal.
    pub(crate) async fn propose(&self, version: u32, champion: Option<u32>, at: i64, required: &[&str]) -> String {
        let proposal = decision(DecisionKind::Propose, Some(version), champion, hour(at));
        let required: Vec<String> = required.iter().map(|place| (*place).to_owned()).collect();
        let permit = self.permit(Action::PromoteModel);
        self.catalog.record_proposal(&permit, &proposal, &required).await.unwrap().id
    }

    /// Makes a version champion at an hour, with nobody's approval.
    pub(crate) async fn reign(&self, version: u32, champion: Option<u32>, at: i64) -> Decision {
        let proposal = self.propose(version, champion, at, &[]).await;
        self.catalog.promote(&self.permit(Action::PromoteModel), &proposal, hour(at)).await.unwrap()
    }

    pub(crate) fn permit_of(&self, principal: &Principal, action: Action) -> Permit {
        self.catalog.policy().authorize(principal, action, "fraud").unwrap()
    }
}
