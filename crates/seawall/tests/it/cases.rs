//! `seawall test`, `contract infer`, `contract generate`: through the binary, with wrong input, too.

use serde_json::{Value, json};

use crate::support::{EVENTS_CONTRACT, EVENTS_DECLARATIONS, Project, run};

const CASES: &str = r#"kind: test
name: an_amount_beyond_the_limit_is_stopped
given:
  events:
    - {event_id: e1, happened_at: "2026-01-01T10:00:00Z", user_id: u1, amount: 5}
    - {event_id: e2, happened_at: "2026-01-01T10:00:00Z", user_id: u1, amount: 5000}
    - {event_id: e3, happened_at: someday, user_id: u1}
expect:
  accepted:
    - {event_id: e1, amount: 5.0, happened_at: "2026-01-01T11:00:00+01:00"}
  quarantined:
    - {row: 1, reasons: [maximum amount]}
    - {row: 2, reasons: [type happened_at]}
---
kind: test
name: a_user_sums_a_day
given:
  events:
    - {event_id: e1, happened_at: "2026-01-01T10:00:00Z", user_id: u1, amount: 5}
    - {event_id: e2, happened_at: "2026-01-01T11:00:00Z", user_id: u1, amount: 7}
    - {event_id: e3, happened_at: "2026-01-01T11:00:00Z", user_id: u2, amount: 9}
when: {feature_view: users, entity: {user_id: u1}, at: "2026-01-01T12:00:00Z"}
expect: {values: {n_24h: 2, sum_24h: 12, last_amount: 7}}
---
kind: test
name: old_events_are_adapted
given:
  events:
    - {id: 7, day: "2026-01-01", who: u1, cents: 1250}
    - {id: 8, day: "2026-01-01", who: null, cents: 1}
when: {source: old}
expect:
  accepted: [{event_id: "7", amount: 12.5, happened_at: "2026-01-01T00:00:00Z"}]
  quarantined: [{row: 1, reasons: [required]}]
"#;
const OLD: &str =
    "---\nkind: source\nname: old\nfiles: {path: old.ndjson, format: ndjson}\ncontract: events@1\nmap: old.sql\n";
const OLD_MAP: &str = "select id as event_id, day || 'T00:00:00Z' as happened_at, who as user_id, cast(cents as double) / 100 as amount from input\n";

fn project(cases: &str) -> Project {
    Project::with(&[
        ("seawall.yaml", "kind: project\nname: events\n"),
        ("contracts/events.odcs.yaml", EVENTS_CONTRACT),
        ("declarations.yaml", &format!("{EVENTS_DECLARATIONS}{OLD}")),
        ("old.sql", OLD_MAP),
        ("tests/events.yaml", cases),
    ])
}

#[test]
fn cases_hold_and_rules_that_no_case_breaks_are_told() {
    let project = project(CASES);
    let report = project.path().join("report.xml");
    let said = project.run(&["test", "--junit", report.to_str().unwrap(), "--output", "json"]).expect(0).json();
    assert_eq!(said["ok"], true, "{said}");
    assert_eq!(said["cases"].as_array().unwrap().len(), 3);
    let coverage = &said["coverage"][0];
    let never: Vec<&str> =
        coverage["never_broken"].as_array().unwrap().iter().map(|rule| rule.as_str().unwrap()).collect();
    assert!(never.contains(&"minimum amount") && !never.contains(&"maximum amount"), "{said}");
    assert!(std::fs::read_to_string(report).unwrap().contains("tests=\"3\" failures=\"0\""));
    project.run(&["test", "--all-rules"]).expect(1);
    assert!(project.run(&["test", "--only", "sums"]).expect(0).stdout.contains("1 cases, 0 failed"));
    assert!(!project.path().join(".seawall/data").exists(), "tests touch no data");
}

