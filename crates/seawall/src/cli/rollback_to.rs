//! `rollback to`: models, declarations and tables as they were at a moment.
//!
//! The plan is made of what is on record; running it appends one frame to the log, which withdraws rows, and then moves
//! the revision and the champions. Every step that was taken is not planned again, so a run that was cut off is finished
//! by running it again; the tables are finished by any start.

use std::collections::BTreeMap;
use std::sync::Arc;

use seawall_base::error::Result;
use seawall_base::watch::Trigger;
use seawall_base::{Clock, Error, ErrorKind, Hash, Instant, Partition, SystemClock, TableName, TableVersion, column};
use seawall_catalog::policy::Action;
use seawall_pipeline::frame::{Restore, Restored};
use seawall_pipeline::pipeline::Options;
use seawall_pipeline::restore;
use seawall_storage::log::DurableLog;
use serde::Serialize;
use serde_json::json;

use crate::assemble::{Installation, datasets_of};
use crate::cli::Global;
use crate::client::Running;
use crate::output::{Exit, print_json};

/// What differs from the moment.
#[derive(Debug, Serialize)]
struct Plan {
    at: Instant,
    revision: Option<RevisionMove>,
    models: Vec<ModelMove>,
    tables: Vec<TableMove>,
}

#[derive(Debug, Serialize)]
struct RevisionMove {
    now: Hash,
    then: Hash,
}

#[derive(Debug, Serialize)]
struct ModelMove {
    model: String,
    now: Option<u32>,
    /// None when there was no champion yet: the model is left as it is.
    then: Option<u32>,
}

#[derive(Debug, Serialize)]
struct TableMove {
    dataset: String,
    now: TableVersion,
    then: Option<TableVersion>,
    kept_end: u64,
    withdrawn_rows: u64,
}

pub(super) async fn run(global: &Global, time: Instant, reason: &str, run: bool) -> Result<Exit> {
    let installation = global.open().await?;
    if time > SystemClock.now() {
        return Err(Error::invalid("SW0874", format!("{time} lies in the future")).hint("name a moment of the past"));
    }
    installation.permit(Action::RollBack, "*").await?;
    if run {
        refuse_beside_server(&installation)?;
        // What is in the log only must be in tables before it can be withdrawn from them.
        let arrival = catch_up(&installation).await?;
        let plan = plan(&installation, time).await?;
        carry_out(&installation, &plan, reason, arrival).await?;
        return told(global, &plan, true);
    }
    told(global, &plan(&installation, time).await?, false)
}

fn refuse_beside_server(installation: &Installation) -> Result<()> {
    match Running::find(&installation.settings.data) {
        None => Ok(()),
        Some(running) => {
            let message = format!("a server runs on this data folder (process {})", running.pid);
            Err(Error::new(ErrorKind::Conflict, "SW0876", message).hint("stop it, roll back, and start it again"))
        }
    }
}

async fn catch_up(installation: &Installation) -> Result<Instant> {
    let pipeline = installation.start(Arc::new(SystemClock), Options::default()).await?;
    let arrival = pipeline.last_arrival().await;
    pipeline.stop().await?;
    Ok(arrival.unwrap_or_else(|| SystemClock.now()))
}

async fn plan(installation: &Installation, at: Instant) -> Result<Plan> {
    let catalog = &installation.catalog;
    let active = installation.active().await?;
    let mut models = Vec::new();
    for model in &active.project.models {
        let now = catalog.aliases(&model.name).await?.champion;
        let then = catalog.champion_at(&model.name, at).await?.map(|reign| reign.version);
        if now != then {
            models.push(ModelMove { model: model.name.clone(), now, then });
        }
    }
    let history = catalog.revisions().await?;
    let then = history.iter().rev().find(|revision| revision.at <= at).map(|revision| revision.revision);
    let then = then.ok_or_else(|| {
        Error::not_found("SW0877", format!("nothing was applied yet at {at}"))
            .hint("`seawall status` names the first revision")
    })?;
    let now = active.revision;
    let revision = (now != then).then_some(RevisionMove { now, then });
    let mut tables = Vec::new();
    for dataset in datasets_of(&active.project.contracts) {
        tables.extend(table_move(installation, &dataset.name, at).await?);
    }
    Ok(Plan { at, revision, models, tables })
}

