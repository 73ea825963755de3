//! The entities of a view: those of which a single row matters packed, all others whole.
//!
//! Packing changes nothing: an answer is the same, and a state encodes to the same bytes, whether its entities are packed or
//! not.

use std::borrow::Cow;
use std::collections::HashMap;

use foldhash::quality::RandomState;
use seawall_base::error::Result;
use seawall_base::{FeatureStatus, Instant};

use super::entity::EntityState;
use super::key::EntityKey;
use super::plan::{Horizon, ViewPlan};
use super::row::RowRef;
use super::single::Single;
use crate::aggregate::{RowOrder, Value};

/// Entities by key.
#[derive(Debug, Clone, Default)]
pub(crate) struct Entities {
    /// Those of which one row is kept and nothing else.
    packed: HashMap<EntityKey, Box<[u8]>, RandomState>,
    /// All others.
    whole: HashMap<EntityKey, EntityState, RandomState>,
}

/// An entity, however it is kept.
pub(crate) enum Found<'a> {
    Single(Single<'a>),
    Whole(&'a EntityState),
}

impl Found<'_> {
    /// Tells the value of every feature for a decision at `at` that must not see the row with key hash `own`.
    pub fn tell(
        &self,
        plan: &ViewPlan,
        horizon: &Horizon,
        at: Instant,
        own: Option<u128>,
        told: impl FnMut(Value<'_>, FeatureStatus) -> Result<()>,
    ) -> Result<()> {
        match self {
            Found::Single(entity) => entity.tell(plan, horizon, at, own, told),
            Found::Whole(entity) => entity.tell(plan, horizon, at, own, told),
        }
    }
}

impl Entities {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.packed.len() + self.whole.len()
    }

    /// The entity `key`; none when no row of it was folded.
    pub fn get(&self, key: &EntityKey) -> Option<Found<'_>> {
        match self.packed.get(key) {
            Some(packed) => Some(Found::Single(Single::unpack(packed))),
            None => self.whole.get(key).map(Found::Whole),
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
        if !packs(plan) {
            return self.whole.entry(key.clone()).or_default().fold(plan, horizon, order, row);
        }
        let Some(packed) = self.packed.get(key) else {
            self.packed.insert(key.clone(), Single::first(horizon, order, row).pack());
            return Ok(());
        };
        let mut entity = Single::unpack(packed).to_state();
        entity.fold(plan, horizon, order, row)?;
        self.insert(plan, key.clone(), entity);
        Ok(())
    }

    /// Puts an entity in the place of the one so far.
    pub fn insert(&mut self, plan: &ViewPlan, key: EntityKey, entity: EntityState) {
        match packs(plan).then(|| Single::of(&entity).map(|single| single.pack())).flatten() {
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
            let single = Single::unpack(packed);
            if single.needs_trim(horizon) {
                let mut entity = single.to_state();
                entity.trim(horizon);
                *packed = Single::of(&entity).expect("an entity of one row stays one").pack();
            }
        }
        let mut settled = Vec::new();
        self.whole.retain(|key, entity| {
            entity.trim(horizon);
            let packed = packs(plan).then(|| Single::of(entity).map(|single| single.pack())).flatten();
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
        keys.into_iter().filter_map(|key| {
            self.get(key).map(|found| match found {
                Found::Single(entity) => (key, Cow::Owned(entity.to_state())),
                Found::Whole(entity) => (key, Cow::Borrowed(entity)),
            })
        })
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
