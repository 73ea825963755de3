//! The exclusive lease of a table: at most one operation at a time that takes files away, in all processes together.
//!
//! A lease is a file `_seawall/lease/EPOCH.json` in the table's folder, made by `put if absent`. Whoever made the one
//! with the highest epoch holds the table, until it says `released` or its time is over. A lease of a process that died
//! ends by itself. One that is taken over after its end fences its former holder: it finds a higher epoch than its own
//! at its next [`Lease::check`], which every commit that removes a file makes.
//!
//! The lease keeps operations from undoing each other's work. What keeps them from corrupting a table, should a holder
//! be slower than its own check, is the commit: it takes exactly the version after the one that it was decided on.

use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use parking_lot::Mutex;
use seawall_base::error::{Error, ErrorKind, Result};
use seawall_base::{Clock, Instant, Rng, Span};
use serde::{Deserialize, Serialize};

use super::log;
use crate::codes;

/// How long a lease lasts without being renewed.
const LEASE_LASTS: Span = Span(60 * Span::SECOND.0);
/// A lease is renewed when less than this is left of it.
const RENEW_BELOW: Span = Span(40 * Span::SECOND.0);
/// How often the newest lease is looked for again when it vanishes while it is read.
const READS_MAX: usize = 8;
/// First and greatest pause while waiting for a lease.
const WAIT_PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// Where the leases of one table lie, and who asks for them.
#[derive(Clone)]
pub(crate) struct Leases {
    pub store: Arc<dyn ObjectStore>,
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
    pub table: String,
    pub folder: Path,
    /// Who asks. Of one owner only one operation runs at a time, so a lease of its own that it finds was left behind by
    /// an operation that was stopped.
    pub owner: String,
}

impl std::fmt::Debug for Leases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Leases({})", self.table)
    }
}

/// A lease file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    format: u32,
    epoch: u64,
    owner: String,
    token: String,
    operation: String,
    taken_at: Instant,
    expires_at: Instant,
    released: bool,
}

impl Record {
    fn is_held(&self, now: Instant) -> bool {
        !self.released && now < self.expires_at
    }
}

/// The right to take files away from a table.
#[derive(Debug)]
pub(crate) struct Lease {
    leases: Leases,
    record: Mutex<Record>,
}

impl Leases {
    /// Takes the lease for `operation`; `Conflict` when somebody holds it.
    pub(crate) async fn take(&self, operation: &str) -> Result<Lease> {
        let newest = self.newest().await?;
        let now = self.clock.now();
        if let Some(held) = newest.as_ref().filter(|held| held.is_held(now) && held.owner != self.owner) {
            return Err(self.held(held));
        }
        let epoch = newest.map_or(1, |newest| newest.epoch + 1);
        let record = Record {
            format: 1,
            epoch,
            owner: self.owner.clone(),
            token: self.rng.id(),
            operation: operation.to_owned(),
            taken_at: now,
            expires_at: Instant(now.0 + LEASE_LASTS.0),
            released: false,
        };
        match self.write(&record, PutMode::Create).await {
            Ok(()) => {}
            // Whether it is this call's own write, whose answer was lost, is told by the token below.
            Err(object_store::Error::AlreadyExists { .. }) => {}
            Err(e) => return Err(log::storage(&format!("taking the lease of table {}", self.table), e)),
        }
        // An epoch that was removed by a later holder can be made again: only the highest one counts.
        match self.newest().await? {
            Some(newest) if newest.epoch == epoch && newest.token == record.token => {}
            Some(other) => return Err(self.held(&other)),
            None => return Err(self.lost(epoch)),
        }
        self.forget_before(epoch).await?;
        Ok(Lease { leases: self.clone(), record: Mutex::new(record) })
    }

    /// Like [`Leases::take`], waiting up to `patience` for whoever holds it.
    pub(crate) async fn wait(&self, operation: &str, patience: Duration) -> Result<Lease> {
        let mut pause = WAIT_PAUSE.0;
        let mut waited = Duration::ZERO;
        loop {
            match self.take(operation).await {
                Err(error) if error.code() == codes::LEASE_HELD && waited < patience => {
                    tokio::time::sleep(pause).await;
                    waited += pause;
                    pause = (pause * 2).min(WAIT_PAUSE.1);
                }
                outcome => return outcome,
            }
        }
    }

    /// Who holds the table and for what; none when nobody does.
    pub(crate) async fn held_for(&self) -> Result<Option<String>> {
        let now = self.clock.now();
        let held = self.newest().await?.filter(|held| held.is_held(now));
        Ok(held.map(|held| held.operation))
    }

    fn path(&self, epoch: u64) -> Path {
        self.folder.clone().join(format!("{epoch:020}.json"))
    }

