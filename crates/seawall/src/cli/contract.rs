//! `contract`: look at a contract, and hold a file to it. No project is needed.

mod data;
mod diff;
mod exchange;
mod generate;
mod infer;
mod lint;
mod test;

use std::path::Path;

use clap::Subcommand;
use seawall_base::Error;
use seawall_base::error::Result;
use seawall_catalog::project::{self, Diagnostics, Linted};

use crate::cli::Global;
use crate::output::Exit;

/// Contracts.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  seawall contract lint contracts/payments.odcs.yaml
  seawall contract test contracts/payments.odcs.yaml payments.parquet
  seawall -C shop contract diff applied contracts/payments.odcs.yaml
  seawall contract infer payments.parquet --key id > payments.odcs.yaml
  seawall contract generate payments.odcs.yaml --rows 10000 --violations 1% --seed 7 > payments.ndjson")]
pub enum Contract {
    /// Check a contract by itself: every problem with line, column and remedy, and every rule that is not executed
    Lint(lint::Lint),
    /// Hold a file to a contract: counts per rule, and every bad row with every reason
    Test(test::Test),
    /// Compare two versions of a contract: every change, whom it breaks, and what it reaches
    Diff(diff::Diff),
    /// Make synthetic rows that obey a contract, with violations that are known
    Generate(generate::Generate),
    /// Make a first contract out of a file, with the profile of its columns
    Infer(infer::Infer),
    /// Write a contract as JSON Schema, as SQL or as a page; what they cannot express is told
    Export(exchange::Export),
    /// Make a contract out of JSON Schema or SQL; what it cannot express is told
    Import(exchange::Import),
}

impl Contract {
    pub(super) async fn run(&self, global: &Global) -> Result<Exit> {
        match self {
            Contract::Lint(command) => command.run(global),
            Contract::Test(command) => command.run(global).await,
            Contract::Diff(command) => command.run(global).await,
            Contract::Generate(command) => command.run(global),
            Contract::Infer(command) => command.run(global),
            Contract::Export(command) => command.run(global),
            Contract::Import(command) => command.run(global),
        }
    }
}

/// Reads and checks the contract at `path`. `--set` gives its variables.
fn read(path: &Path, global: &Global) -> Result<std::result::Result<Linted, Diagnostics>> {
    let bytes = std::fs::read(path).map_err(|error| {
        Error::not_found("SW0251", format!("the contract {} cannot be read", path.display()))
            .because(error)
            .hint("name a file such as contracts/payments.odcs.yaml")
    })?;
    let text = String::from_utf8(bytes).map_err(|_| {
        Error::invalid("SW0251", format!("the contract {} is not UTF-8 text", path.display())).hint("save it as UTF-8")
    })?;
    Ok(project::lint(path, &text, &global.settings().set))
}
