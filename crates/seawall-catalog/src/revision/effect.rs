//! Whom a change reaches: the features, training sets and models downstream of the columns that it touches.

use std::collections::BTreeSet;

use seawall_base::VersionedName;
use seawall_base::declare::{FeatureService, FeatureView};
use seawall_kernel::contract::{Contract, SchemaObject};
use serde::{Deserialize, Serialize};

use super::differences::Difference;
use super::{Change, ChangeKind, bindings};
use crate::lineage::{Direction, LineageEdge, ROWS, via, walk};
use crate::project::model::Project;
use crate::project::owner_of;

/// What a change reaches; what the same change adds or removes is not listed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// Features, `VIEW@VERSION.FEATURE`.
    pub features: Vec<Affected>,
    /// Feature services, `NAME@VERSION`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub feature_services: Vec<Affected>,
    /// Training sets.
    pub training_sets: Vec<Affected>,
    /// Models.
    pub models: Vec<Affected>,
}

/// Something that a change reaches.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Affected {
    /// Its name.
    pub name: String,
    /// Who answers for it: a model's owner; of features and training sets, the owner of the contract that they read.
    pub owner: Option<String>,
}

impl Effect {
    /// Whether nothing is reached.
    pub fn is_empty(&self) -> bool {
        let Effect { features, feature_services, training_sets, models } = self;
        [features, feature_services, training_sets, models].iter().all(|affected| affected.is_empty())
    }
}

/// Keys of a contract that describe and change nothing.
const DESCRIPTIVE: [&str; 9] = [
    "id",
    "description",
    "businessName",
    "examples",
    "tags",
    "authoritativeDefinitions",
    "synonyms",
    "context",
    "deprecated",
];

/// Everything that the effect of a change depends on.
pub(super) struct Reach<'a> {
    /// The edges of the revision before and of the one after.
    edges: Vec<LineageEdge>,
    before: Option<&'a Project>,
    /// The project, its views with their real versions.
    after: &'a Project,
    /// Views that are current or bound afterwards.
    live: BTreeSet<VersionedName>,
    /// Kind and name of what is added or removed.
    fleeting: BTreeSet<(String, String)>,
}

