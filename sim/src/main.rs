//! `seawall-sim`: simulates seeds and prints what they came to.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use seawall_sim::{Findings, simulate};
use serde_json::json;

/// Simulates gate, deduplication, log and table writer over failing ports.
#[derive(Debug, Parser)]
struct Options {
    /// How many seeds
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first one
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Things that happen in one history
    #[arg(long, default_value_t = 200)]
    steps: u64,
    /// Simulate each seed twice: the same seed must give the same history
    #[arg(long)]
    twice: bool,
    /// End at the first seed that finds something
    #[arg(long)]
    until_found: bool,
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let (mut all, mut acknowledged, mut lives, mut faults, mut simulated_s, mut run) =
        (Findings::default(), 0, 0, 0, 0, 0);
    let mut failed = Vec::new();
    for seed in options.first..options.first + options.seeds {
        let mut outcome = simulate(seed, options.steps)?;
        if options.twice && simulate(seed, options.steps)?.trace != outcome.trace {
            outcome.findings.silent += 1;
            outcome.findings.examples.push("the same seed gave another history".to_owned());
        }
        run += 1;
        acknowledged += outcome.acknowledged;
        lives += outcome.lives;
        faults += outcome.faults;
        simulated_s += outcome.simulated_s;
        let found = outcome.findings;
        if found.lost + found.duplicated + found.silent > 0 {
            eprintln!("seed {seed}: {found:?}");
            failed.push(seed);
            all.lost += found.lost;
            all.duplicated += found.duplicated;
            all.silent += found.silent;
            all.examples.extend(found.examples.into_iter().take(1).map(|example| format!("seed {seed}: {example}")));
            if options.until_found {
                break;
            }
        }
    }
    let clean = failed.is_empty();
    println!(
        "{}",
        json!({
            "version": 1, "seeds": run, "failed": failed, "findings": all, "acknowledged": acknowledged,
            "lives": lives, "faults": faults, "simulated_s": simulated_s,
        })
    );
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
