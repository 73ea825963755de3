//! Frames: what one log entry of the pipeline says.
//!
//! A frame holds the accepted rows of one request, the quarantined rows beside them, the counts that make the
//! accounting add up, and the permit that allowed it; or it references the staged files of a bulk load. Rows carry no
//! identity of their own in a frame: the log numbers them, accepted rows first, then quarantined ones. Personal fields are
//! sealed, see [`crate::sealing`].
//! The layout is documented in `docs/formats.md`.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;
use seawall_base::error::Result;
use seawall_base::{Error, Hash, Instant, LogEntry, Offset, Partition, Permit, StagedFile, TableVersion, column};
use seawall_catalog::{Counts, Departure, RuleFailures};
use serde::{Deserialize, Serialize};

use crate::receipt::RowVerdict;
use crate::revision::with_one_time;
use crate::sealing::{Erased, SealedRows};
use crate::transform::progress::Step;

#[cfg(test)]
mod tests;

/// Frames that are written: rows first, so that they can be encoded before the header is known.
const MAGIC: &[u8; 4] = b"SWF2";
/// Frames with sealed fields: like the others, with the boxes of each batch behind it.
const MAGIC_SEALED: &[u8; 4] = b"SWF3";
/// Frames of earlier releases: header first, and every batch of rows has its time columns.
const MAGIC_1: &[u8; 4] = b"SWF1";

/// The part of a frame that is not rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Dataset of the accepted rows.
    pub dataset: String,
    /// Source that delivered them.
    pub source: String,
    /// Permit under which they were taken in.
    pub permit: String,
    /// What became of the request's rows.
    pub counts: Counts,
    /// Rules that rows broke.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleFailures>,
    /// How far a driven stream has come with this frame, so that it can resume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// Files of the source that have entered wholly with this frame, row by row; they are never read again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<Hash>,
    /// The staged rows, when this frame makes a bulk load visible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<Load>,
    /// Set when this frame halts the dataset, or lets it go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halt: Option<Halt>,
    /// Set when this frame brings tables back: rows behind the kept ends are withdrawn from here on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<Restore>,
    /// Set when rows leave the dataset's quarantine with this frame; its accepted rows are the released ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub departure: Option<Departure>,
    /// Arrival and availability of all accepted rows, when these carry no time columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrival: Option<Instant>,
    /// The answer that is given again to a repeat of this request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// Set when a transform made this frame: how far it has come with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub derived: Option<Step>,
    /// What could not be opened any more. Never written to the log: only frames that were opened have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erased: Option<Erased>,
}

impl Header {
    /// A header that only accounts for rows.
    pub fn new(dataset: &str, source: &str, permit: &Permit, counts: Counts) -> Header {
        Header {
            dataset: dataset.to_owned(),
            source: source.to_owned(),
            permit: permit.id().to_owned(),
            counts,
            rules: Vec::new(),
            position: None,
            files: Vec::new(),
            load: None,
            halt: None,
            restore: None,
            departure: None,
            arrival: None,
            answer: None,
            derived: None,
            erased: None,
        }
    }
}

/// What was answered to a request with an idempotency key; counts and cut stand in the frame's header and entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Who sent the request.
    pub producer: String,
    /// The key that the producer gave it.
    pub key: String,
    /// Hash of what was sent.
    pub body: Hash,
    /// When it arrived.
    pub at: Instant,
    /// Verdicts of rows that were not simply accepted, as far as they were told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<RowVerdict>,
    /// Warnings by rule.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Columns that the contract does not know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown_columns: Vec<String>,
}

/// Tables brought back to what they showed at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restore {
    /// The moment.
    pub at: Instant,
    /// Why.
    pub reason: String,
    /// Datasets that lose rows.
    pub tables: BTreeMap<String, Restored>,
}

/// One table of a [`Restore`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// Rows of the live partition from this offset up to the frame are withdrawn.
    pub kept_end: u64,
    /// The newest version that shows the withdrawn rows.
    pub version_before: TableVersion,
}

/// How far a driven stream has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The stream: rows of a source, or the decisions of a training set.
    pub stream: String,
    /// How many of its rows have entered.
    pub rows: u64,
}

/// A change of a dataset's halt state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Halt {
    /// A rule in mode `halt` was broken: nothing is taken in until somebody resumes.
    Halted(String),
    /// Somebody resumed.
    Resumed,
}

