//! Content hashes, raw rows, schema changes, inference and patterns.

use std::sync::Arc;

use arrow::array::*;
use serde_json::json;

use super::super::pattern::Matcher;
use super::super::{ChangeKind, content_hashes, infer, raw_json, schema_change};
use super::*;

#[test]
fn content_is_told_apart() {
    let a: ArrayRef = Arc::new(StringArray::from(vec![Some("ab"), Some("a"), None, Some("")]));
    let b: ArrayRef = Arc::new(StringArray::from(vec![Some("c"), Some("bc"), Some(""), None]));
    let batch = RecordBatch::try_from_iter_with_nullable([("a", a.clone(), true), ("b", b.clone(), true)]).unwrap();
    let hashes = content_hashes(&batch);
    let distinct: std::collections::HashSet<u128> = hashes.iter().copied().collect();
    assert_eq!(distinct.len(), 4);
    // Neither the order of columns nor a column without values changes the content.
    let n: ArrayRef = Arc::new(Int64Array::from(vec![None::<i64>; 4]));
    let other = RecordBatch::try_from_iter_with_nullable([("b", b, true), ("n", n, true), ("a", a, true)]).unwrap();
    assert_eq!(content_hashes(&other), hashes);
}

#[test]
fn content_tells_types_and_nesting_apart() {
    let gate = gate(json!([{"name": "v", "logicalType": "array", "items": {"logicalType": "array",
        "items": {"logicalType": "string"}}}]));
    let rows = [
        json!({"v": [["a"], ["b"]]}),
        json!({"v": [["a", "b"]]}),
        json!({"v": [["ab"]]}),
        json!({"v": [[null], []]}),
        json!({"v": [[], [null]]}),
        json!({"v": [null, []]}),
        json!({"v": []}),
        json!({"v": null}),
    ];
    let hashes = content_hashes(&json_batch(&gate, &rows));
    let distinct: std::collections::HashSet<u128> = hashes.iter().copied().collect();
    assert_eq!(distinct.len(), rows.len());
}

#[test]
fn raw_rows_are_json() {
    let time: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![1_500_000]).with_timezone("UTC"));
    let local: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![1]));
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("f", Arc::new(Float64Array::from(vec![f64::NAN])) as ArrayRef, true),
        ("g", Arc::new(Float64Array::from(vec![0.1])) as ArrayRef, true),
        ("h", Arc::new(Float32Array::from(vec![0.1])) as ArrayRef, true),
        ("t", time, true),
        ("n", local, true),
        ("s", Arc::new(StringArray::from(vec!["a\"\n"])) as ArrayRef, true),
        ("b", Arc::new(BinaryArray::from_vec(vec![b"\x00\xff"])) as ArrayRef, true),
        ("c", Arc::new(Decimal128Array::from(vec![-105]).with_precision_and_scale(5, 2).unwrap()) as ArrayRef, true),
        ("d", Arc::new(Date32Array::from(vec![1])) as ArrayRef, true),
        ("k", Arc::new(DictionaryArray::<arrow::datatypes::Int32Type>::from_iter(["x"])) as ArrayRef, true),
        ("z", Arc::new(Int64Array::from(vec![None::<i64>])) as ArrayRef, true),
    ])
    .unwrap();
    assert_eq!(
        raw_json(&batch, 0),
        r#"{"f":"NaN","g":0.1,"h":0.1,"t":"1970-01-01T00:00:01.5Z","n":"1970-01-01T00:00:00.000000001","s":"a\"\n","b":"00ff","c":-1.05,"d":"1970-01-02","k":"x","z":null}"#
    );
}

#[test]
fn changes_of_a_dataset() {
    let old = gate_with(
        json!([
            {"name": "k", "logicalType": "string", "primaryKey": true},
            {"name": "gone", "logicalType": "string"},
            {"name": "n", "logicalType": "integer", "required": true},
            {"name": "o", "logicalType": "object", "properties": [{"name": "x", "logicalType": "integer"}]},
            {"name": "t", "logicalType": "timestamp"}]),
        json!({"customProperties": [{"property": "seawall.eventTime", "value": "t"}]}),
    );
    let new = gate(json!([
        {"name": "k", "logicalType": "string", "classification": "pii"},
        {"name": "n", "logicalType": "number"},
        {"name": "o", "logicalType": "object", "properties": [
            {"name": "x", "logicalType": "string"}, {"name": "y", "logicalType": "integer"}]},
        {"name": "t", "logicalType": "timestamp", "required": true},
        {"name": "new", "logicalType": "string"},
        {"name": "must", "logicalType": "string", "required": true}]));
    let changes = schema_change(old.dataset(), new.dataset());
    let shown: Vec<String> = changes
        .iter()
        .map(|c| {
            let kind = match &c.kind {
                ChangeKind::Retyped { from, to } => format!("{from}->{to}"),
                ChangeKind::KeyChanged { .. } => "key".to_owned(),
                ChangeKind::EventTimeChanged { .. } => "time".to_owned(),
                other => format!("{other:?}"),
            };
            format!("{} {kind} {}", c.column, c.compatible)
        })
        .collect();
    assert_eq!(
        shown,
        [
            "k BecameNullable false",
            "gone Removed false",
            "n BecameNullable false",
            "n Int64->Float64 false",
            "o.x Int64->Utf8 false",
            "o.y AddedNullable true",
            "t BecameRequired false",
            "new AddedNullable true",
            "must AddedRequired false",
            " key false",
            " time false",
            "k BecamePersonal false",
        ]
    );
    assert_eq!(schema_change(old.dataset(), old.dataset()), []);
}

