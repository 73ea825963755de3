//! A whole table judged batch by batch: the reasons of each row as it goes by, the counts at the end.
//!
//! Rules about rows give reasons at once. Rules that count (percentages, numbers of rows, duplicates that are
//! tolerated) are decided when the last batch has been seen. A value that occurred in an earlier batch is a duplicate
//! like one within the batch; a table has no retries, so a row that stands there twice breaks its key. Memory is that
//! of one batch and of 24 bytes per row and key, 72 while there are more than were expected; keys that come in order of
//! one of their columns, such as a time, take 16, and integers that were counted up less than a byte.
//!
//! What concerns a batch alone, which is most of the work, can be done by several threads: an [`Examiner`] examines
//! batches in any order, and the tally takes what it found in the order of the table.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use seawall_base::Instant;

use super::convert::{Finding, Hit, Input, Note, Texts};
use super::gate::{Examined, Gate};
use super::repeat::{KeyHasher, RowKeys, Seen};
use super::rule::{Compat, Level, RuleId};
use super::verdict::{Mode, Quarantined, Reason};

/// Examples that are kept per rule.
const EXAMPLES_MAX: usize = 3;
/// Rows that room is made for at once: what a file says of itself may be wrong.
const EXPECTED_ROWS_MAX: u64 = 10_000_000;

/// What a table adds up to.
pub struct Tally<'g> {
    gate: &'g Gate,
    rows: u64,
    stopped: u64,
    offending: Vec<u64>,
    examples: Vec<Vec<Example>>,
    hasher: KeyHasher,
    seen: Vec<Seen>,
    newest: Vec<Option<i64>>,
    unknown_columns: Vec<String>,
}

/// A row that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// Number of the row in the table, from 0.
    pub row: u64,
    /// What is wrong, for people.
    pub message: String,
}

/// The rows of one batch that break a rule about rows.
#[derive(Debug)]
pub struct Judged {
    /// Every reason of every such row, those that only warn included; the row is that of the batch, ascending.
    pub rows: Vec<Quarantined>,
    /// How many of them may not be kept: a rule that does more than warn stops them.
    pub stopped: usize,
}

/// Examines batches of a table each by itself, on any thread.
#[derive(Clone)]
pub struct Examiner<'g> {
    gate: &'g Gate,
    hasher: KeyHasher,
}

/// What is wrong in a batch by itself, and the keys that other batches may repeat.
pub struct ExaminedBatch<'g> {
    rows: usize,
    findings: Vec<Finding<'g>>,
    clean: Vec<bool>,
    keys: Vec<Keys>,
    newest: Vec<Option<i64>>,
    unknown: Vec<String>,
}

/// The keys of a batch under one rule about uniqueness.
struct Keys {
    rows: RowKeys,
    /// The values, when the key is one column.
    source: Option<ArrayRef>,
}

impl<'g> Examiner<'g> {
    /// Converts the batch and runs the rules about single rows.
    ///
    /// # Errors
    /// Why the batch as a whole does not fit: a column of another type, a required column that is missing.
    pub fn examine(&self, batch: &RecordBatch, input: Input) -> Result<ExaminedBatch<'g>, Vec<Reason>> {
        let gate = self.gate;
        let Examined { columns, findings, clean, unknown, .. } = gate.examine(batch, input, Texts::Encoded)?;
        let keys = gate.uniqueness.iter().map(|uniqueness| {
            let keys: Vec<ArrayRef> = uniqueness.columns.iter().map(|i| plain(&columns[*i])).collect();
            let rows = self.hasher.keys(&keys.iter().collect::<Vec<_>>());
            Keys { rows, source: (keys.len() == 1).then(|| keys[0].clone()) }
        });
        let keys = keys.collect();
        let newest = gate.latencies.iter().map(|latency| gate.newest(latency, &columns)).collect();
        Ok(ExaminedBatch { rows: batch.num_rows(), findings, clean, keys, newest, unknown })
    }
}

/// The column without a dictionary.
fn plain(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        // Every dictionary that is kept is one of texts, which any dictionary can be unpacked to.
        DataType::Dictionary(_, values) => cast(column, values).unwrap_or_else(|_| column.clone()),
        _ => column.clone(),
    }
}

/// What a rule needs to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// Each row by itself.
    Row,
    /// The rows of the table together: it counts, or it compares them.
    Table,
    /// The newest row and the clock.
    Clock,
}

/// What a rule comes to over the whole table.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// Name of the rule.
    pub rule: String,
    /// Column that it is about, if any.
    pub column: Option<String>,
    /// What it does when broken.
    pub mode: Mode,
    /// What it is judged on.
    pub level: Level,
    /// What the rule needs to see.
    pub about: About,
    /// What must hold, for people.
    pub description: String,
    /// Rows that offend; of a counting rule also those that it tolerates.
    pub offending: u64,
    /// What a counting rule compares: a number of rows, or a percentage.
    pub value: Option<f64>,
    /// Whether the rule holds.
    pub holds: bool,
    /// What is wrong, when it is broken.
    pub message: Option<String>,
    /// The first rows that offend.
    pub examples: Vec<Example>,
}

impl<'g> Tally<'g> {
    /// Nothing seen yet.
    pub fn of(gate: &'g Gate) -> Self {
        let rules = gate.rules().len();
        Tally {
            gate,
            rows: 0,
            stopped: 0,
            offending: vec![0; rules],
            examples: vec![Vec::new(); rules],
            hasher: KeyHasher::random(),
            seen: gate.uniqueness.iter().map(|_| Seen::default()).collect(),
            newest: vec![None; gate.latencies.len()],
            unknown_columns: Vec::new(),
        }
    }

