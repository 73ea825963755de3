//! Derived datasets, as a user declares, runs and reads them; and `kill -9` at any moment of it.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::integrity::now;
use crate::support::{Project, Server, run, run_as};

const CONTRACTS: &str = "\
apiVersion: v3.2.0
kind: DataContract
id: shop
version: 1.0.0
name: Shop
status: active
schema:
  - name: payments
    properties:
      - {name: payment_id, logicalType: string, primaryKey: true, required: true}
      - {name: paid_at, logicalType: timestamp, required: true}
      - {name: customer, logicalType: string, required: true}
      - {name: email, logicalType: string, classification: personal}
      - {name: amount, logicalType: integer, required: true}
    customProperties:
      - {property: seawall.eventTime, value: paid_at}
      - {property: seawall.subject, value: customer}
---
apiVersion: v3.2.0
kind: DataContract
id: derived
version: 1.0.0
name: Derived
status: active
schema:
  - name: large
    properties:
      - {name: payment_id, logicalType: string, required: true}
      - {name: paid_at, logicalType: timestamp, required: true}
      - {name: customer, logicalType: string, required: true}
      - {name: contact, logicalType: string, classification: personal}
      - {name: cents, logicalType: integer, required: true, logicalTypeOptions: {maximum: 90000}}
    customProperties:
      - {property: seawall.eventTime, value: paid_at}
      - {property: seawall.subject, value: customer}
  - name: totals
    properties:
      - {name: customer, logicalType: string, primaryKey: true, required: true, classification: personal}
      - {name: n, logicalType: integer, required: true}
      - {name: total, logicalType: integer, required: true}
      - {name: op, logicalType: string, required: true}
    customProperties:
      - {property: seawall.changelog, value: op}
      - {property: seawall.subject, value: customer}
";

const DECLARATIONS: &str = "\
kind: source
name: payments
http: {}
contract: shop@1
---
kind: transform
name: find_large
to: large
sql: select payment_id, paid_at, customer, email as contact, amount * 100 as cents from payments where amount >= 10
---
kind: transform
name: add_up
to: totals
sql: select customer, count(*) as n, sum(cents) as total from large group by customer having count(*) <> 3
---
kind: feature_view
name: large_of
entity: customer
from: large
time: paid_at
features:
  n_24h: {count: '*', window: 24h}
  cents_24h: {sum: cents, window: 24h}
";

/// How often and how long to wait for what a server does by itself: a minute.
const TRIES_MAX: usize = 1_200;
const PAUSE: Duration = Duration::from_millis(50);

/// The rows of the changelog that stand.
const STANDING: &str = "select customer, n, total from (select *, row_number() over (partition by customer \
     order by _lsn desc) as newest from totals) where newest = 1 and op = 'upsert' order by customer";

fn shop(declarations: &str) -> Project {
    Project::with(&[
        ("seawall.yaml", "kind: project\nname: shop\n"),
        ("shop.odcs.yaml", CONTRACTS),
        ("declarations.yaml", declarations),
    ])
}

fn push(server: &Server, id: &str, customer: &str, amount: i64) {
    let row = json!({"payment_id": id, "paid_at": now(server), "customer": customer,
        "email": format!("{customer}@example.org"), "amount": amount});
    let (status, receipt) = server.post("/v1/datasets/payments/events", &format!("{row}\n"));
    assert_eq!(status, 200, "{receipt}");
}

fn rows(project: &Project, sql: &str) -> Vec<Value> {
    let answer = project.run(&["query", sql, "--rows-max", "10000000", "--output", "json"]).expect(0).json();
    answer["rows"].as_array().unwrap().clone()
}

fn transforms(server: &Server) -> Value {
    serde_json::from_str::<Value>(&server.get("/v1/transforms").1).unwrap()["transforms"].clone()
}

/// Waits until every transform is current.
fn derived(server: &Server) -> Value {
    let mut told = Value::Null;
    for _ in 0..TRIES_MAX {
        let status: Value = serde_json::from_str(&server.get("/v1/status").1).unwrap();
        let progress = &status["progress"];
        told = transforms(server);
        let is_current = told.as_array().unwrap().iter().all(|one| one["state"] == "current");
        if is_current && progress["committed_entries"] == progress["durable_entries"] {
            return told;
        }
        std::thread::sleep(PAUSE);
    }
    panic!("transforms do not become current: {told}");
}

