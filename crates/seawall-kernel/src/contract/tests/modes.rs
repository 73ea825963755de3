//! Modes, severities and counting rules.

use serde_json::json;

use super::*;

fn check(properties: Value, object: Value, rows: &[Value], expected: &str) {
    let gate = gate_with(properties, object);
    let verdict = gate.check(&json_batch(&gate, rows), Input::Typed, NOW);
    account(&verdict, rows.len());
    assert_eq!(show(&verdict).trim(), unindent(expected));
}

fn with_quality(quality: Value) -> Value {
    json!([{"name": "v", "logicalType": "string", "quality": [quality]}])
}

fn rows(cells: &[Option<&str>]) -> Vec<Value> {
    cells.iter().map(|cell| json!({"v": cell})).collect()
}

#[test]
fn a_rule_that_tolerates_nothing_stops_its_rows() {
    let cells = rows(&[Some("a"), None, Some("b"), Some("a")]);
    for operator in [json!({"mustBe": 0}), json!({"mustBeLessThan": 1}), json!({"mustBeLessOrEqualTo": 0})] {
        let mut quality = json!({"metric": "nullValues"});
        quality.as_object_mut().unwrap().extend(operator.as_object().unwrap().clone());
        check(
            with_quality(quality),
            json!({}),
            &cells,
            "accepted [0, 2, 3]
             1: nullValues: v is null; it must not be null",
        );
    }
    check(
        with_quality(json!({"metric": "invalidValues", "mustBe": 0, "arguments": {"validValues": ["a"]}})),
        json!({}),
        &cells,
        r#"accepted [0, 1, 3]
         2: invalidValues: v is "b"; it must be one of "a""#,
    );
    check(
        with_quality(json!({"id": "dup", "metric": "duplicateValues", "mustBe": 0})),
        json!({}),
        &cells,
        r#"accepted [0, 1, 2]
         3: dup: v is "a"; it must differ from every earlier row of the batch"#,
    );
    check(
        with_quality(json!({"metric": "missingValues", "mustBe": 0, "arguments": {"missingValues": [null, "b"]}})),
        json!({}),
        &cells,
        r#"accepted [0, 3]
         1: missingValues: v is null; it must not be missing
         2: missingValues: v is "b"; it must not be missing"#,
    );
}

#[test]
fn all_operators_count() {
    // Two of four rows are null: 2 rows, 50 percent.
    let cells = rows(&[Some("a"), None, Some("b"), None]);
    let holds: &[(Value, bool)] = &[
        (json!({"mustBe": 2}), true),
        (json!({"mustBe": 3}), false),
        (json!({"mustNotBe": 2}), false),
        (json!({"mustNotBe": 3}), true),
        (json!({"mustBeGreaterThan": 2}), false),
        (json!({"mustBeGreaterThan": 1}), true),
        (json!({"mustBeGreaterOrEqualTo": 2}), true),
        (json!({"mustBeGreaterOrEqualTo": 3}), false),
        (json!({"mustBeLessThan": 2}), false),
        (json!({"mustBeLessThan": 3}), true),
        (json!({"mustBeLessOrEqualTo": 2}), true),
        (json!({"mustBeLessOrEqualTo": 1}), false),
        (json!({"mustBeBetween": [1, 3]}), true),
        (json!({"mustBeBetween": [2, 3]}), false),
        (json!({"mustNotBeBetween": [1, 3]}), false),
        (json!({"mustNotBeBetween": [2, 3]}), true),
        (json!({"mustBe": 50, "unit": "percent"}), true),
        (json!({"mustBeLessThan": 50, "unit": "percent"}), false),
        (json!({"mustBeBetween": [49, 51], "unit": "percent"}), true),
    ];
    for (operator, expected) in holds {
        let mut quality = json!({"metric": "nullValues"});
        quality.as_object_mut().unwrap().extend(operator.as_object().unwrap().clone());
        let gate = gate(with_quality(quality));
        let verdict = gate.check(&json_batch(&gate, &cells), Input::Typed, NOW);
        assert_eq!(verdict.accepted_rows.len(), 4, "batch rules warn: {operator}");
        assert_eq!(verdict.warnings.is_empty(), *expected, "{operator}: {}", show(&verdict));
    }
}

