//! How cells are read: text strictly, types without loss, columns by name.

use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::{DataType, Int32Type};
use serde_json::json;

use super::*;

#[test]
fn text_is_read_strictly() {
    check_text(
        json!({"logicalType": "integer"}),
        &[
            Some("12"),
            Some("12.0"),
            Some(" 1"),
            Some("+1"),
            Some(""),
            Some("9223372036854775808"),
            Some("-9223372036854775808"),
            Some("007"),
        ],
        r#"accepted [0, 6, 7]
         1: type: v is "12.0", which is not an integer
         2: type: v is " 1", which is not an integer
         3: type: v is "+1", which is not an integer
         4: type: v is "", which is not an integer
         5: type: v is "9223372036854775808", which is beyond the range of a 64-bit integer"#,
    );
    check_text(
        json!({"logicalType": "number"}),
        &[Some("1e3"), Some(".5"), Some("NaN"), Some("-inf"), Some("1e400"), Some("1,5"), Some("0x10"), None],
        r#"accepted [0, 1, 7]
         2: not_finite: v is "NaN", which is not a finite 64-bit number
         3: not_finite: v is "-inf", which is not a finite 64-bit number
         4: not_finite: v is "1e400", which is not a finite 64-bit number
         5: type: v is "1,5", which is not a number
         6: type: v is "0x10", which is not a number"#,
    );
    check_text(
        json!({"logicalType": "boolean"}),
        &[Some("true"), Some("False"), Some("1"), Some("yes"), None],
        r#"accepted [0, 1, 4]
         2: type: v is "1", which is not true or false
         3: type: v is "yes", which is not true or false"#,
    );
}

#[test]
fn a_type_fault_is_not_also_a_missing_value() {
    check_text(
        json!({"logicalType": "integer", "required": true, "quality": [{"metric": "nullValues", "mustBe": 0}]}),
        &[Some("x"), None],
        r#"accepted []
         0: type: v is "x", which is not an integer
         1: required: v is null; it must not be null
         1: nullValues: v is null; it must not be null"#,
    );
}

#[test]
fn timestamps_name_their_zone_or_take_the_contracts() {
    let properties = json!([{"name": "v", "logicalType": "timestamp"}]);
    let zone = json!({"customProperties": [{"property": "seawall.zone", "value": "America/Los_Angeles"}]});
    let gate = gate_with(properties, zone);
    let cells = [
        "2014-01-01 08:05:00",
        "2014-03-09T02:30:00",
        "2014-11-02T01:30:00",
        "2014-01-01T08:05:00.123456Z",
        "2014-01-01T08:05:00.1234567Z",
        "2014-01-01T08:05:00.123456000-0800",
        "2014-01-01",
        "2014-01-01T08:05:00 PST",
        "2014-01-01T08:05:60Z",
    ];
    let rows: Vec<Vec<Option<&str>>> = cells.iter().map(|cell| vec![Some(*cell)]).collect();
    let rows: Vec<&[Option<&str>]> = rows.iter().map(Vec::as_slice).collect();
    let verdict = gate.check(&text_batch(&["v"], &rows), Input::Text, NOW);
    let times = verdict.accepted.column(0).as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
    let times: Vec<String> = times.values().iter().map(|us| Instant(*us).to_string()).collect();
    assert_eq!(
        times,
        [
            "2014-01-01T16:05:00Z",
            // Clocks showed 01:30 twice: the earlier one, still on daylight saving time.
            "2014-11-02T08:30:00Z",
            "2014-01-01T08:05:00.123456Z",
            "2014-01-01T16:05:00.123456Z"
        ]
    );
    let rules: Vec<(u32, &str)> = verdict.quarantined.iter().map(|q| (q.row, q.reasons[0].rule.as_str())).collect();
    assert_eq!(rules, [(1, "local_time_gap"), (4, "precision"), (6, "type"), (7, "type"), (8, "type")]);
}

