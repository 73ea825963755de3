//! Opening frames: what the boxes hold goes back into the columns that it came from.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{Field, Schema};
use bytes::Bytes;
use seawall_base::error::Result;
use seawall_base::{Error, Instant};
use seawall_kernel::contract::{Mode, Reason};
use seawall_storage::keys::{Key, KeyNumber, KeyRing};
use serde::{Deserialize, Serialize};

use super::cells::Sink;
use super::{NULLABLE, QUARANTINED, about};
use crate::frame::{Draft, Header, SealedParts, decode_batch};

/// The rule that an erased row of the quarantine names as its reason.
pub const ERASED_RULE: &str = "erased";

/// What of a frame cannot be opened any more, because its keys were destroyed. Only frames that were opened say so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erased {
    /// Accepted rows without their personal fields.
    pub accepted: u64,
    /// Quarantined rows of which only the reasons' place is left.
    pub quarantined: u64,
    /// When the last of these keys was destroyed.
    pub at: Option<Instant>,
}

/// The payload with everything opened that can be; as it is when nothing in it is sealed.
pub(crate) fn open(payload: &Bytes, ring: &KeyRing) -> Result<Bytes> {
    let Some(parts) = SealedParts::of(payload)? else { return Ok(payload.clone()) };
    let mut erased = Erased::default();
    let accepted = match decode_batch(payload.slice_ref(parts.accepted))? {
        Some(rows) => {
            let opened = Opening::of(&rows, parts.accepted_seal, ring)?;
            erased.note(&opened, |erased| &mut erased.accepted);
            Some(opened.rows)
        }
        None => None,
    };
    let quarantined = match decode_batch(payload.slice_ref(parts.quarantined))? {
        Some(rows) => {
            let opened = Opening::of(&rows, parts.quarantined_seal, ring)?;
            erased.note(&opened, |erased| &mut erased.quarantined);
            Some(opened.with_reason()?)
        }
        None => None,
    };
    let draft = Draft::of(accepted.as_ref(), None)?;
    if erased == Erased::default() {
        return draft.finish_with(parts.header, quarantined.as_ref());
    }
    let header = Header { erased: Some(erased), ..parts.header()? };
    draft.finish(&header, quarantined.as_ref(), None)
}

/// The newest key that a payload is sealed with; none when nothing in it is sealed, or it is damaged.
pub fn newest_key(payload: &[u8]) -> Option<KeyNumber> {
    let parts = SealedParts::of(payload).ok()??;
    let newest_of = |seal| {
        let mut reader = Reader(seal);
        reader.take::<8>()?;
        reader.columns(usize::from(u16::MAX))?;
        let boxes = reader.number()?;
        let mut newest = None;
        for _ in 0..boxes {
            newest = newest.max(Some(reader.next_box()?.key));
        }
        newest
    };
    newest_of(parts.accepted_seal).max(newest_of(parts.quarantined_seal))
}

impl Erased {
    fn note(&mut self, opened: &Opening, rows: impl Fn(&mut Erased) -> &mut u64) {
        *rows(self) += opened.erased_rows;
        self.at = self.at.max(opened.erased_at);
    }
}

/// Rows with their fields back.
struct Opening {
    rows: RecordBatch,
    erased_rows: u64,
    erased_at: Option<Instant>,
}

fn damaged(what: &str) -> Error {
    Error::corrupt("SW0802", format!("a log frame is damaged: {what}"))
}

impl Opening {
    fn of(rows: &RecordBatch, seal: &[u8], ring: &KeyRing) -> Result<Opening> {
        let mut reader = Reader(seal);
        let cut_off = || damaged("its sealed fields are cut off");
        let prefix: [u8; 8] = *reader.take().ok_or_else(cut_off)?;
        let columns = reader.columns(rows.num_columns()).ok_or_else(|| damaged("it seals columns that it has not"))?;
        let mut sinks = Vec::with_capacity(columns.len());
        for (index, _) in &columns {
            sinks.push(Sink::of(rows.schema_ref().field(*index).data_type(), rows.num_rows())?);
        }
        let mut opening = Opening { rows: rows.clone(), erased_rows: 0, erased_at: None };
        let mut places: Vec<Option<u32>> = vec![None; rows.num_rows()];
        let mut filled = 0;
        for ordinal in 0..reader.number().ok_or_else(cut_off)? {
            let mut nonce = [0; 12];
            nonce[..8].copy_from_slice(&prefix);
            nonce[8..].copy_from_slice(&ordinal.to_le_bytes());
            let sealed = reader.next_box().ok_or_else(cut_off)?;
            for row in sealed.rows.as_chunks::<4>().0 {
                let place = places.get_mut(u32::from_le_bytes(*row) as usize);
                if place.is_none_or(|place| place.replace(filled).is_some()) {
                    return Err(damaged("a row of it is sealed twice"));
                }
                filled += 1;
            }
            opening.take_box(&sealed, nonce, ring, &mut sinks)?;
        }
        let places: Option<UInt32Array> = places.into_iter().map(|place| place.map(Some)).collect();
        let places = places.ok_or_else(|| damaged("a row of it has no sealed fields"))?;
        opening.fill(&columns, sinks, &places)?;
        if reader.0.is_empty() { Ok(opening) } else { Err(damaged("bytes follow its sealed fields")) }
    }

