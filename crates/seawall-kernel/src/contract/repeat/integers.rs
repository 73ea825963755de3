//! A set of integers seen before, batch by batch: neighbours share a slot, so that ids which were counted up take a
//! byte each and stay near the processor, and ids from anywhere take no more than a hash would.

/// Neighbours that share a slot.
const NEIGHBOURS: u32 = u32::BITS;

/// Open addressing by blocks of [`NEIGHBOURS`] integers.
pub(super) struct Integers {
    slots: Vec<Slot>,
    taken: usize,
    /// Where the last value was found: the next one is often its neighbour.
    last: usize,
    /// Odd and random, so that nobody can craft integers that crowd in one place.
    multiplier: u64,
}

/// One block. A slot without any standing integer is empty.
#[derive(Clone, Copy, Default)]
struct Slot {
    block: i64,
    /// Which of the neighbours stand.
    standing: u32,
    /// Which of them were counted as repeated.
    counted: u32,
}

impl Integers {
    pub(super) fn new(seed: u64) -> Self {
        Integers { slots: Vec::new(), taken: 0, last: 0, multiplier: seed | 1 }
    }

    /// Whether `value` stands already. If not, it does from now on when it `stands`; with `once`, a value repeats only
    /// at its first repetition. There must be room.
    pub(super) fn repeats(&mut self, value: i64, stands: bool, once: bool) -> bool {
        let (block, bit) = (value.div_euclid(i64::from(NEIGHBOURS)), 1 << value.rem_euclid(i64::from(NEIGHBOURS)));
        let at = self.place_of(block);
        self.last = at;
        let slot = &mut self.slots[at];
        if slot.standing & bit != 0 {
            let was_counted = slot.counted & bit != 0;
            slot.counted |= bit;
            return !(once && was_counted);
        }
        if stands {
            if slot.standing == 0 {
                slot.block = block;
                self.taken += 1;
            }
            slot.standing |= bit;
        }
        false
    }

    /// The block's slot, or the empty one where it belongs.
    fn place_of(&self, block: i64) -> usize {
        let is_it = |slot: &Slot| slot.standing == 0 || slot.block == block;
        let last = &self.slots[self.last];
        if last.standing != 0 && last.block == block {
            return self.last;
        }
        let mask = self.slots.len() - 1;
        let mut at = self.home(block, mask);
        while !is_it(&self.slots[at]) {
            at = (at + 1) & mask;
        }
        at
    }

    /// The product's middle depends on every bit of both factors.
    fn home(&self, block: i64, mask: usize) -> usize {
        let product = u128::from(block as u64 ^ self.multiplier) * u128::from(self.multiplier);
        ((product >> 64) as usize ^ (product as usize >> 32)) & mask
    }

    /// Makes room for so many more integers, however far they are from each other, at a load of at most five eighths.
    pub(super) fn reserve(&mut self, more: usize) {
        let wanted = ((self.taken + more) * 8 / 5 + 1).next_power_of_two().max(16);
        if wanted <= self.slots.len() {
            return;
        }
        let old = std::mem::replace(&mut self.slots, vec![Slot::default(); wanted]);
        self.last = 0;
        for slot in old.into_iter().filter(|slot| slot.standing != 0) {
            let at = self.place_of(slot.block);
            self.slots[at] = slot;
        }
    }
}
