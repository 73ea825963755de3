//! Finds values that occur again: within a batch in one pass and eight bytes per slot, and in a table batch by batch.

mod integers;
mod rising;

use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, PrimitiveArray, StringArray};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use foldhash::quality::{FoldHasher, SeedableRandomState};

use self::integers::Integers;
use self::rising::Rising;
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

/// The keys of a batch's rows.
pub(super) enum RowKeys {
    /// One column of integers, which are their own keys.
    Integers(Int64Array),
    /// Hashed keys.
    Hashed(HashedKeys),
}

/// Keys of more than one integer.
pub(super) struct HashedKeys {
    /// The hash of each row's key; [`NO_KEY`] where a column is null.
    hashes: Vec<u128>,
    /// The values of a column of the key that has an order, if there is one.
    order: Option<ScalarBuffer<i64>>,
}

/// Hashes keys to twice 64 bits, each under a random seed of its own, so that nobody can craft keys that collide: that
/// two of a billion keys share both is less likely than a fault of memory.
#[derive(Debug, Clone)]
pub(super) struct KeyHasher(SeedableRandomState, SeedableRandomState);

impl KeyHasher {
    pub(super) fn random() -> Self {
        KeyHasher(SeedableRandomState::random(), SeedableRandomState::random())
    }

    /// The keys of all rows.
    pub(super) fn keys(&self, columns: &[&ArrayRef]) -> RowKeys {
        if let [only] = columns {
            if let Some(numbers) = only.as_primitive_opt::<Int64Type>() {
                return RowKeys::Integers(numbers.clone());
            }
            if let Some(text) = only.as_string_opt::<i32>() {
                let key = |row| text.is_valid(row).then(|| self.one(text.value(row).as_bytes()));
                let hashes = (0..text.len()).map(|row| key(row).unwrap_or(NO_KEY)).collect();
                return RowKeys::Hashed(HashedKeys { hashes, order: None });
            }
        }
        let order = columns.iter().find_map(|column| numbers(column)).cloned();
        RowKeys::Hashed(HashedKeys { hashes: self.encoded(columns), order })
    }

    fn encoded(&self, columns: &[&ArrayRef]) -> Vec<u128> {
        let rows = columns.first().map_or(0, |column| column.len());
        let nulls =
            columns.iter().fold(None, |all, column| NullBuffer::union(all.as_ref(), column.logical_nulls().as_ref()));
        let parts: Vec<Part<'_>> = columns.iter().map(|column| Part::of(column)).collect();
        let mut bytes = Vec::new();
        let mut hashes = Vec::with_capacity(rows);
        for row in 0..rows {
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                hashes.push(NO_KEY);
                continue;
            }
            hashes.push(self.hash(|hasher| parts.iter().for_each(|part| part.write(hasher, row, &mut bytes))));
        }
        hashes
    }

    fn one(&self, key: &[u8]) -> u128 {
        self.hash(|hasher| hasher.write(key))
    }

    fn hash(&self, mut write: impl FnMut(&mut FoldHasher<'static>)) -> u128 {
        let mut half = |state: &SeedableRandomState| {
            let mut hasher = state.build_hasher();
            write(&mut hasher);
            u128::from(hasher.finish())
        };
        // Neither "no key" nor an empty slot, and not counted yet.
        (half(&self.0) << 64 | half(&self.1) | 2) & !1
    }
}

