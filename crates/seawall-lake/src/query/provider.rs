//! Tables as DataFusion sees them: opened only when a statement names them, at the newest or a pinned version.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, MemTable, MemorySchemaProvider, SchemaProvider, Session, TableProvider};
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
use seawall_base::error::ErrorKind;
use seawall_base::table::{TableName, TableSnapshot, TableStore, TableVersion};

use super::session;
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

/// The catalog of one query.
#[derive(Debug)]
pub(crate) struct QueryCatalog {
    tables: Arc<QueryTables>,
    system: Arc<MemorySchemaProvider>,
}

impl QueryCatalog {
    /// Tables for the holder of `permit`; `names` are what `show tables` lists.
    pub(crate) fn new(
        tables: Tables,
        permit: Permit,
        versions: BTreeMap<String, TableVersion>,
        names: Vec<String>,
        system: Vec<(String, arrow::record_batch::RecordBatch)>,
    ) -> Result<Self> {
        let own = MemorySchemaProvider::new();
        for (name, rows) in system {
            let table = MemTable::try_new(rows.schema(), vec![vec![rows]])?;
            own.register_table(name, Arc::new(table))?;
        }
        let tables = Arc::new(QueryTables { tables, permit, versions, names });
        Ok(QueryCatalog { tables, system: Arc::new(own) })
    }
}

impl CatalogProvider for QueryCatalog {
    fn schema_names(&self) -> Vec<String> {
        vec![session::TABLES.to_owned(), session::SYSTEM.to_owned()]
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        match name {
            session::TABLES => Some(Arc::<QueryTables>::clone(&self.tables)),
            session::SYSTEM => Some(Arc::<MemorySchemaProvider>::clone(&self.system)),
            _ => None,
        }
    }
}

#[derive(Debug)]
struct QueryTables {
    tables: Tables,
    permit: Permit,
    versions: BTreeMap<String, TableVersion>,
    names: Vec<String>,
}

#[async_trait]
impl SchemaProvider for QueryTables {
    fn table_names(&self) -> Vec<String> {
        self.names.clone()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let Ok(table) = TableName::new(name) else { return Ok(None) };
        let version = self.versions.get(name).copied();
        match open(&self.tables, &self.permit, &table, version).await {
            Ok(provider) => Ok(Some(provider)),
            Err(e) if e.kind() == ErrorKind::NotFound && version.is_none() => Ok(None),
            Err(e) => Err(DataFusionError::External(Box::new(e))),
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }
}

async fn open(
    tables: &Tables,
    permit: &Permit,
    table: &TableName,
    version: Option<TableVersion>,
) -> seawall_base::error::Result<Arc<dyn TableProvider>> {
    Ok(match tables {
        Tables::Delta(store) => {
            let state = store.state(table, version).await?;
            Arc::new(FilesTable { store: Arc::clone(store), name: table.clone(), state })
        }
        Tables::Other(store) => {
            let snapshot = store.snapshot(table, version).await?;
            Arc::new(RowsTable { store: Arc::clone(store), permit: permit.clone(), name: table.clone(), snapshot })
        }
    })
}

/// One version of a Delta table: its Parquet files, read with pruning by their statistics.
#[derive(Debug)]
struct FilesTable {
    store: Arc<DeltaStore>,
    name: TableName,
    state: Arc<TableState>,
}

impl FilesTable {
    fn file(&self, data_file: &DataFile) -> Result<PartitionedFile> {
        let location = self.store.data_file_location(&self.name, data_file);
        let location = location.map_err(|e| DataFusionError::External(Box::new(e)))?;
        let file = PartitionedFile::new(location.to_string(), data_file.bytes);
        Ok(file.with_statistics(Arc::new(statistics(&self.state.schema, data_file.rows, data_file.bytes))))
    }

    /// The files dealt out to `groups` groups, large ones first, so that the groups are about equal.
    fn groups(&self, groups: usize) -> Result<Vec<FileGroup>> {
        let mut by_size: Vec<&Arc<DataFile>> = self.state.files.values().collect();
        by_size.sort_by_key(|data_file| std::cmp::Reverse(data_file.bytes));
        let count = groups.clamp(1, by_size.len().max(1));
        let mut dealt: Vec<Vec<PartitionedFile>> = vec![Vec::new(); count];
        for (at, data_file) in by_size.into_iter().enumerate() {
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
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), source)
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

/// One version of a table in any store.
struct RowsTable {
    store: Arc<dyn TableStore>,
    permit: Permit,
    name: TableName,
    snapshot: TableSnapshot,
}

impl std::fmt::Debug for RowsTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RowsTable({} at {})", self.name, self.snapshot.version.0)
    }
}

#[async_trait]
impl TableProvider for RowsTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.snapshot.schema)
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
        let batches = self.store.scan(&self.permit, &self.name, self.snapshot.version, None).await;
        let batches = batches.map_err(|e| DataFusionError::External(Box::new(e)))?;
        let exec = MemorySourceConfig::try_new_exec(&[batches], self.schema(), projection.cloned())?;
        Ok(exec)
    }
}
