//! The entities that are asked for: numbered by their first decision, each with its decisions.

use std::collections::HashMap;
use std::ops::Range;

use seawall_base::Error;
use seawall_base::error::Result;

use crate::feature::key::EntityKey;

/// Decisions by entity.
pub(super) struct Asked<'a> {
    numbers: HashMap<&'a [u8], u32>,
    /// Decisions with an entity, those of one entity together.
    grouped: Vec<u32>,
    /// Where the decisions of each entity begin, and where the last ones end.
    starts: Vec<usize>,
}

impl<'a> Asked<'a> {
    pub fn of(keys: &'a [Option<EntityKey>]) -> Result<Self> {
        if u32::try_from(keys.len()).is_err() {
            let message = format!("{} decisions are too many for one sweep", keys.len());
            return Err(Error::invalid("SW0313", message).hint("divide them, for example by decision time"));
        }
        let mut numbers: HashMap<&[u8], u32> = HashMap::new();
        let mut entities: Vec<Option<u32>> = Vec::with_capacity(keys.len());
        let mut starts = vec![0usize];
        for key in keys {
            let Some(key) = key else {
                entities.push(None);
                continue;
            };
            let next = numbers.len() as u32;
            let entity = *numbers.entry(key.as_bytes()).or_insert(next);
            if entity == next {
                starts.push(0);
            }
            starts[entity as usize + 1] += 1;
            entities.push(Some(entity));
        }
        for entity in 1..starts.len() {
            starts[entity] += starts[entity - 1];
        }
        let mut ends = starts.clone();
        let mut grouped = vec![0; starts.last().copied().unwrap_or(0)];
        for (decision, entity) in entities.into_iter().enumerate() {
            let Some(entity) = entity else { continue };
            let end = &mut ends[entity as usize];
            grouped[*end] = decision as u32;
            *end += 1;
        }
        Ok(Asked { numbers, grouped, starts })
    }

    /// How many entities are asked for.
    pub fn entities(&self) -> usize {
        self.numbers.len()
    }

    /// The number of an entity; none when nobody asks for it.
    pub fn number(&self, key: &[u8]) -> Option<u32> {
        self.numbers.get(key).copied()
    }

    /// The decisions of consecutive entities, in their order, and of each in the order of the decisions.
    pub fn of_entities(&self, entities: Range<usize>) -> &[u32] {
        &self.grouped[self.starts[entities.start]..self.starts[entities.end]]
    }
}
