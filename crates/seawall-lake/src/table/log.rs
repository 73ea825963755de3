//! Reads a Delta log into what a version of a table is: its schema, its files, its cut.
//!
//! Seawall reads the log itself, because three silent losses hide there: an empty commit file makes its rows vanish
//! without an error, the path of a file may lead out of the table, and the `txn` actions, which make appends exactly
//! once, cannot be listed through delta-rs. A log is listed once; afterwards the next commit is simply asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::json::WriterBuilder;
use arrow::json::writer::LineDelimited;
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use seawall_base::error::{Error, ErrorKind, Result};
use seawall_base::hash::Hash;
use seawall_base::{Cut, Offset};
use serde_json::Value;

use super::action::{self, Line, Metadata, Protocol};
use super::{path, schema};
use crate::codes;

/// A data file that a version shows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DataFile {
    /// Decoded path, relative to the table's root and confined to it.
    pub path: String,
    /// The path as the log spells it.
    pub logged_path: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Rows; absent when another program wrote the file without statistics.
    pub rows: Option<u64>,
    /// Content hash; absent when another program wrote the file.
    pub hash: Option<Hash>,
    /// When its writer says it was written, in milliseconds since 1970.
    pub written_ms: i64,
}

/// What a version of a table is.
#[derive(Debug, Clone)]
pub(crate) struct TableState {
    pub version: u64,
    pub schema: SchemaRef,
    pub metadata: Metadata,
    pub protocol: Protocol,
    /// The files by path.
    pub files: BTreeMap<String, Arc<DataFile>>,
    /// Newest version per application id.
    pub txns: BTreeMap<String, i64>,
}

impl TableState {
    /// The cut: the ends that the `txn` actions of Seawall's partitions say.
    pub(crate) fn cut(&self) -> Cut {
        let ends = self.txns.iter().filter_map(|(app_id, version)| {
            Some((action::partition_of(app_id)?, Offset(u64::try_from(*version).ok()?)))
        });
        ends.collect()
    }
}

/// Where a table's log lies.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    store: Arc<dyn ObjectStore>,
    table: String,
    root: Path,
}

/// The files of a log by version.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub commits: BTreeMap<u64, u64>,
    pub checkpoints: BTreeMap<u64, u64>,
}

impl Listing {
    /// Paths of the files in the table's folder.
    pub(super) fn files(&self) -> Vec<String> {
        let commits = self.commits.keys().map(|version| format!("_delta_log/{version:020}.json"));
        let checkpoints = self.checkpoints.keys().map(|version| format!("_delta_log/{version:020}.checkpoint.parquet"));
        commits.chain(checkpoints).collect()
    }
}

impl Log {
    /// The log of `table` below the folder `root` of `store`.
    pub(crate) fn new(store: Arc<dyn ObjectStore>, table: &str, root: Path) -> Self {
        Log { store, table: table.to_owned(), root }
    }

    /// Where commit `version` lies.
    pub(crate) fn commit_path(&self, version: u64) -> Path {
        self.root.clone().join("_delta_log").join(format!("{version:020}.json"))
    }

    /// The table.
    pub(super) fn table(&self) -> &str {
        &self.table
    }

    /// Where the checkpoint of `version` lies.
    pub(super) fn checkpoint_path(&self, version: u64) -> Path {
        self.root.clone().join("_delta_log").join(format!("{version:020}.checkpoint.parquet"))
    }

    /// Where the hint to the newest checkpoint lies.
    pub(super) fn pointer_path(&self) -> Path {
        self.root.clone().join("_delta_log").join("_last_checkpoint")
    }

    /// The newest state, from the log alone; none when there is no log.
    pub(crate) async fn load(&self) -> Result<Option<TableState>> {
        let listing = self.list().await?;
        let Some(newest) = listing.commits.keys().chain(listing.checkpoints.keys()).max().copied() else {
            return Ok(None);
        };
        self.check_commits(&listing, newest)?;
        self.fold(&listing, newest).await.map(Some)
    }

    /// The state at `version`; none when the log does not reach it.
    pub(crate) async fn load_at(&self, version: u64) -> Result<Option<TableState>> {
        let listing = self.list().await?;
        if !listing.commits.contains_key(&version) && !listing.checkpoints.contains_key(&version) {
            return Ok(None);
        }
        self.check_commits(&listing, version)?;
        self.fold(&listing, version).await.map(Some)
    }

    /// `state` brought up to the newest commit. Asks for one commit after the other; no listing.
    pub(crate) async fn advance(&self, state: &Arc<TableState>) -> Result<Arc<TableState>> {
        let mut newest = Arc::clone(state);
        while let Some(lines) = self.commit(newest.version + 1).await? {
            let mut fold = Fold::of(Arc::unwrap_or_clone(newest));
            let version = fold.version + 1;
            fold.apply(&self.table, version, lines)?;
            newest = Arc::new(fold.finish(&self.table)?);
        }
        Ok(newest)
    }

