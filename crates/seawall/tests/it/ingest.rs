//! Taking events in: keys of requests across crashes, verdicts, limits, clients that misbehave.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::support::{Project, Server};

/// Without a primary key only the key of a request tells a repeat.
const CONTRACT: &str = "\
apiVersion: v3.2.0
kind: DataContract
id: clicks
version: 1.0.0
name: Clicks
status: active
schema:
  - name: clicks
    properties:
      - {name: n, logicalType: integer, required: true, logicalTypeOptions: {minimum: 0}}
";

const SOURCE: &str = "\
kind: source
name: clicks
http: {}
contract: clicks@1
";

const PATH: &str = "/v1/datasets/clicks/events";

fn clicks() -> Project {
    let project = Project::with(&[
        ("seawall.yaml", "kind: project\nname: clicks\n"),
        ("contracts/clicks.odcs.yaml", CONTRACT),
        ("source.yaml", SOURCE),
    ]);
    project.run(&["apply"]).expect(0);
    project
}

struct Answer {
    status: u16,
    replayed: bool,
    retry_after: bool,
    body: Value,
}

fn post(server: &Server, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut request = ureq::post(format!("{}{path}", server.url)).config().http_status_as_error(false).build();
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut response = request.send(body).expect("the server answers");
    let replayed = response.headers().contains_key("idempotency-replayed");
    let retry_after = response.headers().contains_key("retry-after");
    let text = response.body_mut().read_to_string().unwrap();
    let body = serde_json::from_str(&text).unwrap_or_else(|_| panic!("not JSON: {text}"));
    Answer { status: response.status().as_u16(), replayed, retry_after, body }
}

fn metric(server: &Server, name: &str) -> u64 {
    let metrics = server.get("/metrics").1;
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}: {metrics}"));
    line.trim().parse().unwrap()
}

fn count(project: &Project) -> Value {
    let sql = "select count(*) as n, count(distinct n) as ids from clicks";
    project.run(&["query", sql, "--output", "json"]).expect(0).json()["rows"][0].clone()
}

#[test]
fn a_key_is_answered_again_after_a_crash_and_belongs_to_one_body() {
    let project = clicks();
    let server = project.serve(&[]);
    let key = [("idempotency-key", "batch-1")];
    let body = b"{\"n\": 1}\n{\"n\": -1}\nno json\n";
    let first = post(&server, PATH, &key, body);
    assert_eq!((first.status, first.replayed), (200, false), "{}", first.body);
    assert_eq!(first.body["counts"]["quarantined"], 2);
    let again = post(&server, PATH, &key, body);
    assert_eq!((again.status, again.replayed, &again.body), (200, true, &first.body));
    assert_eq!(metric(&server, "seawall_ingest_repeated_total "), 1);
    server.kill();

    let server = project.serve(&[]);
    let again = post(&server, PATH, &key, body);
    assert_eq!((again.replayed, &again.body), (true, &first.body), "the receipt and its cut survive");
    let other = post(&server, PATH, &key, b"{\"n\": 2}\n");
    assert_eq!((other.status, other.body["error"]["code"].as_str()), (422, Some("SW1204")));
    let bad = post(&server, PATH, &[("idempotency-key", "two words")], body);
    assert_eq!((bad.status, bad.body["error"]["code"].as_str()), (400, Some("SW1203")));
    let status: Value = serde_json::from_str(&server.get("/v1/status").1).unwrap();
    assert_eq!(status["datasets"]["clicks"]["counts"]["received"], 3, "a repeat is not counted again");
    server.terminate();
    assert_eq!(count(&project), json!({"n": 1, "ids": 1}));
}

