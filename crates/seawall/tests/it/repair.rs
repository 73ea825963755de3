//! `repair`: what can be mended is mended to equal contents, what cannot is said, and a repair that was killed is finished
//! by the next one.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use crate::integrity::{data, features, file, filled, now, verify};
use crate::support::{Project, seawall};

/// Rows and stopped rows, as a query shows them.
fn contents(project: &Project) -> String {
    let ask = |sql: &str| project.run(&["query", sql, "--output", "json"]).expect(0).stdout;
    let rows = ask("select event_id, user_id, amount, _partition, _lsn from events order by _lsn");
    rows + &ask("select _raw, _lsn from events__quarantine order by _lsn")
}

fn sorted(folder: &Path, end: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.to_string_lossy().ends_with(end)).collect();
    files.sort();
    files
}

/// What is done to the files, and in words.
type Surgery<'a> = (&'a str, Box<dyn Fn() + 'a>);

#[test]
fn what_the_log_still_holds_is_mended_to_equal_contents() {
    let project = filled();
    let before = contents(&project);
    let tables = data(&project).join("tables");
    let log = tables.join("events/_delta_log");
    let commits = sorted(&log, ".json");
    let (first, newest) = (&commits[1], commits.last().unwrap());
    let part = file(&tables.join("events"), ".parquet");
    let stopped = file(&tables.join("events__quarantine"), ".parquet");
    let flip = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        bytes[60] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    let empty = |path: &Path| fs::write(path, b"").unwrap();
    let remove = |path: &Path| fs::remove_file(path).unwrap();
    let surgeries: [Surgery<'_>; 7] = [
        ("a commit is emptied", Box::new(|| empty(first))),
        ("the newest commit is removed", Box::new(|| remove(newest))),
        ("a commit is changed", Box::new(|| flip(first))),
        ("a data file is changed", Box::new(|| flip(&part))),
        ("a data file is removed", Box::new(|| remove(&stopped))),
        (
            "a commit and every data file",
            Box::new(|| {
                remove(first);
                sorted(&tables.join("events"), ".parquet").iter().for_each(|path| remove(path));
            }),
        ),
        ("the features' checkpoint is changed", Box::new(|| flip(&data(&project).join("online/manifest.json")))),
    ];
    for (what, surgery) in surgeries {
        surgery();
        let plan = project.run(&["repair", "--output", "json"]).expect(1).json();
        assert_eq!((&plan["plan"]["impossible"], &plan["done"]), (&json!([]), &json!(false)), "{what}: {plan}");
        assert_ne!(plan["plan"]["steps"], json!([]), "{what}: {plan}");
        verify(&project).expect(1);
        let done = project.run(&["repair", "--run", "--output", "json"]).expect(0).json();
        assert_eq!((&done["whole"], &done["findings"]), (&json!(true), &json!([])), "{what}: {done}");
        assert_eq!(contents(&project), before, "{what}");
        verify(&project).expect(0);
    }
    // The repaired installation goes on, with the same features.
    let server = project.serve(&[]);
    assert_eq!(features(&server)[0][0], json!(15));
    let event = json!({"event_id": "after", "happened_at": now(&server), "user_id": "u1", "amount": 2.0});
    assert_eq!(server.post("/v1/datasets/events/events", &event.to_string()).1["counts"]["accepted"], 1);
    server.terminate();
    verify(&project).expect(0);
    let audit = project.run(&["query", "select event from system.audit", "--output", "json"]).expect(0).stdout;
    assert!(audit.contains("intent"), "{audit}");
}

#[test]
fn what_only_one_place_holds_cannot_be_mended_and_is_said() {
    let project = filled();
    let log = file(&data(&project).join("log"), ".log");
    let whole = fs::read(&log).unwrap();
    let mut flipped = whole.clone();
    flipped[200] ^= 1;
    fs::write(&log, &flipped).unwrap();
    let plan = project.run(&["repair", "--output", "json"]).expect(1).json();
    assert_eq!(plan["plan"]["impossible"][0]["object"], "log", "{plan}");
    let done = project.run(&["repair", "--run", "--output", "json"]).expect(1).json();
    assert_eq!(done["whole"], json!(false));
    assert_eq!(fs::read(&log).unwrap(), flipped, "what cannot be mended is left alone");
    fs::write(&log, &whole).unwrap();
    verify(&project).expect(0);

    let catalog = data(&project).join("catalog/catalog.db");
    let kept = fs::read(&catalog).unwrap();
    fs::remove_file(&catalog).unwrap();
    let refused = project.run(&["repair", "--run"]);
    assert!(refused.code == 2 && refused.stderr.contains("SW1415"), "{}", refused.stderr);
    let refused = project.run(&["status"]);
    assert!(refused.code == 2 && refused.stderr.contains("SW1415"), "no new catalog is made: {}", refused.stderr);
    fs::write(&catalog, kept).unwrap();
    verify(&project).expect(0);
}

#[test]
fn a_repair_beside_a_server_is_refused() {
    let project = filled();
    let server = project.serve(&[]);
    let refused = project.run(&["repair", "--run"]);
    assert!(refused.code == 2 && refused.stderr.contains("SW1414"), "{}", refused.stderr);
    server.terminate();
}

/// Killed at any moment, a repair is finished by the next one.
#[test]
fn a_killed_repair_is_finished_by_the_next_one() {
    let project = filled();
    let before = contents(&project);
    let tables = data(&project).join("tables");
    for wait_ms in (0..1_500).step_by(150) {
        for part in sorted(&tables.join("events"), ".parquet") {
            fs::write(&part, b"").unwrap();
        }
        fs::write(&sorted(&tables.join("events/_delta_log"), ".json")[1], b"").unwrap();
        let mut child = seawall();
        let mut child = child.arg("-C").arg(project.path()).args(["repair", "--run"]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(wait_ms));
        child.kill().unwrap();
        child.wait().unwrap();
        project.run(&["repair", "--run"]).expect(0);
        verify(&project).expect(0);
        assert_eq!(contents(&project), before, "killed after {wait_ms} ms");
    }
}
