//! Runs under `strace` whose trace is audited: of a healthy server, and of one whose syncs fail.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use super::bench::{Bench, Trials};
use super::book::Findings;
use super::order::{self, Audited};
use super::produce::Load;
use super::server::{START_MAX, Started};
use super::session::Session;
use super::trace;

/// What is traced: everything that makes bytes, names and answers, and what sockets receive.
const TRACED: &str = "trace=write,pwrite64,writev,pwritev,fsync,fdatasync,link,linkat,rename,renameat,renameat2,\
                      sendto,sendmsg,recvfrom,recvmsg";
/// How long a run takes events: several commits of tables.
const RUN: Duration = Duration::from_millis(3_500);
/// Syncs of one thread until one fails, at most.
const NTH_MAX: u64 = 40;

/// Audits runs of a healthy server; each acknowledgement and each name is a trial.
pub fn run_order(bench: &Bench, trials: &mut Trials<'_>) -> Result<()> {
    while trials.wanted() {
        let mut session = Session::begin(bench, trials, load())?;
        let audited = run(&mut session, &[])?;
        let (answers, names) = (audited.answers, audited.names);
        trials.done(&audited.findings);
        trials.row.trials += (answers + names).saturating_sub(1);
        trials.row.note(&Findings::default());
        session.end(trials);
        // An audit that sees nothing proves nothing.
        anyhow::ensure!(answers > 0 && names > 0, "the trace shows {answers} answers and {names} names");
    }
    Ok(())
}

/// Lets the n-th sync of a thread fail: nothing that was to be synced may be acknowledged, then or later, and the next
/// start finds everything that was.
pub fn run_fsync(bench: &Bench, trials: &mut Trials<'_>) -> Result<()> {
    while trials.wanted() {
        let mut session = Session::begin(bench, trials, load())?;
        let call = if session.draw.once_in(3) { "fsync" } else { "fdatasync" };
        let nth = 1 + session.draw.below(NTH_MAX);
        // Once, so that the syncs after it succeed, as the kernel's do although the pages are lost.
        let inject = format!("inject={call}:error=EIO:when={nth}");
        let mut findings = run(&mut session, &[inject])?.findings;
        findings.join(session.audit()?);
        trials.done(&findings);
        session.end(trials);
    }
    Ok(())
}

/// One event per request, so that each answer stands for one event.
fn load() -> Load {
    Load { producers: 2, batch_max: 1, mixed: false, pause: Duration::from_millis(5), ..Load::default() }
}

/// Runs a server under `strace` and audits what it did until it was killed.
fn run(session: &mut Session, injections: &[String]) -> Result<Audited> {
    let file: PathBuf = session.installation.folder().join("trace");
    let mut launch = session.installation.launch.clone();
    launch.wrap = trace::STRACE.map(str::to_owned).to_vec();
    launch.wrap.extend(["-o".to_owned(), file.display().to_string(), "-e".to_owned(), TRACED.to_owned()]);
    for injection in injections {
        launch.wrap.extend(["-e".to_owned(), injection.clone()]);
    }
    launch.wrap.push("--".to_owned());
    if let Started::Listening(server) = launch.spawn()?.listening(START_MAX)? {
        let producers = session.produce(&server);
        std::thread::sleep(RUN);
        // Requests are answered before the kill, so that the trace holds both.
        let seen = producers.stop();
        server.kill()?;
        anyhow::ensure!(injections.is_empty() || !seen.statuses.is_empty(), "no request was sent");
    }
    let text = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
    let calls = trace::read(&String::from_utf8_lossy(&text))?;
    fs::remove_file(&file).with_context(|| format!("removing {}", file.display()))?;
    let notes: Vec<String> = session
        .books
        .read()
        .iter()
        .flat_map(|book| {
            (0..book.accepted.len() as u64).map(|number| book.origin.accepted(number).note).collect::<Vec<_>>()
        })
        .collect();
    Ok(order::audit(&calls, &session.installation.launch.data, &notes))
}
