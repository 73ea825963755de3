//! `tables:` of `kind: project`: how tables are kept.

use serde::{Deserialize, Serialize};

use crate::time::Span;
use crate::upkeep::CompactionTargets;

/// How tables are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TableSettings {
    /// Size that merged files stay below, in bytes.
    pub file_bytes: u64,
    /// Files of about the same size that are merged.
    pub similar_files: usize,
    /// How long a version stays readable after another one took its place, unless something is bound to it.
    pub keep_versions: Span,
}

impl Default for TableSettings {
    fn default() -> Self {
        let CompactionTargets { file_bytes, similar_files, .. } = CompactionTargets::default();
        TableSettings { file_bytes, similar_files, keep_versions: Span(30 * Span::DAY.0) }
    }
}

impl TableSettings {
    /// What a compaction aims at.
    pub fn targets(&self) -> CompactionTargets {
        let TableSettings { file_bytes, similar_files, .. } = *self;
        CompactionTargets { file_bytes, similar_files, run_bytes_max: file_bytes }
    }
}
