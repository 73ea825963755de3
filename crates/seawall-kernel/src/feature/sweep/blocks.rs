//! Accumulators over blocks of an entity's rows, so that a long window does not touch each of its rows.
//!
//! A slot has accumulators over blocks of 64 positions, of 64 * 16, and so on. They hold the rows that are visible and are
//! brought up to date when a window is asked for that is long enough to use them; nothing is ever taken out of them. A
//! range of positions is the few rows at its ends and at most 30 blocks per level between.

use std::ops::Range;

use super::answer::EntityRows;
use super::visible::Visible;
use crate::aggregate::Accumulator;
use crate::feature::plan::Slot;

/// Positions in a block of the first level: those of one word of [`super::positions::Positions`].
const BLOCK_ROWS: usize = 64;
/// Blocks of a level in one block of the next.
const FANOUT: usize = 16;
/// Ranges up to this length are added row by row.
const SCAN_ROWS_MAX: usize = 4 * BLOCK_ROWS;

/// The blocks of one slot.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    levels: Vec<Vec<Accumulator>>,
    /// How many of the visible rows are in them.
    taken: usize,
}

impl Blocks {
    /// Forgets everything.
    pub fn clear(&mut self) {
        self.levels.clear();
        self.taken = 0;
    }

    /// Adds the visible rows in `range`, positions of the entity, that are not `hidden`, which is ordered.
    pub fn add_around(
        &mut self,
        merged: &mut Accumulator,
        slot: &Slot,
        rows: EntityRows<'_>,
        visible: &Visible,
        range: Range<usize>,
        hidden: &[usize],
    ) {
        let mut from = range.start;
        for hidden in hidden.iter().filter(|hidden| range.contains(hidden)) {
            self.add(merged, slot, rows, visible, from..*hidden);
            from = hidden + 1;
        }
        self.add(merged, slot, rows, visible, from..range.end);
    }

    fn add(
        &mut self,
        merged: &mut Accumulator,
        slot: &Slot,
        rows: EntityRows<'_>,
        visible: &Visible,
        range: Range<usize>,
    ) {
        if range.len() <= SCAN_ROWS_MAX {
            return add_rows(merged, slot, rows, visible, range);
        }
        self.catch_up(slot, rows, visible);
        let up = range.start.next_multiple_of(BLOCK_ROWS);
        let down = range.end / BLOCK_ROWS * BLOCK_ROWS;
        add_rows(merged, slot, rows, visible, range.start..up);
        self.add_blocks(merged, 0, up / BLOCK_ROWS, down / BLOCK_ROWS);
        add_rows(merged, slot, rows, visible, down..range.end);
    }

    /// Takes in the rows that have become visible since.
    fn catch_up(&mut self, slot: &Slot, rows: EntityRows<'_>, visible: &Visible) {
        if self.levels.is_empty() {
            let mut blocks = rows.len().div_ceil(BLOCK_ROWS);
            loop {
                self.levels.push(vec![slot.aggregate.empty(); blocks]);
                if blocks <= FANOUT {
                    break;
                }
                blocks = blocks.div_ceil(FANOUT);
            }
        }
        for position in &visible.sequence[self.taken..] {
            let position = *position as usize;
            if !rows.passes(slot, position) {
                continue;
            }
            let input = slot.aggregate.prepare(rows.value(slot.column, position), rows.order(position));
            let mut block = position / BLOCK_ROWS;
            for level in &mut self.levels {
                level[block].update(input);
                block /= FANOUT;
            }
        }
        self.taken = visible.sequence.len();
    }

    /// Merges the blocks `from..until` of a level, by longer blocks where there are any.
    fn add_blocks(&self, merged: &mut Accumulator, level: usize, from: usize, until: usize) {
        let up = from.next_multiple_of(FANOUT);
        let down = until / FANOUT * FANOUT;
        if level + 1 == self.levels.len() || up >= down {
            self.levels[level][from..until].iter().for_each(|block| merged.merge(block));
            return;
        }
        self.levels[level][from..up].iter().for_each(|block| merged.merge(block));
        self.add_blocks(merged, level + 1, up / FANOUT, down / FANOUT);
        self.levels[level][down..until].iter().for_each(|block| merged.merge(block));
    }
}

fn add_rows(merged: &mut Accumulator, slot: &Slot, rows: EntityRows<'_>, visible: &Visible, range: Range<usize>) {
    let column = rows.column(slot.column);
    visible.seen.runs(range.start, range.end, |first, end| {
        let mut from = first;
        while from < end {
            let passes = |position: &usize| rows.passes(slot, *position);
            let until = if slot.filter.is_none() { end } else { (from..end).find(|p| !passes(p)).unwrap_or(end) };
            merged.update_run(slot.aggregate, column, rows.whole(from..until), |row| rows.order_of_whole(row));
            from = until + 1;
        }
    });
}
