//! Where backups lie: in a folder, or in a bucket (`s3://BUCKET/PREFIX`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use seawall_base::error::Result;
use seawall_base::{Error, Hash, Vault};
use seawall_lake::store::{Bucket, Patience};
use seawall_pipeline::backup::Store;

/// How the address of a bucket begins.
const BUCKET: &str = "s3://";
/// The folder for files on their way to a bucket, within the data folder; no backup takes it. Each bucket has its own, as it
/// has its own lock.
fn passing(address: &str) -> String {
    format!("backup-{:.16}.tmp", Hash::of(address.as_bytes()).to_string())
}

/// The store at `place` for backups of `data`, made when it is missing. Refused within the data folder.
pub fn open(place: &Path, data: &Path) -> Result<Store> {
    if let Some(store) = in_bucket(place, data)? {
        return Ok(store);
    }
    let store = Store::open(place)?;
    if place.canonicalize()?.starts_with(data.canonicalize()?) {
        return Err(Error::invalid("SW1429", format!("{} lies in the data folder", place.display()))
            .hint("keep backups on another disk: what takes the data folder away takes them too"));
    }
    Ok(store)
}

/// The store at `place`, which must have backups.
pub fn existing(place: &Path, data: &Path) -> Result<Store> {
    match in_bucket(place, data)? {
        Some(store) => tokio::task::block_in_place(|| store.expect_backups()),
        None => Store::existing(place),
    }
}

/// The store at `place`, a bucket whether or not it has backups.
pub fn reachable(place: &Path, data: &Path) -> Result<Store> {
    match in_bucket(place, data)? {
        Some(store) => Ok(store),
        None => Store::existing(place),
    }
}

/// A declared place: a folder that is not absolute starts from the project's.
pub fn declared(project: &Path, place: &Path) -> PathBuf {
    if is_bucket(place) { place.to_owned() } else { project.join(place) }
}

/// Whether a place is a bucket, of which nobody can tell without asking whether it has backups.
pub fn is_bucket(place: &Path) -> bool {
    place.to_str().is_some_and(|address| address.starts_with(BUCKET))
}

fn in_bucket(place: &Path, data: &Path) -> Result<Option<Store>> {
    let Some(address) = place.to_str().filter(|_| is_bucket(place)) else { return Ok(None) };
    let vault: Arc<dyn Vault> = Arc::new(Bucket::s3(address, &crate::tables::environment(), Patience::default())?);
    Ok(Some(Store::within(vault, data.join(passing(address)))))
}
