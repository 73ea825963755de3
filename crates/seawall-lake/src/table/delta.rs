//! Tables in Delta format on a local disk: [`DeltaStore`].
//!
//! What delta-rs would get wrong for us is done here by hand: the commit is one `put if absent` at exactly the version
//! after the state that decided it (no rebasing, no hidden retries), and an error is never taken for "not committed".
//! delta-rs writes the checkpoints, which keep opening a long log cheap and which other engines expect.

use std::collections::BTreeMap;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use deltalake_core::DeltaTableBuilder;
use deltalake_core::protocol::checkpoints;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use parking_lot::Mutex;
use seawall_base::error::{Error, ErrorKind, Result};
use seawall_base::hash::Hash;
use seawall_base::table::{Append, StagedFile, TableName, TableSnapshot, TableStore, TableVersion};
use seawall_base::{Clock, Permit, SystemClock};
use serde_json::json;

use self::commit::{Commit, configuration, removal, schema_lines, sorted, version_info};
use super::action::{self, Add, Format, Line, Metadata, Txn};
use super::file::{self, EncodedFile};
use super::home::Home;
use super::log::{self, DataFile, Log, TableState};
use super::rules::{check_cuts, check_from, conform_all, project, unknown_table, unknown_version};
use super::{evolve, path, schema};
use crate::codes;
use crate::policy::{self, Salt};
use crate::store::DurableLocal;

mod commit;
#[cfg(test)]
mod tests;

pub use commit::VersionInfo;
pub(super) use commit::{Landed, commit_info_text};

/// Commits between two checkpoints.
const CHECKPOINT_INTERVAL: u64 = 20;
/// How often a commit is decided anew when other processes take the version it wanted.
const COMMIT_ATTEMPTS_MAX: usize = 5;
/// Data files of one scan that are read at the same time.
const SCAN_FILES_INFLIGHT_MAX: usize = 4;

/// Delta tables, each in the folder of its name below a root.
#[derive(Debug)]
pub struct DeltaStore {
    root: PathBuf,
    home: Home,
    store: Arc<dyn ObjectStore>,
    clock: ClockBox,
    handles: Mutex<BTreeMap<TableName, Arc<Handle>>>,
}

/// Components of a [`DeltaStore`] that tests and other homes replace.
pub struct DeltaStoreOptions {
    /// Where bytes go; rooted at `/`. Whatever it reports as written must survive a power cut.
    pub store: Arc<dyn ObjectStore>,
    /// Gives commits and files their times, which no decision depends on.
    pub clock: Arc<dyn Clock>,
}

impl Default for DeltaStoreOptions {
    fn default() -> Self {
        DeltaStoreOptions { store: Arc::new(DurableLocal::new()), clock: Arc::new(SystemClock) }
    }
}

struct ClockBox(Arc<dyn Clock>);

impl std::fmt::Debug for ClockBox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

/// What is known of one table. Lock order: `writer` before `state`; `state` is never held across an await.
#[derive(Debug)]
pub(super) struct Handle {
    pub(super) name: TableName,
    pub(super) log: Log,
    writer: tokio::sync::Mutex<()>,
    state: Mutex<Option<Arc<TableState>>>,
}

/// Which rows of the version before stay visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    Everything,
    Nothing,
}

impl DeltaStore {
    /// Tables below `root`, which is created when missing. Tables themselves are opened when first used.
    pub fn open(root: &FilePath) -> Result<DeltaStore> {
        DeltaStore::open_with(root, DeltaStoreOptions::default())
    }

    /// Like [`DeltaStore::open`], with other components.
    pub fn open_with(root: &FilePath, options: DeltaStoreOptions) -> Result<DeltaStore> {
        let home = Home::open(root)?;
        let root = home.path().to_owned();
        let clock = ClockBox(options.clock);
        Ok(DeltaStore { root, home, store: options.store, clock, handles: Mutex::default() })
    }

