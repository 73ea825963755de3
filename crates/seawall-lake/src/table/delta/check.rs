//! Checking a table: its log from the first commit that is there to the newest, its checkpoints, its data files.
//!
//! [`DeltaStore::survey`] folds the log one version after the other and says what every version must show, so that
//! others can compare that with their own records, and which data files must lie there. [`DeltaStore::check_file`] then
//! looks at one of them: presence, size, hash, rows, and the statistics that the log repeats and that readers trust.
//! Nothing is changed, and the table may be written meanwhile.
//!
//! Behind a damaged commit the versions are unknown until a checkpoint tells the state again.

use seawall_base::{Checked, Cut, Damage, Finding, Offset, Severity};
use serde_json::Value;

use super::commit::commit_info_text;
use super::*;
use crate::table::action::{self, Add};
use crate::table::checkpoint;
use crate::table::log::Listing;

#[cfg(test)]
mod tests;

/// The file that tells what a vacuum left.
const HORIZON: &str = "_seawall/horizon.json";
/// How often a table is looked at again when a vacuum went over it meanwhile.
const ATTEMPTS_MAX: usize = 3;

/// What versions and files a table must have.
#[derive(Debug, Clone, Default)]
pub struct TableSurvey {
    /// The newest version whose commit is there.
    pub newest: Option<u64>,
    /// What each version shows that the log can tell.
    pub versions: BTreeMap<u64, VersionFacts>,
    /// The files of the log that tell all of this, by path in the table's folder.
    pub log_files: Vec<String>,
    /// Every file that one of these versions shows, by path.
    pub files: BTreeMap<String, ExpectedFile>,
    /// The cuts between which each commit of rows moved, as it says itself.
    pub appends: BTreeMap<u64, (Cut, Cut)>,
    /// What was read and found.
    pub checked: Checked,
    /// What made the version that is being walked.
    operation: String,
    /// The state before the last damage.
    last_known: Option<Walk>,
}

/// What a version of a table shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionFacts {
    /// Rows; absent when another program wrote a file without statistics.
    pub rows: Option<u64>,
    /// Its cut.
    pub cut: Cut,
    /// Delta's word for what made it; empty when only a checkpoint tells of the version.
    pub operation: String,
}

/// A data file as the log describes it.
#[derive(Debug, Clone)]
pub struct ExpectedFile {
    /// Decoded path in the table's folder.
    pub path: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Rows.
    pub rows: Option<u64>,
    /// BLAKE3 of its bytes; absent when another program wrote it.
    pub hash: Option<Hash>,
    /// The first and the last version that are known to show it.
    pub shown: (u64, u64),
    /// Whether the newest version shows it.
    pub is_current: bool,
    /// Statistics of the commit that added it, with the columns that must have none.
    stats: Option<(String, Vec<String>)>,
}

impl ExpectedFile {
    /// A file that a load has staged and that no version shows yet.
    pub fn staged(file: &StagedFile) -> ExpectedFile {
        ExpectedFile {
            path: file.path.clone(),
            bytes: file.bytes,
            rows: Some(file.rows),
            hash: Some(file.hash),
            shown: (0, 0),
            is_current: true,
            stats: None,
        }
    }
}

/// The state of a table on its way through the log.
#[derive(Debug, Clone, Default)]
struct Walk {
    files: BTreeMap<String, FileFacts>,
    rows: u64,
    files_without_rows: usize,
    txns: BTreeMap<String, i64>,
    personal: Vec<String>,
    described: bool,
    /// Hashes of the protocol and of schema and properties.
    description: [Option<Hash>; 2],
}

/// A file as a version shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FileFacts {
    rows: Option<u64>,
    /// Hash of size, hash and statistics.
    rest: Hash,
}

impl FileFacts {
    fn of(file: &DataFile) -> FileFacts {
        let hash = file.hash.map_or(String::new(), |hash| hash.to_string());
        // Another program may spell the same statistics in another way.
        let stats = file.add.stats.as_deref().and_then(parsed).map_or(String::new(), |stats| stats.to_string());
        let parts = [file.bytes.to_string(), hash, stats];
        FileFacts { rows: file.rows, rest: Hash::of_parts(parts.iter().map(String::as_bytes)) }
    }
}

