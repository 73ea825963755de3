use arrow::datatypes::{DataType, Field};

use super::*;

fn schema(fields: &[(&str, DataType, bool)]) -> SchemaRef {
    let fields = fields.iter().map(|(name, kind, nullable)| Field::new(*name, kind.clone(), *nullable));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn check(requested: &[(&str, DataType, bool)], expected: Result<Option<usize>, &str>) {
    let table = TableName::new("t").unwrap();
    let current = schema(&[("a", DataType::Int64, false), ("b", DataType::Utf8, true)]);
    let outcome = evolve(&table, &current, &schema(requested));
    match (outcome, expected) {
        (Ok(evolved), Ok(columns)) => assert_eq!(evolved.map(|evolved| evolved.schema.fields().len()), columns),
        (Err(error), Err(part)) => assert!(error.message().contains(part), "{error}"),
        (outcome, expected) => panic!("{outcome:?} where {expected:?} is expected"),
    }
}

#[test]
fn nullable_columns_are_added_and_nulls_allowed() {
    let a = ("a", DataType::Int64, false);
    let b = ("b", DataType::Utf8, true);
    check(&[a.clone(), b.clone()], Ok(None));
    check(&[b.clone(), a.clone()], Ok(None));
    check(&[a.clone(), ("b", DataType::LargeUtf8, true)], Ok(None));
    check(&[a.clone(), ("c", DataType::Int64, true), b.clone()], Ok(Some(3)));
    check(&[a.clone(), b.clone(), ("c", DataType::Int64, false)], Err("may not be null"));
    check(std::slice::from_ref(&a), Err("lacks the column \"b\""));
    check(&[a.clone(), ("b", DataType::Int64, true)], Err("from Utf8"));
    check(&[("a", DataType::Int64, true), b.clone()], Ok(Some(2)));
    check(&[a.clone(), ("b", DataType::Utf8, false)], Err("nullable"));
    check(&[a, b, ("A", DataType::Int64, true)], Err("twice"));
}

#[test]
fn decimals_get_more_digits() {
    let table = TableName::new("t").unwrap();
    let of = |precision, scale| schema(&[("a", DataType::Decimal128(precision, scale), false)]);
    let widens = |to: SchemaRef| evolve(&table, &of(10, 2), &to).map(|evolved| evolved.map(|one| one.widens));
    assert_eq!(widens(of(10, 2)).unwrap(), None);
    assert_eq!(widens(of(12, 2)).unwrap(), Some(true));
    for narrower in [of(9, 2), of(12, 1), of(12, 4)] {
        assert_eq!(widens(narrower).unwrap_err().code(), codes::SCHEMA_CHANGE);
    }
}