#[test]
fn typed_local_timestamps_take_the_contracts_zone() {
    let properties = json!([{"name": "v", "logicalType": "timestamp"}]);
    let zone = json!({"customProperties": [{"property": "seawall.zone", "value": "America/Los_Angeles"}]});
    let gate = gate_with(properties, zone);
    // 2014-03-09T02:30:00 and 2014-01-01T00:00:00 as local microseconds.
    let local: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![1_394_332_200_000_000, 1_388_534_400_000_000]));
    let verdict = gate.check(&column_batch("v", local), Input::Typed, NOW);
    assert_eq!(verdict.quarantined[0].reasons[0].rule, "local_time_gap");
    let kept = verdict.accepted.column(0).as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
    assert_eq!(Instant(kept.value(0)).to_string(), "2014-01-01T08:00:00Z");
}

#[test]
fn typed_columns_widen_without_loss() {
    let good: Vec<(Value, ArrayRef)> = vec![
        (json!({"logicalType": "integer"}), Arc::new(Int8Array::from(vec![1, -1]))),
        (json!({"logicalType": "integer"}), Arc::new(UInt32Array::from(vec![1, u32::MAX]))),
        (json!({"logicalType": "number"}), Arc::new(Float32Array::from(vec![1.5, 2.5]))),
        (json!({"logicalType": "number"}), Arc::new(Int64Array::from(vec![1, 1 << 53]))),
        (json!({"logicalType": "string"}), Arc::new(LargeStringArray::from(vec!["a", "b"]))),
        (json!({"logicalType": "string"}), Arc::new(StringViewArray::from(vec!["a", "b"]))),
        (json!({"logicalType": "string"}), Arc::new(DictionaryArray::<Int32Type>::from_iter(["a", "b"]))),
        (json!({"logicalType": "date"}), Arc::new(Date64Array::from(vec![0, 86_400_000]))),
        (json!({"logicalType": "timestamp"}), Arc::new(TimestampSecondArray::from(vec![0, 1]).with_timezone("+01:00"))),
        (json!({"logicalType": "time"}), Arc::new(Time64MicrosecondArray::from(vec![0, 1_500_000]))),
        (json!({"logicalType": "integer"}), Arc::new(NullArray::new(2))),
        (
            json!({"logicalType": "number", "physicalType": "decimal(10,3)"}),
            Arc::new(Decimal128Array::from(vec![150, 200]).with_precision_and_scale(5, 2).unwrap()),
        ),
    ];
    for (property, array) in good {
        let shown = format!("{property} from {}", array.data_type());
        let mut property = property;
        property["name"] = json!("v");
        let gate = gate(json!([property]));
        let verdict = gate.check(&column_batch("v", array), Input::Typed, NOW);
        assert_eq!(verdict.accepted_rows, [0, 1], "{shown}: {}", show(&verdict));
        assert_eq!(&verdict.accepted.schema(), &gate.dataset().schema, "{shown}");
    }
}

#[test]
fn cells_that_would_lose_something_are_stopped_one_by_one() {
    check_typed(
        json!({"logicalType": "integer"}),
        Arc::new(UInt64Array::from(vec![1, u64::MAX])),
        "accepted [0]
         1: type: v is 18446744073709551615, which is beyond the range of a 64-bit integer",
    );
    check_typed(
        json!({"logicalType": "number"}),
        Arc::new(Int64Array::from(vec![1, (1 << 53) + 1, i64::MAX])),
        "accepted [0]
         1: precision: v is 9007199254740993, which a 64-bit number cannot hold exactly
         2: precision: v is 9223372036854775807, which a 64-bit number cannot hold exactly",
    );
    check_typed(
        json!({"logicalType": "timestamp"}),
        Arc::new(TimestampNanosecondArray::from(vec![1_000, 1_001]).with_timezone("UTC")),
        r#"accepted [0]
         1: precision: v is "1970-01-01T00:00:00.000001001Z", which is finer than a microsecond"#,
    );
    check_typed(
        json!({"logicalType": "date"}),
        Arc::new(Date64Array::from(vec![86_400_000, 1])),
        r#"accepted [0]
         1: precision: v is "1970-01-01T00:00:00.001", which a date cannot hold exactly"#,
    );
}

