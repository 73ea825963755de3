//! Sealing: personal fields lie in the log only sealed with the key of the person whom they are about.
//!
//! The frame of a dataset with personal columns keeps these columns empty and holds a sealed box per key instead, with the
//! cells of all rows of that key. So whoever destroys a key takes the fields out of every copy of the log. [`Seal`] says
//! which columns of a dataset, and finds the keys before the order is decided on; [`SealedRows`] seals while a frame is
//! encoded; [`OpenLog`] opens frames as they are read, so that nobody behind it knows of seals. A row whose key was
//! destroyed has nulls where its fields were, and the frame's header says so ([`Erased`]).
//!
//! The subject of a row is what its contract names (`seawall.subject`); rows without one, and lines that could not be
//! decoded, are sealed with the key of the dataset as a whole. The event time is never sealed: windows need it, whoever the
//! row was about.

mod cells;
mod open;
mod open_log;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, new_null_array};
use arrow::datatypes::{Field, Int64Type, Schema};
use arrow::util::display::array_value_to_string;
use seawall_base::error::Result;
use seawall_base::{Dataset, Error, Rng};
use seawall_storage::keys::{KeyRing, Subject, SubjectKey};

use cells::Source;
pub use open::newest_key;
pub(crate) use open::open;
pub use open::{ERASED_RULE, Erased};
pub use open_log::{OpenLog, open_entry};

/// Columns of a quarantined row that show what it was.
const QUARANTINED: [&str; 2] = ["_raw", "_reasons"];
/// What a sealed box is bound to besides its key.
const ABOUT: &[u8; 4] = b"SWF3";
/// Set in the index of a column that may be null by its own schema.
const NULLABLE: u16 = 1 << 15;

/// The kind of the subjects that stand for a dataset as a whole; no column has an empty name.
const WHOLE: &str = "";

/// The subject that rows of a dataset are sealed for when nobody is named.
pub fn whole_dataset(ring: &KeyRing, dataset: &str) -> Subject {
    ring.subject(WHOLE, dataset)
}

/// What of some rows is sealed, and for whom.
#[derive(Debug, Clone)]
pub struct Seal<'a> {
    ring: &'a KeyRing,
    dataset: &'a str,
    columns: Vec<String>,
    subject: Option<&'a str>,
}

impl<'a> Seal<'a> {
    /// The seal of a dataset's rows; none when it has no personal column.
    pub fn of(ring: &'a KeyRing, dataset: &'a Dataset) -> Option<Seal<'a>> {
        let is_sealed = |column: &&String| Some(*column) != dataset.event_time.as_ref();
        let mut columns: Vec<String> = dataset.personal.iter().filter(is_sealed).cloned().collect();
        if columns.is_empty() {
            return None;
        }
        columns.extend(dataset.subject.iter().filter(|subject| !dataset.personal.contains(subject)).cloned());
        Some(Seal { ring, dataset: &dataset.name, columns, subject: dataset.subject.as_deref() })
    }

    /// The keys of the rows of a request, made durably where they are missing. `raw` has all rows as they came; those at
    /// `accepted_rows` are `accepted` with their types.
    pub async fn keys(&self, accepted: &RecordBatch, accepted_rows: &[u32], raw: &RecordBatch) -> Result<RowKeys> {
        let mut subjects = vec![whole_dataset(self.ring, self.dataset)];
        let mut of_row: Vec<Option<u32>> = vec![None; raw.num_rows()];
        for (place, index) in self.subjects_of(accepted, 0..accepted.num_rows(), &mut subjects)?.into_iter().enumerate()
        {
            of_row[accepted_rows[place] as usize] = Some(index);
        }
        let others: Vec<usize> = (0..raw.num_rows()).filter(|row| of_row[*row].is_none()).collect();
        let named = self.subjects_of(raw, others.iter().copied(), &mut subjects)?;
        others.iter().zip(named).for_each(|(row, index)| of_row[*row] = Some(index));
        let mut known: HashMap<Subject, u32> = HashMap::new();
        // Many rows of a request may be about the same person.
        let mut distinct = Vec::with_capacity(subjects.len());
        let mut place = Vec::with_capacity(subjects.len());
        for subject in subjects {
            place.push(*known.entry(subject).or_insert_with(|| {
                distinct.push(subject);
                (distinct.len() - 1) as u32
            }));
        }
        let of_row = of_row.into_iter().map(|index| place[index.unwrap_or(0) as usize]).collect();
        let keys = self.ring.ensure(&distinct).await?;
        Ok(RowKeys { ring: self.ring.clone(), columns: self.columns.clone(), keys, of_row })
    }

    /// The keys of rows that are all accepted as they are.
    pub async fn keys_of(&self, rows: &RecordBatch) -> Result<RowKeys> {
        let all: Vec<u32> = (0..rows.num_rows() as u32).collect();
        self.keys(rows, &all, rows).await
    }

    /// Index in `subjects` of the subject of each of these rows; 0, the dataset as a whole, where there is none.
    fn subjects_of(
        &self,
        batch: &RecordBatch,
        rows: impl ExactSizeIterator<Item = usize>,
        subjects: &mut Vec<Subject>,
    ) -> Result<Vec<u32>> {
        let named = self.subject.and_then(|name| Some((name, batch.column_by_name(name)?)));
        let Some((name, column)) = named else { return Ok(vec![0; rows.len()]) };
        let mut of_row = Vec::with_capacity(rows.len());
        for row in rows {
            match subject_text(column, row)? {
                None => of_row.push(0),
                Some(id) => {
                    of_row.push(subjects.len() as u32);
                    subjects.push(self.ring.subject(name, &id));
                }
            }
        }
        Ok(of_row)
    }
}

