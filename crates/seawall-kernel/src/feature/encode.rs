//! A state as bytes: canonical, self-describing, and safe to read from anywhere.
//!
//! ```text
//! "SWFS"  format u16  retention u8  plan hash [32]
//! known i64  newest folded: u8 present, i64
//! entities: count, each (key, rows, carry, tiles per level, old keys), ordered by key
//! pending:  count, each (key, order, body), ordered by (availability, partition, offset)
//! checksum [16]: first half of BLAKE3 of everything before
//! ```
//! Integers are little-endian; counts and lengths are varints. The plan hash covers the core's version, the definition
//! and the column types, so a state is never read as another view's. Entities are trimmed to the horizon before they
//! are written; together with the canonical accumulators this makes the bytes a function of the rows and of `known`.

use std::collections::BTreeMap;
use std::sync::Arc;

use seawall_base::error::Result;
use seawall_base::{Error, Hash, Instant, Span};

use super::entities::Entities;
use super::entity::{EntityState, Tile};
use super::key::EntityKey;
use super::plan::ViewPlan;
use super::row::{Row, RowBody};
use super::state::{Retention, ViewState, turn};
use crate::aggregate::bytes::{Reader, Writer, garbage};
use crate::aggregate::{Accumulator, Class, RowOrder};

const MAGIC: &[u8; 4] = b"SWFS";
const FORMAT: u16 = 1;
const CHECKSUM_BYTES: usize = 16;

impl ViewState {
    /// The state as bytes; equal states have equal bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.0.extend_from_slice(MAGIC);
        out.u16(FORMAT);
        out.u8(retention_tag(self.retention));
        out.0.extend_from_slice(&self.plan.state_hash().0);
        out.i64(self.known.0);
        out.u8(u8::from(self.newest_folded.is_some()));
        out.i64(self.newest_folded.map_or(0, |newest| newest.0));
        self.encode_entities(&mut out);
        out.len(self.pending.len());
        for (key, row) in self.pending.values() {
            out.bytes(key.as_bytes());
            row.order.encode(&mut out);
            row.body.as_ref().encode(&mut out);
        }
        seal(out.0)
    }

    fn encode_entities(&self, out: &mut Writer) {
        let horizon = self.horizon();
        out.len(self.entities.len());
        for (key, mut entity) in self.entities.ordered() {
            out.bytes(key.as_bytes());
            if entity.needs_trim(&horizon) {
                entity.to_mut().trim(&horizon);
            }
            encode_entity(&entity, out);
        }
    }

    /// Reads what [`ViewState::encode`] wrote for the same definition and retention. Never panics: bytes that no state
    /// encodes to are an error of kind `Corrupt`, a state of another definition one of kind `Conflict`.
    pub fn decode(plan: Arc<ViewPlan>, retention: Retention, bytes: &[u8]) -> Result<Self> {
        let mut from = unseal(bytes)?;
        if from.take(4)? != MAGIC || from.u16()? != FORMAT {
            return Err(garbage("it does not begin like one"));
        }
        let same_retention = from.u8()? == retention_tag(retention);
        let hash = from.take(32)?;
        let same_definition = hash == plan.state_hash().0 || hash == plan.earlier_state_hash().0;
        if !same_definition || !same_retention {
            let message = format!("an encoded feature state belongs to another definition than {}", plan.view().id());
            return Err(Error::new(seawall_base::ErrorKind::Conflict, "SW0331", message)
                .hint("rebuild the state from the table"));
        }
        let mut state = ViewState::new(plan, retention);
        state.known = Instant(from.i64()?);
        let has_newest = from.u8()?;
        let newest = Instant(from.i64()?);
        state.newest_folded = match has_newest {
            0 if newest.0 == 0 => None,
            1 => Some(newest),
            _ => return Err(garbage("its newest row is impossible")),
        };
        state.entities = decode_entities(&state.plan, &mut from)?;
        state.decode_pending(&mut from)?;
        if from.0.is_empty() { Ok(state) } else { Err(garbage("it is too long")) }
    }

    fn decode_pending(&mut self, from: &mut Reader<'_>) -> Result<()> {
        let classes = self.plan.entity_classes();
        for _ in 0..from.len()? {
            let key = EntityKey::from_bytes(from.bytes()?, &classes)?;
            let row = Row { order: RowOrder::decode(from)?, body: RowBody::decode(&self.plan, from)? };
            let turn = turn(&row);
            let in_order = self.pending.last_key_value().is_none_or(|(last, _)| *last < turn);
            if !in_order || turn.0 < self.known {
                return Err(garbage("a waiting row is out of order"));
            }
            self.pending.insert(turn, (key, row));
        }
        Ok(())
    }
}

fn retention_tag(retention: Retention) -> u8 {
    match retention {
        Retention::All => 0,
        Retention::Live => 1,
    }
}

