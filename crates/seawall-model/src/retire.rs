//! Retiring a model: its artifact leaves the folder of kept models, and a note says when and where it went.
//!
//! The note is `<digest>.retired`, JSON with `at` (microseconds) and `to` (the file it was moved to, absent when it was
//! removed). It is written before the artifact goes, so that a missing artifact without a note is always damage.

use std::path::{Path, PathBuf};

use seawall_base::{Error, ErrorKind, Hash, Instant, Result, durable};
use serde::{Deserialize, Serialize};

use crate::check;

#[cfg(test)]
mod tests;

/// How a note's name ends.
const NOTE: &str = "retired";

/// What a note says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retired {
    /// When.
    pub at: Instant,
    /// The file that the artifact was moved to; absent when it was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<PathBuf>,
}

/// Takes a model out of `folder`: into the folder `to`, durably and with its digest checked, or away. One that is not there
/// any more stays as it is. Blocks on the disk.
pub fn retire(folder: &Path, digest: Hash, to: Option<&Path>, at: Instant) -> Result<()> {
    let from = check::path(folder, digest);
    if !from.exists() {
        return Ok(());
    }
    let to = to.map(|to| move_into(&from, digest, to)).transpose()?;
    let note = serde_json::to_vec(&Retired { at, to }).expect("a note has only text keys");
    durable::write_atomic(&note_path(folder, digest), &note).map_err(|e| failed("note", &from, e))?;
    durable::remove_file(&from).map_err(|e| failed("remove", &from, e))
}

/// When and where to a model was retired; none when it was not.
pub fn retired(folder: &Path, digest: Hash) -> Option<Retired> {
    serde_json::from_slice(&std::fs::read(note_path(folder, digest)).ok()?).ok()
}

/// Names of the notes in `folder`.
pub fn notes(folder: &Path) -> std::io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut notes = Vec::new();
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.strip_suffix(NOTE).and_then(|name| name.strip_suffix('.')).is_some() {
            notes.push(name);
        }
    }
    Ok(notes)
}

fn move_into(from: &Path, digest: Hash, to: &Path) -> Result<PathBuf> {
    let bytes = std::fs::read(from).map_err(|e| failed("read", from, e))?;
    if Hash::of(&bytes) != digest {
        return Err(Error::corrupt("SW1011", format!("the file of model {} does not have its digest", digest.short()))
            .hint("it stays where it is; `seawall verify data` tells more"));
    }
    durable::create_dir_all(to).map_err(|e| failed("create", to, e))?;
    let moved = to.join(format!("{digest}.model"));
    durable::write_atomic(&moved, &bytes).map_err(|e| failed("write", &moved, e))?;
    Ok(moved)
}

fn note_path(folder: &Path, digest: Hash) -> PathBuf {
    folder.join(format!("{digest}.{NOTE}"))
}

fn failed(what: &str, path: &Path, cause: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "SW1014", format!("could not {what} {}", path.display()))
        .because(cause)
        .hint("check space and rights of both folders")
}
