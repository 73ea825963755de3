//! The official JSON Schemas against random edits of the official files: what is valid under the schema of its version
//! loads, but for what the text of the standard asks beyond its schema. Skipped, loudly, without `SEAWALL_ODCS`.

use serde_json::{Value, json};

use super::super::source::SourceFile;
use super::super::{Severity, diagnostic, lint, yaml};
use super::standard::official;
use super::*;

/// Edited contracts per official file and version; `SEAWALL_LONG=1` makes twenty times as many.
const EDITS: usize = 100;

/// Each version with the file of its schema.
const VERSIONS: [(&str, &str); 3] = [
    ("v3.0.2", "odcs-json-schema-v3.0.2.json"),
    ("v3.1.0", "odcs-json-schema-v3.1.0.json"),
    ("v3.2.0", "odcs-json-schema-v3.2.0.json"),
];

/// Draws the same numbers every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides.max(1)
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.roll(from.len())]
    }
}

/// A file's only document.
fn document(text: &str) -> Option<Value> {
    let file = SourceFile { path: "x.yaml".into(), text: text.into() };
    yaml::documents(0, &file, &mut diagnostic::Report::default()).first().map(yaml::Node::to_json)
}

/// Pointers to everything in `value` that has keys, and the keys with their values.
fn walk(value: &Value, at: &str, objects: &mut Vec<String>, fields: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(map) => {
            objects.push(at.to_owned());
            for (key, field) in map {
                fields.push((key.clone(), field.clone()));
                walk(field, &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), objects, fields);
            }
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, item)| walk(item, &format!("{at}/{i}"), objects, fields));
        }
        _ => {}
    }
}

/// Changes one key somewhere in `contract`: it is removed, added, given another value, or one that nobody knows.
fn edit(contract: &mut Value, dice: &mut Dice, known: &[(String, Value)]) {
    let mut objects = Vec::new();
    walk(contract, "", &mut objects, &mut Vec::new());
    let object = contract.pointer_mut(dice.pick::<String>(&objects)).and_then(Value::as_object_mut).unwrap();
    let keys: Vec<String> = object.keys().cloned().collect();
    let odd = [json!(""), json!("x"), json!(0), json!(-1), json!(1.5), json!(true), Value::Null, json!([]), json!({})];
    match dice.roll(4) {
        0 if !keys.is_empty() => drop(object.remove(dice.pick(&keys))),
        1 if !keys.is_empty() => drop(object.insert(dice.pick(&keys).clone(), dice.pick(&odd).clone())),
        2 => drop(object.insert("tag".to_owned(), json!(["sensitive"]))),
        _ => {
            let (key, value) = dice.pick(known).clone();
            object.insert(key, value);
        }
    }
}

/// Whether an error is about what the text of the standard says beyond its schemas: types, bounds, rules and keys that make
/// sense, names that are not empty, values of a list that are a list.
fn is_beyond_the_schema(code: &str, message: &str) -> bool {
    match code {
        "SW0202" | "SW0203" | "SW0204" | "SW0205" | "SW0206" | "SW0207" | "SW0209" | "SW0212" | "SW0214" => true,
        "SW0125" => message.ends_with("not the text \"\"") || message.starts_with("`validValues` must be a list"),
        _ => false,
    }
}

#[test]
fn what_is_valid_under_the_schema_of_its_version_loads() {
    let (Some(examples), Some(negative)) = (official("examples"), official("negative-tests")) else { return };
    let root = std::env::var("SEAWALL_ODCS").unwrap();
    let texts = examples.iter().chain(&negative).map(|path| fs::read_to_string(path).unwrap());
    let contracts: Vec<Value> = texts.filter_map(|text| document(&text)).collect();
    let mut known = Vec::new();
    contracts.iter().for_each(|contract| walk(contract, "", &mut Vec::new(), &mut known));
    let rounds = if std::env::var("SEAWALL_LONG").is_ok() { EDITS * 20 } else { EDITS };
    let (mut dice, mut failed, mut valid) = (Dice(1), Vec::new(), 0);
    for (version, schema) in VERSIONS {
        let schema = fs::read_to_string(Path::new(&root).join("schema").join(schema)).unwrap();
        let schema = jsonschema::draft201909::new(&serde_json::from_str(&schema).unwrap()).unwrap();
        for contract in &contracts {
            for round in 0..rounds {
                let mut edited = contract.clone();
                if edited.get("apiVersion").is_some() {
                    edited["apiVersion"] = version.into();
                }
                (0..round.min(1) + dice.roll(2)).for_each(|_| edit(&mut edited, &mut dice, &known));
                if !schema.is_valid(&edited) {
                    continue;
                }
                valid += 1;
                let text = format!("{edited:#}");
                let variables =
                    ["TARGET_TABLE", "CUTOFF_DATE", "DB_HOST", "DB_PORT"].map(|name| (name.to_owned(), "x".to_owned()));
                let Err(found) = lint(Path::new("x"), &text, &variables.into()) else { continue };
                let errors = found.iter().filter(|one| one.severity == Severity::Error);
                for one in errors.filter(|one| !is_beyond_the_schema(&one.code, &one.message)) {
                    let line = text.lines().nth(one.line - 1).unwrap_or_default().trim();
                    failed.push(format!("{version} {}: {}: {line}", one.code, one.message));
                }
            }
        }
    }
    failed.sort();
    failed.dedup();
    assert!(failed.is_empty(), "{} kinds:\n{}", failed.len(), failed.join("\n"));
    assert!(valid > 1_000, "only {valid} edits were valid");
    eprintln!("{valid} valid edits of {} official files", contracts.len());
}
