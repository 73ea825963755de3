//! No room at a call: what would take room fails with ENOSPC for some calls of a thread, at a point that is drawn.
//!
//! `full` fills a real disk, and meets whatever write comes first; here any write of the log and of the catalog, any
//! allocation and any new name can be the one. Refusals say when to come back, reads go on, and the next start is whole.
//! A log whose write failed takes nothing until it is opened again, so that nothing but the start after it is asked for.

use std::time::Duration;

use anyhow::Result;

use super::bench::{Bench, Trials};
use super::book::Findings;
use super::full::check_refusals;
use super::produce::Load;
use super::seeded::Seeded;
use super::server::{START_MAX, Server, Started};
use super::session::Session;

const TRIALS_PER_SESSION: u64 = 20;
const TRIALS_PER_AUDIT: u64 = 4;
/// How long a server takes events: a commit of tables or two.
const RUN: Duration = Duration::from_millis(1_600);
/// Calls of one thread that fail one after the other, at most.
const CALLS_MAX: u64 = 6;

/// Calls that take room, with how far their counter goes. Not `write`: it also wakes the process's own threads.
const CALLS: [(&str, u64); 4] = [
    ("pwrite64,pwritev,pwritev2", 60),
    ("link,linkat,rename,renameat,renameat2", 3),
    ("mkdir,mkdirat", 1),
    ("fallocate,ftruncate", 2),
];

/// Lets calls fail until there were enough.
pub fn run(bench: &Bench, trials: &mut Trials<'_>) -> Result<()> {
    while trials.wanted() {
        let mut session = Session::begin(bench, trials, Load { batch_max: 20, ..Load::default() })?;
        session.tighten();
        for number in 1..=TRIALS_PER_SESSION {
            let mut findings = fail_once(&mut session)?;
            let last = number == TRIALS_PER_SESSION || trials.is_last();
            if last || number % TRIALS_PER_AUDIT == 0 {
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

fn point(draw: &mut Seeded) -> String {
    let (names, nth_max) = CALLS[draw.below(CALLS.len() as u64) as usize];
    let first = 1 + draw.below(nth_max);
    format!("inject={names}:error=ENOSPC:when={first}..{}", first + draw.below(CALLS_MAX))
}

fn fail_once(session: &mut Session) -> Result<Findings> {
    let mut findings = Findings::default();
    let inject = point(&mut session.draw);
    let mut launch = session.installation.launch.clone();
    let strace = ["strace", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-e", &inject, "--"];
    launch.wrap = strace.map(str::to_owned).to_vec();
    // A start without room may be refused, which says so by itself.
    let Started::Listening(mut server) = launch.spawn()?.listening(START_MAX)? else { return Ok(findings) };
    session.check_start(&server, &mut findings)?;
    let producers = session.produce(&server);
    std::thread::sleep(RUN);
    check_reads(&mut server, &inject, &mut findings)?;
    let seen = producers.stop();
    check_refusals(&seen, &mut findings);
    findings.join(seen.findings);
    server.kill()?;
    Ok(findings)
}

/// Whoever only reads needs no room.
fn check_reads(server: &mut Server, inject: &str, findings: &mut Findings) -> Result<()> {
    if server.ended()?.is_some() {
        findings.deceive(format!("the server ended by itself: {inject}"));
    } else if let Err(error) = server.query("select count(*) as n from events") {
        findings.deceive(format!("reads do not go on: {inject}: {error:#}"));
    }
    Ok(())
}
