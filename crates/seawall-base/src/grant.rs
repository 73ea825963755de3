//! Read grants: which rows and columns of which tables a permit shows. The catalog's policy computes them, the lake's
//! table provider enforces them.
//!
//! Order of evaluation, that of Apache Iceberg's read restrictions: the row filter sees unmasked values, then masks
//! apply, then the caller's own predicates see masked values only. What a grant does not name is not shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a permit may read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub enum Grants {
    /// Everything: the system's own permits, and roles without restriction.
    #[default]
    Everything,
    /// These tables only, by table name.
    Tables(BTreeMap<String, TableGrant>),
}

impl Grants {
    /// The grant for a table; none when it must not be shown, nor its existence be told.
    pub fn table(&self, table: &str) -> Option<TableGrant> {
        match self {
            Grants::Everything => Some(TableGrant::default()),
            Grants::Tables(tables) => tables.get(table).cloned(),
        }
    }

    /// Whether nothing is restricted.
    pub fn is_everything(&self) -> bool {
        matches!(self, Grants::Everything)
    }
}

/// What a permit may read of one table; the default is all of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TableGrant {
    /// Rows shown; every one when absent. A row for which the filter is null or cannot be computed is not shown.
    pub rows: Option<Predicate>,
    /// Masks by column; columns that are not named are shown as they are.
    pub masks: BTreeMap<String, Mask>,
    /// Columns that are not part of the table for this caller.
    pub hidden: Vec<String>,
}

impl TableGrant {
    /// Whether all of the table is shown.
    pub fn is_everything(&self) -> bool {
        self.rows.is_none() && self.masks.is_empty() && self.hidden.is_empty()
    }
}

/// A predicate over the columns of a row, in three-valued logic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Predicate {
    /// Always this.
    Constant(bool),
    /// Comparison of a column with a literal.
    Compare {
        /// The column.
        column: String,
        /// How.
        operator: Comparison,
        /// With what.
        literal: Literal,
    },
    /// Whether a column is one of several literals.
    OneOf {
        /// The column.
        column: String,
        /// The literals; none admits nothing.
        literals: Vec<Literal>,
    },
    /// Whether a column has a value.
    Present(String),
    /// Whether a text column matches a pattern, whose only special character is `*` for any text.
    Like {
        /// The column.
        column: String,
        /// Parts of the pattern between the wildcards.
        parts: Vec<String>,
    },
    /// Not.
    Not(Box<Predicate>),
    /// All of them.
    All(Vec<Predicate>),
    /// Any of them.
    Any(Vec<Predicate>),
    /// The inner predicate, or this when it is null: a permit that cannot be decided permits nothing, a prohibition that
    /// cannot be decided prohibits.
    OrElse(Box<Predicate>, bool),
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// Equal.
    Equal,
    /// Not equal.
    NotEqual,
    /// Less.
    Less,
    /// Less or equal.
    LessOrEqual,
    /// Greater.
    Greater,
    /// Greater or equal.
    GreaterOrEqual,
}

/// A literal of a row policy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Literal {
    /// Text.
    Text(String),
    /// A whole number, of at most 64 bits.
    Integer(i64),
    /// A truth value.
    Bool(bool),
}

/// How a column is masked: the nine actions of Apache Iceberg's read restrictions, and a keyed hash. All keep the
/// column's type; one that the type does not admit makes the query fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mask {
    /// Letters become `x`, digits `n`, other characters stay.
    MaskAlphanum,
    /// The first four characters stay, the others become `*`.
    #[serde(rename = "show-first-4")]
    ShowFirst4,
    /// The last four characters stay, the others become `*`.
    #[serde(rename = "show-last-4")]
    ShowLast4,
    /// Null.
    ReplaceWithNull,
    /// One value for all, nulls included.
    MaskToFixedValue,
    /// The first instant of the year.
    TruncateToYear,
    /// The first instant of the month.
    TruncateToMonth,
    /// SHA-256 as hexadecimal text, the same everywhere. Weak for values that can be guessed.
    #[serde(rename = "sha-256-global")]
    Sha256Global,
    /// SHA-256 salted anew in each query.
    #[serde(rename = "sha-256-query-local")]
    Sha256QueryLocal,
}
