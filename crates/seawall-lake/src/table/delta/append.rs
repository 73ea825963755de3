//! Rows coming in: data files, appends, replacements.

use std::collections::BTreeMap;
use std::time::Duration;

use object_store::{PutMode, PutPayload};
use seawall_base::Cut;
use seawall_base::sabotage::{self, Bug};
use seawall_base::table::StagedFile;
use serde_json::Value;

use super::commit::{Rows, removal};
use super::*;
use crate::table::action::{self, Add, Line, Txn};
use crate::table::file::EncodedFile;
use crate::table::lease::Lease;
use crate::table::rules::{check_append_from, check_cuts, check_replace_from};

/// How long a replacement waits for an operation that holds the table: longer than a lease that its process left.
const REPLACE_PATIENCE: Duration = Duration::from_secs(90);
/// A file that was left behind for this long may be on a vacuum's list: rows are written under another name then.
const LEFTOVER_USABLE_FOR: Span = Span(30 * Span::MINUTE.0);

/// Files of an append, written for one schema.
pub(super) struct Written {
    schema: SchemaRef,
    personal: Vec<String>,
    adds: Vec<Add>,
}

impl DeltaStore {
    /// Appends under the writer lock: decide by the known cut, write, commit, and decide again when another process was
    /// faster. A state that is not the newest any more decides nothing wrong: the version after it is taken.
    pub(super) async fn append_rows(&self, permit: &Permit, table: &TableName, append: Append) -> Result<TableVersion> {
        let skips_check = sabotage::on(Bug::SkipTxnCheck);
        if !skips_check {
            check_cuts(table, &append)?;
        }
        let handle = self.handle(table)?;
        let _writer = handle.writer.lock().await;
        self.home.check().await?;
        let recent = handle.recent(self.now());
        let mut is_read = recent.is_none();
        let mut state = match recent {
            Some(state) => state,
            None => self.newest(&handle).await?,
        };
        let mut written = None;
        for attempt in 0..COMMIT_ATTEMPTS_MAX {
            let covered = state.cut().covers(&append.until) && !skips_check;
            let start = check_append_from(table, &state.cut(), &append);
            if (covered || start.is_err()) && !is_read {
                state = self.newest(&handle).await?;
                is_read = true;
                continue;
            }
            if covered {
                return Ok(TableVersion(state.version));
            }
            start?;
            let adds = self.written(&handle, &state, &append, &mut written).await?;
            let commit = rows_commit(&state, &append, adds, Vec::new(), self.now_ms())?;
            match self.land(&handle, Some(state), permit, commit, None).await? {
                Landed::Yes(state) => return Ok(TableVersion(state.version)),
                Landed::Taken => self.pause(attempt).await,
            }
            state = self.newest(&handle).await?;
            is_read = true;
        }
        Err(contended(table))
    }

    /// Replaces all rows, under the table's lease.
    pub(super) async fn replace_rows(
        &self,
        permit: &Permit,
        table: &TableName,
        append: Append,
    ) -> Result<TableVersion> {
        check_cuts(table, &append)?;
        let handle = self.handle(table)?;
        let state = self.newest(&handle).await?;
        if state.cut().covers(&append.until) {
            return Ok(TableVersion(state.version));
        }
        let _rewriter = handle.rewriter.lock().await;
        let lease = handle.leases.wait("replace", REPLACE_PATIENCE).await?;
        let outcome = self.replace_under(&handle, &lease, permit, &append).await;
        lease.release().await;
        outcome
    }

    async fn replace_under(
        &self,
        handle: &Arc<Handle>,
        lease: &Lease,
        permit: &Permit,
        append: &Append,
    ) -> Result<TableVersion> {
        let mut written = None;
        for _ in 0..COMMIT_ATTEMPTS_MAX {
            let _writer = handle.writer.lock().await;
            let state = self.newest(handle).await?;
            if state.cut().covers(&append.until) {
                return Ok(TableVersion(state.version));
            }
            check_replace_from(&handle.name, &state.cut(), &append.from)?;
            let adds = self.written(handle, &state, append, &mut written).await?;
            let now_ms = self.now_ms();
            let removals = state.files.values().map(|file| removal(file, now_ms, Rows::Change)).collect();
            let commit = rows_commit(&state, append, adds, removals, now_ms)?;
            match self.land(handle, Some(state), permit, commit, Some(lease)).await? {
                Landed::Yes(state) => return Ok(TableVersion(state.version)),
                Landed::Taken => {}
            }
        }
        Err(contended(&handle.name))
    }

    /// The newest state of a table that is there.
    pub(super) async fn newest(&self, handle: &Arc<Handle>) -> Result<Arc<TableState>> {
        self.current(handle).await?.ok_or_else(|| unknown_table(&handle.name))
    }

    /// The add actions of an append, with every file written or checked; again only when the table changed its shape.
    pub(super) async fn written(
        &self,
        handle: &Arc<Handle>,
        state: &TableState,
        append: &Append,
        written: &mut Option<Written>,
    ) -> Result<Vec<Add>> {
        let personal = state.metadata.personal()?;
        if let Some(known) = written.as_ref().filter(|known| known.schema == state.schema && known.personal == personal)
        {
            return Ok(known.adds.clone());
        }
        let mut adds = Vec::new();
        if let Some(encoded) = encode(handle, state, append.batches.clone()).await? {
            let name = format!("part-{}.parquet", append_id(handle, append, &encoded.hash));
            let name = self.write_data_file(handle, state, &name, &encoded).await?;
            adds.push(self.add(name, encoded, &personal).await?);
        }
        for staged in &append.staged {
            let encoded = self.staged_file(handle, state, staged).await?;
            adds.push(self.add(staged.path.clone(), encoded, &personal).await?);
        }
        let known = Written { schema: Arc::clone(&state.schema), personal, adds };
        Ok(written.insert(known).adds.clone())
    }

