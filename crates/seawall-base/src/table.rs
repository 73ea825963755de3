//! The table port: versioned, append-only tables with exactly-once appends.

use std::fmt;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::hash::Hash;
use crate::ids::{Cut, VersionedName};
use crate::permit::Permit;

/// How the names of training sets' tables end.
const TRAINING_SET: &str = "__training_set";

/// Name of a table: lower-case letters, digits and underscores, at most 120 bytes, so that it is a safe folder name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct TableName(String);

impl TableName {
    /// Checks `name`.
    pub fn new(name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        let starts_well = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
        let reads_well = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if !starts_well || !reads_well || name.len() > 120 {
            return Err(Error::invalid("SW0110", format!("{name:?} cannot name a table"))
                .hint("use lower-case letters, digits and underscores, beginning with a letter"));
        }
        Ok(TableName(name))
    }

    /// The accepted rows of a dataset.
    pub fn dataset(name: &str) -> Result<Self> {
        TableName::new(name)
    }

    /// The rows of a dataset that were stopped at the gate.
    pub fn quarantine(dataset: &str) -> Result<Self> {
        TableName::new(format!("{dataset}__quarantine"))
    }

    /// The vectors served for a training set.
    pub fn served(training_set: &str) -> Result<Self> {
        TableName::new(format!("{training_set}__served"))
    }

    /// The vectors served by a version of a feature service.
    pub fn served_by(service: &VersionedName) -> Result<Self> {
        TableName::new(format!("{}__v{}__served", service.name, service.version))
    }

    /// The rows of a training set.
    pub fn training_set(name: &str) -> Result<Self> {
        TableName::new(format!("{name}{TRAINING_SET}"))
    }

    /// The rows that a training set's own contract stopped when it was built last.
    pub fn stopped(training_set: &str) -> Result<Self> {
        TableName::new(format!("{training_set}__stopped{TRAINING_SET}"))
    }

    /// Whether it names the rows of a training set, or those that its contract stopped.
    pub fn is_training_set(&self) -> bool {
        self.0.ends_with(TRAINING_SET)
    }

    /// The predictions of a model.
    pub fn predictions(model: &str) -> Result<Self> {
        TableName::new(format!("{model}__predictions"))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Version of a table; every commit makes the next one. Version 0 is the empty table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TableVersion(pub u64);

/// A Parquet file that already lies inside the table's folder, synced, but that no version shows yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedFile {
    /// Path relative to the table's root.
    pub path: String,
    /// Rows in the file.
    pub rows: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// Content hash of the file.
    pub hash: Hash,
}

/// One commit: rows (in memory or staged) and the cut that the table covers afterwards.
#[derive(Debug, Clone)]
pub struct Append {
    /// Rows in the table's schema.
    pub batches: Vec<RecordBatch>,
    /// Files staged earlier in this table.
    pub staged: Vec<StagedFile>,
    /// The table's cut before this commit, as the writer believes it.
    pub from: Cut,
    /// The cut after it: one Delta `txn` per partition whose end moved.
    pub until: Cut,
}

/// What a version of a table is.
#[derive(Debug, Clone)]
pub struct TableSnapshot {
    /// The version.
    pub version: TableVersion,
    /// Its schema.
    pub schema: SchemaRef,
    /// The rows it shows.
    pub rows: u64,
    /// Its cut: end offset per partition.
    pub cut: Cut,
    /// The files that its commit added, for the ledger; empty when the version is known from a checkpoint only.
    pub added: Vec<StagedFile>,
}

/// Versioned tables.
///
/// Contract, checked by `seawall_lake::table::conformance` on every implementation:
/// - `append` is idempotent: when the newest version's cut covers `until`, nothing is written and that version is
///   returned; when it differs from `from` otherwise, the answer is `Conflict` and nothing is written.
/// - a version, once returned, never changes, and shows all rows of every commit up to it exactly once.
/// - `ensure` adds nullable columns to an existing table, lets columns be null, and gives decimals more digits before the
///   point and nested values further fields; any other difference is refused as `Invalid`. What was a value stays the same
///   value, and older versions stay as they are.
#[async_trait]
pub trait TableStore: Send + Sync {
    /// Makes sure that tables are where they were, as far as anybody knows: `known` ones were committed before. The first
    /// call of whoever starts. Fails with `Unavailable` (SW1308) when one is missing; a store outside of the process then
    /// refuses every other call until this succeeds, and leaves alone what is there instead. With no names any place will
    /// do.
    async fn expect(&self, known: &[TableName]) -> Result<()>;

    /// Creates the table, or evolves it compatibly to `schema`. `personal` columns get no statistics.
    async fn ensure(
        &self,
        permit: &Permit,
        table: &TableName,
        schema: SchemaRef,
        personal: &[String],
    ) -> Result<TableVersion>;

    /// Commits rows exactly once.
    async fn append(&self, permit: &Permit, table: &TableName, append: Append) -> Result<TableVersion>;

    /// Like `append`, but the new version shows only these rows. Older versions stay readable. Takes the table's
    /// exclusive lease, because it removes files from the newest version.
    async fn replace(&self, permit: &Permit, table: &TableName, append: Append) -> Result<TableVersion>;

    /// Writes rows as a synced Parquet file inside the table's folder, invisible until an append names it.
    async fn stage(&self, permit: &Permit, table: &TableName, batches: Vec<RecordBatch>) -> Result<StagedFile>;

    /// Reads the rows of a staged file, whether a version shows it already or not; fails when its hash differs.
    async fn read_staged(&self, permit: &Permit, table: &TableName, file: &StagedFile) -> Result<Vec<RecordBatch>>;

    /// The version asked for, or the newest; `NotFound` when there is no such table or version.
    async fn snapshot(&self, table: &TableName, version: Option<TableVersion>) -> Result<TableSnapshot>;

    /// The rows of a version, with the named columns only when given; order unspecified.
    async fn scan(
        &self,
        permit: &Permit,
        table: &TableName,
        version: TableVersion,
        columns: Option<&[String]>,
    ) -> Result<Vec<RecordBatch>>;

    /// The rows of one portion of a version, as [`TableStore::scan`] gives all of them; none beyond the last portion.
    /// Portions are numbered from 0 and are the same in every call. Together they are all rows, each once, so whoever
    /// reads them one after the other need not have all in memory.
    async fn scan_portion(
        &self,
        permit: &Permit,
        table: &TableName,
        version: TableVersion,
        columns: Option<&[String]>,
        portion: usize,
    ) -> Result<Option<Vec<RecordBatch>>> {
        if portion > 0 {
            return Ok(None);
        }
        self.scan(permit, table, version, columns).await.map(Some)
    }

    /// Every table, ordered by name.
    async fn tables(&self) -> Result<Vec<TableName>>;
}
