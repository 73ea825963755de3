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

const LIFECYCLE: &str = "\
---
kind: lifecycle
name: events
every: 1s
raw: {keep_versions: 1us, quarantine: 1us}
features: {keep_versions: 1us}
";

#[test]
fn a_server_gives_up_what_nothing_is_bound_to() {
    let project = Project::with(&[
        ("seawall.yaml", "kind: project\nname: events\n"),
        ("contracts/events.odcs.yaml", EVENTS_CONTRACT),
        ("declarations.yaml", EVENTS_DECLARATIONS),
    ]);
    project.run(&["apply"]).expect(0);
    let missing = project.run(&["lifecycle", "plan"]);
    assert!(missing.code == 2 && missing.stderr.contains("SW1624"), "{}", missing.stderr);
    let event = |id: &str, amount: f64| json!({"event_id": id, "happened_at": "2024-05-09T10:00:00Z", "user_id": "u1", "amount": amount});
    let send = |rows: &[Value]| {
        let server = project.serve(&[]);
        let body: String = rows.iter().map(|row| format!("{row}\n")).collect();
        assert_eq!(server.post("/v1/datasets/events/events", &body).0, 200);
        server.folded();
        server.terminate();
    };
    send(&[event("e1", 2.0), event("e2", -1.0)]);
    project.run(&["training-set", "build", "next_amount"]).expect(0);
    let bound = project.run(&["table", "list", "--output", "json"]).expect(0).json();
    let version = |tables: &Value, name: &str| {
        let tables = tables["tables"].as_array().unwrap();
        tables.iter().find(|table| table["table"] == name).unwrap()["files"]["version"].as_u64().unwrap()
    };
    let bound = version(&bound, "events");
    send(&[event("e3", 3.0)]);
    send(&[event("e4", 4.0)]);

    let declarations = format!("{EVENTS_DECLARATIONS}{LIFECYCLE}");
    fs::write(project.path().join("declarations.yaml"), declarations).unwrap();
    project.run(&["apply"]).expect(0);
    let planned = project.run(&["lifecycle", "plan", "--output", "json"]).expect(0).json();
    let plan = planned["plan"].to_string();
    assert!(plan.contains("1 stopped rows are deleted") && plan.contains("training set"), "{plan}");
    let ids = |sql: &str| project.run(&["query", sql, "--output", "json"]).expect(0).json()["rows"].clone();
    let stopped = "select count(*) as n from events__quarantine";
    assert_eq!(ids(stopped), json!([{"n": 1}]), "a plan does nothing");

    let server = project.serve(&[]);
    let runs = "select count(*) as n from system.maintenance where kind = 'lifecycle'";
    let n = |rows: &Value| rows[0]["n"].as_u64().unwrap_or(0);
    wait_for(|| ids(runs), |rows| n(rows) > 0);
    let left = wait_for(|| ids(stopped), |rows| n(rows) == 0);
    assert_eq!(left, json!([{"n": 0}]));
    server.terminate();
    let read = |version: u64| {
        let at = format!("events={version}");
        project.run(&["query", "select event_id from events", "--at-version", &at, "--output", "json"])
    };
    assert_eq!(read(bound).expect(0).json()["rows"], json!([{"event_id": "e1"}]), "a bound version stays");
    let given_up = read(bound + 1);
    assert!(given_up.code == 2 && given_up.stdout.contains("SW0517"), "{}{}", given_up.stdout, given_up.stderr);
    let audit = project.run(&["audit", "--output", "json"]).expect(0).stdout;
    assert!(audit.contains("lifecycle_run"), "{audit}");
    project.run(&["verify", "data"]).expect(0);
}
