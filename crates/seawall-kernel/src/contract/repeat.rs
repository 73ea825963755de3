//! Finds values that occur again within a batch, in one pass and eight bytes per slot.

use std::hash::{BuildHasher, Hash, RandomState};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::Int64Type;

use super::content;

/// Pairs of a row and the earlier standing row with the same value: the first clean one. Null never repeats.
pub(super) fn of_column(column: &ArrayRef, clean: &[bool]) -> Vec<(u32, u32)> {
    if let Some(text) = column.as_string_opt::<i32>() {
        return repeats(clean, |row| text.is_valid(row).then(|| text.value(row)));
    }
    if let Some(numbers) = column.as_primitive_opt::<Int64Type>() {
        return repeats(clean, |row| numbers.is_valid(row).then(|| numbers.value(row)));
    }
    of_columns(&[column], clean)
}

/// The same for several columns together; a null in one of them never repeats.
pub(super) fn of_columns(columns: &[&ArrayRef], clean: &[bool]) -> Vec<(u32, u32)> {
    let mut bytes = Vec::new();
    repeats(clean, |row| {
        bytes.clear();
        for column in columns {
            if column.is_null(row) {
                return None;
            }
            content::push_value(&mut bytes, column.as_ref(), row);
        }
        Some(seawall_base::Hash::of(&bytes).low128())
    })
}

/// An open-addressing table of row numbers, each beside the upper half of its key's hash; keys stay in their column.
/// The hash is keyed at random against crafted collisions; the result does not depend on it.
fn repeats<K: Hash + Eq>(clean: &[bool], mut key: impl FnMut(usize) -> Option<K>) -> Vec<(u32, u32)> {
    let slots = (clean.len() * 2).next_power_of_two();
    let mask = slots - 1;
    let mut table: Vec<u64> = vec![EMPTY; slots];
    let hasher = RandomState::new();
    let mut repeated = Vec::new();
    for (row, is_clean) in clean.iter().enumerate() {
        let Some(value) = key(row) else { continue };
        let hash = hasher.hash_one(&value);
        let tag = hash >> 32;
        let mut at = hash as usize & mask;
        loop {
            let slot = table[at];
            if slot == EMPTY {
                if *is_clean {
                    table[at] = tag << 32 | row as u64;
                }
                break;
            }
            let standing = slot & ROW_BITS;
            if slot >> 32 == tag && key(standing as usize).is_some_and(|known| known == value) {
                repeated.push((row as u32, standing as u32));
                break;
            }
            at = (at + 1) & mask;
        }
    }
    repeated
}

const ROW_BITS: u64 = u32::MAX as u64;
/// No row has this number: a batch has fewer than 2^32 - 1 rows.
const EMPTY: u64 = u64::MAX;

/// The keys of a table that is seen batch by batch, as 128-bit hashes under random seeds: that two of a billion keys
/// share one is less likely than a fault of memory.
#[derive(Default)]
pub(super) struct Seen {
    /// Open addressing; zero is an empty slot. The lowest bit tells whether the key was counted as repeated.
    slots: Vec<u128>,
    used: usize,
    seeds: [RandomState; 2],
}

impl Seen {
    /// The rows whose key a standing row has, in this batch or an earlier one. With `once` a key that repeats is named
    /// at its first repetition only. Null never repeats; rows that are not clean do not stand.
    pub(super) fn add(&mut self, columns: &[&ArrayRef], clean: &[bool], once: bool) -> Vec<u32> {
        let mut repeated = Vec::new();
        match columns {
            [only] if only.as_string_opt::<i32>().is_some() => {
                let text = only.as_string::<i32>();
                self.add_keys(clean, once, &mut repeated, |row| text.is_valid(row).then(|| text.value(row)));
            }
            [only] if only.as_primitive_opt::<Int64Type>().is_some() => {
                let numbers = only.as_primitive::<Int64Type>();
                self.add_keys(clean, once, &mut repeated, |row| numbers.is_valid(row).then(|| numbers.value(row)));
            }
            several => self.add_encoded(several, clean, once, &mut repeated),
        }
        repeated
    }

    fn add_keys<K: Hash>(
        &mut self,
        clean: &[bool],
        once: bool,
        repeated: &mut Vec<u32>,
        key: impl Fn(usize) -> Option<K>,
    ) {
        self.reserve(clean.len());
        for (row, is_clean) in clean.iter().enumerate() {
            let Some(key) = key(row) else { continue };
            let hash = self.hash(&key);
            if self.repeats(hash, *is_clean, once) {
                repeated.push(row as u32);
            }
        }
    }

    fn add_encoded(&mut self, columns: &[&ArrayRef], clean: &[bool], once: bool, repeated: &mut Vec<u32>) {
        self.reserve(clean.len());
        let mut bytes = Vec::new();
        for (row, is_clean) in clean.iter().enumerate() {
            if columns.iter().any(|column| column.is_null(row)) {
                continue;
            }
            bytes.clear();
            columns.iter().for_each(|column| content::push_value(&mut bytes, column.as_ref(), row));
            let hash = self.hash(&bytes.as_slice());
            if self.repeats(hash, *is_clean, once) {
                repeated.push(row as u32);
            }
        }
    }

    fn hash<K: Hash>(&self, key: &K) -> u128 {
        let [high, low] = &self.seeds;
        let hash = u128::from(high.hash_one(key)) << 64 | u128::from(low.hash_one(key));
        // Not an empty slot, and not counted yet.
        (hash | 2) & !1
    }

    fn repeats(&mut self, hash: u128, stands: bool, once: bool) -> bool {
        let mask = self.slots.len() - 1;
        let mut at = (hash >> 8) as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                if stands {
                    self.slots[at] = hash;
                    self.used += 1;
                }
                return false;
            }
            if slot & !1 == hash {
                let was_counted = slot & 1 == 1;
                self.slots[at] = hash | 1;
                return !(once && was_counted);
            }
            at = (at + 1) & mask;
        }
    }

    /// Makes room for so many more keys at a load of at most one half.
    fn reserve(&mut self, more: usize) {
        let wanted = ((self.used + more) * 2).next_power_of_two().max(16);
        if wanted <= self.slots.len() {
            return;
        }
        let old = std::mem::replace(&mut self.slots, vec![0; wanted]);
        let mask = wanted - 1;
        for slot in old.into_iter().filter(|slot| *slot != 0) {
            let mut at = (slot >> 8) as usize & mask;
            while self.slots[at] != 0 {
                at = (at + 1) & mask;
            }
            self.slots[at] = slot;
        }
    }
}