    /// The folder of `table`.
    pub fn folder(&self, table: &TableName) -> PathBuf {
        self.root.join(table.as_str())
    }

    /// Rows that the newest version shows.
    pub async fn row_count(&self, table: &TableName) -> Result<u64> {
        Ok(self.snapshot(table, None).await?.rows)
    }

    /// Every commit of a table, oldest first; reads each commit file.
    pub async fn versions(&self, table: &TableName) -> Result<Vec<VersionInfo>> {
        let handle = self.handle(table)?;
        let mut versions = Vec::new();
        for version in handle.log.versions().await? {
            if let Some(lines) = handle.log.commit(version).await? {
                versions.push(version_info(version, &lines));
            }
        }
        if versions.is_empty() { Err(unknown_table(table)) } else { Ok(versions) }
    }

    /// Reads every data file of a version and compares sizes, hashes and row counts with the log; the number of files.
    /// Fails at the first difference.
    pub async fn verify(&self, table: &TableName, version: TableVersion) -> Result<usize> {
        let handle = self.handle(table)?;
        let state = self.state_at(&handle, version).await?;
        for data_file in state.files.values() {
            let bytes = self.read_data_file(table, data_file).await?;
            let footer = file::footer(&bytes, &data_file.path)?;
            if data_file.rows.is_some_and(|rows| rows != file::rows(&footer)) {
                return Err(file::damaged(&data_file.path, "has another number of rows than the log says"));
            }
        }
        Ok(state.files.len())
    }

