//! What an auditor asks after the quick demo: was every fault found, what does a prediction rest on, does it hold.

use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};

use serde_json::{Value, json};

use crate::support::{Said, run, run_as};

/// The quick demo, run once for every test that looks at it.
pub struct Demo {
    /// What it printed.
    pub facts: Value,
    /// Its folder.
    pub home: PathBuf,
    /// One command at a time: some open the data folder for themselves.
    turn: Mutex<()>,
}

impl Demo {
    /// Runs a command on its project and data.
    pub fn run(&self, arguments: &[&str]) -> Said {
        self.run_as(None, arguments)
    }

    /// The same with a token.
    pub fn run_as(&self, token: Option<&str>, arguments: &[&str]) -> Said {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let (project, data) = (self.home.join("project"), self.home.join("data"));
        let on = ["-C", project.to_str().unwrap(), "--data-dir", data.to_str().unwrap()];
        run_as(token, &[&on, arguments].concat())
    }

    /// The rows of a query of the owner.
    pub fn rows(&self, sql: &str) -> Vec<Value> {
        let said = self.run(&["query", sql, "--output", "json", "--rows-max", "100000"]).expect(0).json();
        said["rows"].as_array().unwrap().clone()
    }

    /// What the facts say about a fault.
    fn fault(&self, kind: &str) -> &Value {
        let faults = self.facts["faults"].as_array().unwrap();
        faults.iter().find(|fault| fault["kind"] == kind).unwrap_or_else(|| panic!("no {kind}: {faults:?}"))
    }

    /// The incident of a fault.
    fn incident(&self, kind: &str) -> Value {
        let id = self.fault(kind)["incident"].as_str().unwrap_or_else(|| panic!("no incident of {kind}"));
        self.run(&["incident", "show", id, "--output", "json"]).expect(0).json()
    }
}

/// The demo's folder after its story.
pub fn demo() -> &'static Demo {
    static DEMO: OnceLock<Demo> = OnceLock::new();
    DEMO.get_or_init(|| {
        let home = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("quick_demo");
        let _ = std::fs::remove_dir_all(&home);
        let report = home.with_extension("html");
        let (data, report) = (home.to_str().unwrap(), report.to_str().unwrap());
        let arguments = ["demo", "--quick", "--exit", "--output", "json", "--data-dir", data, "--report", report];
        let facts = run(&arguments).expect(0).json();
        Demo { facts, home, turn: Mutex::new(()) }
    })
}

#[test]
fn every_fault_is_found_with_its_cause_and_nothing_else_raises_an_alarm() {
    let demo = demo();
    let faults = demo.facts["faults"].as_array().unwrap();
    assert_eq!(faults.len(), 10, "{faults:?}");
    for fault in faults {
        assert_eq!(fault["detected"], true, "{fault}");
    }
    assert_eq!(demo.facts["alarms"]["false"], 0, "{}", demo.facts["alarms"]);
    let outcomes = [
        ("null_burst", "quarantined"),
        ("enum_added", "quarantined"),
        ("key_conflict", "quarantined"),
        ("duplicates", "deduplicated"),
        ("malformed_batch", "rejected"),
        ("late_rows", "exact"),
    ];
    for (kind, outcome) in outcomes {
        assert_eq!(demo.fault(kind)["outcome"], outcome, "{kind}");
    }
    for kind in ["late_rows", "duplicates"] {
        assert_eq!(demo.fault(kind)["incident"], Value::Null, "{kind}");
    }
    let causes = [
        ("null_burst", "quarantine"),
        ("stuck_source", "freshness"),
        ("fraud_change", "performance"),
        ("clock_skew", "clock_ahead"),
        ("enum_added", "quarantine"),
    ];
    for (kind, cause) in causes {
        assert_eq!(demo.incident(kind)["cause"], cause, "{kind}");
    }
}

#[test]
fn cents_are_named_with_source_column_factor_reach_and_advice() {
    let incident = demo().incident("cents_instead_of_euros");
    assert_eq!(incident["cause"], "unit_change");
    assert_eq!((&incident["source"], &incident["column"]), (&json!("payments"), &json!("amount_eur")));
    assert_eq!(incident["factor"], 100.0);
    assert_eq!(incident["remedy"]["retrain"], "do_not_retrain");
    assert_eq!(incident["blast"]["models"], json!(["fraud"]));
    let first = incident["first_bad"]["offset"].as_u64().unwrap();
    let rows = demo().rows(&format!("select merchant_category, amount_eur from payments where _lsn = {first}"));
    assert_eq!(rows[0]["merchant_category"], "electronics", "{rows:?}");
    assert!(!incident["closed"]["reason"].as_str().unwrap().is_empty());
}

