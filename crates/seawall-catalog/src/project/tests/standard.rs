//! The contract standard: what it asks of keys that depend on each other, its official examples, and its official negative
//! tests.
//!
//! The official files are taken from the folder that `SEAWALL_ODCS` names: `examples/` and `negative-tests/` with
//! `*.odcs.yaml`, `schema/` with the JSON Schemas, whose file names hold the version ([`edits`](super::edits)). Tests that
//! need it are skipped, loudly, without it. An example whose name holds `-invalid` must be refused.

use std::collections::BTreeMap;
use std::path::Path;

use super::super::{Diagnostics, Linted, lint};
use super::*;

fn read(text: &str) -> Result<Linted, Diagnostics> {
    lint(Path::new("x.odcs.yaml"), text, &BTreeMap::new())
}

pub(super) fn official(folder: &str) -> Option<Vec<PathBuf>> {
    let Ok(root) = std::env::var("SEAWALL_ODCS") else {
        eprintln!("SKIPPED: SEAWALL_ODCS does not name the folder with the standard's files");
        return None;
    };
    let mut paths: Vec<PathBuf> = Vec::new();
    let mut folders = vec![Path::new(&root).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().flatten() {
            if entry.path().is_dir() { folders.push(entry.path()) } else { paths.push(entry.path()) }
        }
    }
    paths.sort();
    assert!(!paths.is_empty(), "{folder} holds nothing");
    Some(paths)
}

/// `CODE LINE: message` of each error.
fn errors(text: &str) -> Vec<String> {
    let found = match read(text) {
        Ok(_) => return Vec::new(),
        Err(found) => found,
    };
    let is_error = |d: &&super::super::Diagnostic| d.severity == super::super::Severity::Error;
    found.iter().filter(is_error).map(|d| format!("{} {}: {}", d.code, d.line, d.message)).collect()
}

fn head() -> &'static str {
    "apiVersion: v3.2.0\nkind: DataContract\nid: c\nversion: 1.0.0\n"
}

/// A contract with one column, whose further keys are given from line 8 on.
#[track_caller]
fn check_column(keys: &str, expected: &[&str]) {
    let text = format!("{}schema:\n  - name: t\n    properties:\n      - name: a\n{keys}", head());
    assert_eq!(errors(&text), expected, "{text}");
}

#[test]
fn quality_rules_have_the_keys_of_their_type() {
    let rule = |keys: &str| format!("        logicalType: string\n        quality:\n          - {{{keys}}}\n");
    check_column(&rule("metric: nullValues, mustBe: 0"), &[]);
    check_column(&rule("description: hello"), &[]);
    check_column(&rule("type: text, description: hello"), &[]);
    check_column(&rule("type: sql, query: select 1, mustBe: true"), &[]);
    check_column(&rule("type: custom, engine: soda, implementation: x"), &[]);
    check_column(&rule("metric: nullValues"), &["SW0207 11: the rule has no operator"]);
    check_column(&rule("type: sql, mustBe: 0"), &["SW0213 11: a rule of type sql needs `query`"]);
    check_column(&rule("type: custom, engine: soda"), &["SW0213 11: a rule of type custom needs `implementation`"]);
    check_column(
        &rule("type: custom, engine: soda, implementation: 5"),
        &["SW0125 11: `implementation` must be text or a mapping, not the number 5"],
    );
    check_column(&rule("type: text, query: select 1"), &["SW0213 11: `query` does not belong to a rule of type text"]);
    check_column(&rule("metric: nullValues, mustBe: 0, mustNotBe: 1"), &["SW0207 11: the rule has 2 operators"]);
    check_column(
        &rule("metric: nullValues, mustBeBetween: [1, 1]"),
        &["SW0207 11: `mustBeBetween` takes two different bounds"],
    );
    check_column(&rule("metric: nulValues, mustBe: 0"), &["SW0207 11: \"nulValues\" is no metric"]);
    check_column(
        &rule("metric: invalidValues, mustBe: 0, validValues: [a]"),
        &["SW0213 11: `validValues` belongs to v3.0.x"],
    );
    check_column(
        &rule("metric: nullValues, mustBe: 0, dimension: validity"),
        &["SW0125 11: `dimension` cannot be \"validity\""],
    );
}