impl DeltaStore {
    /// Reads the whole log of a table from the first version that a vacuum left. Fails only when the store cannot be asked
    /// at all.
    pub async fn survey(&self, table: &TableName) -> Result<TableSurvey> {
        let handle = self.handle(table)?;
        let mut attempts = 0;
        loop {
            let (before, found) = self.readable(table, &handle).await;
            let mut survey = self.survey_from(table, &handle, &before).await?;
            survey.checked.findings.extend(found);
            attempts += 1;
            // What a vacuum takes away meanwhile is no damage.
            let is_overtaken = !survey.checked.is_whole() && self.readable(table, &handle).await.0 != before;
            if !is_overtaken || attempts == ATTEMPTS_MAX {
                return Ok(survey);
            }
        }
    }

    /// Which versions must be readable; a horizon that cannot be read is a finding, and everything is looked at.
    async fn readable(&self, table: &TableName, handle: &Arc<Handle>) -> (Horizon, Option<Finding>) {
        match handle.log.horizon().await {
            Ok(horizon) => (horizon, None),
            Err(error) => {
                let means = "it is not known which versions a vacuum gave up; old versions cannot be read";
                let found = Finding::new(object(table), Damage::Unreadable, Severity::High, error.to_string(), means);
                (Horizon::default(), Some(found.in_file(self.as_found(table, HORIZON), None)))
            }
        }
    }

    async fn survey_from(&self, table: &TableName, handle: &Arc<Handle>, horizon: &Horizon) -> Result<TableSurvey> {
        let listing = handle.log.list().await?;
        let mut survey = TableSurvey { newest: listing.newest(), log_files: listing.files(), ..TableSurvey::default() };
        if *horizon != Horizon::default() {
            survey.log_files.push(HORIZON.to_owned());
        }
        let Some(newest) = survey.newest else { return Ok(survey) };
        for pinned in &horizon.pinned {
            self.look_at_pinned(table, handle, *pinned, &mut survey).await;
        }
        let is_told = |version: &u64| *version >= horizon.readable_from;
        let told = listing.commits.keys().chain(listing.checkpoints.keys()).copied().filter(is_told);
        let first = told.min().unwrap_or(newest);
        if first > horizon.readable_from {
            let what = format!("the commits of versions {} to {} are missing", horizon.readable_from, first - 1);
            let means = "these versions, and later ones up to a checkpoint, cannot be read";
            let found = Finding::new(object(table), Damage::Missing, Severity::Critical, what, means);
            let name = format!("_delta_log/{:020}.json", horizon.readable_from);
            survey.checked.findings.push(found.in_file(self.as_found(table, &name), None));
        }
        let mut walk = (first == 0).then(Walk::default);
        for version in first..=newest {
            walk = self.step(table, handle, &listing, version, walk, &mut survey).await;
            if let Some(walk) = &walk {
                let operation = std::mem::take(&mut survey.operation);
                survey.versions.insert(version, VersionFacts { rows: walk.rows(), cut: walk.cut(), operation });
            }
        }
        if let Some(walk) = walk.or(survey.last_known.take()) {
            survey.mark_current(newest, &walk);
        }
        self.check_pointer(table, handle, &listing, &mut survey).await;
        Ok(survey)
    }

    /// A version that a vacuum kept alone is told by its checkpoint.
    async fn look_at_pinned(&self, table: &TableName, handle: &Arc<Handle>, version: u64, survey: &mut TableSurvey) {
        if let Err(found) = self.checkpoint_walk(handle, version, survey).await {
            let means = "the pinned version, and what is bound to it, cannot be read";
            let found = Finding::new(object(table), Damage::Unreadable, Severity::Critical, found.to_string(), means);
            survey.checked.findings.push(found.in_file(self.shown_checkpoint(table, version), None));
        }
    }

    /// One version further: by its commit, and where there is a checkpoint, compared with it or begun from it.
    async fn step(
        &self,
        table: &TableName,
        handle: &Arc<Handle>,
        listing: &Listing,
        version: u64,
        walk: Option<Walk>,
        survey: &mut TableSurvey,
    ) -> Option<Walk> {
        let is_behind_checkpoint = !listing.commits.contains_key(&version) && walk.is_none();
        let walked = match is_behind_checkpoint {
            true => None,
            false => self.step_by_commit(table, handle, version, walk, survey).await,
        };
        if !listing.checkpoints.contains_key(&version) {
            return walked;
        }
        let kept = self.checkpoint_walk(handle, version, survey).await;
        match (walked, kept) {
            (Some(walked), Ok(kept)) if !walked.equals(&kept) => {
                let what = format!("the checkpoint of version {version} tells another state than the commits");
                survey.checked.findings.push(checkpoint_finding(
                    table,
                    Damage::Altered,
                    what,
                    self.shown_checkpoint(table, version),
                ));
                Some(walked)
            }
            (Some(walked), Ok(_)) => Some(walked),
            (None, Ok(kept)) => Some(kept),
            (walked, Err(found)) => {
                survey.checked.findings.push(checkpoint_finding(
                    table,
                    Damage::Unreadable,
                    found.to_string(),
                    self.shown_checkpoint(table, version),
                ));
                walked
            }
        }
    }

