//! `kill -9` at any moment: while starting, while recovering, while taking events, while committing.
//!
//! After each start the counts that the server recovered are compared with the books; every few kills the whole table
//! is.

use std::time::Duration;

use anyhow::Result;

use super::bench::{Bench, Trials};
use super::book::Findings;
use super::produce::Load;
use super::session::Session;

/// Kills of one data folder.
const KILLS_PER_SESSION: u64 = 50;
/// Kills between two audits of the whole table.
const KILLS_PER_AUDIT: u64 = 10;
/// A commit of tables comes every second: a moment up to here lies before, in or after one.
const MOMENT_MAX_MS: u64 = 1_300;
/// A start takes about this long.
const STARTING_MAX_MS: u64 = 500;

/// Kills until there were enough.
pub fn run(bench: &Bench, trials: &mut Trials<'_>) -> Result<()> {
    while trials.wanted() {
        let mut session = Session::begin(bench, trials, Load::default())?;
        for kill in 1..=KILLS_PER_SESSION {
            let mut findings = kill_once(&mut session)?;
            let last = kill == KILLS_PER_SESSION || trials.is_last();
            if kill % KILLS_PER_AUDIT == 0 || last {
                findings.join(session.audit()?);
            }
            trials.done(&findings);
            if last || !trials.wanted() {
                break;
            }
        }
        session.end(trials);
    }
    Ok(())
}

/// One start and one kill; what was wrong at the start or in receipts.
fn kill_once(session: &mut Session) -> Result<Findings> {
    let mut findings = Findings::default();
    if session.draw.once_in(5) {
        let starting = session.installation.launch.spawn()?;
        std::thread::sleep(Duration::from_millis(session.draw.below(STARTING_MAX_MS)));
        starting.kill()?;
        return Ok(findings);
    }
    let Some(server) = session.start(&mut findings)? else { return Ok(findings) };
    let producers = session.produce(&server);
    std::thread::sleep(Duration::from_millis(session.draw.below(MOMENT_MAX_MS)));
    server.kill()?;
    findings.join(producers.stop().findings);
    Ok(findings)
}
