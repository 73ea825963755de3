//! Tables through the binary: small files, versions, and what is bound to them.

use crate::support::Project;

/// Sends `count` events, each by a command of its own, so that each makes a commit.
fn ingest(project: &Project, from: u32, count: u32) {
    for number in from..from + count {
        let event = format!(
            "{{\"event_id\": \"e{number}\", \"happened_at\": \"2024-05-01T08:{:02}:00Z\", \"user_id\": \"u1\", \"amount\": {number}}}\n",
            number % 60
        );
        let file = project.path().join("events.ndjson");
        std::fs::write(&file, event).unwrap();
        project.run(&["ingest", "events", file.to_str().unwrap()]).expect(0);
    }
}

fn sum(project: &Project, more: &[&str]) -> serde_json::Value {
    let mut arguments = vec!["query", "select count(*) as n, sum(amount) as total from events", "--output", "json"];
    arguments.extend(more);
    project.run(&arguments).expect(0).json()["rows"][0].clone()
}

#[test]
fn small_files_are_merged_and_old_versions_given_up_but_for_what_is_bound() {
    let project = Project::events();
    let settings = "kind: project\nname: events\ntables: {similar_files: 3, keep_versions: 20d}\n";
    std::fs::write(project.path().join("seawall.yaml"), settings).unwrap();
    project.run(&["apply"]).expect(0);
    ingest(&project, 0, 4);
    let built = project.run(&["training-set", "build", "next_amount", "--output", "json"]).expect(0).json();
    let bound = sum(&project, &[]);
    ingest(&project, 4, 3);
    let listed = project.run(&["table", "list", "--output", "json"]).expect(0).json();
    let of_events = |listed: &serde_json::Value| {
        let tables = listed.get("table_files").unwrap_or(&listed["tables"]).as_array().unwrap();
        tables.iter().find(|table| table["table"] == "events").unwrap()["files"].clone()
    };
    assert_eq!((&of_events(&listed)["files"], &of_events(&listed)["to_merge"]), (&7.into(), &7.into()), "{listed}");
    let status = project.run(&["status", "--output", "json"]).expect(0).json();
    assert_eq!(of_events(&status)["to_merge"], 7, "{status}");

    let before = sum(&project, &[]);
    let merged = project.run(&["table", "compact", "events", "--output", "json"]).expect(0).json();
    assert_eq!((&merged["merged_files"], &merged["written_files"]), (&7.into(), &1.into()), "{merged}");
    assert_eq!(sum(&project, &[]), before, "rows stay");
    let again = project.run(&["table", "compact", "events"]).expect(0);
    assert!(again.stdout.contains("no files to merge"), "{}", again.stdout);
    let versions = project.run(&["table", "versions", "events", "--output", "json"]).expect(0).json();
    let mut operations =
        versions["versions"].as_array().unwrap().iter().map(|version| version["operation"].as_str().unwrap());
    assert_eq!(operations.next_back(), Some("OPTIMIZE"), "{versions}");

    let version = built["fingerprint"]["inputs"].as_array().unwrap().iter().find(|input| input["table"] == "events");
    let version = version.unwrap_or_else(|| panic!("{built}"))["version"].as_u64().unwrap();
    let planned = project.run(&["table", "vacuum", "events", "--keep", "0s", "--output", "json"]).expect(0).json();
    assert_eq!(planned["done"], false);
    assert_eq!(sum(&project, &["--at-version", "events=1"])["n"], 1, "a plan removes nothing");
    let vacuum =
        project.run(&["table", "vacuum", "events", "--keep", "0s", "--run", "--output", "json"]).expect(0).json();
    assert_eq!(vacuum["vacuum"]["pinned"], serde_json::json!([version]), "{vacuum}");
    assert!(vacuum["vacuum"]["data_files"].as_u64().unwrap() >= 3, "{vacuum}");
    assert_eq!(sum(&project, &[]), before);
    assert_eq!(sum(&project, &["--at-version", &format!("events={version}")]), bound, "what is bound stays readable");
    let gone = project.run(&["query", "select * from events", "--at-version", "events=1"]);
    assert!(gone.stderr.contains("SW0517"), "{}", gone.stderr);
    ingest(&project, 7, 1);
    assert_eq!(sum(&project, &[])["n"], 8);
    let audit = project.run(&["audit", "--output", "json"]).expect(0).stdout;
    assert!(audit.contains("vacuum_table"), "a vacuum is announced: {audit}");
}

#[test]
fn tables_do_not_move_by_accident() {
    let project = Project::events();
    project.run(&["apply"]).expect(0);
    let elsewhere = project.run(&["status", "--tables", "s3://other/place"]);
    assert!(elsewhere.stderr.contains("SW0534"), "{}", elsewhere.stderr);
    let empty = Project::events();
    let nowhere = empty.run(&["apply", "--tables", "gs://other"]);
    assert!(nowhere.stderr.contains("SW0519"), "{}", nowhere.stderr);
}
