//! Reads a Delta log into what a version of a table is: its schema, its files, its cut.
//!
//! Seawall reads the log itself, because three silent losses hide there: an empty commit file makes its rows vanish
//! without an error, the path of a file may lead out of the table, and the `txn` actions, which make appends exactly
//! once, cannot be listed through delta-rs. A log is listed once; afterwards the next commit is simply asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use seawall_base::error::{Error, ErrorKind, Result};
use seawall_base::hash::Hash;
use seawall_base::sabotage::{self, Bug};
use seawall_base::{Cut, Offset};
use serde_json::Value;

use super::action::{self, Add, Line, Metadata, Protocol};
use super::{checkpoint, path, schema};
use crate::codes;
use crate::store::Home;

/// A data file that a version shows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DataFile {
    /// Decoded path, relative to the table's root and confined to it.
    pub path: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Rows; absent when another program wrote the file without statistics.
    pub rows: Option<u64>,
    /// Content hash; absent when another program wrote the file.
    pub hash: Option<Hash>,
    /// What the log says of it, with the path as the log spells it.
    pub add: Add,
}

impl DataFile {
    /// When its writer says it was written, in milliseconds since 1970.
    pub(crate) fn written_ms(&self) -> i64 {
        self.add.modification_time
    }
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
    /// The files that the commit of this version added; none when the state came from its checkpoint.
    pub added: Vec<Arc<DataFile>>,
}

impl TableState {
    /// The state after commit `version + 1` with these lines.
    pub(crate) fn after(self, table: &str, lines: Vec<Line>) -> Result<TableState> {
        let mut fold = Fold::of(self);
        let version = fold.version + 1;
        fold.apply(table, version, lines)?;
        fold.finish(table)
    }

    /// The first state of a table.
    pub(crate) fn first(table: &str, lines: Vec<Line>) -> Result<TableState> {
        let mut fold = Fold::default();
        fold.apply(table, 0, lines)?;
        fold.finish(table)
    }

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
    pub(super) home: Home,
    pub(super) table: String,
}

/// The files of a log by version.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub commits: BTreeMap<u64, ObjectMeta>,
    pub checkpoints: BTreeMap<u64, ObjectMeta>,
}

impl Listing {
    /// Paths of the files in the table's folder.
    pub(crate) fn files(&self) -> Vec<String> {
        let commits = self.commits.keys().map(|version| format!("_delta_log/{version:020}.json"));
        let checkpoints = self.checkpoints.keys().map(|version| format!("_delta_log/{}", checkpoint::name(*version)));
        commits.chain(checkpoints).collect()
    }

    /// The newest version that they tell of.
    pub(crate) fn newest(&self) -> Option<u64> {
        self.commits.keys().chain(self.checkpoints.keys()).max().copied()
    }
}

impl Log {
    /// The log of the table in the folder `table` of `home`.
    pub(crate) fn new(home: Home, table: &str) -> Self {
        Log { home, table: table.to_owned() }
    }

    /// Where a file of the log lies.
    pub(crate) fn path(&self, name: &str) -> Path {
        self.home.table(&self.table).join("_delta_log").join(name)
    }

    /// Where commit `version` lies.
    pub(crate) fn commit_path(&self, version: u64) -> Path {
        self.path(&format!("{version:020}.json"))
    }

    /// Where its bytes go.
    pub(crate) fn store(&self) -> &Arc<dyn ObjectStore> {
        self.home.store()
    }

    /// The newest state, from the log alone; none when there is no log.
    pub(crate) async fn load(&self) -> Result<Option<TableState>> {
        let listing = self.list().await?;
        let Some(newest) = listing.newest() else { return Ok(None) };
        self.check_commits(&listing, newest).await?;
        self.fold(&listing, newest).await.map(Some)
    }

    /// The state at `version`; none when the log does not reach it.
    pub(crate) async fn load_at(&self, version: u64) -> Result<Option<TableState>> {
        let listing = self.list().await?;
        if !listing.commits.contains_key(&version) && !listing.checkpoints.contains_key(&version) {
            return Ok(None);
        }
        self.check_commits(&listing, version).await?;
        self.fold(&listing, version).await.map(Some)
    }

    /// `state` brought up to the newest commit. Asks for one commit after the other; no listing.
    pub(crate) async fn advance(&self, state: &Arc<TableState>) -> Result<Arc<TableState>> {
        let mut newest = Arc::clone(state);
        while let Some(lines) = self.commit(newest.version + 1).await? {
            newest = Arc::new(Arc::unwrap_or_clone(newest).after(&self.table, lines)?);
        }
        Ok(newest)
    }

    /// The actions of a commit; none when there is no such commit.
    pub(crate) async fn commit(&self, version: u64) -> Result<Option<Vec<Line>>> {
        let path = self.commit_path(version);
        match self.read(&path).await? {
            None => Ok(None),
            Some(bytes) if bytes.is_empty() && sabotage::on(Bug::AcceptEmptyCommit) => Ok(Some(Vec::new())),
            Some(bytes) => action::parse_commit(&self.table, path.filename().unwrap_or_default(), &bytes).map(Some),
        }
    }

    /// The versions whose commit files exist, ascending.
    pub(crate) async fn versions(&self) -> Result<Vec<u64>> {
        Ok(self.list().await?.commits.into_keys().collect())
    }

