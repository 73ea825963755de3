//! Moving the alias champion: promotions, rollbacks, and the confirmation that ends a probation.
//!
//! The decision, the alias, the reign and the audit entry are one transaction. A champion cannot become one without the
//! approvals that its proposal requires: promotion needs the proposal, and a rollback only brings back what was champion
//! before. Scorers read the alias, so a rollback takes effect with its commit.

use seawall_base::watch::{Decision, DecisionKind, Trigger};
use seawall_base::{Error, ErrorKind, Instant, Permit, Result};

use super::approval::who_can_give;
use super::proposal::{Proposal, closed, closing, kept_proposal, proposal_of};
use super::{Kept, decision_numbered, recorded_as};
use crate::catalog::Catalog;
use crate::database::Write;
use crate::models::{Aliases, NewReign, aliases_of, append_reign, known_version, newest_reign_of, set_aliases};
use crate::policy::{Action, expect_action};

impl Catalog {
    /// Makes the version of proposal `decision_id` champion from `at` on. Promoting it again gives the decision that is
    /// on record.
    ///
    /// Needs a permit for `promote_model`. Errors: `NotFound` (SW1103), `Invalid` (SW1104) when it is no proposal,
    /// `Denied` (SW1109) while approvals are missing, `Conflict` when it was rejected (SW1105), when the champion is
    /// another one than when it was proposed (SW1110), when the version is champion already (SW1113) or when `at` lies
    /// before the proposal or the champion's first instant (SW1111).
    pub async fn promote(&self, permit: &Permit, decision_id: &str, at: Instant) -> Result<Decision> {
        expect_action(permit, &[Action::PromoteModel])?;
        let mut write = self.begin().await?;
        let kept = kept_proposal(write.connection(), decision_id).await?;
        if let Some(closing) = closing(write.connection(), &kept).await? {
            return match closing.kind {
                DecisionKind::Promote => Ok(closing),
                _ => Err(closed(&kept.decision, &closing)),
            };
        }
        let proposal = proposal_of(write.connection(), kept).await?;
        expect_approved(&proposal)?;
        let aliases = aliases_of(write.connection(), &proposal.decision.model).await?;
        let version = expect_same_champion(&proposal.decision, &aliases)?;
        expect_order(&proposal.decision.model, Some(proposal.decision.at).max(aliases.champion_since), at)?;
        let promotion = Decision {
            at,
            kind: DecisionKind::Promote,
            reason: promotion_reason(&proposal),
            of: Some(proposal.decision.id.clone()),
            by: permit.principal().to_owned(),
            ..proposal.decision
        };
        let kept = self.record(&mut write, permit, promotion, &[]).await?;
        let moved =
            Aliases { champion: Some(version), challenger: None, former: aliases.champion, champion_since: Some(at) };
        crown(&mut write, &kept, version, &moved, at).await?;
        write.commit().await?;
        Ok(kept.decision)
    }

    /// Makes version `to`, which was champion before, champion again from `at` on. The same model, instant and version
    /// again is the decision that is on record.
    ///
    /// Needs a permit for `roll_back`. Errors: `NotFound` (SW1102) for an unknown version, `Invalid` (SW1112) when it
    /// was never champion, `Conflict` when it is champion (SW1113) or `at` lies before the champion's first instant
    /// (SW1111).
    pub async fn roll_back_model(
        &self,
        permit: &Permit,
        model: &str,
        to: u32,
        trigger: Trigger,
        reason: &str,
        at: Instant,
    ) -> Result<Decision> {
        expect_action(permit, &[Action::RollBack])?;
        let mut write = self.begin().await?;
        let version = known_version(write.connection(), model, to).await?;
        let Some(earlier) = newest_reign_of(write.connection(), model, to).await? else {
            return Err(Error::invalid("SW1112", format!("version {to} of {model} was never champion"))
                .hint("roll back to a former champion, or propose this version"));
        };
        let approved = decision_numbered(write.connection(), earlier.decision).await?;
        let aliases = aliases_of(write.connection(), model).await?;
        let mut rollback = Decision {
            at,
            kind: DecisionKind::RollBack,
            champion: aliases.champion,
            trigger: Some(trigger),
            reason: reason.to_owned(),
            rejected: Vec::new(),
            comparison: None,
            evaluation: Some(version.trained.evaluation),
            of: None,
            by: permit.principal().to_owned(),
            ..approved
        };
        if let Some(known) = recorded_as(write.connection(), &rollback).await? {
            return Ok(known.decision);
        }
        if aliases.champion == Some(to) {
            let message = format!("version {to} of {model} is its champion already");
            return Err(Error::new(ErrorKind::Conflict, "SW1113", message).hint("there is nothing to roll back"));
        }
        expect_order(model, aliases.champion_since, at)?;
        if let Some(champion) = aliases.champion
            && let Some(reign) = newest_reign_of(write.connection(), model, champion).await?
        {
            // The policy of the reign that ends is the one that ended it.
            rollback.policy = decision_numbered(write.connection(), reign.decision).await?.policy;
        }
        let kept = self.record(&mut write, permit, rollback, &[]).await?;
        let moved = Aliases {
            champion: Some(to),
            challenger: aliases.challenger.filter(|challenger| *challenger != to),
            former: earlier.former,
            champion_since: Some(at),
        };
        crown(&mut write, &kept, to, &moved, at).await?;
        write.commit().await?;
        Ok(kept.decision)
    }