/// A column of a key: the usual ones without asking for their type in every row.
enum Part<'a> {
    Text(&'a StringArray),
    Numbers(&'a [i64]),
    Other(&'a dyn Array),
}

impl<'a> Part<'a> {
    fn of(column: &'a ArrayRef) -> Self {
        if let Some(text) = column.as_string_opt::<i32>() {
            return Part::Text(text);
        }
        numbers(column).map_or(Part::Other(column.as_ref()), |values| Part::Numbers(values))
    }

    /// Writes the row's value so that no two keys of the same columns write the same.
    fn write(&self, out: &mut FoldHasher<'static>, row: usize, bytes: &mut Vec<u8>) {
        match self {
            Part::Text(text) => {
                let value = text.value(row).as_bytes();
                out.write_usize(value.len());
                out.write(value);
            }
            Part::Numbers(values) => out.write_i64(values[row]),
            Part::Other(array) => {
                bytes.clear();
                content::push_value(bytes, *array, row);
                out.write(bytes);
            }
        }
    }
}

/// The values of a column of integers or instants.
fn numbers(column: &ArrayRef) -> Option<&ScalarBuffer<i64>> {
    let integers = column.as_primitive_opt::<Int64Type>().map(PrimitiveArray::values);
    integers.or_else(|| column.as_primitive_opt::<TimestampMicrosecondType>().map(PrimitiveArray::values))
}

fn random_seed() -> u64 {
    RandomState::new().hash_one(0_u64)
}

/// Stands for a key that is null.
const NO_KEY: u128 = 0;

/// The keys of a table that is seen batch by batch: of hashed ones 24 bytes per key, found with one look at memory, or
/// without one when they come in order.
pub(super) struct Seen {
    integers: Integers,
    rising: Rising,
    /// Open addressing: the other keys that stand. The lowest bit tells whether the key was counted as repeated.
    slots: Vec<u128>,
    taken: usize,
    expected: usize,
}

impl Default for Seen {
    fn default() -> Self {
        Seen {
            integers: Integers::new(random_seed()),
            rising: Rising::default(),
            slots: Vec::new(),
            taken: 0,
            expected: 0,
        }
    }
}

/// Keys that are looked up together, so that the processor fetches their slots side by side.
const BLOCK: usize = 32;

impl Seen {
    /// The rows whose key a standing row has, in this batch or an earlier one. With `once` a key that repeats is named
    /// at its first repetition only. Null never repeats; rows that are not clean do not stand.
    pub(super) fn add(&mut self, keys: &RowKeys, clean: &[bool], once: bool) -> Vec<u32> {
        match keys {
            RowKeys::Integers(numbers) => self.add_integers(numbers, clean, once),
            RowKeys::Hashed(HashedKeys { hashes, order: None }) => {
                self.add_hashes((0..).zip(hashes.iter().copied()), clean, once)
            }
            RowKeys::Hashed(HashedKeys { hashes, order: Some(order) }) => self.add_ordered(hashes, order, clean, once),
        }
    }

    fn add_integers(&mut self, numbers: &Int64Array, clean: &[bool], once: bool) -> Vec<u32> {
        self.integers.reserve(numbers.len());
        let mut repeated = Vec::new();
        for (row, (value, is_clean)) in numbers.values().iter().zip(clean).enumerate() {
            if numbers.is_valid(row) && self.integers.repeats(*value, *is_clean, once) {
                repeated.push(row as u32);
            }
        }
        repeated
    }

    /// Keys beyond all before them, by the column that has an order, are new; the others may be known.
    fn add_ordered(&mut self, hashes: &[u128], order: &[i64], clean: &[bool], once: bool) -> Vec<u32> {
        self.rising.reserve(hashes.len(), self.expected);
        let (mut repeated, mut unknown) = (Vec::new(), Vec::new());
        for (row, ((key, value), stands)) in (0..).zip(hashes.iter().zip(order).zip(clean)) {
            if *key == NO_KEY {
                continue;
            }
            if self.rising.is_behind(*value) {
                if *stands {
                    self.rising.push(*value, *key);
                }
                continue;
            }
            match self.rising.find(*value, *key) {
                Some(known) => {
                    let was_counted = *known & 1 == 1;
                    *known |= 1;
                    repeated.extend((!(once && was_counted)).then_some(row));
                }
                None => unknown.push((row, *key)),
            }
        }
        let among_others = self.add_hashes(unknown.into_iter(), clean, once);
        repeated.extend(among_others);
        repeated.sort_unstable();
        repeated
    }

    fn add_hashes(&mut self, keys: impl Iterator<Item = (u32, u128)>, clean: &[bool], once: bool) -> Vec<u32> {
        self.reserve(keys.size_hint().0);
        let mut repeated = Vec::new();
        let mut keys = keys.filter(|(_, key)| *key != NO_KEY).peekable();
        let mut block = Vec::with_capacity(BLOCK);
        while keys.peek().is_some() {
            block.extend(keys.by_ref().take(BLOCK));
            std::hint::black_box(block.iter().fold(0, |all, (_, key)| all ^ self.slots[self.home(*key)]));
            for (row, key) in block.drain(..) {
                if self.repeats(key, clean[row as usize], once) {
                    repeated.push(row);
                }
            }
        }
        repeated
    }

    fn repeats(&mut self, key: u128, stands: bool, once: bool) -> bool {
        let at = self.place_of(key);
        let slot = &mut self.slots[at];
        if *slot == NO_KEY {
            if stands {
                *slot = key;
                self.taken += 1;
            }
            return false;
        }
        let was_counted = *slot & 1 == 1;
        *slot |= 1;
        !(once && was_counted)
    }

    /// The key's slot, or the empty one where it belongs.
    fn place_of(&self, key: u128) -> usize {
        let mut at = self.home(key);
        while self.slots[at] != NO_KEY && self.slots[at] & !1 != key & !1 {
            at = if at + 1 == self.slots.len() { 0 } else { at + 1 };
        }
        at
    }

    /// Where a key's slot is, unless others are there: the upper half of the hash as a fraction of all slots.
    fn home(&self, key: u128) -> usize {
        (((key >> 64) * self.slots.len() as u128) >> 64) as usize
    }

    /// Tells about how many keys will come.
    pub(super) fn expect(&mut self, keys: usize) {
        self.expected = keys;
    }

    /// Makes room for so many more hashed keys at a load of at most two thirds; for all that are expected once an eighth
    /// of them is here.
    fn reserve(&mut self, more: usize) {
        let wanted = (self.taken + more) * 3 / 2 + 1;
        if wanted <= self.slots.len() {
            return;
        }
        let at_least = if self.taken >= self.expected / 8 { self.expected * 3 / 2 + 1 } else { self.slots.len() * 2 };
        let old = std::mem::take(&mut self.slots);
        self.slots = vec![NO_KEY; wanted.max(at_least).max(old.len() * 2)];
        for key in old.into_iter().filter(|key| *key != NO_KEY) {
            let at = self.place_of(key);
            self.slots[at] = key;
        }
    }
}

#[cfg(test)]
mod tests;
