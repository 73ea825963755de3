//! Tables in memory: the twin of [`super::DeltaStore`] for tests and simulations.
//!
//! A version shows a range of batches. A version that shows other rows than the one before brings its own batches.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use parking_lot::Mutex;
use seawall_base::error::{Error, ErrorKind, Result};
use seawall_base::hash::Hash;
use seawall_base::table::{Append, StagedFile, TableName, TableSnapshot, TableStore, TableVersion};
use seawall_base::{Cut, Permit};

use super::rules::{
    check_append_from, check_cuts, check_replace_from, conform_all, expired_version, missing_table, project,
    unknown_table, unknown_version,
};
use super::{evolve, file, schema};
use crate::codes;
use crate::policy::{self, Salt};
use crate::types;

mod upkeep;

/// Versioned tables that live as long as the process.
#[derive(Debug, Default)]
pub struct MemoryStore {
    tables: Mutex<BTreeMap<TableName, Table>>,
}

#[derive(Debug, Default)]
struct Table {
    /// One entry per version.
    versions: Vec<Version>,
    /// Versions before this one were given up, but for those that are pinned.
    readable_from: usize,
    pinned: std::collections::BTreeSet<usize>,
    /// Rows of every version, oldest first; a version shows a range.
    batches: Vec<RecordBatch>,
    staged: BTreeMap<String, Staged>,
}

#[derive(Debug, Clone)]
struct Version {
    schema: SchemaRef,
    cut: Cut,
    batches: Range<usize>,
    operation: &'static str,
    permit_id: String,
    moved: Cut,
    added: Vec<StagedFile>,
}

/// What a new version says of itself.
struct Told<'a> {
    operation: &'static str,
    permit: &'a Permit,
    moved: Cut,
    added: Vec<StagedFile>,
}

impl<'a> Told<'a> {
    fn of(operation: &'static str, permit: &'a Permit) -> Self {
        Told { operation, permit, moved: Cut::empty(), added: Vec::new() }
    }
}

#[derive(Debug)]
struct Staged {
    batches: Vec<RecordBatch>,
    hash: Hash,
    is_shown: bool,
}

impl MemoryStore {
    /// No tables yet.
    pub fn new() -> Self {
        MemoryStore::default()
    }

    /// All rows of a version with the columns of `schema`.
    fn read(&self, name: &TableName, version: TableVersion, schema: &SchemaRef) -> Result<Vec<RecordBatch>> {
        let tables = self.tables.lock();
        let table = tables.get(name).ok_or_else(|| unknown_table(name))?;
        let shown = table.version(name, version)?;
        let mut batches = Vec::with_capacity(shown.batches.len());
        for batch in &table.batches[shown.batches.clone()] {
            let whole = types::conform(batch, &shown.schema)?;
            let at: Vec<usize> =
                schema.fields().iter().filter_map(|field| shown.schema.index_of(field.name()).ok()).collect();
            batches.push(whole.project(&at)?);
        }
        Ok(batches)
    }

    fn commit_rows(
        &self,
        permit: &Permit,
        name: &TableName,
        append: &Append,
        keeps_rows: bool,
    ) -> Result<TableVersion> {
        check_cuts(name, append)?;
        let mut tables = self.tables.lock();
        let table = tables.get_mut(name).ok_or_else(|| unknown_table(name))?;
        let newest = table.newest(name)?.clone();
        if newest.cut.covers(&append.until) {
            return Ok(TableVersion(table.versions.len() as u64 - 1));
        }
        match keeps_rows {
            true => check_append_from(name, &newest.cut, append)?,
            false => check_replace_from(name, &newest.cut, &append.from)?,
        }
        let mut added = conform_all(name, &append.batches, &newest.schema)?;
        for wanted in &append.staged {
            added.extend(table.take_staged(name, wanted)?);
        }
        for wanted in &append.staged {
            if let Some(staged) = table.staged.get_mut(&wanted.path) {
                staged.is_shown = true;
            }
        }
        let first = if keeps_rows { newest.batches.start } else { table.batches.len() };
        table.batches.extend(added);
        let moved = append.until.iter().filter(|(partition, end)| newest.cut.end(*partition) < *end).collect();
        let told = Told { moved, added: append.staged.clone(), ..Told::of("WRITE", permit) };
        let mut cut = newest.cut;
        cut.join(&append.until);
        Ok(table.push(newest.schema, cut, first, told))
    }

    /// A version that shows `batches` instead of what the newest one shows.
    fn show(table: &mut Table, newest: Version, batches: Vec<RecordBatch>, told: Told) -> TableVersion {
        let first = table.batches.len();
        table.batches.extend(batches);
        table.push(newest.schema, newest.cut, first, told)
    }
}

impl Table {
    fn last(&self) -> TableVersion {
        TableVersion((self.versions.len() as u64).saturating_sub(1))
    }

    fn newest(&self, name: &TableName) -> Result<&Version> {
        self.versions.last().ok_or_else(|| unknown_table(name))
    }

    fn version(&self, name: &TableName, version: TableVersion) -> Result<&Version> {
        let newest = (self.versions.len() as u64).saturating_sub(1);
        let at = usize::try_from(version.0).ok().filter(|at| *at < self.versions.len());
        let at = at.ok_or_else(|| unknown_version(name, version, newest))?;
        if at < self.readable_from && !self.pinned.contains(&at) {
            return Err(expired_version(name, version, self.readable_from as u64));
        }
        Ok(&self.versions[at])
    }

    /// A new version that shows the batches from `first` to the newest.
    fn push(&mut self, schema: SchemaRef, cut: Cut, first: usize, told: Told) -> TableVersion {
        let Told { operation, permit, moved, added } = told;
        let (batches, permit_id) = (first..self.batches.len(), permit.id().to_owned());
        self.versions.push(Version { schema, cut, batches, operation, permit_id, moved, added });
        TableVersion(self.versions.len() as u64 - 1)
    }

