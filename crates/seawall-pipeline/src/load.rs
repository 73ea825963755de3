//! Bulk loads: files that do not pass through the log row by row.
//!
//! The rows of a file are gated and staged as Parquet, in a partition of their own, numbered while staging. One log
//! frame then makes the whole file visible: before it nothing of the file is, and after it everything is, exactly
//! once, because the frame carries the file's content hash. Staged files of a load that was cut off stay invisible.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use seawall_base::declare::{Connector, FileFormat};
use seawall_base::error::Result;
use seawall_base::{Error, ErrorKind, Instant, Offset, Partition, Permit, StagedFile, TableName};
use seawall_catalog::{Counts, RuleFailures};
use seawall_kernel::contract::{self, Input, Reason};
use serde::Serialize;

use crate::dedup::Keyed;
use crate::frame::{Frame, FrameSeal, Header, Load, number};
use crate::gate::{self, Broken, Incoming};
use crate::pipeline::Pipeline;
use crate::revision::{DatasetGate, SourceMap};
use crate::sealing::RowKeys;
use crate::source::files::{self, BrokenLine, FileToRead};

/// Rows gated at once.
const BATCH_ROWS: usize = 65_536;
/// Rows per staged file.
const FILE_ROWS: usize = 1_048_576;

/// What one pass over a source loaded.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Loaded {
    /// Files made visible by this pass.
    pub files: u64,
    /// Files that an earlier pass had loaded.
    pub files_known: u64,
    /// What became of their rows.
    pub counts: Counts,
}

/// Told after every batch.
pub type OnProgress<'a> = &'a (dyn Fn(&str, u64) + Send + Sync);

impl Pipeline {
    /// Loads every file of a `files` source that was not loaded before.
    pub async fn load_files(&self, permit: &Permit, source: &str, progress: OnProgress<'_>) -> Result<Loaded> {
        let revision = self.revision();
        let source = revision.source(source)?.clone();
        let Connector::Files(declared) = &source.source.connector else {
            return Err(Error::invalid("SW0840", format!("source {:?} does not read files", source.source.name)));
        };
        let dataset = revision.dataset(&source.source.dataset)?.clone();
        {
            let order = self.order.lock().await;
            order.check_finished(&source.source.name, None)?;
            order.check_open(&dataset.dataset.name)?;
        }
        let mut loaded = Loaded::default();
        for file in files::list(declared, &self.parts.folder)? {
            let key = (source.source.name.clone(), file.hash);
            if self.order.lock().await.loads.contains(&key) {
                loaded.files_known += 1;
                continue;
            }
            let counts = self.load_file(permit, &source, &dataset, &file, progress).await?;
            loaded.files += 1;
            crate::add_counts(&mut loaded.counts, &counts);
        }
        Ok(loaded)
    }

    async fn load_file(
        &self,
        permit: &Permit,
        source: &SourceMap,
        dataset: &DatasetGate,
        file: &FileToRead,
        progress: OnProgress<'_>,
    ) -> Result<Counts> {
        let partition = {
            let mut order = self.order.lock().await;
            order.next_load += 1;
            Partition(order.next_load - 1)
        };
        let mut staging = Staging::new(partition, self.parts.clock.now());
        let staged = self.stage_file(permit, source, dataset, file, &mut staging, progress).await;
        if let Err(error) = staged {
            self.forget(dataset, &staging.keys).await;
            return Err(error);
        }
        let Staging { files: staged, rows, counts, rules, quarantined, stopped, keys: fresh, .. } = staging;
        let quarantined = match quarantined.first() {
            Some(first) => Some(concat_batches(&first.schema(), &quarantined)?),
            None => None,
        };
        let end = Offset(rows + quarantined.as_ref().map_or(0, RecordBatch::num_rows) as u64);
        let keys = RowKeys::join(stopped);
        let header = Header {
            rules,
            load: Some(Load { partition, file: file.hash, staged, end, staged_rows: rows }),
            ..Header::new(&dataset.dataset.name, &source.source.name, permit, counts)
        };
        let frame = Frame { header, accepted: None, quarantined };
        let mut order = self.order.lock().await;
        order.confirm(&dataset.dataset.name, fresh);
        order.note(&frame);
        let seal = FrameSeal { accepted: None, quarantined: keys.as_ref().map(RowKeys::all) };
        gate::append_in_order(&self.parts.log, &frame, &seal, order).await?.durable().await?;
        Ok(counts)
    }

    async fn stage_file(
        &self,
        permit: &Permit,
        source: &SourceMap,
        dataset: &DatasetGate,
        file: &FileToRead,
        staging: &mut Staging,
        progress: OnProgress<'_>,
    ) -> Result<()> {
        let Connector::Files(declared) = &source.source.connector else {
            unreachable!("only `files` sources are loaded");
        };
        let table = TableName::dataset(&dataset.dataset.name)?;
        let input = input_of(declared.format);
        for decoded in files::read(file, declared, BATCH_ROWS)? {
            let decoded = decoded?;
            let incoming =
                Incoming { broken: decoded.broken.iter().map(broken).collect(), ..Incoming::new(decoded.batch, input) };
            self.stage_batch(source, dataset, &incoming, staging).await?;
            if staging.waiting_rows >= FILE_ROWS {
                self.stage_waiting(permit, &table, staging).await?;
            }
            progress(&source.source.name, staging.counts.received);
        }
        self.stage_waiting(permit, &table, staging).await
    }

