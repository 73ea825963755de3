//! The state of one entity: tiles for what lies behind, rows where a decision may still cut between them.
//!
//! A row updates one tile per level, by its event time, whenever it arrives: late and future-dated rows are nothing
//! special. A window is answered by merging the tiles that cover its whole minutes and the rows at its two ends. The
//! minute of the asking row itself is answered from rows, so it can be left out without subtracting. Folding commutes,
//! and what is dropped depends only on the horizon, so equal sets of rows make equal states.

use std::collections::BTreeMap;

use seawall_base::error::Result;
use seawall_base::{Error, FeatureStatus, Instant, Span};
use smallvec::SmallVec;

use super::old_keys::OldKeys;
use super::plan::{Compute, Horizon, Slot, ViewPlan, minute_start};
use super::row::{RowBody, RowRef};
use super::rows::Rows;
use crate::aggregate::{Accumulator, Finish, Input, Kind, RowOrder, Scalar, Value, rate, ratio};
use crate::window::{Level, cover};

/// The accumulators of one tile, in the order of the plan's level.
pub(crate) type Tile = Box<[Accumulator]>;

/// What a filter gives for a row that counts.
pub(crate) const TRUE: Value<'static> = Value::Int(1);

/// Columns and slots that most views have at most.
pub(crate) const FEW: usize = 12;

/// A feature's value and what it is.
pub(crate) type Answer = (Option<Scalar>, FeatureStatus);

/// The row that asks, which must not be seen.
struct Asking {
    own: Option<u128>,
    /// The minutes in which it happened, ordered: several when its key is not unique.
    minutes: Vec<i64>,
}

/// All that is kept of one entity.
#[derive(Debug, Clone, Default)]
pub(crate) struct EntityState {
    /// Rows from the horizon on, in the total order.
    pub rows: Rows,
    /// Tiles by number, per level.
    pub tiles: [BTreeMap<i64, Tile>; 3],
    /// The newest row before the horizon.
    pub carry: Option<(RowOrder, RowBody)>,
    /// Keys of rows before the horizon.
    pub old_keys: OldKeys,
}

impl EntityState {
    /// Takes in a row. A row that is already kept changes nothing.
    pub fn fold(&mut self, plan: &ViewPlan, horizon: &Horizon, order: RowOrder, row: RowRef<'_>) -> Result<()> {
        if self.rows.contains(&order) {
            return Ok(());
        }
        self.update_tiles(plan, horizon, order, row)?;
        if order.event_time < horizon.rows_from {
            self.retire(horizon, order, row.to_body());
        } else {
            self.rows.insert(order, row);
        }
        Ok(())
    }

