//! The running server: events, features, errors, tokens.

use serde_json::{Value, json};

use crate::support::{Project, Server};

fn now(server: &Server) -> String {
    let status: Value = serde_json::from_str(&server.get("/v1/status").1).unwrap();
    status["now"].as_str().unwrap().to_owned()
}

/// Waits until features hold everything that was acknowledged.
fn wait_until_folded(server: &Server) {
    for _ in 0..500 {
        let status: Value = serde_json::from_str(&server.get("/v1/status").1).unwrap();
        if status["progress"]["folded_entries"] == status["progress"]["durable_entries"] {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("features do not catch up");
}

fn event(id: &str, at: &str, amount: f64) -> String {
    format!("{{\"event_id\": \"{id}\", \"happened_at\": \"{at}\", \"user_id\": \"u1\", \"amount\": {amount}}}\n")
}

#[test]
fn a_pushed_event_is_counted_served_recorded_and_verified() {
    let project = Project::events();
    project.run(&["apply"]).expect(0);
    let server = project.serve(&[]);
    let at = now(&server);
    let (status, receipt) =
        server.post("/v1/datasets/events/events", &(event("e1", &at, 5.0) + &event("e2", &at, 7.0)));
    assert_eq!((status, &receipt["counts"]["accepted"]), (200, &json!(2)));
    let (_, repeat) = server.post("/v1/datasets/events/events", &event("e1", &at, 5.0));
    assert_eq!(repeat["counts"]["deduplicated"], 1);
    let (_, conflict) = server.post("/v1/datasets/events/events", &event("e1", &at, 6.0));
    assert_eq!(conflict["rows"][0]["reasons"][0]["rule"], "key_conflict");

    let asked = json!({"training_set": "next_amount", "rows": [{"event_id": "e9", "user_id": "u1", "amount": 3.0}]});
    let (status, answer) = server.post("/v1/features", &asked.to_string());
    assert_eq!(status, 200, "{answer}");
    let row = &answer["rows"][0];
    assert_eq!((&row["users__n_24h"], &row["users__sum_24h"], &row["doubled"]), (&json!(2), &json!(12.0), &json!(6.0)));
    assert_eq!(answer["status"][0][0], "present");
    let unknown = json!({"views": ["users@1"], "rows": [{"user_id": "nobody"}]});
    let (_, answer) = server.post("/v1/features", &unknown.to_string());
    assert_eq!(answer["views"][0]["status"][0], json!(["not_found", "not_found", "not_found"]));

    let own = json!({"training_set": "next_amount", "rows": [{"event_id": "e1", "user_id": "u1"}]});
    let (_, answer) = server.post("/v1/features", &own.to_string());
    assert_eq!(answer["rows"][0]["users__n_24h"], 1, "a row never sees itself");

    let (_, certificate) = server.post("/v1/training-sets/next_amount/verify", "");
    assert_eq!(certificate["claims"]["report"]["replayed"], 2);
    assert_eq!(certificate["claims"]["report"]["mismatched"], 0);
    let explained = json!({"view": "users@1", "feature": "sum_24h", "entity": {"user_id": "u1"}});
    let (_, explained) = server.post("/v1/features/explain", &explained.to_string());
    assert_eq!(explained["rows"].as_array().unwrap().iter().filter(|r| r["included"] == true).count(), 2);

    let metrics = server.get("/metrics").1;
    assert!(metrics.contains("seawall_rows_total{dataset=\"events\",verdict=\"accepted\"} 2"), "{metrics}");
    server.terminate();
}

#[test]
fn answers_survive_a_restart() {
    let project = Project::events();
    project.run(&["apply"]).expect(0);
    let server = project.serve(&[]);
    let at = now(&server);
    server.post("/v1/datasets/events/events", &event("e1", &at, 5.0));
    server.kill();
    let server = project.serve(&[]);
    let asked = json!({"views": ["users@1"], "rows": [{"user_id": "u1"}]}).to_string();
    assert_eq!(server.post("/v1/features", &asked).1["views"][0]["rows"][0]["sum_24h"], 5.0);
    server.terminate();
    let server = project.serve(&[]);
    assert_eq!(server.post("/v1/features", &asked).1["views"][0]["rows"][0]["sum_24h"], 5.0);
    server.terminate();
}

#[test]
fn a_second_process_is_refused_and_commands_use_the_server() {
    let project = Project::events();
    project.run(&["apply"]).expect(0);
    let server = project.serve(&[]);
    let said = project.run(&["serve", "--listen", "127.0.0.1:0"]).expect(2);
    assert!(said.stderr.contains("hint:"), "{}", said.stderr);
    let file = project.path().join("one.ndjson");
    std::fs::write(&file, event("e1", &now(&server), 5.0)).unwrap();
    project.run(&["ingest", "events", &file.display().to_string()]).expect(0);
    let got = project.run(&["features", "get", "users", "--entity", "user_id=u1", "--output", "json"]).expect(0).json();
    assert_eq!((&got["source"], &got["rows"][0]["n_24h"]), (&json!("online"), &json!(1)));
    server.terminate();
}

#[test]
fn bad_requests_are_refused_with_a_code_and_lose_nothing() {
    let project = Project::events();
    project.run(&["apply"]).expect(0);
    let server = project.serve(&[]);
    let check = |path: &str, body: &str, status: u16, code: &str| {
        let (got, answer) = server.post(path, body);
        assert_eq!((got, answer["error"]["code"].as_str()), (status, Some(code)), "{path} {body}: {answer}");
    };
    check("/v1/datasets/nope/events", "{}", 404, "SW0813");
    check("/v1/features", "{}", 400, "SW0886");
    check("/v1/features", "{\"rows\": []}", 400, "SW0892");
    check("/v1/features", "{\"views\": [\"users@1\"], \"rows\": [{\"usr\": 1}]}", 400, "SW0894");
    check("/v1/features", "{\"views\": [\"nope@1\"], \"rows\": [{\"user_id\": \"u\"}]}", 404, "SW0824");
    check("/v1/query", "{\"sql\": \"drop table events\"}", 400, "SW0521");
    check("/v1/nothing", "{}", 404, "SW0885");

    let mixed = format!("{}not json\n{{\"event_id\": 5}}\n", event("e1", &now(&server), 5.0));
    let (status, receipt) = server.post("/v1/datasets/events/events", &mixed);
    assert_eq!(status, 200);
    assert_eq!(
        receipt["counts"],
        json!({"received": 3, "accepted": 1, "quarantined": 2, "deduplicated": 0, "rejected": 0})
    );
    server.terminate();
}

#[test]
fn beyond_loopback_the_server_wants_tokens_and_tls() {
    let project = Project::events();
    project.run(&["apply"]).expect(0);
    let said = project.run(&["serve", "--listen", "0.0.0.0:0"]).expect(2);
    assert!(said.stderr.contains("SW0881") && said.stderr.contains("tokens and TLS"), "{}", said.stderr);
    let said = project.run(&["serve", "--listen", "0.0.0.0:0", "--tokens"]).expect(2);
    assert!(said.stderr.contains("without TLS"), "{}", said.stderr);
}

#[test]
fn tokens_decide_who_may_do_what() {
    let project = Project::events();
    project.run(&["apply"]).expect(0);
    let create = |role: &str| {
        let said = project.run(&["token", "create", "--name", role, "--role", role, "--output", "json"]).expect(0);
        said.json()["secret"].as_str().unwrap().to_owned()
    };
    let (service, analyst) = (create("service"), create("analyst"));
    let server = project.serve(&["--tokens"]);
    let post = |token: Option<&str>, path: &str, body: &str| {
        let mut request = ureq::post(format!("{}{path}", server.url)).config().http_status_as_error(false).build();
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let mut response = request.send(body).unwrap();
        (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
    };
    let rows = event("e1", "2026-01-01T00:00:00Z", 1.0);
    let query = "{\"sql\": \"select count(*) as n from events\"}";
    assert_eq!(post(None, "/v1/datasets/events/events", &rows).0, 401);
    assert_eq!(post(Some("sw_made_up"), "/v1/datasets/events/events", &rows).0, 403);
    assert_eq!(post(Some(&service), "/v1/datasets/events/events", &rows).0, 200);
    assert_eq!(post(Some(&analyst), "/v1/query", query).0, 200);
    let (status, refused) = post(Some(&service), "/v1/query", query);
    assert_eq!(status, 403);
    assert!(refused.contains("read_rows") && refused.contains("analyst"), "{refused}");
    assert_eq!(post(Some(&analyst), "/v1/datasets/events/events", &rows).0, 403);
    server.terminate();
}

#[test]
fn a_halted_dataset_takes_nothing_in_until_somebody_resumes_it() {
    let contract = crate::support::EVENTS_CONTRACT.replace(
        "      - {name: user_id, logicalType: string, required: true}",
        "      - name: user_id\n        logicalType: string\n        required: true\n        quality:\n          - metric: invalidValues\n            arguments: {validValues: [u1, u2]}\n            mustBe: 0\n            customProperties:\n              - {property: seawall.mode, value: halt}",
    );
    let project = Project::events();
    std::fs::write(project.path().join("contracts/events.odcs.yaml"), contract).unwrap();
    project.run(&["apply"]).expect(0);
    let server = project.serve(&[]);
    let at = now(&server);
    let stranger = event("e1", &at, 1.0).replace("u1", "stranger");
    let (status, answer) = server.post("/v1/datasets/events/events", &stranger);
    assert_eq!((status, answer["error"]["code"].as_str()), (503, Some("SW0822")), "{answer}");
    let good = event("e2", &at, 1.0);
    assert_eq!(server.post("/v1/datasets/events/events", &good).1["error"]["code"], "SW0821");
    server.kill();
    let server = project.serve(&[]);
    assert_eq!(server.post("/v1/datasets/events/events", &good).1["error"]["code"], "SW0821", "a restart remembers");
    project.run(&["quarantine", "resume", "events"]).expect(0);
    assert_eq!(server.post("/v1/datasets/events/events", &good).0, 200);
    let said = project.run(&["quarantine", "resume", "events"]).expect(2);
    assert!(said.stderr.contains("SW0823"), "{}", said.stderr);
    server.terminate();
}

#[test]
fn clients_of_feast_and_several_views_are_answered() {
    let project = Project::events();
    project.run(&["apply"]).expect(0);
    let server = project.serve(&[]);
    let at = now(&server);
    server.post("/v1/datasets/events/events", &(event("e1", &at, 5.0) + &event("e2", &at, 7.0)));
    wait_until_folded(&server);
    let asked = json!({"features": ["users:sum_24h", "users@1:n_24h"], "entities": {"user_id": ["u1", "nobody"]}});
    let (status, answer) = server.post("/get-online-features", &asked.to_string());
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["metadata"]["feature_names"], json!(["user_id", "sum_24h", "n_24h"]));
    assert_eq!(answer["results"][0]["values"], json!(["u1", "nobody"]));
    assert_eq!(answer["results"][1]["values"], json!([12.0, null]));
    assert_eq!(answer["results"][1]["statuses"], json!(["PRESENT", "NOT_FOUND"]));
    assert_eq!(answer["results"][2]["values"], json!([2, 0]));
    let service =
        json!({"feature_service": "next_amount", "entities": {"user_id": ["u1"]}, "full_feature_names": true});
    let (_, answer) = server.post("/get-online-features", &service.to_string());
    assert_eq!(answer["metadata"]["feature_names"][1], "users__n_24h", "{answer}");
    for (body, status, code) in [
        (json!({"entities": {"user_id": ["u1"]}}), 400, "SW0886"),
        (json!({"features": ["users"], "entities": {"user_id": ["u1"]}}), 400, "SW0886"),
        (json!({"features": ["users:n_24h"], "entities": {"user_id": "u1"}}), 400, "SW0886"),
        (json!({"features": ["users:n_24h"], "entities": {"usr": ["u1"]}}), 400, "SW0894"),
        (json!({"features": ["users:nope"], "entities": {"user_id": ["u1"]}}), 404, "SW0340"),
        (json!({"features": ["nope:n"], "entities": {"user_id": ["u1"]}}), 404, "SW0824"),
    ] {
        let (got, answer) = server.post("/get-online-features", &body.to_string());
        assert_eq!((got, answer["error"]["code"].as_str()), (status, Some(code)), "{body}: {answer}");
    }
    let (_, receipt) = server.post("/v1/datasets/events/events", &event("e3", &at, 1.0));
    let own = json!({"views": ["users@1"], "rows": [{"user_id": "u1"}], "after": receipt["cut"]});
    assert_eq!(
        server.post("/v1/features", &own.to_string()).1["views"][0]["rows"][0]["n_24h"],
        3,
        "own writes are read"
    );
    let nonsense = json!({"views": ["users@1"], "rows": [{"user_id": "u1"}], "after": [1]});
    assert_eq!(server.post("/v1/features", &nonsense.to_string()).1["error"]["code"], "SW0886");
    let beyond = json!({"views": ["users@1"], "rows": [{"user_id": "u1"}], "after": "0:1000000"});
    let (status, answer) = server.post("/v1/features", &beyond.to_string());
    assert_eq!((status, &answer["error"]["code"]), (503, &json!("SW0449")));
    let twice = json!({"views": ["users@1", "users@1"], "rows": [{"user_id": "u1"}]});
    let (_, answer) = server.post("/v1/features", &twice.to_string());
    assert_eq!(answer["views"][0], answer["views"][1], "views of a request share K and cut");
    server.terminate();
}
