//! What the log says a table must show, against a list of rows kept by hand.

use std::collections::BTreeMap;

use proptest::prelude::*;
use seawall_base::{Cut, Instant, LogEntry, Offset, Partition, Severity, TableName, TableVersion};
use seawall_catalog::{Counts, TableVersionRecord};

use super::*;
use crate::frame::{Frame, Header, Restore, Restored};

/// One entry of a made-up log.
#[derive(Debug, Clone)]
enum Step {
    Rows { dataset: usize, accepted: u32, quarantined: u32 },
    Withdraw { dataset: usize, share: u8 },
    Commit { dataset: usize },
}

const DATASETS: [&str; 2] = ["a", "b"];

fn step() -> impl Strategy<Value = Step> {
    let dataset = 0..DATASETS.len();
    prop_oneof![
        6 => (dataset.clone(), 0..5u32, 0..3u32)
            .prop_map(|(dataset, accepted, quarantined)| Step::Rows { dataset, accepted, quarantined }),
        1 => (dataset.clone(), any::<u8>()).prop_map(|(dataset, share)| Step::Withdraw { dataset, share }),
        3 => dataset.prop_map(|dataset| Step::Commit { dataset }),
    ]
}

fn header(dataset: &str, counts: Counts) -> Header {
    Header {
        dataset: dataset.into(),
        source: "test".into(),
        permit: "p".into(),
        counts,
        rules: Vec::new(),
        position: None,
        files: Vec::new(),
        load: None,
        halt: None,
        restore: None,
        departure: None,
        arrival: None,
        answer: None,
        derived: None,
        erased: None,
    }
}

/// A log, and the tables that a careful writer makes of it.
#[derive(Default)]
struct World {
    entries: Vec<LogEntry>,
    end: u64,
    rows: BTreeMap<usize, Vec<u64>>,
    quarantined: BTreeMap<usize, u64>,
    versions: BTreeMap<usize, TableFacts>,
    quarantine_versions: BTreeMap<usize, TableFacts>,
    counts: BTreeMap<usize, Counts>,
}

impl World {
    fn push(&mut self, header: Header, rows: u32) {
        let payload = Frame { header, accepted: None, quarantined: None }.encode().unwrap();
        self.entries.push(LogEntry { first: Offset(self.end), rows, payload });
        self.end += u64::from(rows);
    }

    fn play(&mut self, step: &Step) {
        match *step {
            Step::Rows { dataset, accepted, quarantined } => {
                let (accepted_rows, quarantined_rows) = (u64::from(accepted), u64::from(quarantined));
                let counts = Counts {
                    received: accepted_rows + quarantined_rows,
                    accepted: accepted_rows,
                    quarantined: quarantined_rows,
                    ..Counts::default()
                };
                self.rows.entry(dataset).or_default().extend(self.end..self.end + accepted_rows);
                *self.quarantined.entry(dataset).or_default() += quarantined_rows;
                let sum = self.counts.entry(dataset).or_default();
                *sum = sum.checked_add(&counts).unwrap();
                self.push(header(DATASETS[dataset], counts), accepted + quarantined);
            }
            Step::Withdraw { dataset, share } => {
                let kept_end = self.end * u64::from(share) / 255;
                let table = Restored { kept_end, version_before: TableVersion(0) };
                let tables = BTreeMap::from([(DATASETS[dataset].to_owned(), table)]);
                let restore = Restore { at: Instant(0), reason: "test".into(), tables };
                self.rows.entry(dataset).or_default().retain(|offset| *offset < kept_end);
                self.push(Header { restore: Some(restore), ..header("_restores", Counts::default()) }, 1);
                self.commit(dataset);
            }
            Step::Commit { dataset } => self.commit(dataset),
        }
    }

    fn commit(&mut self, dataset: usize) {
        let cut = Cut::of(Partition::LIVE, Offset(self.end));
        let shown = |rows| VersionRows { rows: Some(rows), cut: cut.clone(), operation: "WRITE".into() };
        let rows = self.rows.entry(dataset).or_default().len() as u64;
        let quarantined = *self.quarantined.entry(dataset).or_default();
        for (versions, rows) in [(&mut self.versions, rows), (&mut self.quarantine_versions, quarantined)] {
            let facts = versions.entry(dataset).or_insert_with(|| {
                let empty = VersionRows { rows: Some(0), cut: Cut::empty(), operation: "CREATE TABLE".into() };
                TableFacts { newest: Some(0), versions: BTreeMap::from([(0, empty)]) }
            });
            if facts.versions.last_key_value().is_some_and(|(_, newest)| newest.cut == cut) {
                continue;
            }
            let version = facts.newest.map_or(0, |newest| newest + 1);
            facts.newest = Some(version);
            facts.versions.insert(version, shown(rows));
        }
    }

