//! The rows of an entity that are kept themselves: ordered blocks of columns, about 64 bytes for a row with one number.
//!
//! A row that comes in order is appended; one that comes late moves at most a block. The asking row is looked for by the
//! hash of its key: every block but the newest knows by a Bloom filter that most hashes are not among its rows.

use seawall_base::Instant;

use super::row::{RowBody, RowRef};
use crate::aggregate::RowOrder;

/// Rows of a full block.
const BLOCK_ROWS: usize = 512;
/// Bytes of values from which on a block is full.
const BLOCK_BYTES: usize = 1 << 20;
/// Bits of a block's filter: 16 for each row, two of which are set, so that one hash of 70 is looked for in vain.
const FILTER_BITS: usize = 16 * BLOCK_ROWS;

/// Rows in the total order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rows {
    /// None is empty, and all rows of one are before those of the next.
    blocks: Vec<Block>,
}

#[derive(Debug, Clone, Default)]
struct Block {
    orders: Vec<RowOrder>,
    /// Hashes of primary keys; zero for none.
    own: Vec<u128>,
    /// Where the values of each row end.
    ends: Vec<u32>,
    values: Vec<u8>,
    filter: Option<Box<Filter>>,
}

/// Which hashes may be among those that were inserted.
#[derive(Debug, Clone)]
struct Filter([u64; FILTER_BITS / 64]);

impl Rows {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.blocks.iter().map(|block| block.orders.len()).sum()
    }

    /// The first row.
    pub fn first(&self) -> Option<(RowOrder, RowRef<'_>)> {
        self.blocks.first().map(|block| block.row(0))
    }

    /// The place of the last row.
    pub fn last_order(&self) -> Option<RowOrder> {
        self.blocks.last().map(Block::last)
    }

    /// All rows.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (RowOrder, RowRef<'_>)> {
        self.blocks.iter().flat_map(|block| (0..block.orders.len()).map(|row| block.row(row)))
    }

    /// The rows from `first` to `last`, both inclusive.
    pub fn range(&self, first: RowOrder, last: RowOrder) -> impl DoubleEndedIterator<Item = (RowOrder, RowRef<'_>)> {
        let from = self.blocks.partition_point(|block| block.last() < first);
        let until = self.blocks.partition_point(|block| block.orders[0] <= last).max(from);
        self.blocks[from..until].iter().flat_map(move |block| {
            let from = if block.orders[0] < first { block.orders.partition_point(|order| *order < first) } else { 0 };
            let is_whole = block.last() <= last;
            let until =
                if is_whole { block.orders.len() } else { block.orders.partition_point(|order| *order <= last) };
            (from..until.max(from)).map(|row| block.row(row))
        })
    }

    /// Whether the row at this place is kept.
    pub fn contains(&self, order: &RowOrder) -> bool {
        if self.last_order().is_none_or(|last| last < *order) {
            return false;
        }
        self.blocks[self.block_of(order)].orders.binary_search(order).is_ok()
    }

    /// Keeps a row; one at a place that is taken changes nothing.
    pub fn insert(&mut self, order: RowOrder, row: RowRef<'_>) {
        if self.last_order().is_none_or(|last| last < order) {
            self.newest_block().insert(None, order, row);
            return;
        }
        let mut at = self.block_of(&order);
        if self.blocks[at].is_full() && self.blocks[at].orders.len() > 1 {
            let upper = self.blocks[at].split();
            self.blocks.insert(at + 1, upper);
            at += usize::from(self.blocks[at + 1].orders[0] <= order);
        }
        let block = &mut self.blocks[at];
        if let Err(place) = block.orders.binary_search(&order) {
            block.insert(Some(place), order, row);
        }
    }

    /// The block to which a row after all others belongs.
    fn newest_block(&mut self) -> &mut Block {
        match self.blocks.last_mut() {
            Some(block) if !block.is_full() => {}
            full => {
                if let Some(block) = full {
                    block.filter = Some(block.filter());
                }
                make_room(&mut self.blocks);
                self.blocks.push(Block::default());
            }
        }
        self.blocks.last_mut().expect("one was just pushed, unless there was one")
    }

    /// The block that has, or would have, a row that is not after all others.
    fn block_of(&self, order: &RowOrder) -> usize {
        self.blocks.partition_point(|block| block.orders[0] <= *order).saturating_sub(1)
    }

    /// Removes the rows before `order` and hands them to `gone`.
    pub fn remove_before(&mut self, order: RowOrder, mut gone: impl FnMut(RowOrder, RowBody)) {
        let whole = self.blocks.partition_point(|block| block.last() < order);
        for block in self.blocks.drain(..whole) {
            (0..block.orders.len()).map(|row| block.row(row)).for_each(|(order, row)| gone(order, row.to_body()));
        }
        if let Some(block) = self.blocks.first_mut() {
            let count = block.orders.partition_point(|kept| *kept < order);
            (0..count).map(|row| block.row(row)).for_each(|(order, row)| gone(order, row.to_body()));
            block.remove_first(count);
        }
    }

    /// Event times of the rows whose key has this hash, which is not zero.
    pub fn times_of(&self, own: u128) -> impl Iterator<Item = Instant> {
        let may_have = move |block: &&Block| block.filter.as_ref().is_none_or(|filter| filter.may_contain(own));
        self.blocks.iter().filter(may_have).flat_map(move |block| {
            block.own.iter().zip(&block.orders).filter(move |(key, _)| **key == own).map(|(_, order)| order.event_time)
        })
    }

    /// Estimated bytes.
    pub fn memory_bytes(&self) -> usize {
        let of_block = |block: &Block| {
            let rows = block.orders.capacity() * size_of::<RowOrder>() + block.own.capacity() * 16;
            let values = block.ends.capacity() * 4 + block.values.capacity();
            size_of::<Block>() + rows + values + block.filter.as_ref().map_or(0, |_| size_of::<Filter>())
        };
        self.blocks.iter().map(of_block).sum()
    }
}

