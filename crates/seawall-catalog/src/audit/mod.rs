//! The audit ledger: who did what with which permit, as a chain of hashes.
//!
//! Entry `n` carries the hash of entry `n - 1`, and its own hash covers all of its fields, so a changed, removed or
//! inserted entry breaks the chain where it happened ([`Catalog::verify_audit`]). A chain cannot tell that its newest
//! entries were cut off, or that all of it was written anew: for that there are signed checkpoints, to be kept
//! elsewhere ([`Catalog::audit_checkpoint`], [`Catalog::verify_audit_since`]).
//!
//! Entries are written in the transaction of the change they tell of. Read grants share transactions: whoever gets the
//! database first writes the grants of everybody who waits ([`Catalog::audit_read`]).

use seawall_base::{Error, ErrorKind, Hash, Instant, Permit, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::oneshot;

use crate::catalog::Catalog;
use crate::database::{Connection, DuringResult, Fields, Row, Write, stored};
use crate::signing::verify_signature;

#[cfg(test)]
mod tests;

/// The hash before the first entry.
const GENESIS: Hash = Hash([0; 32]);
/// Entries that are verified at a time.
const VERIFY_ENTRIES: i64 = 4096;
/// Read grants that one transaction writes at most.
const READS_PER_TRANSACTION_MAX: usize = 1024;
/// Read grants that may wait; more are refused.
const PENDING_READS_MAX: usize = 16 * READS_PER_TRANSACTION_MAX;

/// One entry of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Number, from 1, without gaps.
    pub seq: u64,
    /// When, by the catalog's clock.
    pub at: Instant,
    /// What happened: `applied`, `denied`, `read`, `token_created`, ...
    pub event: String,
    /// Who.
    pub principal: String,
    /// The action that the permit allows.
    pub action: String,
    /// To what.
    pub resource: String,
    /// Id of the permit; empty for a denial.
    pub permit: String,
    /// More, as JSON text; the chain covers these very bytes.
    pub detail: String,
    /// Hash of the entry before.
    pub previous: Hash,
    /// Hash of this entry.
    pub hash: Hash,
}

impl AuditEntry {
    /// The hash that this entry must have.
    fn expected_hash(&self) -> Hash {
        let parts: [&[u8]; 9] = [
            &self.seq.to_le_bytes(),
            &self.at.0.to_le_bytes(),
            self.event.as_bytes(),
            self.principal.as_bytes(),
            self.action.as_bytes(),
            self.resource.as_bytes(),
            self.permit.as_bytes(),
            self.detail.as_bytes(),
            &self.previous.0,
        ];
        Hash::of_parts(parts)
    }

    fn from_row(row: &Row) -> Result<AuditEntry> {
        Ok(AuditEntry {
            seq: row.count("seq")?,
            at: row.instant("at")?,
            event: row.text("event")?,
            principal: row.text("principal")?,
            action: row.text("action")?,
            resource: row.text("resource")?,
            permit: row.text("permit")?,
            detail: row.text("detail")?,
            previous: row.hash("previous")?,
            hash: row.hash("hash")?,
        })
    }
}

/// A signed statement of how long the ledger was and how it ended. Kept elsewhere, it proves later that nothing before
/// it was changed or cut off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditCheckpoint {
    /// Entries in the ledger; 0 for an empty one.
    pub entries: u64,
    /// Hash of the last of them.
    pub head: Hash,
    /// When the checkpoint was made.
    pub at: Instant,
    /// Ed25519 public key of the catalog, hexadecimal.
    pub public_key: String,
    /// Signature of [`AuditCheckpoint::signed_bytes`], hexadecimal.
    pub signature: String,
}

impl AuditCheckpoint {
    /// The bytes that are signed.
    pub fn signed_bytes(&self) -> Vec<u8> {
        format!("seawall audit checkpoint v1\n{}\n{}\n{}\n", self.entries, self.head, self.at.0).into_bytes()
    }
}

/// An entry that has no number yet.
pub(crate) struct Draft {
    pub(crate) event: &'static str,
    pub(crate) principal: String,
    pub(crate) action: String,
    pub(crate) resource: String,
    pub(crate) permit: String,
    pub(crate) detail: Value,
}

