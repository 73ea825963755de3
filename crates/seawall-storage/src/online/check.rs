//! Reading the checkpoints of an online store without owning them.
//!
//! A running server replaces checkpoints; a file that vanished because a newer manifest does not name it any more is no
//! damage. Whether a state is the right one, and not only the one that was written, is for those to say who have the
//! rows: they get its bytes.

use std::path::Path;

use seawall_base::{Checked, Cut, Damage, Error, ErrorKind, Finding, Hash, Severity, VersionedName};

use super::checkpoint::{self, Folder};

/// What every finding is about.
const OBJECT: &str = "online store";
/// How often a checkpoint is read again when it was replaced meanwhile.
const READINGS_MAX: usize = 10;

/// A view's state as the checkpoint holds it.
#[derive(Debug, Clone)]
pub struct KeptView {
    /// The view.
    pub view: VersionedName,
    /// Hash of its definition.
    pub definition: Hash,
    /// Rows within it are in the state.
    pub cut: Cut,
    /// Whether rows of the past are still awaited: then the cut does not say which rows are in the state.
    pub backfilling: bool,
    /// The encoded state.
    pub state: Vec<u8>,
}

/// Reads and checks the valid checkpoint in `folder`; the views whose states are whole. Blocks on the disk.
pub fn check(folder: &Path) -> (Checked, Vec<KeptView>) {
    for _ in 0..READINGS_MAX {
        let before = Folder::number(folder);
        let (checked, views) = read(folder);
        if checked.is_whole() || Folder::number(folder) == before {
            return (checked, views);
        }
    }
    let what = format!("the checkpoint in {} was replaced at every reading", folder.display());
    let found = Finding::new(OBJECT, Damage::Unreadable, Severity::Low, what, "it was not checked")
        .in_file(folder, None)
        .remedy("seawall verify data");
    (Checked { bytes: 0, findings: vec![found] }, Vec::new())
}

/// The manifest and the names of the state files of the valid checkpoint in `folder`, as of one moment; none when there is
/// none that can be read.
pub fn checkpoint_files(folder: &Path) -> Option<(Vec<u8>, Vec<String>)> {
    let before = Folder::number(folder)?;
    let manifest = std::fs::read(folder.join(checkpoint::MANIFEST)).ok()?;
    let names = checkpoint::files(folder).ok()?.iter().map(|file| file.name().to_owned()).collect();
    (Folder::number(folder) == Some(before)).then_some((manifest, names))
}

fn read(folder: &Path) -> (Checked, Vec<KeptView>) {
    let mut checked = Checked::default();
    let files = match checkpoint::files(folder) {
        Ok(files) => files,
        Err(found) => {
            checked.findings.push(finding(&found));
            return (checked, Vec::new());
        }
    };
    let mut views = Vec::new();
    for file in files {
        checked.bytes += file.bytes();
        match file.kept(folder) {
            Ok(view) => views.push(view),
            Err(found) => checked.findings.push(finding(&found)),
        }
    }
    (checked, views)
}

fn finding(found: &Error) -> Finding {
    let damage = match found.kind() {
        ErrorKind::Corrupt if found.message().contains("is missing") => Damage::Missing,
        ErrorKind::Corrupt => Damage::Altered,
        _ => Damage::Unreadable,
    };
    let means = "the server does not start; the state is made of rows that the log and the tables hold";
    Finding::of_error(OBJECT, damage, Severity::High, found, means)
}
