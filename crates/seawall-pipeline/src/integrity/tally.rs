//! One walk over the log that says what tables and counts must be.
//!
//! A commit of a dataset's table moves its cut and adds the rows of the log in between, and those of the loads whose
//! partitions it moves; a restore among them withdraws rows. So between two versions of a table the log says by how many
//! rows they differ, whether or not the log still begins at its beginning. Versions that move no cut keep the rows
//! (compaction, changed columns) or change them on purpose (erasure), which the log does not tell.

use std::collections::BTreeMap;

use seawall_base::{Cut, Damage, Finding, LogEntry, Offset, Partition, Severity, StagedFile, TableName};
use seawall_catalog::Counts;

use super::ledger::{TableFacts, VersionRows};
use crate::frame::Frame;

/// Findings about frames that are listed; further ones are counted.
const FRAMES_LISTED_MAX: usize = 10;
/// Operations that keep a table's rows as they are when they move no cut.
const KEEPING: [&str; 5] = ["OPTIMIZE", "CHANGE COLUMN", "CREATE TABLE", "SET TBLPROPERTIES", "VACUUM"];

/// What the log says, as far as it was walked.
#[derive(Debug, Default)]
pub struct Tally {
    datasets: BTreeMap<String, Dataset>,
    loads: BTreeMap<Partition, Loaded>,
    first: Option<(u64, Offset)>,
    entries: u64,
    end: Offset,
    findings: Vec<Finding>,
    unreadable: u64,
}

/// What the log says of one dataset.
#[derive(Debug, Default)]
struct Dataset {
    /// Offsets of accepted rows that no restore has withdrawn, merged and ascending.
    accepted: Vec<(u64, u64)>,
    accepted_rows: u64,
    quarantined_rows: u64,
    /// Cuts of its tables at which the sums are wanted, ascending, and the sums taken so far.
    marks: Vec<Mark>,
    marked: usize,
    /// The sum of counts of the entries below the catalog's position.
    counts: Counts,
    position: u64,
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    end: u64,
    accepted: u64,
    quarantined: u64,
}

/// A bulk load that the log has made visible.
#[derive(Debug)]
struct Loaded {
    dataset: String,
    end: Offset,
    staged: Vec<StagedFile>,
    staged_rows: u64,
}

impl Tally {
    /// Announces the versions of a dataset's tables, whose cuts are where sums are wanted. Before the walk.
    pub fn expect_versions(&mut self, dataset: &str, tables: &[&TableFacts]) {
        let mut ends: Vec<u64> = tables
            .iter()
            .flat_map(|facts| facts.versions.values())
            .map(|version| version.cut.end(Partition::LIVE).0)
            .collect();
        ends.sort_unstable();
        ends.dedup();
        let dataset = self.datasets.entry(dataset.to_owned()).or_default();
        dataset.marks = ends.into_iter().map(|end| Mark { end, accepted: 0, quarantined: 0 }).collect();
    }

    /// Announces how many entries the catalog's counts of a dataset cover. Before the walk.
    pub fn expect_counts(&mut self, dataset: &str, position: u64) {
        self.datasets.entry(dataset.to_owned()).or_default().position = position;
    }

    /// Takes the next entry of the log.
    pub fn take(&mut self, ordinal: u64, entry: &LogEntry) {
        self.first.get_or_insert((ordinal, entry.first));
        for dataset in self.datasets.values_mut() {
            dataset.mark_until(entry.first.0);
        }
        self.entries = ordinal + 1;
        self.end = entry.end();
        if let Err(error) = self.count(ordinal, entry) {
            self.unreadable += 1;
            if self.findings.len() < FRAMES_LISTED_MAX {
                let means = "the entry's checksum holds, but Seawall does not understand it: writers stop there";
                let what = format!("entry {ordinal}: {error}");
                self.findings.push(Finding::new("log", Damage::Unreadable, Severity::Critical, what, means));
            }
        }
    }