impl<'a> Reach<'a> {
    pub(super) fn new(
        before: Option<&'a Project>,
        after: &'a Project,
        edges: [&[LineageEdge]; 2],
        changes: &[Change],
    ) -> Reach<'a> {
        let edges: BTreeSet<&LineageEdge> = edges.into_iter().flatten().collect();
        let mut live = bindings(after);
        live.extend(after.feature_views.iter().map(FeatureView::id));
        let is_fleeting = |change: &&Change| matches!(change.what, ChangeKind::Added | ChangeKind::Removed);
        let fleeting = changes.iter().filter(is_fleeting).map(|change| (change.kind.clone(), change.name.clone()));
        Reach { edges: edges.into_iter().cloned().collect(), before, after, live, fleeting: fleeting.collect() }
    }

    /// What `change` reaches.
    pub(super) fn of(&self, change: &Change) -> Effect {
        let mut found = Found::default();
        if change.what == ChangeKind::Unchanged {
            return Effect::default();
        }
        for (object, column) in self.touched(change) {
            if change.kind == "feature_view" {
                found.features.insert((object.clone(), column.clone()));
            }
            for edge in walk(&self.edges, &object, Some(&column), Direction::Down, u32::MAX) {
                found.take(edge);
            }
        }
        self.described(found)
    }

    /// The columns that a change touches, as far as anything can be made of them.
    fn touched(&self, change: &Change) -> BTreeSet<(String, String)> {
        let mut touched = BTreeSet::new();
        for project in self.before.into_iter().chain([self.after]) {
            match change.kind.as_str() {
                "contract" => {
                    let named = |contract: &&Contract| super::plan::contract_name(contract) == change.name;
                    let contracts = project.contracts.iter().filter(named);
                    contracts.for_each(|contract| of_contract(contract, change, &mut touched));
                }
                "source" => {
                    let sources = project.sources.iter().filter(|source| source.name == change.name);
                    touched.extend(sources.map(|source| (source.dataset.clone(), ROWS.to_owned())));
                }
                "transform" => {
                    let declared =
                        project.other.iter().filter(|one| one.kind == "transform" && one.name == change.name);
                    let made = declared.filter_map(|one| one.body.get("to")?.as_str());
                    touched.extend(made.map(|dataset| (dataset.to_owned(), ROWS.to_owned())));
                }
                "correction" => {
                    for correction in project.corrections.iter().filter(|one| one.name == change.name) {
                        let source = project.sources.iter().find(|source| source.name == correction.source);
                        touched.extend(source.map(|source| (source.dataset.clone(), correction.column.clone())));
                    }
                }
                _ => {}
            }
        }
        match change.kind.as_str() {
            "feature_view" => self.of_view(change, &mut touched),
            // How fast it must be, and what is recorded of it, is no part of its vectors.
            "feature_service" if change.differences.iter().any(|one| one.path != "budget" && one.path != "log") => {
                let same = |service: &&FeatureService| service.name == change.name;
                let service = self.after.feature_services.iter().find(same);
                touched.extend(service.map(|service| (service.id().to_string(), ROWS.to_owned())));
            }
            "training_set" => of_training_set(&self.edges, change, &mut touched),
            _ => {}
        }
        touched
    }

    /// The features of the new version whose definition differs: all of them when what they share does.
    fn of_view(&self, change: &Change, touched: &mut BTreeSet<(String, String)>) {
        let Some(view) = self.after.feature_views.iter().find(|view| view.name == change.name) else { return };
        for feature in &view.features {
            let own = format!("features.{}", feature.name);
            let concerns = |difference: &Difference| {
                let is_of_features = covers("features", &difference.path);
                // What is computed is told by the features that read it.
                let is_of_all = !is_of_features && !covers("computed", &difference.path);
                is_of_all || covers(&own, &difference.path) || difference.path == "features"
            };
            if change.differences.iter().any(concerns) {
                touched.insert((view.id().to_string(), feature.name.clone()));
            }
        }
    }

    /// What was found, without what comes and goes with the same revision, with its owners.
    fn described(&self, found: Found) -> Effect {
        let stays = |kind: &str, name: &str| !self.fleeting.contains(&(kind.to_owned(), name.to_owned()));
        let mut effect = Effect::default();
        for (view, feature) in found.features {
            let Some(id) = view.parse::<VersionedName>().ok().filter(|id| self.live.contains(id)) else { continue };
            if stays("feature_view", &id.name) {
                let name = format!("{id}.{feature}");
                effect.features.push(Affected { name, owner: self.owner_of_view(&id.name) });
            }
        }
        for service in found.feature_services {
            let known = self.after.feature_services.iter().find(|one| one.id().to_string() == service);
            let Some(known) = known.filter(|known| stays("feature_service", &known.name)) else { continue };
            let owner = known.features.first().and_then(|reference| self.owner_of_view(&reference.view.name));
            effect.feature_services.push(Affected { name: service, owner });
        }
        for name in found.training_sets.into_iter().filter(|name| stays("training_set", name)) {
            let set = self.after.training_sets.iter().find(|set| set.name == name);
            let owner = set.and_then(|set| self.owner_of_dataset(&set.rows.from));
            effect.training_sets.push(Affected { name, owner });
        }
        for name in found.models.into_iter().filter(|name| stays("model", name)) {
            let owner = self.after.model(&name).and_then(|model| model.owner.clone());
            effect.models.push(Affected { name, owner });
        }
        effect
    }

    fn owner_of_view(&self, name: &str) -> Option<String> {
        let view = self.after.feature_views.iter().find(|view| view.name == name)?;
        self.owner_of_dataset(&view.from)
    }

    fn owner_of_dataset(&self, name: &str) -> Option<String> {
        let describes = |contract: &&Contract| contract.objects().iter().any(|object| object.name == name);
        owner_of(self.after.contracts.iter().find(describes)?)
    }
}

