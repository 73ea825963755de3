use serde_json::{Value, json};

use super::lines;

#[track_caller]
fn check(status: &Value, expected: &[&str]) {
    assert_eq!(lines(status), expected, "{status}");
}

fn fresh(degraded: bool, staleness_ms: u64) -> Value {
    json!({"degraded": degraded, "staleness_ms": staleness_ms, "cut": "0:17"})
}

#[test]
fn a_server_that_is_well_says_so_in_one_line() {
    let dependencies =
        json!([{"name": "table_reads", "state": "closed", "last_error": {"code": "SW0512", "message": "x"}}]);
    let status = json!({"tables": fresh(false, 800), "features": fresh(false, 0), "dependencies": dependencies});
    check(&status, &["everything that the server depends on answers"]);
}

#[test]
fn lag_and_what_is_away_are_told_with_the_cause() {
    let dependencies = json!([
        {"name": "table_reads", "state": "closed"},
        {"name": "table_writes", "state": "open", "away_for_ms": 61_200, "retry_in_ms": 900,
         "last_error": {"code": "SW0512", "message": "writing rows of table events failed"}},
    ]);
    let status = json!({"tables": fresh(true, 61_200), "features": fresh(false, 0), "dependencies": dependencies});
    check(
        &status,
        &[
            "tables lag 62 s behind what was acknowledged, they hold everything before 0:17",
            "table_writes is away (open), for 62 s, tried again in 1 s: [SW0512] writing rows of table events failed",
        ],
    );
}

#[test]
fn tables_that_were_away_at_the_start_are_told() {
    let status = json!({"tables": fresh(true, 0), "features": fresh(false, 0), "progress": {"tables_attached": false},
        "dependencies": []});
    check(
        &status,
        &[
            "tables lag 0 s behind what was acknowledged, they hold everything before 0:17",
            "tables were away when the server started; it takes them as soon as they are there",
            "everything that the server depends on answers",
        ],
    );
}
