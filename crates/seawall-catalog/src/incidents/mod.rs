//! Incidents: what went wrong, once each, with the signals that show it; and how far the control steps have come.
//!
//! Whoever notices the same cause again adds evidence to the open incident instead of opening another. An incident covers
//! the time from its opening to its closing: a report from within it belongs to it, even when a control step runs again
//! after a crash and finds the incident closed by its own first run. So nothing is opened twice and nothing reopens.

use seawall_base::watch::{Closed, Incident};
use seawall_base::{Error, Instant, Permit, Result};
use serde_json::json;

use crate::audit::{self, Draft};
use crate::catalog::Catalog;
use crate::database::{Connection, DuringResult, Fields, Row, Write, stored_json};
use crate::policy::{Action, expect_action};

mod position;
mod signals;

#[cfg(test)]
mod tests;

pub(crate) use signals::newest_signals;
use signals::same_measurement;

/// Signals that an incident keeps as evidence: the newest ones.
pub const EVIDENCE_MAX: usize = 32;
/// Before the number in an incident's id.
const ID_PREFIX: &str = "INC-";

/// An incident as it is kept.
struct Kept {
    /// The number in its id.
    number: i64,
    incident: Incident,
}

impl Kept {
    fn from_row(row: &Row) -> Result<Kept> {
        Ok(Kept { number: row.int("seq")?, incident: row.json("body")? })
    }
}

/// What a remedy's command says where the id of its incident belongs, which the reporter does not know.
pub const THIS_INCIDENT: &str = "INCIDENT";

impl Catalog {
    /// Opens an incident and gives it its id; what `incident.id` holds does not matter. Returns whether it is new.
    ///
    /// While one with this key is open, its evidence grows (each measurement once, the newest [`EVIDENCE_MAX`] stay) and
    /// summary, factor, blast and remedy become those of `incident`. A report with an opening instant within a closed
    /// incident of this key changes nothing. Needs a permit for `manage_incidents`.
    pub async fn open_incident(&self, permit: &Permit, incident: &Incident) -> Result<(Incident, bool)> {
        expect_action(permit, &[Action::ManageIncidents])?;
        let mut write = self.begin().await?;
        let (kept, is_new) = match covering(write.connection(), &incident.key, incident.opened_at).await? {
            Some(known) if known.incident.closed.is_some() => return Ok((known.incident, false)),
            Some(known) => {
                let merged = merge(&known.incident, incident);
                if merged == known.incident {
                    return Ok((merged, false));
                }
                let kept = Kept { number: known.number, incident: merged };
                update(&mut write, &kept).await?;
                (kept, false)
            }
            None => (insert(&mut write, permit, incident).await?, true),
        };
        let event = if is_new { "incident_opened" } else { "incident_updated" };
        let Incident { id, key, subject, summary, evidence, .. } = &kept.incident;
        let detail =
            json!({"incident": id, "key": key, "subject": subject, "summary": summary, "evidence": evidence.len()});
        audit::append(&mut write, self.now(), Draft::of(event, permit, detail)).await?;
        write.commit().await?;
        Ok((kept.incident, is_new))
    }

    /// Closes an incident. Closing it again changes nothing: the first reason stays.
    ///
    /// Needs a permit for `manage_incidents`. `NotFound` (SW1120) for an unknown incident, `Invalid` (SW1121) when
    /// `closed` lies before its opening.
    pub async fn close_incident(&self, permit: &Permit, id: &str, closed: Closed) -> Result<Incident> {
        expect_action(permit, &[Action::ManageIncidents])?;
        let mut write = self.begin().await?;
        let mut kept = known(write.connection(), id).await?;
        if kept.incident.closed.is_some() {
            return Ok(kept.incident);
        }
        let opened_at = kept.incident.opened_at;
        if closed.at < opened_at {
            return Err(Error::invalid(
                "SW1121",
                format!("{id} was opened at {opened_at}, it cannot close at {}", closed.at),
            )
            .hint("close it at the present instant"));
        }
        let detail = json!({"incident": id, "by": closed.by, "reason": closed.reason, "at": closed.at.to_string()});
        kept.incident.closed = Some(closed);
        update(&mut write, &kept).await?;
        audit::append(&mut write, self.now(), Draft::of("incident_closed", permit, detail)).await?;
        write.commit().await?;
        Ok(kept.incident)
    }

    /// Every incident, or the open ones, in the order in which they were opened.
    pub async fn incidents(&self, open_only: bool) -> Result<Vec<Incident>> {
        let mut reader = self.read().await?;
        let all = all_incidents(&mut reader).await?;
        Ok(all.into_iter().filter(|incident| !open_only || incident.closed.is_none()).collect())
    }

