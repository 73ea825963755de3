//! Tables in Delta format, in a folder or in a bucket: [`DeltaStore`].
//!
//! What delta-rs would get wrong for us is done here by hand: the commit is one `put if absent` at exactly the version
//! after the state that decided it (no rebasing, no hidden retries), an error is never taken for "not committed", and
//! checkpoints are written from the known state. Rows come in through `append`; `rewrite` and `vacuum` hold what takes
//! files away.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use parking_lot::Mutex;
use seawall_base::error::{Error, ErrorKind, Result};
use seawall_base::hash::Hash;
use seawall_base::table::{Append, StagedFile, TableName, TableSnapshot, TableStore, TableVersion};
use seawall_base::{Clock, Instant, OsRng, Permit, Rng, Span, SystemClock};
use serde_json::json;

use self::commit::{Commit, Landed, configuration, schema_lines, sorted};
use super::action::{Format, Line, Metadata};
use super::horizon::Horizon;
use super::lease::Leases;
use super::log::{self, DataFile, Log, TableState};
use super::rules::{conform_all, expired_version, missing_table, project, unknown_table, unknown_version};
use super::{evolve, file, path, schema};
use crate::codes;
use crate::policy::{self, Salt};
use crate::store::{DurableLocal, Home};

mod append;
mod check;
mod commit;
mod mend;
mod rewrite;
#[cfg(test)]
mod tests;
mod upkeep;
mod vacuum;
mod widen;

pub use check::{ExpectedFile, TableSurvey, VersionFacts};
pub use mend::{LostCommit, Origin, Source};

/// Commits between two checkpoints of a table with up to [`FILES_PER_CHECKPOINT_INTERVAL`] files.
const CHECKPOINT_INTERVAL: u64 = 20;
/// Files for which a checkpoint may be written every [`CHECKPOINT_INTERVAL`] commits.
const FILES_PER_CHECKPOINT_INTERVAL: usize = 200;
/// How often a commit is decided anew when other processes take the version it wanted.
const COMMIT_ATTEMPTS_MAX: u32 = 100;
/// Greatest pause before a commit is decided anew; the first one is a hundredth of it.
const CONTENTION_PAUSE_MAX: Duration = Duration::from_millis(200);
/// A state that was not looked after for this long may be older than what a vacuum left of the log.
const STATE_FRESH_FOR: Span = Span(60 * Span::SECOND.0);
/// Bytes of data files after which a portion of a scan ends. A file is never cut in two.
const PORTION_BYTES: u64 = 64 << 20;
/// Parts of one data file that are decoded at the same time.
const SCAN_SHARES_MAX: usize = 8;
/// Data files of one scan that are read at the same time.
const SCAN_FILES_INFLIGHT_MAX: usize = 4;

/// Delta tables, each in the folder of its name below a home.
pub struct DeltaStore {
    home: Home,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    handles: Mutex<BTreeMap<TableName, Arc<Handle>>>,
}

impl std::fmt::Debug for DeltaStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DeltaStore({})", self.home)
    }
}

/// Components of a [`DeltaStore`] that tests and other homes replace.
pub struct DeltaStoreOptions {
    /// Where bytes go; rooted at `/`. Whatever it reports as written must survive a power cut.
    pub store: Arc<dyn object_store::ObjectStore>,
    /// Gives commits, files and leases their times.
    pub clock: Arc<dyn Clock>,
}

impl Default for DeltaStoreOptions {
    fn default() -> Self {
        DeltaStoreOptions { store: Arc::new(DurableLocal::new()), clock: Arc::new(SystemClock) }
    }
}

/// What is known of one table. Lock order: `rewriter`, `writer`, `known`; `known` is never held across an await.
#[derive(Debug)]
struct Handle {
    name: TableName,
    log: Log,
    leases: Leases,
    /// Whoever in this process takes files away; other processes are kept out by the lease.
    rewriter: tokio::sync::Mutex<()>,
    writer: tokio::sync::Mutex<()>,
    known: Mutex<Option<Known>>,
    /// The checkpoint that is being written.
    checkpointing: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

/// A state, and when it was the newest for certain.
#[derive(Debug, Clone)]
struct Known {
    state: Arc<TableState>,
    seen_at: Instant,
}

impl Handle {
    /// Keeps a state unless a newer one is known.
    fn learn(&self, state: &Arc<TableState>, seen_at: Instant) {
        let mut known = self.known.lock();
        if known.as_ref().is_none_or(|known| known.state.version <= state.version) {
            *known = Some(Known { state: Arc::clone(state), seen_at });
        }
    }

