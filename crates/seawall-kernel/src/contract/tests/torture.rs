//! Hostile bytes: nothing panics, every line is a row or a failure with a reason.

use proptest::prelude::*;
use serde_json::json;

use super::super::{Decoded, decode_json_array};
use super::*;

fn wide_gate() -> Gate {
    gate(json!([
        {"name": "i", "logicalType": "integer"},
        {"name": "f", "logicalType": "number"},
        {"name": "s", "logicalType": "string"},
        {"name": "b", "logicalType": "boolean"},
        {"name": "d", "logicalType": "number", "physicalType": "decimal(10,2)"},
        {"name": "t", "logicalType": "timestamp"},
        {"name": "l", "logicalType": "array", "items": {"logicalType": "integer"}},
        {"name": "o", "logicalType": "object", "properties": [{"name": "x", "logicalType": "integer"}]}]))
}

/// Rules of the failures by line, with the accounting checked.
#[track_caller]
fn failures(decoded: &Decoded) -> Vec<(u32, String)> {
    let mut lines: Vec<u32> =
        decoded.rows.iter().copied().chain(decoded.failures.iter().map(|failure| failure.line)).collect();
    lines.sort_unstable();
    assert_eq!(lines, (0..lines.len() as u32).collect::<Vec<_>>(), "each line is a row or a failure, once");
    assert_eq!(decoded.batch.num_rows(), decoded.rows.len());
    let rules = |reasons: &[super::super::Reason]| {
        reasons.iter().map(|reason| reason.rule.clone()).collect::<Vec<_>>().join("+")
    };
    decoded.failures.iter().map(|failure| (failure.line, rules(&failure.reasons))).collect()
}

#[track_caller]
fn check_line(line: &[u8], expected: &str) {
    let decoded = decode_ndjson(&wide_gate(), line, Limits::default());
    let found = failures(&decoded);
    let found = found.first().map_or("", |(_, rules)| rules.as_str());
    assert_eq!(found, expected, "{:?}", decoded.failures);
}

