//! A project made from a sample: contract, source, map when names need one, and a first feature view.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::PathBuf;

use arrow::array::ArrayRef;
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, SortField};
use seawall_base::declare::FileFormat;
use seawall_base::error::{Error, Result};
use seawall_kernel::contract::{Assumption, Contract, Property, infer};

use super::columns::Columns;
use super::yaml_text::{Comments, quoted, to_yaml};
use super::{InitOptions, Sample, modeline, nulls};

/// Columns of which the feature view keeps the latest value.
const LATEST_MAX: usize = 3;
/// Part of a column's name that goes into a feature's name, in bytes.
const COLUMN_IN_FEATURE_MAX: usize = 60;

/// Columns that only repeat parts of the event time.
const CALENDAR: [&str; 9] = ["year", "quarter", "month", "week", "weekday", "day", "hour", "minute", "second"];

/// What a sample of the past leaves open.
const AVAILABILITY: &str = "\
# These rows are the past.
# assumed: each row was known as soon as it happened. When it became known later, name the column that tells when:
# otherwise training sees what nobody could have known.
";

/// The declarations for `sample`.
pub(super) fn files(options: &InitOptions, sample: &Sample) -> Result<Vec<(PathBuf, String)>> {
    let Some(first) = sample.batches.first() else {
        return Err(Error::invalid("SW0147", "the sample has no batch, so its columns are not known"));
    };
    if options.key.is_empty() {
        return Err(Error::invalid("SW0147", "no key column is given")
            .hint("name the column or columns that identify what features are about, such as a customer"));
    }
    let mut columns = Columns::of(&first.schema());
    let time = columns.name_of(&options.time)?.to_owned();
    let mut key = Vec::new();
    for name in &options.key {
        key.push(columns.name_of(name)?.to_owned());
    }
    let null_values = match sample.format {
        FileFormat::Csv if sample.null_values.is_empty() => nulls::detect(&sample.batches),
        FileFormat::Csv | FileFormat::Ndjson | FileFormat::Parquet => sample.null_values.clone(),
    };
    let batches = columns.rename(&nulls::replace(&sample.batches, &null_values)?)?;
    let is_unique = is_unique(&batches, &key)?;
    let primary_key = if is_unique { key.as_slice() } else { &[] };
    let (mut contract, mut assumptions) = infer(&options.name, &batches, primary_key, &time);
    if !is_unique {
        assumptions.push(no_primary_key(&key));
    }
    if read_time(&mut contract, &time, &mut assumptions)? {
        columns.cast_to_instant(&time);
    }
    let draft = Draft { options, sample, null_values: &null_values, columns: &columns, key: &key, time: &time };
    Ok(draft.files(&contract, &assumptions, batches.iter().map(RecordBatch::num_rows).sum()))
}

/// Whether no two sampled rows share the key, and no part of it is null. Fewer than two rows show nothing.
pub(super) fn is_unique(batches: &[RecordBatch], key: &[String]) -> Result<bool> {
    let mut seen = HashSet::new();
    let mut rows = 0;
    for batch in batches {
        let columns: Vec<ArrayRef> = key.iter().filter_map(|name| batch.column_by_name(name).cloned()).collect();
        if columns.iter().any(|column| column.logical_null_count() > 0) {
            return Ok(false);
        }
        let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
        let encoded = RowConverter::new(fields)?.convert_columns(&columns)?;
        rows += batch.num_rows();
        for row in &encoded {
            if !seen.insert(row.as_ref().to_vec()) {
                return Ok(false);
            }
        }
    }
    Ok(rows > 1)
}

pub(super) fn no_primary_key(key: &[String]) -> Assumption {
    Assumption {
        path: "schema/0".to_owned(),
        text: format!(
            "there is no primary key, as {} is not unique; a training set over these rows needs one (primaryKey: true)",
            key.join(", ")
        ),
    }
}

/// Makes the time column a timestamp; true when the source's map must turn dates into instants first.
pub(super) fn read_time(contract: &mut Contract, time: &str, assumptions: &mut Vec<Assumption>) -> Result<bool> {
    let properties = contract.schema.first_mut().map(|object| &mut object.properties);
    let property = properties.and_then(|all| all.iter_mut().enumerate().find(|(_, p)| p.name.as_deref() == Some(time)));
    let Some((index, property)) = property else {
        return Err(Error::internal("SW0149", format!("the inferred contract lacks the column {time}")));
    };
    match property.logical_type.as_deref() {
        Some("timestamp") => Ok(false),
        Some("date") => {
            property.logical_type = Some("timestamp".to_owned());
            assumptions.retain(|assumption| !assumption.text.contains("is of type date"));
            let text = format!("{time} is a date: a row counts from midnight UTC on; the map makes it an instant");
            assumptions.push(Assumption { path: format!("schema/0/properties/{index}"), text });
            Ok(true)
        }
        other => {
            let found = other.unwrap_or("unknown");
            Err(Error::invalid(
                "SW0147",
                format!("the time column {time} does not hold times: its values are of type {found}"),
            )
            .hint("name a column with values like 2014-01-01T08:05:00Z, or make one in the source's map"))
        }
    }
}

/// What the texts are made of.
struct Draft<'d> {
    options: &'d InitOptions,
    sample: &'d Sample,
    null_values: &'d [String],
    columns: &'d Columns,
    key: &'d [String],
    time: &'d str,
}