#[test]
fn a_failed_case_tells_every_difference() {
    let wrong = CASES
        .replace("reasons: [maximum amount]", "reasons: [minimum amount]")
        .replace("sum_24h: 12", "sum_24h: 13")
        .replace("{event_id: \"7\", amount: 12.5,", "{event_id: \"7\", amount: 1250, currency: EUR,");
    let project = project(&wrong);
    let report = project.path().join("report.xml");
    let text = project.run(&["test", "--junit", report.to_str().unwrap()]).expect(1).stdout;
    for part in [
        "FAILED  an_amount_beyond_the_limit_is_stopped",
        "row 1: - minimum amount (it is stopped by maximum amount)",
        "row 1: + maximum amount",
        "values: sum_24h is 12.0, expected 13",
        "accepted row 0: amount is 12.5, expected 1250",
        "accepted row 0: there is no currency",
        "3 cases, 3 failed",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    let xml = std::fs::read_to_string(report).unwrap();
    assert!(xml.contains("failures=\"3\"") && xml.contains("<failure message=\"row 1: - minimum amount"), "{xml}");
}

#[test]
fn wrong_cases_say_what_is_wrong() {
    let check = |from: &str, to: &str, part: &str| {
        assert!(CASES.contains(from), "{from}");
        let text = project(&CASES.replace(from, to)).run(&["test"]).expect(1);
        assert!(
            text.stdout.contains(part) || text.stderr.contains(part),
            "{part} is missing in\n{}{}",
            text.stdout,
            text.stderr
        );
    };
    check("when: {source: old}", "when: {source: new}", "SW0810");
    check("when: {source: old}", "when: {sauce: old, source: old}", "SW1720");
    check("{feature_view: users,", "{feature_view: nobody,", "there is no feature view");
    check("at: \"2026-01-01T12:00:00Z\"", "at: noon", "no instant");
    check("expect: {values:", "expect: {valves:", "`expect` has no key `valves`");
    check("amount: 9}", "amount: -9}", "is stopped at the gate");
    check("amount: 5000}", "amound: 5000}", "amound");
}

#[test]
fn a_new_project_has_cases_that_hold() {
    let folder = tempfile::tempdir().unwrap();
    let shop = folder.path().join("shop").display().to_string();
    run(&["init", &shop]).expect(0);
    let said = run(&["-C", &shop, "test", "--output", "json"]).expect(0).json();
    assert_eq!((&said["ok"], said["cases"].as_array().unwrap().len()), (&json!(true), 2), "{said}");
}

#[test]
fn generated_rows_break_exactly_what_was_asked_for() {
    let project = Project::events();
    let contract = project.path().join("contracts/events.odcs.yaml").display().to_string();
    let at = |name: &str| project.path().join(name).display().to_string();
    let (rows, truth) = (at("rows.ndjson"), at("truth.ndjson"));
    let generate = |rows: &str, seed: &str| {
        let asked = ["contract", "generate", &contract, "--rows", "5000", "--violations", "1%", "--seed", seed];
        run(&[&asked[..], &["--to", rows, "--truth", &truth, "--output", "json"]].concat()).expect(0).json()
    };
    let said = generate(&rows, "7");
    assert_eq!((&said["rows"], &said["violations"]), (&json!(5000), &json!(50)), "{said}");
    let again = at("again.ndjson");
    generate(&again, "7");
    assert_eq!(std::fs::read(&rows).unwrap(), std::fs::read(&again).unwrap());
    let judged = run(&["contract", "test", &contract, &rows, "--output", "json"]).expect(1).json();
    assert_eq!((&judged["rows"], &judged["stopped"]), (&json!(5000), &json!(50)), "{judged}");
    for rule in said["rules"].as_array().unwrap() {
        let same = |one: &&Value| one["rule"] == rule["rule"] && one["column"] == rule["column"];
        let found = judged["rules"].as_array().unwrap().iter().find(same).unwrap_or_else(|| panic!("{rule}\n{judged}"));
        assert_eq!(found["offending"], rule["rows"], "{rule}");
    }
    let known = std::fs::read_to_string(&truth).unwrap();
    assert_eq!(known.lines().count(), 50);
    run(&["contract", "generate", &contract, "--rows", "1", "--violations", "200%"]).expect(2);
    run(&["contract", "generate", &contract, "--rows", "1", "--output", "json"]).expect(2);
}

#[test]
fn a_first_contract_is_obeyed_by_the_file_that_it_was_made_of() {
    let project = Project::with(&[(
        "o.csv",
        "Order Id,when,amount,note\n1,2026-01-01T00:00:00Z,1.5,a\n2,2026-01-02T00:00:00Z,NA,b\n",
    )]);
    let data = project.path().join("o.csv").display().to_string();
    let contract = project.path().join("orders.odcs.yaml").display().to_string();
    let asked =
        ["contract", "infer", &data, "--name", "orders", "--key", "Order Id", "--time", "when", "--to", &contract];
    let said = run(&[&asked[..], &["--output", "json"]].concat()).expect(0).json();
    let amount =
        said["profile"].as_array().unwrap().iter().find(|column| column["column"] == "amount").unwrap().clone();
    assert_eq!((&amount["rows"], &amount["nulls"], &amount["distinct"]), (&json!(2), &json!(1), &json!(1)), "{said}");
    let text = std::fs::read_to_string(&contract).unwrap();
    assert!(text.contains("seen: 50.0% null, 1 different, from 1.5 to 1.5"), "{text}");
    assert!(text.contains("physicalName: Order Id"), "{text}");
    let judged = run(&["contract", "test", &contract, &data, "--null", "NA", "--output", "json"]).expect(0).json();
    assert_eq!((&judged["rows"], &judged["stopped"]), (&json!(2), &json!(0)), "{judged}");
    assert!(run(&["contract", "infer", &data, "--key", "nothing"]).expect(2).stderr.contains("SW0147"));
}

#[test]
fn contracts_go_out_and_come_back() {
    let project = Project::events();
    let contract = project.path().join("contracts/events.odcs.yaml").display().to_string();
    let at = |name: &str| project.path().join(name).display().to_string();
    let (schema, sql, page) = (at("events.schema.json"), at("events.sql"), at("events.html"));
    for (form, file) in [("jsonschema", &schema), ("sql", &sql), ("html", &page)] {
        run(&["contract", "export", &contract, "--form", form, "--to", file]).expect(0);
    }
    run(&["contract", "export", &contract, "--form", "sql", "--strict"]).expect(1);
    assert!(std::fs::read_to_string(&page).unwrap().contains("must be at most 1000"));
    for (form, file, back) in [("jsonschema", &schema, at("a.odcs.yaml")), ("sql", &sql, at("b.odcs.yaml"))] {
        run(&["contract", "import", file, "--form", form, "--name", "events", "--to", &back]).expect(0);
        run(&["contract", "lint", &back]).expect(0);
        let diff = run(&["contract", "diff", &contract, &back, "--output", "json"]);
        let diff = if diff.code == 0 { diff } else { diff.expect(1) }.json();
        let keys: Vec<&str> =
            diff["changes"].as_array().unwrap().iter().map(|one| one["key"].as_str().unwrap()).collect();
        // Columns, types and limits are those that went out; the key too, where the form has one.
        let expressed = ["property", "logicalType", "minimum", "maximum", "required"];
        assert!(!keys.iter().any(|key| expressed.contains(key)), "{form}: {diff}");
        assert_eq!(keys.contains(&"primaryKey"), form == "jsonschema", "{form}: {diff}");
    }
    let ddl = "create table shop.orders (id bigint primary key, state varchar(10) not null default 'x' check (state in ('a','b')),\n\
               price numeric(10,2) check (price >= 0 and price < 100), place geometry, check (id between 1 and 9));\ndrop table x;";
    std::fs::write(at("shop.sql"), ddl).unwrap();
    let said = run(&["contract", "import", &at("shop.sql"), "--form", "sql", "--output", "json"]).expect(0).json();
    let text = said["contract"].as_str().unwrap();
    for part in ["decimal(10,2)", "exclusiveMaximum: 100", "maxLength: 10", "minimum: 1", "primaryKey: true"] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    let lost: Vec<&str> = said["lost"].as_array().unwrap().iter().map(|lost| lost["what"].as_str().unwrap()).collect();
    assert_eq!(lost.len(), 3, "the default, the type and the drop: {lost:?}");
    std::fs::write(at("wrong.sql"), "select 1").unwrap();
    assert!(run(&["contract", "import", &at("wrong.sql"), "--form", "sql"]).expect(2).stderr.contains("SW1731"));
    std::fs::write(at("wrong.json"), "[1]").unwrap();
    assert!(
        run(&["contract", "import", &at("wrong.json"), "--form", "jsonschema"]).expect(2).stderr.contains("SW1730")
    );
}
