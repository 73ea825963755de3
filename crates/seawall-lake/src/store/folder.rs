//! The folder of tables: recognised when it is there, and missed when it is not.
//!
//! A disk that is unmounted leaves an empty folder behind, or none. Tables would then seem never to have existed, and
//! writing would begin new ones beside the old. So the folder's identity is kept once it is known to be the right one;
//! while another folder or none is in its place, tables are away, and whoever asks may ask again later.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use seawall_base::error::{Error, ErrorKind, Result};
use seawall_base::{TableName, durable};

use crate::table::LOG_FOLDER;

/// Tables are away.
pub(super) const HOME_AWAY: &str = "SW1307";
/// Links that are followed to a place that is not there.
const LINKS_MAX: usize = 16;

/// A folder of the machine.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// Of the folder that has the tables; none while none is known to have them.
    identity: Mutex<Option<Identity>>,
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
        let identity = Some(Identity::of(&std::fs::metadata(&path)?));
        Ok(Folder { path, identity: Mutex::new(identity) })
    }

    /// The folder `path`, which had tables before: when it is missing, it is away and not new.
    pub(crate) fn open_expected(path: &Path) -> Result<Folder> {
        let path = resolve(path, LINKS_MAX)?;
        let identity = std::fs::metadata(&path).ok().filter(std::fs::Metadata::is_dir);
        Ok(Folder { path, identity: Mutex::new(identity.as_ref().map(Identity::of)) })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the folder that is there now for the right one, if it has tables of these names; which one it lacks is the
    /// answer otherwise. Without names any folder is right, and it is created when missing.
    pub(crate) fn find(&self, known: &[TableName]) -> Result<Option<TableName>> {
        *self.identity.lock() = None;
        if known.is_empty() {
            durable::create_dir_all(&self.path)?;
        }
        for table in known {
            let log = self.path.join(table.as_str()).join(LOG_FOLDER);
            let has_log = match std::fs::read_dir(&log) {
                Ok(mut entries) => entries.next().transpose()?.is_some(),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => false,
                Err(e) => return Err(self.away("it cannot be read").because(e)),
            };
            if !has_log {
                return Ok(Some(table.clone()));
            }
        }
        let metadata = std::fs::metadata(&self.path).map_err(|e| self.away("it cannot be read").because(e))?;
        *self.identity.lock() = Some(Identity::of(&metadata));
        Ok(None)
    }

    /// Fails with `Unavailable` while the folder is not the one that has the tables.
    pub(crate) async fn check(&self) -> Result<()> {
        let identity = *self.identity.lock();
        let metadata = match tokio::fs::metadata(&self.path).await {
            Ok(metadata) => metadata,
            Err(error) => return Err(self.away("it cannot be read").because(error)),
        };
        match metadata.is_dir() && Some(Identity::of(&metadata)) == identity {
            true => Ok(()),
            false => Err(self.away("something else is in its place")),
        }
    }

    fn away(&self, what: &str) -> Error {
        let message = format!("the folder of tables {} is away: {what}", self.path.display());
        Error::new(ErrorKind::Unavailable, HOME_AWAY, message).hint(
            "mount the disk again, or put the folder back; what was acknowledged waits in the log and is committed then",
        )
    }
}

/// Where `path` leads, also when nothing is there: the disk that a link leads to may come later.
fn resolve(path: &Path, links: usize) -> Result<PathBuf> {
    if let Ok(found) = path.canonicalize() {
        return Ok(found);
    }
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Ok(path.canonicalize()?) };
    if links == 0 {
        return Ok(path.canonicalize()?);
    }
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    match std::fs::read_link(path) {
        Ok(target) => resolve(&folder.join(target), links - 1),
        Err(_) => Ok(resolve(folder, links)?.join(name)),
    }
}

#[cfg(test)]
mod tests;
