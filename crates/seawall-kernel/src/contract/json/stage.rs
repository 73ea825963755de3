//! From JSON values to typed columns: each value is judged against its column first, and only rows without a fault are
//! appended.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder, Int64Builder, ListArray,
    NullBufferBuilder, StringBuilder, StructArray, TimestampMicrosecondBuilder,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::Field;

use super::super::instant::{self, Zone};
use super::super::rule::{Column, Kind, struct_fields};
use super::super::text::{self, Fault};
use super::parse::Json;

/// A value that fits its column.
#[derive(Debug)]
pub(in super::super) enum Staged<'a> {
    Null,
    Text(Cow<'a, str>),
    /// Integers, days and microseconds.
    Int(i64),
    Float(f64),
    Decimal(i128),
    Bool(bool),
    Struct(Vec<Staged<'a>>),
    List(Vec<Staged<'a>>),
}

/// A value that does not fit.
#[derive(Debug)]
pub(in super::super) struct Misfit {
    /// Path of the column.
    pub path: String,
    /// Whether the value must not be shown.
    pub personal: bool,
    /// The value, shortened.
    pub shown: String,
    /// What is wrong.
    pub fault: Fault,
}

/// What staging needs besides the value, and what it finds.
pub(in super::super) struct Staging<'z> {
    pub zone: &'z Zone,
    pub misfits: Vec<Misfit>,
    /// Called with the path of each field that the contract does not know.
    pub unknown: &'z mut dyn FnMut(&str),
}

impl Staging<'_> {
    /// Judges `json` against `column`; what does not fit is noted and becomes null.
    pub(in super::super) fn stage<'a>(&mut self, column: &Column, json: Json<'a>) -> Staged<'a> {
        let staged = match (&column.kind, json) {
            (_, Json::Null) => return Staged::Null,
            (Kind::Struct(fields), Json::Object(values)) => return self.stage_struct(column, fields, values),
            (Kind::List(element), Json::Array(values)) => {
                return Staged::List(values.into_iter().map(|value| self.stage(element, value)).collect());
            }
            (kind, json) => scalar(kind, json, self.zone),
        };
        staged.unwrap_or_else(|(json, fault)| {
            let shown = shown(&json);
            self.misfits.push(Misfit { path: column.path.clone(), personal: column.personal, shown, fault });
            Staged::Null
        })
    }

    fn stage_struct<'a>(
        &mut self,
        column: &Column,
        fields: &[Column],
        values: Vec<(Cow<'a, str>, Json<'a>)>,
    ) -> Staged<'a> {
        let mut staged: Vec<Staged<'a>> = fields.iter().map(|_| Staged::Null).collect();
        let positions = Positions::new(fields);
        for (i, (name, value)) in values.into_iter().enumerate() {
            match positions.find(i, &name) {
                Some(at) => staged[at] = self.stage(&fields[at], value),
                None => (self.unknown)(&format!("{}.{name}", column.path)),
            }
        }
        Staged::Struct(staged)
    }
}

/// Finds columns by name; the place in the object is a hint, as producers keep their order.
pub(in super::super) struct Positions<'c> {
    columns: &'c [Column],
    by_name: Option<std::collections::HashMap<&'c str, usize>>,
}

impl<'c> Positions<'c> {
    pub(in super::super) fn new(columns: &'c [Column]) -> Self {
        let by_name =
            (columns.len() > 8).then(|| columns.iter().enumerate().map(|(i, c)| (c.name.as_str(), i)).collect());
        Positions { columns, by_name }
    }

    pub(in super::super) fn find(&self, hint: usize, name: &str) -> Option<usize> {
        if self.columns.get(hint).is_some_and(|column| column.name == name) {
            return Some(hint);
        }
        match &self.by_name {
            Some(by_name) => by_name.get(name).copied(),
            None => self.columns.iter().position(|column| column.name == name),
        }
    }
}

fn scalar<'a>(kind: &Kind, json: Json<'a>, zone: &Zone) -> Result<Staged<'a>, (Json<'a>, Fault)> {
    let judged = match (kind, &json) {
        (Kind::Utf8, Json::String(_)) => Ok(None),
        (Kind::Time, Json::String(value)) => text::time_of_day(value).map(|_| None),
        (Kind::Int64, Json::Number(value)) => text::integer(value).map(|v| Some(Staged::Int(v))),
        (Kind::Float64, Json::Number(value)) => text::number(value).map(|v| Some(Staged::Float(v))),
        (Kind::Decimal { precision, scale }, Json::Number(value)) => {
            text::decimal(value, *precision, *scale).map(|v| Some(Staged::Decimal(v)))
        }
        (Kind::Boolean, Json::Bool(value)) => Ok(Some(Staged::Bool(*value))),
        (Kind::Date, Json::String(value)) => text::date(value).map(|v| Some(Staged::Int(i64::from(v)))),
        (Kind::Timestamp, Json::String(value)) => instant::timestamp(value, zone).map(|v| Some(Staged::Int(v))),
        (kind, _) => Err(Fault::NotA(kind.noun())),
    };
    match (judged, json) {
        (Ok(Some(staged)), _) => Ok(staged),
        (Ok(None), Json::String(value)) => Ok(Staged::Text(value)),
        (Ok(None), json) => Err((json, Fault::NotA(kind.noun()))),
        (Err(fault), json) => Err((json, fault)),
    }
}