    /// The bytes of a file of the log; none when it is not there.
    pub(crate) async fn read(&self, path: &Path) -> Result<Option<Bytes>> {
        let unreadable = |e| storage(&format!("reading {path} of table {}", self.table), e);
        self.home.refuse_link(&self.table, path)?;
        match self.store().get(path).await {
            Ok(found) => Ok(Some(found.bytes().await.map_err(unreadable)?)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(unreadable(e)),
        }
    }

    /// Every file of the log. Never part of a commit: its cost grows with the log.
    pub(crate) async fn list(&self) -> Result<Listing> {
        let folder = self.home.table(&self.table).join("_delta_log");
        self.home.refuse_link(&self.table, &folder)?;
        let found: Vec<ObjectMeta> = match self.store().list(Some(&folder)).try_collect().await {
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
                "json" => listing.commits.insert(version, object),
                "checkpoint.parquet" => listing.checkpoints.insert(version, object),
                _ => None,
            };
        }
        Ok(listing)
    }

    /// An empty commit file is a loss that no reader would notice, so every one up to `newest` is looked at. A gap is one
    /// too, unless a vacuum gave those versions up: a power cut may leave any of the files that it was removing.
    async fn check_commits(&self, listing: &Listing, newest: u64) -> Result<()> {
        let name = |version: &u64| format!("{version:020}.json");
        let emptied = listing.commits.range(..=newest).find(|(_, commit)| commit.size == 0);
        if let Some((version, _)) = emptied.filter(|_| !sabotage::on(Bug::AcceptEmptyCommit)) {
            return Err(action::broken(&self.table, &name(version), "is empty"));
        }
        let mut previous: Option<u64> = None;
        for version in listing.commits.range(..=newest).map(|(version, _)| *version) {
            let is_gap = previous.is_some_and(|previous| previous + 1 != version);
            if is_gap && self.horizon().await?.readable_from < version {
                return Err(action::broken(&self.table, &name(&(version - 1)), "is missing"));
            }
            previous = Some(version);
        }
        Ok(())
    }

    /// Folds the log up to `version`, from the newest checkpoint that can be read.
    async fn fold(&self, listing: &Listing, version: u64) -> Result<TableState> {
        for (checkpoint, object) in listing.checkpoints.range(..=version).rev() {
            let base = if object.size == 0 { None } else { self.checkpoint(*checkpoint).await? };
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

    /// The state that the checkpoint of `version` alone tells; none when it cannot be read.
    pub(crate) async fn checkpointed(&self, version: u64) -> Result<Option<TableState>> {
        match self.checkpoint(version).await? {
            Some(fold) => fold.finish(&self.table).map(Some),
            None => Ok(None),
        }
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
        let path = self.path(&checkpoint::name(version));
        let Some(bytes) = self.read(&path).await? else { return Ok(None) };
        // A damaged file can make the Parquet reader panic, which must not end whoever asked.
        let read = tokio::task::spawn_blocking(move || checkpoint::lines(bytes)).await;
        let lines = match read {
            Ok(Ok(lines)) => lines,
            Ok(Err(error)) => {
                tracing::warn!(table = %self.table, version, %error, "checkpoint is damaged");
                return Ok(None);
            }
            Err(error) => {
                tracing::warn!(table = %self.table, version, %error, "reading a checkpoint failed");
                return Ok(None);
            }
        };
        let mut fold = Fold::default();
        let name = path.filename().unwrap_or_default();
        fold.apply(&self.table, version, action::parse_lines(&self.table, name, &lines)?)?;
        // A checkpoint does not tell which files its commit added.
        fold.added.clear();
        Ok(fold.is_complete().then_some(fold))
    }
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
    added: Vec<Arc<DataFile>>,
}

impl Fold {
    fn of(state: TableState) -> Self {
        let TableState { version, schema, metadata, protocol, files, txns, added } = state;
        Fold { version, metadata: Some(metadata), protocol: Some(protocol), schema: Some(schema), files, txns, added }
    }

    fn is_complete(&self) -> bool {
        self.metadata.is_some() && self.protocol.is_some()
    }

    fn apply(&mut self, table: &str, version: u64, lines: Vec<Line>) -> Result<()> {
        self.version = version;
        self.added.clear();
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
                let file = Arc::new(data_file(table, add)?);
                self.added.push(Arc::clone(&file));
                self.files.insert(file.path.clone(), file);
            }
        }
        Ok(())
    }

    fn finish(self, table: &str) -> Result<TableState> {
        let Fold { version, metadata, protocol, schema, files, txns, added } = self;
        let (Some(metadata), Some(protocol), Some(schema)) = (metadata, protocol, schema) else {
            return Err(action::broken(table, "00000000000000000000.json", "has no protocol or no metadata"));
        };
        Ok(TableState { version, schema, metadata, protocol, files, txns, added })
    }
}

pub(crate) fn data_file(table: &str, mut add: Add) -> Result<DataFile> {
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
    // What differs between a commit and a checkpoint of the same file says nothing about the file.
    add.data_change = false;
    add.tags.get_or_insert_default();
    Ok(DataFile { path, bytes, rows, hash, add })
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
