//! One commit of a table: what it says, what it must keep to, and how it lands.
//!
//! Every commit passes [`DeltaStore::land`], so no operation can forget a rule: it takes exactly the version after the
//! state that it was decided on; it removes only files that this state shows, each once, and only under the table's
//! lease; it adds only files that the state does not show. delta-rs checks none of these when two operations meet, and
//! then shows rows twice or lets deleted ones come back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::Schema;
use object_store::{ObjectStoreExt, PutMode, PutPayload};
use seawall_base::error::{Error, ErrorKind, Result};
use seawall_base::hash::Hash;
use seawall_base::table::{TableName, TableVersion};
use seawall_base::upkeep::VersionInfo;
use seawall_base::{Instant, Permit};
use serde_json::{Value, json};

use super::{CHECKPOINT_INTERVAL, DeltaStore, FILES_PER_CHECKPOINT_INTERVAL, Handle, compute};
use crate::codes;
use crate::table::action::{self, Line, Metadata, Protocol, Remove};
use crate::table::lease::Lease;
use crate::table::log::{self, DataFile, TableState};
use crate::table::{checkpoint, path, schema};

/// What a commit is to do.
pub(super) struct Commit {
    /// Delta's word for it.
    pub operation: &'static str,
    /// Delta's parameters of the operation.
    pub parameters: Value,
    /// What else the commit info says.
    pub info: BTreeMap<String, Value>,
    /// The actions.
    pub lines: Vec<Line>,
}

/// What became of a commit.
pub(super) enum Landed {
    /// It made its version.
    Yes(Arc<TableState>),
    /// Another process made this version, or the store asks for another try.
    Taken,
}

impl Commit {
    /// Tells commits apart that race for one version. Times stay out, so a repeated commit has the same id.
    fn id(&self, table: &TableName, version: u64, permit: &Permit) -> Hash {
        let mut parts = vec![table.to_string(), version.to_string(), permit.id().to_owned(), self.operation.to_owned()];
        for line in &self.lines {
            parts.extend(line.txn.iter().map(|txn| format!("{} {}", txn.app_id, txn.version)));
            parts.extend(line.add.iter().map(|add| add.path.clone()));
            parts.extend(line.remove.iter().map(|remove| format!("- {}", remove.path)));
            parts.extend(line.meta_data.iter().map(|metadata| metadata.schema_string.clone()));
        }
        Hash::of_parts(parts.iter().map(String::as_bytes))
    }

    fn removes(&self) -> bool {
        self.lines.iter().any(|line| line.remove.is_some())
    }

    /// Fails when an action does not fit the state that the commit was decided on.
    fn check(&self, table: &TableName, base: Option<&TableState>) -> Result<()> {
        let broken =
            |what: String| Err(Error::internal(codes::COMMIT_FAILED, format!("a commit to table {table} {what}")));
        let shows = |path: &String| base.is_some_and(|base| base.files.contains_key(path));
        let (mut removed, mut added) = (BTreeSet::new(), BTreeSet::new());
        for line in &self.lines {
            if let Some(remove) = &line.remove {
                let path = path::confine(table.as_str(), &remove.path)?;
                if !shows(&path) || !removed.insert(path.clone()) {
                    return broken(format!("takes out the file {path}, which is not there"));
                }
            }
            if let Some(add) = &line.add {
                let path = path::confine(table.as_str(), &add.path)?;
                if shows(&path) || !added.insert(path.clone()) {
                    return broken(format!("adds the file {path}, which is there already"));
                }
            }
        }
        Ok(())
    }

    /// The lines of the commit file, the commit info first.
    fn into_lines(self, version: u64, permit: &Permit, commit_id: &str, now_ms: i64) -> Vec<Line> {
        let mut info = self.info;
        info.insert("timestamp".into(), json!(now_ms));
        info.insert("operation".into(), json!(self.operation));
        info.insert("operationParameters".into(), self.parameters);
        if let Some(read_version) = version.checked_sub(1) {
            info.insert("readVersion".into(), json!(read_version));
        }
        info.insert("engineInfo".into(), json!(concat!("seawall/", env!("CARGO_PKG_VERSION"))));
        info.insert(action::PERMIT_ID.into(), json!(permit.id()));
        info.insert(action::COMMIT_ID.into(), json!(commit_id));
        let first = Line { commit_info: Some(info), ..Line::default() };
        std::iter::once(first).chain(self.lines).collect()
    }
}

