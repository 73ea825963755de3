//! The form of answers: Arrow for who asks for it, JSON for everybody else, and time travel.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type};
use arrow::ipc::reader::StreamReader;
use serde_json::json;

use crate::support::{Project, Server};

const ARROW: &str = "application/vnd.apache.arrow.stream";

/// Posts a body and asks for Arrow: the only batch of the answer, with the schema's metadata.
fn arrow(server: &Server, path: &str, body: &serde_json::Value) -> RecordBatch {
    let request = ureq::post(format!("{}{path}", server.url)).header("accept", ARROW);
    let mut response = request.send(&body.to_string()).unwrap();
    assert_eq!(response.headers()["content-type"], ARROW);
    let bytes = response.body_mut().read_to_vec().unwrap();
    let reader = StreamReader::try_new(bytes.as_slice(), None).unwrap();
    let mut batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    assert_eq!(batches.len(), 1);
    batches.remove(0)
}

fn told<'a>(batch: &'a RecordBatch, key: &str) -> Option<&'a str> {
    batch.schema_ref().metadata().get(key).map(String::as_str)
}

#[test]
fn features_and_queries_come_as_arrow_when_asked() {
    let project = Project::events();
    project.run(&["apply"]).expect(0);
    let server = project.serve(&[]);
    let status: serde_json::Value = serde_json::from_str(&server.get("/v1/status").1).unwrap();
    let now = status["now"].as_str().unwrap();
    let event = json!({"event_id": "e1", "happened_at": now, "user_id": "u1", "amount": 5.0});
    server.post("/v1/datasets/events/events", &event.to_string());
    server.folded();

    let rows = json!([{"event_id": "e9", "user_id": "u1", "amount": 3.0}]);
    let vectors = arrow(&server, "/v1/features", &json!({"training_set": "next_amount", "rows": rows}));
    assert_eq!(vectors["users__sum_24h"].as_primitive::<Float64Type>().value(0), 5.0);
    assert_eq!(vectors["_status"].as_list::<i32>().value(0).as_string::<i32>().value(0), "present");
    assert_eq!(told(&vectors, "seawall.features"), Some(r#"["users__n_24h","users__sum_24h","users__last_amount"]"#));
    assert!(told(&vectors, "seawall.cut").unwrap().starts_with("0:") && told(&vectors, "seawall.known_at").is_some());

    let rows = json!([{"user_id": "nobody"}]);
    let values = arrow(&server, "/v1/features", &json!({"views": ["users@1"], "rows": rows}));
    assert_eq!(values["_status"].as_list::<i32>().value(0).as_string::<i32>().value(2), "not_found");
    assert_eq!(told(&values, "seawall.source"), Some("online"));

    let counted = arrow(&server, "/v1/query", &json!({"sql": "select 7 as n", "rows_max": null}));
    assert_eq!(counted["n"].as_primitive::<Int64Type>().value(0), 7);
    assert_eq!(
        (told(&counted, "seawall.truncated"), told(&counted, "seawall.degraded").is_some()),
        (Some("false"), true)
    );
    assert!(told(&counted, "seawall.cut").is_some() && told(&counted, "seawall.staleness_ms").is_some());
    server.terminate();
}

#[test]
fn a_query_says_how_many_rows_it_wants_and_of_which_version() {
    let project = Project::events();
    project.run(&["apply"]).expect(0);
    let server = project.serve(&[]);
    let ask = |body: serde_json::Value| {
        let (status, answer) = server.post("/v1/query", &body.to_string());
        assert_eq!(status, 200, "{answer}");
        (answer["rows"].as_array().unwrap().len(), answer["truncated"].as_bool().unwrap())
    };
    let many = "select * from generate_series(1, 1500)";
    assert_eq!(ask(json!({"sql": many})), (1000, true));
    assert_eq!(ask(json!({"sql": many, "rows_max": 7})), (7, true));
    assert_eq!(ask(json!({"sql": many, "rows_max": null})), (1500, false));

    let build = || server.post("/v1/training-sets/next_amount/build", "").1;
    let before = build();
    let event = json!({"event_id": "e1", "happened_at": "2026-01-01T00:00:00Z", "user_id": "u1", "amount": 5.0});
    server.post("/v1/datasets/events/events", &event.to_string());
    let after = build();
    assert!(after["elapsed_ms"].as_u64().unwrap() >= after["engine_ms"].as_u64().unwrap());
    let at = |version: &serde_json::Value| {
        let versions = json!({"next_amount__training_set": version});
        ask(json!({"sql": "select * from next_amount__training_set", "versions": versions})).0
    };
    assert_eq!((at(&before["version"]), at(&after["version"])), (0, 1));
    let known: serde_json::Value = serde_json::from_str(&server.get("/v1/training-sets/next_amount").1).unwrap();
    assert_eq!((&known["key"], known["builds"].as_array().unwrap().len()), (&json!(["event_id"]), 2));
    assert_eq!(known["builds"][1]["fingerprint"], after["fingerprint"]);
    let diff = |from: &serde_json::Value, until: &serde_json::Value| {
        let (status, told) = server.get(&format!("/v1/training-sets/next_amount/diff?from={from}&until={until}"));
        (status, serde_json::from_str::<serde_json::Value>(&told).unwrap())
    };
    let (status, told) = diff(&before["version"], &after["version"]);
    assert_eq!((status, &told["equal"]), (200, &json!(false)), "{told}");
    assert_eq!(told["rows"], json!({"from": 0, "until": 1, "gone": 0, "new": 1, "changed": 0}));
    assert_eq!(told["made_of"][0]["what"], "input events");
    assert_eq!(diff(&after["version"], &after["version"]).1["equal"], true);
    let (status, unknown) = diff(&after["version"], &json!(77));
    assert_eq!((status, &unknown["error"]["code"]), (404, &json!("SW0812")), "{unknown}");
    let versions = [before["version"].to_string(), after["version"].to_string()];
    let words = ["training-set", "diff", "next_amount", &versions[0], &versions[1], "--exit-code"];
    let said = project.run(&words).expect(3);
    assert!(said.stdout.contains("1 new"), "{}", said.stdout);
    let (status, refused) = server.post("/v1/query", &json!({"sql": many, "rows_max": "all"}).to_string());
    assert_eq!((status, &refused["error"]["code"]), (400, &json!("SW0886")));
    server.terminate();
}