/// A value as it reads in a message.
fn shown(json: &Json<'_>) -> String {
    match json {
        Json::Null => "null".to_owned(),
        Json::Bool(value) => value.to_string(),
        Json::Number(text) => super::super::reason::shorten(text),
        Json::String(text) => super::super::reason::quoted(text),
        Json::Array(_) => "an array".to_owned(),
        Json::Object(_) => "an object".to_owned(),
    }
}

/// Builds a column out of staged values.
pub(in super::super) enum Builder<'c> {
    Text(StringBuilder),
    Int(Int64Builder),
    Float(Float64Builder),
    Decimal(Decimal128Builder, u8, i8),
    Bool(BooleanBuilder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
    Struct(&'c [Column], Vec<Builder<'c>>, NullBufferBuilder),
    List(&'c Column, Box<Builder<'c>>, Vec<i32>, NullBufferBuilder),
}

impl<'c> Builder<'c> {
    pub(in super::super) fn new(kind: &'c Kind) -> Self {
        match kind {
            Kind::Utf8 | Kind::Time => Builder::Text(StringBuilder::new()),
            Kind::Int64 => Builder::Int(Int64Builder::new()),
            Kind::Float64 => Builder::Float(Float64Builder::new()),
            Kind::Decimal { precision, scale } => Builder::Decimal(Decimal128Builder::new(), *precision, *scale),
            Kind::Boolean => Builder::Bool(BooleanBuilder::new()),
            Kind::Date => Builder::Date(Date32Builder::new()),
            Kind::Timestamp => Builder::Timestamp(TimestampMicrosecondBuilder::new()),
            Kind::Struct(fields) => {
                let builders = fields.iter().map(|field| Builder::new(&field.kind)).collect();
                Builder::Struct(fields, builders, NullBufferBuilder::new(0))
            }
            Kind::List(element) => {
                Builder::List(element, Box::new(Builder::new(&element.kind)), vec![0], NullBufferBuilder::new(0))
            }
        }
    }

    /// Appends a value that was staged for this column.
    pub(in super::super) fn append(&mut self, staged: Staged<'_>) {
        match (self, staged) {
            (Builder::Text(b), Staged::Text(value)) => b.append_value(value),
            (Builder::Text(b), _) => b.append_null(),
            (Builder::Int(b), Staged::Int(value)) => b.append_value(value),
            (Builder::Int(b), _) => b.append_null(),
            (Builder::Float(b), Staged::Float(value)) => b.append_value(value),
            (Builder::Float(b), _) => b.append_null(),
            (Builder::Decimal(b, ..), Staged::Decimal(value)) => b.append_value(value),
            (Builder::Decimal(b, ..), _) => b.append_null(),
            (Builder::Bool(b), Staged::Bool(value)) => b.append_value(value),
            (Builder::Bool(b), _) => b.append_null(),
            (Builder::Date(b), Staged::Int(value)) => b.append_option(i32::try_from(value).ok()),
            (Builder::Date(b), _) => b.append_null(),
            (Builder::Timestamp(b), Staged::Int(value)) => b.append_value(value),
            (Builder::Timestamp(b), _) => b.append_null(),
            (Builder::Struct(_, children, nulls), Staged::Struct(values)) => {
                children.iter_mut().zip(values).for_each(|(child, value)| child.append(value));
                nulls.append_non_null();
            }
            (Builder::Struct(_, children, nulls), _) => {
                children.iter_mut().for_each(|child| child.append(Staged::Null));
                nulls.append_null();
            }
            (Builder::List(_, element, offsets, nulls), staged) => {
                let previous = offsets[offsets.len() - 1];
                let mut added = 0;
                match staged {
                    Staged::List(values) => {
                        for value in values {
                            element.append(value);
                            added += 1;
                        }
                        nulls.append_non_null();
                    }
                    _ => nulls.append_null(),
                }
                // Inputs are limited far below 2^31 elements.
                offsets.push(previous.saturating_add(added));
            }
        }
    }

    /// The column; the builder is spent.
    pub(in super::super) fn finish(self, rows: usize) -> ArrayRef {
        match self {
            Builder::Text(mut b) => Arc::new(b.finish()),
            Builder::Int(mut b) => Arc::new(b.finish()),
            Builder::Float(mut b) => Arc::new(b.finish()),
            Builder::Decimal(mut b, precision, scale) => Arc::new(
                b.finish()
                    .with_precision_and_scale(precision, scale)
                    .expect("compiling the contract checked precision and scale"),
            ),
            Builder::Bool(mut b) => Arc::new(b.finish()),
            Builder::Date(mut b) => Arc::new(b.finish()),
            Builder::Timestamp(mut b) => Arc::new(b.finish().with_timezone("UTC")),
            Builder::Struct(columns, children, mut nulls) => {
                let arrays: Vec<ArrayRef> = children.into_iter().map(|child| child.finish(rows)).collect();
                let validity = nulls.finish();
                Arc::new(
                    StructArray::try_new_with_length(struct_fields(columns), arrays, validity, rows)
                        .expect("every child has one value per row"),
                )
            }
            Builder::List(column, element, offsets, mut nulls) => {
                let length = offsets.last().copied().unwrap_or(0);
                let values = element.finish(usize::try_from(length).unwrap_or(0));
                let field = Arc::new(Field::new("element", column.kind.data_type(), true));
                let offsets = OffsetBuffer::new(offsets.into());
                Arc::new(
                    ListArray::try_new(field, offsets, values, nulls.finish())
                        .expect("offsets ascend to the number of elements"),
                )
            }
        }
    }
}