/// The keys of rows of `table` that were made of those of `spine`, such as served vectors; none when that has no personal
/// column. Everything but `public` columns and those of Seawall is sealed: what is computed of a person is about that
/// person too.
pub async fn derived_keys(
    ring: &KeyRing,
    table: &str,
    spine: &Dataset,
    rows: &RecordBatch,
    public: &[&str],
) -> Result<Option<RowKeys>> {
    let Some(seal) = Seal::of(ring, spine) else { return Ok(None) };
    let fields = rows.schema_ref().fields().iter().map(|field| field.name());
    let is_sealed = |name: &&String| !name.starts_with('_') && !public.contains(&name.as_str());
    let seal = Seal { dataset: table, columns: fields.filter(is_sealed).cloned().collect(), ..seal };
    seal.keys_of(rows).await.map(Some)
}

/// The id of a row's subject as text, the same for every type that can hold it.
pub fn subject_text(column: &ArrayRef, row: usize) -> Result<Option<String>> {
    if column.is_null(row) {
        return Ok(None);
    }
    let text = if let Some(texts) = column.as_string_opt::<i32>() {
        texts.value(row).trim().to_owned()
    } else if let Some(numbers) = column.as_primitive_opt::<Int64Type>() {
        numbers.value(row).to_string()
    } else {
        array_value_to_string(column, row)?.trim().to_owned()
    };
    Ok((!text.is_empty()).then_some(text))
}

/// The keys of the rows of a request.
#[derive(Debug)]
pub struct RowKeys {
    ring: KeyRing,
    columns: Vec<String>,
    /// The first is that of the dataset as a whole.
    keys: Vec<SubjectKey>,
    /// Index of each row's key.
    of_row: Vec<u32>,
}

impl RowKeys {
    /// To seal the accepted rows at these rows of the request.
    pub fn accepted(&self, rows: &[u32]) -> SealedRows<'_> {
        self.sealed(self.columns.clone(), rows.iter().map(|row| self.of_row[*row as usize]).collect())
    }

    /// To seal the rows of the request as they are.
    pub fn all(&self) -> SealedRows<'_> {
        self.sealed(self.columns.clone(), self.of_row.clone())
    }

    /// To seal quarantined rows, these rows of the request first and then `broken` lines.
    pub fn quarantined(&self, rows: &[u32], broken: usize) -> SealedRows<'_> {
        let of_row = rows.iter().map(|row| self.of_row[*row as usize]).chain(std::iter::repeat_n(0, broken)).collect();
        self.sealed(quarantined_columns(), of_row)
    }

    /// The keys of these rows as quarantined ones, with `broken` lines behind them.
    pub fn of_stopped(mut self, broken: usize) -> RowKeys {
        self.of_row.extend(std::iter::repeat_n(0, broken));
        RowKeys { columns: quarantined_columns(), ..self }
    }

    /// The keys of the rows of all parts, one behind the other.
    pub fn join(parts: Vec<RowKeys>) -> Option<RowKeys> {
        let mut parts = parts.into_iter();
        let mut joined = parts.next()?;
        for part in parts {
            let before = joined.keys.len() as u32;
            joined.keys.extend(part.keys);
            joined.of_row.extend(part.of_row.into_iter().map(|index| index + before));
        }
        Some(joined)
    }

    fn sealed(&self, columns: Vec<String>, of_row: Vec<u32>) -> SealedRows<'_> {
        SealedRows { columns, keys: &self.keys, of_row, rng: self.ring.rng() }
    }
}

