//! Columns, fields, items: by name, with everything that is said of them.

use serde_json::Value;

use super::super::model::{EnumValue, Property, SchemaObject};
use super::bound;
use super::diff::{Breaks, Found, Place, custom_properties, json};
use super::{guarantee, options};

/// Integer types of databases, from narrow to wide.
const WIDTHS: [&[&str]; 4] = [
    &["tinyint", "int8", "byte"],
    &["smallint", "int16", "int2", "short"],
    &["int", "integer", "int32", "int4", "serial"],
    &["bigint", "int64", "long", "bigserial"],
];

/// The primary key of an object.
pub(super) fn key(place: &Place, old: &SchemaObject, new: &SchemaObject, found: &mut Found) {
    let key = |object: &SchemaObject| {
        let parts = object.properties.iter().filter(|property| property.primary_key == Some(true));
        let mut parts: Vec<(i64, String)> = parts
            .map(|one| (one.primary_key_position.unwrap_or(i64::MAX), one.name.clone().unwrap_or_default()))
            .collect();
        parts.sort_by_key(|(position, _)| *position);
        parts.into_iter().map(|(_, name)| name).collect::<Vec<String>>()
    };
    let (before, after) = (key(old), key(new));
    if before != after {
        let why = "rows are known by other columns";
        found.add(place, "primaryKey", (json(&before), json(&after)), Breaks::Both, why);
    }
}

/// Two lists of named properties; `prefix` is the path to them.
pub(super) fn list(place: &Place, prefix: &str, old: &[Property], new: &[Property], found: &mut Found) {
    let name = |property: &Property| property.name.clone().unwrap_or_default();
    for before in old {
        let here = place.at(format!("{prefix}{}", name(before)));
        match new.iter().find(|after| after.name == before.name) {
            Some(after) => property(&here, before, after, found),
            None => {
                found.add(
                    &here,
                    "property",
                    (json(&name(before)), None),
                    Breaks::Consumers,
                    "what it held is no longer kept",
                );
            }
        }
    }
    for after in new.iter().filter(|after| !old.iter().any(|before| before.name == after.name)) {
        let here = place.at(format!("{prefix}{}", name(after)));
        let is_required = after.required == Some(true) || after.primary_key == Some(true);
        let (breaks, why) = match is_required {
            true => (Breaks::Both, "producers do not send it yet, and earlier rows have no value for it"),
            false => (Breaks::Nobody, "a new optional column; earlier rows are null"),
        };
        found.add(&here, "property", (None, json(&name(after))), breaks, why);
    }
}

/// Two versions of one property.
fn property(place: &Place, old: &Property, new: &Property, found: &mut Found) {
    if old == new {
        return;
    }
    if old.logical_type != new.logical_type {
        let values = (json(&old.logical_type), json(&new.logical_type));
        found.add(place, "logicalType", values, Breaks::Both, "values of another type");
        return;
    }
    physical(place, old, new, found);
    required(place, old, new, found);
    if old.physical_name != new.physical_name {
        let (breaks, why) = match old.physical_name {
            Some(_) => (Breaks::Producers, "producers that send it by its old physical name are not understood"),
            None => (Breaks::Nobody, "it is also found by its physical name"),
        };
        found.add(place, "physicalName", (json(&old.physical_name), json(&new.physical_name)), breaks, why);
    }
    match (old.unique == Some(true), new.unique == Some(true)) {
        (false, true) => {
            found.add(
                place,
                "unique",
                (Some(false.into()), Some(true.into())),
                Breaks::Producers,
                "repeated values are stopped",
            );
        }
        (true, false) => {
            let why = "a join on it may find several rows";
            found.add(place, "unique", (Some(true.into()), Some(false.into())), Breaks::Consumers, why);
        }
        (true, true) | (false, false) => {}
    }
    let allowed = |property: &Property| -> Option<Vec<Value>> {
        property.allowed.as_ref().map(|values| values.iter().map(EnumValue::value).cloned().collect())
    };
    let (before, after) = (allowed(old), allowed(new));
    let turn = bound::set(before.as_deref(), after.as_deref());
    found.turned(place, "enum", (json(&before), json(&after)), turn);
    if before == after && old.allowed != new.allowed {
        found.describe(place, "enum", (json(&old.allowed), json(&new.allowed)));
    }
    classification(place, old, new, found);
    options::options(place, old, new, found);
    nested(place, old, new, found);
    guarantee::rules(place, &old.quality, &new.quality, found);
    guarantee::relationships(place, &old.relationships, &new.relationships, found);
    custom_properties(place, &old.custom_properties, &new.custom_properties, found);
    found.descriptive(place, &old.other, &new.other);
}

