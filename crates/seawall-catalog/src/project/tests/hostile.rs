//! Contracts that mean harm: each is refused, or read, within a bounded time; and the corpus of the fuzz target
//! `contract` with mutations of it.

use seawall_base::{Clock, SystemClock};

use super::super::lint;
use super::*;

/// How long the slowest of them may take in a test build on a busy machine; a release build takes a tenth.
const TIME_MAX: Span = Span(2 * Span::SECOND.0);

fn codes(text: &str) -> Vec<String> {
    match lint(Path::new("x.odcs.yaml"), text, &BTreeMap::new()) {
        Ok(_) => Vec::new(),
        Err(found) => found.iter().map(|problem| problem.code.to_string()).collect(),
    }
}

/// The best of three, because the machine may be busy.
#[track_caller]
fn check(text: &str, expected: &str) {
    let mut best = Span::DAY;
    for _ in 0..3 {
        let started = SystemClock.now();
        let found = codes(text);
        best = best.min(SystemClock.now() - started);
        assert_eq!(found.first().map(String::as_str).unwrap_or_default(), expected, "{found:?}");
    }
    assert!(best < TIME_MAX, "{best}");
}

fn with_property(property: &str) -> String {
    format!(
        "apiVersion: v3.2.0\nkind: DataContract\nid: c\nversion: 1.0.0\nschema:\n  - name: t\n    properties: [{property}]\n"
    )
}

#[test]
fn bombs_of_aliases() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..12 {
        bomb += &format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 10].join(", "));
    }
    check(&bomb, "SW0121");
}

#[test]
fn files_that_are_too_large() {
    check(&"x: y\n".repeat(2_500_000), "SW0131");
    let many = with_property(&"{name: a}, ".repeat(60_000));
    check(&many, "SW0121");
}

#[test]
fn nesting_without_end() {
    // The parser gives up before the tree does.
    check(&"[".repeat(100_000), "SW0120");
    let mut property = String::from("{name: x, logicalType: string}");
    for _ in 0..40 {
        property = format!("{{name: x, logicalType: object, properties: [{property}]}}");
    }
    check(&with_property(&property), "SW0121");
    let mut items = String::from("{logicalType: string}");
    for _ in 0..20 {
        items = format!("{{logicalType: array, items: {items}}}");
    }
    check(&with_property(&format!("{{name: x, logicalType: array, items: {items}}}")), "");
}

#[test]
fn patterns_that_explode() {
    let pattern = |pattern: &str| {
        with_property(&format!("{{name: a, logicalType: string, logicalTypeOptions: {{pattern: '{pattern}'}}}}"))
    };
    check(&pattern("((((((((((a{0,999}){0,999}){0,999}){0,999})))))))"), "SW0206");
    check(&pattern("^(a+)+$"), "");
    check(&pattern(&"(".repeat(100_000)), "SW0206");
    check(&pattern("(?=a{1,65535}){1,65535}"), "SW0206");
}

#[test]
fn keys_versions_and_statements() {
    check(&with_property("{name: a, logicalType: string, shpae: round}"), "SW0123");
    check(&with_property("{name: a, logicalType: string}").replace("v3.2.0", "v2.2.2"), "SW0200");
    for sql in
        ["DROP TABLE {object}", "SELECT 1; DELETE FROM {object}", "COPY {object} TO 'x'", "INSERT INTO t SELECT 1"]
    {
        let rule = format!("{{name: a, logicalType: string, quality: [{{type: sql, query: \"{sql}\", mustBe: 0}}]}}");
        check(&with_property(&rule), "SW0214");
    }
    check("\u{0}\u{1}\u{2}", "SW0120");
    check("", "SW0143");
    check("- a\n- b\n", "SW0125");
}

#[test]
fn the_corpus_and_its_mutations_are_answered() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/contract");
    let mut texts: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| String::from_utf8_lossy(&fs::read(entry.unwrap().path()).unwrap()).into_owned())
        .collect();
    texts.sort();
    let rounds = if std::env::var("SEAWALL_LONG").is_ok() { 5_000 } else { 50 };
    let mut state = 1u64;
    let mut roll = move |sides: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % sides.max(1)
    };
    for text in texts.clone() {
        codes(&text);
        for _ in 0..rounds {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            for _ in 0..=roll(3) {
                let at = roll(lines.len());
                match roll(4) {
                    0 if !lines.is_empty() => drop(lines.remove(at)),
                    1 if !lines.is_empty() => lines.insert(at, lines[roll(lines.len())].clone()),
                    2 if !lines.is_empty() => {
                        let cut = lines[at].char_indices().nth(roll(lines[at].len())).map_or(0, |(i, _)| i);
                        lines[at].truncate(cut);
                    }
                    _ => {
                        let other = &texts[roll(texts.len())];
                        lines.extend(other.lines().skip(roll(9)).take(3).map(str::to_owned));
                    }
                }
            }
            codes(&lines.join("\n"));
        }
    }
}
