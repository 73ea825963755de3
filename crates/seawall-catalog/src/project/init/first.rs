//! A first contract for a file, with the profile of its columns: no project, no source, no feature view.

use std::collections::HashSet;
use std::path::Path;

use arrow::array::{Array, ArrayRef};
use arrow::compute::{SortOptions, sort_to_indices};
use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, SortField};
use arrow::util::display::array_value_to_string;
use seawall_base::declare::FileFormat;
use seawall_base::error::{Error, Result};
use seawall_kernel::contract::{Assumption, Contract, infer};
use serde::Serialize;
use serde_json::{Value, json};

use super::super::lint;
use super::columns::Columns;
use super::sample::{is_unique, no_primary_key, read_time};
use super::yaml_text::{Comments, to_yaml};
use super::{Sample, nulls};

/// Characters of a value that a profile shows.
const SHOWN_MAX: usize = 40;

/// A contract that the sampled rows obey.
#[derive(Debug, Clone)]
pub struct FirstContract {
    /// The contract as YAML; what was assumed and what was seen stand in comments.
    pub text: String,
    /// What was assumed.
    pub assumptions: Vec<String>,
    /// What was seen of each column.
    pub profile: Vec<ColumnProfile>,
    /// Texts that were taken for null.
    pub null_values: Vec<String>,
}

impl FirstContract {
    /// For programs: `{"name", "contract", "assumptions", "null_values", "profile"}`.
    pub fn to_json(&self, name: &str) -> Value {
        json!({
            "name": name,
            "contract": self.text,
            "assumptions": self.assumptions,
            "null_values": self.null_values,
            "profile": self.profile,
        })
    }
}

/// What the sampled rows say of a column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ColumnProfile {
    /// Its name in the contract.
    pub column: String,
    /// Rows that were looked at.
    pub rows: usize,
    /// Rows without a value.
    pub nulls: usize,
    /// Different values; absent for nested ones.
    pub distinct: Option<usize>,
    /// The least value.
    pub least: Option<String>,
    /// The greatest value.
    pub greatest: Option<String>,
}

impl ColumnProfile {
    fn words(&self) -> String {
        let share = if self.rows == 0 { 0.0 } else { self.nulls as f64 * 100.0 / self.rows as f64 };
        let mut words = match self.nulls {
            0 => "never null".to_owned(),
            _ => format!("{share:.1}% null"),
        };
        if let Some(distinct) = self.distinct {
            words.push_str(&format!(", {distinct} different"));
        }
        if let (Some(least), Some(greatest)) = (&self.least, &self.greatest) {
            words.push_str(&format!(", from {least} to {greatest}"));
        }
        words
    }
}

/// Infers a contract called `name` from a sample. `key` are the columns of the primary key, `time` is the column of the
/// event time; names as in the sample. The sampled rows obey it.
///
/// # Errors
/// Key or time columns that the sample does not have or that do not fit.
pub fn infer_contract(name: &str, sample: &Sample, key: &[String], time: Option<&str>) -> Result<FirstContract> {
    let Some(first) = sample.batches.first() else {
        return Err(Error::invalid("SW0147", "there are no rows, so nothing is known of their columns")
            .hint("give at least one row"));
    };
    let columns = Columns::of(&first.schema());
    let named: Vec<String> = key.iter().map(|one| columns.name_of(one).map(str::to_owned)).collect::<Result<_>>()?;
    let time = time.map(|time| columns.name_of(time)).transpose()?;
    let null_values = match sample.format {
        FileFormat::Csv if sample.null_values.is_empty() => nulls::detect(&sample.batches),
        FileFormat::Csv | FileFormat::Ndjson | FileFormat::Parquet => sample.null_values.clone(),
    };
    let batches = columns.rename(&nulls::replace(&sample.batches, &null_values)?)?;
    let has_key = !named.is_empty() && is_unique(&batches, &named)?;
    let primary_key = if has_key { named.as_slice() } else { &[] };
    let (mut contract, mut assumptions) = infer(name, &batches, primary_key, time.unwrap_or_default());
    if !named.is_empty() && !has_key {
        assumptions.push(no_primary_key(&named));
    }
    assumptions.extend(one_column(sample, &first.schema()));
    match time {
        None => contract.schema.iter_mut().for_each(|object| object.custom_properties.clear()),
        Some(time) if read_time(&mut contract, time, &mut assumptions)? => {}
        Some(_) => {}
    }
    let originals = first.schema();
    for object in &mut contract.schema {
        for (property, field) in object.properties.iter_mut().zip(originals.fields()) {
            let is_renamed = property.name.as_deref() != Some(field.name());
            property.physical_name = is_renamed.then(|| field.name().clone());
        }
    }
    let profile = profile(&batches)?;
    let mut comments = Comments::new();
    for Assumption { path, text } in &assumptions {
        comments.entry(path.split('/').map(str::to_owned).collect()).or_default().push(format!("assumed: {text}"));
    }
    for (at, column) in profile.iter().enumerate() {
        let path = ["schema", "0", "properties", &at.to_string()].map(str::to_owned).to_vec();
        comments.entry(path).or_default().push(format!("seen: {}", column.words()));
    }
    let value = serde_json::to_value(&contract)
        .map_err(|e| Error::internal("SW0149", "an inferred contract is not plain data").because(e))?;
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let mut text = format!(
        "# Inferred from {rows} rows. What is marked `assumed` held for those rows; decide whether it must hold for all.\n"
    );
    if !null_values.is_empty() {
        text.push_str(&format!(
            "# assumed: these texts mean null, as they stand among numbers: {}\n",
            null_values.join(", ")
        ));
    }
    text.push_str(&to_yaml(&value, &comments));
    if let Err(problems) = lint(Path::new("inferred.odcs.yaml"), &text, &Default::default()) {
        return Err(Error::invalid("SW0148", format!("the sample does not make a sound contract:\n{problems}"))
            .hint("choose other key or time columns, or write the contract by hand"));
    }
    let assumptions = assumptions.into_iter().map(|assumption| assumption.text).collect();
    Ok(FirstContract { text, assumptions, profile, null_values })
}

