//! Restoring a data folder from a backup, as it was when the backup was taken or up to a later moment.
//!
//! Everything is written into a folder beside the data folder, checked like any data folder, and only then given the data
//! folder's name: a restore that was cut off leaves no data folder, and running it again begins anew. For a moment after
//! the backup was taken the log of the backups since is joined on, up to the first entry that arrived later; declarations,
//! models and approvals stay as the backup has them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use seawall_base::error::Result;
use seawall_base::{Clock, Error, ErrorKind, Finding, Instant, OsRng, durable};
use seawall_catalog::policy::{Action, Principal};
use seawall_catalog::{Catalog, MaintenanceKind};
use seawall_pipeline::backup::{KeptFile, Manifest, Store, arrival_of, clear, write_file};
use seawall_storage::log;
use serde::Serialize;
use serde_json::json;

use super::take::milliseconds;
use super::{LOG, TABLES};
use crate::assemble::KEYS;
use crate::integrity::{self, Pace, Places};

/// What to restore.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// The newest backup.
    Newest,
    /// The backup whose id begins so.
    Backup(String),
    /// The newest backup taken before a moment, and the log up to it.
    At(Instant),
}

/// What was restored.
#[derive(Debug, Serialize)]
pub struct Restored {
    /// The backup.
    pub backup: String,
    /// When it was taken.
    #[serde(with = "seawall_base::time::text")]
    pub taken_at: Instant,
    /// Entries of the log that are there.
    pub entries: u64,
    /// Those of them that came after the backup.
    pub entries_since: u64,
    /// Files that were written.
    pub files: usize,
    /// Bytes that were written.
    pub bytes: u64,
    /// From the beginning to a folder that is checked and in its place.
    pub elapsed_ms: u64,
    /// What the check of the restored folder found; it is put in its place only when this is empty.
    pub findings: Vec<Finding>,
}

/// Restores into `data`, which must be empty or missing.
pub async fn restore(
    store: &Store,
    wanted: &Wanted,
    data: &Path,
    principal: &Principal,
    clock: Arc<dyn Clock>,
    pace: &Pace,
) -> Result<Restored> {
    refuse_occupied(data)?;
    let began = clock.now();
    let (manifests, _) = tokio::task::block_in_place(|| store.backups())?;
    let chosen = choose(&manifests, wanted)?;
    let files = files_of(chosen, &manifests, wanted);
    let staging = beside(data);
    clear(&staging)?;
    durable::create_dir_all(&staging)?;
    for file in files.values() {
        tokio::task::block_in_place(|| write_file(store, file, &staging))?;
        pace.read(&file.path, file.bytes).await;
    }
    tokio::task::block_in_place(|| store.restore_keys(&staging.join(KEYS)))?;
    let entries = finish_log(&staging.join(LOG), chosen, wanted)?;
    let places = Places::of(&staging)?;
    let (report, _) = integrity::check(&places, pace).await?;
    let mut restored = Restored {
        backup: chosen.id.clone(),
        taken_at: chosen.taken_at,
        entries,
        entries_since: entries.saturating_sub(chosen.entries),
        files: files.len(),
        bytes: files.values().map(|file| file.bytes).sum(),
        elapsed_ms: 0,
        findings: report.findings,
    };
    if restored.findings.is_empty() {
        restored.elapsed_ms = milliseconds(began, clock.now());
        record(&places, &restored, principal, began, clock.clone()).await?;
        put_in_place(&staging, data)?;
    }
    restored.elapsed_ms = milliseconds(began, clock.now());
    Ok(restored)
}

fn refuse_occupied(data: &Path) -> Result<()> {
    let mut entries = match std::fs::read_dir(data) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e.into()),
    };
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(Error::new(ErrorKind::Conflict, "SW1427", format!("{} is not empty", data.display()))
            .hint("move it away first, or restore into another folder with --data-dir")),
    }
}

/// The folder that a restore writes to before it is whole.
fn beside(data: &Path) -> PathBuf {
    let mut name = data.file_name().map_or_else(|| "data".into(), std::ffi::OsStr::to_owned);
    name.push(".restoring");
    data.with_file_name(name)
}

