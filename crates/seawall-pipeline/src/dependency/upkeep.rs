//! The upkeep of tables with every call guarded. It has a breaker and a bulkhead of its own: that files cannot be merged
//! must not keep rows from being committed.

use std::sync::Arc;

use async_trait::async_trait;
use seawall_base::error::Result;
use seawall_base::upkeep::{
    Compaction, CompactionTargets, Deletion, RowsToDelete, TableFiles, Vacuum, VacuumOptions, VersionInfo,
};
use seawall_base::{Permit, Span, TableName, TableUpkeep, TableVersion};

use super::call::{Dependency, Idempotent, Operation};

const COMPACT: Operation = operation("compact", 10);
const DELETE_ROWS: Operation = operation("delete_rows", 60);
const RESTORE_VERSION: Operation = operation("restore_version", 10);
const VACUUM: Operation = operation("vacuum", 60);
const VERSIONS: Operation = operation("versions", 1);
const FILES: Operation = operation("files", 1);

/// Upkeep takes as long as a table is large: only a missing answer is a failure, not a late one.
const fn operation(name: &'static str, deadline_min: i64) -> Operation {
    let deadline = Span(deadline_min * Span::MINUTE.0);
    Operation { name, deadline, slow_after: deadline }
}

/// Guards upkeep. What changes a table is not repeated: the next look does what is left to do.
pub(crate) struct GuardedUpkeep {
    pub(crate) inner: Arc<dyn TableUpkeep>,
    pub(crate) upkeep: Arc<Dependency>,
}

#[async_trait]
impl TableUpkeep for GuardedUpkeep {
    async fn compact(&self, permit: &Permit, table: &TableName, targets: &CompactionTargets) -> Result<Compaction> {
        self.upkeep.once(COMPACT, self.inner.compact(permit, table, targets)).await
    }

    async fn delete_rows(&self, permit: &Permit, table: &TableName, rows: &RowsToDelete) -> Result<Deletion> {
        self.upkeep.once(DELETE_ROWS, self.inner.delete_rows(permit, table, rows)).await
    }

    async fn restore_version(
        &self,
        permit: &Permit,
        table: &TableName,
        to: TableVersion,
        expected: TableVersion,
    ) -> Result<TableVersion> {
        self.upkeep.once(RESTORE_VERSION, self.inner.restore_version(permit, table, to, expected)).await
    }

    async fn vacuum(&self, permit: &Permit, table: &TableName, options: &VacuumOptions) -> Result<Vacuum> {
        self.upkeep.once(VACUUM, self.inner.vacuum(permit, table, options)).await
    }

    async fn versions(&self, table: &TableName) -> Result<Vec<VersionInfo>> {
        let call = || self.inner.versions(table);
        self.upkeep.repeat(VERSIONS, Idempotent::because("it reads", call)).await
    }

    async fn files(&self, table: &TableName, targets: &CompactionTargets) -> Result<TableFiles> {
        let call = || self.inner.files(table, targets);
        self.upkeep.repeat(FILES, Idempotent::because("it reads", call)).await
    }
}