/// The type in the source. Decimals are kept as they say; whole numbers are kept in 64 bits whatever they say.
fn physical(place: &Place, old: &Property, new: &Property, found: &mut Found) {
    if old.physical_type == new.physical_type {
        return;
    }
    let text = |property: &Property| property.physical_type.clone().unwrap_or_default().trim().to_ascii_lowercase();
    let (before, after) = (text(old), text(new));
    let (breaks, why) = match (decimal(&before), decimal(&after)) {
        (Some(old), Some(new)) if new.1 == old.1 && new.0 >= old.0 => {
            (Breaks::Nobody, "every value fits; the table is rewritten")
        }
        (Some(_), _) | (_, Some(_)) => (Breaks::Both, "values that fitted may not fit"),
        (None, None) => match (width(&before), width(&after)) {
            (Some(old), Some(new)) if new < old => (Breaks::Producers, "a narrower type in the source"),
            (Some(_), Some(_)) => (Breaks::Nobody, "every value fits"),
            _ if length(&after) < length(&before) => (Breaks::Producers, "a narrower type in the source"),
            _ => (Breaks::Nobody, "the type in the source; the type here stays"),
        },
    };
    found.add(place, "physicalType", (json(&old.physical_type), json(&new.physical_type)), breaks, why);
}

/// Precision and scale of `decimal(p, s)`.
fn decimal(text: &str) -> Option<(i64, i64)> {
    let (base, rest) = text.split_once('(')?;
    if !matches!(base.trim(), "decimal" | "numeric" | "number") {
        return None;
    }
    let mut parts = rest.trim_end_matches(')').split(',').map(|part| part.trim().parse().ok());
    let precision = parts.next()??;
    Some((precision, parts.next().unwrap_or(Some(0))?))
}

fn width(text: &str) -> Option<usize> {
    let base = text.split('(').next().unwrap_or_default().trim();
    WIDTHS.iter().position(|names| names.contains(&base))
}

/// The length in `varchar(20)`; endless without one.
fn length(text: &str) -> u64 {
    let inner = text.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map(|(inner, _)| inner);
    inner.and_then(|inner| inner.trim().parse().ok()).unwrap_or(u64::MAX)
}

fn required(place: &Place, old: &Property, new: &Property, found: &mut Found) {
    let must = |property: &Property| property.required == Some(true) || property.primary_key == Some(true);
    match (must(old), must(new)) {
        (false, true) => {
            let why = "rows without a value may be stopped";
            found.add(place, "required", (json(&old.required), json(&new.required)), Breaks::Producers, why);
        }
        (true, false) => {
            let why = "consumers may meet null where there was none";
            found.add(place, "required", (json(&old.required), json(&new.required)), Breaks::Consumers, why);
        }
        (true, true) | (false, false) => {}
    }
}

fn classification(place: &Place, old: &Property, new: &Property, found: &mut Found) {
    if old.classification == new.classification {
        return;
    }
    let values = (json(&old.classification), json(&new.classification));
    let is_personal = |property: &Property| {
        let words = ["personal", "pii", "restricted"];
        property
            .classification
            .as_deref()
            .is_some_and(|given| words.iter().any(|word| given.eq_ignore_ascii_case(word)))
    };
    match (is_personal(old), is_personal(new)) {
        (false, true) => {
            let why = "it is masked from now on, and earlier rows hold it in the clear";
            found.add(place, "classification", values, Breaks::Consumers, why);
        }
        (true, false) => found.add(place, "classification", values, Breaks::Nobody, "it is not masked any more"),
        (true, true) | (false, false) => found.describe(place, "classification", values),
    }
}

/// Fields, items, keys and values.
fn nested(place: &Place, old: &Property, new: &Property, found: &mut Found) {
    let path = place.column.clone().unwrap_or_default();
    if old.properties.is_empty() != new.properties.is_empty() || old.items.is_some() != new.items.is_some() {
        found.add(place, "properties", (None, None), Breaks::Both, "the value is kept in another form");
        return;
    }
    list(place, &format!("{path}."), &old.properties, &new.properties, found);
    if let (Some(before), Some(after)) = (&old.items, &new.items) {
        property(&place.at(format!("{path}[]")), before, after, found);
    }
    if let (Some(before), Some(after)) = (&old.map, &new.map) {
        property(&place.at(format!("{path}[].key")), &before.key, &after.key, found);
        property(&place.at(format!("{path}[].value")), &before.value, &after.value, found);
    }
}