    /// Tells about how many rows the table has, where that is known.
    pub fn expect_rows(&mut self, rows: u64) {
        let rows = usize::try_from(rows.min(EXPECTED_ROWS_MAX)).unwrap_or_default();
        self.seen.iter_mut().for_each(|seen| seen.expect(rows));
    }

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Rows so far that a rule stops.
    pub fn stopped(&self) -> u64 {
        self.stopped
    }

    /// Columns that the contract does not know.
    pub fn unknown_columns(&self) -> &[String] {
        &self.unknown_columns
    }

    /// Judges the next batch.
    ///
    /// # Errors
    /// Why the batch as a whole does not fit: a column of another type, a required column that is missing.
    pub fn add(&mut self, batch: &RecordBatch, input: Input) -> Result<Judged, Vec<Reason>> {
        let examined = self.examiner().examine(batch, input)?;
        Ok(self.take(&examined))
    }

    /// What examines batches for this tally.
    pub fn examiner(&self) -> Examiner<'g> {
        Examiner { gate: self.gate, hasher: self.hasher.clone() }
    }

    /// Judges the next batch, which this tally's [`Examiner`] examined.
    pub fn take(&mut self, examined: &ExaminedBatch<'g>) -> Judged {
        let gate = self.gate;
        let mut repetitions = Vec::new();
        let keys = gate.uniqueness.iter().zip(&mut self.seen).zip(&examined.keys);
        for ((uniqueness, seen), Keys { rows, source }) in keys {
            let counts_values = gate.compat == Compat::DatacontractCli && gate.limits.contains_key(&uniqueness.rule);
            let repeated = seen.add(rows, &examined.clean, counts_values);
            let hits: Vec<Hit> = repeated.into_iter().map(|row| Hit { row, cell: row, more: 0 }).collect();
            repetitions.extend(gate.uniqueness_finding(uniqueness, source.clone(), hits));
        }
        for (known, newest) in self.newest.iter_mut().zip(&examined.newest) {
            *known = (*known).max(*newest);
        }
        for name in &examined.unknown {
            if !self.unknown_columns.contains(name) {
                self.unknown_columns.push(name.clone());
            }
        }
        let mut findings: Vec<&Finding<'g>> = examined.findings.iter().chain(&repetitions).collect();
        findings.sort_by_key(|finding| finding.rule);
        self.count(&findings);
        let judged = self.judged(examined.rows, &findings);
        self.rows += examined.rows as u64;
        self.stopped += judged.stopped as u64;
        judged
    }

    fn count(&mut self, findings: &[&Finding<'_>]) {
        for group in findings.chunk_by(|a, b| a.rule == b.rule) {
            let rule = group[0].rule;
            self.offending[rule] += match group {
                [only] => only.hits.len() as u64,
                several => super::gate::distinct_rows(several.iter().copied()) as u64,
            };
            for finding in group {
                let wanted = EXAMPLES_MAX.saturating_sub(self.examples[rule].len());
                for (i, hit) in finding.hits.iter().enumerate().take(wanted) {
                    let message = self.gate.message(finding, i);
                    self.examples[rule].push(Example { row: self.rows + u64::from(hit.row), message });
                }
            }
        }
    }

    fn judged(&self, rows: usize, findings: &[&Finding<'_>]) -> Judged {
        let gate = self.gate;
        let is_of_rows = |finding: &&&Finding<'_>| !gate.limits.contains_key(&finding.rule);
        let of_rows: Vec<&Finding<'_>> = findings.iter().filter(is_of_rows).copied().collect();
        let mut named = vec![false; rows];
        let mut stopped = vec![false; rows];
        for finding in &of_rows {
            let stops = gate.effect(finding) != Mode::Warn;
            for hit in &finding.hits {
                named[hit.row as usize] = true;
                stopped[hit.row as usize] |= stops;
            }
        }
        let keep: Vec<bool> = named.into_iter().map(|named| !named).collect();
        Judged { rows: gate.reasons(&keep, of_rows), stopped: stopped.into_iter().filter(|stopped| *stopped).count() }
    }

    /// What every rule comes to. `now` is the present, against which the age of events is measured.
    pub fn finish(mut self, now: Instant) -> Vec<Measured> {
        (0..self.offending.len()).map(|rule| self.measured(rule, now)).collect()
    }

    fn measured(&mut self, rule: RuleId, now: Instant) -> Measured {
        let gate = self.gate;
        let info = &gate.rules()[rule];
        let offending = if gate.row_counts.contains(&rule) { self.rows } else { self.offending[rule] };
        let mut measured = Measured {
            rule: info.rule.clone(),
            column: info.column.clone(),
            mode: info.mode,
            level: info.level,
            about: gate.about(rule),
            description: info.description.clone(),
            offending,
            value: None,
            holds: offending == 0,
            message: None,
            examples: std::mem::take(&mut self.examples[rule]),
        };
        if let Some(limit) = gate.limits.get(&rule) {
            let value = limit.value(offending, self.rows);
            measured.value = Some(value);
            measured.holds = limit.threshold.holds(value);
            measured.message = (!measured.holds).then(|| gate.limit_broken(rule, limit, value));
        } else if let Some(at) = gate.latencies.iter().position(|latency| latency.rule == rule) {
            measured.message = self.newest[at].and_then(|newest| gate.late(&gate.latencies[at], Instant(newest), now));
            measured.holds = measured.message.is_none();
        } else if offending > 0 {
            measured.message = measured.examples.first().map(|example| example.message.clone());
        }
        measured
    }
}

impl Finding<'_> {
    /// Whether a value did not fit its type.
    pub(super) fn is_fault(&self) -> bool {
        matches!(self.note, Note::Faults(_))
    }
}
