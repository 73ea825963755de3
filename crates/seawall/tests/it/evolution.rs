//! Contracts that change while data is there: what a change breaks, what is applied by itself, two versions side by side.

use seawall_base::{Clock, SystemClock};
use serde_json::{Value, json};

use crate::support::{EVENTS_CONTRACT, EVENTS_DECLARATIONS, Project};

const ORDERS: &str = "\
apiVersion: v3.2.0
kind: DataContract
id: orders
version: 1.0.0
status: active
schema:
  - name: orders
    properties:
      - {name: id, logicalType: integer, primaryKey: true, required: true}
      - {name: ordered_at, logicalType: timestamp, required: true}
      - {name: shop, logicalType: string, required: true}
      - {name: amount, logicalType: number, physicalType: 'decimal(5,2)', logicalTypeOptions: {maximum: 900}}
    customProperties:
      - {property: seawall.eventTime, value: ordered_at}
";
const ORDERS_SOURCE: &str = "kind: source\nname: orders\nhttp: {}\ncontract: orders@1\n";
const SHOPS: &str = "\
kind: feature_view
name: shops
entity: shop
from: orders
time: ordered_at
features:
  sum_30d: {sum: amount, window: 30d}
  last: {latest: amount, ttl: 30d}
";

fn orders() -> Project {
    Project::with(&[
        ("seawall.yaml", "kind: project\nname: shop\n"),
        ("contracts/orders.odcs.yaml", ORDERS),
        ("orders.yaml", ORDERS_SOURCE),
        ("shops.yaml", SHOPS),
    ])
}

fn write(project: &Project, path: &str, text: &str) {
    std::fs::write(project.path().join(path), text).unwrap();
}

fn send(project: &Project, rows: &[Value]) {
    let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
    write(project, "rows.ndjson", &lines);
    let said = project.run(&["ingest", "orders", &project.path().join("rows.ndjson").display().to_string()]);
    said.expect(0);
}

fn rows(project: &Project, sql: &str) -> Value {
    project.run(&["query", sql, "--output", "json"]).expect(0).json()["rows"].clone()
}

