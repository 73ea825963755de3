//! The table store with every call guarded.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use seawall_base::error::Result;
use seawall_base::{Append, Permit, Span, StagedFile, TableName, TableSnapshot, TableStore, TableVersion};

use super::call::{Dependency, Idempotent, Operation};

const EXPECT: Operation = operation("expect", 30, 5);
const SNAPSHOT: Operation = operation("snapshot", 30, 5);
const TABLES: Operation = operation("tables", 30, 5);
const ENSURE: Operation = operation("ensure", 60, 10);
const APPEND: Operation = operation("append", 120, 30);
const REPLACE: Operation = operation("replace", 600, 300);
const STAGE: Operation = operation("stage", 600, 300);
const SCAN: Operation = operation("scan", 600, 300);
const READ_STAGED: Operation = operation("read_staged", 600, 300);

const fn operation(name: &'static str, deadline_s: i64, slow_s: i64) -> Operation {
    Operation { name, deadline: Span(deadline_s * Span::SECOND.0), slow_after: Span(slow_s * Span::SECOND.0) }
}

const READS: &str = "it reads";
const CUTS: &str = "a commit whose cut the table covers writes nothing";

/// Guards a table store.
pub(crate) struct GuardedTables {
    pub(crate) inner: Arc<dyn TableStore>,
    pub(crate) reads: Arc<Dependency>,
    pub(crate) writes: Arc<Dependency>,
}

#[async_trait]
impl TableStore for GuardedTables {
    async fn expect(&self, known: &[TableName]) -> Result<()> {
        self.reads.repeat(EXPECT, Idempotent::because(READS, || self.inner.expect(known))).await
    }

    async fn ensure(
        &self,
        permit: &Permit,
        table: &TableName,
        schema: SchemaRef,
        personal: &[String],
    ) -> Result<TableVersion> {
        let call = || self.inner.ensure(permit, table, schema.clone(), personal);
        self.writes.repeat(ENSURE, Idempotent::because("a table that has the schema stays as it is", call)).await
    }

    async fn append(&self, permit: &Permit, table: &TableName, append: Append) -> Result<TableVersion> {
        let call = || self.inner.append(permit, table, append.clone());
        self.writes.repeat(APPEND, Idempotent::because(CUTS, call)).await
    }

    async fn replace(&self, permit: &Permit, table: &TableName, append: Append) -> Result<TableVersion> {
        let call = || self.inner.replace(permit, table, append.clone());
        self.writes.repeat(REPLACE, Idempotent::because(CUTS, call)).await
    }

    async fn stage(&self, permit: &Permit, table: &TableName, batches: Vec<RecordBatch>) -> Result<StagedFile> {
        let call = || self.inner.stage(permit, table, batches.clone());
        let reason = "no version shows a staged file, and one with the same content has the same name";
        self.writes.repeat(STAGE, Idempotent::because(reason, call)).await
    }

    async fn read_staged(&self, permit: &Permit, table: &TableName, file: &StagedFile) -> Result<Vec<RecordBatch>> {
        let call = || self.inner.read_staged(permit, table, file);
        self.reads.repeat(READ_STAGED, Idempotent::because(READS, call)).await
    }

    async fn snapshot(&self, table: &TableName, version: Option<TableVersion>) -> Result<TableSnapshot> {
        let call = || self.inner.snapshot(table, version);
        self.reads.repeat(SNAPSHOT, Idempotent::because(READS, call)).await
    }

    async fn scan(
        &self,
        permit: &Permit,
        table: &TableName,
        version: TableVersion,
        columns: Option<&[String]>,
    ) -> Result<Vec<RecordBatch>> {
        let call = || self.inner.scan(permit, table, version, columns);
        self.reads.repeat(SCAN, Idempotent::because(READS, call)).await
    }

    async fn scan_portion(
        &self,
        permit: &Permit,
        table: &TableName,
        version: TableVersion,
        columns: Option<&[String]>,
        portion: usize,
    ) -> Result<Option<Vec<RecordBatch>>> {
        let call = || self.inner.scan_portion(permit, table, version, columns, portion);
        self.reads.repeat(SCAN, Idempotent::because(READS, call)).await
    }

    async fn tables(&self) -> Result<Vec<TableName>> {
        self.reads.repeat(TABLES, Idempotent::because(READS, || self.inner.tables())).await
    }
}
