//! The table port in memory, with a store that refuses, loses answers, and dies with the process.
//!
//! The model keeps what the port promises and no more: an append whose end the newest version covers writes nothing,
//! one that begins elsewhere is a conflict.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use parking_lot::Mutex;
use seawall_base::error::Result;
use seawall_base::{
    Append, Cut, Error, ErrorKind, Permit, StagedFile, TableName, TableSnapshot, TableStore, TableVersion,
};

use crate::faults::{Fate, Faults, Place};

/// Tables that outlive every process.
pub struct Tables {
    tables: Mutex<BTreeMap<TableName, Vec<Version>>>,
    faults: Arc<Faults>,
}

#[derive(Debug, Clone)]
struct Version {
    schema: SchemaRef,
    cut: Cut,
    batches: Vec<RecordBatch>,
}

impl Tables {
    /// No tables.
    pub fn new(faults: Arc<Faults>) -> Tables {
        Tables { tables: Mutex::default(), faults }
    }

    /// The rows that the newest version of a table shows.
    pub fn newest(&self, table: &TableName) -> Vec<RecordBatch> {
        let tables = self.tables.lock();
        tables.get(table).and_then(|versions| versions.last()).map(|newest| newest.batches.clone()).unwrap_or_default()
    }

    fn commit(&self, table: &TableName, append: &Append, keeps_rows: bool) -> Result<TableVersion> {
        let mut tables = self.tables.lock();
        let versions = tables.get_mut(table).ok_or_else(|| unknown(table))?;
        let newest = versions.last().ok_or_else(|| unknown(table))?;
        let number = TableVersion(versions.len() as u64);
        if newest.cut.covers(&append.until) {
            return Ok(TableVersion(number.0 - 1));
        }
        if !newest.cut.covers(&append.from) || !append.from.covers(&newest.cut) {
            let message = format!("table {table} ends at [{}], not at [{}]", newest.cut, append.from);
            return Err(Error::new(ErrorKind::Conflict, "SW0511", message));
        }
        let mut next = newest.clone();
        if !keeps_rows {
            next.batches.clear();
        }
        next.batches.extend(append.batches.iter().cloned());
        next.cut.join(&append.until);
        versions.push(next);
        Ok(number)
    }

    /// Commits as the faults want it.
    async fn commit_or_fail(&self, table: &TableName, append: &Append, keeps_rows: bool) -> Result<TableVersion> {
        let fate = self.faults.next(Place::TableAppend);
        self.faults.trace("tables", &format!("append {table} [{}] [{}] {fate:?}", append.from, append.until));
        match fate {
            Fate::Done => self.commit(table, append, keeps_rows),
            Fate::Refused => Err(away()),
            Fate::DoneAndFailed => {
                self.commit(table, append, keeps_rows)?;
                Err(away())
            }
            Fate::DiesBefore => std::future::pending().await,
            Fate::DiesAfter => {
                self.commit(table, append, keeps_rows)?;
                std::future::pending().await
            }
        }
    }

    fn version(&self, table: &TableName, version: Option<TableVersion>) -> Result<(TableVersion, Version)> {
        let tables = self.tables.lock();
        let versions = tables.get(table).ok_or_else(|| unknown(table))?;
        let number = version.map_or(versions.len() as u64 - 1, |version| version.0);
        let found = usize::try_from(number).ok().and_then(|number| versions.get(number));
        found.map(|found| (TableVersion(number), found.clone())).ok_or_else(|| unknown(table))
    }
}

fn unknown(table: &TableName) -> Error {
    Error::not_found("SW0502", format!("there is no table {table}, or no such version of it"))
}

fn away() -> Error {
    Error::new(ErrorKind::Unavailable, "SW0501", "the table store does not answer")
}

fn unstaged() -> Error {
    Error::internal("SW0501", "the simulation stages no files")
}

#[async_trait]
impl TableStore for Tables {
    async fn expect(&self, known: &[TableName]) -> Result<()> {
        let tables = self.tables.lock();
        match known.iter().find(|table| !tables.contains_key(*table)) {
            Some(table) => Err(unknown(table)),
            None => Ok(()),
        }
    }

    async fn ensure(
        &self,
        _permit: &Permit,
        table: &TableName,
        schema: SchemaRef,
        _personal: &[String],
    ) -> Result<TableVersion> {
        let mut tables = self.tables.lock();
        let versions = tables.entry(table.clone()).or_default();
        match versions.last() {
            Some(newest) if newest.schema == schema => {}
            Some(newest) => {
                let next = Version { schema, ..newest.clone() };
                versions.push(next);
            }
            None => versions.push(Version { schema, cut: Cut::empty(), batches: Vec::new() }),
        }
        Ok(TableVersion(versions.len() as u64 - 1))
    }

    async fn append(&self, _permit: &Permit, table: &TableName, append: Append) -> Result<TableVersion> {
        self.commit_or_fail(table, &append, true).await
    }

    async fn replace(&self, _permit: &Permit, table: &TableName, append: Append) -> Result<TableVersion> {
        self.commit_or_fail(table, &append, false).await
    }

    async fn stage(&self, _: &Permit, _: &TableName, _: Vec<RecordBatch>) -> Result<StagedFile> {
        Err(unstaged())
    }

    async fn read_staged(&self, _: &Permit, _: &TableName, _: &StagedFile) -> Result<Vec<RecordBatch>> {
        Err(unstaged())
    }

    async fn snapshot(&self, table: &TableName, version: Option<TableVersion>) -> Result<TableSnapshot> {
        if self.faults.next(Place::TableSnapshot) == Fate::Refused {
            return Err(away());
        }
        let (version, found) = self.version(table, version)?;
        let rows = found.batches.iter().map(|batch| batch.num_rows() as u64).sum();
        Ok(TableSnapshot { version, schema: found.schema, rows, cut: found.cut, added: Vec::new() })
    }

    async fn scan(
        &self,
        _permit: &Permit,
        table: &TableName,
        version: TableVersion,
        columns: Option<&[String]>,
    ) -> Result<Vec<RecordBatch>> {
        let (_, found) = self.version(table, Some(version))?;
        let Some(columns) = columns else { return Ok(found.batches) };
        let at: Vec<usize> = columns.iter().filter_map(|name| found.schema.index_of(name).ok()).collect();
        let mut batches = Vec::new();
        for batch in found.batches {
            batches.push(batch.project(&at)?);
        }
        Ok(batches)
    }

    async fn tables(&self) -> Result<Vec<TableName>> {
        Ok(self.tables.lock().keys().cloned().collect())
    }
}
