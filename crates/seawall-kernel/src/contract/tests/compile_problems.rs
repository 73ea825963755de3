//! Mistakes in contracts are reported all at once, each with its place; what is not executed says why.

use serde_json::json;

use super::*;

/// Codes and places of the problems of a contract.
#[track_caller]
fn check(properties: Value, object: Value, expected: &[&str]) {
    let problems = match compile(&contract_with(properties, object), None) {
        Ok(_) => Vec::new(),
        Err(problems) => problems,
    };
    let shown: Vec<String> = problems.iter().map(|p| format!("{} {}", p.code, p.path)).collect();
    assert_eq!(shown, expected, "{problems:#?}");
    assert!(problems.iter().all(|p| !p.message.is_empty() && p.hint.as_deref() != Some("")));
}

#[test]
fn every_mistake_is_reported_at_its_place() {
    check(
        json!([
            {"name": "a", "logicalType": "strnig"},
            {"name": "_b", "logicalType": "string"},
            {"name": "a", "logicalType": "integer", "logicalTypeOptions": {"maxLength": 3, "minimum": "x"}},
            {"name": "c", "logicalType": "string", "logicalTypeOptions": {"pattern": "(", "minLenght": 1}},
            {"name": "d", "logicalType": "string", "quality": [
                {"metric": "nullValues"},
                {"metric": "nullValues", "mustBe": 0, "mustNotBe": 1},
                {"metric": "rowCount", "mustBe": 0},
                {"metric": "nope", "mustBe": 0},
                {"metric": "invalidValues", "mustBe": 0, "arguments": {"validValues": [1]}},
                {"metric": "nullValues", "mustBeLessThan": 0},
                {"metric": "nullValues", "mustBe": 0, "unit": "any"}]},
            {"name": "e", "logicalType": "number", "enum": ["x"]},
            {"name": "f", "logicalType": "array"},
            {"logicalType": "string"},
            {"name": "g", "physicalType": "decimal(50,2)", "logicalType": "number"},
            {"name": "h", "logicalType": "integer", "logicalTypeOptions": {"minimum": 5, "maximum": 4}}
        ]),
        json!({}),
        &[
            "SW0203 schema/0/properties/0/logicalType",
            "SW0202 schema/0/properties/1/name",
            "SW0202 schema/0/properties/2/name",
            "SW0204 schema/0/properties/2/logicalTypeOptions/maxLength",
            "SW0205 schema/0/properties/2/logicalTypeOptions/minimum",
            "SW0210 schema/0/properties/3/logicalTypeOptions/minLenght",
            "SW0206 schema/0/properties/3/logicalTypeOptions/pattern",
            "SW0207 schema/0/properties/4/quality/0",
            "SW0207 schema/0/properties/4/quality/1",
            "SW0207 schema/0/properties/4/quality/2",
            "SW0207 schema/0/properties/4/quality/3/metric",
            "SW0207 schema/0/properties/4/quality/4",
            "SW0212 schema/0/properties/4/quality/5",
            "SW0204 schema/0/properties/5/enum",
            "SW0202 schema/0/properties/7/name",
            "SW0203 schema/0/properties/8/physicalType",
            "SW0205 schema/0/properties/9/logicalTypeOptions",
        ],
    );
}

#[test]
fn extensions_are_checked() {
    let custom = |name: &str, value: Value| json!({"customProperties": [{"property": name, "value": value}]});
    let properties = || json!([{"name": "a", "logicalType": "string"}, {"name": "at", "logicalType": "timestamp"}]);
    let place = "SW0208 schema/0/customProperties";
    check(properties(), custom("seawall.eventTime", json!("at")), &[]);
    check(properties(), custom("seawall.eventTime", json!("a")), &[place]);
    check(properties(), custom("seawall.eventTime", json!("none")), &[place]);
    check(properties(), custom("seawall.subject", json!("a")), &[]);
    check(properties(), custom("seawall.subject", json!("at")), &[place]);
    check(properties(), custom("seawall.subject", json!("none")), &[place]);
    assert_eq!(gate_with(properties(), custom("seawall.subject", json!("a"))).dataset().subject.as_deref(), Some("a"));
    let keyed =
        || json!([{"name": "a", "logicalType": "string", "primaryKey": true}, {"name": "op", "logicalType": "string"}]);
    check(keyed(), custom("seawall.changelog", json!("op")), &[]);
    check(keyed(), custom("seawall.changelog", json!("none")), &[place]);
    check(properties(), custom("seawall.changelog", json!("at")), &[place]);
    check(properties(), custom("seawall.changelog", json!("a")), &[place]);
    let log = gate_with(keyed(), custom("seawall.changelog", json!("op")));
    assert_eq!(log.dataset().changelog.as_deref(), Some("op"));
    assert!(!log.dataset().schema.field_with_name("op").unwrap().is_nullable());
    check(properties(), custom("seawall.zone", json!("Mars/Base")), &[place]);
    check(properties(), custom("seawall.mode", json!("explode")), &[place]);
    check(properties(), custom("seawall.dedupHorizon", json!("soon")), &[place]);
    check(properties(), custom("seawall.dedupHorizon", json!("7d")), &[]);
    let gate = gate_with(properties(), custom("seawall.dedupHorizon", json!("7d")));
    assert_eq!(gate.dedup_horizon(), Some("7d".parse().unwrap()));
}

