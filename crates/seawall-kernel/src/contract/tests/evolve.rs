//! What a difference between two contracts breaks: case by case, and against the gate itself with mutated contracts.

use super::super::{Breaks, Bump, diff};
use super::generated::{Dice, object, value};
use super::*;

/// `breaks place: from -> to` of each change.
fn shown(old: &Contract, new: &Contract) -> Vec<String> {
    let side = |value: &Option<Value>| value.as_ref().map_or("nothing".to_owned(), Value::to_string);
    let told = |breaks: Breaks| match breaks {
        Breaks::Nobody => "ok",
        Breaks::Producers => "P",
        Breaks::Consumers => "C",
        Breaks::Both => "PC",
    };
    let changes = diff(old, new).changes;
    changes.iter().map(|c| format!("{} {}: {} -> {}", told(c.breaks), c.place(), side(&c.from), side(&c.to))).collect()
}

/// Compares the property `v` before and after.
#[track_caller]
fn check(mut old: Value, mut new: Value, expected: &[&str]) {
    old["name"] = json!("v");
    new["name"] = json!("v");
    assert_eq!(shown(&contract(json!([old])), &contract(json!([new]))), expected);
}

/// Compares options of a type before and after.
#[track_caller]
fn check_options(logical: &str, old: Value, new: Value, expected: &[&str]) {
    let property = |options: Value| json!({"logicalType": logical, "logicalTypeOptions": options});
    check(property(old), property(new), expected);
}

