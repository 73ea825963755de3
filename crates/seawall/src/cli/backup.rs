//! `backup` and `restore`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use seawall_base::error::Result;
use seawall_base::{Checked, Damage, Error, ErrorKind, Finding, Instant, Severity, SystemClock};
use seawall_catalog::MaintenanceKind;
use seawall_catalog::policy::Action;
use seawall_pipeline::backup::{Manifest, Store, check};
use serde_json::json;

use crate::assemble::{Installation, local_principal};
use crate::backup::{self, Stats, Wanted};
use crate::cli::Global;
use crate::cli::verify_data::print_finding;
use crate::integrity::{Pace, Places};
use crate::output::{Exit, bytes, count, print_json, report};
use crate::progress::Bar;

/// Backups.
#[derive(Debug, Subcommand)]
pub enum Backup {
    /// Take a backup, also while a server runs; adds only what the folder does not have yet
    #[command(after_help = "\
Examples:
  seawall -C shop backup create --to /mnt/backups/shop
  seawall -C shop backup create --to s3://backups/shop    endpoint and credentials as for tables: AWS_ENDPOINT_URL, ...")]
    Create {
        /// The folder of backups, on another disk, or s3://BUCKET/PREFIX
        #[arg(long, value_name = "PLACE")]
        to: PathBuf,
    },
    /// List backups
    #[command(after_help = "Example:\n  seawall backup list --from /mnt/backups/shop")]
    List {
        /// The folder of backups, or s3://BUCKET/PREFIX
        #[arg(long, value_name = "PLACE")]
        from: PathBuf,
    },
    /// Read backups and compare every hash; 1 when one is damaged
    #[command(after_help = "Example:\n  seawall backup verify --from /mnt/backups/shop")]
    Verify {
        /// The folder of backups, or s3://BUCKET/PREFIX
        #[arg(long, value_name = "PLACE")]
        from: PathBuf,
        /// Only the backup whose id begins so
        #[arg(long)]
        id: Option<String>,
    },
    /// Remove the oldest backups and the pieces that no other one needs
    #[command(after_help = "Example:\n  seawall backup prune --from /mnt/backups/shop --keep 30")]
    Prune {
        /// The folder of backups, or s3://BUCKET/PREFIX
        #[arg(long, value_name = "PLACE")]
        from: PathBuf,
        /// How many of the newest stay
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
        keep: u32,
    },
}

/// Restore.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  seawall -C shop restore --from /mnt/backups/shop
  seawall -C shop restore --from /mnt/backups/shop --at 2026-05-01T12:00:00Z
  seawall --data-dir /tmp/drill restore --from /mnt/backups/shop

The data folder must be empty or missing. What is restored is checked like `verify data` does before it is put in its
place. With --at: the newest backup taken before, and the log of later backups up to that moment.")]
pub struct Restore {
    /// The folder of backups, or s3://BUCKET/PREFIX
    #[arg(long, value_name = "PLACE")]
    from: PathBuf,
    /// The backup whose id begins so; the newest when absent
    #[arg(long, conflicts_with = "at")]
    id: Option<String>,
    /// The moment, RFC 3339
    #[arg(long)]
    at: Option<Instant>,
}

impl Backup {
    pub(super) async fn run(&self, global: &Global) -> Result<Exit> {
        match self {
            Backup::Create { to } => create(global, to).await,
            Backup::List { from } => list(global, from),
            Backup::Verify { from, id } => verify(global, from, id.as_deref()),
            Backup::Prune { from, keep } => prune(global, from, *keep as usize),
        }
    }
}

async fn create(global: &Global, to: &std::path::Path) -> Result<Exit> {
    let places = Places::of(&global.settings().data)?;
    let installation = global.open().await?;
    let bar = Bar::reading("backup");
    let shown = bar.clone();
    let pace = Pace::unbounded(Box::new(move |what, bytes| shown.read(what, bytes)));
    let taken = create_recorded(&installation, &places, to, &pace).await;
    bar.done();
    let (manifest, stats) = taken?;
    match global.json() {
        true => print_json(&json!({
            "backup": manifest.id, "taken_at": manifest.taken_at.to_string(), "entries": manifest.entries,
            "damaged": manifest.damaged, "stats": stats,
        }))?,
        false => {
            println!(
                "backup {}: {} files, {}; {} new, in {} ms",
                manifest.id,
                count(stats.files as u64),
                bytes(stats.bytes),
                bytes(stats.new_bytes),
                count(stats.elapsed_ms)
            );
            manifest.damaged.iter().for_each(|damaged| println!("damaged: {}: {}", damaged.path, damaged.what));
        }
    }
    Ok(if manifest.damaged.is_empty() { Exit::Ok } else { Exit::Breach })
}

/// The store that `--from` names.
fn store_at(global: &Global, from: &std::path::Path) -> Result<Store> {
    backup::place::existing(from, &global.settings().data)
}

/// Takes a backup and records it in the catalog.
pub async fn create_recorded(
    installation: &Installation,
    places: &Places,
    to: &std::path::Path,
    pace: &Pace,
) -> Result<(Manifest, Stats)> {
    let permit = installation.permit(Action::Administer, "backup").await?;
    let store = backup::place::open(to, &places.data)?;
    let tables = &installation.tables;
    let (manifest, stats) = backup::take(places, &installation.catalog, tables, &store, &SystemClock, pace).await?;
    let body = json!({
        "backup": manifest.id, "to": to, "entries": manifest.entries, "files": stats.files, "bytes": stats.bytes,
        "new_bytes": stats.new_bytes, "elapsed_ms": stats.elapsed_ms, "damaged": manifest.damaged.len(),
    });
    let catalog = &installation.catalog;
    catalog.record_maintenance(&permit, MaintenanceKind::Backup, manifest.taken_at, &body).await?;
    Ok((manifest, stats))
}

