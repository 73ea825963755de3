//! How the schema of a table may change: by nullable columns that are added, by columns that may be null from now on, and
//! by columns that get a wider type. Nothing else can be said of the rows that are there.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use seawall_base::error::{Error, Result};
use seawall_base::table::TableName;
use seawall_kernel::contract;

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

/// How the schema of a table changes.
#[derive(Debug, Clone)]
pub(crate) struct Evolved {
    /// The schema afterwards.
    pub schema: SchemaRef,
    /// Whether a column gets a wider type, which Delta cannot do in place: every file is written anew.
    pub widens: bool,
}

/// What `requested` makes of the schema, or none when `current` says the same already. The order of columns does not
/// count as a difference; when something changes, the order becomes the requested one.
pub(crate) fn evolve(table: &TableName, current: &SchemaRef, requested: &Schema) -> Result<Option<Evolved>> {
    let requested = create(table, requested)?;
    let (mut widens, mut relaxes) = (false, false);
    for field in current.fields() {
        let Ok(wanted) = requested.field_with_name(field.name()) else {
            return Err(refused(table, format!("lacks the column {:?}", field.name())));
        };
        let is_wider = contract::widens(field.data_type(), wanted.data_type());
        let is_same = types::same_meaning(wanted.data_type(), field.data_type());
        let admits_null = wanted.is_nullable() || !field.is_nullable();
        if !(is_wider || is_same) || !admits_null {
            let (has, wants) = (describe(field), describe(wanted));
            return Err(refused(table, format!("turns the column {:?} from {has} into {wants}", field.name())));
        }
        widens |= is_wider;
        relaxes |= wanted.is_nullable() != field.is_nullable();
    }
    let is_new = |field: &&Arc<arrow::datatypes::Field>| current.field_with_name(field.name()).is_err();
    let added: Vec<_> = requested.fields().iter().filter(is_new).collect();
    if let Some(required) = added.iter().find(|field| !field.is_nullable()) {
        return Err(refused(table, format!("adds the column {:?} that may not be null", required.name())));
    }
    let changes = widens || relaxes || !added.is_empty();
    Ok(changes.then_some(Evolved { schema: requested, widens }))
}

fn describe(field: &arrow::datatypes::Field) -> String {
    let nullable = if field.is_nullable() { "nullable" } else { "not null" };
    format!("{} ({nullable})", field.data_type())
}

fn refused(table: &TableName, what: String) -> Error {
    Error::invalid(codes::SCHEMA_CHANGE, format!("the requested schema of table {table} {what}"))
        .hint("only nullable columns can be added, nulls allowed and decimals widened; give the column another name")
}

#[cfg(test)]
mod tests;