    async fn step_by_commit(
        &self,
        table: &TableName,
        handle: &Arc<Handle>,
        version: u64,
        walk: Option<Walk>,
        survey: &mut TableSurvey,
    ) -> Option<Walk> {
        let shown = self.as_found(table, &format!("_delta_log/{version:020}.json"));
        let read = handle.log.read(&handle.log.commit_path(version)).await;
        let outcome = match &read {
            Ok(Some(bytes)) => {
                survey.checked.bytes += bytes.len() as u64;
                read_commit(table, version, bytes).inspect(|lines| survey.note_operation(version, lines))
            }
            Ok(None) => Err((Damage::Missing, format!("the commit of version {version} is missing"))),
            Err(e) => Err((Damage::Unreadable, e.to_string())),
        };
        let applied = match (outcome, walk) {
            (Ok(lines), Some(mut walk)) => match walk.apply(table, version, &lines, survey) {
                Ok(()) => return Some(walk),
                Err(e) => Err((Damage::Altered, e.to_string(), Some(walk))),
            },
            // Behind an earlier damage only the commit itself can be judged.
            (Ok(_), None) => Ok(()),
            (Err((damage, what)), walk) => Err((damage, what, walk)),
        };
        if let Err((damage, what, before)) = applied {
            let means = format!("the table cannot be read; version {version} and its rows are unknown");
            let found = Finding::new(object(table), damage, Severity::Critical, what, means);
            survey.checked.findings.push(found.in_file(shown, None));
            survey.last_known = before.or(survey.last_known.take());
        }
        None
    }

    /// The state that a checkpoint tells.
    async fn checkpoint_walk(&self, handle: &Arc<Handle>, version: u64, survey: &mut TableSurvey) -> Result<Walk> {
        let name = checkpoint::name(version);
        let bytes = handle.log.read(&handle.log.path(&name)).await?.unwrap_or_default();
        survey.checked.bytes += bytes.len() as u64;
        let (table, shown) = (handle.name.to_string(), name.clone());
        let lines = compute(move || action::parse_lines(&table, &shown, &checkpoint::lines(bytes)?)).await?;
        let mut walk = Walk::default();
        walk.apply_checkpoint(handle.name.as_str(), version, &lines, survey)?;
        match walk.described {
            true => Ok(walk),
            false => Err(action::broken(handle.name.as_str(), &name, "has no metadata")),
        }
    }

    fn shown_checkpoint(&self, table: &TableName, version: u64) -> PathBuf {
        self.as_found(table, &format!("_delta_log/{}", checkpoint::name(version)))
    }

    /// `_last_checkpoint` is a hint to readers; one that cannot be followed makes other engines fail.
    async fn check_pointer(
        &self,
        table: &TableName,
        handle: &Arc<Handle>,
        listing: &Listing,
        survey: &mut TableSurvey,
    ) {
        let what = match handle.log.read(&handle.log.path("_last_checkpoint")).await {
            Ok(None) => return,
            Ok(Some(bytes)) => {
                survey.checked.bytes += bytes.len() as u64;
                match checkpoint::pointed_version(&bytes) {
                    Some(version) if listing.checkpoints.contains_key(&version) => return,
                    // Written since the log was listed.
                    Some(version) if self.has_checkpoint(handle, version).await => return,
                    Some(version) => {
                        format!("_last_checkpoint names the checkpoint of version {version}, which is missing")
                    }
                    None => "_last_checkpoint cannot be read".to_owned(),
                }
            }
            Err(e) => e.to_string(),
        };
        let means = "other engines may fail to open the table or read it more slowly; Seawall does not use the file";
        let found = Finding::new(object(table), Damage::Altered, Severity::Low, what, means);
        survey.checked.findings.push(found.in_file(self.as_found(table, "_delta_log/_last_checkpoint"), None));
    }

    async fn has_checkpoint(&self, handle: &Arc<Handle>, version: u64) -> bool {
        matches!(handle.log.read(&handle.log.path(&checkpoint::name(version))).await, Ok(Some(_)))
    }

