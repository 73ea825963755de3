//! The errors of the log, each with its code; the texts for people are in `docs/errors/SW04.md`.

use std::io;
use std::path::Path;

use seawall_base::{Error, ErrorKind, Partition};

/// The disk refused something while opening or reading.
pub(super) fn io(doing: &str, path: &Path, cause: io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "SW0401", format!("could not {doing} {}", path.display())).because(cause)
}

/// An earlier write or sync failed; nothing may be appended until the log was read back.
pub(super) fn poisoned(folder: &Path, reason: &str) -> Error {
    let message = format!("the log in {} takes no entries since a write failed: {reason}", folder.display());
    Error::new(ErrorKind::Unavailable, "SW0402", message)
        .hint("remove the cause (a failing disk?) and restart: opening the log finds out what is durable")
}

/// A segment contradicts itself or its neighbours.
pub(super) fn damaged(path: &Path, at: u64, what: impl AsRef<str>) -> Error {
    let message = format!("the log file {} is damaged at byte {at}: {}", path.display(), what.as_ref());
    Error::corrupt("SW0403", message).in_file(path, Some(at)).hint(
        "restore the folder from a backup; nothing was changed, and acknowledged entries may lie behind the damage",
    )
}

/// A file that must be there is not.
pub(super) fn missing(path: &Path, why: &str) -> Error {
    Error::corrupt("SW0404", format!("the log file {} is missing: {why}", path.display()))
        .in_file(path, None)
        .hint("restore the folder from a backup; a log is only whole with all of its segments and its epoch file")
}

/// The folder holds the log of another partition.
pub(super) fn other_partition(path: &Path, found: Partition, wanted: Partition) -> Error {
    let message = format!("{} belongs to partition {}, not to partition {}", path.display(), found.0, wanted.0);
    Error::invalid("SW0405", message)
        .in_file(path, Some(12))
        .hint("every partition has a folder of its own; check the configured folders")
}

/// A payload over the limit.
pub(super) fn too_large(bytes: usize) -> Error {
    let message = format!("an entry of {bytes} bytes is over the log's limit of {} bytes", super::PAYLOAD_BYTES_MAX);
    Error::invalid("SW0406", message).hint("send smaller batches, or load files in bulk")
}

/// Options outside their bounds.
pub(super) fn bad_options(what: impl Into<String>) -> Error {
    Error::invalid("SW0407", what)
}

/// The writer is gone without having said why.
pub(super) fn closed(folder: &Path) -> Error {
    Error::new(ErrorKind::Unavailable, "SW0408", format!("the log in {} is closed", folder.display()))
        .hint("restart: opening the log finds out what is durable")
}

/// An entry that was retired was asked for.
pub(super) fn retired(folder: &Path, asked: u64, first: u64) -> Error {
    let message = format!("the log in {} begins with entry {first}; entry {asked} was retired", folder.display());
    Error::not_found("SW0409", message).hint("read older rows from the tables, then resume the log behind their cut")
}

/// The log's format is of another version.
pub(super) fn other_version(path: &Path, found: u32) -> Error {
    Error::corrupt("SW0410", format!("{} has format version {found}, which this program does not know", path.display()))
        .in_file(path, Some(8))
        .hint("it was written by a newer program, or it is damaged: use the program that wrote it")
}