    /// The state after a commit that landed. Nothing is copied when nobody else looks at the state before, so a commit
    /// costs the same however many files there are.
    fn advance(&self, base: Option<Arc<TableState>>, lines: Vec<Line>, now: Instant) -> Result<Arc<TableState>> {
        let table = self.name.as_str();
        let mut known = self.known.lock();
        let is_newer = known.take_if(|known| known.state.version > base.as_ref().map_or(0, |base| base.version));
        if base.is_some() && is_newer.is_none() {
            *known = None;
        }
        let state = match base {
            Some(base) => Arc::unwrap_or_clone(base).after(table, lines)?,
            None => TableState::first(table, lines)?,
        };
        let state = Arc::new(state);
        let newest = match is_newer {
            Some(newer) if newer.state.version >= state.version => newer,
            Some(_) | None => Known { state: Arc::clone(&state), seen_at: now },
        };
        *known = Some(newest);
        Ok(state)
    }

    /// Waits until no checkpoint is being written.
    async fn settled(&self) {
        let writing = self.checkpointing.lock().take();
        if let Some(writing) = writing {
            // A checkpoint that failed was told when it did.
            let _ = writing.await;
        }
    }

    /// The known state, when a vacuum cannot have overtaken it.
    fn recent(&self, now: Instant) -> Option<Arc<TableState>> {
        let known = self.known.lock();
        let fresh = known.as_ref().filter(|known| (now.0 - known.seen_at.0).abs() < STATE_FRESH_FOR.0);
        fresh.map(|known| Arc::clone(&known.state))
    }
}

impl DeltaStore {
    /// Tables below the folder `root`, which is created when missing. Tables themselves are opened when first used.
    pub fn open(root: &FilePath) -> Result<DeltaStore> {
        DeltaStore::open_with(root, DeltaStoreOptions::default())
    }

    /// Like [`DeltaStore::open`], with other components.
    pub fn open_with(root: &FilePath, options: DeltaStoreOptions) -> Result<DeltaStore> {
        Ok(DeltaStore::at(Home::folder_through(root, options.store)?, options.clock))
    }

    /// Tables in any home.
    pub fn at(home: Home, clock: Arc<dyn Clock>) -> DeltaStore {
        DeltaStore { home, clock, rng: Arc::new(OsRng), handles: Mutex::default() }
    }

    /// Where the tables lie.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// The folder of `table`, when tables lie on this machine.
    pub fn folder(&self, table: &TableName) -> Option<PathBuf> {
        self.home.on_disk().map(|folder| folder.join(table.as_str()))
    }

    /// A file of a table, as people find it.
    fn as_found(&self, table: &TableName, relative: &str) -> PathBuf {
        match self.folder(table) {
            Some(folder) => folder.join(relative),
            None => PathBuf::from(format!("{}/{table}/{relative}", self.home)),
        }
    }

