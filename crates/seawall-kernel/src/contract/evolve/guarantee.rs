//! What is promised beyond single values: quality rules, relationships, service levels.

use serde_json::Value;

use super::super::model::{Contract, Quality, Relationship, SlaProperty, custom};
use super::super::verdict::Mode;
use super::bound::{self, End, Turn};
use super::diff::{Breaks, Found, Place, json, mode_change};

/// Service levels that promise less when they are greater, and those that promise less when they are smaller.
const LESS_IS_BETTER: [&str; 10] = [
    "latency",
    "ly",
    "freshness",
    "frequency",
    "fy",
    "errorrate",
    "er",
    "timetodetect",
    "timetonotify",
    "timetorepair",
];
const MORE_IS_BETTER: [&str; 9] =
    ["availability", "av", "throughput", "th", "retention", "re", "endofsupport", "endoflife", "generalavailability"];

/// Two lists of quality rules.
pub(super) fn rules(place: &Place, old: &[Quality], new: &[Quality], found: &mut Found) {
    let (before, after) = (named(old), named(new));
    for (name, rule) in &before {
        let key = format!("quality.{name}");
        match after.iter().find(|(other, _)| other == name) {
            Some((_, next)) => changed_rule(place, &key, rule, next, found),
            None if is_text(rule) => found.describe(place, &key, (json(rule), None)),
            None => found.add(place, &key, (json(rule), None), Breaks::Consumers, "nobody watches over it any more"),
        }
    }
    for (name, rule) in after.iter().filter(|(name, _)| !before.iter().any(|(other, _)| other == name)) {
        let key = format!("quality.{name}");
        if is_text(rule) {
            found.describe(place, &key, (None, json(rule)));
        } else if only_warns(rule) {
            found.add(place, &key, (None, json(rule)), Breaks::Nobody, "a breach of it only warns");
        } else {
            found.add(place, &key, (None, json(rule)), Breaks::Producers, "rows that were accepted may be stopped");
        }
    }
}

/// Rules by id, name, or metric; the second of a name gets a number.
fn named(rules: &[Quality]) -> Vec<(String, &Quality)> {
    let mut all: Vec<(String, &Quality)> = Vec::with_capacity(rules.len());
    for rule in rules {
        let given = [&rule.id, &rule.name, &rule.metric, &rule.rule, &rule.kind].into_iter().flatten().next();
        let base = given.map_or("rule", String::as_str);
        let same = all.iter().filter(|(name, _)| name == base || name.starts_with(&format!("{base}#"))).count();
        all.push((if same == 0 { base.to_owned() } else { format!("{base}#{}", same + 1) }, rule));
    }
    all
}

fn is_text(rule: &Quality) -> bool {
    rule.kind.as_deref() == Some("text")
}

fn mode(rule: &Quality) -> Option<Mode> {
    let own = custom(&rule.custom_properties, "seawall.mode").and_then(Value::as_str).and_then(Mode::parse);
    own.or_else(|| matches!(rule.severity.as_deref(), Some("info" | "warning")).then_some(Mode::Warn))
}

fn only_warns(rule: &Quality) -> bool {
    mode(rule) == Some(Mode::Warn)
}

fn changed_rule(place: &Place, key: &str, old: &Quality, new: &Quality, found: &mut Found) {
    if old == new {
        return;
    }
    let values = (json(old), json(new));
    if is_text(old) && is_text(new) {
        return found.describe(place, key, values);
    }
    let (before, after) = (stripped(old), stripped(new));
    if mode(old) != mode(new) {
        let (breaks, why) = mode_change(mode(old), mode(new));
        found.add(place, &format!("{key}.severity"), (json(&old.severity), json(&new.severity)), breaks, why);
    }
    if before.limits != after.limits && before.subject == after.subject {
        match threshold(&before.limits, &after.limits) {
            turn @ (Some(Turn::Looser) | Some(Turn::Same) | None) if turn.is_some() => {
                found.add(place, key, values, Breaks::Nobody, "it tolerates more than it did");
            }
            _ if only_warns(new) => found.add(place, key, values, Breaks::Nobody, "a breach of it only warns"),
            _ => found.add(place, key, values, Breaks::Producers, "rows that were accepted may be stopped"),
        }
    } else if before.subject != after.subject {
        found.add(place, key, values, Breaks::Both, "it asks something else");
    } else if before.words != after.words {
        found.describe(place, key, values);
    }
}

/// A rule, taken apart: what it asks, how much it tolerates, what is said about it.
struct Parts {
    subject: Value,
    limits: Value,
    words: Value,
}

