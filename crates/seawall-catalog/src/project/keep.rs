//! What a project declares about recovery (objectives, backups, the check in the background) and about lifecycle: what is
//! given up when.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use seawall_base::declare::Transform;
use seawall_base::{Error, Result, Span};
use serde_json::Value;

use super::model::Project;
use super::words;

/// What is declared about recovery.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovery {
    /// The age that the newest backup may reach.
    pub rpo: Option<Span>,
    /// How long a restore may take.
    pub rto: Option<Span>,
    /// Backups that the server takes.
    pub backup: Option<Backups>,
    /// How the server checks what is kept.
    pub scrub: Option<Scrub>,
}

/// Backups that the server takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backups {
    /// The folder of backups, of which one that is not absolute starts from the project's folder; or a bucket,
    /// `s3://BUCKET/PREFIX`.
    pub to: PathBuf,
    /// From the beginning of one to that of the next.
    pub every: Span,
    /// How many of the newest stay; all when absent.
    pub keep: Option<u32>,
}

/// The check in the background.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scrub {
    /// Bytes that it reads per second at most.
    pub bytes_per_second: u64,
    /// From the beginning of one check of everything to that of the next.
    pub every: Span,
}

impl Recovery {
    /// What `project` declares; nothing is declared by default.
    pub fn of(project: &Project) -> Result<Recovery> {
        let declared = project.other.iter().find(|other| other.kind == "recovery");
        declared.map_or_else(|| Ok(Recovery::default()), |declared| Recovery::read(&declared.body))
    }

    /// Reads the body of a declaration whose shape was found right.
    pub(crate) fn read(body: &Value) -> Result<Recovery> {
        let backup = body.get("backup").map(|backup| -> Result<Backups> {
            let to = backup.get("to").and_then(Value::as_str).ok_or_else(unreadable)?;
            let keep = backup
                .get("keep")
                .map(|keep| keep.as_u64().and_then(|keep| u32::try_from(keep).ok()).ok_or_else(unreadable));
            let every = span(backup, "every")?.ok_or_else(unreadable)?;
            Ok(Backups { to: to.into(), every, keep: keep.transpose()? })
        });
        let scrub = body.get("scrub").map(|scrub| -> Result<Scrub> {
            let size = scrub.get("bytes_per_second").and_then(Value::as_str).and_then(words::bytes);
            let every = span(scrub, "every")?.ok_or_else(unreadable)?;
            Ok(Scrub { bytes_per_second: size.ok_or_else(unreadable)?, every })
        });
        Ok(Recovery {
            rpo: span(body, "rpo")?,
            rto: span(body, "rto")?,
            backup: backup.transpose()?,
            scrub: scrub.transpose()?,
        })
    }
}

/// How often a lifecycle is carried out when it does not say.
const LIFECYCLE_INTERVAL: Span = Span::DAY;

/// A class of what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// What came in: datasets and quarantines.
    Raw,
    /// Datasets that transforms make.
    Derived,
    /// Served vectors and training sets.
    Features,
    /// Predictions and artifacts.
    Models,
}

impl Class {
    /// Every class.
    pub const ALL: [Class; 4] = [Class::Raw, Class::Derived, Class::Features, Class::Models];

    /// Its word in declarations.
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Raw => "raw",
            Class::Derived => "derived",
            Class::Features => "features",
            Class::Models => "models",
        }
    }
}

/// What is given up when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lifecycle {
    /// How often a server carries it out.
    pub every: Span,
    /// How long older versions stay, by class; those of other classes stay as long as the project's tables say.
    keep_versions: BTreeMap<Class, Span>,
    /// How long stopped rows are kept.
    pub quarantine: Option<Span>,
    /// How long an artifact is kept while nothing uses it.
    pub unused_models: Option<Span>,
    /// Where such artifacts go; they are removed when absent. One that is not absolute starts from the project's folder.
    pub move_models_to: Option<PathBuf>,
}

impl Lifecycle {
    /// What `project` declares, if it does.
    pub fn of(project: &Project) -> Result<Option<Lifecycle>> {
        let declared = project.other.iter().find(|other| other.kind == "lifecycle");
        declared.map(|declared| Lifecycle::read(&declared.body)).transpose()
    }

    /// Reads the body of a declaration whose shape was found right.
    pub(crate) fn read(body: &Value) -> Result<Lifecycle> {
        let mut keep_versions = BTreeMap::new();
        for class in Class::ALL {
            let keep = body.get(class.as_str()).map(|rules| span(rules, "keep_versions")).transpose()?;
            keep_versions.extend(keep.flatten().map(|keep| (class, keep)));
        }
        let rule = |class: Class, key| body.get(class.as_str()).map(|rules| span(rules, key)).transpose();
        let to = body.get("models").and_then(|models| models.get("move_to"));
        let to = to.map(|to| to.as_str().map(PathBuf::from).ok_or_else(unreadable)).transpose()?;
        Ok(Lifecycle {
            every: span(body, "every")?.unwrap_or(LIFECYCLE_INTERVAL),
            keep_versions,
            quarantine: rule(Class::Raw, "quarantine")?.flatten(),
            unused_models: rule(Class::Models, "unused")?.flatten(),
            move_models_to: to,
        })
    }

    /// How long older versions of a class's tables stay, when it says so.
    pub fn keep_versions(&self, class: Class) -> Option<Span> {
        self.keep_versions.get(&class).copied()
    }
}

/// The transforms of `project`, ordered by name.
pub fn transforms(project: &Project) -> Result<Vec<Transform>> {
    let declared = project.other.iter().filter(|other| other.kind == "transform");
    declared.map(|declared| transform(&declared.name, &declared.body)).collect()
}

fn transform(name: &str, body: &Value) -> Result<Transform> {
    let text = |key: &str| body.get(key).and_then(Value::as_str).map(str::to_owned);
    let available_at = text("available_at").filter(|word| word != "arrival");
    Ok(Transform {
        name: name.to_owned(),
        sql: text("sql").ok_or_else(unreadable)?,
        to: text("to").ok_or_else(unreadable)?,
        available_at,
        history: body.get("history").and_then(Value::as_bool).unwrap_or(false),
    })
}

/// The datasets that the transforms of `project` make.
pub fn derived_datasets(project: &Project) -> BTreeSet<String> {
    let transforms = project.other.iter().filter(|other| other.kind == "transform");
    transforms.filter_map(|transform| transform.body.get("to")?.as_str().map(str::to_owned)).collect()
}

fn span(body: &Value, key: &str) -> Result<Option<Span>> {
    body.get(key).map(|span| span.as_str().ok_or_else(unreadable)?.parse()).transpose()
}

fn unreadable() -> Error {
    Error::corrupt("SW1443", "a declaration of recovery, lifecycle or a transform cannot be read")
        .hint("run `seawall check`")
}
