//! The actions of a Delta log, as far as Seawall writes and understands them: one JSON object per line.
//!
//! Readers skip keys and actions that they do not know; what a reader *must* know is said by the protocol action, and
//! [`Protocol::check`] refuses what this crate would get wrong.

use std::collections::BTreeMap;

use seawall_base::error::{Error, Result};
use seawall_base::hash::Hash;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::codes;

/// Table property: the columns with personal data, as a JSON list.
pub(crate) const PERSONAL: &str = "seawall.personal";
/// Tag of an add action: BLAKE3 of the file.
pub(crate) const FILE_HASH: &str = "seawall.blake3";
/// Commit info: hash of everything that the commit does.
pub(crate) const COMMIT_ID: &str = "seawall.commitId";
/// Commit info: the permit that allowed the commit.
pub(crate) const PERMIT_ID: &str = "seawall.permitId";

/// Commit info: BLAKE3 of the whole commit file as it is without this field.
pub(crate) const SEAL: &str = "seawall.seal";
/// Commit info: that there is a seal, so that one whose own key was changed is missed.
const SEALED: &str = "seawall.isSealed";

const APP_ID: &str = "seawall/";
const FEATURES: [&str; 3] = ["timestampNtz", "appendOnly", "invariants"];

/// One line of a commit.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit_info: Option<BTreeMap<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meta_data: Option<Metadata>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub txn: Option<Txn>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add: Option<Add>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remove: Option<Remove>,
}

/// What a reader and a writer must understand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Protocol {
    pub min_reader_version: u32,
    pub min_writer_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reader_features: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writer_features: Option<Vec<String>>,
}

impl Protocol {
    /// The least protocol for a table; timestamps without zone are a feature of their own.
    pub(crate) fn of_table(has_local_timestamps: bool) -> Self {
        if !has_local_timestamps {
            return Protocol {
                min_reader_version: 1,
                min_writer_version: 2,
                reader_features: None,
                writer_features: None,
            };
        }
        let features = Some(vec!["timestampNtz".to_owned()]);
        Protocol {
            min_reader_version: 3,
            min_writer_version: 7,
            reader_features: features.clone(),
            writer_features: features,
        }
    }

    /// Fails when the table uses a feature that this crate neither reads nor writes.
    pub(crate) fn check(&self, table: &str) -> Result<()> {
        let features = self.reader_features.iter().chain(&self.writer_features).flatten();
        let unknown: Vec<&str> = features.map(String::as_str).filter(|name| !FEATURES.contains(name)).collect();
        let versions_known = matches!(self.min_reader_version, 1 | 3) && matches!(self.min_writer_version, 1 | 2 | 7);
        if versions_known && unknown.is_empty() {
            return Ok(());
        }
        let (reader, writer) = (self.min_reader_version, self.min_writer_version);
        let message = format!(
            "table {table} needs Delta reader {reader}, writer {writer} and the features [{}]",
            unknown.join(", ")
        );
        Err(Error::corrupt(codes::TABLE_FEATURES, message)
            .hint("another program changed this table; Seawall works without deletion vectors and column mapping"))
    }
}

/// Schema and properties of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Metadata {
    pub id: String,
    pub format: Format,
    pub schema_string: String,
    #[serde(default)]
    pub partition_columns: Vec<String>,
    #[serde(default)]
    pub configuration: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_time: Option<i64>,
}

impl Metadata {
    /// The columns with personal data; `Corrupt` when the property is no list of names.
    pub(crate) fn personal(&self) -> Result<Vec<String>> {
        let Some(text) = self.configuration.get(PERSONAL) else {
            return Ok(Vec::new());
        };
        serde_json::from_str(text)
            .map_err(|e| Error::corrupt(codes::LOG_BROKEN, format!("the property {PERSONAL} is {text:?}")).because(e))
    }
}

/// Format of the data files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Format {
    pub provider: String,
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

/// How far an application got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Txn {
    pub app_id: String,
    pub version: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_updated: Option<i64>,
}

/// The application id of a partition.
pub(crate) fn app_id(partition: seawall_base::Partition) -> String {
    format!("{APP_ID}{}", partition.0)
}

/// The partition that an application id names, when it is one of ours.
pub(crate) fn partition_of(app_id: &str) -> Option<seawall_base::Partition> {
    app_id.strip_prefix(APP_ID)?.parse().ok().map(seawall_base::Partition)
}

/// A file becomes visible.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Add {
    pub path: String,
    #[serde(default)]
    pub partition_values: BTreeMap<String, Option<String>>,
    pub size: i64,
    pub modification_time: i64,
    pub data_change: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stats: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, Option<String>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_vector: Option<Value>,
}

/// A file stops being visible.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Remove {
    pub path: String,
    #[serde(default)]
    pub deletion_timestamp: Option<i64>,
    #[serde(default)]
    pub data_change: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<i64>,
}

/// The actions of a commit file or of a checkpoint turned into lines.
pub(crate) fn parse_lines(table: &str, name: &str, bytes: &[u8]) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for text in bytes.split(|byte| *byte == b'\n') {
        if text.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let line = serde_json::from_slice(text).map_err(|e| broken(table, name, "cannot be read").because(e))?;
        lines.push(line);
    }
    if lines.is_empty() {
        return Err(broken(table, name, "is empty"));
    }
    Ok(lines)
}

/// The actions of a commit file. One that was sealed must be, byte for byte, what was written.
pub(crate) fn parse_commit(table: &str, name: &str, bytes: &[u8]) -> Result<Vec<Line>> {
    let lines = parse_lines(table, name, bytes)?;
    let altered = || Err(broken(table, name, "is not what was written"));
    let mut unsealed = lines.clone();
    let info = unsealed.iter_mut().find_map(|line| line.commit_info.as_mut());
    let Some(seal) = info.and_then(|info| info.remove(SEAL)) else {
        // The key of the seal, or the name of the whole commit info, may be what was changed.
        return if mentions(bytes, SEAL) || mentions(bytes, SEALED) { altered() } else { Ok(lines) };
    };
    let expected = Hash::of(&to_bytes(&unsealed)).to_string();
    if seal.as_str() == Some(&expected) && to_bytes(&lines) == bytes { Ok(lines) } else { altered() }
}

fn mentions(bytes: &[u8], key: &str) -> bool {
    bytes.windows(key.len()).any(|window| window == key.as_bytes())
}

/// The bytes of a commit file whose first line is the commit info, sealed.
pub(crate) fn sealed_bytes(lines: &[Line]) -> Vec<u8> {
    let Some(mut info) = lines.first().and_then(|line| line.commit_info.clone()) else { return to_bytes(lines) };
    info.insert(SEALED.to_owned(), Value::Bool(true));
    let rest = to_bytes(&lines[1..]);
    let with = |info: &BTreeMap<String, Value>| {
        let first = Line { commit_info: Some(info.clone()), ..Line::default() };
        [to_bytes(&[first]), rest.clone()].concat()
    };
    let seal = Hash::of(&with(&info)).to_string();
    info.insert(SEAL.to_owned(), Value::String(seal));
    with(&info)
}

/// The error for a log file of `table` that cannot be trusted.
pub(crate) fn broken(table: &str, name: &str, why: &str) -> Error {
    Error::corrupt(codes::LOG_BROKEN, format!("the log file {name} of table {table} {why}"))
        .hint("rows may be missing: restore the table's folder from a backup, or run `seawall repair`")
}

/// The lines as the bytes of a commit file.
pub(crate) fn to_bytes(lines: &[Line]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut bytes, line).expect("actions have text keys and finite numbers");
        bytes.push(b'\n');
    }
    bytes
}