#[test]
fn types_bring_their_keys() {
    check_column("        logicalType: map\n", &["SW0213 8: a map says what its keys and values are"]);
    check_column(
        "        logicalType: string\n        items: {logicalType: string}\n",
        &["SW0213 10: `items` belongs to the logicalType array, this is string"],
    );
    check_column("        logicalType: vector\n", &["SW0213 8: a vector says how many dimensions it has"]);
    check_column(
        "        logicalType: integer\n        logicalTypeOptions: {exclusiveMinimum: true, minimum: 1}\n",
        &["SW0205 10: `exclusiveMinimum` is a flag only in v3.0.x"],
    );
    check_column(
        "        logicalType: integer\n        enum: [{value: 1}, {value: 1}]\n",
        &["SW0204 10: this value of the enum stands there twice"],
    );
    check_column(
        "        logicalType: object\n        properties: [{logicalType: string}]\n",
        &["SW0124 10: this property has no `name`"],
    );
}

#[test]
fn relationships_have_two_sides() {
    check_column(
        "        relationships: [{to: b.c, from: t.a}]\n        logicalType: string\n",
        &["SW0213 9: below a property, a relationship has no `from`"],
    );
    check_column(
        "        logicalType: string\n        relationships: [{to: not a reference}]\n",
        &["SW0125 10: `to` must be a reference such as customers.id, not the text \"not a reference\""],
    );
    let object = |relationship: &str| {
        format!(
            "{}schema:\n  - name: t\n    relationships: [{relationship}]\n    properties: [{{name: a, logicalType: string}}]\n",
            head()
        )
    };
    assert_eq!(errors(&object("{from: t.a, to: b.c}")), [""; 0]);
    assert_eq!(errors(&object("{from: [t.a], to: [b.c]}")), [""; 0]);
    assert_eq!(errors(&object("{to: b.c}")), ["SW0213 7: this relationship has no `from`"]);
    assert_eq!(errors(&object("{from: t.a, to: [b.c]}")), ["SW0213 7: `from` and `to` are not as many columns"]);
}

#[test]
fn servers_have_the_keys_of_their_type() {
    let server = |keys: &str| errors(&format!("{}servers:\n  - {{server: s, {keys}}}\n", head()));
    assert_eq!(server("type: api, location: x"), [""; 0]);
    assert_eq!(server("type: api"), ["SW0213 6: a server of type api needs `location`"]);
    assert_eq!(server("type: api, location: x, host: y"), ["SW0213 6: a server of type api has no `host`"]);
    assert_eq!(server("type: postgre"), ["SW0125 6: `type` cannot be \"postgre\""]);
    assert_eq!(server("type: local, path: x, format: csv, flavour: y"), ["SW0123 6: a server has no key `flavour`"]);
}

#[test]
fn variables_come_from_the_list_or_have_a_default() {
    let text = format!(
        "{}schema: [{{name: \"${{T:-t}}\", properties: [{{name: \"${{C}}\", logicalType: string}}]}}]\n",
        head()
    );
    let unresolved = errors(&text);
    assert_eq!(unresolved, ["SW0211 5: the variable in \"${C}\" is not resolved"]);
    let variables = BTreeMap::from([("C".to_owned(), "column".to_owned())]);
    let linted = lint(Path::new("x"), &text, &variables).unwrap();
    assert_eq!(linted.contract.schema[0].name, "t");
    assert_eq!(linted.contract.schema[0].properties[0].name.as_deref(), Some("column"));
    // What is not executed keeps its variables.
    let servers = format!("{}servers: [{{server: s, type: api, location: \"${{HOST}}\"}}]\n", head());
    assert_eq!(read(&servers).unwrap().contract.other["servers"][0]["location"], "${HOST}");
}

#[test]
fn before_v3_1_much_is_open() {
    let text = "apiVersion: v3.0.2\nkind: DataContract\nid: c\nversion: 1.0.0\nstatus: active\nschema:\n  - name: t\n    properties:\n      - name: a\n        logicalType: string\n        quality: [{rule: between, extra: 1}]\nroles: [{role: r, since: today}]\n";
    let linted = read(text).unwrap();
    let warned: Vec<String> = linted.warnings.iter().map(|w| format!("{} {}", w.code, w.line)).collect();
    assert_eq!(warned, ["SW0145 11", "SW0145 12"]);
    let unexecuted: Vec<(String, usize)> =
        linted.objects[0].not_executed.iter().map(|(rule, line)| (rule.reason.clone(), *line)).collect();
    let unknown = "the key is not part of the standard as Seawall knows it";
    assert_eq!(unexecuted, [(unknown.to_owned(), 11), ("it has no operator".to_owned(), 11)]);
    assert_eq!(errors(&text.replace("v3.0.2", "v3.1.0")).len(), 3);
}

