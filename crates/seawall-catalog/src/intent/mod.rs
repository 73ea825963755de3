//! Intents: effects outside SQL, announced before they happen.
//!
//! A Delta commit, a deletion or a promotion's alias file cannot share a transaction with the catalog. So it is first an
//! intent, with the permit and the state that is expected; the effect carries the intent's id; then the outcome is
//! recorded. After a crash the open intents are resolved by looking at the effects.

use std::fmt;

use seawall_base::{Error, ErrorKind, Instant, Permit, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::audit::{self, Draft};
use crate::catalog::Catalog;
use crate::database::{DuringResult, Fields, Row};

#[cfg(test)]
mod tests;

/// Id of an intent, carried by its effect.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IntentId(String);

impl IntentId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for IntentId {
    fn from(id: String) -> Self {
        IntentId(id)
    }
}

impl fmt::Display for IntentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is about to happen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// Kind of the effect, for example `table_commit`.
    pub kind: String,
    /// What it changes, for example the table's name.
    pub target: String,
    /// The state that it starts from or leads to, for example the expected version: enough to tell later, by looking,
    /// whether it happened.
    pub expected: Value,
}

/// An announced effect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    /// Its id.
    pub id: IntentId,
    /// What was announced.
    pub effect: Effect,
    /// Who announced it.
    pub principal: String,
    /// With which permit.
    pub permit: String,
    /// When.
    pub opened_at: Instant,
    /// When the outcome was recorded; absent while the intent is open.
    pub resolved_at: Option<Instant>,
    /// The outcome.
    pub outcome: Option<Value>,
}

impl Intent {
    pub(crate) fn from_row(row: &Row) -> Result<Intent> {
        let outcome = match row.text_maybe("outcome")? {
            Some(_) => Some(row.json("outcome")?),
            None => None,
        };
        Ok(Intent {
            id: IntentId(row.text("id")?),
            effect: Effect { kind: row.text("kind")?, target: row.text("target")?, expected: row.json("expected")? },
            principal: row.text("principal")?,
            permit: row.text("permit")?,
            opened_at: row.instant("opened_at")?,
            resolved_at: row.int_maybe("resolved_at")?.map(Instant),
            outcome,
        })
    }
}

/// Every column of an intent.
pub(crate) const SELECT_INTENTS: &str = "SELECT id, kind, target, expected, principal, permit, opened_at, resolved_at, \
     outcome FROM intent ORDER BY opened_at, id";

impl Catalog {
    /// Announces an effect that `permit` allows; durable when this returns.
    pub async fn open_intent(&self, permit: &Permit, effect: &Effect) -> Result<IntentId> {
        let id = IntentId(self.inner.rng.id());
        let opened_at = self.now();
        let mut write = self.begin().await?;
        sqlx::query(
            "INSERT INTO intent (id, kind, target, expected, principal, permit, opened_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(id.as_str())
        .bind(effect.kind.as_str())
        .bind(effect.target.as_str())
        .bind(effect.expected.to_string())
        .bind(permit.principal())
        .bind(permit.id())
        .bind(opened_at.0)
        .execute(write.connection())
        .await
        .during("opening an intent")?;
        let detail = json!({"intent": id, "effect": effect});
        audit::append(&mut write, opened_at, Draft::of("intent_opened", permit, detail)).await?;
        write.commit().await?;
        Ok(id)
    }

    /// Records what became of an effect. Recording the same outcome again changes nothing; another one is a `Conflict`
    /// (SW0641); an unknown intent is `NotFound` (SW0640).
    pub async fn resolve_intent(&self, permit: &Permit, id: &IntentId, outcome: &Value) -> Result<()> {
        let resolved_at = self.now();
        let mut write = self.begin().await?;
        let row = sqlx::query(
            "SELECT id, kind, target, expected, principal, permit, opened_at, resolved_at, outcome
             FROM intent WHERE id = $1",
        )
        .bind(id.as_str())
        .fetch_optional(write.connection())
        .await
        .during("looking an intent up")?
        .ok_or_else(|| Error::not_found("SW0640", format!("there is no intent {id}")))?;
        match Intent::from_row(&row)?.outcome {
            Some(known) if known == *outcome => return Ok(()),
            Some(known) => {
                let message = format!("intent {id} was resolved as {known}, not as {outcome}");
                return Err(Error::new(ErrorKind::Conflict, "SW0641", message));
            }
            None => {}
        }
        sqlx::query("UPDATE intent SET resolved_at = $1, outcome = $2 WHERE id = $3")
            .bind(resolved_at.0)
            .bind(outcome.to_string())
            .bind(id.as_str())
            .execute(write.connection())
            .await
            .during("resolving an intent")?;
        let detail = json!({"intent": id, "outcome": outcome});
        audit::append(&mut write, resolved_at, Draft::of("intent_resolved", permit, detail)).await?;
        write.commit().await
    }

    /// The intents without an outcome, oldest first: what recovery looks at.
    pub async fn open_intents(&self) -> Result<Vec<Intent>> {
        let mut reader = self.read().await?;
        let rows = sqlx::query(
            "SELECT id, kind, target, expected, principal, permit, opened_at, resolved_at, outcome
             FROM intent WHERE resolved_at IS NULL ORDER BY opened_at, id",
        )
        .fetch_all(&mut *reader)
        .await
        .during("listing open intents")?;
        rows.iter().map(Intent::from_row).collect()
    }
}
