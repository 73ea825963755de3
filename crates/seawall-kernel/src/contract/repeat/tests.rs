//! Keys that occurred before, batch by batch, against a plain map.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use proptest::prelude::*;

use super::*;

/// A row: its key, which may be null, and whether it may stand.
type Row = (Option<i64>, bool);

/// What must be found, by the words of [`Seen::add`].
fn expected(batches: &[Vec<Row>], once: bool) -> Vec<Vec<u32>> {
    let mut counted_of: BTreeMap<i64, bool> = BTreeMap::new();
    let mut repeats = |key: i64, stands: bool| match counted_of.get_mut(&key) {
        Some(counted) => !(std::mem::replace(counted, true) && once),
        None => {
            if stands {
                counted_of.insert(key, false);
            }
            false
        }
    };
    let mut of_batch = |batch: &Vec<Row>| -> Vec<u32> {
        let rows = (0u32..).zip(batch);
        rows.filter_map(|(row, (key, stands))| key.is_some_and(|key| repeats(key, *stands)).then_some(row)).collect()
    };
    batches.iter().map(&mut of_batch).collect()
}

fn found(batches: &[Vec<Row>], once: bool, column: impl Fn(&[Row]) -> Vec<ArrayRef>) -> Vec<Vec<u32>> {
    let (hasher, mut seen) = (KeyHasher::random(), Seen::default());
    let mut of_batch = |batch: &Vec<Row>| {
        let columns = column(batch);
        let keys = hasher.keys(&columns.iter().collect::<Vec<_>>());
        let clean: Vec<bool> = batch.iter().map(|(_, stands)| *stands).collect();
        seen.add(&keys, &clean, once)
    };
    batches.iter().map(&mut of_batch).collect()
}

fn key() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![
        1 => Just(None),
        6 => (-70i64..70).prop_map(Some),
        1 => prop_oneof![Just(i64::MIN), Just(i64::MIN + 1), Just(i64::MAX), Just(i64::MAX - 31)].prop_map(Some),
        2 => any::<i64>().prop_map(|n| Some(n % 3 * (1 << 40))),
    ]
}

proptest! {
    #[test]
    fn keys_repeat_as_in_a_map(
        batches in prop::collection::vec(prop::collection::vec((key(), prop::bool::weighted(0.9)), 0..90), 0..6),
        once in any::<bool>(),
    ) {
        let wanted = expected(&batches, once);
        let integers = |batch: &[Row]| -> Int64Array { batch.iter().map(|(key, _)| *key).collect() };
        let text = |batch: &[Row]| -> StringArray { batch.iter().map(|(key, _)| key.map(|k| k.to_string())).collect() };
        prop_assert_eq!(&found(&batches, once, |batch| vec![Arc::new(integers(batch))]), &wanted);
        prop_assert_eq!(&found(&batches, once, |batch| vec![Arc::new(text(batch))]), &wanted);
        let both = |batch: &[Row]| -> Vec<ArrayRef> { vec![Arc::new(integers(batch)), Arc::new(text(batch))] };
        prop_assert_eq!(&found(&batches, once, both), &wanted);
    }
}

proptest! {
    /// Rows mostly in order of a column, some of them late, some of them twice: by the value alone, or the whole key.
    #[test]
    fn keys_in_order_repeat_as_in_a_map(
        steps in prop::collection::vec((prop_oneof![8 => 1i64..4, 1 => Just(0), 2 => -40i64..0], 0i64..3, prop::bool::weighted(0.9)), 0..300),
        batch_rows in 1usize..70,
        once in any::<bool>(),
    ) {
        let mut time = 0;
        let rows: Vec<(i64, i64, bool)> = steps
            .iter()
            .map(|(step, who, stands)| {
                let at = time + step;
                time = time.max(at);
                (at, *who, *stands)
            })
            .collect();
        let as_one = |(at, who, stands): &(i64, i64, bool)| (Some(at * 10 + who), *stands);
        let batches: Vec<Vec<Row>> = rows.chunks(batch_rows).map(|rows| rows.iter().map(as_one).collect()).collect();
        let split = |batch: &[Row]| -> Vec<ArrayRef> {
            let part = |part: fn(i64) -> i64| batch.iter().map(|(key, _)| key.map(part)).collect::<Vec<_>>();
            let who: StringArray = part(|key| key.rem_euclid(10)).iter().map(|who| who.map(|w| w.to_string())).collect();
            vec![Arc::new(who), Arc::new(Int64Array::from(part(|key| key.div_euclid(10))))]
        };
        prop_assert_eq!(found(&batches, once, split), expected(&batches, once));
    }
}

#[test]
fn many_integers_from_anywhere_and_in_a_row_are_told_apart() {
    let rows: Vec<Row> = (0..100_000i64)
        .map(|i| (Some(if i % 2 == 0 { i } else { i.wrapping_mul(0x9e37_79b9_7f4a_7c15u64 as i64) }), true))
        .collect();
    let twice = vec![rows.clone(), rows];
    let column =
        |batch: &[Row]| -> Vec<ArrayRef> { vec![Arc::new(batch.iter().map(|(key, _)| *key).collect::<Int64Array>())] };
    assert_eq!(found(&twice, false, column), expected(&twice, false));
}
