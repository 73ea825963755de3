//! The order's checkpoint: what stands in it, and how it continues the one before.
//!
//! The body is JSON. The keys of deduplication lie in files of their own, called runs, which hold the keys that a dataset
//! got between two checkpoints, in the order of the log. A checkpoint writes only what is new, and merges the newest runs
//! as long as they are small beside it, so that their number grows with the logarithm of the keys.
//!
//! A run begins with the magic `SWKEYS__`, its version 1 and a zero, 4 bytes each; then come 40 bytes per row: hash of the
//! key, hash of the content (16 bytes each), arrival (8 bytes, microseconds). All numbers are little-endian.

use std::collections::BTreeMap;

use seawall_base::error::Result;
use seawall_base::{Cut, Error, ErrorKind, Instant, Offset, Span};
use seawall_storage::state::{Folder, NewFile};
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::dedup::{DedupIndex, Keyed, Unwritten};
use crate::gate::Order;
use crate::restore::Withdrawn;

const RUN_MAGIC: &[u8; 8] = b"SWKEYS__";
const RUN_VERSION: u32 = 1;
const RUN_HEADER_BYTES: usize = 16;
const ROW_BYTES: usize = 40;
/// Rows that an index takes back at once.
const ROWS_PER_RESTORE: usize = 1 << 18;
/// Rows of a merged run: a bound of what a merge holds in memory.
const MERGED_ROWS_MAX: u64 = 1_000_000;

/// The state of the order and of the tables' writer after the log's first `entries` entries.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Body {
    /// Identity of the log.
    pub log: u64,
    /// The first entry that is not in it.
    pub entries: u64,
    /// Offset of that entry's first row.
    pub end: Offset,
    /// [`Order`], but for what is kept apart.
    pub order: serde_json::Value,
    /// The restores of the log.
    pub withdrawn: Withdrawn,
    /// Deduplication, per dataset.
    pub keys: BTreeMap<String, Keys>,
    /// How far the tables are.
    pub tables: TablePosition,
}

/// Keys of a dataset.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Keys {
    /// The columns that were hashed.
    pub primary_key: Vec<String>,
    /// Keys that arrived longer ago may be missing, in microseconds.
    pub horizon_us: Option<i64>,
    /// In the order of the log.
    pub runs: Vec<Run>,
}

/// A file with keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Run {
    pub file: String,
    pub rows: u64,
    /// The newest arrival in it.
    pub newest: Instant,
}

/// How far the tables are: every row before entry `entries` is in its table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TablePosition {
    pub entries: u64,
    /// Cuts that the tables had then, or a little later.
    pub cuts: BTreeMap<String, Cut>,
}

/// What is taken from the order, under its lock, for the next checkpoint.
pub(crate) struct Taken {
    pub entries: u64,
    pub order: serde_json::Value,
    pub keys: BTreeMap<String, TakenKeys>,
}

/// What is taken of one dataset.
pub(crate) struct TakenKeys {
    pub primary_key: Vec<String>,
    pub horizon: Option<Span>,
    pub unwritten: Unwritten,
}

impl Taken {
    pub fn of(order: &mut Order) -> Result<Taken> {
        let small = serde_json::to_value(&*order)
            .map_err(|e| Error::internal("SW0441", "cannot write the order down").because(e))?;
        let take = |(name, index): (&String, &mut DedupIndex)| {
            let (primary_key, horizon) = (index.primary_key().to_vec(), index.horizon());
            (name.clone(), TakenKeys { primary_key, horizon, unwritten: index.take_unwritten() })
        };
        Ok(Taken { entries: order.entries, order: small, keys: order.dedup.iter_mut().map(take).collect() })
    }

    /// Gives everything back after a checkpoint that failed.
    pub fn give_back(self, order: &mut Order) {
        for (name, taken) in self.keys {
            if let Some(index) = order.dedup.get_mut(&name) {
                index.put_back(taken.unwritten);
            }
        }
    }
}

impl Keys {
    /// Whether they are good for an index of `primary_key` and `horizon`.
    pub fn serve(&self, primary_key: &[String], horizon: Option<Span>) -> bool {
        let reach_far_enough = match (self.horizon_us, horizon) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(kept), Some(wanted)) => wanted.0 <= kept,
        };
        self.primary_key == primary_key && reach_far_enough
    }

    /// Reads the index back.
    pub fn read(&self, folder: &Folder, horizon: Option<Span>) -> Result<DedupIndex> {
        let mut index = DedupIndex::continued(&self.primary_key, horizon);
        let rows: u64 = self.runs.iter().map(|run| run.rows).sum();
        index.reserve(usize::try_from(rows).unwrap_or(0));
        for run in &self.runs {
            let bytes = folder.read(&run.file)?;
            for rows in rows_of(&bytes, &run.file)?.chunks(ROWS_PER_RESTORE) {
                index.restore(&rows.iter().map(decode_row).collect::<Vec<_>>());
            }
        }
        Ok(index)
    }
}

