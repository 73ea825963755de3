//! Taking a backup while a server may run.
//!
//! Parts are read in the order in which each may only lag behind the next: checkpoints of states, the catalog, tables, features, models and
//! everything else, then the log. So a restored catalog knows no version that its tables lack, and a restored table has no
//! row that its log lacks; what the log has beyond the tables is committed again by the next start, as after a crash. Of a
//! table, commits are read first and then the files that they name. Of the log's newest segment, the frames that are whole.
//! Files that bulk loads have staged come last, because a frame of the log may name one that no table shows yet.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use seawall_base::error::Result;
use seawall_base::{Clock, Error, Instant, Offset, TableName, TableStore, durable};
use seawall_catalog::Catalog;
use seawall_lake::table::DeltaStore;
use seawall_pipeline::backup::{Item, Manifest, Store, Taken, Taking, clear};
use seawall_storage::{log, online};
use serde::Serialize;

use super::{CATALOG, LOG, ONLINE, STATE, TABLES};
use crate::assemble::KEYS;
use crate::assemble::spill::SPILL;
use crate::integrity::{Pace, Places, STATES};

/// How often a table or a checkpoint that changed while it was read is read again.
const ATTEMPTS_MAX: usize = 5;
/// Folders and files of the data folder that are taken in their own way, or are of no use elsewhere.
const APART: [&str; 12] =
    [KEYS, STATE, CATALOG, TABLES, LOG, ONLINE, SPILL, "models", "damaged", "inject", "serve.json", "scrub.json"];

/// What a backup read and wrote.
#[derive(Debug, Clone, Serialize)]
pub struct Stats {
    /// Files in the backup.
    pub files: usize,
    /// Bytes that a restore writes.
    pub bytes: u64,
    /// Bytes that were read.
    pub read_bytes: u64,
    /// Bytes that were new to the folder of backups.
    pub new_bytes: u64,
    /// How long it took.
    pub elapsed_ms: u64,
}

/// Takes a backup of the data folder into `store`.
pub async fn take(
    places: &Places,
    catalog: &Catalog,
    tables: &DeltaStore,
    store: &Store,
    clock: &dyn Clock,
    pace: &Pace,
) -> Result<(Manifest, Stats)> {
    if crate::tables::is_elsewhere(&places.data) {
        return Err(Error::invalid("SW1432", "the tables lie in a bucket, which backups do not copy")
            .hint("let the bucket keep versions of its objects; a backup of the rest alone could not be restored"));
    }
    let taken_at = clock.now();
    let mut taking = tokio::task::block_in_place(|| {
        let lock = store.lock("backup")?;
        let (manifests, _) = store.backups()?;
        Taking::begin(store, manifests.last(), lock)
    })?;
    take_states(places, &mut taking)?;
    take_catalog(places, catalog, store.passing(), &mut taking, pace).await?;
    let names = tables.tables().await?;
    for name in &names {
        take_table(places, tables, name, &mut taking, pace).await?;
    }
    take_features(places, &mut taking)?;
    take_models(places, &mut taking, pace).await?;
    take_others(places, &mut taking, pace).await?;
    let (entries, end) = take_log(places, &mut taking, pace).await?;
    for name in &names {
        take_staged(places, name, &mut taking, pace).await?;
    }
    // After the log, so that no frame of it is sealed with a key that the copy lacks.
    tokio::task::block_in_place(|| store.keep_keys(&places.keys))?;
    let (read_bytes, new_bytes) = (taking.read_bytes, taking.new_bytes);
    let elapsed_ms = milliseconds(taken_at, clock.now());
    let manifest = tokio::task::block_in_place(|| taking.finish(taken_at, elapsed_ms, entries, end))?;
    let stats = Stats { files: manifest.files.len(), bytes: manifest.bytes(), read_bytes, new_bytes, elapsed_ms };
    Ok((manifest, stats))
}

pub(super) fn milliseconds(from: Instant, to: Instant) -> u64 {
    u64::try_from((to.0 - from.0) / 1_000).unwrap_or(0)
}

/// Takes one item and keeps the pace.
async fn take_one(taking: &mut Taking<'_>, item: &Item, pace: &Pace) -> Result<Taken> {
    let before = taking.read_bytes;
    let taken = tokio::task::block_in_place(|| taking.take(item))?;
    pace.read(&item.path, taking.read_bytes - before).await;
    Ok(taken)
}

