//! What a replay drives: the rows of each source with the instant at which each enters, and the decisions to serve.

use std::collections::HashSet;
use std::ops::Range;

use arrow::array::{Array, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use seawall_base::declare::{Connector, Files};
use seawall_base::error::Result;
use seawall_base::{Error, Hash, Instant};
use seawall_kernel::contract::Input;
use seawall_kernel::feature::key_hashes;

use crate::frame::Position;
use crate::gate::{Broken, Incoming, check};
use crate::load::{broken, input_of};
use crate::pipeline::Pipeline;
use crate::revision::{DatasetGate, SourceMap, instants};
use crate::serving::Decisions;
use crate::source::files::{self, FileToRead};

/// Rows read from a file at once.
const BATCH_ROWS: usize = 65_536;

/// The rows of one source, mapped, in the order in which they enter.
#[derive(Debug)]
pub struct Stream {
    /// The source.
    pub source: String,
    /// Name under which the log remembers how far this stream has come.
    pub id: String,
    /// Files that make it up.
    pub files: Vec<Hash>,
    /// Whether every row has entered already.
    pub entered: bool,
    /// Its dataset.
    pub dataset: String,
    /// Whether its rows are of the past: they enter when they were available, and arrive when they are loaded.
    pub history: bool,
    /// Rows, in order.
    pub chunks: Vec<Chunk>,
    /// Lines that could not be decoded.
    pub broken: Vec<Broken>,
}

/// Rows of one shape, in the order in which they enter.
#[derive(Debug)]
pub struct Chunk {
    /// The rows, mapped.
    pub rows: RecordBatch,
    /// When each enters; never decreasing, also across chunks.
    pub enters: Vec<Instant>,
    /// Whether cells are text still.
    pub input: Input,
}

/// Part of a chunk.
pub struct Part<'a> {
    /// The rows.
    pub rows: RecordBatch,
    /// When each enters.
    pub enters: &'a [Instant],
    /// Whether cells are text still.
    pub input: Input,
}

impl Stream {
    /// Reads the files of a source that have not entered yet, or all of them when every one has, and puts their rows
    /// into availability order. A row that the gate will stop has no availability: it enters with the row before it.
    pub async fn of_files(pipeline: &Pipeline, source: &str) -> Result<Stream> {
        let revision = pipeline.revision();
        let source = revision.source(source)?;
        let Connector::Files(declared) = &source.source.connector else {
            return Err(Error::invalid("SW0840", format!("source {:?} does not read files", source.source.name)));
        };
        if !source.source.history {
            return Err(Error::invalid("SW0851", format!("source {:?} cannot be replayed", source.source.name))
                .hint("declare `history: true` and `available_at:`, so that its rows have a place in time"));
        }
        let dataset = revision.dataset(&source.source.dataset)?;
        let listed = files::list(declared, &pipeline.parts.folder)?;
        let loads = pipeline.order.lock().await.loads.clone();
        let known = |file: &&FileToRead| loads.contains(&(source.source.name.clone(), file.hash));
        let entered = listed.iter().all(|file| known(&file));
        let chosen: Vec<&FileToRead> = listed.iter().filter(|file| entered || !known(file)).collect();
        let files: Vec<Hash> = chosen.iter().map(|file| file.hash).collect();
        let id = format!("{} {}", source.source.name, Hash::of_json(&files).short());
        pipeline.order.lock().await.check_finished(&source.source.name, Some(&id))?;
        let (mapped, broken) = read_mapped(source, declared, &chosen).await?;
        let input = input_of(declared.format);
        let mut chunks = Vec::new();
        if let Some(rows) = mapped {
            let enters = availabilities(source, dataset, &rows, input).await?;
            let mut order: Vec<u32> = (0..rows.num_rows() as u32).collect();
            order.sort_by_key(|row| enters[*row as usize]);
            let sorted = take_record_batch(&rows, &UInt32Array::from(order.clone()))?;
            let enters = order.iter().map(|row| enters[*row as usize]).collect();
            chunks.push(Chunk { rows: sorted, enters, input });
        }
        Ok(Stream {
            source: source.source.name.clone(),
            id,
            files,
            entered,
            dataset: dataset.dataset.name.clone(),
            history: true,
            chunks,
            broken,
        })
    }

