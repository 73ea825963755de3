//! Every subcommand: help with an example, JSON output, errors that tell what to do.

use crate::support::{Project, run};

#[test]
fn every_command_has_help_with_an_example() {
    let mut commands = 0;
    let mut to_visit = vec![Vec::<String>::new()];
    while let Some(command) = to_visit.pop() {
        let help = run(&[&command[..], &["--help".to_owned()]].concat()).expect(0).stdout;
        let below = subcommands(&help);
        // A group of commands does nothing by itself: its commands have the examples.
        let has_example = help.contains("Example") && help.contains("seawall");
        assert!(has_example || !below.is_empty(), "{command:?} shows no example:\n{help}");
        commands += 1;
        to_visit.extend(below.into_iter().map(|name| [&command[..], &[name]].concat()));
    }
    assert!(commands > 50, "{commands} commands were found");
}

/// The commands that a help text lists.
fn subcommands(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = lines.take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    let names = listed.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn a_reader_that_has_seen_enough_ends_the_command_quietly() {
    let mut child = crate::support::seawall()
        .args(["schema", "--kind", "source", "--print"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), String::from_utf8_lossy(&ended.stderr).as_ref()), (Some(141), ""));
}

#[test]
fn unknown_commands_and_flags_are_usage_errors() {
    let said = run(&["chekc"]).expect(2);
    assert!(said.stderr.contains("check"), "{}", said.stderr);
    run(&["check", "--colour"]).expect(2);
}

#[test]
fn looking_commands_answer_in_json_on_a_project_with_rows() {
    let project = Project::events();
    project.run(&["apply", "--output", "json"]).expect(0);
    let rows = "{\"event_id\": \"e1\", \"happened_at\": \"2026-01-01T00:00:00Z\", \"user_id\": \"u1\", \"amount\": 5}\n\
                {\"event_id\": \"e2\", \"happened_at\": \"2026-01-01T01:00:00Z\", \"user_id\": \"u1\", \"amount\": -5}\n";
    std::fs::write(project.path().join("rows.ndjson"), rows).unwrap();
    let file = project.path().join("rows.ndjson").display().to_string();
    let receipt = project.run(&["ingest", "events", &file, "--output", "json"]).expect(1).json();
    assert_eq!(receipt["counts"]["accepted"], 1);
    assert_eq!(receipt["counts"]["quarantined"], 1);
    assert_eq!(receipt["rows"][0]["reasons"][0]["column"], "amount");

    let status = project.run(&["status", "--output", "json"]).expect(0).json();
    assert_eq!(status["declarations_differ"], false);
    let counts = &status["datasets"].as_array().unwrap().iter().find(|d| d["dataset"] == "events").unwrap()["counts"];
    assert_eq!(counts["received"], 2);

    let answer = project.run(&["query", "select user_id, amount from events", "--output", "json"]).expect(0).json();
    assert_eq!(answer["rows"][0]["amount"], 5.0);
    let quality = project.run(&["query", "select * from system.quality_results", "--output", "json"]).expect(0).json();
    assert_eq!(quality["rows"][0]["column_name"], "amount");
    assert_eq!((&quality["rows"][0]["checked"], &quality["rows"][0]["score"]), (&2.into(), &0.5.into()));
    let quality = project.run(&["quality", "events", "--by", "hour", "--output", "json"]).expect(0).json();
    let hour = &quality["periods"][0];
    assert_eq!((&hour["counts"]["received"], &hour["score"]), (&2.into(), &0.5.into()), "{quality}");
    assert!(project.run(&["quality"]).expect(0).stdout.contains("50.00 %"));
    assert!(project.run(&["quality", "nothing"]).expect(2).stderr.contains("SW0813"));

    let stopped = project.run(&["quarantine", "list", "events", "--output", "json"]).expect(0).json();
    assert!(stopped["rows"][0]["_raw"].as_str().unwrap().contains("e2"));

    let edges = project.run(&["lineage", "next_amount", "--output", "json"]).expect(0).json();
    let edges = edges["edges"].as_array().unwrap();
    let has = |from: &str, to: &str| edges.iter().any(|e| e["from_column"] == from && e["to_column"] == to);
    assert!(has("amount", "doubled") && has("amount", "sum_24h") && has("sum_24h", "users__sum_24h"), "{edges:?}");

    let audit = project.run(&["audit", "--output", "json"]).expect(0).json();
    assert_eq!(audit["chain"], "intact");
    let features = project.run(&["features", "list", "--output", "json"]).expect(0).json();
    assert_eq!(features["views"][0]["view"], "users@1");
    let at = "2026-01-01T12:00:00Z";
    let got = project
        .run(&["features", "get", "users", "--entity", "user_id=u1", "--at", at, "--output", "json"])
        .expect(0)
        .json();
    assert_eq!(got["rows"][0]["n_24h"], 0, "the row arrived today: it was not known in January");

    let built = project.run(&["training-set", "build", "next_amount", "--output", "json"]).expect(0).json();
    assert_eq!(built["fingerprint"]["rows"], 1);
    let builds = project.run(&["training-set", "list", "next_amount", "--output", "json"]).expect(0).json();
    assert_eq!(builds["builds"].as_array().unwrap().len(), 1);
}