#[test]
fn a_contract_is_inferred_from_text() {
    let rows: Vec<Vec<Option<String>>> = (0..1_000)
        .map(|i| {
            vec![
                Some(format!("p{i}")),
                Some(format!("2014-01-01 00:{:02}:00", i % 60)),
                (i % 7 != 0).then(|| format!("{}", i % 50)),
                Some(format!("{}.5", i)),
                Some(["EUR", "USD"][i % 2].to_owned()),
                Some(format!("{:05}", i)),
                Some(["true", "false"][i % 2].to_owned()),
                None,
            ]
        })
        .collect();
    let rows: Vec<Vec<Option<&str>>> = rows.iter().map(|row| row.iter().map(Option::as_deref).collect()).collect();
    let rows: Vec<&[Option<&str>]> = rows.iter().map(Vec::as_slice).collect();
    let names = ["id", "at", "n", "x", "currency", "zip", "flag", "empty"];
    let sample = text_batch(&names, &rows);
    let (contract, assumptions) = infer("payments", std::slice::from_ref(&sample), &["id".to_owned()], "at");
    let types: Vec<&str> = contract.schema[0].properties.iter().map(|p| p.logical_type.as_deref().unwrap()).collect();
    assert_eq!(types, ["string", "timestamp", "integer", "number", "string", "string", "boolean", "string"]);
    assert_eq!(contract.schema[0].properties[4].allowed.as_ref().map(Vec::len), Some(2));
    assert_eq!(contract.schema[0].properties[2].required, None);
    assert!(assumptions.iter().any(|a| a.path == "schema/0/properties/1" && a.text.contains("seawall.zone")));
    assert!(assumptions.iter().any(|a| a.path == "schema/0/properties/4" && a.text.contains("enum")));
    // The contract holds for the very data that it came from.
    let gate = compile(&contract, None).unwrap();
    assert_eq!(gate.dataset().event_time.as_deref(), Some("at"));
    assert_eq!(gate.dataset().primary_key, ["id"]);
    let verdict = gate.check(&sample, Input::Text, NOW);
    assert_eq!(verdict.accepted_rows.len(), 1_000, "{}", show(&verdict));
}

#[test]
fn a_contract_is_inferred_from_types() {
    let sample = RecordBatch::try_from_iter_with_nullable([
        ("i", Arc::new(Int32Array::from(vec![1, 2])) as ArrayRef, true),
        ("t", Arc::new(TimestampMillisecondArray::from(vec![1, 2])) as ArrayRef, true),
        ("d", Arc::new(Decimal128Array::from(vec![1, 2]).with_precision_and_scale(9, 2).unwrap()) as ArrayRef, true),
        (
            "l",
            Arc::new(ListArray::from_iter_primitive::<arrow::datatypes::Int64Type, _, _>([Some([Some(1)]), None]))
                as ArrayRef,
            true,
        ),
    ])
    .unwrap();
    let (contract, _) = infer("typed", std::slice::from_ref(&sample), &["i".to_owned()], "t");
    let gate = compile(&contract, None).unwrap();
    let verdict = gate.check(&sample, Input::Typed, NOW);
    assert_eq!(verdict.accepted_rows, [0, 1], "{}", show(&verdict));
}

#[test]
fn patterns_of_ecma_262() {
    let cases: &[(&str, &[&str], &[&str])] = &[
        (r"^\d+$", &["12"], &["1\u{0663}", ""]),
        (r"^\w+$", &["a_1"], &["é"]),
        (r"^[^\s]+$", &["a"], &["a b", "\u{feff}"]),
        (r"^.$", &["é"], &["\n", "\u{2028}"]),
        (r"^[a-z&&[b]+$", &["[", "&", "b["], &["]"]),
        (r"^a{2}$", &["aa"], &["a{2}"]),
        (r"^a{b$", &["a{b"], &["ab"]),
        (r"^\/\<\_\-$", &["/<_-"], &["/<_"]),
        (r"^\u0041\x42\u{43}\cJ$", &["ABC\n"], &["ABC"]),
        (r"^\uD83D\uDE00$", &["😀"], &["x"]),
        (r"^(?<year>\d{4})-\k<year>$", &["2014-2014"], &["2014-2015"]),
        (r"(?<=€)\d", &["€5"], &["$5"]),
        (r"^(a)\1$", &["aa"], &["ab"]),
        (r"^[\w.-]+@[\w-]+$", &["a.b-c@d-e"], &["a b@c"]),
        (r"^[\d-x]+$", &["1-x"], &["a"]),
        (r"^[^]$", &["x", "\n"], &[""]),
        (r"\bcat\b", &["a cat"], &["concat"]),
        (r"^[\b]$", &["\u{8}"], &["b"]),
        (r"^x*$", &["", "xx"], &["y"]),
        ("^a b#c$", &["a b#c"], &["ab"]),
        (r"^\p{L}{2,3}$", &["éa", "abc"], &["a", "a1"]),
        (r"^[\p{Lu}_]+\P{L}$", &["É_1"], &["é_1", "ÉE"]),
        (r"^\p{Script=Greek}+$", &["αβ"], &["ab"]),
    ];
    for (pattern, good, bad) in cases {
        let matcher = Matcher::compile(pattern).unwrap_or_else(|e| panic!("{pattern}: {e}"));
        for text in *good {
            assert_eq!(matcher.is_match(text), Ok(true), "{pattern} on {text:?}");
        }
        for text in *bad {
            assert_eq!(matcher.is_match(text), Ok(false), "{pattern} on {text:?}");
        }
    }
    for broken in ["(", "[a", r"\", r"\u12", r"\p{L", r"\p{Nothing}"] {
        assert!(Matcher::compile(broken).is_err(), "{broken}");
    }
}
