//! Personal fields: nowhere in the log or in a backup of it, gone when a key is destroyed, and whole after a kill.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::integrity::{data, now, verify};
use crate::quarantine::ids;
use crate::support::{Project, Server, run};

const CONTRACT: &str = "\
apiVersion: v3.2.0
kind: DataContract
id: visits
version: 1.0.0
status: active
schema:
  - name: visits
    properties:
      - {name: visit_id, logicalType: string, primaryKey: true, required: true}
      - {name: seen_at, logicalType: timestamp, required: true}
      - {name: person_id, logicalType: string, required: true}
      - {name: email, logicalType: string, required: true, classification: personal}
      - {name: born, logicalType: date, classification: pii}
      - {name: pages, logicalType: integer, required: true, logicalTypeOptions: {minimum: 0}}
    customProperties:
      - {property: seawall.eventTime, value: seen_at}
      - {property: seawall.subject, value: person_id}
";

const DECLARATIONS: &str = "\
kind: source
name: visits
http: {}
contract: visits@1
---
kind: feature_view
name: people
entity: person_id
from: visits
time: seen_at
features:
  n_7d: {count: '*', window: 7d}
";

/// What must not be found: part of every personal value that the tests send.
pub const SECRET: &str = "zanzibar";

pub fn project() -> Project {
    let project = Project::with(&[
        ("seawall.yaml", "kind: project\nname: visits\n"),
        ("contracts/visits.odcs.yaml", CONTRACT),
        ("declarations.yaml", DECLARATIONS),
    ]);
    project.run(&["apply"]).expect(0);
    project
}

fn visit(server: &Server, id: &str, person: &str, pages: i64) -> String {
    let mail = format!("{person}-{SECRET}@example.org");
    let row = json!({"visit_id": id, "seen_at": now(server), "person_id": format!("{person}-{SECRET}"),
        "email": mail, "born": "1990-02-03", "pages": pages});
    format!("{row}\n")
}

/// Files below `folder` that hold the secret.
pub fn holding(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if fs::read(&path).unwrap().windows(SECRET.len()).any(|window| window == SECRET.as_bytes()) {
                found.push(path);
            }
        }
    }
    found
}

/// Leaves a start nothing but log and tables.
fn remove_checkpoints(data: &Path) {
    for name in ["online", "state"] {
        if data.join(name).exists() {
            fs::remove_dir_all(data.join(name)).unwrap();
        }
    }
}

fn rows(project: &Project, folder: &Path, sql: &str) -> Value {
    let arguments = [
        "-C",
        project.path().to_str().unwrap(),
        "--data-dir",
        folder.to_str().unwrap(),
        "query",
        sql,
        "--output",
        "json",
    ];
    run(&arguments).expect(0).json()["rows"].clone()
}

#[test]
fn an_erased_person_is_in_no_log_no_table_and_no_backup_of_the_log() {
    let project = project();
    let kept = project.path().join("kept");
    let backup = ["backup", "create", "--to", kept.to_str().unwrap(), "--output", "json"];
    let server = project.serve(&[]);
    let body: String = [
        visit(&server, "v1", "ada", 3),
        visit(&server, "v2", "bob", 4),
        visit(&server, "v3", "ada", -1),
        "{broken zanzibar\n".to_owned(),
    ]
    .concat();
    let (status, receipt) = server.post("/v1/datasets/visits/events", &body);
    assert_eq!((status, &receipt["counts"]["quarantined"]), (200, &json!(2)), "{receipt}");
    server.folded();
    assert_eq!(holding(&data(&project).join("log")), Vec::<PathBuf>::new());
    project.run(&backup).expect(0);

    let wrong = project.run(&["erase", "email=x", "--reason", "asked for"]);
    assert!(
        wrong.code == 2 && wrong.stderr.contains("SW1610") && wrong.stderr.contains("person_id"),
        "{}",
        wrong.stderr
    );
    let person = format!("person_id=ada-{SECRET}");
    let told = project
        .run(&["erase", &person, "--reason", "asked for", "--backup", kept.to_str().unwrap(), "--output", "json"])
        .expect(0)
        .json();
    let erasure = &told["erasure"];
    assert_eq!((&erasure["keys_destroyed"], &told["copies"][0]["is_replaced"]), (&json!(1), &json!(true)), "{told}");
    let gone: Vec<(&str, u64)> = erasure["tables"]
        .as_array()
        .unwrap()
        .iter()
        .map(|table| (table["table"].as_str().unwrap(), table["rows"].as_u64().unwrap()))
        .collect();
    assert_eq!(gone, [("visits", 1), ("visits__quarantine", 1)], "{told}");
    let again = project.run(&["erase", &person, "--reason", "to be sure", "--output", "json"]).expect(0).json();
    assert_eq!((&again["erasure"]["keys_destroyed"], &again["erasure"]["tables"]), (&json!(0), &json!([])), "{again}");
    let (status, receipt) = server.post("/v1/datasets/visits/events", &visit(&server, "v4", "ada", 5));
    assert_eq!((status, &receipt["counts"]["accepted"]), (200, &json!(1)), "a new row begins anew: {receipt}");
    server.terminate();

    let folder = data(&project);
    let ids = "select visit_id from visits order by visit_id";
    assert_eq!(rows(&project, &folder, ids), json!([{"visit_id": "v2"}, {"visit_id": "v4"}]));
    let audit = project.run(&["audit", "--output", "json"]).expect(0).stdout;
    assert!(audit.contains("erasure") && audit.contains("asked for") && !audit.contains(SECRET), "{audit}");
    verify(&project).expect(0);

    // A start that has nothing but the log folds what is left of it.
    remove_checkpoints(&folder);
    let server = project.serve(&[]);
    server.folded();
    server.terminate();
    assert_eq!(rows(&project, &folder, ids), json!([{"visit_id": "v2"}, {"visit_id": "v4"}]));

    // Of the backup from before the erasure, the log opens without the person.
    let restored = project.path().join("restored");
    let restored_text = restored.to_str().unwrap();
    let from = ["--data-dir", restored_text, "restore", "--from", kept.to_str().unwrap(), "--output", "json"];
    project.run(&from).expect(0);
    project.run(&["--data-dir", restored_text, "verify", "data"]).expect(0);
    assert_eq!(holding(&restored.join("log")), Vec::<PathBuf>::new());
    remove_checkpoints(&restored);
    let server = project.serve(&["--data-dir", restored_text]);
    server.folded();
    server.terminate();
}

