//! An entity of which a single row matters, packed into one piece of memory, because a view that only has latest values
//! keeps little more than that of millions of entities.
//!
//! A packed entity: where its row stands `u8`, the row's order as 28 bytes, its key (`u8` present, 16 bytes) and its
//! values. It answers without being unpacked; a second row unpacks it.

use seawall_base::error::Result;
use seawall_base::{FeatureStatus, Instant};
use smallvec::SmallVec;

use super::entity::{EntityState, FEW, happened_too_long_ago, of_newest, tell_unknown};
use super::plan::{Horizon, ViewPlan};
use super::row::RowRef;
use crate::aggregate::bytes::{Reader, Writer, garbage};
use crate::aggregate::{RowOrder, Value};
use crate::window::Level;

/// Where the only row of an entity stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Among the rows that are kept themselves.
    Kept = 0,
    /// It is the newest before the horizon.
    Carried = 1,
    /// The same, and its key is still remembered.
    CarriedWithKey = 2,
}

/// The only row of an entity.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Single<'a> {
    place: Place,
    order: RowOrder,
    row: RowRef<'a>,
}

impl<'a> Single<'a> {
    /// An entity with its first row.
    pub fn first(horizon: &Horizon, order: RowOrder, row: RowRef<'a>) -> Self {
        let place = match order.event_time < horizon.rows_from {
            false => Place::Kept,
            true if row.own.is_some() && day(order) >= horizon.keys_from_day => Place::CarriedWithKey,
            true => Place::Carried,
        };
        Single { place, order, row }
    }

    /// The entity, when a single row of it matters.
    pub fn of(entity: &'a EntityState) -> Option<Self> {
        if entity.tiles.iter().any(|tiles| !tiles.is_empty()) {
            return None;
        }
        match &entity.carry {
            None if entity.old_keys.is_empty() && entity.rows.len() == 1 => {
                let (order, row) = entity.rows.first()?;
                Some(Single { place: Place::Kept, order, row })
            }
            Some((order, body)) if entity.rows.is_empty() => {
                let its_own = body.own.map(|own| (day(*order), own as u64));
                let place = match entity.old_keys.only() {
                    None if entity.old_keys.is_empty() => Place::Carried,
                    Some(only) if Some(only) == its_own => Place::CarriedWithKey,
                    _ => return None,
                };
                Some(Single { place, order: *order, row: body.as_ref() })
            }
            _ => None,
        }
    }

    /// In one piece.
    pub fn pack(&self) -> Box<[u8]> {
        let mut out = Writer(Vec::with_capacity(1 + 28 + 17 + self.row.bytes().len()));
        out.u8(self.place as u8);
        self.order.encode(&mut out);
        self.row.pack(&mut out);
        out.0.into()
    }

    /// What was packed in this process.
    pub fn unpack(packed: &'a [u8]) -> Self {
        Self::try_unpack(packed).expect("what was packed in this process can be unpacked in it")
    }

    fn try_unpack(packed: &'a [u8]) -> Result<Self> {
        let mut from = Reader(packed);
        let place = match from.u8()? {
            0 => Place::Kept,
            1 => Place::Carried,
            2 => Place::CarriedWithKey,
            _ => return Err(garbage("a row stands nowhere")),
        };
        let order = RowOrder::decode(&mut from)?;
        Ok(Single { place, order, row: RowRef::unpack(&mut from)? })
    }

    /// The entity as one that may have more rows.
    pub fn to_state(self) -> EntityState {
        let mut entity = EntityState::default();
        match self.place {
            Place::Kept => entity.rows.insert(self.order, self.row),
            Place::Carried => entity.carry = Some((self.order, self.row.to_body())),
            Place::CarriedWithKey => {
                self.row.own.into_iter().for_each(|own| entity.old_keys.insert(day(self.order), own as u64));
                entity.carry = Some((self.order, self.row.to_body()));
            }
        }
        entity
    }

    /// Whether a horizon that has moved on changes it.
    pub fn needs_trim(&self, horizon: &Horizon) -> bool {
        match self.place {
            Place::Kept => self.order.event_time < horizon.rows_from,
            Place::Carried => false,
            Place::CarriedWithKey => day(self.order) < horizon.keys_from_day,
        }
    }

    /// Tells the value of every feature, as [`EntityState::tell`] does.
    pub fn tell(
        &self,
        plan: &ViewPlan,
        horizon: &Horizon,
        at: Instant,
        own: Option<u128>,
        mut told: impl FnMut(Value<'_>, FeatureStatus) -> Result<()>,
    ) -> Result<()> {
        let asks_itself = own.is_some() && self.row.own == own;
        if self.is_merged(horizon, own, asks_itself) {
            return Err(happened_too_long_ago(plan, horizon));
        }
        let is_visible = self.place != Place::Kept || self.order <= RowOrder::after(at);
        if asks_itself || !is_visible {
            return tell_unknown(plan, told);
        }
        let values: SmallVec<[Value<'_>; FEW]> = self.row.values(plan.columns().len())?;
        for compute in plan.features() {
            let (value, status) = of_newest(compute, (self.order, &values), at);
            told(value, status)?;
        }
        Ok(())
    }

    /// Whether the asking row may be this one and cannot be left out any more.
    fn is_merged(&self, horizon: &Horizon, own: Option<u128>, asks_itself: bool) -> bool {
        let retained = day(self.order) >= horizon.keys_from_day;
        let is_behind = self.order.event_time < horizon.rows_from;
        match self.place {
            Place::Kept => asks_itself && (self.order.event_time < horizon.head && retained || is_behind),
            Place::Carried => asks_itself,
            // Of a key that is remembered, half its hash is known.
            Place::CarriedWithKey => {
                let same_half = own.is_some_and(|own| self.row.own.map(|known| known as u64) == Some(own as u64));
                asks_itself || same_half && retained
            }
        }
    }
}

fn day(order: RowOrder) -> i64 {
    Level::Day.tile(order.event_time)
}
