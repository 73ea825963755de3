//! The entities of a view. One of which a single row matters is packed into one piece of memory, because a view that only
//! has latest values keeps little more than that of millions of entities.
//!
//! Packing changes nothing: an entity is unpacked before anything is asked of it or folded into it, so there is one
//! implementation of both, and a state encodes to the same bytes whether its entities are packed or not.
//!
//! A packed entity: where its row stands `u8`, the row's order as 28 bytes, its key (`u8` present, 16 bytes) and its values.

use std::borrow::Cow;
use std::collections::HashMap;

use foldhash::quality::RandomState;
use seawall_base::error::Result;

use super::entity::EntityState;
use super::key::EntityKey;
use super::plan::{Horizon, ViewPlan};
use super::row::{RowBody, RowRef};
use crate::aggregate::RowOrder;
use crate::aggregate::bytes::{Reader, Writer};
use crate::window::Level;

/// Entities by key.
#[derive(Debug, Clone, Default)]
pub(crate) struct Entities {
    /// Those of which one row is kept and nothing else.
    packed: HashMap<EntityKey, Box<[u8]>, RandomState>,
    /// All others.
    whole: HashMap<EntityKey, EntityState, RandomState>,
}

/// Where the only row of a packed entity stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Among the rows that are kept themselves.
    Kept = 0,
    /// It is the newest before the horizon.
    Carried = 1,
    /// The same, and its key is still remembered.
    CarriedWithKey = 2,
}

impl Entities {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.packed.len() + self.whole.len()
    }

    /// The entity `key`; none when no row of it was folded.
    pub fn get(&self, key: &EntityKey) -> Option<Cow<'_, EntityState>> {
        match self.packed.get(key) {
            Some(packed) => Some(Cow::Owned(unpack(packed))),
            None => self.whole.get(key).map(Cow::Borrowed),
        }
    }

    /// Folds a row into its entity.
    pub fn fold(
        &mut self,
        plan: &ViewPlan,
        horizon: &Horizon,
        key: &EntityKey,
        order: RowOrder,
        row: RowRef<'_>,
    ) -> Result<()> {
        if let Some(entity) = self.whole.get_mut(key) {
            return entity.fold(plan, horizon, order, row);
        }
        let mut entity = match self.packed.get(key) {
            Some(packed) => unpack(packed),
            None => EntityState::default(),
        };
        entity.fold(plan, horizon, order, row)?;
        self.insert(plan, key.clone(), entity);
        Ok(())
    }

    /// Puts an entity in the place of the one so far.
    pub fn insert(&mut self, plan: &ViewPlan, key: EntityKey, entity: EntityState) {
        match packs(plan).then(|| pack(&entity)).flatten() {
            Some(packed) => {
                self.packed.insert(key, packed);
            }
            None => {
                self.packed.remove(&key);
                self.whole.insert(key, entity);
            }
        }
    }

    /// Drops what no decision can need any more.
    pub fn trim(&mut self, plan: &ViewPlan, horizon: &Horizon) {
        for packed in self.packed.values_mut() {
            if packed[0] == Place::Carried as u8 {
                continue;
            }
            let mut entity = unpack(packed);
            if entity.needs_trim(horizon) {
                entity.trim(horizon);
                *packed = pack(&entity).expect("an entity of one row stays one");
            }
        }
        let mut settled = Vec::new();
        self.whole.retain(|key, entity| {
            entity.trim(horizon);
            let packed = packs(plan).then(|| pack(entity)).flatten();
            let stays = packed.is_none();
            settled.extend(packed.map(|packed| (key.clone(), packed)));
            stays
        });
        self.packed.extend(settled);
    }

    /// Every entity, by key.
    pub fn ordered(&self) -> impl Iterator<Item = (&EntityKey, Cow<'_, EntityState>)> {
        let mut keys: Vec<&EntityKey> = self.packed.keys().chain(self.whole.keys()).collect();
        keys.sort_unstable();
        keys.into_iter().filter_map(|key| self.get(key).map(|entity| (key, entity)))
    }

    /// Estimated bytes.
    pub fn memory_bytes(&self) -> usize {
        const SLOT: usize = 2;
        let packed = SLOT * size_of::<(EntityKey, Box<[u8]>)>();
        let packed: usize = self.packed.iter().map(|(key, bytes)| packed + key.heap_bytes() + bytes.len() + 16).sum();
        let whole = SLOT * size_of::<EntityKey>();
        let whole: usize =
            self.whole.iter().map(|(key, entity)| whole + key.heap_bytes() + entity.memory_bytes()).sum();
        packed + whole
    }
}

/// Whether entities of this view can be packed: it has no tiles.
fn packs(plan: &ViewPlan) -> bool {
    plan.slots().is_empty()
}

/// The entity in one piece; none when more than one row of it matters.
fn pack(entity: &EntityState) -> Option<Box<[u8]>> {
    if entity.tiles.iter().any(|tiles| !tiles.is_empty()) {
        return None;
    }
    let (place, order, row) = match &entity.carry {
        None if entity.old_keys.is_empty() && entity.rows.len() == 1 => {
            let (order, row) = entity.rows.first()?;
            (Place::Kept, order, row)
        }
        Some((order, body)) if entity.rows.is_empty() => {
            let its_own = body.own.map(|own| (Level::Day.tile(order.event_time), own as u64));
            let place = match entity.old_keys.only() {
                None if entity.old_keys.is_empty() => Place::Carried,
                Some(only) if Some(only) == its_own => Place::CarriedWithKey,
                _ => return None,
            };
            (place, *order, body.as_ref())
        }
        _ => return None,
    };
    let mut out = Writer(Vec::with_capacity(1 + 28 + 17 + row.bytes().len()));
    out.u8(place as u8);
    order.encode(&mut out);
    row.pack(&mut out);
    Some(out.0.into())
}

fn unpack(packed: &[u8]) -> EntityState {
    try_unpack(packed).expect("what was packed in this process can be unpacked in it")
}

fn try_unpack(packed: &[u8]) -> Result<EntityState> {
    let mut from = Reader(packed);
    let place = from.u8()?;
    let order = RowOrder::decode(&mut from)?;
    let body = RowBody::unpack(&mut from)?;
    let mut entity = EntityState::default();
    if place == Place::Kept as u8 {
        entity.rows.insert(order, body.as_ref());
        return Ok(entity);
    }
    if place == Place::CarriedWithKey as u8 {
        let day = Level::Day.tile(order.event_time);
        body.own.into_iter().for_each(|own| entity.old_keys.insert(day, own as u64));
    }
    entity.carry = Some((order, body));
    Ok(entity)
}
