//! Too little memory: the server runs in a control group whose limit lies below, at or above what it needs, while
//! producers send large requests as fast as they are answered.
//!
//! The kernel ends a process that does not fit; that is a kill at the worst of moments, and nothing else. Above what a
//! server needs it must stay, however much is sent: requests wait or are refused before memory grows.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use super::bench::{Bench, Trials};
use super::book::Findings;
use super::produce::Load;
use super::server::{START_MAX, Started};
use super::session::Session;

/// Limits to draw from, in MiB.
const LIMITS_MIB: (u64, u64) = (96, 768);
/// With this much, a server stays. Its binary, which is built with debug assertions, is a part of it.
const ENOUGH_MIB: u64 = 640;
/// How long producers press.
const RUN: Duration = Duration::from_millis(1_500);
/// Where control groups of either version limit memory: folder, and the file with the limit.
const HIERARCHIES: [(&str, &str); 2] =
    [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];

/// Starves servers of memory until there were enough.
pub fn run(bench: &Bench, trials: &mut Trials<'_>) -> Result<()> {
    while trials.wanted() {
        let load = Load { producers: 8, batch_max: 2_000, mixed: false, pause: Duration::ZERO, ..Load::default() };
        let mut session = Session::begin(bench, trials, load)?;
        let mut findings = Findings::default();
        let mebibytes = LIMITS_MIB.0 + session.draw.below(LIMITS_MIB.1 - LIMITS_MIB.0);
        let group = Group::new(&format!("seawall-torture-{}", std::process::id()), mebibytes)?;
        let mut launch = session.installation.launch.clone();
        launch.wrap = group.wrap();
        if let Started::Listening(mut server) = launch.spawn()?.listening(START_MAX)? {
            session.check_start(&server, &mut findings)?;
            let producers = session.produce(&server);
            std::thread::sleep(RUN);
            findings.join(producers.stop().findings);
            if let Some(status) = server.ended()?.filter(|_| mebibytes >= ENOUGH_MIB) {
                findings.deceive(format!("with {mebibytes} MiB the server ended while it was pressed: {status}"));
            }
            server.kill()?;
        } else if mebibytes >= ENOUGH_MIB {
            findings.deceive(format!("with {mebibytes} MiB the server does not start"));
        }
        drop(group);
        findings.join(session.audit()?);
        trials.done(&findings);
        session.end(trials);
    }
    Ok(())
}

/// Whether this machine lets us make a group with a limit.
pub fn is_limitable() -> bool {
    Group::new(&format!("seawall-torture-try-{}", std::process::id()), 64).is_ok()
}

/// A control group; removed when dropped, after its processes.
struct Group(PathBuf);

impl Group {
    fn new(name: &str, mebibytes: u64) -> Result<Group> {
        let found = HIERARCHIES.into_iter().find(|(folder, limit)| {
            let folder = PathBuf::from(folder);
            folder.join(limit).exists() || (*limit == "memory.max" && folder.join("cgroup.controllers").exists())
        });
        let (folder, limit) = found.context("there is no control group for memory")?;
        let folder = PathBuf::from(folder).join(name);
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        let group = Group(folder);
        let limit = group.0.join(limit);
        fs::write(&limit, (mebibytes << 20).to_string()).with_context(|| format!("writing {}", limit.display()))?;
        Ok(group)
    }

    /// What runs a command in the group.
    fn wrap(&self) -> Vec<String> {
        let enter = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", self.0.display());
        ["sh".to_owned(), "-c".to_owned(), enter, "sh".to_owned()].to_vec()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.0) {
            eprintln!("{} is not removed: {error}", self.0.display());
        }
    }
}
