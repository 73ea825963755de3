//! Taking the steps of a plan.

use std::path::{Path, PathBuf};

use seawall_base::error::Result;
use seawall_base::{Clock, Error, ErrorKind, Instant, Permit, SystemClock, durable};
use seawall_catalog::{Catalog, Effect, IntentId};
use seawall_lake::table::{DeltaStore, Origin};
use seawall_pipeline::integrity::{Gather, Gathered, in_schema};
use seawall_storage::log;
use serde_json::json;

use super::{Impossible, Plan, Step, Work};
use crate::integrity::{Known, Places, dataset_of};

/// Kind of the intents of a repair.
const REPAIR: &str = "repair";
/// Where damaged files are kept.
const DAMAGED: &str = "damaged";

/// What became of a plan.
#[derive(Debug, Default, serde::Serialize)]
pub struct Done {
    /// Steps that were taken.
    pub taken: Vec<Step>,
    /// Steps that turned out to be impossible.
    pub refused: Vec<Impossible>,
    /// Where the damaged files are; none when there were none.
    pub damaged: Option<PathBuf>,
}

/// Takes every step of `plan`. The caller owns the data folder.
pub async fn run(places: &Places, plan: &Plan, known: &Known, catalog: &Catalog, permit: &Permit) -> Result<Done> {
    close_open_intents(catalog, permit).await?;
    let mut done = Done::default();
    let mut gathered = gather(places, plan, known.log_is_whole).await?.into_iter();
    let aside = places.data.join(DAMAGED).join(folder_name(SystemClock.now()));
    for step in &plan.steps {
        let rows = if wanted(step).is_some() { gathered.next() } else { None };
        // A store of its own for every step: none remembers a state from before.
        let Some(store) = places.store()? else { break };
        let taking = Taking { places, known, permit, rows, store };
        if let Err(error) = taking.check(step).await {
            done.refused.push(refused(step, &error));
            continue;
        }
        let intent = announce(catalog, permit, step).await?;
        let moved = set_aside(places, &aside, &step.sets_aside)?;
        if moved {
            done.damaged = Some(aside.clone());
        }
        let outcome = taking.take(step).await;
        let told = json!({"done": outcome.is_ok(), "error": outcome.as_ref().err().map(ToString::to_string)});
        catalog.resolve_intent(permit, &intent, &told).await?;
        match outcome {
            Ok(()) => done.taken.push(step.clone()),
            Err(error) => done.refused.push(refused(step, &error)),
        }
    }
    Ok(done)
}

/// One step and what it needs.
struct Taking<'a> {
    places: &'a Places,
    known: &'a Known,
    permit: &'a Permit,
    rows: Option<Gathered>,
    store: DeltaStore,
}

impl Taking<'_> {
    /// Whether the step can be taken, without changing anything.
    async fn check(&self, step: &Step) -> Result<()> {
        self.work(step, false).await
    }

    async fn take(&self, step: &Step) -> Result<()> {
        self.work(step, true).await
    }

    async fn work(&self, step: &Step, run: bool) -> Result<()> {
        match &step.work {
            Work::Commit { table, lost } => {
                let survey = self.known.tables.get(table.as_str()).map(|found| &found.survey);
                let orphan = match survey {
                    Some(survey) => self.store.orphan_of(table, survey, lost).await?,
                    None => None,
                };
                let schema = self.store.schema_before(table, lost.version).await?;
                let (rows, staged) = match (&self.rows, &orphan) {
                    (Some(found), _) if found.is_complete => (in_schema(&found.rows, &schema)?, found.staged.clone()),
                    (_, Some(_)) => (Vec::new(), Vec::new()),
                    _ => return Err(not_in_log()),
                };
                self.store.mend_commit(self.permit, table, lost, orphan, rows, staged, run).await.map(|_| ())
            }
            Work::File { table, file, .. } => {
                let found = self.rows.as_ref().filter(|found| found.is_complete).ok_or_else(not_in_log)?;
                let schema = self.store.schema_before(table, file.shown.0).await?;
                self.store.mend_file(table, file, in_schema(&found.rows, &schema)?, run).await
            }
            Work::Checkpoints { table, versions } => self.store.renew_checkpoints(table, versions, run).await,
            Work::Features => match run && self.places.online.exists() {
                true => Err(Error::internal("SW1412", "the checkpoint of the features is still there")),
                false => Ok(()),
            },
        }
    }
}

/// The rows that a step needs out of the log.
fn wanted(step: &Step) -> Option<Gathered> {
    let (table, from, until) = match &step.work {
        Work::Commit { table, lost } => (table, &lost.from, &lost.until),
        Work::File { table, origin: Origin::Log { from, until }, .. } => (table, from, until),
        Work::File { .. } | Work::Checkpoints { .. } | Work::Features => return None,
    };
    let (dataset, is_quarantine) = dataset_of(table.as_str())?;
    Some(Gathered::wanted(dataset, is_quarantine, from.clone(), until.clone()))
}

/// Walks the log once for all steps.
async fn gather(places: &Places, plan: &Plan, log_is_whole: bool) -> Result<Vec<Gathered>> {
    let wanted: Vec<Gathered> = plan.steps.iter().filter_map(wanted).collect();
    if wanted.is_empty() {
        return Ok(wanted);
    }
    let folder = places.log.clone();
    let keys = places.key_ring()?;
    let walk = move || {
        let survey = log::Survey::of(&folder);
        let mut gather = Gather::of(wanted, Some(keys));
        for number in survey.segments() {
            survey.check(*number, &mut |_, entry| gather.take(entry));
        }
        gather.finish(log_is_whole)
    };
    tokio::task::spawn_blocking(walk).await.map_err(|e| Error::internal("SW1404", "a check was cut off").because(e))
}

/// Moves files out of the way; whether there were any.
fn set_aside(places: &Places, aside: &Path, files: &[PathBuf]) -> Result<bool> {
    let mut moved = false;
    for file in files.iter().filter(|file| file.exists()) {
        let relative = file.strip_prefix(&places.data).unwrap_or(file);
        let target = aside.join(relative);
        if let Some(folder) = target.parent() {
            durable::create_dir_all(folder)?;
        }
        durable::rename_synced(file, &target)?;
        durable::sync_parent(file)?;
        moved = true;
    }
    Ok(moved)
}

/// Steps of a repair that was cut off: what they left is found and planned anew.
async fn close_open_intents(catalog: &Catalog, permit: &Permit) -> Result<()> {
    for intent in catalog.open_intents().await? {
        if intent.effect.kind == REPAIR {
            catalog.resolve_intent(permit, &intent.id, &json!({"done": false, "error": "it was cut off"})).await?;
        }
    }
    Ok(())
}

async fn announce(catalog: &Catalog, permit: &Permit, step: &Step) -> Result<IntentId> {
    let expected = json!({"what": step.what, "sets_aside": step.sets_aside});
    catalog.open_intent(permit, &Effect { kind: REPAIR.into(), target: step.object.clone(), expected }).await
}

fn folder_name(now: Instant) -> String {
    now.to_string().replace(':', "-")
}

fn refused(step: &Step, error: &Error) -> Impossible {
    let remedy = error.remedy().unwrap_or("put it back from a backup of the data folder").to_owned();
    Impossible { object: step.object.clone(), what: step.what.clone(), why: error.to_string(), remedy }
}

fn not_in_log() -> Error {
    Error::new(ErrorKind::NotFound, "SW1413", "the log does not hold all of its rows any more")
        .hint("put it back from a backup of the data folder")
}
