//! The rows of the asked entities: read chunk by chunk, brought together entity by entity.

use std::ops::Range;

use arrow::array::{Array, ArrayRef};
use arrow::compute::interleave;
use arrow::record_batch::RecordBatch;
use seawall_base::Instant;
use seawall_base::error::Result;

use super::asked::Asked;
use crate::aggregate::bytes::Writer;
use crate::aggregate::{Column, RowOrder, plain_array};
use crate::feature::key::{KeyColumns, batch_column, key_hashes};
use crate::feature::plan::ViewPlan;
use crate::feature::row::{System, input_array, instants};

/// Consecutive entities, worked on together.
pub(super) struct EntityRanges {
    entities: usize,
    count: usize,
}

impl EntityRanges {
    /// About `wanted` ranges, each with at least one entity.
    pub fn new(entities: usize, wanted: usize) -> Self {
        EntityRanges { entities, count: wanted.clamp(1, entities.max(1)) }
    }

    pub fn count(&self) -> usize {
        self.count
    }

    /// The entities of a range.
    pub fn entities(&self, range: usize) -> Range<usize> {
        self.start(range)..self.start(range + 1)
    }

    fn start(&self, range: usize) -> usize {
        (range * self.entities).div_ceil(self.count)
    }

    fn of(&self, entity: u32) -> usize {
        entity as usize * self.count / self.entities
    }
}

/// Where a row of an asked entity lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Number of its entity.
    pub entity: u32,
    /// Its place in the total order.
    pub order: RowOrder,
    chunk: u32,
    row: u32,
}

impl Place {
    /// Chunk and row, as Arrow wants them.
    pub fn source(&self) -> (usize, usize) {
        (self.chunk as usize, self.row as usize)
    }
}

/// A piece of the history.
pub(super) struct Chunk {
    /// The plan's input columns, plain.
    pub values: Vec<ArrayRef>,
    /// Hash of each row's primary key, when a decision has an own row.
    own: Vec<Option<u128>>,
    /// The rows of asked entities, by range. A row with a null entity column belongs to none, and a row with a null event
    /// time lies in no window; both are left out.
    places: Vec<Vec<Place>>,
}

impl Chunk {
    /// Reads the chunk `number`.
    pub fn read(
        plan: &ViewPlan,
        batch: &RecordBatch,
        number: usize,
        with_own: bool,
        asked: &Asked<'_>,
        ranges: &EntityRanges,
    ) -> Result<Chunk> {
        let entity: Vec<_> = plan.view().entity.iter().map(|name| batch_column(batch, name)).collect::<Result<_>>()?;
        let keys = KeyColumns::new(plan, &entity)?;
        let events = instants(batch, &plan.view().time)?;
        let system = System::read(batch)?;
        let mut values = Vec::with_capacity(plan.columns().len());
        for input in plan.columns() {
            values.push(plain_array(&input_array(input, batch)?)?);
        }
        let own = if with_own { key_hashes(batch, plan.primary_key())? } else { Vec::new() };
        let mut places = vec![Vec::new(); ranges.count()];
        let mut key = Writer::default();
        for row in 0..batch.num_rows() {
            if events.is_null(row) || !keys.encode(row, &mut key) {
                continue;
            }
            let Some(entity) = asked.number(&key.0) else { continue };
            let order = system.order(row, Instant(events.value(row)))?;
            places[ranges.of(entity)].push(Place { entity, order, chunk: number as u32, row: row as u32 });
        }
        Ok(Chunk { values, own, places })
    }

    /// Hash of the primary key of a row, when it was read.
    fn own(&self, row: usize) -> Option<u128> {
        self.own.get(row).copied().flatten()
    }
}

/// The rows of a range of entities: entity by entity, each in the total order.
pub(super) struct Rows {
    /// The entities of the range.
    pub entities: Range<usize>,
    /// Where the rows lie.
    pub places: Vec<Place>,
    /// Their event times.
    pub events: Vec<Instant>,
    /// The values of the columns that are accumulated, by input column.
    pub columns: Vec<Option<Column>>,
    /// Hash of each row's primary key; empty when no decision has an own row.
    pub own: Vec<Option<u128>>,
    /// Where the rows of each entity begin, and where the last ones end.
    starts: Vec<usize>,
}

impl Rows {
    /// Brings the rows of a range together; a row that was read twice is there once.
    pub fn gather(chunks: &[Chunk], range: usize, entities: Range<usize>, gathered: &[bool]) -> Result<Rows> {
        let mut places = in_order(chunks, range, &entities);
        places.dedup_by_key(|place| (place.entity, place.order));
        let events = places.iter().map(|place| place.order.event_time).collect();
        let sources: Vec<(usize, usize)> = places.iter().map(Place::source).collect();
        let mut columns = Vec::with_capacity(gathered.len());
        for (column, gathered) in gathered.iter().enumerate() {
            columns.push(match gathered {
                true if !sources.is_empty() => {
                    let arrays: Vec<&dyn Array> = chunks.iter().map(|chunk| chunk.values[column].as_ref()).collect();
                    Some(Column::new(&interleave(&arrays, &sources)?)?)
                }
                _ => None,
            });
        }
        let with_own = chunks.iter().any(|chunk| !chunk.own.is_empty());
        let own =
            if with_own { sources.iter().map(|(chunk, row)| chunks[*chunk].own(*row)).collect() } else { Vec::new() };
        let starts = starts(places.iter().map(|place| place.entity), &entities);
        Ok(Rows { entities, places, events, columns, own, starts })
    }

    /// The rows of an entity.
    pub fn of(&self, entity: usize) -> Range<usize> {
        let number = entity - self.entities.start;
        self.starts[number]..self.starts[number + 1]
    }
}

/// The places of a range by entity and total order. Rows mostly come in the order of time already, so entities are
/// brought together without comparing, and only those that are out of order are sorted.
fn in_order(chunks: &[Chunk], range: usize, entities: &Range<usize>) -> Vec<Place> {
    let read = || chunks.iter().flat_map(|chunk| &chunk.places[range]);
    let starts = starts(read().map(|place| place.entity), entities);
    let mut ends = starts.clone();
    let Some(first) = read().next() else { return Vec::new() };
    let mut places = vec![*first; starts.last().copied().unwrap_or(0)];
    for place in read() {
        let end = &mut ends[place.entity as usize - entities.start];
        places[*end] = *place;
        *end += 1;
    }
    for bounds in starts.windows(2) {
        let of_entity = &mut places[bounds[0]..bounds[1]];
        if !of_entity.is_sorted_by_key(|place| place.order) {
            of_entity.sort_unstable_by_key(|place| place.order);
        }
    }
    places
}

/// Where each entity's rows begin, and where the last ones end, when rows are grouped by entity.
fn starts(of_rows: impl Iterator<Item = u32>, entities: &Range<usize>) -> Vec<usize> {
    let mut starts = vec![0; entities.len() + 1];
    for entity in of_rows {
        starts[entity as usize - entities.start + 1] += 1;
    }
    for number in 1..starts.len() {
        starts[number] += starts[number - 1];
    }
    starts
}
