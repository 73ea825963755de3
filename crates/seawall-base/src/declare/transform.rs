//! `kind: transform`: SQL that makes one dataset of others.

use serde::{Deserialize, Serialize};

use crate::hash::Hash;

/// A derived dataset's SQL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transform {
    /// Name.
    pub name: String,
    /// One select over datasets.
    pub sql: String,
    /// The dataset that it makes.
    pub to: String,
    /// When a row could first be known: a column or SQL expression over the row. Absent for SQL that is row-wise, which
    /// hands on the availability of its input, and where nobody needs to know.
    pub available_at: Option<String>,
    /// Whether `available_at` may lie before the row was made.
    pub history: bool,
}

impl Transform {
    /// Hash of what decides on the rows that it makes.
    pub fn definition_hash(&self) -> Hash {
        Hash::of_json(self)
    }

    /// The name under which its rows enter, in frames and quarantines: no source can have it.
    pub fn source_name(&self) -> String {
        format!("transform:{}", self.name)
    }
}
