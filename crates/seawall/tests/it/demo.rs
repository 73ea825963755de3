//! The demo: facts that add up, equal the truth, and do not depend on being killed.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::support::{run, seawall};

fn check_facts(facts: &Value) {
    let counts = &facts["ingest"];
    let count = |key: &str| counts[key].as_u64().unwrap();
    let sum = count("accepted") + count("quarantined") + count("deduplicated") + count("rejected");
    assert_eq!(count("received"), sum, "{counts}");
    assert_eq!(counts, &facts["truth"]);
    assert_eq!(facts["quarantined_by_reason"], facts["truth_by_reason"]);
    assert!(facts["skew"]["replayed"].as_u64().unwrap() >= 10_000, "{}", facts["skew"]);
    assert_eq!(facts["skew"]["mismatched"], 0, "{}", facts["skew"]);
    assert!(facts["skew"]["parity_compared"].as_u64().unwrap() > 0);
}

#[test]
fn the_quick_demo_adds_up_and_a_killed_one_ends_with_the_same_facts() {
    let whole = run(&["demo", "--quick", "--exit", "--output", "json"]).expect(0).json();
    check_facts(&whole);
    assert!(whole["ingest"]["quarantined"].as_u64().unwrap() > 0);

    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().display().to_string();
    let arguments = ["demo", "--quick", "--exit", "--output", "json", "--data-dir", &data];
    for wait_ms in [700, 1500, 900, 2500, 1200, 1800, 600, 2100] {
        let mut child = seawall().args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(wait_ms));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let resumed = run(&arguments).expect(0).json();
    check_facts(&resumed);
    assert_eq!(whole, resumed, "a killed demo ends with the facts of one that was left alone");

    check_certificate(&data, &resumed);

    let other = run(&["demo", "--quick", "--exit", "--seed", "8", "--data-dir", &data]).expect(2);
    assert!(other.stderr.contains("SW0911"), "{}", other.stderr);
}

/// Proves again by hand what the demo proved, and checks the certificate without any data.
fn check_certificate(demo: &str, facts: &Value) {
    let (project, data) = (format!("{demo}/project"), format!("{demo}/data"));
    let file = format!("{demo}/fraud.certificate.json");
    let on = ["-C", &project, "--data-dir", &data, "--output", "json"];
    let at = facts["period"][1].as_str().unwrap();
    let verify = ["verify", "skew", "fraud", "--certificate", &file, "--at", at];
    let verified = run(&[&on[..], &verify[..]].concat()).expect(0).json();
    assert_eq!(verified["skew"], facts["skew"]);

    let checked = run(&["verify", "certificate", &file, "--output", "json"]).expect(0).json();
    assert_eq!(checked["valid"], true);
    let key = checked["signed_by"].as_str().unwrap();
    run(&["verify", "certificate", &file, "--key", key]).expect(0);
    run(&["verify", "certificate", &file, "--key", &key.replace('a', "b")]).expect(2);
    let text = std::fs::read_to_string(&file).unwrap();
    let forged = text.replace("\"parity_differing\": 0", "\"parity_differing\": 1");
    assert_ne!(text, forged);
    std::fs::write(&file, forged).unwrap();
    let said = run(&["verify", "certificate", &file]).expect(2);
    assert!(said.stderr.contains("SW0861"), "{}", said.stderr);
}

#[test]
fn without_faults_nothing_is_stopped() {
    let facts =
        run(&["demo", "--quick", "--exit", "--faults", "none", "--seed", "3", "--output", "json"]).expect(0).json();
    check_facts(&facts);
    assert_eq!(facts["ingest"]["quarantined"], 0);
    assert_eq!(facts["ingest"]["rejected"], 0);
}

/// The long form: twenty seeds in a row. Run with `cargo test --test it -- --ignored twenty_seeds`.
#[test]
#[ignore = "takes several minutes"]
fn twenty_seeds_hold() {
    for seed in 100..120 {
        let seed = seed.to_string();
        let facts = run(&["demo", "--quick", "--exit", "--seed", &seed, "--output", "json"]).expect(0).json();
        check_facts(&facts);
        let again = run(&["demo", "--quick", "--exit", "--seed", &seed, "--output", "json"]).expect(0).json();
        assert_eq!(facts, again, "seed {seed}");
    }
}