    /// An incident by its id; `NotFound` (SW1120) for an unknown one.
    pub async fn incident(&self, id: &str) -> Result<Incident> {
        let mut reader = self.read().await?;
        Ok(known(&mut reader, id).await?.incident)
    }
}

/// The open incident as a new report leaves it.
fn merge(known: &Incident, report: &Incident) -> Incident {
    let mut merged = Incident {
        summary: report.summary.clone(),
        factor: report.factor,
        blast: report.blast.clone(),
        remedy: report.remedy.clone(),
        ..known.clone()
    };
    for signal in &report.evidence {
        if !merged.evidence.iter().any(|held| same_measurement(held, signal)) {
            merged.evidence.push(signal.clone());
        }
    }
    keep_newest(&mut merged);
    merged
}

/// Names the incident in its remedy; orders evidence by time, newest last, and drops what is too much.
fn keep_newest(incident: &mut Incident) {
    if let Some(command) = &mut incident.remedy.command {
        *command = command.replace(THIS_INCIDENT, &incident.id);
    }
    incident.evidence.sort_by_key(|signal| signal.at);
    let excess = incident.evidence.len().saturating_sub(EVIDENCE_MAX);
    incident.evidence.drain(..excess);
}

/// The incident that a report with this key and opening instant belongs to: a closed one that covers the instant, else
/// the open one.
async fn covering(connection: &mut Connection, key: &str, opened_at: Instant) -> Result<Option<Kept>> {
    let row = sqlx::query(
        "SELECT seq, body FROM incident
         WHERE incident_key = $1 AND (closed_at IS NULL OR (opened_at <= $2 AND closed_at >= $2))
         ORDER BY CASE WHEN closed_at IS NULL THEN 1 ELSE 0 END, seq DESC LIMIT 1",
    )
    .bind(key)
    .bind(opened_at.0)
    .fetch_optional(connection)
    .await
    .during("looking an incident up")?;
    row.map(|row| Kept::from_row(&row)).transpose()
}

async fn insert(write: &mut Write<'_>, permit: &Permit, report: &Incident) -> Result<Kept> {
    let newest = sqlx::query("SELECT seq FROM incident ORDER BY seq DESC LIMIT 1")
        .fetch_optional(write.connection())
        .await
        .during("numbering an incident")?;
    let number = 1 + newest.map_or(Ok(0), |row| row.int("seq"))?;
    let mut incident = Incident { id: format!("{ID_PREFIX}{number}"), closed: None, ..report.clone() };
    keep_newest(&mut incident);
    sqlx::query(
        "INSERT INTO incident (seq, incident_key, opened_at, closed_at, body, permit) VALUES ($1, $2, $3, NULL, $4, $5)",
    )
    .bind(number)
    .bind(incident.key.as_str())
    .bind(incident.opened_at.0)
    .bind(stored_json("an incident", &incident)?)
    .bind(permit.id())
    .execute(write.connection())
    .await
    .during("opening an incident")?;
    Ok(Kept { number, incident })
}

async fn update(write: &mut Write<'_>, kept: &Kept) -> Result<()> {
    sqlx::query("UPDATE incident SET closed_at = $1, body = $2 WHERE seq = $3")
        .bind(kept.incident.closed.as_ref().map(|closed| closed.at.0))
        .bind(stored_json("an incident", &kept.incident)?)
        .bind(kept.number)
        .execute(write.connection())
        .await
        .during("updating an incident")?;
    Ok(())
}

async fn known(connection: &mut Connection, id: &str) -> Result<Kept> {
    let unknown = || {
        Error::not_found("SW1120", format!("there is no incident {id:?}"))
            .hint("list the incidents; ids look like INC-1")
    };
    let number: i64 = id.strip_prefix(ID_PREFIX).and_then(|digits| digits.parse().ok()).ok_or_else(unknown)?;
    let row = sqlx::query("SELECT seq, body FROM incident WHERE seq = $1")
        .bind(number)
        .fetch_optional(connection)
        .await
        .during("looking an incident up")?;
    let kept = Kept::from_row(&row.ok_or_else(unknown)?)?;
    // One incident has one id: `INC-01` is none.
    if kept.incident.id == id { Ok(kept) } else { Err(unknown()) }
}

/// Every incident, in the order in which they were opened.
pub(crate) async fn all_incidents(connection: &mut Connection) -> Result<Vec<Incident>> {
    let rows = sqlx::query("SELECT seq, body FROM incident ORDER BY seq")
        .fetch_all(connection)
        .await
        .during("listing incidents")?;
    let kept: Vec<Kept> = rows.iter().map(Kept::from_row).collect::<Result<_>>()?;
    Ok(kept.into_iter().map(|kept| kept.incident).collect())
}
