//! A project as data: everything that a revision is made of.

use seawall_base::declare::{
    Correction, FeatureService, FeatureView, Model, Monitor, Source, TableSettings, TrainingSet, View,
};
use seawall_base::{Hash, Result, Span};
use seawall_kernel::contract::Contract;
use serde::{Deserialize, Serialize};

/// A parsed and checked project.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Project {
    /// Name, from `seawall.yaml`.
    pub name: String,
    /// Contracts, ordered by id and version.
    pub contracts: Vec<Contract>,
    /// Sources, ordered by name.
    pub sources: Vec<Source>,
    /// Feature views, ordered by name. Their version is 1 until `apply` gives the real one.
    pub feature_views: Vec<FeatureView>,
    /// Training sets, ordered by name.
    pub training_sets: Vec<TrainingSet>,
    /// Feature services, ordered by name. Their version is 1 until `apply` gives the real one.
    ///
    /// Like every list below but the last it came later than the first release: it is left out of the JSON when empty,
    /// so that projects without it keep their hash, and is empty when a stored project does not have it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub feature_services: Vec<FeatureService>,
    /// Models, ordered by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<Model>,
    /// Monitors, ordered by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub monitors: Vec<Monitor>,
    /// Corrections, ordered by name, which is the order in which they are applied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub corrections: Vec<Correction>,
    /// Named queries, ordered by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub views: Vec<View>,
    /// Policy files, ordered by path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<PolicyFile>,
    /// How long the log keeps entries that everything has taken over, when the project says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_retention: Option<Span>,
    /// How tables are kept, when the project says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables: Option<TableSettings>,
    /// Declarations of which only the body is kept: transforms, live views, tests, recovery.
    pub other: Vec<OtherDeclaration>,
}

/// A file of policies, as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyFile {
    /// Path within the project, its parts separated by `/`: `policies/fraud.cedar`.
    pub path: String,
    /// Cedar.
    pub text: String,
}

/// A declaration of a kind that only the catalog keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OtherDeclaration {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its body, canonical JSON with ordered keys.
    pub body: serde_json::Value,
}

impl Project {
    /// The model with this name.
    pub fn model(&self, name: &str) -> Option<&Model> {
        self.models.iter().find(|model| model.name == name)
    }

    /// How `dataset` is watched: by its monitor, or by the defaults.
    pub fn monitor_of(&self, dataset: &str) -> Monitor {
        let declared = self.monitors.iter().find(|monitor| monitor.dataset == dataset);
        declared.cloned().unwrap_or_else(|| Monitor::of(dataset))
    }

    /// The corrections of a source, in the order in which they are applied.
    pub fn corrections_of<'a>(&'a self, source: &'a str) -> impl Iterator<Item = &'a Correction> {
        self.corrections.iter().filter(move |correction| correction.source == source)
    }

    /// The declared services, and those of `known` that a training set is bound to, ordered by name and version. How fast
    /// a service must be, and what is recorded of it, is what is declared now, whatever the version.
    pub fn services_with(&self, known: Vec<FeatureService>) -> Vec<FeatureService> {
        let is_declared = |service: &FeatureService| self.feature_services.iter().any(|one| one.id() == service.id());
        let is_bound =
            |service: &FeatureService| self.training_sets.iter().any(|set| set.service == Some(service.id()));
        let mut services = self.feature_services.clone();
        for old in known.into_iter().filter(|service| is_bound(service) && !is_declared(service)) {
            services.push(match self.feature_services.iter().find(|declared| declared.name == old.name) {
                Some(declared) => FeatureService { budget: declared.budget, log: declared.log, ..old },
                None => old,
            });
        }
        services.sort_by_key(FeatureService::id);
        services
    }

    /// Fills in what training sets take from their services. The revision is the hash of what was declared, without it.
    pub fn bind_training_sets(&mut self, services: &[FeatureService]) -> Result<()> {
        for set in &mut self.training_sets {
            *set = set.bound(services)?;
        }
        Ok(())
    }

    /// The content hash that names the revision.
    pub fn revision_hash(&self) -> Hash {
        Hash::of_json(self)
    }
}