    /// Rows of a live source with given arrivals, adapted by the source's map.
    pub async fn of_arrivals(
        pipeline: &Pipeline,
        source: &str,
        delivered: Vec<(RecordBatch, Vec<Instant>)>,
    ) -> Result<Stream> {
        let revision = pipeline.revision();
        let source = revision.source(source)?;
        let mut chunks = Vec::new();
        for (rows, enters) in delivered {
            let mapped = source.apply(&rows).await?;
            if mapped.num_rows() != enters.len() {
                return Err(Error::invalid(
                    "SW0852",
                    format!("the map of source {:?} drops or adds rows", source.source.name),
                )
                .hint("rows with given arrivals need a map that keeps one row per row"));
            }
            chunks.push(Chunk { rows: mapped, enters, input: Input::Typed });
        }
        Ok(Stream {
            source: source.source.name.clone(),
            id: source.source.name.clone(),
            files: Vec::new(),
            entered: false,
            dataset: source.source.dataset.clone(),
            history: false,
            chunks,
            broken: Vec::new(),
        })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.enters.len()).sum()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// When each row enters, with its position.
    pub fn rows(&self) -> impl Iterator<Item = (Instant, usize)> + '_ {
        self.chunks.iter().flat_map(|chunk| chunk.enters.iter().copied()).enumerate().map(|(i, at)| (at, i))
    }

    /// When the row at `position` enters.
    pub fn enters(&self, position: usize) -> Option<Instant> {
        let mut before = 0;
        for chunk in &self.chunks {
            if position < before + chunk.enters.len() {
                return Some(chunk.enters[position - before]);
            }
            before += chunk.enters.len();
        }
        None
    }

    /// Position of the first row that enters at or after `time`.
    pub fn position_at(&self, time: Instant) -> usize {
        let mut before = 0;
        for chunk in &self.chunks {
            let here = chunk.enters.partition_point(|enters| *enters < time);
            before += here;
            if here < chunk.enters.len() {
                return before;
            }
        }
        before
    }

    /// The rows from position `from` to `to`, by chunk.
    pub fn parts(&self, from: usize, to: usize) -> Vec<Part<'_>> {
        let mut parts = Vec::new();
        let mut before = 0;
        for chunk in &self.chunks {
            let length = chunk.enters.len();
            let range = clamp(from, to, before, length);
            before += length;
            if range.is_empty() {
                continue;
            }
            let rows = chunk.rows.slice(range.start, range.len());
            parts.push(Part { rows, enters: &chunk.enters[range], input: chunk.input });
        }
        parts
    }
}

fn clamp(from: usize, to: usize, before: usize, length: usize) -> Range<usize> {
    from.saturating_sub(before).min(length)..to.saturating_sub(before).min(length)
}

async fn read_mapped(
    source: &SourceMap,
    declared: &Files,
    chosen: &[&FileToRead],
) -> Result<(Option<RecordBatch>, Vec<Broken>)> {
    let mut mapped: Vec<RecordBatch> = Vec::new();
    let mut broken_lines = Vec::new();
    for file in chosen {
        for decoded in files::read(file, declared, BATCH_ROWS)? {
            let decoded = decoded?;
            broken_lines.extend(decoded.broken.iter().map(broken));
            mapped.push(source.apply(&decoded.batch).await?);
        }
    }
    let rows = match mapped.first() {
        Some(first) => Some(concat_batches(&first.schema(), &mapped)?),
        None => None,
    };
    Ok((rows, broken_lines))
}

