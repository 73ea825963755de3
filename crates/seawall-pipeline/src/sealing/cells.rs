//! Cells as bytes: what is inside of a sealed box. The layout is described in `docs/formats.md`.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, BinaryArray, BinaryBuilder, BooleanArray, BooleanBuilder, ListArray,
    NullBufferBuilder, StringArray, StringBuilder, StructArray, make_array,
};
use arrow::buffer::{MutableBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, FieldRef, Fields};
use seawall_base::Error;
use seawall_base::error::Result;

fn not_sealed(data_type: &DataType) -> Error {
    Error::internal("SW0827", format!("a personal column of type {data_type} cannot be sealed"))
}

/// Cells to write, of one column.
pub(super) enum Source {
    Fixed { width: usize, data: ArrayData },
    Boolean(BooleanArray),
    Text(StringArray),
    Binary(BinaryArray),
    List(ListArray, Box<Source>),
    Struct(StructArray, Vec<Source>),
}

impl Source {
    pub(super) fn of(column: &ArrayRef) -> Result<Source> {
        Ok(match column.data_type() {
            DataType::Boolean => Source::Boolean(column.as_boolean().clone()),
            DataType::Utf8 => Source::Text(column.as_string::<i32>().clone()),
            DataType::Binary => Source::Binary(column.as_binary::<i32>().clone()),
            DataType::List(_) => {
                let list = column.as_list::<i32>().clone();
                let values = Source::of(list.values())?;
                Source::List(list, Box::new(values))
            }
            DataType::Struct(_) => {
                let array = column.as_struct().clone();
                let fields: Result<Vec<Source>> = array.columns().iter().map(Source::of).collect();
                Source::Struct(array, fields?)
            }
            other => {
                let width = other.primitive_width().ok_or_else(|| not_sealed(other))?;
                Source::Fixed { width, data: column.to_data() }
            }
        })
    }

