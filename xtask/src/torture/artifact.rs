//! Damage of a kept model: a bit of its file flips, or it is cut short. Whoever asks for a prediction gets the one that
//! the whole model makes, or an error.
//!
//! The model is trained once per run, of a small project of its own; a server is started on each damaged copy.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Value, json};

use super::bench::{Bench, Trials, copy, execute};
use super::book::Findings;
use super::damage::{Act, acts, apply, spread};
use super::server::{Launch, START_MAX, Server, Started};

/// Visits that the model learns from.
const VISITS: u64 = 400;

const CONTRACT: &str = "\
apiVersion: v3.2.0
kind: DataContract
id: visits
version: 1.0.0
name: Visits
status: active
schema:
  - name: visits
    properties:
      - {name: visit_id, logicalType: string, primaryKey: true, required: true}
      - {name: happened_at, logicalType: timestamp, required: true}
      - {name: user_id, logicalType: string, required: true}
      - {name: pages, logicalType: integer, required: true}
      - {name: bought, logicalType: boolean, required: true}
    customProperties:
      - {property: seawall.eventTime, value: happened_at}
";

const DECLARATIONS: &str = "\
kind: source
name: visits
files: {path: visits.csv, format: csv}
contract: visits@1
available_at: happened_at
history: true
---
kind: feature_view
name: users
entity: user_id
from: visits
time: happened_at
features:
  n_24h: {count: \"*\", window: 24h}
---
kind: training_set
name: buys
rows: {from: visits, at: happened_at, own_row: exclude}
label: {from: visits, join: visit_id, column: bought}
features: [users@1]
context: {pages: pages}
---
kind: model
name: buyer
training_set: buys
owner: shop
holdout: 5d
rows_min: 100
on_missing: {default: accept}
";

/// Damages the model until the plan, or the goal, is reached.
pub fn run(bench: &Bench, trials: &mut Trials<'_>) -> Result<()> {
    let trained = Trained::at(bench)?;
    let length = fs::metadata(&trained.model).context("looking at the model")?.len();
    let plan = spread(acts(length), trials.goal);
    let done = usize::try_from(trials.row.trials).unwrap_or(usize::MAX).min(plan.len());
    for act in &plan[done..] {
        if !trials.wanted() {
            break;
        }
        let mut findings = Findings::default();
        if let Some(answer) = trained.ask_damaged(bench, *act)?.filter(|answer| *answer != trained.answer) {
            findings.deceive(format!("after {act:?} the model answers {answer}, not {}", trained.answer));
        }
        trials.done(&findings);
    }
    Ok(())
}

/// A data folder with a trained champion.
struct Trained {
    folder: PathBuf,
    /// The champion's file.
    model: PathBuf,
    /// What it predicts.
    answer: Value,
}

impl Trained {
    /// Trains, once per run.
    fn at(bench: &Bench) -> Result<Trained> {
        let folder = bench.work.join("trained");
        let launch = bench.launch(&folder, &folder);
        let whole = folder.join("whole");
        if !whole.exists() {
            let _ = fs::remove_dir_all(&folder);
            write_project(&launch.project)?;
            for command in [&["apply"][..], &["run"], &["train", "buyer"]] {
                let (code, _, said) = launch.run(command)?;
                ensure!(code == 0, "{command:?} ended with {code}: {said}");
            }
            fs::write(&whole, "").context("marking the model as whole")?;
        }
        let model = only_model(&launch.data.join("models"))?;
        let server = launch.serve()?;
        let answer = predict(&server).context("a whole model predicts nothing")?;
        let status = server.terminate()?;
        ensure!(status.success(), "the server with the model ended with {status}");
        Ok(Trained { folder, model, answer })
    }

    /// What a copy with a damaged model predicts; none when anybody says that something is wrong.
    fn ask_damaged(&self, bench: &Bench, act: Act) -> Result<Option<Value>> {
        let folder = bench.work.join("damaged-model");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        copy(&self.folder.join("data"), &folder.join("data"))?;
        let inside = self.model.strip_prefix(&self.folder).context("the model lies in the folder")?;
        apply(&folder.join(inside), act)?;
        let launch: Launch = bench.launch(&self.folder, &folder);
        match launch.spawn()?.listening(START_MAX)? {
            Started::Listening(server) => {
                let answer = predict(&server);
                server.kill()?;
                Ok(answer)
            }
            Started::Ended(_) => Ok(None),
        }
    }
}

fn write_project(folder: &Path) -> Result<()> {
    let mut visits = "visit_id,happened_at,user_id,pages,bought\n".to_owned();
    for visit in 0..VISITS {
        let (day, hour, pages) = (1 + visit / 20, visit % 20, visit % 7);
        let (user, bought) = (visit % 13, pages > 3 || visit.is_multiple_of(11));
        writeln!(visits, "v{visit},2026-01-{day:02}T{hour:02}:00:00Z,u{user},{pages},{bought}")?;
    }
    execute(Command::new("mkdir").arg("-p").arg(folder.join("contracts")))?;
    let files = [
        ("seawall.yaml", "kind: project\nname: shop\n"),
        ("contracts/visits.odcs.yaml", CONTRACT),
        ("declarations.yaml", DECLARATIONS),
        ("visits.csv", &visits),
    ];
    for (name, content) in files {
        fs::write(folder.join(name), content).with_context(|| format!("writing {name}"))?;
    }
    Ok(())
}

fn only_model(folder: &Path) -> Result<PathBuf> {
    for entry in fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))? {
        let path = entry.context("listing models")?.path();
        if path.extension().is_some_and(|extension| extension == "model") {
            return Ok(path);
        }
    }
    Err(anyhow!("no model is kept in {}", folder.display()))
}

/// The scores of two decisions; none when they were refused.
fn predict(server: &Server) -> Option<Value> {
    let rows: Vec<Value> =
        [1, 6].iter().map(|pages| json!({"visit_id": format!("n{pages}"), "user_id": "u1", "pages": pages})).collect();
    let answer = server.post("/v1/models/buyer/predict", &json!({"rows": rows}))?;
    if answer.status != 200 {
        return None;
    }
    let scores = answer.body["predictions"].as_array()?.iter().map(|row| row["probability"].clone());
    Some(scores.collect())
}
