//! What the demo tells: facts on the simulated clock only, so that the same seed gives the same facts.
//!
//! The truth file is read here, after everything was detected and decided, to say how good that was. Nothing that
//! detects or decides knows of it.

use std::collections::BTreeMap;

use seawall_base::error::Result;
use seawall_base::watch::{CauseKind, Decision, DecisionKind, Incident};
use seawall_base::{Engine, Instant, Query, Span};
use seawall_catalog::policy::Action;
use seawall_pipeline::replay::Facts;
use seawall_pipeline::source::simulator::{Fault, FaultTruth, Truth};
use seawall_pipeline::verify::SkewReport;
use seawall_pipeline::{Counts, add_counts};
use serde::Serialize;
use serde_json::{Value, json};

use super::day;
use crate::assemble::Installation;
use crate::output::count;

/// How long after a fault has ended an incident may still be about it.
const AFTERMATH: Span = Span(2 * Span::DAY.0);

/// The story.
#[derive(Debug, Serialize)]
pub(super) struct Story {
    pub seed: u64,
    pub period: (String, String),
    pub ingest: Counts,
    pub truth: Counts,
    pub datasets: BTreeMap<String, Counts>,
    pub quarantined_by_reason: BTreeMap<String, u64>,
    pub truth_by_reason: BTreeMap<String, u64>,
    pub training_sets: BTreeMap<String, Value>,
    pub skew: SkewReport,
    pub faults: Vec<FaultTold>,
    pub alarms: Alarms,
    pub models: Models,
    #[serde(skip)]
    pub incidents: Vec<Incident>,
}

/// What became of an injected fault.
#[derive(Debug, Serialize)]
pub(super) struct FaultTold {
    pub kind: Fault,
    pub start: String,
    pub end: String,
    pub rows: u64,
    /// Whether Seawall saw it: at the door, in an incident, or in late arrivals that changed no value.
    pub detected: bool,
    /// `incident`, `quarantined`, `deduplicated`, `rejected`, `exact`.
    pub outcome: &'static str,
    /// Simulated seconds from the first bad row to the incident; 0 for what is decided at the door.
    pub delay_s: Option<f64>,
    pub incident: Option<String>,
    /// What Seawall says; the simulator's own record for what needed no incident.
    pub cause: String,
    pub remedy: String,
    pub retrain: Option<seawall_base::watch::Advice>,
}

/// Incidents, and those about nothing.
#[derive(Debug, Serialize)]
pub(super) struct Alarms {
    pub incidents: u64,
    pub open: u64,
    #[serde(rename = "false")]
    pub unfounded: u64,
    /// The unfounded ones, in words.
    pub about: Vec<String>,
}

/// What was decided about models.
#[derive(Debug, Serialize)]
pub(super) struct Models {
    pub promoted: u64,
    pub held_back: u64,
    pub rolled_back: u64,
    pub champion: BTreeMap<String, Option<u32>>,
    pub decisions: Vec<Value>,
    #[serde(skip)]
    pub told: Vec<Decision>,
}

impl Story {
    pub(super) async fn new(seed: u64, facts: &Facts, truth: &Truth, installation: &Installation) -> Result<Story> {
        let mut ingest = Counts::default();
        for counts in facts.datasets.values() {
            add_counts(&mut ingest, counts);
        }
        let (expected, truth_by_reason) = expected(truth);
        let incidents = installation.catalog.incidents(false).await?;
        let mut faults = Vec::with_capacity(truth.faults.len());
        for fault in &truth.faults {
            faults.push(told(fault, &incidents, installation).await?);
        }
        let models = models(installation).await?;
        let training_sets = facts.training_sets.iter().map(|(name, set)| {
            let content = set.built.fingerprint.content;
            (
                name.clone(),
                json!({"rows": set.rows, "labelled": set.labelled, "served": set.served, "content": content}),
            )
        });
        Ok(Story {
            seed,
            period: (facts.period.0.to_string(), facts.period.1.to_string()),
            ingest,
            truth: expected,
            datasets: facts.datasets.clone(),
            quarantined_by_reason: quarantined(installation).await?,
            truth_by_reason,
            training_sets: training_sets.collect(),
            skew: facts.skew.clone(),
            faults,
            alarms: alarms(&incidents, truth),
            models,
            incidents,
        })
    }

    /// Whether everything is accounted for, nothing diverged, and no alarm was about nothing.
    pub(super) fn holds(&self) -> bool {
        self.ingest.balanced() && self.ingest == self.truth && self.skew.holds() && self.alarms.unfounded == 0
    }

