//! Answers the decisions of a range of entities, each from its entity's visible rows.

use std::ops::Range;

use arrow::array::ArrayRef;
use seawall_base::error::Result;
use seawall_base::{Error, Instant, Span};

use super::Decisions;
use super::asked::Asked;
use super::blocks::Blocks;
use super::output::Answers;
use super::rows::{Chunk, Place, Rows};
use super::visible::Visible;
use crate::aggregate::{Accumulator, Column, RowOrder, Scalar, Value, rate, ratio};
use crate::feature::entity::{TRUE, of_feature, of_one_row, seconds_between, unknown};
use crate::feature::plan::{Compute, Reach, Slot, ViewPlan};

/// The plan's features in the order of the work: windows that begin at one instant are looked up once, and windows of one
/// slot are grown from the shortest to the longest.
pub(super) struct Recipe {
    /// Which input columns are accumulated, or filter what is.
    pub gathered: Vec<bool>,
    reaches: Vec<Reach>,
    /// Per slot.
    slots: Vec<Vec<Windowed>>,
    /// Features of two accumulators, and which of those that are kept.
    ratios: Vec<Quotient>,
}

/// A slot over one window.
struct Windowed {
    /// Index of the window.
    reach: usize,
    /// Features that are made of it alone.
    features: Vec<usize>,
    /// Where it is kept for features that are made of two.
    kept: Option<usize>,
}

struct Quotient {
    feature: usize,
    of: usize,
    to: usize,
}

impl Recipe {
    pub fn new(plan: &ViewPlan) -> Self {
        let slots = plan.slots().iter().map(|_| Vec::new()).collect();
        let gathered = vec![false; plan.columns().len()];
        let mut recipe = Recipe { gathered, reaches: Vec::new(), slots, ratios: Vec::new() };
        let mut kept = 0;
        for (feature, compute) in plan.features().iter().enumerate() {
            let mut places = Vec::new();
            let needed = compute.slots();
            for (slot, reach) in &needed {
                let windowed = recipe.windowed(*slot, *reach);
                if needed.len() == 1 {
                    windowed.features.push(feature);
                    continue;
                }
                places.push(*windowed.kept.get_or_insert_with(|| {
                    kept += 1;
                    kept - 1
                }));
            }
            if let [of, to] = places[..] {
                recipe.ratios.push(Quotient { feature, of, to });
            }
        }
        let length = |reach: &Reach| match reach {
            Reach::Lifetime => Span(i64::MAX),
            Reach::Since { window, .. } => *window,
        };
        for windows in &mut recipe.slots {
            windows.sort_by_key(|windowed| length(&recipe.reaches[windowed.reach]));
        }
        for column in plan.slots().iter().flat_map(|slot| [slot.column, slot.filter]).flatten() {
            recipe.gathered[column] = true;
        }
        recipe
    }

    fn windowed(&mut self, slot: usize, reach: Reach) -> &mut Windowed {
        let reach = self.reaches.iter().position(|known| *known == reach).unwrap_or_else(|| {
            self.reaches.push(reach);
            self.reaches.len() - 1
        });
        let windows = &mut self.slots[slot];
        let place = windows.iter().position(|windowed| windowed.reach == reach).unwrap_or_else(|| {
            windows.push(Windowed { reach, features: Vec::new(), kept: None });
            windows.len() - 1
        });
        &mut windows[place]
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

    /// Whether the row at `position` counts for a slot.
    pub fn passes(&self, slot: &Slot, position: usize) -> bool {
        slot.filter.is_none() || self.value(slot.filter, position) == TRUE
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
        firsts: vec![0; recipe.reaches.len()],
        kept: Vec::new(),
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
    /// Accumulators for features that are made of two.
    kept: Vec<Option<Accumulator>>,
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
                Compute::Window { .. } | Compute::Ratio { .. } | Compute::Rate { .. } | Compute::OneRow { .. } => {}
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
        for (first, reach) in self.firsts.iter_mut().zip(&self.recipe.reaches) {
            let begin = reach.first_inside(at).unwrap_or(Instant::MIN);
            *first = rows.events()[..end].partition_point(|event| *event < begin);
        }
        self.kept.clear();
        self.kept.resize(self.recipe.ratios.len() * 2, None);
        for slot in 0..self.recipe.slots.len() {
            self.windows_of(slot, rows, end, at)?;
        }
        self.quotients()
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
                Compute::Window { .. }
                | Compute::Ratio { .. }
                | Compute::Rate { .. }
                | Compute::OneRow { .. }
                | Compute::TimeSince { .. } => answers.push(unknown(self.plan, compute).0)?,
            }
        }
        Ok(())
    }

    /// The features of one slot: all their windows end at the decision, so the accumulator of a shorter window goes on as
    /// that of a longer one.
    fn windows_of(&mut self, slot: usize, rows: EntityRows<'_>, end: usize, at: Instant) -> Result<()> {
        let declared = &self.plan.slots()[slot];
        let mut merged = declared.aggregate.empty();
        let mut from = end;
        for windowed in &self.recipe.slots[slot] {
            let first = self.firsts[windowed.reach];
            if first > from {
                // A sawtooth may reach back further than an exact window that is a little longer.
                merged = declared.aggregate.empty();
                from = end;
            }
            self.blocks[slot].add_around(&mut merged, declared, rows, &self.visible, first..from, &self.hidden);
            from = first;
            for feature in &windowed.features {
                let value = finished(&self.plan.features()[*feature], declared, &merged, at);
                let pushed = value.and_then(|value| self.answers[*feature].push(value));
                pushed.map_err(|error| of_feature(error, &self.plan.view().features[*feature].name))?;
            }
            if let Some(kept) = windowed.kept {
                self.kept[kept] = Some(merged.clone());
            }
        }
        Ok(())
    }

    /// The features that are made of two accumulators.
    fn quotients(&mut self) -> Result<()> {
        for Quotient { feature, of, to } in &self.recipe.ratios {
            let Compute::Ratio { of: of_slot, to: to_slot, .. } = self.plan.features()[*feature] else { continue };
            let scale = |slot: usize| self.plan.slots()[slot].aggregate.scale;
            let value = match (&self.kept[*of], &self.kept[*to]) {
                (Some(of), Some(to)) => ratio((of, scale(of_slot)), (to, scale(to_slot))),
                (_, _) => None,
            };
            self.answers[*feature].push(value)?;
        }
        Ok(())
    }
}

/// The value of a feature that is made of one accumulator.
fn finished(compute: &Compute, slot: &Slot, merged: &Accumulator, at: Instant) -> Result<Option<Scalar>> {
    match compute {
        Compute::Window { finish, .. } => finish.finalize(merged),
        Compute::Rate { per, reach, .. } => Ok(rate(merged, slot.aggregate.scale, per.0, reach.length(at))),
        Compute::OneRow { is_age, .. } => Ok(of_one_row(merged.clone(), *is_age, compute.first_inside(at), at).0),
        Compute::Ratio { .. } | Compute::Latest { .. } | Compute::TimeSince { .. } => {
            Err(Error::internal("SW0322", "this feature is not made of one accumulator"))
        }
    }
}
