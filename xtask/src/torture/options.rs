//! What `cargo xtask torture` is told.

use std::path::PathBuf;

use clap::Parser;

/// Breaks a running Seawall in every way we know, and counts what is lost.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask torture",
    after_help = "\
Exit codes: 0 nothing is lost, doubled or silently wrong; 1 something is; 2 a harness could not run.

Examples:
  cargo xtask torture --short
  cargo xtask torture --long --only kill --budget 600    a part of the long form; run it again to go on
  cargo xtask torture --only kill --seed 4711            repeat the choices of a seed"
)]
pub struct Options {
    /// At most ten minutes on two cores (the default)
    #[arg(long, conflicts_with = "long")]
    pub short: bool,
    /// Until the goals of docs/reliability.md are reached; results are kept in the working folder and resumed
    #[arg(long)]
    pub long: bool,
    /// Forget the kept results of the long form
    #[arg(long, requires = "long")]
    pub fresh: bool,
    /// Run these harnesses only
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,
    /// Trials of each harness, instead of those of the form
    #[arg(long, value_name = "N")]
    pub trials: Option<u64>,
    /// End each harness after this many seconds
    #[arg(long, value_name = "SECONDS")]
    pub budget: Option<u64>,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The binary under test; built when it is not given
    #[arg(long, value_name = "PATH")]
    pub binary: Option<PathBuf>,
    /// The commit that the given binary was built from
    #[arg(long, value_name = "NAME", requires = "binary")]
    pub commit: Option<String>,
    /// A binary built with `--features seawall/sabotage`; built when neither binary is given
    #[arg(long, value_name = "PATH")]
    pub sabotage_binary: Option<PathBuf>,
    /// Folder for data and kept results
    #[arg(long, value_name = "DIR")]
    pub work: Option<PathBuf>,
    /// How the scorecard is printed
    #[arg(long, default_value = "text")]
    pub output: Output,
    /// Write the scorecard to this file, too
    #[arg(long, value_name = "PATH")]
    pub write: Option<PathBuf>,
    /// List the harnesses and end
    #[arg(long)]
    pub list: bool,
    /// Write docs/reliability.md from the scorecards in docs/reliability and end
    #[arg(long)]
    pub document: bool,
}

/// How the scorecard is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// A table.
    Text,
    /// JSON.
    Json,
}