#[test]
fn keys_are_checked() {
    check(
        json!([
            {"name": "a", "logicalType": "string", "primaryKey": true, "primaryKeyPosition": 1},
            {"name": "b", "logicalType": "string", "primaryKey": true, "primaryKeyPosition": 1},
            {"name": "c", "logicalType": "object", "properties": [
                {"name": "d", "logicalType": "string", "primaryKey": true}]}]),
        json!({}),
        &["SW0209 schema/0/properties/2/properties/0/primaryKey", "SW0209 schema/0/properties/1/primaryKeyPosition"],
    );
    check(
        json!([{"name": "a", "logicalType": "number", "primaryKey": true}]),
        json!({}),
        &["SW0209 schema/0/properties"],
    );
}

#[test]
fn the_contract_itself_is_checked() {
    let mut contract = contract(json!([{"name": "a", "logicalType": "string", "enum": ["${VALUES:-x}"]}]));
    contract.api_version = "v2.2.0".into();
    contract.version = "first".into();
    contract.kind = "Other".into();
    let problems = compile(&contract, None).unwrap_err();
    let codes: Vec<&str> = problems.iter().map(|p| p.code).collect();
    assert_eq!(codes, ["SW0200", "SW0200", "SW0200", "SW0211"]);
    assert_eq!(problems[3].path, "schema/0/properties/0/enum/0");
    let problems = compile(&contract, Some("u")).unwrap_err();
    assert_eq!(problems.last().map(|p| p.code), Some("SW0201"));
}

#[test]
fn patterns_that_only_look_like_variables_are_left_alone() {
    check(json!([{"name": "a", "logicalType": "string", "logicalTypeOptions": {"pattern": "^a${1}"}}]), json!({}), &[]);
}

#[test]
fn every_rule_is_executed_or_says_why_not() {
    let gate = gate_with(
        json!([
            {"name": "a", "logicalType": "string", "unique": true,
             "logicalTypeOptions": {"format": "password"},
             "quality": [
                {"type": "sql", "name": "s", "query": "select 1", "mustBe": 0},
                {"type": "text", "description": "be nice"},
                {"type": "custom", "engine": "soda", "implementation": "x"},
                {"rule": "freshness", "mustBe": 0}]},
            {"name": "b", "logicalType": "date", "logicalTypeOptions": {"format": "dd.MM.yyyy"}, "shape": "round"}]),
        json!({"quality": [
            {"metric": "rowCount", "mustBeGreaterThan": 0, "unit": "percent"},
            {"metric": "rowCount", "mustBeGreaterThan": 0}]}),
    );
    let listed: Vec<String> = gate.not_executed().iter().map(|n| format!("{} {}", n.path, n.rule)).collect();
    assert_eq!(
        listed,
        [
            "schema/0/properties/0/logicalTypeOptions/format format",
            "schema/0/properties/0/quality/1 text",
            "schema/0/properties/0/quality/2 custom",
            "schema/0/properties/0/quality/3 freshness",
            "schema/0/properties/1/shape shape",
            "schema/0/quality/0 rowCount",
        ]
    );
    assert!(gate.not_executed().iter().all(|n| !n.reason.is_empty()));
    let executed: Vec<&str> = gate.rules().iter().map(|r| r.rule.as_str()).collect();
    assert_eq!(executed, ["type", "unique", "type", "rowCount"]);
    let asked: Vec<&str> = gate.table_rules().iter().map(|r| r.rule.as_str()).collect();
    assert_eq!(asked, ["s"]);
}

#[test]
fn a_contract_round_trips_with_everything_it_says() {
    let json = json!({
        "apiVersion": "v3.1.0", "kind": "DataContract", "id": "urn:x", "version": "2.1.0", "status": "active",
        "description": {"purpose": "p"}, "servers": [{"server": "s", "type": "local", "host": "${HOST}"}],
        "team": {"members": [{"username": "u"}]},
        "schema": [{"name": "t", "physicalType": "table", "tags": ["x"], "properties": [
            {"name": "a", "logicalType": "string", "primaryKey": false, "examples": ["e"],
             "logicalTypeOptions": {"maxLength": 5, "exclusiveMinimum": true},
             "quality": [{"metric": "nullValues", "mustBe": 0, "dimension": "completeness"}]}]}],
        "slaProperties": [{"property": "latency", "value": 4, "unit": "d", "driver": "regulatory"}],
        "customProperties": [{"property": "p", "value": {"deep": [1]}}]
    });
    let contract: Contract = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(serde_json::to_value(&contract).unwrap(), json);
    assert_eq!(contract.major(), Some(2));
}

#[test]
fn what_is_valid_is_said_by_the_rule_or_else_by_the_property() {
    let rule = json!([{"metric": "invalidValues", "mustBe": 0}]);
    let contract = contract_with(
        json!([
            {"name": "a", "logicalType": "string", "enum": ["x", "y"], "quality": rule},
            {"name": "b", "logicalType": "string", "logicalTypeOptions": {"pattern": "^z"}, "quality": rule},
            {"name": "c", "logicalType": "string", "quality": rule}
        ]),
        json!({}),
    );
    let gate = compile(&contract, None).unwrap();
    let described = |column: &str| -> Vec<&str> {
        let of =
            gate.rules().iter().filter(|rule| rule.rule == "invalidValues" && rule.column.as_deref() == Some(column));
        of.map(|rule| rule.description.as_str()).collect()
    };
    assert_eq!(described("a"), [r#"must be one of "x", "y""#]);
    assert_eq!(described("b"), ["must match ^z"]);
    assert_eq!(described("c"), [""; 0]);
    let skipped: Vec<_> = gate.not_executed().iter().map(|rule| (rule.path.as_str(), rule.column.as_deref())).collect();
    assert_eq!(skipped, [("schema/0/properties/2/quality/0", Some("c"))]);
}