    /// The add action of a file that is written.
    pub(super) async fn add(&self, path: String, encoded: EncodedFile, personal: &[String]) -> Result<Add> {
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
    async fn staged_file(&self, handle: &Arc<Handle>, state: &TableState, staged: &StagedFile) -> Result<EncodedFile> {
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

    pub(super) async fn read_staged_bytes(&self, table: &TableName, staged: &StagedFile) -> Result<Bytes> {
        let path = path::confine(table.as_str(), &staged.path)?;
        self.read_file(table, &path, staged.bytes, Some(staged.hash)).await
    }

    /// Writes rows as a data file and tells its name, which follows from the content. A file that is there already, of an
    /// earlier attempt or of a racing process, is left alone unless its bytes are damaged; one that a version shows
    /// always is. One that was left behind long ago may be about to be removed: the rows get another name then.
    pub(super) async fn write_data_file(
        &self,
        handle: &Arc<Handle>,
        state: &TableState,
        name: &str,
        file: &EncodedFile,
    ) -> Result<String> {
        if state.files.contains_key(name) {
            return Ok(name.to_owned());
        }
        let store = self.home.store();
        let failed = |e| log::storage(&format!("writing rows of table {}", handle.name), e);
        let payload = || PutPayload::from_bytes(file.bytes.clone());
        let location = self.data_file_location(&handle.name, name)?;
        if sabotage::on(Bug::CommitBeforeData) {
            let (store, bytes) = (Arc::clone(store), file.bytes.clone());
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(100)).await;
                store.put(&location, PutPayload::from_bytes(bytes)).await
            });
            return Ok(name.to_owned());
        }
        match store.put_opts(&location, payload(), PutMode::Create.into()).await {
            Ok(_) => return Ok(name.to_owned()),
            Err(object_store::Error::AlreadyExists { .. }) => {}
            Err(e) => return Err(failed(e)),
        }
        let left_at = match store.head(&location).await {
            Ok(found) => Some(Instant(found.last_modified.timestamp_micros())),
            // It went between the two calls, or the store refused two writers at once.
            Err(object_store::Error::NotFound { .. }) => None,
            Err(e) => return Err(failed(e)),
        };
        if left_at.is_some_and(|left_at| self.now().0 - left_at.0 < LEFTOVER_USABLE_FOR.0) {
            let found = store.get(&location).await.map_err(failed)?.bytes().await.map_err(failed)?;
            if found != file.bytes {
                store.put(&location, payload()).await.map_err(failed)?;
            }
            return Ok(name.to_owned());
        }
        let other = format!("{}-{}.parquet", name.trim_end_matches(".parquet"), self.rng.id());
        let location = self.data_file_location(&handle.name, &other)?;
        store.put_opts(&location, payload(), PutMode::Create.into()).await.map_err(failed)?;
        Ok(other)
    }
}

/// The commit that brings rows: what goes, what comes, and where the moved partitions end now.
pub(super) fn rows_commit(
    state: &TableState,
    append: &Append,
    adds: Vec<Add>,
    removals: Vec<Line>,
    now_ms: i64,
) -> Result<Commit> {
    let (mode, is_append) = if removals.is_empty() { ("Append", true) } else { ("Overwrite", false) };
    let mut lines = txn_lines(&state.cut(), append, now_ms)?;
    lines.extend(removals);
    lines.extend(adds.into_iter().map(|add| Line { add: Some(add), ..Line::default() }));
    let info: BTreeMap<String, Value> = BTreeMap::from([
        ("isBlindAppend".to_owned(), json!(is_append)),
        ("seawall.from".to_owned(), json!(append.from.to_string())),
        ("seawall.until".to_owned(), json!(append.until.to_string())),
    ]);
    Ok(Commit { operation: "WRITE", parameters: json!({"mode": mode, "partitionBy": "[]"}), info, lines })
}

fn txn_lines(cut: &Cut, append: &Append, now_ms: i64) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for (partition, end) in append.until.iter().filter(|(partition, end)| cut.end(*partition) < *end) {
        let version = i64::try_from(end.0).map_err(|e| {
            Error::invalid(codes::CUT_BACKWARDS, format!("offset {} is out of range", end.0)).because(e)
        })?;
        let txn = Txn { app_id: action::app_id(partition), version, last_updated: Some(now_ms) };
        lines.push(Line { txn: Some(txn), ..Line::default() });
    }
    Ok(lines)
}

/// The name of an append's data file: the same append gives the same name, another one never does.
pub(super) fn append_id(handle: &Arc<Handle>, append: &Append, content: &Hash) -> Hash {
    let (from, until) = (append.from.to_string(), append.until.to_string());
    Hash::of_parts([handle.name.as_str().as_bytes(), from.as_bytes(), until.as_bytes(), &content.0])
}
