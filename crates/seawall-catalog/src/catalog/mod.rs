//! The catalog as a whole: opening it, asking it for permits, beginning its changes.
//!
//! The verbs live with their nouns, one file each; here is what they share.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use seawall_base::{Clock, ErrorKind, Instant, Permit, Result, Rng, durable};
use serde_json::json;
use tracing::warn;

use crate::audit::{self, PendingRead};
use crate::database::{Database, Reader, Write};
use crate::policy::{Action, Policy, PolicySet, Principal};
use crate::signing::SigningKey;

#[cfg(test)]
mod tests;

/// The database's name in the catalog's folder.
pub(crate) const DATABASE_FILE: &str = "catalog.db";

/// The system of record of one project. Clones share it.
///
/// Every method that changes something takes a [`Permit`] for the action it needs, writes an entry of the audit ledger
/// in the same transaction and is atomic: when it fails, or its future is dropped before it returns, either nothing
/// happened or all of it did.
#[derive(Clone)]
pub struct Catalog {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) database: Database,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) policy: Policy,
    /// Absent for a catalog in memory.
    pub(crate) folder: Option<PathBuf>,
    pub(crate) key: Mutex<Option<SigningKey>>,
    pub(crate) pending_reads: Mutex<Vec<PendingRead>>,
}

impl Catalog {
    /// Opens the catalog in folder `path`, creating folder and catalog when missing.
    ///
    /// Errors: `Unavailable` when the folder cannot be used or another process holds the database, `Corrupt` when the
    /// file is no catalog, `Invalid` (SW0604) when a newer Seawall wrote it.
    pub async fn open(path: &Path, clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Result<Catalog> {
        durable::create_dir_all(path)?;
        let database = Database::open(&path.join(DATABASE_FILE), clock.now()).await?;
        Ok(Catalog::assemble(database, clock, rng, Some(path.to_owned())))
    }

    /// A catalog that lives as long as its clones, for tests and simulation.
    pub async fn in_memory(clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Result<Catalog> {
        let database = Database::in_memory(clock.now()).await?;
        Ok(Catalog::assemble(database, clock, rng, None))
    }

    pub(crate) fn assemble(
        database: Database,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
        folder: Option<PathBuf>,
    ) -> Catalog {
        let policy = Policy::new(rng.clone());
        let key = Mutex::new(None);
        let pending_reads = Mutex::new(Vec::new());
        Catalog { inner: Arc::new(Inner { database, clock, rng, policy, folder, key, pending_reads }) }
    }

    /// The policy, for callers that need a permit without a trace of denials.
    pub fn policy(&self) -> &Policy {
        &self.inner.policy
    }

    /// Puts `policies` in the place of those so far, for everybody who shares this catalog: at start, and whenever
    /// another revision becomes active.
    pub fn install_policies(&self, policies: PolicySet) {
        self.inner.policy.install(policies);
    }

    /// A permit for Seawall's own work, in the name of `seawall`.
    pub fn system_permit(&self, action: Action, resource: &str) -> Permit {
        self.inner.policy.system_permit(action, resource)
    }

    /// A permit for `principal` to do `action` to `resource`. A denial (SW0610) is written to the audit ledger first.
    pub async fn authorize(&self, principal: &Principal, action: Action, resource: &str) -> Result<Permit> {
        let answer = self.inner.policy.authorize(principal, action, resource);
        if let Err(denial) = &answer
            && denial.kind() == ErrorKind::Denied
        {
            let entry = audit::Draft {
                event: "denied",
                principal: principal.name.clone(),
                action: action.as_str().to_owned(),
                resource: resource.to_owned(),
                permit: String::new(),
                detail: json!({"role": principal.role, "code": denial.code()}),
            };
            let mut write = self.begin().await?;
            audit::append(&mut write, self.now(), entry).await?;
            write.commit().await?;
            warn!(principal = principal.name, %action, resource, "denied");
        }
        answer
    }

    /// The present instant of the catalog's clock.
    pub(crate) fn now(&self) -> Instant {
        self.inner.clock.now()
    }

    pub(crate) async fn begin(&self) -> Result<Write<'_>> {
        self.inner.database.begin().await
    }

    pub(crate) async fn read(&self) -> Result<Reader> {
        self.inner.database.read().await
    }
}
