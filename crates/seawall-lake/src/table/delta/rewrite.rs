//! Rewrites: compaction, deletion of rows, return to an older version.
//!
//! Each is decided on one state, under the table's lease, and committed at the version after it. When an append took
//! that version, it is decided anew on the new state; what is written already is used again. A rewrite keeps the rows
//! that it does not delete as they are, with their identity, and never touches the cut.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::array::{Array, BooleanArray};
use seawall_base::upkeep::{Compaction, CompactionTargets, Deletion, RowsToDelete};
use serde_json::Value;

use super::commit::{Rows, removal};
use super::*;
use crate::table::action::{Add, Line};
use crate::table::compaction;
use crate::table::file::EncodedFile;
use crate::table::lease::Lease;
use crate::table::rules::version_moved;

/// How long an operation that somebody asked for waits for another one.
const OPERATION_PATIENCE: Duration = Duration::from_secs(5);

/// Bytes of files that are read at once while files are merged, but for a single larger file.
const MERGE_PORTION_BYTES: u64 = 4 << 20;
/// Files that are merged and read at the same time.
const MERGE_READS_INFLIGHT_MAX: usize = 8;

/// What a deletion makes of a file.
enum Remains {
    /// No row of it is selected.
    All,
    /// Some rows stay: in this file, which is written.
    Some { add: Box<Add>, deleted: u64 },
    /// No row stays.
    None { deleted: u64 },
}

impl DeltaStore {
    /// One run of a compaction. A table that somebody else works on is left for the next run.
    pub(super) async fn compact_once(
        &self,
        permit: &Permit,
        table: &TableName,
        targets: &CompactionTargets,
    ) -> Result<Compaction> {
        let handle = self.handle(table)?;
        let state = self.newest(&handle).await?;
        if compaction::choose(&state, targets).is_empty() {
            let version = TableVersion(state.version);
            return Ok(Compaction { version, merged_files: 0, written_files: 0, rows: 0, more: false });
        }
        let _rewriter = handle.rewriter.lock().await;
        let lease = handle.leases.take("compact").await?;
        let outcome = self.compact_under(&handle, &lease, permit, targets).await;
        lease.release().await;
        outcome
    }

    async fn compact_under(
        &self,
        handle: &Arc<Handle>,
        lease: &Lease,
        permit: &Permit,
        targets: &CompactionTargets,
    ) -> Result<Compaction> {
        let state = self.newest(handle).await?;
        let inputs = compaction::choose(&state, targets);
        if inputs.is_empty() {
            let version = TableVersion(state.version);
            return Ok(Compaction { version, merged_files: 0, written_files: 0, rows: 0, more: false });
        }
        let merged = self.merge(handle, lease, &state, &inputs).await?;
        let rows = merged.rows;
        let name = merged_name(handle, lease, &inputs, &merged.hash);
        let name = self.write_data_file(handle, &state, &name, &merged).await?;
        let mut add = self.add(name, merged, &state.metadata.personal()?).await?;
        add.data_change = false;
        for _ in 0..COMMIT_ATTEMPTS_MAX {
            let _writer = handle.writer.lock().await;
            let state = self.newest(handle).await?;
            // Only a program that knows no lease can have taken an input away; the commit would refuse it as well.
            if let Some(gone) = inputs.iter().find(|input| !state.files.contains_key(&input.path)) {
                return Err(taken_away(&handle.name, &gone.path));
            }
            let commit = compaction_commit(&inputs, &add, targets, self.now_ms());
            match self.land(handle, Some(state), permit, commit, Some(lease)).await? {
                Landed::Yes(state) => {
                    return Ok(Compaction {
                        version: TableVersion(state.version),
                        merged_files: inputs.len(),
                        written_files: 1,
                        rows,
                        more: !compaction::choose(&state, targets).is_empty(),
                    });
                }
                // No pause: whoever took the version appends again at once, and this commit is the one that is ready.
                Landed::Taken => {}
            }
        }
        Err(contended(&handle.name))
    }

