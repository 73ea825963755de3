//! The command line: one file per command; this one knows them all.

mod backtest;
mod backup;
mod bench;
mod check;
mod contract;
mod demo;
mod derived;
mod erase;
mod explain;
mod features;
mod incident;
mod ingest;
mod init;
mod lifecycle;
mod look;
mod model;
mod move_rows;
mod quality;
mod quarantine;
mod repair;
mod rollback;
mod rollback_to;
mod serve;
mod server_status;
mod table;
mod test;
mod token;
mod training_set;
mod verify;
mod verify_data;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use seawall_base::SystemClock;
use seawall_base::error::Result;

use crate::assemble::{Installation, Settings};
use crate::output::{Exit, Output};

pub use backup::create_recorded as create_backup;

/// Seawall: the resilient, governed data plane for AI teams.
#[derive(Debug, Parser)]
#[command(
    name = "seawall",
    version,
    max_term_width = 110,
    after_help = "\
Examples:
  seawall demo                              180 simulated days through the whole loop, then keeps serving
  seawall init --from trips.csv --key driver --time started_at shop
  seawall -C shop apply && seawall -C shop run
  seawall -C shop features get trips --entity driver=d7 --at 2024-05-01T12:00:00Z

Exit codes: 0 ok, 1 expected failure (a breach, a failed check), 2 usage or internal, 3 changes present (opt-in), 4 waiting for approval."
)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub struct Global {
    /// The project's folder
    #[arg(short = 'C', long = "project", global = true, default_value = ".", value_name = "DIR")]
    pub project: PathBuf,
    /// Where data is kept; `.seawall/data` in the project when absent
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where tables lie, for a data folder that has none yet: s3://BUCKET/PREFIX; SEAWALL_TABLES says the same; in the
    /// data folder when both are absent
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub tables: Option<String>,
    /// Sets a variable of the project, for `${NAME}` in declarations
    #[arg(long, global = true, value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub set: Vec<(String, String)>,
    /// Form of the output
    #[arg(long, global = true, value_enum, default_value = "text")]
    pub output: Output,
    /// More logs on standard error; twice for debug
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

fn name_and_value(text: &str) -> std::result::Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("{text:?} is not NAME=VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Global {
    /// Where things are.
    pub fn settings(&self) -> Settings {
        let data = self.data_dir.clone().unwrap_or_else(|| self.project.join(".seawall").join("data"));
        let set: BTreeMap<String, String> = self.set.iter().cloned().collect();
        let tables = self.tables.clone().or_else(|| std::env::var("SEAWALL_TABLES").ok());
        Settings { project: self.project.clone(), data, tables, set }
    }

    /// Opens catalog, tables and engine on the machine's clock.
    pub async fn open(&self) -> Result<Installation> {
        Installation::open(&self.settings(), Arc::new(SystemClock)).await
    }

    /// Whether the output is JSON.
    pub fn json(&self) -> bool {
        self.output == Output::Json
    }
}

/// Every command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a project: a commented scaffold, or a contract and a first feature view inferred from a file
    Init(init::Init),
    /// Check the declarations; every problem with file, line, column and remedy
    Check(check::Check),
    /// Show what `apply` would change, and why
    Plan(check::Plan),
    /// Make the declarations the active revision
    Apply(check::Apply),
    /// Run the project's test cases: rows that are given, and what must follow from them
    Test(test::Test),
    /// Contracts: check, compare, infer, generate rows, hold a file to one; no project is needed
    #[command(subcommand)]
    Contract(contract::Contract),
    /// Write JSON Schemas of the declarations for editors
    Schema(check::Schema),
    /// Explain an error code, or a prediction
    Explain(explain::Explain),
    /// Run every role in this process: HTTP, writers, metrics
    Serve(serve::Serve),
    /// Load batch sources once: every new file, then exit
    Run(move_rows::Run),
    /// Let sources enter in availability order on a simulated clock, serve every decision, prove no skew
    Replay(move_rows::Replay),
    /// Send events of a file to a dataset
    Ingest(ingest::Ingest),
    /// Ask in SQL: every dataset, its quarantine, what was served, and `system.*`
    Query(look::Query),
    /// Look at rows that were stopped at the gate
    Quarantine(quarantine::Quarantine),
    /// Features of the present or of a moment, and the rows behind a number
    #[command(subcommand)]
    Features(features::Features),
    /// Models: versions, decisions, cards; reproduce one; run the policy over history
    #[command(subcommand)]
    Model(model::Model),
    /// Train a model now
    Train(model::Train),
    /// Who is champion, or was, and why
    Champion(model::Champion),
    /// Approve or refuse what is proposed
    Approve(model::Approve),
    /// Promote an approved proposal
    Promote(model::Promote),
    /// Bring back an earlier champion or an earlier revision
    #[command(subcommand)]
    Rollback(rollback::Rollback),
    /// What went wrong, once per cause, and what to do about it
    #[command(subcommand)]
    Incident(incident::Incident),
    /// Build and list training sets
    #[command(subcommand)]
    TrainingSet(training_set::TrainingSet),
    /// Tables: versions, files; merge small files, give up old versions
    #[command(subcommand)]
    Table(table::Table),
    /// What came in, what was stopped, what runs
    Status(look::Status),
    /// How good what came in was, over time, and which rules it broke
    Quality(quality::Quality),
    /// Where a column comes from, or what depends on it
    Lineage(look::Lineage),
    /// Who did what: the audit ledger, with its hash chain checked
    Audit(look::Audit),
    /// Check what was kept; prove that served and recomputed values are equal; check a certificate offline
    #[command(subcommand)]
    Verify(verify::Verify),
    /// Mend what `verify data` finds: a plan, or with `--run` do it
    Repair(repair::Repair),
    /// Back up the data folder, and look after backups
    #[command(subcommand)]
    Backup(backup::Backup),
    /// Restore a data folder from a backup
    Restore(backup::Restore),
    /// Take a person out of the log and of the tables
    Erase(erase::Erase),
    /// What the project's rules give up when: a plan, or do it
    #[command(subcommand)]
    Lifecycle(lifecycle::Lifecycle),
    /// Tokens for people and services
    #[command(subcommand)]
    Token(token::Token),
    /// Simulated card payments through the whole loop, with faults of known truth
    Demo(demo::Demo),
    /// Measure this machine and a running server
    Bench(bench::Bench),
}