    /// The object store, rooted at `/`.
    pub(crate) fn object_store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.store)
    }

    /// State of a version, or the newest.
    pub(crate) async fn state(&self, table: &TableName, version: Option<TableVersion>) -> Result<Arc<TableState>> {
        let handle = self.handle(table)?;
        match version {
            Some(version) => self.state_at(&handle, version).await,
            None => self.current(&handle).await?.ok_or_else(|| unknown_table(table)),
        }
    }

    /// Where a data file lies in the object store, after its way there has been checked for links out of the table.
    pub(crate) fn data_file_location(&self, table: &TableName, data_file: &DataFile) -> Result<Path> {
        let on_disk = self.folder(table).join(&data_file.path);
        if on_disk.exists() {
            path::confine_on_disk(table.as_str(), &self.folder(table), &on_disk)?;
        }
        self.location(table, &data_file.path)
    }

    pub(super) fn location(&self, table: &TableName, relative: &str) -> Result<Path> {
        let relative = Path::parse(relative)
            .map_err(|e| Error::corrupt(codes::PATH_ESCAPES, format!("{relative:?} is no path")).because(e))?;
        Ok(relative.parts().fold(self.table_root(table)?, |path, part| path.join(part)))
    }

    pub(super) fn table_root(&self, table: &TableName) -> Result<Path> {
        let folder = self.folder(table);
        Path::from_absolute_path(&folder).map_err(|e| {
            Error::invalid(codes::STORAGE, format!("{} cannot hold a table", folder.display()))
                .because(e)
                .hint("choose a data folder whose path is plain UTF-8 text")
        })
    }

    pub(super) fn handle(&self, table: &TableName) -> Result<Arc<Handle>> {
        let root = self.table_root(table)?;
        let mut handles = self.handles.lock();
        let handle = handles.entry(table.clone()).or_insert_with(|| {
            let log = Log::new(Arc::clone(&self.store), table.as_str(), root);
            Arc::new(Handle {
                name: table.clone(),
                log,
                writer: tokio::sync::Mutex::default(),
                state: Mutex::default(),
            })
        });
        Ok(Arc::clone(handle))
    }

    /// The newest state; none when the table does not exist.
    async fn current(&self, handle: &Handle) -> Result<Option<Arc<TableState>>> {
        self.home.check().await?;
        let known = handle.state.lock().clone();
        let newest = match known {
            Some(state) => Some(handle.log.advance(&state).await?),
            None => handle.log.load().await?.map(Arc::new),
        };
        if let Some(state) = &newest {
            let mut known = handle.state.lock();
            if known.as_ref().is_none_or(|known| known.version < state.version) {
                *known = Some(Arc::clone(state));
            }
        }
        Ok(newest)
    }

    async fn state_at(&self, handle: &Handle, version: TableVersion) -> Result<Arc<TableState>> {
        let current = self.current(handle).await?.ok_or_else(|| unknown_table(&handle.name))?;
        if current.version == version.0 {
            return Ok(current);
        }
        let older = if version.0 < current.version { handle.log.load_at(version.0).await? } else { None };
        older.map(Arc::new).ok_or_else(|| unknown_version(&handle.name, version, current.version))
    }

    /// Writes commit `version` and finds out whether it landed, whatever the store answers.
    async fn land(&self, handle: &Handle, version: u64, permit: &Permit, commit: Commit) -> Result<Landed> {
        let commit_id = commit.id(&handle.name, version, permit).to_string();
        let bytes = action::sealed_bytes(commit.into_lines(version, permit, &commit_id, self.now_ms()));
        let path = handle.log.commit_path(version);
        let put = self.store.put_opts(&path, PutPayload::from(bytes), PutMode::Create.into());
        let Err(error) = put.await else {
            // A folder that was exchanged meanwhile took a commit that belongs to nothing.
            return self.home.check().await.map(|()| Landed::Yes);
        };
        match handle.log.commit(version).await? {
            Some(lines) if commit_info_text(&lines, action::COMMIT_ID) == Some(&commit_id) => Ok(Landed::Yes),
            Some(_) => Ok(Landed::Taken),
            None => {
                let message = format!("committing version {version} of table {} failed", handle.name);
                Err(Error::new(ErrorKind::Unavailable, codes::COMMIT_FAILED, message)
                    .because(error)
                    .hint("nothing was written; try again once the disk accepts writes"))
            }
        }
    }

    fn now_ms(&self) -> i64 {
        self.clock.0.now().0.div_euclid(1_000)
    }

    /// A checkpoint is a convenience: when it fails, the commit stands and the log is read from an older one.
    async fn checkpoint_if_due(&self, handle: &Handle, version: u64) {
        if version == 0 || !version.is_multiple_of(CHECKPOINT_INTERVAL) {
            return;
        }
        if let Err(error) = self.checkpoint(&handle.name).await {
            tracing::warn!(table = %handle.name, version, %error, "checkpoint failed, the log stays longer");
        }
    }

    pub(super) async fn checkpoint(&self, table: &TableName) -> Result<()> {
        let failed = |e: deltalake_core::DeltaTableError| {
            Error::new(ErrorKind::Unavailable, codes::STORAGE, format!("writing a checkpoint of table {table}"))
                .because(e)
        };
        let folder = self.folder(table);
        let url = url::Url::from_directory_path(&folder)
            .map_err(|()| Error::internal(codes::STORAGE, format!("{} is no absolute path", folder.display())))?;
        let builder = DeltaTableBuilder::from_url(url.clone()).map_err(failed)?;
        let loading = Box::pin(builder.with_storage_backend(self.object_store(), url).load());
        let delta_table = loading.await.map_err(failed)?;
        Box::pin(checkpoints::create_checkpoint(&delta_table, None)).await.map_err(failed)
    }

    /// Writes rows as a data file. The name follows from the content, so a file that is there already, of an earlier
    /// attempt or of a racing process, is left alone unless its bytes are damaged; one that a version shows always is.
    async fn write_data_file(&self, handle: &Handle, state: &TableState, name: &str, file: &EncodedFile) -> Result<()> {
        if state.files.contains_key(name) {
            return Ok(());
        }
        let location = self.location(&handle.name, name)?;
        let failed = |e| log::storage(&format!("writing rows of table {}", handle.name), e);
        let payload = || PutPayload::from_bytes(file.bytes.clone());
        match self.store.put_opts(&location, payload(), PutMode::Create.into()).await {
            Ok(_) => Ok(()),
            Err(object_store::Error::AlreadyExists { .. }) => {
                let found = self.store.get(&location).await.map_err(failed)?.bytes().await.map_err(failed)?;
                if found != file.bytes {
                    self.store.put(&location, payload()).await.map_err(failed)?;
                }
                Ok(())
            }
            Err(e) => Err(failed(e)),
        }
    }

    async fn read_data_file(&self, table: &TableName, data_file: &DataFile) -> Result<Bytes> {
        let location = self.data_file_location(table, data_file)?;
        let bytes = match self.store.get(&location).await {
            Ok(found) => found.bytes().await,
            Err(object_store::Error::NotFound { .. }) => return Err(file::damaged(location.as_ref(), "is missing")),
            Err(e) => Err(e),
        };
        let bytes = bytes.map_err(|e| log::storage(&format!("reading rows of table {table}"), e))?;
        if bytes.len() as u64 != data_file.bytes {
            return Err(file::damaged(location.as_ref(), "has another size than the log says"));
        }
        let hash = data_file.hash;
        let shown = location.to_string();
        compute(move || match hash {
            Some(hash) => file::check_hash(&bytes, &hash, &shown).map(|()| bytes),
            None => Ok(bytes),
        })
        .await
    }

    async fn create(&self, handle: &Handle, permit: &Permit, schema: &Schema, personal: &[String]) -> Result<Landed> {
        let schema = evolve::create(&handle.name, schema)?;
        let id = Hash::of_parts([handle.name.as_str().as_bytes(), permit.id().as_bytes()]);
        let metadata = Metadata {
            id: uuid::Uuid::from_u128(id.low128()).to_string(),
            format: Format { provider: "parquet".into(), options: BTreeMap::new() },
            schema_string: schema::to_delta(&schema)?,
            partition_columns: Vec::new(),
            configuration: configuration(&schema, personal),
            created_time: Some(self.now_ms()),
        };
        let commit = Commit {
            operation: "CREATE TABLE",
            parameters: json!({"isManaged": "false", "partitionBy": "[]"}),
            info: BTreeMap::new(),
            lines: schema_lines(metadata, None, &schema),
        };
        self.land(handle, 0, permit, commit).await
    }

    /// Commits the schema and personal columns asked for; none when the table has both already.
    async fn change(
        &self,
        handle: &Handle,
        state: &TableState,
        permit: &Permit,
        requested: &Schema,
        personal: &[String],
    ) -> Result<Option<Landed>> {
        let evolved = evolve::evolve(&handle.name, &state.schema, requested)?;
        let same_personal = sorted(&state.metadata.personal()?) == sorted(personal);
        if evolved.is_none() && same_personal {
            return Ok(None);
        }
        let schema = evolved.unwrap_or_else(|| Arc::clone(&state.schema));
        let mut metadata = state.metadata.clone();
        metadata.schema_string = schema::to_delta(&schema)?;
        metadata.configuration.extend(configuration(&schema, personal));
        let commit = Commit {
            operation: "CHANGE COLUMN",
            parameters: json!({}),
            info: BTreeMap::new(),
            lines: schema_lines(metadata, Some(&state.protocol), &schema),
        };
        self.land(handle, state.version + 1, permit, commit).await.map(Some)
    }

    /// The add actions of an append, with every file written or checked.
    async fn adds(&self, handle: &Handle, state: &TableState, append: &Append) -> Result<Vec<Add>> {
        let personal = state.metadata.personal()?;
        let mut adds = Vec::new();
        if let Some(encoded) = encode(handle, state, append.batches.clone()).await? {
            let name = format!("part-{}.parquet", append_id(handle, append, &encoded.hash));
            self.write_data_file(handle, state, &name, &encoded).await?;
            adds.push(self.add(name, encoded, &personal).await?);
        }
        for staged in &append.staged {
            let encoded = self.staged_file(handle, state, staged).await?;
            adds.push(self.add(staged.path.clone(), encoded, &personal).await?);
        }
        Ok(adds)
    }

    async fn add(&self, path: String, encoded: EncodedFile, personal: &[String]) -> Result<Add> {
        let personal = personal.to_vec();
        let (size, hash) = (encoded.bytes.len() as i64, encoded.hash);
        let shown = path.clone();
        let stats = compute(move || file::statistics(&file::footer(&encoded.bytes, &shown)?, &personal)).await?;
        Ok(Add {
            path,
            partition_values: BTreeMap::new(),
            size,
            modification_time: self.now_ms(),
            data_change: true,
            stats: Some(stats),
            tags: Some(BTreeMap::from([(action::FILE_HASH.to_owned(), Some(hash.to_string()))])),
            deletion_vector: None,
        })
    }

    /// A staged file that is about to be shown: there, unchanged, and in no version yet.
    async fn staged_file(&self, handle: &Handle, state: &TableState, staged: &StagedFile) -> Result<EncodedFile> {
        let path = path::confine(handle.name.as_str(), &staged.path)?;
        if state.files.contains_key(&path) {
            let message =
                format!("the staged file {path} is in version {} of table {} already", state.version, handle.name);
            return Err(Error::new(ErrorKind::Conflict, codes::STAGED_UNUSABLE, message)
                .hint("each staged file can be appended once; read the table's cut again"));
        }
        let bytes = self.read_staged_bytes(&handle.name, staged).await?;
        Ok(EncodedFile { bytes, rows: staged.rows, hash: staged.hash })
    }

    async fn read_staged_bytes(&self, table: &TableName, staged: &StagedFile) -> Result<Bytes> {
        let path = path::confine(table.as_str(), &staged.path)?;
        let (logged_path, rows, hash) = (path.clone(), Some(staged.rows), Some(staged.hash));
        let data_file = DataFile { path, logged_path, bytes: staged.bytes, rows, hash, written_ms: 0 };
        self.read_data_file(table, &data_file).await
    }

    /// Appends, or replaces, under the writer lock: decide by the newest cut, write, commit, and decide again when
    /// another process was faster.
    async fn commit_rows(
        &self,
        permit: &Permit,
        table: &TableName,
        append: Append,
        keep: Keep,
    ) -> Result<TableVersion> {
        check_cuts(table, &append)?;
        let handle = self.handle(table)?;
        let _writer = handle.writer.lock().await;
        for _ in 0..COMMIT_ATTEMPTS_MAX {
            let state = self.current(&handle).await?.ok_or_else(|| unknown_table(table))?;
            if state.cut().covers(&append.until) {
                return Ok(TableVersion(state.version));
            }
            check_from(table, &state.cut(), &append.from)?;
            if matches!(self.commit_append(&handle, &state, permit, &append, keep).await?, Landed::Yes) {
                return self.landed_version(&handle).await;
            }
        }
        Err(contended(table))
    }

    pub(super) async fn commit_append(
        &self,
        handle: &Handle,
        state: &TableState,
        permit: &Permit,
        append: &Append,
        keep: Keep,
    ) -> Result<Landed> {
        let adds = self.adds(handle, state, append).await?;
        let cut = state.cut();
        let moved = append.until.iter().filter(|(partition, end)| cut.end(*partition) < *end);
        let now_ms = self.now_ms();
        let mut lines = Vec::new();
        for (partition, end) in moved {
            let version = i64::try_from(end.0).map_err(|e| {
                Error::invalid(codes::CUT_BACKWARDS, format!("offset {} is out of range", end.0)).because(e)
            })?;
            let txn = Txn { app_id: action::app_id(partition), version, last_updated: Some(now_ms) };
            lines.push(Line { txn: Some(txn), ..Line::default() });
        }
        if keep == Keep::Nothing {
            lines.extend(state.files.values().map(|file| removal(file, now_ms)));
        }
        lines.extend(adds.into_iter().map(|add| Line { add: Some(add), ..Line::default() }));
        let mode = match keep {
            Keep::Everything => "Append",
            Keep::Nothing => "Overwrite",
        };
        let info = BTreeMap::from([
            ("isBlindAppend".to_owned(), json!(keep == Keep::Everything)),
            ("seawall.from".to_owned(), json!(append.from.to_string())),
            ("seawall.until".to_owned(), json!(append.until.to_string())),
        ]);
        let commit = Commit { operation: "WRITE", parameters: json!({"mode": mode, "partitionBy": "[]"}), info, lines };
        self.land(handle, state.version + 1, permit, commit).await
    }
}

