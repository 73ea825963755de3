//! Damage at rest: a bit flips, a file is cut short or emptied. It must be told, or make no difference; an answer that
//! differs without an error is silent corruption.
//!
//! Files of tables are damaged in many copies of one table at once, which one server then reads. For every other kind a
//! server is started on a damaged copy of the data folder. The plan is a function of the files, so that a long form is
//! resumed where it ended: it takes every byte of one file of each kind. What no reader of a checkpoint sees may still be
//! told by `verify data`; the notes say so. Every other file must be told by whoever reads it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow};

use super::bench::{Bench, Trials, execute};
use super::book::Findings;
use super::event::COLUMNS;
use super::server::{START_MAX, Started};
use super::whole::{Answers, History, Verdict, Whole, compare_rows, sorted};

/// Copies of a table that one server reads.
const COPIES_MAX: usize = 200;
/// A file is also cut at multiples of this.
const CUT_BYTES: u64 = 64;

/// A kind of file: where it lies, and how to choose one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// What it is called.
    pub name: &'static str,
    folder: &'static str,
    /// What the file's name begins and ends with.
    prefix: &'static str,
    suffix: &'static str,
    /// Whether it is part of a table, and so is damaged in copies of it.
    of_table: bool,
    /// Bytes that are damaged one by one; further ones hold nothing.
    pub bytes_max: u64,
    /// The data folder that it is taken from.
    pub history: History,
    /// Whether `verify data` may be the only one to tell.
    told_by_verify: bool,
}

/// As many bytes as a file has.
const ALL: u64 = u64::MAX;

/// Every kind.
pub const KINDS: [Kind; 14] = [
    Kind::of_table("commit", "tables/events/_delta_log", "", ".json"),
    Kind {
        told_by_verify: true,
        ..Kind::of_table("checkpoint", "tables/events/_delta_log", "", ".checkpoint.parquet")
    },
    Kind::of_table("last checkpoint", "tables/events/_delta_log", "_last", "checkpoint"),
    Kind::of_table("data file", "tables/events", "part-", ".parquet"),
    Kind::of_folder("epoch", "log", "epoch", "", ALL),
    Kind::of_folder("manifest", "online", "manifest", ".json", ALL),
    Kind::of_folder("state checkpoint", "online", "state-", ".bin", ALL),
    Kind::of_folder("order manifest", "state/order", "manifest-", "", ALL),
    Kind::of_folder("order checkpoint", "state/order", "state-", ".bin", ALL),
    Kind::of_folder("segment", "log", "segment-", ".log", 6 << 10),
    Kind {
        history: History::Killed,
        ..Kind::of_folder("segment that tables lack", "log", "segment-", ".log", 8 << 10)
    },
    Kind::of_folder("catalog", "catalog", "catalog", ".db", 2 << 10),
    Kind { history: History::Sealed, ..Kind::of_folder("key ring", "keys", "ring", "", ALL) },
    Kind { history: History::Sealed, ..Kind::of_folder("installation key", "keys", "installation", ".key", ALL) },
];

impl Kind {
    const fn of_table(name: &'static str, folder: &'static str, prefix: &'static str, suffix: &'static str) -> Kind {
        Kind { of_table: true, ..Kind::of_folder(name, folder, prefix, suffix, ALL) }
    }

    const fn of_folder(
        name: &'static str,
        folder: &'static str,
        prefix: &'static str,
        suffix: &'static str,
        bytes_max: u64,
    ) -> Kind {
        let (of_table, told_by_verify, history) = (false, false, History::Ended);
        Kind { name, folder, prefix, suffix, of_table, bytes_max, history, told_by_verify }
    }
}

/// One damage to one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damage {
    /// The kind of the file.
    pub kind: Kind,
    /// What is done to it.
    pub act: Act,
}

/// What is done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// A bit of this byte flips.
    Flip {
        /// The byte.
        byte: u64,
    },
    /// The file is cut short.
    Cut {
        /// What is left of it.
        length: u64,
    },
}

