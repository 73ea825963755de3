//! A group of processes that ends as a whole.
//!
//! An *anchor*, a shell that only waits, leads the group; what is started joins it. The anchor holds the group's number
//! until everything in the group has been killed, so the number cannot pass to strangers. It waits on a pipe from us
//! and kills the group when the pipe closes, so the group ends even when Seawall itself is killed. A process that left
//! the group is found by an entry of its environment, where the system shows it (Linux).

use std::io;
use std::process::{Child, Command, Stdio};

/// Rounds of looking for processes that left the group: one may have started another since the last look.
const ROUNDS_MAX: usize = 200;

/// A group of processes.
#[derive(Debug)]
pub struct Group {
    anchor: Child,
    mark: String,
    ended: bool,
}

impl Group {
    /// A new group. `mark` (`NAME=value`) stands in the environment of whatever will be started in it.
    pub fn start(mark: String) -> io::Result<Group> {
        let mut command = shell("trap '' HUP INT TERM; read _; kill -KILL 0");
        command.stdin(Stdio::piped());
        {
            use std::os::unix::process::CommandExt;
            command.process_group(0);
        }
        Ok(Group { anchor: command.spawn()?, mark, ended: false })
    }

    /// Its number, for those who join.
    pub fn number(&self) -> u32 {
        self.anchor.id()
    }

    /// Kills everything in it, and whatever left it with the mark. Blocks for milliseconds.
    pub fn kill(&mut self) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        kill(&[format!("-{}", self.number())]);
        kill_marked(&self.mark);
        if let Err(error) = self.anchor.kill().and_then(|()| self.anchor.wait()) {
            tracing::warn!(%error, "the process that leads a trainer's group cannot be ended");
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Kills every process that has `mark` in its environment.
pub fn kill_marked(mark: &str) {
    for _ in 0..ROUNDS_MAX {
        let found = marked(mark);
        if found.is_empty() {
            return;
        }
        kill(&found);
    }
    tracing::warn!(mark, "processes of a trainer cannot be ended");
}

/// Numbers of the processes that have `mark` in their environment; none where the system does not tell.
fn marked(mark: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        if environment.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes()) {
            found.push(name);
        }
    }
    found
}

/// Kills processes and, by negative numbers, groups. Those that ended meanwhile are no failure.
fn kill(numbers: &[String]) {
    // Not `-KILL --`: dash takes the dashes for a number.
    let mut command = shell("kill -s KILL -- \"$@\"");
    command.arg("kill").args(numbers).stdin(Stdio::null());
    if let Err(error) = command.status() {
        tracing::warn!(%error, "the shell that ends a trainer's processes does not start");
    }
}

fn shell(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]).env_clear().stdout(Stdio::null()).stderr(Stdio::null());
    command
}