    /// The actions of a commit; none when there is no such commit.
    pub(crate) async fn commit(&self, version: u64) -> Result<Option<Vec<Line>>> {
        let path = self.commit_path(version);
        match self.read(&path).await? {
            None => Ok(None),
            Some(bytes) => action::parse_commit(&self.table, path.filename().unwrap_or_default(), &bytes).map(Some),
        }
    }

    /// The versions whose commit files exist, ascending.
    pub(crate) async fn versions(&self) -> Result<Vec<u64>> {
        Ok(self.list().await?.commits.into_keys().collect())
    }

    pub(super) async fn read(&self, path: &Path) -> Result<Option<Bytes>> {
        let unreadable = |e| storage(&format!("reading {path} of table {}", self.table), e);
        match self.store.get(path).await {
            Ok(found) => Ok(Some(found.bytes().await.map_err(unreadable)?)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(unreadable(e)),
        }
    }

    pub(super) async fn list(&self) -> Result<Listing> {
        let folder = self.root.clone().join("_delta_log");
        let found: Vec<object_store::ObjectMeta> = match self.store.list(Some(&folder)).try_collect().await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => Vec::new(),
            Err(e) => return Err(storage(&format!("listing the log of table {}", self.table), e)),
        };
        let mut listing = Listing::default();
        for object in found {
            let name = object.location.filename().unwrap_or_default();
            let Some((digits, kind)) = name.split_once('.') else { continue };
            let Some(version) = (digits.len() == 20).then(|| digits.parse().ok()).flatten() else { continue };
            match kind {
                "json" => listing.commits.insert(version, object.size),
                "checkpoint.parquet" => listing.checkpoints.insert(version, object.size),
                _ => None,
            };
        }
        Ok(listing)
    }

    /// An empty commit file is a loss that no reader would notice, so every one up to `newest` is looked at.
    fn check_commits(&self, listing: &Listing, newest: u64) -> Result<()> {
        let name = |version: &u64| format!("{version:020}.json");
        if let Some((version, _)) = listing.commits.range(..=newest).find(|(_, bytes)| **bytes == 0) {
            return Err(action::broken(&self.table, &name(version), "is empty"));
        }
        let mut previous: Option<u64> = None;
        for version in listing.commits.range(..=newest).map(|(version, _)| *version) {
            if previous.is_some_and(|previous| previous + 1 != version) {
                return Err(action::broken(&self.table, &name(&(version - 1)), "is missing"));
            }
            previous = Some(version);
        }
        Ok(())
    }

    /// Folds the log up to `version`, from the newest checkpoint that can be read.
    async fn fold(&self, listing: &Listing, version: u64) -> Result<TableState> {
        for (checkpoint, bytes) in listing.checkpoints.range(..=version).rev() {
            let base = if *bytes == 0 { None } else { self.checkpoint(*checkpoint).await? };
            let reaches = (checkpoint + 1..=version).all(|commit| listing.commits.contains_key(&commit));
            if let (Some(base), true) = (base, reaches) {
                return self.fold_commits(base, *checkpoint + 1, version).await;
            }
            tracing::warn!(table = %self.table, checkpoint, "checkpoint cannot be used, reading older parts of the log");
        }
        if !listing.commits.contains_key(&0) {
            return Err(action::broken(&self.table, "00000000000000000000.json", "is missing"));
        }
        self.fold_commits(Fold::default(), 0, version).await
    }

    async fn fold_commits(&self, mut fold: Fold, from: u64, until: u64) -> Result<TableState> {
        for version in from..=until {
            let lines = self.commit(version).await?;
            let lines = lines.ok_or_else(|| action::broken(&self.table, &format!("{version:020}.json"), "vanished"))?;
            fold.apply(&self.table, version, lines)?;
        }
        fold.finish(&self.table)
    }

    /// The fold that a checkpoint holds; none when it cannot be read, as long as the commits can tell the same.
    async fn checkpoint(&self, version: u64) -> Result<Option<Fold>> {
        let path = self.checkpoint_path(version);
        let Some(bytes) = self.read(&path).await? else { return Ok(None) };
        let lines = match checkpoint_lines(bytes) {
            Ok(lines) => lines,
            Err(e) => {
                tracing::warn!(table = %self.table, version, error = %e, "checkpoint is damaged");
                return Ok(None);
            }
        };
        let mut fold = Fold::default();
        let name = path.filename().unwrap_or_default();
        fold.apply(&self.table, version, action::parse_lines(&self.table, name, &lines)?)?;
        Ok(fold.is_complete().then_some(fold))
    }
}

