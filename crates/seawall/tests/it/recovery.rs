//! Starts that do not read the whole log: from checkpoints, over a log whose beginning was removed, without the features'
//! checkpoints, with damaged ones.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{EVENTS_CONTRACT, EVENTS_DECLARATIONS, Project, Server};

/// Small segments, frequent checkpoints.
const HASTY: [&str; 4] = ["--checkpoint-interval", "200ms", "--log-segment-kib", "64"];
const USERS: u64 = 7;

/// A project whose log keeps nothing that nobody needs.
fn project() -> Project {
    Project::with(&[
        ("seawall.yaml", "kind: project\nname: events\nlog_retention: 0s\n"),
        ("contracts/events.odcs.yaml", EVENTS_CONTRACT),
        ("declarations.yaml", EVENTS_DECLARATIONS),
    ])
}

/// Posts events `from..to` and returns how many were accepted; the others were there already.
fn post(server: &Server, from: u64, to: u64) -> u64 {
    let now = seawall_now();
    let mut accepted = 0;
    for start in (from..to).step_by(100) {
        let mut body = String::new();
        for number in start..to.min(start + 100) {
            let event =
                json!({"event_id": format!("e{number}"), "happened_at": now, "user_id": user(number), "amount": 1});
            body.push_str(&format!("{event}\n"));
        }
        let (status, receipt) = server.post("/v1/datasets/events/events", &body);
        assert_eq!(status, 200, "{receipt}");
        accepted += receipt["counts"]["accepted"].as_u64().unwrap();
    }
    accepted
}

/// The same for all events: a repeat must be equal to what was sent first.
fn seawall_now() -> &'static str {
    static NOW: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    NOW.get_or_init(|| {
        let output = std::process::Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    })
}

fn user(number: u64) -> String {
    format!("u{}", number % USERS)
}

/// How many events of `user` the features know.
fn counted(server: &Server, user: &str) -> u64 {
    let asked = json!({"views": ["users@1"], "rows": [{"user_id": user}]}).to_string();
    for _ in 0..1_000 {
        let (status, answer) = server.post("/v1/features", &asked);
        if status == 200 {
            return answer["views"][0]["rows"][0]["n_24h"].as_u64().unwrap();
        }
        // Features are refused until they are up to date.
        assert_eq!((status, answer["error"]["code"].as_str()), (503, Some("SW0445")), "{answer}");
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("features never get ready");
}

fn log_of(server: &Server) -> Value {
    serde_json::from_str::<Value>(&server.get("/v1/status").1).unwrap()["log"].take()
}

/// Posts until the log's beginning was removed, and returns the next event.
fn post_until_retired(server: &Server, mut next: u64) -> u64 {
    let before = log_of(server)["first_entry"].as_u64().unwrap();
    for _ in 0..900 {
        if log_of(server)["first_entry"].as_u64().unwrap() > before + 5 {
            return next;
        }
        assert_eq!(post(server, next, next + 500), 500);
        next += 500;
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("nothing is retired: {}", log_of(server));
}

fn check(server: &Server, events: u64) {
    let expected = |user: u64| (0..events).filter(|number| number % USERS == user).count() as u64;
    for user in 0..USERS {
        assert_eq!(counted(server, &format!("u{user}")), expected(user), "u{user} of {events} events");
    }
    assert_eq!(post(server, 0, events.min(300)), 0, "the oldest events are known");
    assert_eq!(post(server, events - 100, events), 0, "the newest events are known");
}

fn state(project: &Project, of: &str) -> PathBuf {
    project.path().join(".seawall/data").join(of)
}

/// Flips a bit in the newest manifest of a folder.
fn damage_newest(folder: &Path) {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let newest =
        names.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("manifest-")).max().unwrap();
    let mut bytes = std::fs::read(&newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(newest, bytes).unwrap();
}

#[test]
fn starts_over_a_log_whose_beginning_is_gone() {
    let project = project();
    project.run(&["apply"]).expect(0);
    let server = project.serve(&HASTY);
    let mut events = post_until_retired(&server, 0);
    check(&server, events);
    server.kill();

    // From the checkpoints.
    let server = project.serve(&HASTY);
    check(&server, events);
    events = post_until_retired(&server, events);
    let (_, metrics) = server.get("/metrics");
    assert!(metrics.contains("seawall_log_needed_from_entry{by=\"tables\"}"), "{metrics}");
    server.kill();
    let kept = project.run(&["status", "--output", "json"]).expect(0).json()["log"].take();
    assert!(kept["first"].as_u64().unwrap() > 0, "{kept}");

    // Without the features' checkpoints: what the log does not have comes from the tables.
    std::fs::remove_dir_all(state(&project, "online")).unwrap();
    let server = project.serve(&HASTY);
    check(&server, events);
    server.kill();

    // From the checkpoints before the newest.
    damage_newest(&state(&project, "state/order"));
    damage_newest(&state(&project, "state/monitor"));
    let server = project.serve(&HASTY);
    check(&server, events);
    server.terminate();

    let sql = "select count(*) as n, count(distinct event_id) as d from events";
    let answer = project.run(&["query", sql, "--output", "json"]).expect(0).json();
    assert_eq!(answer["rows"][0], json!({"n": events, "d": events}));

    // With nothing that tells what the removed entries held, a start is refused.
    std::fs::remove_dir_all(state(&project, "state")).unwrap();
    let refused = project.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("SW0443"), "{}", refused.stderr);
}
