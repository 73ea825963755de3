//! Contracts by themselves, files held to them, and what a running server does about rules beyond single rows.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use seawall_base::{Clock, SystemClock};
use serde_json::{Value, json};

use crate::support::{Project, Server, run, seawall};

const ORDERS: &str = "\
apiVersion: v3.2.0
kind: DataContract
id: orders
version: 1.0.0
schema:
  - name: orders
    properties:
      - {name: id, logicalType: integer, primaryKey: true}
      - {name: email, logicalType: string, logicalTypeOptions: {pattern: '@'}}
      - name: amount
        logicalType: number
        logicalTypeOptions: {minimum: 0}
        quality:
          - {type: text, description: the amount was agreed on the phone}
          - {metric: nullValues, mustBeLessOrEqualTo: 50, unit: percent}
    quality:
      - {type: sql, id: total, query: 'SELECT sum(amount) FROM {object}', mustBeLessThan: 100}
      - {type: custom, engine: seawall, id: order, implementation: {rows: 'id < 1000'}}
";

fn file(project: &Project, name: &str, content: &str) -> String {
    let path = project.path().join(name);
    std::fs::write(&path, content).unwrap();
    path.display().to_string()
}

#[test]
fn a_contract_is_linted_by_itself() {
    let project = Project::with(&[("orders.odcs.yaml", ORDERS)]);
    let contract = project.path().join("orders.odcs.yaml").display().to_string();
    let said = run(&["contract", "lint", &contract, "--output", "json"]).expect(0).json();
    let not_executed = &said["objects"][0]["not_executed"];
    assert_eq!(not_executed.as_array().unwrap().len(), 1, "{said}");
    assert_eq!((&not_executed[0]["rule"], &not_executed[0]["line"]), (&json!("text"), &json!(14)));
    run(&["contract", "lint", &contract, "--strict"]).expect(1);
    let wrong = file(&project, "wrong.odcs.yaml", &ORDERS.replace("minimum", "minimun"));
    let said = run(&["contract", "lint", &wrong, "--output", "json"]).expect(1).json();
    assert_eq!((&said["diagnostics"][0]["line"], &said["errors"]), (&json!(12), &json!(1)), "{said}");
    assert_eq!(said["diagnostics"][0]["help"], "did you mean `minimum`?");
    run(&["contract", "lint", "nowhere.odcs.yaml"]).expect(2);
}

#[test]
fn a_file_is_held_to_a_contract() {
    let project = Project::with(&[("orders.odcs.yaml", ORDERS)]);
    let contract = project.path().join("orders.odcs.yaml").display().to_string();
    let lines = "{\"id\": 1, \"email\": \"a@b\", \"amount\": 60}\n{\"id\": 2, \"email\": \"nobody\", \"amount\": -1}\n\
                 {\"id\": 3, \"email\": \"c@d\", \"amount\": 70}\n{\"id\": 1, \"email\": \"e@f\", \"amount\": 1}\n{\"id\": \n";
    let data = file(&project, "orders.ndjson", lines);
    let bad = project.path().join("bad.ndjson");
    let said = run(&["contract", "test", &contract, &data, "--rows", bad.to_str().unwrap(), "--output", "json"]);
    let said = said.expect(1).json();
    assert_eq!((&said["rows"], &said["stopped"], &said["broken_lines"]), (&json!(4), &json!(2), &json!(1)), "{said}");
    let offending = |rule: &str| {
        let rules = said["rules"].as_array().unwrap();
        rules.iter().find(|r| r["rule"] == rule).map(|r| r["offending"].as_u64().unwrap()).unwrap()
    };
    assert_eq!([offending("pattern"), offending("minimum"), offending("key_conflict")], [1, 1, 1]);
    // The rows that are accepted: 60 and 70 and 1.
    let table: Vec<(&Value, &Value)> =
        said["table_rules"].as_array().unwrap().iter().map(|r| (&r["rule"], &r["holds"])).collect();
    assert_eq!(table, [(&json!("total"), &json!(false)), (&json!("order"), &json!(true))]);
    let rows: Vec<Value> =
        std::fs::read_to_string(bad).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 3);
    assert!(rows.iter().any(|row| row["row"] == 1 && row["reasons"].as_array().unwrap().len() == 2), "{rows:?}");

    let csv = file(&project, "orders.csv", "id,email,amount\n1,a@b,1.5\n2,b@c,NA\n3,d@e,x\n");
    let said = run(&["contract", "test", &contract, &csv, "--null", "NA", "--output", "json"]).expect(1).json();
    assert_eq!((&said["rows"], &said["stopped"]), (&json!(3), &json!(1)), "{said}");
    let good = file(&project, "good.csv", "id,email,amount\n1,a@b,1.5\n");
    let text = run(&["contract", "test", &contract, &format!("file://{good}")]).expect(0).stdout;
    assert!(text.contains("orders: 1 rows, 0 of them stopped"), "{text}");
    run(&["contract", "test", &contract, "s3://bucket/x.parquet"]).expect(2);
}

