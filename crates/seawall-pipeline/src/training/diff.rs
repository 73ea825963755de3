//! What changed between two builds of a training set: what they were made of, which rows, which values.
//!
//! Rows are matched by the key of the decisions. Values are equal when their bits are, and null only equals null; so two
//! builds without a difference have equal content. What a caller may not read is masked on both sides before it is
//! compared, and a difference behind a mask that hides it is not told.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt64Array};
use arrow::compute::kernels::cmp::distinct;
use arrow::compute::{concat_batches, take};
use arrow::util::display::array_value_to_string;
use seawall_base::engine::Fingerprint;
use seawall_base::error::Result;
use seawall_base::{Error, Permit, TableName, TableVersion};
use seawall_catalog::TrainingSetBuild;
use seawall_kernel::feature::key_hashes;
use serde::{Deserialize, Serialize};

use crate::pipeline::Pipeline;

/// What changed from one build to another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The training set.
    pub training_set: String,
    /// Table version of the one build.
    pub from: TableVersion,
    /// Table version of the other.
    pub until: TableVersion,
    /// Whether both have the same rows with the same values in the same columns.
    pub equal: bool,
    /// What they were made of, as far as it differs.
    pub made_of: Vec<Ingredient>,
    /// Their rows.
    pub rows: Rows,
    /// The columns that differ.
    pub columns: Vec<ColumnChange>,
}

/// Something that a build was made of, and that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ingredient {
    /// What, for example `input payments`.
    pub what: String,
    /// What it was; none where there was none.
    pub from: Option<String>,
    /// What it is.
    pub until: Option<String>,
}

/// Rows of two builds, matched by key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    /// Rows of the one build.
    pub from: u64,
    /// Rows of the other.
    pub until: u64,
    /// Rows that only the one has.
    pub gone: u64,
    /// Rows that only the other has.
    pub new: u64,
    /// Rows that both have, with at least one value that differs in a column that both have.
    pub changed: u64,
}

/// How a column changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnState {
    /// Only the later build has it.
    New,
    /// Only the earlier build has it.
    Gone,
    /// It has another type, so its values are not compared.
    OtherType,
    /// Some values differ.
    Changed,
}

/// A column that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnChange {
    /// Its name.
    pub column: String,
    /// How.
    pub state: ColumnState,
    /// Rows of both builds whose values differ.
    pub rows: u64,
    /// Of these, null before and a value now.
    pub filled: u64,
    /// Of these, a value before and null now.
    pub emptied: u64,
    /// The first of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub example: Option<Example>,
}

/// A value that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// Key of its row.
    pub key: String,
    /// The value before; none for null.
    pub from: Option<String>,
    /// The value now; none for null.
    pub until: Option<String>,
}

impl Pipeline {
    /// What changed between two builds, as the permit shows their rows.
    pub async fn diff_training_set(
        &self,
        permit: &Permit,
        name: &str,
        from: TableVersion,
        until: TableVersion,
    ) -> Result<Difference> {
        let key = self.revision().training_set(name)?.spine.primary_key.clone();
        let builds = self.parts.catalog.training_sets(name).await?;
        let (one, other) = (build_at(&builds, name, from)?, build_at(&builds, name, until)?);
        let table = TableName::training_set(name)?;
        let mut rows = Vec::with_capacity(2);
        for version in [from, until] {
            let schema = self.parts.tables.snapshot(&table, Some(version)).await?.schema;
            let batches = self.parts.tables.scan(permit, &table, version, None).await?;
            let schema = batches.first().map_or(schema, RecordBatch::schema);
            rows.push(concat_batches(&schema, &batches)?);
        }
        let (rows, columns) = compare(&key, &rows[0], &rows[1])?;
        let made_of = ingredients(&one.fingerprint, &other.fingerprint);
        let equal = columns.is_empty() && rows.gone == 0 && rows.new == 0;
        Ok(Difference { training_set: name.to_owned(), from, until, equal, made_of, rows, columns })
    }
}

fn build_at<'b>(builds: &'b [TrainingSetBuild], name: &str, version: TableVersion) -> Result<&'b TrainingSetBuild> {
    builds.iter().find(|build| build.table_version == version).ok_or_else(|| {
        let known: Vec<String> = builds.iter().map(|build| build.table_version.0.to_string()).collect();
        let hint = match known.as_slice() {
            [] => format!("it was not built yet: `seawall training-set build {name}`"),
            known => format!("its versions: {}", known.join(", ")),
        };
        Error::not_found("SW0812", format!("training set {name} has no build at version {}", version.0)).hint(hint)
    })
}

/// The parts of two fingerprints that differ; not the content, which rows and columns tell better.
fn ingredients(from: &Fingerprint, until: &Fingerprint) -> Vec<Ingredient> {
    let (from, until) = (parts(from), parts(until));
    let mut differing = Vec::new();
    for (what, was) in &from {
        let is = until.iter().find(|(other, _)| other == what).map(|(_, is)| is.clone());
        if is.as_ref() != Some(was) {
            differing.push(Ingredient { what: what.clone(), from: Some(was.clone()), until: is });
        }
    }
    for (what, is) in until.into_iter().filter(|(what, _)| !from.iter().any(|(other, _)| other == what)) {
        differing.push(Ingredient { what, from: None, until: Some(is) });
    }
    differing
}

