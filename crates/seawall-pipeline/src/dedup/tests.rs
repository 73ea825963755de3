use std::collections::HashMap;

use proptest::prelude::*;
use seawall_base::Hash;

use super::*;

fn at(seconds: i64) -> Instant {
    Instant(seconds * Span::SECOND.0)
}

fn row(key: u128, content: u128, seconds: i64) -> Keyed {
    Keyed { arrival: at(seconds), key, content }
}

#[test]
fn a_repeat_is_told_from_a_conflict() {
    let mut index = DedupIndex::new(&[], None);
    assert_eq!(index.observe(row(1, 10, 0)), Seen::New);
    assert_eq!(index.observe(row(1, 10, 1_000_000)), Seen::Same);
    assert_eq!(index.observe(row(1, 11, 1_000_000)), Seen::Different);
    assert_eq!(index.observe(row(2, 10, 1_000_000)), Seen::New);
}

#[test]
fn keys_are_forgotten_after_the_horizon_and_not_before() {
    let mut index = DedupIndex::new(&[], Some(Span::MINUTE));
    assert_eq!(index.observe(row(1, 10, 0)), Seen::New);
    assert_eq!(index.observe(row(1, 10, 60)), Seen::Same);
    assert_eq!(index.observe(row(1, 11, 61)), Seen::New);
    assert_eq!(index.len(), 1);
    assert_eq!(index.observe(row(1, 11, 100)), Seen::Same);
}

#[test]
fn what_a_load_staged_and_gave_up_is_never_written() {
    let mut index = DedupIndex::new(&["id".to_owned()], None);
    index.take_unwritten();
    let staged = [row(1, 10, 0), row(2, 20, 0)];
    staged.iter().for_each(|row| assert_eq!(index.observe(*row), Seen::New));
    assert_eq!(index.take_unwritten(), Unwritten::default());
    index.forget(&staged[..1]);
    index.confirm([staged[1]]);
    assert_eq!(index.observe(row(1, 11, 5)), Seen::New);
    assert_eq!(index.take_unwritten().keys, [staged[1]]);
}

/// What an index must say: a map of everything that was ever taken.
#[derive(Default)]
struct Oracle(HashMap<u128, (u128, Instant)>);

impl Oracle {
    fn observe(&mut self, row: Keyed, horizon: Option<Span>) -> Seen {
        let known = self.0.get(&row.key).filter(|(_, at)| horizon.is_none_or(|horizon| row.arrival - *at <= horizon));
        match known {
            Some((content, _)) if *content == row.content => Seen::Same,
            Some(_) => Seen::Different,
            None => {
                self.0.insert(row.key, (row.content, row.arrival));
                Seen::New
            }
        }
    }
}

/// A key as the hash of a row gives it.
fn spread(key: u64) -> u128 {
    Hash::of(&key.to_le_bytes()).low128()
}

/// Many rows, so that chunks and shards are made and given up.
#[test]
fn many_rows_come_and_go_as_a_map_says() {
    let horizon = Some(Span(3_000 * Span::SECOND.0));
    let (mut index, mut oracle) = (DedupIndex::new(&[], horizon), Oracle::default());
    let mut drawn = 7_u64;
    for n in 0..60_000_i64 {
        drawn = drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let row = row(spread((drawn >> 33) % 20_000), u128::from(drawn >> 62), n / 7);
        assert_eq!(index.observe(row), oracle.observe(row, horizon), "row {n}");
    }
    let known = oracle.0.values().filter(|(_, arrival)| at(60_000 / 7) - *arrival <= Span(3_000 * Span::SECOND.0));
    assert_eq!(index.held(at(60_000 / 7)).len(), known.count());
    index.observe(row(1, 1, 1_000_000));
    assert_eq!((index.len(), index.rows.end() - index.rows.first()), (1, 1));
}

proptest! {
    #[test]
    fn an_index_says_what_a_map_of_everything_says(
        rows in prop::collection::vec((0u64..12, 0u128..3, 0i64..4, any::<bool>()), 1..120),
        horizon in prop::option::of(1i64..20),
    ) {
        let horizon = horizon.map(|seconds| Span(seconds * Span::SECOND.0));
        let (mut index, mut oracle) = (DedupIndex::new(&[], horizon), Oracle::default());
        let mut now = 0;
        for (key, content, seconds, is_given_up) in rows {
            now += seconds;
            let row = row(spread(key), content, now);
            let seen = index.observe(row);
            prop_assert_eq!(seen, oracle.observe(row, horizon));
            if seen == Seen::New && is_given_up {
                index.forget(&[row]);
                oracle.0.remove(&row.key);
            }
        }
    }

    /// Arrivals never decrease; a checkpoint after any row, which may fail and be given back.
    #[test]
    fn keys_of_checkpoints_and_the_rest_make_the_same_index(
        rows in prop::collection::vec((0u128..12, 0u128..3, 0i64..4), 1..60),
        checkpoints in prop::collection::btree_map(0usize..60, any::<bool>(), 0..8),
        horizon in prop::option::of(1i64..20),
        probes in prop::collection::vec((0u128..12, 0u128..3, 0i64..9), 1..30),
    ) {
        let horizon = horizon.map(|seconds| Span(seconds * Span::SECOND.0));
        let mut index = DedupIndex::new(&[], horizon);
        let mut written: Vec<Keyed> = Vec::new();
        let mut now = 0;
        for (i, (key, content, seconds)) in rows.into_iter().enumerate() {
            now += seconds;
            let row = row(key, content, now);
            if index.observe(row) == Seen::New {
                index.confirm([row]);
            }
            match checkpoints.get(&i) {
                None => {}
                Some(true) => written.extend(index.take_unwritten().keys),
                Some(false) => {
                    let unwritten = index.take_unwritten();
                    index.put_back(unwritten);
                }
            }
        }
        let mut recovered = DedupIndex::continued(&[], horizon);
        recovered.restore(&written);
        recovered.replay(&index.take_unwritten().keys);
        for (key, content, seconds) in probes {
            now += seconds;
            let probe = row(key, content, now);
            prop_assert_eq!(recovered.observe(probe), index.observe(probe));
        }
    }
}
