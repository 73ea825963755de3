//! Revisions in SQL.

use seawall_base::declare::FeatureView;
use seawall_base::{Error, Hash, Permit, Result};
use serde_json::json;
use tracing::info;

use super::plan::{Decision, Declared, KnownVersion, State, Versions, decide, declared};
use super::{ActiveProject, Applied, Change, ChangeKind, Revision, base_moved, bindings};
use crate::audit::{self, Draft};
use crate::catalog::Catalog;
use crate::database::{Connection, DuringResult, Fields, Write, stored};
use crate::lineage::{self, LineageEdge};
use crate::policy::{Action, expect_action};
use crate::project::model::Project;
use crate::training::to_json;

/// See [`Catalog::apply`]; without `edges` the revision keeps the lineage that it has.
pub(super) async fn apply(
    catalog: &Catalog,
    permit: &Permit,
    project: &Project,
    base: Option<Hash>,
    edges: Option<&[LineageEdge]>,
) -> Result<Applied> {
    expect_action(permit, &[Action::ApplyProject])?;
    let mut write = catalog.begin().await?;
    let state = state(write.connection()).await?;
    if let Some(base) = base
        && state.active != Some(base)
    {
        return Err(base_moved(base, state.active));
    }
    let decision = decide(&state, project)?;
    activate(catalog, &mut write, permit, &state, &decision, "applied", edges).await?;
    write.commit().await?;
    info!(revision = %decision.revision.short(), principal = permit.principal(), "revision applied");
    Ok(Applied { revision: decision.revision, previous: state.active, changes: decision.changes })
}

/// See [`Catalog::rollback`].
pub(super) async fn rollback(catalog: &Catalog, permit: &Permit, revision: Hash) -> Result<Applied> {
    expect_action(permit, &[Action::ApplyProject])?;
    let mut write = catalog.begin().await?;
    let state = state(write.connection()).await?;
    let project = stored_project(write.connection(), revision).await?;
    let mut decision = decide(&state, &project)?;
    // The revision keeps its name even if this release would hash its content differently.
    decision.revision = revision;
    activate(catalog, &mut write, permit, &state, &decision, "rolled_back", None).await?;
    write.commit().await?;
    info!(revision = %revision.short(), principal = permit.principal(), "revision rolled back");
    Ok(Applied { revision, previous: state.active, changes: decision.changes })
}

async fn activate(
    catalog: &Catalog,
    write: &mut Write<'_>,
    permit: &Permit,
    state: &State,
    decision: &Decision,
    event: &'static str,
    edges: Option<&[LineageEdge]>,
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
    for version in &decision.new_versions {
        insert_version(connection, version, &revision, now.0).await?;
    }
    for (name, version) in &decision.current {
        sqlx::query(
            "INSERT INTO revision_view (revision, name, version) VALUES ($1, $2, $3)
             ON CONFLICT (revision, name) DO UPDATE SET version = excluded.version",
        )
        .bind(revision.as_str())
        .bind(name.as_str())
        .bind(i64::from(*version))
        .execute(&mut *connection)
        .await
        .during("recording the views of a revision")?;
    }
    if let Some(edges) = edges {
        lineage::replace(connection, decision.revision, edges).await?;
    }
    let moved = state.active != Some(decision.revision);
    let changes: Vec<&Change> = decision.changes.iter().filter(|change| change.what != ChangeKind::Unchanged).collect();
    if moved {
        insert_activation(connection, permit, &revision, state.active, &changes, now.0).await?;
    }
    let detail = json!({"revision": revision, "previous": state.active, "moved": moved, "changes": changes});
    audit::append(write, now, Draft::of(event, permit, detail)).await
}

async fn insert_version(connection: &mut Connection, version: &KnownVersion, revision: &str, now: i64) -> Result<()> {
    sqlx::query(
        "INSERT INTO view_version (name, version, definition_hash, definition, revision, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(version.view.name.as_str())
    .bind(i64::from(version.view.version))
    .bind(version.hash.to_string())
    .bind(to_json(&version.view)?)
    .bind(revision)
    .bind(now)
    .execute(connection)
    .await
    .during("recording a version of a feature view")?;
    Ok(())
}

async fn insert_activation(
    connection: &mut Connection,
    permit: &Permit,
    revision: &str,
    previous: Option<Hash>,
    changes: &[&Change],
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
    .bind(to_json(&changes)?)
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
    Ok(State { active, project, versions: versions(connection).await? })
}

/// The versions of every feature view.
pub(super) async fn versions(connection: &mut Connection) -> Result<Versions> {
    let rows =
        sqlx::query("SELECT name, version, definition_hash, definition FROM view_version ORDER BY name, version")
            .fetch_all(connection)
            .await
            .during("reading the versions of feature views")?;
    let mut versions = Versions::new();
    for row in rows {
        let view: FeatureView = row.json("definition")?;
        let known = KnownVersion { hash: row.hash("definition_hash")?, view };
        versions.entry(row.text("name")?).or_default().push(known);
    }
    Ok(versions)
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

/// The project of a revision, its views with their real versions.
async fn numbered_project(connection: &mut Connection, revision: Hash) -> Result<Project> {
    let mut project = stored_project(connection, revision).await?;
    let rows = sqlx::query("SELECT name, version FROM revision_view WHERE revision = $1")
        .bind(revision.to_string())
        .fetch_all(connection)
        .await
        .during("reading the views of a revision")?;
    for row in rows {
        let name = row.text("name")?;
        let version = u32::try_from(row.count("version")?)
            .map_err(|e| Error::corrupt("SW0603", format!("the version of {name} cannot be read")).because(e))?;
        for view in project.feature_views.iter_mut().filter(|view| view.name == name) {
            view.version = version;
        }
    }
    Ok(project)
}

/// See [`Catalog::active`].
pub(super) async fn active(connection: &mut Connection) -> Result<Option<ActiveProject>> {
    let Some(revision) = active_hash(connection).await? else { return Ok(None) };
    let project = numbered_project(connection, revision).await?;
    let mut wanted = bindings(&project);
    wanted.extend(project.feature_views.iter().map(FeatureView::id));
    let known = versions(connection).await?.into_values().flatten();
    let views = known.map(|version| version.view).filter(|view| wanted.contains(&view.id())).collect();
    Ok(Some(ActiveProject { revision, project, views }))
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
        history.push(Revision {
            seq: row.count("seq")?,
            revision: row.hash("revision")?,
            previous,
            at: row.instant("at")?,
            principal: row.text("principal")?,
            permit: row.text("permit")?,
            changes: row.json("changes")?,
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
