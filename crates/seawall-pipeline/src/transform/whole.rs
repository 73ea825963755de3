//! A transform that is not row-wise: the whole result over pinned versions, and what of it differs from the table.
//!
//! The result is compared with what the dataset's deduplication knows, key by key, so a run that was cut off is simply made
//! again, and equal inputs add nothing. Rows that the table or the quarantine holds as they are do not reach the gate.
//! Keys that vanished from the result are deleted from a changelog; of any other dataset they are counted and told.
//!
//! In memory are a hash of each key of the result, and one of each row in quarantine.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray, UInt32Array};
use arrow::compute::{cast, filter_record_batch, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema};
use seawall_base::engine::TransformRead;
use seawall_base::error::Result;
use seawall_base::ids::{DELETE, UPSERT};
use seawall_base::{Dataset, Error, Hash, Instant, TableName, TableVersion};
use seawall_catalog::policy::Action;
use seawall_kernel::contract::{self, Input as Cells};
use seawall_kernel::feature::key_hashes;

use super::compiled::Compiled;
use super::hand_over::typed;
use super::progress::{Input, Made};
use crate::dedup::{Keyed, Seen};
use crate::gate::{self, Identities, Incoming};
use crate::pipeline::Pipeline;

/// Keys of a result that a run holds, 16 bytes each.
const RESULT_KEYS_MAX: usize = 1 << 26;
/// Rows in quarantine that a run holds, 16 bytes each.
const QUARANTINED_MAX: usize = 1 << 26;

/// A run under way.
struct Comparison<'a> {
    transform: &'a Compiled,
    /// Every key of the result so far.
    keys: HashSet<u128>,
    /// The rows of this transform in quarantine, as their text.
    quarantined: HashSet<u128>,
    made: Made,
}

impl Pipeline {
    /// Makes the whole result and hands on what differs. Nothing when another revision became active meanwhile.
    pub(super) async fn derive_whole(&self, transform: &Compiled, inputs: &[Input]) -> Result<Option<Made>> {
        // So that the table and the quarantine show all that deduplication knows.
        let (entries, _) = self.parts.log.durable_end();
        self.table_writer.flush(entries).await?;
        let quarantined = self.known_in_quarantine(transform).await?;
        let mut run = Comparison { transform, keys: HashSet::new(), quarantined, made: Made::default() };
        let versions = inputs.iter().map(|input| (input.table.clone(), input.version)).collect();
        let read = TransformRead { sql: transform.transform.sql.clone(), versions, new: None };
        let permit = self.control_permit(Action::ReadRows, &transform.transform.name);
        let mut rows = self.parts.engine.transform(&permit, &read).await?;
        while let Some(batch) = rows.next().await? {
            if self.has_moved_on(transform) {
                return Ok(None);
            }
            if let Some(different) = self.different(&mut run, &batch).await? {
                self.take_in(&mut run, different).await?;
            }
        }
        run.made.rows_read = rows.rows_read();
        self.look_for_vanished(&mut run).await?;
        Ok(Some(run.made))
    }

    async fn take_in(&self, run: &mut Comparison<'_>, rows: RecordBatch) -> Result<()> {
        let incoming = Incoming { derived: Some(run.transform.step(None)), ..typed(rows) };
        let counts = self.hand_over(run.transform, incoming).await?;
        crate::add_counts(&mut run.made.counts, &counts);
        Ok(())
    }

