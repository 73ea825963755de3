//! A project as data: everything that a revision is made of.

use seawall_base::Hash;
use seawall_base::declare::{FeatureView, Source, TrainingSet};
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
    /// Declarations that are checked and kept but not yet run: models, transforms, live views, tests.
    pub other: Vec<OtherDeclaration>,
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
    /// The content hash that names the revision.
    pub fn revision_hash(&self) -> Hash {
        Hash::of_json(self)
    }
}
