//! Generated contracts and data, judged by the kernel and by a slow, obvious oracle that was written from the text of the
//! standard and shares no code with it: every count of every rule must agree.
//!
//! 500 pairs here; `SEAWALL_LONG=1` judges 10,000. A failure names its seed.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Tally, compile};
use super::*;

/// Pseudo-random choices, the same for the same seed.
pub(super) struct Dice(pub u64);

impl Dice {
    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % sides
    }

    pub(super) fn chance(&mut self, one_in: u64) -> bool {
        self.roll(one_in) == 0
    }

    pub(super) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len() as u64) as usize].clone()
    }
}

/// Whether a text matches, said without a pattern.
type Matches = fn(&str) -> bool;

const WORDS: &[&str] = &["", "a", "b", "ab", "abc", "N/A", "é", "ab-12", "zz-99", "x@y.org", "10.0.0.1"];
/// Patterns with what they mean, written out.
const PATTERNS: &[(&str, Matches)] = &[
    ("^[a-c]+$", |text| !text.is_empty() && text.chars().all(|c| "abc".contains(c))),
    (r"^\w{2}-\d{2}$", |text| {
        let b = text.as_bytes();
        let is_word = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
        b.len() == 5 && is_word(b[0]) && is_word(b[1]) && b[2] == b'-' && b[3..].iter().all(u8::is_ascii_digit)
    }),
    ("b", |text| text.contains('b')),
    ("^(?!N/A$)", |text| text != "N/A"),
    (r"(.)\1", |text| text.chars().zip(text.chars().skip(1)).any(|(a, b)| a == b)),
];
const METRICS: &[&str] = &["nullValues", "missingValues", "invalidValues", "duplicateValues"];
const OPERATORS: &[&str] = &[
    "mustBe",
    "mustNotBe",
    "mustBeGreaterThan",
    "mustBeGreaterOrEqualTo",
    "mustBeLessThan",
    "mustBeLessOrEqualTo",
    "mustBeBetween",
    "mustNotBeBetween",
];

fn operator(dice: &mut Dice, rule: &mut Value) {
    let operator = dice.pick(OPERATORS);
    let number = dice.roll(7) as i64;
    let value = match operator {
        "mustBe" => json!(if dice.chance(2) { 0 } else { number }),
        "mustBeLessThan" => json!(number + 1),
        "mustBeBetween" | "mustNotBeBetween" => json!([number - 2, number + 2]),
        _ => json!(number),
    };
    rule[operator] = value;
    if dice.chance(3) {
        rule["unit"] = json!("percent");
        if operator == "mustBeLessOrEqualTo" {
            rule[operator] = json!(dice.roll(60));
        }
    }
    match dice.roll(4) {
        0 => rule["severity"] = json!("warning"),
        1 => rule["severity"] = json!("error"),
        _ => {}
    }
}

fn quality(dice: &mut Dice, kind: &str, name: &str) -> Vec<Value> {
    let mut rules = Vec::new();
    for i in 0..dice.roll(3) {
        let metric = dice.pick(METRICS);
        let mut rule = json!({"id": format!("q_{name}_{i}"), "metric": metric});
        match metric {
            "missingValues" => rule["arguments"] = json!({"missingValues": [null, "", "N/A", 0]}),
            "invalidValues" if kind == "string" && dice.chance(2) => {
                rule["arguments"] = json!({"pattern": dice.pick(PATTERNS).0});
            }
            "invalidValues" if kind == "string" => {
                rule["arguments"] = json!({"validValues": ["a", "ab", "abc", "N/A"]})
            }
            "invalidValues" if kind == "integer" => rule["arguments"] = json!({"validValues": [0, 1, 2, 3]}),
            "invalidValues" | "duplicateValues" if kind == "array" || kind == "object" || kind == "map" => {
                rule["metric"] = json!("nullValues");
            }
            "invalidValues" => rule["metric"] = json!("nullValues"),
            _ => {}
        }
        operator(dice, &mut rule);
        rules.push(rule);
    }
    rules
}