#[test]
fn derived_datasets_follow_their_inputs_and_serve_features() {
    let project = shop(DECLARATIONS);
    project.run(&["apply"]).expect(0);
    let server = project.serve(&[]);
    for (id, customer, amount) in
        [("p1", "ann", 5), ("p2", "ann", 20), ("p3", "bob", 30), ("p4", "bob", 40), ("p5", "bob", 5_000)]
    {
        push(&server, id, customer, amount);
    }
    let told = derived(&server);
    assert_eq!((&told[0]["transform"], &told[1]["transform"]), (&json!("find_large"), &json!("add_up")), "{told}");
    assert_eq!((&told[0]["is_row_wise"], &told[1]["is_row_wise"]), (&json!(true), &json!(false)));

    // Availability is that of the payment, and the contract of the derived dataset stops what it does not allow.
    let made = rows(&project, "select payment_id, cents, contact from large order by 1");
    assert_eq!(made.len(), 3, "{made:?}");
    assert_eq!(made[0], json!({"payment_id": "p2", "cents": 2_000, "contact": "ann@example.org"}));
    let late =
        "select count(*) as n from large l join payments p using (payment_id) where l._available_at <> p._available_at";
    assert_eq!(rows(&project, late)[0]["n"], 0);
    let stopped = rows(&project, "select _raw, _source, _reasons from large__quarantine");
    assert_eq!((stopped.len(), &stopped[0]["_source"]), (1, &json!("transform:find_large")), "{stopped:?}");
    assert!(stopped[0]["_raw"].as_str().unwrap().contains("p5"), "{stopped:?}");
    assert_eq!(
        rows(&project, STANDING),
        [json!({"customer": "ann", "n": 1, "total": 2_000}), json!({"customer": "bob", "n": 2, "total": 7_000})]
    );

    server.folded();
    let asked = json!({"views": ["large_of@1"], "rows": [{"customer": "bob"}]});
    let (_, answer) = server.post("/v1/features", &asked.to_string());
    assert_eq!(answer["views"][0]["rows"][0]["cents_24h"], json!(7_000), "{answer}");

    // A third large payment takes bob out of the result, a fourth one brings him back.
    push(&server, "p6", "bob", 10);
    derived(&server);
    assert_eq!(rows(&project, STANDING).len(), 1);
    push(&server, "p7", "bob", 10);
    derived(&server);
    assert_eq!(rows(&project, STANDING)[1], json!({"customer": "bob", "n": 4, "total": 9_000}));
    let history = rows(&project, "select op, n from totals where customer = 'bob' order by _lsn");
    let ops: Vec<&str> = history.iter().map(|row| row["op"].as_str().unwrap()).collect();
    // A look may have come between the first two payments.
    assert!(ops.ends_with(&["upsert", "delete", "upsert"]), "{history:?}");

    let status = project.run(&["status"]).expect(0).stdout;
    assert!(status.contains("find_large: current; last run") && status.contains("over payments at"), "{status}");
    let runs = rows(&project, "select transform, inputs, rows_read from system.transform_runs where outcome = 'done'");
    assert!(runs.len() >= 4 && runs[0]["inputs"].as_str().unwrap().contains("payments"), "{runs:?}");
    server.terminate();

    let lineage = project.run(&["lineage", "totals", "--column", "total"]).expect(0).stdout;
    assert!(lineage.contains("large.cents") && lineage.contains("payments.amount"), "{lineage}");
    let status = project.run(&["status", "--output", "json"]).expect(0).json();
    assert_eq!(status["transforms"][0]["transform"], "add_up", "{status}");
    assert_eq!(status["transforms"][0]["last_run"]["inputs"][0]["table"], "large", "{status}");
    // Nothing new: nothing is made.
    let before = rows(&project, "select count(*) as n from totals");
    let again = project.run(&["run", "--output", "json"]).expect(0).json();
    assert!(again["transforms"].as_array().unwrap().iter().all(|one| one["state"] == "current"), "{again}");
    assert_eq!(rows(&project, "select count(*) as n from totals"), before);
}

