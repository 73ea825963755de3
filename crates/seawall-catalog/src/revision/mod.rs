//! Revisions: which project is active, and what every version of a feature view means.
//!
//! A revision is a project by content hash. `apply` makes one active: it gives every feature view its version, checks
//! what training sets are bound to, and writes project, versions, lineage and audit entry in one transaction. What a
//! version means never changes: a definition that was seen before gets its old number back, a new one gets the next, and
//! a training set bound to `card@1` keeps that definition alive whatever `card` says today.

use std::collections::BTreeSet;

use seawall_base::declare::{FeatureService, FeatureView, Source, TrainingSet};
use seawall_base::{Error, ErrorKind, Hash, Instant, Permit, Result, VersionedName};
use seawall_kernel::contract::{Contract, ContractChange};
use serde::{Deserialize, Serialize};

use crate::catalog::Catalog;
use crate::lineage::LineageEdge;
use crate::project::model::Project;

mod compared;
mod differences;
mod effect;
mod evolution;
mod numbered;
mod permitted;
mod plan;
mod store;
mod text;

#[cfg(test)]
mod tests;

pub use compared::{Compared, predecessor};
pub use differences::{Difference, What};
pub use effect::{Affected, Effect, reached};
pub use evolution::expect_compatible;
pub use permitted::expect_permitted;
pub use plan::AccessLine;
pub(crate) use store::{active as active_in, active_declarations, active_hash, history};
pub use text::plan_text;

/// What `apply` does to one declaration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Kind of the declaration: `contract`, `source`, `feature_view`, `training_set`, `policy`, or another kind's name.
    pub kind: String,
    /// Its name; for a contract `id@major`, for a policy file its path.
    pub name: String,
    /// What happens.
    pub what: ChangeKind,
    /// Version afterwards (before, when removed): a feature view's number, a contract's version; other kinds have none.
    pub version: Option<String>,
    /// Why, for people: which keys differ, from what to what.
    pub reason: String,
    /// Every key that differs, for a declaration that changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
    /// What it reaches downstream, by column lineage.
    #[serde(default, skip_serializing_if = "Effect::is_empty")]
    pub effect: Effect,
    /// For a contract of which there was an earlier version: every change, and whom it breaks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evolution: Vec<ContractChange>,
}

/// What happens to a declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It was not in the active revision.
    Added,
    /// It differs from the active revision.
    Changed,
    /// It is no longer declared.
    Removed,
    /// It is as in the active revision.
    Unchanged,
}

/// An applied project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The revision that is active now.
    pub revision: Hash,
    /// The revision that was active before; equal to `revision` when nothing changed.
    pub previous: Option<Hash>,
    /// What became of every declaration, unchanged ones included.
    pub changes: Vec<Change>,
}

/// One step of the history: a revision became active.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// Number of the step, from 1.
    pub seq: u64,
    /// The revision.
    pub revision: Hash,
    /// The one before.
    pub previous: Option<Hash>,
    /// When.
    pub at: Instant,
    /// By whom.
    pub principal: String,
    /// With which permit.
    pub permit: String,
    /// Why, when it was not applied from declarations: a rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What changed.
    pub changes: Vec<Change>,
}

/// The active project.
#[derive(Debug, Clone, PartialEq)]
pub struct ActiveProject {
    /// Its revision.
    pub revision: Hash,
    /// The declarations; feature views and services carry their real versions, training sets the features of their
    /// services.
    pub project: Project,
    /// Every feature view that is current or that something is bound to, ordered by name and version.
    pub views: Vec<FeatureView>,
    /// Every feature service that is current or that a training set is bound to, ordered by name and version.
    pub services: Vec<FeatureService>,
}

impl ActiveProject {
    /// The view with this name and version, when it is current or bound.
    pub fn view(&self, id: &VersionedName) -> Option<&FeatureView> {
        self.views.iter().find(|view| view.name == id.name && view.version == id.version)
    }

    /// The contracts, ordered by id and version.
    pub fn contracts(&self) -> &[Contract] {
        &self.project.contracts
    }

    /// The sources, ordered by name.
    pub fn sources(&self) -> &[Source] {
        &self.project.sources
    }

    /// The training sets, ordered by name.
    pub fn training_sets(&self) -> &[TrainingSet] {
        &self.project.training_sets
    }

    /// The training set with this name.
    pub fn training_set(&self, name: &str) -> Option<&TrainingSet> {
        self.project.training_sets.iter().find(|set| set.name == name)
    }

