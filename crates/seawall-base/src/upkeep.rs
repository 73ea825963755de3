//! The upkeep port: what keeps tables small and fast, and what takes rows or old versions out of them.
//!
//! Everything here removes files from a version, or from the disk. So each operation holds the table's exclusive lease
//! for as long as it runs, is one commit decided on one version, and keeps what rows are known by: `_partition`, `_lsn`,
//! and the cut. Appends go on meanwhile.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use arrow::array::BooleanArray;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use serde::Serialize;

use crate::error::Result;
use crate::permit::Permit;
use crate::table::{TableName, TableVersion};
use crate::time::{Instant, Span};

/// When files count as too small, and how much one run may do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CompactionTargets {
    /// Files of at least half this size are left alone; merged files stay below it.
    pub file_bytes: u64,
    /// Files of about the same size are merged once there are this many of them.
    pub similar_files: usize,
    /// Bytes that one run reads at most.
    pub run_bytes_max: u64,
}

impl Default for CompactionTargets {
    fn default() -> Self {
        CompactionTargets { file_bytes: 64 << 20, similar_files: 8, run_bytes_max: 64 << 20 }
    }
}

/// What a compaction did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Compaction {
    /// The newest version afterwards.
    pub version: TableVersion,
    /// Files that were merged; 0 when there was nothing to do.
    pub merged_files: usize,
    /// Files that took their place.
    pub written_files: usize,
    /// Rows in them.
    pub rows: u64,
    /// Whether the targets ask for another run.
    pub more: bool,
}

/// True for each row of a batch that is selected. Called with every column of the table.
pub type SelectRows = dyn Fn(&RecordBatch) -> Result<BooleanArray> + Send + Sync;

/// Rows to delete: a decision per row, and why.
#[derive(Clone)]
pub struct RowsToDelete {
    /// Why, for the commit; without any value of a row.
    pub reason: String,
    /// Selects the rows that are to go.
    pub select: Arc<SelectRows>,
}

impl fmt::Debug for RowsToDelete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowsToDelete").field("reason", &self.reason).finish_non_exhaustive()
    }
}

/// What a deletion did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deletion {
    /// The newest version afterwards; the one before when no row was selected.
    pub version: TableVersion,
    /// Rows that are gone from it.
    pub rows: u64,
    /// Files that were written anew without them, or left out.
    pub files: usize,
}

/// Which versions a vacuum keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VacuumOptions {
    /// Versions that something is bound to: they stay readable whatever their age.
    pub pinned: BTreeSet<TableVersion>,
    /// Versions that were the newest within this time stay readable, and so do files written within it.
    pub keep: Span,
    /// Whether staged files that no version ever showed go too. Only when no load is under way: the log of events may
    /// hold a frame that names one.
    pub staged: StagedFiles,
    /// Only say what would go.
    pub dry_run: bool,
}

/// What happens to staged files that no version shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StagedFiles {
    /// They stay.
    Keep,
    /// They go when they are old enough.
    Remove,
}

/// What a vacuum did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Vacuum {
    /// The oldest version from which on all stay readable.
    pub readable_from: TableVersion,
    /// Older versions that stay readable, because they are pinned.
    pub pinned: Vec<TableVersion>,
    /// Data files that went.
    pub data_files: usize,
    /// Their size.
    pub data_bytes: u64,
    /// Files of the table's log that went.
    pub log_files: usize,
    /// Staged files that no version shows and that stayed.
    pub staged_kept: usize,
}

/// One commit of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VersionInfo {
    /// The version that the commit made.
    pub version: TableVersion,
    /// When, by the writer's clock.
    pub committed_at: Instant,
    /// What was done: `CREATE TABLE`, `WRITE`, `OPTIMIZE`, `DELETE`, `RESTORE`, `CHANGE COLUMN`.
    pub operation: String,
    /// The permit that allowed it, when Seawall wrote it.
    pub permit_id: Option<String>,
    /// Ends that this commit moved.
    pub moved: crate::ids::Cut,
    /// Files that it added.
    pub added_files: usize,
    /// Files that it took out.
    pub removed_files: usize,
}

/// The files of a table's newest version, for `status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableFiles {
    /// The newest version.
    pub version: TableVersion,
    /// Rows that it shows.
    pub rows: u64,
    /// Its files.
    pub files: usize,
    /// Their size.
    pub bytes: u64,
    /// Files that the targets would merge now.
    pub to_merge: usize,
    /// Who holds the table's lease, and for what.
    pub lease: Option<String>,
}

/// Upkeep of tables.
///
/// Contract, checked by `seawall_lake::table::conformance` on every implementation:
/// - no operation changes a row that it does not delete, its identity, or the table's cut, and none changes an older
///   version; only `vacuum` makes versions unreadable, and then says so (`NotFound`, SW0517).
/// - while one operation runs on a table, another one is refused with `Conflict` (SW0515), in every process.
/// - an operation whose expected version is not the newest is refused with `Conflict` (SW0516) and changes nothing.
#[async_trait]
pub trait TableUpkeep: Send + Sync {
    /// Merges small files, as many as one run may; the rows stay. Does nothing when the targets are met.
    async fn compact(&self, permit: &Permit, table: &TableName, targets: &CompactionTargets) -> Result<Compaction>;

    /// Makes a version without the selected rows, also of those that are appended meanwhile. Older versions keep them
    /// until they are vacuumed.
    async fn delete_rows(&self, permit: &Permit, table: &TableName, rows: &RowsToDelete) -> Result<Deletion>;

    /// Makes a version that shows the rows of version `to`. The cut stays, so that no row that was taken out is taken in
    /// again. Refused when the newest version is not `expected`.
    async fn restore_version(
        &self,
        permit: &Permit,
        table: &TableName,
        to: TableVersion,
        expected: TableVersion,
    ) -> Result<TableVersion>;

    /// Gives up the versions that need not be kept, and the files that only they show.
    async fn vacuum(&self, permit: &Permit, table: &TableName, options: &VacuumOptions) -> Result<Vacuum>;

    /// The commits that are still told, oldest first.
    async fn versions(&self, table: &TableName) -> Result<Vec<VersionInfo>>;

    /// The files of the newest version, measured by `targets`.
    async fn files(&self, table: &TableName, targets: &CompactionTargets) -> Result<TableFiles>;
}
