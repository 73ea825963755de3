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

use super::super::instant::Zone;
use super::super::origin;
use super::super::rule::{Column, JsonKind, Kind, struct_fields};
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
    pub column: String,
    /// The same with the positions of elements.
    pub path: String,
    /// Whether the value must not be shown.
    pub personal: bool,
    /// The value, shortened.
    pub shown: String,
    /// What is wrong.
    pub fault: Fault,
    /// What the column wants.
    pub wanted: String,
}

/// What staging needs besides the value, and what it finds.
pub(in super::super) struct Staging<'z> {
    pub zone: &'z Zone,
    pub misfits: Vec<Misfit>,
    /// Positions and keys on the way to the value that is being staged.
    pub steps: Vec<Step>,
    /// Called with the path of each field that the contract does not know.
    pub unknown: &'z mut dyn FnMut(&str),
}

/// One step into a list or a map.
#[derive(Debug)]
pub(in super::super) enum Step {
    Index(usize),
    Key(String),
    /// The key of a personal map.
    Hidden,
}

impl Step {
    fn shown(&self) -> String {
        match self {
            Step::Index(index) => format!("[{index}]"),
            Step::Key(key) => format!("[{}]", super::super::reason::quoted(key)),
            Step::Hidden => "[]".to_owned(),
        }
    }
}

impl Staging<'_> {
    /// Judges `json` against `column`; what does not fit is noted and becomes null.
    pub(in super::super) fn stage<'a>(&mut self, column: &Column, json: Json<'a>) -> Staged<'a> {
        let staged = match (&column.kind, json) {
            (_, Json::Null) => return Staged::Null,
            (Kind::Struct(fields), Json::Object(values)) => return self.stage_struct(column, fields, values),
            (Kind::List(element) | Kind::Map(element), Json::Array(values)) => return self.stage_list(element, values),
            (Kind::Map(element), Json::Object(values)) => return self.stage_map(element, values),
            (kind, json) => scalar(kind, json, self.zone),
        };
        staged.unwrap_or_else(|(json, fault)| {
            let shown = shown(&json);
            let path = origin::fill(&column.path, self.steps.iter().map(Step::shown));
            let (column, personal, wanted) = (column.path.clone(), column.personal, column.kind.description());
            self.misfits.push(Misfit { column, path, personal, shown, fault, wanted });
            Staged::Null
        })
    }

    fn stage_list<'a>(&mut self, element: &Column, values: Vec<Json<'a>>) -> Staged<'a> {
        let mut staged = Vec::with_capacity(values.len());
        for (i, value) in values.into_iter().enumerate() {
            self.steps.push(Step::Index(i));
            staged.push(self.stage(element, value));
            self.steps.pop();
        }
        Staged::List(staged)
    }

    /// The members of an object as objects with a key and a value.
    fn stage_map<'a>(&mut self, element: &Column, mut values: Vec<(Cow<'a, str>, Json<'a>)>) -> Staged<'a> {
        // The members of a JSON object have no order: the same map again must have the same content.
        values.sort_by(|one, other| one.0.cmp(&other.0));
        let mut entries = Vec::with_capacity(values.len());
        for (key, value) in values {
            let step = if element.personal { Step::Hidden } else { Step::Key(key.to_string()) };
            let entry = vec![(Cow::Borrowed("key"), map_key(element, key)), (Cow::Borrowed("value"), value)];
            self.steps.push(step);
            entries.push(self.stage(element, Json::Object(entry)));
            self.steps.pop();
        }
        Staged::List(entries)
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

/// A member's name as a value of the key's type: JSON writes every key as text.
fn map_key<'a>(element: &Column, key: Cow<'a, str>) -> Json<'a> {
    let Kind::Struct(fields) = &element.kind else { return Json::String(key) };
    let is_number =
        fields.first().is_some_and(|field| matches!(field.kind, Kind::Int64 | Kind::Float64 | Kind::Decimal { .. }));
    match key {
        Cow::Borrowed(text) if is_number && text::number(text).is_ok() => Json::Number(text),
        key => Json::String(key),
    }
}

fn scalar<'a>(kind: &Kind, json: Json<'a>, zone: &Zone) -> Result<Staged<'a>, (Json<'a>, Fault)> {
    let judged = match (kind, &json) {
        (Kind::Utf8, Json::String(_)) => Ok(None),
        (Kind::Time(clock), Json::String(value)) => clock.time(value).map(|time| match time {
            Cow::Borrowed(_) => None,
            Cow::Owned(time) => Some(Staged::Text(Cow::Owned(time))),
        }),
        (Kind::Json(JsonKind::Any), json)
        | (Kind::Json(JsonKind::Object), json @ Json::Object(_))
        | (Kind::Json(JsonKind::Array), json @ Json::Array(_)) => Ok(Some(Staged::Text(Cow::Owned(json.to_text())))),
        (Kind::Int64, Json::Number(value)) => text::integer(value).map(|v| Some(Staged::Int(v))),
        (Kind::Float64, Json::Number(value)) => text::number(value).map(|v| Some(Staged::Float(v))),
        (Kind::Decimal { precision, scale }, Json::Number(value)) => {
            text::decimal(value, *precision, *scale).map(|v| Some(Staged::Decimal(v)))
        }
        (Kind::Boolean, Json::Bool(value)) => Ok(Some(Staged::Bool(*value))),
        (Kind::Date(clock), Json::String(value)) => clock.date(value).map(|v| Some(Staged::Int(i64::from(v)))),
        (Kind::Timestamp(clock), Json::String(value)) => clock.timestamp(value, zone).map(|v| Some(Staged::Int(v))),
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
            Kind::Utf8 | Kind::Time(_) | Kind::Json(_) => Builder::Text(StringBuilder::new()),
            Kind::Int64 => Builder::Int(Int64Builder::new()),
            Kind::Float64 => Builder::Float(Float64Builder::new()),
            Kind::Decimal { precision, scale } => Builder::Decimal(Decimal128Builder::new(), *precision, *scale),
            Kind::Boolean => Builder::Bool(BooleanBuilder::new()),
            Kind::Date(_) => Builder::Date(Date32Builder::new()),
            Kind::Timestamp(_) => Builder::Timestamp(TimestampMicrosecondBuilder::new()),
            Kind::Struct(fields) => {
                let builders = fields.iter().map(|field| Builder::new(&field.kind)).collect();
                Builder::Struct(fields, builders, NullBufferBuilder::new(0))
            }
            Kind::List(element) | Kind::Map(element) => {
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
