//! The decision behind `plan` and `apply`: versions, bindings and changes, as a function of what is known.

use std::collections::{BTreeMap, BTreeSet};

use seawall_base::declare::FeatureView;
use seawall_base::{Error, Hash, Result};
use seawall_kernel::contract::Contract;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::differences::{differences, sentence};
use super::effect::{Effect, Reach};
use super::{Change, ChangeKind, bindings, evolution};
use crate::lineage::LineageEdge;
use crate::project::model::Project;

/// A version of a feature view on record.
#[derive(Debug, Clone)]
pub(super) struct KnownVersion {
    pub(super) hash: Hash,
    /// The definition, with its real version.
    pub(super) view: FeatureView,
}

/// The versions of every feature view, oldest first.
pub(super) type Versions = BTreeMap<String, Vec<KnownVersion>>;

/// What the catalog knows before a project is applied.
pub(super) struct State {
    pub(super) active: Option<Hash>,
    /// The active project, its views with their real versions.
    pub(super) project: Option<Project>,
    pub(super) versions: Versions,
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
    /// The project as it is hashed and kept: every view with version 1.
    pub(super) project: Project,
    /// Versions of the project's views that were not on record.
    pub(super) new_versions: Vec<KnownVersion>,
    /// Name and version of every view of the project.
    pub(super) current: Vec<(String, u32)>,
    pub(super) changes: Vec<Change>,
}

/// Decides what applying `project`, whose lineage is `edges`, means.
pub(super) fn decide(state: &State, project: &Project, edges: &[LineageEdge]) -> Result<Decision> {
    let mut canonical = project.clone();
    for view in &mut canonical.feature_views {
        view.version = 1;
    }
    let mut versions = state.versions.clone();
    let mut new_versions = Vec::new();
    let mut current = BTreeMap::new();
    for view in &canonical.feature_views {
        let known = versions.entry(view.name.clone()).or_default();
        let (version, new) = number(known, view)?;
        if current.insert(view.name.clone(), version).is_some() {
            let message = format!("feature view {} is declared twice", view.name);
            return Err(Error::invalid("SW0683", message).hint("give one of them another name"));
        }
        if new {
            let mut numbered = view.clone();
            numbered.version = version;
            let entry = KnownVersion { hash: view.definition_hash(), view: numbered };
            known.push(entry.clone());
            new_versions.push(entry);
        }
    }
    check_bindings(&canonical, &versions, &current)?;
    let mut numbered = canonical.clone();
    for view in &mut numbered.feature_views {
        view.version = current[&view.name];
    }
    let mut changes = changes(state, &numbered, &new_versions)?;
    let reach = Reach::new(state.project.as_ref(), &numbered, [&state.edges, edges], &changes);
    let effects: Vec<Effect> = changes.iter().map(|change| reach.of(change)).collect();
    changes.iter_mut().zip(effects).for_each(|(change, effect)| change.effect = effect);
    for change in changes.iter_mut().filter(|change| change.kind == "contract") {
        if matches!(change.what, ChangeKind::Added | ChangeKind::Changed) {
            change.evolution = evolution::changes_of(state.project.as_ref(), &numbered, &change.name);
        }
    }
    let revision = canonical.revision_hash();
    Ok(Decision { revision, project: canonical, new_versions, current: current.into_iter().collect(), changes })
}

/// The version of `view`, and whether it is a new one.
fn number(known: &[KnownVersion], view: &FeatureView) -> Result<(u32, bool)> {
    let hash = view.definition_hash();
    if let Some(same) = known.iter().find(|version| version.hash == hash) {
        return Ok((same.view.version, false));
    }
    let newest = known.iter().map(|version| version.view.version).max().unwrap_or(0);
    let next = newest
        .checked_add(1)
        .ok_or_else(|| Error::invalid("SW0605", format!("feature view {} has no version number left", view.name)))?;
    Ok((next, true))
}

/// Every binding of a training set must be to a version that exists, takes as many keys, and reads a dataset that is
/// still declared.
fn check_bindings(project: &Project, versions: &Versions, current: &BTreeMap<String, u32>) -> Result<()> {
    let datasets: BTreeSet<&str> =
        project.contracts.iter().flat_map(|contract| contract.objects()).map(|object| object.name.as_str()).collect();
    for set in &project.training_sets {
        for reference in &set.features {
            let id = &reference.view;
            let known = versions.get(&id.name).map(Vec::as_slice).unwrap_or_default();
            let Some(bound) = known.iter().find(|known| known.view.version == id.version) else {
                let message = format!("training set {} is bound to {id}, which does not exist", set.name);
                return Err(Error::invalid("SW0680", message).hint(existing(&id.name, known)));
            };
            if bound.view.entity.len() != reference.entity.len() {
                let message = format!(
                    "training set {} gives {} columns for {id}, whose entity is {}",
                    set.name,
                    reference.entity.len(),
                    bound.view.entity.join(", ")
                );
                return Err(Error::invalid("SW0681", message)
                    .hint("write {view: NAME@VERSION, entity: {view column: row column}} with each of them"));
            }
            // The current definitions were checked with the project; an old one may read what is gone.
            let old = current.get(&id.name) != Some(&id.version);
            if old && !datasets.contains(bound.view.from.as_str()) {
                let message = format!(
                    "training set {} is bound to {id}, which reads {}: no contract describes it any more",
                    set.name, bound.view.from
                );
                return Err(Error::invalid("SW0682", message)
                    .hint("keep the contract, or bind the training set to a newer version"));
            }
        }
    }
    Ok(())
}

fn existing(name: &str, known: &[KnownVersion]) -> String {
    if known.is_empty() {
        return format!("there is no feature view {name}; declare it");
    }
    let versions: Vec<String> = known.iter().map(|known| format!("{name}@{}", known.view.version)).collect();
    format!("these exist: {}; a changed definition gets its next version by apply", versions.join(", "))
}

/// One declaration, as far as changes are concerned.
pub(crate) struct Declared {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) version: Option<String>,
    /// The declaration as JSON; a feature view's is without its version.
    pub(crate) body: Value,
}

impl Declared {
    /// Hash of the body.
    pub(crate) fn hash(&self) -> Hash {
        Hash::of_json(&self.body)
    }
}

/// Compares the project, its views with their real versions, with the active one.
fn changes(state: &State, project: &Project, new_versions: &[KnownVersion]) -> Result<Vec<Change>> {
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
        let returned = new.kind == "feature_view"
            && !new_versions.iter().any(|version| version.view.name == new.name)
            && state.versions.contains_key(&new.name);
        let old = find(&before, new).map(|at| &before[at]);
        changes.push(compare(old, new, returned));
    }
    let bound = bindings(project);
    for old in before {
        if find(&after, &old).is_some() {
            continue;
        }
        let kept: Vec<String> = bound
            .iter()
            .filter(|id| old.kind == "feature_view" && id.name == old.name)
            .map(|id| id.to_string())
            .collect();
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
