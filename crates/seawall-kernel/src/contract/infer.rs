//! A first contract out of a user's own data: narrow where every sampled value agrees, and open about each guess.

use std::collections::BTreeSet;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use serde_json::{Value, json};

use super::instant::{self, Zone};
use super::model::{Contract, CustomProperty, EnumValue, Property, SchemaObject};
use super::text;

/// Different values up to which a string column is taken for an enumeration.
const ENUM_VALUES_MAX: usize = 12;
/// Values that must have been seen before that.
const ENUM_ROWS_MIN: usize = 1_000;

/// Something that the data suggests but does not prove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assumption {
    /// Where in the contract, `schema/0/properties/3`.
    pub path: String,
    /// What was assumed and why.
    pub text: String,
}

/// Infers a contract called `name` from sampled batches. String columns get the narrowest type that every sampled value
/// fits. `key` are the columns of the primary key, `time` is the column of the event time; both are taken as given,
/// and [`compile`](super::compile) reports it when the data has no such columns.
pub fn infer(name: &str, sample: &[RecordBatch], key: &[String], time: &str) -> (Contract, Vec<Assumption>) {
    let mut assumptions = Vec::new();
    let mut properties = Vec::new();
    let names: Vec<String> = match sample.first() {
        Some(batch) => batch.schema_ref().fields().iter().map(|field| field.name().clone()).collect(),
        None => Vec::new(),
    };
    for (i, column) in names.iter().enumerate() {
        let path = format!("schema/0/properties/{i}");
        let arrays: Vec<&dyn Array> =
            sample.iter().filter_map(|b| b.column_by_name(column).map(AsRef::as_ref)).collect();
        let mut note = |text: String| assumptions.push(Assumption { path: path.clone(), text });
        let mut property = infer_property(column, &arrays, &mut note);
        if let Some(position) = key.iter().position(|part| part == column) {
            property.primary_key = Some(true);
            property.primary_key_position = i64::try_from(position + 1).ok();
            property.required = Some(true);
        }
        if column == time {
            property.required = Some(true);
        }
        properties.push(property);
    }
    let event_time = CustomProperty {
        property: "seawall.eventTime".to_owned(),
        value: Value::String(time.to_owned()),
        other: Default::default(),
    };
    let object = SchemaObject {
        name: name.to_owned(),
        properties,
        custom_properties: vec![event_time],
        ..SchemaObject::default()
    };
    let contract = Contract::draft(object);
    (contract, assumptions)
}

fn infer_property(name: &str, arrays: &[&dyn Array], note: &mut dyn FnMut(String)) -> Property {
    let mut property = Property { name: Some(name.to_owned()), ..Property::default() };
    let rows: usize = arrays.iter().map(|array| array.len()).sum();
    let nulls: usize = arrays.iter().map(|array| array.logical_null_count()).sum();
    if rows > 0 && nulls == 0 {
        property.required = Some(true);
        note(format!("{name} is required: none of {rows} sampled rows is null"));
    }
    let Some(data_type) = arrays.first().map(|array| array.data_type().clone()) else { return property };
    if is_string(&data_type) {
        infer_from_text(&mut property, &strings(arrays), note);
    } else {
        typed(&mut property, &data_type, note);
    }
    property
}

fn is_string(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_string(values),
        _ => false,
    }
}

/// The values that are not null.
fn strings(arrays: &[&dyn Array]) -> Vec<String> {
    let mut values = Vec::new();
    for array in arrays {
        if let Ok(text) = cast(*array, &DataType::Utf8) {
            values.extend(text.as_string::<i32>().iter().flatten().map(str::to_owned));
        }
    }
    values
}

