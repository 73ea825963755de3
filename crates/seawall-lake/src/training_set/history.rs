//! The history of a view: in memory while it fits, and otherwise divided by entity over temporary files.
//!
//! Entities are independent of one another, so a history that is larger than the budget is read portion by portion and
//! each row appended to the file of its entity's share. The shares are then swept one after the other, each with the
//! decisions of its entities. The files are Arrow streams in a folder that vanishes with the history; they are not synced,
//! because a build that is cut off is done again from the tables.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array};
use arrow::compute::{interleave, take_record_batch};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use seawall_base::engine::BuildProgress;
use seawall_base::error::{Error, ErrorKind, Result};
use seawall_base::table::{TableName, TableStore, TableVersion};
use seawall_base::{Computed, Instant, Permit};
use seawall_kernel::feature::{Decisions, SweepOptions, ViewPlan, entity_keys, entity_shares, sweep_with};
use tempfile::TempDir;

use crate::codes;

/// A sweep needs about so many times the bytes of the rows that it sweeps.
const SWEEP_BYTES_PER_BYTE: usize = 3;
/// Shares that a history is divided into at most; each is an open file while it is written.
const SHARES_MAX: usize = 256;

/// How much of a history may be in memory, and where the rest goes.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    /// Bytes of rows.
    pub bytes: usize,
    /// The folder for temporary files; the system's when absent.
    pub folder: Option<PathBuf>,
}

/// What is swept for one view: decisions over the rows of `entity`, its entity columns under the view's names.
pub(super) struct Asked {
    pub entity: RecordBatch,
    pub at: Vec<Instant>,
    pub known: Vec<Instant>,
    /// Empty when no decision has an own row.
    pub own: Vec<Option<u128>>,
}

/// The rows of a view's dataset.
pub(super) enum History {
    /// All of them.
    Memory(Vec<RecordBatch>),
    /// Shares in files.
    Spilled(Spill),
}

impl History {
    /// Reads the plan's columns, keeping what fits the budget in memory.
    pub async fn read(
        source: &Source<'_>,
        plan: &Arc<ViewPlan>,
        budget: &Budget,
        progress: &BuildProgress,
    ) -> Result<History> {
        let columns = plan.input_columns();
        let mut held: Vec<RecordBatch> = Vec::new();
        let (mut bytes, mut rows) = (0, 0u64);
        let mut spill: Option<Spill> = None;
        let mut portion = 0;
        while let Some(batches) = source.portion(&columns, portion).await? {
            portion += 1;
            bytes += batches.iter().map(RecordBatch::get_array_memory_size).sum::<usize>();
            let read = rows_of(&batches);
            rows += read;
            progress.advance(read);
            held.extend(batches);
            if spill.is_none() && bytes > budget.bytes {
                let expected = bytes as u128 * u128::from(source.rows.max(rows)) / u128::from(rows.max(1));
                spill = Some(Spill::begin(Arc::clone(plan), expected, budget)?);
            }
            if let Some(begun) = spill {
                let batches = std::mem::take(&mut held);
                spill = Some(on_blocking_pool(move || begun.append(&batches)).await?);
            }
        }
        match spill {
            None => Ok(History::Memory(held)),
            Some(spill) => on_blocking_pool(move || spill.finish().map(History::Spilled)).await,
        }
    }

    /// The view's features for every decision, in order.
    pub fn sweep(
        self,
        plan: &Arc<ViewPlan>,
        asked: Asked,
        options: SweepOptions,
        progress: &BuildProgress,
    ) -> Result<RecordBatch> {
        match self {
            History::Memory(rows) => {
                let keys = entity_keys(plan, &asked.entity)?;
                let decisions = Decisions { keys, at: asked.at, known: asked.known, own: asked.own, cuts: None };
                let answers = sweep_with(plan, &rows, &decisions, options)?;
                progress.advance(rows_of(&rows));
                Ok(answers)
            }
            History::Spilled(spill) => spill.sweep(&asked, options, progress),
        }
    }
}

/// A version of a table, and how many rows it has.
pub(super) struct Source<'a> {
    pub store: &'a dyn TableStore,
    pub permit: &'a Permit,
    pub table: TableName,
    pub version: TableVersion,
    pub rows: u64,
    /// What the view computes from each row.
    pub computed: Computed,
}

impl Source<'_> {
    async fn portion(&self, columns: &[String], portion: usize) -> Result<Option<Vec<RecordBatch>>> {
        let read = self.store.scan_portion(self.permit, &self.table, self.version, Some(columns), portion).await?;
        match read {
            Some(batches) => self.computed.apply_all(batches).await.map(Some),
            None => Ok(None),
        }
    }
}

/// A history in files, one per share.
pub(super) struct Spill {
    plan: Arc<ViewPlan>,
    folder: TempDir,
    shares: u32,
    /// By share; none before its first row.
    writers: Vec<Option<StreamWriter<BufWriter<File>>>>,
}

impl Spill {
    /// A spill of about `expected` bytes, in shares that can be swept within the budget.
    fn begin(plan: Arc<ViewPlan>, expected: u128, budget: &Budget) -> Result<Spill> {
        let wanted = expected * SWEEP_BYTES_PER_BYTE as u128 / budget.bytes.max(1) as u128 + 1;
        let shares = wanted.clamp(2, SHARES_MAX as u128) as u32;
        let mut builder = tempfile::Builder::new();
        builder.prefix("seawall-history-");
        let folder = match &budget.folder {
            Some(folder) => builder.tempdir_in(folder),
            None => builder.tempdir(),
        };
        let folder = folder.map_err(|e| failed("making a folder for them", &plan).because(e))?;
        Ok(Spill { plan, folder, shares, writers: (0..shares).map(|_| None).collect() })
    }