/// A bulk load: rows staged as Parquet in a partition of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// The load's partition.
    pub partition: Partition,
    /// Content hash of the file it came from; the same file is never loaded twice by one source.
    pub file: Hash,
    /// Files staged in the dataset's table.
    pub staged: Vec<StagedFile>,
    /// End offset of the load's partition: accepted, then quarantined rows.
    pub end: Offset,
    /// Rows staged; the quarantined ones are numbered from here.
    pub staged_rows: u64,
}

/// One decoded frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// Everything but the rows.
    pub header: Header,
    /// Accepted rows: the dataset's columns, then `_arrival` and `_available_at`. Absent when there is none.
    pub accepted: Option<RecordBatch>,
    /// Quarantined rows, see [`quarantine_schema`], without identity. Absent when there is none.
    pub quarantined: Option<RecordBatch>,
}

impl Frame {
    /// Offsets that the log must give this frame: one per row that it carries itself in the live partition.
    pub fn live_rows(&self) -> u32 {
        if self.header.load.is_some() {
            return 0;
        }
        let rows = self.accepted_rows() + self.quarantined.as_ref().map_or(0, RecordBatch::num_rows);
        u32::try_from(rows).expect("requests are limited far below 2^32 rows")
    }

    fn accepted_rows(&self) -> usize {
        self.accepted.as_ref().map_or(0, RecordBatch::num_rows)
    }

    /// The payload of the log entry, with nothing sealed: for frames without personal fields.
    pub fn encode(&self) -> Result<Bytes> {
        self.encode_sealed(&FrameSeal::default())
    }

    /// The payload of the log entry.
    pub fn encode_sealed(&self, seal: &FrameSeal<'_>) -> Result<Bytes> {
        // When there is only one of the two batches, its seal makes the whole frame a sealed one.
        let accepted = seal.accepted.as_ref().or(seal.quarantined.as_ref());
        let draft = Draft::of(self.accepted.as_ref(), accepted)?;
        draft.finish(&self.header, self.quarantined.as_ref(), seal.quarantined.as_ref())
    }

    /// Reads back a payload that was opened; its rows share the payload's bytes.
    pub fn decode(payload: &Bytes) -> Result<Frame> {
        if is_sealed(payload) {
            let message = "a sealed log frame was to be read as if it were open";
            return Err(Error::internal("SW0828", message).hint("please report this as a bug"));
        }
        Frame::decode_public(payload)
    }

    /// Reads back a payload without what is sealed in it: those columns are null.
    pub(crate) fn decode_public(payload: &Bytes) -> Result<Frame> {
        let parts = Parts::of(payload)?;
        let header = parts.header()?;
        let accepted = match (decode_batch(payload.slice_ref(parts.accepted))?, header.arrival) {
            (Some(rows), Some(arrival)) => Some(with_one_time(&rows, arrival)?),
            (rows, _) => rows,
        };
        Ok(Frame { header, accepted, quarantined: decode_batch(payload.slice_ref(parts.quarantined))? })
    }

    /// Reads the header of a payload only.
    pub fn decode_header(payload: &[u8]) -> Result<Header> {
        Parts::of(payload)?.header()
    }

    /// The accepted rows with their identity, in the table's schema.
    pub fn numbered_accepted(&self, entry: &LogEntry) -> Result<Option<RecordBatch>> {
        match &self.accepted {
            Some(rows) => Ok(Some(number(rows, Partition::LIVE, entry.first)?)),
            None => Ok(None),
        }
    }

    /// The quarantined rows with their identity.
    pub fn numbered_quarantined(&self, entry: &LogEntry) -> Result<Option<RecordBatch>> {
        let Some(rows) = &self.quarantined else { return Ok(None) };
        let (partition, first) = match &self.header.load {
            Some(load) => (load.partition, Offset(load.staged_rows)),
            None => (Partition::LIVE, Offset(entry.first.0 + self.accepted_rows() as u64)),
        };
        Ok(Some(number(rows, partition, first)?))
    }
}

/// What of a frame is sealed, and with which keys.
#[derive(Default)]
pub struct FrameSeal<'k> {
    /// Of its accepted rows.
    pub accepted: Option<SealedRows<'k>>,
    /// Of its quarantined rows.
    pub quarantined: Option<SealedRows<'k>>,
}

/// Whether a payload has sealed fields.
pub(crate) fn is_sealed(payload: &[u8]) -> bool {
    payload.starts_with(MAGIC_SEALED)
}

