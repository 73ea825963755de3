//! Which files to merge: a pure decision over sizes.
//!
//! Files are sorted into classes of size, each eight times the one below. A class with enough files is merged into one
//! file of a higher class. So a row is written again once per class, about a logarithm of the table's size, and the
//! number of files stays below the number of classes times the files that one class may have.

use std::collections::BTreeMap;
use std::sync::Arc;

use seawall_base::upkeep::CompactionTargets;

use super::log::{DataFile, TableState};

/// Files that one run merges at most: its commit takes each of them out, and appends wait for that commit.
const RUN_FILES_MAX: usize = 256;
/// Bits by which the classes of size differ: eight times.
const CLASS_BITS: u32 = 3;

/// The files that one run should merge, oldest first; none when the targets are met.
pub(crate) fn choose(state: &TableState, targets: &CompactionTargets) -> Vec<Arc<DataFile>> {
    let mut classes: BTreeMap<u32, Vec<&Arc<DataFile>>> = BTreeMap::new();
    for file in state.files.values().filter(|file| file.bytes < targets.file_bytes / 2) {
        classes.entry(class_of(file.bytes)).or_default().push(file);
    }
    let enough = targets.similar_files.max(2);
    let Some(mut full) = classes.into_values().find(|class| class.len() >= enough) else { return Vec::new() };
    full.sort_by(|a, b| (a.written_ms(), &a.path).cmp(&(b.written_ms(), &b.path)));
    let bytes_max = targets.run_bytes_max.min(targets.file_bytes);
    let mut bytes = 0u64;
    let mut chosen = Vec::new();
    for file in full.into_iter().take(RUN_FILES_MAX) {
        bytes = bytes.saturating_add(file.bytes);
        // Two are merged whatever their size: otherwise a run could do nothing for ever.
        if bytes > bytes_max && chosen.len() >= 2 {
            break;
        }
        chosen.push(Arc::clone(file));
    }
    chosen
}

/// How many files the targets would merge, over all classes.
pub(crate) fn waiting(state: &TableState, targets: &CompactionTargets) -> usize {
    let mut classes: BTreeMap<u32, usize> = BTreeMap::new();
    for file in state.files.values().filter(|file| file.bytes < targets.file_bytes / 2) {
        *classes.entry(class_of(file.bytes)).or_default() += 1;
    }
    classes.into_values().filter(|files| *files >= targets.similar_files.max(2)).sum()
}

fn class_of(bytes: u64) -> u32 {
    (u64::BITS - bytes.leading_zeros()) / CLASS_BITS
}

#[cfg(test)]
mod tests;
