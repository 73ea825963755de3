//! Judges a file batch by batch: one thread decodes, another judges, a bounded channel between them.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use seawall_base::declare::{FileFormat, Files};
use seawall_base::error::Result;
use seawall_base::{Engine, Error, Hash, Instant, Reference};
use seawall_kernel::contract::{self, Gate, Input, Limits, Measured, Measurement, Mode, Reason, Tally};
use seawall_lake::query::{DataFusionEngine, EngineOptions};
use seawall_lake::table::MemoryStore;
use seawall_pipeline::source::files::{self, FileToRead};

/// Rows that are judged at once: their columns stay in the processor's cache.
const BATCH_ROWS: usize = 32_768;
/// Bytes of NDJSON that are decoded at once; a longer line ends the chunk.
const CHUNK_BYTES: u64 = 4 << 20;
/// Decoded batches that wait to be judged.
const BATCHES_WAITING_MAX: usize = 2;

/// What a file is held to.
pub(super) struct Judge<'a> {
    pub gate: &'a Gate,
    pub path: &'a Path,
    pub format: FileFormat,
    pub null_values: &'a [String],
}

/// What became of it.
#[derive(Debug, Default)]
pub(super) struct Judgement {
    pub rows: u64,
    /// Rows that a rule stops.
    pub stopped: u64,
    /// Lines that could not be decoded; they are no rows.
    pub broken_lines: u64,
    /// Why the file as a whole does not fit.
    pub refused: Option<Vec<Reason>>,
    pub unknown_columns: Vec<String>,
    pub rules: Vec<Measured>,
    pub table_rules: Vec<TableMeasured>,
    pub took_ms: i64,
}

/// What a rule about the whole table found, or why it was not asked.
#[derive(Debug)]
pub(super) struct TableMeasured {
    pub rule: String,
    pub column: Option<String>,
    pub description: String,
    pub outcome: std::result::Result<Measurement, String>,
}

impl TableMeasured {
    /// Whether the rule was asked and holds, or was not asked.
    pub(super) fn holds(&self) -> bool {
        self.outcome.as_ref().map_or(true, |found| found.holds)
    }
}

/// Rows on their way from the decoder.
struct Part {
    batch: RecordBatch,
    input: Input,
    /// Lines that could not be decoded: text and reasons.
    broken: Vec<(String, Vec<Reason>)>,
}

