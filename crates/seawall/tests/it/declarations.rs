//! Declarations through the binary: typos, plans, revisions.

use crate::support::{EVENTS_CONTRACT, EVENTS_DECLARATIONS, Project};

#[test]
fn a_typo_gets_file_line_column_and_remedy() {
    let typo = EVENTS_DECLARATIONS.replace("{sum: amount,", "{summ: amount,");
    let project = Project::with(&[
        ("seawall.yaml", "kind: project\nname: events\n"),
        ("contracts/events.odcs.yaml", EVENTS_CONTRACT),
        ("declarations.yaml", &typo),
    ]);
    let said = project.run(&["check"]).expect(1);
    assert!(said.stderr.contains("declarations.yaml:13:"), "{}", said.stderr);
    assert!(said.stderr.contains("sum"), "{}", said.stderr);
    let json = project.run(&["check", "--output", "json"]).expect(1).json();
    assert_eq!(json["diagnostics"][0]["line"], 13);
    project.run(&["apply"]).expect(1);
}

#[test]
fn a_changed_view_gets_the_next_version_and_the_bound_one_stays() {
    let project = Project::events();
    let plan = project.run(&["plan", "--detailed-exitcode", "--output", "json"]).expect(3).json();
    assert_eq!(plan["changes"], true);
    let first = project.run(&["apply", "--output", "json"]).expect(0).json();
    project.run(&["plan", "--detailed-exitcode"]).expect(0);

    let changed = EVENTS_DECLARATIONS.replace("window: 24h}\n  last", "window: 48h}\n  last");
    std::fs::write(project.path().join("declarations.yaml"), changed).unwrap();
    assert_eq!(project.run(&["status", "--output", "json"]).expect(0).json()["declarations_differ"], true);
    let second = project.run(&["apply", "--output", "json"]).expect(0).json();
    assert_ne!(first["revision"], second["revision"]);
    let views = project.run(&["status", "--output", "json"]).expect(0).json()["feature_views"].clone();
    assert_eq!(views, serde_json::json!(["users@1", "users@2"]));
}

#[test]
fn a_plan_tells_what_differs_and_whom_it_reaches() {
    let project = Project::events();
    let model = "kind: model\nname: next_amount\ntraining_set: next_amount\nowner: risk\npositive: label > 10\n";
    std::fs::write(project.path().join("model.yaml"), model).unwrap();
    let first = project.run(&["plan"]).expect(0).stdout;
    assert!(first.contains("+ model next_amount: declared"), "{first}");
    assert!(!first.contains("reaches"), "{first}");
    project.run(&["apply"]).expect(0);
    let contract = EVENTS_CONTRACT.replace("maximum: 1000", "maximum: 2000");
    std::fs::write(project.path().join("contracts/events.odcs.yaml"), contract).unwrap();
    let plan = project.run(&["plan"]).expect(0).stdout;
    assert!(plan.contains("properties.amount.logicalTypeOptions.maximum: 1000 -> 2000"), "{plan}");
    let reached = "    reaches features users@1.last_amount, users@1.sum_24h; training set next_amount; model next_amount (owner risk)\n";
    assert!(plan.contains(reached), "{plan}");
    let json = project.run(&["plan", "--output", "json"]).expect(0).json();
    let changed = json["plan"].as_array().unwrap().iter().find(|change| change["what"] == "changed").unwrap();
    assert_eq!(changed["effect"]["models"], serde_json::json!([{"name": "next_amount", "owner": "risk"}]));
    assert_eq!(changed["differences"][0]["to"], "2000");
    assert_eq!(json["access"], serde_json::json!([]));
    let lineage = project.run(&["lineage", "next_amount", "--output", "json"]).expect(0).stdout;
    assert!(lineage.contains("\"score\""), "{lineage}");
}

#[test]
fn a_new_view_is_filled_from_the_tables_and_a_running_server_switches_to_it() {
    let project = Project::events();
    project.run(&["apply"]).expect(0);
    let server = project.serve(&[]);
    let now = server.get("/v1/status").1;
    let now: serde_json::Value = serde_json::from_str(&now).unwrap();
    let event =
        format!("{{\"event_id\": \"e1\", \"happened_at\": {}, \"user_id\": \"u1\", \"amount\": 7}}\n", now["now"]);
    assert_eq!(server.post("/v1/datasets/events/events", &event).0, 200);
    let more = format!(
        "{EVENTS_DECLARATIONS}---\nkind: feature_view\nname: totals\nentity: user_id\nfrom: events\ntime: happened_at\nfeatures:\n  largest: {{max: amount, window: 30d}}\n"
    );
    std::fs::write(project.path().join("declarations.yaml"), more).unwrap();
    project.run(&["apply"]).expect(0);
    for _ in 0..100 {
        let (status, answer) =
            server.post("/v1/features", "{\"views\": [\"totals@1\"], \"rows\": [{\"user_id\": \"u1\"}]}");
        if status == 200 {
            assert_eq!(answer["views"][0]["rows"][0]["largest"], 7.0);
            server.terminate();
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("the server did not switch");
}

#[test]
fn contracts_evolve_compatibly_and_breaking_changes_are_refused() {
    let project = Project::events();
    project.run(&["apply"]).expect(0);
    let event = |id: &str, more: &str| {
        let path = project.path().join("rows.ndjson");
        let row = format!(
            "{{\"event_id\": \"{id}\", \"happened_at\": \"2026-01-01T00:00:00Z\", \"user_id\": \"u1\", \"amount\": 5{more}}}\n"
        );
        std::fs::write(&path, row).unwrap();
        project.run(&["ingest", "events", &path.display().to_string()])
    };
    event("e1", "").expect(0);
    let contract = project.path().join("contracts/events.odcs.yaml");
    let retyped = EVENTS_CONTRACT.replace(
        "{name: amount, logicalType: number, logicalTypeOptions: {minimum: 0, maximum: 1000}}",
        "{name: amount, logicalType: string}",
    );
    assert_ne!(retyped, EVENTS_CONTRACT);
    std::fs::write(&contract, retyped.replace("sum_24h", "n")).unwrap();
    let said = project.run(&["apply"]);
    assert_ne!(said.code, 0, "{}", said.stdout);

    let wider = EVENTS_CONTRACT
        .replace(
            "      - {name: user_id, logicalType: string, required: true}",
            "      - {name: user_id, logicalType: string, required: true}\n      - {name: city, logicalType: string}",
        )
        .replace("maximum: 1000", "maximum: 5000");
    std::fs::write(&contract, &wider).unwrap();
    project.run(&["apply"]).expect(0);
    event("e2", ", \"city\": \"Porto\"").expect(0);
    let sql = "select event_id, city from events order by event_id";
    let rows = project.run(&["query", sql, "--output", "json"]).expect(0).json()["rows"].clone();
    assert_eq!(rows, serde_json::json!([{"event_id": "e1", "city": null}, {"event_id": "e2", "city": "Porto"}]));

    let narrower = wider.replace("      - {name: city, logicalType: string}\n", "");
    std::fs::write(&contract, &narrower).unwrap();
    let said = project.run(&["apply"]).expect(2);
    assert!(said.stderr.contains("SW0912") && said.stderr.contains("events.city is gone"), "{}", said.stderr);
    std::fs::write(&contract, narrower.replace("version: 1.0.0", "version: 2.0.0")).unwrap();
    let declarations = EVENTS_DECLARATIONS.replace("contract: events@1", "contract: events@2");
    std::fs::write(project.path().join("declarations.yaml"), declarations).unwrap();
    project.run(&["apply"]).expect(0);
    event("e3", "").expect(0);
}
