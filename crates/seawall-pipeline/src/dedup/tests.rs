use proptest::prelude::*;

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

proptest! {
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
        written.into_iter().for_each(|row| recovered.restore(row));
        index.take_unwritten().keys.into_iter().for_each(|row| recovered.replay(row));
        for (key, content, seconds) in probes {
            now += seconds;
            let probe = row(key, content, now);
            prop_assert_eq!(recovered.observe(probe), index.observe(probe));
        }
    }
}