#[test]
fn what_cannot_work_is_refused_before_there_is_a_row() {
    let refused = |declarations: &str, code: &str, names: &str| {
        for command in ["plan", "apply"] {
            let said = shop(declarations).run(&[command]);
            assert!(said.code != 0 && said.stderr.contains(code), "{command} {code}: {}{}", said.stdout, said.stderr);
            assert!(said.stderr.contains(names), "{names}: {}", said.stderr);
        }
    };
    let with = |from: &str, to: &str| {
        assert!(DECLARATIONS.contains(from), "{from}");
        DECLARATIONS.replace(from, to)
    };
    refused(&with("amount * 100 as cents", "amount * 100 as centimes"), "SW1901", "centimes");
    refused(&with("amount * 100 as cents", "[amount] as cents"), "SW1901", "find_large");
    refused(&with(", amount * 100 as cents", ""), "SW1901", "cents");
    refused(&with("from payments where", "from payment where"), "SW0523", "find_large");
    refused(&with("amount >= 10", "paid_at < now()"), "SW0527", "now()");
    refused(&with("amount >= 10", "amount >="), "SW0520", "find_large");
    refused(&with("customer, email as contact", "'somebody' as customer, email as contact"), "SW1903", "customer");
    refused(&with("select customer, count(*)", "select customer, max(customer) as op, count(*)"), "SW1901", "op");
    refused(
        &with("from payments where amount >= 10", "from payments order by amount limit 3"),
        "SW1902",
        "primary key",
    );
    refused(&with("amount >= 10", "amount >= 10\navailable_at: paid_at"), "SW1904", "find_large");
    refused(
        &with("from large group by customer", "from large join payments using (payment_id) group by customer"),
        "SW05",
        "add_up",
    );
    let open = shop(DECLARATIONS);
    let sealed = "primaryKey: true, required: true, classification: personal";
    let contract = CONTRACTS.replace(sealed, "primaryKey: true, required: true");
    std::fs::write(open.path().join("shop.odcs.yaml"), contract).unwrap();
    let said = open.run(&["plan"]);
    assert!(said.code != 0 && said.stderr.contains("SW1903") && said.stderr.contains("sealed"), "{}", said.stderr);
    let view = "---\nkind: feature_view\nname: v\nentity: customer\nfrom: totals\ntime: paid_at\nfeatures: {s: {sum: total, window: 1h}}\n";
    refused(&format!("{DECLARATIONS}{view}"), "SW1906", "totals");
}