impl Draft {
    /// An entry about what `permit` allowed.
    pub(crate) fn of(event: &'static str, permit: &Permit, detail: Value) -> Draft {
        Draft {
            event,
            principal: permit.principal().to_owned(),
            action: permit.action().to_owned(),
            resource: permit.resource().to_owned(),
            permit: permit.id().to_owned(),
            detail,
        }
    }
}

/// A read grant that waits to be written, and who waits for it.
pub(crate) struct PendingRead {
    draft: Draft,
    written: oneshot::Sender<()>,
}

impl Catalog {
    /// Entries after number `since`, oldest first, at most `limit`.
    pub async fn audit(&self, limit: u32, since: u64) -> Result<Vec<AuditEntry>> {
        let mut reader = self.read().await?;
        entries(&mut reader, stored(since)?, i64::from(limit)).await
    }

    /// The newest entries, oldest of them first, at most `limit`.
    pub async fn audit_newest(&self, limit: u32) -> Result<Vec<AuditEntry>> {
        let mut reader = self.read().await?;
        newest(&mut reader, u64::from(limit)).await
    }

    /// Writes that `permit` was used to read; returns when the entry is durable, so that no row leaves before.
    ///
    /// Calls that overlap share one transaction. `detail` says what was read, for example the SQL text. Fails with
    /// `Unavailable` when the entry could not be written: then nothing may be read.
    pub async fn audit_read(&self, permit: &Permit, detail: Value) -> Result<()> {
        let (written, mut wait) = oneshot::channel();
        let pending = PendingRead { draft: Draft::of("read", permit, detail), written };
        self.enqueue_read(pending)?;
        loop {
            let mut write = self.begin().await?;
            match wait.try_recv() {
                Ok(()) => return Ok(()),
                Err(oneshot::error::TryRecvError::Closed) => return Err(grant_lost()),
                Err(oneshot::error::TryRecvError::Empty) => {}
            }
            let batch = self.take_pending_reads();
            let mut waiting = Vec::with_capacity(batch.len());
            for PendingRead { draft, written } in batch {
                append(&mut write, self.now(), draft).await?;
                waiting.push(written);
            }
            write.commit().await?;
            for written in waiting {
                // Whoever no longer waits has been written all the same.
                let _ = written.send(());
            }
        }
    }

    /// Writes what became of a dependency of the running system, which `permit` names: `dependency_away`,
    /// `dependency_back`.
    pub async fn audit_dependency(&self, permit: &Permit, event: &'static str, detail: Value) -> Result<()> {
        let mut write = self.begin().await?;
        append(&mut write, self.now(), Draft::of(event, permit, detail)).await?;
        write.commit().await
    }

    fn enqueue_read(&self, pending: PendingRead) -> Result<()> {
        let mut waiting = self.inner.pending_reads.lock().expect("no holder of this lock panics");
        if waiting.len() >= PENDING_READS_MAX {
            waiting.retain(|pending| !pending.written.is_closed());
        }
        if waiting.len() >= PENDING_READS_MAX {
            return Err(grant_lost());
        }
        waiting.push(pending);
        Ok(())
    }

    fn take_pending_reads(&self) -> Vec<PendingRead> {
        let mut pending = self.inner.pending_reads.lock().expect("no holder of this lock panics");
        let count = pending.len().min(READS_PER_TRANSACTION_MAX);
        // A caller that gave up has read nothing.
        pending.drain(..count).filter(|pending| !pending.written.is_closed()).collect()
    }

    /// Walks the whole ledger; `Corrupt` (SW0620) names the first entry that was changed, removed or inserted.
    pub async fn verify_audit(&self) -> Result<()> {
        let mut reader = self.read().await?;
        verify_chain(&mut reader).await.map(|_| ())
    }

    /// A signed statement about the ledger as it stands, to be kept outside of the catalog.
    pub async fn audit_checkpoint(&self) -> Result<AuditCheckpoint> {
        let (entries, head) = {
            let mut reader = self.read().await?;
            head(&mut reader).await?
        };
        let key = self.signing_key()?;
        let public_key = crate::signing::hex(key.public_key());
        let mut checkpoint = AuditCheckpoint { entries, head, at: self.now(), public_key, signature: String::new() };
        checkpoint.signature = crate::signing::hex(&key.sign(&checkpoint.signed_bytes()));
        Ok(checkpoint)
    }

