//! The registry of models: every trained version with all that it rests on, which of them serves, and since when.
//!
//! A version is recorded once and never changes: its artifact is addressed by content, and the fingerprint of its
//! training set, its evaluation and its report stand beside it. Which version serves is an alias (`alias`), how that
//! changed is a history of reigns (`reign`), and only decisions move it (`crate::decisions`).

use std::ops::Deref;

use seawall_base::engine::Fingerprint;
use seawall_base::watch::{Alternative, Evaluation, Period};
use seawall_base::{Error, Hash, Instant, Permit, Result, TableVersion, time};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::audit::{self, Draft};
use crate::catalog::Catalog;
use crate::database::{Connection, DuringResult, Fields, Row, stored_json};
use crate::policy::{Action, expect_action};

mod alias;
mod card;
#[cfg(test)]
pub(crate) mod fixtures;
mod reign;

#[cfg(test)]
mod tests;

pub use alias::Aliases;
pub(crate) use alias::{aliases_of, all_aliases, set_aliases};
pub use reign::Reign;
pub(crate) use reign::{NewReign, append_reign, newest_reign_of};

/// A model version as training made it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewModelVersion {
    /// The model.
    pub model: String,
    /// Hash of the artifact.
    pub digest: Hash,
    /// The declaration that it was trained under, `seawall_base::declare::Model` as JSON.
    pub definition: Value,
    /// Hash of that declaration.
    pub definition_hash: Hash,
    /// What the training set was made of.
    pub fingerprint: Fingerprint,
    /// Version of the training set's table that holds the rows.
    pub training_set_version: TableVersion,
    /// When it was trained.
    #[serde(with = "time::text")]
    pub trained_at: Instant,
    /// Decisions that it learned from.
    pub trained_on: Period,
    /// Decisions that it was evaluated on and did not see.
    pub holdout: Period,
    /// Rows that it learned from.
    pub rows: u64,
    /// Those of the positive class.
    pub positives: u64,
    /// Periods that were left out of the training, and why.
    pub excluded: Vec<Alternative>,
    /// How good it is on its hold-out.
    pub evaluation: Evaluation,
    /// What the trainer reports of itself.
    pub report: Value,
    /// How the rows that it learned from are distributed: what is served is compared with it.
    pub baseline: Value,
    /// What an external trainer wrote; empty for the built-in one.
    pub log: String,
}

/// A model version on record. It reads like the [`NewModelVersion`] that it was recorded from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelVersion {
    /// Number, from 1, per model.
    pub version: u32,
    /// What training made.
    #[serde(flatten)]
    pub trained: NewModelVersion,
    /// When it was recorded.
    #[serde(with = "time::text")]
    pub recorded_at: Instant,
    /// Id of the permit that allowed it.
    pub permit: String,
}

impl Deref for ModelVersion {
    type Target = NewModelVersion;

    fn deref(&self) -> &NewModelVersion {
        &self.trained
    }
}

impl ModelVersion {
    fn from_row(row: &Row) -> Result<ModelVersion> {
        Ok(ModelVersion {
            version: row.version("version")?,
            trained: row.json("body")?,
            recorded_at: row.instant("recorded_at")?,
            permit: row.text("permit")?,
        })
    }
}

