//! Where the row of each key stands: open addressing over the numbers of rows, with 32 bits of the hash beside each.
//!
//! With those a table grows, and most keys that are not there are told, without a look at rows, which lie all over memory.
//! Keys are dealt out over shards, which grow one at a time: moving all keys at once would hold requests up, and would take
//! the memory of both tables meanwhile.

use hashbrown::HashTable;

use super::rows::Rows;

const SHARDS: usize = 256;

/// Where a row stands.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Its number modulo 2^32, which is unique among the rows held.
    number: u32,
    /// The lowest bits of its key.
    key: u32,
}

impl Place {
    /// The number in full.
    fn whole(self, rows: &Rows) -> u64 {
        rows.first() + u64::from(self.number.wrapping_sub(rows.first() as u32))
    }

    fn is_of(self, key: u128, rows: &Rows) -> bool {
        self.key == key as u32 && rows.row(self.whole(rows)).key() == key
    }
}

/// The places of rows by their key.
#[derive(Debug)]
pub(super) struct Places {
    shards: Vec<HashTable<Place>>,
    keys: usize,
}

impl Default for Places {
    fn default() -> Places {
        Places { shards: vec![HashTable::new(); SHARDS], keys: 0 }
    }
}

impl Places {
    /// Keys that have a row.
    pub fn len(&self) -> usize {
        self.keys
    }

    /// Makes room for as many more keys.
    pub fn reserve(&mut self, keys: usize) {
        self.shards.iter_mut().for_each(|shard| shard.reserve(keys / SHARDS, hash_of_place));
    }

    /// The number of the row of `key`.
    pub fn find(&self, key: u128, rows: &Rows) -> Option<u64> {
        let shard = &self.shards[shard_of(key)];
        shard.find(hash_of(key as u32), |place| place.is_of(key, rows)).map(|place| place.whole(rows))
    }

    /// Makes row `number`, which has `key`, the row of its key.
    pub fn put(&mut self, key: u128, number: u64, rows: &Rows) {
        assert!(rows.end() - rows.first() <= u64::from(u32::MAX), "an index holds fewer than 2^32 rows");
        let place = Place { number: number as u32, key: key as u32 };
        let shard = &mut self.shards[shard_of(key)];
        match shard.find_mut(hash_of(place.key), |known| known.is_of(key, rows)) {
            Some(known) => *known = place,
            None => {
                shard.insert_unique(hash_of(place.key), place, hash_of_place);
                self.keys += 1;
            }
        }
    }

    /// Forgets `key` when its row is `number`; any row of it, when no number is given.
    pub fn remove(&mut self, key: u128, number: Option<u64>, rows: &Rows) {
        let is_it = |place: &Place| number.is_none_or(|number| number == place.whole(rows)) && place.is_of(key, rows);
        if let Ok(entry) = self.shards[shard_of(key)].find_entry(hash_of(key as u32), is_it) {
            entry.remove();
            self.keys -= 1;
        }
    }
}

/// Spreads 32 bits of a hash, of which the table takes the lowest and the highest.
fn hash_of(key: u32) -> u64 {
    u64::from(key).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn hash_of_place(place: &Place) -> u64 {
    hash_of(place.key)
}

/// The shard of a key.
pub(super) fn shard_of(key: u128) -> usize {
    (key >> 120) as usize % SHARDS
}
