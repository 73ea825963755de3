//! The folder of backups: `pieces/xx/HASH` and `backups/ID.json`.

use std::fs;
use std::io::ErrorKind as Io;
use std::path::{Path, PathBuf};

use seawall_base::error::Result;
use seawall_base::{Error, ErrorKind, Hash, durable};

use super::manifest::Manifest;

/// Length of a piece; the last one of a file is shorter.
pub const PIECE_BYTES: usize = 4 << 20;
const PIECES: &str = "pieces";
const BACKUPS: &str = "backups";

/// A folder of backups.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// Opens the folder, creating it when missing; only its owner may look into it, because it holds keys.
    pub fn open(folder: &Path) -> Result<Store> {
        use std::os::unix::fs::PermissionsExt;
        let failed = |e| unavailable("use the folder of backups", folder, e);
        let is_new = !folder.exists();
        for part in [folder.to_owned(), folder.join(PIECES), folder.join(BACKUPS)] {
            durable::create_dir_all(&part).map_err(failed)?;
        }
        if is_new {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(failed)?;
        }
        Ok(Store { folder: folder.to_owned() })
    }

    /// Opens a folder that must be there.
    pub fn existing(folder: &Path) -> Result<Store> {
        if folder.join(BACKUPS).is_dir() {
            return Ok(Store { folder: folder.to_owned() });
        }
        Err(Error::not_found("SW1420", format!("{} is no folder of backups", folder.display()))
            .hint("name the folder that `seawall backup create --to` wrote to"))
    }

    /// Keeps other backups out until the lock is dropped, or its holder dies.
    pub fn lock(&self) -> Result<fs::File> {
        let path = self.folder.join("lock");
        let failed = |e| unavailable("lock", &path, e);
        let file = fs::File::options().write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(fs::TryLockError::Error(cause)) => Err(failed(cause)),
            Err(fs::TryLockError::WouldBlock) => {
                let message = format!("another backup is being taken into {}", self.folder.display());
                Err(Error::new(ErrorKind::Unavailable, "SW1430", message).hint("wait until it has ended"))
            }
        }
    }

    /// A folder for files on their way into the store; whoever holds the lock may use it.
    pub fn passing(&self) -> PathBuf {
        self.folder.join("tmp")
    }

    /// The copy of the keys that the log of every backup in here is sealed with.
    pub fn keys(&self) -> PathBuf {
        self.folder.join("keys")
    }

    /// Where it lies.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the piece with this hash lies.
    pub fn piece_path(&self, hash: Hash) -> PathBuf {
        let name = hash.to_string();
        self.folder.join(PIECES).join(&name[..2]).join(name)
    }

    /// Keeps a piece durably; whether it is new. A piece that is there with another length, which a crash of the disk may
    /// leave, is replaced.
    pub fn keep(&self, bytes: &[u8]) -> Result<(Hash, bool)> {
        let hash = Hash::of(bytes);
        let path = self.piece_path(hash);
        if fs::metadata(&path).is_ok_and(|known| known.len() == bytes.len() as u64) {
            return Ok((hash, false));
        }
        let failed = |e| unavailable("write", &path, e);
        if let Some(folder) = path.parent() {
            durable::create_dir_all(folder).map_err(failed)?;
        }
        durable::write_atomic(&path, bytes).map_err(failed)?;
        Ok((hash, true))
    }

    /// The bytes of a piece: `Corrupt` (SW1421) when they are gone or are others.
    pub fn piece(&self, hash: Hash) -> Result<Vec<u8>> {
        let path = self.piece_path(hash);
        let damaged = |what: &str| {
            Error::corrupt("SW1421", format!("the piece {} of the backup {what}", path.display()))
                .in_file(path.clone(), None)
                .hint("use another backup; the next `seawall backup create` writes the piece again if a file still has it")
        };
        match fs::read(&path) {
            Ok(bytes) if Hash::of(&bytes) == hash => Ok(bytes),
            Ok(_) => Err(damaged("is not what was written")),
            Err(e) if e.kind() == Io::NotFound => Err(damaged("is missing")),
            Err(e) => Err(unavailable("read", &path, e)),
        }
    }

    /// Makes the backup valid.
    pub fn finish(&self, manifest: &Manifest) -> Result<()> {
        let path = self.manifest_path(&manifest.id);
        durable::write_atomic(&path, &manifest.encode()).map_err(|e| unavailable("write", &path, e))
    }

    /// Every backup, the oldest first. A manifest that cannot be read is an error beside the others.
    pub fn backups(&self) -> Result<(Vec<Manifest>, Vec<Error>)> {
        let folder = self.folder.join(BACKUPS);
        let failed = |e| unavailable("list", &folder, e);
        let (mut manifests, mut errors) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            match fs::read(&path).map_err(|e| unavailable("read", &path, e)).and_then(|b| Manifest::decode(&path, &b)) {
                Ok(manifest) => manifests.push(manifest),
                Err(error) => errors.push(error),
            }
        }
        manifests.sort_by(|a, b| (a.taken_at, &a.id).cmp(&(b.taken_at, &b.id)));
        Ok((manifests, errors))
    }

    /// Removes pieces that no backup names, and forgets `remove`d backups first. Returns how many bytes were given back.
    pub fn remove(&self, remove: &[String]) -> Result<u64> {
        for id in remove {
            let path = self.manifest_path(id);
            durable::remove_file(&path).map_err(|e| unavailable("remove", &path, e))?;
        }
        let (manifests, errors) = self.backups()?;
        if let Some(error) = errors.into_iter().next() {
            // Its pieces are not known: nothing may be removed.
            return Err(error);
        }
        let named: std::collections::BTreeSet<Hash> = manifests
            .iter()
            .flat_map(|manifest| &manifest.files)
            .flat_map(|file| file.pieces.iter().copied())
            .collect();
        let mut bytes = 0;
        for (hash, path, length) in self.pieces()? {
            if !named.contains(&hash) {
                durable::remove_file(&path).map_err(|e| unavailable("remove", &path, e))?;
                bytes += length;
            }
        }
        Ok(bytes)
    }

    fn pieces(&self) -> Result<Vec<(Hash, PathBuf, u64)>> {
        let root = self.folder.join(PIECES);
        let failed = |e| unavailable("list", &root, e);
        let mut pieces = Vec::new();
        for folder in fs::read_dir(&root).map_err(failed)? {
            for piece in fs::read_dir(folder.map_err(failed)?.path()).map_err(failed)? {
                let piece = piece.map_err(failed)?;
                let hash = piece.file_name().to_str().and_then(|name| name.parse().ok());
                if let Some(hash) = hash {
                    pieces.push((hash, piece.path(), piece.metadata().map_err(failed)?.len()));
                }
            }
        }
        Ok(pieces)
    }

    fn manifest_path(&self, id: &str) -> PathBuf {
        self.folder.join(BACKUPS).join(format!("{id}.json"))
    }
}

pub(super) fn unavailable(doing: &str, path: &Path, cause: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "SW1422", format!("could not {doing} {}", path.display()))
        .because(cause)
        .hint("check space and rights of the folder; what is there already is used by the next attempt")
}
