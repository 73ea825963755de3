//! Revisions in SQL.

use seawall_base::declare::{FeatureService, FeatureView};
use seawall_base::{Error, Hash, Permit, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tracing::info;

use super::numbered::{KnownVersion, Numbered, Numbering, Versions};
use super::plan::{Decision, Declared, State, decide, declared};
use super::{ActiveProject, Applied, Change, ChangeKind, Revision, base_moved, bindings};
use crate::audit::{self, Draft};
use crate::catalog::Catalog;
use crate::database::{Connection, DuringResult, Fields, Write, stored};
use crate::lineage::{self, LineageEdge};
use crate::policy::{Action, expect_action};
use crate::project::model::Project;
use crate::training::to_json;

/// Digits that tell a revision apart from most others.
const PREFIX_MIN: usize = 4;

/// See [`Catalog::apply`].
pub(super) async fn apply(
    catalog: &Catalog,
    permit: &Permit,
    project: &Project,
    base: Option<Hash>,
    edges: &[LineageEdge],
) -> Result<Applied> {
    expect_action(permit, &[Action::ApplyProject])?;
    let mut write = catalog.begin().await?;
    let state = state(write.connection()).await?;
    expect_base(base, &state)?;
    let decision = decide(&state, project, edges)?;
    let activation = Activation { event: "applied", reason: None, edges: Some(edges) };
    activate(catalog, &mut write, permit, &state, &decision, activation).await?;
    write.commit().await?;
    info!(revision = %decision.revision.short(), principal = permit.principal(), "revision applied");
    Ok(Applied { revision: decision.revision, previous: state.active, changes: decision.changes })
}

/// See [`Catalog::roll_back_revision`].
pub(super) async fn roll_back(
    catalog: &Catalog,
    permit: &Permit,
    revision: Hash,
    why: &str,
    base: Option<Hash>,
    edges: Option<&[LineageEdge]>,
) -> Result<Applied> {
    expect_action(permit, &[Action::ApplyProject])?;
    let mut write = catalog.begin().await?;
    let state = state(write.connection()).await?;
    expect_base(base, &state)?;
    let project = stored_project(write.connection(), revision).await?;
    let kept = lineage::of_revision(write.connection(), revision).await?;
    let mut decision = decide(&state, &project, edges.unwrap_or(&kept))?;
    // The revision keeps its name even if this release would hash its content differently.
    decision.revision = revision;
    let from = state.active.map_or("nothing".to_owned(), |active| active.short());
    let reason = Some(format!("rolled back from {from}: {why}"));
    let activation = Activation { event: "rolled_back", reason, edges };
    activate(catalog, &mut write, permit, &state, &decision, activation).await?;
    write.commit().await?;
    info!(revision = %revision.short(), principal = permit.principal(), "revision rolled back");
    Ok(Applied { revision, previous: state.active, changes: decision.changes })
}

fn expect_base(base: Option<Hash>, state: &State) -> Result<()> {
    match base {
        Some(base) if state.active != Some(base) => Err(base_moved(base, state.active)),
        Some(_) | None => Ok(()),
    }
}

/// How a revision becomes active.
struct Activation<'a> {
    /// Event of the audit entry.
    event: &'static str,
    /// Why, when it was not applied from declarations.
    reason: Option<String>,
    /// Its lineage; the revision keeps what it has when absent.
    edges: Option<&'a [LineageEdge]>,
}

async fn activate(
    catalog: &Catalog,
    write: &mut Write<'_>,
    permit: &Permit,
    state: &State,
    decision: &Decision,
    activation: Activation<'_>,
) -> Result<()> {
    let now = catalog.now();
    let revision = decision.revision.to_string();
    let connection = write.connection();
    sqlx::query("INSERT INTO revision (hash, project, created_at) VALUES ($1, $2, $3) ON CONFLICT (hash) DO NOTHING")
        .bind(revision.as_str())
        .bind(to_json(&decision.project)?)
        .bind(now.0)
        .execute(&mut *connection)
        .await
        .during("recording a revision")?;
    keep_numbering(connection, &decision.views, &revision, now.0).await?;
    keep_numbering(connection, &decision.services, &revision, now.0).await?;
    if let Some(edges) = activation.edges {
        lineage::replace(connection, decision.revision, edges).await?;
    }
    let moved = state.active != Some(decision.revision);
    let is_one = |change: &&Change| change.what != ChangeKind::Unchanged;
    let changes: Vec<Change> = decision.changes.iter().filter(is_one).cloned().collect();
    let mut detail = json!({"revision": revision, "previous": state.active, "moved": moved, "changes": changes});
    if let Some(reason) = &activation.reason {
        detail["reason"] = reason.as_str().into();
    }
    if moved {
        let step = match activation.reason {
            None => Step::Applied(changes),
            Some(reason) => Step::Explained { reason, changes },
        };
        insert_activation(connection, permit, &revision, state.active, &step, now.0).await?;
    }
    audit::append(write, now, Draft::of(activation.event, permit, detail)).await
}