/// The keys of the next checkpoint, whose new files go to `files`.
///
/// A dataset whose earlier keys cannot be read any more is left out from then on, which is said: the next start rebuilds
/// its keys.
pub(crate) fn next_keys(
    folder: &Folder,
    before: Option<&BTreeMap<String, Keys>>,
    taken: &BTreeMap<String, TakenKeys>,
    files: &mut Vec<NewFile>,
) -> Result<BTreeMap<String, Keys>> {
    // Datasets that this revision does not have keep what they had.
    let mut next = before.cloned().unwrap_or_default();
    for (dataset, taken) in taken {
        let runs = match next.remove(dataset) {
            _ if taken.unwritten.is_all => Vec::new(),
            Some(keys) => keys.runs,
            None => continue,
        };
        match next_runs(folder, runs, taken, files) {
            Ok(runs) => {
                let horizon_us = taken.horizon.map(|horizon| horizon.0);
                next.insert(dataset.clone(), Keys { primary_key: taken.primary_key.clone(), horizon_us, runs });
            }
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                warn!(dataset, code = error.code(), %error, "keys are damaged, the next start rebuilds them");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(next)
}

fn next_runs(folder: &Folder, mut runs: Vec<Run>, taken: &TakenKeys, files: &mut Vec<NewFile>) -> Result<Vec<Run>> {
    let newest = taken.unwritten.keys.iter().map(|row| row.arrival).chain(runs.iter().map(|run| run.newest)).max();
    if let (Some(newest), Some(horizon)) = (newest, taken.horizon) {
        runs.retain(|run| newest - run.newest <= horizon);
    }
    if taken.unwritten.keys.is_empty() {
        return Ok(runs);
    }
    let mut rows = taken.unwritten.keys.len() as u64;
    let mut merged = Vec::new();
    while let Some(last) = runs.pop_if(|last| last.rows <= 2 * rows && last.rows + rows <= MERGED_ROWS_MAX) {
        rows += last.rows;
        merged.push(last);
    }
    // As bytes all along: a merge holds its rows once, and one of the files that they come from.
    let mut content = Vec::with_capacity(RUN_HEADER_BYTES + ROW_BYTES * rows as usize);
    put_header(&mut content);
    let mut kept = Kept { content, rows: 0, newest: Instant::MIN };
    let oldest = newest.zip(taken.horizon).map_or(Instant::MIN, |(newest, horizon)| newest - horizon);
    for run in merged.iter().rev() {
        let bytes = folder.read(&run.file)?;
        rows_of(&bytes, &run.file)?.iter().for_each(|row| kept.put(row, oldest));
    }
    taken.unwritten.keys.iter().for_each(|row| kept.put(&encode_row(*row), oldest));
    let Kept { content, rows, newest } = kept;
    if rows > 0 {
        let name = folder.name(files.len());
        files.push(NewFile { name: name.clone(), content });
        runs.push(Run { file: name, rows, newest });
    }
    Ok(runs)
}

/// The rows of the next run.
struct Kept {
    content: Vec<u8>,
    rows: u64,
    newest: Instant,
}

impl Kept {
    /// Adds a row, unless it arrived before `oldest`.
    fn put(&mut self, row: &[u8; ROW_BYTES], oldest: Instant) {
        let arrival = decode_row(row).arrival;
        if arrival >= oldest {
            self.content.extend_from_slice(row);
            self.rows += 1;
            self.newest = self.newest.max(arrival);
        }
    }
}

fn put_header(bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(RUN_MAGIC);
    bytes.extend_from_slice(&RUN_VERSION.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
}

/// The rows of a run.
fn rows_of<'b>(bytes: &'b [u8], name: &str) -> Result<&'b [[u8; ROW_BYTES]]> {
    let damaged =
        || Error::corrupt("SW0442", format!("the keys in {name} are not what a program of this version wrote"));
    let (header, rows) = bytes.split_at_checked(RUN_HEADER_BYTES).ok_or_else(damaged)?;
    let (magic, version) = header.split_at(RUN_MAGIC.len());
    match rows.as_chunks() {
        (rows, []) if magic == RUN_MAGIC && version[..4] == RUN_VERSION.to_le_bytes() => Ok(rows),
        _ => Err(damaged()),
    }
}

fn encode_row(row: Keyed) -> [u8; ROW_BYTES] {
    let mut bytes = [0; ROW_BYTES];
    bytes[..16].copy_from_slice(&row.key.to_le_bytes());
    bytes[16..32].copy_from_slice(&row.content.to_le_bytes());
    bytes[32..].copy_from_slice(&row.arrival.0.to_le_bytes());
    bytes
}

fn decode_row(row: &[u8; ROW_BYTES]) -> Keyed {
    let number = |at: usize| u128::from_le_bytes(row[at..at + 16].try_into().expect("16 bytes"));
    let arrival = i64::from_le_bytes(row[32..].try_into().expect("8 bytes"));
    Keyed { arrival: Instant(arrival), key: number(0), content: number(16) }
}