    fn staged(&self, name: &TableName, wanted: &StagedFile) -> Result<&Staged> {
        let staged = self.staged.get(&wanted.path).ok_or_else(|| {
            Error::corrupt(codes::FILE_DAMAGED, format!("the data file {} of table {name} is missing", wanted.path))
        })?;
        if staged.hash != wanted.hash {
            let message = format!("the data file {} of table {name} has other bytes than were written", wanted.path);
            return Err(Error::corrupt(codes::FILE_DAMAGED, message));
        }
        Ok(staged)
    }

    fn take_staged(&mut self, name: &TableName, wanted: &StagedFile) -> Result<Vec<RecordBatch>> {
        let staged = self.staged(name, wanted)?;
        if staged.is_shown {
            let message = format!("the staged file {} is in table {name} already", wanted.path);
            return Err(Error::new(ErrorKind::Conflict, codes::STAGED_UNUSABLE, message));
        }
        Ok(staged.batches.clone())
    }
}

#[async_trait]
impl TableStore for MemoryStore {
    async fn expect(&self, known: &[TableName]) -> Result<()> {
        let tables = self.tables.lock();
        match known.iter().find(|name| !tables.contains_key(*name)) {
            Some(missing) => Err(missing_table(missing)),
            None => Ok(()),
        }
    }

    async fn ensure(
        &self,
        permit: &Permit,
        name: &TableName,
        requested: SchemaRef,
        _personal: &[String],
    ) -> Result<TableVersion> {
        let mut tables = self.tables.lock();
        schema::to_delta(&types::normal_schema(&requested))?;
        let Some(table) = tables.get_mut(name) else {
            let created = evolve::create(name, &requested)?;
            let table = tables.entry(name.clone()).or_default();
            return Ok(table.push(created, Cut::empty(), 0, Told::of("CREATE TABLE", permit)));
        };
        let newest = table.newest(name)?.clone();
        match evolve::evolve(name, &newest.schema, &requested)? {
            // Rows are brought into the schema of a version when they are read.
            Some(evolved) => {
                Ok(table.push(evolved.schema, newest.cut, newest.batches.start, Told::of("CHANGE COLUMN", permit)))
            }
            None => Ok(TableVersion(table.versions.len() as u64 - 1)),
        }
    }

    async fn append(&self, permit: &Permit, name: &TableName, append: Append) -> Result<TableVersion> {
        self.commit_rows(permit, name, &append, true)
    }

    async fn replace(&self, permit: &Permit, name: &TableName, append: Append) -> Result<TableVersion> {
        self.commit_rows(permit, name, &append, false)
    }

    async fn stage(&self, _permit: &Permit, name: &TableName, batches: Vec<RecordBatch>) -> Result<StagedFile> {
        let mut tables = self.tables.lock();
        let table = tables.get_mut(name).ok_or_else(|| unknown_table(name))?;
        let batches = conform_all(name, &batches, &table.newest(name)?.schema)?;
        if batches.is_empty() {
            return Err(Error::invalid(codes::STAGED_UNUSABLE, format!("there are no rows to stage for table {name}")));
        }
        let encoded = file::encode(&batches, &table.newest(name)?.schema, &[])?;
        let (rows, bytes, hash) = (encoded.rows, encoded.bytes.len() as u64, encoded.hash);
        let path = format!("staged-{hash}.parquet");
        table.staged.entry(path.clone()).or_insert(Staged { batches, hash, is_shown: false });
        Ok(StagedFile { path, rows, bytes, hash })
    }

    async fn read_staged(&self, _permit: &Permit, name: &TableName, wanted: &StagedFile) -> Result<Vec<RecordBatch>> {
        let tables = self.tables.lock();
        let table = tables.get(name).ok_or_else(|| unknown_table(name))?;
        let schema = Arc::clone(&table.newest(name)?.schema);
        conform_all(name, &table.staged(name, wanted)?.batches, &schema)
    }

    async fn snapshot(&self, name: &TableName, version: Option<TableVersion>) -> Result<TableSnapshot> {
        let tables = self.tables.lock();
        let table = tables.get(name).ok_or_else(|| unknown_table(name))?;
        let version = version.unwrap_or(TableVersion((table.versions.len() as u64).saturating_sub(1)));
        let shown = table.version(name, version)?;
        let rows = table.batches[shown.batches.clone()].iter().map(|batch| batch.num_rows() as u64).sum();
        let (schema, cut, added) = (Arc::clone(&shown.schema), shown.cut.clone(), shown.added.clone());
        Ok(TableSnapshot { version, schema, rows, cut, added })
    }

    async fn scan(
        &self,
        permit: &Permit,
        name: &TableName,
        version: TableVersion,
        columns: Option<&[String]>,
    ) -> Result<Vec<RecordBatch>> {
        let stored = self.snapshot(name, Some(version)).await?.schema;
        let policy = policy::of(self, permit, name, &stored, Salt::of_scan(permit)).await?;
        let policy = policy.map(|policy| policy.rows_named(columns)).transpose()?;
        let schema = match &policy {
            None => project(name, &stored, columns)?,
            Some(rows) => Arc::clone(rows.read_schema()),
        };
        let mut batches = self.read(name, version, &schema)?;
        for batch in &mut batches {
            if let Some(rows) = &policy {
                *batch = rows.apply(batch)?;
            }
        }
        Ok(batches)
    }

    async fn tables(&self) -> Result<Vec<TableName>> {
        Ok(self.tables.lock().keys().cloned().collect())
    }
}