/// Keeps the new versions, and which ones the revision has.
async fn keep_numbering<T: Numbered>(
    connection: &mut Connection,
    numbering: &Numbering<T>,
    revision: &str,
    now: i64,
) -> Result<()> {
    for new in &numbering.new {
        let id = new.definition.id();
        sqlx::query(T::KEEP)
            .bind(id.name)
            .bind(i64::from(id.version))
            .bind(new.hash.to_string())
            .bind(to_json(&new.definition)?)
            .bind(revision)
            .bind(now)
            .execute(&mut *connection)
            .await
            .during("recording a version of a definition")?;
    }
    for id in numbering.declared.iter().map(Numbered::id) {
        sqlx::query(T::BIND)
            .bind(revision)
            .bind(id.name)
            .bind(i64::from(id.version))
            .execute(&mut *connection)
            .await
            .during("recording the definitions of a revision")?;
    }
    Ok(())
}

/// What `activation.changes` holds. The first release wrote lists only.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Step {
    /// The revision was applied from declarations.
    Applied(Vec<Change>),
    /// It became active for a reason of its own.
    Explained { reason: String, changes: Vec<Change> },
}

async fn insert_activation(
    connection: &mut Connection,
    permit: &Permit,
    revision: &str,
    previous: Option<Hash>,
    step: &Step,
    now: i64,
) -> Result<()> {
    let row = sqlx::query("SELECT COALESCE(MAX(seq), 0) AS seq FROM activation")
        .fetch_one(&mut *connection)
        .await
        .during("reading the history of revisions")?;
    sqlx::query(
        "INSERT INTO activation (seq, revision, previous, at, principal, permit, changes)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(stored(row.count("seq")? + 1)?)
    .bind(revision)
    .bind(previous.map(|hash| hash.to_string()))
    .bind(now)
    .bind(permit.principal())
    .bind(permit.id())
    .bind(to_json(step)?)
    .execute(connection)
    .await
    .during("activating a revision")?;
    Ok(())
}

/// The hash of the active revision.
pub(crate) async fn active_hash(connection: &mut Connection) -> Result<Option<Hash>> {
    let row = sqlx::query("SELECT revision FROM activation ORDER BY seq DESC LIMIT 1")
        .fetch_optional(connection)
        .await
        .during("looking the active revision up")?;
    row.map(|row| row.hash("revision")).transpose()
}

/// Everything that a decision depends on.
pub(super) async fn state(connection: &mut Connection) -> Result<State> {
    let active = active_hash(connection).await?;
    let project = match active {
        Some(revision) => Some(numbered_project(connection, revision).await?),
        None => None,
    };
    let edges = match active {
        Some(revision) => lineage::of_revision(connection, revision).await?,
        None => Vec::new(),
    };
    let services = versions(connection).await?;
    Ok(State { active, project, versions: versions(connection).await?, services, edges })
}

/// The versions of every declaration of a kind.
pub(super) async fn versions<T: Numbered>(connection: &mut Connection) -> Result<Versions<T>> {
    let rows = sqlx::query(T::VERSIONS).fetch_all(connection).await.during("reading the versions of definitions")?;
    let mut versions = Versions::new();
    for row in rows {
        let known = KnownVersion { hash: row.hash("definition_hash")?, definition: row.json("definition")? };
        versions.entry(row.text("name")?).or_default().push(known);
    }
    Ok(versions)
}

/// See [`Catalog::find_revision`].
pub(super) async fn find(connection: &mut Connection, prefix: &str) -> Result<Hash> {
    let wanted = prefix.trim().to_ascii_lowercase();
    let is_hash = wanted.len() <= 64 && wanted.bytes().all(|byte| byte.is_ascii_hexdigit());
    if wanted.len() < PREFIX_MIN || !is_hash {
        return Err(Error::invalid("SW0184", format!("{prefix:?} does not name a revision"))
            .hint(format!("give its hash, or at least {PREFIX_MIN} digits of its beginning")));
    }
    // No digit has a meaning in a pattern.
    let rows = sqlx::query("SELECT hash FROM revision WHERE hash LIKE $1 ORDER BY hash LIMIT 2")
        .bind(format!("{wanted}%"))
        .fetch_all(connection)
        .await
        .during("looking a revision up")?;
    match rows.as_slice() {
        [] => Err(Error::not_found("SW0685", format!("there is no revision {prefix}")).hint("list the revisions")),
        [one] => one.hash("hash"),
        _ => Err(Error::invalid("SW0184", format!("several revisions begin with {prefix}")).hint("give more digits")),
    }
}

async fn stored_project(connection: &mut Connection, revision: Hash) -> Result<Project> {
    let row = sqlx::query("SELECT project FROM revision WHERE hash = $1")
        .bind(revision.to_string())
        .fetch_optional(connection)
        .await
        .during("reading a revision")?;
    let missing =
        || Error::not_found("SW0685", format!("there is no revision {}", revision.short())).hint("list the revisions");
    row.ok_or_else(missing)?.json("project")
}

/// The project of a revision, its views and services with their real versions.
async fn numbered_project(connection: &mut Connection, revision: Hash) -> Result<Project> {
    let mut project = stored_project(connection, revision).await?;
    renumber(connection, revision, &mut project.feature_views).await?;
    renumber(connection, revision, &mut project.feature_services).await?;
    Ok(project)
}

/// Gives declarations the versions that they have in a revision.
async fn renumber<T: Numbered>(connection: &mut Connection, revision: Hash, declared: &mut [T]) -> Result<()> {
    let rows = sqlx::query(T::BOUND)
        .bind(revision.to_string())
        .fetch_all(connection)
        .await
        .during("reading the definitions of a revision")?;
    for row in rows {
        let name = row.text("name")?;
        let version = u32::try_from(row.count("version")?)
            .map_err(|e| Error::corrupt("SW0603", format!("the version of {name} cannot be read")).because(e))?;
        for one in declared.iter_mut().filter(|one| one.id().name == name) {
            *one = one.with_version(version);
        }
    }
    Ok(())
}

/// See [`Catalog::active`].
pub(crate) async fn active(connection: &mut Connection) -> Result<Option<ActiveProject>> {
    let Some(revision) = active_hash(connection).await? else { return Ok(None) };
    let mut project = numbered_project(connection, revision).await?;
    let known: Versions<FeatureService> = versions(connection).await?;
    let services = project.services_with(known.into_values().flatten().map(|known| known.definition).collect());
    project.bind_training_sets(&services)?;
    let mut wanted = bindings(&project);
    wanted.extend(services.iter().flat_map(|service| &service.features).map(|reference| reference.view.clone()));
    wanted.extend(project.feature_views.iter().map(FeatureView::id));
    let known: Versions<FeatureView> = versions(connection).await?;
    let known = known.into_values().flatten();
    let views = known.map(|version| version.definition).filter(|view| wanted.contains(&view.id())).collect();
    Ok(Some(ActiveProject { revision, project, views, services }))
}

/// See [`Catalog::revisions`].
pub(crate) async fn history(connection: &mut Connection) -> Result<Vec<Revision>> {
    let rows =
        sqlx::query("SELECT seq, revision, previous, at, principal, permit, changes FROM activation ORDER BY seq")
            .fetch_all(connection)
            .await
            .during("reading the history of revisions")?;
    let mut history = Vec::with_capacity(rows.len());
    for row in rows {
        let previous = match row.text_maybe("previous")? {
            Some(_) => Some(row.hash("previous")?),
            None => None,
        };
        let (reason, changes) = match row.json("changes")? {
            Step::Applied(changes) => (None, changes),
            Step::Explained { reason, changes } => (Some(reason), changes),
        };
        history.push(Revision {
            seq: row.count("seq")?,
            revision: row.hash("revision")?,
            previous,
            at: row.instant("at")?,
            principal: row.text("principal")?,
            permit: row.text("permit")?,
            reason,
            changes,
        });
    }
    Ok(history)
}

/// The declarations of the active revision.
pub(crate) async fn active_declarations(connection: &mut Connection) -> Result<Vec<Declared>> {
    match active_hash(connection).await? {
        Some(revision) => declared(&numbered_project(connection, revision).await?),
        None => Ok(Vec::new()),
    }
}
