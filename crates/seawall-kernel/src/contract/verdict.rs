//! What the gate says about a batch: accepted rows, quarantined rows with every reason, warnings, rejection, halt.

use arrow::record_batch::RecordBatch;
use serde::{Deserialize, Serialize};

/// What happens when a rule is broken, from mild to severe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The row is kept, the breach is counted.
    Warn,
    /// The row goes to quarantine.
    Quarantine,
    /// The whole batch is refused and reported to the producer.
    Reject,
    /// The whole batch is refused and the dataset takes nothing in until somebody resumes it.
    Halt,
}

impl Mode {
    /// The word used in contracts and reasons.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Warn => "warn",
            Mode::Quarantine => "quarantine",
            Mode::Reject => "reject",
            Mode::Halt => "halt",
        }
    }

    /// Reads the word back; `None` for any other.
    pub fn parse(text: &str) -> Option<Mode> {
        [Mode::Warn, Mode::Quarantine, Mode::Reject, Mode::Halt].into_iter().find(|mode| mode.as_str() == text)
    }
}

/// Why a row, a line or a batch was stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The rule: `type`, `required`, `maximum`, ... or the id, name or metric of a quality rule.
    pub rule: String,
    /// Column, with a path into nested ones (`lines[].price`); none for rules about whole rows or batches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// What is wrong, for people. Shows the offending value unless the column is personal.
    pub message: String,
    /// What the rule does when broken.
    pub mode: Mode,
}

impl Reason {
    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self.rule.as_str() {
            "type" | "elementType" | "normalized" | "dimensions" => {
                "send the value in the type of the contract, or adapt it in the source's map"
            }
            "required" | "missing_column" => "send a value, or let the contract allow null with `required: false`",
            "enum" => "send one of the values, or add the new value to the enum in the next minor version",
            "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf" => {
                "correct the value at its producer; loosen the bound when the value is right"
            }
            "minLength" | "maxLength" | "pattern" | "format" => {
                "correct the value at its producer; change the rule when the value is right"
            }
            "minItems" | "maxItems" | "uniqueItems" | "unique_keys" | "minProperties" | "maxProperties" => {
                "correct the nested value at its producer"
            }
            "key_conflict" => "find out which of the two rows is right: a correction needs a changelog or a new key",
            "unique" => "remove the repetition at its producer, or drop `unique` from the contract",
            "not_finite" => "send null where there is no number",
            "precision" => "round the value at its producer: nothing is rounded silently here",
            "local_time_gap" => "send the timestamp with its offset: clocks skipped this local time",
            "timezone" => "send timestamps as `timezone` in the contract says, with or without an offset",
            "syntax" | "truncated" | "encoding" | "depth" | "duplicate_key" | "line_length" => {
                "repair how the producer writes JSON; the line is kept as it came"
            }
            "pattern_budget" => "write the pattern without nested repetition",
            "availability" => "let `available_at` have a value for every row",
            _ => "correct the row at its producer, or the rule in the contract; then release the row",
        }
    }
}

/// A row that may not enter the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Index of the row in the batch that was checked.
    pub row: u32,
    /// Every rule that the row breaks, those that only warn included; in the order of the contract.
    pub reasons: Vec<Reason>,
}

/// A breach that stopped nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// The rule, as in [`Reason::rule`].
    pub rule: String,
    /// Column, as in [`Reason::column`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// How many rows break the rule; the rows of the batch for a rule about the batch.
    pub rows: u64,
    /// What is wrong, with the first offending row as example.
    pub message: String,
}

/// What the gate says about a batch.
///
/// A batch that is rejected or halted has no accepted and no quarantined rows; otherwise every row is in exactly one
/// of [`accepted_rows`](Self::accepted_rows) and [`quarantined`](Self::quarantined).
#[derive(Debug, Clone)]
pub struct Verdict {
    /// The accepted rows in the contract's schema, without system columns.
    pub accepted: RecordBatch,
    /// For each accepted row its index in the batch that was checked, ascending.
    pub accepted_rows: Vec<u32>,
    /// The rows for quarantine, ascending.
    pub quarantined: Vec<Quarantined>,
    /// Breaches that stopped nothing, one per rule and column.
    pub warnings: Vec<Warning>,
    /// Why the whole batch is refused; also set when the batch halts the dataset.
    pub rejected: Option<Vec<Reason>>,
    /// Why the dataset must stop taking rows in.
    pub halt: Option<Reason>,
    /// Columns of the batch that the contract does not know; their values are not in `accepted`.
    pub unknown_columns: Vec<String>,
}
