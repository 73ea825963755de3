//! One test per check: the rows that fail, with their messages.

use std::sync::Arc;

use arrow::array::{Float64Array, StringArray};
use serde_json::json;

use super::*;

#[test]
fn null_breaks_required() {
    check_text(
        json!({"logicalType": "string", "required": true}),
        &[Some("a"), None, Some("")],
        "accepted [0, 2]
         1: required: v is null; it must not be null",
    );
}

#[test]
fn strings_have_lengths_in_characters() {
    check_text(
        json!({"logicalType": "string", "logicalTypeOptions": {"minLength": 2, "maxLength": 3}}),
        &[Some("äö"), Some("é"), Some("日本語"), Some("日本語x"), None, Some("")],
        r#"accepted [0, 2, 4]
         1: minLength: v is "é"; it must have at least 2 characters
         3: maxLength: v is "日本語x"; it must have at most 3 characters
         5: minLength: v is ""; it must have at least 2 characters"#,
    );
}

#[test]
fn patterns_match_anywhere_unless_anchored() {
    check_text(
        json!({"logicalType": "string", "logicalTypeOptions": {"pattern": "[0-9]{2}"}}),
        &[Some("ab12c"), Some("a1b")],
        r#"accepted [0]
         1: pattern: v is "a1b"; it must match [0-9]{2}"#,
    );
    check_text(
        json!({"logicalType": "string", "logicalTypeOptions": {"pattern": "^(?!.*secret)[a-z]+$"}}),
        &[Some("plain"), Some("asecret")],
        r#"accepted [0]
         1: pattern: v is "asecret"; it must match ^(?!.*secret)[a-z]+$"#,
    );
}

#[test]
fn a_pattern_that_explodes_is_stopped_by_its_budget() {
    // The backreference forces the backtracking engine.
    let evil = format!("{}!", "a".repeat(40));
    let gate = gate(json!([{"name": "v", "logicalType": "string",
        "logicalTypeOptions": {"pattern": "^(a|aa)+\\1$"}}]));
    let verdict = gate.check(&text_batch(&["v"], &[&[Some(&evil)], &[Some("aa")]]), Input::Typed, NOW);
    assert_eq!(verdict.accepted_rows, [1]);
    assert_eq!(verdict.quarantined[0].reasons[0].rule, "pattern_budget");
}

#[test]
fn string_formats() {
    let cases: &[(&str, &[&str], &[&str])] = &[
        ("email", &["a@b.co", "a.b+c@x-y.example", "a@[127.0.0.1]"], &["a@", "@b", "a b@c.d", "a..b@c", "plain"]),
        ("uuid", &["123e4567-e89b-12d3-a456-426614174000"], &["123e4567e89b12d3a456426614174000", "x"]),
        ("uri", &["https://a.b/c?d=%20#e", "urn:x:y"], &["no scheme", "http://a b", "x:%zz", "1a:b"]),
        ("hostname", &["a.example", "localhost"], &["-a.b", "a..b", "a_b", ""]),
        ("ipv4", &["1.2.3.4"], &["1.2.3", "256.1.1.1", "01.2.3.4"]),
        ("ipv6", &["::1", "2001:db8::8:800:200c:417a"], &["::g", "1.2.3.4"]),
        ("byte", &["", "QUJD", "QQ=="], &["QQ=", "Q Q=", "===="]),
    ];
    for (format, good, bad) in cases {
        let gate = gate(json!([{"name": "v", "logicalType": "string", "logicalTypeOptions": {"format": format}}]));
        let cells: Vec<&str> = good.iter().chain(*bad).copied().collect();
        let batch = column_batch("v", Arc::new(StringArray::from(cells)));
        let verdict = gate.check(&batch, Input::Typed, NOW);
        let expected: Vec<u32> = (0..good.len() as u32).collect();
        assert_eq!(verdict.accepted_rows, expected, "{format}: {}", show(&verdict));
    }
}

#[test]
fn integer_bounds_and_formats() {
    check_json(
        json!({"logicalType": "integer", "logicalTypeOptions": {"minimum": 1.5, "exclusiveMaximum": 10, "multipleOf": 2}}),
        &[json!(1), json!(2), json!(9), json!(10), json!(-4)],
        "accepted [1]
         0: minimum: v is 1; it must be at least 1.5
         0: multipleOf: v is 1; it must be a multiple of 2
         2: multipleOf: v is 9; it must be a multiple of 2
         3: exclusiveMaximum: v is 10; it must be less than 10
         4: minimum: v is -4; it must be at least 1.5",
    );
    check_json(
        json!({"logicalType": "integer", "logicalTypeOptions": {"format": "u8"}}),
        &[json!(0), json!(255), json!(256), json!(-1)],
        "accepted [0, 1]
         2: format: v is 256; it must fit u8
         3: format: v is -1; it must fit u8",
    );
}