#[async_trait]
impl TableStore for DeltaStore {
    async fn ensure(
        &self,
        permit: &Permit,
        table: &TableName,
        schema: SchemaRef,
        personal: &[String],
    ) -> Result<TableVersion> {
        let handle = self.handle(table)?;
        let _writer = handle.writer.lock().await;
        for _ in 0..COMMIT_ATTEMPTS_MAX {
            let landed = match self.current(&handle).await? {
                None => self.create(&handle, permit, &schema, personal).await?,
                Some(state) => match self.change(&handle, &state, permit, &schema, personal).await? {
                    None => return Ok(TableVersion(state.version)),
                    Some(landed) => landed,
                },
            };
            if matches!(landed, Landed::Yes) {
                return self.landed_version(&handle).await;
            }
        }
        Err(contended(table))
    }

    async fn append(&self, permit: &Permit, table: &TableName, append: Append) -> Result<TableVersion> {
        self.commit_rows(permit, table, append, Keep::Everything).await
    }

    async fn replace(&self, permit: &Permit, table: &TableName, append: Append) -> Result<TableVersion> {
        // The commit is pinned to the version after the state whose files it removes: a file that anybody adds in
        // between takes that version, and this commit is decided anew.
        self.commit_rows(permit, table, append, Keep::Nothing).await
    }

