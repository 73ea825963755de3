//! Tokens: how a program proves which principal it is.
//!
//! A token reads `sw_ID_SECRET`. The id finds the row; of the secret (256 random bits) only HMAC-SHA-256 under a salt of
//! its own is kept, and compared in constant time. The secret is shown once, when the token is created, and is nowhere
//! stored, logged or audited. Expiry and revocation take effect with the next [`Catalog::authenticate`].

use std::fmt;

use aws_lc_rs::hmac;
use seawall_base::{Error, ErrorKind, Instant, Permit, Result, Rng, Span};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::audit::{self, Draft};
use crate::catalog::Catalog;
use crate::database::{Connection, DuringResult, Fields, Row};
use crate::policy::{Action, Principal, Role, SYSTEM_PRINCIPAL, expect_action};
use crate::signing::{hex, unhex};

#[cfg(test)]
mod tests;

/// What every token begins with, so that secret scanners find it.
const PREFIX: &str = "sw_";
/// Random bytes of an id.
const ID_BYTES: usize = 8;
/// Random bytes of a secret and of a salt.
const SECRET_BYTES: usize = 32;
/// Longest name of a principal, in bytes.
const NAME_BYTES_MAX: usize = 120;
/// Most groups of a token.
const GROUPS_MAX: usize = 64;
/// Longest text that is looked at as a token.
const TOKEN_BYTES_MAX: usize = 256;

/// Public part of a token: which one it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenId(String);

impl TokenId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for TokenId {
    fn from(id: String) -> Self {
        TokenId(id)
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A token as it is shown once. Its `Debug` form hides the secret.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct NewToken {
    /// Which token.
    pub id: TokenId,
    /// What the bearer sends: `sw_ID_SECRET`.
    pub secret: String,
    /// When it stops working.
    pub expires_at: Option<Instant>,
}

impl fmt::Debug for NewToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewToken({}, secret hidden)", self.id)
    }
}

/// What the catalog tells about a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Which token.
    pub id: TokenId,
    /// Name of the principal that it stands for.
    pub name: String,
    /// Role of that principal.
    pub role: Role,
    /// Groups of that principal, sorted.
    #[serde(default)]
    pub groups: Vec<String>,
    /// When it was created.
    pub created_at: Instant,
    /// By whom.
    pub created_by: String,
    /// When it stops working; never, when absent.
    pub expires_at: Option<Instant>,
    /// When it was revoked.
    pub revoked_at: Option<Instant>,
}

impl Token {
    fn from_row(row: &Row) -> Result<Token> {
        Ok(Token {
            id: TokenId(row.text("id")?),
            name: row.text("name")?,
            role: row.parsed("role")?,
            groups: row.json("groups")?,
            created_at: row.instant("created_at")?,
            created_by: row.text("created_by")?,
            expires_at: row.int_maybe("expires_at")?.map(Instant),
            revoked_at: row.int_maybe("revoked_at")?.map(Instant),
        })
    }
}