    /// Reads one data file and compares it with what the log says.
    pub async fn check_file(&self, table: &TableName, expected: &ExpectedFile) -> Checked {
        let shown = self.as_found(table, &expected.path);
        let (bytes, outcome) = match self.file_bytes(table, &expected.path).await {
            Ok(Some(bytes)) => {
                let (read, wanted) = (bytes.len() as u64, expected.clone());
                let judged = compute(move || Ok(judge(&bytes, &wanted))).await;
                (read, judged.unwrap_or_else(|e| Err((Damage::Unreadable, e.to_string()))))
            }
            Ok(None) if self.has_moved_on(table, expected).await => (0, Ok(())),
            Ok(None) => (0, Err((Damage::Missing, "the data file is missing".to_owned()))),
            Err(e) => (0, Err((Damage::Unreadable, e.to_string()))),
        };
        let findings = outcome.err().map(|(damage, what)| file_finding(table, expected, damage, what, &shown));
        Checked { bytes, findings: findings.into_iter().collect() }
    }

    async fn file_bytes(&self, table: &TableName, relative: &str) -> Result<Option<Bytes>> {
        let location = self.data_file_location(table, relative)?;
        let unreadable = |e| log::storage(&format!("reading {location}"), e);
        match self.home.store().get(&location).await {
            Ok(found) => Ok(Some(found.bytes().await.map_err(unreadable)?)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(unreadable(e)),
        }
    }

    /// Whether the table's owner has taken the file away since the survey, as a compaction with a vacuum does.
    async fn has_moved_on(&self, table: &TableName, expected: &ExpectedFile) -> bool {
        let Ok(handle) = self.handle(table) else { return false };
        match (self.current(&handle).await, handle.log.horizon().await) {
            (Ok(Some(now)), Ok(horizon)) if !now.files.contains_key(&expected.path) => {
                expected.is_current || !horizon.shows(expected.shown.1)
            }
            _ => false,
        }
    }
}

impl TableSurvey {
    fn note_operation(&mut self, version: u64, lines: &[Line]) {
        self.operation = commit_info_text(lines, "operation").unwrap_or_default().to_owned();
        if let Some(cuts) = commit_cuts(lines) {
            self.appends.insert(version, cuts);
        }
    }

    fn mark_current(&mut self, newest: u64, walk: &Walk) {
        for path in walk.files.keys() {
            if let Some(file) = self.files.get_mut(path) {
                (file.shown.1, file.is_current) = (newest, true);
            }
        }
    }

    fn expect(&mut self, table: &str, version: u64, add: &Add, stats: Option<(String, Vec<String>)>) -> Result<()> {
        let described = log::data_file(table, add.clone())?;
        let known = self.files.entry(described.path.clone()).or_insert_with(|| ExpectedFile {
            path: described.path,
            bytes: described.bytes,
            rows: described.rows,
            hash: described.hash,
            shown: (version, version),
            is_current: false,
            stats: None,
        });
        if known.stats.is_none() {
            known.stats = stats;
        }
        Ok(())
    }
}

impl Walk {
    fn apply(&mut self, table: &TableName, version: u64, lines: &[Line], survey: &mut TableSurvey) -> Result<()> {
        for line in lines {
            self.describe(table.as_str(), line)?;
            if let Some(remove) = &line.remove {
                let path = path::confine(table.as_str(), &remove.path)?;
                self.hide(&path);
                if let Some(file) = survey.files.get_mut(&path) {
                    file.shown.1 = version.saturating_sub(1);
                }
            }
            if let Some(add) = &line.add {
                let stats = add.stats.clone().map(|stats| (stats, self.personal.clone()));
                survey.expect(table.as_str(), version, add, stats)?;
                self.show(table.as_str(), add)?;
            }
        }
        Ok(())
    }

    /// A checkpoint's adds tell no statistics that could be compared: their writer may spell them anew.
    fn apply_checkpoint(&mut self, table: &str, version: u64, lines: &[Line], survey: &mut TableSurvey) -> Result<()> {
        for line in lines {
            self.describe(table, line)?;
            if let Some(add) = &line.add {
                survey.expect(table, version, add, None)?;
                self.show(table, add)?;
            }
        }
        Ok(())
    }

    fn describe(&mut self, table: &str, line: &Line) -> Result<()> {
        if let Some(protocol) = &line.protocol {
            protocol.check(table)?;
            let versions = (protocol.min_reader_version, protocol.min_writer_version);
            self.description[0] = Some(Hash::of_json(&versions));
        }
        if let Some(metadata) = &line.meta_data {
            schema::from_delta(&metadata.schema_string)?;
            self.personal = metadata.personal()?;
            self.described = true;
            let told = (&metadata.id, &metadata.schema_string, &metadata.configuration);
            self.description[1] = Some(Hash::of_json(&told));
        }
        if let Some(txn) = &line.txn {
            self.txns.insert(txn.app_id.clone(), txn.version);
        }
        Ok(())
    }

