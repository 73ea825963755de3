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