    fn count(&mut self, ordinal: u64, entry: &LogEntry) -> seawall_base::Result<()> {
        let header = Frame::decode_header(&entry.payload)?;
        let dataset = self.datasets.entry(header.dataset.clone()).or_default();
        if ordinal < dataset.position
            && let Some(sum) = dataset.counts.checked_add(&header.counts)
        {
            dataset.counts = sum;
        }
        if let Some(load) = header.load {
            let (end, staged_rows) = (load.end, load.staged_rows);
            let loaded = Loaded { dataset: header.dataset, end, staged: load.staged, staged_rows };
            self.loads.insert(load.partition, loaded);
            return Ok(());
        }
        let quarantined = header.counts.quarantined.min(u64::from(entry.rows));
        let accepted = u64::from(entry.rows) - quarantined;
        dataset.accept(entry.first.0, entry.first.0 + accepted);
        dataset.quarantined_rows += quarantined;
        for (withdrawn, table) in header.restore.iter().flat_map(|restore| &restore.tables) {
            self.datasets.entry(withdrawn.clone()).or_default().withdraw(table.kept_end);
        }
        Ok(())
    }

    /// Ends the walk: sums at cuts that lie at the log's end are taken.
    pub fn finish(&mut self) {
        let end = self.end.0;
        for dataset in self.datasets.values_mut() {
            dataset.mark_until(end);
        }
    }

