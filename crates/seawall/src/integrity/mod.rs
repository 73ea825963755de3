//! Checks a whole data folder: catalog, tables, log, features, models, in the order in which each may only lag behind
//! the next.
//!
//! Nothing is opened for writing, so this works without a server, beside one, and on a folder that no server would open
//! any more. Every part is checked by the crate that knows its format; what they hold is compared by
//! `seawall_pipeline::integrity`. What could not be looked at is said.

mod features;
mod keys;
mod pace;
mod tables;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use seawall_base::error::Result;
use seawall_base::{Checked, Error, Finding, Hash, OsRng, SystemClock};
use seawall_catalog::integrity::Records;
use seawall_lake::table::DeltaStore;
use seawall_pipeline::integrity::{Gather, Gathered, Tally};
use seawall_pipeline::sealing::newest_key;
use seawall_storage::keys::KeyRing;
use seawall_storage::log;
use serde::Serialize;

use crate::assemble::KEYS;

/// The states whose checkpoints lie in `state/`.
pub const STATES: [&str; 2] = ["order", "monitor"];

pub use pace::Pace;
pub use tables::{Table, dataset_of};

/// What a check of a data folder found.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Every damage, the worst first.
    pub findings: Vec<Finding>,
    /// What was looked at.
    pub objects: Vec<Object>,
    /// What was not, and why.
    pub not_checked: Vec<String>,
    /// Bytes that were read.
    pub bytes: u64,
}

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Object {
    /// Its name.
    pub object: String,
    /// What it consists of, for people.
    pub parts: String,
    /// Bytes that were read of it.
    pub bytes: u64,
    /// Damages that were found in it.
    pub findings: usize,
}

/// What was read of a folder on the way: enough to plan its repair.
#[derive(Default)]
pub struct Known {
    /// The catalog's records, when it can be read.
    pub records: Option<Records>,
    /// Every table, by name.
    pub tables: BTreeMap<String, Table>,
    /// Whether every segment of the log is whole.
    pub log_is_whole: bool,
}

impl Report {
    /// Whether nothing was found.
    pub fn is_whole(&self) -> bool {
        self.findings.is_empty()
    }

    fn take(&mut self, object: impl Into<String>, parts: impl Into<String>, checked: Checked) {
        let (object, parts) = (object.into(), parts.into());
        self.bytes += checked.bytes;
        self.objects.push(Object { object, parts, bytes: checked.bytes, findings: checked.findings.len() });
        self.findings.extend(checked.findings);
    }
}

/// Where the parts of a data folder lie.
pub struct Places {
    /// The data folder.
    pub data: PathBuf,
    /// The catalog's folder.
    pub catalog: PathBuf,
    /// The tables' root.
    pub tables: PathBuf,
    /// The log's folder.
    pub log: PathBuf,
    /// The checkpoints of the online store.
    pub online: PathBuf,
    /// The models.
    pub models: PathBuf,
    /// The keys of sealed fields.
    pub keys: PathBuf,
}

impl Places {
    /// The tables, wherever they lie; none when there never were any.
    pub fn store(&self) -> Result<Option<DeltaStore>> {
        if !self.tables.is_dir() && !crate::tables::is_elsewhere(&self.data) {
            return Ok(None);
        }
        let home = crate::tables::home(&self.data, None)?;
        Ok(Some(DeltaStore::at(home, Arc::new(SystemClock))))
    }

    /// The keys of sealed fields, as they are now.
    pub fn key_ring(&self) -> Result<KeyRing> {
        KeyRing::look(&self.keys, Arc::new(OsRng))
    }

    /// The parts of `data`; `NotFound` when there is no such folder.
    pub fn of(data: &Path) -> Result<Places> {
        if !data.is_dir() {
            return Err(Error::not_found("SW1403", format!("there is no data folder {}", data.display()))
                .hint("name it with --data-dir, or name the project with -C"));
        }
        // Findings name files as the tables' store does, which knows no links and no relative paths.
        let data = data.canonicalize()?;
        let part = |name: &str| data.join(name);
        Ok(Places {
            data: data.clone(),
            catalog: part("catalog"),
            tables: part("tables"),
            log: part("log"),
            online: part("online"),
            models: part("models"),
            keys: part(KEYS),
        })
    }
}