/// What a dataset loses; none when it loses nothing.
async fn table_move(installation: &Installation, dataset: &str, at: Instant) -> Result<Option<TableMove>> {
    use seawall_base::TableStore;
    let (catalog, tables) = (&installation.catalog, &installation.tables);
    let permit = catalog.system_permit(Action::WriteTable, "*");
    let table = TableName::dataset(dataset)?;
    let newest = match tables.snapshot(&table, None).await {
        Ok(newest) => newest,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let then = catalog.version_at(&table, at).await?;
    let cut = match then {
        Some(version) => tables.snapshot(&table, Some(version)).await?.cut,
        None => seawall_base::Cut::empty(),
    };
    if newest.cut.iter().any(|(partition, end)| partition != Partition::LIVE && end > cut.end(partition)) {
        let message = format!("dataset {dataset} has a bulk load after {at}, which cannot be withdrawn");
        return Err(Error::new(ErrorKind::Conflict, "SW0875", message).hint("name a moment after the load"));
    }
    let columns = [column::PARTITION.to_owned(), column::LSN.to_owned()];
    let rows = tables.scan(&permit, &table, newest.version, Some(&columns)).await?;
    let kept_end = cut.end(Partition::LIVE).0;
    let withdrawn_rows = restore::rows_behind(&rows, kept_end)?;
    let moved = TableMove { dataset: dataset.to_owned(), now: newest.version, then, kept_end, withdrawn_rows };
    Ok((withdrawn_rows > 0).then_some(moved))
}

async fn carry_out(installation: &Installation, plan: &Plan, reason: &str, arrival: Instant) -> Result<()> {
    if !plan.tables.is_empty() {
        withdraw(installation, plan, reason, arrival).await?;
    }
    if let Some(revision) = &plan.revision {
        installation.roll_back_revision(&revision.then.to_string(), reason).await?;
    }
    for moved in &plan.models {
        let Some(then) = moved.then else { continue };
        let permit = installation.permit(Action::RollBack, &moved.model).await?;
        let trigger = Trigger { kind: "by_hand".into(), signal: None };
        let now = SystemClock.now();
        installation.catalog.roll_back_model(&permit, &moved.model, then, trigger, reason, now).await?;
    }
    catch_up(installation).await.map(|_| ())
}

async fn withdraw(installation: &Installation, plan: &Plan, reason: &str, arrival: Instant) -> Result<()> {
    let data = &installation.settings.data;
    let log = DurableLog::open(&data.join("log"), Partition::LIVE, seawall_storage::log::Options::default())?;
    // Before the frame: without checkpoints the features are folded from the log again, whatever happens after.
    let online = data.join("online");
    if online.exists() {
        seawall_base::durable::remove_dir_all(&online)
            .map_err(|e| Error::internal("SW0876", format!("cannot remove {}", online.display())).because(e))?;
    }
    let kept = |table: &TableMove| Restored { kept_end: table.kept_end, version_before: table.now };
    let tables: BTreeMap<String, Restored> =
        plan.tables.iter().map(|table| (table.dataset.clone(), kept(table))).collect();
    let permit = installation.permit(Action::RollBack, "tables").await?;
    restore::append(&log, &permit, Restore { at: plan.at, reason: reason.to_owned(), tables }, arrival).await
}

fn told(global: &Global, plan: &Plan, done: bool) -> Result<Exit> {
    if global.json() {
        return print_json(&json!({"plan": plan, "done": done})).map(|()| Exit::Ok);
    }
    if let Some(revision) = &plan.revision {
        println!("revision {} -> {}", revision.now.short(), revision.then.short());
    }
    for moved in &plan.models {
        let now = moved.now.map_or("none".to_owned(), |version| format!("v{version}"));
        match moved.then {
            Some(then) => println!("model {}: champion {now} -> v{then}", moved.model),
            None => println!("model {}: champion {now} stays, there was none then", moved.model),
        }
    }
    for table in &plan.tables {
        let then = table.then.map_or("empty".to_owned(), |version| format!("version {}", version.0));
        println!(
            "table {}: version {} -> as in {then}, {} rows withdrawn",
            table.dataset, table.now.0, table.withdrawn_rows
        );
    }
    if plan.revision.is_none() && plan.models.is_empty() && plan.tables.is_empty() {
        println!("everything is as it was at {}", plan.at);
    } else if !done {
        println!("nothing was done: --run does it");
    }
    Ok(Exit::Ok)
}