#[test]
fn a_change_of_fraud_ends_in_a_retraining_that_two_people_approved() {
    let demo = demo();
    let decisions = demo.run(&["model", "decisions", "fraud", "--output", "json"]).expect(0).json();
    let decisions = decisions["decisions"].as_array().unwrap();
    let promoted: Vec<&Value> = decisions.iter().filter(|decision| decision["kind"] == "promote").collect();
    let newest = promoted.last().unwrap();
    assert!(promoted.len() >= 2 && newest["trigger"]["kind"] == "auc_drop", "{newest}");
    assert!(newest["at"].as_str().unwrap() > demo.fault("fraud_change")["start"].as_str().unwrap());
    assert!(!newest["rejected"].as_array().unwrap().is_empty(), "{newest}");
    let reign = demo.run(&["champion", "fraud", "--output", "json"]).expect(0).json();
    assert_eq!(reign["champion"]["version"], newest["version"]);
    let approvals = reign["champion"]["approvals"].as_array().unwrap();
    let filled: Vec<&str> = approvals.iter().map(|approval| approval["fills"].as_str().unwrap()).collect();
    assert_eq!(filled, ["owner", "risk"], "{approvals:?}");
    assert_ne!(approvals[0]["principal"], approvals[1]["principal"]);
    let told = demo.run(&["model", "decisions", "fraud"]).expect(0).stdout;
    assert!(told.contains(newest["id"].as_str().unwrap()), "{told}");
}

#[test]
fn the_report_needs_nothing_but_itself() {
    let demo = demo();
    let report = std::fs::read_to_string(demo.home.with_extension("html")).unwrap();
    for fetched in ["src=\"http", "href=\"http", "src='http", "href='http", "<script src", "@import", "url(http"] {
        assert!(!report.contains(fetched), "the report fetches {fetched}");
    }
    for decision in demo.facts["models"]["decisions"].as_array().unwrap() {
        let id = decision["id"].as_str().unwrap();
        assert!(report.contains(id), "{id} is not in the report");
    }
}

/// The newest prediction.
fn newest() -> String {
    let rows = demo().rows("select prediction_id from fraud__predictions order by _lsn desc limit 1");
    rows[0]["prediction_id"].as_str().unwrap().to_owned()
}

#[test]
fn a_prediction_is_explained_down_to_events_and_people() {
    let demo = demo();
    let id = newest();
    let account = demo.run(&["explain", "prediction", &id, "--output", "json"]).expect(0).json();
    let records = account["records"].as_array().unwrap();
    let record = |name: &str| &records.iter().find(|pair| pair[0] == name).unwrap_or_else(|| panic!("no {name}"))[1];
    let of = format!("select probability, model_version from fraud__predictions where prediction_id = '{id}'");
    let kept = &demo.rows(&of)[0];
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let told = record("prediction");
    assert_eq!(text(&told["model_version"]), text(&kept["model_version"]));
    assert_eq!(text(&told["probability"]).parse::<f64>().ok(), kept["probability"].as_f64(), "{told}");
    let features = record("features").as_array().unwrap();
    let with_events = |feature: &&Value| feature["first_events"].as_array().is_some_and(|events| !events.is_empty());
    assert!(features.iter().filter(with_events).count() > 3, "{features:?}");
    let version = record("model_version");
    for digest in [&version["digest"], &version["fingerprint"]["content"], &version["fingerprint"]["revision"]] {
        assert_eq!(digest.as_str().map(str::len), Some(64), "{version}");
    }
    let decision = record("decision");
    assert_eq!(decision["approvals"].as_array().unwrap().len(), 2, "{decision}");
    assert!(decision["promoted_by"]["policy"].is_string(), "{decision}");

    let told = demo.run(&["explain", "prediction", &id]).expect(0).stdout;
    let digest = version["digest"].as_str().unwrap();
    let content = version["fingerprint"]["content"].as_str().unwrap();
    let reason = decision["proposed_by"]["reason"].as_str().unwrap();
    let policy = decision["promoted_by"]["policy"].as_str().unwrap();
    for part in [id.as_str(), "card@1.mean_7d", digest, content, policy, "olivia", "ravi", reason] {
        assert!(told.contains(part) || told.contains(&part.replace("@1.", "__")), "{part} is not in:\n{told}");
    }
    let unknown = demo.run(&["explain", "prediction", "p-0000000000000000"]).expect(2);
    assert!(unknown.stderr.contains("error[SW"), "{}", unknown.stderr);
}

#[test]
fn champion_at_a_moment_is_the_version_that_scored_then() {
    let demo = demo();
    let newest = "select _at, model_version from fraud__predictions order by _at desc limit 1";
    let samples = "select min(_at) _at, model_version from fraud__predictions group by model_version";
    let ends = "select max(_at) _at, model_version from fraud__predictions group by model_version";
    for sql in [newest, samples, ends] {
        for row in demo.rows(sql) {
            let at = row["_at"].as_str().unwrap();
            let reign = demo.run(&["champion", "fraud", "--at", at, "--output", "json"]).expect(0).json();
            assert_eq!(reign["champion"]["version"], row["model_version"], "at {at}");
        }
    }
    let before = demo.run(&["champion", "fraud", "--at", "2026-01-02T00:00:00Z", "--output", "json"]).expect(0).json();
    assert_eq!(before["champion"], Value::Null);
}

