//! Durable files: the only place of the workspace that syncs.
//!
//! A file is durable when its bytes and the folder entry that names it have been synced. Every function here returns
//! only then. After a failed sync the caller must treat the file as lost and must not retry: the kernel may have
//! dropped the dirty pages and would report success.

#![allow(clippy::disallowed_methods, reason = "the one place that syncs")]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::sabotage::{self, Bug};

mod segment;
#[cfg(test)]
mod tests;

pub use segment::create_zeroed;

/// Creates `folder` and its missing parents, each synced into its parent.
pub fn create_dir_all(folder: &Path) -> io::Result<()> {
    let mut missing: Vec<PathBuf> = Vec::new();
    let mut at = folder;
    while !at.as_os_str().is_empty() && !at.exists() {
        missing.push(at.to_owned());
        match at.parent() {
            Some(parent) => at = parent,
            None => break,
        }
    }
    for folder in missing.iter().rev() {
        match fs::create_dir(folder) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
        sync_parent(folder)?;
    }
    Ok(())
}

/// Replaces the content of `path` atomically: after a crash the file has the old or the new content.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_atomic_pieces(path, [Cow::Borrowed(bytes)])
}

/// Like [`write_atomic`], with content that comes piece by piece and so is never in memory twice.
pub fn write_atomic_pieces<'p>(path: &Path, pieces: impl IntoIterator<Item = Cow<'p, [u8]>>) -> io::Result<()> {
    let mut name = path.file_name().ok_or_else(|| io::Error::other("a file needs a name"))?.to_owned();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    let mut file = BufWriter::new(File::create(&temporary)?);
    for piece in pieces {
        file.write_all(&piece)?;
    }
    let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    sync_parent(path)
}

/// Like [`write_atomic`], for files that several processes write: each writes a whole file, and the last one's stays. A
/// leftover `path#N` of a crash is harmless.
pub fn write_shared(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (mut file, temporary) = create_temporary(path)?;
    let renamed = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&temporary, path));
    if renamed.is_err() {
        // What failed first is what the caller must hear of.
        let _ = fs::remove_file(&temporary);
    }
    renamed?;
    sync_parent(path)
}

/// Creates `path` with `bytes`, or fails with `AlreadyExists`: of several writers exactly one succeeds. The name appears
/// only once the bytes are synced, so a crash leaves the whole file or none. A leftover `path#N` of a crash is harmless.
pub fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (mut file, temporary) = create_temporary(path)?;
    let linked = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::hard_link(&temporary, path));
    let removed = fs::remove_file(&temporary);
    linked.and(removed)?;
    sync_parent(path)
}

/// Syncs `from`, then gives it the name `to`, replacing what had it.
pub fn rename_synced(from: &Path, to: &Path) -> io::Result<()> {
    File::open(from)?.sync_all()?;
    fs::rename(from, to)?;
    sync_parent(to)
}

/// A new file `path#N`, with the first `N` that is free.
fn create_temporary(path: &Path) -> io::Result<(File, PathBuf)> {
    let name = path.file_name().ok_or_else(|| io::Error::other("a file needs a name"))?;
    for number in 0..u32::MAX {
        let mut temporary_name = name.to_owned();
        temporary_name.push(format!("#{number}"));
        let temporary = path.with_file_name(temporary_name);
        match File::create_new(&temporary) {
            Ok(file) => return Ok((file, temporary)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
    Err(io::Error::other("no free name for a temporary file"))
}

/// Syncs the bytes and metadata of an existing file, then its folder entry.
pub fn sync_file_and_parent(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()?;
    sync_parent(path)
}

/// Syncs the bytes of an open file whose length and name are durable already.
pub fn sync_data(file: &File) -> io::Result<()> {
    file.sync_data()
}

/// Syncs the bytes and the length of an open file.
pub fn sync_all(file: &File) -> io::Result<()> {
    file.sync_all()
}

/// Syncs the folder that names `path`, so that a creation, rename or removal survives a power cut.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    if sabotage::on(Bug::SkipDirectoryFsync) {
        return Ok(());
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(parent)?.sync_all()
}

/// Removes a file durably; a missing one is no error.
pub fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => sync_parent(path),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
    }
}

/// Removes files durably, with one sync per folder; says of each whether it was there. A power cut before the return may
/// bring back any of them.
pub fn remove_files(paths: &[PathBuf]) -> io::Result<Vec<bool>> {
    let mut folders: BTreeMap<Option<&Path>, &Path> = BTreeMap::new();
    let mut were_there = Vec::with_capacity(paths.len());
    for path in paths {
        match fs::remove_file(path) {
            Ok(()) => {
                folders.insert(path.parent(), path);
                were_there.push(true);
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => were_there.push(false),
            Err(e) => return Err(e),
        }
    }
    folders.values().try_for_each(|path| sync_parent(path))?;
    Ok(were_there)
}

/// Removes a folder and all that is in it durably: no power cut brings it back.
pub fn remove_dir_all(folder: &Path) -> io::Result<()> {
    fs::remove_dir_all(folder)?;
    sync_parent(folder)
}

/// Replaces the content of `path` atomically, readable and writable by its owner only, and then overwrites with zeros what
/// the file held before, where it lay: what was taken out must not be found on the disk. A file system that copies on
/// write, or a disk that moves blocks, may keep it all the same.
pub fn replace_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let before = match File::options().write(true).open(path) {
        Ok(before) => Some(before),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(e),
    };
    let mut name = path.file_name().ok_or_else(|| io::Error::other("a file needs a name"))?.to_owned();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    sync_parent(path)?;
    match before {
        Some(mut before) => {
            let length = before.metadata()?.len();
            io::copy(&mut io::Read::take(io::repeat(0), length), &mut before)?;
            before.sync_all()
        }
        None => Ok(()),
    }
}

/// Creates `path` with `bytes`, readable and writable by its owner only; an existing file is left as it is. Of several
/// callers one creates the file, and whoever returns afterwards finds it whole.
pub fn create_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut name = path.file_name().ok_or_else(|| io::Error::other("a file needs a name"))?.to_owned();
    // Private to this process and call, so that two creators never write into one temporary file.
    static CALLS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let call = CALLS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    name.push(format!(".{}-{call}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    // Unlike a rename, a link never replaces a file that is there already.
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary)?;
    match linked {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
        Ok(()) | Err(_) => sync_parent(path),
    }
}
