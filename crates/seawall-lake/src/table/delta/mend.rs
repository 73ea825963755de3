//! Writing back what a table has lost: a commit, a data file, a checkpoint.
//!
//! The caller owns the table while this runs, has set damaged files aside, and hands in the rows that were lost. Nothing
//! is believed that cannot be checked: a data file must come out with the very hash that the log has of it, and a commit
//! with the cut and the number of rows that others have on record of its version. The name of a data file follows from
//! its content and from the cuts of its commit, so a file that a lost commit added is recognised by its name.

use object_store::PutPayload;
use seawall_base::Cut;

use super::append::{append_id, rows_commit};
use super::check::commit_cuts;
use super::commit::write_checkpoint;
use super::*;
use crate::table::checkpoint;

#[cfg(test)]
mod tests;

/// A commit of rows that is not there any more.
#[derive(Debug, Clone)]
pub struct LostCommit {
    /// The version that it made.
    pub version: u64,
    /// The table's cut before it.
    pub from: Cut,
    /// The table's cut after it.
    pub until: Cut,
    /// Rows that its version showed, where they are on record.
    pub rows: Option<u64>,
}

/// Where the rows of a data file came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The log, between the cuts of the commit that added it.
    Log {
        /// The cut before.
        from: Cut,
        /// The cut after.
        until: Cut,
    },
    /// A bulk load, whose rows never were in the log.
    Load,
    /// Rows that were made of others: a training set, a compaction, what was left after rows were withdrawn.
    Derived,
}

/// What a lost commit's rows are taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The commit's own data file, which is still there.
    File(StagedFile),
    /// Rows of the log.
    Rows,
}

impl DeltaStore {
    /// The schema under which a version was made, read without regard to later ones.
    pub async fn schema_before(&self, table: &TableName, version: u64) -> Result<SchemaRef> {
        let handle = self.handle(table)?;
        Ok(self.state_before(&handle, version).await?.schema)
    }

    /// Where the rows of a data file came from; none when its commit cannot be read.
    pub async fn origin(&self, table: &TableName, file: &ExpectedFile) -> Result<Option<Origin>> {
        let handle = self.handle(table)?;
        let Some(lines) = handle.log.commit(file.shown.0).await? else { return Ok(None) };
        if file.path.starts_with("staged-") {
            return Ok(Some(Origin::Load));
        }
        let removes = lines.iter().any(|line| line.remove.is_some());
        Ok(Some(match commit_cuts(&lines) {
            Some((from, until)) if !removes => Origin::Log { from, until },
            _ => Origin::Derived,
        }))
    }

    /// Encodes the rows of a data file anew and, with `run`, writes it back. `Conflict` (SW1410) when the bytes do not
    /// have the hash that the log has of the file.
    pub async fn mend_file(
        &self,
        table: &TableName,
        file: &ExpectedFile,
        rows: Vec<RecordBatch>,
        run: bool,
    ) -> Result<()> {
        let handle = self.handle(table)?;
        let state = self.state_before(&handle, file.shown.0).await?;
        let encoded = encode(&handle, &state, rows).await?;
        let encoded = encoded.filter(|encoded| Some(encoded.hash) == file.hash);
        let encoded = encoded.ok_or_else(|| {
            let message = format!("the log's rows of {} do not encode to the file that was lost", file.path);
            Error::new(ErrorKind::Conflict, "SW1410", message)
                .hint("another release wrote the file, or rows were erased since; restore the file from a backup")
        })?;
        if run {
            let location = self.data_file_location(table, &file.path)?;
            let put = self.home.store().put(&location, PutPayload::from_bytes(encoded.bytes)).await;
            put.map_err(|e| log::storage(&format!("writing {} of table {table}", file.path), e))?;
        }
        Ok(())
    }

    /// The data file that a lost commit added, when it still lies in the table's folder: one that no commit of `survey`
    /// names and whose own name proves the commit's cuts and its content.
    pub async fn orphan_of(
        &self,
        table: &TableName,
        survey: &TableSurvey,
        lost: &LostCommit,
    ) -> Result<Option<StagedFile>> {
        let handle = self.handle(table)?;
        let folder = self.home.table(table.as_str());
        let listed = self.home.store().list_with_delimiter(Some(&folder)).await;
        let listed = listed.map_err(|e| log::storage(&format!("listing the files of table {table}"), e))?;
        for object in listed.objects {
            let name = object.location.filename().unwrap_or_default().to_owned();
            if !name.starts_with("part-") || survey.files.contains_key(&name) {
                continue;
            }
            let read = self.home.store().get(&object.location).await;
            let read = read.map_err(|e| log::storage(&format!("reading {name} of table {table}"), e))?;
            let bytes = read.bytes().await.map_err(|e| log::storage(&format!("reading {name}"), e))?;
            let (handle, lost, shown) = (handle.clone(), lost.clone(), name.clone());
            let proved = compute(move || {
                let hash = Hash::of(&bytes);
                let id = format!("part-{}", append_id(&handle, &lost.append(), &hash));
                // A second attempt puts something behind it.
                let is_it = shown.strip_prefix(&id).is_some_and(|rest| rest == ".parquet" || rest.starts_with('-'));
                if !is_it {
                    return Ok(None);
                }
                let rows = file::rows(&file::footer(&bytes, &shown)?);
                Ok(Some(StagedFile { path: shown, rows, bytes: bytes.len() as u64, hash }))
            })
            .await?;
            if proved.is_some() {
                return Ok(proved);
            }
        }
        Ok(None)
    }

