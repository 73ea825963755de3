//! SQL expressions over the columns of one row: which columns they read, and what no row can answer.
//!
//! The parser is the engine's, so that what passes here is read the same way there. Types and functions are the engine's to
//! check, when a revision is planned.

use std::ops::ControlFlow;

use sqlparser::ast::{Expr, Ident, visit_expressions};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

/// Deepest nesting of an expression; keeps the parser's stack small.
const DEPTH_MAX: usize = 50;

/// Functions whose answer depends on when they run.
const CLOCK_OR_CHANCE: [&str; 10] = [
    "now",
    "today",
    "current_date",
    "current_time",
    "current_timestamp",
    "localtime",
    "localtimestamp",
    "random",
    "rand",
    "uuid",
];

/// Why a text is no expression over one row.
#[derive(Debug, PartialEq)]
pub(crate) struct Refused {
    pub message: String,
    pub help: &'static str,
}

/// The names that stand where `sql` reads a column, unquoted ones in lower case, each once and in order.
pub(crate) fn columns(sql: &str) -> Result<Vec<String>, Refused> {
    let expression = parse(sql)?;
    let mut columns: Vec<String> = Vec::new();
    let walked = visit_expressions(&expression, |part| match column_of(part) {
        Ok(Some(column)) => {
            columns.push(column);
            ControlFlow::Continue(())
        }
        Ok(None) => ControlFlow::Continue(()),
        Err(refused) => ControlFlow::Break(refused),
    });
    match walked {
        ControlFlow::Break(refused) => Err(refused),
        ControlFlow::Continue(()) => {
            columns.sort_unstable();
            columns.dedup();
            Ok(columns)
        }
    }
}

fn parse(sql: &str) -> Result<Expr, Refused> {
    let syntax = |why: String| Refused {
        message: format!("`{}` is no SQL expression: {why}", super::super::yaml::shorten(sql)),
        help: "write an expression over the columns of the dataset, for example `amount > 100`",
    };
    let parser = Parser::new(&GenericDialect {}).with_recursion_limit(DEPTH_MAX).try_with_sql(sql);
    let mut parser = parser.map_err(|error| syntax(error.to_string()))?;
    let expression = parser.parse_expr().map_err(|error| syntax(error.to_string()))?;
    match parser.peek_token().token {
        Token::EOF => Ok(expression),
        other => Err(syntax(format!("`{other}` follows it"))),
    }
}

/// The column that a part of an expression reads, if it reads one.
fn column_of(part: &Expr) -> Result<Option<String>, Refused> {
    match part {
        Expr::Identifier(name) => Ok(Some(resolved(name))),
        Expr::CompoundIdentifier(names) => match names.as_slice() {
            [table, name] if resolved(table) == "input" => Ok(Some(resolved(name))),
            _ => Err(Refused {
                message: format!("`{part}` names another table"),
                help: "name the dataset's columns as they are; other tables are joined by a source's map",
            }),
        },
        Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } | Expr::AnyOp { .. } | Expr::AllOp { .. } => {
            Err(not_of_one_row("a subquery"))
        }
        Expr::Function(call) if call.over.is_some() => Err(not_of_one_row("a window")),
        Expr::Function(call) => {
            let name = call.name.to_string().to_lowercase();
            if !CLOCK_OR_CHANCE.contains(&name.as_str()) {
                return Ok(None);
            }
            Err(Refused {
                message: format!("`{name}` gives another answer each time, so a value could not be computed again"),
                help: "use a column: the event time, or what the row tells; ages are what `time_since` is for",
            })
        }
        _ => Ok(None),
    }
}

fn not_of_one_row(what: &str) -> Refused {
    Refused {
        message: format!("an expression sees one row alone, so it cannot have {what}"),
        help: "compute it from the row's own columns; rows are aggregated by the feature",
    }
}

/// A name as the engine reads it.
fn resolved(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}
