//! Types that need more than a name: maps, vectors, forms of dates and times, and what a contract leaves open.

use std::sync::Arc;

use arrow::array::{Int64Builder, MapBuilder, StringBuilder};

use super::super::form::Form;
use super::super::text::Fault;
use super::*;

fn map(key: Value, value: Value) -> Value {
    json!({"logicalType": "map", "map": {"key": key, "value": value}})
}

#[test]
fn maps_are_objects_whose_members_are_checked() {
    check_json(
        map(
            json!({"logicalType": "string", "logicalTypeOptions": {"minLength": 2}}),
            json!({"logicalType": "integer", "required": true, "logicalTypeOptions": {"minimum": 0}}),
        ),
        &[
            json!({"ab": 1, "cd": 2}),
            json!({}),
            json!(null),
            json!({"a": 1}),
            json!({"ab": -1, "cd": -2, "ef": 0}),
            json!({"ab": null}),
            json!([{"key": "ab", "value": 1}]),
            json!([{"key": "ab", "value": 1}, {"key": "ab", "value": 2}]),
        ],
        r#"accepted [0, 1, 2, 6]
         3: minLength: v["a"].key is "a"; it must have at least 2 characters
         4: minimum: v["ab"].value is -1; it must be at least 0 (and 1 more element)
         5: required: v["ab"].value is null; it must not be null
         7: unique_keys: v is [{"key":"ab","value":1},{"key":"ab","value":2}]; it must not repeat a key"#,
    );
}