fn choose<'a>(manifests: &'a [Manifest], wanted: &Wanted) -> Result<&'a Manifest> {
    let found: Vec<&Manifest> = match wanted {
        Wanted::Newest => manifests.last().into_iter().collect(),
        Wanted::Backup(prefix) => manifests.iter().filter(|manifest| manifest.id.starts_with(prefix)).collect(),
        Wanted::At(moment) => {
            manifests.iter().rev().find(|manifest| manifest.taken_at <= *moment).into_iter().collect()
        }
    };
    match found[..] {
        [one] => Ok(one),
        [] => Err(Error::not_found("SW1428", "there is no such backup")
            .hint("`seawall backup list` shows them; a moment needs a backup that was taken before it")),
        _ => Err(Error::invalid("SW1428", format!("{} backups begin so", found.len())).hint("name more of the id")),
    }
}

/// The files to write, by path: those of the chosen backup, and for a moment the log and the staged files of later ones.
fn files_of<'a>(chosen: &'a Manifest, manifests: &'a [Manifest], wanted: &Wanted) -> BTreeMap<&'a str, &'a KeptFile> {
    let mut files: BTreeMap<&str, &KeptFile> = chosen.files.iter().map(|file| (file.path.as_str(), file)).collect();
    if matches!(wanted, Wanted::At(_)) {
        let later = manifests.iter().filter(|manifest| manifest.taken_at > chosen.taken_at);
        for file in later.flat_map(|manifest| &manifest.files) {
            let is_staged = file.path.starts_with(TABLES) && file.path.contains("/staged-");
            if file.path.starts_with("log/") || is_staged {
                files.insert(&file.path, file);
            }
        }
    }
    files
}

/// Makes the copied segments a log, cut off behind the moment; how many entries it has.
fn finish_log(folder: &Path, chosen: &Manifest, wanted: &Wanted) -> Result<u64> {
    if !folder.exists() {
        return Ok(0);
    }
    let Wanted::At(moment) = wanted else { return log::adopt(folder, None).map(|(entries, _)| entries) };
    log::adopt(folder, None)?;
    let survey = log::Survey::of(folder);
    let (mut cut, mut failed) = (None, None);
    for number in survey.segments() {
        survey.check(*number, &mut |ordinal, entry| {
            if ordinal < chosen.entries || cut.is_some() || failed.is_some() {
                return;
            }
            match arrival_of(entry) {
                Ok(Some(arrival)) if arrival > *moment => cut = Some(ordinal),
                Ok(_) => {}
                Err(error) => failed = Some(error),
            }
        });
    }
    match failed {
        Some(error) => Err(error),
        None => log::adopt(folder, cut).map(|(entries, _)| entries),
    }
}

/// Writes into the restored catalog that it was restored.
async fn record(
    places: &Places,
    restored: &Restored,
    principal: &Principal,
    at: Instant,
    clock: Arc<dyn Clock>,
) -> Result<()> {
    let catalog = Catalog::open(&places.catalog, clock, Arc::new(OsRng)).await?;
    let permit = catalog.authorize(principal, Action::Administer, "restore").await?;
    let body = json!({
        "backup": restored.backup,
        "taken_at": restored.taken_at.to_string(),
        "entries": restored.entries,
        "entries_since": restored.entries_since,
        "bytes": restored.bytes,
        "elapsed_ms": restored.elapsed_ms,
    });
    catalog.record_maintenance(&permit, MaintenanceKind::Restore, at, &body).await?;
    catalog.close().await;
    Ok(())
}

fn put_in_place(staging: &Path, data: &Path) -> Result<()> {
    if let Some(parent) = data.parent() {
        durable::create_dir_all(parent)?;
    }
    // A rename onto an empty folder replaces it; onto any other one it fails.
    durable::rename_synced(staging, data).map_err(|e| {
        Error::new(ErrorKind::Conflict, "SW1427", format!("{} cannot be put in its place", data.display())).because(e)
    })
}