impl Draft<'_> {
    fn files(&self, contract: &Contract, assumptions: &[Assumption], rows: usize) -> Vec<(PathBuf, String)> {
        let name = &self.options.name;
        let mut files = vec![
            (PathBuf::from("seawall.yaml"), self.project()),
            (PathBuf::from(format!("contracts/{name}.odcs.yaml")), self.contract(contract, assumptions, rows)),
            (PathBuf::from(format!("sources/{name}.yaml")), self.source()),
        ];
        if self.columns.need_map() {
            files.push((PathBuf::from(format!("maps/{name}.sql")), self.columns.sql()));
        }
        let properties = contract.schema.first().map(|object| object.properties.as_slice()).unwrap_or_default();
        files.push((PathBuf::from(format!("features/{name}.yaml")), self.feature_view(properties)));
        files
    }

    fn project(&self) -> String {
        format!("{}kind: project\nname: {}\n", modeline("project", 0), self.options.name)
    }

    fn contract(&self, contract: &Contract, assumptions: &[Assumption], rows: usize) -> String {
        let mut comments = Comments::new();
        for assumption in assumptions {
            let path = assumption.path.split('/').map(str::to_owned).collect();
            comments.entry(path).or_default().push(format!("assumed: {}", assumption.text));
        }
        let value = serde_json::to_value(contract).expect("contracts are plain data with text keys");
        let mut text = modeline("contract", 1);
        let _ = writeln!(text, "# Inferred from {rows} rows of {}.", one_line(&self.sample.path));
        text.push_str("# What is marked `assumed` held for those rows; decide whether it must hold for all.\n");
        text.push_str(&to_yaml(&value, &comments));
        text
    }

    fn source(&self) -> String {
        let name = &self.options.name;
        let format = match self.sample.format {
            FileFormat::Csv => "csv",
            FileFormat::Ndjson => "ndjson",
            FileFormat::Parquet => "parquet",
        };
        let mut text = modeline("source", 1);
        let _ = writeln!(text, "kind: source\nname: {name}\nfiles:");
        let _ = writeln!(text, "  path: {}", quoted(&self.sample.path.replace("${", "$${")));
        let _ = writeln!(text, "  format: {format}");
        if !self.null_values.is_empty() {
            let values: Vec<String> = self.null_values.iter().map(|value| quoted(value)).collect();
            if self.sample.null_values.is_empty() {
                text.push_str("  # assumed: these texts mean null, as they stand among numbers.\n");
            }
            let _ = writeln!(text, "  null_values: [{}]", values.join(", "));
        }
        let _ = writeln!(text, "contract: {name}@1");
        if self.columns.need_map() {
            let _ = writeln!(text, "map: maps/{name}.sql");
        }
        text.push_str(AVAILABILITY);
        let _ = writeln!(text, "history: true\navailable_at: {}", quoted(self.time));
        text
    }

    fn feature_view(&self, properties: &[Property]) -> String {
        let name = &self.options.name;
        let mut text = modeline("feature_view", 1);
        let entity = match self.key {
            [one] => quoted(one),
            several => format!("[{}]", several.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ")),
        };
        let _ = writeln!(text, "# A first view: what is known about each {} at a moment.", self.key.join(", "));
        let _ = writeln!(text, "kind: feature_view\nname: {name}\nentity: {entity}\nfrom: {name}");
        let _ = writeln!(text, "time: {}\nfeatures:", quoted(self.time));
        let _ = writeln!(text, "  n_24h: {{count: \"*\", window: 24h}}");
        let number = self.measure(properties);
        if let Some(column) = number {
            let part = short(column);
            let _ = writeln!(text, "  sum_{part}_24h: {{sum: {}, window: 24h}}", quoted(column));
            let _ = writeln!(text, "  mean_{part}_24h: {{mean: {}, window: 24h}}", quoted(column));
        }
        let mut taken = HashSet::new();
        let others = properties.iter().filter(|property| self.is_value(property)).filter_map(|p| p.name.as_deref());
        for column in others.filter(|column| Some(*column) != number && taken.insert(short(column))).take(LATEST_MAX) {
            let _ = writeln!(text, "  latest_{}: {{latest: {}, ttl: 30d}}", short(column), quoted(column));
        }
        text
    }

    /// The column that is added up: the first one with fractions, or else the first whole number that counts something.
    fn measure<'p>(&self, properties: &'p [Property]) -> Option<&'p str> {
        let of_type = |logical: &str| {
            let mut measures = properties.iter().filter(|property| self.is_measure(property));
            measures.find(|property| property.logical_type.as_deref() == Some(logical))
        };
        of_type("number").or_else(|| of_type("integer")).and_then(|property| property.name.as_deref())
    }

    /// Whether the numbers of a column mean an amount: those of identifiers do not.
    fn is_measure(&self, property: &Property) -> bool {
        let name = property.name.as_deref().unwrap_or_default();
        let is_identifier = name == "id" || ["_id", "_key", "_code", "_no"].iter().any(|end| name.ends_with(end));
        !is_identifier && self.is_value(property)
    }

    /// Whether a column says something about the entity.
    fn is_value(&self, property: &Property) -> bool {
        let name = property.name.as_deref().unwrap_or_default();
        let is_plain = !matches!(property.logical_type.as_deref(), None | Some("object" | "array" | "vector" | "map"));
        is_plain && name != self.time && !CALENDAR.contains(&name) && !self.key.iter().any(|column| column == name)
    }
}

/// The part of a column's name that goes into a feature's name.
fn short(column: &str) -> &str {
    column.get(..COLUMN_IN_FEATURE_MAX).unwrap_or(column).trim_end_matches('_')
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
