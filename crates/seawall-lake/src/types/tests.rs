use arrow::array::{AsArray, Int64Array, StringViewArray, TimestampNanosecondArray, UInt64Array};
use arrow::datatypes::TimestampMicrosecondType;

use super::*;

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter(columns).unwrap()
}

#[test]
fn results_lose_views_unsigned_integers_and_other_units() {
    let instants = TimestampNanosecondArray::from(vec![1_500]).with_timezone("+00:00");
    let given = batch(vec![
        ("text", Arc::new(StringViewArray::from(vec!["a"]))),
        ("count", Arc::new(UInt64Array::from(vec![7]))),
        ("at", Arc::new(instants)),
    ]);
    let normal = normalise(&given).unwrap();
    let types: Vec<DataType> = normal.schema().fields().iter().map(|field| field.data_type().clone()).collect();
    assert_eq!(types, [DataType::Utf8, DataType::Int64, instant_type()]);
    assert_eq!(normal.column(2).as_primitive::<TimestampMicrosecondType>().value(0), 1);
}

#[test]
fn a_value_that_does_not_fit_is_an_error_and_never_null() {
    let given = batch(vec![("count", Arc::new(UInt64Array::from(vec![u64::MAX])))]);
    assert!(normalise(&given).is_err());
}

#[test]
fn a_missing_column_is_null_and_an_unknown_one_is_refused() {
    let schema =
        Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true), Field::new("b", DataType::Utf8, true)]));
    let conformed = conform(&batch(vec![("a", Arc::new(Int64Array::from(vec![1])))]), &schema).unwrap();
    assert!(conformed.column(1).is_null(0));
    let unknown = conform(&batch(vec![("c", Arc::new(Int64Array::from(vec![1])))]), &schema).unwrap_err();
    assert!(unknown.to_string().contains("\"c\""), "{unknown}");
    let other = conform(&batch(vec![("b", Arc::new(Int64Array::from(vec![1])))]), &schema).unwrap_err();
    assert!(other.to_string().contains("Utf8"), "{other}");
}

#[test]
fn nested_values_are_widened_with_the_values_that_they_have() {
    let decimal = |precision, scale, nullable| Field::new("d", DataType::Decimal128(precision, scale), nullable);
    let list =
        |inner: Vec<Field>| DataType::List(Arc::new(Field::new_list_field(DataType::Struct(inner.into()), true)));
    let prices = arrow::array::Decimal128Array::from(vec![105, 210, 315]).with_precision_and_scale(5, 2).unwrap();
    let inner: ArrayRef = Arc::new(StructArray::new(vec![decimal(5, 2, false)].into(), vec![Arc::new(prices)], None));
    let DataType::List(item) = list(vec![decimal(5, 2, false)]) else { panic!("it is a list") };
    let offsets = arrow::buffer::OffsetBuffer::from_lengths([2, 0, 1]);
    let column: ArrayRef = Arc::new(ListArray::new(item, offsets, inner, None));
    let batch = RecordBatch::try_from_iter([("l", column)]).unwrap();
    let wide = list(vec![Field::new("new", DataType::Utf8, true), decimal(7, 2, true)]);
    let schema = Arc::new(Schema::new(vec![Field::new("l", wide, true)]));
    let conformed = conform(&batch, &schema).unwrap();
    let shown: Vec<String> =
        (0..3).map(|row| arrow::util::display::array_value_to_string(conformed.column(0), row).unwrap()).collect();
    assert_eq!(shown, ["[{new: , d: 1.05}, {new: , d: 2.10}]", "[]", "[{new: , d: 3.15}]"]);
    let narrower = Arc::new(Schema::new(vec![Field::new("l", list(vec![decimal(4, 2, false)]), true)]));
    assert!(conform(&batch, &narrower).is_err());
}
