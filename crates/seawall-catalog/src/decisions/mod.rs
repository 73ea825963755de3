//! Decisions about models, on record: what was decided, when, why, what else could have been, and on what it rests.
//!
//! A decision never changes. A proposal waits for approvals (`approval`) until another decision promotes or rejects it
//! (`proposal`, `promotion`). Replays run their last control step again after a crash, so every decision has a natural
//! key, (model, instant, kind, version, the decision that it carries out), and recording it again finds what is there.

use seawall_base::watch::{Decision, DecisionKind};
use seawall_base::{Error, ErrorKind, Instant, Permit, Result};
use serde_json::json;

use crate::audit::{self, Draft};
use crate::catalog::Catalog;
use crate::database::{Connection, DuringResult, Fields, Row, Write, stored_json};
use crate::models::known_version;
use crate::policy::{Action, Principal, expect_action};

mod approval;
mod promotion;
mod proposal;

#[cfg(test)]
mod tests;

pub use approval::Approval;
pub(crate) use approval::{all_approvals, approvals_of};
pub use proposal::{ApprovalState, Proposal};

/// Before the number in a decision's id.
const ID_PREFIX: &str = "DEC-";

/// A decision as it is kept.
struct Kept {
    /// The number in its id.
    number: i64,
    decision: Decision,
    /// Roles and groups that must approve; empty for what is no proposal.
    required: Vec<String>,
}

impl Kept {
    fn from_row(row: &Row) -> Result<Kept> {
        Ok(Kept { number: row.int("seq")?, decision: row.json("body")?, required: row.json("required")? })
    }
}

impl Catalog {
    /// Records a decision and gives it its id; what `decision.id` holds does not matter. The same model, instant, kind
    /// and version again is the decision that is on record already.
    ///
    /// Takes decisions that move no alias: hold back, postpone, training failed, confirm, and reject of an open proposal.
    /// The others have verbs of their own; they are `Invalid` here (SW1104). Needs a permit for `train_model` or
    /// `promote_model`. `NotFound` (SW1102, SW1103) when the version or the proposal does not exist, `Conflict` (SW1105)
    /// when the proposal is closed.
    pub async fn record_decision(&self, permit: &Permit, decision: &Decision) -> Result<Decision> {
        expect_action(permit, &[Action::TrainModel, Action::PromoteModel])?;
        let verb = match decision.kind {
            DecisionKind::Propose => Some("record_proposal"),
            DecisionKind::Promote => Some("promote"),
            DecisionKind::RollBack => Some("roll_back_model"),
            DecisionKind::Reject if decision.of.is_none() => Some("reject, or name the proposal"),
            DecisionKind::HoldBack
            | DecisionKind::Postpone
            | DecisionKind::TrainingFailed
            | DecisionKind::Confirm
            | DecisionKind::Reject => None,
        };
        if let Some(verb) = verb {
            let message = format!("a decision of kind {} cannot be recorded by itself", decision.kind.as_str());
            return Err(Error::invalid("SW1104", message).hint(format!("use {verb}")));
        }
        let mut write = self.begin().await?;
        if let Some(known) = recorded_as(write.connection(), decision).await? {
            return Ok(known.decision);
        }
        if let (DecisionKind::Reject, Some(of)) = (decision.kind, &decision.of) {
            let proposal = proposal::kept_proposal(write.connection(), of).await?;
            proposal::expect_open(write.connection(), &proposal).await?;
        }
        let kept = self.record(&mut write, permit, decision.clone(), &[]).await?;
        write.commit().await?;
        Ok(kept.decision)
    }

    /// A decision by its id; `NotFound` (SW1103) for an unknown one.
    pub async fn decision(&self, id: &str) -> Result<Decision> {
        let mut reader = self.read().await?;
        known_decision(&mut reader, id).await
    }

    /// The decisions about `model`, or about every model, in the order in which they were recorded.
    pub async fn decisions(&self, model: Option<&str>) -> Result<Vec<Decision>> {
        let mut reader = self.read().await?;
        match model {
            Some(model) => decisions_about(&mut reader, model).await,
            None => Ok(all_decisions(&mut reader).await?.into_iter().map(|(decision, _)| decision).collect()),
        }
    }

    /// Records a decision within the caller's change, with its audit entry, unless it is on record already.
    async fn record(
        &self,
        write: &mut Write<'_>,
        permit: &Permit,
        mut decision: Decision,
        required: &[String],
    ) -> Result<Kept> {
        if let Some(known) = recorded_as(write.connection(), &decision).await? {
            return Ok(known);
        }
        if let Some(version) = decision.version {
            known_version(write.connection(), &decision.model, version).await?;
        }
        let recorded_at = self.now();
        let number = 1 + newest_number(write.connection()).await?;
        decision.id = format!("{ID_PREFIX}{number}");
        let kept = Kept { number, decision, required: required.to_vec() };
        insert(write, permit, recorded_at, &kept).await?;
        let Decision { id, model, kind, version, champion, of, policy, binds, reason, .. } = &kept.decision;
        let detail = json!({
            "decision": id, "model": model, "version": version, "champion": champion, "of": of, "policy": policy,
            "binds": binds, "required": required, "reason": reason,
        });
        audit::append(write, recorded_at, Draft::of(event(*kind), permit, detail)).await?;
        Ok(kept)
    }
}

