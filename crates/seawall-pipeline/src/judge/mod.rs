//! Rows held to a contract without being kept: what `contract test` and the same over HTTP do.
//!
//! [`Judge::run`] judges a file, or bytes of one, batch by batch and tells what every rule comes to;
//! [`Judge::ask_table_rules`] asks the rules about the whole table of the rows that the gate accepts. Memory is that of a
//! few batches, however long the file is, but for the accepted rows, which are kept only when a rule asks for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::RecordBatch;
use seawall_base::declare::FileFormat;
use seawall_base::error::Result;
use seawall_base::{Engine, Error, Hash, Instant, Reference};
use seawall_kernel::contract::{Gate, Measured, Measurement, Mode, NotExecuted, Reason, Tally};
use serde_json::{Value, json};

use crate::source::files::Content;

mod pieces;

/// What is held to what.
pub struct Judge<'a> {
    /// The contract's rules about the rows.
    pub gate: &'a Gate,
    /// The rows.
    pub content: &'a Content,
    /// Their format.
    pub format: FileFormat,
    /// Texts that mean null in a CSV file, besides the empty field.
    pub null_values: &'a [String],
    /// Whether bad rows are wanted, so that batches are kept until their turn.
    pub wants_rows: bool,
    /// How much is taken on.
    pub bounds: Bounds,
}

/// How much a judge takes on.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// Rows and broken lines that may be looked at; more are an error.
    pub rows_max: u64,
    /// Bytes of decoded rows that are held at once, and bytes that a Parquet file may have when unpacked.
    pub bytes_max: u64,
    /// Threads that decode and examine.
    pub workers: usize,
    /// Ends the work early.
    pub stop: Stop,
}

impl Bounds {
    /// Whatever there is, on every processor: for whoever owns the machine.
    pub fn unbounded() -> Bounds {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        Bounds { rows_max: u64::MAX, bytes_max: u64::MAX, workers, stop: Stop::default() }
    }

    /// Whether nothing is bounded.
    fn is_unbounded(&self) -> bool {
        self.bytes_max == u64::MAX
    }
}

/// Tells work on another thread to end.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Whoever holds a clone ends at the next opportunity.
    pub fn now(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether to go on.
    ///
    /// # Errors
    /// SW0255 when not.
    pub fn check(&self) -> Result<()> {
        match self.0.load(Ordering::Relaxed) {
            false => Ok(()),
            true => Err(Error::invalid("SW0255", "the work on the contract was ended before it was done")
                .hint("give fewer rows, or a contract with cheaper rules")),
        }
    }
}

/// What became of the rows.
#[derive(Debug, Default)]
pub struct Judgement {
    /// Rows.
    pub rows: u64,
    /// Rows that a rule stops.
    pub stopped: u64,
    /// Lines that could not be decoded; they are no rows.
    pub broken_lines: u64,
    /// Why the rows as a whole do not fit.
    pub refused: Option<Vec<Reason>>,
    /// Columns that the contract does not have.
    pub unknown_columns: Vec<String>,
    /// What each rule about rows and batches comes to.
    pub rules: Vec<Measured>,
    /// What each rule about the whole table comes to.
    pub table_rules: Vec<TableMeasured>,
    /// How long it took.
    pub took_ms: i64,
}

/// What a rule about the whole table found, or why it was not asked.
#[derive(Debug)]
pub struct TableMeasured {
    /// Name of the rule.
    pub rule: String,
    /// Column that it is about, if any.
    pub column: Option<String>,
    /// What must hold, for people.
    pub description: String,
    /// What was found, or why it was not asked.
    pub outcome: std::result::Result<Measurement, String>,
}

impl TableMeasured {
    /// Whether the rule was asked and holds, or was not asked.
    pub fn holds(&self) -> bool {
        self.outcome.as_ref().map_or(true, |found| found.holds)
    }
}

impl Judge<'_> {
    /// Judges the rows; `write` gets each bad one with its number, its reasons and its text.
    ///
    /// # Errors
    /// Rows that cannot be read, SW0254 when there are more than the bounds allow, SW0255 when the work was stopped.
    pub fn run(
        &self,
        now: Instant,
        write: impl FnMut(u64, &[Reason], &dyn Fn() -> String) -> Result<()>,
    ) -> Result<Judgement> {
        let mut tally = Tally::of(self.gate);
        let mut judgement = Judgement::default();
        pieces::judge(self, &mut tally, &mut judgement, write)?;
        judgement.rows = tally.rows();
        judgement.stopped = tally.stopped();
        judgement.unknown_columns = tally.unknown_columns().to_vec();
        judgement.rules = tally.finish(now);
        Ok(judgement)
    }

    /// The rows that the gate accepts, when a rule about the whole table asks for them.
    ///
    /// # Errors
    /// As [`Judge::run`], and SW0254 when they take more memory than the bounds allow.
    pub fn accepted(&self) -> Result<Option<RecordBatch>> {
        match self.gate.table_rules().is_empty() {
            true => Ok(None),
            false => pieces::accepted(self).map(Some),
        }
    }

    /// Asks the rules about the whole table, of the rows that the gate accepts.
    ///
    /// # Errors
    /// As [`Judge::accepted`]. A rule that cannot be asked is told with the reason.
    pub async fn ask_table_rules(&self, engine: &dyn Engine) -> Result<Vec<TableMeasured>> {
        Ok(ask_table_rules(self.gate, self.accepted()?, engine).await)
    }
}

