//! `contract lint`: what is wrong with a contract, what it executes, and what it does not and why.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;
use seawall_base::error::Result;
use seawall_catalog::project::{Diagnostics, Linted};
use serde_json::{Value, json};

use crate::cli::Global;
use crate::cli::check::print_diagnostics;
use crate::output::{Exit, print_json};

/// Check contracts by themselves.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  seawall contract lint contracts/payments.odcs.yaml
  seawall contract lint contracts/*.odcs.yaml --strict

With several contracts, JSON has one report for each under `files`.")]
pub struct Lint {
    /// The contracts
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Exit with 1 also when a rule is not executed
    #[arg(long)]
    strict: bool,
}

impl Lint {
    pub(super) fn run(&self, global: &Global) -> Result<Exit> {
        let mut reports = Vec::with_capacity(self.files.len());
        let mut is_ok = true;
        for file in &self.files {
            let linted = super::read(file, global)?;
            is_ok &= linted.as_ref().is_ok_and(|linted| !self.strict || is_complete(linted));
            match (linted, global.json()) {
                (Ok(linted), true) => reports.push(linted.to_json()),
                (Ok(linted), false) => print_text(&linted),
                (Err(problems), true) => reports.push(problems_json(&problems)),
                (Err(problems), false) => print_diagnostics(global, &problems)?,
            }
        }
        match (global.json(), reports.as_mut_slice()) {
            (false, _) => {}
            (true, [only]) => print_json(only)?,
            (true, several) => {
                for (report, file) in several.iter_mut().zip(&self.files) {
                    report["file"] = json!(file);
                }
                print_json(&json!({"ok": is_ok, "files": reports}))?;
            }
        }
        Ok(if is_ok { Exit::Ok } else { Exit::Breach })
    }
}

/// Whether every rule is executed.
fn is_complete(linted: &Linted) -> bool {
    linted.objects.iter().all(|object| object.not_executed.is_empty())
}

fn problems_json(problems: &Diagnostics) -> Value {
    let mut report = problems.to_json();
    report["ok"] = json!(false);
    report
}

fn print_text(linted: &Linted) {
    if !linted.warnings.is_empty() {
        eprintln!("{}", linted.warnings.render(std::io::stderr().is_terminal()));
    }
    for object in &linted.objects {
        println!(
            "{}: {} rules about rows and batches, {} about the table, {} service levels",
            object.name,
            object.gate.rules().len(),
            object.gate.table_rules().len(),
            object.gate.service_levels().len()
        );
        for (rule, line) in &object.not_executed {
            let column = rule.column.as_ref().map(|column| format!(" of {column}")).unwrap_or_default();
            println!("  line {line}: {}{column} is not executed: {}", rule.rule, rule.reason);
        }
    }
    println!("{} {}: no problems", linted.contract.id(), linted.contract.version());
}
