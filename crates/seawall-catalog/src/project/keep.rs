//! What a project declares about recovery: objectives, backups, and the check in the background.

use std::path::PathBuf;

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
    /// The folder of backups; one that is not absolute starts from the project's folder.
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

fn span(body: &Value, key: &str) -> Result<Option<Span>> {
    body.get(key).map(|span| span.as_str().ok_or_else(unreadable)?.parse()).transpose()
}

fn unreadable() -> Error {
    Error::corrupt("SW1443", "the declaration of recovery cannot be read").hint("run `seawall check`")
}