    fn tally_from(&self, first: usize) -> Tally {
        let mut tally = Tally::default();
        for (dataset, name) in DATASETS.iter().enumerate() {
            let facts: Vec<&TableFacts> =
                [self.versions.get(&dataset), self.quarantine_versions.get(&dataset)].into_iter().flatten().collect();
            tally.expect_versions(name, &facts);
            tally.expect_counts(name, self.entries.len() as u64);
        }
        for (ordinal, entry) in self.entries.iter().enumerate().skip(first) {
            tally.take(ordinal as u64, entry);
        }
        tally.finish();
        tally
    }

    fn findings(&self, tally: &Tally) -> Vec<seawall_base::Finding> {
        let mut found = tally.findings();
        for (dataset, name) in DATASETS.iter().enumerate() {
            let (table, quarantine) = (TableName::dataset(name).unwrap(), TableName::quarantine(name).unwrap());
            if let (Some(rows), Some(stopped)) = (self.versions.get(&dataset), self.quarantine_versions.get(&dataset)) {
                found.extend(tally.check_table(&table, name, false, rows));
                found.extend(tally.check_table(&quarantine, name, true, stopped));
            }
            if let Some(counts) = self.counts.get(&dataset) {
                found.extend(tally.check_counts(name, counts));
            }
        }
        found
    }
}

proptest! {
    /// Right tables have no findings, however much of the log is left, and wrong ones do.
    #[test]
    fn the_log_says_what_tables_must_show(steps in prop::collection::vec(step(), 1..60), trimmed in 0..20usize) {
        let mut world = World::default();
        steps.iter().for_each(|step| world.play(step));
        world.play(&Step::Rows { dataset: 0, accepted: 2, quarantined: 1 });
        world.commit(0);
        prop_assert_eq!(world.findings(&world.tally_from(0)), Vec::new());

        // A restore that reaches behind the log's first entry cannot be judged; there is none behind the last rows.
        let first = trimmed.min(world.entries.len() - 1);
        let restores = steps.iter().any(|step| matches!(step, Step::Withdraw { .. }));
        if !restores {
            prop_assert_eq!(world.findings(&world.tally_from(first)), Vec::new());
        }

        let facts = world.versions.get_mut(&0).unwrap();
        let newest = facts.newest.unwrap();
        let shown = facts.versions.get_mut(&newest).unwrap();
        shown.rows = shown.rows.map(|rows| rows + 1);
        let found = world.findings(&world.tally_from(0));
        prop_assert_eq!(found.len(), 1);
        prop_assert_eq!(found[0].severity, Severity::Critical);
    }
}

#[test]
fn a_log_that_lost_its_end_is_found() {
    let mut world = World::default();
    world.play(&Step::Rows { dataset: 0, accepted: 3, quarantined: 0 });
    world.play(&Step::Rows { dataset: 0, accepted: 3, quarantined: 0 });
    world.commit(0);
    world.entries.pop();
    let mut tally = Tally::default();
    tally.expect_versions("a", &[&world.versions[&0]]);
    tally.expect_counts("a", 2);
    tally.take(0, &world.entries[0]);
    tally.finish();
    let found = world.findings(&tally);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found.iter().all(|finding| finding.object == "log"), "{found:?}");
}

#[test]
fn versions_that_differ_from_their_record_are_found() {
    let table = TableName::dataset("a").unwrap();
    let record = |version, rows, end| TableVersionRecord {
        table: "a".into(),
        version: TableVersion(version),
        committed_at: Instant(0),
        rows,
        cut: Cut::of(Partition::LIVE, Offset(end)),
        detail: serde_json::Value::Null,
        permit: "p".into(),
    };
    let shown = |rows, end| VersionRows {
        rows: Some(rows),
        cut: Cut::of(Partition::LIVE, Offset(end)),
        operation: "WRITE".into(),
    };
    let facts = TableFacts { newest: Some(2), versions: BTreeMap::from([(1, shown(5, 5)), (2, shown(9, 9))]) };
    let recorded = |records: &[TableVersionRecord]| -> BTreeMap<u64, TableVersionRecord> {
        records.iter().map(|record| (record.version.0, record.clone())).collect()
    };
    let check = |records: &[TableVersionRecord]| check_ledger(&table, &facts, &recorded(records));
    assert!(check(&[record(1, 5, 5), record(2, 9, 9)]).is_empty());
    assert_eq!(check(&[record(1, 4, 5), record(2, 9, 8)]).len(), 1);
    let gone = check(&[record(2, 9, 9), record(3, 10, 10), record(4, 11, 11)]);
    assert!(gone[0].what.contains("versions 3 to 4"), "{gone:?}");
}
