//! What a server does in the background: backups and checks as declared, incidents about damage.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::integrity::{data, file};
use crate::support::{EVENTS_CONTRACT, EVENTS_DECLARATIONS, Project};

const RECOVERY: &str = "\
---
kind: recovery
name: events
rpo: 1h
rto: 1h
backup: {to: kept, every: 1s, keep: 2}
scrub: {bytes_per_second: 512MiB, every: 1s}
";

/// Asks until `right` says so; the last answer when it never does.
fn wait_for(ask: impl Fn() -> Value, right: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..200 {
        let answer = ask();
        if right(&answer) {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(300));
    }
    ask()
}

#[test]
fn a_server_backs_up_checks_and_tells_about_damage() {
    let declarations = format!("{EVENTS_DECLARATIONS}{RECOVERY}");
    let project = Project::with(&[
        ("seawall.yaml", "kind: project\nname: events\n"),
        ("contracts/events.odcs.yaml", EVENTS_CONTRACT),
        ("declarations.yaml", &declarations),
    ]);
    project.run(&["apply"]).expect(0);
    let server = project.serve(&[]);
    let event = json!({"event_id": "e1", "happened_at": "2024-05-09T10:00:00Z", "user_id": "u1", "amount": 2.0});
    assert_eq!(server.post("/v1/datasets/events/events", &format!("{event}\n")).0, 200);
    server.folded();

    let status = || project.run(&["status", "--output", "json"]).expect(0).json()["recovery"].clone();
    let recovery = wait_for(status, |state| state["rpo_met"] == true && !state["last_scrub"].is_null());
    assert_eq!((&recovery["rpo_met"], &recovery["rto_met"]), (&json!(true), &Value::Null), "{recovery}");
    assert!(recovery["last_scrub"]["body"]["bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{recovery}");

    let tables = data(&project).join("tables/events");
    let listed = || {
        let entries = fs::read_dir(&tables).unwrap().map(|entry| entry.unwrap().path());
        json!(entries.filter(|path| path.to_string_lossy().ends_with(".parquet")).count())
    };
    wait_for(listed, |count| *count == json!(1));
    let part = file(&tables, ".parquet");
    let whole = fs::read(&part).unwrap();
    let mut flipped = whole.clone();
    flipped[40] ^= 1;
    fs::write(&part, &flipped).unwrap();
    let incidents =
        || project.run(&["incident", "list", "--all", "--output", "json"]).expect(0).json()["incidents"].clone();
    let of_damage = |incidents: &Value, closed: bool| {
        incidents.as_array().unwrap().iter().any(|incident| {
            incident["cause"] == "damage"
                && incident["subject"] == "table events"
                && incident["closed"].is_null() != closed
        })
    };
    let opened = wait_for(incidents, |incidents| of_damage(incidents, false));
    assert!(of_damage(&opened, false), "{opened}");
    fs::write(&part, &whole).unwrap();
    let closed = wait_for(incidents, |incidents| of_damage(incidents, true));
    assert!(of_damage(&closed, true), "{closed}");
    server.terminate();

    let kept = project.path().join("kept");
    let listed =
        project.run(&["backup", "list", "--from", kept.to_str().unwrap(), "--output", "json"]).expect(0).json();
    let count = listed["backups"].as_array().unwrap().len();
    assert!((1..=2).contains(&count), "{listed}");
    project.run(&["backup", "verify", "--from", kept.to_str().unwrap()]).expect(0);
}