    /// Findings of the walk itself.
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = self.findings.clone();
        if let Some(last) = findings.last_mut().filter(|_| self.unreadable > FRAMES_LISTED_MAX as u64) {
            last.what = format!("{}; {} entries like this in all", last.what, self.unreadable);
        }
        findings
    }

    /// Whether the log was walked from its first entry on.
    pub fn is_complete(&self) -> bool {
        self.first.is_none_or(|(ordinal, _)| ordinal == 0)
    }

    /// Files of loads into `dataset` that its table, being at `cut`, has not shown yet.
    pub fn staged_ahead(&self, dataset: &str, cut: &Cut) -> Vec<StagedFile> {
        let ahead =
            self.loads.iter().filter(|(partition, load)| load.dataset == dataset && cut.end(**partition) < load.end);
        ahead.flat_map(|(_, load)| load.staged.iter().cloned()).collect()
    }

    /// Compares the catalog's counts of a dataset with the log's. Nothing to compare once the log was trimmed.
    pub fn check_counts(&self, dataset: &str, recorded: &Counts) -> Option<Finding> {
        let known = self.datasets.get(dataset)?;
        let object = format!("counts of {dataset}");
        if self.entries < known.position {
            let what = format!("{} log entries are counted, the log has {}", known.position, self.entries);
            let means = "entries at the end of the log were lost: their rows may be in tables only";
            return Some(Finding::new("log", Damage::Missing, Severity::Critical, what, means));
        }
        if !self.is_complete() || known.counts == *recorded {
            return None;
        }
        let what = format!("the catalog counts {recorded:?}, the log's frames sum up to {:?}", known.counts);
        let means = "the accounting of what came in is wrong; no row is affected";
        Some(Finding::new(object, Damage::Disagrees, Severity::High, what, means))
    }

    /// Compares the versions of a dataset's table, or of its quarantine, with the log.
    pub fn check_table(
        &self,
        table: &TableName,
        dataset: &str,
        is_quarantine: bool,
        facts: &TableFacts,
    ) -> Vec<Finding> {
        let object = format!("table {table}");
        let mut findings = Vec::new();
        if let Some((version, last)) = facts.versions.last_key_value()
            && last.cut.end(Partition::LIVE) > self.end
        {
            let what = format!(
                "version {version} covers offset {}, the log ends at {}",
                last.cut.end(Partition::LIVE).0,
                self.end.0
            );
            let means =
                "acknowledged rows at the end of the log were lost, or the log of another installation lies here";
            findings.push(Finding::new("log", Damage::Missing, Severity::Critical, what, means));
            return findings;
        }
        let Some(known) = self.datasets.get(dataset) else { return findings };
        let mut before: Option<(&u64, &VersionRows)> = None;
        for (version, shown) in &facts.versions {
            let expected = self.expected(known, is_quarantine, version, shown, before);
            if let (Some(expected), Some(rows)) = (expected, shown.rows)
                && expected != i128::from(rows)
            {
                let what = format!("version {version} shows {rows} rows, by the log it must show {expected}");
                let means = "rows are missing from the table or are in it twice";
                findings.push(Finding::new(&object, Damage::Disagrees, Severity::Critical, what, means));
                return findings;
            }
            before = Some((version, shown));
        }
        findings
    }

    /// The rows that a version must show; none where the log cannot tell.
    fn expected(
        &self,
        known: &Dataset,
        is_quarantine: bool,
        version: &u64,
        shown: &VersionRows,
        before: Option<(&u64, &VersionRows)>,
    ) -> Option<i128> {
        let sum = |cut: &Cut| -> Option<i128> {
            let mark = known.mark(cut.end(Partition::LIVE).0, self.first.map_or(0, |(_, first)| first.0))?;
            let live = if is_quarantine { mark.quarantined } else { mark.accepted };
            Some(i128::from(live) + self.loaded(cut, is_quarantine)?)
        };
        let Some((_, before)) = before.filter(|(earlier, _)| **earlier + 1 == *version) else {
            return if self.is_complete() && *version == 0 { sum(&shown.cut) } else { None };
        };
        let rows = i128::from(before.rows?);
        if shown.cut == before.cut {
            let keeps = KEEPING.iter().any(|operation| shown.operation.starts_with(operation));
            return keeps.then_some(rows);
        }
        Some(rows + sum(&shown.cut)? - sum(&before.cut)?)
    }

    /// Rows of loads within a cut; none when the log does not know a load of it any more.
    fn loaded(&self, cut: &Cut, is_quarantine: bool) -> Option<i128> {
        let mut rows = 0;
        for (partition, _) in cut.iter().filter(|(partition, _)| *partition != Partition::LIVE) {
            match self.loads.get(&partition) {
                Some(load) if is_quarantine => rows += i128::from(load.end.0.saturating_sub(load.staged_rows)),
                Some(load) => rows += i128::from(load.staged_rows),
                // A load from before the log's first entry: it is in both cuts, and its rows cancel out.
                None if !self.is_complete() => {}
                None => return None,
            }
        }
        Some(rows)
    }
}

impl Dataset {
    fn accept(&mut self, from: u64, until: u64) {
        if from == until {
            return;
        }
        self.accepted_rows += until - from;
        match self.accepted.last_mut() {
            Some(last) if last.1 == from => last.1 = until,
            _ => self.accepted.push((from, until)),
        }
    }

    fn withdraw(&mut self, kept_end: u64) {
        while let Some((from, until)) = self.accepted.pop() {
            if until <= kept_end {
                self.accepted.push((from, until));
                return;
            }
            let kept = from.max(kept_end).min(until);
            self.accepted_rows -= until - kept;
            if kept > from {
                self.accepted.push((from, kept));
                return;
            }
        }
    }

    /// Takes the sums at every wanted cut up to `offset`.
    fn mark_until(&mut self, offset: u64) {
        while let Some(mark) = self.marks.get_mut(self.marked).filter(|mark| mark.end <= offset) {
            (mark.accepted, mark.quarantined) = (self.accepted_rows, self.quarantined_rows);
            self.marked += 1;
        }
    }

    fn mark(&self, end: u64, first: u64) -> Option<&Mark> {
        let at = self.marks[..self.marked].binary_search_by_key(&end, |mark| mark.end).ok()?;
        // Before the log's first entry there are no sums.
        self.marks.get(at).filter(|mark| mark.end >= first)
    }
}