impl Catalog {
    /// Creates a token for the principal `name`; several tokens may stand for one principal, so that they can be
    /// rotated without a gap. It stops working `expires` after now, or never.
    ///
    /// Needs a permit for `manage_tokens`. `Invalid` (SW0633) for a name or a group that is empty, too long, has control
    /// characters or, for a name, is Seawall's own, and for an expiry that is not in the future.
    pub async fn create_token(
        &self,
        permit: &Permit,
        name: &str,
        role: Role,
        groups: &[String],
        expires: Option<Span>,
    ) -> Result<NewToken> {
        expect_action(permit, &[Action::ManageTokens])?;
        check_name(name)?;
        let groups = checked_groups(groups)?;
        if expires.is_some_and(|span| span <= Span::ZERO) {
            return Err(Error::invalid("SW0633", "a token must expire in the future").hint("for example 90d"));
        }
        let created_at = self.now();
        let expires_at = expires.map(|span| created_at + span);
        let id = TokenId(hex(&random::<ID_BYTES>(self.inner.rng.as_ref())));
        let secret = hex(&random::<SECRET_BYTES>(self.inner.rng.as_ref()));
        let salt = random::<SECRET_BYTES>(self.inner.rng.as_ref());
        let digest = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &salt), secret.as_bytes());
        let mut write = self.begin().await?;
        sqlx::query(
            "INSERT INTO token (id, name, role, salt, digest, created_at, created_by, expires_at, groups)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(id.as_str())
        .bind(name)
        .bind(role.as_str())
        .bind(hex(&salt))
        .bind(hex(digest.as_ref()))
        .bind(created_at.0)
        .bind(permit.principal())
        .bind(expires_at.map(|at| at.0))
        .bind(json!(groups).to_string())
        .execute(write.connection())
        .await
        .during("creating a token")?;
        let detail = json!({"token": id, "name": name, "role": role, "groups": groups, "expires_at": expires_at});
        audit::append(&mut write, created_at, Draft::of("token_created", permit, detail)).await?;
        write.commit().await?;
        let secret = format!("{PREFIX}{id}_{secret}");
        Ok(NewToken { id, secret, expires_at })
    }

    /// Ends a token; ending it again changes nothing. Needs a permit for `manage_tokens`; `NotFound` (SW0634) when there
    /// is no such token.
    pub async fn revoke_token(&self, permit: &Permit, id: &TokenId) -> Result<()> {
        expect_action(permit, &[Action::ManageTokens])?;
        let revoked_at = self.now();
        let mut write = self.begin().await?;
        let updated = sqlx::query("UPDATE token SET revoked_at = COALESCE(revoked_at, $1) WHERE id = $2")
            .bind(revoked_at.0)
            .bind(id.as_str())
            .execute(write.connection())
            .await
            .during("revoking a token")?;
        if updated.rows_affected() == 0 {
            return Err(Error::not_found("SW0634", format!("there is no token {id}")).hint("list the tokens"));
        }
        let draft = Draft::of("token_revoked", permit, json!({"token": id}));
        audit::append(&mut write, revoked_at, draft).await?;
        write.commit().await
    }

    /// Every token, revoked and expired ones included, ordered by creation. Secrets are not stored and thus not here.
    pub async fn tokens(&self) -> Result<Vec<Token>> {
        let mut reader = self.read().await?;
        all(&mut reader).await
    }

    /// The principal that the bearer of `secret` is.
    ///
    /// `Denied`: SW0630 when there is no such token (whatever is wrong with it), SW0631 when it has expired, SW0632 when
    /// it was revoked; the latter two only for who knows the secret.
    pub async fn authenticate(&self, secret: &str) -> Result<Principal> {
        let (id, secret) = split(secret).ok_or_else(unknown)?;
        let mut reader = self.read().await?;
        let row = sqlx::query(
            "SELECT id, name, role, groups, salt, digest, created_at, created_by, expires_at, revoked_at
             FROM token WHERE id = $1",
        )
        .bind(id)
        .fetch_optional(&mut *reader)
        .await
        .during("looking a token up")?
        .ok_or_else(unknown)?;
        let salt = unhex(&row.text("salt")?)?;
        let digest = unhex(&row.text("digest")?)?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, &salt);
        hmac::verify(&key, secret.as_bytes(), &digest).map_err(|_| unknown())?;
        let token = Token::from_row(&row)?;
        if let Some(at) = token.revoked_at {
            let message = format!("token {id} was revoked at {at}");
            return Err(Error::new(ErrorKind::Denied, "SW0632", message).hint("ask an owner for a new token"));
        }
        if let Some(at) = token.expires_at.filter(|at| *at <= self.now()) {
            let message = format!("token {id} expired at {at}");
            return Err(Error::new(ErrorKind::Denied, "SW0631", message).hint("ask an owner for a new token"));
        }
        Ok(Principal { name: token.name, role: token.role, groups: token.groups })
    }
}

pub(crate) async fn all(connection: &mut Connection) -> Result<Vec<Token>> {
    let rows = sqlx::query(
        "SELECT id, name, role, groups, created_at, created_by, expires_at, revoked_at FROM token
         ORDER BY created_at, id",
    )
    .fetch_all(connection)
    .await
    .during("listing tokens")?;
    rows.iter().map(Token::from_row).collect()
}

/// Id and secret of a text that looks like a token.
fn split(text: &str) -> Option<(&str, &str)> {
    if text.len() > TOKEN_BYTES_MAX {
        return None;
    }
    text.strip_prefix(PREFIX)?.split_once('_')
}

/// Groups sorted, each once.
fn checked_groups(groups: &[String]) -> Result<Vec<String>> {
    let refused = groups.iter().find(|group| !is_a_name(group));
    if let Some(group) = refused.or(groups.get(GROUPS_MAX)) {
        let hint =
            format!("at most {GROUPS_MAX} groups, each of 1 to {NAME_BYTES_MAX} bytes without control characters");
        return Err(Error::invalid("SW0633", format!("{group:?} cannot be a group of this token")).hint(hint));
    }
    let mut groups = groups.to_vec();
    groups.sort();
    groups.dedup();
    Ok(groups)
}

fn is_a_name(name: &str) -> bool {
    !name.trim().is_empty() && name.len() <= NAME_BYTES_MAX && !name.chars().any(char::is_control)
}

fn check_name(name: &str) -> Result<()> {
    if is_a_name(name) && name != SYSTEM_PRINCIPAL {
        return Ok(());
    }
    Err(Error::invalid("SW0633", format!("{name:?} cannot name a principal")).hint(format!(
        "use 1 to {NAME_BYTES_MAX} bytes without control characters, and not {SYSTEM_PRINCIPAL}, which is Seawall itself"
    )))
}

fn unknown() -> Error {
    Error::new(ErrorKind::Denied, "SW0630", "the token is not known here")
        .hint("send `authorization: bearer sw_...` with a token of this catalog")
}

fn random<const BYTES: usize>(rng: &dyn Rng) -> [u8; BYTES] {
    let mut bytes = [0u8; BYTES];
    rng.fill(&mut bytes);
    bytes
}
