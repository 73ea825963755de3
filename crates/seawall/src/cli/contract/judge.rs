//! Judges a file batch by batch, on every processor.
//!
//! One thread deals the file out in pieces, in rotation, to workers that decode a piece and examine its rows; what they
//! found is gathered in the same rotation, so in the order of the file, for the rules that compare rows. Every channel
//! is bounded: memory is that of a few batches, however long the file is.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use seawall_base::declare::{FileFormat, Files};
use seawall_base::error::Result;
use seawall_base::{Engine, Error, Hash, Instant, Reference};
use seawall_kernel::contract::{
    self, ExaminedBatch, Examiner, Gate, Input, Limits, Measured, Measurement, Mode, Reason, Tally,
};
use seawall_lake::query::{DataFusionEngine, EngineOptions};
use seawall_lake::table::MemoryStore;
use seawall_pipeline::source::files::{self, FileToRead, RowGroups};

/// Rows that are judged at once: their columns stay in the processor's cache.
const BATCH_ROWS: usize = 16_384;
/// Bytes of NDJSON that are decoded at once; a longer line ends the chunk.
const CHUNK_BYTES: u64 = 4 << 20;
/// Examined batches of one worker that wait for their turn: about a row group, so that nobody waits for the other.
const PARTS_WAITING_MAX: usize = 8;

/// What a file is held to.
pub(super) struct Judge<'a> {
    pub gate: &'a Gate,
    pub path: &'a Path,
    pub format: FileFormat,
    pub null_values: &'a [String],
    /// Whether bad rows are written out, so that batches are kept until their turn.
    pub writes_rows: bool,
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

/// A piece of the file, to be decoded.
enum Piece {
    RowGroup(usize),
    Lines(Vec<u8>),
    /// Text that depends on what stands before it and was decoded by the dealer.
    Decoded(Part),
}

/// Decoded rows.
struct Part {
    batch: RecordBatch,
    input: Input,
    /// Lines that could not be decoded: text and reasons.
    broken: Vec<(String, Vec<Reason>)>,
}

/// What was found in decoded rows.
struct Found<'g> {
    /// The rows, when bad ones are written out.
    batch: Option<RecordBatch>,
    broken: Vec<(String, Vec<Reason>)>,
    examined: std::result::Result<ExaminedBatch<'g>, Vec<Reason>>,
}

/// What connects a worker with the one who gathers.
struct Lane<'g> {
    told: Receiver<Told<'g>>,
    /// For what is not needed any more.
    done: Sender<Found<'g>>,
}

/// What a worker tells about its piece.
enum Told<'g> {
    Part(Found<'g>),
    End,
    Failed(Error),
}

impl<'g> Judge<'g> {
    /// Judges the file; `write` gets each bad row with its number, its reasons and its text.
    pub(super) fn run(
        &self,
        now: Instant,
        mut write: impl FnMut(u64, &[Reason], &dyn Fn() -> String) -> Result<()>,
    ) -> Result<Judgement> {
        let mut tally = Tally::of(self.gate);
        let mut judgement = Judgement::default();
        let file = Opened::of(self)?;
        if let Some(groups) = &file.row_groups {
            tally.expect_rows(groups.rows());
        }
        let examiner = tally.examiner();
        std::thread::scope(|scope| {
            let (mut doors, mut lanes): (Vec<_>, Vec<Lane<'_>>) = Default::default();
            for _ in 0..std::thread::available_parallelism().map_or(1, NonZero::get) {
                let (door, pieces) = sync_channel(1);
                let (lane, told) = sync_channel(PARTS_WAITING_MAX);
                let (done, given_back) = channel();
                let (file, examiner) = (&file, examiner.clone());
                scope.spawn(move || file.work(&examiner, &pieces, &lane, &given_back));
                doors.push(door);
                lanes.push(Lane { told, done });
            }
            let file = &file;
            let dealer = scope.spawn(move || file.deal(&doors));
            let outcome = gather(&lanes, &mut tally, &mut judgement, &mut write);
            // Workers and dealer end when nobody listens.
            drop(lanes);
            let dealt = dealer.join().map_err(|_| Error::internal("SW0893", "the reader died"))?;
            outcome.and(dealt)
        })?;
        judgement.rows = tally.rows();
        judgement.stopped = tally.stopped();
        judgement.unknown_columns = tally.unknown_columns().to_vec();
        judgement.rules = tally.finish(now);
        Ok(judgement)
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
        let file = &Opened::of(self)?;
        std::thread::scope(|scope| {
            let (door, pieces) = sync_channel(1);
            let dealer = scope.spawn(move || file.deal(&[door]));
            for piece in &pieces {
                file.decode(piece, &mut |part| {
                    batches.push(self.gate.check(&part.batch, part.input, Instant(0)).accepted);
                    true
                })?;
            }
            dealer.join().map_err(|_| Error::internal("SW0893", "the reader died"))?
        })?;
        Ok(concat_batches(&schema, &batches)?)
    }
}

/// The file as it is dealt out.
struct Opened<'j, 'g> {
    judge: &'j Judge<'g>,
    row_groups: Option<RowGroups>,
}

impl<'j, 'g> Opened<'j, 'g> {
    fn of(judge: &'j Judge<'g>) -> Result<Self> {
        let row_groups = match judge.format {
            FileFormat::Parquet => Some(RowGroups::open(judge.path, BATCH_ROWS)?),
            FileFormat::Ndjson | FileFormat::Csv => None,
        };
        Ok(Opened { judge, row_groups })
    }

