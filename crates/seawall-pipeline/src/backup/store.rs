//! The store of backups in a vault: `pieces/xx/HASH`, `backups/ID.json` and `keys`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use seawall_base::error::Result;
use seawall_base::vault::{Folder, Lock, Vault};
use seawall_base::{Error, ErrorKind, Hash};
use seawall_storage::keys;

use super::manifest::Manifest;

/// Length of a piece; the last one of a file is shorter.
pub const PIECE_BYTES: usize = 4 << 20;
const PIECES: &str = "pieces";
const BACKUPS: &str = "backups";
/// The copy of the keys that the log of every backup is sealed with.
const KEYS: &str = "keys";

/// A store of backups.
#[derive(Debug, Clone)]
pub struct Store {
    vault: Arc<dyn Vault>,
    passing: PathBuf,
}

impl Store {
    /// A store in a folder, which is created when missing; only its owner may look into it, because it holds keys.
    pub fn open(folder: &Path) -> Result<Store> {
        Ok(Store::within(Arc::new(Folder::open(folder)?), folder.join("tmp")))
    }

    /// A store in a folder that must be there.
    pub fn existing(folder: &Path) -> Result<Store> {
        if folder.join(BACKUPS).is_dir() {
            return Store::open(folder);
        }
        Err(no_store(&folder.display().to_string()))
    }

    /// A store in `vault`; `passing` is a folder of this machine for files on their way, which whoever holds the lock may
    /// use.
    pub fn within(vault: Arc<dyn Vault>, passing: PathBuf) -> Store {
        Store { vault, passing }
    }

    /// Fails when there is no backup.
    pub fn expect_backups(self) -> Result<Store> {
        match self.vault.list(BACKUPS)?.is_empty() {
            true => Err(no_store(&self.vault.place())),
            false => Ok(self),
        }
    }

    /// The store itself when it has something that an erasure must replace: a backup that died before it was one may have
    /// left its copy of the keys.
    pub fn expect_copies(self) -> Result<Store> {
        let has_none = self.vault.list(BACKUPS)?.is_empty() && self.vault.read(KEYS)?.is_none();
        if has_none { Err(no_store(&self.vault.place())) } else { Ok(self) }
    }

    /// Keeps other backups out until the lock is dropped, or its holder dies.
    pub fn lock(&self, operation: &str) -> Result<Box<dyn Lock>> {
        self.vault.lock(operation)
    }

    /// A folder for files on their way into the store; whoever holds the lock may use it.
    pub fn passing(&self) -> &Path {
        &self.passing
    }

    /// Where it lies.
    pub fn place(&self) -> String {
        self.vault.place()
    }

    /// Replaces the copy of the keys by one of the ring in `folder`, if there is one.
    pub fn keep_keys(&self, folder: &Path) -> Result<()> {
        match keys::copy(folder)? {
            Some(copy) => self.vault.replace_secret(KEYS, &copy),
            None => Ok(()),
        }
    }

    /// Makes `folder` the ring of the copy, if there is one.
    pub fn restore_keys(&self, folder: &Path) -> Result<()> {
        match self.vault.read(KEYS)? {
            Some(copy) => keys::restore(&self.vault.shown(KEYS), &copy, folder),
            None => Ok(()),
        }
    }

    /// Whether the copy of the keys can be restored; one that is not there needs not.
    pub fn check_keys(&self) -> Result<()> {
        match self.vault.read(KEYS)? {
            Some(copy) => keys::check_copy(&self.vault.shown(KEYS), &copy),
            None => Ok(()),
        }
    }

    /// How the piece with this hash is called.
    pub fn piece_name(hash: Hash) -> String {
        let name = hash.to_string();
        format!("{PIECES}/{}/{name}", &name[..2])
    }

    /// Hashes and lengths of the pieces that are there.
    pub(super) fn pieces(&self) -> Result<BTreeMap<Hash, u64>> {
        let listed = self.vault.list(PIECES)?;
        let hash = |name: &str| name.rsplit('/').next()?.parse().ok();
        Ok(listed.into_iter().filter_map(|(name, length)| Some((hash(&name)?, length))).collect())
    }

