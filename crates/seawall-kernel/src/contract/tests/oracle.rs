//! The vectorised gate against a slow one that goes row by row, rule by rule, over `serde_json` values and shares no
//! code with it.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// A rule broken by a row: rule and column.
type Broken = BTreeSet<(String, String)>;

fn properties() -> Value {
    json!([
        {"name": "id", "logicalType": "string", "primaryKey": true},
        {"name": "n", "logicalType": "integer", "required": true,
         "logicalTypeOptions": {"minimum": 0, "exclusiveMaximum": 8, "multipleOf": 2}},
        {"name": "x", "logicalType": "number", "logicalTypeOptions": {"exclusiveMinimum": -1, "maximum": 2.5},
         "quality": [{"metric": "nullValues", "mustBe": 0, "severity": "warning"}]},
        {"name": "s", "logicalType": "string", "enum": ["a", "b", "ab", "abc"],
         "logicalTypeOptions": {"minLength": 1, "maxLength": 2, "pattern": "^[a-b]"},
         "quality": [
            {"id": "valid", "metric": "invalidValues", "mustBe": 0, "arguments": {"validValues": ["a", "ab"]}},
            {"id": "few", "metric": "nullValues", "mustBeLessThan": 3},
            {"id": "share", "metric": "missingValues", "mustBeLessOrEqualTo": 40, "unit": "percent",
             "severity": "error", "arguments": {"missingValues": ["", "b"]}}]},
        {"name": "u", "logicalType": "integer", "unique": true},
        {"name": "l", "logicalType": "array", "logicalTypeOptions": {"maxItems": 2, "uniqueItems": true},
         "items": {"logicalType": "integer", "required": true, "logicalTypeOptions": {"maximum": 3}}}
    ])
}

fn row_strategy() -> impl Strategy<Value = Value> {
    let maybe = |strategy: BoxedStrategy<Value>| prop_oneof![5 => strategy, 1 => Just(Value::Null)];
    let element = prop_oneof![6 => (0i64..6).prop_map(|v| json!(v)), 1 => Just(Value::Null)];
    (
        maybe((0u8..6).prop_map(|i| json!(format!("k{i}"))).boxed()),
        maybe((-3i64..12).prop_map(|v| json!(v)).boxed()),
        maybe((-4i64..12).prop_map(|v| json!(v as f64 / 2.0)).boxed()),
        maybe(
            prop_oneof![Just("a"), Just("b"), Just("ab"), Just("abc"), Just(""), Just("é")]
                .prop_map(|s| json!(s))
                .boxed(),
        ),
        maybe((0i64..8).prop_map(|v| json!(v)).boxed()),
        maybe(proptest::collection::vec(element, 0..4).prop_map(|v| json!(v)).boxed()),
    )
        .prop_map(|(id, n, x, s, u, l)| json!({"id": id, "n": n, "x": x, "s": s, "u": u, "l": l}))
}

/// The rules that warn, with the number of their rows.
type Warned = BTreeSet<(String, u64)>;

/// The rules that a row breaks by itself; the second set only warns.
fn own_rules(row: &Value) -> (Broken, Broken) {
    let mut stop = Broken::new();
    let mut warn = Broken::new();
    let mut broken = |rule: &str, column: &str| {
        stop.insert((rule.to_owned(), column.to_owned()));
    };
    if row["id"].is_null() {
        broken("required", "id");
    }
    match row["n"].as_i64() {
        None => broken("required", "n"),
        Some(n) => {
            if n < 0 {
                broken("minimum", "n");
            }
            if n >= 8 {
                broken("exclusiveMaximum", "n");
            }
            if n % 2 != 0 {
                broken("multipleOf", "n");
            }
        }
    }
    match row["x"].as_f64() {
        None => {
            warn.insert(("nullValues".to_owned(), "x".to_owned()));
        }
        Some(x) => {
            if x <= -1.0 {
                broken("exclusiveMinimum", "x");
            }
            if x > 2.5 {
                broken("maximum", "x");
            }
        }
    }
    if let Some(s) = row["s"].as_str() {
        if s.is_empty() {
            broken("minLength", "s");
        }
        if s.chars().count() > 2 {
            broken("maxLength", "s");
        }
        if !s.starts_with(['a', 'b']) {
            broken("pattern", "s");
        }
        if !["a", "b", "ab", "abc"].contains(&s) {
            broken("enum", "s");
        }
        if !["a", "ab"].contains(&s) {
            broken("valid", "s");
        }
    }
    if let Some(l) = row["l"].as_array() {
        if l.len() > 2 {
            broken("maxItems", "l");
        }
        let texts: BTreeSet<String> = l.iter().map(Value::to_string).collect();
        if texts.len() < l.len() {
            broken("uniqueItems", "l");
        }
        if l.iter().any(Value::is_null) {
            broken("required", "l[]");
        }
        if l.iter().any(|v| v.as_i64().is_some_and(|v| v > 3)) {
            broken("maximum", "l[]");
        }
    }
    (stop, warn)
}

