//! Proposals: promotions that wait. A proposal is open until a decision promotes or rejects it.

use seawall_base::watch::{Decision, DecisionKind};
use seawall_base::{Error, ErrorKind, Permit, Result};
use serde::Serialize;

use super::approval::{self, Approval};
use super::{Kept, expect_holder, kept};
use crate::catalog::Catalog;
use crate::database::{Connection, DuringResult, Fields};
use crate::models::aliases_of;
use crate::policy::{Action, Principal, expect_action};

/// A proposed promotion and who approved it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Proposal {
    /// The decision, of kind `propose`.
    pub decision: Decision,
    /// Roles and groups, one member of each of which must approve; none for no approval.
    pub required: Vec<String>,
    /// The approvals so far, oldest first.
    pub given: Vec<Approval>,
    /// Those of `required` that nobody approved for.
    pub missing: Vec<String>,
}

/// What an approval led to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ApprovalState {
    /// The proposal as it stands now.
    pub proposal: Proposal,
    /// Whether nothing is missing any more, so that it can be promoted.
    pub complete: bool,
}

impl ApprovalState {
    pub(super) fn of(proposal: Proposal) -> ApprovalState {
        let complete = proposal.missing.is_empty();
        ApprovalState { proposal, complete }
    }
}

impl Catalog {
    /// Records a proposal with the roles and groups that must approve it, and gives it its id. The same model, instant
    /// and version again is the proposal that is on record already, with what it required then.
    ///
    /// Needs a permit for `train_model` or `promote_model`. `Invalid` (SW1104) when it is no proposal or names no
    /// version, `NotFound` (SW1102) when the version does not exist, `Conflict` (SW1113) when it is the champion.
    pub async fn record_proposal(&self, permit: &Permit, decision: &Decision, required: &[String]) -> Result<Decision> {
        expect_action(permit, &[Action::TrainModel, Action::PromoteModel])?;
        if decision.kind != DecisionKind::Propose || decision.of.is_some() {
            let message = format!("a decision of kind {} is no proposal", decision.kind.as_str());
            return Err(
                Error::invalid("SW1104", message).hint("a proposal is of kind propose and carries out no other")
            );
        }
        let Some(version) = decision.version else {
            return Err(Error::invalid("SW1104", format!("a proposal for {} names no version", decision.model))
                .hint("propose a version that is on record"));
        };
        let mut write = self.begin().await?;
        if let Some(known) = super::recorded_as(write.connection(), decision).await? {
            return Ok(known.decision);
        }
        if aliases_of(write.connection(), &decision.model).await?.champion == Some(version) {
            let message = format!("version {version} of {} is its champion already", decision.model);
            return Err(Error::new(ErrorKind::Conflict, "SW1113", message).hint("there is nothing to propose"));
        }
        let kept = self.record(&mut write, permit, decision.clone(), required).await?;
        write.commit().await?;
        Ok(kept.decision)
    }

    /// Refuses a proposal. Refusing it again gives the decision that is on record.
    ///
    /// `permit` is the one of `principal`, for `approve_decision`, `promote_model` or `train_model`. `NotFound` (SW1103)
    /// for an unknown decision, `Invalid` (SW1104) when it is no proposal, `Conflict` (SW1105) when it was promoted.
    pub async fn reject(
        &self,
        permit: &Permit,
        principal: &Principal,
        decision: &str,
        reason: &str,
    ) -> Result<Decision> {
        expect_action(permit, &[Action::ApproveDecision, Action::PromoteModel, Action::TrainModel])?;
        expect_holder(permit, principal)?;
        let mut write = self.begin().await?;
        let proposal = kept_proposal(write.connection(), decision).await?;
        if let Some(closing) = closing(write.connection(), &proposal).await? {
            return match closing.kind {
                DecisionKind::Reject => Ok(closing),
                _ => Err(closed(&proposal.decision, &closing)),
            };
        }
        let rejection = Decision {
            at: self.now(),
            kind: DecisionKind::Reject,
            reason: reason.to_owned(),
            rejected: Vec::new(),
            of: Some(proposal.decision.id.clone()),
            by: principal.name.clone(),
            ..proposal.decision
        };
        let kept = self.record(&mut write, permit, rejection, &[]).await?;
        write.commit().await?;
        Ok(kept.decision)
    }

    /// The proposals that nothing has promoted or rejected, oldest first.
    pub async fn open_proposals(&self) -> Result<Vec<Proposal>> {
        let mut reader = self.read().await?;
        let rows = sqlx::query(
            "SELECT seq, body, required FROM decision AS proposal
             WHERE kind = 'propose' AND NOT EXISTS (SELECT 1 FROM decision AS closing
                 WHERE closing.of_decision = proposal.seq AND closing.kind IN ('promote', 'reject'))
             ORDER BY seq",
        )
        .fetch_all(&mut *reader)
        .await
        .during("listing open proposals")?;
        let mut open = Vec::with_capacity(rows.len());
        for row in rows {
            open.push(proposal_of(&mut reader, Kept::from_row(&row)?).await?);
        }
        Ok(open)
    }

    /// A proposal, open or not; `NotFound` (SW1103) for an unknown decision, `Invalid` (SW1104) for what is no proposal.
    pub async fn proposal(&self, id: &str) -> Result<Proposal> {
        let mut reader = self.read().await?;
        let kept = kept_proposal(&mut reader, id).await?;
        proposal_of(&mut reader, kept).await
    }
}

/// A proposal as it is kept; `Invalid` (SW1104) when the decision is none.
pub(super) async fn kept_proposal(connection: &mut Connection, id: &str) -> Result<Kept> {
    let kept = kept(connection, id).await?;
    if kept.decision.kind != DecisionKind::Propose {
        let message = format!("{id} is no proposal, but of kind {}", kept.decision.kind.as_str());
        return Err(Error::invalid("SW1104", message).hint("name the proposal; open ones are listed by status"));
    }
    Ok(kept)
}

/// A proposal with its approvals.
pub(super) async fn proposal_of(connection: &mut Connection, kept: Kept) -> Result<Proposal> {
    let (given, missing) = approval::given_and_missing(connection, &kept).await?;
    Ok(Proposal { decision: kept.decision, required: kept.required, given, missing })
}

/// The decision that promoted or rejected a proposal.
pub(super) async fn closing(connection: &mut Connection, proposal: &Kept) -> Result<Option<Decision>> {
    let row = sqlx::query(
        "SELECT body FROM decision WHERE of_decision = $1 AND kind IN ('promote', 'reject') ORDER BY seq LIMIT 1",
    )
    .bind(proposal.number)
    .fetch_optional(connection)
    .await
    .during("looking up what became of a proposal")?;
    row.map(|row| row.json("body")).transpose()
}

/// Fails with `Conflict` (SW1105) when a proposal was promoted or rejected.
pub(super) async fn expect_open(connection: &mut Connection, proposal: &Kept) -> Result<()> {
    match closing(connection, proposal).await? {
        Some(closing) => Err(closed(&proposal.decision, &closing)),
        None => Ok(()),
    }
}

pub(super) fn closed(proposal: &Decision, closing: &Decision) -> Error {
    let what = if closing.kind == DecisionKind::Promote { "promoted" } else { "rejected" };
    let message = format!("{} was {what} by {} in {}: {}", proposal.id, closing.by, closing.id, closing.reason);
    Error::new(ErrorKind::Conflict, "SW1105", message).hint("a closed proposal stays closed; it takes a new one")
}