    fn show(&mut self, table: &str, add: &Add) -> Result<()> {
        let file = log::data_file(table, add.clone())?;
        self.hide(&file.path);
        match file.rows {
            Some(rows) => self.rows += rows,
            None => self.files_without_rows += 1,
        }
        let facts = FileFacts::of(&file);
        self.files.insert(file.path, facts);
        Ok(())
    }

    fn hide(&mut self, path: &str) {
        match self.files.remove(path).map(|facts| facts.rows) {
            Some(Some(rows)) => self.rows -= rows,
            Some(None) => self.files_without_rows -= 1,
            None => {}
        }
    }

    fn rows(&self) -> Option<u64> {
        (self.files_without_rows == 0).then_some(self.rows)
    }

    fn cut(&self) -> Cut {
        let ends = self.txns.iter().filter_map(|(app_id, version)| {
            Some((action::partition_of(app_id)?, Offset(u64::try_from(*version).ok()?)))
        });
        ends.collect()
    }

    fn equals(&self, other: &Walk) -> bool {
        self.files == other.files && self.txns == other.txns && self.description == other.description
    }
}

/// The cuts between which a commit of rows moved.
pub(super) fn commit_cuts(lines: &[Line]) -> Option<(Cut, Cut)> {
    let cut = |key: &str| commit_info_text(lines, key)?.parse().ok();
    Some((cut("seawall.from")?, cut("seawall.until")?))
}

fn read_commit(table: &TableName, version: u64, bytes: &Bytes) -> Result<Vec<Line>, (Damage, String)> {
    if bytes.is_empty() {
        return Err((Damage::Altered, format!("the commit of version {version} is empty")));
    }
    let name = format!("{version:020}.json");
    action::parse_commit(table.as_str(), &name, bytes).map_err(|e| (Damage::Altered, e.to_string()))
}

/// Compares a file's bytes with what the log says of them.
fn judge(bytes: &Bytes, expected: &ExpectedFile) -> Result<(), (Damage, String)> {
    let found = bytes.len() as u64;
    if found != expected.bytes {
        return Err((Damage::Altered, format!("the data file has {found} bytes instead of {}", expected.bytes)));
    }
    let hash = Hash::of(bytes);
    if let Some(wanted) = expected.hash.filter(|wanted| *wanted != hash) {
        let what =
            format!("the data file has other bytes than were written: {} instead of {}", hash.short(), wanted.short());
        return Err((Damage::Altered, what));
    }
    let footer = file::footer(bytes, &expected.path).map_err(|e| (Damage::Unreadable, e.to_string()))?;
    let rows = file::rows(&footer);
    if let Some(wanted) = expected.rows.filter(|wanted| *wanted != rows) {
        return Err((Damage::Disagrees, format!("the data file has {rows} rows, the log says {wanted}")));
    }
    match (&expected.stats, expected.hash) {
        (Some((logged, personal)), Some(_)) => {
            let own = file::statistics(&footer, personal).map_err(|e| (Damage::Unreadable, e.to_string()))?;
            match parsed(&own) == parsed(logged) {
                true => Ok(()),
                false => Err((Damage::Disagrees, "the log's statistics are not those of the data file".to_owned())),
            }
        }
        _ => Ok(()),
    }
}

fn parsed(stats: &str) -> Option<Value> {
    serde_json::from_str(stats).ok()
}

fn object(table: &TableName) -> String {
    format!("table {table}")
}

fn checkpoint_finding(table: &TableName, damage: Damage, what: String, shown: PathBuf) -> Finding {
    let means = "nothing is lost while the commits are there, but readers that begin at the checkpoint fail or read \
                 another state";
    Finding::new(object(table), damage, Severity::High, what, means).in_file(shown, None)
}

fn file_finding(table: &TableName, expected: &ExpectedFile, damage: Damage, what: String, shown: &FilePath) -> Finding {
    let (first, last) = expected.shown;
    let rows = expected.rows.map_or_else(|| "its".to_owned(), |rows| format!("its {rows}"));
    let (severity, means) = match expected.is_current {
        true => (Severity::Critical, format!("{rows} rows, shown since version {first}, cannot be trusted or read")),
        false => (Severity::High, format!("{rows} rows, shown by versions {first} to {last}, cannot be read any more")),
    };
    Finding::new(object(table), damage, severity, what, means).in_file(shown, None)
}
