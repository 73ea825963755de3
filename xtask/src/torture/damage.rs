//! Damage at rest: a bit flips, a file is cut short or emptied. It must be told, or make no difference; an answer that
//! differs without an error is silent corruption.
//!
//! Files of tables are damaged in many copies of one table at once, which one server then reads. For every other kind a
//! server is started on a damaged copy of the data folder. The plan is a function of the files, so that a long form is
//! resumed where it ended: it takes every byte of one file of each kind. What no reader sees may still be told by
//! `verify data`; the notes say so.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};

use super::bench::{Bench, Installation, Trials, copy, execute};
use super::book::Findings;
use super::event::{COLUMNS, Origin, USERS};
use super::server::{START_MAX, Server, Started};

/// Requests that make the history, a second apart, so that each is a commit and the table has a checkpoint.
const REQUESTS: u64 = 23;
/// Copies of a table that one server reads.
const COPIES_MAX: usize = 200;
/// A file is also cut at multiples of this.
const CUT_BYTES: u64 = 64;

/// A kind of file: where it lies, and how to choose one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kind {
    name: &'static str,
    folder: &'static str,
    /// What the file's name begins and ends with.
    prefix: &'static str,
    suffix: &'static str,
    /// Whether it is part of a table, and so is damaged in copies of it.
    of_table: bool,
    /// Bytes that are damaged one by one; further ones hold nothing.
    bytes_max: u64,
}

/// As many bytes as a file has.
const ALL: u64 = u64::MAX;

const KINDS: [Kind; 11] = [
    Kind::of_table("commit", "tables/events/_delta_log", "", ".json"),
    Kind::of_table("checkpoint", "tables/events/_delta_log", "", ".checkpoint.parquet"),
    Kind::of_table("last checkpoint", "tables/events/_delta_log", "_last", "checkpoint"),
    Kind::of_table("data file", "tables/events", "part-", ".parquet"),
    Kind::of_folder("epoch", "log", "epoch", "", ALL),
    Kind::of_folder("manifest", "online", "manifest", ".json", ALL),
    Kind::of_folder("state checkpoint", "online", "state-", ".bin", ALL),
    Kind::of_folder("order manifest", "state/order", "manifest-", "", ALL),
    Kind::of_folder("order checkpoint", "state/order", "state-", ".bin", ALL),
    Kind::of_folder("segment", "log", "segment-", ".log", 6 << 10),
    Kind::of_folder("catalog", "catalog", "catalog", ".db", 2 << 10),
];

impl Kind {
    const fn of_table(name: &'static str, folder: &'static str, prefix: &'static str, suffix: &'static str) -> Kind {
        Kind { name, folder, prefix, suffix, of_table: true, bytes_max: ALL }
    }

    const fn of_folder(
        name: &'static str,
        folder: &'static str,
        prefix: &'static str,
        suffix: &'static str,
        bytes_max: u64,
    ) -> Kind {
        Kind { name, folder, prefix, suffix, of_table: false, bytes_max }
    }
}

/// One damage to one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Damage {
    kind: Kind,
    act: Act,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Flip { byte: u64 },
    Cut { length: u64 },
}

/// Damages files until the plan, or the goal, is reached.
pub fn run(bench: &Bench, trials: &mut Trials<'_>) -> Result<()> {
    let whole = Whole::at(bench)?;
    let plan = plan(&whole, trials.goal)?;
    let done = usize::try_from(trials.row.trials).unwrap_or(usize::MAX).min(plan.len());
    let mut rest = &plan[done..];
    while let Some(first) = rest.first() {
        if !trials.wanted() {
            break;
        }
        let same = rest.iter().take_while(|damage| damage.kind.of_table && first.kind.of_table).count();
        let (now, later) = rest.split_at(same.clamp(1, COPIES_MAX));
        rest = later;
        let verdicts = if first.kind.of_table { whole.in_copies(bench, now)? } else { whole.in_folder(bench, now)? };
        for (damage, verdict) in now.iter().zip(verdicts) {
            let mut findings = Findings::default();
            if let Verdict::Silent(how) = verdict {
                let what = format!("{} after {:?}: {how}", damage.kind.name, damage.act);
                match whole.verify_tells(bench, *damage)? {
                    true => trials.row.notes.push(format!("told by `verify data` alone, not by reading: {what}")),
                    false => findings.deceive(what),
                }
            }
            trials.done(&findings);
        }
    }
    Ok(())
}