    /// Verifies the ledger and that it still contains what `checkpoint` states, signed by this catalog's key.
    pub async fn verify_audit_since(&self, checkpoint: &AuditCheckpoint) -> Result<()> {
        let signature = crate::signing::unhex(&checkpoint.signature)?;
        verify_signature(self.signing_key()?.public_key(), &checkpoint.signed_bytes(), &signature)?;
        let mut reader = self.read().await?;
        verify_chain(&mut reader).await?;
        let found = match checkpoint.entries {
            0 => Some(GENESIS),
            last => entries(&mut reader, stored(last - 1)?, 1).await?.first().map(|entry| entry.hash),
        };
        if found == Some(checkpoint.head) {
            return Ok(());
        }
        let message = format!("the ledger does not contain entry {} as the checkpoint states it", checkpoint.entries);
        Err(Error::corrupt("SW0621", message).hint("entries were cut off or rewritten; compare with a backup"))
    }
}

/// Appends an entry within the caller's transaction.
pub(crate) async fn append(write: &mut Write<'_>, at: Instant, draft: Draft) -> Result<()> {
    let connection = write.connection();
    let (last, previous) = head(connection).await?;
    let mut entry = AuditEntry {
        seq: last + 1,
        at,
        event: draft.event.to_owned(),
        principal: draft.principal,
        action: draft.action,
        resource: draft.resource,
        permit: draft.permit,
        detail: draft.detail.to_string(),
        previous,
        hash: GENESIS,
    };
    entry.hash = entry.expected_hash();
    sqlx::query(
        "INSERT INTO audit (seq, at, event, principal, action, resource, permit, detail, previous, hash)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(stored(entry.seq)?)
    .bind(entry.at.0)
    .bind(entry.event)
    .bind(entry.principal)
    .bind(entry.action)
    .bind(entry.resource)
    .bind(entry.permit)
    .bind(entry.detail)
    .bind(entry.previous.to_string())
    .bind(entry.hash.to_string())
    .execute(connection)
    .await
    .during("writing the audit ledger")?;
    Ok(())
}

/// Number and hash of the last entry.
async fn head(connection: &mut Connection) -> Result<(u64, Hash)> {
    let row = sqlx::query("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")
        .fetch_optional(connection)
        .await
        .during("reading the audit ledger")?;
    match row {
        Some(row) => Ok((row.count("seq")?, row.hash("hash")?)),
        None => Ok((0, GENESIS)),
    }
}

/// The newest entries, oldest of them first.
pub(crate) async fn newest(connection: &mut Connection, limit: u64) -> Result<Vec<AuditEntry>> {
    let (last, _) = head(connection).await?;
    entries(connection, stored(last.saturating_sub(limit))?, stored(limit)?).await
}

async fn entries(connection: &mut Connection, since: i64, limit: i64) -> Result<Vec<AuditEntry>> {
    let rows = sqlx::query(
        "SELECT seq, at, event, principal, action, resource, permit, detail, previous, hash
         FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2",
    )
    .bind(since)
    .bind(limit)
    .fetch_all(connection)
    .await
    .during("reading the audit ledger")?;
    rows.iter().map(AuditEntry::from_row).collect()
}

/// Checks numbers and hashes of every entry; returns how many there are.
async fn verify_chain(connection: &mut Connection) -> Result<u64> {
    let mut last = 0u64;
    let mut previous = GENESIS;
    loop {
        let batch = entries(connection, stored(last)?, VERIFY_ENTRIES).await?;
        if batch.is_empty() {
            return Ok(last);
        }
        for entry in batch {
            let intact = entry.seq == last + 1 && entry.previous == previous && entry.hash == entry.expected_hash();
            if !intact {
                let message = format!("the audit ledger is broken at entry {}", last + 1);
                return Err(Error::corrupt("SW0620", message)
                    .hint("an entry was changed, removed or inserted; compare with a backup and tell an owner"));
            }
            last = entry.seq;
            previous = entry.hash;
        }
    }
}

fn grant_lost() -> Error {
    Error::new(ErrorKind::Unavailable, "SW0622", "the audit entry of a read could not be written")
        .hint("nothing was read; retry")
}