    /// The rows of a batch of the result that neither the table nor the quarantine holds as they are.
    async fn different(&self, run: &mut Comparison<'_>, batch: &RecordBatch) -> Result<Option<RecordBatch>> {
        if batch.num_rows() == 0 {
            return Ok(None);
        }
        run.made.rows_made += batch.num_rows() as u64;
        let rows = run.transform.as_upserts(batch.clone())?;
        run.take_keys(&rows)?;
        let dataset = &run.transform.dataset;
        let verdict = dataset.gate.check(&rows, Cells::Typed, self.parts.clock.now());
        if verdict.rejected.is_some() || verdict.halt.is_some() {
            // The gate says so again, for the record.
            return Ok(Some(rows));
        }
        let mut keep = vec![true; rows.num_rows()];
        for stopped in verdict.quarantined.iter().map(|stopped| stopped.row as usize) {
            keep[stopped] = !run.is_in_quarantine(&rows, stopped);
        }
        let Identities { keys, contents } = Identities::of(&verdict.accepted, &dataset.dataset.primary_key)?;
        let mut order = self.order.lock().await;
        let index = order.index(dataset);
        for (at, row) in verdict.accepted_rows.iter().map(|row| *row as usize).enumerate() {
            let Some(key) = keys[at] else { continue };
            keep[row] = match index.look_at(Keyed { arrival: Instant::MIN, key, content: contents[at] }) {
                Seen::New => true,
                Seen::Same => {
                    run.made.unchanged += 1;
                    false
                }
                Seen::Different => dataset.dataset.changelog.is_some() || !run.is_in_quarantine(&rows, row),
            };
        }
        drop(order);
        let kept = filter_record_batch(&rows, &BooleanArray::from(keep))?;
        Ok((kept.num_rows() > 0).then_some(kept))
    }

    /// Counts the keys that the table holds and the result has no more; of a changelog, deletes them.
    async fn look_for_vanished(&self, run: &mut Comparison<'_>) -> Result<()> {
        let name = &run.transform.dataset.dataset.name;
        let table = TableName::dataset(name)?;
        let version = self.parts.tables.snapshot(&table, None).await?.version;
        let mut vanished: HashSet<u128> = HashSet::new();
        let mut portion = 0;
        let permit = self.control_permit(Action::ReadRows, name);
        while let Some(batches) = self.parts.tables.scan_portion(&permit, &table, version, None, portion).await? {
            for batch in &batches {
                let gone = self.vanished_of(run, batch, &mut vanished).await?;
                if let Some(deletions) = run.transform.as_deletions(batch, &gone)? {
                    self.take_in(run, deletions).await?;
                }
            }
            portion += 1;
        }
        run.made.vanished = vanished.len() as u64;
        Ok(())
    }

    /// The rows of a batch of the table that stand for a key which is not in the result; each key once.
    async fn vanished_of(
        &self,
        run: &Comparison<'_>,
        batch: &RecordBatch,
        vanished: &mut HashSet<u128>,
    ) -> Result<Vec<u32>> {
        let dataset = &run.transform.dataset;
        let deleted = run.transform.deleted(batch);
        let keyed = gate::keyed_at(dataset, batch)?;
        let mut order = self.order.lock().await;
        let index = order.index(dataset);
        let mut gone = Vec::new();
        for (keyed, at) in keyed {
            let is_deletion = deleted.is_some_and(|op| op.value(at) == DELETE);
            let stands = !is_deletion && index.look_at(keyed) == Seen::Same;
            if stands && !run.keys.contains(&keyed.key) && vanished.insert(keyed.key) {
                gone.push(u32::try_from(at).unwrap_or(u32::MAX));
            }
        }
        Ok(gone)
    }

    /// Hashes of the rows that this transform made and the quarantine holds, released and discarded ones included.
    async fn known_in_quarantine(&self, transform: &Compiled) -> Result<HashSet<u128>> {
        let name = &transform.dataset.dataset.name;
        let table = TableName::quarantine(name)?;
        let version: TableVersion = self.parts.tables.snapshot(&table, None).await?.version;
        let permit = self.control_permit(Action::ReadRows, table.as_str());
        let columns = ["_raw".to_owned(), "_source".to_owned()];
        let mut known = HashSet::new();
        let mut portion = 0;
        while let Some(batches) =
            self.parts.tables.scan_portion(&permit, &table, version, Some(&columns), portion).await?
        {
            for batch in &batches {
                let text = |name| batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
                let (Some(raw), Some(source)) = (text("_raw"), text("_source")) else { continue };
                let own = raw.iter().zip(source).filter(|(_, by)| *by == Some(transform.source.source.name.as_str()));
                known.extend(own.filter_map(|(raw, _)| Some(Hash::of(raw?.as_bytes()).low128())));
            }
            if known.len() > QUARANTINED_MAX {
                return Err(too_large(&transform.transform.name, "rows in quarantine", QUARANTINED_MAX));
            }
            portion += 1;
        }
        Ok(known)
    }
}