/// Inserts `_partition` and `_lsn` before the last two columns (`_arrival`, `_available_at`).
pub fn number(rows: &RecordBatch, partition: Partition, first: Offset) -> Result<RecordBatch> {
    let count = rows.num_rows() as i64;
    let first = i64::try_from(first.0).map_err(|_| Error::internal("SW0803", "an offset exceeds 2^63"))?;
    let partition = i32::try_from(partition.0).map_err(|_| Error::internal("SW0803", "a partition exceeds 2^31"))?;
    let partitions: ArrayRef = Arc::new(Int32Array::from_value(partition, rows.num_rows()));
    let offsets: ArrayRef = Arc::new(Int64Array::from_iter_values(first..first + count));

    static FIELDS: LazyLock<[FieldRef; 2]> = LazyLock::new(|| {
        let field = |name, data_type| Arc::new(Field::new(name, data_type, false));
        [field(column::PARTITION, DataType::Int32), field(column::LSN, DataType::Int64)]
    });
    let own = rows.num_columns() - 2;
    let mut fields: Vec<FieldRef> = rows.schema_ref().fields().iter().cloned().collect();
    fields.splice(own..own, FIELDS.iter().cloned());
    let mut columns = rows.columns().to_vec();
    columns.splice(own..own, [partitions, offsets]);
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// Schema of a quarantine in a frame: `_raw` (the row as JSON, or the line as it came), `_reasons` (JSON list),
/// `_contract`, `_source`, `_arrival`, `_available_at`.
pub fn quarantine_schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    let instant = |name: &str| Field::new(name, crate::instant_type(), false);
    Arc::new(Schema::new(vec![
        text("_raw"),
        text("_reasons"),
        text("_contract"),
        text("_source"),
        instant(column::ARRIVAL),
        instant(column::AVAILABLE_AT),
    ]))
}

/// Bytes that are set aside for each row.
const ROW_BYTES: usize = 100;

/// The beginning of a payload: accepted rows, encoded before anybody knows their place in the order.
#[derive(Debug)]
pub(crate) struct Draft {
    bytes: Vec<u8>,
    is_sealed: bool,
}

impl Draft {
    /// Encodes accepted rows; without time columns when the header is to tell their arrival. A frame of which anything is
    /// sealed begins with a seal, also when it has no accepted rows.
    pub fn of(accepted: Option<&RecordBatch>, seal: Option<&SealedRows<'_>>) -> Result<Draft> {
        let mut bytes = Vec::with_capacity(1024 + ROW_BYTES * accepted.map_or(0, RecordBatch::num_rows));
        bytes.extend_from_slice(if seal.is_some() { MAGIC_SEALED } else { MAGIC });
        put_rows(&mut bytes, accepted, seal)?;
        Ok(Draft { bytes, is_sealed: seal.is_some() })
    }

    /// The whole payload.
    pub fn finish(
        mut self,
        header: &Header,
        quarantined: Option<&RecordBatch>,
        seal: Option<&SealedRows<'_>>,
    ) -> Result<Bytes> {
        assert!(
            quarantined.is_none() || self.is_sealed == seal.is_some(),
            "a frame is sealed as a whole or not at all"
        );
        match (seal, self.is_sealed) {
            // The form asks for both parts, also when there are no such rows.
            (None, true) => self.bytes.extend_from_slice(&[0; 8]),
            _ => put_rows(&mut self.bytes, quarantined, seal)?,
        }
        put_part(&mut self.bytes, |bytes| {
            serde_json::to_writer(bytes, header)
                .map_err(|e| Error::internal("SW0801", "cannot encode a frame header").because(e))
        })?;
        Ok(self.bytes.into())
    }

    /// The whole payload, not sealed, with a header that is encoded already.
    pub fn finish_with(mut self, header: &[u8], quarantined: Option<&RecordBatch>) -> Result<Bytes> {
        put_batch(&mut self.bytes, quarantined)?;
        put_part(&mut self.bytes, |bytes| {
            bytes.extend_from_slice(header);
            Ok(())
        })?;
        Ok(self.bytes.into())
    }
}

/// A payload, taken apart.
struct Parts<'p> {
    header: &'p [u8],
    accepted: &'p [u8],
    quarantined: &'p [u8],
}