fn stripped(rule: &Quality) -> Parts {
    let subject = Quality {
        kind: rule.kind.clone(),
        metric: rule.metric.clone().or_else(|| rule.rule.clone()),
        arguments: rule.arguments.clone(),
        valid_values: rule.valid_values.clone(),
        query: rule.query.clone(),
        engine: rule.engine.clone(),
        implementation: rule.implementation.clone(),
        unit: rule.unit.clone().or_else(|| Some("rows".to_owned())),
        ..Quality::default()
    };
    let limits = Quality {
        must_be: rule.must_be.clone(),
        must_not_be: rule.must_not_be.clone(),
        must_be_greater_than: rule.must_be_greater_than.clone(),
        must_be_greater_or_equal_to: rule.must_be_greater_or_equal_to.clone(),
        must_be_less_than: rule.must_be_less_than.clone(),
        must_be_less_or_equal_to: rule.must_be_less_or_equal_to.clone(),
        must_be_between: rule.must_be_between.clone(),
        must_not_be_between: rule.must_not_be_between.clone(),
        ..Quality::default()
    };
    let value = |part: &Quality| json(part).unwrap_or(Value::Null);
    Parts { subject: value(&subject), limits: value(&limits), words: json(&rule.other).unwrap_or(Value::Null) }
}

/// What becomes of a condition, when both are of one kind: a number that may not be passed.
fn threshold(old: &Value, new: &Value) -> Option<Turn> {
    let only = |limits: &Value| {
        let fields = limits.as_object()?;
        let (key, value) = fields.iter().next().filter(|_| fields.len() == 1)?;
        Some((key.clone(), value.as_number()?.clone()))
    };
    let ((old_key, old_limit), (new_key, new_limit)) = (only(old)?, only(new)?);
    // `mustBe: 0` of a count is the tightest upper limit there is.
    let is_none = old_key == "mustBe" && old_limit.as_f64() == Some(0.0);
    let end = match new_key.as_str() {
        "mustBeLessThan" | "mustBeLessOrEqualTo" => End::High,
        "mustBeGreaterThan" | "mustBeGreaterOrEqualTo" => End::Low,
        _ => return None,
    };
    if is_none && end == End::High {
        let admits_none = new_key == "mustBeLessOrEqualTo" || new_limit.as_f64() > Some(0.0);
        return admits_none.then_some(Turn::Looser);
    }
    let order = bound::numbers(&new_limit, &old_limit)?;
    let is_looser = if end == End::High { order.is_gt() } else { order.is_lt() };
    (old_key == new_key).then_some(if is_looser { Turn::Looser } else { Turn::Tighter })
}

/// Foreign keys. A broken one opens an incident and stops no row.
pub(super) fn relationships(place: &Place, old: &[Relationship], new: &[Relationship], found: &mut Found) {
    for before in old.iter().filter(|before| !new.contains(before)) {
        let why = "a join may find no row";
        found.add(place, "relationships", (json(before), None), Breaks::Consumers, why);
    }
    for after in new.iter().filter(|after| !old.contains(after)) {
        found.add(place, "relationships", (None, json(after)), Breaks::Nobody, "it is watched, and stops no row");
    }
}

/// Service levels of both contracts.
pub(super) fn service_levels(old: &Contract, new: &Contract, found: &mut Found) {
    let place = Place::default();
    if old.sla_default_element != new.sla_default_element {
        let values = (json(&old.sla_default_element), json(&new.sla_default_element));
        found.add(&place, "slaDefaultElement", values, Breaks::Consumers, "promises are about another column");
    }
    let is_same =
        |a: &SlaProperty, b: &SlaProperty| a.property.eq_ignore_ascii_case(&b.property) && a.element == b.element;
    for before in &old.sla_properties {
        let key = format!("slaProperties.{}", before.property);
        match new.sla_properties.iter().find(|after| is_same(before, after)) {
            Some(after) if after == before => {}
            Some(after) => changed_level(&place, &key, before, after, found),
            None => found.add(&place, &key, (json(before), None), Breaks::Consumers, "it is not promised any more"),
        }
    }
    for after in new.sla_properties.iter().filter(|after| !old.sla_properties.iter().any(|one| is_same(one, after))) {
        let key = format!("slaProperties.{}", after.property);
        found.add(&place, &key, (None, json(after)), Breaks::Nobody, "a new promise; nothing is stopped by it");
    }
}

fn changed_level(place: &Place, key: &str, old: &SlaProperty, new: &SlaProperty, found: &mut Found) {
    let values = (json(old), json(new));
    if old.value == new.value && old.unit == new.unit && old.value_ext == new.value_ext {
        return found.describe(place, key, values);
    }
    let name = old.property.to_ascii_lowercase();
    let number = |level: &SlaProperty| match &level.value {
        Some(Value::Number(number)) => Some(number.clone()),
        _ => None,
    };
    let order = match (number(old), number(new)) {
        (Some(old_value), Some(new_value)) if old.unit == new.unit => bound::numbers(&new_value, &old_value),
        _ => match (&old.value, &new.value) {
            // Dates in ISO 8601 are ordered like their text.
            (Some(Value::String(old)), Some(Value::String(new))) => Some(new.cmp(old)),
            _ => None,
        },
    };
    let is_weaker = match order {
        Some(order) if LESS_IS_BETTER.contains(&name.as_str()) => order.is_gt(),
        Some(order) if MORE_IS_BETTER.contains(&name.as_str()) => order.is_lt(),
        Some(_) | None => true,
    };
    match is_weaker {
        true => found.add(place, key, values, Breaks::Consumers, "less is promised than was"),
        false => found.add(place, key, values, Breaks::Nobody, "more is promised than was"),
    }
}
