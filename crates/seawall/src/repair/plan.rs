//! Which steps mend what was found.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use seawall_base::error::Result;
use seawall_base::{Cut, Damage, Finding, TableName};
use seawall_lake::table::{DeltaStore, ExpectedFile, LostCommit, Origin};

use super::{Impossible, Plan, Step, Work};
use crate::integrity::{Known, Places, Report, Table, dataset_of};

/// The remedy where nothing but a copy helps.
const FROM_BACKUP: &str = "put it back from a backup of the data folder";

/// Files of tables that were found damaged, sorted by what they are.
#[derive(Default)]
struct Damaged {
    commits: BTreeMap<String, BTreeSet<u64>>,
    checkpoints: BTreeMap<String, BTreeSet<u64>>,
    files: BTreeMap<String, BTreeSet<String>>,
}

/// What mends the findings of `report`, and for which there is nothing.
pub async fn plan(places: &Places, report: &Report, known: &Known) -> Result<Plan> {
    let mut plan = Plan::default();
    let mut damaged = Damaged::default();
    for finding in &report.findings {
        if finding.object == "online store" {
            continue;
        }
        if !damaged.sort(places, finding) && !is_told_by_record(finding, known) {
            plan.impossible.push(impossible(finding));
        }
    }
    add_lost_tails(known, &mut damaged);
    if let Some(store) = places.store()? {
        for (table, versions) in &damaged.commits {
            plan_commits(places, known, table, versions, &mut plan)?;
        }
        for (table, files) in &damaged.files {
            plan_files(places, &store, known, table, files, &mut plan).await?;
        }
    }
    for (table, versions) in &damaged.checkpoints {
        plan.steps.push(checkpoints(places, table, versions)?);
    }
    if report.findings.iter().any(|finding| finding.object == "online store") {
        plan.steps.push(Step {
            object: "online store".to_owned(),
            what: "set the checkpoint aside; the next start folds the features from tables and log".to_owned(),
            sets_aside: vec![places.online.clone()],
            work: Work::Features,
        });
    }
    Ok(plan)
}

impl Damaged {
    /// Takes a finding about a file of a table; false for others.
    fn sort(&mut self, places: &Places, finding: &Finding) -> bool {
        let Some(relative) = finding.file.as_ref().and_then(|file| file.strip_prefix(&places.tables).ok()) else {
            return false;
        };
        let Some((table, inside)) = relative.to_str().and_then(|path| path.split_once('/')) else { return false };
        let Some(name) = inside.strip_prefix("_delta_log/") else {
            // Bytes that contradict a commit without being damaged themselves are not mended by writing them again.
            let is_file_itself = finding.damage != Damage::Disagrees;
            if is_file_itself {
                self.files.entry(table.to_owned()).or_default().insert(inside.to_owned());
            }
            return is_file_itself;
        };
        let version = name.split_once('.').and_then(|(digits, _)| digits.parse().ok());
        match version {
            Some(version) if name.ends_with(".checkpoint.parquet") => {
                self.checkpoints.entry(table.to_owned()).or_default().insert(version)
            }
            Some(version) => self.commits.entry(table.to_owned()).or_default().insert(version),
            None => {
                self.checkpoints.entry(table.to_owned()).or_default();
                true
            }
        };
        true
    }
}

/// Whether the finding says that versions on record are gone, which [`add_lost_tails`] takes up.
fn is_told_by_record(finding: &Finding, known: &Known) -> bool {
    let table = finding.object.strip_prefix("table ").unwrap_or_default();
    finding.file.is_none() && finding.damage == Damage::Missing && !lost_tail(known, table).is_empty()
}

/// Versions of a table that are on record and behind its newest commit.
fn lost_tail(known: &Known, table: &str) -> Vec<u64> {
    let newest = known.tables.get(table).and_then(|table| table.facts.newest);
    let recorded = known.records.as_ref().and_then(|records| records.versions.get(table));
    let (Some(newest), Some(recorded)) = (newest, recorded) else { return Vec::new() };
    let Some(last) = recorded.keys().last() else { return Vec::new() };
    (newest + 1..=*last).collect()
}

fn add_lost_tails(known: &Known, damaged: &mut Damaged) {
    for table in known.tables.keys() {
        let lost = lost_tail(known, table);
        if !lost.is_empty() {
            damaged.commits.entry(table.clone()).or_default().extend(lost);
        }
    }
}

fn plan_commits(places: &Places, known: &Known, name: &str, versions: &BTreeSet<u64>, plan: &mut Plan) -> Result<()> {
    let table = TableName::new(name)?;
    let object = format!("table {name}");
    for version in versions {
        let what = format!("the commit of version {version} is lost or damaged");
        match lost_commit(known, name, *version) {
            Ok(lost) => {
                let path = places.tables.join(name).join("_delta_log").join(format!("{version:020}.json"));
                plan.steps.push(Step {
                    object: object.clone(),
                    what: format!("write the commit of version {version} again, from {} to {}", lost.from, lost.until),
                    sets_aside: existing(path),
                    work: Work::Commit { table: table.clone(), lost },
                });
            }
            Err(why) => plan.impossible.push(Impossible {
                object: object.clone(),
                what,
                why: why.to_owned(),
                remedy: FROM_BACKUP.to_owned(),
            }),
        }
    }
    Ok(())
}