#[test]
fn several_contracts_are_linted_and_rows_come_from_standard_input() {
    let project = Project::with(&[("a.odcs.yaml", ORDERS), ("b.odcs.yaml", &ORDERS.replace("minimum", "minimun"))]);
    let [good, bad] = ["a.odcs.yaml", "b.odcs.yaml"].map(|name| project.path().join(name).display().to_string());
    let said = run(&["contract", "lint", &good, &bad, "--output", "json"]).expect(1).json();
    let files = said["files"].as_array().unwrap();
    assert_eq!(
        (&files[0]["ok"], &files[1]["ok"], &files[1]["file"]),
        (&json!(true), &json!(false), &json!(bad)),
        "{said}"
    );

    let ask = |arguments: &[&str], rows: &str| {
        let mut command = seawall();
        let mut child = command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that refuses its arguments does not read.
        let _ = child.stdin.take().unwrap().write_all(rows.as_bytes());
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let rows = "id,email,amount\n1,a@b,1.5\n";
    let (code, said) = ask(&["contract", "test", &good, "-", "--format", "csv"], rows);
    assert!(code == Some(0) && said.contains("orders: 1 rows, 0 of them stopped"), "{said}");
    assert_eq!(ask(&["contract", "test", &good, "-"], rows).0, Some(2));
    let (code, said) = ask(&["contract", "infer", "-", "--format", "csv", "--name", "people"], rows);
    assert!(code == Some(0) && said.contains("id: people"), "{said}");
    let refused = run(&["contract", "test", &good, &file(&project, "semi.csv", "id;email\n1;a@b\n")]).expect(1).stdout;
    assert!(refused.contains("no rule is judged"), "{refused}");
}

/// Asks until there is an answer.
fn wait<T>(what: &str, ask: impl Fn() -> Option<T>) -> T {
    let began = SystemClock.now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        let waited = Duration::from_micros((SystemClock.now() - began).0.unsigned_abs());
        assert!(waited < Duration::from_secs(90), "still not {what}");
        std::thread::sleep(Duration::from_millis(300));
    }
}

fn post(server: &Server, ids: std::ops::Range<u32>, email: &str) -> (u16, Value) {
    let lines: String = ids.map(|id| format!("{{\"id\": {id}, \"email\": \"{email}\", \"amount\": 1}}\n")).collect();
    server.post("/v1/datasets/orders/events", &lines)
}

#[test]
fn a_breaker_halts_and_table_rules_are_told() {
    let contract = ORDERS.replace(
        "    quality:\n      - {type: sql",
        "    customProperties: [{property: seawall.haltAbove, value: 5% in 1h}]\n    quality:\n      - {type: sql",
    );
    let project = Project::with(&[
        ("seawall.yaml", "kind: project\nname: shop\n"),
        ("contracts/orders.odcs.yaml", &contract),
        ("sources.yaml", "kind: source\nname: orders\nhttp: {}\ncontract: orders@1\n"),
    ]);
    project.run(&["apply"]).expect(0);
    let server = project.serve(&[]);
    assert_eq!(post(&server, 0..200, "a@b").0, 200);
    let outcome = wait("a table rule in the quality results", || {
        let sql = "select rule, failed from system.quality_results where mode = 'table' and rule = 'total'";
        let said = project.run(&["query", sql, "--output", "json"]).expect(0).json();
        said["rows"].as_array().and_then(|rows| rows.first().cloned())
    });
    assert_eq!(outcome["failed"], 1, "{outcome}");
    let open = |cause: &str| {
        let said = project.run(&["incident", "list", "--output", "json"]).expect(0).json();
        said["incidents"].as_array().unwrap().iter().find(|i| i["cause"] == cause).cloned()
    };
    let incident = wait("an incident about the table", || open("quality"));
    assert!(incident["summary"].as_str().unwrap().contains("must be less than 100"), "{incident}");

    assert_eq!(post(&server, 200..240, "nobody").0, 200);
    let incident = wait("an incident of the breaker", || open("breaker"));
    assert!(incident["summary"].as_str().unwrap().contains("more than 5 % may not be"), "{incident}");
    assert_eq!(post(&server, 300..301, "a@b").0, 503);
    project.run(&["quarantine", "resume", "orders"]).expect(0);
    // What was refused before the resumption does not trip it again.
    assert_eq!(post(&server, 300..301, "a@b").0, 200);
    std::thread::sleep(Duration::from_secs(12));
    assert_eq!(post(&server, 301..302, "a@b").0, 200);
}