async fn take_catalog(
    places: &Places,
    catalog: &Catalog,
    passing: &Path,
    taking: &mut Taking<'_>,
    pace: &Pace,
) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    clear(passing)?;
    durable::create_dir_all(passing)?;
    std::fs::set_permissions(passing, std::fs::Permissions::from_mode(0o700))?;
    let copy = passing.join("catalog.db");
    let copied = async {
        catalog.copy_to(&copy).await?;
        std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o600))?;
        take_one(taking, &Item::whole(format!("{CATALOG}/catalog.db"), copy.clone()), pace).await
    };
    let taken = copied.await;
    clear(passing)?;
    taken?;
    for entry in std::fs::read_dir(&places.catalog)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with("catalog.db") && entry.path().is_file() {
            take_one(taking, &Item::whole(format!("{CATALOG}/{name}"), entry.path()), pace).await?;
        }
    }
    Ok(())
}

async fn take_table(
    places: &Places,
    tables: &DeltaStore,
    name: &TableName,
    taking: &mut Taking<'_>,
    pace: &Pace,
) -> Result<()> {
    for _ in 0..ATTEMPTS_MAX {
        if try_table(places, tables, name, taking, pace).await? {
            return Ok(());
        }
    }
    let message = format!("files of table {name} were removed at every attempt to read them");
    Err(Error::new(seawall_base::ErrorKind::Unavailable, "SW1425", message).hint("try again when compaction has ended"))
}

/// False when a file was removed meanwhile.
async fn try_table(
    places: &Places,
    tables: &DeltaStore,
    name: &TableName,
    taking: &mut Taking<'_>,
    pace: &Pace,
) -> Result<bool> {
    let folder = places.tables.join(name.as_str());
    let survey = tables.survey(name).await?;
    for path in &survey.log_files {
        let item = Item { is_immutable: true, ..table_item(name, path, &folder) };
        if take_one(taking, &item, pace).await? == Taken::Gone {
            return Ok(false);
        }
    }
    for file in survey.files.values() {
        let expected = file.hash.map(|hash| (file.bytes, hash));
        let item = Item { expected, is_immutable: true, ..table_item(name, &file.path, &folder) };
        let gone = take_one(taking, &item, pace).await? == Taken::Gone;
        if gone && file.is_current {
            return Ok(false);
        }
    }
    Ok(true)
}

fn table_item(table: &TableName, path: &str, folder: &Path) -> Item {
    Item::whole(format!("{TABLES}/{table}/{path}"), folder.join(path))
}

async fn take_staged(places: &Places, name: &TableName, taking: &mut Taking<'_>, pace: &Pace) -> Result<()> {
    let folder = places.tables.join(name.as_str());
    for entry in std::fs::read_dir(&folder)? {
        let file = entry?.file_name().to_string_lossy().into_owned();
        let item = Item { is_immutable: true, ..table_item(name, &file, &folder) };
        if file.starts_with("staged-") && file.ends_with(".parquet") && !taking.has(&item.path) {
            take_one(taking, &item, pace).await?;
        }
    }
    Ok(())
}

/// The checkpoints of what a start would read from the log, each as of one moment; without one it is read from the log.
fn take_states(places: &Places, taking: &mut Taking<'_>) -> Result<()> {
    for name in STATES {
        let folder = places.data.join(STATE).join(name);
        for _ in 0..ATTEMPTS_MAX {
            let Some(files) = seawall_storage::state::newest_files(&folder) else { break };
            let mut is_whole = true;
            for file in files {
                // Nothing but what belongs together: a manifest only when every file that it names was there.
                let item = Item::whole(format!("{STATE}/{name}/{file}"), folder.join(&file));
                is_whole = is_whole && tokio::task::block_in_place(|| taking.take(&item))? == Taken::Kept;
            }
            if is_whole {
                break;
            }
        }
    }
    Ok(())
}