/// Whom a column of `object`, or the whole of it, reaches in a project with these edges.
pub fn reached(project: &Project, edges: &[LineageEdge], object: &str, column: Option<&str>) -> Effect {
    let reach = Reach::new(None, project, [edges, &[]], &[]);
    let mut found = Found::default();
    for edge in walk(edges, object, column, Direction::Down, u32::MAX) {
        found.take(edge);
    }
    reach.described(found)
}

/// What walks came to, each once and in order.
#[derive(Default)]
struct Found {
    features: BTreeSet<(String, String)>,
    feature_services: BTreeSet<String>,
    training_sets: BTreeSet<String>,
    models: BTreeSet<String>,
}

impl Found {
    fn take(&mut self, edge: LineageEdge) {
        match edge.via.as_str() {
            via::FEATURE => {
                self.features.insert((edge.to_object, edge.to_column));
            }
            via::FEATURE_SERVICE => {
                self.feature_services.insert(edge.to_object);
            }
            via::TRAINING_SET | via::LABEL | via::CONTEXT | via::DECISION_TIME => {
                self.training_sets.insert(edge.to_object);
            }
            via::MODEL => {
                self.models.insert(edge.to_object);
            }
            _ => {}
        }
    }
}

/// The columns of a contract that a change touches; all of an object when its rows may be others.
fn of_contract(contract: &Contract, change: &Change, touched: &mut BTreeSet<(String, String)>) {
    for object in contract.objects() {
        if change.what != ChangeKind::Changed {
            touched.insert((object.name.clone(), ROWS.to_owned()));
            continue;
        }
        for difference in &change.differences {
            let column = of_object(object, &difference.path);
            touched.extend(column.map(|column| (object.name.clone(), column)));
        }
    }
}

/// The column of `object` that a difference at `path` touches.
fn of_object(object: &SchemaObject, path: &str) -> Option<String> {
    let own = format!("schema.{}", object.name);
    if path == own || path == "schema" || covers("customProperties", path) {
        return Some(ROWS.to_owned());
    }
    if !covers(&own, path) {
        return None;
    }
    let names = object.properties.iter().filter_map(|property| property.name.as_deref());
    // The longest name: one column's name may begin like a path into another.
    let column = names.filter(|name| covers(&format!("{own}.properties.{name}"), path)).max_by_key(|name| name.len());
    let (inner, column) = match column {
        Some(name) => (format!("{own}.properties.{name}."), name),
        None => (format!("{own}."), ROWS),
    };
    let key = path.strip_prefix(&inner).and_then(|rest| rest.split('.').next()).unwrap_or_default();
    (!DESCRIPTIVE.contains(&key)).then(|| column.to_owned())
}

/// The columns of a training set that a change of it touches.
fn of_training_set(edges: &[LineageEdge], change: &Change, touched: &mut BTreeSet<(String, String)>) {
    let columns = edges.iter().filter(|edge| edge.via == via::MODEL && edge.from_object == change.name);
    let is_touched = |column: &str| {
        let of_part = |difference: &Difference| {
            let mut steps = difference.path.splitn(3, '.');
            match (steps.next(), steps.next()) {
                (Some("label"), _) => column == "label",
                (Some("context" | "derived"), Some(name)) => column == name,
                (Some("features"), Some(view)) => column.starts_with(&format!("{view}__")),
                _ => true,
            }
        };
        change.what != ChangeKind::Changed || change.differences.iter().any(of_part)
    };
    let found = columns.filter(|edge| is_touched(&edge.from_column));
    touched.extend(found.map(|edge| (edge.from_object.clone(), edge.from_column.clone())));
}

/// Whether `path` is `whole` or lies below it.
fn covers(whole: &str, path: &str) -> bool {
    path.strip_prefix(whole).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
