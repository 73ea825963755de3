//! Model cards: everything on record about one version, for people who must answer for it.
//!
//! Data, evaluation, decisions with their approvals, reigns, and limits that follow from the record: what the version
//! never saw, what could not be measured, where it rests on little. One set of facts, as JSON and as Markdown.

use std::fmt::Write as _;

use seawall_base::declare::{MetricName, Model};
use seawall_base::watch::{Decision, Estimate, Evaluation, Period};
use seawall_base::{Hash, Instant, Result};
use serde_json::{Value, json};

use super::reign::reigns_of;
use super::{Aliases, ModelVersion, Reign, aliases_of, known_version};
use crate::catalog::Catalog;
use crate::database::Connection;
use crate::decisions::{Approval, approvals_of, decisions_about};

/// Items of a list that a summary shows.
const SUMMARY_ITEMS_MAX: usize = 8;
/// Positives below which an evaluation rests on little.
const POSITIVES_FEW: u64 = 100;

/// The facts of a card.
struct Card {
    version: ModelVersion,
    aliases: Aliases,
    /// The decisions about this version.
    decisions: Vec<Decision>,
    approvals: Vec<Approval>,
    /// The reigns of this version.
    reigns: Vec<Reign>,
}

impl Catalog {
    /// The card of a model version as JSON; `NotFound` (SW1102) for an unknown version.
    pub async fn model_card(&self, model: &str, version: u32) -> Result<Value> {
        let mut reader = self.read().await?;
        Ok(Card::load(&mut reader, model, version).await?.json())
    }

    /// The card of a model version as Markdown; `NotFound` (SW1102) for an unknown version.
    pub async fn model_card_text(&self, model: &str, version: u32) -> Result<String> {
        let mut reader = self.read().await?;
        let card = Card::load(&mut reader, model, version).await?;
        Ok(card.markdown().unwrap_or_default())
    }
}

impl Card {
    async fn load(connection: &mut Connection, model: &str, version: u32) -> Result<Card> {
        let known = known_version(connection, model, version).await?;
        let mut decisions = decisions_about(connection, model).await?;
        decisions.retain(|decision| decision.version == Some(version));
        let mut approvals = Vec::new();
        for decision in &decisions {
            approvals.extend(approvals_of(connection, &decision.id).await?);
        }
        let mut reigns = reigns_of(connection, model).await?;
        reigns.retain(|reign| reign.version == version);
        let aliases = aliases_of(connection, model).await?;
        Ok(Card { version: known, aliases, decisions, approvals, reigns })
    }