    /// Keeps a piece durably, in the place of one with another length, which a crash of the disk may have left.
    pub(super) fn keep(&self, hash: Hash, bytes: &[u8]) -> Result<()> {
        let name = Store::piece_name(hash);
        match self.vault.create(&name, bytes)? {
            true => Ok(()),
            false => self.vault.replace(&name, bytes),
        }
    }

    /// The bytes of a piece: `Corrupt` (SW1421) when they are gone or are others.
    pub fn piece(&self, hash: Hash) -> Result<Vec<u8>> {
        let name = Store::piece_name(hash);
        let shown = self.vault.shown(&name);
        let damaged = |what: &str| {
            Error::corrupt("SW1421", format!("the piece {shown} of the backup {what}"))
                .in_file(shown.clone(), None)
                .hint("use another backup; the next `seawall backup create` writes the piece again if a file still has it")
        };
        match self.vault.read(&name)? {
            Some(bytes) if Hash::of(&bytes) == hash => Ok(bytes),
            Some(_) => Err(damaged("is not what was written")),
            None => Err(damaged("is missing")),
        }
    }

    /// Makes the backup valid.
    pub fn finish(&self, manifest: &Manifest) -> Result<()> {
        let (name, bytes) = (manifest_name(&manifest.id), manifest.encode());
        if self.vault.create(&name, &bytes)? || self.vault.read(&name)?.as_deref() == Some(&bytes) {
            return Ok(());
        }
        let message = format!("{} is there already and is another backup", self.vault.shown(&name));
        Err(Error::new(ErrorKind::Conflict, "SW1430", message).hint("take the backup again"))
    }

    /// Every backup, the oldest first. A manifest that cannot be read is an error beside the others.
    pub fn backups(&self) -> Result<(Vec<Manifest>, Vec<Error>)> {
        let (mut manifests, mut errors) = (Vec::new(), Vec::new());
        for (name, _) in self.vault.list(BACKUPS)? {
            if !name.ends_with(".json") {
                continue;
            }
            let shown = self.vault.shown(&name);
            let decoded = match self.vault.read(&name) {
                Ok(Some(bytes)) => Manifest::decode(Path::new(&shown), &bytes),
                // It was pruned meanwhile.
                Ok(None) => continue,
                Err(error) => Err(error),
            };
            match decoded {
                Ok(manifest) => manifests.push(manifest),
                Err(error) => errors.push(error),
            }
        }
        manifests.sort_by(|a, b| (a.taken_at, &a.id).cmp(&(b.taken_at, &b.id)));
        Ok((manifests, errors))
    }

    /// Removes pieces that no backup names, and forgets `remove`d backups first. Returns how many bytes were given back.
    /// Nobody may take a backup meanwhile.
    pub fn remove(&self, remove: &[String]) -> Result<u64> {
        let lock = self.lock("prune")?;
        for id in remove {
            self.vault.remove(&manifest_name(id))?;
        }
        let (manifests, errors) = self.backups()?;
        if let Some(error) = errors.into_iter().next() {
            // Its pieces are not known: nothing may be removed.
            return Err(error);
        }
        let files = manifests.iter().flat_map(|manifest| &manifest.files);
        let named: BTreeSet<Hash> = files.flat_map(|file| file.pieces.iter().copied()).collect();
        let mut bytes = 0;
        for (hash, length) in self.pieces()? {
            if !named.contains(&hash) {
                lock.check()?;
                self.vault.remove(&Store::piece_name(hash))?;
                bytes += length;
            }
        }
        Ok(bytes)
    }
}

fn manifest_name(id: &str) -> String {
    format!("{BACKUPS}/{id}.json")
}

fn no_store(place: &str) -> Error {
    Error::not_found("SW1420", format!("there are no backups in {place}"))
        .hint("name the place that `seawall backup create --to` wrote to")
}

pub(super) fn unavailable(doing: &str, path: &Path, cause: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "SW1422", format!("could not {doing} {}", path.display()))
        .because(cause)
        .hint("check space and rights of the folder; what is there already is used by the next attempt")
}
