//! Quarantine as a workflow: rows are looked at, mended, released and discarded; once, with a record, and without skew.

use serde_json::{Value, json};

use crate::support::{Project, Said, Server};

const FAULTS_CONTRACT: &str = "\
apiVersion: v3.2.0
kind: DataContract
id: orders
version: 1.2.0
name: Orders
status: active
schema:
  - name: orders
    properties:
      - {name: id, logicalType: string, primaryKey: true}
      - {name: amount, logicalType: number, required: true, logicalTypeOptions: {maximum: 50000}}
      - {name: currency, logicalType: string, logicalTypeOptions: {pattern: '^[A-Z]{3}$'}}
      - {name: email, logicalType: string, classification: personal, logicalTypeOptions: {format: email}}
      - {name: at, logicalType: timestamp}
      - name: lines
        logicalType: array
        items: {logicalType: object, properties: [{name: price, logicalType: number, logicalTypeOptions: {minimum: 0}}]}
customProperties:
  - {property: seawall.zone, value: Europe/Berlin}
";

/// One fault each; the first row is good, and the last but one has its key and other content.
const FAULTS: &str = r#"{"id": "p0", "amount": 5, "currency": "EUR", "email": "a@b.org", "at": "2024-05-01T10:00:00Z"}
{"id": "p1", "amount": 70000, "currency": "EUR", "email": "a@b.org", "at": "2024-05-01T10:00:00Z", "lines": []}
{"id": "p2", "amount": null, "currency": "EUR", "email": "a@b.org", "at": "2024-05-01T10:00:00Z"}
{"id": "p3", "amount": 5, "currency": "EURO", "email": "a@b.org", "at": "2024-05-01T10:00:00Z"}
{"id": "p4", "amount": 5, "currency": "EUR", "email": "nobody", "at": "2024-05-01T10:00:00Z"}
{"id": "p5", "amount": "5", "currency": "EUR", "email": "a@b.org", "at": "2024-05-01T10:00:00Z"}
{"id": "p6", "amount": 5, "currency": "EUR", "email": "a@b.org", "at": "2024-05-01T10:00:00.123456789Z"}
{"id": "p7", "amount": 5, "currency": "EUR", "email": "a@b.org", "at": "2024-03-31T02:30:00"}
{"id": "p8", "amount": 5, "currency": "EUR", "email": "a@b.org", "at": "2024-05-01T10:00:00Z", "lines": [{"price": 1}, {"price": -2}]}
{"id": "p0", "amount": 6, "currency": "EUR", "email": "a@b.org", "at": "2024-05-01T10:00:00Z"}
{"id": "p10", "amount": 5, "currency": "EUR", "email": "a@b.o
"#;

/// A project whose contract ten rows break, each in its own way.
fn faulty() -> Project {
    let project = Project::with(&[
        ("seawall.yaml", "kind: project\nname: orders\n"),
        ("contracts/orders.odcs.yaml", FAULTS_CONTRACT),
        ("sources.yaml", "kind: source\nname: shop\ndataset: orders\nhttp: {}\ncontract: orders@1\n"),
    ]);
    project.run(&["apply"]).expect(0);
    let server = project.serve(&[]);
    let (status, receipt) = server.post("/v1/datasets/orders/events", FAULTS);
    assert_eq!((status, &receipt["counts"]["quarantined"]), (200, &json!(10)), "{receipt}");
    server.terminate();
    project
}

pub fn ids(project: &Project, dataset: &str) -> Vec<String> {
    let said = project.run(&["quarantine", "list", dataset, "--output", "json"]).expect(0).json();
    let id = |row: &Value| format!("{}:{}", row["_partition"], row["_lsn"]);
    let mut ids: Vec<String> = said["rows"].as_array().unwrap().iter().map(id).collect();
    ids.reverse();
    ids
}

/// The row whose text holds `part`.
fn row_with(project: &Project, dataset: &str, part: &str) -> String {
    let said = project.run(&["quarantine", "list", dataset, "--output", "json"]).expect(0).json();
    let rows = said["rows"].as_array().unwrap();
    let row = rows.iter().find(|row| row["_raw"].as_str().unwrap().contains(part)).expect("it is in quarantine");
    format!("{}:{}", row["_partition"], row["_lsn"])
}

fn query(project: &Project, sql: &str) -> Vec<Value> {
    project.run(&["query", sql, "--output", "json"]).expect(0).json()["rows"].as_array().unwrap().clone()
}

fn counts(project: &Project, dataset: &str) -> Value {
    let status = project.run(&["status", "--output", "json"]).expect(0).json();
    let datasets = status["datasets"].as_array().unwrap();
    datasets.iter().find(|one| one["dataset"] == dataset).unwrap()["counts"].clone()
}

#[track_caller]
fn refused(said: &Said, code: &str) {
    let told = format!("{}{}", said.stdout, said.stderr);
    assert!(said.code != 0 && told.contains(code), "wanted {code}: {told}");
}

#[test]
fn ten_faults_are_shown_with_value_limit_and_remedy() {
    let project = faulty();
    let mut shown = String::new();
    for id in ids(&project, "orders") {
        let text = project.run(&["quarantine", "show", "orders", &id]).expect(0).stdout;
        let arrived = text.lines().find(|line| line.starts_with("  arrived ")).unwrap().to_owned();
        let at = arrived.split(' ').nth(3).unwrap();
        shown.push_str(&text.replace(at, "AT"));
        shown.push('\n');
    }
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/ten_faults.txt");
    if std::env::var("UPDATE_GOLDEN").is_ok() {
        std::fs::write(&path, &shown).unwrap();
    }
    assert_eq!(shown, std::fs::read_to_string(&path).unwrap_or_default());
}

#[test]
fn rows_are_mended_released_and_discarded_with_a_record() {
    let project = faulty();
    let quarantine = |arguments: &[&str]| project.run(&[&["quarantine"], arguments].concat());
    let row = |part: &str| row_with(&project, "orders", part);
    let (price, key, currency, line) = (row("\"p8\""), row("\"amount\":6.0"), row("EURO"), row("\"p10\""));

    // As it is, no row passes; a dry run changes nothing.
    let dry = quarantine(&["release", "orders", "--all", "--dry-run", "--output", "json"]).expect(1).json();
    assert_eq!((&dry["released"], &dry["stays"]), (&json!(0), &json!(10)), "{dry}");
    let stays = quarantine(&["release", "orders", &price, "--reason", "try"]).expect(1).stdout;
    assert!(stays.contains("lines[1].price is -2") && stays.contains("at least 0"), "{stays}");
    assert_eq!(ids(&project, "orders").len(), 10);

    // A mended value, a whole row for a broken line, a conflict of keys that needs another key.
    let fix = |row: &str, more: &[&str]| {
        quarantine(&[&["fix", "orders", row, "--reason", "by hand", "--output", "json"], more].concat())
    };
    let dry = fix(&currency, &["--set", "currency=EUR", "--dry-run"]).expect(0).json();
    assert_eq!(dry["rows"][0]["fate"], "would", "{dry}");
    let fixed = fix(&currency, &["--set", "currency=EUR"]).expect(0).json();
    assert_eq!((&fixed["rows"][0]["fate"], &fixed["in_tables"]), (&json!("released"), &json!(true)), "{fixed}");
    let again = fix(&currency, &["--set", "currency=USD"]).expect(0).json();
    assert_eq!((&again["released"], &again["left_before"]), (&json!(0), &json!(1)), "{again}");
    let whole = r#"{"id": "p10", "amount": 5, "currency": "EUR", "email": "a@b.org"}"#;
    refused(&fix(&line, &["--set", "amount=5"]), "SW1506");
    fix(&line, &["--row", whole]).expect(0);
    let conflict = fix(&key, &["--set", "amount=7"]).expect(1).json();
    assert_eq!(conflict["rows"][0]["reasons"][0]["rule"], "key_conflict", "{conflict}");
    let same = fix(&key, &["--set", "amount=5"]).expect(1).json();
    assert_eq!(same["rows"][0]["reasons"][0]["rule"], "deduplicated", "{same}");
    fix(&key, &["--set", "id=p11"]).expect(0);
    quarantine(&["discard", "orders", &price, "--reason", "a test"]).expect(0);

    // Three new rows of the table, each available from its release on; the original arrival is kept beside it.
    let sql = "select o.id, d.outcome, d.changed, d.reason, o._available_at >= d.left_at and d.left_at > d.arrived_at as later
               from orders o join system.quarantine_departures d on d.released_lsn = o._lsn order by 1";
    let released = query(&project, sql);
    let told: Vec<(&str, &str)> =
        released.iter().map(|row| (row["id"].as_str().unwrap(), row["changed"].as_str().unwrap())).collect();
    assert_eq!(told, [("p10", "amount, currency, email, id"), ("p11", "id"), ("p3", "currency")]);
    assert!(released.iter().all(|row| row["later"] == true && row["reason"] == "by hand"), "{released:?}");

    // What left is told, and what is there adds up.
    assert_eq!(ids(&project, "orders").len(), 6);
    let sums = counts(&project, "orders");
    let wanted = json!({"received": 11, "accepted": 1, "quarantined": 10, "deduplicated": 0, "rejected": 0,
        "released": 3, "discarded": 1});
    assert_eq!(sums, wanted);
    let status = project.run(&["status"]).expect(0).stdout;
    assert!(status.contains("3 were released and 1 discarded, 6 are in quarantine"), "{status}");
    let history = quarantine(&["history", "orders"]).expect(0).stdout;
    assert!(history.contains("discarded") && history.contains(": a test"), "{history}");
    let shown = quarantine(&["show", "orders", &currency]).expect(0).stdout;
    assert!(shown.contains("left quarantine") && shown.contains("mended: currency"), "{shown}");
    let audit = project.run(&["audit", "--limit", "200", "--output", "json"]).expect(0).json();
    let left = |entry: &&Value| entry["event"] == "quarantine_left";
    assert_eq!(audit["entries"].as_array().unwrap().iter().filter(left).count(), 4, "one entry per departure");
    project.run(&["verify", "data"]).expect(0);
}

#[test]
fn what_cannot_be_asked_is_refused() {
    let project = faulty();
    let check = |arguments: &[&str], code: &str| refused(&project.run(&[&["quarantine"], arguments].concat()), code);
    check(&["release", "orders", "--reason", "x"], "SW1503");
    check(&["release", "orders", "0:9999", "--reason", "x"], "SW1502");
    check(&["show", "orders", "7:1"], "SW1502");
    check(&["show", "orders", "seven"], "does not name a row");
    check(&["release", "orders", "0:1", "--reason", " "], "SW1504");
    check(&["release", "nothing", "0:1", "--reason", "x"], "SW0813");
    check(&["fix", "orders", "0:1", "--reason", "x"], "SW1507");
    check(&["fix", "orders", "0:1", "--set", "colour=red", "--reason", "x"], "SW1505");
    check(&["fix", "orders", "0:1", "--row", "[1]", "--reason", "x"], "SW1507");
    check(&["fix", "orders", "--all", "--row", "{}", "--reason", "x"], "SW1507");
    check(&["release", "orders", "0:1"], "--reason");
    check(&["release", "orders", "0:1", "--all", "--reason", "x"], "--all");

    let server = project.serve(&[]);
    let post = |verb: &str, body: Value| {
        let (status, answer) = server.post(&format!("/v1/datasets/orders/quarantine/{verb}"), &body.to_string());
        (status, answer["error"]["code"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(post("release", json!({"rows": ["0:1"], "why": "x"})), (400, "SW0886".into()));
    assert_eq!(post("release", json!({"rows": ["0:1"], "all": true, "reason": "x"})), (400, "SW1503".into()));
    assert_eq!(post("release", json!({"rows": ["0:1"], "rule": "maximum", "reason": "x"})), (400, "SW1503".into()));
    assert_eq!(post("release", json!({"rows": ["0:-1"], "reason": "x"})), (400, "SW1501".into()));
    assert_eq!(post("discard", json!({"rows": ["0:1"]})), (400, "SW1504".into()));
    assert_eq!(post("fix", json!({"rows": ["0:1"], "set": {}, "reason": "x"})), (400, "SW1507".into()));
    let many: Vec<String> = (0..10_001).map(|offset| format!("0:{offset}")).collect();
    assert_eq!(post("discard", json!({"rows": many, "reason": "x"})), (400, "SW1503".into()));
    let (status, shown) = server.get("/v1/datasets/orders/quarantine/0:1");
    assert!(status == 200 && shown.contains("\"remedy\""), "{shown}");
    assert_eq!(server.get("/v1/datasets/orders/quarantine/0:999").0, 404);
    assert_eq!(server.get("/v1/datasets/orders/quarantine/departures").0, 200);
}

const MAXIMUM: &str = "minimum: 0, maximum: 1000";

/// The contract of the events with another upper bound of the amount.
fn events_with_maximum(project: &Project, bound: &str) {
    let file = project.path().join("contracts/events.odcs.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace(MAXIMUM, &format!("minimum: 0, maximum: {bound}"))).unwrap();
    project.run(&["apply"]).expect(0);
}

fn now(server: &Server) -> String {
    let status: Value = serde_json::from_str(&server.get("/v1/status").1).unwrap();
    status["now"].as_str().unwrap().to_owned()
}

fn send(server: &Server, id: &str, amount: f64) {
    let event = json!({"event_id": id, "happened_at": now(server), "user_id": "u1", "amount": amount});
    let (status, receipt) = server.post("/v1/datasets/events/events", &format!("{event}\n"));
    assert_eq!(status, 200, "{receipt}");
    server.folded();
}

fn serve_vector(server: &Server, id: &str) -> Value {
    let asked = json!({"training_set": "next_amount", "rows": [{"event_id": id, "user_id": "u1", "amount": 3.0}]});
    let (status, answer) = server.post("/v1/features", &asked.to_string());
    assert_eq!(status, 200, "{answer}");
    answer["rows"][0]["users__sum_24h"].clone()
}

/// Features show a released row from its release on, a later training set agrees with what was served, and a rollback
/// brings it back into quarantine.
#[test]
fn released_rows_are_seen_by_their_availability() {
    let project = Project::events();
    project.run(&["apply"]).expect(0);
    let server = project.serve(&[]);
    send(&server, "e1", 5.0);
    send(&server, "e2", 4000.0);
    assert_eq!(serve_vector(&server, "d1"), json!(5.0), "a stopped row is in no feature");
    server.terminate();

    events_with_maximum(&project, "5000");
    let server = project.serve(&[]);
    let moment = now(&server);
    let (status, left) = server.post(
        "/v1/datasets/events/quarantine/release",
        &json!({"all": true, "rule": "maximum", "reason": "the bound was wrong"}).to_string(),
    );
    assert_eq!((status, &left["released"]), (200, &json!(1)), "{left}");
    server.folded();
    assert_eq!(serve_vector(&server, "d2"), json!(4005.0));
    // The decisions happen as events, too, so that a training set has rows for them.
    send(&server, "d2", 3.0);
    let (status, certificate) = server.post("/v1/training-sets/next_amount/verify", "");
    let report = &certificate["claims"]["report"];
    assert_eq!((status, &report["replayed"], &report["mismatched"]), (200, &json!(2), &json!(0)), "{report}");
    let (_, built) = server.post("/v1/training-sets/next_amount/build", "");
    assert!(built["version"].is_number(), "{built}");
    server.terminate();

    let seen = query(&project, "select event_id, users__sum_24h from next_amount__training_set order by _at");
    let sum = |id: &str| seen.iter().find(|row| row["event_id"] == id).unwrap()["users__sum_24h"].clone();
    // e2 itself happened before its release: at its own moment e1 was all that was known.
    assert_eq!((sum("e2"), sum("d2")), (json!(5.0), json!(4005.0)), "{seen:?}");

    let back = ["rollback", "to", &moment, "--reason", "released too early", "--run", "--output", "json"];
    project.run(&back).expect(0);
    assert_eq!(ids(&project, "events").len(), 1, "the row is in quarantine again");
    assert_eq!(query(&project, "select event_id from events").len(), 1);
    project.run(&["quarantine", "release", "events", "--all", "--reason", "now it is time"]).expect(0);
    assert_eq!(query(&project, "select event_id from events").len(), 2);
    let history = project.run(&["quarantine", "history", "events"]).expect(0).stdout;
    assert!(history.contains("back in quarantine since the rollback"), "{history}");
    project.run(&["verify", "data"]).expect(0);
}

/// `kill -9` at any moment while rows are released: asked for again after each start, every row ends in the table once.
#[test]
fn kills_in_the_middle_of_releases_lose_no_row_and_double_none() {
    const ROWS: usize = 12_000;
    const KILLS: u64 = 12;
    let project = Project::events();
    project.run(&["apply"]).expect(0);
    let server = project.serve(&[]);
    let line = |n: usize| json!({"event_id": format!("e{n}"), "happened_at": "2026-01-01T00:00:00Z", "user_id": "u1", "amount": 2000 + n});
    let body: String = (0..ROWS).map(|n| format!("{}\n", line(n))).collect();
    server.post("/v1/datasets/events/events", &body);
    server.terminate();
    events_with_maximum(&project, "90000");
    let all = (0..ROWS).map(|offset| format!("0:{offset}")).collect::<Vec<_>>();

    let chunks: Vec<Vec<String>> = all.chunks(20).map(<[String]>::to_vec).collect();
    // Where the next start goes on, and the rows of requests that were cut off and had been released all the same.
    let (mut next, mut unanswered) = (0, 0);
    for kill in 0..KILLS {
        let server = std::sync::Arc::new(project.serve(&[]));
        let releasing = {
            let (server, chunks) = (server.clone(), chunks[next..].to_vec());
            std::thread::spawn(move || {
                let (mut answered, mut before) = (0, 0);
                for some in chunks {
                    let ask = json!({"rows": some, "reason": "the bound was wrong"}).to_string();
                    let answer = server.try_post("/v1/datasets/events/quarantine/release", &ask);
                    let Some((200, left)) = answer else { break };
                    let number = |key: &str| left[key].as_u64().unwrap();
                    assert_eq!(number("released") + number("left_before"), some.len() as u64, "{left}");
                    answered += 1;
                    before += number("left_before");
                }
                (answered, before)
            })
        };
        std::thread::sleep(std::time::Duration::from_millis(30 + (kill * 173) % 1100));
        let pid = server.child.id().to_string();
        assert!(std::process::Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
        let (answered, before) = releasing.join().unwrap();
        next += answered;
        unanswered += before;
    }
    let told = project.run(&["quarantine", "release", "events", "--all", "--reason", "the rest"]).expect(0).stdout;
    assert_eq!(ids(&project, "events").len(), 0, "{told}");
    let rows = query(&project, "select count(*) as n, count(distinct event_id) as ids from events");
    assert_eq!(rows[0], json!({"n": ROWS, "ids": ROWS}));
    let left = query(&project, "select count(*) as n, count(distinct lsn) as ids from system.quarantine_departures");
    assert_eq!(left[0], json!({"n": ROWS, "ids": ROWS}));
    assert_eq!(counts(&project, "events")["released"], ROWS);
    project.run(&["verify", "data"]).expect(0);
    eprintln!("{KILLS} kills, {next} of {} requests answered; {unanswered} rows had left unanswered", chunks.len());
}

const OWN_CONTRACT: &str = "\
contract:
  properties:
    - {name: label, logicalType: number, logicalTypeOptions: {maximum: 100}}
  quality:
    - {metric: rowCount, mustBeGreaterThan: 1, customProperties: [{property: seawall.mode, value: reject}]}
";

/// The gate of a training set: wrongly labelled rows are left out and told, a build that is too small is not published,
/// and an incident is open until a build keeps the contract.
#[test]
fn a_training_set_is_held_to_its_own_contract() {
    let project = Project::events();
    let file = project.path().join("declarations.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{text}{}", OWN_CONTRACT.replace("label,", "labl,"))).unwrap();
    let said = project.run(&["check"]);
    assert!(said.code != 0, "{}", said.stdout);
    let told = format!("{}{}", said.stdout, said.stderr);
    assert!(told.contains("SW1510") && told.contains("did you mean `label`"), "{told}");
    std::fs::write(&file, format!("{text}{OWN_CONTRACT}")).unwrap();
    project.run(&["apply"]).expect(0);

    let server = project.serve(&[]);
    let build = || server.post("/v1/training-sets/next_amount/build", "");
    let open = || {
        let incidents: Value = serde_json::from_str(&server.get("/v1/incidents").1).unwrap();
        let of_set = |one: &&Value| one["subject"] == "next_amount" && one["cause"] == "quality";
        incidents["incidents"].as_array().unwrap().iter().filter(of_set).cloned().collect::<Vec<_>>()
    };
    send(&server, "e1", 5.0);
    let (status, refused) = build();
    assert_eq!((status, &refused["error"]["code"]), (400, &json!("SW1511")), "{refused}");
    assert_eq!(open().len(), 1);
    let (_, builds) = server.get("/v1/training-sets/next_amount");
    assert!(builds.contains("\"builds\":[]"), "nothing is published: {builds}");

    send(&server, "e2", 500.0);
    send(&server, "e3", 7.0);
    let (status, built) = build();
    assert_eq!(status, 200, "{built}");
    assert_eq!((&built["fingerprint"]["rows"], &built["fingerprint"]["stopped"]), (&json!(2), &json!(1)), "{built}");
    assert_eq!(built["broken"][0]["rule"], "maximum", "{built}");
    assert!(open()[0]["summary"].as_str().unwrap().contains("1 rows of training set next_amount"), "{:?}", open());
    let (_, certificate) = server.post("/v1/training-sets/next_amount/verify", "");
    assert_eq!(certificate["claims"]["report"]["mismatched"], 0, "{certificate}");
    server.terminate();

    let rows = |table: &str| query(&project, &format!("select event_id from {table} order by 1"));
    assert_eq!(rows("next_amount__training_set"), [json!({"event_id": "e1"}), json!({"event_id": "e3"})]);
    assert_eq!(rows("next_amount__stopped__training_set"), [json!({"event_id": "e2"})]);
    let listed = project.run(&["training-set", "list", "next_amount"]).expect(0).stdout;
    assert!(listed.contains("1 stopped by its contract"), "{listed}");

    // A looser rule, and the incident closes by itself.
    std::fs::write(&file, format!("{text}{}", OWN_CONTRACT.replace("100", "1000"))).unwrap();
    project.run(&["apply"]).expect(0);
    let said = project.run(&["training-set", "build", "next_amount"]).expect(0).stdout;
    assert!(said.contains("3 rows"), "{said}");
    let incidents = project.run(&["incident", "list", "--output", "json"]).expect(0).stdout;
    assert!(!incidents.contains("next_amount"), "{incidents}");
    assert_eq!(query(&project, "select * from next_amount__stopped__training_set"), Vec::<Value>::new());
    project.run(&["verify", "data"]).expect(0);
}