    fn standing(&self) -> &'static str {
        let is = |alias: Option<u32>| alias == Some(self.version.version);
        match (is(self.aliases.champion), is(self.aliases.challenger), is(self.aliases.former)) {
            (true, _, _) => "champion",
            (_, true, _) => "challenger",
            (_, _, true) => "former champion",
            (false, false, false) => "neither champion nor challenger",
        }
    }

    fn json(&self) -> Value {
        let version = &self.version;
        let reigns: Vec<Value> = self.reigns.iter().map(reign_json).collect();
        json!({
            "format": "seawall-model-card-1",
            "model": version.model,
            "version": version.version,
            "standing": self.standing(),
            "digest": version.digest,
            "trained_at": version.trained_at.to_string(),
            "recorded_at": version.recorded_at.to_string(),
            "definition": version.definition,
            "definition_hash": version.definition_hash,
            "data": {
                "training_set": version.fingerprint.training_set,
                "training_set_version": version.training_set_version,
                "fingerprint": version.fingerprint,
                "trained_on": version.trained_on,
                "holdout": version.holdout,
                "rows": version.rows,
                "positives": version.positives,
                "excluded": version.excluded,
            },
            "evaluation": version.evaluation,
            "report": version.report,
            "baseline": {"hash": Hash::of_json(&version.baseline), "summary": summary(&version.baseline)},
            "decisions": self.decisions,
            "approvals": self.approvals,
            "reigns": reigns,
            "limits": self.limits(),
        })
    }

    /// What the record says that this version cannot be relied on for.
    fn limits(&self) -> Vec<String> {
        let version = &self.version;
        let evaluation = &version.evaluation;
        let mut limits = vec![format!(
            "It learned from decisions {}; what came to be known or changed later is not in it.",
            period(&version.trained_on)
        )];
        for excluded in &version.excluded {
            limits.push(format!("It learned nothing from {}: {}.", excluded.what, excluded.why));
        }
        let unlabelled = version.fingerprint.rows.saturating_sub(version.fingerprint.labelled);
        if unlabelled > 0 {
            limits.push(format!(
                "{unlabelled} of {} rows of its training set had no final label and were not used.",
                version.fingerprint.rows
            ));
        }
        if evaluation.positives < POSITIVES_FEW {
            let Evaluation { positives, rows, .. } = evaluation;
            limits.push(format!("Its evaluation rests on {positives} positive rows of {rows}."));
        }
        for (metric, name) in METRICS {
            if evaluation.metric(metric).is_none() {
                limits.push(format!("{name} could not be computed on its hold-out."));
            }
        }
        limits.extend(self.limits_of_slices());
        limits
    }

    fn limits_of_slices(&self) -> Vec<String> {
        let slices = &self.version.evaluation.slices;
        let declared: Option<Model> = serde_json::from_value(self.version.definition.clone()).ok();
        let mut limits = Vec::new();
        for column in declared.map(|model| model.ready_when.by).unwrap_or_default() {
            let is_measured = slices.iter().any(|(slice, _)| slice.split('=').next() == Some(column.as_str()));
            if !is_measured {
                limits.push(format!("No value of {column} had enough rows of each class to be evaluated by itself."));
            }
        }
        let Some(overall) = self.version.evaluation.auc() else { return limits };
        for (slice, evaluation) in slices {
            if let Some(auc) = evaluation.auc()
                && auc.high < overall.low
            {
                limits.push(format!(
                    "It is worse where {slice}: AUC {}, overall {}.",
                    estimate(&auc),
                    estimate(&overall)
                ));
            }
        }
        limits
    }

    fn markdown(&self) -> std::result::Result<String, std::fmt::Error> {
        let version = &self.version;
        let mut text = String::new();
        writeln!(text, "# {} version {}\n", line(&version.model), version.version)?;
        writeln!(text, "- Standing: {}", self.standing())?;
        writeln!(text, "- Artifact: `{}`", version.digest)?;
        writeln!(text, "- Trained: {}", version.trained_at)?;
        writeln!(text, "- Declaration: `{}`", version.definition_hash)?;
        self.write_data(&mut text)?;
        self.write_evaluation(&mut text)?;
        self.write_history(&mut text)?;
        writeln!(text, "\n## Known limits\n")?;
        for limit in self.limits() {
            writeln!(text, "- {}", line(&limit))?;
        }
        Ok(text)
    }

    fn write_data(&self, text: &mut String) -> std::fmt::Result {
        let version = &self.version;
        let fingerprint = &version.fingerprint;
        writeln!(text, "\n## Data\n")?;
        writeln!(
            text,
            "- Training set: {}, table version {}, revision `{}`",
            line(&fingerprint.training_set),
            version.training_set_version.0,
            line(&fingerprint.revision)
        )?;
        writeln!(text, "- Content: `{}`", fingerprint.content)?;
        writeln!(
            text,
            "- Learned from: {} rows, {} positive, {}",
            version.rows,
            version.positives,
            period(&version.trained_on)
        )?;
        writeln!(text, "- Held out: {}", period(&version.holdout))?;
        for input in &fingerprint.inputs {
            writeln!(text, "- Read: {} version {}, cut {}", line(&input.table), input.version.0, input.cut)?;
        }
        for excluded in &version.excluded {
            writeln!(text, "- Left out: {}: {}", line(&excluded.what), line(&excluded.why))?;
        }
        Ok(())
    }

    fn write_evaluation(&self, text: &mut String) -> std::fmt::Result {
        let evaluation = &self.version.evaluation;
        writeln!(text, "\n## Evaluation on the hold-out\n")?;
        writeln!(text, "| rows | slice | positive | {} |", METRICS.map(|(_, name)| name).join(" | "))?;
        writeln!(text, "|---|---|---|{}", "---|".repeat(METRICS.len()))?;
        let slices = evaluation.slices.iter().map(|(slice, evaluation)| (slice.as_str(), evaluation));
        for (slice, evaluation) in [("all", evaluation)].into_iter().chain(slices) {
            write!(text, "| {} | {} | {} |", evaluation.rows, cell(slice), evaluation.positives)?;
            for (metric, _) in METRICS {
                let value = evaluation.metric(metric).map_or("not computed".to_owned(), |value| estimate(&value));
                write!(text, " {value} |")?;
            }
            writeln!(text)?;
        }
        Ok(())
    }

    fn write_history(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "\n## Decisions\n")?;
        if self.decisions.is_empty() {
            writeln!(text, "None.")?;
        }
        for decision in &self.decisions {
            let Decision { id, at, kind, by, reason, .. } = decision;
            writeln!(text, "- {id}, {at}, {} by {}: {}", kind.as_str(), line(by), line(reason))?;
            for approval in self.approvals.iter().filter(|approval| approval.decision == *id) {
                let Approval { principal, fills, at, reason, binds, .. } = approval;
                writeln!(
                    text,
                    "  - approved by {} as {} at {at}, bound to `{}`: {}",
                    line(principal),
                    line(fills),
                    binds.short(),
                    line(reason)
                )?;
            }
        }
        writeln!(text, "\n## Champion\n")?;
        if self.reigns.is_empty() {
            writeln!(text, "Never.")?;
        }
        for reign in &self.reigns {
            let until = reign.until.map_or("now".to_owned(), |until| until.to_string());
            writeln!(text, "- from {} to {until}, by {}", reign.from, reign.decision.id)?;
        }
        Ok(())
    }
}

/// The metrics of a card, in order, with their names for people.
const METRICS: [(MetricName, &str); 4] = [
    (MetricName::Auc, "AUC"),
    (MetricName::LogLoss, "log loss"),
    (MetricName::Brier, "Brier score"),
    (MetricName::CalibrationError, "calibration error"),
];

/// A reign without the records that stand elsewhere in the card.
fn reign_json(reign: &Reign) -> Value {
    json!({
        "from": reign.from.to_string(),
        "until": reign.until.as_ref().map(Instant::to_string),
        "decision": reign.decision.id,
        "proposal": reign.proposal.as_ref().map(|proposal| &proposal.id),
    })
}

/// A value in which long lists, such as bins of histograms, are replaced by their length.
fn summary(value: &Value) -> Value {
    match value {
        Value::Array(items) if items.len() > SUMMARY_ITEMS_MAX => json!({"items": items.len()}),
        Value::Array(items) => Value::Array(items.iter().map(summary).collect()),
        Value::Object(fields) => fields.iter().map(|(name, field)| (name.clone(), summary(field))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

fn period(period: &Period) -> String {
    format!("from {} to {}", period.from, period.to)
}

fn estimate(estimate: &Estimate) -> String {
    format!("{:.4} ({:.4} to {:.4})", estimate.value, estimate.low, estimate.high)
}

/// Text of others on one line, so that it cannot become a heading or a list of its own.
fn line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Text of others in a cell of a table.
fn cell(text: &str) -> String {
    line(text).replace('|', "\\|")
}
