//! The folder of tables: recognised when it is there, and missed when it is not.
//!
//! A disk that is unmounted leaves an empty folder behind, or none. Tables would then seem never to have existed, and
//! writing would begin new ones beside the old. So the folder's identity is kept from the start on; while another folder
//! or none is in its place, tables are away, and whoever asks may ask again later.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use seawall_base::durable;
use seawall_base::error::{Error, ErrorKind, Result};

/// Tables are away.
const HOME_AWAY: &str = "SW1307";

/// A folder of the machine.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    identity: Identity,
}

/// Device and number of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    number: u64,
}

impl Identity {
    fn of(metadata: &std::fs::Metadata) -> Self {
        Identity { device: metadata.dev(), number: metadata.ino() }
    }
}

impl Folder {
    /// The folder `path`, which is created when missing.
    pub(crate) fn open(path: &Path) -> Result<Folder> {
        durable::create_dir_all(path)?;
        let path = path.canonicalize()?;
        let identity = Identity::of(&std::fs::metadata(&path)?);
        Ok(Folder { path, identity })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Fails with `Unavailable` while the folder is not the one that was opened.
    pub(crate) async fn check(&self) -> Result<()> {
        let away = |what: &str| {
            let message = format!("the folder of tables {} is away: {what}", self.path.display());
            Error::new(ErrorKind::Unavailable, HOME_AWAY, message).hint(
                "mount the disk again, or put the folder back; what was acknowledged waits in the log and is committed then",
            )
        };
        let metadata = match tokio::fs::metadata(&self.path).await {
            Ok(metadata) => metadata,
            Err(error) => return Err(away("it cannot be read").because(error)),
        };
        match metadata.is_dir() && Identity::of(&metadata) == self.identity {
            true => Ok(()),
            false => Err(away("something else is in its place")),
        }
    }
}

#[cfg(test)]
mod tests;
