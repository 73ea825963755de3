//! The decision behind `plan` and `apply`: versions, bindings and changes, as a function of what is known.

use std::collections::BTreeSet;

use seawall_base::declare::{FeatureRef, FeatureService, FeatureView};
use seawall_base::{Error, Hash, Result, VersionedName};
use seawall_kernel::contract::Contract;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::differences::{differences, sentence};
use super::effect::{Effect, Reach};
use super::numbered::{Numbering, Versions};
use super::{Change, ChangeKind, bindings, evolution};
use crate::lineage::LineageEdge;
use crate::project::model::Project;

/// What the catalog knows before a project is applied.
pub(super) struct State {
    pub(super) active: Option<Hash>,
    /// The active project, its views and services with their real versions.
    pub(super) project: Option<Project>,
    pub(super) versions: Versions<FeatureView>,
    pub(super) services: Versions<FeatureService>,
    /// Lineage of the active revision.
    pub(super) edges: Vec<LineageEdge>,
}

/// What a revision changes about the access of one principal, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessLine {
    /// Who.
    pub principal: String,
    /// What they may see or do that they may not now, one thing each.
    pub gains: Vec<String>,
    /// What they may see or do now and no longer.
    pub loses: Vec<String>,
}

/// What applying a project means.
pub(super) struct Decision {
    pub(super) revision: Hash,
    /// The project as it is hashed and kept: every view and service with version 1.
    pub(super) project: Project,
    pub(super) views: Numbering<FeatureView>,
    pub(super) services: Numbering<FeatureService>,
    pub(super) changes: Vec<Change>,
}

/// Decides what applying `project`, whose lineage is `edges`, means.
pub(super) fn decide(state: &State, project: &Project, edges: &[LineageEdge]) -> Result<Decision> {
    let mut canonical = project.clone();
    canonical.feature_views.iter_mut().for_each(|view| view.version = 1);
    canonical.feature_services.iter_mut().for_each(|service| service.version = 1);
    let views = Numbering::of(&canonical.feature_views, &state.versions)?;
    let services = Numbering::of(&canonical.feature_services, &state.services)?;
    check_bindings(&canonical, &views, &services)?;
    let mut numbered = canonical.clone();
    numbered.feature_views.clone_from(&views.declared);
    numbered.feature_services.clone_from(&services.declared);
    let mut changes = changes(state, &numbered, &views, &services)?;
    let reach = Reach::new(state.project.as_ref(), &numbered, [&state.edges, edges], &changes);
    let effects: Vec<Effect> = changes.iter().map(|change| reach.of(change)).collect();
    changes.iter_mut().zip(effects).for_each(|(change, effect)| change.effect = effect);
    for change in changes.iter_mut().filter(|change| change.kind == "contract") {
        if matches!(change.what, ChangeKind::Added | ChangeKind::Changed) {
            change.evolution = evolution::changes_of(state.project.as_ref(), &numbered, &change.name);
        }
    }
    Ok(Decision { revision: canonical.revision_hash(), project: canonical, views, services, changes })
}

/// Every binding must be to a version that exists, takes as many keys, has the features that are asked of it, and reads a
/// dataset that is still declared.
fn check_bindings(
    project: &Project,
    views: &Numbering<FeatureView>,
    services: &Numbering<FeatureService>,
) -> Result<()> {
    let datasets: BTreeSet<&str> =
        project.contracts.iter().flat_map(|contract| contract.objects()).map(|object| object.name.as_str()).collect();
    let check = |owner: &str, references: &[FeatureRef]| -> Result<()> {
        references.iter().try_for_each(|reference| check_reference(owner, reference, views, &datasets))
    };
    for service in &services.declared {
        check(&format!("feature service {}", service.name), &service.features)?;
    }
    for set in &project.training_sets {
        let owner = format!("training set {}", set.name);
        check(&owner, &set.features)?;
        let Some(id) = &set.service else { continue };
        let bound = services.find(id).ok_or_else(|| {
            Error::invalid("SW0686", format!("{owner} is bound to {id}, which does not exist"))
                .hint(services.existing(&id.name))
        })?;
        check(&format!("{owner}, by feature service {id},"), &bound.features)?;
    }
    Ok(())
}