fn scalar_options(dice: &mut Dice, kind: &str) -> Value {
    let mut options = json!({});
    let mut set = |dice: &mut Dice, key: &str, value: Value| {
        if dice.chance(3) {
            options[key] = value;
        }
    };
    match kind {
        "string" => {
            set(dice, "minLength", json!(1));
            set(dice, "maxLength", json!(3));
            let pattern = dice.pick(PATTERNS).0;
            set(dice, "pattern", json!(pattern));
            set(dice, "format", json!("ipv4"));
        }
        "integer" => {
            set(dice, "minimum", json!(-1));
            set(dice, "exclusiveMaximum", json!(5));
            set(dice, "multipleOf", json!(2));
        }
        "number" => {
            set(dice, "exclusiveMinimum", json!(-0.5));
            set(dice, "maximum", json!(2.5));
            set(dice, "multipleOf", json!(0.5));
        }
        "date" => {
            set(dice, "minimum", json!("2024-02-28"));
            set(dice, "exclusiveMaximum", json!("2024-03-02"));
        }
        _ => {}
    }
    options
}

fn property(dice: &mut Dice, name: &str, depth: u64) -> Value {
    let kinds = ["string", "integer", "number", "boolean", "date", "array", "object", "map"];
    let kind = kinds[dice.roll(if depth == 0 { 5 } else { 8 }) as usize];
    let mut property = json!({"name": name, "logicalType": kind, "logicalTypeOptions": scalar_options(dice, kind)});
    if dice.chance(3) {
        property["required"] = json!(true);
    }
    match kind {
        "array" => {
            property["items"] = property_without_name(dice, depth - 1);
            property["logicalTypeOptions"] = json!({"maxItems": 2});
            if dice.chance(2) {
                property["logicalTypeOptions"]["uniqueItems"] = json!(true);
            }
        }
        "object" => {
            property["properties"] =
                json!([self::property(dice, "f", depth - 1), self::property(dice, "g", depth - 1)]);
            property["logicalTypeOptions"] = json!({"required": ["g"], "minProperties": 1});
        }
        "map" => {
            let mut value = property_without_name(dice, depth - 1);
            value["required"] = json!(true);
            property["map"] =
                json!({"key": {"logicalType": "string", "logicalTypeOptions": {"maxLength": 1}}, "value": value});
        }
        "string" if dice.chance(3) => property["enum"] = json!([{"value": "a"}, {"value": "b"}, {"value": "é"}]),
        "integer" if dice.chance(4) => property["enum"] = json!([{"value": 0}, {"value": 2}, {"value": 4}]),
        _ => {}
    }
    property
}

fn property_without_name(dice: &mut Dice, depth: u64) -> Value {
    let mut property = property(dice, "x", depth);
    property.as_object_mut().unwrap().remove("name");
    property
}

pub(super) fn object(dice: &mut Dice) -> Value {
    let mut properties =
        vec![json!({"name": "k", "logicalType": "integer", "primaryKey": true, "primaryKeyPosition": 1})];
    if dice.chance(2) {
        properties.push(json!({"name": "l", "logicalType": "string", "primaryKey": true, "primaryKeyPosition": 2}));
    }
    for i in 0..1 + dice.roll(4) {
        let name = format!("c{i}");
        let mut column = property(dice, &name, 2);
        let kind = column["logicalType"].as_str().unwrap().to_owned();
        column["quality"] = json!(quality(dice, &kind, &name));
        if dice.chance(4) && !["array", "object", "map"].contains(&kind.as_str()) {
            column["unique"] = json!(true);
        }
        properties.push(column);
    }
    let mut rules = Vec::new();
    if dice.chance(2) {
        let mut rule = json!({"id": "rows", "metric": "rowCount"});
        operator(dice, &mut rule);
        rule.as_object_mut().unwrap().remove("unit");
        // No row can be put aside for the number of rows.
        rule.as_object_mut().unwrap().remove("severity");
        rules.push(rule);
    }
    if dice.chance(2) {
        let mut rule = json!({"id": "pairs", "metric": "duplicateValues", "arguments": {"properties": ["k", "c0"]}});
        operator(dice, &mut rule);
        rules.push(rule);
    }
    json!({"name": "t", "properties": properties, "quality": rules})
}

