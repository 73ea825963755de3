//! `rollback to`: rows go, features follow, and what was served of them is still proved.

use serde_json::{Value, json};

use crate::support::{Project, Server};

fn now(server: &Server) -> String {
    let status: Value = serde_json::from_str(&server.get("/v1/status").1).unwrap();
    status["now"].as_str().unwrap().to_owned()
}

fn send(server: &Server, id: &str, amount: f64) -> Value {
    let at = now(server);
    let event = json!({"event_id": id, "happened_at": at, "user_id": "u1", "amount": amount});
    let (status, receipt) = server.post("/v1/datasets/events/events", &format!("{event}\n"));
    assert_eq!(status, 200, "{receipt}");
    server.folded();
    receipt["counts"].clone()
}

fn serve(server: &Server) -> (Value, Value) {
    let asked = json!({"training_set": "next_amount", "rows": [{"event_id": "e99", "user_id": "u1", "amount": 3.0}]});
    let (status, answer) = server.post("/v1/features", &asked.to_string());
    assert_eq!(status, 200, "{answer}");
    (answer["rows"][0]["users__n_24h"].clone(), answer["rows"][0]["users__sum_24h"].clone())
}

fn ids(project: &Project, more: &[&str]) -> String {
    let mut arguments = vec!["query", "select event_id, amount from events order by 1", "--output", "json"];
    arguments.extend(more);
    project.run(&arguments).expect(0).stdout
}

fn prove(server: &Server, vectors: u64) {
    let (status, certificate) = server.post("/v1/training-sets/next_amount/verify", "");
    assert_eq!(status, 200, "{certificate}");
    let report = &certificate["claims"]["report"];
    assert_eq!((&report["replayed"], &report["mismatched"]), (&json!(vectors), &json!(0)), "{report}");
}

#[test]
fn rows_are_withdrawn_and_what_was_served_of_them_is_proved() {
    let project = Project::events();
    project.run(&["apply"]).expect(0);
    let server = project.serve(&[]);
    send(&server, "e1", 5.0);
    send(&server, "e2", 7.0);
    assert_eq!(serve(&server), (json!(2), json!(12.0)));
    server.terminate();

    let server = project.serve(&[]);
    let moment = now(&server);
    send(&server, "b1", 900.0);
    assert_eq!(serve(&server), (json!(3), json!(912.0)));
    let refused = project.run(&["rollback", "to", &moment, "--reason", "test rows", "--run"]);
    assert!(refused.code != 0 && refused.stderr.contains("SW0876"), "{}", refused.stderr);
    server.terminate();
    assert!(ids(&project, &[]).contains("b1"));

    let dry = project.run(&["rollback", "to", &moment, "--reason", "test rows", "--output", "json"]).expect(0).json();
    assert_eq!((&dry["done"], &dry["plan"]["tables"][0]["withdrawn_rows"]), (&json!(false), &json!(1)), "{dry}");
    let shown_in = dry["plan"]["tables"][0]["now"].to_string();
    assert!(ids(&project, &[]).contains("b1"), "a dry run changes nothing");
    let done = ["rollback", "to", &moment, "--reason", "test rows", "--run", "--output", "json"];
    assert_eq!(project.run(&done).expect(0).json()["done"], true);
    let left = ids(&project, &[]);
    assert!(left.contains("e1") && left.contains("e2") && !left.contains("b1"), "{left}");
    assert!(
        ids(&project, &["--at-version", &format!("events={shown_in}")]).contains("b1"),
        "time travel still shows it"
    );
    let again = project.run(&done).expect(0).json();
    assert_eq!(again["plan"]["tables"], json!([]), "nothing is left to do");

    let server = project.serve(&[]);
    assert_eq!(serve(&server), (json!(2), json!(12.0)));
    assert_eq!(send(&server, "e1", 6.0)["quarantined"], 1, "keys that stay are known");
    assert_eq!(send(&server, "b1", 9.0)["accepted"], 1, "a withdrawn key comes again");
    assert_eq!(serve(&server), (json!(3), json!(21.0)));
    prove(&server, 4);
    server.kill();

    let server = project.serve(&[]);
    assert_eq!(serve(&server), (json!(3), json!(21.0)));
    assert_eq!(send(&server, "b1", 900.0)["quarantined"], 1, "the corrected row is the one that is known");
    prove(&server, 5);
    server.terminate();
    let left = ids(&project, &[]);
    assert!(left.contains("b1") && !left.contains("900"), "{left}");
}

#[test]
fn declarations_come_back_and_the_reason_is_on_record() {
    let project = Project::events();
    project.run(&["apply"]).expect(0);
    let revision = || project.run(&["status", "--output", "json"]).expect(0).json()["revision"].clone();
    let first = revision();
    let server = project.serve(&[]);
    let moment = now(&server);
    server.terminate();
    let file = project.path().join("declarations.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("window: 24h}\n  sum", "window: 12h}\n  sum")).unwrap();
    project.run(&["apply"]).expect(0);
    let second = revision();
    assert_ne!(first, second);

    let back = ["rollback", "to", &moment, "--reason", "counts are too low", "--run"];
    project.run(&back).expect(0);
    assert_eq!(revision(), first);
    let reason = project.run(&["audit", "--limit", "20", "--output", "json"]).expect(0).stdout;
    assert!(reason.contains("counts are too low"), "{reason}");

    let prefix = second.as_str().unwrap()[..8].to_owned();
    project.run(&["rollback", "revision", &prefix, "--reason", "they were right"]).expect(0);
    assert_eq!(revision(), second);
    let unknown = project.run(&["rollback", "revision", "0000", "--reason", "typo"]);
    assert!(unknown.code == 2 && unknown.stderr.contains("SW0685"), "{}", unknown.stderr);
    let early = project.run(&["rollback", "to", "2001-01-01T00:00:00Z", "--reason", "too early"]);
    assert!(early.code == 2 && early.stderr.contains("SW0877"), "{}", early.stderr);
    let future = project.run(&["rollback", "to", "2999-01-01T00:00:00Z", "--reason", "too late"]);
    assert!(future.code == 2 && future.stderr.contains("SW0874"), "{}", future.stderr);
}
