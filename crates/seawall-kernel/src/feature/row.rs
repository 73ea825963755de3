//! Rows: from a batch in the table's schema to what an entity keeps of a row.
//!
//! A kept row is its place in the total order, the hash of its primary key and the values that the view's features
//! read, packed: a small integer takes two bytes, a float nine.

use arrow::array::{Array, ArrayRef, Int32Array, Int64Array, PrimitiveArray};
use arrow::datatypes::{ArrowPrimitiveType, DataType, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use seawall_base::error::Result;
use seawall_base::{Error, Instant, Offset, Partition, column};

use super::key::{EntityKey, batch_column, key_hashes, keys_of};
use super::plan::{InputColumn, ViewPlan};
use crate::aggregate::bytes::{Reader, Writer, garbage};
use crate::aggregate::{Class, Column, RowOrder, Value};

/// What an entity keeps of a row, beside its place in the total order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RowBody {
    /// Hash of the row's primary key.
    pub own: Option<u128>,
    /// The values of the plan's input columns, in order.
    data: Box<[u8]>,
}

/// A [`RowBody`] that lies elsewhere.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowRef<'a> {
    /// Hash of the row's primary key, never zero.
    pub own: Option<u128>,
    data: &'a [u8],
}

/// A row of one entity.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// Place in the total order.
    pub order: RowOrder,
    /// The rest.
    pub body: RowBody,
}

impl<'a> RowRef<'a> {
    /// The row with the values that [`RowRef::bytes`] gave.
    pub fn new(own: Option<u128>, data: &'a [u8]) -> Self {
        RowRef { own, data }
    }

    /// The values, packed.
    pub fn bytes(&self) -> &'a [u8] {
        self.data
    }

    /// The value of the plan's input column `index`.
    pub fn value(&self, index: usize) -> Result<Value<'a>> {
        let mut from = Reader(self.data);
        for _ in 0..index {
            Value::decode(&mut from)?;
        }
        Value::decode(&mut from)
    }

    /// The values of all input columns.
    pub fn values<C: FromIterator<Value<'a>>>(&self, count: usize) -> Result<C> {
        let mut from = Reader(self.data);
        (0..count).map(|_| Value::decode(&mut from)).collect()
    }

    /// Reads what [`RowRef::pack`] wrote, to the end.
    pub fn unpack(from: &mut Reader<'a>) -> Result<Self> {
        Ok(RowRef { own: decode_own(from)?, data: from.0 })
    }

    /// The row for itself.
    pub fn to_body(self) -> RowBody {
        RowBody { own: self.own, data: self.data.into() }
    }

    pub fn encode(&self, out: &mut Writer) {
        encode_own(self.own, out);
        out.bytes(self.data);
    }

    /// Writes the row for memory; it ends with the end of what it is written to.
    pub fn pack(&self, out: &mut Writer) {
        encode_own(self.own, out);
        out.0.extend_from_slice(self.data);
    }
}

impl RowBody {
    /// The body where it lies.
    pub fn as_ref(&self) -> RowRef<'_> {
        RowRef { own: self.own, data: &self.data }
    }

    /// Heap bytes.
    pub fn heap_bytes(&self) -> usize {
        self.data.len()
    }

    pub fn decode(plan: &ViewPlan, from: &mut Reader<'_>) -> Result<Self> {
        let own = decode_own(from)?;
        let data = from.bytes()?;
        let mut values = Reader(data);
        for column in plan.columns() {
            if !Value::decode(&mut values)?.fits(column.class) {
                return Err(garbage("a row's value is not of its column's type"));
            }
        }
        if values.0.is_empty() { Ok(RowBody { own, data: data.into() }) } else { Err(garbage("a row is too long")) }
    }
}

fn encode_own(own: Option<u128>, out: &mut Writer) {
    match own {
        None => out.u8(0),
        Some(own) => {
            out.u8(1);
            out.u128(own);
        }
    }
}

fn decode_own(from: &mut Reader<'_>) -> Result<Option<u128>> {
    match from.u8()? {
        0 => Ok(None),
        1 => match from.u128()? {
            0 => Err(garbage("a row has an impossible key")),
            own => Ok(Some(own)),
        },
        _ => Err(garbage("a row has an unknown kind of key")),
    }
}