#[test]
fn keys_are_durable_before_rows_are_acknowledged() {
    let project = project();
    let mut acknowledged = Vec::new();
    for life in 0..4 {
        let server = project.serve(&[]);
        for number in 0..20 {
            let id = format!("v{life}-{number}");
            let (status, receipt) =
                server.post("/v1/datasets/visits/events", &visit(&server, &id, &format!("p{life}-{number}"), 1));
            assert_eq!((status, &receipt["counts"]["accepted"]), (200, &json!(1)), "{receipt}");
            acknowledged.push(id);
        }
        server.kill();
    }
    project.serve(&[]).terminate();
    let folder = data(&project);
    let found = rows(&project, &folder, "select visit_id, email from visits where email is not null order by visit_id");
    let mut found: Vec<&str> = found.as_array().unwrap().iter().map(|row| row["visit_id"].as_str().unwrap()).collect();
    found.sort_unstable();
    acknowledged.sort();
    assert_eq!(found, acknowledged);
    verify(&project).expect(0);
    assert_eq!(holding(&folder.join("log")), Vec::<PathBuf>::new());
}

#[test]
fn a_lost_ring_is_damage_and_no_erasure() {
    let project = project();
    let server = project.serve(&[]);
    server.post("/v1/datasets/visits/events", &visit(&server, "v1", "ada", 3));
    server.folded();
    server.terminate();
    let keys = data(&project).join("keys");
    let ring = fs::read(keys.join("ring")).unwrap();
    fs::write(keys.join("ring"), &ring[..64]).unwrap();
    let found = verify(&project);
    assert!(found.code == 1 && found.stdout.contains("sealed with key"), "{}", found.stdout);
    let mut flipped = ring.clone();
    flipped[130] ^= 1;
    flipped.extend_from_slice(&ring[64..]);
    fs::write(keys.join("ring"), &flipped).unwrap();
    let found = verify(&project);
    assert!(found.code == 1 && found.stdout.contains("SW1602") || found.stdout.contains("damaged"), "{}", found.stdout);
    fs::write(keys.join("ring"), &ring).unwrap();
    verify(&project).expect(0);
}

#[test]
fn what_leaves_quarantine_is_sealed_too() {
    let project = project();
    let server = project.serve(&[]);
    let body = [visit(&server, "v1", "ada", -1), visit(&server, "v2", "bob", -1)].concat();
    let (status, receipt) = server.post("/v1/datasets/visits/events", &body);
    assert_eq!((status, &receipt["counts"]["quarantined"]), (200, &json!(2)), "{receipt}");
    server.terminate();
    let stopped = ids(&project, "visits");
    let server = project.serve(&[]);
    let reason = ["--set", "pages=2", "--reason", "by hand", "--output", "json"];
    let fixed = project.run(&[&["quarantine", "fix", "visits", &stopped[0], &stopped[1]], &reason[..]].concat());
    assert_eq!(fixed.expect(0).json()["released"], json!(2));
    server.folded();
    assert_eq!(holding(&data(&project).join("log")), Vec::<PathBuf>::new());
    server.terminate();

    // A start from the log alone reads both; of the person who is erased nothing is left.
    let emails = "select email from visits order by visit_id";
    let mail = |person: &str| json!({"email": format!("{person}-{SECRET}@example.org")});
    remove_checkpoints(&data(&project));
    assert_eq!(rows(&project, &data(&project), emails), json!([mail("ada"), mail("bob")]));
    let person = format!("person_id=ada-{SECRET}");
    project.run(&["erase", &person, "--reason", "asked for"]).expect(0);
    remove_checkpoints(&data(&project));
    assert_eq!(rows(&project, &data(&project), emails), json!([mail("bob")]));
    verify(&project).expect(0);
}
