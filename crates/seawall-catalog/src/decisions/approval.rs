//! Approvals: people say yes to exactly what they looked at.
//!
//! An approval binds to a hash of artifact, fingerprint, comparison and policy, so it cannot be carried over to anything
//! else. Each person fills at most one of the required places, and who requested a proposal fills none. Which person
//! fills which place is settled anew with each approval: it counts when all those who approved can be seated at once.

use seawall_base::watch::Decision;
use seawall_base::{Error, ErrorKind, Hash, Instant, Permit, Result, time};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::proposal::{ApprovalState, Proposal, expect_open, kept_proposal, proposal_of};
use super::{Kept, expect_holder, kept};
use crate::audit::{self, Draft};
use crate::catalog::Catalog;
use crate::database::{Connection, DuringResult, Fields, Row, Write, stored, stored_json};
use crate::policy::{Action, Principal, Role, expect_action};

/// One person's approval of a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// The proposal.
    pub decision: String,
    /// Who.
    pub principal: String,
    /// Their role at that time.
    pub role: Role,
    /// Their groups at that time.
    pub groups: Vec<String>,
    /// The required role or group that they stand for.
    pub fills: String,
    /// Hash of what they approved.
    pub binds: Hash,
    /// Why.
    pub reason: String,
    /// When, on the catalog's clock.
    #[serde(with = "time::text")]
    pub at: Instant,
    /// Id of the permit that allowed it.
    pub permit: String,
}

impl Approval {
    fn from_row(row: &Row, decision: &str) -> Result<Approval> {
        Ok(Approval {
            decision: decision.to_owned(),
            principal: row.text("principal")?,
            role: row.parsed("role")?,
            groups: row.json("member_of")?,
            fills: String::new(),
            binds: row.hash("binds")?,
            reason: row.text("reason")?,
            at: row.instant("at")?,
            permit: row.text("permit")?,
        })
    }
}

impl Catalog {
    /// Approves a proposal in the name of `principal`, a member of `groups`; `binds` is the hash of what they looked at.
    /// Approving again changes nothing. A denial is written to the audit ledger.
    ///
    /// `permit` is the one of `principal`, for `approve_decision`. Errors: `NotFound` (SW1103) for an unknown decision,
    /// `Invalid` (SW1104) when it is no proposal, `Conflict` when `binds` is the hash of something else (SW1106) or
    /// nothing is left to approve (SW1105), `Denied` for who requested it (SW1107) and for who is in none of the roles
    /// and groups that are missing (SW1108).
    pub async fn approve(
        &self,
        permit: &Permit,
        principal: &Principal,
        groups: &[String],
        decision: &str,
        binds: Hash,
        reason: &str,
    ) -> Result<ApprovalState> {
        expect_action(permit, &[Action::ApproveDecision])?;
        expect_holder(permit, principal)?;
        let at = self.now();
        let mut write = self.begin().await?;
        let proposal = kept_proposal(write.connection(), decision).await?;
        expect_binding(write.connection(), &proposal.decision, binds).await?;
        let number = proposal.number;
        let still_open = expect_open(write.connection(), &proposal).await;
        let state = proposal_of(write.connection(), proposal).await?;
        if state.given.iter().any(|given| given.principal == principal.name) {
            return Ok(ApprovalState::of(state));
        }
        still_open?;
        let approval = Approval {
            decision: state.decision.id.clone(),
            principal: principal.name.clone(),
            role: principal.role,
            groups: groups.to_vec(),
            fills: String::new(),
            binds,
            reason: reason.to_owned(),
            at,
            permit: permit.id().to_owned(),
        };
        if let Err(refusal) = expect_wanted(&state, &approval) {
            if refusal.kind() == ErrorKind::Denied {
                let detail = json!({"decision": decision, "code": refusal.code(), "role": principal.role});
                audit::append(&mut write, at, Draft::of("approval_denied", permit, detail)).await?;
                write.commit().await?;
            }
            return Err(refusal);
        }
        insert(&mut write, number, state.given.len(), &approval).await?;
        let detail = json!({"decision": decision, "role": principal.role, "groups": groups, "binds": binds,
            "reason": reason});
        audit::append(&mut write, at, Draft::of("approved", permit, detail)).await?;
        let proposal = kept(write.connection(), decision).await?;
        let state = proposal_of(write.connection(), proposal).await?;
        write.commit().await?;
        Ok(ApprovalState::of(state))
    }
}

/// Fails with `Conflict` (SW1106) unless `binds` is what the proposal binds to; says what differs where that is known.
async fn expect_binding(connection: &mut Connection, proposal: &Decision, binds: Hash) -> Result<()> {
    if binds == proposal.binds {
        return Ok(());
    }
    let row = sqlx::query("SELECT body FROM decision WHERE model = $1 AND binds = $2 ORDER BY seq DESC LIMIT 1")
        .bind(proposal.model.as_str())
        .bind(binds.to_string())
        .fetch_optional(connection)
        .await
        .during("looking up what an approval binds to")?;
    let other: Option<Decision> = row.map(|row| row.json("body")).transpose()?;
    let changed = match other {
        Some(other) => format!("that is the hash of {}, which has {}", other.id, differences(&other, proposal)),
        None => "artifact, fingerprint, comparison or policy is not what was looked at".to_owned(),
    };
    let message =
        format!("{} binds to {}, the approval to {}: {changed}", proposal.id, proposal.binds.short(), binds.short());
    Err(Error::new(ErrorKind::Conflict, "SW1106", message).hint("look at the proposal again and approve its hash"))
}

