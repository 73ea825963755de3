//! `contract generate`: synthetic rows that obey a contract, with violations that are known.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use clap::Args;
use seawall_base::error::Result;
use seawall_base::{Error, Instant};
use seawall_kernel::contract::{GenerateOptions, Generator, Stuck};
use serde_json::{Value, json};

use crate::cli::Global;
use crate::cli::check::print_diagnostics;
use crate::output::{Exit, count, print_json};

/// Make synthetic rows that obey a contract.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  seawall contract generate payments.odcs.yaml --rows 10000 > payments.ndjson
  seawall contract generate payments.odcs.yaml --rows 10000 --violations 1% --seed 7 --to payments.ndjson --truth bad.ndjson

The same contract, options and seed give the same bytes. Each violation breaks exactly one rule; the file of --truth says
which row breaks which.")]
pub struct Generate {
    /// The contract
    contract: PathBuf,
    /// Rows to make
    #[arg(long, value_name = "N")]
    rows: u64,
    /// The share of rows that break a rule: 1%, 0.5%, 0.01
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = share)]
    violations: f64,
    /// Rows are the same for the same seed
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Which object of the contract, when it has several
    #[arg(long)]
    object: Option<String>,
    /// The latest instant that an event has
    #[arg(long, value_name = "INSTANT", default_value = "2026-01-01T00:00:00Z")]
    until: Instant,
    /// Write the rows to this file instead of standard output, as NDJSON
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Write the known violations to this file, as NDJSON: row, rule, column
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,
}

fn share(text: &str) -> std::result::Result<f64, String> {
    GenerateOptions::share(text).ok_or_else(|| format!("{text:?} is no share such as 1%"))
}

impl Generate {
    pub(super) fn run(&self, global: &Global) -> Result<Exit> {
        let mut linted = match super::read(&self.contract, global)? {
            Ok(linted) => linted,
            Err(diagnostics) => {
                print_diagnostics(global, &diagnostics)?;
                return Ok(Exit::Breach);
            }
        };
        let object = linted.take_object(self.object.as_deref())?.name;
        let options =
            GenerateOptions { rows: self.rows, violations: self.violations, seed: self.seed, until: self.until };
        let mut generator = Generator::new(&linted.contract, Some(&object), options).map_err(stuck)?;
        if global.json() && self.to.is_none() {
            return Err(Error::invalid("SW1711", "the rows and the summary cannot both go to standard output")
                .hint("say --to FILE for the rows"));
        }
        let mut rows: Box<dyn Write> = match &self.to {
            Some(path) => Box::new(BufWriter::new(File::create(path)?)),
            None => Box::new(BufWriter::new(std::io::stdout().lock())),
        };
        let mut truth = self.truth.as_ref().map(File::create).transpose()?.map(BufWriter::new);
        let mut broken: std::collections::BTreeMap<String, u64> = Default::default();
        loop {
            let chunk = generator.chunk().map_err(stuck)?;
            if chunk.rows.is_empty() {
                break;
            }
            for row in &chunk.rows {
                writeln!(rows, "{row}")?;
            }
            for violation in &chunk.violations {
                let column = violation.column.as_deref().unwrap_or("-");
                *broken.entry(format!("{} {column}", violation.rule)).or_default() += 1;
                if let Some(truth) = &mut truth {
                    writeln!(truth, "{}", json!(violation))?;
                }
            }
        }
        rows.flush()?;
        truth.map(|mut truth| truth.flush()).transpose()?;
        self.tell(global, &object, &broken)?;
        Ok(Exit::Ok)
    }

    fn tell(&self, global: &Global, object: &str, broken: &std::collections::BTreeMap<String, u64>) -> Result<()> {
        let total: u64 = broken.values().sum();
        if global.json() {
            let rules: Vec<Value> = broken
                .iter()
                .map(|(name, rows)| {
                    let (rule, column) = name.split_once(' ').unwrap_or((name, "-"));
                    json!({"rule": rule, "column": (column != "-").then_some(column), "rows": rows})
                })
                .collect();
            return print_json(&json!({
                "object": object, "rows": self.rows, "violations": total, "seed": self.seed, "rules": rules,
            }));
        }
        eprintln!("{object}: {} rows, {} of them break a rule (seed {})", count(self.rows), count(total), self.seed);
        for (name, rows) in broken {
            eprintln!("  {name}: {}", count(*rows));
        }
        Ok(())
    }
}

fn stuck(stuck: Stuck) -> Error {
    Error::invalid("SW1710", stuck.message).hint(stuck.hint)
}