    pub(super) fn text(&self, facts: &Facts) -> String {
        let mut lines = vec![format!(
            "Seawall demo: simulated card payments, {} to {}, seed {}",
            day(facts.period.0),
            day(facts.period.1),
            self.seed
        )];
        self.say_ingest(&mut lines);
        self.say_faults(&mut lines);
        self.say_models(&mut lines);
        self.say_learning(&mut lines, facts);
        self.say_skew(&mut lines);
        lines.join("\n")
    }

    fn say_ingest(&self, lines: &mut Vec<String>) {
        let mut say = |line: String| lines.push(line);
        say("\nWhat came in".into());
        let i = &self.ingest;
        say(format!("  {} rows received. Every one is accounted for:", count(i.received)));
        say(format!(
            "  {} accepted + {} quarantined + {} deduplicated + {} rejected",
            count(i.accepted),
            count(i.quarantined),
            count(i.deduplicated),
            count(i.rejected)
        ));
        say(match self.ingest == self.truth {
            true => "  exactly what the simulator knows it sent, kind by kind".into(),
            false => format!("  BUT the simulator sent {:?}", self.truth),
        });
        say("\nWhat was stopped at the door, and why".into());
        for (reason, rows) in &self.quarantined_by_reason {
            let known = self.truth_by_reason.get(reason).copied().unwrap_or(0);
            say(format!("  {:>8}  {:<16} (the simulator broke {})", count(*rows), reason, count(known)));
        }
        say(format!("  {:>8}  rejected as whole batches and reported to the producer", count(i.rejected)));
        say(format!("  {:>8}  repeats recognised by key and content", count(i.deduplicated)));
    }

    fn say_faults(&self, lines: &mut Vec<String>) {
        if !self.faults.is_empty() {
            lines.push("\nWhat went wrong upstream, and what Seawall noticed without being told".into());
        }
        for fault in &self.faults {
            let noticed = match (&fault.incident, fault.delay_s) {
                (Some(id), Some(delay)) => format!("{id} after {}", span(delay)),
                (_, _) => fault.outcome.to_owned(),
            };
            let kind = serde_json::to_value(fault.kind).ok().and_then(|v| v.as_str().map(str::to_owned));
            lines.push(format!(
                "  {}  {:>6} rows  {:<24} {:<22} {}",
                fault.start.chars().take(16).collect::<String>(),
                count(fault.rows),
                kind.unwrap_or_default(),
                noticed,
                fault.cause
            ));
        }
        lines.push(format!(
            "  {} incidents in all, {} of them about nothing, {} still open",
            self.alarms.incidents, self.alarms.unfounded, self.alarms.open
        ));
        for about in &self.alarms.about {
            lines.push(format!("    about nothing: {about}"));
        }
    }

    fn say_models(&self, lines: &mut Vec<String>) {
        lines.push("\nWhich model decides, and why".into());
        for decision in &self.models.told {
            lines.push(format!("  {}", super::super::model::decision_line(decision)));
        }
        if self.models.told.is_empty() {
            lines.push("  none was trained".into());
        }
        lines.push(format!(
            "  {} promoted, {} held back, {} rolled back",
            self.models.promoted, self.models.held_back, self.models.rolled_back
        ));
    }

    fn say_learning(&self, lines: &mut Vec<String>, facts: &Facts) {
        lines.push("\nWhat can be learned from it".into());
        for (name, set) in &facts.training_sets {
            lines.push(format!(
                "  training set {name}: {} decisions, each served at its own moment with what was known then",
                count(set.served)
            ));
            lines.push(format!(
                "  {} of {} rows have a final label by {}; the others are still open, and nothing trains on them",
                count(set.labelled),
                count(set.rows),
                day(facts.period.1)
            ));
            lines.push(format!(
                "  content {} at revision {}",
                set.built.fingerprint.content.short(),
                &set.built.fingerprint.revision[..12]
            ));
        }
    }

    fn say_skew(&self, lines: &mut Vec<String>) {
        let s = &self.skew;
        lines.push("\nDid training and serving agree?".into());
        lines.push(format!(
            "  replay: {} served vectors refolded from the tables, {} differ in any bit",
            count(s.replayed),
            count(s.mismatched)
        ));
        lines.push(format!(
            "  parity: {} compared with the rows a training set built today holds, {} differ",
            count(s.parity_compared),
            count(s.parity_differing)
        ));
        for (cause, vectors) in &s.parity_causes {
            lines.push(format!("    {}: {}", cause, count(*vectors)));
        }
        lines.push(
            "  the certificate is signed and kept: `seawall verify skew fraud --certificate FILE` writes one".into(),
        );
    }
}

