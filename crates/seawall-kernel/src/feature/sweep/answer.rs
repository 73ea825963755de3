//! Answers the decisions of a range of entities, each from its entity's visible rows.

use std::ops::Range;

use arrow::array::ArrayRef;
use seawall_base::declare::WindowEdge;
use seawall_base::error::Result;
use seawall_base::{Instant, Span};

use super::Decisions;
use super::asked::Asked;
use super::blocks::Blocks;
use super::output::Answers;
use super::rows::{Chunk, Place, Rows};
use super::visible::Visible;
use crate::aggregate::{Column, Finish, RowOrder, Scalar, Value};
use crate::feature::entity::{of_feature, seconds_between, unknown};
use crate::feature::plan::{Compute, ViewPlan};
use crate::window::first_inside;

/// The plan's features in the order of the work: windows that begin at one instant are looked up once, and windows of one
/// slot are grown from the shortest to the longest.
pub(super) struct Recipe {
    /// Which input columns are accumulated.
    pub gathered: Vec<bool>,
    windows: Vec<(WindowEdge, Span)>,
    slots: Vec<Vec<Windowed>>,
}

/// A feature that is finished from a slot's accumulator.
struct Windowed {
    feature: usize,
    window: usize,
    finish: Finish,
}

impl Recipe {
    pub fn new(plan: &ViewPlan) -> Self {
        let mut windows: Vec<(WindowEdge, Span)> = Vec::new();
        let mut slots: Vec<Vec<Windowed>> = plan.slots().iter().map(|_| Vec::new()).collect();
        for (feature, compute) in plan.features().iter().enumerate() {
            let Compute::Window { slot, finish, window, edge } = compute else { continue };
            let known = windows.iter().position(|known| *known == (*edge, *window));
            let window = known.unwrap_or_else(|| {
                windows.push((*edge, *window));
                windows.len() - 1
            });
            slots[*slot].push(Windowed { feature, window, finish: *finish });
        }
        for features in &mut slots {
            features.sort_by_key(|windowed| windows[windowed.window].1);
        }
        let mut gathered = vec![false; plan.columns().len()];
        for column in plan.slots().iter().filter_map(|slot| slot.column) {
            gathered[column] = true;
        }
        Recipe { gathered, windows, slots }
    }
}

/// What a range of entities was answered.
pub(super) struct Answered {
    /// The decisions, in the order of the rows.
    pub decisions: Vec<u32>,
    /// One array per feature.
    pub columns: Vec<ArrayRef>,
}

/// The rows of one entity.
#[derive(Clone, Copy)]
pub(super) struct EntityRows<'a> {
    rows: &'a Rows,
    from: usize,
    until: usize,
}

impl<'a> EntityRows<'a> {
    fn of(rows: &'a Rows, entity: usize) -> Self {
        let Range { start, end } = rows.of(entity);
        EntityRows { rows, from: start, until: end }
    }

    pub fn len(&self) -> usize {
        self.until - self.from
    }

    fn places(&self) -> &'a [Place] {
        &self.rows.places[self.from..self.until]
    }

    fn events(&self) -> &'a [Instant] {
        &self.rows.events[self.from..self.until]
    }

    /// The place of the entity's row at `position` in the total order.
    pub fn order(&self, position: usize) -> RowOrder {
        self.rows.places[self.from + position].order
    }

    /// The value of an input column in the row at `position`; null for an aggregate over rows.
    pub fn value(&self, column: Option<usize>, position: usize) -> Value<'a> {
        self.column(column).map_or(Value::Null, |column| column.value(self.from + position))
    }

    /// An input column of all rows of the range, to be used with [`EntityRows::whole`].
    pub fn column(&self, column: Option<usize>) -> Option<&'a Column> {
        column.and_then(|column| self.rows.columns[column].as_ref())
    }

    /// Positions of the entity as rows of the range.
    pub fn whole(&self, positions: Range<usize>) -> Range<usize> {
        self.from + positions.start..self.from + positions.end
    }

    /// The place of a row of the range in the total order.
    pub fn order_of_whole(&self, row: usize) -> RowOrder {
        self.rows.places[row].order
    }
}

/// Answers all decisions of the entities of `rows`.
pub(super) fn answer(
    plan: &ViewPlan,
    recipe: &Recipe,
    chunks: &[Chunk],
    rows: &Rows,
    asked: &Asked<'_>,
    decisions: &Decisions,
) -> Result<Answered> {
    let schema = plan.output_schema();
    let types = || plan.features().iter().zip(schema.fields());
    let mut respondent = Respondent {
        plan,
        recipe,
        visible: Visible::default(),
        blocks: plan.slots().iter().map(|_| Blocks::default()).collect(),
        own: Vec::new(),
        hidden: Vec::new(),
        firsts: vec![0; recipe.windows.len()],
        answers: types().map(|(compute, field)| Answers::new(compute, field.data_type())).collect(),
    };
    let mut answered = asked.of_entities(rows.entities.clone()).to_vec();
    let mut from = 0;
    for entity in rows.entities.clone() {
        let until = from + asked.of_entities(entity..entity + 1).len();
        let of_entity = &mut answered[from..until];
        let turn = |index: &u32| decisions.turn(*index as usize);
        if !of_entity.is_sorted_by_key(turn) {
            of_entity.sort_by_cached_key(turn);
        }
        respondent.entity(EntityRows::of(rows, entity), of_entity, decisions)?;
        from = until;
    }
    let mut columns = Vec::with_capacity(respondent.answers.len());
    for (answers, field) in respondent.answers.into_iter().zip(schema.fields()) {
        let array = answers.finish(chunks, field.data_type());
        columns.push(array.map_err(|error| of_feature(error, field.name()))?);
    }
    Ok(Answered { decisions: answered, columns })
}