fn list(global: &Global, from: &std::path::Path) -> Result<Exit> {
    let (manifests, errors) = tokio::task::block_in_place(|| store_at(global, from)?.backups())?;
    if global.json() {
        let shown: Vec<_> = manifests
            .iter()
            .map(|one| {
                json!({"id": one.id, "taken_at": one.taken_at.to_string(), "entries": one.entries, "files": one.files.len(),
                    "bytes": one.bytes(), "elapsed_ms": one.elapsed_ms, "damaged": one.damaged})
            })
            .collect();
        let unreadable: Vec<String> = errors.iter().map(ToString::to_string).collect();
        print_json(&json!({"backups": shown, "unreadable": unreadable}))?;
    } else {
        for one in &manifests {
            let damaged =
                if one.damaged.is_empty() { String::new() } else { format!(", {} damaged", one.damaged.len()) };
            println!(
                "{}  {} log entries, {} files, {}{damaged}",
                one.id,
                count(one.entries),
                count(one.files.len() as u64),
                bytes(one.bytes())
            );
        }
        errors.iter().for_each(|error| report(error, global.output));
    }
    Ok(if errors.is_empty() { Exit::Ok } else { Exit::Breach })
}

fn verify(global: &Global, from: &std::path::Path, id: Option<&str>) -> Result<Exit> {
    let store = store_at(global, from)?;
    let (manifests, errors) = tokio::task::block_in_place(|| store.backups())?;
    let chosen: Vec<&Manifest> =
        manifests.iter().filter(|manifest| id.is_none_or(|id| manifest.id.starts_with(id))).collect();
    if chosen.is_empty() && errors.is_empty() {
        return Err(Error::not_found("SW1428", "there is no such backup").hint("`seawall backup list` shows them"));
    }
    let bar = Bar::reading("verify");
    let mut all = Checked::default();
    for manifest in &chosen {
        let before = all.bytes;
        let mut read = |path: &str, bytes| bar.read(path, before + bytes);
        all.add(tokio::task::block_in_place(|| check(&store, manifest, &mut read)));
    }
    bar.done();
    if let Err(error) = tokio::task::block_in_place(|| store.check_keys()) {
        let means = "personal fields in the logs of these backups cannot be opened".to_owned();
        let found = Finding::of_error("keys".to_owned(), Damage::Altered, Severity::Critical, &error, means);
        all.findings.push(found.remedy("seawall backup create"));
    }
    let is_whole = all.is_whole() && errors.is_empty();
    if global.json() {
        let unreadable: Vec<String> = errors.iter().map(ToString::to_string).collect();
        print_json(&json!({
            "whole": is_whole, "backups": chosen.len(), "bytes": all.bytes, "findings": all.findings,
            "unreadable": unreadable,
        }))?;
    } else {
        all.findings.iter().for_each(print_finding);
        errors.iter().for_each(|error| report(error, global.output));
        let state = if is_whole { "whole" } else { "damaged" };
        println!("{} backups, {} read: {state}", chosen.len(), bytes(all.bytes));
    }
    Ok(if is_whole { Exit::Ok } else { Exit::Breach })
}

fn prune(global: &Global, from: &std::path::Path, keep: usize) -> Result<Exit> {
    let store = store_at(global, from)?;
    let (manifests, errors) = tokio::task::block_in_place(|| store.backups())?;
    if let Some(error) = errors.into_iter().next() {
        return Err(error);
    }
    let oldest = &manifests[..manifests.len().saturating_sub(keep)];
    let removed: Vec<String> = oldest.iter().map(|manifest| manifest.id.clone()).collect();
    let given_back = tokio::task::block_in_place(|| store.remove(&removed))?;
    match global.json() {
        true => print_json(&json!({"removed": removed, "bytes": given_back}))?,
        false => println!("{} backups removed, {} given back", removed.len(), bytes(given_back)),
    }
    Ok(Exit::Ok)
}

impl Restore {
    pub(super) async fn run(&self, global: &Global) -> Result<Exit> {
        let wanted = match (&self.id, self.at) {
            (Some(id), _) => Wanted::Backup(id.clone()),
            (None, Some(at)) => Wanted::At(at),
            (None, None) => Wanted::Newest,
        };
        let store = store_at(global, &self.from)?;
        let data = global.settings().data;
        let bar = Bar::reading("restore");
        let shown = bar.clone();
        let pace = Pace::unbounded(Box::new(move |what, bytes| shown.read(what, bytes)));
        let clock = Arc::new(SystemClock);
        let outcome = backup::restore(&store, &wanted, &data, &local_principal(), clock, &pace).await;
        bar.done();
        let restored = outcome?;
        if global.json() {
            print_json(&json!({"restored": restored}))?;
        } else {
            restored.findings.iter().for_each(print_finding);
            println!(
                "backup {} of {}: {} files, {}, {} log entries ({} since), in {} ms",
                restored.backup,
                restored.taken_at,
                count(restored.files as u64),
                bytes(restored.bytes),
                count(restored.entries),
                count(restored.entries_since),
                count(restored.elapsed_ms)
            );
        }
        if restored.findings.is_empty() {
            return Ok(Exit::Ok);
        }
        let message = format!("the restored folder is damaged, {} stays as it was", data.display());
        report(&Error::new(ErrorKind::Corrupt, "SW1431", message).hint("use another backup"), global.output);
        Ok(Exit::Breach)
    }
}
