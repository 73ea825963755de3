//! A vault in a folder of this machine.

use std::fs;
use std::io::ErrorKind as Io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{Lock, Vault};
use crate::durable;
use crate::error::{Error, ErrorKind, Result};

/// The file that is locked.
const LOCK: &str = "lock";

/// Objects as files below a folder.
#[derive(Debug, Clone)]
pub struct Folder {
    folder: PathBuf,
}

impl Folder {
    /// The folder, created when missing; only its owner may look into a new one.
    pub fn open(folder: &Path) -> Result<Folder> {
        let failed = |e| unavailable("use", folder, e);
        let is_new = !folder.exists();
        durable::create_dir_all(folder).map_err(failed)?;
        if is_new {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(failed)?;
        }
        Ok(Folder { folder: folder.to_owned() })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn parent(&self, path: &Path) -> Result<()> {
        let Some(parent) = path.parent() else { return Ok(()) };
        durable::create_dir_all(parent).map_err(|e| unavailable("create", parent, e))
    }

    fn list_below(&self, folder: &Path, listed: &mut Vec<(String, u64)>) -> Result<()> {
        let failed = |e| unavailable("list", folder, e);
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == Io::NotFound => return Ok(()),
            Err(e) => return Err(failed(e)),
        };
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            let metadata = match fs::symlink_metadata(&path) {
                Ok(metadata) => metadata,
                Err(e) if e.kind() == Io::NotFound => continue,
                Err(e) => return Err(failed(e)),
            };
            if metadata.is_dir() {
                self.list_below(&path, listed)?;
            } else if let Some(name) = path.strip_prefix(&self.folder).ok().and_then(Path::to_str) {
                listed.push((name.to_owned(), metadata.len()));
            }
        }
        Ok(())
    }
}

impl Vault for Folder {
    fn place(&self) -> String {
        self.folder.display().to_string()
    }

    fn create(&self, name: &str, bytes: &[u8]) -> Result<bool> {
        let path = self.path(name);
        self.parent(&path)?;
        match durable::write_new(&path, bytes) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == Io::AlreadyExists => Ok(false),
            Err(e) => Err(unavailable("write", &path, e)),
        }
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path(name);
        self.parent(&path)?;
        durable::write_atomic(&path, bytes).map_err(|e| unavailable("write", &path, e))
    }

    fn replace_secret(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path(name);
        self.parent(&path)?;
        durable::replace_private(&path, bytes).map_err(|e| unavailable("write", &path, e))
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = self.path(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == Io::NotFound => Ok(None),
            Err(e) => Err(unavailable("read", &path, e)),
        }
    }

    fn list(&self, folder: &str) -> Result<Vec<(String, u64)>> {
        let mut listed = Vec::new();
        self.list_below(&self.path(folder), &mut listed)?;
        listed.sort();
        Ok(listed)
    }

    fn remove(&self, name: &str) -> Result<()> {
        let path = self.path(name);
        durable::remove_file(&path).map_err(|e| unavailable("remove", &path, e))
    }

    fn lock(&self, _operation: &str) -> Result<Box<dyn Lock>> {
        let path = self.path(LOCK);
        let failed = |e| unavailable("lock", &path, e);
        let file = fs::File::options().write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(Locked(file))),
            Err(fs::TryLockError::Error(cause)) => Err(failed(cause)),
            Err(fs::TryLockError::WouldBlock) => {
                let message = format!("another backup is being taken into {}", self.folder.display());
                Err(Error::new(ErrorKind::Unavailable, "SW1430", message).hint("wait until it has ended"))
            }
        }
    }
}

/// The operating system keeps others out while the file is open.
#[derive(Debug)]
struct Locked(#[expect(dead_code, reason = "it is locked as long as it is open")] fs::File);

impl Lock for Locked {
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

fn unavailable(doing: &str, path: &Path, cause: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "SW1422", format!("could not {doing} {}", path.display()))
        .because(cause)
        .hint("check space and rights of the folder; what is there already is used by the next attempt")
}