/// A checkpoint is a Parquet file with a column per kind of action. Written as JSON lines, it is read like a commit.
pub(super) fn checkpoint_lines(bytes: Bytes) -> Result<Vec<u8>> {
    let unreadable =
        |e: parquet::errors::ParquetError| Error::corrupt(codes::LOG_BROKEN, "reading a checkpoint").because(e);
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(unreadable)?;
    let wanted = ["protocol", "metaData", "txn", "add"];
    let columns = builder.parquet_schema().root_schema().get_fields().iter().enumerate();
    let roots: Vec<usize> = columns.filter(|(_, field)| wanted.contains(&field.name())).map(|(at, _)| at).collect();
    let mask = parquet::arrow::ProjectionMask::roots(builder.parquet_schema(), roots);
    let mut lines = Vec::new();
    for batch in builder.with_projection(mask).build().map_err(unreadable)? {
        let mut writer = WriterBuilder::new().build::<_, LineDelimited>(&mut lines);
        writer.write(&batch?)?;
        writer.finish()?;
    }
    Ok(lines)
}

/// A state in the making.
#[derive(Debug, Default)]
struct Fold {
    version: u64,
    metadata: Option<Metadata>,
    protocol: Option<Protocol>,
    schema: Option<SchemaRef>,
    files: BTreeMap<String, Arc<DataFile>>,
    txns: BTreeMap<String, i64>,
}

impl Fold {
    fn of(state: TableState) -> Self {
        let TableState { version, schema, metadata, protocol, files, txns } = state;
        Fold { version, metadata: Some(metadata), protocol: Some(protocol), schema: Some(schema), files, txns }
    }

    fn is_complete(&self) -> bool {
        self.metadata.is_some() && self.protocol.is_some()
    }

    fn apply(&mut self, table: &str, version: u64, lines: Vec<Line>) -> Result<()> {
        self.version = version;
        for line in lines {
            if let Some(protocol) = line.protocol {
                protocol.check(table)?;
                self.protocol = Some(protocol);
            }
            if let Some(metadata) = line.meta_data {
                if !metadata.partition_columns.is_empty() {
                    return Err(unsupported(table, "partition columns"));
                }
                self.schema = Some(schema::from_delta(&metadata.schema_string)?);
                self.metadata = Some(metadata);
            }
            if let Some(txn) = line.txn {
                self.txns.insert(txn.app_id, txn.version);
            }
            if let Some(remove) = line.remove {
                self.files.remove(&path::confine(table, &remove.path)?);
            }
            if let Some(add) = line.add {
                let file = data_file(table, add)?;
                self.files.insert(file.path.clone(), Arc::new(file));
            }
        }
        Ok(())
    }

    fn finish(self, table: &str) -> Result<TableState> {
        let Fold { version, metadata, protocol, schema, files, txns } = self;
        let (Some(metadata), Some(protocol), Some(schema)) = (metadata, protocol, schema) else {
            return Err(action::broken(table, "00000000000000000000.json", "has no protocol or no metadata"));
        };
        Ok(TableState { version, schema, metadata, protocol, files, txns })
    }
}

pub(super) fn data_file(table: &str, add: action::Add) -> Result<DataFile> {
    if add.deletion_vector.is_some() {
        return Err(unsupported(table, "deletion vectors"));
    }
    let path = path::confine(table, &add.path)?;
    let bytes = u64::try_from(add.size).map_err(|e| broken_add(table, &path, "size").because(e))?;
    let stats: Option<Value> = match add.stats.as_deref() {
        Some(text) if !text.is_empty() => {
            Some(serde_json::from_str(text).map_err(|e| broken_add(table, &path, "statistics").because(e))?)
        }
        _ => None,
    };
    let rows = stats.as_ref().and_then(|stats| stats.get("numRecords")).and_then(Value::as_u64);
    let tag = add.tags.as_ref().and_then(|tags| tags.get(action::FILE_HASH)).and_then(Option::as_deref);
    let hash = tag.map(str::parse).transpose().map_err(|e: Error| broken_add(table, &path, "hash").because(e))?;
    Ok(DataFile { path, logged_path: add.path, bytes, rows, hash, written_ms: add.modification_time })
}

fn broken_add(table: &str, path: &str, what: &str) -> Error {
    Error::corrupt(codes::LOG_BROKEN, format!("the log of table {table} gives the file {path} an unreadable {what}"))
}

fn unsupported(table: &str, what: &str) -> Error {
    Error::corrupt(codes::TABLE_FEATURES, format!("table {table} has {what}, which Seawall's tables never do"))
        .hint("another program changed this table: restore it, or copy its rows into a new dataset")
}

/// The error for a failed storage operation.
pub(crate) fn storage(doing: &str, error: object_store::Error) -> Error {
    let kind = match error {
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => ErrorKind::Denied,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, codes::STORAGE, format!("{doing} failed")).because(error)
}

#[cfg(test)]
mod tests;