    /// The rows of some files, one file after the other, as one file.
    async fn merge(
        &self,
        handle: &Arc<Handle>,
        lease: &Lease,
        state: &TableState,
        inputs: &[Arc<DataFile>],
    ) -> Result<EncodedFile> {
        let mut silent: Vec<String> = state.metadata.personal()?;
        for input in inputs {
            silent.extend(file::silent_columns(input, &state.schema)?);
        }
        let mut encoder = file::Encoder::new(&state.schema, silent);
        for portion in portions(inputs) {
            lease.keep().await?;
            let portion = portion.to_vec();
            let reads = portion.clone().into_iter();
            let reads = reads.map(|input| async move { self.read_sized(&handle.name, &input.path, input.bytes).await });
            let read: Vec<Bytes> = stream::iter(reads).buffered(MERGE_READS_INFLIGHT_MAX).try_collect().await?;
            let schema = Arc::clone(&state.schema);
            encoder = compute(move || {
                for (input, bytes) in portion.iter().zip(read) {
                    if let Some(hash) = &input.hash {
                        file::check_hash(&bytes, hash, &input.path)?;
                    }
                    for batch in file::decode(bytes, &schema, &input.path)? {
                        encoder.write(&batch)?;
                    }
                }
                Ok(encoder)
            })
            .await?;
        }
        let merged = compute(move || encoder.finish()).await?;
        let known: Option<u64> = inputs.iter().map(|input| input.rows).sum();
        if known.is_some_and(|known| known != merged.rows) {
            let message = format!("merging files of table {} turned {known:?} rows into {}", handle.name, merged.rows);
            return Err(Error::internal(codes::COMMIT_FAILED, message));
        }
        Ok(merged)
    }

    /// Deletes rows from the newest version, also those that come while it works.
    pub(super) async fn delete_selected(
        &self,
        permit: &Permit,
        table: &TableName,
        rows: &RowsToDelete,
    ) -> Result<Deletion> {
        let handle = self.handle(table)?;
        self.newest(&handle).await?;
        let _rewriter = handle.rewriter.lock().await;
        let lease = handle.leases.wait("delete", OPERATION_PATIENCE).await?;
        let outcome = self.delete_under(&handle, &lease, permit, rows).await;
        lease.release().await;
        outcome
    }

    async fn delete_under(
        &self,
        handle: &Arc<Handle>,
        lease: &Lease,
        permit: &Permit,
        rows: &RowsToDelete,
    ) -> Result<Deletion> {
        let mut looked_at: BTreeMap<String, Remains> = BTreeMap::new();
        for _ in 0..COMMIT_ATTEMPTS_MAX {
            // Files that are there already are read without keeping appends waiting; what came meanwhile is little.
            let state = self.newest(handle).await?;
            self.look_at_files(handle, lease, &state, rows, &mut looked_at).await?;
            let _writer = handle.writer.lock().await;
            let state = self.newest(handle).await?;
            self.look_at_files(handle, lease, &state, rows, &mut looked_at).await?;
            let (commit, deletion) = deletion_commit(&state, &looked_at, rows, self.now_ms());
            if deletion.files == 0 {
                return Ok(deletion);
            }
            match self.land(handle, Some(state), permit, commit, Some(lease)).await? {
                Landed::Yes(state) => return Ok(Deletion { version: TableVersion(state.version), ..deletion }),
                Landed::Taken => {}
            }
        }
        Err(contended(&handle.name))
    }

    /// Splits the files that were not looked at yet.
    async fn look_at_files(
        &self,
        handle: &Arc<Handle>,
        lease: &Lease,
        state: &TableState,
        rows: &RowsToDelete,
        looked_at: &mut BTreeMap<String, Remains>,
    ) -> Result<()> {
        for data_file in state.files.values() {
            if !looked_at.contains_key(&data_file.path) {
                lease.check().await?;
                let remains = self.split(handle, lease, state, data_file, rows).await?;
                looked_at.insert(data_file.path.clone(), remains);
            }
        }
        Ok(())
    }