/// What the slow gate says: reasons of each quarantined row, and the rules that warn with their rows.
fn slow(rows: &[Value]) -> (Vec<(u32, Broken)>, Warned) {
    let own: Vec<(Broken, Broken)> = rows.iter().map(own_rules).collect();
    let mut stops: Vec<Broken> = own.iter().map(|(stop, _)| stop.clone()).collect();
    for (i, row) in rows.iter().enumerate() {
        for (column, rule) in [("id", "key_conflict"), ("u", "unique")] {
            let stands = |j: &usize| own[*j].0.is_empty() && rows[*j][column] == row[column];
            if let Some(first) = (0..i).find(stands)
                && !row[column].is_null()
                && rows[first] != *row
            {
                stops[i].insert((rule.to_owned(), column.to_owned()));
            }
        }
    }
    let mut warnings = Warned::new();
    let missing: Vec<usize> =
        (0..rows.len()).filter(|i| rows[*i]["s"].is_null() || rows[*i]["s"] == "" || rows[*i]["s"] == "b").collect();
    if !rows.is_empty() && missing.len() * 100 > rows.len() * 40 {
        for i in missing {
            stops[i].insert(("share".to_owned(), "s".to_owned()));
        }
    }
    let nulls: Vec<usize> = (0..rows.len()).filter(|i| rows[*i]["s"].is_null()).collect();
    let mut warned: Vec<Broken> = own.iter().map(|(_, warn)| warn.clone()).collect();
    if nulls.len() >= 3 {
        warnings.insert(("few".to_owned(), nulls.len() as u64));
        for i in nulls {
            warned[i].insert(("few".to_owned(), "s".to_owned()));
        }
    }
    let without_x = rows.iter().filter(|row| row["x"].is_null()).count() as u64;
    if without_x > 0 {
        warnings.insert(("nullValues".to_owned(), without_x));
    }
    let quarantined = stops.into_iter().zip(warned).enumerate().filter(|(_, (stop, _))| !stop.is_empty());
    let quarantined = quarantined.map(|(i, (stop, warn))| (i as u32, stop.into_iter().chain(warn).collect()));
    (quarantined.collect(), warnings)
}

fn broken(reasons: &[super::super::Reason]) -> Broken {
    let named = reasons.iter().map(|r| {
        let column = r.column.clone().unwrap_or_default();
        (r.rule.clone(), column)
    });
    named.collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_gate_agrees_with_a_slow_one(rows in proptest::collection::vec(row_strategy(), 0..40)) {
        let gate = gate(properties());
        let verdict = gate.check(&json_batch(&gate, &rows), Input::Typed, NOW);
        account(&verdict, rows.len());
        let fast: Vec<(u32, Broken)> = verdict.quarantined.iter().map(|q| (q.row, broken(&q.reasons))).collect();
        let (quarantined, warnings) = slow(&rows);
        prop_assert_eq!(fast, quarantined);
        let warned: Warned = verdict.warnings.iter().map(|w| (w.rule.clone(), w.rows)).collect();
        prop_assert_eq!(warned, warnings);
        // What is accepted is what came in.
        for (at, row) in verdict.accepted_rows.iter().enumerate() {
            let kept: Value = serde_json::from_str(&super::super::raw_json(&verdict.accepted, at)).unwrap();
            prop_assert_eq!(&kept, &rows[*row as usize]);
        }
    }

    /// Text and JSON of the same scalars get the same verdict.
    #[test]
    fn text_and_json_are_judged_alike(rows in proptest::collection::vec(row_strategy(), 0..30)) {
        let gate = gate(properties());
        let names = ["id", "n", "x", "s", "u", "l"];
        let cell = |value: &Value| match value {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        };
        let cells: Vec<Vec<Option<String>>> =
            rows.iter().map(|row| names.iter().map(|name| cell(&row[*name])).collect()).collect();
        let cells: Vec<Vec<Option<&str>>> = cells.iter().map(|row| row.iter().map(Option::as_deref).collect()).collect();
        let cells: Vec<&[Option<&str>]> = cells.iter().map(Vec::as_slice).collect();
        let from_text = gate.check(&text_batch(&names, &cells), Input::Text, NOW);
        let from_json = gate.check(&json_batch(&gate, &rows), Input::Typed, NOW);
        prop_assert_eq!(show(&from_text), show(&from_json));
        prop_assert_eq!(from_text.accepted, from_json.accepted);
    }

    /// Slicing a batch changes nothing for rules that look at rows alone.
    #[test]
    fn a_slice_is_judged_like_a_copy(rows in proptest::collection::vec(row_strategy(), 1..30), from in 0usize..30) {
        let gate = gate(properties());
        let from = from.min(rows.len() - 1);
        let whole = json_batch(&gate, &rows);
        let sliced = gate.check(&whole.slice(from, rows.len() - from), Input::Typed, NOW);
        let copied = gate.check(&json_batch(&gate, &rows[from..]), Input::Typed, NOW);
        prop_assert_eq!(show(&sliced), show(&copied));
    }

    /// Equal rows have equal content, different rows different content.
    #[test]
    fn content_is_equal_for_equal_rows(rows in proptest::collection::vec(row_strategy(), 1..20)) {
        let gate = gate(properties());
        let hashes = super::super::content_hashes(&json_batch(&gate, &rows));
        for i in 0..rows.len() {
            for j in 0..rows.len() {
                prop_assert_eq!(rows[i] == rows[j], hashes[i] == hashes[j]);
            }
        }
    }
}
