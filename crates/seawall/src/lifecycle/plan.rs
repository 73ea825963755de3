//! What goes now, and what stays.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::RecordBatch;
use seawall_base::error::Result;
use seawall_base::{Hash, Instant, Permit, Span, TableName, TableStore, column};
use seawall_catalog::project::keep::{Class, Lifecycle, derived_datasets};
use seawall_pipeline::revision::instants;
use seawall_pipeline::upkeep::Tables;

use super::{Plan, Stays, Step, Work};
use crate::assemble::Installation;

/// How the names of tables end that are no dataset's.
const QUARANTINE: &str = "__quarantine";
const SERVED: &str = "__served";
const PREDICTIONS: &str = "__predictions";

/// What the rules of `lifecycle` give up at `now`.
pub async fn plan(
    installation: &Installation,
    tables: &Tables,
    permit: &Permit,
    lifecycle: &Lifecycle,
    now: Instant,
) -> Result<Plan> {
    let derived = derived_datasets(&installation.active().await?.project);
    let mut plan = Plan::default();
    for table in installation.tables.tables().await? {
        let class = class_of(&table, &derived);
        if let Some(keep) = lifecycle.keep_versions(class) {
            plan_versions(&mut plan, tables, permit, class, &table, keep).await?;
        }
        if let (Some(keep), true) = (lifecycle.quarantine, table.as_str().ends_with(QUARANTINE)) {
            plan_quarantine(&mut plan, installation, permit, class, &table, keep, now).await?;
        }
    }
    if let Some(keep) = lifecycle.unused_models {
        plan_models(&mut plan, installation, lifecycle, keep, now).await?;
    }
    Ok(plan)
}

/// The class of a table; a quarantine has that of its dataset.
fn class_of(table: &TableName, derived: &BTreeSet<String>) -> Class {
    let name = table.as_str();
    if table.is_training_set() || name.ends_with(SERVED) {
        return Class::Features;
    }
    if name.ends_with(PREDICTIONS) {
        return Class::Models;
    }
    let dataset = name.strip_suffix(QUARANTINE).unwrap_or(name);
    if derived.contains(dataset) { Class::Derived } else { Class::Raw }
}

async fn plan_versions(
    plan: &mut Plan,
    tables: &Tables,
    permit: &Permit,
    class: Class,
    table: &TableName,
    keep: Span,
) -> Result<()> {
    let vacuum = tables.vacuum(permit, table, keep, true).await?;
    let rule = format!("{}.keep_versions: {keep}", class.as_str());
    let object = format!("table {table}");
    if !vacuum.pinned.is_empty() {
        let versions: Vec<String> = vacuum.pinned.iter().map(|version| version.0.to_string()).collect();
        let why = format!("a training set or a certificate is bound to versions {}", versions.join(", "));
        plan.stays.push(Stays { class, object: object.clone(), why });
    }
    if vacuum.data_files == 0 && vacuum.log_files == 0 {
        return Ok(());
    }
    plan.steps.push(Step {
        class,
        object,
        what: format!("versions before {} are given up", vacuum.readable_from.0),
        why: rule,
        rows: 0,
        files: (vacuum.data_files + vacuum.log_files) as u64,
        bytes: vacuum.data_bytes,
        work: Work::Versions { table: table.clone(), keep },
    });
    Ok(())
}

async fn plan_quarantine(
    plan: &mut Plan,
    installation: &Installation,
    permit: &Permit,
    class: Class,
    table: &TableName,
    keep: Span,
    now: Instant,
) -> Result<()> {
    let newest = installation.tables.snapshot(table, None).await?.version;
    let arrival = [column::ARRIVAL.to_owned()];
    let mut rows = 0;
    for batch in installation.tables.scan(permit, table, newest, Some(&arrival)).await? {
        rows += older_than(&batch, now, keep)?.into_iter().filter(|is_old| *is_old).count() as u64;
    }
    if rows > 0 {
        plan.steps.push(Step {
            class,
            object: format!("table {table}"),
            what: format!("{rows} stopped rows are deleted"),
            why: format!("raw.quarantine: {keep}"),
            rows,
            files: 0,
            bytes: 0,
            work: Work::Quarantine { table: table.clone(), keep },
        });
    }
    Ok(())
}

/// For each row, whether it arrived more than `keep` before `now`.
pub(super) fn older_than(rows: &RecordBatch, now: Instant, keep: Span) -> Result<Vec<bool>> {
    let bound = now.0.saturating_sub(keep.0);
    Ok(instants(rows, column::ARRIVAL)?.values().iter().map(|arrival| *arrival < bound).collect())
}

async fn plan_models(
    plan: &mut Plan,
    installation: &Installation,
    lifecycle: &Lifecycle,
    keep: Span,
    now: Instant,
) -> Result<()> {
    let users = users(installation).await?;
    let folder = installation.settings.data.join("models");
    for digest in seawall_model::check::kept(&folder)? {
        // An artifact that no version names is one that a training has just made, or belongs to nobody here.
        let Some(user) = users.get(&digest).filter(|user| user.trained_at + keep <= now) else { continue };
        let object = format!("model {} ({})", digest.short(), user.versions.join(", "));
        if let Some(why) = &user.in_use {
            plan.stays.push(Stays { class: Class::Models, object, why: why.clone() });
            continue;
        }
        let what = match &lifecycle.move_models_to {
            Some(to) => format!("its artifact is moved to {}", to.display()),
            None => "its artifact is removed".to_owned(),
        };
        plan.steps.push(Step {
            class: Class::Models,
            object,
            what,
            why: format!("models.unused: {keep}"),
            rows: 0,
            files: 1,
            bytes: std::fs::metadata(seawall_model::check::path(&folder, digest))?.len(),
            work: Work::Model { digest },
        });
    }
    Ok(())
}

/// The versions that an artifact belongs to.
struct User {
    versions: Vec<String>,
    /// When the last of them was trained.
    trained_at: Instant,
    /// Why one of them is needed.
    in_use: Option<String>,
}

async fn users(installation: &Installation) -> Result<BTreeMap<Hash, User>> {
    let catalog = &installation.catalog;
    let proposals = catalog.open_proposals().await?;
    let mut users: BTreeMap<Hash, User> = BTreeMap::new();
    for version in catalog.every_model_version().await? {
        let aliases = catalog.aliases(&version.model).await?;
        let number = Some(version.version);
        let marks = [(aliases.champion, "champion"), (aliases.challenger, "challenger"), (aliases.former, "former")];
        let mark = marks.iter().find(|(alias, _)| *alias == number).map(|(_, mark)| *mark);
        let is_proposed =
            || proposals.iter().any(|open| open.decision.model == version.model && open.decision.version == number);
        let name = format!("{}@{}", version.model, version.version);
        let in_use = match mark {
            Some("former") => Some(format!("a rollback would bring {name} back")),
            Some(mark) => Some(format!("{name} is the {mark}")),
            None => is_proposed().then(|| format!("{name} waits for approval")),
        };
        let user = users.entry(version.digest).or_insert_with(|| User {
            versions: Vec::new(),
            trained_at: Instant::MIN,
            in_use: None,
        });
        user.versions.push(name);
        user.trained_at = user.trained_at.max(version.trained_at);
        user.in_use = user.in_use.take().or(in_use);
    }
    Ok(users)
}
