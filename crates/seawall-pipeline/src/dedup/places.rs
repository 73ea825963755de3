//! Where the row of each key stands: open addressing over the numbers of rows, four bytes and a tag per key.
//!
//! Keys are dealt out over shards, which grow one at a time: moving all keys at once would hold requests up, and would take
//! the memory of both tables meanwhile.

use hashbrown::HashTable;

use super::rows::Rows;

const SHARDS: usize = 256;

/// The numbers of rows by the hash of their key. A number is kept modulo 2^32, which is unique among the rows held.
#[derive(Debug)]
pub(super) struct Places {
    shards: Vec<HashTable<u32>>,
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

    /// The number of the row of `key`.
    pub fn find(&self, key: u128, rows: &Rows) -> Option<u64> {
        let number = |place: &u32| whole(*place, rows);
        let shard = &self.shards[shard_of(key)];
        shard.find(key as u64, |place| rows.row(number(place)).key() == key).map(number)
    }

    /// Makes row `number`, which has `key`, the row of its key.
    pub fn put(&mut self, key: u128, number: u64, rows: &Rows) {
        assert!(rows.end() - rows.first() <= u64::from(u32::MAX), "an index holds fewer than 2^32 rows");
        let row = |place: &u32| rows.row(whole(*place, rows));
        let shard = &mut self.shards[shard_of(key)];
        match shard.find_mut(key as u64, |place| row(place).key() == key) {
            Some(place) => *place = number as u32,
            None => {
                shard.insert_unique(key as u64, number as u32, |place| row(place).key() as u64);
                self.keys += 1;
            }
        }
    }

    /// Forgets `key` when its row is `number`; any row of it, when no number is given.
    pub fn remove(&mut self, key: u128, number: Option<u64>, rows: &Rows) {
        let is_it = |place: &u32| {
            let found = whole(*place, rows);
            number.is_none_or(|number| number == found) && rows.row(found).key() == key
        };
        if let Ok(entry) = self.shards[shard_of(key)].find_entry(key as u64, is_it) {
            entry.remove();
            self.keys -= 1;
        }
    }
}

fn shard_of(key: u128) -> usize {
    (key >> 120) as usize % SHARDS
}

/// The number that a place stands for.
fn whole(place: u32, rows: &Rows) -> u64 {
    rows.first() + u64::from(place.wrapping_sub(rows.first() as u32))
}