/// A contract as YAML, in the form that people write.
///
/// # Errors
/// A contract that is not sound: what is wrong with it.
pub fn contract_yaml(contract: &Contract) -> Result<String> {
    let value = serde_json::to_value(contract)
        .map_err(|e| Error::internal("SW0149", "a contract is not plain data").because(e))?;
    let text = to_yaml(&value, &Comments::new());
    match lint(Path::new("contract.odcs.yaml"), &text, &Default::default()) {
        Ok(_) => Ok(text),
        Err(problems) => Err(Error::invalid("SW0148", format!("what was read makes no sound contract:\n{problems}"))
            .hint("correct what was read, or write the contract by hand")),
    }
}

/// A CSV file whose only column holds what elsewhere separates columns.
fn one_column(sample: &Sample, schema: &Schema) -> Option<Assumption> {
    let [field] = schema.fields().as_ref() else { return None };
    let is_separated = field.name().contains([';', '\t', '|']);
    (sample.format == FileFormat::Csv && is_separated).then(|| Assumption {
        path: "schema/0/properties/0".to_owned(),
        text: "all of a line is one value, because commas separate values; write the file with commas if these are several"
            .to_owned(),
    })
}

fn profile(batches: &[RecordBatch]) -> Result<Vec<ColumnProfile>> {
    let Some(first) = batches.first() else { return Ok(Vec::new()) };
    let mut profiles = Vec::with_capacity(first.num_columns());
    for (at, field) in first.schema().fields().iter().enumerate() {
        let parts: Vec<&dyn Array> = batches.iter().map(|batch| batch.column(at).as_ref()).collect();
        let whole = arrow::compute::concat(&parts)?;
        let is_plain = !field.data_type().is_nested();
        profiles.push(ColumnProfile {
            column: field.name().clone(),
            rows: whole.len(),
            nulls: whole.logical_null_count(),
            distinct: if is_plain { Some(distinct(&whole)?) } else { None },
            least: if is_plain { extreme(&whole, false)? } else { None },
            greatest: if is_plain { extreme(&whole, true)? } else { None },
        });
    }
    Ok(profiles)
}

fn distinct(column: &ArrayRef) -> Result<usize> {
    let rows = RowConverter::new(vec![SortField::new(column.data_type().clone())])?
        .convert_columns(std::slice::from_ref(column))?;
    let mut seen = HashSet::new();
    for (at, row) in rows.iter().enumerate() {
        if column.is_valid(at) {
            seen.insert(row.as_ref().to_vec());
        }
    }
    Ok(seen.len())
}

fn extreme(column: &ArrayRef, greatest: bool) -> Result<Option<String>> {
    let options = SortOptions { descending: greatest, nulls_first: false };
    let order = sort_to_indices(column, Some(options), Some(1))?;
    let Some(at) = order.values().first().map(|at| *at as usize).filter(|at| column.is_valid(*at)) else {
        return Ok(None);
    };
    let text = array_value_to_string(column, at)?;
    let shown: String = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(SHOWN_MAX).collect();
    Ok(Some(shown))
}
