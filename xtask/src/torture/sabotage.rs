//! Sabotage: a harness that never fails proves nothing, so each planted bug must turn one red.
//!
//! The bugs are variants of `seawall_base::sabotage::Bug`; a `seawall` built with the feature `sabotage` has the one that
//! the environment names.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::bench::{Bench, Trials};
use super::clock::Stopwatch;
use super::harness::HARNESSES;
use super::scorecard::{Bug, Sabotage};

/// A planted bug, the harness that must find it, and the part of it that is enough, where it has parts.
struct Hunt {
    bug: &'static str,
    harness: &'static str,
    part: Option<&'static str>,
}

impl Hunt {
    const fn by(harness: &'static str, bug: &'static str) -> Hunt {
        Hunt { bug, harness, part: None }
    }

    const fn by_part(harness: &'static str, part: &'static str, bug: &'static str) -> Hunt {
        Hunt { bug, harness, part: Some(part) }
    }
}

const HUNTS: [Hunt; 15] = [
    Hunt::by("order", "ack_before_fsync"),
    Hunt::by("order", "skip_directory_fsync"),
    Hunt::by("order", "commit_before_data"),
    Hunt::by("fsync", "swallow_poison"),
    Hunt::by("clock", "arrivals_backwards"),
    Hunt::by("kill", "skip_txn_check"),
    Hunt::by("kill", "drop_on_full"),
    Hunt::by("kill", "skip_dedup_at_recovery"),
    Hunt::by("kill", "truncate_whole_tail"),
    Hunt::by("kill", "reuse_epoch"),
    Hunt::by("kill", "lose_quarantine"),
    Hunt::by("kill", "retry_append"),
    Hunt::by("kill", "trim_too_early"),
    Hunt::by_part("damage", "commit", "accept_empty_commit"),
    Hunt::by_part("damage", "segment that tables lack", "ignore_checksum"),
];
/// How long a harness may look for one bug.
const BUDGET: Duration = Duration::from_secs(60);
/// Trials that a harness may need for one bug.
const TRIALS: u64 = 400;

/// Runs, for each bug, its harness until that finds something.
pub fn run(bench: &Bench, binary: &Path) -> Result<Sabotage> {
    let mut sabotage = Sabotage { planted: HUNTS.len() as u64, ..Sabotage::default() };
    for hunt in &HUNTS {
        let watch = Stopwatch::start();
        let outcome = look(bench, binary.to_owned(), hunt)?;
        let verdict = match (outcome.caught, outcome.skipped) {
            (true, _) => "caught",
            (false, true) => "SKIPPED",
            (false, false) => "NOT CAUGHT",
        };
        let (bug, harness, seconds) = (hunt.bug, hunt.harness, watch.elapsed().as_secs());
        eprintln!("sabotage {bug}: {verdict} by {harness} in {seconds} s: {}", outcome.finding);
        sabotage.caught += u64::from(outcome.caught);
        sabotage.bugs.push(outcome);
    }
    Ok(sabotage)
}

fn look(bench: &Bench, binary: PathBuf, hunt: &Hunt) -> Result<Bug> {
    let harness = HARNESSES.iter().find(|harness| harness.name == hunt.harness).context("every bug names a harness")?;
    let (name, by) = (hunt.bug.to_owned(), hunt.harness.to_owned());
    let outcome = |caught, skipped, finding| Bug { name, harness: by, caught, skipped, finding };
    if let Some(missing) = harness.needs.iter().find_map(|need| need.missing()) {
        return Ok(outcome(false, true, format!("not looked for: {missing}")));
    }
    let mut row = harness.row(bench.seed);
    // The scorecard is kept: it names files as they lie within the working folder.
    let folder = format!("{}/", bench.work.display());
    let bench = Bench { binary, sabotage: Some(hunt.bug), part: hunt.part, ..bench.clone() };
    let mut trials = Trials::new(&mut row, TRIALS, Some(BUDGET), true);
    // A harness that cannot go on has found nothing: only a finding counts.
    let ended = (harness.run)(&bench, &mut trials);
    let finding = row.examples.first().cloned();
    let reason = || ended.err().map_or_else(|| "nothing was found".to_owned(), |error| format!("{error:#}"));
    Ok(outcome(row.failed > 0, false, finding.unwrap_or_else(reason).replace(&folder, "")))
}

#[cfg(test)]
mod tests;
