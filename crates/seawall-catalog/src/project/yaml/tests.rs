//! Trees with places, and files that mean harm.

use super::super::diagnostic::Diagnostics;
use super::*;

fn read(text: &str) -> (Vec<Node>, Diagnostics) {
    let file = SourceFile { path: "x.yaml".into(), text: text.into() };
    let mut report = Report::default();
    let nodes = documents(0, &file, &mut report);
    (nodes, report.finish(&[file]))
}

fn json(text: &str) -> serde_json::Value {
    let (nodes, problems) = read(text);
    assert!(problems.is_empty(), "{problems}");
    serde_json::Value::Array(nodes.iter().map(Node::to_json).collect())
}

fn codes(text: &str) -> Vec<String> {
    read(text).1.iter().map(|problem| problem.code.to_string()).collect()
}

#[test]
fn scalars_follow_the_core_schema() {
    let text = "[~, null, '', true, False, yes, on, 0x1f, 0o17, 007, -3, +4, 1.5, .5, 1e3, 1_000, 2014-01-01, 1:30, \"5\", .nan, 1.2.3]";
    let expected = serde_json::json!([[
        null,
        null,
        "",
        true,
        false,
        "yes",
        "on",
        31,
        15,
        7,
        -3,
        4,
        1.5,
        0.5,
        1000.0,
        "1_000",
        "2014-01-01",
        "1:30",
        "5",
        ".nan",
        "1.2.3"
    ]]);
    assert_eq!(json(text), expected);
    assert_eq!(json("a:\nb: !!str 5\n"), serde_json::json!([{"a": null, "b": "5"}]));
    assert_eq!(json("99999999999999999999"), serde_json::json!([1e20]));
}

#[test]
fn every_value_knows_its_place() {
    let text = "# é\nname: caf\u{e9}\nlist:\n  - {a: \"x y\", b: [1, 2]}\n  - |\n    two\n    lines\n";
    let (nodes, problems) = read(text);
    assert!(problems.is_empty());
    let at = |node: &Node| &text[node.place.range()];
    assert_eq!(at(nodes[0].get("name").unwrap()), "caf\u{e9}");
    let list = nodes[0].get("list").unwrap();
    assert_eq!(at(&list.items()[0]), "{a: \"x y\", b: [1, 2]}");
    assert_eq!(at(list.items()[0].get("a").unwrap()), "\"x y\"");
    assert_eq!(at(list.items()[0].get("b").unwrap()), "[1, 2]");
    assert_eq!(list.items()[1].text(), Some("two\nlines\n"));
    let key = nodes[0].entry("list").unwrap().key_place;
    assert_eq!(&text[key.range()], "list");
}

#[test]
fn documents_are_separated_and_empty_ones_skipped() {
    assert_eq!(json("---\na: 1\n---\n---\nb: 2\n...\n"), serde_json::json!([{"a": 1}, {"b": 2}]));
    assert_eq!(json(""), serde_json::json!([]));
    assert_eq!(json("# only a comment\n"), serde_json::json!([]));
}

#[test]
fn what_came_before_a_mistake_is_kept() {
    let (nodes, problems) = read("a: 1\n---\nb: [1\n");
    assert_eq!(nodes.len(), 1);
    assert_eq!(problems.iter().map(|p| p.code.as_ref()).collect::<Vec<_>>(), ["SW0120"]);
}

#[test]
fn aliases_are_read_and_bounded() {
    assert_eq!(json("a: &x [1, 2]\nb: *x\n"), serde_json::json!([{"a": [1, 2], "b": [1, 2]}]));
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..12 {
        let inner = vec![format!("*a{}", i - 1); 10].join(", ");
        bomb.push_str(&format!("a{i}: &a{i} [{inner}]\n"));
    }
    assert_eq!(codes(&bomb), ["SW0121"]);
    let nested_anchors = format!("{}x{}", "&a [".repeat(60), "]".repeat(60));
    assert_eq!(codes(&nested_anchors), Vec::<String>::new());
    assert_eq!(codes("a: &x [*x]\n"), ["SW0120"]);
    assert_eq!(codes("a: *x\n"), ["SW0120"]);
}

#[test]
fn depth_and_size_are_bounded() {
    assert_eq!(codes(&format!("{}{}", "[".repeat(60), "]".repeat(60))), Vec::<String>::new());
    assert_eq!(codes(&format!("{}{}", "[".repeat(70), "]".repeat(70))), ["SW0121"]);
    assert_eq!(codes(&"[".repeat(100_000)).len(), 1);
    assert_eq!(codes(&"- ".repeat(100_000)).len(), 1);
    assert_eq!(codes(&"- x\n".repeat(99_000)), Vec::<String>::new());
    assert_eq!(codes(&"- x\n".repeat(101_000)), ["SW0121"]);
}

#[test]
fn keys_are_texts_given_once() {
    assert_eq!(codes("a: 1\na: 2\n"), ["SW0122"]);
    assert_eq!(codes("? [a]\n: 1\n"), ["SW0122"]);
    assert_eq!(codes("<<: {a: 1}\n"), ["SW0122"]);
    assert_eq!(codes("a: !mine 1\n"), ["SW0122"]);
    assert_eq!(read("a: 1\na: 2\n").0[0].to_json(), serde_json::json!({"a": 1}));
}

#[test]
fn usual_slips_get_their_own_remedy() {
    let help = |text: &str| read(text).1.iter().next().and_then(|problem| problem.help.clone()).unwrap();
    assert!(help("n: {count: *, window: 1h}\n").contains("star"));
    assert!(help("n: {path: ${data}/x}\n").contains("${"));
}