/// Damages files until the plan, or the goal, is reached.
pub fn run(bench: &Bench, trials: &mut Trials<'_>) -> Result<()> {
    let kinds: Vec<Kind> = KINDS.into_iter().filter(|kind| bench.part.is_none_or(|part| part == kind.name)).collect();
    let plan = plan(bench, &kinds, trials.goal)?;
    let done = usize::try_from(trials.row.trials).unwrap_or(usize::MAX).min(plan.len());
    let mut rest = &plan[done..];
    while let Some(first) = rest.first() {
        if !trials.wanted() {
            break;
        }
        let whole = Whole::at(bench, first.kind.history)?;
        let same = rest.iter().take_while(|damage| damage.kind.of_table && first.kind.of_table).count();
        let (now, later) = rest.split_at(same.clamp(1, COPIES_MAX));
        rest = later;
        let verdicts = whole.answered(bench, now)?;
        for (damage, verdict) in now.iter().zip(verdicts) {
            let findings = judge(bench, &whole, *damage, verdict, trials)?;
            trials.done(&findings);
        }
    }
    Ok(())
}

/// What is wrong about an answer: an own reader of a file that is checked by nobody but `verify data` is excused.
fn judge(bench: &Bench, whole: &Whole, damage: Damage, verdict: Verdict, trials: &mut Trials<'_>) -> Result<Findings> {
    let mut findings = Findings::default();
    if let Verdict::Silent(how) = verdict {
        let what = format!("{} after {:?}: {how}", damage.kind.name, damage.act);
        if damage.kind.told_by_verify && whole.verify_tells(bench, damage)? {
            trials.row.notes.push(format!("told by `verify data` alone, not by reading: {what}"));
        } else {
            findings.deceive(what);
        }
    }
    Ok(findings)
}

/// Damages in the order of kinds: all of them, or `goal`, spread evenly over kinds and files.
fn plan(bench: &Bench, kinds: &[Kind], goal: u64) -> Result<Vec<Damage>> {
    let mut of_kinds = Vec::new();
    for kind in kinds {
        let file = Whole::at(bench, kind.history)?.file(*kind)?;
        let length = fs::metadata(file).context("looking at a file to be damaged")?.len();
        of_kinds.push((*kind, acts(length.min(kind.bytes_max))));
    }
    let total: usize = of_kinds.iter().map(|(_, acts)| acts.len()).sum();
    let share = if total as u64 <= goal { total as u64 } else { goal.div_ceil(kinds.len().max(1) as u64) };
    let mut plan = Vec::new();
    for (kind, acts) in of_kinds {
        plan.extend(spread(acts, share).into_iter().map(|act| Damage { kind, act }));
    }
    Ok(plan)
}

/// Everything that is done to a file of `bytes` bytes.
pub fn acts(bytes: u64) -> Vec<Act> {
    let cuts = (0..bytes).step_by(CUT_BYTES as usize).map(|length| Act::Cut { length });
    cuts.chain((0..bytes).map(|byte| Act::Flip { byte })).collect()
}

/// Of these, evenly, no more than `at_most`.
pub fn spread(acts: Vec<Act>, at_most: u64) -> Vec<Act> {
    let step = (acts.len() as u64).div_ceil(at_most.max(1)).max(1) as usize;
    acts.into_iter().step_by(step).collect()
}

impl Whole {
    /// The file of a kind that is damaged: the last by name but one, so that others follow it; the last when there is
    /// only one.
    pub fn file(&self, kind: Kind) -> Result<PathBuf> {
        let folder = self.folder.join(kind.folder);
        let mut names = Vec::new();
        for entry in fs::read_dir(&folder).with_context(|| format!("listing {}", folder.display()))? {
            let name = entry.context("listing files")?.file_name().to_string_lossy().into_owned();
            if name.starts_with(kind.prefix) && name.ends_with(kind.suffix) && !name.contains('#') {
                names.push(name);
            }
        }
        names.sort();
        let chosen = names.iter().rev().nth(1).or(names.last());
        chosen.map(|name| folder.join(name)).ok_or_else(|| anyhow!("there is no {} in {}", kind.name, folder.display()))
    }