#[test]
fn exclusive_bounds_may_be_flags_as_in_v3_0() {
    check_json(
        json!({"logicalType": "number",
               "logicalTypeOptions": {"minimum": 0, "exclusiveMinimum": true, "maximum": 5, "exclusiveMaximum": false}}),
        &[json!(0), json!(5), json!(5.5), json!(0.1)],
        "accepted [1, 3]
         0: exclusiveMinimum: v is 0.0; it must be greater than 0
         2: maximum: v is 5.5; it must be at most 5",
    );
}

#[test]
fn numbers_are_finite_and_multiples_survive_binary_fractions() {
    check_typed(
        json!({"logicalType": "number", "logicalTypeOptions": {"multipleOf": 0.01}}),
        Arc::new(Float64Array::from(vec![Some(0.07), Some(19.99), Some(0.005), Some(f64::NAN), None, Some(1e300)])),
        r#"accepted [0, 1, 4, 5]
         2: multipleOf: v is 0.005; it must be a multiple of 0.01
         3: not_finite: v is "NaN"; it must be a finite number"#,
    );
}

#[test]
fn decimals_are_exact() {
    check_text(
        json!({"logicalType": "number", "physicalType": "decimal(5,2)",
               "logicalTypeOptions": {"maximum": 100.005, "multipleOf": 0.05}}),
        &[
            Some("0.10"),
            Some("100.00"),
            Some("100.05"),
            Some("0.123"),
            Some("1e2"),
            Some("1000"),
            Some("0.1000"),
            Some("0.01"),
        ],
        r#"accepted [0, 1, 4, 6]
         2: maximum: v is 100.05; it must be at most 100.005
         3: precision: v is "0.123", which the decimal cannot hold exactly
         5: type: v is "1000", which is beyond the range of the decimal
         7: multipleOf: v is 0.01; it must be a multiple of 0.05"#,
    );
}

#[test]
fn dates_times_and_timestamps_have_bounds() {
    check_text(
        json!({"logicalType": "date", "logicalTypeOptions": {"minimum": "2020-01-01", "exclusiveMaximum": "2020-02-01"}}),
        &[Some("2020-01-01"), Some("2019-12-31"), Some("2020-02-01"), Some("2020-02-30")],
        r#"accepted [0]
         1: minimum: v is "2019-12-31"; it must be at least 2020-01-01
         2: exclusiveMaximum: v is "2020-02-01"; it must be less than 2020-02-01
         3: type: v is "2020-02-30", which is not a date like 2014-01-31"#,
    );
    check_text(
        json!({"logicalType": "timestamp", "logicalTypeOptions": {"minimum": "2020-01-01T00:00:00Z"}}),
        &[Some("2020-01-01T01:00:00+01:00"), Some("2020-01-01T00:00:00+01:00")],
        r#"accepted [0]
         1: minimum: v is "2019-12-31T23:00:00Z"; it must be at least 2020-01-01T00:00:00Z"#,
    );
    check_text(
        json!({"logicalType": "time", "logicalTypeOptions": {"maximum": "18:00:00"}}),
        &[Some("08:05"), Some("18:00:00.001"), Some("24:00:00")],
        r#"accepted [0]
         1: maximum: v is "18:00:00.001"; it must be at most 18:00:00
         2: type: v is "24:00:00", which is not a time like 08:05:00"#,
    );
}

#[test]
fn enums_take_bare_and_described_values() {
    check_text(
        json!({"logicalType": "string", "enum": ["EUR", {"value": "USD", "label": "Dollar"}]}),
        &[Some("EUR"), Some("USD"), Some("usd"), None],
        r#"accepted [0, 1, 3]
         2: enum: v is "usd"; it must be one of "EUR", "USD""#,
    );
    check_text(
        json!({"logicalType": "integer", "enum": [3, 1, 2]}),
        &[Some("2"), Some("4")],
        "accepted [0]
         1: enum: v is 4; it must be one of 3, 1, 2",
    );
    let many: Vec<String> = (0..20).map(|i| format!("k{i}")).collect();
    check_text(
        json!({"logicalType": "string", "enum": many}),
        &[Some("k19"), Some("k20")],
        r#"accepted [0]
         1: enum: v is "k20"; it must be one of "k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7", 12 more"#,
    );
}

