//! Limits of a logical type.

use serde_json::Value;

use super::super::model::{LogicalTypeOptions, Property};
use super::bound::{self, End, Turn};
use super::diff::{Breaks, Found, Place, json};

/// Integer and number formats with what they hold: lowest and highest power of two, and whether signed.
const INTEGERS: [(&str, u32, bool); 10] = [
    ("i8", 7, true),
    ("i16", 15, true),
    ("i32", 31, true),
    ("i64", 63, true),
    ("i128", 127, true),
    ("u8", 8, false),
    ("u16", 16, false),
    ("u32", 32, false),
    ("u64", 64, false),
    ("u128", 128, false),
];

/// What differs between the options of two versions of a property.
pub(super) fn options(place: &Place, old: &Property, new: &Property, found: &mut Found) {
    let none = LogicalTypeOptions::default();
    let before = old.logical_type_options.as_ref().unwrap_or(&none);
    let after = new.logical_type_options.as_ref().unwrap_or(&none);
    if before == after {
        return;
    }
    for (key, end) in [("minimum", End::Low), ("maximum", End::High)] {
        let (old, new) = (bound::limits(before, end), bound::limits(after, end));
        let words = |limits: &[bound::Limit]| {
            let all: Vec<Value> = limits.iter().map(|limit| limit.words(end)).collect();
            match all.len() {
                0 => None,
                1 => all.into_iter().next(),
                _ => Some(Value::Array(all)),
            }
        };
        found.turned(place, key, (words(&old), words(&new)), bound::turn(&old, &new, end));
    }
    let counts = [
        ("minLength", before.min_length, after.min_length, End::Low),
        ("maxLength", before.max_length, after.max_length, End::High),
        ("minItems", before.min_items, after.min_items, End::Low),
        ("maxItems", before.max_items, after.max_items, End::High),
        ("minProperties", before.min_properties, after.min_properties, End::Low),
        ("maxProperties", before.max_properties, after.max_properties, End::High),
    ];
    for (key, old, new, end) in counts {
        found.turned(place, key, (json(&old), json(&new)), bound::count(old, new, end));
    }
    let logical = new.logical_type.as_deref().unwrap_or_default();
    let turns = [
        ("pattern", json(&before.pattern), json(&after.pattern), given(&before.pattern, &after.pattern)),
        ("multipleOf", json(&before.multiple_of), json(&after.multiple_of), multiple(before, after)),
        (
            "uniqueItems",
            json(&before.unique_items),
            json(&after.unique_items),
            flag(before.unique_items, after.unique_items),
        ),
        ("format", json(&before.format), json(&after.format), format(logical, before, after)),
        ("required", json(&before.required), json(&after.required), Turn::Same),
    ];
    for (key, old, new, turn) in turns {
        found.turned(place, key, (old, new), turn);
    }
    required(place, before, after, found);
    meaning(place, before, after, found);
    found.descriptive(place, &before.other, &after.other);
}

/// A rule that is given or not, and about whose strictness nothing is known.
fn given<T: PartialEq>(old: &Option<T>, new: &Option<T>) -> Turn {
    match (old, new) {
        _ if old == new => Turn::Same,
        (_, None) => Turn::Looser,
        (_, Some(_)) => Turn::Tighter,
    }
}

fn flag(old: Option<bool>, new: Option<bool>) -> Turn {
    match (old.unwrap_or(false), new.unwrap_or(false)) {
        (true, false) => Turn::Looser,
        (false, true) => Turn::Tighter,
        (true, true) | (false, false) => Turn::Same,
    }
}

/// A multiple of 4 is a multiple of 2.
fn multiple(old: &LogicalTypeOptions, new: &LogicalTypeOptions) -> Turn {
    let number = |options: &LogicalTypeOptions| options.multiple_of.as_ref().and_then(serde_json::Number::as_f64);
    match (number(old), number(new)) {
        (Some(old), Some(new)) if old != new && new != 0.0 && (old / new).fract() == 0.0 => Turn::Looser,
        _ => given(&old.multiple_of, &new.multiple_of),
    }
}

fn format(logical: &str, old: &LogicalTypeOptions, new: &LogicalTypeOptions) -> Turn {
    let (Some(before), Some(after)) = (&old.format, &new.format) else {
        let is_form = matches!(logical, "date" | "timestamp" | "time");
        // Without a form, texts are read as ISO 8601: no form is not less than one.
        return if is_form && old.format != new.format { Turn::Tighter } else { given(&old.format, &new.format) };
    };
    let integer = |name: &str| INTEGERS.iter().find(|(known, ..)| *known == name);
    match (integer(before), integer(after)) {
        (Some((_, old_bits, old_signed)), Some((_, bits, signed))) if before != after => {
            let holds = bits >= old_bits && (*signed || !old_signed);
            if holds { Turn::Looser } else { Turn::Tighter }
        }
        _ if before == "f32" && after == "f64" => Turn::Looser,
        _ => given(&old.format, &new.format),
    }
}

/// Fields of an object that must have a value.
fn required(place: &Place, old: &LogicalTypeOptions, new: &LogicalTypeOptions, found: &mut Found) {
    let (before, after) = (old.required.clone().unwrap_or_default(), new.required.clone().unwrap_or_default());
    let values = || (json(&old.required), json(&new.required));
    if after.iter().any(|name| !before.contains(name)) {
        found.add(place, "required", values(), Breaks::Producers, "rows without a value may be stopped");
    }
    if before.iter().any(|name| !after.contains(name)) {
        found.add(place, "required", values(), Breaks::Consumers, "consumers may meet null where there was none");
    }
}

/// Options that say what a value means.
fn meaning(place: &Place, old: &LogicalTypeOptions, new: &LogicalTypeOptions, found: &mut Found) {
    let instants = "the same text means another instant";
    let vectors = "vectors of both versions cannot be compared";
    let keys = [
        ("dimensions", json(&old.dimensions), json(&new.dimensions), vectors),
        ("elementType", json(&old.element_type), json(&new.element_type), vectors),
        ("timezone", json(&old.timezone), json(&new.timezone), "other texts are read as instants"),
        ("defaultTimezone", json(&old.default_timezone), json(&new.default_timezone), instants),
    ];
    for (key, old, new, why) in keys {
        if old != new {
            found.add(place, key, (old, new), Breaks::Both, why);
        }
    }
    match flag(old.normalized, new.normalized) {
        Turn::Same => {}
        Turn::Tighter => {
            let why = "vectors of another length are stopped";
            found.add(place, "normalized", (json(&old.normalized), json(&new.normalized)), Breaks::Producers, why);
        }
        Turn::Looser => {
            let why = "vectors may have any length";
            found.add(place, "normalized", (json(&old.normalized), json(&new.normalized)), Breaks::Consumers, why);
        }
    }
}
