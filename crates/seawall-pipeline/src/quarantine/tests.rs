//! Rows before the gate again: nothing but what was mended changes, whatever the row holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use proptest::prelude::*;
use seawall_base::Dataset;
use serde_json::{Value, json};

use super::look::StoppedRow;
use super::*;

fn dataset() -> Dataset {
    let column = |name: &str| Field::new(name, DataType::Utf8, true);
    Dataset {
        name: "payments".into(),
        schema: Arc::new(Schema::new(vec![column("id"), column("amount"), column("note")])),
        primary_key: vec!["id".into()],
        event_time: None,
        personal: Vec::new(),
        subject: None,
        changelog: None,
    }
}

fn stopped(raw: &str) -> StoppedRow {
    StoppedRow {
        row: RowId { partition: Partition(3), offset: Offset(7) },
        arrived_at: Instant(0),
        contract: "payments@1".into(),
        source: "shop".into(),
        reasons: Vec::new(),
        raw: raw.into(),
    }
}

fn edit(raw: &str, values: &[(&str, Value)]) -> Result<Candidate> {
    let values = values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Candidate::edited(stopped(raw), &Edit::Set(values), &dataset())
}

#[test]
fn values_that_are_not_mended_stay_to_the_last_digit() {
    let check = |raw: &str, values: &[(&str, Value)], text: &str, changed: &[&str]| {
        let candidate = edit(raw, values).unwrap();
        assert_eq!(candidate.text, text, "{raw}");
        assert_eq!(candidate.changed, changed, "{raw}");
    };
    let long = r#"{"id":"a","amount":123456789012345678901234567890.10,"extra":[1, {"x":1e400}]}"#;
    check(long, &[("note", json!("n"))], &format!("{},\"note\":\"n\"}}", &long[..long.len() - 1]), &["note"]);
    check(r#"{ "id" : "a" , "amount" : 1 }"#, &[("amount", json!(2))], r#"{"id":"a","amount":2}"#, &["amount"]);
    check(r#"{"id":"a","amount":1}"#, &[("amount", json!(1))], r#"{"id":"a","amount":1}"#, &[]);
    check(r#"{"id":"a"}"#, &[("note", json!(null))], r#"{"id":"a","note":null}"#, &[]);
    check(r#"{}"#, &[("id", json!("ä\n"))], "{\"id\":\"ä\\n\"}", &["id"]);
}

#[test]
fn what_cannot_be_mended_is_refused() {
    let check = |raw: &str, values: &[(&str, Value)], code: &str| {
        assert_eq!(edit(raw, values).unwrap_err().code(), code, "{raw}");
    };
    check(r#"{"id":"a"}"#, &[("colour", json!(1))], "SW1505");
    for line in ["{\"id\": \"a", "[1]", "7", "", r#"{"id":"a","id":"b"}"#] {
        check(line, &[("amount", json!(1))], "SW1506");
    }
    let row = json!({"id": "b"}).as_object().unwrap().clone();
    let whole = Candidate::edited(stopped("{\"id\": \"a"), &Edit::Row(row), &dataset()).unwrap();
    assert_eq!((whole.text.as_str(), whole.changed.as_slice()), (r#"{"id":"b"}"#, ["id".to_owned()].as_slice()));
    let row = json!({"id": "a", "note": "n"}).as_object().unwrap().clone();
    let whole = Candidate::edited(stopped(r#"{"id":"a","amount":1}"#), &Edit::Row(row), &dataset()).unwrap();
    assert_eq!(whole.changed, ["amount", "note"], "a column that is left out loses its value");
}

#[test]
fn asks_that_make_no_sense_are_refused() {
    let ask =
        |rows: Chosen, reason: &str, dry_run: bool| Ask { rows, want: Want::Discard, reason: reason.into(), dry_run };
    let one = || Chosen::Rows(vec![RowId { partition: Partition::LIVE, offset: Offset(1) }]);
    let code = |ask: Ask| ask.check().err().map(|error| error.code().to_owned());
    assert_eq!(code(ask(Chosen::Rows(Vec::new()), "x", false)).as_deref(), Some("SW1503"));
    assert_eq!(code(ask(one(), " \n", false)).as_deref(), Some("SW1504"));
    assert_eq!(code(ask(one(), &"x".repeat(4_097), false)).as_deref(), Some("SW1504"));
    assert_eq!(code(ask(one(), "", true)), None);
    assert_eq!(code(ask(Chosen::Every { rule: None }, "x", false)), None);
    let many = Chosen::Rows(vec![RowId { partition: Partition::LIVE, offset: Offset(1) }; ROWS_MAX + 1]);
    assert_eq!(code(ask(many, "x", false)).as_deref(), Some("SW1503"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Against the obvious way to do it: parse everything, replace, compare what both mean.
    #[test]
    fn an_edit_means_what_replacing_values_means(
        row in proptest::collection::btree_map("[a-z]{1,3}|id|amount|note", any_json(), 0..5),
        values in proptest::collection::btree_map("id|amount|note", any_json(), 1..4),
    ) {
        let raw = serde_json::to_string(&row).unwrap();
        let candidate = Candidate::edited(stopped(&raw), &Edit::Set(values.clone()), &dataset()).unwrap();
        let mut wanted: BTreeMap<String, Value> = row.clone();
        wanted.extend(values);
        let meant: BTreeMap<String, Value> = serde_json::from_str(&candidate.text).unwrap();
        prop_assert_eq!(&meant, &wanted);
        let null = Value::Null;
        let differs = |name: &&String| row.get(*name).unwrap_or(&null) != &wanted[*name];
        let changed: Vec<&String> = wanted.keys().filter(differs).collect();
        prop_assert_eq!(candidate.changed.iter().collect::<Vec<_>>(), changed);
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| proptest::collection::vec(inner, 0..3).prop_map(Value::from))
}
