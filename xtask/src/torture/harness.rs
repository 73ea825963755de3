//! The harnesses: what each does, what must hold, how often, and what it needs of the machine.

use std::process::Command;

use anyhow::Result;

use super::bench::{Bench, Trials, execute};
use super::scorecard::{Row, bound_95};
use super::{
    artifact, bytes, damage, full, jumps, kill, limits, memory, network, nospace, power, sim, syscalls, traced, zombie,
};

/// One way to break a server.
pub struct Harness {
    /// Its name on the command line.
    pub name: &'static str,
    /// What is done.
    pub fault: &'static str,
    /// What must hold.
    pub promise: &'static str,
    /// Trials of the short form.
    pub short: u64,
    /// Trials of the long form.
    pub long: u64,
    /// What it needs of the machine.
    pub needs: &'static [Need],
    /// Does it.
    pub run: fn(&Bench, &mut Trials<'_>) -> Result<()>,
}

/// What a harness may need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Rights to mount.
    Root,
    /// `strace`, allowed to trace.
    Strace,
    /// A library that gives a process another clock.
    Faketime,
    /// A control group that limits memory.
    MemoryGroup,
}

/// Every harness, in the order of the scorecard.
pub const HARNESSES: &[Harness] = &[
    Harness {
        name: "kill",
        fault: "kill -9 at any moment, start-up and recovery included",
        promise: "no acknowledged event is lost, none is there twice; features and accounting agree with the table",
        short: 60,
        long: 2_000,
        needs: &[],
        run: kill::run,
    },
    Harness {
        name: "syscalls",
        fault: "kill -9 on entering a write-class system call",
        promise: "the same, between any two of them",
        short: 20,
        long: 400,
        needs: &[Need::Strace],
        run: syscalls::run,
    },
    Harness {
        name: "power",
        fault: "power cut: only what the disk holds is left",
        promise: "the same; the file system's delays of 0 to 35 s make no difference",
        short: 15,
        long: 300,
        needs: &[Need::Root],
        run: power::run,
    },
    Harness {
        name: "order",
        fault: "none: the order of effects is read from a trace",
        promise: "no answer before its sync, no name before its bytes, no commit before its files",
        short: 300,
        long: 20_000,
        needs: &[Need::Strace],
        run: traced::run_order,
    },
    Harness {
        name: "fsync",
        fault: "a sync fails once with EIO",
        promise: "what it was to make durable is not acknowledged, then or later; the next start is whole",
        short: 3,
        long: 200,
        needs: &[Need::Strace],
        run: traced::run_fsync,
    },
    Harness {
        name: "damage",
        fault: "a bit flips, or a file is cut short, in every kind of file",
        promise: "it is told, or makes no difference",
        short: 108,
        long: 100_000,
        needs: &[],
        run: damage::run,
    },
    Harness {
        name: "bytes",
        fault: "every byte of one file of each kind flips, one after the other",
        promise: "`verify data` tells it, or each answer of a server is what it was",
        short: 140,
        long: 1_000_000,
        needs: &[],
        run: bytes::run,
    },
    Harness {
        name: "artifact",
        fault: "a bit flips in a kept model, or its file is cut short",
        promise: "a prediction is the one of the whole model, or an error",
        short: 4,
        long: 2_000,
        needs: &[],
        run: artifact::run,
    },
    Harness {
        name: "full",
        fault: "the disk is full, then has room again",
        promise: "refusals say when to come back, reads go on, events are acknowledged within 5 s of room",
        short: 1,
        long: 40,
        needs: &[Need::Root],
        run: full::run,
    },
    Harness {
        name: "nospace",
        fault: "a write, an allocation or a new name fails for want of room, at any of its calls",
        promise: "nothing is lost; refusals say when to come back, reads go on, the next start is whole",
        short: 4,
        long: 200,
        needs: &[Need::Strace],
        run: nospace::run,
    },
    Harness {
        name: "memory",
        fault: "96 to 768 MiB of memory for a server that is pressed",
        promise: "nothing is lost; with 640 MiB it stays",
        short: 1,
        long: 60,
        needs: &[Need::MemoryGroup],
        run: memory::run,
    },
    Harness {
        name: "limits",
        fault: "too few descriptors for 260 connections",
        promise: "nothing is lost; events are acknowledged within 5 s of the end of the pressure",
        short: 2,
        long: 60,
        needs: &[],
        run: limits::run,
    },
    Harness {
        name: "clock",
        fault: "the wall clock leaps by seconds, hours, days and years, both ways",
        promise: "nothing is lost or doubled; arrivals never decrease",
        short: 3,
        long: 100,
        needs: &[Need::Faketime],
        run: jumps::run,
    },
    Harness {
        name: "network",
        fault: "late bytes, resets within requests and answers, half-open connections",
        promise: "an idempotent producer's events are there exactly once",
        short: 4,
        long: 200,
        needs: &[],
        run: network::run,
    },
    Harness {
        name: "sim",
        fault: "simulated: calls fail, lose their answers or kill the process, in histories drawn from seeds",
        promise: "exactly once, whatever the history; the same seed gives the same one",
        short: 100,
        long: 20_000,
        needs: &[],
        run: sim::run,
    },
    Harness {
        name: "zombie",
        fault: "a second server beside one that stands still; two started together",
        promise: "a folder has one owner; the one that wakes goes on whole",
        short: 4,
        long: 100,
        needs: &[],
        run: zombie::run,
    },
];

impl Harness {
    /// A row without trials.
    pub fn row(&self, seed: u64) -> Row {
        Row {
            name: self.name.to_owned(),
            fault: self.fault.to_owned(),
            promise: self.promise.to_owned(),
            trials: 0,
            failed: 0,
            losses: 0,
            duplicates: 0,
            silent: 0,
            acknowledged: 0,
            bound_95: bound_95(0, 0),
            seconds: 0,
            seed,
            commits: Vec::new(),
            skipped: None,
            notes: Vec::new(),
            examples: Vec::new(),
        }
    }
}

impl Need {
    /// Why it is not met; none when it is.
    pub fn missing(self) -> Option<String> {
        match self {
            Need::Root if !is_root() => Some("needs root, to mount file systems".to_owned()),
            Need::Strace if execute(Command::new("strace").args(["-f", "-o", "/dev/null", "true"])).is_err() => {
                Some("needs strace, and the right to trace".to_owned())
            }
            Need::Faketime if jumps::library().is_none() => Some("needs libfaketime".to_owned()),
            Need::MemoryGroup if !memory::is_limitable() => {
                Some("needs the right to make a control group that limits memory".to_owned())
            }
            Need::Root | Need::Strace | Need::Faketime | Need::MemoryGroup => None,
        }
    }
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
