//! Trainers that fail: each leaves its reason on record and nothing else.

use std::fmt::Write;

use crate::support::Project;

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
";

/// A project whose model is trained by `script`, with 400 visits loaded.
fn project(script: &str, limits: &str) -> Project {
    let mut visits = "visit_id,happened_at,user_id,pages,bought\n".to_owned();
    for i in 0..400 {
        let (day, hour, pages) = (1 + i / 20, i % 20, i % 7);
        let bought = pages > 3 || i % 11 == 0;
        writeln!(visits, "v{i},2026-01-{day:02}T{hour:02}:00:00Z,u{},{pages},{bought}", i % 13).unwrap();
    }
    let model = format!(
        "kind: model\nname: buyer\ntraining_set: buys\nowner: shop\n\
         trainer: {{command: [sh, train.sh]{limits}}}\nholdout: 5d\nrows_min: 100\non_missing: {{default: accept}}\n"
    );
    let project = Project::with(&[
        ("seawall.yaml", "kind: project\nname: shop\n"),
        ("contracts/visits.odcs.yaml", CONTRACT),
        ("declarations.yaml", DECLARATIONS),
        ("model.yaml", &model),
        ("visits.csv", &visits),
        ("train.sh", script),
    ]);
    project.run(&["apply"]).expect(0);
    project.run(&["run"]).expect(0);
    project
}

/// Trains, and demands the failure `code` on record and nothing else left.
fn check_failure(script: &str, limits: &str, code: &str, says: &str) {
    let project = project(script, limits);
    let said = project.run(&["train", "buyer"]).expect(1);
    let told = format!("{}{}", said.stdout, said.stderr);
    assert!(told.contains(code) && told.contains(says), "{code} {says}: {told}");

    let decisions = project.run(&["model", "decisions", "buyer", "--output", "json"]).expect(0).json();
    let decisions = decisions["decisions"].as_array().unwrap();
    assert_eq!(decisions.len(), 1, "{decisions:?}");
    assert_eq!(decisions[0]["kind"], "training_failed");
    assert!(decisions[0]["reason"].as_str().unwrap().contains(code), "{decisions:?}");
    let shown = project.run(&["model", "show", "buyer", "--output", "json"]).expect(0).json();
    assert_eq!(shown["versions"], serde_json::json!([]), "{shown}");
    assert!(shown["aliases"]["champion"].is_null() && shown["aliases"]["challenger"].is_null(), "{shown}");
    let explained = project.run(&["explain", code]).expect(0).stdout;
    assert!(explained.contains(code), "{explained}");

    let work = project.path().join(".seawall/data/models/work");
    let left: Vec<_> =
        std::fs::read_dir(&work).map(|entries| entries.map(|e| e.unwrap().path()).collect()).unwrap_or_default();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(running_in(project.path()), Vec::<String>::new());
}

/// Processes that run in a folder, by their working folder.
fn running_in(folder: &std::path::Path) -> Vec<String> {
    let folder = folder.canonicalize().unwrap();
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let inside =
        |path: &std::path::Path| std::fs::read_link(path.join("cwd")).is_ok_and(|cwd| cwd.starts_with(&folder));
    processes.flatten().map(|entry| entry.path()).filter(|path| inside(path)).map(|p| p.display().to_string()).collect()
}

#[test]
fn a_trainer_that_runs_out_of_memory() {
    let script = "dd if=/dev/zero of=/dev/null bs=512M count=1\n";
    check_failure(script, ", memory: 64MiB, timeout: 60s", "SW1023", "64 MiB");
}

#[test]
fn a_trainer_that_hangs_with_children() {
    let script = "(trap '' TERM; sleep 300) &\nsetsid sleep 300 &\ntouch \"$TMPDIR/left\"\nsleep 300\n";
    check_failure(script, ", timeout: 2s", "SW1022", "longer than 2s");
}

#[test]
fn a_trainer_that_writes_garbage() {
    let script = "echo not a model > \"$SEAWALL_OUT/model.onnx\"\necho '{}' > \"$SEAWALL_OUT/metrics.json\"\n";
    check_failure(script, "", "SW1030", "no ONNX model");
}

#[test]
fn a_trainer_that_writes_nothing() {
    check_failure("echo all is well\n", "", "SW1024", "wrote no model.onnx");
}

#[test]
fn a_trainer_whose_metrics_are_garbage() {
    let script = "echo x > \"$SEAWALL_OUT/model.onnx\"\necho '[1' > \"$SEAWALL_OUT/metrics.json\"\n";
    check_failure(script, "", "SW1026", "metrics.json");
}

#[test]
fn a_trainer_that_fails() {
    check_failure("echo the disk is on fire >&2\nsleep 300 &\nexit 1\n", "", "SW1021", "the disk is on fire");
}

#[test]
fn a_trainer_whose_model_takes_other_inputs() {
    let models = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/models");
    for fixture in ["logistic_columns.onnx", "logistic.onnx"] {
        let script = format!(
            "cp '{models}/{fixture}' \"$SEAWALL_OUT/model.onnx\"\necho '{{}}' > \"$SEAWALL_OUT/metrics.json\"\n"
        );
        check_failure(&script, "", "SW1032", "input");
    }
}
