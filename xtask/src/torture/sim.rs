//! The seeded simulation: gate, deduplication, log and table writer over ports that fail, a history per seed.
//!
//! The simulation is a program of its own, `seawall-sim`; each of its seeds is a trial.

use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::bench::{Bench, Trials};
use super::book::Findings;

/// Seeds that one process simulates.
const SEEDS_PER_RUN: u64 = 20;

/// Simulates seeds until there were enough.
pub fn run(bench: &Bench, trials: &mut Trials<'_>) -> Result<()> {
    while trials.wanted() {
        let first = bench.seed + trials.row.trials;
        let seeds = SEEDS_PER_RUN.min(trials.goal - trials.row.trials);
        let outcome = simulate(bench, first, seeds)?;
        let run = outcome["seeds"].as_u64().context("the simulation counts its seeds")?;
        let failed = outcome["failed"].as_array().map_or(0, Vec::len) as u64;
        trials.row.acknowledged += outcome["acknowledged"].as_u64().unwrap_or(0);
        for _ in failed..run {
            trials.done(&Findings::default());
        }
        if failed > 0 {
            let mut findings = Findings::default();
            let count = |name: &str| outcome["findings"][name].as_u64().unwrap_or(0);
            (findings.lost, findings.duplicated, findings.silent) =
                (count("lost"), count("duplicated"), count("silent"));
            let examples = outcome["findings"]["examples"].as_array().cloned().unwrap_or_default();
            findings.examples = examples.iter().filter_map(|example| Some(example.as_str()?.to_owned())).collect();
            trials.done(&findings);
            trials.row.trials += failed - 1;
        }
    }
    Ok(())
}

fn simulate(bench: &Bench, first: u64, seeds: u64) -> Result<Value> {
    let program = bench.simulation.as_ref().context("seawall-sim is not built: cargo build -p seawall-sim")?;
    let mut command = Command::new(program);
    command.args(["--first", &first.to_string(), "--seeds", &seeds.to_string()]);
    let output = command.output().with_context(|| format!("running {}", program.display()))?;
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("the simulation said {}", String::from_utf8_lossy(&output.stderr)))
}
