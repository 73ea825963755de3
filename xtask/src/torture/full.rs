//! A full disk: the data folder lies on a small file system that fills up, is given room, and must be used again.
//!
//! While there is no room, refusals say when to come back, and reads go on. Within a few seconds after there is room
//! again events are acknowledged, by the same process.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::bench::{Bench, Trials, copy, execute};
use super::book::Findings;
use super::clock::Stopwatch;
use super::produce::{Load, Seen};
use super::server::Server;
use super::session::Session;

/// Room for the catalog and for some segments and tables, in MiB.
const ROOMS_MIB: [u64; 4] = [6, 8, 12, 20];
/// Small segments, so that log, tables, catalog and checkpoints compete for the last of the room.
const SEGMENTS: [&str; 2] = ["--log-segment-kib", "256"];
/// A disk with less than this is full: the next segment does not fit.
const FULL_BYTES: u64 = 256 << 10;
/// Room after somebody made some.
const ROOM_AFTER_MIB: u64 = 400;
/// How long the disk is given to fill up, and how long a full one is kept.
const FILL_MAX: Duration = Duration::from_secs(40);
const FULL: Duration = Duration::from_millis(1_500);
/// Without an acknowledgement for so long, it is full, too.
const STANDSTILL: Duration = Duration::from_millis(800);
/// Within this, events are acknowledged again.
const RESUME_MAX: Duration = Duration::from_secs(5);

/// Fills disks until there were enough.
pub fn run(bench: &Bench, trials: &mut Trials<'_>) -> Result<()> {
    while trials.wanted() {
        let load = Load { batch_max: 800, mixed: false, ..Load::default() };
        let mut session = Session::begin(bench, trials, load)?;
        let room = ROOMS_MIB[session.draw.below(ROOMS_MIB.len() as u64) as usize];
        let disk = Small::mount(session.installation.folder().join("small"), room)?;
        let data = disk.0.join("data");
        copy(&session.installation.launch.data, &data)?;
        session.installation.launch.data = data;
        session.installation.launch.serve = SEGMENTS.map(str::to_owned).to_vec();
        let mut findings = Findings::default();
        if let Some(server) = session.start(&mut findings)? {
            fill(&mut session, &server, &disk, &mut findings)?;
            let status = server.terminate()?;
            if !status.success() {
                findings.deceive(format!("after the disk had room again, the server ended with {status}"));
            }
            findings.join(session.audit()?);
        }
        trials.done(&findings);
        session.end(trials);
    }
    Ok(())
}

fn fill(session: &mut Session, server: &Server, disk: &Small, findings: &mut Findings) -> Result<()> {
    let producers = session.produce(server);
    let watch = Stopwatch::start();
    let mut before = None;
    while watch.elapsed() < FILL_MAX && disk.free()? > FULL_BYTES && before != Some(session.books.acknowledged()) {
        before = Some(session.books.acknowledged());
        std::thread::sleep(STANDSTILL);
    }
    std::thread::sleep(FULL);
    if server.query("select count(*) as n from events").is_err() || server.get("/health").is_none() {
        findings.deceive("reads do not go on while the disk is full");
    }
    let before = session.books.acknowledged();
    disk.resize(ROOM_AFTER_MIB)?;
    let watch = Stopwatch::start();
    while session.books.acknowledged() <= before + 1 && watch.elapsed() < RESUME_MAX {
        std::thread::sleep(Duration::from_millis(20));
    }
    if session.books.acknowledged() <= before + 1 {
        findings.deceive(format!("no event is acknowledged within {RESUME_MAX:?} after the disk has room"));
    }
    let seen = producers.stop();
    check_refusals(&seen, findings);
    findings.join(seen.findings);
    findings.join(session.audit_running(server));
    Ok(())
}

/// Refusals are 429 or 503, and say when to come back.
pub fn check_refusals(seen: &Seen, findings: &mut Findings) {
    for (status, times) in seen.statuses.iter().filter(|(status, _)| !matches!(status, 200 | 429 | 503)) {
        findings.deceive(format!("{times} requests were answered with {status} while there was no room"));
    }
    if seen.without_retry_after > 0 {
        findings.deceive(format!("{} refusals do not say when to come back", seen.without_retry_after));
    }
}

/// A small file system in memory; unmounted when dropped.
struct Small(PathBuf);

impl Small {
    fn mount(folder: PathBuf, mebibytes: u64) -> Result<Small> {
        std::fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        let size = format!("size={mebibytes}m");
        execute(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&folder))?;
        Ok(Small(folder))
    }

    fn resize(&self, mebibytes: u64) -> Result<()> {
        execute(Command::new("mount").args(["-o", &format!("remount,size={mebibytes}m")]).arg(&self.0))
    }

    /// Bytes that are free.
    fn free(&self) -> Result<u64> {
        let output = Command::new("df").args(["--output=avail", "-B1"]).arg(&self.0).output().context("running df")?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        said.lines().nth(1).and_then(|free| free.trim().parse().ok()).with_context(|| format!("df said {said:?}"))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        if let Err(error) = execute(Command::new("umount").arg(&self.0)) {
            eprintln!("{error:#}");
        }
    }
}
