//! From an unseen file to a served windowed feature in six commands.

use crate::support::run;

const TRIPS: &str = "\
trip,Driver,started_at,fare,city
t1,d7,2024-05-01T08:00:00Z,12.5,Porto
t2,d7,2024-05-01T09:30:00Z,7.25,Porto
t3,d8,2024-05-01T09:45:00Z,30,Braga
t4,d7,2024-05-01T11:00:00Z,,Porto
";

#[test]
fn six_commands_from_a_csv_file_to_an_explained_feature() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trips.csv");
    std::fs::write(&file, TRIPS).unwrap();
    let project = folder.path().join("shop").display().to_string();
    let file = file.display().to_string();
    let said = run(&["init", "--from", &file, "--key", "Driver", "--time", "started_at", &project]).expect(0);
    assert!(said.stdout.contains("# assumed:"), "{}", said.stdout);
    run(&["-C", &project, "check"]).expect(0);
    run(&["-C", &project, "apply"]).expect(0);
    let loaded = run(&["-C", &project, "run", "--output", "json"]).expect(0).json();
    let sources = loaded["sources"].as_object().unwrap();
    assert_eq!(sources.values().next().unwrap()["counts"]["accepted"], 4, "{loaded}");
    let again = run(&["-C", &project, "run", "--output", "json"]).expect(0).json();
    assert_eq!(again["sources"].as_object().unwrap().values().next().unwrap()["files_known"], 1);

    let listed = run(&["-C", &project, "features", "list", "--output", "json"]).expect(0).json();
    let view = listed["views"][0]["view"].as_str().unwrap().to_owned();
    let entity = listed["views"][0]["entity"][0].as_str().unwrap().to_owned();
    let dataset = listed["views"][0]["from"].as_str().unwrap().to_owned();
    let key = format!("{entity}=d7");
    let at = "2024-05-01T12:00:00Z";
    let got = run(&["-C", &project, "features", "get", &view, "--entity", &key, "--at", at, "--output", "json"]);
    let got = got.expect(0).json();
    let (counted, value) = got["rows"][0]
        .as_object()
        .unwrap()
        .iter()
        .find(|(_, value)| **value == serde_json::json!(3))
        .unwrap_or_else(|| panic!("{got}"));
    assert_eq!(value, 3);
    let name = format!("{view}.{counted}");
    let explained =
        run(&["-C", &project, "features", "explain", &name, "--entity", &key, "--at", at, "--output", "json"]);
    let explained = explained.expect(0).json();
    assert_eq!(explained["rows"].as_array().unwrap().iter().filter(|row| row["included"] == true).count(), 3);
    // The replay of a file that was loaded already reads it, but lets nothing enter twice.
    let replayed = run(&["-C", &project, "replay", "--output", "json"]).expect(0).json();
    assert_eq!(replayed["datasets"][&dataset]["accepted"], 4, "{replayed}");
    let text = run(&["-C", &project, "features", "explain", &name, "--entity", &key, "--at", at]).expect(0).stdout;
    assert!(text.contains("event 2024-05-01T09:30:00Z"), "{text}");
}