#[test]
fn a_broken_count_names_its_value() {
    check(
        with_quality(json!({"name": "few nulls", "metric": "nullValues", "mustBeLessThan": 20, "unit": "percent"})),
        json!({}),
        &rows(&[Some("a"), None, Some("b"), None]),
        "accepted [0, 1, 2, 3]
         warn: few nulls x2: few nulls of v is 50 percent; it must be less than 20",
    );
}

#[test]
fn severity_and_mode_decide_what_happens() {
    let quality = |extra: Value| {
        let mut quality = json!({"metric": "nullValues", "mustBe": 0});
        quality.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        with_quality(quality)
    };
    let mode = |mode: &str| json!({"customProperties": [{"property": "seawall.mode", "value": mode}]});
    let cells = rows(&[Some("a"), None]);
    let quarantined = "accepted [0]\n1: nullValues: v is null; it must not be null";
    let warned = "accepted [0, 1]\nwarn: nullValues x1: v is null; it must not be null";
    check(quality(json!({})), json!({}), &cells, quarantined);
    check(quality(json!({"severity": "error"})), json!({}), &cells, quarantined);
    check(quality(json!({"severity": "warning"})), json!({}), &cells, warned);
    check(quality(json!({"severity": "info"})), json!({}), &cells, warned);
    check(quality(mode("reject")), json!({}), &cells, "reject: nullValues: v is null; it must not be null");
    check(quality(mode("halt")), json!({}), &cells, "halt: nullValues: v is null; it must not be null");
    let mut both = mode("warn");
    both["severity"] = json!("error");
    check(quality(both), json!({}), &cells, warned);
}

#[test]
fn a_counting_rule_of_severity_error_stops_the_offending_rows() {
    let quality = json!({"metric": "nullValues", "mustBeLessThan": 2, "severity": "error"});
    check(with_quality(quality.clone()), json!({}), &rows(&[Some("a"), None]), "accepted [0, 1]");
    check(
        with_quality(quality),
        json!({}),
        &rows(&[Some("a"), None, None]),
        "accepted [0]
         1: nullValues: v is null; it must not be null (nullValues must be less than 2)
         2: nullValues: v is null; it must not be null (nullValues must be less than 2)",
    );
}

#[test]
fn the_mode_of_the_object_is_the_default_of_its_checks() {
    let properties = json!([
        {"name": "v", "logicalType": "string", "required": true},
        {"name": "w", "logicalType": "integer", "logicalTypeOptions": {"minimum": 1},
         "customProperties": [{"property": "seawall.mode", "value": "quarantine"}]}]);
    let object = json!({"customProperties": [{"property": "seawall.mode", "value": "warn"}]});
    let gate = gate_with(properties, object);
    assert!(gate.dataset().schema.field(0).is_nullable(), "null is let through");
    let rows = [json!({"w": 0}), json!({"w": 1})];
    let verdict = gate.check(&json_batch(&gate, &rows), Input::Typed, NOW);
    assert_eq!(
        show(&verdict).trim(),
        unindent(
            "accepted [1]
             0: required (warn): v is null; it must not be null
             0: minimum: w is 0; it must be at least 1
             warn: required x2: v is null; it must not be null (and 1 more rows)"
        )
    );
}

#[test]
fn a_value_that_does_not_fit_its_type_is_never_kept() {
    let object = json!({"customProperties": [{"property": "seawall.mode", "value": "warn"}]});
    let gate = gate_with(json!([{"name": "v", "logicalType": "integer"}]), object);
    let verdict = gate.check(&text_batch(&["v"], &[&[Some("x")], &[Some("1")]]), Input::Text, NOW);
    assert_eq!(verdict.accepted_rows, [1]);
}

