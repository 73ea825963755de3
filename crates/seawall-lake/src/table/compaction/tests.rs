use proptest::prelude::*;

use super::*;
use crate::table::action::{Add, Format, Metadata, Protocol};

fn state(sizes: &[u64]) -> TableState {
    let files = sizes.iter().enumerate().map(|(at, bytes)| {
        let path = format!("{at:08}");
        let add = Add {
            path: path.clone(),
            partition_values: BTreeMap::new(),
            size: *bytes as i64,
            modification_time: at as i64,
            data_change: false,
            stats: None,
            tags: None,
            deletion_vector: None,
        };
        (path.clone(), Arc::new(DataFile { path, bytes: *bytes, rows: None, hash: None, add }))
    });
    TableState {
        version: 0,
        schema: Arc::new(arrow::datatypes::Schema::empty()),
        metadata: Metadata {
            id: String::new(),
            format: Format { provider: "parquet".into(), options: BTreeMap::new() },
            schema_string: String::new(),
            partition_columns: Vec::new(),
            configuration: BTreeMap::new(),
            created_time: None,
        },
        protocol: Protocol::of_table(false),
        files: files.collect(),
        txns: BTreeMap::new(),
        added: Vec::new(),
    }
}

fn chosen(sizes: &[u64], targets: &CompactionTargets) -> Vec<u64> {
    choose(&state(sizes), targets).iter().map(|file| file.bytes).collect()
}

const TARGETS: CompactionTargets = CompactionTargets { file_bytes: 1 << 20, similar_files: 4, run_bytes_max: 1 << 20 };

#[test]
fn few_files_and_large_files_are_left_alone() {
    assert!(chosen(&[], &TARGETS).is_empty());
    assert!(chosen(&[100, 100, 100], &TARGETS).is_empty());
    assert!(chosen(&[600_000; 40], &TARGETS).is_empty());
    assert!(chosen(&[100, 100, 5_000, 5_000, 300_000, 300_000], &TARGETS).is_empty());
    assert_eq!(waiting(&state(&[100; 3]), &TARGETS), 0);
}

#[test]
fn files_of_a_size_are_merged_oldest_first_and_within_bounds() {
    assert_eq!(chosen(&[100, 101, 200_000, 102, 103], &TARGETS), [100, 101, 102, 103]);
    assert_eq!(chosen(&[400_000; 9], &TARGETS).len(), 2);
    let tight = CompactionTargets { run_bytes_max: 1, ..TARGETS };
    assert_eq!(chosen(&[100; 9], &tight).len(), 2, "a run always does something");
    assert_eq!(waiting(&state(&[100; 9]), &TARGETS), 9);
}

proptest! {
    /// Appends of any size, compacted after each one: few files, and few bytes written again.
    #[test]
    fn files_stay_few_and_bytes_are_not_written_over_and_over(appends in prop::collection::vec(1u64..3_000, 1..600)) {
        let eight = CompactionTargets { similar_files: 8, ..TARGETS };
        let mut sizes: Vec<u64> = Vec::new();
        let (mut appended, mut rewritten) = (0u64, 0u64);
        for bytes in appends {
            sizes.push(bytes);
            appended += bytes;
            loop {
                let merge = choose(&state(&sizes), &eight);
                if merge.is_empty() {
                    break;
                }
                let paths: Vec<usize> = merge.iter().map(|file| file.path.parse().unwrap()).collect();
                let merged: u64 = merge.iter().map(|file| file.bytes).sum();
                prop_assert!(merge.len() >= 2 && merged <= TARGETS.run_bytes_max.max(2 * TARGETS.file_bytes));
                let mut at = 0;
                sizes.retain(|_| { at += 1; !paths.contains(&(at - 1)) });
                sizes.push(merged);
                rewritten += merged;
            }
        }
        prop_assert_eq!(sizes.iter().sum::<u64>(), appended, "no byte is lost");
        let classes = 7 * eight.similar_files;
        let large = sizes.iter().filter(|bytes| **bytes >= TARGETS.file_bytes / 2).count();
        prop_assert!(sizes.len() - large <= classes, "{} small files", sizes.len() - large);
        prop_assert!(rewritten <= 8 * appended, "{} bytes written again for {}", rewritten, appended);
    }
}
