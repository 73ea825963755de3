//! Reigns: from when to when which version was champion, and by which decision. The history of the alias champion.
//!
//! A reign holds from its first instant to the one before the next reign's first; instants never go backwards within a
//! model, so at every instant there is at most one champion.

use seawall_base::watch::Decision;
use seawall_base::{Instant, Result, time};
use serde::Serialize;

use super::instant_maybe;
use crate::catalog::Catalog;
use crate::database::{Connection, DuringResult, Fields, Row, Write};
use crate::decisions::{Approval, approvals_of, decision_numbered, known_decision};

/// A version as champion.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reign {
    /// The version.
    pub version: u32,
    /// First instant.
    #[serde(with = "time::text")]
    pub from: Instant,
    /// The instant after the last; absent while it lasts.
    #[serde(serialize_with = "instant_maybe::serialize")]
    pub until: Option<Instant>,
    /// The promotion or rollback that began it.
    pub decision: Decision,
    /// Who approved it; empty for a rollback, and for a promotion that needed no approval.
    pub approvals: Vec<Approval>,
    /// The proposal that was promoted; absent for a rollback.
    pub proposal: Option<Decision>,
}

/// A reign as the decision that begins it makes it.
pub(crate) struct NewReign<'a> {
    pub(crate) model: &'a str,
    pub(crate) version: u32,
    /// The version that a rollback of this one brings back.
    pub(crate) former: Option<u32>,
    pub(crate) from: Instant,
    /// Number of the decision.
    pub(crate) decision: i64,
}

/// What is kept of a reign.
pub(crate) struct ReignRow {
    position: u64,
    version: u32,
    pub(crate) former: Option<u32>,
    from: Instant,
    pub(crate) decision: i64,
}

impl ReignRow {
    fn from_row(row: &Row) -> Result<ReignRow> {
        Ok(ReignRow {
            position: row.count("position")?,
            version: row.version("version")?,
            former: row.version_maybe("former")?,
            from: row.instant("from_at")?,
            decision: row.int("decision")?,
        })
    }
}

impl Catalog {
    /// The champion of `model` at instant `at`, with the decision, the approvals and the proposal behind it; none before
    /// the first promotion.
    pub async fn champion_at(&self, model: &str, at: Instant) -> Result<Option<Reign>> {
        let mut reader = self.read().await?;
        let row = sqlx::query(
            "SELECT position, version, former, from_at, decision FROM reign
             WHERE model = $1 AND from_at <= $2 ORDER BY position DESC LIMIT 1",
        )
        .bind(model)
        .bind(at.0)
        .fetch_optional(&mut *reader)
        .await
        .during("looking the champion at an instant up")?;
        let Some(row) = row else { return Ok(None) };
        let reign = ReignRow::from_row(&row)?;
        let next =
            sqlx::query("SELECT from_at FROM reign WHERE model = $1 AND position > $2 ORDER BY position LIMIT 1")
                .bind(model)
                .bind(crate::database::stored(reign.position)?)
                .fetch_optional(&mut *reader)
                .await
                .during("looking the end of a reign up")?;
        let until = next.map(|row| row.instant("from_at")).transpose()?;
        complete(&mut reader, reign, until).await.map(Some)
    }

    /// Every reign of `model`, oldest first. A reign that ended at the instant at which it began was never in force.
    pub async fn reigns(&self, model: &str) -> Result<Vec<Reign>> {
        let mut reader = self.read().await?;
        reigns_of(&mut reader, model).await
    }
}

/// See [`Catalog::reigns`].
pub(super) async fn reigns_of(connection: &mut Connection, model: &str) -> Result<Vec<Reign>> {
    let rows = sqlx::query(
        "SELECT position, version, former, from_at, decision FROM reign WHERE model = $1 ORDER BY position",
    )
    .bind(model)
    .fetch_all(&mut *connection)
    .await
    .during("listing the champions of a model")?;
    let kept: Vec<ReignRow> = rows.iter().map(ReignRow::from_row).collect::<Result<_>>()?;
    let ends: Vec<Option<Instant>> = kept.iter().skip(1).map(|next| Some(next.from)).chain([None]).collect();
    let mut reigns = Vec::with_capacity(kept.len());
    for (reign, until) in kept.into_iter().zip(ends) {
        reigns.push(complete(connection, reign, until).await?);
    }
    Ok(reigns)
}

/// The newest reign of one version of a model.
pub(crate) async fn newest_reign_of(
    connection: &mut Connection,
    model: &str,
    version: u32,
) -> Result<Option<ReignRow>> {
    let row = sqlx::query(
        "SELECT position, version, former, from_at, decision FROM reign
         WHERE model = $1 AND version = $2 ORDER BY position DESC LIMIT 1",
    )
    .bind(model)
    .bind(i64::from(version))
    .fetch_optional(connection)
    .await
    .during("looking a reign up")?;
    row.map(|row| ReignRow::from_row(&row)).transpose()
}

/// Adds a reign within the caller's change; the one before ends with it.
pub(crate) async fn append_reign(write: &mut Write<'_>, reign: NewReign<'_>) -> Result<()> {
    sqlx::query(
        "INSERT INTO reign (model, position, version, former, from_at, decision)
         SELECT $1, COUNT(*), $2, $3, $4, $5 FROM reign WHERE model = $1",
    )
    .bind(reign.model)
    .bind(i64::from(reign.version))
    .bind(reign.former.map(i64::from))
    .bind(reign.from.0)
    .bind(reign.decision)
    .execute(write.connection())
    .await
    .during("beginning a reign")?;
    Ok(())
}

async fn complete(connection: &mut Connection, reign: ReignRow, until: Option<Instant>) -> Result<Reign> {
    let decision = decision_numbered(connection, reign.decision).await?;
    let proposal = match &decision.of {
        Some(id) => Some(known_decision(connection, id).await?),
        None => None,
    };
    let approvals = match &proposal {
        Some(proposal) => approvals_of(connection, &proposal.id).await?,
        None => Vec::new(),
    };
    Ok(Reign { version: reign.version, from: reign.from, until, decision, approvals, proposal })
}