#[test]
fn a_breaker_trips_above_its_share() {
    let breaker = |text: &str| {
        let contract = contract_with(
            json!([{"name": "v", "logicalType": "string"}]),
            json!({"customProperties": [{"property": "seawall.haltAbove", "value": text}]}),
        );
        compile(&contract, None).map(|gate| gate.breaker().unwrap())
    };
    let five = breaker("5% in 1h").unwrap();
    assert_eq!(five.trips(100, 5), None);
    assert_eq!(five.trips(99, 99), None);
    assert_eq!(five.trips(200, 11).unwrap(), "11 of 200 rows, 5.5 %, were refused within 1h; more than 5 % may not be");
    for wrong in ["5 in 1h", "5%", "5% in soon", "101% in 1h", "5% in 0s", "-1% in 1h"] {
        assert_eq!(breaker(wrong).unwrap_err()[0].code, "SW0208", "{wrong}");
    }
}

#[test]
fn rows_are_counted_per_batch() {
    let object = |extra: Value| {
        let mut quality = json!({"metric": "rowCount", "mustBeGreaterOrEqualTo": 3});
        quality.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        json!({"quality": [quality]})
    };
    let properties = json!([{"name": "v", "logicalType": "string"}]);
    let warned = "accepted [0, 1]\nwarn: rowCount x2: rowCount is 2; it must be at least 3";
    let cells = rows(&[Some("a"), Some("b")]);
    check(properties.clone(), object(json!({})), &cells, warned);
    check(properties.clone(), object(json!({"severity": "error"})), &cells, warned);
    let reject = object(json!({"customProperties": [{"property": "seawall.mode", "value": "reject"}]}));
    check(properties.clone(), reject, &cells, "reject: rowCount: rowCount is 2; it must be at least 3");
    check(properties, object(json!({})), &rows(&[None, None, None]), "accepted [0, 1, 2]");
}

#[test]
fn several_columns_repeat_together() {
    let properties = json!([{"name": "a", "logicalType": "string"}, {"name": "b", "logicalType": "integer"}]);
    let object = json!({"quality": [
        {"metric": "duplicateValues", "mustBe": 0, "arguments": {"properties": ["a", "b"]}}]});
    check(
        properties,
        object,
        &[json!({"a": "x", "b": 1}), json!({"a": "x", "b": 2}), json!({"a": "x", "b": 1}), json!({"a": "x"})],
        "accepted [0, 1, 3]
         2: duplicateValues: the columns of the rule repeat an earlier row of the batch",
    );
}

#[test]
fn latency_is_measured_against_the_present() {
    let mut contract = contract(json!([{"name": "at", "logicalType": "timestamp"}]));
    contract.sla_properties = serde_json::from_value(json!([
        {"property": "latency", "value": 4, "unit": "d", "element": "t.at"},
        {"property": "availability", "value": 99.9, "unit": "%"},
        {"property": "latency", "value": 4, "unit": "d", "element": "other.at"}]))
    .unwrap();
    let gate = compile(&contract, None).unwrap();
    let batch = json_batch(&gate, &[json!({"at": "2023-11-10T00:00:00Z"}), json!({"at": "2020-01-01T00:00:00Z"})]);
    let verdict = gate.check(&batch, Input::Typed, "2023-11-14T00:00:00Z".parse().unwrap());
    assert_eq!(show(&verdict), "accepted [0, 1]\n");
    let verdict = gate.check(&batch, Input::Typed, "2023-11-14T00:00:01Z".parse().unwrap());
    assert_eq!(verdict.warnings.len(), 1, "{}", show(&verdict));
    // What is about no object of the contract is told, too.
    assert_eq!(gate.not_executed().len(), 1);
    assert_eq!(gate.not_executed()[0].path, "slaProperties/2");
    let watched: Vec<&str> = gate.service_levels().iter().map(|level| level.rule.as_str()).collect();
    assert_eq!(watched, ["latency", "availability"]);
}