    async fn split(
        &self,
        handle: &Arc<Handle>,
        lease: &Lease,
        state: &TableState,
        data_file: &Arc<DataFile>,
        rows: &RowsToDelete,
    ) -> Result<Remains> {
        let bytes = self.read_data_file(&handle.name, data_file).await?;
        let (schema, shown) = (Arc::clone(&state.schema), data_file.path.clone());
        let (select, personal) = (Arc::clone(&rows.select), state.metadata.personal()?);
        let (kept, deleted) = compute(move || {
            let (mut kept, mut deleted) = (Vec::new(), 0u64);
            for batch in file::decode(bytes, &schema, &shown)? {
                let stays = stays(&select(&batch)?, batch.num_rows())?;
                deleted += (batch.num_rows() - stays.true_count()) as u64;
                let left = arrow::compute::filter_record_batch(&batch, &stays)?;
                if left.num_rows() > 0 {
                    kept.push(left);
                }
            }
            let is_rewritten = deleted > 0 && !kept.is_empty();
            let encoded = is_rewritten.then(|| file::encode(&kept, &schema, &personal)).transpose()?;
            Ok((encoded, deleted))
        })
        .await?;
        match kept {
            None if deleted == 0 => Ok(Remains::All),
            None => Ok(Remains::None { deleted }),
            Some(encoded) => {
                let name = merged_name(handle, lease, std::slice::from_ref(data_file), &encoded.hash);
                let name = self.write_data_file(handle, state, &name, &encoded).await?;
                let add = self.add(name, encoded, &state.metadata.personal()?).await?;
                Ok(Remains::Some { add: Box::new(add), deleted })
            }
        }
    }

    /// Shows the rows of an older version again.
    pub(super) async fn restore_rows(
        &self,
        permit: &Permit,
        table: &TableName,
        to: TableVersion,
        expected: TableVersion,
    ) -> Result<TableVersion> {
        let handle = self.handle(table)?;
        self.newest(&handle).await?;
        let _rewriter = handle.rewriter.lock().await;
        let lease = handle.leases.wait("restore", OPERATION_PATIENCE).await?;
        let outcome = self.restore_under(&handle, &lease, permit, to, expected).await;
        lease.release().await;
        outcome
    }

    async fn restore_under(
        &self,
        handle: &Arc<Handle>,
        lease: &Lease,
        permit: &Permit,
        to: TableVersion,
        expected: TableVersion,
    ) -> Result<TableVersion> {
        let _writer = handle.writer.lock().await;
        let state = self.newest(handle).await?;
        if state.version != expected.0 {
            return Err(version_moved(&handle.name, expected, state.version));
        }
        let older = self.state_at(handle, to).await?;
        let now_ms = self.now_ms();
        let goes = state.files.values().filter(|file| !older.files.contains_key(&file.path));
        let mut lines: Vec<Line> = goes.map(|file| removal(file, now_ms, Rows::Change)).collect();
        for data_file in older.files.values().filter(|file| !state.files.contains_key(&file.path)) {
            // Every byte of what comes back is compared with its hash first.
            lease.check().await?;
            self.read_data_file(&handle.name, data_file).await?;
            let add = Add { data_change: true, ..data_file.add.clone() };
            lines.push(Line { add: Some(add), ..Line::default() });
        }
        if lines.is_empty() {
            return Ok(expected);
        }
        let info = BTreeMap::from([("isBlindAppend".to_owned(), json!(false))]);
        let commit = Commit { operation: "RESTORE", parameters: json!({"version": to.0.to_string()}), info, lines };
        match self.land(handle, Some(state), permit, commit, Some(lease)).await? {
            Landed::Yes(state) => Ok(TableVersion(state.version)),
            Landed::Taken => Err(version_moved(&handle.name, expected, expected.0 + 1)),
        }
    }
}