    fn update_tiles(&mut self, plan: &ViewPlan, horizon: &Horizon, order: RowOrder, row: RowRef<'_>) -> Result<()> {
        if plan.slots().is_empty() {
            return Ok(());
        }
        let values: SmallVec<[Value<'_>; FEW]> = row.values(plan.columns().len())?;
        let mut inputs: SmallVec<[Input<'_>; FEW]> = SmallVec::new();
        for slot in plan.slots() {
            let passes = slot.filter.is_none_or(|filter| values[filter] == TRUE);
            let value = slot.column.map_or(Value::Null, |column| values[column]);
            inputs.push(if passes { slot.aggregate.prepare(value, order) } else { Input::Nothing });
        }
        for (level, members) in Level::ALL.into_iter().zip(plan.levels()) {
            let number = level.tile(order.event_time);
            if members.is_empty() || !horizon.keeps_tile(level, number) {
                continue;
            }
            let empty = || members.iter().map(|slot| plan.slots()[*slot].aggregate.empty()).collect();
            let tile = self.tiles[level as usize].entry(number).or_insert_with(empty);
            for (accumulator, slot) in tile.iter_mut().zip(members) {
                accumulator.update(inputs[*slot]);
            }
        }
        Ok(())
    }

    /// Keeps of a row before the horizon only that it was there, and the row itself when it is the newest.
    fn retire(&mut self, horizon: &Horizon, order: RowOrder, body: RowBody) {
        let day = Level::Day.tile(order.event_time);
        if let Some(own) = body.own.filter(|_| day >= horizon.keys_from_day) {
            self.old_keys.insert(day, own as u64);
        }
        if self.carry.as_ref().is_none_or(|(newest, _)| *newest < order) {
            self.carry = Some((order, body));
        }
    }

    /// Drops what no decision can need any more.
    pub fn trim(&mut self, horizon: &Horizon) {
        let mut rows = std::mem::take(&mut self.rows);
        rows.remove_before(RowOrder::before(horizon.rows_from), |order, body| self.retire(horizon, order, body));
        self.rows = rows;
        for (level, tiles) in Level::ALL.into_iter().zip(&mut self.tiles) {
            while let Some(first) = tiles.first_entry() {
                if horizon.keeps_tile(level, *first.key()) {
                    break;
                }
                first.remove();
            }
        }
        self.old_keys.forget_before(horizon.keys_from_day);
    }

    /// Whether [`EntityState::trim`] would change anything.
    pub fn needs_trim(&self, horizon: &Horizon) -> bool {
        let rows = self.rows.first().is_some_and(|(order, _)| order.event_time < horizon.rows_from);
        let keys = self.old_keys.first_day().is_some_and(|day| day < horizon.keys_from_day);
        let mut tiles = Level::ALL.into_iter().zip(&self.tiles);
        rows || keys
            || tiles.any(|(level, tiles)| tiles.first_key_value().is_some_and(|(n, _)| !horizon.keeps_tile(level, *n)))
    }

    /// The value of every feature for a decision at `at` that must not see the row with key hash `own`.
    pub fn answer(&self, plan: &ViewPlan, horizon: &Horizon, at: Instant, own: Option<u128>) -> Result<Vec<Answer>> {
        let mut answers = Vec::with_capacity(plan.features().len());
        self.tell(plan, horizon, at, own, |value, status| {
            answers.push((value.to_scalar(), status));
            Ok(())
        })?;
        Ok(answers)
    }

    /// The same, each feature told in its order.
    pub fn tell(
        &self,
        plan: &ViewPlan,
        horizon: &Horizon,
        at: Instant,
        own: Option<u128>,
        mut told: impl FnMut(Value<'_>, FeatureStatus) -> Result<()>,
    ) -> Result<()> {
        let asking = self.asking(plan, horizon, own)?;
        let Some(newest) = self.newest(at, own) else { return tell_unknown(plan, told) };
        let latest: SmallVec<[Value<'_>; FEW]> = newest.1.values(plan.columns().len())?;
        for (feature, compute) in plan.view().features.iter().zip(plan.features()) {
            let answer = self.feature(plan, compute, (newest.0, &latest), at, &asking);
            let (value, status) = answer.map_err(|error| of_feature(error, &feature.name))?;
            told(value.as_ref().map_or(Value::Null, Scalar::as_value), status)?;
        }
        Ok(())
    }

    /// Finds the own row. One that has already been merged with others cannot be told apart and is refused.
    fn asking(&self, plan: &ViewPlan, horizon: &Horizon, own: Option<u128>) -> Result<Asking> {
        let Some(hash) = own else { return Ok(Asking { own, minutes: Vec::new() }) };
        let times: Vec<Instant> = self.rows.times_of(hash).collect();
        let retained = |time: &Instant| Level::Day.tile(*time) >= horizon.keys_from_day;
        let merged_row = times.iter().any(|time| *time < horizon.head && retained(time));
        let merged_key = self.old_keys.contains(horizon.keys_from_day, hash as u64);
        let before = RowOrder::after(horizon.rows_from - Span(1));
        let kept_old = self.rows.range(RowOrder::before(Instant::MIN), before).next_back();
        let carried = newer(kept_old, self.carried()).is_some_and(|(_, row)| row.own == own);
        if merged_row || merged_key || carried {
            return Err(happened_too_long_ago(plan, horizon));
        }
        let mut minutes: Vec<i64> = times.into_iter().map(|time| Level::Minute.tile(time)).collect();
        minutes.dedup();
        Ok(Asking { own, minutes })
    }

    /// The newest visible row.
    fn newest(&self, at: Instant, own: Option<u128>) -> Option<(RowOrder, RowRef<'_>)> {
        let mut rows = self.rows.range(RowOrder::before(Instant::MIN), RowOrder::after(at)).rev();
        newer(rows.find(|(_, row)| !is_own(*row, own)), self.carried())
    }

    /// The newest row that is not kept any more.
    fn carried(&self) -> Option<(RowOrder, RowRef<'_>)> {
        self.carry.as_ref().map(|(order, body)| (*order, body.as_ref()))
    }

    fn feature(
        &self,
        plan: &ViewPlan,
        compute: &Compute,
        newest: (RowOrder, &[Value<'_>]),
        at: Instant,
        asking: &Asking,
    ) -> Result<Answer> {
        let first = compute.first_inside(at);
        let merged = |slot: usize| {
            let slot = &plan.slots()[slot];
            Ok::<_, Error>((self.accumulate(slot, first.unwrap_or(Instant::MIN), at, asking)?, slot.aggregate.scale))
        };
        let inside = first.is_none_or(|first| newest.0.event_time >= first);
        let value = match compute {
            Compute::Window { slot, finish, .. } => finish.finalize(&merged(*slot)?.0)?,
            Compute::Ratio { of, to, .. } => {
                let (of, to) = (merged(*of)?, merged(*to)?);
                ratio((&of.0, of.1), (&to.0, to.1))
            }
            Compute::Rate { slot, per, reach } => {
                let (sum, scale) = merged(*slot)?;
                rate(&sum, scale, per.0, reach.length(at))
            }
            Compute::OneRow { slot, is_age, .. } => {
                let slot = &plan.slots()[*slot];
                return Ok(of_one_row(self.accumulate(slot, Instant::MIN, at, asking)?, *is_age, first, at));
            }
            Compute::Latest { .. } | Compute::TimeSince { .. } => {
                let (value, status) = of_newest(compute, newest, at);
                return Ok((value.to_scalar(), status));
            }
        };
        let status = status_of(value.is_some(), inside);
        Ok((value, status))
    }

    /// Merges all visible rows from `first` to `at`, both inclusive.
    fn accumulate(&self, slot: &Slot, first: Instant, at: Instant, asking: &Asking) -> Result<Accumulator> {
        let mut merged = slot.aggregate.empty();
        let begins_on_minute = first.0.rem_euclid(Span::MINUTE.0) == 0;
        let from = Level::Minute.tile(first) + i64::from(!begins_on_minute);
        let until = Level::Minute.tile(at);
        if from > until {
            self.add_rows(&mut merged, slot, first, at, asking.own)?;
            return Ok(merged);
        }
        if !begins_on_minute {
            self.add_rows(&mut merged, slot, first, minute_end(from - 1), asking.own)?;
        }
        let mut covered = from;
        // The minutes of the asking row are added row by row.
        for minute in asking.minutes.iter().copied().filter(|minute| (from..until).contains(minute)) {
            self.add_tiles(&mut merged, slot, covered, minute);
            self.add_rows(&mut merged, slot, minute_start(minute), minute_end(minute), asking.own)?;
            covered = minute + 1;
        }
        self.add_tiles(&mut merged, slot, covered, until);
        self.add_rows(&mut merged, slot, minute_start(until), at, asking.own)?;
        Ok(merged)
    }

    fn add_tiles(&self, merged: &mut Accumulator, slot: &Slot, from: i64, until: i64) {
        cover(from, until, &slot.levels, |tiles| {
            let level = tiles.level as usize;
            for tile in self.tiles[level].range(tiles.from..tiles.until) {
                merged.merge(&tile.1[slot.places[level]]);
            }
        });
    }

    fn add_rows(
        &self,
        merged: &mut Accumulator,
        slot: &Slot,
        first: Instant,
        last: Instant,
        own: Option<u128>,
    ) -> Result<()> {
        for (order, row) in self.rows.range(RowOrder::before(first), RowOrder::after(last)) {
            let passes = match slot.filter {
                None => true,
                Some(filter) => row.value(filter)? == TRUE,
            };
            if is_own(row, own) || !passes {
                continue;
            }
            let value = match slot.column {
                None => Value::Null,
                Some(column) => row.value(column)?,
            };
            merged.update(slot.aggregate.prepare(value, order));
        }
        Ok(())
    }

    /// Estimated bytes.
    pub fn memory_bytes(&self) -> usize {
        const NODE: usize = 16;
        let mut tiles = 0;
        for tile in self.tiles.iter().flat_map(BTreeMap::values) {
            tiles += NODE + size_of::<(i64, Tile)>();
            tiles += tile.iter().map(|a| size_of::<Accumulator>() + a.heap_bytes()).sum::<usize>();
        }
        let carry = self.carry.as_ref().map_or(0, |(_, body)| body.heap_bytes());
        size_of::<EntityState>() + self.rows.memory_bytes() + self.old_keys.memory_bytes() + tiles + carry
    }
}

/// The answer when the entity has no visible row: a count of nothing is 0, and so is the rate of rows; all else is unknown.
pub(crate) fn unknown(plan: &ViewPlan, compute: &Compute) -> Answer {
    let value = match compute {
        Compute::Window { finish: Finish::Count, .. } => Some(Scalar::Int(0)),
        Compute::Rate { slot, .. } if plan.slots()[*slot].aggregate.kind == Kind::Rows => Some(Scalar::Float(0.0)),
        Compute::Window { .. } | Compute::Ratio { .. } | Compute::Rate { .. } => None,
        Compute::Latest { .. } | Compute::TimeSince { .. } | Compute::OneRow { .. } => None,
    };
    (value, FeatureStatus::NotFound)
}

/// Tells every feature of an entity that has no visible row.
pub(crate) fn tell_unknown(
    plan: &ViewPlan,
    mut told: impl FnMut(Value<'_>, FeatureStatus) -> Result<()>,
) -> Result<()> {
    for compute in plan.features() {
        let (value, status) = unknown(plan, compute);
        told(value.as_ref().map_or(Value::Null, Scalar::as_value), status)?;
    }
    Ok(())
}

/// The answer of a feature about the newest visible row, of which its place and its values are given.
pub(crate) fn of_newest<'a>(
    compute: &Compute,
    newest: (RowOrder, &[Value<'a>]),
    at: Instant,
) -> (Value<'a>, FeatureStatus) {
    let inside = compute.first_inside(at).is_none_or(|first| newest.0.event_time >= first);
    let value = match compute {
        Compute::Latest { column, .. } if inside => newest.1[*column],
        Compute::TimeSince { .. } if inside => Value::Float(seconds_between(newest.0.event_time, at)),
        _ => Value::Null,
    };
    (value, status_of(value != Value::Null, inside))
}

fn status_of(is_there: bool, inside: bool) -> FeatureStatus {
    match (is_there, inside) {
        (true, _) => FeatureStatus::Present,
        (false, true) => FeatureStatus::Null,
        (false, false) => FeatureStatus::OutsideTtl,
    }
}

/// The refusal of an own row that cannot be told apart from others any more.
pub(crate) fn happened_too_long_ago(plan: &ViewPlan, horizon: &Horizon) -> Error {
    let message = format!("the asking row of {} happened before {}", plan.view().id(), horizon.head);
    Error::invalid("SW0321", message)
        .hint("online, a row can only be left out for an hour after it happened; use a training set for older rows")
}

/// The answer of a feature about one row among those that pass a filter; `first` is where its time to live begins.
pub(crate) fn of_one_row(held: Accumulator, is_age: bool, first: Option<Instant>, at: Instant) -> Answer {
    let (Accumulator::Newest(Some(row)) | Accumulator::Oldest(Some(row))) = held else {
        return (None, FeatureStatus::Null);
    };
    let (order, value) = *row;
    if first.is_some_and(|first| order.event_time < first) {
        return (None, FeatureStatus::OutsideTtl);
    }
    match if is_age { Some(Scalar::Float(seconds_between(order.event_time, at))) } else { value } {
        Some(value) => (Some(value), FeatureStatus::Present),
        None => (None, FeatureStatus::Null),
    }
}

/// The same error with the name of the feature in front.
pub(crate) fn of_feature(error: Error, name: &str) -> Error {
    let named = Error::new(error.kind(), error.code(), format!("feature {name}: {error}"));
    match error.remedy() {
        Some(hint) => named.hint(hint),
        None => named,
    }
}

fn is_own(row: RowRef<'_>, own: Option<u128>) -> bool {
    own.is_some() && row.own == own
}

/// The last instant of a minute, numbered from the epoch.
fn minute_end(minute: i64) -> Instant {
    Instant((minute_start(minute).0).saturating_add(Span::MINUTE.0 - 1))
}

/// Seconds as the double nearest to the exact difference in microseconds, divided by a million.
pub(crate) fn seconds_between(earlier: Instant, later: Instant) -> f64 {
    let microseconds = i128::from(later.0) - i128::from(earlier.0);
    microseconds as f64 / 1e6
}

/// The later of two rows. A row that comes late is carried at once, while older rows that are still kept wait for the
/// next trimming, so either may be the newer one.
fn newer<'a>(a: Option<(RowOrder, RowRef<'a>)>, b: Option<(RowOrder, RowRef<'a>)>) -> Option<(RowOrder, RowRef<'a>)> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if a.0 > b.0 { a } else { b }),
        (a, b) => a.or(b),
    }
}
