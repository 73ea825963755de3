//! The engine ports: SQL compiled once and run per batch, and SQL over tables.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use serde::Serialize;

use crate::declare::{FeatureView, TrainingSet};
use crate::error::Result;
use crate::hash::Hash;
use crate::ids::{Cut, Dataset};
use crate::permit::Permit;
use crate::table::TableVersion;
use crate::time::Instant;

/// Which input column an output column is computed from. An output column has one edge per input column it uses.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ColumnEdge {
    /// Column of the result.
    pub output: String,
    /// Table the input column belongs to; `input` for the batch itself.
    pub table: String,
    /// Input column.
    pub column: String,
}

/// A reference table that a map may join, with the hash of the content it was read from.
#[derive(Debug, Clone)]
pub struct Reference {
    /// Name in SQL.
    pub name: String,
    /// Its rows.
    pub rows: RecordBatch,
    /// Content hash of the file it came from.
    pub hash: Hash,
}

/// SQL compiled once, run per batch. The batch is the table `input`.
#[async_trait]
pub trait BatchMap: Send + Sync {
    /// Schema of the result.
    fn schema(&self) -> SchemaRef;

    /// Applies the map to one batch. Rows keep their order when the SQL is row-wise.
    async fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch>;

    /// Column lineage, out of the logical plan.
    fn lineage(&self) -> &[ColumnEdge];

    /// Whether each row of the result is computed from one row of the batch alone, and each row of the batch gives one.
    fn is_row_wise(&self) -> bool;
}

/// SQL for a caller with a grant.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// One read-only statement.
    pub sql: String,
    /// Seawall's own tables, handed over as Arrow: name and rows, in schema `system`.
    pub system: Vec<(String, RecordBatch)>,
    /// Named queries of the project: name and SQL. Each is planned with the caller's rights.
    pub views: Vec<(String, String)>,
    /// Tables to read at a version instead of the newest.
    pub versions: Vec<(String, TableVersion)>,
    /// Rows after which the result is cut off, with [`QueryResult::truncated`] set; none when absent.
    pub rows_max: Option<usize>,
}

/// Result of a query.
#[derive(Debug, Clone)]
pub struct QueryResult {
    /// Columns of the result.
    pub schema: SchemaRef,
    /// Its rows.
    pub batches: Vec<RecordBatch>,
    /// Whether `rows_max` cut it off.
    pub truncated: bool,
}

/// What the SQL of a transform would give, without reading a row.
#[derive(Debug, Clone, PartialEq)]
pub struct TransformPlan {
    /// Columns that it makes, without those that Seawall adds to every table.
    pub schema: SchemaRef,
    /// Tables that it reads, ordered.
    pub inputs: Vec<String>,
    /// What each column is computed from.
    pub lineage: Vec<ColumnEdge>,
    /// The columns that hold values of an input's column unchanged.
    pub copies: Vec<ColumnEdge>,
    /// By input, the columns of which all of its rows that go into one row of the result have the same value; absent for
    /// all of its columns. An input whose rows may meet otherwise, being read twice or in a subquery, is not there.
    pub apart: BTreeMap<String, Option<BTreeSet<String>>>,
    /// Whether each row is made of one row of the only input, by projection and filter alone.
    pub is_row_wise: bool,
}

impl TransformPlan {
    /// Whether rows of `table` that differ in `column` never meet in one row of the result.
    pub fn keeps_apart(&self, table: &str, column: &str) -> bool {
        self.apart.get(table).is_some_and(|columns| columns.as_ref().is_none_or(|columns| columns.contains(column)))
    }
}

/// One run of a transform's SQL.
#[derive(Debug, Clone)]
pub struct TransformRead {
    /// The select.
    pub sql: String,
    /// The version of each input to read.
    pub versions: Vec<(String, TableVersion)>,
    /// Reads only these rows of the only input, of SQL that is row-wise.
    pub new: Option<NewRows>,
}

/// Rows of a table beyond a cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRows {
    /// The table.
    pub table: String,
    /// Rows before it were read already.
    pub after: Cut,
    /// The cut of the version that is read.
    pub until: Cut,
}

/// Rows on their way out of the engine.
///
/// The rows have the columns of [`TransformPlan::schema`]. Of a [`TransformRead`] with new rows they are ordered by the
/// identity of the input's row, which stands in three columns behind the others: `_partition`, `_lsn`, `_available_at`.
#[async_trait]
pub trait BatchRows: Send {
    /// The next batch; none after the last.
    async fn next(&mut self) -> Result<Option<RecordBatch>>;

    /// Rows that were read of tables so far; all of them after the last batch. Tables in memory do not tell, nor does what is
    /// answered without reading.
    fn rows_read(&self) -> u64;
}