#[test]
fn arrays_and_objects_are_checked_within() {
    let property = json!({
        "logicalType": "array",
        "logicalTypeOptions": {"minItems": 1, "maxItems": 3, "uniqueItems": true},
        "items": {"logicalType": "object", "properties": [
            {"name": "sku", "logicalType": "string", "required": true},
            {"name": "price", "logicalType": "number", "logicalTypeOptions": {"minimum": 0}}]}
    });
    check_json(
        property,
        &[
            json!([{"sku": "a", "price": 1}]),
            json!([]),
            json!([{"sku": "a"}, {"sku": "a"}]),
            json!([{"sku": null, "price": -1}, {"price": -2}]),
            json!(null),
            json!([{"sku": "1"}, {"sku": "2"}, {"sku": "3"}, {"sku": "4"}]),
        ],
        r#"accepted [0, 4]
         1: minItems: v is []; it must have at least 1 items
         2: uniqueItems: v is [{"sku":"a","price":null},{"sku":"a","price":null}]; it must not repeat an item
         3: required: v[0].sku is null; it must not be null (and 1 more element)
         3: minimum: v[0].price is -1.0; it must be at least 0 (and 1 more element)
         5: maxItems: v is [{"sku":"1","price":null},{"sku":"2","price":null},{"sku":"3...; it must have at most 3 items"#,
    );
}

#[test]
fn a_field_of_a_null_object_is_not_missing() {
    check_json(
        json!({"logicalType": "object", "logicalTypeOptions": {"required": ["b"], "minProperties": 2}, "properties": [
            {"name": "a", "logicalType": "integer"}, {"name": "b", "logicalType": "integer"}]}),
        &[json!(null), json!({"a": 1, "b": 2}), json!({"a": 1})],
        r#"accepted [0, 1]
         2: required: v.b is null; it must not be null
         2: minProperties: v is {"a":1,"b":null}; it must have at least 2 fields"#,
    );
}

#[test]
fn vectors_have_dimensions() {
    check_json(
        json!({"logicalType": "vector", "logicalTypeOptions": {"dimensions": 2}}),
        &[json!([0.5, 1]), json!([1]), json!([1, null])],
        r#"accepted [0]
         1: dimensions: v is [1.0]; it must have 2 elements
         2: required: v[1] is null; it must not be null"#,
    );
}

#[test]
fn uniqueness_lets_the_first_clean_row_stand() {
    let gate = gate(json!([
        {"name": "k", "logicalType": "string", "unique": true},
        {"name": "n", "logicalType": "integer", "logicalTypeOptions": {"maximum": 9}}]));
    let rows: &[&[Option<&str>]] = &[
        &[Some("a"), Some("10")],
        &[Some("a"), Some("1")],
        &[Some("a"), Some("1")],
        &[None, Some("1")],
        &[None, Some("1")],
    ];
    let verdict = gate.check(&text_batch(&["k", "n"], rows), Input::Text, NOW);
    assert_eq!(
        show(&verdict).trim(),
        unindent(
            r#"accepted [1, 3, 4]
             0: maximum: n is 10; it must be at most 9
             2: unique: k is "a"; it must differ from every earlier row of the batch"#
        )
    );
}

#[test]
fn the_same_row_again_is_left_to_deduplication() {
    let gate = gate(json!([
        {"name": "a", "logicalType": "string", "primaryKey": true, "primaryKeyPosition": 2},
        {"name": "b", "logicalType": "integer", "primaryKey": true, "primaryKeyPosition": 1},
        {"name": "n", "logicalType": "integer", "unique": true}]));
    assert_eq!(gate.dataset().primary_key, ["b", "a"]);
    let rows: &[&[Option<&str>]] = &[
        &[Some("x"), Some("1"), Some("5")],
        &[Some("x"), Some("1"), Some("5")],
        &[Some("x"), Some("1"), Some("6")],
        &[Some("y"), Some("1"), Some("5")],
    ];
    let verdict = gate.check(&text_batch(&["a", "b", "n"], rows), Input::Text, NOW);
    assert_eq!(
        show(&verdict).trim(),
        unindent(
            "accepted [0, 1]
             2: key_conflict: another row of the batch has the same b, a and different content
             3: unique: n is 5; it must differ from every earlier row of the batch"
        )
    );
}

#[test]
fn personal_values_are_not_shown() {
    let gate = gate(json!([
        {"name": "mail", "logicalType": "string", "classification": "PII", "logicalTypeOptions": {"format": "email"}},
        {"name": "age", "logicalType": "integer",
         "customProperties": [{"property": "seawall.personal", "value": true}]}]));
    assert_eq!(gate.dataset().personal, ["mail", "age"]);
    let verdict = gate.check(&text_batch(&["mail", "age"], &[&[Some("secret"), Some("4o")]]), Input::Text, NOW);
    let shown = show(&verdict);
    assert!(!shown.contains("secret") && !shown.contains("4o"), "{shown}");
    assert_eq!(verdict.quarantined[0].reasons.len(), 2);
    let decoded = decode_ndjson(&gate, br#"{"mail":"m","age":"4o"}"#, Limits::default());
    assert!(!decoded.failures[0].reasons[0].message.contains("4o"));
}
