//! `kill -9` at any moment: while starting, while recovering, while taking events, while committing, while ending.
//!
//! After each start the counts that the server recovered are compared with the books; every few kills the whole table
//! is. Every other data folder has a log of small segments that are given up as soon as nobody needs them.

use std::time::Duration;

use anyhow::Result;

use super::bench::{Bench, Trials};
use super::book::Findings;
use super::produce::Load;
use super::server::{Server, Signal};
use super::session::Session;

/// Kills of one data folder.
const KILLS_PER_SESSION: u64 = 50;
/// Kills between two audits of the whole table, and when a planted bug is hunted.
const KILLS_PER_AUDIT: u64 = 10;
const KILLS_PER_AUDIT_OF_A_HUNT: u64 = 2;
/// A commit of tables comes every second: a moment up to here lies before, in or after one.
const MOMENT_MAX_MS: u64 = 1_300;
/// A start takes about this long.
const STARTING_MAX_MS: u64 = 500;
/// An end in order takes about this long; some are let come to it.
const ENDING_MAX_MS: u64 = 400;
/// Producers at most.
const PRODUCERS: u64 = 6;

/// Kills until there were enough.
pub fn run(bench: &Bench, trials: &mut Trials<'_>) -> Result<()> {
    let per_audit = if trials.until_found { KILLS_PER_AUDIT_OF_A_HUNT } else { KILLS_PER_AUDIT };
    while trials.wanted() {
        let mut session = Session::begin(bench, trials, Load { producers: PRODUCERS, ..Load::default() })?;
        if (trials.row.trials / KILLS_PER_SESSION).is_multiple_of(2) {
            session.tighten();
        }
        for kill in 1..=KILLS_PER_SESSION {
            let mut findings = kill_once(&mut session)?;
            let last = kill == KILLS_PER_SESSION || trials.is_last();
            if kill % per_audit == 0 || last {
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
    session.load = load(session);
    let producers = session.produce(&server);
    std::thread::sleep(Duration::from_millis(session.draw.below(MOMENT_MAX_MS)));
    end(session, server)?;
    findings.join(producers.stop().findings);
    Ok(findings)
}

/// A few producers that pause, or a crowd whose small requests meet each other.
fn load(session: &mut Session) -> Load {
    match session.draw.once_in(3) {
        true => Load { producers: PRODUCERS, batch_max: 4, pause: Duration::ZERO, ..Load::default() },
        false => Load::default(),
    }
}

/// Kills, now and then a server that is ending already, or has ended.
fn end(session: &mut Session, server: Server) -> Result<()> {
    if session.draw.once_in(6) {
        server.signal(Signal::Terminate)?;
        let moment = session.draw.below(2 * ENDING_MAX_MS);
        if moment > ENDING_MAX_MS {
            server.ends()?;
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(moment));
    }
    server.kill()
}