/// The files in portions of [`MERGE_PORTION_BYTES`], in their order.
fn portions(files: &[Arc<DataFile>]) -> Vec<&[Arc<DataFile>]> {
    let (mut portions, mut from, mut bytes) = (Vec::new(), 0, 0u64);
    for (at, file) in files.iter().enumerate() {
        bytes = bytes.saturating_add(file.bytes);
        if bytes > MERGE_PORTION_BYTES && at > from {
            portions.push(&files[from..at]);
            (from, bytes) = (at, file.bytes);
        }
    }
    portions.push(&files[from..]);
    portions
}

fn compaction_commit(inputs: &[Arc<DataFile>], add: &Add, targets: &CompactionTargets, now_ms: i64) -> Commit {
    let mut lines: Vec<Line> = inputs.iter().map(|input| removal(input, now_ms, Rows::Stay)).collect();
    lines.push(Line { add: Some(add.clone()), ..Line::default() });
    let info = BTreeMap::from([("isBlindAppend".to_owned(), json!(false))]);
    let parameters = json!({"targetSize": targets.file_bytes.to_string()});
    Commit { operation: "OPTIMIZE", parameters, info, lines }
}

fn deletion_commit(
    state: &TableState,
    looked_at: &BTreeMap<String, Remains>,
    rows: &RowsToDelete,
    now_ms: i64,
) -> (Commit, Deletion) {
    let mut deletion = Deletion { version: TableVersion(state.version), rows: 0, files: 0 };
    let mut lines = Vec::new();
    for data_file in state.files.values() {
        let (add, deleted) = match looked_at.get(&data_file.path) {
            None | Some(Remains::All) => continue,
            Some(Remains::Some { add, deleted }) => (Some(add.as_ref().clone()), *deleted),
            Some(Remains::None { deleted }) => (None, *deleted),
        };
        deletion.rows += deleted;
        deletion.files += 1;
        lines.push(removal(data_file, now_ms, Rows::Change));
        lines.extend(add.map(|add| Line { add: Some(add), ..Line::default() }));
    }
    let info: BTreeMap<String, Value> =
        BTreeMap::from([("isBlindAppend".to_owned(), json!(false)), ("seawall.reason".to_owned(), json!(rows.reason))]);
    (Commit { operation: "DELETE", parameters: json!({}), info, lines }, deletion)
}

/// The rows that are not selected; a row of which nothing is said stays.
fn stays(selected: &BooleanArray, rows: usize) -> Result<BooleanArray> {
    if selected.len() != rows {
        let message = format!("a decision over {rows} rows was made for {} of them", selected.len());
        return Err(Error::internal(codes::ROWS_DO_NOT_FIT, message));
    }
    Ok((0..rows).map(|row| Some(selected.is_null(row) || !selected.value(row))).collect())
}

/// The name of a file that a rewrite makes. It carries the lease, so it never meets the name of another rewrite, whose
/// file a vacuum may be removing.
pub(super) fn merged_name(handle: &Arc<Handle>, lease: &Lease, inputs: &[Arc<DataFile>], content: &Hash) -> String {
    let epoch = lease.epoch().to_string();
    let mut parts: Vec<&[u8]> = vec![handle.name.as_str().as_bytes(), epoch.as_bytes(), &content.0];
    parts.extend(inputs.iter().map(|input| input.path.as_bytes()));
    format!("part-{}.parquet", Hash::of_parts(parts))
}

fn taken_away(table: &TableName, path: &str) -> Error {
    let message = format!("the file {path} left table {table} while it was being merged");
    Error::new(ErrorKind::Conflict, codes::LEASE_LOST, message)
        .hint("another program rewrites the table without taking its lease; nothing was changed")
}