fn differences(other: &Decision, proposal: &Decision) -> String {
    let mut found = Vec::new();
    if other.version != proposal.version {
        found.push("another version");
    }
    if other.comparison != proposal.comparison {
        found.push("another comparison");
    }
    if other.policy != proposal.policy {
        found.push("another policy");
    }
    if found.is_empty() { "another artifact or fingerprint".to_owned() } else { found.join(" and ") }
}

/// Whether one more approval helps: everybody who approved, and this person, can fill a place of their own.
fn expect_wanted(state: &Proposal, approval: &Approval) -> Result<()> {
    let id = &state.decision.id;
    let denied = |code: &'static str, message: String| {
        let who: Vec<String> = state.missing.iter().map(|place| who_can_give(place)).collect();
        Error::new(ErrorKind::Denied, code, message).hint(format!("missing: {}", who.join("; ")))
    };
    if state.missing.is_empty() {
        let message = format!("{id} has every approval that it needs");
        return Err(Error::new(ErrorKind::Conflict, "SW1105", message).hint("promote it, or reject it"));
    }
    if approval.principal == state.decision.by {
        let message = format!("{} requested {id} and cannot approve it", approval.principal);
        return Err(denied("SW1107", message));
    }
    let mut persons: Vec<Vec<&str>> = state.given.iter().map(capacities).collect();
    persons.push(capacities(approval));
    let seats = seat_all(&state.required, &persons);
    if seats.iter().flatten().count() == persons.len() {
        return Ok(());
    }
    let Approval { principal, role, .. } = approval;
    Err(denied("SW1108", format!("{principal} ({role}) cannot give an approval that {id} lacks")))
}

/// Who can fill a required place, for people.
pub(super) fn who_can_give(place: &str) -> String {
    match place.parse::<Role>() {
        Ok(role) => format!("somebody with role {role}"),
        Err(_) => format!("a member of group {place}"),
    }
}

/// What a person can stand for: their role and their groups. A group that is named like a role does not give the role.
fn capacities(approval: &Approval) -> Vec<&str> {
    let groups = approval.groups.iter().map(String::as_str).filter(|group| group.parse::<Role>().is_err());
    groups.chain([approval.role.as_str()]).collect()
}

/// Seats as many persons as possible, each on one place: for each required place the person who fills it.
pub(super) fn seat_all(required: &[String], persons: &[Vec<&str>]) -> Vec<Option<usize>> {
    let mut seats = vec![None; required.len()];
    for person in 0..persons.len() {
        seat(person, required, persons, &mut seats, &mut vec![false; required.len()]);
    }
    seats
}

/// Seats one more person, moving others along where that frees a place. `tried` are the places that cannot be freed.
fn seat(
    person: usize,
    required: &[String],
    persons: &[Vec<&str>],
    seats: &mut [Option<usize>],
    tried: &mut [bool],
) -> bool {
    let fits = |place: usize| persons[person].contains(&required[place].as_str());
    if let Some(free) = (0..required.len()).find(|place| seats[*place].is_none() && fits(*place)) {
        seats[free] = Some(person);
        return true;
    }
    for place in 0..required.len() {
        let Some(holder) = seats[place] else { continue };
        if tried[place] || !fits(place) {
            continue;
        }
        tried[place] = true;
        if seat(holder, required, persons, seats, tried) {
            seats[place] = Some(person);
            return true;
        }
    }
    false
}

async fn insert(write: &mut Write<'_>, number: i64, position: usize, approval: &Approval) -> Result<()> {
    sqlx::query(
        "INSERT INTO approval (decision, position, principal, role, member_of, binds, reason, at, permit)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(number)
    .bind(stored(position as u64)?)
    .bind(approval.principal.as_str())
    .bind(approval.role.as_str())
    .bind(stored_json("an approval", &approval.groups)?)
    .bind(approval.binds.to_string())
    .bind(approval.reason.as_str())
    .bind(approval.at.0)
    .bind(approval.permit.as_str())
    .execute(write.connection())
    .await
    .during("recording an approval")?;
    Ok(())
}

/// The approvals of a proposal, oldest first, and the required places that nobody fills.
pub(super) async fn given_and_missing(
    connection: &mut Connection,
    proposal: &Kept,
) -> Result<(Vec<Approval>, Vec<String>)> {
    let rows = sqlx::query(
        "SELECT principal, role, member_of, binds, reason, at, permit FROM approval
         WHERE decision = $1 ORDER BY position",
    )
    .bind(proposal.number)
    .fetch_all(connection)
    .await
    .during("listing the approvals of a proposal")?;
    let mut given: Vec<Approval> =
        rows.iter().map(|row| Approval::from_row(row, &proposal.decision.id)).collect::<Result<_>>()?;
    let persons: Vec<Vec<&str>> = given.iter().map(capacities).collect();
    let seats = seat_all(&proposal.required, &persons);
    let mut missing = Vec::new();
    for (place, person) in proposal.required.iter().zip(seats) {
        match person {
            Some(person) => given[person].fills = place.clone(),
            None => missing.push(place.clone()),
        }
    }
    Ok((given, missing))
}

/// The approvals of a decision, oldest first; none for what is no proposal.
pub(crate) async fn approvals_of(connection: &mut Connection, id: &str) -> Result<Vec<Approval>> {
    let proposal = kept(connection, id).await?;
    Ok(given_and_missing(connection, &proposal).await?.0)
}

/// Every approval, by proposal, oldest first.
pub(crate) async fn all_approvals(connection: &mut Connection) -> Result<Vec<Approval>> {
    let rows = sqlx::query("SELECT seq, body, required FROM decision WHERE kind = 'propose' ORDER BY seq")
        .fetch_all(&mut *connection)
        .await
        .during("listing proposals")?;
    let mut all = Vec::new();
    for row in rows {
        all.extend(given_and_missing(connection, &Kept::from_row(&row)?).await?.0);
    }
    Ok(all)
}