    async fn write(&self, record: &Record, mode: PutMode) -> object_store::Result<()> {
        let bytes = serde_json::to_vec(record).expect("a lease has text keys and whole numbers");
        self.store.put_opts(&self.path(record.epoch), PutPayload::from(bytes), mode.into()).await.map(|_| ())
    }

    async fn epochs(&self) -> Result<Vec<u64>> {
        let listed = self.store.list(Some(&self.folder)).try_collect::<Vec<_>>().await;
        let listed = match listed {
            Ok(listed) => listed,
            Err(object_store::Error::NotFound { .. }) => Vec::new(),
            Err(e) => return Err(log::storage(&format!("listing the leases of table {}", self.table), e)),
        };
        let number = |location: &Path| location.filename()?.strip_suffix(".json")?.parse().ok();
        let mut epochs: Vec<u64> = listed.iter().filter_map(|object| number(&object.location)).collect();
        epochs.sort_unstable();
        Ok(epochs)
    }

    async fn newest(&self) -> Result<Option<Record>> {
        // A lease that was listed may be gone when it is read: its follower removes it. The newest one stays.
        for _ in 0..READS_MAX {
            let Some(epoch) = self.epochs().await?.last().copied() else { return Ok(None) };
            if let Some(record) = self.read(epoch).await? {
                return Ok(Some(record));
            }
        }
        let message = format!("the leases of table {} change too fast to be read", self.table);
        Err(Error::new(ErrorKind::Conflict, codes::LEASE_HELD, message).hint("try again"))
    }

    async fn read(&self, epoch: u64) -> Result<Option<Record>> {
        let path = self.path(epoch);
        let reading = |e| log::storage(&format!("reading the lease of table {}", self.table), e);
        let bytes = match self.store.get(&path).await {
            Ok(found) => found.bytes().await.map_err(reading)?,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(e) => return Err(reading(e)),
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|e| {
            Error::corrupt(codes::LOG_BROKEN, format!("the lease {path} of table {} cannot be read", self.table))
                .because(e)
                .hint("when no process works on the table, remove the file")
        })
    }

    async fn forget_before(&self, epoch: u64) -> Result<()> {
        for old in self.epochs().await?.into_iter().filter(|old| *old < epoch) {
            match self.store.delete(&self.path(old)).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(e) => return Err(log::storage(&format!("removing an old lease of table {}", self.table), e)),
            }
        }
        Ok(())
    }

    fn held(&self, record: &Record) -> Error {
        let Record { operation, expires_at, .. } = record;
        let message = format!("table {} is held by another operation, {operation}, until {expires_at}", self.table);
        Error::new(ErrorKind::Conflict, codes::LEASE_HELD, message)
            .hint("try again when it is done; a lease that its process did not give back ends by itself")
    }

    fn lost(&self, epoch: u64) -> Error {
        let message = format!("the lease {epoch} of table {} was taken over by another operation", self.table);
        Error::new(ErrorKind::Conflict, codes::LEASE_LOST, message)
            .hint("this process was away for longer than its lease lasts; nothing was changed, try again")
    }
}

impl Lease {
    /// Number of the lease: higher than that of every lease before.
    pub(crate) fn epoch(&self) -> u64 {
        self.record.lock().epoch
    }

    /// Fails when the lease is over or was taken over; renews it when little is left of it.
    pub(crate) async fn check(&self) -> Result<()> {
        let now = self.leases.clock.now();
        let mut record = self.record.lock().clone();
        if now >= record.expires_at || self.leases.epochs().await?.last() != Some(&record.epoch) {
            return Err(self.leases.lost(record.epoch));
        }
        if record.expires_at.0 - now.0 < RENEW_BELOW.0 {
            record.expires_at = Instant(now.0 + LEASE_LASTS.0);
            let renewed = self.leases.write(&record, PutMode::Overwrite).await;
            renewed.map_err(|e| log::storage(&format!("renewing the lease of table {}", self.leases.table), e))?;
            *self.record.lock() = record;
        }
        Ok(())
    }

    /// Renews the lease when little is left of it; otherwise costs nothing. For long work before a commit, which checks.
    pub(crate) async fn keep(&self) -> Result<()> {
        let left = self.record.lock().expires_at.0 - self.leases.clock.now().0;
        if left < RENEW_BELOW.0 { self.check().await } else { Ok(()) }
    }

    /// Gives the lease back. A failure is no harm: the lease ends by itself.
    pub(crate) async fn release(self) {
        let record = Record { released: true, ..self.record.lock().clone() };
        if let Err(error) = self.leases.write(&record, PutMode::Overwrite).await {
            let table = &self.leases.table;
            tracing::warn!(%table, %error, "lease could not be given back, it ends by itself");
        }
    }
}

#[cfg(test)]
mod tests;
