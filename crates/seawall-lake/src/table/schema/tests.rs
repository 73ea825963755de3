use super::*;

#[test]
fn every_storable_type_comes_back_as_it_was() {
    let point = Fields::from(vec![Field::new("x", DataType::Float64, false), Field::new("y", DataType::Int8, true)]);
    let kinds = [
        DataType::Utf8,
        DataType::Int64,
        DataType::Int32,
        DataType::Int16,
        DataType::Int8,
        DataType::Float32,
        DataType::Float64,
        DataType::Boolean,
        DataType::Binary,
        DataType::Date32,
        DataType::Decimal128(18, 2),
        types::instant_type(),
        DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::List(Arc::new(Field::new_list_field(DataType::Struct(point.clone()), false))),
        DataType::Struct(point),
    ];
    let fields: Vec<Field> =
        kinds.iter().enumerate().map(|(i, kind)| Field::new(format!("c{i}"), kind.clone(), i % 2 == 0)).collect();
    let schema = Schema::new(fields);
    assert_eq!(*from_delta(&to_delta(&schema).unwrap()).unwrap(), schema);
    assert!(has_local_timestamps(schema.fields()));
}

#[test]
fn a_type_without_a_word_is_refused_by_name() {
    let schema = Schema::new(vec![Field::new("took", DataType::Duration(TimeUnit::Second), true)]);
    let error = to_delta(&schema).unwrap_err();
    assert_eq!(error.code(), codes::COLUMN_TYPE);
    assert!(error.message().contains("took"));
}