impl DeltaStore {
    /// Writes the commit after `base`, the first one when there is none, and finds out whether it landed, whatever the
    /// store answers. Under the table's writer lock.
    pub(super) async fn land(
        &self,
        handle: &Arc<Handle>,
        base: Option<Arc<TableState>>,
        permit: &Permit,
        commit: Commit,
        lease: Option<&Lease>,
    ) -> Result<Landed> {
        commit.check(&handle.name, base.as_deref())?;
        match lease {
            Some(lease) => lease.check().await?,
            None if commit.removes() => {
                let message = format!("a commit to table {} removes files without its lease", handle.name);
                return Err(Error::internal(codes::LEASE_LOST, message));
            }
            None => {}
        }
        let version = base.as_ref().map_or(0, |base| base.version + 1);
        let commit_id = commit.id(&handle.name, version, permit).to_string();
        let lines = commit.into_lines(version, permit, &commit_id, self.now_ms());
        let payload = PutPayload::from(action::sealed_bytes(&lines));
        let put = handle.log.store().put_opts(&handle.log.commit_path(version), payload, PutMode::Create.into()).await;
        if let Err(error) = put {
            match handle.log.commit(version).await? {
                Some(found) if commit_info_text(&found, action::COMMIT_ID) == Some(&commit_id) => {}
                Some(_) => return Ok(Landed::Taken),
                // A store may answer "conflict" to two writers at once and let neither of them win.
                None if matches!(error, object_store::Error::AlreadyExists { .. }) => return Ok(Landed::Taken),
                None => return Err(not_landed(&handle.name, version, error)),
            }
        }
        // A folder that was exchanged meanwhile took a commit that belongs to nothing.
        self.home.check().await?;
        let state = handle.advance(base, lines, self.now())?;
        checkpoint_if_due(handle, &state).await;
        Ok(Landed::Yes(state))
    }
}

/// Writes a checkpoint beside the commits that follow, one at a time. It is a convenience: when it fails, the commits
/// stand and the log is read from an older one.
async fn checkpoint_if_due(handle: &Arc<Handle>, state: &Arc<TableState>) {
    if state.version == 0 || !state.version.is_multiple_of(checkpoint_interval(state.files.len())) {
        return;
    }
    handle.settled().await;
    let (of, state) = (Arc::clone(handle), Arc::clone(state));
    let writing = tokio::spawn(async move {
        let version = state.version;
        if let Err(error) = write_checkpoint(&of, state).await {
            tracing::warn!(table = %of.name, version, %error, "checkpoint failed, the log stays longer");
        }
    });
    *handle.checkpointing.lock() = Some(writing);
}

/// Commits between two checkpoints of a table with so many files. A checkpoint tells all of them, so a table with many has
/// fewer: what it costs per commit stays the same.
fn checkpoint_interval(files: usize) -> u64 {
    let portions = (files / FILES_PER_CHECKPOINT_INTERVAL).max(1).next_power_of_two();
    CHECKPOINT_INTERVAL * portions as u64
}

/// Writes the checkpoint of a state, then the pointer to it when it is the newest.
pub(super) async fn write_checkpoint(handle: &Handle, state: Arc<TableState>) -> Result<()> {
    let version = state.version;
    let encoded = compute(move || checkpoint::encode(&state)).await?;
    let store = handle.log.store();
    let failed = |e| log::storage(&format!("writing a checkpoint of table {}", handle.name), e);
    let location = handle.log.path(&checkpoint::name(version));
    store.put(&location, PutPayload::from_bytes(encoded.bytes)).await.map_err(failed)?;
    let pointer = handle.log.path("_last_checkpoint");
    let pointed = match store.get(&pointer).await {
        Ok(found) => checkpoint::pointed_version(&found.bytes().await.map_err(failed)?),
        Err(object_store::Error::NotFound { .. }) => None,
        Err(e) => return Err(failed(e)),
    };
    if pointed.is_none_or(|pointed| pointed <= version) {
        store.put(&pointer, PutPayload::from(encoded.pointer)).await.map_err(failed)?;
    }
    Ok(())
}