fn check_reference(
    owner: &str,
    reference: &FeatureRef,
    views: &Numbering<FeatureView>,
    datasets: &BTreeSet<&str>,
) -> Result<()> {
    let id = &reference.view;
    let bound = views.find(id).ok_or_else(|| {
        Error::invalid("SW0680", format!("{owner} is bound to {id}, which does not exist"))
            .hint(views.existing(&id.name))
    })?;
    if bound.entity.len() != reference.entity.len() {
        let message = format!(
            "{owner} gives {} columns for {id}, whose entity is {}",
            reference.entity.len(),
            bound.entity.join(", ")
        );
        return Err(Error::invalid("SW0681", message)
            .hint("write {view: NAME@VERSION, entity: {view column: row column}} with each of them"));
    }
    let has = |name: &&String| bound.features.iter().any(|feature| feature.name == **name);
    if let Some(name) = reference.only.iter().find(|name| !has(name)) {
        let known: Vec<&str> = bound.features.iter().map(|feature| feature.name.as_str()).collect();
        return Err(Error::invalid("SW0687", format!("{owner} takes {name} of {id}, which has no such feature"))
            .hint(format!("its features are {}", known.join(", "))));
    }
    // The current definitions were checked with the project; an old one may read what is gone.
    let is_old = views.current(&id.name) != Some(id.version);
    if is_old && !datasets.contains(bound.from.as_str()) {
        let message =
            format!("{owner} is bound to {id}, which reads {}: no contract describes it any more", bound.from);
        return Err(Error::invalid("SW0682", message).hint("keep the contract, or bind it to a newer version"));
    }
    Ok(())
}

/// One declaration, as far as changes are concerned.
pub(crate) struct Declared {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) version: Option<String>,
    /// The declaration as JSON; a feature view's and a feature service's are without their version.
    pub(crate) body: Value,
}

impl Declared {
    /// Hash of the body.
    pub(crate) fn hash(&self) -> Hash {
        Hash::of_json(&self.body)
    }
}

/// Compares the project, its views with their real versions, with the active one.
fn changes(
    state: &State,
    project: &Project,
    views: &Numbering<FeatureView>,
    services: &Numbering<FeatureService>,
) -> Result<Vec<Change>> {
    let after = declared(project)?;
    let before = match &state.project {
        Some(active) => declared(active)?,
        None => Vec::new(),
    };
    let find = |list: &[Declared], wanted: &Declared| {
        list.iter().position(|one| one.kind == wanted.kind && one.name == wanted.name)
    };
    let mut changes = Vec::with_capacity(after.len());
    for new in &after {
        let old = find(&before, new).map(|at| &before[at]);
        let is_new = |id: VersionedName| id.name == new.name;
        let was_known = match new.kind.as_str() {
            "feature_view" => {
                !views.new.iter().any(|new| is_new(new.definition.id())) && state.versions.contains_key(&new.name)
            }
            "feature_service" => {
                !services.new.iter().any(|new| is_new(new.definition.id())) && state.services.contains_key(&new.name)
            }
            _ => false,
        };
        let returned = was_known && old.is_none_or(|old| old.version != new.version);
        changes.push(compare(old, new, returned));
    }
    let bound = bindings(project);
    let bound_services: BTreeSet<&VersionedName> =
        project.training_sets.iter().filter_map(|set| set.service.as_ref()).collect();
    for old in before {
        if find(&after, &old).is_some() {
            continue;
        }
        let kept: Vec<&VersionedName> = match old.kind.as_str() {
            "feature_view" => bound.iter().collect(),
            "feature_service" => bound_services.iter().copied().collect(),
            _ => Vec::new(),
        };
        let kept: Vec<String> = kept.iter().filter(|id| id.name == old.name).map(|id| id.to_string()).collect();
        let reason = match kept.as_slice() {
            [] => "no longer declared".to_owned(),
            kept => format!("no longer declared; bound and kept: {}", kept.join(", ")),
        };
        changes.push(Change {
            kind: old.kind,
            name: old.name,
            what: ChangeKind::Removed,
            version: old.version,
            reason,
            differences: Vec::new(),
            effect: Effect::default(),
            evolution: Vec::new(),
        });
    }
    Ok(changes)
}

