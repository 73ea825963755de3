//! The gate: a compiled contract that splits a batch into accepted and quarantined rows, with every reason.
//!
//! 1. Columns are matched by name and converted into the contract's types; each check yields a bitmap.
//! 2. Uniqueness is decided among the rows of the batch. A row that is clean so far stands; a later row with the same
//!    key is a breach, unless it is the same row again, which deduplication will recognise.
//! 3. Counting rules keep or drop the findings they are about.
//! 4. Findings become warnings, reasons, a rejection or a halt, by the mode of their rule.
//!
//! Uniqueness against rows of earlier batches is decided by whoever owns the order of rows, not here.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::filter;
use arrow::datatypes::TimestampMicrosecondType;
use seawall_base::{Dataset, Instant, Span};

use super::breaker::Breaker;
use super::content::Encoder;
use super::convert::{Conversion, Finding, Hit, Input, Note, Texts};
use super::instant::Zone;
use super::rule::{Column, Compat, Limit, NotExecuted, RuleId, RuleInfo, Uniqueness};
use super::service::ServiceLevel;
use super::table_rule::TableRule;
use super::tally::About;
use super::text::Fault;
use super::verdict::{Mode, Quarantined, Reason, Verdict, Warning};
use super::{raw, reason, repeat};

/// A contract compiled for one of its objects.
#[derive(Debug)]
pub struct Gate {
    pub(super) contract_name: String,
    pub(super) dataset: Dataset,
    pub(super) columns: Vec<Column>,
    pub(super) rules: Vec<RuleInfo>,
    /// Counting conditions of rules, by rule.
    pub(super) limits: HashMap<RuleId, Limit>,
    pub(super) uniqueness: Vec<Uniqueness>,
    pub(super) row_counts: Vec<RuleId>,
    pub(super) latencies: Vec<Latency>,
    pub(super) table_rules: Vec<TableRule>,
    pub(super) service_levels: Vec<ServiceLevel>,
    pub(super) compat: Compat,
    pub(super) not_executed: Vec<NotExecuted>,
    pub(super) zone: Zone,
    pub(super) dedup_horizon: Option<Span>,
    pub(super) breaker: Option<Breaker>,
}

/// A batch in the contract's types, with what is wrong in its rows.
pub(super) struct Examined<'g> {
    pub columns: Vec<ArrayRef>,
    pub findings: Vec<Finding<'g>>,
    /// The rows that no rule about rows stops.
    pub clean: Vec<bool>,
    pub warnings: Vec<Warning>,
    /// Columns and fields that the contract does not know.
    pub unknown: Vec<String>,
}

/// The newest value of a timestamp column may be this old.
#[derive(Debug)]
pub(super) struct Latency {
    pub rule: RuleId,
    pub column: usize,
    pub age_max: Span,
}

impl Gate {
    /// Columns, key and times of the dataset.
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// `payments@1`: the contract's id and major version.
    pub fn contract_name(&self) -> &str {
        &self.contract_name
    }

    /// How long keys are remembered for deduplication, when the contract says so (`seawall.dedupHorizon`).
    pub fn dedup_horizon(&self) -> Option<Span> {
        self.dedup_horizon
    }

    /// When so many rows are refused that the dataset halts (`seawall.haltAbove`).
    pub fn breaker(&self) -> Option<Breaker> {
        self.breaker
    }

    /// The rules that this gate executes, in the order of the contract.
    pub fn rules(&self) -> &[RuleInfo] {
        &self.rules
    }

    /// The rules of the contract that this gate does not execute, each with the reason.
    pub fn not_executed(&self) -> &[NotExecuted] {
        &self.not_executed
    }

    /// Rules about the whole table that are questions in SQL.
    pub fn table_rules(&self) -> &[TableRule] {
        &self.table_rules
    }

    /// What the contract promises over time.
    pub fn service_levels(&self) -> &[ServiceLevel] {
        &self.service_levels
    }

    /// Whether rules count or compare the rows of the whole table. The primary key does not: that was decided when the
    /// rows came in.
    pub fn tallies_table(&self) -> bool {
        let of_key = usize::from(!self.dataset.primary_key.is_empty() && self.dataset.changelog.is_none());
        !self.limits.is_empty() || self.uniqueness.len() > of_key
    }

