//! Receipts: what a producer is told about a request, once its rows are durable.
//!
//! A receipt accounts for every row by count, and names the rows that were not simply accepted, up to
//! [`VERDICTS_MAX`] of them; what is left out is counted. Who asks for it is told about every row.

use seawall_base::Cut;
use seawall_catalog::Counts;
use seawall_kernel::contract::Reason;
use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// Verdicts that a receipt lists unless every one is asked for; also how many are kept for a repeat.
pub const VERDICTS_MAX: usize = 1_000;

/// Which verdicts a producer wants to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verdicts {
    /// Those of rows that were not simply accepted, up to [`VERDICTS_MAX`].
    #[default]
    Stopped,
    /// One for each row of the request.
    Every,
}

/// What became of a request, told to the producer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Receipt {
    /// The accounting.
    pub counts: Counts,
    /// Everything up to here is durable.
    pub cut: Cut,
    /// Verdicts: of the rows that were not simply accepted, or of every row when asked for.
    pub rows: Vec<RowVerdict>,
    /// Rows that were not simply accepted and that `rows` leaves out.
    #[serde(skip_serializing_if = "Omitted::is_none")]
    pub rows_omitted: Omitted,
    /// Warnings by rule.
    pub warnings: Vec<String>,
    /// Columns that the contract does not know; they were not kept.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unknown_columns: Vec<String>,
    /// Whether this was answered before, to an earlier request with the same idempotency key.
    #[serde(skip)]
    pub repeated: bool,
}

impl Receipt {
    /// Completes or shortens the list of verdicts, as the producer wants it, and counts what it leaves out.
    pub(crate) fn tell(&mut self, verdicts: Verdicts) {
        match verdicts {
            Verdicts::Stopped => self.rows.truncate(VERDICTS_MAX),
            Verdicts::Every if Omitted::of(&self.counts, &self.rows).is_none() => {
                add_accepted(&self.counts, &mut self.rows)
            }
            // A repeat knows no more than what was kept.
            Verdicts::Every => {}
        }
        self.rows_omitted = Omitted::of(&self.counts, &self.rows);
    }
}

/// What became of one row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowVerdict {
    /// Index of the row in the request, of its rows after the map for a source with one; absent for a line that a map
    /// never saw, because it could not be decoded, and for a request that was rejected as a whole.
    pub row: Option<u32>,
    /// What became of it.
    pub verdict: Outcome,
    /// Every reason.
    #[serde(default)]
    pub reasons: Vec<Reason>,
}

/// What may become of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is in the dataset.
    Accepted,
    /// It was stopped and kept.
    Quarantined,
    /// It was there already.
    Deduplicated,
    /// It was not kept.
    Rejected,
}

/// Rows whose verdicts are not listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Omitted {
    /// Quarantined rows.
    pub quarantined: u64,
    /// Deduplicated rows.
    pub deduplicated: u64,
}

impl Omitted {
    /// What `rows` leaves out of `counts`.
    pub fn of(counts: &Counts, rows: &[RowVerdict]) -> Omitted {
        let listed = |wanted: Outcome| rows.iter().filter(|row| row.verdict == wanted).count() as u64;
        Omitted {
            quarantined: counts.quarantined.saturating_sub(listed(Outcome::Quarantined)),
            deduplicated: counts.deduplicated.saturating_sub(listed(Outcome::Deduplicated)),
        }
    }

    /// Whether every row is listed.
    pub fn is_none(&self) -> bool {
        *self == Omitted::default()
    }
}

/// Adds a verdict for each accepted row to a complete list of the others, and orders it by row. Lines without an index
/// come last.
fn add_accepted(counts: &Counts, rows: &mut Vec<RowVerdict>) {
    if counts.rejected > 0 {
        return;
    }
    let unplaced = rows.iter().filter(|row| row.row.is_none()).count() as u64;
    let placed = counts.received.saturating_sub(unplaced) as usize;
    let mut is_listed = vec![false; placed];
    for row in rows.iter().filter_map(|row| row.row) {
        if let Some(listed) = is_listed.get_mut(row as usize) {
            *listed = true;
        }
    }
    let accepted = is_listed.iter().enumerate().filter(|(_, listed)| !**listed).map(|(row, _)| row as u32);
    rows.extend(accepted.map(|row| RowVerdict { row: Some(row), verdict: Outcome::Accepted, reasons: Vec::new() }));
    rows.sort_by_key(|row| (row.row.is_none(), row.row));
}
