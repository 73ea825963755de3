//! `contract test`: a file held to a contract.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use seawall_base::declare::FileFormat;
use seawall_base::error::Result;
use seawall_base::{Clock, Error, SystemClock};
use seawall_catalog::project::LintedObject;
use seawall_kernel::contract::{Measured, Mode, Reason};
use serde_json::{Value, json};

use super::judge::{Judge, Judgement, TableMeasured};
use crate::cli::Global;
use crate::cli::check::print_diagnostics;
use crate::output::{Exit, count, print_json};

/// Hold a file to a contract.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  seawall contract test contracts/payments.odcs.yaml payments.parquet
  seawall contract test orders.odcs.yaml orders.csv --object orders --rows bad.ndjson

Exits with 1 when a rule is broken that does more than warn.")]
pub struct Test {
    /// The contract
    contract: PathBuf,
    /// The file: .parquet, .csv, .ndjson or .jsonl, as a path or as file:// URI
    data: String,
    /// Which object of the contract, when it has several
    #[arg(long)]
    object: Option<String>,
    /// Texts that mean null in a CSV file, besides the empty field
    #[arg(long, value_name = "TEXT", value_delimiter = ',')]
    null: Vec<String>,
    /// Write every bad row with every reason to this file, as NDJSON
    #[arg(long, value_name = "FILE")]
    rows: Option<PathBuf>,
    /// Exit with 1 also when a rule that only warns is broken
    #[arg(long)]
    strict: bool,
}

impl Test {
    pub(super) async fn run(&self, global: &Global) -> Result<Exit> {
        let mut linted = match super::read(&self.contract, global)? {
            Ok(linted) => linted,
            Err(diagnostics) => {
                print_diagnostics(global, &diagnostics)?;
                return Ok(Exit::Breach);
            }
        };
        let object = super::choose(&mut linted, self.object.as_deref())?;
        let path = local_path(&self.data)?;
        let format = seawall_pipeline::source::files::format_of(&path)?;
        let judgement = self.judge(&object, &path, format).await?;
        if global.json() {
            print_json(&judgement_json(&object, &judgement))?;
        } else {
            print_text(&object, &judgement);
        }
        let is_broken = judgement.refused.is_some()
            || judgement.rules.iter().any(|m| !m.holds && (self.strict || m.mode != Mode::Warn))
            || judgement.broken_lines > 0
            || judgement.stopped > 0
            || self.strict && judgement.table_rules.iter().any(|m| !m.holds());
        Ok(if is_broken { Exit::Breach } else { Exit::Ok })
    }

    async fn judge(&self, object: &LintedObject, path: &Path, format: FileFormat) -> Result<Judgement> {
        let clock = SystemClock;
        let started = clock.now();
        let mut sink = match &self.rows {
            Some(path) => Some(BufWriter::with_capacity(1 << 18, File::create(path)?)),
            None => None,
        };
        let write = |row: u64, reasons: &[Reason], raw: &dyn Fn() -> String| -> Result<()> {
            let Some(sink) = &mut sink else { return Ok(()) };
            write!(sink, "{{\"row\":{row},\"reasons\":")?;
            serde_json::to_writer(&mut *sink, reasons)
                .map_err(|e| Error::internal("SW0893", "cannot write the reasons").because(e))?;
            writeln!(sink, ",\"raw\":{}}}", raw())?;
            Ok(())
        };
        let judge =
            Judge { gate: &object.gate, path, format, null_values: &self.null, writes_rows: self.rows.is_some() };
        let mut judgement = judge.run(started, write)?;
        if let Some(mut sink) = sink {
            sink.flush()?;
        }
        judgement.table_rules = judge.ask_table_rules().await?;
        judgement.took_ms = (clock.now() - started).0 / 1_000;
        Ok(judgement)
    }
}

/// The path behind a `file://` URI, or the path itself.
fn local_path(data: &str) -> Result<PathBuf> {
    match data.split_once("://") {
        None => Ok(PathBuf::from(data)),
        Some(("file", path)) => Ok(PathBuf::from(path.strip_prefix("localhost").unwrap_or(path))),
        Some((scheme, _)) => Err(Error::invalid("SW0252", format!("{scheme}:// is not read by this command"))
            .hint("copy the object into a file, or declare a source and let it pass the gate")),
    }
}

fn judgement_json(object: &LintedObject, judgement: &Judgement) -> Value {
    let rules = judgement.rules.iter().map(|measured| {
        let examples: Vec<Value> =
            measured.examples.iter().map(|e| json!({"row": e.row, "message": e.message})).collect();
        json!({
            "rule": measured.rule, "column": measured.column, "mode": measured.mode,
            "description": measured.description, "holds": measured.holds, "offending": measured.offending,
            "value": measured.value, "message": measured.message, "examples": examples,
        })
    });
    let table_rules = judgement.table_rules.iter().map(|measured| match &measured.outcome {
        Ok(found) => json!({
            "rule": measured.rule, "column": measured.column, "description": measured.description,
            "holds": found.holds, "value": found.value, "message": found.message,
        }),
        Err(reason) => json!({
            "rule": measured.rule, "column": measured.column, "description": measured.description,
            "not_executed": reason,
        }),
    });
    let not_executed = object
        .not_executed
        .iter()
        .map(|(rule, line)| json!({"rule": rule.rule, "column": rule.column, "line": line, "reason": rule.reason}));
    json!({
        "object": object.name,
        "rows": judgement.rows,
        "stopped": judgement.stopped,
        "broken_lines": judgement.broken_lines,
        "refused": judgement.refused,
        "unknown_columns": judgement.unknown_columns,
        "rules": rules.collect::<Vec<_>>(),
        "table_rules": table_rules.collect::<Vec<_>>(),
        "not_executed": not_executed.collect::<Vec<_>>(),
        "took_ms": judgement.took_ms,
    })
}

fn print_text(object: &LintedObject, judgement: &Judgement) {
    for reason in judgement.refused.iter().flatten() {
        println!("refused: {}", reason.message);
    }
    let told = judgement.rules.iter().filter(|measured| !measured.holds || measured.offending > 0);
    told.for_each(print_rule);
    for measured in &judgement.table_rules {
        print_table_rule(measured);
    }
    for (rule, line) in &object.not_executed {
        println!("not executed: {}, line {line}: {}", rule.rule, rule.reason);
    }
    for column in &judgement.unknown_columns {
        println!("unknown column: {column}");
    }
    let held = judgement.rules.iter().filter(|measured| measured.holds).count();
    println!(
        "{}: {} rows, {} of them stopped, {} lines broken; {held} of {} rules hold",
        object.name,
        count(judgement.rows),
        count(judgement.stopped),
        count(judgement.broken_lines),
        judgement.rules.len()
    );
}

fn print_rule(measured: &Measured) {
    let column = measured.column.as_ref().map(|column| format!(" of {column}")).unwrap_or_default();
    let state = match (measured.holds, measured.mode) {
        (true, _) => "held",
        (false, Mode::Warn) => "warning",
        (false, _) => "broken",
    };
    println!("{state}: {}{column}: {} rows; {}", measured.rule, count(measured.offending), measured.description);
    for example in &measured.examples {
        println!("    row {}: {}", count(example.row), example.message);
    }
}

fn print_table_rule(measured: &TableMeasured) {
    match &measured.outcome {
        Ok(found) if found.holds => println!("held: {}: {}", measured.rule, measured.description),
        Ok(found) => println!("warning: {}", found.message),
        Err(reason) => println!("not executed: {}: {reason}", measured.rule),
    }
}