#[test]
fn wrong_input_tells_what_to_do() {
    let project = Project::events();
    let check = |arguments: &[&str], code: &str, hint: &str| {
        let said = project.run(arguments).expect(2);
        assert!(said.stderr.contains(&format!("error[{code}]")), "{arguments:?}: {}", said.stderr);
        assert!(said.stderr.contains(hint), "{arguments:?}: {}", said.stderr);
        let mut json = arguments.to_vec();
        json.extend(["--output", "json"]);
        let error = project.run(&json).expect(2).json();
        assert_eq!(error["error"]["code"], code, "{arguments:?}");
    };
    check(&["run"], "SW0897", "seawall apply");
    project.run(&["apply"]).expect(0);
    check(&["features", "get", "user", "--entity", "user_id=u1"], "SW0824", "users@1");
    check(&["features", "get", "users", "--entity", "user=u1"], "SW0870", "--entity user_id=VALUE");
    check(&["features", "explain", "users", "--entity", "user_id=u1"], "SW0908", "card.n_1h");
    check(&["training-set", "build", "nope"], "SW0812", "next_amount");
    check(&["ingest", "nope", "-"], "SW0813", "seawall status");
    check(&["explain", "SW9999"], "SW0903", "four digits");
    check(&["lineage", "nope"], "SW0905", "card@1");
    check(&["query", "delete from events"], "SW0521", "select");
    check(&["verify", "certificate", "missing.json"], "SW0907", "");
}

#[test]
fn every_code_that_an_error_prints_is_explained() {
    let said = run(&["explain", "SW0824"]).expect(0);
    assert!(said.stdout.contains("SW0824"));
    assert!(
        run(&["explain", "sw0821", "--output", "json"]).expect(0).json()["text"].as_str().unwrap().contains("halt")
    );
}

#[test]
fn tokens_are_shown_once_and_can_be_revoked() {
    let project = Project::events();
    let created = project.run(&[
        "token",
        "create",
        "--name",
        "checkout",
        "--role",
        "service",
        "--expires",
        "90d",
        "--output",
        "json",
    ]);
    let created = created.expect(0).json();
    assert!(created["secret"].as_str().unwrap().starts_with("sw_"));
    let id = created["id"].as_str().unwrap();
    let listed = project.run(&["token", "list"]).expect(0).stdout;
    assert!(listed.contains(id) && !listed.contains(created["secret"].as_str().unwrap()));
    project.run(&["token", "revoke", id]).expect(0);
    assert!(project.run(&["token", "list"]).expect(0).stdout.contains("revoked"));
    project.run(&["token", "create", "--name", "x", "--role", "king"]).expect(2);
}

#[test]
fn schemas_are_written_for_editors() {
    let project = Project::events();
    project.run(&["schema"]).expect(0);
    let text = std::fs::read_to_string(project.path().join(".seawall/schema/feature_view.json")).unwrap();
    assert!(text.contains("draft-07"), "{text}");
    let said = run(&["schema", "--kind", "feature_veiw", "--print"]).expect(2);
    assert!(said.stderr.contains("feature_view"), "{}", said.stderr);
}
