//! The state of a view: its entities, the rows that wait to become available, and the instant up to which all is known.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use seawall_base::error::Result;
use seawall_base::{Error, FeatureStatus, Instant, Offset, Partition};

use super::columns::Columns;
use super::entities::Entities;
use super::entity::{Answer, tell_unknown};
use super::key::EntityKey;
use super::plan::{DECISION_LAG_MAX, Horizon, ViewPlan};
use super::row::{Read, Row, RowRef};
use crate::aggregate::{RowOrder, Value};
use crate::window::Level;

/// Rows that were read for a view and wait to be taken in.
#[derive(Debug)]
pub struct ReadRows(Read);

impl ReadRows {
    /// Reads rows that have at least the plan's input columns. It is most of the work of taking them in, and needs no
    /// state.
    pub fn new(plan: &ViewPlan, rows: &RecordBatch) -> Result<ReadRows> {
        Ok(ReadRows(Read::new(plan, rows, |_| true)?))
    }
}

/// What a state may forget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// Nothing: any decision time is answered. For training and replay.
    All,
    /// What no decision time from one hour before `known` on can need. For serving.
    Live,
}

/// Where a pending row waits: ordered by availability, then identity.
pub(crate) type Turn = (Instant, Partition, Offset);

/// The state of one feature view.
///
/// It is a function of the set of rows received and of `known`, whatever the order and batching of the calls; two equal
/// states encode to equal bytes. The caller hands in each row once: a repeated row is recognised only while the row
/// itself is kept.
#[derive(Debug, Clone)]
pub struct ViewState {
    pub(crate) plan: Arc<ViewPlan>,
    pub(crate) retention: Retention,
    pub(crate) known: Instant,
    pub(crate) newest_folded: Option<Instant>,
    pub(crate) entities: Entities,
    pub(crate) pending: BTreeMap<Turn, (EntityKey, Row)>,
}

impl ViewState {
    /// An empty state that knows nothing yet: rows wait until [`ViewState::advance`] is called for the first time.
    pub fn new(plan: Arc<ViewPlan>, retention: Retention) -> Self {
        ViewState {
            plan,
            retention,
            known: Instant::MIN,
            newest_folded: None,
            entities: Entities::default(),
            pending: BTreeMap::new(),
        }
    }

    /// The plan.
    pub fn plan(&self) -> &Arc<ViewPlan> {
        &self.plan
    }

    /// Takes in rows that have at least the plan's input columns: those with `available_at < known` are folded at once,
    /// the others wait. On an error nothing was taken in.
    pub fn receive(&mut self, rows: &RecordBatch) -> Result<()> {
        let rows = ReadRows::new(&self.plan, rows)?;
        self.take(rows)
    }

    /// Takes in rows that were read for this state's plan, like [`ViewState::receive`].
    pub fn take(&mut self, ReadRows(rows): ReadRows) -> Result<()> {
        let horizon = self.horizon();
        for (key, order, row) in rows.iter() {
            if order.available_at < self.known {
                self.fold(&horizon, key, order, row)?;
            } else {
                let row = Row { order, body: row.to_body() };
                self.pending.insert(turn(&row), (key.clone(), row));
            }
        }
        Ok(())
    }

    /// Makes everything known that is available before `known`: folds the waiting rows with `available_at < known`.
    /// Known never goes back: an earlier instant changes nothing.
    pub fn advance(&mut self, known: Instant) -> Result<()> {
        if known <= self.known {
            return Ok(());
        }
        let hour_passed = Level::Hour.tile(known) != Level::Hour.tile(self.known);
        self.known = known;
        let horizon = self.horizon();
        while let Some(next) = self.pending.first_entry() {
            if next.key().0 >= known {
                break;
            }
            let (key, row) = next.remove();
            self.fold(&horizon, &key, row.order, row.body.as_ref())?;
        }
        // Once an hour is often enough: what a horizon excludes is never read, and encoding leaves it out.
        if self.retention == Retention::Live && hour_passed {
            self.entities.trim(&self.plan, &horizon);
        }
        Ok(())
    }

