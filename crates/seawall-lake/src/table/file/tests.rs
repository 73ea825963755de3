use arrow::array::{BooleanArray, Date32Array, Int64Array, StringArray};
use arrow::datatypes::Field;
use proptest::prelude::*;

use super::*;

fn encoded(columns: Vec<(&str, ArrayRef)>) -> (SchemaRef, EncodedFile) {
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
    let schema = batch.schema();
    let file = encode(&[batch], &schema, &[]).unwrap();
    (schema, file)
}

fn stats(columns: Vec<(&str, ArrayRef)>) -> Value {
    let (_, file) = encoded(columns);
    serde_json::from_str(&statistics(&footer(&file.bytes, "f").unwrap(), &[]).unwrap()).unwrap()
}

#[test]
fn bounds_are_spelled_as_delta_spells_them() {
    let instants = arrow::array::TimestampMicrosecondArray::from(vec![1_388_563_500_000_001]).with_timezone("UTC");
    let stats = stats(vec![
        ("n", Arc::new(Int64Array::from(vec![i64::MAX]))),
        ("d", Arc::new(Date32Array::from(vec![16_071]))),
        ("t", Arc::new(instants)),
        ("b", Arc::new(BooleanArray::from(vec![true]))),
        ("f", Arc::new(arrow::array::Float64Array::from(vec![f64::INFINITY]))),
    ]);
    let expected = json!({"n": i64::MAX, "d": "2014-01-01", "t": "2014-01-01T08:05:00.000001Z"});
    assert_eq!(stats["minValues"], expected);
    assert_eq!(stats["maxValues"], expected);
    assert_eq!(stats["nullCount"], json!({"n": 0, "d": 0, "t": 0, "b": 0, "f": 0}));
}

#[test]
fn only_columns_that_repeat_their_values_get_a_dictionary() {
    let rows = 5_000;
    let (_, file) = encoded(vec![
        ("id", Arc::new(Int64Array::from_iter_values(0..rows))),
        ("name", Arc::new(StringArray::from_iter_values((0..rows).map(|n| format!("n{n}"))))),
        ("kind", Arc::new(StringArray::from_iter_values((0..rows).map(|n| format!("k{}", n % 3))))),
        ("day", Arc::new(Date32Array::from_iter_values((0..rows).map(|n| n as i32 / 100)))),
    ]);
    let footer = footer(&file.bytes, "f").unwrap();
    let group = footer.metadata().row_group(0);
    let dictionaries: Vec<bool> = group.columns().iter().map(|c| c.dictionary_page_offset().is_some()).collect();
    assert_eq!(dictionaries, [false, false, true, true]);
}

proptest! {
    #[test]
    fn bounds_hold_for_every_value(
        numbers in proptest::collection::vec(proptest::option::of(any::<i64>()), 1..50),
        texts in proptest::collection::vec(proptest::option::of(".{0,90}"), 1..50),
    ) {
        let rows = numbers.len().min(texts.len());
        let (numbers, texts) = (&numbers[..rows], &texts[..rows]);
        let stats = stats(vec![
            ("n", Arc::new(Int64Array::from(numbers.to_vec()))),
            ("t", Arc::new(StringArray::from(texts.to_vec()))),
        ]);
        prop_assert_eq!(stats["numRecords"].as_u64(), Some(rows as u64));
        prop_assert_eq!(stats["nullCount"]["n"].as_u64(), Some(numbers.iter().filter(|n| n.is_none()).count() as u64));
        prop_assert_eq!(stats["minValues"]["n"].as_i64(), numbers.iter().flatten().min().copied());
        prop_assert_eq!(stats["maxValues"]["n"].as_i64(), numbers.iter().flatten().max().copied());
        for text in texts.iter().flatten() {
            // A bound that cannot be told (text beyond every bound) is left out with its partner.
            if let (Some(low), Some(high)) = (stats["minValues"]["t"].as_str(), stats["maxValues"]["t"].as_str()) {
                prop_assert!(low <= text.as_str() && text.as_str() <= high);
            }
        }
    }

    #[test]
    fn rows_come_back_and_the_same_rows_give_the_same_bytes(
        numbers in proptest::collection::vec(proptest::option::of(any::<i64>()), 1..40),
        texts in proptest::collection::vec(proptest::option::of(".{0,9}"), 1..40),
    ) {
        let rows = numbers.len().min(texts.len());
        let columns = || -> Vec<(&str, ArrayRef)> { vec![
            ("n", Arc::new(Int64Array::from(numbers[..rows].to_vec()))),
            ("t", Arc::new(StringArray::from(texts[..rows].to_vec()))),
        ] };
        let (schema, file) = encoded(columns());
        prop_assert_eq!(&encoded(columns()).1.bytes, &file.bytes);
        let read = decode(file.bytes.clone(), &schema, "f").unwrap();
        let expected = RecordBatch::try_from_iter_with_nullable(columns().into_iter().map(|(n, c)| (n, c, true))).unwrap();
        prop_assert_eq!(arrow::compute::concat_batches(&schema, &read).unwrap(), expected);
    }

    #[test]
    fn damaged_bytes_never_panic(at in any::<prop::sample::Index>(), flip in 1u8..) {
        let (schema, file) = encoded(vec![("n", Arc::new(Int64Array::from((0..100).collect::<Vec<i64>>())))]);
        let mut bytes = file.bytes.to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        prop_assert!(check_hash(&bytes, &file.hash, "f").is_err());
        let _ = schema;
    }
}

#[test]
fn a_file_with_fewer_columns_reads_as_null_and_extra_ones_are_skipped() {
    let (_, file) =
        encoded(vec![("a", Arc::new(Int64Array::from(vec![1]))), ("b", Arc::new(Int64Array::from(vec![2])))]);
    let wanted: SchemaRef =
        Arc::new(Schema::new(vec![Field::new("c", DataType::Utf8, true), Field::new("b", DataType::Int64, true)]));
    let read = decode(file.bytes, &wanted, "f").unwrap();
    assert_eq!(read[0].schema(), wanted);
    assert!(read[0].column(0).is_null(0));
    assert_eq!(read[0].column(1).as_primitive::<arrow::datatypes::Int64Type>().value(0), 2);
}