    async fn stage(&self, _permit: &Permit, table: &TableName, batches: Vec<RecordBatch>) -> Result<StagedFile> {
        let handle = self.handle(table)?;
        let state = self.current(&handle).await?.ok_or_else(|| unknown_table(table))?;
        let encoded = encode(&handle, &state, batches).await?.ok_or_else(|| {
            Error::invalid(codes::STAGED_UNUSABLE, format!("there are no rows to stage for table {table}"))
        })?;
        let path = format!("staged-{}.parquet", encoded.hash);
        self.write_data_file(&handle, &state, &path, &encoded).await?;
        Ok(StagedFile { path, rows: encoded.rows, bytes: encoded.bytes.len() as u64, hash: encoded.hash })
    }

    async fn read_staged(&self, _permit: &Permit, table: &TableName, staged: &StagedFile) -> Result<Vec<RecordBatch>> {
        let handle = self.handle(table)?;
        let state = self.current(&handle).await?.ok_or_else(|| unknown_table(table))?;
        let bytes = self.read_staged_bytes(table, staged).await?;
        let (schema, shown) = (Arc::clone(&state.schema), staged.path.clone());
        compute(move || file::decode(bytes, &schema, &shown)).await
    }

    async fn snapshot(&self, table: &TableName, version: Option<TableVersion>) -> Result<TableSnapshot> {
        let state = self.state(table, version).await?;
        let mut rows = 0;
        for data_file in state.files.values() {
            rows += match data_file.rows {
                Some(rows) => rows,
                None => file::rows(&file::footer(&self.read_data_file(table, data_file).await?, &data_file.path)?),
            };
        }
        let (version, schema) = (TableVersion(state.version), Arc::clone(&state.schema));
        Ok(TableSnapshot { version, schema, rows, cut: state.cut() })
    }