    fn path(&self, share: usize) -> PathBuf {
        self.folder.path().join(format!("{share}.arrow"))
    }

    /// Appends each row to the file of its entity's share; a row without an entity is no decision's.
    fn append(mut self, batches: &[RecordBatch]) -> Result<Spill> {
        for batch in batches {
            let mut entity: Vec<ArrayRef> = Vec::with_capacity(self.plan.view().entity.len());
            for name in &self.plan.view().entity {
                let column =
                    batch.column_by_name(name).ok_or_else(|| failed(&format!("finding {name}"), &self.plan))?;
                entity.push(Arc::clone(column));
            }
            let rows = rows_by_share(&entity_shares(&self.plan, &entity, self.shares)?, self.shares);
            for (share, rows) in rows.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
                self.write(share, &take_record_batch(batch, &UInt32Array::from(rows))?)?;
            }
        }
        Ok(self)
    }

    fn write(&mut self, share: usize, rows: &RecordBatch) -> Result<()> {
        let path = self.path(share);
        let unwritten = |e: ArrowError| failed("writing them", &self.plan).because(e);
        let writer = match &mut self.writers[share] {
            Some(writer) => writer,
            none => {
                let file = File::create(path).map_err(|e| failed("making a file", &self.plan).because(e))?;
                none.insert(StreamWriter::try_new(BufWriter::new(file), &rows.schema()).map_err(unwritten)?)
            }
        };
        writer.write(rows).map_err(unwritten)
    }

    fn finish(mut self) -> Result<Spill> {
        for writer in self.writers.iter_mut().flatten() {
            writer.finish().map_err(|e| failed("writing them", &self.plan).because(e))?;
        }
        Ok(self)
    }

    /// The rows of a share.
    fn read(&self, share: usize) -> Result<Vec<RecordBatch>> {
        if self.writers[share].is_none() {
            return Ok(Vec::new());
        }
        let file = File::open(self.path(share)).map_err(|e| failed("opening a file", &self.plan).because(e))?;
        let unreadable = |e: ArrowError| failed("reading them again", &self.plan).because(e);
        let reader = StreamReader::try_new(BufReader::new(file), None).map_err(unreadable)?;
        reader.collect::<std::result::Result<_, _>>().map_err(unreadable)
    }

    fn sweep(&self, asked: &Asked, options: SweepOptions, progress: &BuildProgress) -> Result<RecordBatch> {
        let decisions = rows_by_share(&entity_shares(&self.plan, asked.entity.columns(), self.shares)?, self.shares);
        let mut answered: Vec<RecordBatch> = Vec::with_capacity(decisions.len());
        let mut places = vec![(decisions.len(), 0); asked.at.len()];
        for (share, of_share) in decisions.into_iter().enumerate() {
            for (place, decision) in of_share.iter().enumerate() {
                places[*decision as usize] = (share, place);
            }
            let rows = if of_share.is_empty() { Vec::new() } else { self.read(share)? };
            let of_share = asked.some(&self.plan, of_share)?;
            answered.push(sweep_with(&self.plan, &rows, &of_share, options)?);
            progress.advance(rows_of(&rows));
        }
        let schema = self.plan.output_schema();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
        for (feature, field) in schema.fields().iter().enumerate() {
            // A null key names no entity.
            let nobody = new_null_array(field.data_type(), 1);
            let arrays = answered.iter().map(|answers| answers.column(feature).as_ref());
            let arrays: Vec<&dyn Array> = arrays.chain([nobody.as_ref()]).collect();
            columns.push(interleave(&arrays, &places)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(places.len()));
        Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
    }
}

impl Asked {
    /// The decisions in these rows.
    fn some(&self, plan: &ViewPlan, rows: Vec<u32>) -> Result<Decisions> {
        let at = rows.iter().map(|row| self.at[*row as usize]).collect();
        let known = rows.iter().map(|row| self.known[*row as usize]).collect();
        let own =
            if self.own.is_empty() { Vec::new() } else { rows.iter().map(|row| self.own[*row as usize]).collect() };
        let entity = take_record_batch(&self.entity, &UInt32Array::from(rows))?;
        Ok(Decisions { keys: entity_keys(plan, &entity)?, at, known, own, cuts: None })
    }
}

fn rows_of(batches: &[RecordBatch]) -> u64 {
    batches.iter().map(|batch| batch.num_rows() as u64).sum()
}

/// The rows of each share, in order.
fn rows_by_share(of_rows: &[Option<u32>], shares: u32) -> Vec<Vec<u32>> {
    let mut rows = vec![Vec::new(); shares as usize];
    for (row, share) in (0u32..).zip(of_rows) {
        if let Some(share) = share {
            rows[*share as usize].push(row);
        }
    }
    rows
}

/// Runs work that waits for a disk on the blocking pool.
async fn on_blocking_pool<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| Error::internal(codes::ENGINE_STOPPED, "keeping a history on disk was stopped").because(e))?
}

fn failed(doing: &str, plan: &ViewPlan) -> Error {
    let message = format!("the history of {} does not fit the memory, and {doing} on disk failed", plan.view().id());
    Error::new(ErrorKind::Unavailable, codes::SPILL, message)
        .hint("free space in the folder for temporary files (TMPDIR), then build again")
}

#[cfg(test)]
mod tests;