    /// Deals the file's pieces out in rotation, until nobody takes them.
    fn deal(&self, doors: &[SyncSender<Piece>]) -> Result<()> {
        let mut turn = doors.iter().cycle();
        let mut give = |piece| turn.next().is_some_and(|door| door.send(piece).is_ok());
        match (&self.row_groups, self.judge.format) {
            (Some(groups), _) => {
                let _ = (0..groups.count()).all(|group| give(Piece::RowGroup(group)));
                Ok(())
            }
            (None, FileFormat::Ndjson) => self.deal_lines(give),
            (None, _) => self.deal_records(give),
        }
    }

    fn deal_lines(&self, mut give: impl FnMut(Piece) -> bool) -> Result<()> {
        let mut lines = BufReader::with_capacity(1 << 18, File::open(self.judge.path)?);
        loop {
            let mut chunk = Vec::new();
            lines.by_ref().take(CHUNK_BYTES).read_to_end(&mut chunk)?;
            if chunk.is_empty() {
                return Ok(());
            }
            if chunk.last() != Some(&b'\n') {
                lines.read_until(b'\n', &mut chunk)?;
            }
            if !give(Piece::Lines(chunk)) {
                return Ok(());
            }
        }
    }

    fn deal_records(&self, mut give: impl FnMut(Piece) -> bool) -> Result<()> {
        let path = self.judge.path;
        let bytes = std::fs::metadata(path).map(|metadata| metadata.len()).unwrap_or(0);
        let file = FileToRead { path: path.to_path_buf(), bytes, hash: Hash::of(b"") };
        let declared = Files {
            path: path.display().to_string(),
            format: self.judge.format,
            null_values: self.judge.null_values.to_vec(),
        };
        for decoded in files::read(&file, &declared, BATCH_ROWS)? {
            let decoded = decoded?;
            let broken = decoded.broken.into_iter().map(|line| {
                let message = format!("line {}: {}", line.line, line.message);
                (line.raw, vec![Reason { rule: "syntax".into(), column: None, message, mode: Mode::Quarantine }])
            });
            let part = Part { batch: decoded.batch, input: Input::Text, broken: broken.collect() };
            if !give(Piece::Decoded(part)) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Decodes a piece; `take` tells whether it wants more.
    fn decode(&self, piece: Piece, take: &mut dyn FnMut(Part) -> bool) -> Result<()> {
        match piece {
            Piece::Decoded(part) => {
                take(part);
            }
            Piece::Lines(chunk) => {
                let decoded = contract::decode_ndjson(self.judge.gate, &chunk, Limits::default());
                let broken = decoded.failures.into_iter().map(|failure| (failure.raw, failure.reasons));
                take(Part { batch: decoded.batch, input: Input::Typed, broken: broken.collect() });
            }
            Piece::RowGroup(group) => {
                let groups = self.row_groups.as_ref().ok_or_else(|| Error::internal("SW0893", "no row groups"))?;
                for decoded in groups.read(group)? {
                    if !take(Part { batch: decoded?.batch, input: Input::Typed, broken: Vec::new() }) {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    fn work(
        &self,
        examiner: &Examiner<'g>,
        pieces: &Receiver<Piece>,
        lane: &SyncSender<Told<'g>>,
        given_back: &Receiver<Found<'g>>,
    ) {
        for piece in pieces {
            let decoded = self.decode(piece, &mut |Part { batch, input, broken }| {
                // Whoever took memory gives it back, and finds it warm.
                given_back.try_iter().for_each(drop);
                let examined = examiner.examine(&batch, input);
                let batch = self.judge.writes_rows.then_some(batch);
                lane.send(Told::Part(Found { batch, broken, examined })).is_ok()
            });
            if lane.send(decoded.map_or_else(Told::Failed, |()| Told::End)).is_err() {
                return;
            }
        }
    }
}

/// Takes what the workers found in the order of the file.
fn gather<'g>(
    lanes: &[Lane<'g>],
    tally: &mut Tally<'g>,
    judgement: &mut Judgement,
    write: &mut impl FnMut(u64, &[Reason], &dyn Fn() -> String) -> Result<()>,
) -> Result<()> {
    for lane in lanes.iter().cycle() {
        loop {
            let found = match lane.told.recv() {
                Ok(Told::Part(found)) => found,
                Ok(Told::End) => break,
                Ok(Told::Failed(error)) => return Err(error),
                // The file was dealt out in rotation: whoever has no further piece is the first without one.
                Err(_) => return Ok(()),
            };
            let first = tally.rows();
            for (raw, reasons) in &found.broken {
                judgement.broken_lines += 1;
                write(first, reasons, &|| serde_json::Value::from(raw.as_str()).to_string())?;
            }
            let examined = match &found.examined {
                Ok(examined) => examined,
                Err(reasons) => {
                    judgement.refused = Some(reasons.clone());
                    return Ok(());
                }
            };
            let judged = tally.take(examined);
            if let Some(batch) = &found.batch {
                for row in &judged.rows {
                    let raw = || contract::raw_json(batch, row.row as usize);
                    write(first + u64::from(row.row), &row.reasons, &raw)?;
                }
            }
            // A worker that has no more pieces takes nothing back.
            let _ = lane.done.send(found);
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
