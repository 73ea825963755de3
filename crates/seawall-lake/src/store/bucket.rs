//! A vault in a bucket of an S3-style store: where backups may lie.
//!
//! An object is created with `If-None-Match: *`, like a commit of a table, so that of several writers one wins. The lock is
//! a lease like those of tables, which ends by itself when its holder dies. The bucket must keep no older versions of its
//! objects: what [`Vault::replace_secret`] replaces would stay readable there.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error as Failure, ObjectStoreExt, PutMode, PutPayload};
use parking_lot::Mutex;
use seawall_base::error::{Error, ErrorKind, Result};
use seawall_base::vault::{Lock, Vault};
use seawall_base::{OsRng, Rng, SystemClock};
use tokio::runtime::Handle;

use super::{Home, Patience};
use crate::codes;
use crate::table::{Lease, Leases, log};

/// The folder of leases.
const LOCK: &str = "lock";

/// Objects below a prefix of a bucket. Its calls block, which a runtime of one thread does not allow.
#[derive(Debug, Clone)]
pub struct Bucket {
    home: Home,
    runtime: Handle,
}

impl Bucket {
    /// `s3://BUCKET/PREFIX`, with the settings of `environment`, as [`Home::s3`] reads them. To be made within a runtime.
    pub fn s3(address: &str, environment: &BTreeMap<String, String>, patience: Patience) -> Result<Bucket> {
        let runtime = Handle::try_current()
            .map_err(|e| Error::internal(codes::STORAGE, "a bucket is used outside of a runtime").because(e))?;
        Ok(Bucket { home: Home::s3(address, environment, patience)?, runtime })
    }

    fn path(&self, name: &str) -> Path {
        name.split('/').fold(self.home.root().clone(), |path, part| path.join(part))
    }

    /// Waits where blocking is allowed.
    fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::task::block_in_place(|| self.runtime.block_on(work))
    }

    fn put(&self, name: &str, bytes: &[u8], mode: PutMode) -> object_store::Result<()> {
        let payload = PutPayload::from(bytes.to_vec());
        self.wait(self.home.store().put_opts(&self.path(name), payload, mode.into())).map(|_| ())
    }

    fn failed(&self, doing: &str, name: &str, failure: Failure) -> Error {
        log::storage(&format!("{doing} {}", self.shown(name)), failure)
    }
}

impl Vault for Bucket {
    fn place(&self) -> String {
        self.home.to_string()
    }

    fn create(&self, name: &str, bytes: &[u8]) -> Result<bool> {
        match self.put(name, bytes, PutMode::Create) {
            Ok(()) => Ok(true),
            Err(Failure::AlreadyExists { .. }) => Ok(false),
            Err(failure) => Err(self.failed("writing", name, failure)),
        }
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.put(name, bytes, PutMode::Overwrite).map_err(|failure| self.failed("writing", name, failure))
    }

    fn replace_secret(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.replace(name, bytes)
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = self.path(name);
        let read = self.wait(async { self.home.store().get(&path).await?.bytes().await });
        match read {
            Ok(bytes) => Ok(Some(bytes.to_vec())),
            Err(Failure::NotFound { .. }) => Ok(None),
            Err(failure) => Err(self.failed("reading", name, failure)),
        }
    }

    fn list(&self, folder: &str) -> Result<Vec<(String, u64)>> {
        let below = self.path(folder);
        let listed = self.wait(self.home.store().list(Some(&below)).try_collect::<Vec<_>>());
        let listed = listed.map_err(|failure| self.failed("listing", folder, failure))?;
        let mut found = Vec::with_capacity(listed.len());
        for object in listed {
            let inside = object.location.prefix_match(self.home.root()).map(|parts| {
                let parts: Vec<String> = parts.map(|part| part.as_ref().to_owned()).collect();
                parts.join("/")
            });
            found.extend(inside.map(|name| (name, object.size)));
        }
        Ok(found)
    }

    fn remove(&self, name: &str) -> Result<()> {
        match self.wait(self.home.store().delete(&self.path(name))) {
            Ok(()) | Err(Failure::NotFound { .. }) => Ok(()),
            Err(failure) => Err(self.failed("removing", name, failure)),
        }
    }

    fn lock(&self, operation: &str) -> Result<Box<dyn Lock>> {
        let leases = Leases {
            store: self.home.store().clone(),
            clock: Arc::new(SystemClock),
            rng: Arc::new(OsRng),
            table: self.place(),
            folder: self.path(LOCK),
            owner: OsRng.id(),
        };
        match self.wait(leases.take(operation)) {
            Ok(lease) => Ok(Box::new(Locked { bucket: self.clone(), lease: Mutex::new(Some(lease)) })),
            Err(error) if error.code() == codes::LEASE_HELD => {
                let message = format!("another backup is being taken into {}", self.place());
                Err(Error::new(ErrorKind::Unavailable, "SW1430", message)
                    .because(error)
                    .hint("wait until it has ended"))
            }
            Err(error) => Err(error),
        }
    }
}

/// A lease on the bucket, given back when dropped.
#[derive(Debug)]
struct Locked {
    bucket: Bucket,
    lease: Mutex<Option<Lease>>,
}

impl Lock for Locked {
    fn check(&self) -> Result<()> {
        let lease = self.lease.lock();
        match lease.as_ref() {
            Some(lease) => self.bucket.wait(lease.keep()),
            None => Ok(()),
        }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.lock().take() {
            self.bucket.wait(lease.release());
        }
    }
}

#[cfg(test)]
mod tests;