impl Block {
    fn is_full(&self) -> bool {
        self.orders.len() >= BLOCK_ROWS || self.values.len() >= BLOCK_BYTES
    }

    fn last(&self) -> RowOrder {
        *self.orders.last().expect("no block is empty")
    }

    fn values_of(&self, row: usize) -> std::ops::Range<usize> {
        let from = row.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        from..self.ends[row] as usize
    }

    fn row(&self, row: usize) -> (RowOrder, RowRef<'_>) {
        let own = Some(self.own[row]).filter(|own| *own != 0);
        (self.orders[row], RowRef::new(own, &self.values[self.values_of(row)]))
    }

    /// Inserts a row before row `place`, or as the last one.
    fn insert(&mut self, place: Option<usize>, order: RowOrder, row: RowRef<'_>) {
        let place = place.unwrap_or(self.orders.len());
        let own = row.own.unwrap_or_default();
        let from = place.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        let bytes = row.bytes();
        self.make_room(bytes.len());
        self.orders.insert(place, order);
        self.own.insert(place, own);
        self.ends.insert(place, from as u32);
        self.ends[place..].iter_mut().for_each(|end| *end += bytes.len() as u32);
        if from == self.values.len() {
            self.values.extend_from_slice(bytes);
        } else {
            self.values.splice(from..from, bytes.iter().copied());
        }
        if let Some(filter) = &mut self.filter {
            filter.insert(own);
        }
    }

    fn make_room(&mut self, bytes: usize) {
        make_room(&mut self.orders);
        make_room(&mut self.own);
        make_room(&mut self.ends);
        if self.values.capacity() - self.values.len() < bytes {
            self.values.reserve_exact(bytes.max(self.values.len() / 2));
        }
    }

    /// Takes the upper half of the rows away.
    fn split(&mut self) -> Block {
        let half = self.orders.len() / 2;
        let from = self.values_of(half).start;
        let ends = self.ends.split_off(half).into_iter().map(|end| end - from as u32).collect();
        let (orders, own) = (self.orders.split_off(half), self.own.split_off(half));
        let mut upper = Block { orders, own, ends, values: self.values.split_off(from), filter: None };
        upper.filter = Some(upper.filter());
        self.filter = Some(self.filter());
        upper
    }

    fn remove_first(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        let from = self.ends[count - 1];
        self.orders.drain(..count);
        self.own.drain(..count);
        self.ends.drain(..count);
        self.ends.iter_mut().for_each(|end| *end -= from);
        self.values.drain(..from as usize);
    }

    fn filter(&self) -> Box<Filter> {
        let mut filter = Box::new(Filter([0; FILTER_BITS / 64]));
        self.own.iter().for_each(|own| filter.insert(*own));
        filter
    }
}

impl Filter {
    fn insert(&mut self, own: u128) {
        for bit in Self::bits(own) {
            self.0[bit / 64] |= 1 << (bit % 64);
        }
    }

    fn may_contain(&self, own: u128) -> bool {
        Self::bits(own).into_iter().all(|bit| self.0[bit / 64] & 1 << (bit % 64) != 0)
    }

    /// The hash is BLAKE3's: any of its bits are as good as others.
    fn bits(own: u128) -> [usize; 2] {
        [own as usize % FILTER_BITS, (own >> 64) as usize % FILTER_BITS]
    }
}

/// Makes room for one more, and for half as many again: most entities have few rows, and there are many entities.
fn make_room<T>(list: &mut Vec<T>) {
    if list.len() == list.capacity() {
        list.reserve_exact((list.len() / 2).max(1));
    }
}
