//! Aliases: which version of a model serves, which one is tried beside it, and which one can come back.

use seawall_base::{Error, ErrorKind, Instant, Permit, Result};
use serde::Serialize;
use serde_json::json;

use super::{instant_maybe, known_version};
use crate::audit::{self, Draft};
use crate::catalog::Catalog;
use crate::database::{Connection, DuringResult, Fields, Row, Write};
use crate::policy::{Action, expect_action};

/// The aliases of a model; all absent before its first promotion.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Aliases {
    /// The version that serves.
    pub champion: Option<u32>,
    /// The version that is scored beside it.
    pub challenger: Option<u32>,
    /// The version that a rollback brings back: the champion before this one; after a rollback, the one before the
    /// version that came back.
    pub former: Option<u32>,
    /// Since when the champion serves.
    #[serde(serialize_with = "instant_maybe::serialize")]
    pub champion_since: Option<Instant>,
}

impl Aliases {
    fn from_row(row: &Row) -> Result<Aliases> {
        Ok(Aliases {
            champion: row.version_maybe("champion")?,
            challenger: row.version_maybe("challenger")?,
            former: row.version_maybe("former")?,
            champion_since: row.int_maybe("champion_since")?.map(Instant),
        })
    }
}

impl Catalog {
    /// The aliases of `model`.
    pub async fn aliases(&self, model: &str) -> Result<Aliases> {
        let mut reader = self.read().await?;
        aliases_of(&mut reader, model).await
    }

    /// Makes `version` the challenger from `at` on, or ends the trial when absent. What is so already changes nothing.
    ///
    /// Needs a permit for `train_model` or `promote_model`. `NotFound` (SW1102) for an unknown version, `Conflict`
    /// (SW1113) when it is the champion.
    pub async fn set_challenger(&self, permit: &Permit, model: &str, version: Option<u32>, at: Instant) -> Result<()> {
        expect_action(permit, &[Action::TrainModel, Action::PromoteModel])?;
        let mut write = self.begin().await?;
        if let Some(version) = version {
            known_version(write.connection(), model, version).await?;
        }
        let mut aliases = aliases_of(write.connection(), model).await?;
        if aliases.challenger == version {
            return Ok(());
        }
        if version.is_some() && version == aliases.champion {
            let message = format!("version {} of {model} is its champion", version.unwrap_or_default());
            return Err(Error::new(ErrorKind::Conflict, "SW1113", message).hint("a challenger is another version"));
        }
        let before = aliases.challenger;
        aliases.challenger = version;
        set_aliases(&mut write, model, &aliases).await?;
        let detail = json!({"model": model, "version": version, "before": before, "at": at.to_string()});
        audit::append(&mut write, self.now(), Draft::of("challenger_set", permit, detail)).await?;
        write.commit().await
    }
}

/// See [`Catalog::aliases`].
pub(crate) async fn aliases_of(connection: &mut Connection, model: &str) -> Result<Aliases> {
    let row = sqlx::query("SELECT champion, challenger, former, champion_since FROM model_alias WHERE model = $1")
        .bind(model)
        .fetch_optional(connection)
        .await
        .during("reading the aliases of a model")?;
    row.map_or(Ok(Aliases::default()), |row| Aliases::from_row(&row))
}

/// Writes the aliases of a model within the caller's change.
pub(crate) async fn set_aliases(write: &mut Write<'_>, model: &str, aliases: &Aliases) -> Result<()> {
    sqlx::query(
        "INSERT INTO model_alias (model, champion, challenger, former, champion_since) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (model) DO UPDATE SET champion = excluded.champion, challenger = excluded.challenger,
         former = excluded.former, champion_since = excluded.champion_since",
    )
    .bind(model)
    .bind(aliases.champion.map(i64::from))
    .bind(aliases.challenger.map(i64::from))
    .bind(aliases.former.map(i64::from))
    .bind(aliases.champion_since.map(|at| at.0))
    .execute(write.connection())
    .await
    .during("moving the aliases of a model")?;
    Ok(())
}

/// The aliases of every model that has some.
pub(crate) async fn all_aliases(connection: &mut Connection) -> Result<Vec<(String, Aliases)>> {
    let rows =
        sqlx::query("SELECT model, champion, challenger, former, champion_since FROM model_alias ORDER BY model")
            .fetch_all(connection)
            .await
            .during("listing the aliases of models")?;
    let mut all = Vec::with_capacity(rows.len());
    for row in rows {
        all.push((row.text("model")?, Aliases::from_row(&row)?));
    }
    Ok(all)
}