/// Asks the rules of `gate` about the whole table; `accepted` are its rows.
pub async fn ask_table_rules(gate: &Gate, accepted: Option<RecordBatch>, engine: &dyn Engine) -> Vec<TableMeasured> {
    let Some(rows) = accepted else { return Vec::new() };
    let table = Reference { name: gate.dataset().name.clone(), hash: Hash::of(b""), rows };
    let mut measured = Vec::new();
    for rule in gate.table_rules() {
        let outcome = match rule.tables.as_slice() {
            [] => ask(engine, &rule.sql, &table).await.and_then(|answer| rule.judge(&answer)),
            tables => Err(format!("it also reads {}, which is not among these rows", tables.join(", "))),
        };
        measured.push(TableMeasured {
            rule: rule.rule.clone(),
            column: rule.column.clone(),
            description: rule.description.clone(),
            outcome,
        });
    }
    measured
}

/// The rules of `gate` about the whole table, none of them asked.
pub fn unasked_table_rules(gate: &Gate, why: &str) -> Vec<TableMeasured> {
    let unasked = gate.table_rules().iter().map(|rule| TableMeasured {
        rule: rule.rule.clone(),
        column: rule.column.clone(),
        description: rule.description.clone(),
        outcome: Err(why.to_owned()),
    });
    unasked.collect()
}

async fn ask(engine: &dyn Engine, sql: &str, table: &Reference) -> std::result::Result<Vec<RecordBatch>, String> {
    let nothing = RecordBatch::new_empty(table.rows.schema());
    let map =
        engine.compile_map(sql, nothing.schema(), std::slice::from_ref(table)).await.map_err(|e| e.to_string())?;
    map.apply(&nothing).await.map(|answer| vec![answer]).map_err(|e| e.to_string())
}

impl Judgement {
    /// Whether nothing is broken that does more than warn, or nothing at all when `strict`.
    pub fn is_ok(&self, strict: bool) -> bool {
        self.refused.is_none()
            && self.broken_lines == 0
            && self.stopped == 0
            && self.rules.iter().all(|measured| measured.holds || !strict && measured.mode == Mode::Warn)
            && (!strict || self.table_rules.iter().all(TableMeasured::holds))
    }

    /// For programs. `not_executed` are the rules of the contract that nobody executes, with their lines where there is a
    /// text.
    pub fn to_json(&self, object: &str, not_executed: &[(NotExecuted, Option<usize>)], strict: bool) -> Value {
        let rules = self.rules.iter().map(|measured| {
            let examples: Vec<Value> =
                measured.examples.iter().map(|e| json!({"row": e.row, "message": e.message})).collect();
            json!({
                "rule": measured.rule, "column": measured.column, "mode": measured.mode,
                "description": measured.description, "holds": measured.holds, "offending": measured.offending,
                "value": measured.value, "message": measured.message, "examples": examples,
            })
        });
        let table_rules = self.table_rules.iter().map(|measured| match &measured.outcome {
            Ok(found) => json!({
                "rule": measured.rule, "column": measured.column, "description": measured.description,
                "holds": found.holds, "value": found.value, "message": found.message,
            }),
            Err(reason) => json!({
                "rule": measured.rule, "column": measured.column, "description": measured.description,
                "not_executed": reason,
            }),
        });
        let not_executed = not_executed.iter().map(|(rule, line)| {
            json!({
                "rule": rule.rule, "column": rule.column, "path": rule.path, "line": line, "reason": rule.reason,
            })
        });
        json!({
            "object": object,
            "ok": self.is_ok(strict),
            "rows": self.rows,
            "stopped": self.stopped,
            "broken_lines": self.broken_lines,
            "refused": self.refused,
            "unknown_columns": self.unknown_columns,
            "rules": rules.collect::<Vec<_>>(),
            "table_rules": table_rules.collect::<Vec<_>>(),
            "not_executed": not_executed.collect::<Vec<_>>(),
            "took_ms": self.took_ms,
        })
    }
}

#[cfg(test)]
mod tests;