impl Comparison<'_> {
    /// Takes the keys of a batch in: each row of the result needs one of its own, or which of two stands would be chance.
    fn take_keys(&mut self, rows: &RecordBatch) -> Result<()> {
        let dataset = &self.transform.dataset.dataset;
        let mut columns: Vec<(String, ArrayRef)> = Vec::with_capacity(dataset.primary_key.len());
        for name in &dataset.primary_key {
            let column = rows.column_by_name(name).ok_or_else(|| crate::verify::missing_column(name))?;
            // As the gate will have them, so that they can be compared with those of the table.
            let data_type = dataset.schema.field_with_name(name)?.data_type();
            columns.push((name.clone(), cast(column, data_type)?));
        }
        let keys = RecordBatch::try_from_iter(columns)?;
        for (row, key) in key_hashes(&keys, &dataset.primary_key)?.into_iter().enumerate() {
            // The gate stops a row without a key.
            let Some(key) = key else { continue };
            if !self.keys.insert(key) {
                return Err(twice(&self.transform.transform.name, dataset, &keys, row));
            }
        }
        if self.keys.len() > RESULT_KEYS_MAX {
            return Err(too_large(&self.transform.transform.name, "rows in the result", RESULT_KEYS_MAX));
        }
        Ok(())
    }

    fn is_in_quarantine(&mut self, rows: &RecordBatch, row: usize) -> bool {
        let raw = Hash::of(contract::raw_json(rows, row).as_bytes()).low128();
        let is_known = self.quarantined.contains(&raw);
        self.made.known_in_quarantine += u64::from(is_known);
        is_known
    }
}

impl Compiled {
    /// The rows as those of the dataset: in a changelog each says that it takes the place of the one before.
    pub fn as_upserts(&self, rows: RecordBatch) -> Result<RecordBatch> {
        match &self.dataset.dataset.changelog {
            Some(op) if rows.column_by_name(op).is_none() => with_op(rows, op, UPSERT),
            Some(_) | None => Ok(rows),
        }
    }

    /// What the rows of the table do, when it is a changelog.
    fn deleted<'b>(&self, batch: &'b RecordBatch) -> Option<&'b StringArray> {
        batch.column_by_name(self.dataset.dataset.changelog.as_ref()?)?.as_string_opt::<i32>()
    }

    /// Rows that take those at `gone` of a batch of the table away; nothing for a dataset whose rows stand for ever.
    fn as_deletions(&self, batch: &RecordBatch, gone: &[u32]) -> Result<Option<RecordBatch>> {
        let dataset = &self.dataset.dataset;
        let Some(op) = dataset.changelog.as_ref().filter(|_| !gone.is_empty()) else { return Ok(None) };
        let own = dataset.schema.fields().iter().map(|field| field.name()).filter(|name| *name != op);
        let present: Vec<String> = own.filter(|name| batch.column_by_name(name).is_some()).cloned().collect();
        let rows = crate::revision::project(batch, &present)?;
        let rows = take_record_batch(&rows, &UInt32Array::from(gone.to_vec()))?;
        with_op(rows, op, DELETE).map(Some)
    }
}

fn with_op(rows: RecordBatch, op: &str, word: &str) -> Result<RecordBatch> {
    let mut fields: Vec<Arc<Field>> = rows.schema_ref().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(op, DataType::Utf8, false)));
    let mut columns = rows.columns().to_vec();
    columns.push(Arc::new(StringArray::from(vec![word; rows.num_rows()])));
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

fn twice(transform: &str, dataset: &Dataset, keys: &RecordBatch, row: usize) -> Error {
    // The message is kept where no erasure looks.
    let tells_person = |name: &String| dataset.personal.contains(name) || dataset.subject.as_ref() == Some(name);
    let key = match dataset.primary_key.iter().any(tells_person) {
        true => format!("in {}, which is personal and not told", dataset.primary_key.join(", ")),
        false => contract::raw_json(keys, row),
    };
    let message = format!("transform {transform} makes two rows with the key {key}");
    Error::invalid("SW1912", message).hint("group by the columns of the contract's primary key, or name more of them")
}

fn too_large(transform: &str, what: &str, most: usize) -> Error {
    let message = format!("transform {transform}: there are more than {most} {what}");
    Error::invalid("SW1913", message).hint("make the result coarser, or split the transform by a filter")
}