    async fn scan(
        &self,
        permit: &Permit,
        table: &TableName,
        version: TableVersion,
        columns: Option<&[String]>,
    ) -> Result<Vec<RecordBatch>> {
        let state = self.state(table, Some(version)).await?;
        let policy = policy::of(self, permit, table, &state.schema, Salt::of_scan(permit)).await?;
        let policy = policy.map(|policy| policy.rows_named(columns)).transpose()?.map(Arc::new);
        let schema = match &policy {
            None => project(table, &state.schema, columns)?,
            Some(rows) => Arc::clone(rows.read_schema()),
        };
        let files: Vec<Arc<DataFile>> = state.files.values().cloned().collect();
        let reads = files.into_iter().map(|data_file| {
            let (schema, policy) = (Arc::clone(&schema), policy.clone());
            async move {
                let bytes = self.read_data_file(table, &data_file).await?;
                compute(move || {
                    let read = file::decode(bytes, &schema, &data_file.path)?;
                    match &policy {
                        None => Ok(read),
                        Some(rows) => read.iter().map(|batch| rows.apply(batch)).collect(),
                    }
                })
                .await
            }
        });
        let batches: Vec<Vec<RecordBatch>> =
            stream::iter(reads).buffered(SCAN_FILES_INFLIGHT_MAX).try_collect().await?;
        Ok(batches.into_iter().flatten().collect())
    }