impl Judge<'_> {
    /// Judges the file; `write` gets each bad row with its number, its reasons and its text.
    pub(super) fn run(
        &self,
        now: Instant,
        mut write: impl FnMut(u64, &[Reason], &dyn Fn() -> String) -> Result<()>,
    ) -> Result<Judgement> {
        let mut tally = Tally::of(self.gate);
        let mut judgement = Judgement::default();
        std::thread::scope(|scope| {
            let (parts, waiting) = sync_channel(BATCHES_WAITING_MAX);
            let reader = scope.spawn(move || self.decode(&parts));
            let outcome = judge_parts(&waiting, &mut tally, &mut judgement, &mut write);
            // A decoder that still has something to say ends when nobody listens.
            drop(waiting);
            let decoded = reader.join().map_err(|_| Error::internal("SW0893", "the decoder died"))?;
            outcome.and(decoded)
        })?;
        judgement.rows = tally.rows();
        judgement.stopped = tally.stopped();
        judgement.unknown_columns = tally.unknown_columns().to_vec();
        judgement.rules = tally.finish(now);
        Ok(judgement)
    }

    fn decode(&self, parts: &SyncSender<Part>) -> Result<()> {
        match self.format {
            FileFormat::Ndjson => self.decode_ndjson(parts),
            FileFormat::Csv | FileFormat::Parquet => self.decode_columns(parts),
        }
    }

    fn decode_columns(&self, parts: &SyncSender<Part>) -> Result<()> {
        let bytes = std::fs::metadata(self.path).map(|metadata| metadata.len()).unwrap_or(0);
        let file = FileToRead { path: self.path.to_path_buf(), bytes, hash: Hash::of(b"") };
        let declared = Files {
            path: self.path.display().to_string(),
            format: self.format,
            null_values: self.null_values.to_vec(),
        };
        let input = if self.format == FileFormat::Parquet { Input::Typed } else { Input::Text };
        for decoded in files::read(&file, &declared, BATCH_ROWS)? {
            let decoded = decoded?;
            let broken = decoded.broken.into_iter().map(|line| {
                let message = format!("line {}: {}", line.line, line.message);
                (line.raw, vec![Reason { rule: "syntax".into(), column: None, message, mode: Mode::Quarantine }])
            });
            let part = Part { batch: decoded.batch, input, broken: broken.collect() };
            if parts.send(part).is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn decode_ndjson(&self, parts: &SyncSender<Part>) -> Result<()> {
        let mut lines = BufReader::with_capacity(1 << 18, File::open(self.path)?);
        let mut chunk = Vec::new();
        loop {
            chunk.clear();
            lines.by_ref().take(CHUNK_BYTES).read_to_end(&mut chunk)?;
            if chunk.is_empty() {
                return Ok(());
            }
            if chunk.last() != Some(&b'\n') {
                lines.read_until(b'\n', &mut chunk)?;
            }
            let decoded = contract::decode_ndjson(self.gate, &chunk, Limits::default());
            let broken = decoded.failures.into_iter().map(|failure| (failure.raw, failure.reasons));
            let part = Part { batch: decoded.batch, input: Input::Typed, broken: broken.collect() };
            if parts.send(part).is_err() {
                return Ok(());
            }
        }
    }

    /// Asks the rules about the whole table, of the rows that the gate accepts.
    pub(super) async fn ask_table_rules(&self) -> Result<Vec<TableMeasured>> {
        let rules = self.gate.table_rules();
        if rules.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.accepted()?;
        let engine = DataFusionEngine::over(Arc::new(MemoryStore::default()), EngineOptions::default())?;
        let name = self.gate.dataset().name.clone();
        let table = Reference { name, hash: Hash::of(b""), rows };
        let mut measured = Vec::new();
        for rule in rules {
            let outcome = match rule.tables.as_slice() {
                [] => ask(&engine, &rule.sql, &table).await.and_then(|answer| rule.judge(&answer)),
                tables => Err(format!("it also reads {}, which is not part of this file", tables.join(", "))),
            };
            measured.push(TableMeasured {
                rule: rule.rule.clone(),
                column: rule.column.clone(),
                description: rule.description.clone(),
                outcome,
            });
        }
        Ok(measured)
    }

    fn accepted(&self) -> Result<RecordBatch> {
        let schema = self.gate.dataset().schema.clone();
        let mut batches = Vec::new();
        std::thread::scope(|scope| {
            let (parts, waiting) = sync_channel(BATCHES_WAITING_MAX);
            let reader = scope.spawn(move || self.decode(&parts));
            for part in &waiting {
                batches.push(self.gate.check(&part.batch, part.input, Instant(0)).accepted);
            }
            reader.join().map_err(|_| Error::internal("SW0893", "the decoder died"))?
        })?;
        Ok(concat_batches(&schema, &batches)?)
    }
}

fn judge_parts(
    waiting: &Receiver<Part>,
    tally: &mut Tally<'_>,
    judgement: &mut Judgement,
    write: &mut impl FnMut(u64, &[Reason], &dyn Fn() -> String) -> Result<()>,
) -> Result<()> {
    for part in waiting {
        let first = tally.rows();
        for (raw, reasons) in &part.broken {
            judgement.broken_lines += 1;
            write(first, reasons, &|| serde_json::Value::from(raw.as_str()).to_string())?;
        }
        match tally.add(&part.batch, part.input) {
            Ok(judged) => {
                for row in &judged.rows {
                    let raw = || contract::raw_json(&part.batch, row.row as usize);
                    write(first + u64::from(row.row), &row.reasons, &raw)?;
                }
            }
            Err(reasons) => {
                judgement.refused = Some(reasons);
                return Ok(());
            }
        }
    }
    Ok(())
}

async fn ask(engine: &DataFusionEngine, sql: &str, table: &Reference) -> std::result::Result<Vec<RecordBatch>, String> {
    let nothing = RecordBatch::new_empty(table.rows.schema());
    let map =
        engine.compile_map(sql, nothing.schema(), std::slice::from_ref(table)).await.map_err(|e| e.to_string())?;
    map.apply(&nothing).await.map(|answer| vec![answer]).map_err(|e| e.to_string())
}
