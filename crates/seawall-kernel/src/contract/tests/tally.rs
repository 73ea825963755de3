//! Tables judged batch by batch.

use super::super::Tally;
use super::*;

fn rows_of(values: &[(i64, Option<&str>)]) -> Vec<Value> {
    values.iter().map(|(id, name)| json!({"id": id, "name": name})).collect()
}

fn properties() -> Value {
    json!([
        {"name": "id", "logicalType": "integer", "primaryKey": true},
        {"name": "name", "logicalType": "string", "quality": [
            {"metric": "nullValues", "mustBeLessOrEqualTo": 25, "unit": "percent"},
            {"metric": "duplicateValues", "mustBeLessThan": 3},
            {"metric": "invalidValues", "mustBe": 0, "arguments": {"pattern": "^[a-z]$"}, "severity": "warning"}]}])
}

/// Rule, offending rows, compared value and outcome of each rule that says something.
fn check(object: Value, batches: &[&[(i64, Option<&str>)]], expected: &[&str]) {
    let gate = gate_with(properties(), object);
    let mut tally = Tally::of(&gate);
    for batch in batches {
        tally.add(&json_batch(&gate, &rows_of(batch)), Input::Typed).unwrap();
    }
    let told = tally.finish(NOW).into_iter().filter(|m| m.offending > 0 || !m.holds).map(|m| {
        let value = m.value.map_or_else(String::new, |value| format!(" = {value}"));
        format!("{} {}{value} {}", m.rule, m.offending, if m.holds { "holds" } else { "broken" })
    });
    assert_eq!(told.collect::<Vec<_>>(), expected);
}

#[test]
fn what_spans_batches_is_counted_once() {
    check(
        json!({"quality": [{"metric": "rowCount", "mustBeBetween": [3, 5]}]}),
        &[&[(1, Some("a")), (2, Some("b"))], &[(3, Some("a")), (1, Some("c"))], &[(4, None)]],
        &["nullValues 1 = 20 holds", "duplicateValues 1 = 1 holds", "key_conflict 1 broken", "rowCount 5 = 5 broken"],
    );
}

#[test]
fn the_common_tool_includes_bounds_and_counts_values() {
    let compat = json!([{"property": "seawall.compat", "value": "datacontract-cli"}]);
    check(
        json!({"quality": [{"metric": "rowCount", "mustBeBetween": [3, 5]}], "customProperties": compat}),
        &[&[(1, Some("a")), (2, Some("a"))], &[(3, Some("a")), (4, Some("b"))], &[(5, Some("b"))]],
        &["duplicateValues 2 = 2 holds", "rowCount 5 = 5 holds"],
    );
    check(
        json!({}),
        &[&[(1, Some("a")), (2, Some("a"))], &[(3, Some("a")), (4, Some("b"))], &[(5, Some("b"))]],
        &["duplicateValues 3 = 3 broken"],
    );
}

#[test]
fn rows_are_told_with_their_place_in_the_table() {
    let gate = gate(properties());
    let mut tally = Tally::of(&gate);
    tally.add(&json_batch(&gate, &rows_of(&[(1, Some("a")), (2, Some("b"))])), Input::Typed).unwrap();
    let judged = tally.add(&json_batch(&gate, &rows_of(&[(9, Some("c")), (2, Some("X"))])), Input::Typed).unwrap();
    assert_eq!(judged.stopped, 1);
    assert_eq!(judged.rows.len(), 1);
    assert_eq!(judged.rows[0].row, 1);
    let rules: Vec<&str> = judged.rows[0].reasons.iter().map(|reason| reason.rule.as_str()).collect();
    assert_eq!(rules, ["invalidValues", "key_conflict"]);
    assert_eq!((tally.rows(), tally.stopped()), (4, 1));
    let measured = tally.finish(NOW);
    let key = measured.iter().find(|m| m.rule == "key_conflict").unwrap();
    assert_eq!(key.examples[0].row, 3);
}

#[test]
fn a_file_of_another_shape_is_refused() {
    let gate = gate(properties());
    let batch = column_batch("id", Arc::new(arrow::array::BooleanArray::from(vec![true])));
    let reasons = Tally::of(&gate).add(&batch, Input::Typed).unwrap_err();
    assert_eq!(reasons[0].message, "id has type Boolean; an integer is wanted");
}
