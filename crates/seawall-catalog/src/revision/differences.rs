//! What differs between two declarations, in words.

use std::collections::BTreeSet;

use serde_json::Value;

/// Differences that are named; the rest is counted.
const NAMED_MAX: usize = 6;

/// For example `features.n_1h.window changed, features.idle_s added`. Lists of named things are compared by name.
pub(super) fn differences(old: &Value, new: &Value) -> String {
    let mut found = Vec::new();
    collect(&mut String::new(), old, new, &mut found);
    if found.is_empty() {
        return "order changed".to_owned();
    }
    let more = found.len().saturating_sub(NAMED_MAX);
    found.truncate(NAMED_MAX);
    match more {
        0 => found.join(", "),
        more => format!("{}, and {more} more", found.join(", ")),
    }
}

fn collect(path: &mut String, old: &Value, new: &Value, found: &mut Vec<String>) {
    let (Some(old_parts), Some(new_parts)) = (parts(old), parts(new)) else {
        if old != new {
            found.push(format!("{path} changed"));
        }
        return;
    };
    let names: BTreeSet<&str> = old_parts.iter().chain(&new_parts).map(|(name, _)| *name).collect();
    for name in names {
        let part = |parts: &[(&str, &'_ Value)]| parts.iter().position(|(other, _)| *other == name);
        let length = path.len();
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(name);
        match (part(&old_parts), part(&new_parts)) {
            (Some(old), Some(new)) => collect(path, old_parts[old].1, new_parts[new].1, found),
            (None, _) => found.push(format!("{path} added")),
            (_, None) => found.push(format!("{path} removed")),
        }
        path.truncate(length);
    }
}

/// The named parts of a value: fields of an object, or elements of a list in which each has a name of its own.
fn parts(value: &Value) -> Option<Vec<(&str, &Value)>> {
    match value {
        Value::Object(fields) => Some(fields.iter().map(|(name, value)| (name.as_str(), value)).collect()),
        Value::Array(elements) if !elements.is_empty() => {
            let mut parts = Vec::with_capacity(elements.len());
            for element in elements {
                parts.push((element.get("name")?.as_str()?, element));
            }
            let distinct: BTreeSet<&str> = parts.iter().map(|(name, _)| *name).collect();
            (distinct.len() == parts.len()).then_some(parts)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
    }
}
