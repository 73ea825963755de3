//! [`TableUpkeep`] of Delta tables; what each operation does is in `rewrite` and `vacuum`.

use async_trait::async_trait;
use seawall_base::TableUpkeep;
use seawall_base::upkeep::{
    Compaction, CompactionTargets, Deletion, RowsToDelete, TableFiles, Vacuum, VacuumOptions, VersionInfo,
};

use super::commit::version_info;
use super::*;
use crate::table::compaction;

#[async_trait]
impl TableUpkeep for DeltaStore {
    async fn compact(&self, permit: &Permit, table: &TableName, targets: &CompactionTargets) -> Result<Compaction> {
        self.compact_once(permit, table, targets).await
    }

    async fn delete_rows(&self, permit: &Permit, table: &TableName, rows: &RowsToDelete) -> Result<Deletion> {
        self.delete_selected(permit, table, rows).await
    }

    async fn restore_version(
        &self,
        permit: &Permit,
        table: &TableName,
        to: TableVersion,
        expected: TableVersion,
    ) -> Result<TableVersion> {
        self.restore_rows(permit, table, to, expected).await
    }

    async fn vacuum(&self, permit: &Permit, table: &TableName, options: &VacuumOptions) -> Result<Vacuum> {
        self.vacuum_table(permit, table, options).await
    }

    async fn versions(&self, table: &TableName) -> Result<Vec<VersionInfo>> {
        let handle = self.handle(table)?;
        let mut versions = Vec::new();
        for version in handle.log.versions().await? {
            if let Some(lines) = handle.log.commit(version).await? {
                versions.push(version_info(version, &lines));
            }
        }
        if versions.is_empty() { Err(unknown_table(table)) } else { Ok(versions) }
    }

    async fn files(&self, table: &TableName, targets: &CompactionTargets) -> Result<TableFiles> {
        let handle = self.handle(table)?;
        let state = self.newest(&handle).await?;
        Ok(TableFiles {
            version: TableVersion(state.version),
            rows: self.row_count(table).await?,
            files: state.files.len(),
            bytes: state.files.values().map(|file| file.bytes).sum(),
            to_merge: compaction::waiting(&state, targets),
            lease: handle.leases.held_for().await?,
        })
    }
}