/// Appends the checksum.
pub(super) fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
    let checksum = Hash::of(&bytes);
    bytes.extend_from_slice(&checksum.0[..CHECKSUM_BYTES]);
    bytes
}

fn unseal(bytes: &[u8]) -> Result<Reader<'_>> {
    let Some(length) = bytes.len().checked_sub(CHECKSUM_BYTES) else {
        return Err(garbage("it ends too early"));
    };
    let (body, checksum) = bytes.split_at(length);
    if Hash::of(body).0[..CHECKSUM_BYTES] != *checksum {
        return Err(garbage("its checksum does not match"));
    }
    Ok(Reader(body))
}

fn encode_entity(entity: &EntityState, out: &mut Writer) {
    out.len(entity.rows.len());
    for (order, row) in entity.rows.iter() {
        order.encode(out);
        row.encode(out);
    }
    out.u8(u8::from(entity.carry.is_some()));
    if let Some((order, body)) = &entity.carry {
        order.encode(out);
        body.as_ref().encode(out);
    }
    for tiles in &entity.tiles {
        out.len(tiles.len());
        for (number, tile) in tiles {
            out.zigzag(i128::from(*number));
            tile.iter().for_each(|accumulator| accumulator.encode(out));
        }
    }
    let old_keys = entity.old_keys.ordered();
    out.len(old_keys.len());
    for (day, keys) in old_keys {
        out.zigzag(i128::from(day));
        out.len(keys.len());
        keys.iter().for_each(|key| out.u64(*key));
    }
}

fn decode_entities(plan: &ViewPlan, from: &mut Reader<'_>) -> Result<Entities> {
    let classes: Vec<Class> = plan.entity_classes();
    let count = from.len()?;
    let mut entities = Entities::default();
    let mut last: Option<EntityKey> = None;
    for _ in 0..count {
        let key = EntityKey::from_bytes(from.bytes()?, &classes)?;
        if last.as_ref().is_some_and(|last| *last >= key) {
            return Err(garbage("an entity is out of order"));
        }
        entities.insert(plan, key.clone(), decode_entity(plan, from)?);
        last = Some(key);
    }
    Ok(entities)
}

fn decode_entity(plan: &ViewPlan, from: &mut Reader<'_>) -> Result<EntityState> {
    let mut entity = EntityState::default();
    for _ in 0..from.len()? {
        let order = RowOrder::decode(from)?;
        let body = RowBody::decode(plan, from)?;
        if entity.rows.last_order().is_some_and(|last| last >= order) {
            return Err(garbage("a row is out of order"));
        }
        entity.rows.insert(order, body.as_ref());
    }
    entity.carry = match from.u8()? {
        0 => None,
        1 => Some((RowOrder::decode(from)?, RowBody::decode(plan, from)?)),
        _ => return Err(garbage("an entity has an unknown kind of newest row")),
    };
    for (tiles, slots) in entity.tiles.iter_mut().zip(plan.levels()) {
        *tiles = decode_tiles(plan, slots, from)?;
    }
    let mut last = None;
    for _ in 0..from.len()? {
        let day = number(from)?;
        let keys = decode_old_keys(from)?;
        if last.is_some_and(|last| last >= day) {
            return Err(garbage("a day is out of order"));
        }
        entity.old_keys.push(day, keys);
        last = Some(day);
    }
    Ok(entity)
}

fn decode_tiles(plan: &ViewPlan, slots: &[usize], from: &mut Reader<'_>) -> Result<BTreeMap<i64, Tile>> {
    let mut tiles: BTreeMap<i64, Tile> = BTreeMap::new();
    for _ in 0..from.len()? {
        let number = number(from)?;
        let mut tile = Vec::with_capacity(slots.len());
        for slot in slots {
            let slot = &plan.slots()[*slot];
            tile.push(Accumulator::decode(slot.aggregate.kind, slot.class, from)?);
        }
        if tiles.last_key_value().is_some_and(|(last, _)| *last >= number) {
            return Err(garbage("a tile is out of order"));
        }
        tiles.insert(number, tile.into());
    }
    Ok(tiles)
}

fn decode_old_keys(from: &mut Reader<'_>) -> Result<Vec<u64>> {
    let count = from.len()?;
    let mut keys: Vec<u64> = Vec::with_capacity(count.min(from.0.len() / 8));
    for _ in 0..count {
        let key = from.u64()?;
        if keys.last().is_some_and(|last| *last >= key) {
            return Err(garbage("a key hash is out of order"));
        }
        keys.push(key);
    }
    Ok(keys)
}

/// Number of a tile: that of some instant.
fn number(from: &mut Reader<'_>) -> Result<i64> {
    let number =
        i64::try_from(from.zigzag()?).ok().filter(|n| n.unsigned_abs() <= i64::MAX as u64 / Span::MINUTE.0 as u64 + 1);
    number.ok_or_else(|| garbage("a tile has an impossible number"))
}
