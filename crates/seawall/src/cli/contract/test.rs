//! `contract test`: a file held to a contract.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use seawall_base::declare::FileFormat;
use seawall_base::error::Result;
use seawall_base::{Clock, Error, SystemClock};
use seawall_catalog::project::LintedObject;
use seawall_kernel::contract::{Measured, Mode, NotExecuted, Reason};
use seawall_lake::query::{DataFusionEngine, EngineOptions};
use seawall_lake::table::MemoryStore;
use seawall_pipeline::judge::{Bounds, Judge, Judgement, TableMeasured};
use seawall_pipeline::source::files::Content;

use super::data::Data;
use crate::cli::Global;
use crate::cli::check::print_diagnostics;
use crate::output::{Exit, count, print_json};

/// Hold a file to a contract.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  seawall contract test contracts/payments.odcs.yaml payments.parquet
  seawall contract test orders.odcs.yaml orders.csv --object orders --rows bad.ndjson
  zcat orders.csv.gz | seawall contract test orders.odcs.yaml - --format csv

Exits with 1 when a rule is broken that does more than warn.")]
pub struct Test {
    /// The contract
    contract: PathBuf,
    #[command(flatten)]
    data: Data,
    /// Which object of the contract, when it has several
    #[arg(long)]
    object: Option<String>,
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
        let object = linted.take_object(self.object.as_deref())?;
        let (content, format) = self.data.open()?;
        let judgement = self.judge(&object, &content, format).await?;
        if global.json() {
            let not_executed: Vec<(NotExecuted, Option<usize>)> =
                object.not_executed.iter().map(|(rule, line)| (rule.clone(), Some(*line))).collect();
            print_json(&judgement.to_json(&object.name, &not_executed, self.strict))?;
        } else {
            print_text(&object, &judgement);
        }
        Ok(if judgement.is_ok(self.strict) { Exit::Ok } else { Exit::Breach })
    }

    async fn judge(&self, object: &LintedObject, content: &Content, format: FileFormat) -> Result<Judgement> {
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
        let judge = Judge {
            gate: &object.gate,
            content,
            format,
            null_values: &self.data.null,
            wants_rows: self.rows.is_some(),
            bounds: Bounds::unbounded(),
        };
        let mut judgement = judge.run(started, write)?;
        if let Some(mut sink) = sink {
            sink.flush()?;
        }
        if !object.gate.table_rules().is_empty() {
            let engine = DataFusionEngine::over(Arc::new(MemoryStore::default()), EngineOptions::default())?;
            judgement.table_rules = judge.ask_table_rules(&engine).await?;
        }
        judgement.took_ms = (clock.now() - started).0 / 1_000;
        Ok(judgement)
    }
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
    if judgement.refused.is_some() {
        println!("{}: the rows do not fit the contract as a whole, so no rule is judged", object.name);
        return;
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
