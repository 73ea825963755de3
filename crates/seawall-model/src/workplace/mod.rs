//! Folders that trainings work in: made for one training, locked while it runs, and gone afterwards.
//!
//! A process that is killed leaves its folders behind without their locks. Whoever opens the workplace next stops what
//! still runs in them and removes them.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use seawall_base::{Error, ErrorKind, Result};

use crate::group;

#[cfg(test)]
mod tests;

const PREFIX: &str = "training-";

/// Trainings that may run at once on one workplace, over all processes.
const FOLDERS_MAX: u32 = 10_000;

/// A folder of such folders.
#[derive(Debug)]
pub struct Workplace {
    root: PathBuf,
}

impl Workplace {
    /// Opens the workplace and clears what killed processes left. The folder is made when it is first needed.
    pub fn open(root: &Path) -> Result<Self> {
        // Trainers run in another folder, so what they are told must not depend on where Seawall was started.
        let root = std::path::absolute(root).map_err(|e| failed("the work folder has no path", e))?;
        sweep(&root).map_err(|e| failed("the work folder cannot be cleared", e))?;
        Ok(Workplace { root })
    }

    /// Makes a new folder.
    pub fn folder(&self) -> Result<Folder> {
        fs::create_dir_all(&self.root).map_err(|e| failed("the work folder cannot be made", e))?;
        for number in 0..FOLDERS_MAX {
            let path = self.root.join(format!("{PREFIX}{number}"));
            match fs::create_dir(&path) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(e) => return Err(failed("a folder for the training cannot be made", e)),
                Ok(()) => {}
            }
            // Between its making and its locking a sweep may have taken it for a leftover: then there is another.
            let Ok(lock) = File::open(&path) else { continue };
            if lock.try_lock().is_ok() && path.is_dir() {
                return Ok(Folder { path, _lock: lock });
            }
        }
        Err(Error::new(ErrorKind::Unavailable, "SW1027", "too many trainings run at once").hint("try again later"))
    }
}

/// A folder that is removed with this value.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// The environment entry that marks whatever a training in `folder` started.
pub fn mark(folder: &Path) -> String {
    format!("SEAWALL_JOB={}", job(folder).display())
}

/// The file that tells a trainer what to do.
pub fn job(folder: &Path) -> PathBuf {
    folder.join("job.json")
}

fn sweep(root: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    for entry in entries {
        let path = entry?.path();
        let ours = path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(PREFIX));
        if !ours || !path.is_dir() {
            continue;
        }
        let Ok(lock) = File::open(&path) else { continue };
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(e)) => return Err(e),
            Ok(()) => {
                tracing::info!(folder = %path.display(), "the folder of an interrupted training is removed");
                group::kill_marked(&mark(&path));
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
        Err(error) => tracing::warn!(folder = %path.display(), %error, "the folder of a training cannot be removed"),
    }
}

fn failed(what: &str, cause: io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "SW1027", what).because(cause).hint("check space and rights of the data folder")
}
