//! Bugs planted on purpose, to prove that the harnesses of `cargo xtask torture` can fail.
//!
//! A bug is planted where the real code decides, as one condition, so that it does what a slip of the pen would do. A
//! binary that is shipped has none of them: without debug assertions [`on`] is constantly false, and the compiler removes
//! what was planted. With them the conditions are there, and nothing in this crate makes one true: only a `seawall` that
//! is built with its feature `sabotage` calls [`plant`], with what the environment variable `SEAWALL_SABOTAGE` names. So
//! such a binary shares every other crate with the one that the tests run on.

/// A planted bug. Its name is the one of the variant in snake case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bug {
    /// Answer appends without syncing their group.
    AckBeforeFsync,
    /// Append rows to a table whether its cut covers them or not.
    SkipTxnCheck,
    /// Take a new name in a folder for durable without syncing the folder.
    SkipDirectoryFsync,
    /// Read an emptied commit file of a table as one without actions.
    AcceptEmptyCommit,
    /// Drop an append, and answer it, when others wait already.
    DropOnFull,
    /// Forget at a restart which keys a dataset holds.
    SkipDedupAtRecovery,
    /// Take every payload of the log for what was written.
    IgnoreChecksum,
    /// Take the last frame of a log for torn although it is whole.
    TruncateWholeTail,
    /// Open a log without a new epoch.
    ReuseEpoch,
    /// Commit a table before its data file is written.
    CommitBeforeData,
    /// Go on after a failed sync as if it had succeeded.
    SwallowPoison,
    /// Count quarantined rows, and keep none of them.
    LoseQuarantine,
    /// Stamp rows with the wall clock, whatever was stamped before.
    ArrivalsBackwards,
    /// Send an append that has not been answered yet once more.
    RetryAppend,
    /// Give entries of the log up once one of those who need them does not any more.
    TrimTooEarly,
}

/// The bug of this process.
#[cfg(debug_assertions)]
static PLANTED: std::sync::OnceLock<Bug> = std::sync::OnceLock::new();

/// Gives this process a bug, once and for all.
#[cfg(debug_assertions)]
pub fn plant(bug: Bug) {
    assert!(PLANTED.set(bug).is_ok(), "a process has one planted bug at most");
}

/// Whether this process has the bug.
#[cfg(debug_assertions)]
pub fn on(bug: Bug) -> bool {
    PLANTED.get() == Some(&bug)
}

/// Whether this process has the bug: what is shipped never has.
#[cfg(not(debug_assertions))]
pub const fn on(_bug: Bug) -> bool {
    false
}
