//! `kind: source`: where rows come from and how they are adapted to a contract.

use serde::{Deserialize, Serialize};

use crate::time::Span;

/// A source of rows for one dataset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// Name.
    pub name: String,
    /// How rows arrive.
    pub connector: Connector,
    /// The contract's id and major version, `payments@1`.
    pub contract: String,
    /// Which schema object of the contract: the dataset.
    pub dataset: String,
    /// SQL that adapts the source's shape to the contract's: `select ... from input`.
    pub map: Option<String>,
    /// Tables that the map may join.
    pub references: Vec<ReferenceFile>,
    /// When rows could first be known.
    pub available_at: Available,
    /// Whether this source loads the past: only then may `available_at` lie before the arrival.
    pub history: bool,
}

/// How rows arrive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Connector {
    /// Producers push to `POST /v1/datasets/{dataset}/events`.
    Http,
    /// Files, each read once, by content hash.
    Files(Files),
    /// The built-in simulator of card payments.
    Simulator(Simulator),
}

/// Files of one format.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Files {
    /// A file, or a folder with `*.ext` as its last part; relative to the project.
    pub path: String,
    /// The format.
    pub format: FileFormat,
    /// Texts that mean null in a CSV field, besides the empty field.
    pub null_values: Vec<String>,
}

/// Format of a file. CSV fields stay text until the map or the gate gives them a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileFormat {
    /// Comma-separated, with a header line.
    Csv,
    /// One JSON object per line.
    Ndjson,
    /// Apache Parquet.
    Parquet,
}

/// A file that a map joins as a table; its content hash is part of the lineage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReferenceFile {
    /// Name in SQL.
    pub name: String,
    /// Where it lies and how to read it.
    pub files: Files,
}

/// One stream of the simulator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Simulator {
    /// `payments` or `chargebacks`.
    pub stream: String,
    /// Seed: the same seed gives the same bytes.
    pub seed: u64,
    /// How long the simulated period is.
    pub length: Span,
    /// Mean payments per day.
    pub payments_per_day: u32,
    /// Names of faults to inject; empty for none.
    pub faults: Vec<String>,
}

/// When a row could first be known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Available {
    /// When it arrives.
    Arrival,
    /// At the instant that a column or SQL expression over the mapped row gives, but never before the arrival unless
    /// the source is `history: true`.
    At(String),
}
