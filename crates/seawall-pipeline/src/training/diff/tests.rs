//! Differences against a comparison row by row, and what fingerprints say.

use std::sync::Arc;

use arrow::array::{Float64Array, Int64Array, StringArray};
use proptest::prelude::*;
use seawall_base::engine::PinnedInput;
use seawall_base::{Cut, Hash, Instant};

use super::*;

type Row = (i64, Option<i64>, Option<f64>);

fn rows(rows: &[Row]) -> RecordBatch {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(rows.iter().map(|row| Some(row.0)).collect::<Int64Array>())),
        ("n", Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>())),
        ("x", Arc::new(rows.iter().map(|row| row.2).collect::<Float64Array>())),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

fn id() -> Vec<String> {
    vec!["id".to_owned()]
}

/// Rows with distinct keys in any order.
fn some_rows() -> impl Strategy<Value = Vec<Row>> {
    let float = prop_oneof![Just(0.0), Just(-0.0), Just(f64::NAN), Just(1.5)];
    let row = (0i64..20, prop::option::weighted(0.8, 0i64..3), prop::option::weighted(0.8, float));
    prop::collection::vec(row, 0..15).prop_map(|mut rows| {
        let mut seen = std::collections::BTreeSet::new();
        rows.retain(|row| seen.insert(row.0));
        rows
    })
}

proptest! {
    #[test]
    fn a_difference_is_what_a_walk_over_the_rows_finds(from in some_rows(), until in some_rows()) {
        let (counts, columns) = compare(&id(), &rows(&from), &rows(&until)).unwrap();
        let pairs: Vec<(Row, Row)> =
            from.iter().filter_map(|a| until.iter().find(|b| a.0 == b.0).map(|b| (*a, *b))).collect();
        prop_assert_eq!(counts.gone as usize, from.len() - pairs.len());
        prop_assert_eq!(counts.new as usize, until.len() - pairs.len());
        let bits = |x: Option<f64>| x.map(f64::to_bits);
        let n = pairs.iter().filter(|(a, b)| a.1 != b.1).count();
        let x = pairs.iter().filter(|(a, b)| bits(a.2) != bits(b.2)).count();
        let any = pairs.iter().filter(|(a, b)| a.1 != b.1 || bits(a.2) != bits(b.2)).count();
        prop_assert_eq!(counts.changed as usize, any);
        let told = |name: &str| columns.iter().find(|c| c.column == name).map_or(0, |c| c.rows as usize);
        prop_assert_eq!((told("id"), told("n"), told("x")), (0, n, x));
        let filled = pairs.iter().filter(|(a, b)| a.1.is_none() && b.1.is_some()).count();
        prop_assert_eq!(columns.iter().find(|c| c.column == "n").map_or(0, |c| c.filled as usize), filled);
    }
}

#[test]
fn the_first_change_is_shown_with_its_key() {
    let from = rows(&[(1, Some(7), None), (2, Some(8), Some(0.5))]);
    let until = rows(&[(2, None, Some(0.5)), (1, Some(7), Some(2.0)), (3, None, None)]);
    let (counts, columns) = compare(&id(), &from, &until).unwrap();
    assert_eq!(counts, Rows { from: 2, until: 3, gone: 0, new: 1, changed: 2 });
    let example = |key: &str, from: Option<&str>, until: Option<&str>| {
        Some(Example { key: key.into(), from: from.map(str::to_owned), until: until.map(str::to_owned) })
    };
    let change = |column: &str, filled, emptied, example| ColumnChange {
        column: column.into(),
        state: ColumnState::Changed,
        rows: 1,
        filled,
        emptied,
        example,
    };
    let expected =
        [change("n", 0, 1, example("id 2", Some("8"), None)), change("x", 1, 0, example("id 1", None, Some("2.0")))];
    assert_eq!(columns, expected);
}

#[test]
fn columns_come_go_and_change_their_type() {
    let with = |name: &str, column: ArrayRef| {
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        RecordBatch::try_from_iter([("id", ids), (name, column)]).unwrap()
    };
    let number: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let text: ArrayRef = Arc::new(StringArray::from(vec!["1"]));
    let states = |from: &RecordBatch, until: &RecordBatch| -> Vec<(String, ColumnState)> {
        compare(&id(), from, until).unwrap().1.into_iter().map(|c| (c.column, c.state)).collect()
    };
    let (n, m, t) = (with("n", Arc::clone(&number)), with("m", number), with("n", text));
    assert_eq!(states(&n, &m), [("n".to_owned(), ColumnState::Gone), ("m".to_owned(), ColumnState::New)]);
    assert_eq!(states(&n, &t), [("n".to_owned(), ColumnState::OtherType)]);
    assert_eq!(states(&n, &n), []);
}

#[test]
fn what_a_build_was_made_of_is_compared_part_by_part() {
    let fingerprint = |version: u64, view: &str, revision: &str| Fingerprint {
        training_set: "fraud".into(),
        inputs: vec![PinnedInput { table: "payments".into(), version: TableVersion(version), cut: Cut::empty() }],
        definitions: vec![(view.to_owned(), Hash::of(view.as_bytes()))],
        revision: revision.into(),
        core_version: 1,
        built_at: Instant(0),
        rows: 0,
        labelled: 0,
        content: Hash::of(b"content"),
        stopped: 0,
    };
    let what = |from: &Fingerprint, until: &Fingerprint| -> Vec<String> {
        ingredients(from, until).into_iter().map(|part| part.what).collect()
    };
    let first = fingerprint(1, "card@1", "r1");
    assert_eq!(what(&first, &first), Vec::<String>::new());
    assert_eq!(what(&first, &fingerprint(2, "card@1", "r2")), ["input payments", "revision"]);
    assert_eq!(what(&first, &fingerprint(1, "card@2", "r1")), ["definition of card@1", "definition of card@2"]);
}