#[test]
fn official_examples_load() {
    let Some(paths) = official("examples") else { return };
    let mut failed = Vec::new();
    for path in &paths {
        let is_invalid = path.to_string_lossy().contains("-invalid");
        // Variables without a default are the reader's to give.
        let variables = ["TARGET_TABLE", "CUTOFF_DATE", "DB_HOST"].map(|name| (name.to_owned(), "x".to_owned()));
        match lint(path, &fs::read_to_string(path).unwrap(), &BTreeMap::from(variables)) {
            Ok(_) if is_invalid => failed.push(format!("{} is accepted", path.display())),
            Err(found) if !is_invalid => failed.push(format!("{}\n{found}", path.display())),
            Ok(_) | Err(_) => {}
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    eprintln!("{} official examples", paths.len());
}

/// For each official negative test a part of the line where the first error stands.
const NEGATIVE: &[(&str, &str)] = &[
    ("additional-unknown-property", "unknownRootField"),
    ("btrieve-missing-host", "server: prod"),
    ("deprecated-wrong-type", "deprecated:"),
    ("enum-duplicate-values", "value: pending"),
    ("enum-empty", "enum: []"),
    ("enum-missing-value", "label: Pending"),
    ("exasol-missing-host", "server: prod"),
    ("fastobjects-missing-database", "server: prod"),
    ("hana-missing-host", "server: prod"),
    ("iceberg-missing-catalogurl", "server: prod"),
    ("ingres-missing-host", "server: prod"),
    ("invalid-api-version", "apiVersion: v4"),
    ("invalid-kind", "kind: DataModel"),
    ("invalid-quality-dimension", "dimension: validity"),
    ("invalid-quality-metric", "metric: invalidMetric"),
    ("invalid-quality-type", "type: unknown"),
    ("map-missing-block", "user_preferences"),
    ("map-missing-key", "value:"),
    ("map-missing-value", "key:"),
    ("missing-required-fields", "version: 1.0.0"),
    ("quality-custom-missing-implementation", "type: custom"),
    ("quality-element-field", "element: orders.customer_id"),
    ("quality-library-missing-metric", "type: library"),
    ("quality-multiple-operators", "mustBe: 0"),
    ("quality-mustbebetween-wrong-size", "mustBeBetween"),
    ("quality-sql-missing-query", "type: sql"),
    ("relationship-property-level-with-from", "from: orders.customer_id"),
    ("relationship-schema-level-missing-from-to", "type: foreignKey"),
    ("schema-property-invalid-logicaltype", "logicalType: binary"),
    ("schema-property-missing-name", "logicalType: string"),
    ("server-encoding-wrong-type", "encoding: 65001"),
    ("server-invalid-type", "type: mongodb"),
    ("server-missing-conditional-fields", "server: athena-prod"),
    ("server-missing-required-fields", "host: db.example.com"),
    ("sla-authoritativedefinition-missing-type", "url: https://wiki"),
    ("sla-missing-required-value", "property: latency"),
    ("stable-id-denied-characters", "id: fdir.dataset"),
    ("synonym-missing-term", "Missing the required"),
    ("teradata-missing-host", "server: prod"),
    ("variables-in-integer-field", "primaryKeyPosition: ${KEY_POS}"),
    ("vector-missing-dimensions", "elementType: float32"),
    ("vectorwise-missing-database", "server: prod"),
    ("vendor-wrong-type", "vendor: 12345"),
    ("versant-missing-database", "server: prod"),
];

#[test]
fn official_negative_tests_are_refused_at_their_line() {
    let Some(paths) = official("negative-tests") else { return };
    let mut failed = Vec::new();
    for path in &paths {
        let name = path.file_name().unwrap().to_string_lossy().replace(".odcs.yaml", "");
        let text = fs::read_to_string(path).unwrap();
        let found = errors(&text);
        let Some(first) = found.first() else {
            failed.push(format!("{name} is accepted"));
            continue;
        };
        let line: usize = first.split([' ', ':']).nth(1).unwrap().parse().unwrap();
        let shown = text.lines().nth(line - 1).unwrap_or_default();
        let Some((_, part)) = NEGATIVE.iter().find(|(known, _)| *known == name) else {
            failed.push(format!("{name}: nobody said where its error stands"));
            continue;
        };
        if !shown.contains(part) {
            failed.push(format!("{name}: {first}\n  at {shown:?}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    eprintln!("{} official negative tests", paths.len());
}