/// What a lost commit was, as far as its neighbours and the catalog tell.
fn lost_commit(known: &Known, name: &str, version: u64) -> std::result::Result<LostCommit, &'static str> {
    let found = known.tables.get(name).ok_or("nothing else is known of the table")?;
    let recorded = known.records.as_ref().and_then(|records| records.versions.get(name));
    let record = |version: u64| recorded.and_then(|recorded| recorded.get(&version));
    if dataset_of(name).is_none() {
        return Err("a training set is not made of the log: build it again");
    }
    let before = version.checked_sub(1).ok_or("it made the table, and no other record has its schema")?;
    let from = cut_before(found, before).or_else(|| record(before).map(|record| record.cut.clone()));
    let until = record(version).map(|record| record.cut.clone()).or_else(|| cut_after(found, version));
    let (from, until) = from.zip(until).ok_or("neither the catalog nor its neighbours say which rows it committed")?;
    if from == until {
        return Err("it committed no rows of the log: it changed columns, or files without changing rows");
    }
    Ok(LostCommit { version, from, until, rows: record(version).map(|record| record.rows) })
}

fn cut_before(table: &Table, version: u64) -> Option<Cut> {
    let known = table.survey.versions.get(&version).map(|facts| facts.cut.clone());
    known.or_else(|| table.survey.appends.get(&version).map(|(_, until)| until.clone()))
}

fn cut_after(table: &Table, version: u64) -> Option<Cut> {
    table.survey.appends.get(&(version + 1)).map(|(from, _)| from.clone())
}

async fn plan_files(
    places: &Places,
    store: &DeltaStore,
    known: &Known,
    name: &str,
    paths: &BTreeSet<String>,
    plan: &mut Plan,
) -> Result<()> {
    let table = TableName::new(name)?;
    let object = format!("table {name}");
    let Some(found) = known.tables.get(name) else { return Ok(()) };
    for path in paths {
        let Some(file) = found.survey.files.get(path) else { continue };
        match origin_of(store, &table, found, file).await {
            Ok(origin) => plan.steps.push(Step {
                object: object.clone(),
                what: format!("write {path} again, from the rows of the log"),
                sets_aside: existing(places.tables.join(name).join(path)),
                work: Work::File { table: table.clone(), file: Box::new(file.clone()), origin },
            }),
            Err(why) => plan.impossible.push(Impossible {
                object: object.clone(),
                what: format!("the data file {path} is lost or damaged"),
                why: why.to_owned(),
                remedy: FROM_BACKUP.to_owned(),
            }),
        }
    }
    Ok(())
}

/// Where a file's rows can be taken from.
async fn origin_of(
    store: &DeltaStore,
    table: &TableName,
    found: &Table,
    file: &ExpectedFile,
) -> std::result::Result<Origin, &'static str> {
    if file.hash.is_none() {
        return Err("another program wrote it, without a hash that would tell whether it is right again");
    }
    let hidden_by = found.facts.versions.get(&(file.shown.1 + 1)).map(|version| version.operation.as_str());
    if !file.is_current && hidden_by == Some("DELETE") {
        return Err("its rows were erased on purpose");
    }
    if dataset_of(table.as_str()).is_none() {
        return Err("a training set is not made of the log: build it again");
    }
    match store.origin(table, file).await {
        Ok(Some(origin @ Origin::Log { .. })) => Ok(origin),
        Ok(Some(Origin::Load)) => Err("it was loaded in bulk: its rows never were in the log"),
        Ok(Some(Origin::Derived)) => Err("it was made of other files, and not of rows of the log"),
        Ok(None) | Err(_) => Err("the commit that added it cannot be read"),
    }
}

fn checkpoints(places: &Places, name: &str, versions: &BTreeSet<u64>) -> Result<Step> {
    let log = places.tables.join(name).join("_delta_log");
    let mut sets_aside: Vec<PathBuf> = Vec::new();
    for version in versions {
        sets_aside.extend(existing(log.join(format!("{version:020}.checkpoint.parquet"))));
    }
    sets_aside.extend(existing(log.join("_last_checkpoint")));
    Ok(Step {
        object: format!("table {name}"),
        what: "write a new checkpoint from the commits".to_owned(),
        sets_aside,
        work: Work::Checkpoints { table: TableName::new(name)?, versions: versions.iter().copied().collect() },
    })
}

fn existing(path: PathBuf) -> Vec<PathBuf> {
    if Path::exists(&path) { vec![path] } else { Vec::new() }
}

fn impossible(finding: &Finding) -> Impossible {
    let why = match finding.object.split(' ').next() {
        Some("log") => "the log is the first place of every row: nothing else can give it back",
        Some("catalog") => "the catalog is the only record of declarations, versions and decisions",
        Some("model") => "a model is kept once; `seawall model reproduce` trains it again and compares",
        Some("state") => "the next start goes on from the checkpoint before, or from the log, and writes a new one",
        Some("counts") => "it is not known which of the two records is right",
        _ => "it contradicts another record, and no third one tells which is right",
    };
    Impossible {
        object: finding.object.clone(),
        what: finding.what.clone(),
        why: why.to_owned(),
        remedy: FROM_BACKUP.to_owned(),
    }
}