#[test]
fn a_transform_that_fails_says_why_and_the_others_go_on() {
    let broken = DECLARATIONS.replace("sum(cents) as total", "sum(cents / (cents - 2000)) as total");
    let project = shop(&broken);
    project.run(&["apply"]).expect(0);
    let server = project.serve(&[]);
    push(&server, "p1", "ann", 20);
    let mut failed = Value::Null;
    for _ in 0..TRIES_MAX {
        failed = transforms(&server);
        if failed[1]["state"] == "failed" && failed[0]["state"] == "current" {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    assert_eq!(failed[1]["failure"]["code"], "SW0524", "{failed}");
    assert!(failed[1]["failure"]["message"].as_str().unwrap().to_lowercase().contains("divide by zero"), "{failed}");
    assert_eq!(rows(&project, "select count(*) as n from large")[0]["n"], 1);
    let status = project.run(&["status"]).expect(0).stdout;
    assert!(status.contains("add_up: failed") && status.contains("[SW0524]"), "{status}");
    // Another revision is tried at once.
    std::fs::write(project.path().join("declarations.yaml"), DECLARATIONS).unwrap();
    project.run(&["apply"]).expect(0);
    let told = derived(&server);
    assert_eq!(told[1]["failure"], Value::Null);
    assert_eq!(rows(&project, STANDING).len(), 1);
    server.terminate();

    // Without a server the state is what was recorded, and `run` exits with 1 while a transform fails.
    std::fs::write(project.path().join("declarations.yaml"), broken).unwrap();
    project.run(&["apply"]).expect(0);
    let said = project.run(&["run"]).expect(1);
    assert!(said.stdout.contains("add_up: failed") && said.stdout.contains("[SW0524]"), "{}", said.stdout);
    let status = project.run(&["status"]).expect(0).stdout;
    assert!(status.contains("add_up: failed"), "{status}");
}

#[test]
fn an_erased_person_is_gone_from_what_was_derived_and_stays_gone() {
    let project = shop(DECLARATIONS);
    project.run(&["apply"]).expect(0);
    let server = project.serve(&[]);
    for (id, customer, amount) in [("p1", "ann", 20), ("p2", "bob", 30), ("p3", "bob", 5_000)] {
        push(&server, id, customer, amount);
    }
    derived(&server);
    let said = project.run(&["erase", "customer=bob", "--reason", "asked for it", "--output", "json"]);
    let erased = said.expect(0).json();
    let tables = erased.to_string();
    assert!(
        ["large", "large__quarantine", "totals"].iter().all(|table| tables.contains(&format!("\"{table}\""))),
        "{erased}"
    );
    push(&server, "p4", "ann", 40);
    derived(&server);
    for table in ["payments", "large", "totals"] {
        assert_eq!(
            rows(&project, &format!("select count(*) as n from {table} where customer = 'bob'"))[0]["n"],
            0,
            "{table}"
        );
    }
    assert_eq!(rows(&project, STANDING), [json!({"customer": "ann", "n": 2, "total": 6_000})]);
    // Who comes back with the very values that were erased is there again.
    push(&server, "p5", "bob", 30);
    derived(&server);
    let bob = json!({"customer": "bob", "n": 1, "total": 3_000});
    assert_eq!(rows(&project, STANDING), [json!({"customer": "ann", "n": 2, "total": 6_000}), bob]);
    server.terminate();
}

#[test]
fn a_rollback_takes_derived_rows_along_and_what_stays_is_made_again() {
    let project = shop(DECLARATIONS);
    project.run(&["apply"]).expect(0);
    let server = project.serve(&[]);
    push(&server, "p1", "ann", 20);
    derived(&server);
    let moment = now(&server);
    std::thread::sleep(Duration::from_millis(5));
    push(&server, "p2", "ann", 30);
    push(&server, "p3", "bob", 40);
    derived(&server);
    server.terminate();
    project.run(&["rollback", "to", &moment, "--reason", "test rows", "--run"]).expect(0);
    assert_eq!(rows(&project, "select payment_id from large"), [json!({"payment_id": "p1"})]);
    assert_eq!(rows(&project, STANDING), [json!({"customer": "ann", "n": 1, "total": 2_000})]);
    let server = project.serve(&[]);
    push(&server, "p3", "bob", 40);
    derived(&server);
    assert_eq!(rows(&project, "select payment_id from large order by 1").len(), 2);
    assert_eq!(rows(&project, STANDING).len(), 2);
    server.terminate();
}

/// Payments of which every other one is large; in bulk, so that runs take several frames.
fn bulk(server: &Server, first: u64, count: u64) -> bool {
    let row = |n: u64| {
        json!({"payment_id": format!("p{n}"), "paid_at": "2026-01-01T00:00:00Z", "customer": format!("c{}", n % 50),
            "email": "x@example.org", "amount": if n.is_multiple_of(2) { 10 } else { 1 }})
    };
    let body: String = (first..first + count).map(|n| format!("{}\n", row(n))).collect();
    matches!(server.try_post("/v1/datasets/payments/events", &body), Some((200, _)))
}

#[test]
fn kills_between_reading_appending_and_recording_lose_nothing_and_double_nothing() {
    const KILLS: u64 = 12;
    const ROWS: u64 = 20_000;
    let project = shop(DECLARATIONS);
    project.run(&["apply"]).expect(0);
    let mut sent = 0;
    for kill in 0..KILLS {
        let server = project.serve(&[]);
        // A request whose answer does not come is sent again: its rows are recognised by their key.
        if bulk(&server, sent, ROWS) {
            sent += ROWS;
        }
        // Moments spread over commits, runs and records; the same in every run.
        std::thread::sleep(Duration::from_millis((kill * 331) % 2_600));
        server.kill();
    }
    let server = project.serve(&[]);
    assert!(bulk(&server, 0, 1));
    derived(&server);
    server.terminate();
    let counted = rows(&project, "select count(*) as n, count(distinct payment_id) as ids from large");
    let expected = rows(&project, "select count(*) as n from payments where amount >= 10")[0]["n"].clone();
    assert_eq!((&counted[0]["n"], &counted[0]["ids"]), (&expected, &expected), "{counted:?}");
    assert!(sent >= ROWS * KILLS / 2 && expected.as_u64().unwrap() >= sent / 2, "only {sent} rows were sent");
    let oracle = "select customer, count(*) as n, sum(cents) as total from large group by customer having count(*) <> 3 order by customer";
    assert_eq!(rows(&project, STANDING), rows(&project, oracle));
    project.run(&["verify", "data"]).expect(0);
    eprintln!("{KILLS} kills, {sent} payments, {expected} derived rows");
}

#[test]
fn the_example_runs_as_it_says() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/derived").display().to_string();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data").display().to_string();
    let on = |arguments: &[&str]| {
        let mut all = vec!["-C", example.as_str(), "--data-dir", data.as_str()];
        all.extend(arguments);
        run(&all)
    };
    on(&["test"]).expect(0);
    on(&["apply"]).expect(0);
    let said = on(&["run", "--output", "json"]).expect(0).json();
    let states: Vec<&Value> = said["transforms"].as_array().unwrap().iter().map(|one| &one["state"]).collect();
    assert_eq!(states, ["current", "current", "current"], "{said}");
    let answer = |sql: &str| on(&["query", sql, "--output", "json"]).expect(0).json()["rows"].clone();
    let turnover = json!([{"country": "de", "orders": 3, "amount_eur": 469.75}, {"country": "fr", "orders": 1, "amount_eur": 20_000.0}]);
    assert_eq!(answer("select * from turnover_now order by country"), turnover);
    assert_eq!(
        answer("select order_id, cents from large_orders order by 1")[1],
        json!({"order_id": "o4", "cents": 12_025})
    );
    let listed = on(&["quarantine", "list", "large_orders"]).expect(0).stdout;
    assert!(listed.contains("maximum"), "{listed}");
    on(&["run"]).expect(0);
    assert_eq!(answer("select count(*) as n from turnover")[0]["n"], 2);
}

