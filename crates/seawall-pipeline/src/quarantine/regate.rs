//! Quarantined rows before the gate again: their text becomes rows, as it was or with values that were mended, and the
//! gate of today's contract judges them.
//!
//! A rule that refuses or halts a whole batch is about a batch of the producer, not about rows that somebody chose: the
//! rows that break it alone stay, and the others are judged without them.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use seawall_base::declare::{Connector, FileFormat};
use seawall_base::error::Result;
use seawall_base::{Dataset, Error, Instant};
use seawall_kernel::contract::{self, Input, Limits, Mode, Reason};
use serde_json::Value;
use serde_json::value::RawValue;

use super::look::StoppedRow;
use crate::gate::{self, Broken, Checked, Incoming};
use crate::revision::{DatasetGate, SourceMap};

/// The members of a row, each as the text that it came as, in the order in which they came.
type Members = Vec<(String, Box<RawValue>)>;

/// Values that take the place of what a row has.
#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    /// These columns get these values, the others stay.
    Set(BTreeMap<String, Value>),
    /// The whole row, as a JSON object in the contract's shape.
    Row(serde_json::Map<String, Value>),
}

/// A row that wants to leave.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub stopped: StoppedRow,
    /// Its text as the gate is to read it.
    pub text: String,
    /// Columns whose value was changed.
    pub changed: Vec<String>,
}

impl Candidate {
    /// The row as it came.
    pub fn as_it_came(stopped: StoppedRow) -> Candidate {
        Candidate { text: stopped.raw.clone(), stopped, changed: Vec::new() }
    }

    /// The row with mended values.
    pub fn edited(stopped: StoppedRow, edit: &Edit, dataset: &Dataset) -> Result<Candidate> {
        let before = members(&stopped.raw);
        let given: BTreeMap<String, Value> = match edit {
            Edit::Set(values) => values.clone(),
            Edit::Row(row) => row.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        };
        for name in given.keys() {
            check_column(name, dataset)?;
        }
        let (mut row, earlier) = match (edit, before) {
            (Edit::Set(_), Some(before)) => (before.clone(), before),
            (Edit::Row(_), before) => (Vec::new(), before.unwrap_or_default()),
            (Edit::Set(_), None) => return Err(unreadable(&stopped)),
        };
        for (name, value) in &given {
            let value = raw_value(value)?;
            match row.iter_mut().find(|(known, _)| known == name) {
                Some((_, known)) => *known = value,
                None => row.push((name.clone(), value)),
            }
        }
        let changed = changed(&earlier, &row);
        Ok(Candidate { text: written(&row)?, stopped, changed })
    }
}

fn check_column(name: &str, dataset: &Dataset) -> Result<()> {
    if dataset.schema.column_with_name(name).is_some() {
        return Ok(());
    }
    let known: Vec<&str> = dataset.schema.fields().iter().map(|field| field.name().as_str()).collect();
    Err(Error::invalid("SW1505", format!("dataset {} has no column {name:?}", dataset.name))
        .hint(format!("its columns are {}", known.join(", "))))
}

fn unreadable(stopped: &StoppedRow) -> Error {
    Error::invalid("SW1506", format!("row {} is a line that could not be read, so it has no columns", stopped.row))
        .hint("give the whole row as a JSON object: `--row '{...}'`, or `\"row\": {...}` over HTTP")
}

fn raw_value(value: &Value) -> Result<Box<RawValue>> {
    serde_json::value::to_raw_value(value).map_err(|e| Error::internal("SW0801", "cannot encode a value").because(e))
}

fn written(row: &Members) -> Result<String> {
    let fail = |e| Error::internal("SW0801", "cannot encode a row").because(e);
    let mut text = String::from("{");
    for (at, (name, value)) in row.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        text.push_str(comma);
        text.push_str(&serde_json::to_string(name).map_err(fail)?);
        text.push(':');
        text.push_str(value.get());
    }
    text.push('}');
    Ok(text)
}

/// The names of members that differ, ordered.
fn changed(before: &Members, after: &Members) -> Vec<String> {
    let text = |members: &Members, name: &str| {
        let found = members.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.get().to_owned()).filter(|value| value != "null")
    };
    let mut names: Vec<String> = before.iter().chain(after).map(|(name, _)| name.clone()).collect();
    names.sort_unstable();
    names.dedup();
    names.retain(|name| text(before, name) != text(after, name));
    names
}

/// The members of a row; none when the text is no JSON object, or names one of them twice.
fn members(text: &str) -> Option<Members> {
    struct Ordered(Members);
    impl<'de> serde::Deserialize<'de> for Ordered {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
            deserializer.deserialize_map(Visitor)
        }
    }
    struct Visitor;
    impl<'de> serde::de::Visitor<'de> for Visitor {
        type Value = Ordered;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a JSON object")
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> std::result::Result<Ordered, A::Error> {
            let mut members = Members::new();
            while let Some(member) = map.next_entry::<String, Box<RawValue>>()? {
                members.push(member);
            }
            Ok(Ordered(members))
        }
    }
    let Ordered(members) = serde_json::from_str(text).ok()?;
    let mut names: Vec<&String> = members.iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    let is_unique = names.windows(2).all(|pair| pair[0] != pair[1]);
    is_unique.then_some(members)
}

/// What the gate says of candidates: rows that may go on, by their place among the candidates, and reasons of the others.
pub(super) struct Judged {
    /// Rows that no rule stops, to be ordered; none when every row stays.
    pub checked: Option<Checked>,
    /// The candidate of each row that was checked.
    pub candidates: Vec<usize>,
    /// Candidates that stay, with every reason.
    pub stays: Vec<(usize, Vec<Reason>)>,
}