    fn fold(&mut self, horizon: &Horizon, key: &EntityKey, order: RowOrder, row: RowRef<'_>) -> Result<()> {
        self.entities.fold(&self.plan, horizon, key, order, row)?;
        self.newest_folded = self.newest_folded.max(Some(order.available_at));
        Ok(())
    }

    pub(crate) fn horizon(&self) -> Horizon {
        self.plan.horizon(self.known, self.retention)
    }

    /// K: exactly the rows with `available_at < known` are folded. `Instant::MIN` at first.
    pub fn known(&self) -> Instant {
        self.known
    }

    /// Greatest availability of a row folded so far.
    pub fn newest_folded(&self) -> Option<Instant> {
        self.newest_folded
    }

    /// Availability of the first waiting row; it is folded by an advance beyond that instant.
    pub fn next_pending(&self) -> Option<Instant> {
        self.pending.first_key_value().map(|(turn, _)| turn.0)
    }

    /// How many rows wait.
    pub fn pending_rows(&self) -> usize {
        self.pending.len()
    }

    /// How many entities have at least one folded row.
    pub fn entities(&self) -> usize {
        self.entities.len()
    }

    /// Estimated bytes of memory; takes time in proportion to the state.
    pub fn memory_bytes(&self) -> usize {
        let pending = size_of::<(Turn, EntityKey, Row)>();
        let pending: usize =
            self.pending.values().map(|(key, row)| pending + key.heap_bytes() + row.body.heap_bytes()).sum();
        size_of::<ViewState>() + self.entities.memory_bytes() + pending
    }

    /// The view's features for decisions `(keys[i], at[i])` as known now, leaving out the row with key hash `own[i]`.
    /// One row and one list of statuses (one per feature) per decision, in order. A live state refuses a decision time
    /// more than one hour before `known`, and an own row that is older than that.
    pub fn values(
        &self,
        keys: &[Option<EntityKey>],
        at: &[Instant],
        own: &[Option<u128>],
    ) -> Result<(RecordBatch, Vec<Vec<FeatureStatus>>)> {
        check_decisions(&self.plan, keys.len(), at.len(), own)?;
        let horizon = self.horizon();
        if let Some(old) = at.iter().find(|at| **at < horizon.oldest_at) {
            let message = format!("decision time {old} is more than {DECISION_LAG_MAX} before {}", self.known);
            return Err(Error::invalid("SW0320", message).hint("ask for the present, or build a training set"));
        }
        let mut columns = Columns::new(&self.plan, keys.len());
        for (index, key) in keys.iter().enumerate() {
            let mut told = columns.row();
            let entity = match key {
                None => {
                    nobody(&self.plan).into_iter().try_for_each(|(_, status)| told(Value::Null, status))?;
                    continue;
                }
                Some(key) => self.entities.get(key),
            };
            match entity {
                Some(entity) => entity.tell(&self.plan, &horizon, at[index], own[index], told)?,
                None => tell_unknown(&self.plan, told)?,
            }
        }
        columns.finish()
    }
}

/// The turn of a row among those that wait.
pub(crate) fn turn(row: &Row) -> Turn {
    (row.order.available_at, row.order.partition, row.order.offset)
}

/// The answer for a null key: it names no entity, so not even a count is known.
pub(crate) fn nobody(plan: &ViewPlan) -> Vec<Answer> {
    plan.features().iter().map(|_| (None, FeatureStatus::NotFound)).collect()
}

/// Refuses lists of different lengths, and own rows where rows have no key to be recognised by.
pub(crate) fn check_decisions(plan: &ViewPlan, keys: usize, at: usize, own: &[Option<u128>]) -> Result<()> {
    if keys != at || keys != own.len() {
        let message = format!("{keys} keys, {at} decision times and {} own rows do not go together", own.len());
        return Err(Error::internal("SW0313", message));
    }
    if plan.primary_key().is_empty() && own.iter().any(Option::is_some) {
        let message = format!("an own row cannot be left out: {} has no primary key", plan.dataset());
        return Err(Error::invalid("SW0314", message).hint("declare primaryKey in its contract"));
    }
    Ok(())
}