fn span(seconds: f64) -> String {
    match seconds {
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3600.0),
        s => format!("{:.0} days", s / 86_400.0),
    }
}

/// What the simulator knows it sent.
fn expected(truth: &Truth) -> (Counts, BTreeMap<String, u64>) {
    let mut expected = Counts::default();
    let mut by_reason = BTreeMap::new();
    for stream in [&truth.payments, &truth.chargebacks] {
        let counts = Counts {
            received: stream.received,
            accepted: stream.accepted,
            quarantined: stream.quarantined_rows(),
            deduplicated: stream.deduplicated,
            rejected: stream.rejected,
            ..Counts::default()
        };
        add_counts(&mut expected, &counts);
        for (reason, rows) in &stream.quarantined {
            *by_reason.entry(reason.column().unwrap_or("key_conflict").to_owned()).or_default() += rows;
        }
    }
    (expected, by_reason)
}

async fn quarantined(installation: &Installation) -> Result<BTreeMap<String, u64>> {
    let mut by_reason = BTreeMap::new();
    for rule in installation.catalog.quality().await?.iter().filter(|rule| rule.mode == "quarantine") {
        let reason = match rule.rule.as_str() {
            "key_conflict" => "key_conflict".to_owned(),
            _ => rule.column.clone().unwrap_or_else(|| rule.rule.clone()),
        };
        *by_reason.entry(reason).or_default() += rule.failed;
    }
    Ok(by_reason)
}

/// The cause that an incident about a fault must name, and its column.
fn expected_cause(fault: Fault) -> Option<(CauseKind, Option<&'static str>)> {
    match fault {
        Fault::CentsInsteadOfEuros => Some((CauseKind::UnitChange, Some("amount_eur"))),
        Fault::NullBurst => Some((CauseKind::Quarantine, Some("card_id"))),
        Fault::KeyConflict => Some((CauseKind::Quarantine, None)),
        Fault::EnumAdded => Some((CauseKind::Quarantine, Some("channel"))),
        Fault::ClockSkew => Some((CauseKind::ClockAhead, None)),
        Fault::StuckSource => Some((CauseKind::Freshness, None)),
        Fault::MalformedBatch => Some((CauseKind::Rejection, None)),
        Fault::FraudChange => Some((CauseKind::Performance, None)),
        Fault::LateRows | Fault::Duplicates => None,
    }
}

fn is_about(incident: &Incident, fault: &FaultTruth) -> bool {
    let Some((cause, column)) = expected_cause(fault.fault) else { return false };
    let in_time = fault.start <= incident.opened_at && incident.opened_at < fault.end + AFTERMATH;
    let fits = column.is_none() || incident.column.as_deref() == column;
    let is_key = fault.fault != Fault::KeyConflict || incident.slice.as_deref() == Some("rule=key_conflict");
    incident.cause == cause && in_time && fits && is_key
}

async fn told(fault: &FaultTruth, incidents: &[Incident], installation: &Installation) -> Result<FaultTold> {
    let incident = incidents.iter().find(|incident| is_about(incident, fault));
    let seconds = |span: Span| span.0 as f64 / Span::SECOND.0 as f64;
    let (seen, outcome) = match fault.fault {
        Fault::NullBurst | Fault::KeyConflict | Fault::EnumAdded => (true, "quarantined"),
        Fault::Duplicates => (true, "deduplicated"),
        Fault::MalformedBatch => (true, "rejected"),
        Fault::LateRows => (late_rows(fault, installation).await? > 0, "exact"),
        Fault::CentsInsteadOfEuros | Fault::ClockSkew | Fault::StuckSource | Fault::FraudChange => {
            (incident.is_some(), if incident.is_some() { "incident" } else { "missed" })
        }
    };
    let at_the_door = seen.then_some(0.0);
    let delay = incident.map(|incident| seconds(incident.opened_at - incident.first_bad_at.max(fault.start)));
    Ok(FaultTold {
        kind: fault.fault,
        start: fault.start.to_string(),
        end: fault.end.to_string(),
        rows: fault.rows,
        detected: seen,
        outcome,
        delay_s: delay.or(at_the_door),
        incident: incident.map(|incident| incident.id.clone()),
        cause: incident.map_or_else(|| fault.cause.clone(), |incident| incident.summary.clone()),
        remedy: incident.map_or_else(|| no_incident(fault.fault).to_owned(), |incident| incident.remedy.text.clone()),
        retrain: incident.map(|incident| incident.remedy.retrain),
    })
}

