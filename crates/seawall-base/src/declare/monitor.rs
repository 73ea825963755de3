//! `kind: monitor` and `kind: correction`: what is watched closer than by default, and what is mended until upstream is.

use serde::{Deserialize, Serialize};

use crate::time::{Instant, Span};

/// How a dataset is watched. Every dataset is watched without one, with the defaults of [`Monitor::of`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Monitor {
    /// Name.
    pub name: String,
    /// The dataset.
    pub dataset: String,
    /// Longest time without an arrival; not watched when absent.
    pub freshness: Option<Span>,
    /// Share of quarantined rows for one rule within `window` that opens an incident.
    pub quarantine_share: f64,
    /// Length of the window that is compared with the baseline.
    pub window: Span,
    /// Columns by whose values numbers are watched apart, such as a category: those with few values when empty.
    pub by: Vec<String>,
    /// Who is told: a team or a person.
    pub owner: Option<String>,
}

impl Monitor {
    /// The defaults for `dataset`.
    pub fn of(dataset: &str) -> Monitor {
        Monitor {
            name: dataset.to_owned(),
            dataset: dataset.to_owned(),
            freshness: None,
            quarantine_share: 0.05,
            window: Span(6 * Span::HOUR.0),
            by: Vec::new(),
            owner: None,
        }
    }
}

/// Mends values of a source until upstream does: a versioned, visible step after the source's map.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Correction {
    /// Name.
    pub name: String,
    /// The source whose rows are mended.
    pub source: String,
    /// Column of the contract that is mended.
    pub column: String,
    /// What its value is divided by.
    pub divide_by: f64,
    /// Column and value that a row must have to be mended; every row when absent.
    pub only: Option<(String, String)>,
    /// Event time from which rows are mended; every row when absent.
    pub from: Option<Instant>,
    /// Why, for people: the incident.
    pub reason: String,
}

/// A named query. It is planned anew for each caller, with the caller's rights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Name in SQL.
    pub name: String,
    /// One select.
    pub sql: String,
}
