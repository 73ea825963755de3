//! Two owners: a server that was stopped for a while must not be replaced beside it, and goes on whole when it wakes.
//!
//! While the first server stands still (SIGSTOP), a second one is started on the same folder: it must refuse. Then the
//! first wakes, goes on acknowledging, is killed, and two servers race for the folder: exactly one may win.

use std::time::Duration;

use anyhow::Result;

use super::bench::{Bench, Trials};
use super::book::Findings;
use super::produce::Load;
use super::server::{START_MAX, Signal, Started};
use super::session::Session;

const TRIALS_PER_SESSION: u64 = 20;
/// A pause up to here, as of a machine that is suspended or swaps.
const PAUSE_MAX_MS: u64 = 1_500;

/// Stops, wakes and races until there were enough.
pub fn run(bench: &Bench, trials: &mut Trials<'_>) -> Result<()> {
    while trials.wanted() {
        let mut session = Session::begin(bench, trials, Load::default())?;
        for number in 1..=TRIALS_PER_SESSION {
            let mut findings = wake_once(&mut session)?;
            race(&mut session, &mut findings)?;
            let last = number == TRIALS_PER_SESSION || trials.is_last();
            if last || number % 5 == 0 {
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

fn wake_once(session: &mut Session) -> Result<Findings> {
    let mut findings = Findings::default();
    let Some(first) = session.start(&mut findings)? else { return Ok(findings) };
    let producers = session.produce(&first);
    std::thread::sleep(Duration::from_millis(session.draw.below(600)));
    first.signal(Signal::Stop)?;
    std::thread::sleep(Duration::from_millis(session.draw.below(PAUSE_MAX_MS)));
    if let Started::Listening(second) = session.installation.launch.spawn()?.listening(START_MAX)? {
        findings.deceive("a second server owns the folder while the first stands still");
        second.kill()?;
    }
    let before = session.books.acknowledged();
    first.signal(Signal::Continue)?;
    std::thread::sleep(Duration::from_millis(300 + session.draw.below(300)));
    if session.books.acknowledged() == before {
        findings.deceive("a server that woke up acknowledges nothing");
    }
    first.kill()?;
    findings.join(producers.stop().findings);
    Ok(findings)
}

/// Starts two servers at the same time: the one that wins has the folder for itself.
fn race(session: &mut Session, findings: &mut Findings) -> Result<()> {
    let launch = &session.installation.launch;
    let (left, right) = (launch.spawn()?, launch.spawn()?);
    let outcomes = [left.listening(START_MAX)?, right.listening(START_MAX)?];
    let winners = outcomes.iter().filter(|outcome| matches!(outcome, Started::Listening(_))).count();
    if winners != 1 {
        findings.deceive(format!("of two servers that were started together, {winners} own the folder"));
    }
    for outcome in outcomes {
        if let Started::Listening(server) = outcome {
            if winners == 1 {
                session.check_start(&server, findings)?;
            }
            server.kill()?;
        }
    }
    Ok(())
}
