//! `contract lint`: what is wrong with a contract, what it executes, and what it does not and why.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;
use seawall_base::error::Result;
use seawall_catalog::project::{Linted, LintedObject};
use serde_json::{Value, json};

use crate::cli::Global;
use crate::cli::check::print_diagnostics;
use crate::output::{Exit, print_json};

/// Check a contract by itself.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  seawall contract lint contracts/payments.odcs.yaml")]
pub struct Lint {
    /// The contract
    file: PathBuf,
    /// Exit with 1 also when a rule is not executed
    #[arg(long)]
    strict: bool,
}

impl Lint {
    pub(super) fn run(&self, global: &Global) -> Result<Exit> {
        let linted = match super::read(&self.file, global)? {
            Ok(linted) => linted,
            Err(diagnostics) => {
                print_diagnostics(global, &diagnostics)?;
                return Ok(Exit::Breach);
            }
        };
        if global.json() {
            print_json(&json!({
                "ok": true,
                "contract": format!("{} {}", linted.contract.id(), linted.contract.version()),
                "objects": linted.objects.iter().map(object_json).collect::<Vec<_>>(),
                "warnings": linted.warnings,
            }))?;
        } else {
            print_text(&linted);
        }
        let is_complete = linted.objects.iter().all(|object| object.not_executed.is_empty());
        Ok(if self.strict && !is_complete { Exit::Breach } else { Exit::Ok })
    }
}

fn object_json(object: &LintedObject) -> Value {
    let not_executed = object.not_executed.iter().map(|(rule, line)| {
        json!({"rule": rule.rule, "column": rule.column, "path": rule.path, "line": line, "reason": rule.reason})
    });
    json!({
        "object": object.name,
        "rules": object.gate.rules().len(),
        "table_rules": object.gate.table_rules().len(),
        "service_levels": object.gate.service_levels().len(),
        "not_executed": not_executed.collect::<Vec<_>>(),
    })
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
