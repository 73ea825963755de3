//! The sweep written down once more, as it was first: one entity state that takes in boxed rows and answers one decision
//! after the other. What serving does and what the columns do must be the same to the bit.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use seawall_base::error::Result;
use seawall_base::{Cut, Instant, Offset, Partition};

use crate::aggregate::{Scalar, to_array};
use crate::feature::entity::{Answer, EntityState};
use crate::feature::plan::Horizon;
use crate::feature::row::{Read, Row};
use crate::feature::state::{nobody, turn};
use crate::feature::{Decisions, EntityKey, ViewPlan};

/// The view's features for every decision, in the order of the decisions. `history` has at least the plan's input
/// columns, each row once, in any order and batching.
pub fn sweep(plan: &Arc<ViewPlan>, history: &[RecordBatch], decisions: &Decisions) -> Result<RecordBatch> {
    let count = decisions.keys.len();
    let mut asked: BTreeMap<&EntityKey, Vec<usize>> = BTreeMap::new();
    for (index, key) in decisions.keys.iter().enumerate() {
        if let Some(key) = key {
            asked.entry(key).or_default().push(index);
        }
    }
    let wanted: HashSet<&EntityKey> = asked.keys().copied().collect();
    let mut rows: HashMap<EntityKey, Vec<Row>> = HashMap::new();
    for batch in history {
        for (key, order, row) in Read::new(plan, batch, |key| wanted.contains(key))?.iter() {
            rows.entry(key.clone()).or_default().push(Row { order, body: row.to_body() });
        }
    }

    let mut answers: Vec<Vec<Answer>> = Vec::new();
    answers.resize_with(count, || nobody(plan));
    for (key, mut indices) in asked {
        indices.sort_by_cached_key(|index| (decisions.known[*index], cut_size(cut_of(decisions, *index)), *index));
        let mut entity = Sweep::new(plan, rows.remove(key).unwrap_or_default());
        for index in indices {
            entity.reveal(decisions.known[index], cut_of(decisions, index))?;
            answers[index] = entity.answer(decisions.at[index], decisions.own[index])?;
        }
    }
    to_batch(plan, answers)
}

fn cut_of(decisions: &Decisions, index: usize) -> Option<&Arc<Cut>> {
    decisions.cuts.as_ref().map(|cuts| &cuts[index])
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
                self.state.fold(self.plan, &self.horizon, row.order, row.body.as_ref())?;
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
                self.state.fold(self.plan, &self.horizon, row.order, row.body.as_ref())?;
            }
        }
        Ok(())
    }

    fn answer(&self, at: Instant, own: Option<u128>) -> Result<Vec<Answer>> {
        self.state.answer(self.plan, &self.horizon, at, own)
    }
}

/// One row per answer, in the plan's output schema.
fn to_batch(plan: &ViewPlan, answers: Vec<Vec<Answer>>) -> Result<RecordBatch> {
    let schema = plan.output_schema();
    let options = RecordBatchOptions::new().with_row_count(Some(answers.len()));
    let mut values: Vec<Vec<Option<Scalar>>> =
        schema.fields().iter().map(|_| Vec::with_capacity(answers.len())).collect();
    for answer in answers {
        for (column, value) in values.iter_mut().zip(answer) {
            column.push(value.0);
        }
    }
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(values.len());
    for (column, field) in values.iter().zip(schema.fields()) {
        arrays.push(to_array(column, field.data_type())?);
    }
    Ok(RecordBatch::try_new_with_options(schema, arrays, &options)?)
}