/// Judges candidates of one source.
pub(super) async fn judge(
    source: &SourceMap,
    dataset: &DatasetGate,
    candidates: &[&Candidate],
    now: Instant,
) -> Result<Judged> {
    let all: Vec<usize> = (0..candidates.len()).collect();
    let judged = judge_some(source, dataset, candidates, &all, now).await?;
    if judged.checked.as_ref().is_none_or(|checked| refusal(checked).is_empty()) {
        return Ok(judged);
    }
    let mut stays = Vec::new();
    let mut kept = Vec::new();
    for at in all {
        let alone = judge_some(source, dataset, candidates, &[at], now).await?;
        let reasons = match &alone.checked {
            Some(checked) => refusal(checked),
            None => Vec::new(),
        };
        match reasons.is_empty() {
            true => kept.push(at),
            false => stays.push((at, reasons)),
        }
    }
    let mut judged = judge_some(source, dataset, candidates, &kept, now).await?;
    if let Some(reasons) = judged.checked.as_ref().map(refusal).filter(|reasons| !reasons.is_empty()) {
        judged.checked = None;
        stays.extend(kept.into_iter().map(|at| (at, reasons.clone())));
    }
    judged.stays.extend(stays);
    Ok(judged)
}

/// Why the batch as a whole is refused; nothing when it is not.
fn refusal(checked: &Checked) -> Vec<Reason> {
    checked.rejected.iter().flatten().chain(&checked.halt).cloned().collect()
}

/// Judges the candidates at `which`.
async fn judge_some(
    source: &SourceMap,
    dataset: &DatasetGate,
    candidates: &[&Candidate],
    which: &[usize],
    now: Instant,
) -> Result<Judged> {
    let mut stays = Vec::new();
    let mut readable = Vec::new();
    for at in which {
        match one_line(&candidates[*at].text) {
            Ok(()) => readable.push(*at),
            Err(reason) => stays.push((*at, vec![reason])),
        }
    }
    let (incoming, rows) = match has_text_cells(source) {
        true => text_rows(candidates, &readable, &mut stays)?,
        false => typed_rows(dataset, candidates, &readable, &mut stays),
    };
    if rows.is_empty() {
        return Ok(Judged { checked: None, candidates: rows, stays });
    }
    let mut checked = gate::check(source, dataset, &incoming, now).await?;
    for stopped in std::mem::take(&mut checked.quarantined) {
        stays.push((rows[stopped.row as usize], stopped.reasons));
    }
    Ok(Judged { checked: Some(checked), candidates: rows, stays })
}

/// Whether the source's rows are text until the gate gives their cells a type: then they are text again.
fn has_text_cells(source: &SourceMap) -> bool {
    let is_text_file = match &source.source.connector {
        Connector::Files(files) => matches!(files.format, FileFormat::Csv | FileFormat::Ndjson),
        _ => false,
    };
    is_text_file || source.source.map.is_some()
}

/// A line that decoding would split or skip is none.
fn one_line(text: &str) -> std::result::Result<(), Reason> {
    if text.trim().is_empty() || text.contains('\n') {
        return Err(syntax("the row is not one line of JSON"));
    }
    Ok(())
}

fn syntax(message: &str) -> Reason {
    Reason { rule: "syntax".to_owned(), column: None, message: message.to_owned(), mode: Mode::Quarantine }
}

/// Rows in the contract's types, as a producer's JSON becomes them.
fn typed_rows(
    dataset: &DatasetGate,
    candidates: &[&Candidate],
    which: &[usize],
    stays: &mut Vec<(usize, Vec<Reason>)>,
) -> (Incoming, Vec<usize>) {
    let lines: Vec<&str> = which.iter().map(|at| candidates[*at].text.as_str()).collect();
    let decoded = contract::decode_ndjson(&dataset.gate, lines.join("\n").as_bytes(), Limits::default());
    for failure in decoded.failures {
        stays.push((which[failure.line as usize], failure.reasons));
    }
    let rows = decoded.rows.iter().map(|line| which[*line as usize]).collect();
    (mapped(decoded.batch, Input::Typed), rows)
}

/// Rows whose cells are text: strings without quotes, other values as their JSON.
fn text_rows(
    candidates: &[&Candidate],
    which: &[usize],
    stays: &mut Vec<(usize, Vec<Reason>)>,
) -> Result<(Incoming, Vec<usize>)> {
    let mut rows = Vec::with_capacity(which.len());
    let mut cells: Vec<BTreeMap<String, String>> = Vec::with_capacity(which.len());
    for at in which {
        let Some(members) = members(&candidates[*at].text) else {
            stays.push((*at, vec![syntax("the row is no JSON object with each member once")]));
            continue;
        };
        rows.push(*at);
        cells.push(members.into_iter().filter_map(|(name, value)| Some((name, cell(&value)?))).collect());
    }
    let names: std::collections::BTreeSet<&String> = cells.iter().flat_map(BTreeMap::keys).collect();
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(names.len());
    for name in &names {
        let column: StringArray = cells.iter().map(|row| row.get(*name)).collect();
        columns.push(Arc::new(column));
    }
    let fields: Vec<Field> = names.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(cells.len()));
    let batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?;
    Ok((mapped(batch, Input::Text), rows))
}

fn cell(value: &RawValue) -> Option<String> {
    match value.get() {
        "null" => None,
        text if text.starts_with('"') => serde_json::from_str(text).ok(),
        text => Some(text.to_owned()),
    }
}

/// Rows that went through the source's map when they came.
fn mapped(rows: RecordBatch, input: Input) -> Incoming {
    Incoming { mapped: true, broken: Vec::<Broken>::new(), ..Incoming::new(rows, input) }
}
