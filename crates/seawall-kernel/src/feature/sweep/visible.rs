//! What of an entity's rows is visible: more with every later `(K, cut)`.

use std::collections::BTreeMap;
use std::sync::Arc;

use seawall_base::{Cut, Instant, Offset, Partition};

use super::positions::Positions;
use super::rows::Place;

/// The visible rows of one entity, by their position in the total order.
#[derive(Debug, Default)]
pub(super) struct Visible {
    /// Those that are visible.
    pub seen: Positions,
    /// The same in the order in which they became visible.
    pub sequence: Vec<u32>,
    /// All positions in the order of their availability; empty when that is the total order itself.
    turns: Vec<u32>,
    rows: usize,
    /// How many are available.
    available: usize,
    /// Available rows outside the cut, by identity.
    held: BTreeMap<Partition, BTreeMap<Offset, u32>>,
    /// The cut of the last decision.
    cut: Option<Arc<Cut>>,
}

impl Visible {
    /// Begins with an entity whose rows are at `places`, in the total order: nothing is visible.
    pub fn begin(&mut self, places: &[Place]) {
        self.rows = places.len();
        self.turns.clear();
        if !places.is_sorted_by_key(|place| place.order.available_at) {
            self.turns.extend(0..places.len() as u32);
            self.turns.sort_by_key(|position| places[*position as usize].order.available_at);
        }
        self.cut = None;
        self.clear();
    }

    fn clear(&mut self) {
        self.seen.reset(self.rows);
        self.sequence.clear();
        self.available = 0;
        self.held.clear();
    }

    /// Makes exactly the rows visible that are available before `known` and lie within `cut`. `known` never decreases
    /// from call to call. True when the cut does not cover the one before, so that the entity started again.
    pub fn reveal(&mut self, places: &[Place], known: Instant, cut: Option<&Arc<Cut>>) -> bool {
        let mut restarted = false;
        if let (Some(last), Some(cut)) = (self.cut.take(), cut)
            && !Arc::ptr_eq(&last, cut)
        {
            restarted = !cut.covers(&last);
            if restarted {
                self.clear();
            } else {
                self.release(cut);
            }
        }
        self.cut = cut.cloned();
        while self.available < self.rows {
            let position = self.turns.get(self.available).copied().unwrap_or(self.available as u32);
            let order = places[position as usize].order;
            if order.available_at >= known {
                break;
            }
            if cut.is_some_and(|cut| !cut.contains(order.row())) {
                self.held.entry(order.partition).or_default().insert(order.offset, position);
            } else {
                self.see(position);
            }
            self.available += 1;
        }
        restarted
    }

    /// Makes the held rows visible that `cut` contains.
    fn release(&mut self, cut: &Cut) {
        let mut held = std::mem::take(&mut self.held);
        for (partition, rows) in &mut held {
            let outside = rows.split_off(&cut.end(*partition));
            for position in std::mem::replace(rows, outside).into_values() {
                self.see(position);
            }
        }
        self.held = held;
    }

    fn see(&mut self, position: u32) {
        self.seen.insert(position as usize);
        self.sequence.push(position);
    }
}