impl<'p> Parts<'p> {
    fn of(payload: &'p [u8]) -> Result<Parts<'p>> {
        if let Some(sealed) = SealedParts::of(payload)? {
            let SealedParts { header, accepted, quarantined, .. } = sealed;
            return Ok(Parts { header, accepted, quarantined });
        }
        let (magic, rest) = payload.split_first_chunk::<4>().ok_or_else(|| damaged("it is cut off"))?;
        let (first, rest) = take_part(rest).ok_or_else(|| damaged("its first part is cut off"))?;
        let (second, rest) = take_part(rest).ok_or_else(|| damaged("its second part is cut off"))?;
        let (third, rest) = take_part(rest).ok_or_else(|| damaged("its third part is cut off"))?;
        if !rest.is_empty() {
            return Err(damaged("bytes follow its end"));
        }
        match magic {
            MAGIC => Ok(Parts { accepted: first, quarantined: second, header: third }),
            MAGIC_1 => Ok(Parts { header: first, accepted: second, quarantined: third }),
            _ => Err(damaged("it begins with none of SWF3, SWF2 and SWF1")),
        }
    }

    fn header(&self) -> Result<Header> {
        parse_header(self.header)
    }
}

/// A sealed payload, taken apart.
pub(crate) struct SealedParts<'p> {
    pub header: &'p [u8],
    pub accepted: &'p [u8],
    pub accepted_seal: &'p [u8],
    pub quarantined: &'p [u8],
    pub quarantined_seal: &'p [u8],
}

impl<'p> SealedParts<'p> {
    /// None when nothing is sealed in it.
    pub fn of(payload: &'p [u8]) -> Result<Option<SealedParts<'p>>> {
        let Some(mut rest) = payload.strip_prefix(MAGIC_SEALED) else { return Ok(None) };
        let mut next = || -> Result<&'p [u8]> {
            let (part, behind) = take_part(rest).ok_or_else(|| damaged("one of its parts is cut off"))?;
            rest = behind;
            Ok(part)
        };
        let (accepted, accepted_seal, quarantined, quarantined_seal, header) =
            (next()?, next()?, next()?, next()?, next()?);
        if !rest.is_empty() {
            return Err(damaged("bytes follow its end"));
        }
        Ok(Some(SealedParts { header, accepted, accepted_seal, quarantined, quarantined_seal }))
    }

    pub fn header(&self) -> Result<Header> {
        parse_header(self.header)
    }
}

fn parse_header(bytes: &[u8]) -> Result<Header> {
    serde_json::from_slice(bytes).map_err(|e| damaged("its header is not JSON").because(e))
}

fn damaged(what: &str) -> Error {
    Error::corrupt("SW0802", format!("a log frame is damaged: {what}"))
}

/// A part is preceded by its length; `write` appends it.
fn put_part(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<()> {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out)?;
    let length = u32::try_from(out.len() - at - 4).expect("requests are limited far below 4 GiB");
    out[at..at + 4].copy_from_slice(&length.to_le_bytes());
    Ok(())
}

/// Rows, and their boxes behind them when they are sealed.
fn put_rows(out: &mut Vec<u8>, batch: Option<&RecordBatch>, seal: Option<&SealedRows<'_>>) -> Result<()> {
    match (batch, seal) {
        (_, None) => put_batch(out, batch),
        (None, Some(_)) => {
            out.extend_from_slice(&[0; 8]);
            Ok(())
        }
        (Some(batch), Some(seal)) => {
            let mut boxes = Vec::new();
            let emptied = seal.put(batch, &mut boxes)?;
            put_batch(out, Some(&emptied))?;
            put_part(out, |out| {
                out.extend_from_slice(&boxes);
                Ok(())
            })
        }
    }
}

fn put_batch(out: &mut Vec<u8>, batch: Option<&RecordBatch>) -> Result<()> {
    put_part(out, |out| {
        let Some(batch) = batch else { return Ok(()) };
        let mut writer = StreamWriter::try_new(out, &batch.schema())?;
        writer.write(batch)?;
        Ok(writer.finish()?)
    })
}

fn take_part(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize)
}

pub(crate) fn decode_batch(bytes: Bytes) -> Result<Option<RecordBatch>> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let damaged = || damaged("its rows are no Arrow IPC stream");
    let batches = crate::ipc::read(bytes).map_err(|error| damaged().because(error))?;
    let first = batches.into_iter().next();
    first.map(Some).ok_or_else(damaged)
}