    /// What `rule` needs to see.
    pub(super) fn about(&self, rule: RuleId) -> About {
        if self.latencies.iter().any(|latency| latency.rule == rule) {
            return About::Clock;
        }
        let compares = self.uniqueness.iter().any(|uniqueness| uniqueness.rule == rule);
        if compares || self.limits.contains_key(&rule) { About::Table } else { About::Row }
    }

    pub(super) fn columns(&self) -> &[Column] {
        &self.columns
    }

    pub(super) fn zone(&self) -> &Zone {
        &self.zone
    }

    pub(super) fn mode(&self, rule: RuleId) -> Mode {
        self.rules[rule].mode
    }

    /// Judges a batch. `now` is the present, against which the age of events is measured.
    pub fn check(&self, batch: &RecordBatch, input: Input, now: Instant) -> Verdict {
        let mut unknown_columns = self.unknown_columns(batch);
        if batch.num_rows() >= u32::MAX as usize {
            let message = format!("the batch has {} rows; send fewer than {}", batch.num_rows(), u32::MAX);
            let reason = Reason { rule: "batch".to_owned(), column: None, message, mode: Mode::Reject };
            return self.refused(Some(vec![reason]), None, unknown_columns);
        }
        let mut examined = match self.examine(batch, input, Texts::Plain) {
            Ok(examined) => examined,
            Err(rejected) => return self.refused(Some(rejected), None, unknown_columns),
        };
        unknown_columns = std::mem::take(&mut examined.unknown);
        let Examined { columns, mut findings, clean, mut warnings, .. } = examined;
        for uniqueness in &self.uniqueness {
            findings.extend(self.repeated(uniqueness, &columns, &clean));
        }
        let counted = self.count(batch.num_rows(), &mut findings);
        findings.sort_by_key(|finding| finding.rule);

        warnings.extend(unknown_columns.iter().map(|name| unknown_warning(name, batch.num_rows())));
        let mut stops = self.batch_stops(batch.num_rows(), &findings, counted, &mut warnings);
        self.check_latency(&columns, now, &mut warnings, &mut stops);
        if let Some(halt) = stops.iter().find(|reason| reason.mode == Mode::Halt) {
            return self.refused(None, Some(halt.clone()), unknown_columns);
        }
        if !stops.is_empty() {
            return self.refused(Some(stops), None, unknown_columns);
        }
        self.split(batch.num_rows(), columns, &findings, warnings, unknown_columns)
    }

