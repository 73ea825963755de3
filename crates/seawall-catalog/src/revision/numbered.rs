//! Declarations whose definitions are numbered: a definition that was seen before gets its old number back, a new one the
//! next, and what a number means never changes.

use std::collections::BTreeMap;

use seawall_base::declare::{FeatureService, FeatureView};
use seawall_base::{Error, Hash, Result, VersionedName};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A declaration with numbered definitions, and the statements that keep them. Both kinds have tables of the same columns.
pub(super) trait Numbered: Clone + Serialize + DeserializeOwned {
    /// What it is called in messages.
    const NOUN: &'static str;
    /// Keeps a version: name, version, definition_hash, definition, revision, created_at.
    const KEEP: &'static str;
    /// Every version, by name and number.
    const VERSIONS: &'static str;
    /// Says which version a revision has: revision, name, version.
    const BIND: &'static str;
    /// The versions of a revision: name, version.
    const BOUND: &'static str;

    fn id(&self) -> VersionedName;

    fn with_version(&self, version: u32) -> Self;

    /// Hash of everything that a number stands for.
    fn definition_hash(&self) -> Hash;
}

impl Numbered for FeatureView {
    const NOUN: &'static str = "feature view";
    const KEEP: &'static str =
        "INSERT INTO view_version (name, version, definition_hash, definition, revision, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)";
    const VERSIONS: &'static str =
        "SELECT name, version, definition_hash, definition FROM view_version ORDER BY name, version";
    const BIND: &'static str = "INSERT INTO revision_view (revision, name, version) VALUES ($1, $2, $3)
         ON CONFLICT (revision, name) DO UPDATE SET version = excluded.version";
    const BOUND: &'static str = "SELECT name, version FROM revision_view WHERE revision = $1";

    fn id(&self) -> VersionedName {
        FeatureView::id(self)
    }

    fn with_version(&self, version: u32) -> Self {
        FeatureView { version, ..self.clone() }
    }

    fn definition_hash(&self) -> Hash {
        FeatureView::definition_hash(self)
    }
}

impl Numbered for FeatureService {
    const NOUN: &'static str = "feature service";
    const KEEP: &'static str =
        "INSERT INTO service_version (name, version, definition_hash, definition, revision, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)";
    const VERSIONS: &'static str =
        "SELECT name, version, definition_hash, definition FROM service_version ORDER BY name, version";
    const BIND: &'static str = "INSERT INTO revision_service (revision, name, version) VALUES ($1, $2, $3)
         ON CONFLICT (revision, name) DO UPDATE SET version = excluded.version";
    const BOUND: &'static str = "SELECT name, version FROM revision_service WHERE revision = $1";

    fn id(&self) -> VersionedName {
        FeatureService::id(self)
    }

    fn with_version(&self, version: u32) -> Self {
        FeatureService { version, ..self.clone() }
    }

    fn definition_hash(&self) -> Hash {
        FeatureService::definition_hash(self)
    }
}

/// A version on record.
#[derive(Debug, Clone)]
pub(super) struct KnownVersion<T> {
    pub(super) hash: Hash,
    /// The definition, with its real version.
    pub(super) definition: T,
}

/// Every version of every declaration of a kind, oldest first.
pub(super) type Versions<T> = BTreeMap<String, Vec<KnownVersion<T>>>;

/// The declarations of a project with their numbers.
pub(super) struct Numbering<T> {
    /// With their real versions, in the project's order.
    pub(super) declared: Vec<T>,
    /// Those that were not on record.
    pub(super) new: Vec<KnownVersion<T>>,
    /// What is on record afterwards.
    pub(super) versions: Versions<T>,
}

impl<T: Numbered> Numbering<T> {
    /// Numbers what a project declares.
    pub(super) fn of(declared: &[T], known: &Versions<T>) -> Result<Numbering<T>> {
        let mut numbering = Numbering { declared: Vec::new(), new: Vec::new(), versions: known.clone() };
        for definition in declared {
            let name = definition.id().name;
            if numbering.current(&name).is_some() {
                let message = format!("{} {name} is declared twice", T::NOUN);
                return Err(Error::invalid("SW0683", message).hint("give one of them another name"));
            }
            let versions = numbering.versions.entry(name).or_default();
            let hash = definition.definition_hash();
            let version = match versions.iter().find(|version| version.hash == hash) {
                Some(same) => same.definition.id().version,
                None => {
                    let version = next(versions, definition)?;
                    let new = KnownVersion { hash, definition: definition.with_version(version) };
                    versions.push(new.clone());
                    numbering.new.push(new);
                    version
                }
            };
            numbering.declared.push(definition.with_version(version));
        }
        Ok(numbering)
    }

    /// The version that the project declares under this name.
    pub(super) fn current(&self, name: &str) -> Option<u32> {
        self.declared.iter().map(Numbered::id).find(|id| id.name == name).map(|id| id.version)
    }

    /// The version on record that `id` names.
    pub(super) fn find(&self, id: &VersionedName) -> Option<&T> {
        let known = self.versions.get(&id.name)?.iter();
        known.map(|known| &known.definition).find(|definition| definition.id() == *id)
    }

    /// What there is of this name, for a hint.
    pub(super) fn existing(&self, name: &str) -> String {
        let known = self.versions.get(name).map(Vec::as_slice).unwrap_or_default();
        if known.is_empty() {
            return format!("there is no {} {name}; declare it", T::NOUN);
        }
        let versions: Vec<String> = known.iter().map(|known| known.definition.id().to_string()).collect();
        format!("these exist: {}; a changed definition gets its next version by apply", versions.join(", "))
    }
}

fn next<T: Numbered>(known: &[KnownVersion<T>], definition: &T) -> Result<u32> {
    let newest = known.iter().map(|known| known.definition.id().version).max().unwrap_or(0);
    newest.checked_add(1).ok_or_else(|| {
        Error::invalid("SW0605", format!("{} {} has no version number left", T::NOUN, definition.id().name))
    })
}
