//! The folder of kept models: `<digest>.model`, written once, checked against the digest whenever it is read.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use seawall_base::{Error, ErrorKind as Kind, Hash, Result, durable};

use crate::artifact::ARTIFACT_BYTES_MAX;
use crate::retire::{Retired, retired};

#[cfg(test)]
mod tests;

/// A folder of models.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// Opens the folder; makes it durably when it is not there.
    pub fn open(folder: &Path) -> Result<Self> {
        durable::create_dir_all(folder).map_err(|e| failed("the folder of models cannot be made", e))?;
        Ok(Store { folder: folder.to_owned() })
    }

    /// Keeps `bytes` durably and returns their digest. What is kept already stays as it is; a file that does not have
    /// its digest is replaced.
    pub fn write(&self, bytes: &[u8]) -> Result<Hash> {
        if bytes.len() as u64 > ARTIFACT_BYTES_MAX {
            let message = format!("a model has {} bytes, and {ARTIFACT_BYTES_MAX} are the most", bytes.len());
            return Err(Error::invalid("SW1013", message).hint("train with fewer or smaller trees"));
        }
        let digest = Hash::of(bytes);
        let path = self.path(digest);
        match durable::write_new(&path, bytes) {
            Ok(()) => Ok(digest),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => self.repair(digest, bytes).map(|()| digest),
            Err(e) => Err(failed("a model cannot be written", e)),
        }
    }

    /// The bytes of a model.
    ///
    /// # Errors
    /// `NotFound` when none has this digest, `Corrupt` when the file's bytes do not have it.
    pub fn read(&self, digest: Hash) -> Result<Bytes> {
        let file = match File::open(self.path(digest)) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => {
                if let Some(Retired { at, to }) = retired(&self.folder, digest) {
                    let message = format!("model {} was retired at {at}", digest.short());
                    return Err(Error::not_found("SW1010", message).hint(match to {
                        Some(to) => format!("nothing used it; copy {} back into the folder of models", to.display()),
                        None => "nothing used it; restore it from a backup, or train again".to_owned(),
                    }));
                }
                return Err(Error::not_found("SW1010", format!("no model {} is kept", digest.short()))
                    .hint("it was kept by another data folder, or its file was removed; restore it from a backup"));
            }
            Err(e) => return Err(failed("a model cannot be read", e)),
        };
        let mut bytes = Vec::new();
        let limit = ARTIFACT_BYTES_MAX + 1;
        file.take(limit).read_to_end(&mut bytes).map_err(|e| failed("a model cannot be read", e))?;
        if Hash::of(&bytes) != digest {
            let message = format!("the file of model {} does not have its digest", digest.short());
            return Err(Error::corrupt("SW1011", message)
                .hint("it was changed or damaged since it was written; restore it from a backup or train again"));
        }
        Ok(Bytes::from(bytes))
    }

    fn repair(&self, digest: Hash, bytes: &[u8]) -> Result<()> {
        match self.read(digest) {
            Ok(_) => Ok(()),
            Err(e) if e.kind() == Kind::Corrupt => {
                tracing::warn!(%digest, "a damaged model file is replaced");
                durable::write_atomic(&self.path(digest), bytes).map_err(|e| failed("a model cannot be written", e))
            }
            Err(e) => Err(e),
        }
    }

    fn path(&self, digest: Hash) -> PathBuf {
        self.folder.join(format!("{digest}.model"))
    }
}

fn failed(what: &str, cause: std::io::Error) -> Error {
    Error::new(Kind::Unavailable, "SW1014", what).because(cause).hint("check space and rights of the data folder")
}
