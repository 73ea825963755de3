//! Rules that both stores share: which appends can be meant, which rows fit, what is said of what is not there.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use seawall_base::error::{Error, ErrorKind, Result};
use seawall_base::table::{Append, TableName, TableVersion};
use seawall_base::{Cut, Offset, Partition};

use crate::codes;
use crate::types;

/// Rows in exactly the table's schema; `Invalid` when they do not fit.
pub(crate) fn conform_all(table: &TableName, batches: &[RecordBatch], schema: &SchemaRef) -> Result<Vec<RecordBatch>> {
    let mut conformed = Vec::with_capacity(batches.len());
    for batch in batches.iter().filter(|batch| batch.num_rows() > 0) {
        conformed.push(types::conform(batch, schema).map_err(|e| {
            Error::invalid(codes::ROWS_DO_NOT_FIT, format!("rows do not fit the schema of table {table}")).because(e)
        })?);
    }
    Ok(conformed)
}

/// The named columns of `schema`, in the named order.
pub(crate) fn project(table: &TableName, schema: &SchemaRef, columns: Option<&[String]>) -> Result<SchemaRef> {
    let Some(columns) = columns else { return Ok(Arc::clone(schema)) };
    let mut fields = Vec::with_capacity(columns.len());
    for name in columns {
        let field = schema.field_with_name(name).map_err(|_| unknown_column(table, schema, name))?;
        fields.push(field.clone());
    }
    Ok(Arc::new(Schema::new(fields)))
}

pub(crate) fn unknown_column(table: &TableName, schema: &Schema, name: &str) -> Error {
    let known: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    Error::invalid(codes::SQL_COLUMN_UNKNOWN, format!("table {table} has no column {name:?}"))
        .hint(format!("its columns are {}", known.join(", ")))
}

/// Refuses an append whose cuts cannot be meant.
pub(crate) fn check_cuts(table: &TableName, append: &Append) -> Result<()> {
    let has_rows = !append.staged.is_empty() || append.batches.iter().any(|batch| batch.num_rows() > 0);
    let wrong = |how: &str| {
        let message = format!("an append to table {table} from cut [{}] until [{}] {how}", append.from, append.until);
        Err(Error::invalid(codes::CUT_BACKWARDS, message).hint("the cut after an append says which rows it brought"))
    };
    if !append.until.covers(&append.from) {
        return wrong("goes backwards");
    }
    if has_rows && append.from.covers(&append.until) {
        return wrong("brings rows but moves no end");
    }
    Ok(())
}

/// Refuses an append that starts elsewhere than the table ends, in a partition that it moves. Partitions that others
/// write are their business.
pub(crate) fn check_append_from(table: &TableName, current: &Cut, append: &Append) -> Result<()> {
    let starts_well = |(partition, end): (Partition, Offset)| {
        let (from, known) = (append.from.end(partition), current.end(partition));
        if end > from { known == from } else { known >= from }
    };
    if append
        .until
        .iter()
        .chain(append.from.iter())
        .all(|(partition, _)| starts_well((partition, append.until.end(partition))))
    {
        return Ok(());
    }
    Err(cut_conflict(table, current, &append.from))
}

/// Refuses a replacement that does not start where the whole table ends.
pub(crate) fn check_replace_from(table: &TableName, current: &Cut, from: &Cut) -> Result<()> {
    if current.covers(from) && from.covers(current) { Ok(()) } else { Err(cut_conflict(table, current, from)) }
}

fn cut_conflict(table: &TableName, current: &Cut, from: &Cut) -> Error {
    let message = format!("table {table} ends at cut [{current}], but the append starts at [{from}]");
    Error::new(ErrorKind::Conflict, codes::CUT_CONFLICT, message)
        .hint("another writer was faster: read the table's cut again and append what lies after it")
}

pub(crate) fn unknown_table(table: &TableName) -> Error {
    Error::not_found(codes::TABLE_UNKNOWN, format!("there is no table {table}"))
        .hint("a table appears with the first rows of its dataset; `seawall query \"show tables\"` lists what there is")
}

pub(crate) fn missing_table(table: &TableName) -> Error {
    let message = format!("table {table} is gone, but the catalog knows versions of it");
    Error::new(ErrorKind::Unavailable, codes::TABLES_MISSING, message).hint(
        "mount the disk with the folder `tables`, or put the tables back from a backup; a server goes on by itself then",
    )
}

pub(crate) fn unknown_version(table: &TableName, version: TableVersion, newest: u64) -> Error {
    Error::not_found(codes::VERSION_UNKNOWN, format!("table {table} has no version {}", version.0))
        .hint(format!("its newest version is {newest}"))
}

pub(crate) fn expired_version(table: &TableName, version: TableVersion, readable_from: u64) -> Error {
    Error::not_found(codes::VERSION_EXPIRED, format!("version {} of table {table} was given up by a vacuum", version.0))
        .hint(format!("versions from {readable_from} on are readable, and older ones that were pinned before"))
}

pub(crate) fn version_moved(table: &TableName, expected: TableVersion, newest: u64) -> Error {
    let message = format!("table {table} is at version {newest}, not at version {}", expected.0);
    Error::new(ErrorKind::Conflict, codes::VERSION_MOVED, message)
        .hint("somebody wrote to it meanwhile: look at the newest version and decide again")
}