pub(super) fn value(dice: &mut Dice, property: &Value) -> Value {
    if dice.chance(6) {
        return Value::Null;
    }
    match property["logicalType"].as_str().unwrap() {
        "string" => json!(dice.pick(WORDS)),
        "integer" => json!(dice.roll(10) as i64 - 3),
        "number" => json!((dice.roll(16) as f64 - 6.0) / 4.0),
        "boolean" => json!(dice.chance(2)),
        "date" => json!(dice.pick(&["2024-02-27", "2024-02-28", "2024-02-29", "2024-03-01", "2024-03-02"])),
        "array" => {
            let items = (0..dice.roll(4)).map(|_| value(dice, &property["items"])).collect::<Vec<_>>();
            json!(items)
        }
        "object" => {
            let fields = property["properties"].as_array().unwrap();
            Value::Object(fields.iter().map(|f| (f["name"].as_str().unwrap().to_owned(), value(dice, f))).collect())
        }
        "map" => {
            let mut members = serde_json::Map::new();
            for _ in 0..dice.roll(4) {
                members.insert(dice.pick(&["a", "b", "cc"]).to_owned(), value(dice, &property["map"]["value"]));
            }
            Value::Object(members)
        }
        other => panic!("{other} is not generated"),
    }
}

/// Rules that one row breaks: rule and column.
type Broken = BTreeSet<(String, String)>;

