//! The sweep: the values that decisions in a history would have been served, one row per decision.
//!
//! A row is visible to a decision when `event_time <= T`, `available_at < K` and the cut contains it. The sweep lets each
//! entity's rows become visible in the order of `(K, cut)` and answers each decision from the same entity state that
//! serving uses. Event times are the state's business; K and the cut only say which rows are folded by when.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use seawall_base::error::Result;
use seawall_base::{Cut, Error, Instant, Offset, Partition};

use super::entity::{Answer, EntityState};
use super::key::EntityKey;
use super::plan::{Horizon, ViewPlan};
use super::row::{Row, read_rows};
use super::state::{check_decisions, nobody, to_batch, turn};

/// Decisions to answer; all lists have the same length.
#[derive(Debug, Clone, Default)]
pub struct Decisions {
    /// Entity of each decision; none for a null key, whose features are all null.
    pub keys: Vec<Option<EntityKey>>,
    /// Decision time T.
    pub at: Vec<Instant>,
    /// K: rows with `available_at < known` are visible.
    pub known: Vec<Instant>,
    /// Key hash of the row that must not be seen, because it asks.
    pub own: Vec<Option<u128>>,
    /// C: rows within the cut are visible; all rows when absent.
    pub cuts: Option<Vec<Arc<Cut>>>,
}

/// The view's features for every decision, in the order of the decisions. `history` has at least the plan's input
/// columns, each row once, in any order and batching.
pub fn sweep(plan: &Arc<ViewPlan>, history: &[RecordBatch], decisions: &Decisions) -> Result<RecordBatch> {
    let count = decisions.keys.len();
    check_decisions(plan, count, decisions.at.len(), &decisions.own)?;
    let cuts = decisions.cuts.as_ref().map_or(count, Vec::len);
    if decisions.known.len() != count || cuts != count {
        let message =
            format!("{count} decisions, {} known times and {cuts} cuts do not go together", decisions.known.len());
        return Err(Error::internal("SW0313", message));
    }

    let mut asked: BTreeMap<&EntityKey, Vec<usize>> = BTreeMap::new();
    for (index, key) in decisions.keys.iter().enumerate() {
        if let Some(key) = key {
            asked.entry(key).or_default().push(index);
        }
    }
    let wanted: HashSet<&EntityKey> = asked.keys().copied().collect();
    let mut rows: HashMap<EntityKey, Vec<Row>> = HashMap::new();
    for batch in history {
        for (key, row) in read_rows(plan, batch, |key| wanted.contains(key))? {
            rows.entry(key).or_default().push(row);
        }
    }

    let mut answers: Vec<Vec<Answer>> = Vec::new();
    answers.resize_with(count, || nobody(plan));
    for (key, mut indices) in asked {
        indices.sort_by_cached_key(|index| (decisions.known[*index], cut_size(decisions.cut(*index)), *index));
        let mut entity = Sweep::new(plan, rows.remove(key).unwrap_or_default());
        for index in indices {
            entity.reveal(decisions.known[index], decisions.cut(index))?;
            answers[index] = entity.answer(decisions.at[index], decisions.own[index])?;
        }
    }
    to_batch(plan, answers)
}

impl Decisions {
    fn cut(&self, index: usize) -> Option<&Arc<Cut>> {
        self.cuts.as_ref().map(|cuts| &cuts[index])
    }
}

/// Orders cuts so that those which cover each other follow one another.
fn cut_size(cut: Option<&Arc<Cut>>) -> u128 {
    cut.map_or(0, |cut| cut.iter().map(|(_, end)| u128::from(end.0)).sum())
}

/// One entity's way through its history.
struct Sweep<'a> {
    plan: &'a ViewPlan,
    /// All rows, by their turn to become available.
    rows: Vec<Row>,
    /// How many of them are available.
    available: usize,
    /// Available rows outside the cut, by identity.
    held: BTreeMap<Partition, BTreeMap<Offset, usize>>,
    /// The cut of the last decision.
    cut: Option<Arc<Cut>>,
    state: EntityState,
    horizon: Horizon,
}

impl<'a> Sweep<'a> {
    fn new(plan: &'a ViewPlan, mut rows: Vec<Row>) -> Self {
        rows.sort_unstable_by_key(turn);
        Sweep {
            plan,
            rows,
            available: 0,
            held: BTreeMap::new(),
            cut: None,
            state: EntityState::default(),
            horizon: Horizon::everything(),
        }
    }

    /// Makes exactly the rows visible that are available before `known` and lie within `cut`. `known` never decreases
    /// from call to call; when the cut does not cover the one before, the entity starts again.
    fn reveal(&mut self, known: Instant, cut: Option<&Arc<Cut>>) -> Result<()> {
        let restart = match (&self.cut, cut) {
            (Some(last), Some(cut)) => !Arc::ptr_eq(last, cut) && !cut.covers(last),
            _ => false,
        };
        if restart {
            self.available = 0;
            self.held.clear();
            self.state = EntityState::default();
        }
        let moved = match (&self.cut, cut) {
            (Some(last), Some(cut)) => !Arc::ptr_eq(last, cut),
            _ => false,
        };
        if let Some(cut) = cut {
            if moved {
                self.release(cut)?;
            }
            self.cut = Some(Arc::clone(cut));
        }
        while let Some(row) = self.rows.get(self.available).filter(|row| row.order.available_at < known) {
            let id = row.order.row();
            if cut.is_some_and(|cut| !cut.contains(id)) {
                self.held.entry(id.partition).or_default().insert(id.offset, self.available);
            } else {
                self.state.fold(self.plan, &self.horizon, row.clone())?;
            }
            self.available += 1;
        }
        Ok(())
    }

    /// Folds the held rows that `cut` contains.
    fn release(&mut self, cut: &Cut) -> Result<()> {
        for (partition, held) in &mut self.held {
            while let Some(first) = held.first_entry() {
                if *first.key() >= cut.end(*partition) {
                    break;
                }
                let row = self.rows[first.remove()].clone();
                self.state.fold(self.plan, &self.horizon, row)?;
            }
        }
        Ok(())
    }

    fn answer(&self, at: Instant, own: Option<u128>) -> Result<Vec<Answer>> {
        self.state.answer(self.plan, &self.horizon, at, own)
    }
}