    /// Converts the columns and runs the checks that look at single rows.
    pub(super) fn examine(&self, batch: &RecordBatch, input: Input, texts: Texts) -> Result<Examined<'_>, Vec<Reason>> {
        let (columns, conversion, warnings) = self.convert(batch, input, texts)?;
        let mut unknown = self.unknown_columns(batch);
        unknown.extend(conversion.unknown);
        let clean = self.clean_rows(batch.num_rows(), &conversion.findings);
        Ok(Examined { columns, findings: conversion.findings, clean, warnings, unknown })
    }

    fn unknown_columns(&self, batch: &RecordBatch) -> Vec<String> {
        let known: Vec<usize> = self.columns.iter().filter_map(|column| position(batch, column)).collect();
        let fields = batch.schema_ref().fields().iter().enumerate();
        fields.filter(|(i, _)| !known.contains(i)).map(|(_, field)| field.name().clone()).collect()
    }

    /// Every column in the contract's type with what is wrong in it, or why the batch as a whole does not fit.
    fn convert(&self, batch: &RecordBatch, input: Input, texts: Texts) -> Result<Prepared<'_>, Vec<Reason>> {
        let mut conversion = Conversion { zone: &self.zone, texts, findings: Vec::new(), unknown: Vec::new() };
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.columns.len());
        let mut warnings = Vec::new();
        let mut misfits = Vec::new();
        for (i, column) in self.columns.iter().enumerate() {
            let given = match position(batch, column) {
                Some(at) => Arc::clone(batch.column(at)),
                None => {
                    let message = format!("the batch has no column {}", column.name);
                    if self.dataset.schema.field(i).is_nullable() {
                        warnings.push(missing_warning(column, message, batch.num_rows()));
                    } else {
                        misfits.push(batch_reason("missing_column", column, message));
                    }
                    new_null_array(&column.kind.data_type(), batch.num_rows())
                }
            };
            match conversion.column(column, &given, input, None, None) {
                Ok(array) => arrays.push(array),
                Err(message) => misfits.push(batch_reason("type", column, message)),
            }
        }
        if misfits.is_empty() { Ok((arrays, conversion, warnings)) } else { Err(misfits) }
    }

    /// What the finding does to its rows: a cell that does not fit its type can never be kept.
    pub(super) fn effect(&self, finding: &Finding<'_>) -> Mode {
        let declared = self.mode(finding.rule);
        if finding.is_fault() { declared.max(Mode::Quarantine) } else { declared }
    }

    fn clean_rows(&self, rows: usize, findings: &[Finding<'_>]) -> Vec<bool> {
        let mut clean = vec![true; rows];
        for finding in findings {
            let is_row_rule = !self.limits.contains_key(&finding.rule);
            if is_row_rule && self.effect(finding) != Mode::Warn {
                finding.hits.iter().for_each(|hit| clean[hit.row as usize] = false);
            }
        }
        clean
    }

    /// Rows whose key an earlier standing row has.
    fn repeated(&self, uniqueness: &Uniqueness, columns: &[ArrayRef], clean: &[bool]) -> Option<Finding<'_>> {
        let keys: Vec<&ArrayRef> = uniqueness.columns.iter().map(|i| &columns[*i]).collect();
        let candidates = match keys.as_slice() {
            [only] => repeat::of_column(only, clean),
            several => repeat::of_columns(several, clean),
        };
        if candidates.is_empty() {
            return None;
        }
        // The same row again is a retry, which deduplication recognises by its key.
        let exempt_copies = !self.dataset.primary_key.is_empty();
        let named = self.columns.iter().zip(columns).map(|(column, array)| (column.name.as_str(), array.as_ref()));
        let rows = Encoder::of(named.collect());
        let (mut first, mut second) = (Vec::new(), Vec::new());
        let mut hits = Vec::new();
        for (row, standing) in candidates {
            first.clear();
            second.clear();
            if exempt_copies {
                rows.encode(standing as usize, &mut first);
                rows.encode(row as usize, &mut second);
            }
            if !exempt_copies || first != second {
                hits.push(Hit { row, cell: row, more: 0 });
            }
        }
        let source = (keys.len() == 1).then(|| Arc::clone(keys[0]));
        self.uniqueness_finding(uniqueness, source, hits)
    }

    pub(super) fn uniqueness_finding(
        &self,
        uniqueness: &Uniqueness,
        source: Option<ArrayRef>,
        hits: Vec<Hit>,
    ) -> Option<Finding<'_>> {
        let column = (uniqueness.columns.len() == 1).then(|| &self.columns[uniqueness.columns[0]]);
        let (rule, places) = (uniqueness.rule, Vec::new());
        (!hits.is_empty()).then_some(Finding { rule, column, hits, places, source, note: Note::Limit })
    }

    /// Drops the findings of counting rules that hold; the messages of those that do not, by rule.
    fn count(&self, rows: usize, findings: &mut Vec<Finding<'_>>) -> Vec<(RuleId, String)> {
        let mut broken = Vec::new();
        for rule in 0..self.rules.len() {
            let Some(limit) = self.limits.get(&rule) else { continue };
            let is_row_count = self.row_counts.contains(&rule);
            let count = if is_row_count { rows } else { rows_of(rule, findings) };
            let value = limit.value(count as u64, rows as u64);
            if limit.threshold.holds(value) {
                findings.retain(|finding| finding.rule != rule);
                continue;
            }
            broken.push((rule, self.limit_broken(rule, limit, value)));
        }
        broken
    }

    /// What a broken counting rule says.
    pub(super) fn limit_broken(&self, rule: RuleId, limit: &Limit, value: f64) -> String {
        let info = &self.rules[rule];
        let unit = if limit.percent { " percent" } else { "" };
        let subject = match &info.column {
            Some(column) => format!("{} of {column}", info.rule),
            None => info.rule.clone(),
        };
        format!("{subject} is {value}{unit}; it {}", limit.threshold.words())
    }

    /// Rejections and halts; also turns what only warns into warnings.
    fn batch_stops(
        &self,
        rows: usize,
        findings: &[Finding<'_>],
        counted: Vec<(RuleId, String)>,
        warnings: &mut Vec<Warning>,
    ) -> Vec<Reason> {
        let mut stops = Vec::new();
        for (rule, message) in counted {
            let offending = rows_of(rule, findings);
            let rows_named = if self.row_counts.contains(&rule) { rows } else { offending };
            match self.mode(rule) {
                Mode::Reject | Mode::Halt => stops.push(self.reason(rule, message, self.mode(rule))),
                Mode::Quarantine if offending > 0 => {}
                Mode::Warn | Mode::Quarantine => warnings.push(self.warning(rule, rows_named, message)),
            }
        }
        for finding in findings.iter().filter(|finding| !self.limits.contains_key(&finding.rule)) {
            let rows = finding.hits.len();
            let example = self.message(finding, 0);
            let message = if rows > 1 { format!("{example} (and {} more rows)", rows - 1) } else { example };
            match self.effect(finding) {
                Mode::Warn => warnings.push(self.warning(finding.rule, rows, message)),
                Mode::Quarantine => {}
                mode @ (Mode::Reject | Mode::Halt) => {
                    let rule = self.rule_name(finding, 0);
                    let column = self.rules[finding.rule].column.clone();
                    stops.push(Reason { rule, column, message, mode });
                }
            }
        }
        stops
    }

    fn check_latency(&self, columns: &[ArrayRef], now: Instant, warnings: &mut Vec<Warning>, stops: &mut Vec<Reason>) {
        for latency in &self.latencies {
            let Some(newest) = self.newest(latency, columns) else { continue };
            let Some(message) = self.late(latency, Instant(newest), now) else { continue };
            let rows = columns[latency.column].len();
            match self.mode(latency.rule) {
                Mode::Warn | Mode::Quarantine => warnings.push(self.warning(latency.rule, rows, message)),
                mode @ (Mode::Reject | Mode::Halt) => stops.push(self.reason(latency.rule, message, mode)),
            }
        }
    }

    /// The newest value of the column that a latency is about.
    pub(super) fn newest(&self, latency: &Latency, columns: &[ArrayRef]) -> Option<i64> {
        let times = columns[latency.column].as_primitive_opt::<TimestampMicrosecondType>()?;
        times.iter().flatten().max()
    }

    /// What a broken latency says.
    pub(super) fn late(&self, latency: &Latency, newest: Instant, now: Instant) -> Option<String> {
        let column = &self.columns[latency.column].path;
        let is_late = now - newest > latency.age_max;
        is_late.then(|| format!("the newest {column} is {newest}; it must be within {} of {now}", latency.age_max))
    }

    fn split(
        &self,
        rows: usize,
        columns: Vec<ArrayRef>,
        findings: &[Finding<'_>],
        warnings: Vec<Warning>,
        unknown_columns: Vec<String>,
    ) -> Verdict {
        let mut keep = vec![true; rows];
        for finding in findings.iter().filter(|finding| self.effect(finding) != Mode::Warn) {
            finding.hits.iter().for_each(|hit| keep[hit.row as usize] = false);
        }
        let quarantined = self.reasons(&keep, findings.iter());
        let accepted_rows: Vec<u32> = (0..rows as u32).filter(|row| keep[*row as usize]).collect();
        let kept = if accepted_rows.len() == rows {
            Ok(columns)
        } else {
            let keep = BooleanArray::from(keep);
            columns.iter().map(|column| filter(column, &keep)).collect()
        };
        let options = RecordBatchOptions::new().with_row_count(Some(accepted_rows.len()));
        let accepted = kept
            .and_then(|columns| RecordBatch::try_new_with_options(Arc::clone(&self.dataset.schema), columns, &options));
        match accepted {
            Ok(accepted) => {
                Verdict { accepted, accepted_rows, quarantined, warnings, rejected: None, halt: None, unknown_columns }
            }
            // Reached only when Arrow itself refuses, for example a string column beyond 2 GiB.
            Err(error) => {
                let message = format!("the accepted rows do not form a batch: {error}");
                let reason = Reason { rule: "batch".to_owned(), column: None, message, mode: Mode::Reject };
                self.refused(Some(vec![reason]), None, unknown_columns)
            }
        }
    }

    /// All reasons of the rows that are not kept, those that only warn included.
    pub(super) fn reasons<'f, 'c: 'f>(
        &self,
        keep: &[bool],
        findings: impl IntoIterator<Item = &'f Finding<'c>>,
    ) -> Vec<Quarantined> {
        let mut place = vec![usize::MAX; keep.len()];
        let mut quarantined = Vec::new();
        for (row, _) in keep.iter().enumerate().filter(|(_, keep)| !**keep) {
            place[row] = quarantined.len();
            quarantined.push(Quarantined { row: row as u32, reasons: Vec::new() });
        }
        for finding in findings {
            for (i, hit) in finding.hits.iter().enumerate() {
                let Some(row) = quarantined.get_mut(place[hit.row as usize]) else { continue };
                row.reasons.push(Reason {
                    rule: self.rule_name(finding, i),
                    column: self.rules[finding.rule].column.clone(),
                    message: self.message(finding, i),
                    mode: self.effect(finding),
                });
            }
        }
        quarantined
    }

    fn rule_name(&self, finding: &Finding<'_>, hit: usize) -> String {
        match &finding.note {
            Note::Limit => self.rules[finding.rule].rule.clone(),
            Note::Faults(faults) => faults[hit].rule().to_owned(),
            Note::PatternBudget => "pattern_budget".to_owned(),
        }
    }

    pub(super) fn message(&self, finding: &Finding<'_>, hit: usize) -> String {
        let info = &self.rules[finding.rule];
        let Some(column) = finding.column else { return info.description.clone() };
        let shown = match &finding.source {
            Some(source) if !column.personal => {
                Some(reason::shorten(&raw::cell_json(source.as_ref(), finding.hits[hit].cell as usize)))
            }
            _ => None,
        };
        let path = finding.places.get(hit).unwrap_or(&column.path);
        let message = match &finding.note {
            Note::Faults(faults) if faults[hit] != Fault::Form => {
                reason::fault_message(path, shown.as_deref(), faults[hit])
            }
            Note::Limit | Note::Faults(_) => reason::limit_message(path, shown.as_deref(), &info.description),
            Note::PatternBudget => format!("{path} took the pattern too many steps to match"),
        };
        match finding.hits[hit].more {
            0 => message,
            1 => format!("{message} (and 1 more element)"),
            more => format!("{message} (and {more} more elements)"),
        }
    }

    fn reason(&self, rule: RuleId, message: String, mode: Mode) -> Reason {
        let info = &self.rules[rule];
        Reason { rule: info.rule.clone(), column: info.column.clone(), message, mode }
    }

    fn warning(&self, rule: RuleId, rows: usize, message: String) -> Warning {
        let info = &self.rules[rule];
        Warning { rule: info.rule.clone(), column: info.column.clone(), rows: rows as u64, message }
    }

    /// The verdict on a batch of which nothing is kept.
    fn refused(&self, rejected: Option<Vec<Reason>>, halt: Option<Reason>, unknown_columns: Vec<String>) -> Verdict {
        Verdict {
            accepted: RecordBatch::new_empty(Arc::clone(&self.dataset.schema)),
            accepted_rows: Vec::new(),
            quarantined: Vec::new(),
            warnings: Vec::new(),
            rejected,
            halt,
            unknown_columns,
        }
    }
}

