//! The errors of state checkpoints, each with its code; the texts for people are in `docs/errors/SW04.md`.

use std::path::Path;

use seawall_base::{Error, ErrorKind};

/// A file operation failed.
pub(super) fn io(doing: &str, path: &Path, cause: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "SW0430", format!("could not {doing} {}", path.display()))
        .because(cause)
        .hint("the checkpoint before stays valid; the next one tries again")
}

/// A checkpoint is not what was written.
pub(super) fn damaged(path: &Path, what: impl AsRef<str>) -> Error {
    Error::corrupt("SW0431", format!("the checkpoint file {} is damaged: {}", path.display(), what.as_ref()))
        .hint("nothing needs to be done: the checkpoint before is used, or the state is read from the log again")
}

/// A checkpoint of another program version.
pub(super) fn other_version(path: &Path, found: Option<u64>) -> Error {
    let found = found.map_or_else(|| "no".to_owned(), |found| found.to_string());
    let message = format!("the checkpoint file {} has format version {found}, which is not known here", path.display());
    Error::corrupt("SW0432", message).hint("use the program that wrote it")
}
