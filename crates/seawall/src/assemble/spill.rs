//! Where statements and training sets put what does not fit into memory: a folder within the data folder, because it holds
//! rows in the clear. Each process has one of its own, locked while it lives, and removed with it; what a killed process
//! left is removed by the next command, so an erasure does not wait for the system to clear its temporary files.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use seawall_base::error::Result;
use seawall_base::{Error, ErrorKind};
use tracing::{info, warn};

/// The folder of all processes within the data folder.
pub const SPILL: &str = "spill";
/// Processes that may use one data folder at once.
const PROCESSES_MAX: u32 = 10_000;

/// The folder of this process.
#[derive(Debug)]
pub struct SpillFolder {
    path: PathBuf,
    _lock: File,
}

impl SpillFolder {
    /// Clears what killed processes left and makes a folder.
    ///
    /// # Errors
    /// SW0878 when the data folder cannot be written.
    pub fn open(data: &Path) -> Result<SpillFolder> {
        let root = data.join(SPILL);
        sweep(&root).and_then(|()| SpillFolder::make(&root)).map_err(|e| {
            let message = format!("a folder for what does not fit into memory cannot be made in {}", root.display());
            Error::new(ErrorKind::Unavailable, "SW0878", message)
                .because(e)
                .hint("check space and rights of the data folder")
        })
    }

    fn make(root: &Path) -> io::Result<SpillFolder> {
        DirBuilder::new().recursive(true).mode(0o700).create(root)?;
        for number in 0..PROCESSES_MAX {
            let path = root.join(number.to_string());
            match DirBuilder::new().mode(0o700).create(&path) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                made => made?,
            }
            // Between its making and its locking another process may have taken it for a leftover: then there is a next.
            let Ok(lock) = File::open(&path) else { continue };
            if lock.try_lock().is_ok() && path.is_dir() {
                return Ok(SpillFolder { path, _lock: lock });
            }
        }
        Err(io::Error::other("too many processes use this data folder"))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SpillFolder {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

fn sweep(root: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    for entry in entries {
        let path = entry?.path();
        let Ok(lock) = File::open(&path) else { continue };
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(e)) => return Err(e),
            Ok(()) => {
                info!(folder = %path.display(), "what an interrupted process did not hold in memory is removed");
                remove(&path);
            }
        }
    }
    Ok(())
}

fn remove(path: &Path) {
    match fs::remove_dir_all(path) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(error) => warn!(folder = %path.display(), %error, "a folder of spilled rows cannot be removed"),
    }
}