fn compare(old: Option<&Declared>, new: &Declared, returned: bool) -> Change {
    let mut found = Vec::new();
    let (what, reason) = match old {
        None if returned => (ChangeKind::Added, "declared again as in an earlier version".to_owned()),
        None => (ChangeKind::Added, "declared for the first time in this revision".to_owned()),
        Some(old) if old.body == new.body => (ChangeKind::Unchanged, "as in the active revision".to_owned()),
        Some(old) => {
            found = differences(&old.body, &new.body);
            let back = if returned { "back to an earlier version: " } else { "" };
            (ChangeKind::Changed, format!("{back}{}", sentence(&found)))
        }
    };
    Change {
        kind: new.kind.clone(),
        name: new.name.clone(),
        what,
        version: new.version.clone(),
        reason,
        differences: found,
        effect: Effect::default(),
        evolution: Vec::new(),
    }
}

/// The name of a contract in changes: `id@major`.
pub(super) fn contract_name(contract: &Contract) -> String {
    match contract.major() {
        Some(major) => format!("{}@{major}", contract.id()),
        None => contract.id().to_owned(),
    }
}

/// Every declaration of a project, in the order in which changes are shown.
pub(super) fn declared(project: &Project) -> Result<Vec<Declared>> {
    let mut list = Vec::new();
    let mut push = |kind: &str, name: String, version: Option<String>, body: Value| {
        list.push(Declared { kind: kind.to_owned(), name, version, body });
    };
    if let Some(tables) = &project.tables {
        push("tables", "settings".to_owned(), None, body(tables)?);
    }
    for contract in &project.contracts {
        push("contract", contract_name(contract), Some(contract.version().to_owned()), body(contract)?);
    }
    for source in &project.sources {
        push("source", source.name.clone(), None, body(source)?);
    }
    for view in &project.feature_views {
        let mut definition = body(view)?;
        if let Some(fields) = definition.as_object_mut() {
            fields.remove("version");
        }
        push("feature_view", view.name.clone(), Some(view.version.to_string()), definition);
    }
    for service in &project.feature_services {
        let mut definition = body(service)?;
        if let Some(fields) = definition.as_object_mut() {
            fields.remove("version");
        }
        push("feature_service", service.name.clone(), Some(service.version.to_string()), definition);
    }
    for set in &project.training_sets {
        push("training_set", set.name.clone(), None, body(set)?);
    }
    for model in &project.models {
        push("model", model.name.clone(), None, body(model)?);
    }
    for monitor in &project.monitors {
        push("monitor", monitor.name.clone(), None, body(monitor)?);
    }
    for correction in &project.corrections {
        push("correction", correction.name.clone(), None, body(correction)?);
    }
    for view in &project.views {
        push("view", view.name.clone(), None, body(view)?);
    }
    for policy in &project.policies {
        push("policy", policy.path.clone(), None, body(policy)?);
    }
    for other in &project.other {
        push(&other.kind, other.name.clone(), None, other.body.clone());
    }
    Ok(list)
}

fn body<T: Serialize>(declaration: &T) -> Result<Value> {
    serde_json::to_value(declaration)
        .map_err(|e| Error::internal("SW0606", "writing a declaration as JSON failed").because(e))
}