fn not_landed(table: &TableName, version: u64, error: object_store::Error) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        codes::COMMIT_FAILED,
        format!("committing version {version} of table {table} failed"),
    )
    .because(error)
    .hint("the log does not show it; trying again is safe, and finds out should it land after all")
}

/// A text of a commit's info.
pub(super) fn commit_info_text<'a>(lines: &'a [Line], key: &str) -> Option<&'a str> {
    lines.iter().find_map(|line| line.commit_info.as_ref())?.get(key)?.as_str()
}

/// Whether rows change, or only the files that hold them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    Change,
    Stay,
}

/// The line that takes a file out of the newest version.
pub(super) fn removal(file: &DataFile, now_ms: i64, rows: Rows) -> Line {
    let remove = Remove {
        path: file.add.path.clone(),
        deletion_timestamp: Some(now_ms),
        data_change: rows == Rows::Change,
        size: i64::try_from(file.bytes).ok(),
    };
    Line { remove: Some(remove), ..Line::default() }
}

/// What the lines of a commit tell of it.
pub(super) fn version_info(version: u64, lines: &[Line]) -> VersionInfo {
    let info = lines.iter().find_map(|line| line.commit_info.as_ref());
    let timestamp_ms = info.and_then(|info| info.get("timestamp")).and_then(Value::as_i64).unwrap_or(0);
    let moved = lines.iter().filter_map(|line| {
        let txn = line.txn.as_ref()?;
        Some((action::partition_of(&txn.app_id)?, seawall_base::Offset(u64::try_from(txn.version).ok()?)))
    });
    VersionInfo {
        version: TableVersion(version),
        committed_at: Instant(timestamp_ms.saturating_mul(1_000)),
        operation: commit_info_text(lines, "operation").unwrap_or("UNKNOWN").to_owned(),
        permit_id: commit_info_text(lines, action::PERMIT_ID).map(str::to_owned),
        moved: moved.collect(),
        added_files: lines.iter().filter(|line| line.add.is_some()).count(),
        removed_files: lines.iter().filter(|line| line.remove.is_some()).count(),
    }
}

/// Properties that make every other writer behave like Seawall.
pub(super) fn configuration(schema: &Schema, personal: &[String]) -> BTreeMap<String, String> {
    let public = schema.fields().iter().map(|field| field.name()).filter(|name| !personal.contains(name));
    let public: Vec<String> = public.map(|name| quoted(name)).collect();
    let names = serde_json::to_string(&sorted(personal)).expect("names are text");
    BTreeMap::from([
        ("delta.checkpointInterval".to_owned(), CHECKPOINT_INTERVAL.to_string()),
        ("delta.enableExpiredLogCleanup".to_owned(), "false".to_owned()),
        ("delta.dataSkippingStatsColumns".to_owned(), public.join(",")),
        (action::PERSONAL.to_owned(), names),
    ])
}

/// A column name as Delta's lists of columns spell it.
fn quoted(name: &str) -> String {
    let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if is_plain { name.to_owned() } else { format!("`{}`", name.replace('`', "``")) }
}

/// Metadata, and the protocol when the table has none or the schema needs more.
pub(super) fn schema_lines(metadata: Metadata, current: Option<&Protocol>, schema: &Schema) -> Vec<Line> {
    let needed = Protocol::of_table(schema::has_local_timestamps(schema.fields()));
    let upgrade = current.is_none_or(|current| current.min_writer_version < needed.min_writer_version);
    let mut lines = Vec::new();
    if upgrade {
        lines.push(Line { protocol: Some(needed), ..Line::default() });
    }
    lines.push(Line { meta_data: Some(metadata), ..Line::default() });
    lines
}

/// The names in order, each once.
pub(super) fn sorted(names: &[String]) -> Vec<&String> {
    let mut sorted: Vec<&String> = names.iter().collect();
    sorted.sort();
    sorted.dedup();
    sorted
}