    /// Rows that the newest version shows.
    pub async fn row_count(&self, table: &TableName) -> Result<u64> {
        Ok(self.snapshot(table, None).await?.rows)
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

    /// State of a version, or the newest.
    pub(crate) async fn state(&self, table: &TableName, version: Option<TableVersion>) -> Result<Arc<TableState>> {
        let handle = self.handle(table)?;
        match version {
            Some(version) => self.state_at(&handle, version).await,
            None => self.current(&handle).await?.ok_or_else(|| unknown_table(table)),
        }
    }

    /// Where a data file lies in the object store, after its way there has been checked for links out of the table.
    /// Every reader asks here before it opens anything.
    pub(crate) fn data_file_location(&self, table: &TableName, relative: &str) -> Result<Path> {
        self.home.confine(table.as_str(), relative)?;
        let relative = Path::parse(relative)
            .map_err(|e| Error::corrupt(codes::PATH_ESCAPES, format!("{relative:?} is no path")).because(e))?;
        Ok(relative.parts().fold(self.home.table(table.as_str()), |path, part| path.join(part)))
    }

    fn handle(&self, table: &TableName) -> Result<Arc<Handle>> {
        self.home.confine(table.as_str(), "_delta_log")?;
        let mut handles = self.handles.lock();
        let handle = handles.entry(table.clone()).or_insert_with(|| {
            let folder = self.home.table(table.as_str()).join("_seawall").join("lease");
            let leases = Leases {
                store: Arc::clone(self.home.store()),
                clock: Arc::clone(&self.clock),
                rng: Arc::clone(&self.rng),
                table: table.to_string(),
                folder,
                owner: self.rng.id(),
            };
            Arc::new(Handle {
                name: table.clone(),
                log: Log::new(self.home.clone(), table.as_str()),
                leases,
                rewriter: tokio::sync::Mutex::default(),
                writer: tokio::sync::Mutex::default(),
                known: Mutex::default(),
                checkpointing: Mutex::default(),
            })
        });
        Ok(Arc::clone(handle))
    }

    /// The newest state; none when the table does not exist.
    async fn current(&self, handle: &Arc<Handle>) -> Result<Option<Arc<TableState>>> {
        self.home.check().await?;
        let known = handle.known.lock().clone();
        let now = self.now();
        let newest = match known {
            Some(known) if handle.recent(now).is_some() => Some(handle.log.advance(&known.state).await?),
            // A vacuum may have removed the very commit that would be asked for next.
            Some(known) if !self.is_overtaken(handle, &known.state).await? => {
                Some(handle.log.advance(&known.state).await?)
            }
            Some(_) | None => handle.log.load().await?.map(Arc::new),
        };
        if let Some(state) = &newest {
            handle.learn(state, now);
        }
        Ok(newest)
    }

    async fn is_overtaken(&self, handle: &Arc<Handle>, state: &TableState) -> Result<bool> {
        Ok(handle.log.horizon().await?.readable_from > state.version)
    }

    async fn state_at(&self, handle: &Arc<Handle>, version: TableVersion) -> Result<Arc<TableState>> {
        let current = self.current(handle).await?.ok_or_else(|| unknown_table(&handle.name))?;
        if current.version == version.0 {
            return Ok(current);
        }
        if version.0 > current.version {
            return Err(unknown_version(&handle.name, version, current.version));
        }
        let horizon: Horizon = handle.log.horizon().await?;
        if !horizon.shows(version.0) {
            return Err(expired_version(&handle.name, version, horizon.readable_from));
        }
        let older = handle.log.load_at(version.0).await?;
        older.map(Arc::new).ok_or_else(|| unknown_version(&handle.name, version, current.version))
    }

    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn now_ms(&self) -> i64 {
        self.now().0.div_euclid(1_000)
    }

    /// A pause before a commit is decided anew, longer with each attempt, different for each process.
    async fn pause(&self, attempt: u32) {
        let mut byte = [0u8; 1];
        self.rng.fill(&mut byte);
        let longest = (CONTENTION_PAUSE_MAX / 100 * 2u32.saturating_pow(attempt.min(7))).min(CONTENTION_PAUSE_MAX);
        tokio::time::sleep(longest * u32::from(byte[0]) / 255).await;
    }

    async fn read_data_file(&self, table: &TableName, data_file: &DataFile) -> Result<Bytes> {
        self.read_file(table, &data_file.path, data_file.bytes, data_file.hash).await
    }

    /// The rows of some files of a version, as the permit shows them.
    async fn read_files(
        &self,
        permit: &Permit,
        table: &TableName,
        state: &TableState,
        columns: Option<&[String]>,
        files: Vec<Arc<DataFile>>,
    ) -> Result<Vec<RecordBatch>> {
        let policy = policy::of(self, permit, table, &state.schema, Salt::of_scan(permit)).await?;
        let policy = policy.map(|policy| policy.rows_named(columns)).transpose()?.map(Arc::new);
        let schema = match &policy {
            None => project(table, &state.schema, columns)?,
            Some(rows) => Arc::clone(rows.read_schema()),
        };
        let reads = files.into_iter().map(|data_file| {
            let (schema, policy) = (Arc::clone(&schema), policy.clone());
            async move {
                let bytes = self.read_data_file(table, &data_file).await?;
                let opened = Arc::new(file::Opened::new(bytes, &schema, &data_file.path)?);
                let decoded = shares(opened.row_groups()).map(|row_groups| {
                    let (opened, policy) = (Arc::clone(&opened), policy.clone());
                    compute(move || {
                        let read = opened.decode(row_groups)?;
                        match &policy {
                            None => Ok(read),
                            Some(rows) => read.iter().map(|batch| rows.apply(batch)).collect(),
                        }
                    })
                });
                futures::future::try_join_all(decoded).await
            }
        });
        let batches: Vec<Vec<Vec<RecordBatch>>> =
            stream::iter(reads).buffered(SCAN_FILES_INFLIGHT_MAX).try_collect().await?;
        Ok(batches.into_iter().flatten().flatten().collect())
    }

    /// The bytes of a data file, when they are what was written.
    async fn read_file(&self, table: &TableName, relative: &str, size: u64, hash: Option<Hash>) -> Result<Bytes> {
        let bytes = self.read_sized(table, relative, size).await?;
        let Some(hash) = hash else { return Ok(bytes) };
        let shown = self.data_file_location(table, relative)?.to_string();
        compute(move || file::check_hash(&bytes, &hash, &shown).map(|()| bytes)).await
    }

    /// The bytes of a data file, when they are as many as were written. Whoever uses them checks their hash.
    async fn read_sized(&self, table: &TableName, relative: &str, size: u64) -> Result<Bytes> {
        let location = self.data_file_location(table, relative)?;
        let bytes = match self.home.store().get(&location).await {
            Ok(found) => found.bytes().await,
            Err(object_store::Error::NotFound { .. }) => return Err(file::damaged(location.as_ref(), "is missing")),
            Err(e) => Err(e),
        };
        let bytes = bytes.map_err(|e| log::storage(&format!("reading rows of table {table}"), e))?;
        if bytes.len() as u64 != size {
            return Err(file::damaged(location.as_ref(), "has another size than the log says"));
        }
        Ok(bytes)
    }

    async fn create(
        &self,
        handle: &Arc<Handle>,
        permit: &Permit,
        schema: &Schema,
        personal: &[String],
    ) -> Result<Landed> {
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
        self.land(handle, None, permit, commit, None).await
    }

    /// Commits the schema and personal columns asked for; none when the table has both already. Files stay as they are.
    async fn change(
        &self,
        handle: &Arc<Handle>,
        state: &Arc<TableState>,
        permit: &Permit,
        requested: &Schema,
        personal: &[String],
    ) -> Result<Option<Landed>> {
        let evolved = evolve::evolve(&handle.name, &state.schema, requested)?;
        let same_personal = sorted(&state.metadata.personal()?) == sorted(personal);
        if evolved.is_none() && same_personal {
            return Ok(None);
        }
        if evolved.as_ref().is_some_and(|evolved| evolved.widens) {
            return Err(contended(&handle.name));
        }
        let schema = evolved.map_or_else(|| Arc::clone(&state.schema), |evolved| evolved.schema);
        let metadata = changed_metadata(state, &schema, personal)?;
        let commit = Commit {
            operation: "CHANGE COLUMN",
            parameters: json!({}),
            info: BTreeMap::new(),
            lines: schema_lines(metadata, Some(&state.protocol), &schema),
        };
        self.land(handle, Some(Arc::clone(state)), permit, commit, None).await.map(Some)
    }
}

#[async_trait]
impl TableStore for DeltaStore {
    async fn expect(&self, known: &[TableName]) -> Result<()> {
        match self.home.find(known).await? {
            Some(missing) => Err(missing_table(&missing)),
            None => Ok(()),
        }
    }

