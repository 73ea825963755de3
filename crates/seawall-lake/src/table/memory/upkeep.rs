//! [`TableUpkeep`] of tables in memory. There are no files to merge or to remove; versions are given up all the same.

use async_trait::async_trait;
use seawall_base::error::Result;
use seawall_base::table::{TableName, TableStore, TableVersion};
use seawall_base::upkeep::{
    Compaction, CompactionTargets, Deletion, RowsToDelete, TableFiles, Vacuum, VacuumOptions, VersionInfo,
};
use seawall_base::{Instant, Permit, Span, TableUpkeep};

use super::{MemoryStore, Told};
use crate::table::rules::{unknown_table, version_moved};
use crate::types;

#[async_trait]
impl TableUpkeep for MemoryStore {
    async fn compact(&self, _permit: &Permit, name: &TableName, _targets: &CompactionTargets) -> Result<Compaction> {
        let version = self.snapshot(name, None).await?.version;
        Ok(Compaction { version, merged_files: 0, written_files: 0, rows: 0, more: false })
    }

    async fn delete_rows(&self, permit: &Permit, name: &TableName, rows: &RowsToDelete) -> Result<Deletion> {
        let mut tables = self.tables.lock();
        let table = tables.get_mut(name).ok_or_else(|| unknown_table(name))?;
        let newest = table.newest(name)?.clone();
        let (mut kept, mut deletion) = (Vec::new(), Deletion { version: table.last(), rows: 0, files: 0 });
        for batch in &table.batches[newest.batches.clone()] {
            let whole = types::conform(batch, &newest.schema)?;
            let selected = (rows.select)(&whole)?;
            let stays: arrow::array::BooleanArray = selected.iter().map(|goes| Some(goes != Some(true))).collect();
            let left = arrow::compute::filter_record_batch(&whole, &stays)?;
            let deleted = (whole.num_rows() - left.num_rows()) as u64;
            deletion.rows += deleted;
            deletion.files += usize::from(deleted > 0);
            kept.push(left);
        }
        if deletion.rows > 0 {
            deletion.version = MemoryStore::show(table, newest, kept, Told::of("DELETE", permit));
        }
        Ok(deletion)
    }

    async fn restore_version(
        &self,
        permit: &Permit,
        name: &TableName,
        to: TableVersion,
        expected: TableVersion,
    ) -> Result<TableVersion> {
        let mut tables = self.tables.lock();
        let table = tables.get_mut(name).ok_or_else(|| unknown_table(name))?;
        if table.last() != expected {
            return Err(version_moved(name, expected, table.last().0));
        }
        let older = table.version(name, to)?.batches.clone();
        let newest = table.newest(name)?.clone();
        if table.batches[older.clone()] == table.batches[newest.batches.clone()] {
            return Ok(expected);
        }
        let batches = table.batches[older].to_vec();
        Ok(MemoryStore::show(table, newest, batches, Told::of("RESTORE", permit)))
    }

    async fn vacuum(&self, _permit: &Permit, name: &TableName, options: &VacuumOptions) -> Result<Vacuum> {
        let mut tables = self.tables.lock();
        let table = tables.get_mut(name).ok_or_else(|| unknown_table(name))?;
        // Versions of this store have no age: either all older ones are given up, or none is.
        let gives_up = options.keep == Span::ZERO;
        let readable_from = if gives_up { table.versions.len().saturating_sub(1) } else { table.readable_from };
        let is_kept =
            |version: &usize| *version < readable_from && table.version(name, TableVersion(*version as u64)).is_ok();
        let wanted = options.pinned.iter().filter_map(|version| usize::try_from(version.0).ok());
        let pinned: std::collections::BTreeSet<usize> = wanted.filter(is_kept).collect();
        if !options.dry_run {
            (table.readable_from, table.pinned) = (readable_from, pinned.clone());
        }
        Ok(Vacuum {
            readable_from: TableVersion(readable_from as u64),
            pinned: pinned.into_iter().map(|version| TableVersion(version as u64)).collect(),
            data_files: 0,
            data_bytes: 0,
            log_files: 0,
            staged_kept: table.staged.values().filter(|staged| !staged.is_shown).count(),
        })
    }

    async fn versions(&self, name: &TableName) -> Result<Vec<VersionInfo>> {
        let tables = self.tables.lock();
        let table = tables.get(name).ok_or_else(|| unknown_table(name))?;
        let told = table.versions.iter().enumerate().skip(table.readable_from).map(|(at, version)| VersionInfo {
            version: TableVersion(at as u64),
            committed_at: Instant(0),
            operation: version.operation.to_owned(),
            permit_id: Some(version.permit_id.clone()),
            moved: version.moved.clone(),
            added_files: version.added.len(),
            removed_files: 0,
        });
        Ok(told.collect())
    }

    async fn files(&self, name: &TableName, _targets: &CompactionTargets) -> Result<TableFiles> {
        let snapshot = self.snapshot(name, None).await?;
        Ok(TableFiles { version: snapshot.version, rows: snapshot.rows, files: 0, bytes: 0, to_merge: 0, lease: None })
    }
}