    /// Records that the champion has passed its probation. The same model, instant and version again is the decision
    /// that is on record.
    ///
    /// Needs a permit for `promote_model`, `train_model` or `roll_back`. `NotFound` (SW1102) for an unknown version,
    /// `Conflict` (SW1113) when it is not the champion.
    pub async fn confirm(
        &self,
        permit: &Permit,
        model: &str,
        version: u32,
        reason: &str,
        at: Instant,
    ) -> Result<Decision> {
        expect_action(permit, &[Action::PromoteModel, Action::TrainModel, Action::RollBack])?;
        let mut write = self.begin().await?;
        let trained = known_version(write.connection(), model, version).await?;
        let reign = newest_reign_of(write.connection(), model, version).await?;
        let aliases = aliases_of(write.connection(), model).await?;
        let Some(reign) = reign else { return Err(not_champion(model, version, &aliases)) };
        let confirmation = Decision {
            at,
            kind: DecisionKind::Confirm,
            champion: Some(version),
            trigger: None,
            reason: reason.to_owned(),
            rejected: Vec::new(),
            comparison: None,
            evaluation: Some(trained.trained.evaluation),
            of: None,
            by: permit.principal().to_owned(),
            ..decision_numbered(write.connection(), reign.decision).await?
        };
        if let Some(known) = recorded_as(write.connection(), &confirmation).await? {
            return Ok(known.decision);
        }
        if aliases.champion != Some(version) {
            return Err(not_champion(model, version, &aliases));
        }
        let kept = self.record(&mut write, permit, confirmation, &[]).await?;
        write.commit().await?;
        Ok(kept.decision)
    }
}

/// Moves the aliases and begins the reign that a decision decided.
async fn crown(write: &mut Write<'_>, kept: &Kept, version: u32, moved: &Aliases, from: Instant) -> Result<()> {
    let model = kept.decision.model.as_str();
    set_aliases(write, model, moved).await?;
    append_reign(write, NewReign { model, version, former: moved.former, from, decision: kept.number }).await
}

/// Fails with `Denied` (SW1109) while approvals are missing.
fn expect_approved(proposal: &Proposal) -> Result<()> {
    if proposal.missing.is_empty() {
        return Ok(());
    }
    let Proposal { decision, given, missing, .. } = proposal;
    let message = format!("{} lacks the approval of {}", decision.id, missing.join(" and "));
    let mut who: Vec<String> = missing.iter().map(|place| who_can_give(place)).collect();
    let excluded: Vec<&str> = given.iter().map(|approval| approval.principal.as_str()).collect();
    who.push(format!("{}, who requested it, cannot approve it", decision.by));
    if !excluded.is_empty() {
        who.push(format!("{} approved already", excluded.join(" and ")));
    }
    Err(Error::new(ErrorKind::Denied, "SW1109", message).hint(format!("missing: {}", who.join("; "))))
}

/// The proposed version; `Conflict` when the champion changed since (SW1110) or is this version (SW1113).
fn expect_same_champion(proposal: &Decision, aliases: &Aliases) -> Result<u32> {
    let Decision { id, model, .. } = proposal;
    let name = |version: Option<u32>| version.map_or("none".to_owned(), |version| format!("version {version}"));
    let Some(version) = proposal.version else {
        return Err(Error::corrupt("SW0603", format!("proposal {id} names no version")));
    };
    if aliases.champion == Some(version) {
        let message = format!("version {version} of {model} is its champion already");
        return Err(Error::new(ErrorKind::Conflict, "SW1113", message).hint("reject the proposal"));
    }
    if aliases.champion != proposal.champion {
        let message = format!(
            "the champion of {model} is {}, but {id} was compared with {}",
            name(aliases.champion),
            name(proposal.champion)
        );
        return Err(Error::new(ErrorKind::Conflict, "SW1110", message)
            .hint("reject the proposal and compare the version with the present champion"));
    }
    Ok(version)
}

/// Fails with `Conflict` (SW1111) when `at` lies before what is on record.
fn expect_order(model: &str, earliest: Option<Instant>, at: Instant) -> Result<()> {
    match earliest {
        Some(earliest) if at < earliest => {
            let message = format!("the champion of {model} cannot change at {at}, before {earliest}");
            Err(Error::new(ErrorKind::Conflict, "SW1111", message)
                .hint("history is not rewritten: decide at the present instant"))
        }
        _ => Ok(()),
    }
}

fn not_champion(model: &str, version: u32, aliases: &Aliases) -> Error {
    let champion = match aliases.champion {
        Some(champion) => format!("its champion is version {champion}"),
        None => "it has no champion".to_owned(),
    };
    Error::new(ErrorKind::Conflict, "SW1113", format!("version {version} is not the champion of {model}"))
        .hint(champion)
}

fn promotion_reason(proposal: &Proposal) -> String {
    let Proposal { decision, given, .. } = proposal;
    let approved: Vec<String> = given.iter().map(|one| format!("{} ({})", one.principal, one.fills)).collect();
    match approved.is_empty() {
        true => format!("as proposed in {}: {}", decision.id, decision.reason),
        false => format!("as proposed in {} and approved by {}: {}", decision.id, approved.join(", "), decision.reason),
    }
}