impl Catalog {
    /// Records a trained version under the model's next number. The same artifact trained at the same instant again is
    /// the version that is on record already.
    ///
    /// Needs a permit for `train_model`. `Invalid` (SW1101) when the evaluation holds numbers that are not finite.
    pub async fn record_model_version(&self, permit: &Permit, new: &NewModelVersion) -> Result<ModelVersion> {
        expect_action(permit, &[Action::TrainModel])?;
        let recorded_at = self.now();
        let body = stored_json("a model version", new)?;
        let mut write = self.begin().await?;
        if let Some(known) = version_trained(write.connection(), new).await? {
            return Ok(known);
        }
        let version = 1 + newest_number(write.connection(), &new.model).await?;
        sqlx::query(
            "INSERT INTO model_version (model, version, digest, trained_at, body, recorded_at, permit)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(new.model.as_str())
        .bind(i64::from(version))
        .bind(new.digest.to_string())
        .bind(new.trained_at.0)
        .bind(body)
        .bind(recorded_at.0)
        .bind(permit.id())
        .execute(write.connection())
        .await
        .during("recording a model version")?;
        let detail = json!({
            "model": new.model, "version": version, "digest": new.digest, "definition": new.definition_hash,
            "content": new.fingerprint.content,
        });
        audit::append(&mut write, recorded_at, Draft::of("model_version", permit, detail)).await?;
        write.commit().await?;
        Ok(ModelVersion { version, trained: new.clone(), recorded_at, permit: permit.id().to_owned() })
    }

    /// Every version of every model, also of those that are not declared any more.
    pub async fn every_model_version(&self) -> Result<Vec<ModelVersion>> {
        let mut reader = self.read().await?;
        let rows = sqlx::query("SELECT version, body, recorded_at, permit FROM model_version ORDER BY model, version")
            .fetch_all(&mut *reader)
            .await
            .during("listing model versions")?;
        rows.iter().map(ModelVersion::from_row).collect()
    }

    /// The versions of `model`, oldest first; none for an unknown model.
    pub async fn model_versions(&self, model: &str) -> Result<Vec<ModelVersion>> {
        let mut reader = self.read().await?;
        let rows = sqlx::query(
            "SELECT version, body, recorded_at, permit FROM model_version WHERE model = $1 ORDER BY version",
        )
        .bind(model)
        .fetch_all(&mut *reader)
        .await
        .during("listing model versions")?;
        rows.iter().map(ModelVersion::from_row).collect()
    }

    /// One version; `NotFound` (SW1102) says which there are.
    pub async fn model_version(&self, model: &str, version: u32) -> Result<ModelVersion> {
        let mut reader = self.read().await?;
        known_version(&mut reader, model, version).await
    }

    /// The models that have at least one version, by name.
    pub async fn model_names(&self) -> Result<Vec<String>> {
        let mut reader = self.read().await?;
        model_names(&mut reader).await
    }
}

/// One version; `NotFound` (SW1102) says which there are.
pub(crate) async fn known_version(connection: &mut Connection, model: &str, version: u32) -> Result<ModelVersion> {
    let row =
        sqlx::query("SELECT version, body, recorded_at, permit FROM model_version WHERE model = $1 AND version = $2")
            .bind(model)
            .bind(i64::from(version))
            .fetch_optional(&mut *connection)
            .await
            .during("looking a model version up")?;
    match row {
        Some(row) => ModelVersion::from_row(&row),
        None => Err(unknown_version(connection, model, version).await?),
    }
}

async fn unknown_version(connection: &mut Connection, model: &str, version: u32) -> Result<Error> {
    let rows = sqlx::query("SELECT version FROM model_version WHERE model = $1 ORDER BY version")
        .bind(model)
        .fetch_all(&mut *connection)
        .await
        .during("listing model versions")?;
    let mut versions = Vec::with_capacity(rows.len());
    for row in rows {
        versions.push(row.count("version")?.to_string());
    }
    let hint = if versions.is_empty() {
        let names = model_names(connection).await?;
        if names.is_empty() {
            "no model was trained yet".to_owned()
        } else {
            format!("models with versions: {}", names.join(", "))
        }
    } else {
        format!("versions of {model}: {}", versions.join(", "))
    };
    Ok(Error::not_found("SW1102", format!("there is no version {version} of model {model}")).hint(hint))
}

async fn model_names(connection: &mut Connection) -> Result<Vec<String>> {
    let rows = sqlx::query("SELECT DISTINCT model FROM model_version ORDER BY model")
        .fetch_all(connection)
        .await
        .during("listing models")?;
    rows.iter().map(|row| row.text("model")).collect()
}

/// The version that was recorded for this very training.
async fn version_trained(connection: &mut Connection, new: &NewModelVersion) -> Result<Option<ModelVersion>> {
    let row = sqlx::query(
        "SELECT version, body, recorded_at, permit FROM model_version
         WHERE model = $1 AND digest = $2 AND trained_at = $3",
    )
    .bind(new.model.as_str())
    .bind(new.digest.to_string())
    .bind(new.trained_at.0)
    .fetch_optional(connection)
    .await
    .during("looking a model version up")?;
    row.map(|row| ModelVersion::from_row(&row)).transpose()
}

async fn newest_number(connection: &mut Connection, model: &str) -> Result<u32> {
    let row = sqlx::query("SELECT version FROM model_version WHERE model = $1 ORDER BY version DESC LIMIT 1")
        .bind(model)
        .fetch_optional(connection)
        .await
        .during("numbering a model version")?;
    row.map_or(Ok(0), |row| row.version("version"))
}

/// Every version of every model.
pub(crate) async fn all_versions(connection: &mut Connection) -> Result<Vec<ModelVersion>> {
    let rows = sqlx::query("SELECT version, body, recorded_at, permit FROM model_version ORDER BY model, version")
        .fetch_all(connection)
        .await
        .during("listing model versions")?;
    rows.iter().map(ModelVersion::from_row).collect()
}

/// An instant that may be absent, as text in JSON.
mod instant_maybe {
    use seawall_base::Instant;
    use serde::Serializer;

    pub(super) fn serialize<S: Serializer>(instant: &Option<Instant>, serializer: S) -> Result<S::Ok, S::Error> {
        match instant {
            Some(instant) => serializer.collect_str(instant),
            None => serializer.serialize_none(),
        }
    }
}
