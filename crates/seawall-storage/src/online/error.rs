//! The errors of the online store, each with its code; the texts for people are in `docs/errors/SW04.md`.

use std::path::Path;

use seawall_base::{Cut, Error, ErrorKind, Instant, VersionedName};

/// A view that is not kept.
pub(super) fn unknown_view(view: &VersionedName) -> Error {
    Error::not_found("SW0420", format!("the online store does not keep feature view {view}"))
        .hint("apply the project, or ask for a view that `seawall features` lists")
}

/// A view kept under the same name and version with another definition.
pub(super) fn other_definition(view: &VersionedName) -> Error {
    let message = format!("the online store keeps feature view {view} with another definition");
    Error::new(ErrorKind::Conflict, "SW0421", message)
        .hint("a changed definition gets a new version by `apply`; the state of a version never changes its meaning")
}

/// A view whose backfill has not caught up.
pub(super) fn behind(view: &VersionedName, cut: &Cut, store: &Cut) -> Error {
    let message = format!("feature view {view} has its rows only up to cut {cut}, the store is at {store}");
    Error::new(ErrorKind::Unavailable, "SW0422", message).hint("wait until its backfill has caught up")
}

/// Views of one request that have seen different rows.
pub(super) fn apart(one: &VersionedName, other: &VersionedName) -> Error {
    let message = format!("feature views {one} and {other} have received different rows");
    Error::new(ErrorKind::Unavailable, "SW0422", message).hint("wait until the store has caught up with both")
}

/// A view that somebody fills already.
pub(super) fn being_filled(view: &VersionedName) -> Error {
    let message = format!("feature view {view} is being filled with rows of the past already");
    Error::new(ErrorKind::Conflict, "SW0433", message).hint("wait until that is done; `/v1/status` tells how far it is")
}

/// A request whose parts do not fit together.
pub(super) fn bad_request(what: impl Into<String>) -> Error {
    Error::invalid("SW0423", what)
}

/// A decision time of the past.
pub(super) fn too_old(at: Instant, known: Instant) -> Error {
    let message = format!("the decision time {at} lies more than {} before {known}", super::DECISION_LAG_MAX);
    Error::invalid("SW0424", message)
        .hint("online features are those of the present; build a training set for the past")
}

/// Rows without a usable identity, or beyond the cut they came with.
pub(super) fn bad_rows(what: impl Into<String>) -> Error {
    Error::invalid("SW0425", what).hint("hand in rows in the table's schema, and the cut that covers them")
}

/// A checkpoint that is not what was written.
pub(super) fn damaged(path: &Path, what: impl AsRef<str>) -> Error {
    Error::corrupt("SW0426", format!("the checkpoint file {} is damaged: {}", path.display(), what.as_ref()))
        .in_file(path, None)
        .hint(
            "delete the checkpoint folder and restart: the state is rebuilt from the tables and the log, nothing is lost",
        )
}

/// A file operation of a checkpoint failed.
pub(super) fn io(doing: &str, path: &Path, cause: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "SW0427", format!("could not {doing} {}", path.display()))
        .because(cause)
        .hint("the checkpoint before stays valid; the next one tries again")
}

/// A checkpoint of another program version.
pub(super) fn other_version(path: &Path, found: u32) -> Error {
    let message = format!("the checkpoint file {} has format version {found}, which is not known here", path.display());
    Error::corrupt("SW0428", message)
        .in_file(path, None)
        .hint("use the program that wrote it, or delete the checkpoint folder: the state is then rebuilt")
}
