//! What a check of stored data finds.
//!
//! Every part of an installation is checked by the crate that knows its format; all of them speak of what they find in
//! these words. A finding is one damage: it names the object, the file and where possible the byte, what that means for
//! those who use the data, and the command that mends it. A check that cannot read something has a finding too: what was
//! not looked at is never taken for whole.

use std::path::PathBuf;

use serde::Serialize;

use crate::error::Error;

/// What is wrong with a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Damage {
    /// It must be there and is not.
    Missing,
    /// Its bytes are not those that were written.
    Altered,
    /// It cannot be read, or not be understood.
    Unreadable,
    /// It is whole, and contradicts another record.
    Disagrees,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Nothing depends on it; it is made anew by itself or by `repair`.
    Low,
    /// Something cannot be read or started, but everything that it is made of is there.
    High,
    /// Rows, models or records that were acknowledged are affected.
    Critical,
}

/// One damage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What is damaged: `log`, `table NAME`, `online store`, `catalog`, `model DIGEST`.
    pub object: String,
    /// The kind of damage.
    pub damage: Damage,
    /// How bad it is.
    pub severity: Severity,
    /// What was found.
    pub what: String,
    /// The file, when it is one.
    pub file: Option<PathBuf>,
    /// The byte in it, where one can be named.
    pub byte: Option<u64>,
    /// What it means for those who use the data.
    pub consequence: String,
    /// The command that mends it, or finds out how.
    pub remedy: String,
}

impl Finding {
    /// A finding about `object`; `means` tells the consequence.
    pub fn new(
        object: impl Into<String>,
        damage: Damage,
        severity: Severity,
        what: impl Into<String>,
        means: impl Into<String>,
    ) -> Finding {
        Finding {
            object: object.into(),
            damage,
            severity,
            what: what.into(),
            file: None,
            byte: None,
            consequence: means.into(),
            remedy: "seawall repair".to_owned(),
        }
    }

    /// What an error of a read tells about `object`.
    pub fn of_error(
        object: impl Into<String>,
        damage: Damage,
        severity: Severity,
        error: &Error,
        means: impl Into<String>,
    ) -> Finding {
        let finding = Finding::new(object, damage, severity, error.to_string(), means);
        match error.place() {
            Some(place) => Finding { file: Some(place.file.clone()), byte: place.byte, ..finding },
            None => finding,
        }
    }

    /// Names the file and, where it is known, the byte.
    #[must_use]
    pub fn in_file(self, file: impl Into<PathBuf>, byte: Option<u64>) -> Finding {
        Finding { file: Some(file.into()), byte, ..self }
    }

    /// Names another command than `seawall repair`.
    #[must_use]
    pub fn remedy(self, command: impl Into<String>) -> Finding {
        Finding { remedy: command.into(), ..self }
    }
}

/// What one step of a check read and found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Checked {
    /// Bytes that were read.
    pub bytes: u64,
    /// The damages.
    pub findings: Vec<Finding>,
}

impl Checked {
    /// Adds what another step read and found.
    pub fn add(&mut self, other: Checked) {
        self.bytes += other.bytes;
        self.findings.extend(other.findings);
    }

    /// Whether nothing was found.
    pub fn is_whole(&self) -> bool {
        self.findings.is_empty()
    }
}