    fn take_box(&mut self, sealed: &SealedBox<'_>, nonce: [u8; 12], ring: &KeyRing, sinks: &mut [Sink]) -> Result<()> {
        let rows = sealed.rows.len() / 4;
        let key = match ring.key(sealed.key)? {
            Key::Kept(key) => key,
            Key::Destroyed(at) => {
                sinks.iter_mut().for_each(|sink| (0..rows).for_each(|_| sink.push_null()));
                self.erased_rows += rows as u64;
                self.erased_at = self.erased_at.max(Some(at));
                return Ok(());
            }
        };
        let mut bytes = sealed.bytes.to_vec();
        let mut cells: &[u8] = key.open(nonce, &about(&key), &mut bytes)?;
        for _ in 0..rows {
            for sink in sinks.iter_mut() {
                sink.take(&mut cells).ok_or_else(|| damaged("its sealed fields are not what they must be"))?;
            }
        }
        if cells.is_empty() { Ok(()) } else { Err(damaged("a sealed box holds more than its rows")) }
    }

    /// Puts the columns back; one that was never null before may be where a key is gone.
    fn fill(&mut self, columns: &[(usize, bool)], sinks: Vec<Sink>, places: &UInt32Array) -> Result<()> {
        let mut fields: Vec<Field> = self.rows.schema_ref().fields().iter().map(|one| one.as_ref().clone()).collect();
        let mut values = self.rows.columns().to_vec();
        for ((index, nullable), sink) in columns.iter().zip(sinks) {
            fields[*index].set_nullable(*nullable || self.erased_rows > 0);
            values[*index] = take(&sink.finish()?, places, None)?;
        }
        self.rows = RecordBatch::try_new(Schema::new(fields).into(), values)
            .map_err(|e| damaged("its sealed fields do not fit its columns").because(e))?;
        Ok(())
    }

    /// Quarantined rows, with the reason in the place of what is erased.
    fn with_reason(self) -> Result<RecordBatch> {
        let Some(at) = self.erased_at else { return Ok(self.rows) };
        let message = format!("the key of the person whom the row is about was destroyed at {at}");
        let reason =
            Reason { rule: ERASED_RULE.to_owned(), column: None, message: message.clone(), mode: Mode::Quarantine };
        let texts = [serde_json::json!({ "_erased": message }).to_string(), crate::gate::reasons_json(&[reason])?];
        let mut fields: Vec<Field> = self.rows.schema_ref().fields().iter().map(|one| one.as_ref().clone()).collect();
        let mut values = self.rows.columns().to_vec();
        for (name, text) in QUARANTINED.iter().zip(&texts) {
            let index = self.rows.schema_ref().index_of(name)?;
            let column = self.rows.column(index).as_string_opt::<i32>().ok_or_else(|| damaged("_raw is no text"))?;
            let told: StringArray = column.iter().map(|value| Some(value.unwrap_or(text))).collect();
            fields[index].set_nullable(false);
            values[index] = Arc::new(told) as ArrayRef;
        }
        Ok(RecordBatch::try_new(Schema::new(fields).into(), values)?)
    }
}

/// A box as it lies in the frame.
struct SealedBox<'b> {
    key: KeyNumber,
    /// Indices of its rows, 4 bytes each.
    rows: &'b [u8],
    bytes: &'b [u8],
}

struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn take<const N: usize>(&mut self) -> Option<&'b [u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(*self.take()?))
    }

    /// Index of each sealed column, and whether it may be null.
    fn columns(&mut self, count: usize) -> Option<Vec<(usize, bool)>> {
        let columns = u16::from_le_bytes(*self.take()?);
        let mut read = Vec::with_capacity(usize::from(columns).min(count));
        for _ in 0..columns {
            let number = u16::from_le_bytes(*self.take()?);
            let index = usize::from(number & !NULLABLE);
            if index >= count || read.iter().any(|(known, _)| *known == index) {
                return None;
            }
            read.push((index, number & NULLABLE != 0));
        }
        Some(read)
    }

    fn next_box(&mut self) -> Option<SealedBox<'b>> {
        let key = KeyNumber(u64::from_le_bytes(*self.take()?));
        let rows = usize::try_from(self.number()?).ok()?.checked_mul(4)?;
        let (rows, rest) = self.0.split_at_checked(rows)?;
        self.0 = rest;
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(SealedBox { key, rows, bytes })
    }
}