fn no_incident(fault: Fault) -> &'static str {
    match fault {
        Fault::LateRows => "none needed: each value uses exactly what was known, late rows included once they came",
        Fault::Duplicates => "none needed: repeats are recognised by key and content",
        _ => "look at the quarantine",
    }
}

/// Rows of the fault's window that came more than an hour after they happened.
async fn late_rows(fault: &FaultTruth, installation: &Installation) -> Result<u64> {
    let instant = |at: Instant| format!("arrow_cast('{at}', 'Timestamp(Microsecond, Some(\"UTC\"))')");
    let sql = format!(
        "select count(*) as late from payments where _arrival - requested_at > interval '1 hour' and requested_at >= {} \
         and requested_at < {}",
        instant(fault.start),
        instant(fault.end)
    );
    let permit = installation.permit(Action::ReadRows, "payments").await?;
    let found = installation.engine.query(&permit, Query { sql, ..Query::default() }).await?;
    let rows = found
        .batches
        .first()
        .and_then(|batch| batch.column(0).as_any().downcast_ref::<arrow::array::Int64Array>().cloned());
    Ok(rows.map_or(0, |rows| rows.value(0).max(0) as u64))
}

fn alarms(incidents: &[Incident], truth: &Truth) -> Alarms {
    let founded =
        |incident: &&Incident| truth.faults.iter().any(|fault| is_about(incident, fault) || follows(incident, fault));
    let unfounded: Vec<&Incident> = incidents.iter().filter(|incident| !founded(incident)).collect();
    Alarms {
        incidents: incidents.len() as u64,
        open: incidents.iter().filter(|incident| incident.closed.is_none()).count() as u64,
        unfounded: unfounded.len() as u64,
        about: unfounded.iter().map(|incident| format!("{}: {}", incident.id, incident.summary)).collect(),
    }
}

/// Whether an incident is about what a fault leads to: amounts above the maximum while cents are sent, models that see
/// fraud changed.
fn follows(incident: &Incident, fault: &FaultTruth) -> bool {
    let in_time = fault.start <= incident.opened_at && incident.opened_at < fault.end + AFTERMATH;
    let amounts = incident.cause == CauseKind::Quarantine && incident.column.as_deref() == Some("amount_eur");
    let drift = matches!(incident.cause, CauseKind::FeatureDrift | CauseKind::Performance);
    match fault.fault {
        Fault::CentsInsteadOfEuros => in_time && amounts,
        Fault::FraudChange => in_time && drift,
        _ => false,
    }
}

async fn models(installation: &Installation) -> Result<Models> {
    let told = installation.catalog.decisions(None).await?;
    let of_kind = |kind: DecisionKind| told.iter().filter(|decision| decision.kind == kind).count() as u64;
    let mut champion = BTreeMap::new();
    for name in installation.catalog.model_names().await? {
        champion.insert(name.clone(), installation.catalog.aliases(&name).await?.champion);
    }
    let mut decisions = Vec::with_capacity(told.len());
    for decision in &told {
        let reign = match decision.kind {
            DecisionKind::Promote => installation.catalog.champion_at(&decision.model, decision.at).await?,
            _ => None,
        };
        decisions.push(json!({
            "id": decision.id,
            "at": decision.at.to_string(),
            "model": decision.model,
            "kind": decision.kind,
            "version": decision.version,
            "champion": decision.champion,
            "trigger": decision.trigger.as_ref().map(|trigger| &trigger.kind),
            "reason": decision.reason,
            "auc_champion": decision.comparison.as_ref().and_then(|one| one.champion.auc()),
            "auc_challenger": decision.comparison.as_ref().and_then(|one| one.challenger.auc())
                .or(decision.evaluation.as_ref().and_then(|one| one.auc())),
            "rejected": decision.rejected,
            "approved_by": reign.map(|reign| reign.approvals.iter().map(|one| one.principal.clone()).collect::<Vec<_>>()),
        }));
    }
    Ok(Models {
        promoted: of_kind(DecisionKind::Promote),
        held_back: of_kind(DecisionKind::HoldBack),
        rolled_back: of_kind(DecisionKind::RollBack),
        champion,
        decisions,
        told,
    })
}
