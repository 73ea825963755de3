//! Conditions and expressions of features: the same values where events are folded and where tables are swept, also for
//! rows for which an expression fails.

use serde_json::{Value, json};

use crate::support::{EVENTS_CONTRACT, EVENTS_DECLARATIONS, Project, Server};

/// `note` is text that is sometimes a number; `10 / note` fails for "0" and for text.
const VIEW: &str = "\
---
kind: feature_view
name: shares
entity: user_id
from: events
time: happened_at
features:
  n_large: {count: \"*\", where: amount > 6, window: 24h}
  sum_tenths: {sum: 10 / cast(note as bigint), window: 24h}
  large_share: {ratio: {count: \"*\", where: amount > 6}, to: {count: \"*\"}, window: 24h}
  per_hour: {rate: \"*\", per: 1h, window: 24h, edge: exact}
  latest_large: {latest: note, where: amount > 6}
  since_first: {time_since_first: \"*\"}
  n_ever: {count: \"*\", window: lifetime}
  spread: {stddev: amount, window: 24h}
";

fn project() -> Project {
    let contract = EVENTS_CONTRACT
        .replace("    customProperties:", "      - {name: note, logicalType: string}\n    customProperties:");
    let declarations = EVENTS_DECLARATIONS.replace("features: [users@1]", "features: [users@1, shares@1]");
    Project::with(&[
        ("seawall.yaml", "kind: project\nname: events\n"),
        ("contracts/events.odcs.yaml", &contract),
        ("declarations.yaml", &format!("{declarations}{VIEW}")),
    ])
}

fn now(server: &Server) -> String {
    let status: Value = serde_json::from_str(&server.get("/v1/status").1).unwrap();
    status["now"].as_str().unwrap().to_owned()
}

fn event(id: &str, at: &str, amount: f64, note: &str) -> String {
    let row = json!({"event_id": id, "happened_at": at, "user_id": "u1", "amount": amount, "note": note});
    format!("{row}\n")
}

fn served(server: &Server) -> Value {
    let asked = json!({"views": ["shares@1"], "rows": [{"user_id": "u1"}]}).to_string();
    server.post("/v1/features", &asked).1["views"][0].clone()
}

#[test]
fn what_is_computed_of_rows_is_the_same_on_both_sides_and_after_a_restart() {
    let project = project();
    project.run(&["apply"]).expect(0);
    let server = project.serve(&[]);
    let at = now(&server);
    let rows = [event("e1", &at, 5.0, "5"), event("e2", &at, 7.0, "0"), event("e3", &at, 8.0, "much")].concat();
    server.post("/v1/datasets/events/events", &rows);
    server.post("/v1/datasets/events/events", &event("e4", &at, 9.0, "2"));
    server.folded();

    let answer = served(&server);
    let row = &answer["rows"][0];
    assert_eq!((&row["n_large"], &row["n_ever"]), (&json!(3), &json!(4)), "{answer}");
    // 10/5 and 10/2; the rows that cannot be divided by count for nothing, and stop nothing.
    assert_eq!(row["sum_tenths"], 7, "{answer}");
    assert_eq!((&row["large_share"], &row["latest_large"]), (&json!(0.75), &json!("2")), "{answer}");
    assert_eq!(row["per_hour"], json!(4.0 / 24.0));

    // Served vectors replay from the tables bit by bit, and a training set holds the same.
    let asked = json!({"training_set": "next_amount", "rows": [{"event_id": "e9", "user_id": "u1", "amount": 3.0}]});
    let (status, answer) = server.post("/v1/features", &asked.to_string());
    assert_eq!((status, &answer["rows"][0]["shares__sum_tenths"]), (200, &json!(7)), "{answer}");
    let (_, certificate) = server.post("/v1/training-sets/next_amount/verify", "");
    assert_eq!(certificate["claims"]["report"]["replayed"], 1, "{certificate}");
    assert_eq!(certificate["claims"]["report"]["mismatched"], 0, "{certificate}");
    let explained = json!({"view": "shares@1", "feature": "n_large", "entity": {"user_id": "u1"}});
    let (_, explained) = server.post("/v1/features/explain", &explained.to_string());
    let why: Vec<&str> = explained["rows"].as_array().unwrap().iter().map(|r| r["why"].as_str().unwrap()).collect();
    assert_eq!(why, ["its `where` is not true", "in the window", "in the window", "in the window"], "{explained}");
    server.kill();

    let server = project.serve(&[]);
    server.folded();
    assert_eq!(served(&server)["rows"][0]["sum_tenths"], 7);
    server.terminate();
    project.run(&["verify", "data"]).expect(0);
    let listed = project.run(&["features", "list"]).expect(0).stdout;
    assert!(listed.contains("number of rows where amount > 6"), "{listed}");
    let built = project.run(&["training-set", "build", "next_amount", "--output", "json"]).expect(0).json();
    assert_eq!(built["fingerprint"]["rows"], 4, "{built}");
}

#[test]
fn wrong_expressions_are_told_where_they_stand() {
    let wrong = |from: &str, to: &str, command: &str, code: &str| {
        let project = project();
        let file = project.path().join("declarations.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(from));
        std::fs::write(&file, text.replacen(from, to, 1)).unwrap();
        let said = project.run(&[command]);
        assert!(said.code != 0 && format!("{}{}", said.stdout, said.stderr).contains(code), "{}", said.stderr);
    };
    wrong("where: amount > 6", "where: amont > 6", "check", "declarations.yaml");
    wrong("where: amount > 6", "where: amont > 6", "check", "SW0135");
    wrong("where: amount > 6", "where: amount > random()", "check", "SW0185");
    // What only the engine knows: types and functions.
    wrong("where: amount > 6", "where: amount + 1", "plan", "SW0309");
    wrong("where: amount > 6", "where: nothing_of_the_kind(amount) > 1", "plan", "SW05");
    wrong("sum: 10 / cast(note as bigint)", "sum: lower(note)", "plan", "SW0301");
    wrong("sum: 10 / cast(note as bigint)", "sum: sum(amount) * 2", "plan", "SW0308");
}
