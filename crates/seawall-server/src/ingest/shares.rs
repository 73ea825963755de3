//! Who may have how much of what is limited: each producer as much as is still free after its request.
//!
//! One producer alone gets at most half, two get a third each, and a share is always left over for the next: a greedy
//! producer cannot starve others. (Dynamic thresholds, as switches share their buffers among queues.)

use std::collections::HashMap;
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// The shares of one limited thing.
#[derive(Debug)]
pub(super) struct Shares {
    total_max: usize,
    taken: usize,
    of: HashMap<Arc<str>, usize>,
}

impl Shares {
    /// Shares of `total_max`; nobody has any yet.
    pub fn new(total_max: usize) -> Shares {
        Shares { total_max, taken: 0, of: HashMap::new() }
    }

    /// Gives `amount` more to `producer`, unless it would then have more than is left for others.
    pub fn take(&mut self, producer: &Arc<str>, amount: usize) -> bool {
        let own = self.of(producer);
        let free = self.total_max - self.taken;
        if amount > free || own + amount > free - amount {
            return false;
        }
        self.taken += amount;
        *self.of.entry(producer.clone()).or_default() += amount;
        true
    }

    /// Takes `amount` back.
    pub fn give_back(&mut self, producer: &Arc<str>, amount: usize) {
        self.taken -= amount;
        if let Some(own) = self.of.get_mut(producer) {
            *own -= amount;
            if *own == 0 {
                self.of.remove(producer);
            }
        }
    }

    /// What everybody has.
    pub fn taken(&self) -> usize {
        self.taken
    }

    fn of(&self, producer: &str) -> usize {
        self.of.get(producer).copied().unwrap_or(0)
    }
}
