//! Installations with history, and what they answer as long as nothing is damaged.
//!
//! One was ended in order: everything is committed and checkpointed. The other was killed before its tables had what it
//! acknowledged, so that a start reads that from the log alone. Each is made once per run, by the binary under test.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};

use super::bench::{Bench, Installation, copy, execute};
use super::event::{COLUMNS, Origin, Project, USERS};
use super::server::Server;

/// Requests that make the history, a second apart, so that each is a commit; more until the table has a checkpoint.
const REQUESTS: u64 = 23;
const REQUESTS_MAX: u64 = 120;
/// Requests that the tables do not have: they follow each other at once.
const PENDING_REQUESTS: u64 = 6;
/// After this an idle log has written its end mark. Tables are committed a second after their first row.
const MARK: Duration = Duration::from_millis(60);

/// Small segments, which are copied for every trial.
const SEGMENTS: [&str; 2] = ["--log-segment-kib", "256"];

/// How a history ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum History {
    /// In order.
    Ended,
    /// By a kill, with rows that only the log has.
    Killed,
    /// In order, with personal fields, which the log has sealed with keys of their own.
    Sealed,
}

impl History {
    fn name(self) -> &'static str {
        match self {
            History::Ended => "whole",
            History::Killed => "pending",
            History::Sealed => "sealed",
        }
    }

    fn project(self) -> Project {
        match self {
            History::Ended | History::Killed => Project::Plain,
            History::Sealed => Project::Personal,
        }
    }
}

/// An installation with history, and what it answers as long as nothing is damaged.
pub struct Whole {
    /// The data folder; nobody writes into it.
    pub folder: PathBuf,
    /// What it answers.
    pub answers: Answers,
    project: Project,
}

/// Everything that a damage could change.
#[derive(Debug, PartialEq)]
pub struct Answers {
    /// The rows of the table.
    pub rows: Vec<String>,
    quarantined: Vec<String>,
    counts: Value,
    features: Value,
}

/// What became of a damage.
pub enum Verdict {
    /// Somebody said so, or every answer is the same.
    Told,
    /// An answer differs, and nobody said so.
    Silent(String),
}

impl Whole {
    /// The history of this bench, made when it is missing.
    pub fn at(bench: &Bench, history: History) -> Result<Whole> {
        let folder = bench.work.join(history.name());
        let marker = folder.join("answers.json");
        if !marker.exists() {
            let mut installation = bench.installation_of(history.project(), history.name())?;
            installation.launch.serve = SEGMENTS.map(str::to_owned).to_vec();
            make(history, &installation)?;
            let answers = answers_of(&installation)?;
            fs::write(&marker, answers.to_json().to_string()).context("keeping the answers")?;
            installation.keep_silently();
        }
        let text = fs::read_to_string(&marker).context("reading the kept answers")?;
        let answers = Answers::from_json(&serde_json::from_str(&text).context("reading the kept answers")?)?;
        Ok(Whole { folder: folder.join("data"), answers, project: history.project() })
    }

    /// A copy of the data folder that shares nothing with it.
    pub fn copied(&self, bench: &Bench, name: &str) -> Result<Installation> {
        let installation = bench.installation_of(self.project, name)?;
        let data = &installation.launch.data;
        fs::remove_dir_all(data).context("making room for the copy")?;
        copy(&self.folder, data)?;
        Ok(installation)
    }

    /// A copy of the data folder. Files that a server replaces as a whole are linked; those that it writes into are
    /// copied.
    pub fn linked(&self, bench: &Bench) -> Result<Installation> {
        let installation = bench.installation_of(self.project, "damaged")?;
        let data = &installation.launch.data;
        fs::remove_dir_all(data).context("making room for the copy")?;
        execute(Command::new("cp").arg("-al").arg(&self.folder).arg(data))?;
        for written in ["log", "catalog", "keys"] {
            fs::remove_dir_all(data.join(written)).context("making room for the copy")?;
            copy(&self.folder.join(written), &data.join(written))?;
        }
        Ok(installation)
    }
}

fn make(history: History, installation: &Installation) -> Result<()> {
    let server = installation.launch.serve()?;
    let origin = Origin { seed: 1, began_s: super::clock::now_s(), producer: 0 };
    match history {
        History::Ended => {
            let log = installation.launch.data.join("tables/events/_delta_log");
            let mut request = 0;
            while request < REQUESTS || !has_checkpoint(&log)? {
                anyhow::ensure!(request < REQUESTS_MAX, "there is no checkpoint after {request} requests");
                send(&server, &origin, request)?;
                request += 1;
                std::thread::sleep(Duration::from_millis(1_050));
            }
            let status = server.terminate()?;
            anyhow::ensure!(status.success(), "the server with the history ended with {status}");
        }
        History::Sealed => {
            for request in 0..PENDING_REQUESTS {
                send(&server, &origin, request)?;
            }
            server.catch_up()?;
            let status = server.terminate()?;
            anyhow::ensure!(status.success(), "the server with the sealed history ended with {status}");
        }
        History::Killed => {
            for request in 0..PENDING_REQUESTS {
                send(&server, &origin, request)?;
            }
            std::thread::sleep(MARK);
            server.kill()?;
        }
    }
    Ok(())
}

/// A busy machine commits several requests at once, and checkpoints are written beside commits.
fn has_checkpoint(log: &Path) -> Result<bool> {
    for entry in fs::read_dir(log).with_context(|| format!("listing {}", log.display()))? {
        let name = entry.context("listing a table's log")?.file_name();
        if name.to_string_lossy().ends_with(".checkpoint.parquet") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Two events and a row that is stopped, acknowledged.
fn send(server: &Server, origin: &Origin, request: u64) -> Result<()> {
    let lines = vec![
        origin.accepted(2 * request).line(),
        origin.accepted(2 * request + 1).line(),
        origin.stopped(request).line(),
    ];
    let answer = server.post("/v1/datasets/events/events", &Value::Array(lines));
    let status = answer.map_or(0, |answer| answer.status);
    anyhow::ensure!(status == 200, "the history is answered with {status}");
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
    /// What a running server answers, once it has caught up.
    pub fn of(server: &Server) -> Result<Answers> {
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

    /// Whether another answer says the same.
    pub fn compare(&self, other: &Answers) -> Verdict {
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

/// Rows as text, in one order.
pub fn sorted(rows: &[Value]) -> Vec<String> {
    let mut rows: Vec<String> = rows.iter().map(Value::to_string).collect();
    rows.sort();
    rows
}

/// Whether rows are what they were.
pub fn compare_rows(before: &[String], after: &[String]) -> Verdict {
    if before == after {
        return Verdict::Told;
    }
    let changed = before.iter().zip(after).find(|(before, after)| before != after);
    Verdict::Silent(match changed {
        Some((before, after)) if before.len().abs_diff(after.len()) < 40 => format!("{before} became {after}"),
        _ => format!("{} rows became {}", before.len(), after.len()),
    })
}
