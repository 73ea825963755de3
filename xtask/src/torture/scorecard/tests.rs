use super::*;

fn check(failed: u64, trials: u64, expected: f64) {
    let bound = bound_95(failed, trials);
    assert!((bound - expected).abs() < 0.000_05 * (1.0 + expected), "{failed} of {trials}: {bound}");
}

#[test]
fn the_bound_is_the_one_of_the_textbooks() {
    check(0, 0, 1.0);
    check(0, 1, 0.95);
    check(0, 300, 0.009_936);
    check(0, 2_000, 0.001_497);
    check(1, 20, 0.216_106);
    check(5, 100, 0.102_253);
    check(7, 7, 1.0);
}

#[test]
fn a_trial_that_found_something_makes_the_card_red() {
    let mut row = Row {
        name: "kill".into(),
        fault: String::new(),
        promise: String::new(),
        trials: 10,
        failed: 0,
        losses: 0,
        duplicates: 0,
        silent: 0,
        acknowledged: 7,
        bound_95: 1.0,
        seconds: 0,
        seed: 1,
        commits: Vec::new(),
        skipped: None,
        notes: Vec::new(),
        examples: Vec::new(),
    };
    let mut findings = Findings::default();
    row.note(&findings);
    findings.lose("event p0-1");
    row.note(&findings);
    assert_eq!((row.failed, row.losses, row.examples.len()), (1, 1, 1));
    let mut card = Scorecard {
        version: 1,
        form: "short".into(),
        date: String::new(),
        commits: Vec::new(),
        machine: String::new(),
        lost: 0,
        duplicated: 0,
        silent: 0,
        acknowledged: 0,
        rows: vec![row],
        sabotage: Sabotage::default(),
    };
    card.sum();
    assert!(!card.is_clean());
    assert_eq!((card.lost, card.acknowledged), (1, 7));
}

#[test]
fn a_bug_that_was_looked_for_and_not_found_makes_the_card_red() {
    let check = |caught, skipped, clean| {
        let bug = Bug { name: "b".into(), harness: "kill".into(), caught, skipped, finding: String::new() };
        let sabotage = Sabotage { planted: 1, caught: u64::from(caught), bugs: vec![bug], skipped: None };
        let json = serde_json::json!({
            "version": 1, "form": "short", "date": "", "commits": [], "machine": "", "lost": 0, "duplicated": 0,
            "silent": 0, "acknowledged": 0, "rows": [], "sabotage": sabotage,
        });
        let card: Scorecard = serde_json::from_value(json).expect("a scorecard");
        assert_eq!(card.is_clean(), clean, "caught {caught}, skipped {skipped}");
    };
    check(true, false, true);
    check(false, false, false);
    check(false, true, true);
}