    async fn ensure(
        &self,
        permit: &Permit,
        table: &TableName,
        schema: SchemaRef,
        personal: &[String],
    ) -> Result<TableVersion> {
        let handle = self.handle(table)?;
        if let Some(state) = self.current(&handle).await?
            && evolve::evolve(table, &state.schema, &schema)?.is_some_and(|evolved| evolved.widens)
        {
            return self.widen(&handle, permit, &schema, personal).await;
        }
        let _writer = handle.writer.lock().await;
        for attempt in 0..COMMIT_ATTEMPTS_MAX {
            let landed = match self.current(&handle).await? {
                None => self.create(&handle, permit, &schema, personal).await?,
                Some(state) => match self.change(&handle, &state, permit, &schema, personal).await? {
                    None => return Ok(TableVersion(state.version)),
                    Some(landed) => landed,
                },
            };
            match landed {
                Landed::Yes(state) => return Ok(TableVersion(state.version)),
                Landed::Taken => self.pause(attempt).await,
            }
        }
        Err(contended(table))
    }

    async fn append(&self, permit: &Permit, table: &TableName, append: Append) -> Result<TableVersion> {
        self.append_rows(permit, table, append).await
    }

    async fn replace(&self, permit: &Permit, table: &TableName, append: Append) -> Result<TableVersion> {
        self.replace_rows(permit, table, append).await
    }

