//! The newest rows of a dataset, from which the first bad one is told.
//!
//! Most rows are never looked at, and all pass through here: accepted ones are kept by column, a frame at a time, and made
//! rows of when somebody asks.

use std::collections::VecDeque;

use seawall_base::{Instant, Offset, Partition, RowId};
use serde::{Deserialize, Serialize, Serializer};

use super::hours::RuleKey;
use super::written;

/// Rows kept to name the first bad one.
pub(super) const ROWS_MAX: usize = 65_536;

/// A row that may turn out to be the first bad one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct RecentRow {
    /// Its identity.
    pub id: RowId,
    /// When it arrived.
    pub arrival: Instant,
    /// The source that delivered it.
    pub source: String,
    /// Its slices.
    pub slices: Vec<String>,
    /// Its numbers, by column.
    #[serde(with = "written::named_bits")]
    pub numbers: Vec<(String, f64)>,
    /// Whether its event time lies ahead of its arrival.
    pub ahead: bool,
    /// Whether it was quarantined, and by which rules.
    pub broken: Vec<RuleKey>,
}

/// The accepted rows of a frame.
#[derive(Debug)]
pub(super) struct RecentRows {
    /// Offset of the first.
    pub first: Offset,
    /// The source that delivered them.
    pub source: String,
    /// When each arrived.
    pub arrivals: Vec<Instant>,
    /// The slices of each, a column per dimension.
    pub slices: Vec<Vec<Option<String>>>,
    /// Numbers by column.
    pub numbers: Vec<(String, Vec<Option<f64>>)>,
    /// Whether the event time lies ahead of the arrival.
    pub ahead: Vec<bool>,
}

impl RecentRows {
    fn row(&self, at: usize) -> RecentRow {
        let number = |(name, values): &(String, Vec<Option<f64>>)| values[at].map(|value| (name.clone(), value));
        RecentRow {
            id: RowId { partition: Partition::LIVE, offset: Offset(self.first.0 + at as u64) },
            arrival: self.arrivals[at],
            source: self.source.clone(),
            slices: self.slices.iter().filter_map(|values| values[at].clone()).collect(),
            numbers: self.numbers.iter().filter_map(number).collect(),
            ahead: self.ahead[at],
            broken: Vec::new(),
        }
    }
}

#[derive(Debug)]
enum Part {
    One(RecentRow),
    Many(RecentRows),
}

impl Part {
    fn rows(&self) -> usize {
        match self {
            Part::One(_) => 1,
            Part::Many(rows) => rows.arrivals.len(),
        }
    }

    fn row(&self, at: usize) -> RecentRow {
        match self {
            Part::One(row) => row.clone(),
            Part::Many(rows) => rows.row(at),
        }
    }
}

/// The newest [`ROWS_MAX`] rows. A checkpoint holds them as a list of [`RecentRow`].
#[derive(Debug, Default, Deserialize)]
#[serde(from = "Vec<RecentRow>")]
pub(super) struct Recent {
    parts: VecDeque<Part>,
    /// Rows of all parts; of the first, some may be too old.
    rows: usize,
}

impl Recent {
    /// Takes a row.
    pub fn push(&mut self, row: RecentRow) {
        self.push_part(Part::One(row));
    }

    /// Takes the rows of a frame.
    pub fn extend(&mut self, rows: RecentRows) {
        self.push_part(Part::Many(rows));
    }

    /// The rows, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = RecentRow> {
        let rows = self.parts.iter().flat_map(|part| (0..part.rows()).map(|at| part.row(at)));
        rows.skip(self.rows.saturating_sub(ROWS_MAX))
    }

    fn push_part(&mut self, part: Part) {
        self.rows += part.rows();
        self.parts.push_back(part);
        while let Some(first) = self.parts.front().map(Part::rows).filter(|first| self.rows - first >= ROWS_MAX) {
            self.parts.pop_front();
            self.rows -= first;
        }
    }
}

impl From<Vec<RecentRow>> for Recent {
    fn from(rows: Vec<RecentRow>) -> Recent {
        let mut recent = Recent::default();
        rows.into_iter().for_each(|row| recent.push(row));
        recent
    }
}

impl Serialize for Recent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl PartialEq for Recent {
    fn eq(&self, other: &Recent) -> bool {
        self.iter().eq(other.iter())
    }
}

#[cfg(test)]
mod tests;