/// The features' checkpoint as of one moment; without one they are folded from tables and log.
fn take_features(places: &Places, taking: &mut Taking<'_>) -> Result<()> {
    for _ in 0..ATTEMPTS_MAX {
        let Some((manifest, states)) = online::checkpoint_files(&places.online) else { return Ok(()) };
        let items = states.iter().map(|name| Item {
            is_immutable: true,
            ..Item::whole(format!("{ONLINE}/{name}"), places.online.join(name))
        });
        let mut is_whole = true;
        for item in items {
            is_whole &= tokio::task::block_in_place(|| taking.take(&item))? == Taken::Kept;
        }
        if is_whole {
            return taking.take_bytes(&format!("{ONLINE}/manifest.json"), &manifest, 0o644);
        }
    }
    Ok(())
}

async fn take_models(places: &Places, taking: &mut Taking<'_>, pace: &Pace) -> Result<()> {
    for digest in seawall_model::check::kept(&places.models)? {
        let from = seawall_model::check::path(&places.models, digest);
        let Ok(metadata) = std::fs::metadata(&from) else { continue };
        let expected = Some((metadata.len(), digest));
        let path = format!("models/{digest}.model");
        take_one(taking, &Item { expected, is_immutable: true, ..Item::whole(path, from) }, pace).await?;
    }
    for note in seawall_model::retire::notes(&places.models)? {
        let from = places.models.join(&note);
        take_one(taking, &Item::whole(format!("models/{note}"), from), pace).await?;
    }
    Ok(())
}

/// Whatever else the data folder holds: keys, checkpoints of other parts.
async fn take_others(places: &Places, taking: &mut Taking<'_>, pace: &Pace) -> Result<()> {
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(places.data.join(&folder))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let is_apart = folder.as_os_str().is_empty() && APART.contains(&name.as_str());
            let is_passing = name == "lock" || name.ends_with(".tmp") || name.contains('#');
            if is_apart || is_passing {
                continue;
            }
            let path = folder.join(&name);
            let from = places.data.join(&path);
            if from.is_dir() {
                folders.push(path);
            } else {
                take_one(taking, &Item::whole(path.to_string_lossy(), from), pace).await?;
            }
        }
    }
    Ok(())
}

/// Takes the log; how many entries of it, and where they end.
async fn take_log(places: &Places, taking: &mut Taking<'_>, pace: &Pace) -> Result<(u64, Offset)> {
    for _ in 0..ATTEMPTS_MAX {
        let folder = places.log.clone();
        let surveyed = tokio::task::spawn_blocking(move || {
            let survey = log::Survey::of(&folder);
            let last = survey.segments().last().map(|last| survey.check(*last, &mut |_, _| ()));
            (survey, last)
        });
        let (survey, last) = surveyed.await.map_err(|e| Error::internal("SW1404", "a check was cut off").because(e))?;
        let survey = Arc::new(survey);
        let Some(last) = last else { return Ok((0, Offset(0))) };
        if let Some(found) = survey.checked().findings.iter().chain(&last.checked.findings).next() {
            return Err(Error::corrupt("SW1426", format!("the log cannot be backed up: {}", found.what))
                .hint("`seawall verify data` shows what is damaged; earlier backups are as they were"));
        }
        if try_log(&survey, last.used_bytes, taking, pace).await? {
            return Ok((last.entries, last.end));
        }
    }
    Err(Error::new(seawall_base::ErrorKind::Unavailable, "SW1425", "segments of the log were retired at every attempt")
        .hint("try again"))
}

/// False when a segment was retired meanwhile.
async fn try_log(survey: &log::Survey, used_bytes: u64, taking: &mut Taking<'_>, pace: &Pace) -> Result<bool> {
    let (last, sealed) = match survey.segments().split_last() {
        Some(parts) => parts,
        None => return Ok(true),
    };
    let item = |number: u64| {
        let from = survey.path(number);
        let name = from.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Item::whole(format!("{LOG}/{name}"), from)
    };
    let newest = Item { prefix: Some(used_bytes), ..item(*last) };
    if take_one(taking, &newest, pace).await? == Taken::Gone {
        return Ok(false);
    }
    for number in sealed {
        let item = Item { is_immutable: true, ..item(*number) };
        if take_one(taking, &item, pace).await? == Taken::Gone {
            return Ok(false);
        }
    }
    if let Some(epoch) = survey.epoch_file() {
        taking.take_bytes(&format!("{LOG}/epoch"), &epoch, 0o644)?;
    }
    Ok(true)
}
