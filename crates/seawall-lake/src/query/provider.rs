//! Tables as DataFusion sees them: opened only when a statement names them, at the newest or a pinned version.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{DataFusionError, Result, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use seawall_base::Permit;
use seawall_base::table::{TableName, TableStore, TableVersion};

use super::catalog::Scope;
use super::governed::PolicyTable;
use crate::policy;
use crate::table::{DataFile, DeltaStore, TableState};

/// Where the engine reads tables.
#[derive(Clone)]
pub(crate) enum Tables {
    /// Files on disk, scanned in parallel with pruning.
    Delta(Arc<DeltaStore>),
    /// Any other store; a scan takes its rows into memory.
    Other(Arc<dyn TableStore>),
}

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Tables::Delta(_) => "Delta",
            Tables::Other(_) => "Other",
        })
    }
}

impl Tables {
    /// The store's port.
    pub(crate) fn store(&self) -> &dyn TableStore {
        match self {
            Tables::Delta(store) => store.as_ref(),
            Tables::Other(store) => store.as_ref(),
        }
    }
}

/// The table at its newest or another version, as the scope's permit shows it. `NotFound` when there is no such table.
pub(super) async fn open(
    scope: &Scope,
    table: &TableName,
    version: Option<TableVersion>,
) -> seawall_base::error::Result<Arc<dyn TableProvider>> {
    match &scope.tables {
        Tables::Delta(store) => {
            let state = store.state(table, version).await?;
            let policy = policy::of(store.as_ref(), &scope.permit, table, &state.schema, scope.salt).await?;
            let files = |order| FilesTable { store: Arc::clone(store), name: table.clone(), state, order };
            Ok(match policy {
                None => Arc::new(files(FileOrder::BySize)),
                Some(policy) => Arc::new(PolicyTable::new(Arc::new(files(FileOrder::ByAge)), policy)),
            })
        }
        Tables::Other(store) => {
            let snapshot = store.snapshot(table, version).await?;
            let policy = policy::of(store.as_ref(), &scope.permit, table, &snapshot.schema, scope.salt).await?;
            let schema = match policy {
                None => snapshot.schema,
                Some(policy) => Arc::clone(policy.visible()),
            };
            let (store, permit) = (Arc::clone(store), scope.permit.clone());
            Ok(Arc::new(RowsTable { store, permit, name: table.clone(), version: snapshot.version, schema }))
        }
    }
}

/// The order in which files are dealt out to parallel parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileOrder {
    /// Large ones first, so that the parts are about equal.
    BySize,
    /// Old ones first: what hidden rows do to the size of a file must not move the rows that are shown.
    ByAge,
}

/// One version of a Delta table: its Parquet files, read with pruning by their statistics.
#[derive(Debug)]
struct FilesTable {
    store: Arc<DeltaStore>,
    name: TableName,
    state: Arc<TableState>,
    order: FileOrder,
}

impl FilesTable {
    fn file(&self, data_file: &DataFile) -> Result<PartitionedFile> {
        let location = self.store.data_file_location(&self.name, &data_file.path);
        let location = location.map_err(|e| DataFusionError::External(Box::new(e)))?;
        let file = PartitionedFile::new(location.to_string(), data_file.bytes);
        Ok(file.with_statistics(Arc::new(statistics(&self.state.schema, data_file.rows, data_file.bytes))))
    }

    /// The files dealt out to `groups` groups.
    fn groups(&self, groups: usize) -> Result<Vec<FileGroup>> {
        let mut files: Vec<&Arc<DataFile>> = self.state.files.values().collect();
        match self.order {
            FileOrder::BySize => files.sort_by_key(|data_file| std::cmp::Reverse(data_file.bytes)),
            FileOrder::ByAge => files.sort_by_key(|data_file| data_file.written_ms()),
        }
        let count = groups.clamp(1, files.len().max(1));
        let mut dealt: Vec<Vec<PartitionedFile>> = vec![Vec::new(); count];
        for (at, data_file) in files.into_iter().enumerate() {
            dealt[at % count].push(self.file(data_file)?);
        }
        Ok(dealt.into_iter().map(FileGroup::new).collect())
    }
}

#[async_trait]
impl TableProvider for FilesTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.state.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // Filters reach the Parquet reader by the physical optimiser, which also keeps them above the scan.
        let source = Arc::new(ParquetSource::new(Arc::clone(&self.state.schema)));
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::parse(self.store.home().url())?, source)
            .with_file_groups(self.groups(state.config().target_partitions())?)
            .with_statistics(self.statistics().unwrap_or_else(|| Statistics::new_unknown(&self.state.schema)))
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    fn statistics(&self) -> Option<Statistics> {
        let rows = self.state.files.values().map(|data_file| data_file.rows).sum();
        let bytes = self.state.files.values().map(|data_file| data_file.bytes).sum();
        Some(statistics(&self.state.schema, rows, bytes))
    }
}

/// Exact row counts when the log tells them; nothing about columns.
fn statistics(schema: &SchemaRef, rows: Option<u64>, bytes: u64) -> Statistics {
    let mut statistics = Statistics::new_unknown(schema);
    let exact = |count: u64| usize::try_from(count).map_or(Precision::Absent, Precision::Exact);
    statistics.num_rows = rows.map_or(Precision::Absent, exact);
    statistics.total_byte_size = exact(bytes).to_inexact();
    statistics
}

/// One version of a table in any store, whose scan applies the permit's grant itself.
struct RowsTable {
    store: Arc<dyn TableStore>,
    permit: Permit,
    name: TableName,
    version: TableVersion,
    /// The columns that the permit shows.
    schema: SchemaRef,
}

impl std::fmt::Debug for RowsTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RowsTable({} at {})", self.name, self.version.0)
    }
}

#[async_trait]
impl TableProvider for RowsTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let names: Vec<String> = self.schema.fields().iter().map(|field| field.name().clone()).collect();
        let batches = self.store.scan(&self.permit, &self.name, self.version, Some(&names)).await;
        let batches = batches.map_err(|e| DataFusionError::External(Box::new(e)))?;
        let exec = MemorySourceConfig::try_new_exec(&[batches], self.schema(), projection.cloned())?;
        Ok(exec)
    }
}