fn quarantined_columns() -> Vec<String> {
    QUARANTINED.map(str::to_owned).to_vec()
}

/// The columns of a batch that are to be sealed, and the key of each of its rows.
pub struct SealedRows<'k> {
    columns: Vec<String>,
    keys: &'k [SubjectKey],
    of_row: Vec<u32>,
    rng: &'k dyn Rng,
}

impl SealedRows<'_> {
    /// Appends the boxes of `batch` to `out`, see `docs/formats.md`; returns the batch without what is in them.
    pub(crate) fn put(&self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<RecordBatch> {
        assert_eq!(self.of_row.len(), batch.num_rows(), "each row has its key");
        let columns = self.columns_of(batch);
        let mut nonce = [0; 12];
        self.rng.fill(&mut nonce[..8]);
        out.extend_from_slice(&nonce[..8]);
        out.extend_from_slice(&(columns.len() as u16).to_le_bytes());
        for index in &columns {
            let nullable = if batch.schema_ref().field(*index).is_nullable() { NULLABLE } else { 0 };
            out.extend_from_slice(&(*index as u16 | nullable).to_le_bytes());
        }
        let mut sources = Vec::with_capacity(columns.len());
        for index in &columns {
            sources.push(Source::of(batch.column(*index))?);
        }
        let mut order: Vec<u32> = (0..batch.num_rows() as u32).collect();
        let key = |row: &u32| &self.keys[self.of_row[*row as usize] as usize];
        order.sort_by_key(|row| key(row).number());
        let boxes = order.chunk_by(|a, b| key(a).number() == key(b).number());
        out.extend_from_slice(&(boxes.clone().count() as u32).to_le_bytes());
        for (ordinal, rows) in boxes.enumerate() {
            nonce[8..].copy_from_slice(&(ordinal as u32).to_le_bytes());
            put_box(out, key(&rows[0]), nonce, rows, &sources)?;
        }
        emptied(batch, &columns)
    }

    fn columns_of(&self, batch: &RecordBatch) -> Vec<usize> {
        self.columns.iter().filter_map(|name| batch.schema_ref().index_of(name).ok()).collect()
    }
}

fn put_box(out: &mut Vec<u8>, key: &SubjectKey, nonce: [u8; 12], rows: &[u32], sources: &[Source]) -> Result<()> {
    out.extend_from_slice(&key.number().0.to_le_bytes());
    out.extend_from_slice(&(rows.len() as u32).to_le_bytes());
    for row in rows {
        out.extend_from_slice(&row.to_le_bytes());
    }
    let length_at = out.len();
    out.extend_from_slice(&[0; 4]);
    for row in rows {
        sources.iter().for_each(|source| source.put(*row as usize, out));
    }
    key.seal(nonce, &about(key), out, length_at + 4)?;
    let length = u32::try_from(out.len() - length_at - 4)
        .map_err(|_| Error::invalid("SW0826", "the personal fields of one request exceed 4 GiB"))?;
    out[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
    Ok(())
}

/// What a box is bound to: the form of frames and its key.
fn about(key: &SubjectKey) -> [u8; 12] {
    let mut about = [0; 12];
    about[..4].copy_from_slice(ABOUT);
    about[4..].copy_from_slice(&key.number().0.to_le_bytes());
    about
}

/// The batch with nulls in these columns.
fn emptied(batch: &RecordBatch, columns: &[usize]) -> Result<RecordBatch> {
    let mut fields: Vec<Field> = batch.schema_ref().fields().iter().map(|field| field.as_ref().clone()).collect();
    let mut values = batch.columns().to_vec();
    for index in columns {
        fields[*index].set_nullable(true);
        values[*index] = new_null_array(fields[*index].data_type(), batch.num_rows());
    }
    Ok(RecordBatch::try_new(Schema::new(fields).into(), values)?)
}