/// Rows of a batch, read for a view. A row with a null entity column belongs to no entity, and a row with a null event
/// time lies in no window; both are left out.
#[derive(Debug, Default)]
pub(crate) struct Read {
    rows: Vec<(EntityKey, RowOrder, Option<u128>)>,
    /// Where the values of each row end.
    ends: Vec<usize>,
    values: Writer,
}

impl Read {
    /// The rows that belong to a wanted entity.
    pub fn new(plan: &ViewPlan, batch: &RecordBatch, wanted: impl Fn(&EntityKey) -> bool) -> Result<Read> {
        let entity: Vec<_> = plan.view().entity.iter().map(|name| batch_column(batch, name)).collect::<Result<_>>()?;
        let keys = keys_of(plan, &entity, batch.num_rows())?;
        let own = match plan.primary_key() {
            [] => vec![None; batch.num_rows()],
            columns => key_hashes(batch, columns)?,
        };
        let event_times: PrimitiveArray<TimestampMicrosecondType> = instants(batch, &plan.view().time)?;
        let system = System::read(batch)?;
        let mut columns = Vec::with_capacity(plan.columns().len());
        for input in plan.columns() {
            columns.push(Column::new(&input_array(input, batch)?)?);
        }

        let mut read = Read::default();
        for (index, key) in keys.into_iter().enumerate() {
            let Some(key) = key.filter(&wanted) else { continue };
            if event_times.is_null(index) {
                continue;
            }
            let order = system.order(index, Instant(event_times.value(index)))?;
            columns.iter().for_each(|column| column.value(index).encode(&mut read.values));
            read.rows.push((key, order, own[index]));
            read.ends.push(read.values.0.len());
        }
        Ok(read)
    }

    /// The rows in the order of the batch.
    pub fn iter(&self) -> impl Iterator<Item = (&EntityKey, RowOrder, RowRef<'_>)> {
        let mut from = 0;
        self.rows.iter().zip(&self.ends).map(move |((key, order, own), end)| {
            let values = &self.values.0[std::mem::replace(&mut from, *end)..*end];
            (key, *order, RowRef::new(*own, values))
        })
    }
}

/// An input column of the plan; refuses another class of values.
pub(crate) fn input_array(input: &InputColumn, batch: &RecordBatch) -> Result<ArrayRef> {
    let array = batch_column(batch, &input.name)?;
    if Class::of(array.data_type()) != Some(input.class) {
        return Err(other_type(&input.name, &input.data_type, array.data_type()));
    }
    Ok(array)
}

/// The system columns that the rule of features reads.
pub(crate) struct System {
    partition: Int32Array,
    lsn: Int64Array,
    available_at: PrimitiveArray<TimestampMicrosecondType>,
}

impl System {
    pub fn read(batch: &RecordBatch) -> Result<Self> {
        let system = System {
            partition: primitive(batch, column::PARTITION)?,
            lsn: primitive(batch, column::LSN)?,
            available_at: instants(batch, column::AVAILABLE_AT)?,
        };
        let nulls = system.partition.null_count() + system.lsn.null_count() + system.available_at.null_count();
        if nulls > 0 {
            return Err(Error::corrupt("SW0311", "a row has a null in a system column"));
        }
        Ok(system)
    }

    pub fn order(&self, row: usize, event_time: Instant) -> Result<RowOrder> {
        let negative = |_| Error::corrupt("SW0311", "a row has a negative partition or offset");
        Ok(RowOrder {
            event_time,
            available_at: Instant(self.available_at.value(row)),
            partition: Partition(u32::try_from(self.partition.value(row)).map_err(negative)?),
            offset: Offset(u64::try_from(self.lsn.value(row)).map_err(negative)?),
        })
    }
}

fn primitive<T: ArrowPrimitiveType>(batch: &RecordBatch, name: &str) -> Result<PrimitiveArray<T>> {
    let array = batch_column(batch, name)?;
    let typed = array.as_any().downcast_ref::<PrimitiveArray<T>>().cloned();
    typed.ok_or_else(|| other_type(name, &T::DATA_TYPE, array.data_type()))
}

/// Instants: the array's zone is how it is shown, not what it means.
pub(crate) fn instants(batch: &RecordBatch, name: &str) -> Result<PrimitiveArray<TimestampMicrosecondType>> {
    primitive(batch, name)
}

fn other_type(name: &str, wanted: &DataType, given: &DataType) -> Error {
    Error::invalid("SW0310", format!("column {name} should be {wanted}, but the rows have {given}"))
}
