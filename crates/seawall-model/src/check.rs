//! Checking the folder of models without opening it: every file has the digest of its name.

use std::path::{Path, PathBuf};

use seawall_base::{Checked, Damage, Finding, Hash, Severity};

use crate::retire::retired;

/// Digests of the models that lie in `folder`.
pub fn kept(folder: &Path) -> std::io::Result<Vec<Hash>> {
    let mut digests = Vec::new();
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(digests),
        Err(e) => return Err(e),
    };
    for entry in entries {
        let name = entry?.file_name();
        let digest: Option<Hash> =
            name.to_str().and_then(|name| name.strip_suffix(".model")).and_then(|name| name.parse().ok());
        digests.extend(digest);
    }
    digests.sort_unstable();
    Ok(digests)
}

/// Where the model with this digest lies in `folder`.
pub fn path(folder: &Path, digest: Hash) -> PathBuf {
    folder.join(format!("{digest}.model"))
}

/// Reads one model and compares its digest. `used_by` names the versions that need it. Blocks on the disk.
pub fn check(folder: &Path, digest: Hash, used_by: &str) -> Checked {
    let path = path(folder, digest);
    let (bytes, damage, what) = match std::fs::read(&path) {
        Ok(bytes) if Hash::of(&bytes) == digest => return Checked { bytes: bytes.len() as u64, findings: Vec::new() },
        Ok(bytes) => (bytes.len() as u64, Damage::Altered, "the model's bytes do not have its digest".to_owned()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && retired(folder, digest).is_some() => {
            return Checked::default();
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => (0, Damage::Missing, "the model is missing".to_owned()),
        Err(e) => (0, Damage::Unreadable, e.to_string()),
    };
    let (severity, means) = match used_by {
        "" => (Severity::Low, "no version on record uses it".to_owned()),
        versions => (Severity::Critical, format!("it cannot score: {versions}")),
    };
    let found = Finding::new(format!("model {}", digest.short()), damage, severity, what, means).in_file(path, None);
    Checked { bytes, findings: vec![found] }
}