fn infer_from_text(property: &mut Property, values: &[String], note: &mut dyn FnMut(String)) {
    let name = property.name.clone().unwrap_or_default();
    let utc = Zone::utc();
    let all = |fits: &dyn Fn(&str) -> bool| !values.is_empty() && values.iter().all(|value| fits(value));
    let logical = if all(&|v| text::integer(v).is_ok() && !keeps_zeros(v)) {
        "integer"
    } else if all(&|v| text::number(v).is_ok() && !keeps_zeros(v)) {
        "number"
    } else if all(&|v| text::boolean(v).is_ok()) {
        "boolean"
    } else if all(&|v| text::date(v).is_ok()) {
        "date"
    } else if all(&|v| instant::timestamp(v, &utc).is_ok()) {
        "timestamp"
    } else if all(&|v| text::time_of_day(v).is_ok()) {
        "time"
    } else {
        "string"
    };
    property.logical_type = Some(logical.to_owned());
    let count = values.len();
    match logical {
        "timestamp" if values.iter().any(|value| !names_zone(value)) => {
            note(format!("{name} has local times, read as UTC: set seawall.zone if clocks there show another time"));
        }
        "string" if values.is_empty() => note(format!("{name} is a string: no sampled row has a value")),
        "string" => infer_enum(property, values, note),
        _ => note(format!("{name} is of type {logical}: all {count} sampled values read as one")),
    }
}

/// A number written like 007 loses its zeros as an integer: it is a code.
fn keeps_zeros(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
    digits.len() > 1 && digits[0] == b'0' && digits[1].is_ascii_digit()
}

/// Whether a timestamp ends with a zone; the date's own hyphens come before its tenth byte.
fn names_zone(text: &str) -> bool {
    text.get(10..).is_some_and(|rest| rest.contains(['Z', 'z', '+', '-']))
}

fn infer_enum(property: &mut Property, values: &[String], note: &mut dyn FnMut(String)) {
    let name = property.name.clone().unwrap_or_default();
    let mut distinct: BTreeSet<&str> = BTreeSet::new();
    for value in values {
        distinct.insert(value);
        if distinct.len() > ENUM_VALUES_MAX {
            return;
        }
    }
    if values.len() < ENUM_ROWS_MIN || distinct.len() < 2 {
        return;
    }
    let seen: Vec<String> = distinct.iter().map(|value| (*value).to_owned()).collect();
    note(format!(
        "{name} is one of {}: nothing else among {} sampled values; remove the enum if more may come",
        seen.join(", "),
        values.len()
    ));
    property.allowed = Some(seen.into_iter().map(|value| EnumValue::Bare(json!(value))).collect());
}

/// Columns that have a type already keep it.
fn typed(property: &mut Property, data_type: &DataType, note: &mut dyn FnMut(String)) {
    let name = property.name.clone().unwrap_or_default();
    let logical = match data_type {
        DataType::Boolean => "boolean",
        integer if integer.is_integer() => "integer",
        float if float.is_floating() => "number",
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s) if *s >= 0 => {
            property.physical_type = Some(format!("decimal({p},{s})"));
            "number"
        }
        DataType::Date32 | DataType::Date64 => "date",
        DataType::Timestamp(_, zone) => {
            if zone.is_none() {
                note(format!(
                    "{name} has local times, read as UTC: set seawall.zone if clocks there show another time"
                ));
            }
            "timestamp"
        }
        DataType::Time32(_) | DataType::Time64(_) => "time",
        DataType::Struct(fields) => {
            for field in fields {
                let mut child = Property { name: Some(field.name().clone()), ..Property::default() };
                nested(&mut child, field.data_type(), note);
                property.properties.push(child);
            }
            "object"
        }
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
            let mut items = Property::default();
            nested(&mut items, field.data_type(), note);
            property.items = Some(Box::new(items));
            "array"
        }
        DataType::Dictionary(_, values) => {
            typed(property, values, note);
            return;
        }
        other => {
            note(format!(
                "{name} has type {other}, which contracts do not know: convert it to text in the source's map"
            ));
            "string"
        }
    };
    property.logical_type = Some(logical.to_owned());
}

fn nested(property: &mut Property, data_type: &DataType, note: &mut dyn FnMut(String)) {
    if is_string(data_type) {
        property.logical_type = Some("string".to_owned());
    } else {
        typed(property, data_type, note);
    }
}