fn parts(fingerprint: &Fingerprint) -> Vec<(String, String)> {
    let mut parts: Vec<(String, String)> = Vec::new();
    for input in &fingerprint.inputs {
        parts.push((format!("input {}", input.table), format!("version {} at cut {}", input.version.0, input.cut)));
    }
    for (name, hash) in &fingerprint.definitions {
        parts.push((format!("definition of {name}"), hash.to_string()));
    }
    parts.push(("revision".into(), fingerprint.revision.clone()));
    parts.push(("version of the aggregation core".into(), fingerprint.core_version.to_string()));
    parts.push(("built as of".into(), fingerprint.built_at.to_string()));
    parts
}

/// Rows and columns that differ between two builds whose rows have this key.
fn compare(key: &[String], from: &RecordBatch, until: &RecordBatch) -> Result<(Rows, Vec<ColumnChange>)> {
    let (left, right) = matching(key, from, until)?;
    let mut rows = Rows { from: from.num_rows() as u64, until: until.num_rows() as u64, ..Rows::default() };
    rows.gone = rows.from - left.len() as u64;
    rows.new = rows.until - right.len() as u64;
    let mut any = vec![false; left.len()];
    let mut columns = Vec::new();
    for (field, values) in from.schema().fields().iter().zip(from.columns()) {
        let state = match until.column_by_name(field.name()) {
            None => Some(ColumnState::Gone),
            Some(other) if other.data_type() != values.data_type() => Some(ColumnState::OtherType),
            Some(_) => None,
        };
        let change = match (state, until.column_by_name(field.name())) {
            (None, Some(other)) => {
                let (values, other) = (take(values, &left, None)?, take(other, &right, None)?);
                let differs = distinct(&values, &other)?;
                (0..any.len()).for_each(|row| any[row] |= differs.value(row));
                changed(field.name(), &values, &other, &differs, |row| shown_key(key, from, left.value(row) as usize))?
            }
            (state, _) => state.map(|state| whole(field.name(), state)),
        };
        columns.extend(change);
    }
    for field in until.schema().fields().iter().filter(|field| from.column_by_name(field.name()).is_none()) {
        columns.push(whole(field.name(), ColumnState::New));
    }
    rows.changed = any.iter().filter(|any| **any).count() as u64;
    Ok((rows, columns))
}

/// The rows that both have: their places in the one and in the other. Where a key stands several times, the first is
/// compared with the first, the second with the second.
fn matching(key: &[String], from: &RecordBatch, until: &RecordBatch) -> Result<(UInt64Array, UInt64Array)> {
    let places: HashMap<(u128, u32), u64> =
        (0u64..).zip(numbered(key, until)?).filter_map(|(row, key)| Some((key?, row))).collect();
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for (row, key) in (0u64..).zip(numbered(key, from)?) {
        if let Some(place) = key.and_then(|key| places.get(&key)) {
            left.push(row);
            right.push(*place);
        }
    }
    Ok((left.into(), right.into()))
}

/// The key of each row, and how many rows before it have the same.
fn numbered(key: &[String], rows: &RecordBatch) -> Result<Vec<Option<(u128, u32)>>> {
    let mut times: HashMap<u128, u32> = HashMap::with_capacity(rows.num_rows());
    let number = |key: u128| {
        let next = times.entry(key).or_default();
        *next += 1;
        (key, *next)
    };
    Ok(key_hashes(rows, key)?
        .into_iter()
        .map({
            let mut number = number;
            move |key| key.map(&mut number)
        })
        .collect())
}

fn whole(column: &str, state: ColumnState) -> ColumnChange {
    ColumnChange { column: column.to_owned(), state, rows: 0, filled: 0, emptied: 0, example: None }
}

fn changed(
    column: &str,
    from: &ArrayRef,
    until: &ArrayRef,
    differs: &BooleanArray,
    key: impl Fn(usize) -> Result<String>,
) -> Result<Option<ColumnChange>> {
    let mut change = whole(column, ColumnState::Changed);
    for row in (0..differs.len()).filter(|row| differs.value(*row)) {
        change.rows += 1;
        change.filled += u64::from(from.is_null(row));
        change.emptied += u64::from(until.is_null(row));
        if change.example.is_none() {
            let (from, until) = (shown(from, row)?, shown(until, row)?);
            change.example = Some(Example { key: key(row)?, from, until });
        }
    }
    Ok((change.rows > 0).then_some(change))
}

fn shown(values: &ArrayRef, row: usize) -> Result<Option<String>> {
    Ok(if values.is_null(row) { None } else { Some(array_value_to_string(values, row)?) })
}

fn shown_key(key: &[String], rows: &RecordBatch, row: usize) -> Result<String> {
    let mut parts = Vec::with_capacity(key.len());
    for name in key {
        let column = rows.column_by_name(name).map(|column| array_value_to_string(column, row)).transpose()?;
        parts.push(format!("{name} {}", column.unwrap_or_default()));
    }
    Ok(parts.join(", "))
}

#[cfg(test)]
mod tests;
