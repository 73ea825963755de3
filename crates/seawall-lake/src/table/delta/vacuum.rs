//! Vacuum: gives up old versions, and removes the files that only they need.
//!
//! In this order, so that a crash at any step leaves every kept version readable and the rest refused by name, and the
//! next vacuum goes on: checkpoints of the kept versions are written and read back; the horizon is set; data files go;
//! log files go, oldest first. A file is removed only when no kept version shows it, and when either a given-up version
//! showed it or nobody can be about to show it.

use std::collections::{BTreeMap, BTreeSet};

use object_store::ObjectMeta;
use seawall_base::upkeep::{StagedFiles, Vacuum, VacuumOptions};

use super::commit::write_checkpoint;
use super::*;
use crate::table::lease::Lease;
use crate::table::log::Listing;

/// Files that no version ever showed are left alone for this long: an append may be about to show them.
const UNSHOWN_KEPT_FOR: Span = Span(2 * Span::HOUR.0);
/// Files that are removed between two looks at the lease.
const REMOVALS_PER_CHECK: usize = 100;

/// What a vacuum is about to do.
struct Plan {
    horizon: Horizon,
    data: Vec<ObjectMeta>,
    log: Vec<ObjectMeta>,
    staged_kept: usize,
}

impl DeltaStore {
    pub(super) async fn vacuum_table(
        &self,
        _permit: &Permit,
        table: &TableName,
        options: &VacuumOptions,
    ) -> Result<Vacuum> {
        let handle = self.handle(table)?;
        self.newest(&handle).await?;
        let _rewriter = handle.rewriter.lock().await;
        let lease = handle.leases.take("vacuum").await?;
        let outcome = self.vacuum_under(&handle, &lease, options).await;
        lease.release().await;
        outcome
    }

    async fn vacuum_under(&self, handle: &Arc<Handle>, lease: &Lease, options: &VacuumOptions) -> Result<Vacuum> {
        handle.settled().await;
        let state = self.newest(handle).await?;
        let listing = handle.log.list().await?;
        let before = handle.log.horizon().await?;
        let horizon = self.horizon_after(&state, &listing, &before, options);
        let plan = self.plan(handle, &state, &listing, horizon, options).await?;
        let vacuum = Vacuum {
            readable_from: TableVersion(plan.horizon.readable_from),
            pinned: plan.horizon.pinned.iter().copied().map(TableVersion).collect(),
            data_files: plan.data.len(),
            data_bytes: plan.data.iter().map(|file| file.size).sum(),
            log_files: plan.log.len(),
            staged_kept: plan.staged_kept,
        };
        if options.dry_run || (plan.data.is_empty() && plan.log.is_empty() && plan.horizon == before) {
            return Ok(vacuum);
        }
        let kept = std::iter::once(plan.horizon.readable_from).chain(plan.horizon.pinned.iter().copied());
        for version in kept {
            lease.check().await?;
            self.ensure_checkpoint(handle, &listing, version).await?;
        }
        handle.log.set_horizon(&plan.horizon).await?;
        self.remove(handle, lease, &plan.data).await?;
        self.remove(handle, lease, &plan.log).await?;
        Ok(vacuum)
    }

    /// Which versions stay. A version ends with the commit after it: it is kept while that one is young.
    fn horizon_after(
        &self,
        state: &TableState,
        listing: &Listing,
        before: &Horizon,
        options: &VacuumOptions,
    ) -> Horizon {
        let now = self.now();
        let is_old = |commit: &ObjectMeta| now.0 - commit.last_modified.timestamp_micros() >= options.keep.0;
        let ended =
            listing.commits.range(..=state.version).filter(|(_, commit)| is_old(commit)).map(|(version, _)| *version);
        let readable_from = ended.max().unwrap_or(0).max(before.readable_from);
        let is_kept = |version: &u64| *version < readable_from && before.shows(*version);
        let pinned = options.pinned.iter().map(|version| version.0).filter(is_kept).collect();
        Horizon { format: 1, readable_from, pinned }
    }

    async fn plan(
        &self,
        handle: &Arc<Handle>,
        newest: &TableState,
        listing: &Listing,
        horizon: Horizon,
        options: &VacuumOptions,
    ) -> Result<Plan> {
        let shown = self.shown(handle, newest, listing, &horizon).await?;
        let folder = self.home.table(handle.name.as_str());
        let found: Vec<ObjectMeta> = self
            .home
            .store()
            .list(Some(&folder))
            .try_collect()
            .await
            .map_err(|e| log::storage(&format!("listing the files of table {}", handle.name), e))?;
        let now = self.now();
        let unshown_for = Span(options.keep.0.max(UNSHOWN_KEPT_FOR.0));
        let (mut data, mut staged_kept) = (Vec::new(), 0);
        for object in found {
            let Some(name) = relative_name(&folder, &object.location) else { continue };
            let is_data = !name.starts_with('_') && name.contains(".parquet");
            if !is_data || shown.kept.contains(&name) {
                continue;
            }
            let is_leftover = now.0 - object.last_modified.timestamp_micros() >= unshown_for.0;
            let is_staged = name.starts_with("staged-") && options.staged == StagedFiles::Keep;
            match shown.given_up.contains(&name) {
                true => data.push(object),
                false if is_staged => staged_kept += 1,
                false if is_leftover => data.push(object),
                false => {}
            }
        }
        let log = log_files(listing, &horizon);
        Ok(Plan { horizon, data, log, staged_kept })
    }