/// A table as pinned by a fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct PinnedInput {
    /// Dataset or table.
    pub table: String,
    /// Version read.
    pub version: TableVersion,
    /// Its cut.
    pub cut: Cut,
}

/// What a training set was made of; equal fingerprints mean equal bytes of content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Fingerprint {
    /// Name of the training set.
    pub training_set: String,
    /// Inputs with versions and cuts, ordered by table.
    pub inputs: Vec<PinnedInput>,
    /// Definition hash of the training set and of each feature view: name and hash.
    pub definitions: Vec<(String, Hash)>,
    /// Revision of the project.
    pub revision: String,
    /// Version of the aggregation core.
    pub core_version: u32,
    /// When it was built: labels available before this instant were used.
    pub built_at: Instant,
    /// Rows.
    pub rows: u64,
    /// Rows with a final label.
    pub labelled: u64,
    /// Hash of schema and values in row order, independent of files and batches.
    pub content: Hash,
    /// Rows that the training set's own contract stopped; they are not among the rows.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub stopped: u64,
}

/// For most training sets, which have no contract of their own. Serde passes a reference.
fn is_zero(rows: &u64) -> bool {
    *rows == 0
}

/// How far a build is, for whoever watches it.
#[derive(Debug, Default)]
pub struct BuildProgress {
    rows: AtomicU64,
    rows_total: AtomicU64,
}

impl BuildProgress {
    /// There are so many rows of histories to be read and swept, each counted twice.
    pub fn begin(&self, rows_total: u64) {
        self.rows.store(0, Ordering::Relaxed);
        self.rows_total.store(rows_total, Ordering::Relaxed);
    }

    /// So many more were read, or swept.
    pub fn advance(&self, rows: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
    }

    /// What is done, and what there is to do; 0 of 0 before the build knows.
    pub fn rows(&self) -> (u64, u64) {
        (self.rows.load(Ordering::Relaxed), self.rows_total.load(Ordering::Relaxed))
    }
}

/// Everything that defines a training set.
#[derive(Debug, Clone)]
pub struct TrainingSetPlan {
    /// The declaration.
    pub training_set: TrainingSet,
    /// Its feature views, in declared order.
    pub views: Vec<FeatureView>,
    /// The datasets that spine, label and views read.
    pub datasets: Vec<Dataset>,
    /// Revision of the project.
    pub revision: String,
    /// Labels available before this instant are used.
    pub built_at: Instant,
    /// Versions to read; the newest where absent.
    pub versions: Vec<(String, TableVersion)>,
    /// Told how far the build is.
    pub progress: Arc<BuildProgress>,
}

/// A built training set.
#[derive(Debug, Clone)]
pub struct TrainingSetRows {
    /// Key columns of the spine, `_at` (decision time), context columns, features as `VIEW__FEATURE`, then `label` when
    /// declared. One row per spine row, ordered by (decision time, key).
    pub rows: RecordBatch,
    /// What it was made of.
    pub fingerprint: Fingerprint,
    /// What its own contract said, when it has one.
    pub gated: Option<Gated>,
}

/// What the own contract of a training set said of its rows. One that refuses them all is an error of the build.
#[derive(Debug, Clone, PartialEq)]
pub struct Gated {
    /// The rows that it stopped, in order, with a last column `_reasons`: a JSON list for each.
    pub stopped: RecordBatch,
    /// The rules that rows broke, those that only warn included.
    pub broken: Vec<BrokenRule>,
}

/// A rule of a training set's own contract that rows broke.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct BrokenRule {
    /// The rule.
    pub rule: String,
    /// The column, when it is about one.
    pub column: Option<String>,
    /// `quarantine` when it stopped the rows, `warn` when it did not.
    pub mode: String,
    /// How many rows.
    pub rows: u64,
    /// What is wrong, with the first row as example.
    pub message: String,
}

/// The SQL and training-set engine.
#[async_trait]
pub trait Engine: Send + Sync {
    /// Compiles a map over batches of schema `input`.
    async fn compile_map(&self, sql: &str, input: SchemaRef, references: &[Reference]) -> Result<Arc<dyn BatchMap>>;

    /// Runs one read-only statement for the holder of `permit`.
    async fn query(&self, permit: &Permit, query: Query) -> Result<QueryResult>;

    /// Plans the SQL of a transform over tables with these columns.
    async fn plan_transform(&self, sql: &str, tables: &[(String, SchemaRef)]) -> Result<TransformPlan>;

    /// Begins to run the SQL of a transform. Nothing is computed that nobody asks for.
    async fn transform(&self, permit: &Permit, read: &TransformRead) -> Result<Box<dyn BatchRows>>;

    /// Builds a training set by the rule of features: exactly one row per spine row.
    async fn training_set(&self, permit: &Permit, plan: &TrainingSetPlan) -> Result<TrainingSetRows>;
}