/// What became of a damage.
enum Verdict {
    /// Somebody said so, or every answer is the same.
    Told,
    Silent(String),
}

/// Damages in the order of kinds; no more than `goal`, spread evenly over kinds and files.
fn plan(whole: &Whole, goal: u64) -> Result<Vec<Damage>> {
    let share = goal.div_ceil(KINDS.len() as u64).max(1);
    let mut plan = Vec::new();
    for kind in KINDS {
        let length = fs::metadata(whole.file(kind)?).context("looking at a file to be damaged")?.len();
        let bytes = length.min(kind.bytes_max);
        let cuts = (0..bytes).step_by(CUT_BYTES as usize).map(|length| Act::Cut { length });
        let all: Vec<Act> = cuts.chain((0..bytes).map(|byte| Act::Flip { byte })).collect();
        let step = (all.len() as u64).div_ceil(share).max(1) as usize;
        plan.extend(all.into_iter().step_by(step).map(|act| Damage { kind, act }));
    }
    Ok(plan)
}

/// An installation with history, and what it answers as long as nothing is damaged.
struct Whole {
    folder: PathBuf,
    answers: Answers,
}

/// Everything that a damage could change.
#[derive(Debug, PartialEq)]
struct Answers {
    rows: Vec<String>,
    quarantined: Vec<String>,
    counts: Value,
    features: Value,
}

impl Whole {
    /// The history of this bench, made when it is missing.
    fn at(bench: &Bench) -> Result<Whole> {
        let folder = bench.work.join("whole");
        let marker = folder.join("answers.json");
        if !marker.exists() {
            let mut installation = bench.installation("whole")?;
            make_history(&installation)?;
            let answers = answers_of(&installation)?;
            fs::write(&marker, answers.to_json().to_string()).context("keeping the answers")?;
            installation.keep_silently();
        }
        let text = fs::read_to_string(&marker).context("reading the kept answers")?;
        let answers = Answers::from_json(&serde_json::from_str(&text).context("reading the kept answers")?)?;
        Ok(Whole { folder: folder.join("data"), answers })
    }