/// What the text of the standard says about one value. `names` are the rules that only warn.
fn judge_value(property: &Value, value: &Value, path: &str, required: bool, broken: &mut Broken) {
    let mut fail = |rule: &str| {
        broken.insert((rule.to_owned(), path.to_owned()));
    };
    if value.is_null() {
        if required || property["required"] == true || property["primaryKey"] == true {
            fail("required");
        }
        return;
    }
    let options = &property["logicalTypeOptions"];
    let number = |key: &str| options[key].as_f64();
    if let Some(text) = value.as_str() {
        let characters = text.chars().count() as f64;
        if number("minLength").is_some_and(|least| characters < least) {
            fail("minLength");
        }
        if number("maxLength").is_some_and(|most| characters > most) {
            fail("maxLength");
        }
        if let Some(pattern) = options["pattern"].as_str()
            && !matches(pattern, text)
        {
            fail("pattern");
        }
        if options["format"] == "ipv4" && text != "10.0.0.1" {
            fail("format");
        }
        // Dates in ISO 8601 are ordered like their text.
        if options["minimum"].as_str().is_some_and(|least| text < least) {
            fail("minimum");
        }
        if options["exclusiveMaximum"].as_str().is_some_and(|most| text >= most) {
            fail("exclusiveMaximum");
        }
    }
    if let Some(amount) = value.as_f64() {
        if number("minimum").is_some_and(|least| amount < least) {
            fail("minimum");
        }
        if number("maximum").is_some_and(|most| amount > most) {
            fail("maximum");
        }
        if number("exclusiveMinimum").is_some_and(|least| amount <= least) {
            fail("exclusiveMinimum");
        }
        if number("exclusiveMaximum").is_some_and(|most| amount >= most) {
            fail("exclusiveMaximum");
        }
        if number("multipleOf").is_some_and(|divisor| (amount / divisor).fract() != 0.0) {
            fail("multipleOf");
        }
    }
    if let Some(allowed) = property["enum"].as_array()
        && !allowed.iter().any(|entry| entry["value"] == *value)
    {
        fail("enum");
    }
    if let Some(items) = value.as_array() {
        if number("maxItems").is_some_and(|most| items.len() as f64 > most) {
            fail("maxItems");
        }
        let texts: BTreeSet<String> = items.iter().map(Value::to_string).collect();
        if options["uniqueItems"] == true && texts.len() < items.len() {
            fail("uniqueItems");
        }
        items.iter().for_each(|item| judge_value(&property["items"], item, &format!("{path}[]"), false, broken));
        return;
    }
    let Some(members) = value.as_object() else { return };
    if property["logicalType"] == "map" {
        for (key, member) in members {
            judge_value(&property["map"]["key"], &json!(key), &format!("{path}[].key"), true, broken);
            judge_value(&property["map"]["value"], member, &format!("{path}[].value"), false, broken);
        }
        return;
    }
    let present = members.values().filter(|member| !member.is_null()).count() as f64;
    if number("minProperties").is_some_and(|least| present < least) {
        broken.insert(("minProperties".to_owned(), path.to_owned()));
    }
    for field in property["properties"].as_array().unwrap() {
        let name = field["name"].as_str().unwrap();
        let is_required = options["required"].as_array().unwrap().iter().any(|listed| listed == name);
        judge_value(field, &value[name], &format!("{path}.{name}"), is_required, broken);
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    PATTERNS.iter().find(|(known, _)| *known == pattern).unwrap().1(text)
}

/// Whether a value counts for a metric about single values.
fn counts(rule: &Value, value: &Value) -> bool {
    match rule["metric"].as_str().unwrap() {
        "nullValues" => value.is_null(),
        "missingValues" => rule["arguments"]["missingValues"].as_array().unwrap().iter().any(|one| same(one, value)),
        // Null is missing, not invalid.
        "invalidValues" if value.is_null() => false,
        "invalidValues" => match rule["arguments"]["pattern"].as_str() {
            Some(pattern) => !matches(pattern, value.as_str().unwrap()),
            None => !rule["arguments"]["validValues"].as_array().unwrap().contains(value),
        },
        _ => false,
    }
}

/// Numbers are equal when their values are, however they are written.
fn same(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

fn holds(rule: &Value, count: f64) -> bool {
    let number = |key: &str| rule[key].as_f64();
    let pair = |key: &str| rule[key].as_array().map(|pair| (pair[0].as_f64().unwrap(), pair[1].as_f64().unwrap()));
    number("mustBe").is_none_or(|limit| count == limit)
        && number("mustNotBe").is_none_or(|limit| count != limit)
        && number("mustBeGreaterThan").is_none_or(|limit| count > limit)
        && number("mustBeGreaterOrEqualTo").is_none_or(|limit| count >= limit)
        && number("mustBeLessThan").is_none_or(|limit| count < limit)
        && number("mustBeLessOrEqualTo").is_none_or(|limit| count <= limit)
        // "Between" is greater than the one and less than the other.
        && pair("mustBeBetween").is_none_or(|(low, high)| count > low && count < high)
        && pair("mustNotBeBetween").is_none_or(|(low, high)| !(count > low && count < high))
}

/// A rule that no offending row satisfies acts on each offending row: tried out for every count that matters.
fn tolerates_none(rule: &Value) -> bool {
    let is_percent = rule["unit"] == "percent";
    let mut counts = (1..=1_000).map(|n| if is_percent { f64::from(n) / 10.0 } else { f64::from(n) });
    holds(rule, 0.0) && counts.all(|count| !holds(rule, count)) && !(is_percent && holds(rule, 1e-6))
}

/// Offending rows of each rule, and whether it holds.
type Verdicts = BTreeMap<(String, String), (u64, bool)>;

/// The oracle: every rule over every row, one by one.
fn oracle(object: &Value, rows: &[Value]) -> Verdicts {
    let properties = object["properties"].as_array().unwrap();
    let broken: Vec<Broken> = rows
        .iter()
        .map(|row| {
            let mut broken = Broken::new();
            for property in properties {
                let name = property["name"].as_str().unwrap();
                judge_value(property, &row[name], name, false, &mut broken);
            }
            broken
        })
        .collect();
    let mut verdicts = Verdicts::new();
    for rule in broken.iter().flatten() {
        verdicts.entry(rule.clone()).or_insert((0, false)).0 += 1;
    }
    let mut clean: Vec<bool> = broken.iter().map(BTreeSet::is_empty).collect();
    let percent = |rule: &Value, count: u64| match (rule["unit"] == "percent", rows.len()) {
        (true, 0) => 0.0,
        (true, rows) => count as f64 * 100.0 / rows as f64,
        (false, _) => count as f64,
    };
    let mut duplicates: Vec<(String, String, Vec<&str>, Option<&Value>)> = Vec::new();
    let key: Vec<&str> =
        properties.iter().filter(|p| p["primaryKey"] == true).map(|p| p["name"].as_str().unwrap()).collect();
    let only = if key.len() == 1 { key[0].to_owned() } else { String::new() };
    duplicates.push(("key_conflict".to_owned(), only, key, None));
    for property in properties {
        let name = property["name"].as_str().unwrap();
        if property["unique"] == true {
            duplicates.push(("unique".to_owned(), name.to_owned(), vec![name], None));
        }
        for rule in property["quality"].as_array().into_iter().flatten() {
            let id = rule["id"].as_str().unwrap().to_owned();
            if rule["metric"] == "duplicateValues" {
                duplicates.push((id, name.to_owned(), vec![name], Some(rule)));
                continue;
            }
            let offending: Vec<usize> = (0..rows.len()).filter(|row| counts(rule, &rows[*row][name])).collect();
            let count = offending.len() as u64;
            verdicts.insert((id, name.to_owned()), (count, holds(rule, percent(rule, count))));
            if tolerates_none(rule) && rule["severity"] != "warning" {
                offending.into_iter().for_each(|row| clean[row] = false);
            }
        }
    }
    for rule in object["quality"].as_array().unwrap() {
        let id = rule["id"].as_str().unwrap().to_owned();
        match rule["metric"].as_str().unwrap() {
            "rowCount" => {
                verdicts.insert((id, String::new()), (rows.len() as u64, holds(rule, rows.len() as f64)));
            }
            _ => duplicates.push((id, String::new(), vec!["k", "c0"], Some(rule))),
        }
    }
    for (name, column, columns, rule) in duplicates {
        let mut seen: Vec<Vec<&Value>> = Vec::new();
        let mut count = 0;
        for (row, values) in rows.iter().enumerate() {
            let key: Vec<&Value> = columns.iter().map(|column| &values[*column]).collect();
            if key.iter().any(|value| value.is_null()) {
                continue;
            }
            if seen.contains(&key) {
                count += 1;
            } else if clean[row] {
                seen.push(key);
            }
        }
        let holds = rule.map_or(count == 0, |rule| holds(rule, percent(rule, count)));
        verdicts.insert((name, column), (count, holds));
    }
    // A rule that nobody breaks says nothing.
    verdicts.retain(|_, (count, holds)| *count > 0 || !*holds);
    verdicts
}

fn judge(seed: u64) {
    let mut dice = Dice(seed);
    let object = object(&mut dice);
    let rows: Vec<Value> = (0..dice.roll(25))
        .map(|_| {
            let properties = object["properties"].as_array().unwrap();
            let members = properties.iter().map(|p| (p["name"].as_str().unwrap().to_owned(), value(&mut dice, p)));
            Value::Object(members.collect())
        })
        .collect();
    let contract: Contract = serde_json::from_value(
        json!({"apiVersion": "v3.2.0", "kind": "DataContract", "id": "c", "version": "1.0.0", "schema": [object]}),
    )
    .unwrap();
    let gate = compile(&contract, None).unwrap_or_else(|problems| panic!("seed {seed}: {problems:?}\n{object:#}"));
    assert!(gate.not_executed().is_empty(), "seed {seed}: {:?}", gate.not_executed());
    let mut tally = Tally::of(&gate);
    let mut rest = rows.as_slice();
    while !rest.is_empty() {
        let (batch, later) = rest.split_at(1 + dice.roll(rest.len() as u64) as usize);
        tally.add(&json_batch(&gate, batch), Input::Typed).unwrap();
        rest = later;
    }
    let mut fast = Verdicts::new();
    for measured in tally.finish(NOW) {
        let entry = fast.entry((measured.rule, measured.column.unwrap_or_default())).or_insert((0, true));
        entry.0 += measured.offending;
        entry.1 &= measured.holds;
    }
    fast.retain(|_, (count, holds)| *count > 0 || !*holds);
    assert_eq!(fast, oracle(&object, &rows), "seed {seed}\n{object:#}\n{rows:#?}");
}

#[test]
fn every_count_agrees_with_the_text() {
    let pairs = if std::env::var("SEAWALL_LONG").is_ok() { 10_000 } else { 500 };
    (0..pairs).for_each(judge);
}