#[test]
fn the_first_version_is_built_again_bit_for_bit_and_has_a_card() {
    let demo = demo();
    let again = demo.run(&["model", "reproduce", "fraud@1", "--output", "json"]).expect(0).json();
    assert_eq!(again["same"], true, "{again}");
    assert_eq!(again["digest_kept"], again["digest_rebuilt"]);
    assert_eq!(again["content_kept"], again["content_rebuilt"]);
    let card = demo.run(&["model", "card", "fraud@1"]).expect(0).stdout;
    for part in
        ["# fraud version 1", again["digest_kept"].as_str().unwrap(), "## Evaluation", "olivia", "## Known limits"]
    {
        assert!(card.contains(part), "{part} is not in:\n{card}");
    }
}

#[test]
fn a_certificate_holds_until_a_byte_of_any_record_changes() {
    let demo = demo();
    let file = demo.home.with_extension("certificate.json");
    let path = file.to_str().unwrap();
    demo.run(&["explain", "prediction", &newest(), "--certificate", path]).expect(0);
    let checked = run(&["verify", "certificate", path, "--output", "json"]).expect(0).json();
    let names: Vec<&str> = checked["records"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert!(names.len() >= 4, "{names:?}");
    let told = run(&["verify", "certificate", path]).expect(0).stdout;
    let key = checked["signed_by"].as_str().unwrap();
    run(&["verify", "certificate", path, "--key", key]).expect(0);
    run(&["verify", "certificate", path, "--key", &key.replace(['a', '1'], "b")]).expect(1);

    let whole = std::fs::read(&file).unwrap();
    for name in names {
        assert!(told.contains(name), "{told}");
        let mut forged = whole.clone();
        let at = digit_within(&whole, name);
        forged[at] = if forged[at] == b'9' { b'8' } else { forged[at] + 1 };
        std::fs::write(&file, &forged).unwrap();
        let said = run(&["verify", "certificate", path]).expect(1);
        assert!(format!("{}{}", said.stdout, said.stderr).contains(&format!("({name})")), "{name}: {}", said.stderr);
    }
}

/// The place of a decimal digit inside the body of a record.
fn digit_within(certificate: &[u8], record: &str) -> usize {
    let text = std::str::from_utf8(certificate).unwrap();
    let named = format!("\"name\": \"{record}\"");
    // The body follows the name.
    let from = text.find(&named).unwrap() + named.len();
    let digit = |at: &usize| {
        let (before, here, after) = (certificate[at - 1], certificate[*at], certificate[at + 1]);
        (b'1'..=b'9').contains(&here) && !before.is_ascii_alphabetic() && !after.is_ascii_alphabetic()
    };
    (from..certificate.len() - 1).find(digit).unwrap()
}

/// Model, features and tables go back together, on a copy of the demo, and what was served since is still proved.
#[test]
fn champion_and_tables_come_back_together() {
    let demo = demo();
    let mut promoted =
        demo.facts["models"]["decisions"].as_array().unwrap().iter().filter(|one| one["kind"] == "promote");
    let last = promoted.next_back().unwrap();
    assert!(last["version"].as_u64() > Some(1), "{last}");
    let copy = tempfile::tempdir().unwrap();
    let copied = {
        let _turn = demo.turn.lock().unwrap_or_else(PoisonError::into_inner);
        std::process::Command::new("cp").arg("-a").arg(&demo.home).arg(copy.path()).status().unwrap()
    };
    assert!(copied.success());
    let home = copy.path().join(demo.home.file_name().unwrap());
    let there = Demo { facts: Value::Null, home, turn: Mutex::new(()) };
    let count = || there.rows("select count(*) as n from payments")[0]["n"].as_u64().unwrap();
    let champion = || there.run(&["champion", "fraud", "--output", "json"]).expect(0).json()["champion"].clone();
    let before = count();
    assert_eq!(champion()["version"], last["version"]);

    let moment = "2026-05-10T00:00:00Z";
    let plan = ["rollback", "to", moment, "--reason", "an audit", "--output", "json"];
    let planned = there.run(&plan).expect(0).json();
    assert_eq!(planned["plan"]["models"], json!([{"model": "fraud", "now": last["version"], "then": 1}]), "{planned}");
    let withdrawn = planned["plan"]["tables"].as_array().unwrap().iter().find(|one| one["dataset"] == "payments");
    let withdrawn = withdrawn.unwrap()["withdrawn_rows"].as_u64().unwrap();
    assert!(withdrawn > 10_000 && count() == before, "a plan changes nothing: {planned}");

    there.run(&[&plan[..], &["--run"]].concat()).expect(0);
    assert_eq!((count(), champion()["version"].clone()), (before - withdrawn, json!(1)));
    assert_eq!(champion()["decision"]["kind"], "roll_back");
    let proof = there.run(&["verify", "skew", "fraud", "--output", "json"]).expect(0).json();
    let report = &proof["skew"];
    assert_eq!((&report["replayed"], &report["mismatched"]), (&demo.facts["skew"]["replayed"], &json!(0)), "{report}");
}
