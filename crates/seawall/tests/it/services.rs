//! Feature services: served by name, derived from each other and from the request, recorded beside the answer, and equal to
//! what tables give, through restarts, new versions and erasures.

use seawall_base::{Rng, SeededRng};
use serde_json::{Value, json};

use crate::support::{EVENTS_CONTRACT, EVENTS_DECLARATIONS, Project, Server, run};

const SERVICE: &str = "\
---
kind: feature_view
name: notes
entity: note
from: events
time: happened_at
features:
  n_7d: {count: \"*\", window: 7d}
---
kind: feature_service
name: risk
features:
  - {view: users@1, only: [sum_24h, n_24h]}
  - {view: notes@1, entity: {note: topic}}
request: {amount: double}
derived:
  surprise: share - 1.0 / users__n_24h
  share: amount / users__sum_24h
  whole: 10 / (users__n_24h - 2)
  text: topic || ':' || cast(notes__n_7d as varchar)
budget: 10s
log: all
---
kind: training_set
name: by_service
rows: {from: events, at: happened_at}
label: {from: events, join: event_id, column: amount}
service: risk@1
context: {topic: note}
";

fn declarations() -> String {
    format!("{EVENTS_DECLARATIONS}{SERVICE}")
}

fn project(declarations: &str) -> Project {
    let contract = EVENTS_CONTRACT
        .replace("    customProperties:", "      - {name: note, logicalType: string}\n    customProperties:");
    let project = Project::with(&[
        ("seawall.yaml", "kind: project\nname: events\n"),
        ("contracts/events.odcs.yaml", &contract),
        ("declarations.yaml", declarations),
    ]);
    project.run(&["apply"]).expect(0);
    project
}

fn status(server: &Server) -> Value {
    serde_json::from_str(&server.get("/v1/status").1).unwrap()
}

fn now(server: &Server) -> String {
    status(server)["now"].as_str().unwrap().to_owned()
}

fn send(server: &Server, id: &str, user: &str, amount: f64, note: &str) {
    let at = now(server);
    let row = json!({"event_id": id, "happened_at": at, "user_id": user, "amount": amount, "note": note});
    let (code, receipt) = server.post("/v1/datasets/events/events", &format!("{row}\n"));
    assert_eq!((code, &receipt["counts"]["accepted"]), (200, &json!(1)), "{receipt}");
}

fn ask(server: &Server, service: &str, rows: &Value) -> (u16, Value) {
    server.post("/v1/features", &json!({"service": service, "rows": rows}).to_string())
}

/// Replays everything that a service recorded: how many vectors, and how many of them differ.
fn replayed(server: &Server, service: &str) -> (u64, u64) {
    let (code, certificate) = server.post(&format!("/v1/feature-services/{service}/verify"), "");
    assert_eq!(code, 200, "{certificate}");
    let report = &certificate["claims"]["report"];
    (report["replayed"].as_u64().unwrap(), report["mismatched"].as_u64().unwrap())
}

#[test]
fn a_service_is_one_answer_with_what_is_derived() {
    let project = project(&declarations());
    let server = project.serve(&[]);
    send(&server, "e1", "u1", 5.0, "a");
    send(&server, "e2", "u1", 7.0, "a");
    send(&server, "e3", "u2", 2.0, "b");
    server.folded();
    let rows = json!([
        {"user_id": "u1", "topic": "a", "amount": 6},
        {"user_id": "u2", "topic": "b"},
        {"user_id": "nobody", "topic": "a", "amount": 1.5},
    ]);
    let (code, answer) = ask(&server, "risk", &rows);
    assert_eq!((code, &answer["service"]), (200, &json!("risk@1")), "{answer}");
    assert_eq!(
        answer["rows"],
        json!([
            {"users__sum_24h": 12.0, "users__n_24h": 2, "notes__n_7d": 2,
             "surprise": 0.0, "share": 0.5, "whole": null, "text": "a:2"},
            {"users__sum_24h": 2.0, "users__n_24h": 1, "notes__n_7d": 1,
             "surprise": null, "share": null, "whole": -10, "text": "b:1"},
            {"users__sum_24h": null, "users__n_24h": 0, "notes__n_7d": 2,
             "surprise": null, "share": null, "whole": -5, "text": "a:2"},
        ]),
        "{answer}"
    );
    let statuses: Vec<Vec<&str>> = answer["status"].as_array().unwrap().iter().map(|row| texts(row)).collect();
    assert_eq!(statuses[0], ["present", "present", "present", "present", "present", "null", "present"]);
    assert_eq!(statuses[1][3..], ["missing_input", "missing_input", "present", "present"]);
    assert_eq!(
        statuses[2],
        ["not_found", "not_found", "present", "missing_input", "missing_input", "present", "present"]
    );

    // Feast's words, with what the request tells among the entities.
    let entities = json!({"user_id": ["u1", "u2"], "topic": ["a", "b"], "amount": [6.0, null]});
    let body = json!({"feature_service": "risk", "entities": entities}).to_string();
    let (code, answer) = server.post("/get-online-features", &body);
    let names = texts(&answer["metadata"]["feature_names"]);
    let features = ["sum_24h", "n_24h", "n_7d", "surprise", "share", "whole", "text"];
    assert_eq!((code, &names[3..]), (200, &features[..]), "{answer}");
    assert_eq!(answer["results"][7]["values"], json!([0.5, null]), "{answer}");
    assert_eq!(answer["results"][7]["statuses"], json!(["PRESENT", "NULL_VALUE"]), "{answer}");
    // A name that is only a training set's still means its features.
    let body = json!({"feature_service": "next_amount", "entities": {"user_id": ["u1"]}}).to_string();
    assert_eq!(server.post("/get-online-features", &body).1["results"][2]["values"], json!([12.0]));

    assert_eq!(replayed(&server, "risk@1"), (5, 0));
    // The training set is served and built with the same expressions.
    let asked = json!({"training_set": "by_service", "rows": [
        {"event_id": "e4", "user_id": "u1", "amount": 6.0, "note": "a"},
        {"event_id": "e5", "user_id": "u2", "amount": 1.0}]});
    let (code, answer) = server.post("/v1/features", &asked.to_string());
    assert_eq!(
        (code, &answer["rows"][0]["text"], &answer["rows"][0]["share"]),
        (200, &json!("a:2"), &json!(0.5)),
        "{answer}"
    );
    assert_eq!(
        answer["status"][1],
        json!(["present", "present", "not_found", "present", "present", "present", "missing_input"])
    );
    let (_, certificate) = server.post("/v1/training-sets/by_service/verify", "");
    assert_eq!(certificate["claims"]["report"]["mismatched"], 0, "{certificate}");
    assert_eq!(certificate["claims"]["report"]["replayed"], 2, "{certificate}");

    let metrics = server.get("/metrics").1;
    for line in [
        "seawall_feature_service_answer_microseconds_count{service=\"risk@1\"} 2",
        "seawall_feature_service_over_budget_total{service=\"risk@1\"} 0",
        "seawall_feature_service_vectors_total{service=\"risk@1\",outcome=\"recorded\"} 5",
        "seawall_feature_service_vectors_total{service=\"risk@1\",outcome=\"shed\"} 0",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    let told = &status(&server)["feature_services"][0];
    assert_eq!(
        (&told["service"], &told["log"], &told["counts"]["answers"]),
        (&json!("risk@1"), &json!("all"), &json!(2))
    );
    server.terminate();

    // Without a server, and of the past.
    let vector = ["features", "vector", "risk", "--value", "user_id=u1", "--value", "topic=a", "--value", "amount=6"];
    let said = project.run(&vector).expect(0).stdout;
    assert!(said.contains("risk@1 known at") && said.contains("share") && said.contains("0.5"), "{said}");
    let before = [&vector[..], &["--at", "2020-01-01T00:00:00Z", "--output", "json"]].concat();
    let answer = project.run(&before).expect(0).json();
    assert_eq!((&answer["source"], &answer["rows"][0]["users__n_24h"]), (&json!("tables"), &json!(0)), "{answer}");
    let verified = project.run(&["verify", "skew", "risk@1", "--output", "json"]).expect(0).json();
    assert_eq!((&verified["skew"]["replayed"], &verified["skew"]["mismatched"]), (&json!(6), &json!(0)), "{verified}");
    let listed = project.run(&["features", "list"]).expect(0).stdout;
    assert!(listed.contains("risk@1 asked with user_id (Utf8), topic (Utf8), amount (Float64)"), "{listed}");
    let made_of = project.run(&["lineage", "risk@1", "--column", "surprise"]).expect(0).stdout;
    assert!(made_of.contains("risk@1.surprise  <-  risk@1.share   (derived)"), "{made_of}");
    assert!(made_of.contains("users@1.sum_24h  <-  events.amount"), "{made_of}");
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

#[test]
fn a_changed_service_is_a_new_version_and_the_bound_one_goes_on() {
    let project = project(&declarations());
    let file = project.path().join("declarations.yaml");
    let change = |from: &str, to: &str| {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{from}");
        std::fs::write(&file, text.replacen(from, to, 1)).unwrap();
    };
    change("budget: 10s", "budget: 1us");
    let plan = project.run(&["plan"]).expect(0).stdout;
    assert!(plan.contains("~ feature_service risk@1: budget: 10s -> 1us"), "{plan}");
    change("share: amount / users__sum_24h", "share: amount / (users__sum_24h + amount)");
    let plan = project.run(&["plan"]).expect(0).stdout;
    assert!(plan.contains("~ feature_service risk@2:") && plan.contains("derived.share.sql"), "{plan}");
    project.run(&["apply"]).expect(0);
    let server = project.serve(&[]);
    send(&server, "e1", "u1", 4.0, "a");
    server.folded();
    let rows = json!([{"user_id": "u1", "topic": "a", "amount": 4.0}]);
    for (service, id, share) in [("risk", "risk@2", 0.5), ("risk@1", "risk@1", 1.0), ("risk@2", "risk@2", 0.5)] {
        let (_, answer) = ask(&server, service, &rows);
        assert_eq!((&answer["service"], &answer["rows"][0]["share"]), (&json!(id), &json!(share)), "{answer}");
    }
    assert_eq!((replayed(&server, "risk@1"), replayed(&server, "risk@2")), ((1, 0), (2, 0)));
    let told = &status(&server)["feature_services"];
    assert_eq!((&told[1]["budget"], &told[1]["counts"]["over_budget"]), (&json!("1us"), &json!(2)), "{told}");
    server.terminate();
    let table =
        project.run(&["query", "select count(*) as n from risk__v2__served", "--output", "json"]).expect(0).json();
    assert_eq!(table["rows"][0]["n"], 2, "{table}");
}

#[test]
fn what_is_asked_wrongly_is_told() {
    let project = project(&declarations().replace("log: all", "log: none"));
    let server = project.serve(&[]);
    let row = json!([{"user_id": "u1", "topic": "a", "amount": 1.0}]);
    let check = |body: &Value, code: &str, part: &str| {
        let (_, answer) = server.post("/v1/features", &body.to_string());
        let text = answer["error"].to_string();
        assert!(text.contains(code) && text.contains(part), "{body}: {answer}");
    };
    check(&json!({"service": "risks", "rows": row}), "SW0845", "risk@1");
    check(&json!({"service": "risk@9", "rows": row}), "SW0845", "risk@1");
    check(&json!({"service": "risk", "views": ["users@1"], "rows": row}), "SW0892", "one of them");
    check(&json!({"service": "risk", "rows": [{"user_id": "u1"}]}), "SW0817", "topic");
    check(&json!({"service": "risk", "rows": [{"user_id": "u1", "topic": "a", "mount": 1}]}), "SW0894", "amount");
    check(&json!({"service": "risk", "rows": [{"user_id": "u1", "topic": "a", "amount": "x"}]}), "SW0895", "type");
    let (code, answer) = server.post("/v1/feature-services/risk/verify", "");
    assert_eq!((code, &answer["error"]["code"]), (400, &json!("SW0856")), "{answer}");
    let body = json!({"feature_service": "risks", "entities": {"user_id": ["u1"]}}).to_string();
    assert!(server.post("/get-online-features", &body).1["error"].to_string().contains("SW0845"));
    server.terminate();

    let wrong = |from: &str, to: &str, code: &str| {
        let text = declarations();
        assert!(text.contains(from), "{from}");
        let file = project.path().join("declarations.yaml");
        std::fs::write(file, text.replacen(from, to, 1)).unwrap();
        let said = project.run(&["plan"]);
        assert!(said.code != 0 && format!("{}{}", said.stdout, said.stderr).contains(code), "{}", said.stderr);
    };
    wrong("amount / users__sum_24h", "amount / users__sum_25h", "SW0187");
    wrong("amount / users__sum_24h", "amount * random()", "SW0185");
    // What only the engine knows, and what a version brings.
    wrong("amount / users__sum_24h", "nothing_of_the_kind(amount)", "SW05");
    wrong("amount / users__sum_24h", "sum(amount)", "SW0");
    wrong("service: risk@1\ncontext: {topic: note}", "service: risk@1", "SW0854");
    wrong("context: {topic: note}", "context: {topic: note, amount: \"cast(amount as bigint)\"}", "SW0854");
    wrong("service: risk@1\n", "service: risk@2\n", "SW0686");
}

/// Requests of a random order, among events that are decided on as they come, through a kill: everything that was recorded
/// replays to the bit, a share takes the same rows again, and a training set of today holds what was served.
#[test]
fn what_was_recorded_replays_bit_by_bit_and_a_share_takes_the_same_rows_again() {
    let text = declarations().replace("log: all", "log: 40%");
    let project = project(&text);
    let rng = SeededRng::new(20_26);
    let pick = |n: u64| {
        let mut bytes = [0; 8];
        rng.fill(&mut bytes);
        u64::from_le_bytes(bytes) % n
    };
    let mut server = project.serve(&[]);
    let mut asked: Vec<Value> = Vec::new();
    let mut decided = 0;
    for step in 0..120u64 {
        let (user, topic) = (format!("u{}", pick(5)), format!("t{}", pick(3)));
        if pick(3) == 0 {
            let (id, amount) = (format!("e{step}"), pick(1000) as f64 / 7.0);
            server.folded();
            let at = now(&server);
            let row = json!({"event_id": id, "happened_at": at, "user_id": user, "amount": amount, "note": topic});
            let body = json!({"training_set": "by_service", "at": at, "rows": [row]}).to_string();
            assert_eq!(server.post("/v1/features", &body).0, 200);
            assert_eq!(server.post("/v1/datasets/events/events", &format!("{row}\n")).0, 200);
            decided += 1;
            continue;
        }
        let mut row = json!({"user_id": user, "topic": topic});
        if pick(5) > 0 {
            row["amount"] = json!(pick(100) as f64 / 3.0);
        }
        asked.push(row.clone());
        assert_eq!(ask(&server, "risk", &json!([row])).0, 200);
        if step == 60 {
            // The queue is empty afterwards, so that the kill takes no record with it.
            replayed(&server, "risk");
            server.kill();
            server = project.serve(&[]);
        }
    }
    let (first, mismatched) = replayed(&server, "risk");
    assert_eq!(mismatched, 0);
    let share = first as f64 / asked.len() as f64;
    assert!((0.2..0.6).contains(&share), "{first} of {}", asked.len());
    assert_eq!(ask(&server, "risk", &json!(asked)).0, 200);
    assert_eq!(replayed(&server, "risk"), (2 * first, 0), "the same rows are taken again");
    let (_, certificate) = server.post("/v1/training-sets/by_service/verify", "");
    let report = &certificate["claims"]["report"];
    assert_eq!((&report["replayed"], &report["mismatched"]), (&json!(decided), &json!(0)), "{report}");
    assert_eq!((&report["parity_compared"], &report["parity_differing"]), (&json!(decided), &json!(0)), "{report}");
    let counts = &status(&server)["feature_services"][0]["counts"];
    assert_eq!((&counts["shed"], &counts["failed"]), (&json!(0), &json!(0)), "{counts}");
    server.terminate();
}

#[test]
fn an_erased_person_is_in_no_recorded_vector() {
    let project = crate::privacy::project();
    let service = "kind: feature_service\nname: visitors\nfeatures: [people@1]\nlog: all\n";
    let file = project.path().join("service.yaml");
    std::fs::write(&file, service.replace("[people@1]", "[{view: people@1, entity: {person_id: who}}]")).unwrap();
    let said = project.run(&["plan"]);
    assert!(said.code != 0 && said.stderr.contains("SW0855") && said.stderr.contains("person_id"), "{}", said.stderr);
    std::fs::write(&file, service).unwrap();
    project.run(&["apply"]).expect(0);
    let server = project.serve(&[]);
    for person in ["ada", "bob"] {
        let row = json!([{"person_id": format!("{person}-{}", crate::privacy::SECRET)}]);
        assert_eq!(ask(&server, "visitors", &row).0, 200);
    }
    assert_eq!(replayed(&server, "visitors"), (2, 0));
    let data = crate::integrity::data(&project);
    assert_eq!(crate::privacy::holding(&data.join("log")), Vec::<std::path::PathBuf>::new());
    server.terminate();
    let ada = format!("person_id=ada-{}", crate::privacy::SECRET);
    let erased = project.run(&["erase", &ada, "--reason", "asked for", "--output", "json"]).expect(0).json();
    assert!(erased.to_string().contains("visitors__v1__served"), "{erased}");
    let data = data.to_str().unwrap();
    let rows = run(&["--data-dir", data, "query", "select person_id from visitors__v1__served", "--output", "json"]);
    assert_eq!(rows.expect(0).json()["rows"].as_array().unwrap().len(), 1);
}
