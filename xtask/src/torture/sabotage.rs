//! Sabotage: a harness that never fails proves nothing, so each planted bug must turn one red.
//!
//! The bugs are variants of `seawall_base::sabotage::Bug`; a binary built with the feature `sabotage` has the one that
//! the environment names.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::bench::{Bench, Trials};
use super::harness::HARNESSES;
use super::scorecard::{Bug, Sabotage};

/// Each bug with the harness that must find it.
const BUGS: [(&str, &str); 15] = [
    ("ack_before_fsync", "order"),
    ("skip_txn_check", "kill"),
    ("skip_directory_fsync", "order"),
    ("accept_empty_commit", "damage"),
    ("drop_on_full", "kill"),
    ("skip_dedup_at_recovery", "kill"),
    ("ignore_checksum", "damage"),
    ("truncate_whole_tail", "kill"),
    ("reuse_epoch", "kill"),
    ("commit_before_data", "order"),
    ("swallow_poison", "fsync"),
    ("lose_quarantine", "kill"),
    ("arrivals_backwards", "kill"),
    ("retry_append", "kill"),
    ("skip_batch_uniqueness", "kill"),
];
/// How long a harness may look for one bug.
const BUDGET: Duration = Duration::from_secs(60);
/// Trials that a harness may need for one bug.
const TRIALS: u64 = 400;

/// Runs, for each bug, its harness until that finds something.
pub fn run(bench: &Bench, binary: &Path) -> Result<Sabotage> {
    let mut sabotage = Sabotage { planted: BUGS.len() as u64, ..Sabotage::default() };
    for (bug, harness) in BUGS {
        let outcome = hunt(bench, binary.to_owned(), bug, harness)?;
        let verdict = if outcome.caught { "caught" } else { "NOT CAUGHT" };
        eprintln!("sabotage {bug}: {verdict} by {harness}: {}", outcome.finding);
        sabotage.caught += u64::from(outcome.caught);
        sabotage.bugs.push(outcome);
    }
    Ok(sabotage)
}

fn hunt(bench: &Bench, binary: PathBuf, bug: &'static str, name: &'static str) -> Result<Bug> {
    let harness = HARNESSES.iter().find(|harness| harness.name == name).context("every bug names a harness")?;
    let outcome = |caught, finding| Bug { name: bug.to_owned(), harness: name.to_owned(), caught, finding };
    if let Some(missing) = harness.needs.iter().find_map(|need| need.missing()) {
        return Ok(outcome(false, format!("not looked for: {missing}")));
    }
    let mut row = harness.row(bench.seed);
    let bench = Bench { binary, sabotage: Some(bug), ..bench.clone() };
    let mut trials = Trials::new(&mut row, TRIALS, Some(BUDGET), true);
    // A harness that cannot go on has found nothing: only a finding counts.
    let ended = (harness.run)(&bench, &mut trials);
    let finding = row.examples.first().cloned();
    let reason = || ended.err().map_or_else(|| "nothing was found".to_owned(), |error| format!("{error:#}"));
    Ok(outcome(row.failed > 0, finding.unwrap_or_else(reason)))
}

#[cfg(test)]
mod tests;