impl Command {
    /// Whether it serves for long.
    pub fn serves(&self) -> bool {
        matches!(self, Command::Serve(_) | Command::Run(_) | Command::Demo(_))
    }
}

/// Runs one command.
pub async fn run(cli: &Cli) -> Result<Exit> {
    let global = &cli.global;
    match &cli.command {
        Command::Init(command) => command.run(global),
        Command::Check(command) => command.run(global),
        Command::Plan(command) => command.run(global).await,
        Command::Apply(command) => command.run(global).await,
        Command::Test(command) => command.run(global).await,
        Command::Contract(command) => command.run(global).await,
        Command::Schema(command) => command.run(global),
        Command::Explain(command) => command.run(global).await,
        Command::Serve(command) => command.run(global).await,
        Command::Run(command) => command.run(global).await,
        Command::Replay(command) => command.run(global).await,
        Command::Ingest(command) => command.run(global).await,
        Command::Query(command) => command.run(global).await,
        Command::Quarantine(command) => command.run(global).await,
        Command::Features(command) => command.run(global).await,
        Command::Model(command) => command.run(global).await,
        Command::Train(command) => command.run(global).await,
        Command::Champion(command) => command.run(global).await,
        Command::Approve(command) => command.run(global).await,
        Command::Promote(command) => command.run(global).await,
        Command::Rollback(command) => command.run(global).await,
        Command::Incident(command) => command.run(global).await,
        Command::TrainingSet(command) => command.run(global).await,
        Command::Table(command) => command.run(global).await,
        Command::Status(command) => command.run(global).await,
        Command::Quality(command) => command.run(global).await,
        Command::Lineage(command) => command.run(global).await,
        Command::Audit(command) => command.run(global).await,
        Command::Verify(command) => command.run(global).await,
        Command::Repair(command) => command.run(global).await,
        Command::Backup(command) => command.run(global).await,
        Command::Restore(command) => command.run(global).await,
        Command::Erase(command) => command.run(global).await,
        Command::Lifecycle(command) => command.run(global).await,
        Command::Token(command) => command.run(global).await,
        Command::Demo(command) => command.run(global).await,
        Command::Bench(command) => command.run(global).await,
    }
}
