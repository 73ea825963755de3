//! What differs between two declarations: which keys, from what to what.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Differences that are named in a sentence; the rest is counted.
const NAMED_MAX: usize = 6;
/// Characters of a value that are shown.
const SHOWN_MAX: usize = 60;
/// Keys that give the elements of a list their name, the first that each of them has.
const NAME_KEYS: [&str; 4] = ["name", "view", "property", "id"];

/// One key that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The keys that lead to it, joined by dots; elements of lists by their names: `features.n_1h.window`. Empty when only
    /// the order of a list differs.
    pub path: String,
    /// What it was, shortened; absent when there was nothing, or more than a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What it becomes, shortened; absent when there is nothing, or more than a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// What happens to the key.
    pub what: What,
}

/// What happens to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// It is new.
    Added,
    /// It has another value.
    Changed,
    /// It is gone.
    Removed,
}

impl Difference {
    fn of(path: &str, old: Option<&Value>, new: Option<&Value>) -> Difference {
        let what = match (old, new) {
            (None, _) => What::Added,
            (_, None) => What::Removed,
            _ => What::Changed,
        };
        Difference { path: path.to_owned(), from: old.and_then(shown), to: new.and_then(shown), what }
    }

    /// For example `window: 1h -> 2h`, `ttl: nothing -> 30d`, `features.idle_s added`.
    fn sentence(&self) -> String {
        let path = &self.path;
        match (self.what, &self.from, &self.to) {
            (What::Added, _, Some(to)) => format!("{path}: nothing -> {to}"),
            (What::Added, _, None) => format!("{path} added"),
            (What::Removed, Some(from), _) => format!("{path}: {from} -> nothing"),
            (What::Removed, None, _) => format!("{path} removed"),
            // Long texts often begin alike.
            (What::Changed, Some(from), Some(to)) if from != to => format!("{path}: {from} -> {to}"),
            (What::Changed, ..) => format!("{path} changed"),
        }
    }
}

/// Every key that differs, ordered by path. Lists of named things are compared by name.
pub(super) fn differences(old: &Value, new: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    collect(&mut String::new(), old, new, &mut found);
    found
}

/// The differences in one sentence.
pub(super) fn sentence(differences: &[Difference]) -> String {
    if differences.is_empty() {
        return "order changed".to_owned();
    }
    let named: Vec<String> = differences.iter().take(NAMED_MAX).map(Difference::sentence).collect();
    match differences.len().saturating_sub(NAMED_MAX) {
        0 => named.join(", "),
        more => format!("{}, and {more} more", named.join(", ")),
    }
}

fn collect(path: &mut String, old: &Value, new: &Value, found: &mut Vec<Difference>) {
    let (Some(old_parts), Some(new_parts)) = (parts(old), parts(new)) else {
        if old != new {
            found.push(Difference::of(path, present(old), present(new)));
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
            (old, new) => {
                let old = old.and_then(|at| present(old_parts[at].1));
                let new = new.and_then(|at| present(new_parts[at].1));
                // A key without a value and no key at all mean the same.
                if old.is_some() || new.is_some() {
                    found.push(Difference::of(path, old, new));
                }
            }
        }
        path.truncate(length);
    }
}

fn present(value: &Value) -> Option<&Value> {
    Some(value).filter(|value| !value.is_null())
}

/// The named parts of a value: fields of an object, or elements of a list in which each has a name of its own.
fn parts(value: &Value) -> Option<Vec<(&str, &Value)>> {
    match value {
        Value::Object(fields) => Some(fields.iter().map(|(name, value)| (name.as_str(), value)).collect()),
        Value::Array(elements) if !elements.is_empty() => {
            let named = NAME_KEYS.iter().find_map(|key| named_by(elements, key)).or_else(|| pairs(elements))?;
            let distinct: BTreeSet<&str> = named.iter().map(|(name, _)| *name).collect();
            (distinct.len() == named.len()).then_some(named)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
    }
}

/// Elements by what stands under `key`; a bound view by its name, so that a new version of it is a change.
fn named_by<'v>(elements: &'v [Value], key: &str) -> Option<Vec<(&'v str, &'v Value)>> {
    let name = |element: &'v Value| element.get(key)?.as_str()?.split('@').next();
    elements.iter().map(|element| Some((name(element)?, element))).collect()
}

/// Elements that are pairs of a name and a value.
fn pairs(elements: &[Value]) -> Option<Vec<(&str, &Value)>> {
    let pair = |element: &'_ Value| element.as_array().is_some_and(|pair| pair.len() == 2);
    if !elements.iter().all(pair) {
        return None;
    }
    elements.iter().map(|element| Some((element.get(0)?.as_str()?, element.get(1)?))).collect()
}

/// A value that fits a line; none for what is more than a value.
fn shown(value: &Value) -> Option<String> {
    let text = match value {
        Value::Null | Value::Object(_) => return None,
        Value::Array(elements) if elements.iter().any(|one| one.is_object() || one.is_array()) => return None,
        Value::String(text) if !text.is_empty() => text.split_whitespace().collect::<Vec<_>>().join(" "),
        Value::String(_) | Value::Bool(_) | Value::Number(_) | Value::Array(_) => value.to_string(),
    };
    if text.chars().count() <= SHOWN_MAX {
        return Some(text);
    }
    Some(text.chars().take(SHOWN_MAX - 3).chain("...".chars()).collect())
}
