//! `verify data`: file surgery on the folder of a real project. Whatever is changed is found.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Project, Said, Server};

/// What a server's clock shows.
pub fn now(server: &Server) -> String {
    let status: Value = serde_json::from_str(&server.get("/v1/status").1).unwrap();
    status["now"].as_str().unwrap().to_owned()
}

/// Features of two users, as served for decisions of the present.
pub fn features(server: &Server) -> Vec<Value> {
    // After a start on a busy machine features are refused until they are up to date.
    server.folded();
    let rows =
        json!([{"event_id": "x1", "user_id": "u1", "amount": 3.0}, {"event_id": "x3", "user_id": "u3", "amount": 3.0}]);
    let (status, answer) =
        server.post("/v1/features", &json!({"training_set": "next_amount", "rows": rows}).to_string());
    assert_eq!(status, 200, "{answer}");
    let rows = answer["rows"].as_array().unwrap();
    rows.iter().map(|row| json!([row["users__n_24h"], row["users__sum_24h"], row["users__last_amount"]])).collect()
}

/// Sends rows, serves some vectors, and ends the server, three times.
pub fn filled() -> Project {
    let project = Project::events();
    project.run(&["apply"]).expect(0);
    for start in 0..3 {
        let server = project.serve(&[]);
        let at = now(&server);
        let mut body = String::new();
        for i in 0..20 {
            let amount = if i == 7 { -1.0 } else { f64::from(i) };
            let (id, user) = (format!("e{start}-{i}"), format!("u{}", i % 4));
            let event = json!({"event_id": id, "happened_at": at, "user_id": user, "amount": amount});
            body.push_str(&format!("{event}\n"));
        }
        let (status, receipt) = server.post("/v1/datasets/events/events", &body);
        assert_eq!((status, &receipt["counts"]["quarantined"]), (200, &json!(1)), "{receipt}");
        server.folded();
        assert_eq!(features(&server)[0][0], json!((start + 1) * 5));
        server.terminate();
    }
    project
}

pub fn verify(project: &Project) -> Said {
    project.run(&["verify", "data", "--output", "json"])
}

pub fn data(project: &Project) -> PathBuf {
    project.path().join(".seawall").join("data")
}

/// The first file in `folder` whose name ends so.
pub fn file(folder: &Path, end: &str) -> PathBuf {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.to_string_lossy().ends_with(end)).collect();
    files.sort();
    files.into_iter().next().unwrap_or_else(|| panic!("no file {end} in {}", folder.display()))
}

/// What can happen to a file.
fn surgeries(whole: &[u8], at: usize) -> Vec<(&'static str, Option<Vec<u8>>)> {
    let mut flipped = whole.to_vec();
    flipped[at] ^= 0x20;
    vec![
        ("flipped", Some(flipped)),
        ("cut off", Some(whole[..whole.len() / 2].to_vec())),
        ("emptied", Some(Vec::new())),
        ("removed", None),
    ]
}

#[test]
fn every_kind_of_file_that_is_changed_is_found_and_named() {
    let project = filled();
    let whole = verify(&project).expect(0).json();
    assert_eq!((&whole["whole"], &whole["findings"]), (&json!(true), &json!([])), "{whole}");
    assert_eq!(whole["not_checked"], json!([]), "{whole}");
    let data = data(&project);
    let tables = data.join("tables");
    let victims = [
        (file(&data.join("log"), ".log"), 200, "log"),
        (data.join("log/epoch"), 20, "log"),
        (tables.join("events/_delta_log/00000000000000000001.json"), 40, "table events"),
        (file(&tables.join("events"), ".parquet"), 90, "table events"),
        (file(&tables.join("events__quarantine"), ".parquet"), 90, "table events__quarantine"),
        (data.join("online/manifest.json"), 60, "online store"),
        (file(&data.join("online"), ".bin"), 70, "online store"),
        (data.join("catalog/catalog.db"), 30, "catalog"),
    ];
    for (path, at, object) in victims {
        let before = fs::read(&path).unwrap();
        for (surgery, after) in surgeries(&before, at) {
            match &after {
                Some(bytes) => fs::write(&path, bytes).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            // An online store without a manifest is an empty one, and is filled anew: nothing is lost or wrong.
            let is_harmless = surgery == "removed" && path.ends_with("manifest.json");
            let said = verify(&project);
            let shown = format!("{} {surgery}: {}{}", path.display(), said.stdout, said.stderr);
            assert_eq!(said.code, i32::from(!is_harmless), "{shown}");
            if !is_harmless {
                check_finding(&said.json(), object, &shown);
            }
            fs::write(&path, &before).unwrap();
        }
    }
    verify(&project).expect(0);
}

fn check_finding(report: &Value, object: &str, shown: &str) {
    let findings = report["findings"].as_array().unwrap();
    let named = findings.iter().find(|finding| finding["object"] == object);
    let named = named.unwrap_or_else(|| panic!("no finding about {object}: {shown}"));
    for field in ["what", "severity", "consequence", "remedy"] {
        assert!(named[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {shown}");
    }
}

#[test]
fn a_lost_newest_commit_and_a_lost_table_are_missed_by_the_record() {
    let project = filled();
    let log = data(&project).join("tables/events/_delta_log");
    let mut commits: Vec<PathBuf> = fs::read_dir(&log).unwrap().map(|entry| entry.unwrap().path()).collect();
    commits.sort();
    let newest = commits.iter().rev().find(|path| path.to_string_lossy().ends_with(".json")).unwrap();
    let kept = fs::read(newest).unwrap();
    fs::remove_file(newest).unwrap();
    let report = verify(&project).expect(1).json();
    check_finding(&report, "table events", &report.to_string());
    fs::write(newest, kept).unwrap();

    fs::rename(data(&project).join("tables/events"), data(&project).join("elsewhere")).unwrap();
    let report = verify(&project).expect(1).json();
    check_finding(&report, "table events", &report.to_string());
    fs::rename(data(&project).join("elsewhere"), data(&project).join("tables/events")).unwrap();
    verify(&project).expect(0);
}

/// A server that takes rows in while its folder is checked causes no finding.
#[test]
fn a_running_server_s_folder_is_whole_at_every_moment() {
    let project = filled();
    let server = project.serve(&[]);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let mut sent = 0u32;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let event = json!({"event_id": format!("live{sent}"), "happened_at": "2024-05-09T10:00:00Z",
                    "user_id": "u9", "amount": 1.0});
                assert_eq!(server.post("/v1/datasets/events/events", &format!("{event}\n")).0, 200);
                sent += 1;
            }
            sent
        });
        for _ in 0..4 {
            let said = verify(&project);
            let shown = said.stdout.clone();
            assert_eq!(said.code, 0, "{shown}");
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(sender.join().unwrap() > 10);
    });
    server.terminate();
    verify(&project).expect(0);
}

#[test]
fn a_folder_that_is_not_there_is_an_error_and_not_a_finding() {
    let said = Project::with(&[]).run(&["verify", "data"]);
    assert!(said.code == 2 && said.stderr.contains("SW1403"), "{}", said.stderr);
}