/// Goes from entity to entity and from decision to decision.
struct Respondent<'a> {
    plan: &'a ViewPlan,
    recipe: &'a Recipe,
    visible: Visible,
    /// By slot.
    blocks: Vec<Blocks>,
    /// The entity's rows by the hash of their primary key, when decisions have own rows.
    own: Vec<(u128, u32)>,
    /// Visible rows that the decision must not see.
    hidden: Vec<usize>,
    /// Per window, its first row.
    firsts: Vec<usize>,
    /// Per feature.
    answers: Vec<Answers>,
}

impl Respondent<'_> {
    fn entity(&mut self, rows: EntityRows<'_>, asked: &[u32], decisions: &Decisions) -> Result<()> {
        self.visible.begin(rows.places());
        self.blocks.iter_mut().for_each(Blocks::clear);
        self.own.clear();
        if !rows.rows.own.is_empty() {
            let hashes = rows.rows.own[rows.from..rows.until].iter().zip(0u32..);
            self.own.extend(hashes.filter_map(|(own, position)| own.map(|own| (own, position))));
            self.own.sort_unstable();
        }
        for index in asked {
            let index = *index as usize;
            if self.visible.reveal(rows.places(), decisions.known[index], decisions.cut(index)) {
                self.blocks.iter_mut().for_each(Blocks::clear);
            }
            self.decision(rows, decisions.at[index], decisions.own(index))?;
        }
        Ok(())
    }

    fn decision(&mut self, rows: EntityRows<'_>, at: Instant, own: Option<u128>) -> Result<()> {
        let end = rows.events().partition_point(|event| *event <= at);
        self.hide(own, end);
        let Some(newest) = self.newest(end) else { return self.nothing_known() };
        for (feature, compute) in self.plan.features().iter().enumerate() {
            let inside = || compute.first_inside(at).is_none_or(|first| rows.events()[newest] >= first);
            match compute {
                Compute::Window { .. } => {}
                Compute::Latest { .. } => {
                    let source = inside().then(|| rows.places()[newest].source());
                    self.answers[feature].push_row(source)?;
                }
                Compute::TimeSince { .. } => {
                    let seconds = inside().then(|| Scalar::Float(seconds_between(rows.events()[newest], at)));
                    self.answers[feature].push(seconds)?;
                }
            }
        }
        for (first, (edge, window)) in self.firsts.iter_mut().zip(&self.recipe.windows) {
            let begin = first_inside(*edge, *window, at);
            *first = rows.events()[..end].partition_point(|event| *event < begin);
        }
        for slot in 0..self.recipe.slots.len() {
            self.windows_of(slot, rows, end)?;
        }
        Ok(())
    }

    /// Finds the visible rows before `end` that have the key `own`.
    fn hide(&mut self, own: Option<u128>, end: usize) {
        self.hidden.clear();
        let Some(own) = own else { return };
        let first = self.own.partition_point(|(hash, _)| *hash < own);
        let same =
            self.own[first..].iter().take_while(|(hash, _)| *hash == own).map(|(_, position)| *position as usize);
        self.hidden.extend(same.filter(|position| *position < end && self.visible.seen.contains(*position)));
    }

    /// The newest visible row before `end` that is not hidden.
    fn newest(&self, mut end: usize) -> Option<usize> {
        loop {
            let newest = self.visible.seen.last_before(end)?;
            if !self.hidden.contains(&newest) {
                return Some(newest);
            }
            end = newest;
        }
    }

    /// The answers when the entity has no visible row.
    fn nothing_known(&mut self) -> Result<()> {
        for (answers, compute) in self.answers.iter_mut().zip(self.plan.features()) {
            match compute {
                Compute::Latest { .. } => answers.push_row(None)?,
                Compute::Window { .. } | Compute::TimeSince { .. } => answers.push(unknown(compute).0)?,
            }
        }
        Ok(())
    }

    /// The features of one slot: all their windows end at the decision, so the accumulator of a shorter window goes on as
    /// that of a longer one.
    fn windows_of(&mut self, slot: usize, rows: EntityRows<'_>, end: usize) -> Result<()> {
        let declared = &self.plan.slots()[slot];
        let mut merged = declared.aggregate.empty();
        let mut from = end;
        for windowed in &self.recipe.slots[slot] {
            let first = self.firsts[windowed.window];
            if first > from {
                // A sawtooth may reach back further than an exact window that is a little longer.
                merged = declared.aggregate.empty();
                from = end;
            }
            self.blocks[slot].add_around(&mut merged, declared, rows, &self.visible, first..from, &self.hidden);
            from = first;
            let value = windowed.finish.finalize(&merged).and_then(|value| self.answers[windowed.feature].push(value));
            value.map_err(|error| of_feature(error, &self.plan.view().features[windowed.feature].name))?;
        }
        Ok(())
    }
}