type Prepared<'g> = (Vec<ArrayRef>, Conversion<'g>, Vec<Warning>);

/// Where `column` stands in `batch`: by its name, else by its physical name.
fn position(batch: &RecordBatch, column: &Column) -> Option<usize> {
    let find = |name: &str| batch.schema_ref().fields().iter().position(|field| field.name() == name);
    find(&column.name).or_else(|| column.physical_name.as_deref().and_then(find))
}

/// Rows that break `rule`.
fn rows_of(rule: RuleId, findings: &[Finding<'_>]) -> usize {
    let mut of_rule = findings.iter().filter(|finding| finding.rule == rule);
    match (of_rule.next(), of_rule.next()) {
        (None, _) => 0,
        (Some(only), None) => only.hits.len(),
        (Some(_), Some(_)) => distinct_rows(findings.iter().filter(|finding| finding.rule == rule)),
    }
}

/// Rows that any of `findings` names.
pub(super) fn distinct_rows<'f, 'c: 'f>(findings: impl IntoIterator<Item = &'f Finding<'c>>) -> usize {
    let mut rows: Vec<u32> = findings.into_iter().flat_map(|finding| finding.hits.iter().map(|hit| hit.row)).collect();
    rows.sort_unstable();
    rows.dedup();
    rows.len()
}

fn unknown_warning(name: &str, rows: usize) -> Warning {
    let message = format!("the contract has no column {name}; its values were not kept");
    Warning { rule: "unknown_column".to_owned(), column: Some(name.to_owned()), rows: rows as u64, message }
}

fn missing_warning(column: &Column, message: String, rows: usize) -> Warning {
    Warning { rule: "missing_column".to_owned(), column: Some(column.path.clone()), rows: rows as u64, message }
}

fn batch_reason(rule: &str, column: &Column, message: String) -> Reason {
    Reason { rule: rule.to_owned(), column: Some(column.path.clone()), message, mode: Mode::Reject }
}