    /// The file of a kind that is damaged: the last by name but one, so that others follow it; the last when there is
    /// only one.
    fn file(&self, kind: Kind) -> Result<PathBuf> {
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
    fn in_folder(&self, bench: &Bench, damages: &[Damage]) -> Result<Vec<Verdict>> {
        let [damage] = damages else { bail!("one damage at a time") };
        let installation = self.linked(bench)?;
        let file = self.file(damage.kind)?;
        let inside = file.strip_prefix(&self.folder).context("a file of the data folder")?;
        apply(&installation.launch.data.join(inside), damage.act)?;
        let Started::Listening(server) = installation.launch.spawn()?.listening(START_MAX)? else {
            return Ok(vec![Verdict::Told]);
        };
        let verdict = match Answers::of(&server) {
            Ok(answers) => self.answers.compare(&answers),
            Err(_) => Verdict::Told,
        };
        server.kill()?;
        Ok(vec![verdict])
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

    /// A copy of the data folder. Files that a server replaces as a whole are linked; those that it writes into are
    /// copied.
    fn linked(&self, bench: &Bench) -> Result<Installation> {
        let installation = bench.installation("damaged")?;
        let data = &installation.launch.data;
        fs::remove_dir_all(data).context("making room for the copy")?;
        execute(Command::new("cp").arg("-al").arg(&self.folder).arg(data))?;
        for written in ["log", "catalog"] {
            fs::remove_dir_all(data.join(written)).context("making room for the copy")?;
            copy(&self.folder.join(written), &data.join(written))?;
        }
        Ok(installation)
    }
}

/// Changes a file in a copy of its own: its other links keep what they have.
fn apply(file: &Path, act: Act) -> Result<()> {
    let mut bytes = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    match act {
        Act::Flip { byte } => bytes[byte as usize] ^= 1 << (byte % 8),
        Act::Cut { length } => bytes.truncate(length as usize),
    }
    fs::remove_file(file).with_context(|| format!("replacing {}", file.display()))?;
    fs::write(file, bytes).with_context(|| format!("replacing {}", file.display()))
}

/// Sends a request a second, so that there are many commits; ends in order, so that everything is checkpointed.
fn make_history(installation: &Installation) -> Result<()> {
    let server = installation.launch.serve()?;
    let origin = Origin { seed: 1, began_s: super::clock::now_s(), producer: 0 };
    for request in 0..REQUESTS {
        let lines: Vec<Value> = vec![
            origin.accepted(2 * request).line(),
            origin.accepted(2 * request + 1).line(),
            origin.stopped(request).line(),
        ];
        let answer = server.post("/v1/datasets/events/events", &Value::Array(lines));
        let status = answer.map_or(0, |answer| answer.status);
        anyhow::ensure!(status == 200, "the history is answered with {status}");
        std::thread::sleep(Duration::from_millis(1_050));
    }
    let status = server.terminate()?;
    anyhow::ensure!(status.success(), "the server with the history ended with {status}");
    Ok(())
}

/// What a copy of the installation answers, so that the one that is kept stays as its server left it.
fn answers_of(installation: &Installation) -> Result<Answers> {
    let mut launch = installation.launch.clone();
    launch.data = installation.folder().join("asked");
    copy(&installation.launch.data, &launch.data)?;
    let server = launch.serve()?;
    let answers = Answers::of(&server)?;
    server.kill()?;
    fs::remove_dir_all(&launch.data).context("removing the copy that was asked")?;
    Ok(answers)
}

impl Answers {
    fn of(server: &Server) -> Result<Answers> {
        server.catch_up()?;
        let status = server.get("/v1/status").ok_or_else(|| anyhow!("no status"))?;
        let users: Vec<Value> = (0..USERS).map(|user| json!({"user_id": format!("u{user}")})).collect();
        let features = server.post("/v1/features", &json!({"views": ["users@1"], "rows": users}));
        let features = features.filter(|answer| answer.status == 200).ok_or_else(|| anyhow!("no features"))?;
        let values = features.body["rows"].as_array().cloned().unwrap_or_default();
        Ok(Answers {
            rows: sorted(&server.query(&format!("select {COLUMNS} from events"))?),
            quarantined: sorted(&server.query("select _raw, _reasons from events__quarantine")?),
            counts: status.body["datasets"].clone(),
            features: values.iter().map(values_of).collect(),
        })
    }

    fn compare(&self, other: &Answers) -> Verdict {
        if let Verdict::Silent(how) = compare_rows(&self.rows, &other.rows) {
            return Verdict::Silent(how);
        }
        let parts = [
            ("the quarantine", self.quarantined == other.quarantined),
            ("the accounting", self.counts == other.counts),
            ("the features", self.features == other.features),
        ];
        match parts.into_iter().find(|(_, equal)| !equal) {
            Some((part, _)) => Verdict::Silent(format!("{part} changed and nobody said so")),
            None => Verdict::Told,
        }
    }

    fn to_json(&self) -> Value {
        json!({
            "rows": self.rows, "quarantined": self.quarantined, "counts": self.counts, "features": self.features,
        })
    }

    fn from_json(json: &Value) -> Result<Answers> {
        let list = |name: &str| serde_json::from_value(json[name].clone()).context("reading the kept answers");
        Ok(Answers {
            rows: list("rows")?,
            quarantined: list("quarantined")?,
            counts: json["counts"].clone(),
            features: json["features"].clone(),
        })
    }
}

/// The values of a served row; when it was served does not belong to them.
fn values_of(row: &Value) -> Value {
    let counted = row.as_object().into_iter().flatten().filter(|(name, _)| name.ends_with("n_30d"));
    counted.map(|(name, value)| (name.clone(), value.clone())).collect::<BTreeMap<_, _>>().into_iter().collect()
}

fn sorted(rows: &[Value]) -> Vec<String> {
    let mut rows: Vec<String> = rows.iter().map(Value::to_string).collect();
    rows.sort();
    rows
}

fn compare_rows(before: &[String], after: &[String]) -> Verdict {
    if before == after {
        return Verdict::Told;
    }
    let changed = before.iter().zip(after).find(|(before, after)| before != after);
    Verdict::Silent(match changed {
        Some((before, after)) if before.len().abs_diff(after.len()) < 40 => format!("{before} became {after}"),
        _ => format!("{} rows became {}", before.len(), after.len()),
    })
}
