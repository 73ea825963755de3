//! What changed between two versions of a dataset's table, and whether the table can follow by itself.

use arrow::datatypes::{DataType, Field, Fields};
use seawall_base::Dataset;

/// One change of a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Column, with a path into nested ones; empty for changes of the key, the event time or the personal columns.
    pub column: String,
    /// What changed.
    pub kind: ChangeKind,
    /// Whether rows of both versions can stand in one table and nobody who reads or writes it has to act. Other
    /// changes need a new major version and an adapter.
    pub compatible: bool,
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeKind {
    /// A column that may be null is new.
    AddedNullable,
    /// A column that must not be null is new; earlier rows have no value for it.
    AddedRequired,
    /// The column is gone.
    Removed,
    /// The column has another type.
    Retyped {
        /// Arrow type before.
        from: String,
        /// Arrow type after.
        to: String,
    },
    /// Null was a breach and is allowed now.
    BecameNullable,
    /// Null was allowed and is a breach now.
    BecameRequired,
    /// The primary key has other columns.
    KeyChanged {
        /// Key before.
        from: Vec<String>,
        /// Key after.
        to: Vec<String>,
    },
    /// Another column, or none, holds the event time.
    EventTimeChanged {
        /// Column before.
        from: Option<String>,
        /// Column after.
        to: Option<String>,
    },
    /// The column holds personal data now.
    BecamePersonal,
    /// The column holds no personal data any more.
    NoLongerPersonal,
}

/// The changes from `old` to `new`: columns in the order of `old`, then new ones, then key, time and personal columns.
pub fn schema_change(old: &Dataset, new: &Dataset) -> Vec<Change> {
    let mut changes = Vec::new();
    compare_fields("", old.schema.fields(), new.schema.fields(), &mut changes);
    if old.primary_key != new.primary_key {
        let kind = ChangeKind::KeyChanged { from: old.primary_key.clone(), to: new.primary_key.clone() };
        changes.push(Change { column: String::new(), kind, compatible: false });
    }
    if old.event_time != new.event_time {
        let kind = ChangeKind::EventTimeChanged { from: old.event_time.clone(), to: new.event_time.clone() };
        changes.push(Change { column: String::new(), kind, compatible: false });
    }
    for column in new.personal.iter().filter(|column| !old.personal.contains(column)) {
        // Rows written before hold the value in the clear.
        let compatible = old.schema.field_with_name(column).is_err();
        changes.push(Change { column: column.clone(), kind: ChangeKind::BecamePersonal, compatible });
    }
    for column in old.personal.iter().filter(|column| !new.personal.contains(column)) {
        if new.schema.field_with_name(column).is_ok() {
            changes.push(Change { column: column.clone(), kind: ChangeKind::NoLongerPersonal, compatible: true });
        }
    }
    changes
}

fn compare_fields(prefix: &str, old: &Fields, new: &Fields, changes: &mut Vec<Change>) {
    for before in old {
        let column = format!("{prefix}{}", before.name());
        match new.iter().find(|after| after.name() == before.name()) {
            Some(after) => compare_field(column, before, after, changes),
            None => changes.push(Change { column, kind: ChangeKind::Removed, compatible: false }),
        }
    }
    for after in new.iter().filter(|after| !old.iter().any(|before| before.name() == after.name())) {
        let nullable = after.is_nullable();
        let kind = if nullable { ChangeKind::AddedNullable } else { ChangeKind::AddedRequired };
        changes.push(Change { column: format!("{prefix}{}", after.name()), kind, compatible: nullable });
    }
}

fn compare_field(column: String, before: &Field, after: &Field, changes: &mut Vec<Change>) {
    match (before.is_nullable(), after.is_nullable()) {
        (true, false) => {
            changes.push(Change { column: column.clone(), kind: ChangeKind::BecameRequired, compatible: false });
        }
        (false, true) => {
            // Whoever reads the column never met a null in it.
            changes.push(Change { column: column.clone(), kind: ChangeKind::BecameNullable, compatible: false });
        }
        (true, true) | (false, false) => {}
    }
    compare_types(column, before.data_type(), after.data_type(), changes);
}

fn compare_types(column: String, before: &DataType, after: &DataType, changes: &mut Vec<Change>) {
    match (before, after) {
        (DataType::Struct(old), DataType::Struct(new)) => compare_fields(&format!("{column}."), old, new, changes),
        (DataType::List(old), DataType::List(new)) => {
            compare_types(format!("{column}[]"), old.data_type(), new.data_type(), changes);
        }
        _ if before == after => {}
        _ => {
            let kind = ChangeKind::Retyped { from: before.to_string(), to: after.to_string() };
            changes.push(Change { column, kind, compatible: widens(before, after) });
        }
    }
}

/// Whether every value of `before` is a value of `after`, exactly and read alike, and the two are not the same: a table
/// can be rewritten. That holds for decimals with more digits before the point, for nested values with further fields that
/// may be null, and where nulls are allowed within. Names of list items do not count.
pub fn widens(before: &DataType, after: &DataType) -> bool {
    holds(before, after) && !holds(after, before)
}

/// Whether every value of `before` is a value of `after`.
fn holds(before: &DataType, after: &DataType) -> bool {
    match (before, after) {
        (DataType::Decimal128(old_precision, old_scale), DataType::Decimal128(precision, scale)) => {
            // With another scale the same digits are another number, also in what was computed of them.
            scale == old_scale && precision >= old_precision
        }
        (DataType::Struct(old), DataType::Struct(new)) => {
            let find = |fields: &Fields, name: &str| fields.iter().find(|field| field.name() == name).cloned();
            let keeps = |field: &Field| find(new, field.name()).is_some_and(|after| field_holds(field, &after));
            let is_known = |field: &Field| field.is_nullable() || find(old, field.name()).is_some();
            old.iter().all(|field| keeps(field)) && new.iter().all(|field| is_known(field))
        }
        (DataType::List(old), DataType::List(new)) => field_holds(old, new),
        _ => before == after,
    }
}

fn field_holds(before: &Field, after: &Field) -> bool {
    let admits_nulls = after.is_nullable() || !before.is_nullable();
    admits_nulls && holds(before.data_type(), after.data_type())
}