/// When each mapped row could first be known.
async fn availabilities(
    source: &SourceMap,
    dataset: &DatasetGate,
    rows: &RecordBatch,
    input: Input,
) -> Result<Vec<Instant>> {
    let incoming = Incoming { mapped: true, ..Incoming::new(rows.clone(), input) };
    let checked = check(source, dataset, &incoming, Instant::MAX).await?;
    let declared = checked.declared.ok_or_else(|| {
        Error::invalid("SW0851", format!("source {:?} cannot be replayed", source.source.name))
            .hint("declare `available_at:` with a column or an expression, so that its rows have a place in time")
    })?;
    let mut known: Vec<Option<i64>> = vec![None; rows.num_rows()];
    for (row, available) in checked.accepted_rows.iter().zip(declared) {
        known[*row as usize] = available;
    }
    let first = known.iter().flatten().min().copied().unwrap_or(0);
    let mut previous = first;
    Ok(known
        .into_iter()
        .map(|available| {
            previous = available.unwrap_or(previous);
            Instant(previous)
        })
        .collect())
}

/// The decisions of one training set, by decision time.
pub(super) struct DecisionList {
    pub training_set: String,
    /// Name under which the log remembers how many were served.
    pub id: String,
    /// Accepted spine rows.
    pub rows: RecordBatch,
    /// Indices into `rows` by decision time.
    pub order: Vec<u32>,
    /// Decision times in that order.
    pub at: Vec<Instant>,
}

impl DecisionList {
    /// Some of the decisions, each knowing what was known at its own time.
    pub(super) fn decisions(&self, range: Range<usize>, position: Option<Position>) -> Result<Decisions> {
        let indices = UInt32Array::from(self.order[range.clone()].to_vec());
        let at = self.at[range].to_vec();
        Ok(Decisions { rows: take_record_batch(&self.rows, &indices)?, now: at.clone(), at, position })
    }
}

/// The decisions of every training set whose spine is among the streams: rows that pass the gate, the first of each key.
pub(super) async fn decisions(pipeline: &Pipeline, streams: &[Stream]) -> Result<Vec<DecisionList>> {
    let revision = pipeline.revision();
    let mut lists = Vec::new();
    for set in revision.training_sets.values() {
        let spine = revision.dataset(&set.spine.name)?;
        let mut batches = Vec::new();
        let mut id = format!("decisions of {}", set.training_set.name);
        for stream in streams.iter().filter(|stream| stream.dataset == set.spine.name) {
            let source = revision.source(&stream.source)?;
            id.push_str(&format!(" by {}", stream.id));
            for chunk in &stream.chunks {
                batches.push(accepted(source, spine, chunk).await?);
            }
        }
        let rows = concat_batches(&set.spine.schema, &batches)?;
        let order = first_of_each_key(&rows, &set.spine.primary_key)?;
        let times = instants(&rows, &set.training_set.rows.at)?;
        let mut order: Vec<u32> = order.into_iter().filter(|row| times.is_valid(*row as usize)).collect();
        order.sort_by_key(|row| times.value(*row as usize));
        let at = order.iter().map(|row| Instant(times.value(*row as usize))).collect();
        lists.push(DecisionList { training_set: set.training_set.name.clone(), id, rows, order, at });
    }
    Ok(lists)
}

async fn accepted(source: &SourceMap, dataset: &DatasetGate, chunk: &Chunk) -> Result<RecordBatch> {
    let incoming = Incoming { mapped: true, ..Incoming::new(chunk.rows.clone(), chunk.input) };
    let checked = check(source, dataset, &incoming, Instant::MAX).await?;
    let stopped = checked.rejected.is_some() || checked.halt.is_some();
    Ok(if stopped { RecordBatch::new_empty(dataset.dataset.schema.clone()) } else { checked.accepted })
}

fn first_of_each_key(rows: &RecordBatch, key: &[String]) -> Result<Vec<u32>> {
    let mut seen = HashSet::new();
    let mut first = Vec::with_capacity(rows.num_rows());
    for (row, hash) in key_hashes(rows, key)?.into_iter().enumerate() {
        if hash.is_none_or(|hash| seen.insert(hash)) {
            first.push(row as u32);
        }
    }
    Ok(first)
}