#[test]
fn a_difference_is_told_with_whom_it_breaks_and_what_it_reaches() {
    let project = Project::events();
    project.run(&["apply"]).expect(0);
    let stricter = EVENTS_CONTRACT
        .replace("maximum: 1000", "maximum: 10")
        .replace("      - {name: user_id", "      - {name: city, logicalType: string}\n      - {name: user_id");
    write(&project, "next.odcs.yaml.txt", &stricter);
    let next = project.path().join("next.odcs.yaml.txt").display().to_string();
    let said = project.run(&["contract", "diff", "applied", &next, "--output", "json"]).expect(1).json();
    assert_eq!((&said["needs"], &said["moves"], &said["ok"]), (&json!("major"), &json!("none"), &json!(false)));
    let change = |key: &str| {
        let changes = said["changes"].as_array().unwrap();
        changes.iter().find(|change| change["key"] == key).unwrap_or_else(|| panic!("{said}")).clone()
    };
    assert_eq!((&change("maximum")["breaks"], &change("property")["breaks"]), (&json!("producers"), &json!("nobody")));
    let reached: Vec<String> = change("maximum")["reaches"]["features"]
        .as_array()
        .unwrap()
        .iter()
        .map(|feature| feature["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(reached, ["users@1.last_amount", "users@1.sum_24h"]);
    write(&project, "major.txt", &stricter.replace("version: 1.0.0", "version: 2.0.0"));
    let major = project.path().join("major.txt").display().to_string();
    let text = project.run(&["contract", "diff", "applied", &major]).expect(0).stdout;
    assert!(text.contains("breaks producers: events.amount maximum: <= 1000 -> <= 10"), "{text}");
    assert!(text.contains("reaches features users@1.last_amount"), "{text}");
    project.run(&["contract", "diff", "applied", &major, "--strict"]).expect(1);
    project.run(&["contract", "diff", "nowhere.yaml", &major]).expect(2);
    write(&project, "other.txt", &stricter.replace("id: events", "id: others"));
    let other = project.path().join("other.txt").display().to_string();
    assert!(project.run(&["contract", "diff", "applied", &other]).expect(2).stderr.contains("SW0251"));
}

#[test]
fn a_wider_decimal_is_applied_by_itself_and_older_versions_stay() {
    let project = orders();
    let first = project.run(&["apply", "--output", "json"]).expect(0).json()["revision"].as_str().unwrap().to_owned();
    let at = SystemClock.now().to_string();
    send(&project, &[json!({"id": 1, "ordered_at": at, "shop": "a", "amount": 899.99})]);
    let wider = ORDERS.replace("decimal(5,2)", "decimal(12,2)").replace("maximum: 900", "maximum: 9000000");
    write(&project, "contracts/orders.odcs.yaml", &wider);
    let plan = project.run(&["plan", "--output", "json"]).expect(0).json();
    let contract = plan["plan"].as_array().unwrap().iter().find(|change| change["kind"] == "contract").unwrap();
    let breaks: Vec<&Value> = contract["evolution"].as_array().unwrap().iter().map(|one| &one["breaks"]).collect();
    assert_eq!(breaks, [&json!("nobody"), &json!("nobody")], "{contract}");
    project.run(&["apply"]).expect(0);
    send(&project, &[json!({"id": 2, "ordered_at": at, "shop": "a", "amount": 1234567.89})]);
    let all = rows(&project, "select id, cast(amount as varchar) as amount from orders order by id");
    assert_eq!(all, json!([{"id": 1, "amount": "899.99"}, {"id": 2, "amount": "1234567.89"}]));
    let versions = project.run(&["table", "versions", "orders", "--output", "json"]).expect(0).json();
    let widened: Vec<&Value> =
        versions["versions"].as_array().unwrap().iter().filter(|one| one["operation"] == "CHANGE COLUMN").collect();
    assert_eq!(widened.len(), 1, "{versions}");
    assert_eq!((&widened[0]["added_files"], &widened[0]["removed_files"]), (&json!(1), &json!(1)), "{versions}");
    let asked = ["features", "get", "shops", "--entity", "shop=a", "--output", "json"];
    let said = project.run(&asked).expect(0).stdout;
    assert!(said.contains("1235467.88"), "{said}");
    project.run(&["verify", "data"]).expect(0);
    // The table stays as wide as it is when the narrower contract becomes active again.
    project.run(&["rollback", "revision", &first, "--reason", "a test"]).expect(0);
    send(&project, &[json!({"id": 3, "ordered_at": at, "shop": "a", "amount": 1})]);
    assert_eq!(rows(&project, "select count(*) as n from orders"), json!([{"n": 3}]));
}

#[test]
fn producers_of_two_versions_run_side_by_side() {
    let project = orders();
    project.run(&["apply"]).expect(0);
    let at = "2026-01-01T00:00:00Z";
    send(&project, &[json!({"id": 1, "ordered_at": at, "shop": "a", "amount": 1.5})]);
    let next = ORDERS.replace("version: 1.0.0", "version: 2.0.0").replace(
        "    customProperties:\n",
        "      - {name: currency, logicalType: string, required: true}\n    customProperties:\n",
    );
    write(&project, "contracts/orders.odcs.yaml", &next.replace("2.0.0", "1.1.0"));
    let said = project.run(&["apply"]).expect(2);
    assert!(said.stderr.contains("SW0912") && said.stderr.contains("orders.currency is new"), "{}", said.stderr);
    write(&project, "contracts/orders.odcs.yaml", &next);
    let moved = ORDERS_SOURCE.replace("orders@1", "orders@2");
    write(&project, "orders.yaml", &moved);
    let said = project.run(&["plan"]).expect(2);
    assert!(said.stderr.contains("SW1701") && said.stderr.contains("map"), "{}", said.stderr);
    let adapter = "---\nkind: source\nname: orders_v1\nfiles: {path: old.ndjson, format: ndjson}\ncontract: orders@2\n\
                   map: orders_v1.sql\n";
    write(&project, "orders_v1.sql", "select id, ordered_at, shop, amount, 'EUR' as currency from input\n");
    let old = json!({"id": 2, "ordered_at": at, "shop": "a", "amount": 2.5});
    write(&project, "old.ndjson", &format!("{old}\n"));
    write(&project, "orders.yaml", &format!("{moved}{adapter}"));
    let plan = project.run(&["plan"]).expect(0).stdout;
    assert!(plan.contains("orders.currency is new (breaks producers and consumers"), "{plan}");
    project.run(&["apply"]).expect(0);
    send(&project, &[json!({"id": 3, "ordered_at": at, "shop": "a", "amount": 3.5, "currency": "SEK"})]);
    project.run(&["run"]).expect(0);
    let all = rows(&project, "select id, currency from orders order by id");
    assert_eq!(all, json!([{"id": 1, "currency": null}, {"id": 2, "currency": "EUR"}, {"id": 3, "currency": "SEK"}]));
    let quarantined = rows(&project, "select count(*) as n from orders__quarantine");
    assert_eq!(quarantined, json!([{"n": 0}]));
}

#[test]
fn drafts_promise_nothing_and_waived_adapters_are_not_asked_for() {
    let project = orders();
    let draft = ORDERS.replace("status: active", "status: draft");
    write(&project, "contracts/orders.odcs.yaml", &draft);
    project.run(&["apply"]).expect(0);
    write(&project, "contracts/orders.odcs.yaml", &ORDERS.replace("maximum: 900", "maximum: 9"));
    project.run(&["apply"]).expect(0);
    // From here on it is active.
    write(&project, "contracts/orders.odcs.yaml", &ORDERS.replace("maximum: 900", "maximum: 8"));
    assert!(project.run(&["apply"]).expect(2).stderr.contains("SW0912"));
    let next = ORDERS.replace("version: 1.0.0", "version: 2.0.0").replace(
        "    customProperties:\n",
        "      - {name: currency, logicalType: string, required: true}\n    customProperties:\n",
    );
    write(&project, "orders.yaml", &ORDERS_SOURCE.replace("orders@1", "orders@2"));
    write(&project, "contracts/orders.odcs.yaml", &next);
    assert!(project.run(&["apply"]).expect(2).stderr.contains("SW1701"));
    let waived = format!("{next}customProperties:\n  - {{property: seawall.adapter, value: none}}\n");
    write(&project, "contracts/orders.odcs.yaml", &waived);
    project.run(&["apply"]).expect(0);
}

#[test]
fn uses_that_a_contract_does_not_permit_are_refused() {
    let permits = |column: &str, list: &str| {
        let property = format!("{{name: {column}, ");
        let with = format!("{{name: {column}, customProperties: [{{property: seawall.permits, value: {list}}}], ");
        assert!(EVENTS_CONTRACT.contains(&property));
        let contract = EVENTS_CONTRACT.replace(&property, &with);
        let model = "kind: model\nname: next_amount\ntraining_set: next_amount\npositive: label > 10\n";
        let project = Project::with(&[
            ("seawall.yaml", "kind: project\nname: events\n"),
            ("contracts/events.odcs.yaml", &contract),
            ("declarations.yaml", EVENTS_DECLARATIONS),
            ("model.yaml", model),
        ]);
        let said = project.run(&["plan"]);
        (said.code, said.stderr)
    };
    let check = |column: &str, list: &str, code: i32, parts: &[&str]| {
        let (got, said) = permits(column, list);
        assert_eq!(got, code, "{column} {list}: {said}");
        parts.iter().for_each(|part| assert!(said.contains(part), "{column} {list}: {said}"));
    };
    check("user_id", "[key]", 0, &[]);
    check("user_id", "[]", 2, &["SW1702", "feature view users@1 uses it as key"]);
    check("amount", "[copy, aggregate, expression, label, model]", 0, &[]);
    check("amount", "[aggregate, expression, label, model]", 2, &["SW1702", "users@1.last_amount uses it as copy"]);
    check("amount", "[copy, aggregate, label, model]", 2, &["SW1702", "context doubled uses it as expression"]);
    check("amount", "[copy, aggregate, expression, label]", 2, &["SW1702", "model next_amount"]);
    check("amount", "[resell]", 2, &["SW1703", "resell"]);
}