#[test]
fn policies_on_an_input_follow_the_values_that_were_taken_over() {
    let project = shop(DECLARATIONS);
    std::fs::create_dir(project.path().join("policies")).unwrap();
    let policy = "forbid (principal in Role::\"analyst\", action == Action::\"read_row\", resource is Row_payments)\n\
        unless { resource has customer && resource.customer == \"ann\" };\n";
    std::fs::write(project.path().join("policies/analysts.cedar"), policy).unwrap();
    project.run(&["apply"]).expect(0);
    let server = project.serve(&[]);
    for (id, customer, amount) in [("p1", "ann", 20), ("p2", "bob", 30), ("p3", "bob", 5_000)] {
        push(&server, id, customer, amount);
    }
    derived(&server);
    server.terminate();
    let token = project.run(&["token", "create", "--name", "ada", "--role", "analyst"]).expect(0).stdout;
    let folder = project.path().display().to_string();
    let shown = |table: &str| {
        let sql = format!("select distinct customer from {table}");
        let said = run_as(Some(token.trim()), &["-C", &folder, "query", &sql, "--output", "json"]).expect(0);
        said.json()["rows"].clone()
    };
    for table in ["payments", "large", "totals"] {
        assert_eq!(shown(table), json!([{"customer": "ann"}]), "{table}");
    }
    let sql = "select count(*) as n from large__quarantine";
    let said = run_as(Some(token.trim()), &["-C", &folder, "query", sql, "--output", "json"]).expect(0);
    assert_eq!(said.json()["rows"][0]["n"], 0);
}