    /// The data files that kept versions show, and those that given-up versions showed.
    async fn shown(
        &self,
        handle: &Arc<Handle>,
        newest: &TableState,
        listing: &Listing,
        horizon: &Horizon,
    ) -> Result<Shown> {
        let mut shown = Shown::default();
        let base = self.kept_state(handle, newest, horizon.readable_from).await?;
        shown.kept.extend(base.files.keys().cloned());
        for version in horizon.readable_from + 1..=newest.version {
            for line in self.kept_commit(handle, version).await? {
                if let Some(add) = line.add {
                    shown.kept.insert(path::confine(handle.name.as_str(), &add.path)?);
                }
            }
        }
        for version in &horizon.pinned {
            shown.kept.extend(self.kept_state(handle, newest, *version).await?.files.keys().cloned());
        }
        for version in listing.commits.range(..=horizon.readable_from).map(|(version, _)| *version) {
            // What a removed file's commit says is only needed while its data file is there: it goes first.
            for line in handle.log.commit(version).await?.unwrap_or_default() {
                let paths = line.add.map(|add| add.path).into_iter().chain(line.remove.map(|remove| remove.path));
                for logged in paths {
                    shown.given_up.insert(path::confine(handle.name.as_str(), &logged)?);
                }
            }
        }
        Ok(shown)
    }

    async fn kept_state(&self, handle: &Arc<Handle>, newest: &TableState, version: u64) -> Result<TableState> {
        if version == newest.version {
            return Ok(newest.clone());
        }
        let state = handle.log.load_at(version).await?;
        state.ok_or_else(|| unknown_version(&handle.name, TableVersion(version), newest.version))
    }

    async fn kept_commit(&self, handle: &Arc<Handle>, version: u64) -> Result<Vec<crate::table::action::Line>> {
        let lines = handle.log.commit(version).await?;
        lines.ok_or_else(|| {
            crate::table::action::broken(handle.name.as_str(), &format!("{version:020}.json"), "vanished")
        })
    }

    /// Makes sure that a version can be told from its checkpoint alone.
    async fn ensure_checkpoint(&self, handle: &Arc<Handle>, listing: &Listing, version: u64) -> Result<()> {
        if listing.checkpoints.contains_key(&version) && handle.log.checkpointed(version).await?.is_some() {
            return Ok(());
        }
        let state = handle.log.load_at(version).await?;
        let state = Arc::new(state.ok_or_else(|| unknown_version(&handle.name, TableVersion(version), version))?);
        write_checkpoint(handle, Arc::clone(&state)).await?;
        let written = handle.log.checkpointed(version).await?;
        if written.is_some_and(|written| written.files == state.files && written.txns == state.txns) {
            return Ok(());
        }
        let message =
            format!("the checkpoint of version {version} of table {} does not tell that version", handle.name);
        Err(Error::corrupt(codes::LOG_BROKEN, message).hint("nothing was removed; check the disk"))
    }

    async fn remove(&self, handle: &Arc<Handle>, lease: &Lease, files: &[ObjectMeta]) -> Result<()> {
        for some in files.chunks(REMOVALS_PER_CHECK) {
            lease.check().await?;
            let locations: Vec<_> = some.iter().map(|file| Ok(file.location.clone())).collect();
            let mut removed = self.home.store().delete_stream(stream::iter(locations).boxed());
            while let Some(outcome) = removed.next().await {
                match outcome.map(|_| ()) {
                    Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                    Err(e) => return Err(log::storage(&format!("removing files of table {}", handle.name), e)),
                }
            }
        }
        Ok(())
    }
}

#[derive(Default)]
struct Shown {
    kept: BTreeSet<String>,
    given_up: BTreeSet<String>,
}

/// Log files that no kept version needs, oldest first. A power cut may leave some of each portion: the horizon tells
/// that they were given up.
fn log_files(listing: &Listing, horizon: &Horizon) -> Vec<ObjectMeta> {
    let mut files: BTreeMap<(u64, u8), ObjectMeta> = BTreeMap::new();
    for (version, commit) in listing.commits.range(..horizon.readable_from) {
        files.insert((*version, 0), commit.clone());
    }
    for (version, found) in listing.checkpoints.range(..horizon.readable_from) {
        if !horizon.pinned.contains(version) {
            files.insert((*version, 1), found.clone());
        }
    }
    files.into_values().collect()
}

/// The path of an object below `folder`.
fn relative_name(folder: &Path, location: &Path) -> Option<String> {
    let parts: Vec<String> = location.prefix_match(folder)?.map(|part| part.as_ref().to_owned()).collect();
    let name = parts.join("/");
    (!name.is_empty()).then_some(name)
}