    async fn stage(&self, _permit: &Permit, table: &TableName, batches: Vec<RecordBatch>) -> Result<StagedFile> {
        let handle = self.handle(table)?;
        let state = self.current(&handle).await?.ok_or_else(|| unknown_table(table))?;
        let encoded = encode(&handle, &state, batches).await?.ok_or_else(|| {
            Error::invalid(codes::STAGED_UNUSABLE, format!("there are no rows to stage for table {table}"))
        })?;
        let path = format!("staged-{}.parquet", encoded.hash);
        let path = self.write_data_file(&handle, &state, &path, &encoded).await?;
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
        Ok(TableSnapshot { version, schema, rows, cut: state.cut(), added: added_files(&state) })
    }

    async fn scan(
        &self,
        permit: &Permit,
        table: &TableName,
        version: TableVersion,
        columns: Option<&[String]>,
    ) -> Result<Vec<RecordBatch>> {
        let state = self.state(table, Some(version)).await?;
        self.read_files(permit, table, &state, columns, state.files.values().cloned().collect()).await
    }

    async fn scan_portion(
        &self,
        permit: &Permit,
        table: &TableName,
        version: TableVersion,
        columns: Option<&[String]>,
        portion: usize,
    ) -> Result<Option<Vec<RecordBatch>>> {
        let state = self.state(table, Some(version)).await?;
        match portions(&state).into_iter().nth(portion) {
            Some(files) => self.read_files(permit, table, &state, columns, files).await.map(Some),
            None => Ok(None),
        }
    }

    async fn tables(&self) -> Result<Vec<TableName>> {
        self.home.check().await?;
        let store = self.home.store();
        let listed = store.list_with_delimiter(Some(self.home.root())).await;
        let listed = listed.map_err(|e| log::storage("listing tables", e))?;
        let mut tables = Vec::new();
        for folder in listed.common_prefixes {
            let Ok(table) = TableName::new(folder.filename().unwrap_or_default()) else { continue };
            let mut entries = store.list(Some(&folder.join("_delta_log")));
            if let Some(Ok(_)) = entries.next().await {
                tables.push(table);
            }
        }
        tables.sort();
        Ok(tables)
    }
}

/// The metadata of a state with another schema or other personal columns.
fn changed_metadata(state: &TableState, schema: &SchemaRef, personal: &[String]) -> Result<Metadata> {
    let mut metadata = state.metadata.clone();
    metadata.schema_string = schema::to_delta(schema)?;
    metadata.configuration.extend(configuration(schema, personal));
    Ok(metadata)
}

/// The files that the commit of a state added, as far as their hashes are known.
fn added_files(state: &TableState) -> Vec<StagedFile> {
    let hashed = state.added.iter().filter_map(|file| {
        Some(StagedFile { path: file.path.clone(), rows: file.rows?, bytes: file.bytes, hash: file.hash? })
    });
    hashed.collect()
}

async fn encode(
    handle: &Arc<Handle>,
    state: &TableState,
    batches: Vec<RecordBatch>,
) -> Result<Option<file::EncodedFile>> {
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

/// The files of a version in portions of [`PORTION_BYTES`], in the order of their paths, which no call changes.
fn portions(state: &TableState) -> Vec<Vec<Arc<DataFile>>> {
    let mut portions: Vec<Vec<Arc<DataFile>>> = Vec::new();
    let mut bytes = PORTION_BYTES;
    for data_file in state.files.values() {
        if bytes >= PORTION_BYTES {
            portions.push(Vec::new());
            bytes = 0;
        }
        bytes += data_file.bytes;
        portions.last_mut().expect("a portion was begun").push(Arc::clone(data_file));
    }
    portions
}

/// The row groups of a file in a few shares of about equal size, which are decoded at the same time.
fn shares(row_groups: usize) -> impl Iterator<Item = Range<usize>> {
    let count = row_groups.clamp(1, SCAN_SHARES_MAX);
    (0..count).map(move |share| share * row_groups / count..(share + 1) * row_groups / count)
}

/// Runs CPU work on the blocking pool.
async fn compute<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| Error::internal(codes::PARQUET, "a task over a data file was stopped").because(e))?
}

fn contended(table: &TableName) -> Error {
    let message = format!("other processes took {COMMIT_ATTEMPTS_MAX} versions of table {table} in a row");
    Error::new(ErrorKind::Conflict, codes::COMMIT_FAILED, message).hint("only one process should write a table")
}
