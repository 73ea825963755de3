//! Kills at system calls: the process dies as it enters the n-th call of a kind, so that between any two writes, syncs,
//! renames and links of the durable path there is a trial that ends exactly there.
//!
//! `strace` counts calls per thread. Rare calls are swept from the first on; frequent ones are drawn. A run that ends
//! without meeting its point counts no trial, and no later point of the session lies behind it. Every other session has a
//! log of small segments, so that there are more names to make and to remove.

use std::time::Duration;

use anyhow::Result;

use super::bench::{Bench, Trials};
use super::book::Findings;
use super::clock::Stopwatch;
use super::produce::Load;
use super::seeded::Seeded;
use super::server::{START_MAX, Server, Started};
use super::session::Session;

const TRIALS_PER_SESSION: u64 = 40;
const TRIALS_PER_AUDIT: u64 = 5;
/// How long a server is given to come to its point: a commit of tables or two.
const RUN_MAX: Duration = Duration::from_millis(1_900);

/// A kind of call: its spellings, and how far its counter goes.
struct Call {
    names: &'static str,
    nth_max: u64,
}

const CALLS: [Call; 9] = [
    Call { names: "fdatasync", nth_max: 40 },
    Call { names: "fsync", nth_max: 6 },
    Call { names: "pwrite64", nth_max: 40 },
    Call { names: "write", nth_max: 60 },
    Call { names: "rename,renameat,renameat2", nth_max: 6 },
    Call { names: "link,linkat", nth_max: 4 },
    Call { names: "unlink,unlinkat", nth_max: 6 },
    Call { names: "mkdir,mkdirat,ftruncate,fallocate", nth_max: 3 },
    Call { names: "openat", nth_max: 120 },
];

/// Kills at calls until there were enough.
pub fn run(bench: &Bench, trials: &mut Trials<'_>) -> Result<()> {
    while trials.wanted() {
        let mut session = Session::begin(bench, trials, Load { batch_max: 20, ..Load::default() })?;
        if (trials.row.trials / TRIALS_PER_SESSION).is_multiple_of(2) {
            session.tighten();
        }
        let mut reach = CALLS.map(|call| call.nth_max);
        let (mut met, mut misses) = (0, 0);
        while met < TRIALS_PER_SESSION && misses < 4 * TRIALS_PER_SESSION && trials.wanted() {
            let call = session.draw.below(CALLS.len() as u64) as usize;
            let nth = nth(&mut session.draw, reach[call]);
            let Some(mut findings) = kill_at(&mut session, CALLS[call].names, nth)? else {
                misses += 1;
                reach[call] = nth.saturating_sub(1).max(1);
                continue;
            };
            met += 1;
            if met % TRIALS_PER_AUDIT == 0 || met == TRIALS_PER_SESSION || trials.is_last() {
                findings.join(session.audit()?);
            }
            trials.done(&findings);
        }
        session.end(trials);
    }
    Ok(())
}

/// The lower of two, because late calls are met less often.
fn nth(draw: &mut Seeded, nth_max: u64) -> u64 {
    1 + draw.below(nth_max).min(draw.below(nth_max))
}

/// Runs a server that dies at the `nth` call of `names`; none when it did not come to that.
fn kill_at(session: &mut Session, names: &str, nth: u64) -> Result<Option<Findings>> {
    let mut findings = Findings::default();
    let mut launch = session.installation.launch.clone();
    let inject = format!("inject={names}:signal=KILL:when={nth}");
    let trace = format!("trace={names}");
    let strace = ["strace", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-e", &trace, "-e", &inject, "--"];
    launch.wrap = strace.map(str::to_owned).to_vec();
    let Started::Listening(mut server) = launch.spawn()?.listening(START_MAX)? else { return Ok(Some(findings)) };
    if let Err(error) = session.check_start(&server, &mut findings) {
        // It may have come to its point while it was asked.
        return if ends_within(&mut server, RUN_MAX)? { Ok(Some(findings)) } else { Err(error) };
    }
    let producers = session.produce(&server);
    let met = ends_within(&mut server, RUN_MAX)?;
    server.kill()?;
    findings.join(producers.stop().findings);
    // Findings of a run that missed its point are findings all the same.
    Ok((met || !findings.is_clean()).then_some(findings))
}

fn ends_within(server: &mut Server, at_most: Duration) -> Result<bool> {
    let watch = Stopwatch::start();
    while watch.elapsed() < at_most {
        if server.ended()?.is_some() {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(false)
}
