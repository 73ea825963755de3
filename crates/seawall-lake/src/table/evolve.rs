//! How the schema of a table may change: by nullable columns that are added, and by nothing else.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use seawall_base::error::{Error, Result};
use seawall_base::table::TableName;

use crate::codes;
use crate::types;

/// The schema that a new table gets for `requested`: normal types, names that differ in more than case.
pub(crate) fn create(table: &TableName, requested: &Schema) -> Result<SchemaRef> {
    let schema = types::normal_schema(requested);
    if schema.fields().is_empty() {
        return Err(Error::invalid(codes::SCHEMA_CHANGE, format!("table {table} needs at least one column")));
    }
    let mut names: Vec<String> = schema.fields().iter().map(|field| field.name().to_lowercase()).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        let message = format!("table {table} has the column {:?} twice (names differ in more than case)", pair[0]);
        return Err(Error::invalid(codes::SCHEMA_CHANGE, message));
    }
    Ok(schema)
}

/// The schema after `requested`, or none when `current` says the same already. The order of columns does not count
/// as a difference; when columns are added, the order becomes the requested one.
pub(crate) fn evolve(table: &TableName, current: &SchemaRef, requested: &Schema) -> Result<Option<SchemaRef>> {
    let requested = create(table, requested)?;
    for field in current.fields() {
        let Ok(wanted) = requested.field_with_name(field.name()) else {
            return Err(refused(table, format!("lacks the column {:?}", field.name())));
        };
        let keeps =
            wanted.is_nullable() == field.is_nullable() && types::same_meaning(wanted.data_type(), field.data_type());
        if !keeps {
            let (has, wants) = (describe(field), describe(wanted));
            return Err(refused(table, format!("turns the column {:?} from {has} into {wants}", field.name())));
        }
    }
    let is_new = |field: &&Arc<arrow::datatypes::Field>| current.field_with_name(field.name()).is_err();
    let added: Vec<_> = requested.fields().iter().filter(is_new).collect();
    if let Some(required) = added.iter().find(|field| !field.is_nullable()) {
        return Err(refused(table, format!("adds the column {:?} that may not be null", required.name())));
    }
    Ok(if added.is_empty() { None } else { Some(requested) })
}

fn describe(field: &arrow::datatypes::Field) -> String {
    let nullable = if field.is_nullable() { "nullable" } else { "not null" };
    format!("{} ({nullable})", field.data_type())
}

fn refused(table: &TableName, what: String) -> Error {
    Error::invalid(codes::SCHEMA_CHANGE, format!("the requested schema of table {table} {what}")).hint(
        "only nullable columns can be added; give the contract a new major version, which gets a table of its own",
    )
}

#[cfg(test)]
mod tests {
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
            (Ok(schema), Ok(columns)) => assert_eq!(schema.map(|schema| schema.fields().len()), columns),
            (Err(error), Err(part)) => assert!(error.message().contains(part), "{error}"),
            (outcome, expected) => panic!("{outcome:?} where {expected:?} is expected"),
        }
    }

    #[test]
    fn nullable_columns_are_added_and_nothing_else_changes() {
        let a = ("a", DataType::Int64, false);
        let b = ("b", DataType::Utf8, true);
        check(&[a.clone(), b.clone()], Ok(None));
        check(&[b.clone(), a.clone()], Ok(None));
        check(&[a.clone(), ("b", DataType::LargeUtf8, true)], Ok(None));
        check(&[a.clone(), ("c", DataType::Int64, true), b.clone()], Ok(Some(3)));
        check(&[a.clone(), b.clone(), ("c", DataType::Int64, false)], Err("may not be null"));
        check(std::slice::from_ref(&a), Err("lacks the column \"b\""));
        check(&[a.clone(), ("b", DataType::Int64, true)], Err("from Utf8"));
        check(&[("a", DataType::Int64, true), b.clone()], Err("nullable"));
        check(&[a, b, ("A", DataType::Int64, true)], Err("twice"));
    }
}
