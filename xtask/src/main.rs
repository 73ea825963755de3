//! Development chores, run as `cargo xtask COMMAND`.
//!
//! A chore is something that a contributor or the continuous integration runs on the repository itself. It links none
//! of Seawall's crates, so that it builds in seconds.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

mod parity;
mod tidy;
mod torture;

const HELP: &str = "\
Development chores.

Usage: cargo xtask <COMMAND>

Commands:
  tidy    Check the properties of the repository that no compiler checks: crate edges, owned
          dependencies, forbidden calls, one version of heavy dependencies, file shape, error codes,
          text, links. Exits with 1 when a rule is broken; warnings alone do not fail.
  torture Break a running Seawall in every way we know and print what was lost, doubled or silently
          wrong. See `cargo xtask torture --help`.
  parity  Drive the online store and the sweep of training sets with the same random histories and
          demand equal bits: `cargo xtask parity --values 100000000 --threads 2`, in release.
  help    Print this list.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["tidy"] => tidy(),
        ["torture", ..] => torture(&arguments),
        ["parity", ..] => root().and_then(|root| parity::run(&root, &arguments[1..])),
        [] | ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        _ => {
            eprintln!("unknown command: {}\n\n{HELP}", arguments.join(" "));
            Ok(ExitCode::from(2))
        }
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(2)
    })
}

/// Prints every finding, then one line of summary.
fn tidy() -> Result<ExitCode> {
    let repository = tidy::Repository::read(&root()?)?;
    let findings = tidy::check(&repository);
    for finding in &findings {
        println!("{finding}");
    }
    let failures = findings.iter().filter(|finding| finding.severity == tidy::Severity::Failure).count();
    let warnings = findings.len() - failures;
    println!("tidy: {} files, {failures} failures, {warnings} warnings", repository.files.len());
    Ok(if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs the harnesses and prints their scorecard.
fn torture(arguments: &[String]) -> Result<ExitCode> {
    let options = match torture::Options::try_parse_from(arguments) {
        Ok(options) => options,
        Err(error) => error.exit(),
    };
    torture::run(&root()?, &options)
}

/// The repository this binary was built from, unless the working directory lies in another checkout of it.
fn root() -> Result<PathBuf> {
    let here = std::env::current_dir().context("reading the working directory")?;
    let checkout = here.ancestors().find(|folder| folder.join("xtask/Cargo.toml").is_file());
    let built = || Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned);
    checkout.map(Path::to_owned).or_else(built).context("finding the root of the repository")
}
