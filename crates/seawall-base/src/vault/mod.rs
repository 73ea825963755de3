//! A vault: named objects that are written once and kept, as backups need them.
//!
//! A folder ([`Folder`]) and a bucket (in `seawall-lake`) are vaults. Names are paths whose parts are separated by `/`.
//! Calls block on the disk or the network: asynchronous callers make them where blocking is allowed.

mod folder;

pub mod conformance;

use crate::error::Result;

pub use folder::Folder;

/// Named objects.
///
/// Contract, checked by [`conformance`] on every implementation:
/// - what `create` or `replace` reported is durable, and whole or absent after a crash in between;
/// - `create` never changes an object that is there, whoever else writes at the same time;
/// - `list` sees every object that was reported before it began.
pub trait Vault: Send + Sync + std::fmt::Debug {
    /// Where it lies, for people.
    fn place(&self) -> String;

    /// Writes an object unless its name is taken; whether it was free.
    fn create(&self, name: &str, bytes: &[u8]) -> Result<bool>;

    /// Writes an object over whatever has its name.
    fn replace(&self, name: &str, bytes: &[u8]) -> Result<()>;

    /// Like [`Vault::replace`], readable by the owner only; what the object held before is overwritten as far as the medium
    /// lets it.
    fn replace_secret(&self, name: &str, bytes: &[u8]) -> Result<()>;

    /// The bytes of an object; none when there is no such object.
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>>;

    /// Name and length of every object whose name begins with `folder/`.
    fn list(&self, folder: &str) -> Result<Vec<(String, u64)>>;

    /// Removes an object, if it is there.
    fn remove(&self, name: &str) -> Result<()>;

    /// Keeps others who lock out until the lock is dropped, or its holder dies; `Unavailable` (SW1430) while another holds
    /// it.
    fn lock(&self, operation: &str) -> Result<Box<dyn Lock>>;

    /// How an object is called in messages.
    fn shown(&self, name: &str) -> String {
        format!("{}/{name}", self.place())
    }
}

/// A vault that is locked.
pub trait Lock: Send + std::fmt::Debug {
    /// Fails when the lock is lost; to be asked now and then during long work, and before what must not be done twice.
    fn check(&self) -> Result<()>;
}

#[cfg(test)]
mod tests;