/// Checks the data folder.
pub async fn check(places: &Places, pace: &Pace) -> Result<(Report, Known)> {
    let mut report = Report::default();
    let mut known = Known { records: check_catalog(places, &mut report, pace).await, ..Known::default() };
    let store = places.store()?;
    known.tables = tables::check(store.as_ref(), known.records.as_ref(), &mut report, pace).await?;
    let (checked, views) = blocking({
        let folder = places.online.clone();
        move || seawall_storage::online::check(&folder)
    })
    .await?;
    let mut wanted = features::wanted(known.records.as_ref(), &known.tables, &views, &mut report);
    let mut tally = Tally::default();
    tables::announce(&mut tally, known.records.as_ref(), &known.tables);
    let mut ring = keys::Ring::of(places);
    let gather = wanted.gather(ring.keys());
    let (tally, tails) = check_log(places, tally, gather, &mut ring, &mut report, pace).await?;
    ring.report(&mut report);
    match tally {
        Some(tally) => {
            known.log_is_whole = true;
            tables::compare(&tally, store.as_ref(), known.records.as_ref(), &known.tables, &mut report).await;
        }
        None => {
            let why = if pace.is_resumed() { "an earlier part of this check read it" } else { "the log is damaged" };
            report.not_checked.push(format!("tables and counts against the log: {why}"));
        }
    }
    let parts = format!("{} views", views.len());
    report.take("online store", parts, checked);
    wanted.check(store.as_ref(), tails, &mut report).await?;
    check_states(places, &mut report, pace).await?;
    check_models(places, known.records.as_ref(), &mut report, pace).await?;
    report.findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    Ok((report, known))
}

async fn check_catalog(places: &Places, report: &mut Report, pace: &Pace) -> Option<Records> {
    let (checked, records) =
        seawall_catalog::integrity::check(&places.catalog, Arc::new(SystemClock), Arc::new(OsRng)).await;
    pace.read("catalog", checked.bytes).await;
    let versions = records.as_ref().map_or(0, |records| records.versions.values().map(BTreeMap::len).sum());
    report.take("catalog", format!("pages, audit chain, {versions} recorded table versions"), checked);
    if records.is_none() && places.catalog.exists() {
        report.not_checked.push("tables, counts and models against the catalog: it cannot be read".to_owned());
    }
    records
}

/// Walks the log: what it says, unless it is damaged, and the rows that were to be gathered.
async fn check_log(
    places: &Places,
    mut tally: Tally,
    mut gather: Gather,
    ring: &mut keys::Ring,
    report: &mut Report,
    pace: &Pace,
) -> Result<(Option<Tally>, Vec<Gathered>)> {
    let folder = places.log.clone();
    let survey = Arc::new(blocking(move || log::Survey::of(&folder)).await?);
    let mut checked = survey.checked().clone();
    let mut has_skipped = false;
    for number in survey.segments().to_vec() {
        // Units of the log come after those of the tables.
        let unit = format!("log {number:020}");
        if pace.is_past(&unit) {
            has_skipped = true;
            continue;
        }
        let of = survey.clone();
        let walk = move || {
            let mut newest = None;
            let segment = of.check(number, &mut |ordinal, entry| {
                tally.take(ordinal, entry);
                gather.take(entry);
                newest = newest.max(newest_key(&entry.payload));
            });
            (segment, tally, gather, newest)
        };
        let (segment, walked, gathered, newest) = blocking(walk).await?;
        (tally, gather) = (walked, gathered);
        ring.used(newest);
        pace.read("log", segment.checked.bytes).await;
        checked.add(segment.checked);
        pace.finished(&unit);
    }
    tally.finish();
    let is_whole = checked.is_whole();
    checked.findings.extend(tally.findings());
    report.take("log", format!("{} segments", survey.segments().len()), checked);
    Ok(((is_whole && !has_skipped).then_some(tally), gather.finish(is_whole && !has_skipped)))
}

/// The checkpoints of what a start would otherwise read from the log.
async fn check_states(places: &Places, report: &mut Report, pace: &Pace) -> Result<()> {
    for state in STATES {
        let (folder, object) = (places.data.join("state").join(state), format!("state {state}"));
        let shown = object.clone();
        let checked = blocking(move || seawall_storage::state::check(&folder, &object)).await?;
        pace.read(&shown, checked.bytes).await;
        report.take(shown, "the newest checkpoint", checked);
    }
    Ok(())
}

async fn check_models(places: &Places, records: Option<&Records>, report: &mut Report, pace: &Pace) -> Result<()> {
    let mut users: BTreeMap<Hash, Vec<String>> = BTreeMap::new();
    for kept in seawall_model::check::kept(&places.models)? {
        users.entry(kept).or_default();
    }
    for recorded in records.iter().flat_map(|records| &records.models) {
        users.entry(recorded.digest).or_default().push(format!("{} @{}", recorded.model, recorded.version));
    }
    let mut checked = Checked::default();
    let models = users.len();
    for (digest, versions) in users {
        let folder = places.models.clone();
        let one = blocking(move || seawall_model::check::check(&folder, digest, &versions.join(", "))).await?;
        pace.read("models", one.bytes).await;
        checked.add(one);
    }
    report.take("models", format!("{models} files"), checked);
    Ok(())
}

/// Runs file reads and hashing where they cannot delay other tasks.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|e| Error::internal("SW1404", "a check was cut off").because(e))
}