    /// The views that a training set is bound to, in declared order; `Corrupt` (SW0603) when the catalog lost one.
    pub fn views_of(&self, set: &TrainingSet) -> Result<Vec<FeatureView>> {
        let mut views = Vec::with_capacity(set.features.len());
        for reference in &set.features {
            let view = self.view(&reference.view).ok_or_else(|| {
                let message = format!("training set {} is bound to {}, which is lost", set.name, reference.view);
                Error::corrupt("SW0603", message).hint("restore the catalog from its newest backup")
            })?;
            views.push(view.clone());
        }
        Ok(views)
    }
}

/// The views that a project's training sets and services are bound to.
fn bindings(project: &Project) -> BTreeSet<VersionedName> {
    let of_sets = project.training_sets.iter().flat_map(|set| &set.features);
    let of_services = project.feature_services.iter().flat_map(|service| &service.features);
    of_sets.chain(of_services).map(|reference| reference.view.clone()).collect()
}

impl Catalog {
    /// What [`Catalog::apply`] would do, without doing it; fails as `apply` would. `edges` is the project's lineage; without
    /// it, effects are told by that of the active revision alone.
    pub async fn plan(&self, project: &Project, edges: &[LineageEdge]) -> Result<Vec<Change>> {
        let mut reader = self.read().await?;
        let state = store::state(&mut reader).await?;
        Ok(plan::decide(&state, project, edges)?.changes)
    }

    /// Makes `project` the active revision, with its column lineage. Needs a permit for `apply_project`.
    ///
    /// With a `base`, it is refused as `Conflict` (SW0684) unless that revision is active: what was planned is then no
    /// longer what would happen. `Invalid`: SW0680 for a binding to a version that does not exist, SW0681 and SW0682 for
    /// a binding that does not fit, SW0683 for a view that is declared twice. Applying the active project again changes
    /// nothing but its lineage.
    pub async fn apply(
        &self,
        permit: &Permit,
        project: &Project,
        base: Option<Hash>,
        lineage: &[LineageEdge],
    ) -> Result<Applied> {
        store::apply(self, permit, project, base, lineage).await
    }

    /// Makes an earlier revision active again, with the view versions that it had and, unless `edges` replace it, its
    /// lineage. It is a step of its own in the history, with a reason. Needs a permit for `apply_project`.
    ///
    /// With a `base`, it is refused as `Conflict` (SW0684) unless that revision is active; `NotFound` (SW0685) when there
    /// is no revision `to`.
    pub async fn roll_back_revision(
        &self,
        permit: &Permit,
        to: Hash,
        why: &str,
        base: Option<Hash>,
        edges: Option<&[LineageEdge]>,
    ) -> Result<Applied> {
        store::roll_back(self, permit, to, why, base, edges).await
    }

    /// The one revision whose hash begins with `prefix`: `Invalid` (SW0184) for fewer than four hexadecimal digits or when
    /// there are several, `NotFound` (SW0685) when there is none.
    pub async fn find_revision(&self, prefix: &str) -> Result<Hash> {
        let mut reader = self.read().await?;
        store::find(&mut reader, prefix).await
    }

    /// The active project; none before the first `apply`.
    pub async fn active(&self) -> Result<Option<ActiveProject>> {
        let mut reader = self.read().await?;
        store::active(&mut reader).await
    }

    /// The hash of the active revision: cheaper than [`Catalog::active`], to see whether it moved.
    pub async fn active_revision(&self) -> Result<Option<Hash>> {
        let mut reader = self.read().await?;
        active_hash(&mut reader).await
    }

    /// The history: every step at which a revision became active, oldest first.
    pub async fn revisions(&self) -> Result<Vec<Revision>> {
        let mut reader = self.read().await?;
        history(&mut reader).await
    }

    /// Every version that the feature view `name` ever had, oldest first.
    pub async fn view_versions(&self, name: &str) -> Result<Vec<FeatureView>> {
        let mut reader = self.read().await?;
        let mut versions: numbered::Versions<FeatureView> = store::versions(&mut reader).await?;
        let known = versions.remove(name).unwrap_or_default();
        Ok(known.into_iter().map(|version| version.definition).collect())
    }

    /// Every version of every feature service, ordered by name and version.
    pub async fn service_versions(&self) -> Result<Vec<FeatureService>> {
        let mut reader = self.read().await?;
        let versions: numbered::Versions<FeatureService> = store::versions(&mut reader).await?;
        Ok(versions.into_values().flatten().map(|known| known.definition).collect())
    }
}

fn base_moved(base: Hash, active: Option<Hash>) -> Error {
    let active = active.map_or("nothing".to_owned(), |hash| hash.short());
    let message = format!("the base moved: the plan was made on {}, active is {active}", base.short());
    Error::new(ErrorKind::Conflict, "SW0684", message).hint("plan again, look at the changes, then apply")
}