#[test]
fn a_member_that_does_not_fit_is_named_by_its_key() {
    let gate = gate(json!([{"name": "v", "logicalType": "map", "map": {
        "key": {"logicalType": "integer"},
        "value": {"logicalType": "array", "items": {"logicalType": "number"}}}}]));
    let decoded = decode_ndjson(&gate, br#"{"v": {"1": [1.5], "2": [1, "x"]}}"#, Limits::default());
    assert_eq!(decoded.failures.len(), 1);
    let reason = &decoded.failures[0].reasons[0];
    assert_eq!(reason.column.as_deref(), Some("v[].value[]"));
    assert_eq!(reason.message, r#"v["2"].value[1] is "x", which is not a number"#);
    let decoded = decode_ndjson(&gate, br#"{"v": {"1": [1.5]}}"#, Limits::default());
    assert_eq!(super::super::raw_json(&decoded.batch, 0), r#"{"v":[{"key":1,"value":[1.5]}]}"#);
}

#[test]
fn maps_of_arrow_are_read() {
    let mut builder = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    builder.keys().append_value("a");
    builder.values().append_value(1);
    builder.append(true).unwrap();
    builder.append(false).unwrap();
    builder.keys().append_value("b");
    builder.values().append_value(-1);
    builder.append(true).unwrap();
    check_typed(
        map(json!({"logicalType": "string"}), json!({"logicalType": "integer", "logicalTypeOptions": {"minimum": 0}})),
        Arc::new(builder.finish()),
        r#"accepted [0, 1]
         2: minimum: v["b"].value is -1; it must be at least 0"#,
    );
}

#[test]
fn vectors_have_an_element_type_and_a_length() {
    let vector = |options: Value| json!({"logicalType": "vector", "logicalTypeOptions": options});
    check_json(
        vector(json!({"dimensions": 2, "elementType": "int8"})),
        &[json!([1, -128]), json!([1.5, 0]), json!([128, 0])],
        "accepted [0]
         1: elementType: v[0] is 1.5; it must be a whole number
         2: maximum: v[0] is 128.0; it must be at most 127",
    );
    check_json(
        vector(json!({"dimensions": 2, "normalized": true})),
        &[json!([0.6, 0.8]), json!([1, 1])],
        "accepted [0]
         1: normalized: v is [1.0,1.0]; it must have length 1",
    );
    check_json(
        vector(json!({"dimensions": 1, "elementType": "float32"})),
        &[json!([1e38]), json!([1e39])],
        "accepted [0]
         1: format: v[0] is 1e+39; it must fit f32",
    );
}

#[test]
fn what_a_contract_does_not_describe_is_kept_as_json() {
    check_json(json!({"logicalType": "object"}), &[json!({"a": [1, {"b": null}]}), json!(null)], "accepted [0, 1]");
    let gate = gate(json!([{"name": "o", "logicalType": "object"}, {"name": "a", "logicalType": "array"}]));
    let decoded =
        decode_ndjson(&gate, b"{\"o\": {\"x\": 1e400, \"y\": \"\\u00e9\"}, \"a\": [1]}\n{\"o\": 1}", Limits::default());
    assert_eq!(decoded.failures[0].reasons[0].message, "o is 1, which is not an object");
    let kept: Value = serde_json::from_str(&super::super::raw_json(&decoded.batch, 0)).unwrap();
    assert_eq!(kept, json!({"o": "{\"x\":1e400,\"y\":\"é\"}", "a": "[1]"}));
    check_text(
        json!({"logicalType": "array"}),
        &[Some("[1, 2]"), Some("{}"), Some("[")],
        "accepted [0]
        1: type: v is \"{}\", which is not an array
        2: type: v is \"[\", which is not valid JSON",
    );
    let unexecuted: Vec<&str> = gate.not_executed().iter().map(|n| n.rule.as_str()).collect();
    assert_eq!(unexecuted, ["fields", "items"]);
}

#[test]
fn dates_have_the_form_that_the_contract_gives() {
    let date =
        |form: &str| json!({"logicalType": "date", "logicalTypeOptions": {"format": form, "minimum": "2020-01-01"}});
    check_text(
        date("dd/MM/yyyy"),
        &[Some("31/12/2020"), Some("2020-12-31"), Some("31/13/2020"), Some("30/02/2020"), Some("31/12/2019"), None],
        r#"accepted [0, 5]
         1: type: v is "2020-12-31"; it must be a date of the form dd/MM/yyyy
         2: type: v is "31/13/2020"; it must be a date of the form dd/MM/yyyy
         3: type: v is "30/02/2020"; it must be a date of the form dd/MM/yyyy
         4: minimum: v is "2019-12-31"; it must be at least 2020-01-01"#,
    );
    // The standard's own default is spelled with the letters of the week-based year and of the day of the year.
    check_text(date("YYYY-MM-DD"), &[Some("2020-02-29")], "accepted [0]");
    check_json(date("yyyyMMdd"), &[json!("20200229")], "accepted [0]");
}

#[test]
fn json_dates_in_another_form_are_told_the_form() {
    let gate = gate(json!([{"name": "v", "logicalType": "date", "logicalTypeOptions": {"format": "d.M.yyyy"}}]));
    let decoded = decode_ndjson(&gate, br#"{"v": "2020-01-01"}"#, Limits::default());
    assert_eq!(decoded.failures[0].reasons[0].message, r#"v is "2020-01-01"; it must be a date of the form d.M.yyyy"#);
}

#[test]
fn timestamps_and_times_have_forms_and_zones() {
    let timestamp = |options: Value| json!({"logicalType": "timestamp", "logicalTypeOptions": options});
    check_text(
        timestamp(json!({"format": "yyyy-MM-dd'T'HH:mm:ss[.SSS]XXX", "minimum": "2024-03-10T14:22:35Z"})),
        &[Some("2024-03-10T14:22:35Z"), Some("2024-03-10T16:22:35.500+02:00"), Some("2024-03-10T16:22:34+02:00")],
        r#"accepted [0, 1]
         2: minimum: v is "2024-03-10T14:22:34Z"; it must be at least 2024-03-10T14:22:35Z"#,
    );
    check_text(
        timestamp(
            json!({"format": "yyyy-MM-dd HH:mm", "defaultTimezone": "America/New_York", "maximum": "2024-03-10 12:00"}),
        ),
        &[Some("2024-03-10 01:59"), Some("2024-03-10 02:30"), Some("2024-03-10 12:01")],
        r#"accepted [0]
         1: local_time_gap: v is "2024-03-10 02:30", a local time that the zone's clocks skipped
         2: maximum: v is "2024-03-10T16:01:00Z"; it must be at most 2024-03-10 12:00"#,
    );
    check_text(
        timestamp(json!({"timezone": true})),
        &[Some("2024-03-10T01:59:00Z"), Some("2024-03-10T01:59:00")],
        r#"accepted [0]
         1: timezone: v is "2024-03-10T01:59:00", which names no zone"#,
    );
    check_text(
        json!({"logicalType": "time", "logicalTypeOptions": {"format": "hh:mm a", "maximum": "17:30:00"}}),
        &[Some("05:30 PM"), Some("05:31 pm"), Some("17:30"), Some("12:00 am")],
        r#"accepted [0, 3]
         1: maximum: v is "17:31:00"; it must be at most 17:30:00
         2: type: v is "17:30"; it must be a time of the form hh:mm a"#,
    );
    check_text(
        json!({"logicalType": "time", "logicalTypeOptions": {"timezone": true, "maximum": "08:30"}}),
        &[Some("08:30:00+10:00"), Some("08:31:00Z"), Some("08:00:00")],
        r#"accepted [0]
         1: maximum: v is "08:31:00Z"; it must be at most 08:30
         2: timezone: v is "08:00:00", which names no zone"#,
    );
}

#[test]
fn a_date_whose_format_tells_a_time_is_a_timestamp() {
    let gate = gate(json!([{"name": "v", "logicalType": "date", "logicalTypeOptions":
        {"format": "yyyy-MM-dd HH:mm:ss", "maximum": "2021-01-01 00:00:00"}}]));
    assert!(matches!(gate.dataset().schema.field(0).data_type(), arrow::datatypes::DataType::Timestamp(..)));
}

#[test]
fn forms_of_the_jdk() {
    let read = |form: &str, text: &str| {
        let fields = Form::compile(form).map_err(|_| Fault::Json)?.read(text)?;
        Ok::<_, Fault>((fields.days().unwrap_or(0), fields.nanos_of_day()? / 1_000_000))
    };
    let day = super::super::text::days(2024, 2, 29).unwrap();
    for (form, text, millis) in [
        ("d MMM yyyy", "29 Feb 2024", 0),
        ("MMMM d, yyyy", "february 29, 2024", 0),
        ("EEE, dd MMM yy", "Thu, 29 Feb 24", 0),
        ("yyyy-DDD", "2024-060", 0),
        ("yyyyMMddHHmmssSSS", "20240229235959007", 86_399_007),
        ("yyyy-MM-dd'T'kk:mm", "2024-02-29T24:05", 300_000),
        ("yyyy-MM-dd['at' HH]", "2024-02-29at 07", 25_200_000),
        ("yyyy-MM-dd['at' HH]", "2024-02-29", 0),
        ("yyyy-MM-dd''HH", "2024-02-29'07", 25_200_000),
        ("yyyy-MM-dd A", "2024-02-29 1", 1),
        ("yyyy-MM-dd HH:mm z", "2024-02-29 00:00 Europe/Paris", 0),
    ] {
        assert_eq!(read(form, text), Ok((day, millis)), "{form} {text}");
    }
    for (form, text) in [("HH:mm", "24:00"), ("hh a", "13 am"), ("HH:mm:ss", "23:59:60"), ("K", "12"), ("kk", "00")] {
        assert!(read(form, text).is_err(), "{form} {text}");
    }
    let days = |text: &str| Form::compile("yyyy-DDD").unwrap().read(text).and_then(|fields| fields.days());
    assert!(days("2024-366").is_ok() && days("2023-366").is_err() && days("2023-000").is_err());
    // An hour of half a day without its half is in the morning.
    assert_eq!(read("hh", "07"), Ok((0, 25_200_000)));
    for form in ["yyyy-MM-dd'T", "[yyyy", "yyyy]", "qqq", "G", "{", &"[H]".repeat(7), "yyyy-MMMMMM"] {
        assert!(Form::compile(form).is_err(), "{form}");
    }
}
