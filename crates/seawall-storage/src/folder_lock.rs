//! The lock that keeps a second process out of a folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use seawall_base::error::Result;
use seawall_base::{Error, ErrorKind, durable};

/// Locks `folder` exclusively by its file `lock`, creating both when missing. The lock lasts as long as the file is
/// open, and ends with the process however that ends.
pub(crate) fn lock(folder: &Path) -> Result<File> {
    let path = folder.join("lock");
    let failed = |e: std::io::Error| {
        Error::new(ErrorKind::Unavailable, "SW0401", format!("could not lock {}", path.display())).because(e)
    };
    durable::create_dir_all(folder).map_err(failed)?;
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::Error(cause)) => Err(failed(cause)),
        Err(TryLockError::WouldBlock) => {
            let message = format!("the folder {} is in use by another process", folder.display());
            Err(Error::new(ErrorKind::Unavailable, "SW0400", message)
                .hint("one process owns a folder: stop the other one, or give this one a folder of its own"))
        }
    }
}