#[test]
fn bounds() {
    check_options("number", json!({"maximum": 5}), json!({"maximum": 9}), &[r#"ok t.v maximum: "<= 5" -> "<= 9""#]);
    check_options("number", json!({"maximum": 9}), json!({"maximum": 5}), &[r#"P t.v maximum: "<= 9" -> "<= 5""#]);
    check_options("number", json!({"minimum": 0}), json!({}), &[r#"ok t.v minimum: ">= 0" -> nothing"#]);
    check_options(
        "integer",
        json!({"exclusiveMinimum": 0}),
        json!({"minimum": 0}),
        &[r#"ok t.v minimum: "> 0" -> ">= 0""#],
    );
    check_options(
        "integer",
        json!({"minimum": 0}),
        json!({"exclusiveMinimum": 0}),
        &[r#"P t.v minimum: ">= 0" -> "> 0""#],
    );
    // Beyond what a float tells apart.
    let (low, high) = (9_007_199_254_740_992_u64, 9_007_199_254_740_993_u64);
    check_options(
        "integer",
        json!({"maximum": high}),
        json!({"maximum": low}),
        &[r#"P t.v maximum: "<= 9007199254740993" -> "<= 9007199254740992""#],
    );
    check_options(
        "date",
        json!({"maximum": "2024-01-31"}),
        json!({"maximum": "2024-02-01"}),
        &[r#"ok t.v maximum: "<= 2024-01-31" -> "<= 2024-02-01""#],
    );
    check_options(
        "date",
        json!({"maximum": "31/01/2024", "format": "dd/MM/yyyy"}),
        json!({"maximum": "01/02/2024", "format": "dd/MM/yyyy"}),
        &[r#"P t.v maximum: "<= 31/01/2024" -> "<= 01/02/2024""#],
    );
}

#[test]
fn options_of_types() {
    check_options("string", json!({"maxLength": 3}), json!({"maxLength": 2}), &["P t.v maxLength: 3 -> 2"]);
    check_options("string", json!({"minLength": 3}), json!({"minLength": 2}), &["ok t.v minLength: 3 -> 2"]);
    check_options("string", json!({"pattern": "a"}), json!({"pattern": "b"}), &[r#"P t.v pattern: "a" -> "b""#]);
    check_options("integer", json!({"multipleOf": 4}), json!({"multipleOf": 2}), &["ok t.v multipleOf: 4 -> 2"]);
    check_options("integer", json!({"multipleOf": 2}), json!({"multipleOf": 4}), &["P t.v multipleOf: 2 -> 4"]);
    check_options("integer", json!({"format": "i32"}), json!({"format": "i64"}), &[r#"ok t.v format: "i32" -> "i64""#]);
    check_options("integer", json!({"format": "i32"}), json!({"format": "u64"}), &[r#"P t.v format: "i32" -> "u64""#]);
    check_options("integer", json!({"format": "u32"}), json!({"format": "i64"}), &[r#"ok t.v format: "u32" -> "i64""#]);
    check_options("date", json!({}), json!({"format": "dd.MM.yyyy"}), &[r#"P t.v format: nothing -> "dd.MM.yyyy""#]);
    check_options(
        "timestamp",
        json!({"defaultTimezone": "Europe/Paris"}),
        json!({"defaultTimezone": "UTC"}),
        &[r#"PC t.v defaultTimezone: "Europe/Paris" -> "UTC""#],
    );
    let text = |value: Value| json!({"logicalType": "string", "enum": value});
    check(text(json!(["a", "b"])), text(json!(["b", "a", "c"])), &[r#"ok t.v enum: ["a","b"] -> ["b","a","c"]"#]);
    check(text(json!(["a", "b"])), text(json!(["a"])), &[r#"P t.v enum: ["a","b"] -> ["a"]"#]);
    check(text(json!(["a"])), json!({"logicalType": "string"}), &[r#"ok t.v enum: ["a"] -> nothing"#]);
}

#[test]
fn columns_and_types() {
    let integer = json!({"logicalType": "integer"});
    check(integer.clone(), json!({"logicalType": "string"}), &[r#"PC t.v logicalType: "integer" -> "string""#]);
    let physical = |text: &str| json!({"logicalType": "number", "physicalType": text});
    check(
        physical("decimal(10,2)"),
        physical("decimal(12,2)"),
        &[r#"ok t.v physicalType: "decimal(10,2)" -> "decimal(12,2)""#],
    );
    check(
        physical("decimal(10,2)"),
        physical("decimal(12,3)"),
        &[r#"PC t.v physicalType: "decimal(10,2)" -> "decimal(12,3)""#],
    );
    let physical = |text: &str| json!({"logicalType": "integer", "physicalType": text});
    check(physical("int"), physical("bigint"), &[r#"ok t.v physicalType: "int" -> "bigint""#]);
    check(physical("bigint"), physical("int"), &[r#"P t.v physicalType: "bigint" -> "int""#]);
    let required = json!({"logicalType": "integer", "required": true});
    check(integer.clone(), required.clone(), &["P t.v required: nothing -> true"]);
    check(required.clone(), integer.clone(), &["C t.v required: true -> nothing"]);
    let columns = |more: Value| contract(json!([{"name": "k", "logicalType": "integer"}, more]));
    let named = |mut property: Value| {
        property["name"] = json!("n");
        property
    };
    let one = contract(json!([{"name": "k", "logicalType": "integer"}]));
    assert_eq!(shown(&one, &columns(named(integer.clone()))), [r#"ok t.n property: nothing -> "n""#]);
    assert_eq!(shown(&one, &columns(named(required))), [r#"PC t.n property: nothing -> "n""#]);
    assert_eq!(shown(&columns(named(integer)), &one), [r#"C t.n property: "n" -> nothing"#]);
    let personal = json!({"logicalType": "string", "classification": "pii"});
    check(json!({"logicalType": "string"}), personal, &[r#"C t.v classification: nothing -> "pii""#]);
    let nested = |most: u64| {
        json!({"logicalType": "array", "items": {"logicalType": "object", "properties": [
            {"name": "x", "logicalType": "string", "logicalTypeOptions": {"maxLength": most}}]}})
    };
    check(nested(3), nested(2), &["P t.v[].x maxLength: 3 -> 2"]);
}

#[test]
fn promises_beyond_values() {
    let rule = |limits: Value| {
        let mut rule = json!({"id": "few", "metric": "nullValues"});
        for (key, value) in limits.as_object().unwrap() {
            rule[key] = value.clone();
        }
        json!({"logicalType": "string", "quality": [rule]})
    };
    let breaks = |old: Value, new: Value| {
        let property = |mut property: Value| {
            property["name"] = json!("v");
            contract(json!([property]))
        };
        let found = diff(&property(old), &property(new)).changes;
        found.iter().map(|change| (change.key.clone(), change.breaks)).collect::<Vec<_>>()
    };
    let key = || "quality.few".to_owned();
    let most = |limit: u64| rule(json!({"mustBeLessOrEqualTo": limit}));
    assert_eq!(breaks(most(3), most(5)), [(key(), Breaks::Nobody)]);
    assert_eq!(breaks(most(5), most(3)), [(key(), Breaks::Producers)]);
    // No null could pass, and some may now.
    let admits_null = ("required".to_owned(), Breaks::Consumers);
    assert_eq!(breaks(rule(json!({"mustBe": 0})), most(3)), [(key(), Breaks::Nobody), admits_null]);
    assert_eq!(breaks(most(3), json!({"logicalType": "string"})), [(key(), Breaks::Consumers)]);
    assert_eq!(breaks(json!({"logicalType": "string"}), most(3)), [(key(), Breaks::Producers)]);
    let warning = rule(json!({"mustBeLessOrEqualTo": 3, "severity": "warning"}));
    assert_eq!(breaks(json!({"logicalType": "string"}), warning.clone()), [(key(), Breaks::Nobody)]);
    assert_eq!(breaks(most(3), warning), [("quality.few.severity".to_owned(), Breaks::Consumers)]);
}

#[test]
fn versions_are_asked_for() {
    let old = contract(json!([{"name": "v", "logicalType": "integer", "logicalTypeOptions": {"maximum": 5}}]));
    let check = |maximum: u64, version: &str, expected: (Bump, Bump, bool)| {
        let mut new = old.clone();
        new.version = version.to_owned();
        new.schema[0].properties[0].logical_type_options.as_mut().unwrap().maximum =
            Some(serde_json::from_value(json!(maximum)).unwrap());
        let diff = diff(&old, &new);
        assert_eq!((diff.needs, diff.moves, diff.is_versioned()), expected, "{version}");
    };
    check(5, "1.0.0", (Bump::None, Bump::None, true));
    check(9, "1.1.0", (Bump::Minor, Bump::Minor, true));
    check(9, "1.0.1", (Bump::Minor, Bump::Patch, false));
    check(3, "1.9.0", (Bump::Major, Bump::Minor, false));
    check(3, "2.0.0", (Bump::Major, Bump::Major, true));
    check(3, "0.9.0", (Bump::Major, Bump::None, false));
}

/// Changes something about a property, its options, its rules, or what lies within.
fn mutate(dice: &mut Dice, property: &mut Value) {
    for key in ["properties", "items", "map"] {
        let Some(inner) = property.get_mut(key) else { continue };
        match inner {
            Value::Array(fields) => fields.iter_mut().for_each(|field| mutate(dice, field)),
            inner if key == "map" => mutate(dice, &mut inner["value"]),
            inner => mutate(dice, inner),
        }
    }
    if let Some(options) = property.get_mut("logicalTypeOptions").and_then(Value::as_object_mut) {
        let keys: Vec<String> = options.keys().cloned().collect();
        for key in keys {
            match dice.roll(6) {
                0 if key != "required" => {
                    options.remove(&key);
                }
                1 | 2 => {
                    if let Some(number) = options[&key].as_i64() {
                        options[&key] = json!((number + dice.roll(3) as i64 - 1).max(i64::from(key == "multipleOf")));
                    }
                }
                _ => {}
            }
        }
    }
    if let Some(values) = property.get_mut("enum").and_then(Value::as_array_mut) {
        let is_text = values[0]["value"].is_string();
        match dice.roll(4) {
            0 => values.push(json!({"value": if is_text { json!("zz") } else { json!(7) }})),
            1 if values.len() > 1 => {
                values.pop();
            }
            2 => values.reverse(),
            _ => {}
        }
    }
    if dice.chance(6) {
        property["required"] = json!(dice.chance(2));
    }
    if dice.chance(6) {
        property.as_object_mut().unwrap().remove("unique");
    }
    if let Some(rules) = property.get_mut("quality").and_then(Value::as_array_mut) {
        rules.retain(|_| !dice.chance(5));
        for rule in rules {
            let limit = rule.get_mut("mustBeLessOrEqualTo").filter(|_| dice.chance(2));
            if let Some(limit) = limit {
                *limit = json!(limit.as_i64().unwrap() + dice.roll(5) as i64 - 1);
            }
        }
    }
}

fn judge(seed: u64) -> bool {
    let mut dice = Dice(seed);
    let old = object(&mut dice);
    let mut new = old.clone();
    new["properties"].as_array_mut().unwrap().iter_mut().for_each(|property| mutate(&mut dice, property));
    if dice.chance(3) {
        new["properties"].as_array_mut().unwrap().push(json!({"name": "extra", "logicalType": "string"}));
    }
    let contract = |object: &Value| -> Contract {
        serde_json::from_value(
            json!({"apiVersion": "v3.2.0", "kind": "DataContract", "id": "c", "version": "1.0.0", "schema": [object]}),
        )
        .unwrap()
    };
    let contracts = (contract(&old), contract(&new));
    let Ok(after) = compile(&contracts.1, None) else { return false };
    let before = compile(&contracts.0, None).unwrap();
    let found = diff(&contracts.0, &contracts.1);
    assert!(contracts.0 != contracts.1 || found.changes.is_empty(), "seed {seed}: {:?}", found.changes);
    if found.breaking().next().is_none() {
        let changes = super::super::schema_change(before.dataset(), after.dataset());
        assert!(changes.iter().all(|change| change.compatible), "seed {seed}: {changes:?}");
    }
    if found.changes.iter().any(|change| change.breaks.producers()) {
        return false;
    }
    for _ in 0..20 {
        let properties = old["properties"].as_array().unwrap();
        let members = properties.iter().map(|p| (p["name"].as_str().unwrap().to_owned(), value(&mut dice, p)));
        let row = [Value::Object(members.collect())];
        let is_taken = |gate: &Gate| !gate.check(&json_batch(gate, &row), Input::Typed, NOW).accepted_rows.is_empty();
        assert!(
            !is_taken(&before) || is_taken(&after),
            "seed {seed}: {row:?} was accepted and is stopped\n{:#?}\n{old:#}\n{new:#}",
            found.changes
        );
    }
    true
}

/// The oracle is the gate: when producers are said to be safe, no row that was accepted is stopped.
#[test]
fn what_breaks_no_producer_stops_no_row() {
    let pairs = if std::env::var("SEAWALL_LONG").is_ok() { 20_000 } else { 1_500 };
    let safe = (0..pairs).filter(|seed| judge(seed + 1_000_000)).count();
    assert!(safe > 200, "only {safe} of {pairs} pairs were judged safe, so nothing was compared");
}
