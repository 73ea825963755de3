//! Built training sets with their fingerprints, and certificates.

use seawall_base::engine::Fingerprint;
use seawall_base::{Error, ErrorKind, Hash, Instant, Permit, Result, TableVersion};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::audit::{self, Draft};
use crate::catalog::Catalog;
use crate::database::{Connection, DuringResult, Fields, Row, stored};
use crate::policy::{Action, expect_action};

mod pins;
#[cfg(test)]
mod tests;

pub use pins::Pins;

/// A training set that was built and written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainingSetBuild {
    /// Name of the training set.
    pub name: String,
    /// Version of its table that holds the rows.
    pub table_version: TableVersion,
    /// What it was made of.
    pub fingerprint: Fingerprint,
    /// When the build was recorded.
    pub recorded_at: Instant,
    /// Id of the permit that allowed it.
    pub permit: String,
}

impl TrainingSetBuild {
    fn from_row(row: &Row) -> Result<TrainingSetBuild> {
        Ok(TrainingSetBuild {
            name: row.text("name")?,
            table_version: TableVersion(row.count("table_version")?),
            fingerprint: row.json("fingerprint")?,
            recorded_at: row.instant("recorded_at")?,
            permit: row.text("permit")?,
        })
    }
}

/// A certificate on record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CertificateRecord {
    /// Kind, for example `skew`.
    pub kind: String,
    /// What it is about, for example a training set's name.
    pub subject: String,
    /// The certificate itself.
    pub body: Value,
    /// Hash of its bytes, as computed by who made it; the certificate's identity.
    pub hash: Hash,
    /// When it was recorded.
    pub recorded_at: Instant,
    /// Id of the permit that allowed it.
    pub permit: String,
}

impl CertificateRecord {
    fn from_row(row: &Row) -> Result<CertificateRecord> {
        Ok(CertificateRecord {
            kind: row.text("kind")?,
            subject: row.text("subject")?,
            body: row.json("body")?,
            hash: row.hash("hash")?,
            recorded_at: row.instant("recorded_at")?,
            permit: row.text("permit")?,
        })
    }
}

impl Catalog {
    /// Records that version `table_version` of the table of training set `name` holds what `fingerprint` says. The same
    /// build again changes nothing; another fingerprint for a recorded version is a `Conflict` (SW0670).
    ///
    /// Needs a permit for `build_training_set`.
    pub async fn record_training_set(
        &self,
        permit: &Permit,
        name: &str,
        table_version: TableVersion,
        fingerprint: &Fingerprint,
    ) -> Result<()> {
        expect_action(permit, &[Action::BuildTrainingSet])?;
        let recorded_at = self.now();
        let version = stored(table_version.0)?;
        let mut write = self.begin().await?;
        let known = sqlx::query(
            "SELECT name, table_version, fingerprint, recorded_at, permit FROM training_set_build
             WHERE name = $1 AND table_version = $2",
        )
        .bind(name)
        .bind(version)
        .fetch_optional(write.connection())
        .await
        .during("looking a training set up")?;
        if let Some(row) = known {
            if TrainingSetBuild::from_row(&row)?.fingerprint == *fingerprint {
                return Ok(());
            }
            let message = format!("version {version} of training set {name} is recorded with another fingerprint");
            return Err(Error::new(ErrorKind::Conflict, "SW0670", message)
                .hint("a version never changes; the table was replaced or restored: verify it before building"));
        }
        sqlx::query(
            "INSERT INTO training_set_build (name, table_version, fingerprint, content, recorded_at, permit)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(name)
        .bind(version)
        .bind(to_json(fingerprint)?)
        .bind(fingerprint.content.to_string())
        .bind(recorded_at.0)
        .bind(permit.id())
        .execute(write.connection())
        .await
        .during("recording a training set")?;
        let detail = json!({"training_set": name, "table_version": table_version, "content": fingerprint.content});
        audit::append(&mut write, recorded_at, Draft::of("training_set_built", permit, detail)).await?;
        write.commit().await
    }

    /// The builds of training set `name`, oldest table version first.
    pub async fn training_sets(&self, name: &str) -> Result<Vec<TrainingSetBuild>> {
        let mut reader = self.read().await?;
        let rows = sqlx::query(
            "SELECT name, table_version, fingerprint, recorded_at, permit FROM training_set_build
             WHERE name = $1 ORDER BY table_version",
        )
        .bind(name)
        .fetch_all(&mut *reader)
        .await
        .during("listing training sets")?;
        rows.iter().map(TrainingSetBuild::from_row).collect()
    }

    /// Records a certificate. `hash` identifies it: recording it again changes nothing, and the same hash with another
    /// body is a `Conflict` (SW0671).
    ///
    /// Needs a permit for `verify_skew`, `build_training_set` or `administer`.
    pub async fn record_certificate(
        &self,
        permit: &Permit,
        kind: &str,
        subject: &str,
        body: &Value,
        hash: Hash,
    ) -> Result<()> {
        expect_action(permit, &[Action::VerifySkew, Action::BuildTrainingSet, Action::Administer])?;
        let recorded_at = self.now();
        let mut write = self.begin().await?;
        let known =
            sqlx::query("SELECT kind, subject, body, hash, recorded_at, permit FROM certificate WHERE hash = $1")
                .bind(hash.to_string())
                .fetch_optional(write.connection())
                .await
                .during("looking a certificate up")?;
        if let Some(row) = known {
            let known = CertificateRecord::from_row(&row)?;
            if (known.kind.as_str(), known.subject.as_str(), &known.body) == (kind, subject, body) {
                return Ok(());
            }
            let message = format!("another certificate has the hash {}", hash.short());
            return Err(Error::new(ErrorKind::Conflict, "SW0671", message)
                .hint("hash the certificate's own bytes, kind and subject included"));
        }
        sqlx::query(
            "INSERT INTO certificate (hash, kind, subject, body, recorded_at, permit) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(hash.to_string())
        .bind(kind)
        .bind(subject)
        .bind(body.to_string())
        .bind(recorded_at.0)
        .bind(permit.id())
        .execute(write.connection())
        .await
        .during("recording a certificate")?;
        let detail = json!({"kind": kind, "subject": subject, "hash": hash});
        audit::append(&mut write, recorded_at, Draft::of("certificate", permit, detail)).await?;
        write.commit().await
    }

    /// Every certificate, oldest first.
    pub async fn certificates(&self) -> Result<Vec<CertificateRecord>> {
        let mut reader = self.read().await?;
        all_certificates(&mut reader).await
    }
}

pub(crate) async fn all_certificates(connection: &mut Connection) -> Result<Vec<CertificateRecord>> {
    let rows = sqlx::query(
        "SELECT kind, subject, body, hash, recorded_at, permit FROM certificate ORDER BY recorded_at, hash",
    )
    .fetch_all(connection)
    .await
    .during("listing certificates")?;
    rows.iter().map(CertificateRecord::from_row).collect()
}

pub(crate) async fn all_builds(connection: &mut Connection) -> Result<Vec<TrainingSetBuild>> {
    let rows = sqlx::query(
        "SELECT name, table_version, fingerprint, recorded_at, permit FROM training_set_build
         ORDER BY name, table_version",
    )
    .fetch_all(connection)
    .await
    .during("listing training sets")?;
    rows.iter().map(TrainingSetBuild::from_row).collect()
}

/// Declarations and fingerprints as JSON text.
pub(crate) fn to_json<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|e| Error::internal("SW0606", "writing a value as JSON failed").because(e))
}