/// Fails with `Denied` (SW1114) unless `permit` was issued to `principal`: who acts is who was authorized.
fn expect_holder(permit: &Permit, principal: &Principal) -> Result<()> {
    if permit.principal() == principal.name {
        return Ok(());
    }
    let message = format!("permit {} was issued to {}, not to {}", permit.id(), permit.principal(), principal.name);
    Err(Error::new(ErrorKind::Denied, "SW1114", message).hint("authorize the person in whose name this is done"))
}

/// What the audit ledger calls a decision.
fn event(kind: DecisionKind) -> &'static str {
    match kind {
        DecisionKind::Propose => "proposed",
        DecisionKind::Promote => "promoted",
        DecisionKind::HoldBack => "held_back",
        DecisionKind::Postpone => "postponed",
        DecisionKind::TrainingFailed => "training_failed",
        DecisionKind::RollBack => "rolled_back",
        DecisionKind::Confirm => "confirmed",
        DecisionKind::Reject => "rejected",
    }
}

async fn insert(write: &mut Write<'_>, permit: &Permit, recorded_at: Instant, kept: &Kept) -> Result<()> {
    let decision = &kept.decision;
    sqlx::query(
        "INSERT INTO decision (seq, model, at, kind, version, of_decision, binds, required, body, recorded_at, permit)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(kept.number)
    .bind(decision.model.as_str())
    .bind(decision.at.0)
    .bind(decision.kind.as_str())
    .bind(i64::from(decision.version.unwrap_or(0)))
    .bind(number_of(decision.of.as_deref())?)
    .bind(decision.binds.to_string())
    .bind(stored_json("a proposal", &kept.required)?)
    .bind(stored_json("a decision", decision)?)
    .bind(recorded_at.0)
    .bind(permit.id())
    .execute(write.connection())
    .await
    .during("recording a decision")?;
    Ok(())
}

/// The decision with the natural key of `decision`.
async fn recorded_as(connection: &mut Connection, decision: &Decision) -> Result<Option<Kept>> {
    let row = sqlx::query(
        "SELECT seq, body, required FROM decision
         WHERE model = $1 AND at = $2 AND kind = $3 AND version = $4 AND of_decision = $5",
    )
    .bind(decision.model.as_str())
    .bind(decision.at.0)
    .bind(decision.kind.as_str())
    .bind(i64::from(decision.version.unwrap_or(0)))
    .bind(number_of(decision.of.as_deref())?)
    .fetch_optional(connection)
    .await
    .during("looking a decision up")?;
    row.map(|row| Kept::from_row(&row)).transpose()
}

/// The number in an id; 0 for none. An id that is none is `NotFound` (SW1103).
fn number_of(id: Option<&str>) -> Result<i64> {
    let Some(id) = id else { return Ok(0) };
    let number = id.strip_prefix(ID_PREFIX).and_then(|digits| digits.parse::<i64>().ok());
    // One decision has one id: `DEC-01` is none.
    number.filter(|number| *number > 0 && format!("{ID_PREFIX}{number}") == id).ok_or_else(|| unknown(id))
}

fn unknown(id: &str) -> Error {
    Error::not_found("SW1103", format!("there is no decision {id:?}"))
        .hint("list the decisions about the model; ids look like DEC-1")
}

async fn kept(connection: &mut Connection, id: &str) -> Result<Kept> {
    let row = sqlx::query("SELECT seq, body, required FROM decision WHERE seq = $1")
        .bind(number_of(Some(id))?)
        .fetch_optional(connection)
        .await
        .during("looking a decision up")?;
    Kept::from_row(&row.ok_or_else(|| unknown(id))?)
}

/// See [`Catalog::decision`].
pub(crate) async fn known_decision(connection: &mut Connection, id: &str) -> Result<Decision> {
    Ok(kept(connection, id).await?.decision)
}

/// A decision by the number in its id.
pub(crate) async fn decision_numbered(connection: &mut Connection, number: i64) -> Result<Decision> {
    known_decision(connection, &format!("{ID_PREFIX}{number}")).await
}

async fn newest_number(connection: &mut Connection) -> Result<i64> {
    let row = sqlx::query("SELECT seq FROM decision ORDER BY seq DESC LIMIT 1")
        .fetch_optional(connection)
        .await
        .during("numbering a decision")?;
    row.map_or(Ok(0), |row| row.int("seq"))
}

/// The decisions about one model, in the order in which they were recorded.
pub(crate) async fn decisions_about(connection: &mut Connection, model: &str) -> Result<Vec<Decision>> {
    let rows = sqlx::query("SELECT body FROM decision WHERE model = $1 ORDER BY seq")
        .bind(model)
        .fetch_all(connection)
        .await
        .during("listing the decisions about a model")?;
    rows.iter().map(|row| row.json("body")).collect()
}

/// Every decision with the permit that allowed it, in the order in which they were recorded.
pub(crate) async fn all_decisions(connection: &mut Connection) -> Result<Vec<(Decision, String)>> {
    let rows = sqlx::query("SELECT body, permit FROM decision ORDER BY seq")
        .fetch_all(connection)
        .await
        .during("listing decisions")?;
    let mut all = Vec::with_capacity(rows.len());
    for row in rows {
        all.push((row.json("body")?, row.text("permit")?));
    }
    Ok(all)
}
