//! Real data, when it is there: every flight accounted for, every decision served, no skew.

use std::path::{Path, PathBuf};

use crate::support::run;

fn data() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/pnwflights14");
    let named = std::env::var_os("SEAWALL_FLIGHTS").map(PathBuf::from);
    named.or(Some(beside)).filter(|folder| folder.join("flights.csv").exists())
}

#[test]
fn the_flights_example_accounts_for_every_flight() {
    let Some(data) = data() else {
        eprintln!("SKIPPED: the flights are not here; set SEAWALL_FLIGHTS to the folder of pnwflights14");
        return;
    };
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/flights").display().to_string();
    let folder = tempfile::tempdir().unwrap();
    let kept = std::env::var_os("SEAWALL_FLIGHTS_OUT").map(PathBuf::from);
    let out = kept.unwrap_or_else(|| folder.path().to_owned()).display().to_string();
    let set = format!("data={}", data.canonicalize().unwrap().display());
    let facts =
        run(&["-C", &example, "--data-dir", &out, "replay", "--set", &set, "--output", "json"]).expect(0).json();
    assert_eq!(facts["datasets"]["flights"]["accepted"], 161_192);
    assert_eq!(facts["datasets"]["flights"]["quarantined"], 857);
    assert_eq!(facts["datasets"]["flights"]["received"], 162_049);
    let set = &facts["training_sets"]["delays"];
    assert_eq!((set["rows"].as_u64(), set["labelled"].as_u64()), (Some(161_192), Some(160_748)));
    assert_eq!(set["served"], 161_192);
    assert_eq!(facts["skew"]["replayed"], 161_192);
    assert_eq!(facts["skew"]["mismatched"], 0);
    assert_eq!(facts["skew"]["parity_differing"], 0);
}