    async fn stage_batch(
        &self,
        source: &SourceMap,
        dataset: &DatasetGate,
        incoming: &Incoming,
        staging: &mut Staging,
    ) -> Result<()> {
        let mut checked = gate::check(source, dataset, incoming, staging.arrival).await?;
        let received = (checked.raw.num_rows() + checked.broken.len()) as u64;
        staging.counts.received += received;
        if let Some(reason) = &checked.halt {
            return Err(Error::new(ErrorKind::Invalid, "SW0841", format!("the load halts: {}", reason.message))
                .hint("nothing of this file was kept; repair it and run again"));
        }
        if let Some(reasons) = &checked.rejected {
            staging.counts.rejected += received;
            for reason in reasons {
                gate::count_rule(&mut staging.rules, &reason.rule, reason.column.as_deref(), "reject", received);
            }
            return Ok(());
        }
        let arrivals = vec![staging.arrival.0; checked.raw.num_rows()];
        let mut verdicts = Vec::new();
        let mut order = self.order.lock().await;
        let unique = order.decide_uniqueness(dataset, &mut checked, &arrivals, &mut verdicts)?;
        drop(order);
        staging.counts.deduplicated += unique.deduplicated;
        staging.keys.extend(unique.fresh);
        for reasons in checked.quarantined.iter().map(|q| &q.reasons).chain(checked.broken.iter().map(|b| &b.reasons)) {
            for reason in reasons {
                gate::count_rule(&mut staging.rules, &reason.rule, reason.column.as_deref(), "quarantine", 1);
            }
        }
        staging.counts.accepted += checked.accepted.num_rows() as u64;
        staging.counts.quarantined += (checked.quarantined.len() + checked.broken.len()) as u64;
        if let Some(rows) = gate::quarantined_rows(source, dataset, &checked, &arrivals, staging.arrival)? {
            staging.quarantined.push(rows);
            staging.stopped.extend(checked.stopped_keys(dataset, &self.parts.keys).await?);
        }
        if let Some(rows) = gate::accepted_rows(source, &checked, &arrivals)? {
            staging.waiting_rows += rows.num_rows();
            staging.waiting.push(number(&rows, staging.partition, Offset(staging.rows))?);
            staging.rows += rows.num_rows() as u64;
        }
        Ok(())
    }

    async fn stage_waiting(&self, permit: &Permit, table: &TableName, staging: &mut Staging) -> Result<()> {
        if staging.waiting.is_empty() {
            return Ok(());
        }
        let waiting = std::mem::take(&mut staging.waiting);
        staging.waiting_rows = 0;
        staging.files.push(self.parts.tables.stage(permit, table, waiting).await?);
        Ok(())
    }

    async fn forget(&self, dataset: &DatasetGate, keys: &[Keyed]) {
        let mut order = self.order.lock().await;
        if let Some(index) = order.dedup.get_mut(&dataset.dataset.name) {
            index.forget(keys);
        }
    }
}

/// A load under way.
struct Staging {
    partition: Partition,
    arrival: Instant,
    files: Vec<StagedFile>,
    rows: u64,
    waiting: Vec<RecordBatch>,
    waiting_rows: usize,
    quarantined: Vec<RecordBatch>,
    /// The keys of their rows, when the dataset has personal fields.
    stopped: Vec<RowKeys>,
    counts: Counts,
    rules: Vec<RuleFailures>,
    keys: Vec<Keyed>,
}

impl Staging {
    fn new(partition: Partition, arrival: Instant) -> Self {
        Staging {
            partition,
            arrival,
            files: Vec::new(),
            rows: 0,
            waiting: Vec::new(),
            waiting_rows: 0,
            quarantined: Vec::new(),
            stopped: Vec::new(),
            counts: Counts::default(),
            rules: Vec::new(),
            keys: Vec::new(),
        }
    }
}

/// Cells of text files are text until the gate gives them a type; what a map has typed stays typed.
pub(crate) fn input_of(format: FileFormat) -> Input {
    match format {
        FileFormat::Csv | FileFormat::Ndjson => Input::Text,
        FileFormat::Parquet => Input::Typed,
    }
}

/// A broken line of a file, as the gate takes it.
pub(crate) fn broken(line: &BrokenLine) -> Broken {
    let message = format!("line {}: {}", line.line, line.message);
    let reason = Reason { rule: "decode".into(), column: None, message, mode: contract::Mode::Quarantine };
    Broken { line: None, raw: line.raw.clone(), reasons: vec![reason] }
}
