//! Kept rows in blocks against an ordered map: any order of arrival, late rows, repeated places and keys, trimming.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use seawall_base::{Instant, Offset, Partition};

use crate::aggregate::RowOrder;
use crate::feature::old_keys::OldKeys;
use crate::feature::row::RowRef;
use crate::feature::rows::Rows;

/// A key and values.
type Body = (Option<u128>, Vec<u8>);
type Kept = BTreeMap<RowOrder, Body>;

#[derive(Debug, Clone)]
enum Step {
    /// Rows that follow each other, as they do when nothing is late.
    InOrder(u16),
    /// Rows from anywhere.
    Scattered(Vec<(u16, u8)>),
    RemoveBefore(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1_u16..1_200).prop_map(Step::InOrder),
        proptest::collection::vec((0_u16..3_000, any::<u8>()), 1..900).prop_map(Step::Scattered),
        (0_u16..3_000).prop_map(Step::RemoveBefore),
    ]
}

fn order(event_time: i64, offset: u64) -> RowOrder {
    RowOrder {
        event_time: Instant(event_time),
        available_at: Instant(event_time + 5),
        partition: Partition(0),
        offset: Offset(offset),
    }
}

fn key(number: u64) -> u128 {
    u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
}

/// A few keys repeat, some rows have none, and values have any length.
fn put(rows: &mut Rows, kept: &mut Kept, order: RowOrder, salt: u64) {
    let own = Some(key(salt % 700)).filter(|own| *own != 0);
    let values = vec![salt as u8; (salt % 7) as usize];
    rows.insert(order, RowRef::new(own, &values));
    kept.entry(order).or_insert((own, values));
}

fn same(told: Vec<(RowOrder, RowRef<'_>)>, wanted: Vec<(&RowOrder, &Body)>) -> bool {
    let told: Vec<_> = told.into_iter().map(|(order, row)| (order, row.own, row.bytes().to_vec())).collect();
    let wanted: Vec<_> = wanted.into_iter().map(|(order, (own, values))| (*order, *own, values.clone())).collect();
    told == wanted
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn blocks_hold_what_an_ordered_map_holds(
        steps in proptest::collection::vec(step(), 1..8),
        asked in proptest::collection::vec((0_i64..3_100, 0_i64..400, any::<u64>()), 1..8),
    ) {
        let (mut rows, mut kept) = (Rows::default(), Kept::new());
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::InOrder(count) => {
                    let next = kept.last_key_value().map_or(0, |(last, _)| last.event_time.0);
                    (0..u64::from(count)).for_each(|i| put(&mut rows, &mut kept, order(next + i as i64 / 3, i), i));
                }
                Step::Scattered(places) => {
                    for (time, offset) in places {
                        let salt = u64::from(time) ^ u64::from(offset) << 3 ^ number as u64;
                        put(&mut rows, &mut kept, order(i64::from(time), u64::from(offset)), salt);
                    }
                }
                Step::RemoveBefore(time) => {
                    let before = RowOrder::before(Instant(i64::from(time)));
                    let mut gone = Vec::new();
                    rows.remove_before(before, |order, body| gone.push((order, body)));
                    let stays = kept.split_off(&before);
                    let gone = gone.iter().map(|(order, body)| (*order, body.as_ref())).collect();
                    prop_assert!(same(gone, kept.iter().collect()));
                    kept = stays;
                }
            }
            prop_assert_eq!(rows.len(), kept.len());
            prop_assert_eq!(rows.is_empty(), kept.is_empty());
            prop_assert_eq!(rows.last_order(), kept.last_key_value().map(|(last, _)| *last));
            prop_assert_eq!(rows.first().map(|(first, _)| first), kept.first_key_value().map(|(first, _)| *first));
        }
        prop_assert!(same(rows.iter().collect(), kept.iter().collect()));
        for (from, length, salt) in asked {
            let (first, last) = (RowOrder::before(Instant(from)), RowOrder::after(Instant(from + length)));
            prop_assert!(same(rows.range(first, last).collect(), kept.range(first..=last).collect()));
            prop_assert!(same(rows.range(first, last).rev().collect(), kept.range(first..=last).rev().collect()));
            let one = order(from, salt % 300);
            prop_assert_eq!(rows.contains(&one), kept.contains_key(&one));
            let own = key(salt % 700 + 1);
            let wanted = kept.iter().filter(|(_, (key, _))| *key == Some(own)).map(|(order, _)| order.event_time);
            prop_assert_eq!(rows.times_of(own).collect::<Vec<_>>(), wanted.collect::<Vec<_>>());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn old_keys_are_a_set_by_day(
        inserted in proptest::collection::vec((0_i64..4, 0_u64..5_000), 0..3_000),
        asked in proptest::collection::vec((0_i64..5, 0_u64..5_000), 1..100),
        forgotten in 0_i64..4,
    ) {
        let (mut keys, mut oracle) = (OldKeys::default(), BTreeMap::<i64, BTreeSet<u64>>::new());
        for (day, hash) in inserted {
            keys.insert(day, hash);
            oracle.entry(day).or_default().insert(hash);
        }
        keys.forget_before(forgotten);
        oracle = oracle.split_off(&forgotten);
        for (from, hash) in asked {
            let wanted = oracle.range(from..).any(|(_, hashes)| hashes.contains(&hash));
            prop_assert_eq!(keys.contains(from, hash), wanted);
        }
        prop_assert_eq!(keys.first_day(), oracle.first_key_value().map(|(day, _)| *day));
        let wanted = oracle.into_iter().map(|(day, hashes)| (day, hashes.into_iter().collect::<Vec<_>>()));
        prop_assert_eq!(keys.ordered().collect::<Vec<_>>(), wanted.collect::<Vec<_>>());
    }
}