    /// Checks that a lost commit can be written anew and, with `run`, writes it. `staged` are files of bulk loads that it
    /// made visible. `Conflict` (SW1411) when the version would not show what is on record of it.
    #[allow(clippy::too_many_arguments, reason = "what a commit consists of")]
    pub async fn mend_commit(
        &self,
        permit: &Permit,
        table: &TableName,
        lost: &LostCommit,
        orphan: Option<StagedFile>,
        rows: Vec<RecordBatch>,
        staged: Vec<StagedFile>,
        run: bool,
    ) -> Result<Source> {
        let handle = self.handle(table)?;
        let base = self.state_before(&handle, lost.version).await?;
        if base.cut() != lost.from {
            return Err(not_as_recorded(table, lost, format!("the version before has cut {}", base.cut())));
        }
        let source = orphan.clone().map_or(Source::Rows, Source::File);
        let batches = if orphan.is_some() { Vec::new() } else { rows };
        let staged: Vec<StagedFile> = orphan.into_iter().chain(staged).collect();
        let added = batches.iter().map(|batch| batch.num_rows() as u64).sum::<u64>()
            + staged.iter().map(|file| file.rows).sum::<u64>();
        let shown = base.files.values().try_fold(added, |sum, file| Some(sum + file.rows?));
        if let (Some(recorded), Some(shown)) = (lost.rows, shown)
            && recorded != shown
        {
            return Err(not_as_recorded(table, lost, format!("it would show {shown} rows, {recorded} are on record")));
        }
        if run {
            let append = Append { batches, staged, ..lost.append() };
            let adds = self.written(&handle, &base, &append, &mut None).await?;
            let commit = rows_commit(&base, &append, adds, Vec::new(), self.now_ms())?;
            match self.land(&handle, Some(Arc::new(base)), permit, commit, None).await? {
                Landed::Yes(_) => handle.settled().await,
                Landed::Taken => {
                    return Err(not_as_recorded(table, lost, "another commit has taken its version".to_owned()));
                }
            }
        }
        Ok(source)
    }

    /// Checks that the commits, from the table's beginning or from another checkpoint on, tell what the checkpoints of
    /// `versions` should; with `run`, removes those and the hint to the newest one, and writes a checkpoint of the newest
    /// version. `Conflict` (SW1417) when nothing else tells it.
    pub async fn renew_checkpoints(&self, table: &TableName, versions: &[u64], run: bool) -> Result<()> {
        let handle = self.handle(table)?;
        let listing = handle.log.list().await?;
        let newest = listing.newest().ok_or_else(|| unknown_table(table))?;
        let horizon = handle.log.horizon().await?;
        let reaches = |base: u64| (base + 1..=newest).all(|version| listing.commits.contains_key(&version));
        let begins = listing.commits.contains_key(&0) && reaches(0);
        let others = listing.checkpoints.keys().filter(|version| !versions.contains(version));
        let is_told = begins || others.into_iter().any(|version| reaches(*version));
        if !is_told || versions.iter().any(|version| *version < horizon.readable_from) {
            let message = format!("nothing else tells what a damaged checkpoint of table {table} held");
            return Err(Error::new(ErrorKind::Conflict, "SW1417", message)
                .hint("a vacuum gave up the commits before it; put the checkpoint back from a backup"));
        }
        if run {
            self.remove_checkpoints(&handle, versions).await?;
            let state = handle.log.load().await?.ok_or_else(|| unknown_table(table))?;
            write_checkpoint(&handle, Arc::new(state)).await?;
        }
        Ok(())
    }

    async fn remove_checkpoints(&self, handle: &Handle, versions: &[u64]) -> Result<()> {
        let names = versions.iter().map(|version| checkpoint::name(*version));
        for name in names.chain(["_last_checkpoint".to_owned()]) {
            match self.home.store().delete(&handle.log.path(&name)).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(e) => return Err(log::storage(&format!("removing {name} of table {}", handle.name), e)),
            }
        }
        Ok(())
    }

    /// The state before a commit, or at version 0.
    async fn state_before(&self, handle: &Handle, version: u64) -> Result<TableState> {
        let before = version.saturating_sub(1);
        let state = handle.log.load_at(before).await?;
        state.ok_or_else(|| unknown_version(&handle.name, TableVersion(before), version))
    }
}

impl LostCommit {
    /// The commit without its rows.
    fn append(&self) -> Append {
        Append { batches: Vec::new(), staged: Vec::new(), from: self.from.clone(), until: self.until.clone() }
    }
}

fn not_as_recorded(table: &TableName, lost: &LostCommit, why: String) -> Error {
    let message = format!("version {} of table {table} cannot be written as it was: {why}", lost.version);
    Error::new(ErrorKind::Conflict, "SW1411", message)
        .hint("it was no plain append of rows, or more than this commit is damaged; restore it from a backup")
}
