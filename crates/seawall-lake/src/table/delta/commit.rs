//! What a commit says: its lines, its id, and what its log tells of it later.

use std::collections::BTreeMap;

use arrow::datatypes::Schema;
use seawall_base::hash::Hash;
use seawall_base::table::{TableName, TableVersion};
use seawall_base::{Cut, Instant, Permit};
use serde_json::{Value, json};

use super::CHECKPOINT_INTERVAL;
use crate::table::action::{self, Line, Metadata, Protocol, Remove};
use crate::table::log::DataFile;
use crate::table::schema;

/// One commit of a table, as its log tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionInfo {
    /// The version that the commit made.
    pub version: TableVersion,
    /// When, by the writer's clock.
    pub committed_at: Instant,
    /// Delta's word for what was done: `CREATE TABLE`, `WRITE`, `SET TBLPROPERTIES`.
    pub operation: String,
    /// The permit that allowed it, when Seawall wrote it.
    pub permit_id: Option<String>,
    /// Ends that this commit moved.
    pub moved: Cut,
}

/// What a commit is to do.
pub(super) struct Commit {
    /// Delta's word for it.
    pub operation: &'static str,
    /// Delta's parameters of the operation.
    pub parameters: Value,
    /// What else the commit info says.
    pub info: BTreeMap<String, Value>,
    /// The actions.
    pub lines: Vec<Line>,
}

impl Commit {
    /// Tells commits apart that race for one version. Times stay out, so a repeated commit has the same id.
    pub(super) fn id(&self, table: &TableName, version: u64, permit: &Permit) -> Hash {
        let mut parts = vec![table.to_string(), version.to_string(), permit.id().to_owned(), self.operation.to_owned()];
        for line in &self.lines {
            parts.extend(line.txn.iter().map(|txn| format!("{} {}", txn.app_id, txn.version)));
            parts.extend(line.add.iter().map(|add| add.path.clone()));
            parts.extend(line.remove.iter().map(|remove| format!("- {}", remove.path)));
            parts.extend(line.meta_data.iter().map(|metadata| metadata.schema_string.clone()));
        }
        Hash::of_parts(parts.iter().map(String::as_bytes))
    }

    /// The lines of the commit file, the commit info first.
    pub(super) fn into_lines(self, version: u64, permit: &Permit, commit_id: &str, now_ms: i64) -> Vec<Line> {
        let mut info = self.info;
        info.insert("timestamp".into(), json!(now_ms));
        info.insert("operation".into(), json!(self.operation));
        info.insert("operationParameters".into(), self.parameters);
        if let Some(read_version) = version.checked_sub(1) {
            info.insert("readVersion".into(), json!(read_version));
        }
        info.insert("engineInfo".into(), json!(concat!("seawall/", env!("CARGO_PKG_VERSION"))));
        info.insert(action::PERMIT_ID.into(), json!(permit.id()));
        info.insert(action::COMMIT_ID.into(), json!(commit_id));
        let first = Line { commit_info: Some(info), ..Line::default() };
        std::iter::once(first).chain(self.lines).collect()
    }
}

/// What became of a commit.
pub(crate) enum Landed {
    /// It made its version.
    Yes,
    /// Another process made this version.
    Taken,
}

/// A text of a commit's info.
pub(crate) fn commit_info_text<'a>(lines: &'a [Line], key: &str) -> Option<&'a str> {
    lines.iter().find_map(|line| line.commit_info.as_ref())?.get(key)?.as_str()
}

/// The line that takes a file out of the newest version.
pub(super) fn removal(file: &DataFile, now_ms: i64) -> Line {
    let remove = Remove {
        path: file.logged_path.clone(),
        deletion_timestamp: Some(now_ms),
        data_change: true,
        size: i64::try_from(file.bytes).ok(),
    };
    Line { remove: Some(remove), ..Line::default() }
}

/// What the lines of a commit tell of it.
pub(super) fn version_info(version: u64, lines: &[Line]) -> VersionInfo {
    let info = lines.iter().find_map(|line| line.commit_info.as_ref());
    let timestamp_ms = info.and_then(|info| info.get("timestamp")).and_then(Value::as_i64).unwrap_or(0);
    let moved = lines.iter().filter_map(|line| {
        let txn = line.txn.as_ref()?;
        Some((action::partition_of(&txn.app_id)?, seawall_base::Offset(u64::try_from(txn.version).ok()?)))
    });
    VersionInfo {
        version: TableVersion(version),
        committed_at: Instant(timestamp_ms.saturating_mul(1_000)),
        operation: commit_info_text(lines, "operation").unwrap_or("UNKNOWN").to_owned(),
        permit_id: commit_info_text(lines, action::PERMIT_ID).map(str::to_owned),
        moved: moved.collect(),
    }
}

/// Properties that make every other writer behave like Seawall.
pub(super) fn configuration(schema: &Schema, personal: &[String]) -> BTreeMap<String, String> {
    let public = schema.fields().iter().map(|field| field.name()).filter(|name| !personal.contains(name));
    let public: Vec<String> = public.map(|name| quoted(name)).collect();
    let names = serde_json::to_string(&sorted(personal)).expect("names are text");
    BTreeMap::from([
        ("delta.checkpointInterval".to_owned(), CHECKPOINT_INTERVAL.to_string()),
        ("delta.enableExpiredLogCleanup".to_owned(), "false".to_owned()),
        ("delta.dataSkippingStatsColumns".to_owned(), public.join(",")),
        (action::PERSONAL.to_owned(), names),
    ])
}

/// A column name as Delta's lists of columns spell it.
fn quoted(name: &str) -> String {
    let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if is_plain { name.to_owned() } else { format!("`{}`", name.replace('`', "``")) }
}

/// Metadata, and the protocol when the table has none or the schema needs more.
pub(super) fn schema_lines(metadata: Metadata, current: Option<&Protocol>, schema: &Schema) -> Vec<Line> {
    let needed = Protocol::of_table(schema::has_local_timestamps(schema.fields()));
    let upgrade = current.is_none_or(|current| current.min_writer_version < needed.min_writer_version);
    let mut lines = Vec::new();
    if upgrade {
        lines.push(Line { protocol: Some(needed), ..Line::default() });
    }
    lines.push(Line { meta_data: Some(metadata), ..Line::default() });
    lines
}

/// The names in order, each once.
pub(super) fn sorted(names: &[String]) -> Vec<&String> {
    let mut sorted: Vec<&String> = names.iter().collect();
    sorted.sort();
    sorted.dedup();
    sorted
}