    /// What readers make of damages, in their order.
    pub fn answered(&self, bench: &Bench, damages: &[Damage]) -> Result<Vec<Verdict>> {
        let mut verdicts = Vec::with_capacity(damages.len());
        let mut rest = damages;
        while let Some(first) = rest.first() {
            let same = rest.iter().take_while(|damage| damage.kind.of_table && first.kind.of_table).count();
            let (now, later) = rest.split_at(same.clamp(1, COPIES_MAX));
            rest = later;
            match first.kind.of_table {
                true => verdicts.extend(self.in_copies(bench, now)?),
                false => verdicts.push(self.in_folder(bench, *first)?),
            }
        }
        Ok(verdicts)
    }

    /// Damages one copy of the table per act; one server reads them all.
    fn in_copies(&self, bench: &Bench, damages: &[Damage]) -> Result<Vec<Verdict>> {
        let installation = self.linked(bench)?;
        let tables = installation.launch.data.join("tables");
        for (number, damage) in damages.iter().enumerate() {
            let table = tables.join(format!("copy_{number}"));
            execute(Command::new("cp").arg("-al").arg(self.folder.join("tables/events")).arg(&table))?;
            let inside = self.file(damage.kind)?;
            let inside = inside.strip_prefix(self.folder.join("tables/events")).context("a file of the table")?;
            apply(&table.join(inside), damage.act)?;
        }
        let control = tables.join("copy_whole");
        execute(Command::new("cp").arg("-al").arg(self.folder.join("tables/events")).arg(&control))?;
        let server = installation.launch.serve()?;
        // A copy that nobody damaged must answer, or an error would prove nothing.
        let read = sorted(&server.query(&format!("select {COLUMNS} from copy_whole"))?);
        anyhow::ensure!(read == self.answers.rows, "an undamaged copy of the table answers something else");
        let mut verdicts = Vec::new();
        for number in 0..damages.len() {
            let read = server.query(&format!("select {COLUMNS} from copy_{number}"));
            verdicts.push(match read {
                Ok(rows) => compare_rows(&self.answers.rows, &sorted(&rows)),
                Err(_) => Verdict::Told,
            });
        }
        server.kill()?;
        Ok(verdicts)
    }

    /// Damages one file of a copy of the data folder and starts a server on it.
    fn in_folder(&self, bench: &Bench, damage: Damage) -> Result<Verdict> {
        let installation = self.linked(bench)?;
        let file = self.file(damage.kind)?;
        let inside = file.strip_prefix(&self.folder).context("a file of the data folder")?;
        apply(&installation.launch.data.join(inside), damage.act)?;
        let Started::Listening(server) = installation.launch.spawn()?.listening(START_MAX)? else {
            return Ok(Verdict::Told);
        };
        let verdict = match Answers::of(&server) {
            Ok(answers) => self.answers.compare(&answers),
            Err(_) => Verdict::Told,
        };
        server.kill()?;
        Ok(verdict)
    }

    /// Whether `verify data` finds a damage that a reader did not see.
    fn verify_tells(&self, bench: &Bench, damage: Damage) -> Result<bool> {
        let verify = |act: Option<Act>| {
            let installation = self.linked(bench)?;
            let file = self.file(damage.kind)?;
            let inside = file.strip_prefix(&self.folder).context("a file of the data folder")?;
            if let Some(act) = act {
                apply(&installation.launch.data.join(inside), act)?;
            }
            installation.launch.run(&["verify", "data", "--output", "json"])
        };
        // An undamaged folder must be clean, or a finding would prove nothing.
        let (clean, complaint, _) = verify(None)?;
        anyhow::ensure!(clean == 0, "`verify data` complains of an undamaged folder: {complaint}");
        Ok(verify(Some(damage.act))?.0 == 1)
    }
}

/// Changes a file in a copy of its own: its other links keep what they have.
pub fn apply(file: &Path, act: Act) -> Result<()> {
    let mut bytes = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    match act {
        Act::Flip { byte } => bytes[byte as usize] ^= bit(byte),
        Act::Cut { length } => bytes.truncate(length as usize),
    }
    let replacing = || format!("replacing {}", file.display());
    let permissions = fs::metadata(file).with_context(replacing)?.permissions();
    fs::remove_file(file).with_context(replacing)?;
    fs::write(file, bytes).with_context(replacing)?;
    // Keys that others may read are refused for that alone.
    fs::set_permissions(file, permissions).with_context(replacing)
}

/// The bit of a byte that flips.
pub fn bit(byte: u64) -> u8 {
    1 << (byte % 8)
}
