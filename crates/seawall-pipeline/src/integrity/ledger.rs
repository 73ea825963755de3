//! Table versions against what the catalog has on record of them.

use std::collections::BTreeMap;

use seawall_base::{Cut, Damage, Finding, Severity, TableName};
use seawall_catalog::TableVersionRecord;

/// What a table's own log tells of its versions.
#[derive(Debug, Clone, Default)]
pub struct TableFacts {
    /// The newest version whose commit is there.
    pub newest: Option<u64>,
    /// What each version shows that can be told.
    pub versions: BTreeMap<u64, VersionRows>,
}

/// What a version shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRows {
    /// Rows, when they are known.
    pub rows: Option<u64>,
    /// Its cut.
    pub cut: Cut,
    /// Delta's word for what made it; empty when only a checkpoint tells of the version.
    pub operation: String,
}

/// Compares the versions of a table with their records: one finding per table for versions that are gone, one for those
/// that differ.
pub fn check_ledger(
    table: &TableName,
    facts: &TableFacts,
    recorded: &BTreeMap<u64, TableVersionRecord>,
) -> Vec<Finding> {
    let object = format!("table {table}");
    let mut findings = Vec::new();
    let gone: Vec<u64> =
        recorded.keys().copied().filter(|version| facts.newest.is_none_or(|newest| *version > newest)).collect();
    if let (Some(first), Some(last)) = (gone.first(), gone.last()) {
        let newest = facts.newest.map_or("is gone".to_owned(), |newest| format!("ends with version {newest}"));
        let what = format!("the table {newest}, versions {first} to {last} are on record");
        let means = "commits were lost: their rows are not shown, and the next writer would contradict the record";
        findings.push(Finding::new(&object, Damage::Missing, Severity::Critical, what, means));
    }
    let differing: Vec<String> = recorded.values().filter_map(|record| difference(facts, record)).collect();
    if let Some(first) = differing.first() {
        let more = if differing.len() > 1 { format!(", and {} more", differing.len() - 1) } else { String::new() };
        let means = "the table's log or the catalog was changed behind Seawall's back";
        let what = format!("{first}{more}");
        findings.push(Finding::new(&object, Damage::Disagrees, Severity::Critical, what, means));
    }
    findings
}

fn difference(facts: &TableFacts, record: &TableVersionRecord) -> Option<String> {
    let shown = facts.versions.get(&record.version.0)?;
    let same_rows = shown.rows.is_none_or(|rows| rows == record.rows);
    if same_rows && shown.cut == record.cut {
        return None;
    }
    let rows = shown.rows.map_or("unknown".to_owned(), |rows| rows.to_string());
    Some(format!(
        "version {} shows {rows} rows at cut {}, on record are {} rows at cut {}",
        record.version.0, shown.cut, record.rows, record.cut
    ))
}