#[test]
fn lines_that_do_not_decode() {
    check_line(br#"{"i": 1, "s": "x"}"#, "");
    check_line(br#"{"i": 1"#, "truncated");
    check_line(br#"{"i": "#, "truncated");
    check_line(br#"{"s": "abc"#, "truncated");
    check_line(br#"{"s": "abc\"#, "truncated");
    check_line(br#"{"b": tru"#, "truncated");
    check_line(b"{\"s\": \"\xff\xfe\"}", "encoding");
    check_line(b"\xff\xfe{\x00}\x00", "encoding");
    check_line(br#"{"f": NaN}"#, "syntax");
    check_line(br#"{"f": Infinity}"#, "syntax");
    check_line(br#"{"f": 1e400}"#, "not_finite");
    check_line(br#"{"f": -1e400}"#, "not_finite");
    check_line(br#"{"i": 9223372036854775808}"#, "type");
    check_line(br#"{"i": 9223372036854775807}"#, "");
    check_line(br#"{"i": 12.0}"#, "type");
    check_line(br#"{"i": 1e2}"#, "type");
    check_line(br#"{"i": "1"}"#, "type");
    check_line(br#"{"f": "1.5"}"#, "type");
    check_line(br#"{"b": 1}"#, "type");
    check_line(br#"{"s": 1}"#, "type");
    check_line(br#"{"d": 1.005}"#, "precision");
    check_line(br#"{"t": 1400000000}"#, "type");
    check_line(br#"{"t": "2014-01-01T00:00:00.0000001Z"}"#, "precision");
    check_line(br#"{"i": 1, "i": 1}"#, "duplicate_key");
    check_line(br#"{"o": {"x": 1, "\u0078": 2}}"#, "duplicate_key");
    check_line(br#"{"i": "x", "f": "y", "l": ["z"], "o": 3}"#, "type+type+type+type");
    check_line(br#"[1, 2]"#, "type");
    check_line(br#"null"#, "type");
    check_line(br#"{"i": 01}"#, "syntax");
    check_line(br#"{"i": +1}"#, "syntax");
    check_line(br#"{"i": .5}"#, "syntax");
    check_line(br#"{"i": 1,}"#, "syntax");
    check_line(br#"{'i': 1}"#, "syntax");
    check_line(br#"{"i": 1} {"i": 2}"#, "syntax");
    check_line(b"{\"s\": \"a\tb\"}", "syntax");
    check_line(br#"{"s": "\ud800"}"#, "syntax");
    check_line(br#"{"s": "\ud83d\ude00 \u00e9 \/"}"#, "");
    check_line(br#"{"s": "\x"}"#, "syntax");
}

#[test]
fn syntax_errors_name_the_byte() {
    let decoded = decode_ndjson(&wide_gate(), br#"{"i": 1"#, Limits::default());
    let message = &decoded.failures[0].reasons[0].message;
    assert_eq!(message, "the JSON ends where ',' or '}' was expected, at byte 7");
}

#[test]
fn nesting_of_a_hundred_thousand() {
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let deep = format!("{{\"l\": {}1{}}}", open.repeat(100_000), close.repeat(100_000));
        let lines = format!("{deep}\n{{\"i\": 1}}\n");
        let decoded = decode_ndjson(&wide_gate(), lines.as_bytes(), Limits::default());
        assert_eq!(failures(&decoded), [(0, "depth".to_owned())]);
        assert_eq!(decoded.rows, [1]);
        let array = format!("[{deep}, {{\"i\": 1}}]");
        let decoded = decode_json_array(&wide_gate(), array.as_bytes(), Limits::default()).unwrap();
        assert_eq!(failures(&decoded), [(0, "depth".to_owned())]);
    }
    let cell = "[".repeat(100_000);
    let verdict = gate(json!([{"name": "l", "logicalType": "array", "items": {"logicalType": "integer"}}])).check(
        &text_batch(&["l"], &[&[Some(&cell)]]),
        Input::Text,
        NOW,
    );
    assert_eq!(verdict.quarantined.len(), 1);
}

#[test]
fn long_lines_are_cut_off() {
    let limits = Limits { line_bytes_max: 20 };
    let lines = format!("{{\"s\": \"{}\"}}\n{{\"i\": 1}}", "x".repeat(100));
    let decoded = decode_ndjson(&wide_gate(), lines.as_bytes(), limits);
    assert_eq!(failures(&decoded), [(0, "line_length".to_owned())]);
    assert_eq!(decoded.failures[0].raw.len(), 20);
}

#[test]
fn blank_lines_byte_order_marks_and_carriage_returns() {
    let decoded = decode_ndjson(&wide_gate(), b"\xEF\xBB\xBF{\"i\": 1}\r\n\r\n  \n{\"i\": 2}\r\n", Limits::default());
    assert_eq!(failures(&decoded), []);
    assert_eq!(decoded.rows, [0, 1]);
}

#[test]
fn unknown_fields_are_named_and_bounded() {
    let decoded = decode_ndjson(&wide_gate(), br#"{"i": 1, "zz": [1], "o": {"y": 1}}"#, Limits::default());
    assert_eq!(decoded.unknown_columns, ["o.y", "zz"]);
    let many: String = (0..500).map(|i| format!("{{\"u{i}\": 1}}\n")).collect();
    let decoded = decode_ndjson(&wide_gate(), many.as_bytes(), Limits::default());
    assert_eq!(decoded.unknown_columns.len(), 101);
}

#[test]
fn many_keys_stay_linear_and_unique() {
    let keys: Vec<String> = (0..20_000).map(|i| format!("\"k{i}\": {i}")).collect();
    let line = format!("{{{}}}", keys.join(","));
    let decoded = decode_ndjson(&wide_gate(), line.as_bytes(), Limits::default());
    assert_eq!(failures(&decoded), []);
    let line = format!("{{{}, \"k0\": 1}}", keys.join(","));
    let decoded = decode_ndjson(&wide_gate(), line.as_bytes(), Limits::default());
    assert_eq!(failures(&decoded), [(0, "duplicate_key".to_owned())]);
}

#[test]
fn arrays_fail_element_by_element() {
    let gate = wide_gate();
    let decode = |text: &str| decode_json_array(&gate, text.as_bytes(), Limits::default()).unwrap();
    assert_eq!(failures(&decode("[]")), []);
    assert_eq!(failures(&decode(r#" [ {"i": 1} , {"s": "],["} ] "#)), []);
    assert_eq!(failures(&decode(r#"{"i": 1}"#)), []);
    assert_eq!(failures(&decode(r#"[{"i": 1}, {"i": "x"}, 3]"#)), [(1, "type".to_owned()), (2, "type".to_owned())]);
    assert_eq!(failures(&decode(r#"[{"i": 1}, {"i": 2"#)), [(1, "truncated".to_owned())]);
    assert_eq!(failures(&decode(r#"[{"i": 1}"#)), [(0, "truncated".to_owned())]);
    assert_eq!(failures(&decode(r#"[{"i": 1}] x"#)), [(1, "syntax".to_owned())]);
    assert_eq!(failures(&decode(r#"[{"i": 1},]"#)), [(1, "truncated".to_owned())]);
    for body in ["", "  ", "1", "null", "\"x\""] {
        let error = decode_json_array(&gate, body.as_bytes(), Limits::default()).unwrap_err();
        assert_eq!(error.code(), "SW0250");
    }
}

#[test]
fn bigger_inputs_take_proportionally_longer() {
    // A quadratic reader would need hours for these.
    let open = "[".repeat(3_000_000);
    let limits = Limits { line_bytes_max: usize::MAX };
    assert_eq!(decode_ndjson(&wide_gate(), open.as_bytes(), limits).failures.len(), 1);
    let strings = format!("[{}", "\"\\\"\",".repeat(300_000));
    assert!(decode_json_array(&wide_gate(), strings.as_bytes(), limits).unwrap().failures.len() > 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let gate = wide_gate();
        failures(&decode_ndjson(&gate, &bytes, Limits::default()));
        if let Ok(decoded) = decode_json_array(&gate, &bytes, Limits::default()) {
            failures(&decoded);
        }
    }

    #[test]
    fn punctuation_never_panics(text in r#"[\[\]{}",:\\0-9.eEtfnu\n -]{0,60}"#) {
        let gate = wide_gate();
        failures(&decode_ndjson(&gate, text.as_bytes(), Limits::default()));
        if let Ok(decoded) = decode_json_array(&gate, text.as_bytes(), Limits::default()) {
            failures(&decoded);
        }
    }

    /// Our reader takes what serde_json takes, but for duplicate keys and depth.
    #[test]
    fn the_reader_agrees_with_another_one(text in r#"\{"s": [\[\]{}",:\\0-9.eEtruefalsn -]{0,12}\}"#) {
        let ours = super::super::json::parse::parse(&text);
        let theirs = serde_json::from_str::<Value>(&text);
        match (&ours, &theirs) {
            (Ok(_), Ok(_)) | (Err(_), Err(_)) => {}
            // serde_json refuses numbers beyond f64; here the column decides.
            (Ok(_), Err(e)) => prop_assert!(e.to_string().contains("out of range"), "{text}: {e}"),
            (Err(e), Ok(_)) => prop_assert_eq!(e.rule, "duplicate_key"),
        }
    }

    /// Lines in which everything is known are read without building their JSON; an unknown field makes the same line
    /// take the other way.
    #[test]
    fn both_ways_of_reading_a_line_agree(
        fields in proptest::collection::vec(
            (
                proptest::sample::select(vec!["i", "f", "s", "b", "d", "t", "l", "o"]),
                proptest::sample::select(vec![
                    "null", "1", "-7", "2.50", "1e3", "true", r#""text""#, r#""a\u00e9\n""#, r#""2024-05-01T12:00:00Z""#,
                    "[1, 2]", "[]", r#"{"x": 5}"#, r#"{"x": null}"#, r#"{"x": 1, "x": 2}"#, "12345678901234567890", "tru",
                ]),
            ),
            1..6,
        ),
        spaces in proptest::sample::select(vec!["", " ", "\t "]),
    ) {
        let gate = wide_gate();
        let inside: Vec<String> =
            fields.iter().map(|(name, value)| format!("{spaces}\"{name}\"{spaces}:{spaces}{value}{spaces}")).collect();
        let inside = inside.join(",");
        let plain = decode_ndjson(&gate, format!("{{{inside}}}").as_bytes(), Limits::default());
        let other = decode_ndjson(&gate, format!("{{{inside},\"zz\": 0}}").as_bytes(), Limits::default());
        prop_assert_eq!(&plain.batch, &other.batch);
        prop_assert_eq!(failures(&plain), failures(&other));
        prop_assert_eq!(&plain.unknown_columns, &Vec::<String>::new());
    }

    #[test]
    fn timestamps_and_numbers_of_any_text_never_panic(text in "\\PC{0,40}") {
        let zone = super::super::instant::Zone::named("Europe/Berlin").unwrap();
        let _ = super::super::instant::timestamp(&text, &zone);
        let _ = super::super::text::integer(&text);
        let _ = super::super::text::number(&text);
        let _ = super::super::text::decimal(&text, 10, 2);
        let _ = super::super::text::date(&text);
        let _ = super::super::text::time_of_day(&text);
        let _ = super::super::pattern::Matcher::compile(&text);
        for name in ["email", "uuid", "uri", "hostname", "ipv4", "ipv6", "byte"] {
            let _ = super::super::format::StringFormat::named(name).unwrap().matches(&text);
        }
    }

    #[test]
    fn instants_agree_with_the_calendar_library(us in -60_000_000_000_000_000i64..250_000_000_000_000_000) {
        let text = Instant(us).to_string();
        prop_assert_eq!(super::super::instant::timestamp(&text, &super::super::instant::Zone::utc()), Ok(us));
    }
}
