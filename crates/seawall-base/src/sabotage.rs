//! Bugs planted on purpose, to prove that the harnesses of `cargo xtask torture` can fail.
//!
//! Only those harnesses build with the feature `sabotage`. Without it [`on`] is constantly false and the compiler
//! removes what was planted; with it, the environment variable `SEAWALL_SABOTAGE` names the one bug to have. A bug is
//! planted where the real code decides, as one condition, so that it does what a slip of the pen would do.

/// A planted bug. Its name is the one of the variant in snake case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "sabotage", derive(serde::Deserialize))]
#[cfg_attr(feature = "sabotage", serde(rename_all = "snake_case"))]
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
    /// Stamp the rows of a request with arrivals that decrease.
    ArrivalsBackwards,
    /// Send an append that has not been answered yet once more.
    RetryAppend,
    /// Look for known keys in earlier requests only.
    SkipBatchUniqueness,
}

/// Whether the running binary has this bug.
#[cfg(not(feature = "sabotage"))]
pub const fn on(_bug: Bug) -> bool {
    false
}

/// Whether the running binary has this bug.
#[cfg(feature = "sabotage")]
pub fn on(bug: Bug) -> bool {
    static CHOSEN: std::sync::OnceLock<Option<Bug>> = std::sync::OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| {
        let name = std::env::var("SEAWALL_SABOTAGE").ok()?;
        Some(serde_json::from_value(name.into()).expect("SEAWALL_SABOTAGE names a planted bug"))
    });
    *chosen == Some(bug)
}