#[test]
fn a_column_whose_type_can_never_fit_refuses_the_batch() {
    check_typed(
        json!({"logicalType": "integer"}),
        Arc::new(Float64Array::from(vec![1.0])),
        "reject: type: v has type Float64; an integer is wanted",
    );
    check_typed(
        json!({"logicalType": "integer"}),
        Arc::new(StringArray::from(vec!["1"])),
        "reject: type: v has type Utf8; an integer is wanted",
    );
    check_typed(
        json!({"logicalType": "timestamp"}),
        Arc::new(Date32Array::from(vec![1])),
        "reject: type: v has type Date32; a timestamp like 2014-01-31T08:05:00Z is wanted",
    );
}

#[test]
fn columns_are_matched_by_name() {
    let gate = gate(json!([
        {"name": "a", "logicalType": "integer", "required": true},
        {"name": "b", "physicalName": "B_COL", "logicalType": "string"},
        {"name": "c", "logicalType": "string"}]));
    let batch = text_batch(&["extra", "B_COL", "a"], &[&[Some("?"), Some("x"), Some("1")]]);
    let verdict = gate.check(&batch, Input::Text, NOW);
    assert_eq!(verdict.unknown_columns, ["extra"]);
    assert_eq!(
        show(&verdict).trim(),
        unindent(
            "accepted [0]
             warn: missing_column x1: the batch has no column c
             warn: unknown_column x1: the contract has no column extra; its values were not kept"
        )
    );
    assert_eq!(super::super::raw_json(&verdict.accepted, 0), r#"{"a":1,"b":"x","c":null}"#);
    let verdict = gate.check(&text_batch(&["b"], &[&[Some("x")]]), Input::Text, NOW);
    assert_eq!(show(&verdict).trim(), "reject: missing_column: the batch has no column a");
}

#[test]
fn lists_with_hidden_and_sliced_elements() {
    // The second list is null but covers elements; the array is sliced.
    let values = Arc::new(Int64Array::from(vec![9, 1, 77, 78, 2, 3]));
    let offsets = arrow::buffer::OffsetBuffer::new(vec![0, 1, 2, 4, 6].into());
    let field = Arc::new(arrow::datatypes::Field::new("item", DataType::Int64, true));
    let list = ListArray::new(field, offsets, values, Some(vec![true, true, false, true].into()));
    let sliced: ArrayRef = Arc::new(list.slice(1, 3));
    check_typed(
        json!({"logicalType": "array", "items": {"logicalType": "integer", "logicalTypeOptions": {"maximum": 2}}}),
        sliced,
        "accepted [0, 1]
         2: maximum: v[1] is 3; it must be at most 2",
    );
}

#[test]
fn children_of_null_structs_do_not_count() {
    let child: ArrayRef = Arc::new(Int64Array::from(vec![Some(100), Some(1), None]));
    let fields = vec![Arc::new(arrow::datatypes::Field::new("n", DataType::Int64, true))].into();
    let object: ArrayRef = Arc::new(StructArray::new(fields, vec![child], Some(vec![false, true, true].into())));
    check_typed(
        json!({"logicalType": "object", "properties": [
            {"name": "n", "logicalType": "integer", "required": true, "logicalTypeOptions": {"maximum": 10}}]}),
        object,
        "accepted [0, 1]
         2: required: v.n is null; it must not be null",
    );
}

#[test]
fn nested_values_in_text_are_json() {
    check_text(
        json!({"logicalType": "array", "items": {"logicalType": "integer", "logicalTypeOptions": {"minimum": 0}}}),
        &[Some("[1, 2]"), Some("[1"), Some("[-1]"), Some(r#"["1"]"#), None],
        r#"accepted [0, 4]
         1: type: v is "[1", which is not valid JSON
         2: minimum: v[0] is -1; it must be at least 0
         3: type: v is "[\"1\"]", which is not an integer"#,
    );
}

#[test]
fn an_empty_batch_is_accepted() {
    let gate = gate(json!([{"name": "v", "logicalType": "integer", "required": true}]));
    let verdict = gate.check(&text_batch(&["v"], &[]), Input::Text, NOW);
    assert_eq!(show(&verdict), "accepted []\n");
}