#[test]
fn every_verdict_is_told_on_request_and_a_long_list_is_cut() {
    let project = clicks();
    let server = project.serve(&[]);
    let mixed = b"{\"n\": 1}\nno json\n{\"n\": -1}\n{\"n\": 2}\n";
    let told = post(&server, &format!("{PATH}?verdicts=all"), &[], mixed).body;
    let verdicts: Vec<(u64, &str)> = told["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["row"].as_u64().unwrap(), row["verdict"].as_str().unwrap()))
        .collect();
    assert_eq!(verdicts, [(0, "accepted"), (1, "quarantined"), (2, "quarantined"), (3, "accepted")]);
    assert_eq!(told["rows"][1]["reasons"][0]["rule"], "syntax");

    let many = "{\"n\": -1}\n".repeat(1_500);
    let told = post(&server, PATH, &[], many.as_bytes()).body;
    assert_eq!(told["rows"].as_array().unwrap().len(), 1_000);
    assert_eq!(told["rows_omitted"], json!({"quarantined": 500, "deduplicated": 0}));
    let told = post(&server, &format!("{PATH}?verdicts=all"), &[], many.as_bytes()).body;
    assert_eq!(told["rows"].as_array().unwrap().len(), 1_500);
    let wrong = post(&server, &format!("{PATH}?verdicts=some"), &[], mixed);
    assert_eq!((wrong.status, wrong.body["error"]["code"].as_str()), (400, Some("SW1207")));
    let unknown = post(&server, PATH, &[], b"{\"n\": 1, \"more\": 2}\n").body;
    assert_eq!(unknown["unknown_columns"], json!(["more"]), "{unknown}");
    server.terminate();
}

#[test]
fn requests_beyond_the_limits_are_refused_with_their_status() {
    let project = clicks();
    let server = project.serve(&[]);
    let check = |headers: &[(&str, &str)], body: &[u8], status: u16, code: &str| {
        let answer = post(&server, PATH, headers, body);
        assert_eq!((answer.status, answer.body["error"]["code"].as_str()), (status, Some(code)), "{}", answer.body);
    };
    check(&[("content-encoding", "br")], b"{}", 415, "SW1206");
    check(&[("content-type", "text/html")], b"{}", 415, "SW0890");
    check(&[("content-encoding", "gzip")], b"no gzip", 400, "SW0888");
    check(&[("content-encoding", "zstd")], b"no zstd", 400, "SW0888");
    check(&[("content-type", "application/vnd.apache.arrow.stream")], b"no arrow", 400, "SW0891");

    // Told from the length that the head states, before anything is sent.
    let answer = raw(&server, "content-length: 40000000\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert_eq!(metric(&server, "seawall_ingest_cut_off_total{reason=\"oversized\"}"), 1);
    server.terminate();
}

#[test]
fn one_producer_gets_half_of_the_room_and_then_429_before_anything_is_read() {
    let project = clicks();
    let server = project.serve(&[]);
    // Four requests of 30 MB that never come take up the producer's half of 256 MiB.
    let held: Vec<TcpStream> = (0..4).map(|_| open(&server, "content-length: 30000000\r\n\r\n{")).collect();
    wait_for(|| metric(&server, "seawall_ingest_inflight_bytes ") > 119_000_000);
    let answer = raw(&server, "content-length: 30000000\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 429") && answer.contains("retry-after: 1"), "{answer}");
    let small = post(&server, PATH, &[], b"{\"n\": 1}\n");
    assert_eq!(small.status, 200, "there is still room for small requests");
    assert!(!small.retry_after);
    drop(held);
    wait_for(|| metric(&server, "seawall_ingest_inflight_bytes ") == 0);
    assert_eq!(metric(&server, "seawall_ingest_cut_off_total{reason=\"busy\"}"), 1);
    assert_eq!(metric(&server, "seawall_ingest_cut_off_total{reason=\"broken\"}"), 4);
    server.terminate();
}

#[test]
fn half_a_body_leaves_nothing_behind() {
    let project = clicks();
    let server = project.serve(&[]);
    for _ in 0..3 {
        drop(open(&server, "content-length: 20\r\n\r\n{\"n\": 7}\n"));
    }
    wait_for(|| metric(&server, "seawall_ingest_cut_off_total{reason=\"broken\"}") == 3);
    post(&server, PATH, &[], b"{\"n\": 8}\n");
    server.terminate();
    assert_eq!(count(&project), json!({"n": 1, "ids": 1}));
}

/// Sends the beginning of a request.
fn open(server: &Server, rest: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).unwrap();
    write!(stream, "POST {PATH} HTTP/1.1\r\nhost: h\r\n{rest}").unwrap();
    stream
}

/// Sends the beginning of a request; what is answered.
fn raw(server: &Server, rest: &str) -> String {
    let mut stream = open(server, rest);
    stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    let mut answer = vec![0; 4096];
    let length = stream.read(&mut answer).unwrap();
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

fn wait_for(mut is_true: impl FnMut() -> bool) {
    for _ in 0..500 {
        if is_true() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("it does not come true");
}