    async fn tables(&self) -> Result<Vec<TableName>> {
        self.home.check().await?;
        let root = Path::from_absolute_path(&self.root)
            .map_err(|e| Error::invalid(codes::STORAGE, "the data folder has no plain path").because(e))?;
        let listed = self.store.list_with_delimiter(Some(&root)).await;
        let listed = listed.map_err(|e| log::storage("listing tables", e))?;
        let mut tables = Vec::new();
        for folder in listed.common_prefixes {
            let Ok(table) = TableName::new(folder.filename().unwrap_or_default()) else { continue };
            let mut entries = self.store.list(Some(&folder.join("_delta_log")));
            if let Some(Ok(_)) = entries.next().await {
                tables.push(table);
            }
        }
        tables.sort();
        Ok(tables)
    }
}

impl DeltaStore {
    /// The version that a landed commit made, once the state has been read back from the log.
    async fn landed_version(&self, handle: &Handle) -> Result<TableVersion> {
        let state = self.current(handle).await?.ok_or_else(|| unknown_table(&handle.name))?;
        self.checkpoint_if_due(handle, state.version).await;
        Ok(TableVersion(state.version))
    }
}

pub(super) async fn encode(
    handle: &Handle,
    state: &TableState,
    batches: Vec<RecordBatch>,
) -> Result<Option<EncodedFile>> {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    if rows == 0 {
        return Ok(None);
    }
    let personal = state.metadata.personal()?;
    let schema = Arc::clone(&state.schema);
    let table = handle.name.clone();
    compute(move || {
        let conformed = conform_all(&table, &batches, &schema)?;
        file::encode(&conformed, &schema, &personal).map(Some)
    })
    .await
}

/// Runs CPU work on the blocking pool.
pub(super) async fn compute<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| Error::internal(codes::PARQUET, "a task over a data file was stopped").because(e))?
}

/// The name of an append's data file: the same append gives the same name, another one never does.
pub(super) fn append_id(handle: &Handle, append: &Append, content: &Hash) -> Hash {
    let (from, until) = (append.from.to_string(), append.until.to_string());
    Hash::of_parts([handle.name.as_str().as_bytes(), from.as_bytes(), until.as_bytes(), &content.0])
}

fn contended(table: &TableName) -> Error {
    let message = format!("other processes took {COMMIT_ATTEMPTS_MAX} versions of table {table} in a row");
    Error::new(ErrorKind::Conflict, codes::COMMIT_FAILED, message).hint("only one process should write a table")
}
