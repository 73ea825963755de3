//! Decodes and examines rows piece by piece, on several threads.
//!
//! One thread deals the content out in pieces, in rotation, to workers that decode a piece and examine its rows; what they
//! found is gathered in the same rotation, so in the order of the file, for the rules that compare rows. Every channel
//! is bounded: memory is that of a few batches, however long the file is.

use std::io::{BufRead, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use seawall_base::declare::FileFormat;
use seawall_base::error::Result;
use seawall_base::{Error, Instant};
use seawall_kernel::contract::{self, ExaminedBatch, Examiner, Input, Limits, Mode, Reason, Tally};

use super::{Judge, Judgement};
use crate::source::files::{self, RowGroups};

/// Rows that are judged at once: their columns stay in the processor's cache.
const BATCH_ROWS: usize = 16_384;
/// Bytes of NDJSON that are decoded at once; a longer line ends the chunk.
const CHUNK_BYTES: u64 = 4 << 20;
/// Examined batches of one worker that wait for their turn: about a row group, so that nobody waits for the other.
const PARTS_WAITING_MAX: usize = 8;

/// Bytes that a cell takes at least once it is decoded.
const CELL_BYTES: u64 = 8;
/// Bytes that a line has at least, its end included.
const LINE_BYTES_MIN: u64 = 3;

/// A piece of the content, to be decoded.
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
    /// The rows, when bad ones are wanted.
    batch: Option<RecordBatch>,
    broken: Vec<(String, Vec<Reason>)>,
    examined: std::result::Result<ExaminedBatch<'g>, Vec<Reason>>,
}

/// What connects a worker with the one who gathers.
struct Lane<'g> {
    told: Receiver<Told<'g>>,
    /// For what is not needed any more; what waits here is no more than the lane held.
    done: Sender<Found<'g>>,
}

/// What a worker tells about its piece.
enum Told<'g> {
    Part(Found<'g>),
    End,
    Failed(Error),
}

/// Judges the content; `write` gets each bad row with its number, its reasons and its text.
pub(super) fn judge<'g>(
    judge: &Judge<'g>,
    tally: &mut Tally<'g>,
    judgement: &mut Judgement,
    mut write: impl FnMut(u64, &[Reason], &dyn Fn() -> String) -> Result<()>,
) -> Result<()> {
    let file = Opened::of(judge)?;
    if let Some(groups) = &file.row_groups {
        check_rows(judge, groups.rows())?;
        tally.expect_rows(groups.rows());
    }
    let examiner = tally.examiner();
    std::thread::scope(|scope| {
        let (mut doors, mut lanes): (Vec<_>, Vec<Lane<'_>>) = Default::default();
        for _ in 0..judge.bounds.workers.max(1) {
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
        let outcome = gather(judge, &lanes, tally, judgement, &mut write);
        // Workers and dealer end when nobody listens.
        drop(lanes);
        let dealt = dealer.join().map_err(|_| Error::internal("SW0893", "the reader died"))?;
        outcome.and(dealt)
    })
}

/// The rows that the gate accepts, as one batch.
pub(super) fn accepted(judge: &Judge<'_>) -> Result<RecordBatch> {
    let schema = judge.gate.dataset().schema.clone();
    let mut batches = Vec::new();
    let mut bytes = 0;
    let file = &Opened::of(judge)?;
    std::thread::scope(|scope| {
        let (door, pieces) = sync_channel(1);
        let dealer = scope.spawn(move || file.deal(&[door]));
        let mut outcome = Ok(());
        for piece in &pieces {
            outcome = outcome.and(judge.bounds.stop.check()).and_then(|()| {
                file.decode(piece, &mut |part| {
                    let batch = judge.gate.check(&part.batch, part.input, Instant(0)).accepted;
                    bytes += batch.get_array_memory_size() as u64;
                    batches.push(batch);
                    bytes <= judge.bounds.bytes_max
                })
            });
            if outcome.is_err() || bytes > judge.bounds.bytes_max {
                break;
            }
        }
        // The dealer ends when nobody takes its pieces.
        drop(pieces);
        let dealt = dealer.join().map_err(|_| Error::internal("SW0893", "the reader died"))?;
        outcome.and(dealt)
    })?;
    if bytes > judge.bounds.bytes_max {
        let message = format!("the accepted rows take more than {} bytes of memory", judge.bounds.bytes_max);
        return Err(
            Error::invalid("SW0254", message).hint("give fewer rows: rules about the whole table need them all")
        );
    }
    Ok(concat_batches(&schema, &batches)?)
}

/// Rows that a piece may have for all pieces to stay within the bounds: every row has a cell in each of the contract's
/// columns, of which there may be many.
fn rows_in_memory(judge: &Judge<'_>) -> u64 {
    let columns = judge.gate.dataset().schema.flattened_fields().len().max(1) as u64;
    let pieces = (judge.bounds.workers.max(1) * (PARTS_WAITING_MAX + 2)) as u64;
    judge.bounds.bytes_max / CELL_BYTES / pieces / columns
}

/// Rows of a batch.
fn rows_at_once(judge: &Judge<'_>) -> u64 {
    rows_in_memory(judge).clamp(1, BATCH_ROWS as u64)
}

fn check_rows(judge: &Judge<'_>, rows: u64) -> Result<()> {
    if rows > judge.bounds.rows_max {
        let message = format!("there are more than {} rows", judge.bounds.rows_max);
        return Err(Error::invalid("SW0254", message).hint("give fewer rows, or use `seawall contract test`"));
    }
    Ok(())
}

/// The file as it is dealt out.
struct Opened<'j, 'g> {
    judge: &'j Judge<'g>,
    row_groups: Option<RowGroups>,
}

impl<'j, 'g> Opened<'j, 'g> {
    fn of(judge: &'j Judge<'g>) -> Result<Self> {
        let row_groups = match judge.format {
            FileFormat::Parquet => {
                let groups = RowGroups::open(judge.content, rows_at_once(judge) as usize)?;
                let is_unbounded = judge.bounds.is_unbounded();
                Some(if is_unbounded { groups } else { groups.within(judge.bounds.bytes_max)? })
            }
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
        let mut lines = self.judge.content.open()?;
        let chunk_bytes = rows_in_memory(self.judge).saturating_mul(LINE_BYTES_MIN).clamp(1, CHUNK_BYTES);
        loop {
            let mut chunk = Vec::new();
            lines.by_ref().take(chunk_bytes).read_to_end(&mut chunk)?;
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
        let Judge { content, format, null_values, .. } = self.judge;
        for decoded in files::read_content(content, *format, null_values, rows_at_once(self.judge) as usize)? {
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
                let batch = self.judge.wants_rows.then_some(batch);
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
    judge: &Judge<'g>,
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
            judge.bounds.stop.check()?;
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
            check_rows(judge, tally.rows() + judgement.broken_lines)?;
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
