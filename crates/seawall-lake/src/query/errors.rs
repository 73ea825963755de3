//! DataFusion's errors in Seawall's words: who must act, which code, what to do.

use datafusion::common::{Column, DataFusionError, SchemaError};
use seawall_base::error::{Error, ErrorKind};

use crate::codes;

/// Columns that a hint lists at most.
const CANDIDATES_MAX: usize = 40;

/// The error for a statement that cannot be planned.
pub(crate) fn planning(error: DataFusionError) -> Error {
    translate(error, ErrorKind::Invalid, codes::SQL_INVALID, "the SQL cannot be planned")
        .unwrap_or_else(|error| error.hint("check the statement against the columns of the tables it reads"))
}

/// The error for a statement that failed while it ran.
pub(crate) fn running(error: DataFusionError) -> Error {
    translate(error, ErrorKind::Invalid, codes::SQL_FAILED, "the SQL failed while it ran")
        .unwrap_or_else(|error| error.hint("a value did not fit: cast or filter it, for example with try_cast"))
}

/// `Ok` when the error has a meaning of its own, `Err` with the general meaning otherwise.
fn translate(error: DataFusionError, kind: ErrorKind, code: &'static str, doing: &str) -> Result<Error, Error> {
    match error {
        DataFusionError::External(inner) => match inner.downcast::<Error>() {
            Ok(ours) => Ok(*ours),
            Err(inner) => Err(Error::new(kind, code, doing).because(inner)),
        },
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
            translate(*inner, kind, code, doing)
        }
        DataFusionError::Shared(shared) => Ok(shared_error(&shared, kind, code, doing)),
        DataFusionError::Collection(mut errors) if !errors.is_empty() => {
            translate(errors.swap_remove(0), kind, code, doing)
        }
        DataFusionError::SchemaError(schema_error, _) => Ok(schema_problem(&schema_error)),
        DataFusionError::ResourcesExhausted(message) => Ok(out_of_memory(&message)),
        DataFusionError::Plan(message) if message.contains("not found") && message.contains("table '") => {
            Ok(Error::not_found(codes::SQL_TABLE_UNKNOWN, message)
                .hint("`show tables` lists what there is; columns are listed by `describe TABLE`"))
        }
        DataFusionError::Internal(message) => Ok(Error::internal(codes::SQL_FAILED, format!("{doing}: {message}"))),
        other => Err(Error::new(kind, code, doing).because(other)),
    }
}

/// An error that several readers share can only be looked at; ours keeps its kind, code, message and remedy.
fn shared_error(error: &DataFusionError, kind: ErrorKind, code: &'static str, doing: &str) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(at) = cause {
        let inner = match at.downcast_ref::<DataFusionError>() {
            Some(DataFusionError::ResourcesExhausted(message)) => return out_of_memory(message),
            Some(DataFusionError::External(inner)) => inner.downcast_ref::<Error>(),
            _ => at.downcast_ref::<Error>(),
        };
        if let Some(ours) = inner {
            let copy = Error::new(ours.kind(), ours.code(), ours.to_string());
            return match ours.remedy() {
                Some(remedy) => copy.hint(remedy),
                None => copy,
            };
        }
        cause = at.source();
    }
    Error::new(kind, code, format!("{doing}: {error}"))
}

fn out_of_memory(message: &str) -> Error {
    Error::new(ErrorKind::Unavailable, codes::MEMORY, format!("the query needs more memory: {message}"))
        .hint("select fewer columns or rows, or raise the engine's memory")
}

fn schema_problem(error: &SchemaError) -> Error {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let unknown =
                Error::invalid(codes::SQL_COLUMN_UNKNOWN, format!("there is no column {}", field.flat_name()));
            if valid_fields.is_empty() { unknown } else { unknown.hint(candidates(&field.name, valid_fields)) }
        }
        other => Error::invalid(codes::SQL_INVALID, format!("the SQL cannot be planned: {other}"))
            .hint("qualify the column with its table, or give it an alias"),
    }
}

/// The columns there are, those that resemble the wanted one first.
fn candidates(wanted: &str, fields: &[Column]) -> String {
    let wanted = wanted.to_lowercase();
    let mut names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names.sort_by_key(|name| {
        let name = name.to_lowercase();
        !(name.contains(&wanted) || wanted.contains(&name))
    });
    let more = if names.len() > CANDIDATES_MAX { ", ..." } else { "" };
    names.truncate(CANDIDATES_MAX);
    format!("the columns are {}{more}", names.join(", "))
}
