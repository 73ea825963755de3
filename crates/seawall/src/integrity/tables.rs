//! The tables of a data folder: their logs and files, and what catalog and event log say about them.

use std::collections::BTreeMap;

use seawall_base::error::Result;
use seawall_base::{Checked, Damage, Finding, Partition, Severity, TableName, TableStore};
use seawall_catalog::integrity::Records;
use seawall_lake::table::{DeltaStore, ExpectedFile, TableSurvey};
use seawall_pipeline::integrity::{TableFacts, Tally, VersionRows, check_ledger};

use super::{Pace, Report};

const QUARANTINE: &str = "__quarantine";
const TRAINING_SET: &str = "__training_set";

/// A table as it was found.
#[derive(Debug, Default)]
pub struct Table {
    /// What its own log tells.
    pub survey: TableSurvey,
    /// The same in the words of the pipeline.
    pub facts: TableFacts,
    /// Whether log and files are whole.
    pub is_whole: bool,
}

/// Checks the log and the files of every table that is there or on record.
pub async fn check(
    store: Option<&DeltaStore>,
    records: Option<&Records>,
    report: &mut Report,
    pace: &Pace,
) -> Result<BTreeMap<String, Table>> {
    let mut names: Vec<TableName> = match store {
        Some(store) => store.tables().await?,
        None => Vec::new(),
    };
    for recorded in records.iter().flat_map(|records| records.versions.keys()) {
        names.extend(TableName::new(recorded.as_str()).ok());
    }
    names.sort();
    names.dedup();
    let mut tables = BTreeMap::new();
    for name in names {
        let mut checked = Checked::default();
        let survey = match store {
            Some(store) => check_one(store, &name, &mut checked, pace).await?,
            None => TableSurvey::default(),
        };
        let facts = facts(&survey);
        if let Some(recorded) = records.and_then(|records| records.versions.get(name.as_str())) {
            checked.findings.extend(check_ledger(&name, &facts, recorded));
        }
        let parts = format!("{} versions, {} files", survey.versions.len(), survey.files.len());
        let is_whole = checked.is_whole();
        report.take(format!("table {name}"), parts, checked);
        tables.insert(name.to_string(), Table { survey, facts, is_whole });
    }
    Ok(tables)
}

async fn check_one(store: &DeltaStore, name: &TableName, checked: &mut Checked, pace: &Pace) -> Result<TableSurvey> {
    let shown = format!("table {name}");
    let survey = store.survey(name).await?;
    pace.read(&shown, survey.checked.bytes).await;
    checked.add(survey.checked.clone());
    for file in survey.files.values() {
        let unit = format!("data {name}/{}", file.path);
        if pace.is_past(&unit) {
            continue;
        }
        let one = store.check_file(name, file).await;
        pace.read(&shown, one.bytes).await;
        checked.add(one);
        pace.finished(&unit);
    }
    Ok(survey)
}

fn facts(survey: &TableSurvey) -> TableFacts {
    let versions = survey.versions.iter().map(|(version, facts)| {
        let shown = VersionRows { rows: facts.rows, cut: facts.cut.clone(), operation: facts.operation.clone() };
        (*version, shown)
    });
    TableFacts { newest: survey.newest, versions: versions.collect() }
}

/// The dataset whose log entries fill a table, and whether it holds the quarantined ones. Training sets come from none.
pub fn dataset_of(table: &str) -> Option<(&str, bool)> {
    match table.strip_suffix(QUARANTINE) {
        Some(dataset) => Some((dataset, true)),
        None if table.ends_with(TRAINING_SET) => None,
        None => Some((table, false)),
    }
}

/// Tells the walk over the log what it will be asked.
pub fn announce(tally: &mut Tally, records: Option<&Records>, tables: &BTreeMap<String, Table>) {
    let mut datasets: BTreeMap<&str, Vec<&TableFacts>> = BTreeMap::new();
    for (name, table) in tables {
        if let Some((dataset, _)) = dataset_of(name) {
            datasets.entry(dataset).or_default().push(&table.facts);
        }
    }
    for (dataset, facts) in datasets {
        tally.expect_versions(dataset, &facts);
    }
    for ((dataset, partition), position) in records.iter().flat_map(|records| &records.positions) {
        if *partition == Partition::LIVE {
            tally.expect_counts(dataset, *position);
        }
    }
}

/// Compares tables and counts with the walked log; staged files that no version shows yet must lie there.
pub async fn compare(
    tally: &Tally,
    store: Option<&DeltaStore>,
    records: Option<&Records>,
    tables: &BTreeMap<String, Table>,
    report: &mut Report,
) {
    let mut checked = Checked::default();
    for (name, table) in tables {
        let (Some((dataset, is_quarantine)), Ok(named)) = (dataset_of(name), TableName::new(name.as_str())) else {
            continue;
        };
        checked.findings.extend(tally.check_table(&named, dataset, is_quarantine, &table.facts));
        let newest = table.facts.versions.last_key_value();
        if let (Some(store), Some((_, newest)), false) = (store, newest, is_quarantine) {
            for staged in tally.staged_ahead(dataset, &newest.cut) {
                checked.add(store.check_file(&named, &ExpectedFile::staged(&staged)).await);
            }
        }
    }
    for (dataset, counts) in records.iter().flat_map(|records| &records.counts) {
        checked.findings.extend(tally.check_counts(dataset, counts));
    }
    if !tally.is_complete() {
        report.not_checked.push("counts against the log: its oldest entries were retired".to_owned());
    }
    // Several tables notice one log that was cut off.
    checked.findings.dedup_by(|one, other| one.object == "log" && other.object == "log");
    report.take("accounting", format!("{} tables against the log", tables.len()), checked);
}

/// A finding about a table whose rows could not be read.
pub fn unreadable(table: &str, what: String) -> Finding {
    let means = "what is made of its rows was not checked";
    Finding::new(format!("table {table}"), Damage::Unreadable, Severity::Critical, what, means)
}