    /// Appends the cell of a row.
    pub(super) fn put(&self, row: usize, out: &mut Vec<u8>) {
        let is_null = match self {
            Source::Fixed { data, .. } => data.is_null(row),
            Source::Boolean(array) => array.is_null(row),
            Source::Text(array) => array.is_null(row),
            Source::Binary(array) => array.is_null(row),
            Source::List(array, _) => array.is_null(row),
            Source::Struct(array, _) => array.is_null(row),
        };
        out.push(u8::from(!is_null));
        if is_null {
            return;
        }
        match self {
            Source::Fixed { width, data } => {
                let at = (data.offset() + row) * width;
                out.extend_from_slice(&data.buffers()[0].as_slice()[at..at + width]);
            }
            Source::Boolean(array) => out.push(u8::from(array.value(row))),
            Source::Text(array) => put_bytes(out, array.value(row).as_bytes()),
            Source::Binary(array) => put_bytes(out, array.value(row)),
            Source::List(array, values) => {
                let (from, until) = (array.value_offsets()[row] as usize, array.value_offsets()[row + 1] as usize);
                out.extend_from_slice(&((until - from) as u32).to_le_bytes());
                (from..until).for_each(|element| values.put(element, out));
            }
            Source::Struct(_, fields) => fields.iter().for_each(|field| field.put(row, out)),
        }
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Cells that are read, of one column.
pub(super) enum Sink {
    Fixed { data_type: DataType, width: usize, bytes: MutableBuffer, nulls: NullBufferBuilder },
    Boolean(BooleanBuilder),
    Text(StringBuilder),
    Binary(BinaryBuilder),
    List { field: FieldRef, offsets: Vec<i32>, nulls: NullBufferBuilder, values: Box<Sink> },
    Struct { fields: Fields, nulls: NullBufferBuilder, columns: Vec<Sink> },
}

impl Sink {
    pub(super) fn of(data_type: &DataType, rows: usize) -> Result<Sink> {
        let nulls = || NullBufferBuilder::new(rows);
        Ok(match data_type {
            DataType::Boolean => Sink::Boolean(BooleanBuilder::with_capacity(rows)),
            DataType::Utf8 => Sink::Text(StringBuilder::new()),
            DataType::Binary => Sink::Binary(BinaryBuilder::new()),
            DataType::List(field) => {
                let values = Box::new(Sink::of(field.data_type(), 0)?);
                Sink::List { field: field.clone(), offsets: vec![0], nulls: nulls(), values }
            }
            DataType::Struct(fields) => {
                let columns: Result<Vec<Sink>> = fields.iter().map(|field| Sink::of(field.data_type(), rows)).collect();
                Sink::Struct { fields: fields.clone(), nulls: nulls(), columns: columns? }
            }
            other => {
                let width = other.primitive_width().ok_or_else(|| not_sealed(other))?;
                let bytes = MutableBuffer::new(rows * width);
                Sink::Fixed { data_type: other.clone(), width, bytes, nulls: nulls() }
            }
        })
    }

    /// Takes the next cell from the front of `bytes`; none when they do not hold one.
    pub(super) fn take(&mut self, bytes: &mut &[u8]) -> Option<()> {
        if take_bytes(bytes, 1)?[0] == 0 {
            self.push_null();
            return Some(());
        }
        match self {
            Sink::Fixed { width, bytes: values, nulls, .. } => {
                values.extend_from_slice(take_bytes(bytes, *width)?);
                nulls.append_non_null();
            }
            Sink::Boolean(values) => values.append_value(take_bytes(bytes, 1)?[0] != 0),
            Sink::Text(values) => {
                let length = take_length(bytes)?;
                values.append_value(std::str::from_utf8(take_bytes(bytes, length)?).ok()?);
            }
            Sink::Binary(values) => {
                let length = take_length(bytes)?;
                values.append_value(take_bytes(bytes, length)?);
            }
            Sink::List { offsets, nulls, values, .. } => {
                let length = take_length(bytes)?;
                for _ in 0..length {
                    values.take(bytes)?;
                }
                offsets.push(offsets.last()?.checked_add(i32::try_from(length).ok()?)?);
                nulls.append_non_null();
            }
            Sink::Struct { nulls, columns, .. } => {
                for column in columns {
                    column.take(bytes)?;
                }
                nulls.append_non_null();
            }
        }
        Some(())
    }

    /// A cell that has no value.
    pub(super) fn push_null(&mut self) {
        match self {
            Sink::Fixed { width, bytes, nulls, .. } => {
                bytes.extend_zeros(*width);
                nulls.append_null();
            }
            Sink::Boolean(values) => values.append_null(),
            Sink::Text(values) => values.append_null(),
            Sink::Binary(values) => values.append_null(),
            Sink::List { offsets, nulls, .. } => {
                offsets.push(*offsets.last().expect("there is always one"));
                nulls.append_null();
            }
            Sink::Struct { nulls, columns, .. } => {
                columns.iter_mut().for_each(Sink::push_null);
                nulls.append_null();
            }
        }
    }

    pub(super) fn finish(self) -> Result<ArrayRef> {
        Ok(match self {
            Sink::Fixed { data_type, width, bytes, mut nulls } => {
                let (rows, nulls) = (bytes.len() / width, nulls.finish());
                make_array(ArrayData::builder(data_type).len(rows).add_buffer(bytes.into()).nulls(nulls).build()?)
            }
            Sink::Boolean(mut values) => Arc::new(values.finish()),
            Sink::Text(mut values) => Arc::new(values.finish()),
            Sink::Binary(mut values) => Arc::new(values.finish()),
            Sink::List { field, offsets, mut nulls, values } => {
                let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
                Arc::new(ListArray::try_new(field, offsets, values.finish()?, nulls.finish())?)
            }
            Sink::Struct { fields, mut nulls, columns } => {
                let columns: Result<Vec<ArrayRef>> = columns.into_iter().map(Sink::finish).collect();
                let nulls: Option<NullBuffer> = nulls.finish();
                Arc::new(StructArray::try_new(fields, columns?, nulls)?)
            }
        })
    }
}

fn take_length(bytes: &mut &[u8]) -> Option<usize> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    *bytes = rest;
    usize::try_from(u32::from_le_bytes(*length)).ok()
}

fn take_bytes<'b>(bytes: &mut &'b [u8], count: usize) -> Option<&'b [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}
