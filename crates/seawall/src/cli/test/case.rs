//! A case as it is declared: rows that are given, what is done with them, what must follow.

use seawall_base::Instant;
use seawall_catalog::project::OtherDeclaration;
use serde_json::{Map, Value};

/// One case.
#[derive(Debug)]
pub(super) struct Case {
    /// Rows by dataset.
    pub given: Vec<(String, Vec<Map<String, Value>>)>,
    pub when: When,
    pub expect: Expect,
}

/// What is done with the rows.
#[derive(Debug)]
pub(super) enum When {
    /// They stand before the gate of their dataset.
    Gate,
    /// They come in through a source: its map, its corrections, then the gate.
    Source(String),
    /// They are in their tables, and a transform runs.
    Transform(String),
    /// They are in their table, and somebody asks for features.
    Features {
        view: String,
        entity: Map<String, Value>,
        at: Instant,
        known_at: Option<Instant>,
        available_at: Option<String>,
    },
}

/// What must follow; what is not said is not looked at.
#[derive(Debug, Default)]
pub(super) struct Expect {
    pub accepted: Option<Accepted>,
    pub quarantined: Option<Quarantined>,
    pub values: Option<Map<String, Value>>,
}

#[derive(Debug)]
pub(super) enum Accepted {
    Count(u64),
    /// The columns that matter, row by row.
    Rows(Vec<Map<String, Value>>),
}

#[derive(Debug)]
pub(super) enum Quarantined {
    Count(u64),
    /// Number of the row among those given, from 0, and its reasons: `maximum amount`, or just `maximum`.
    Rows(Vec<(u64, Vec<String>)>),
}

impl Case {
    /// Reads a declaration; the error says which key cannot be read and what it should be.
    pub(super) fn read(declared: &OtherDeclaration) -> Result<Case, String> {
        let body = &declared.body;
        let mut given = Vec::new();
        for (dataset, rows) in body.get("given").and_then(Value::as_object).into_iter().flatten() {
            let rows = rows.as_array().into_iter().flatten();
            let rows =
                rows.map(|row| row.as_object().cloned().ok_or(format!("given.{dataset} has a row that is no mapping")));
            given.push((dataset.clone(), rows.collect::<Result<Vec<_>, _>>()?));
        }
        Ok(Case { given, when: when(body.get("when"))?, expect: expect(body.get("expect"))? })
    }
}

/// Refuses keys that nobody reads.
fn only(what: &str, fields: &Map<String, Value>, known: &[&str]) -> Result<(), String> {
    match fields.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(format!("SW1720: `{what}` has no key `{key}`; it has {}", known.join(", "))),
        None => Ok(()),
    }
}

fn when(value: Option<&Value>) -> Result<When, String> {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(When::Gate) };
    if value == "gate" {
        return Ok(When::Gate);
    }
    let wanted = "SW1720: `when` is gate, {source: NAME}, {transform: NAME}, or {feature_view: NAME, entity: {...}, at: INSTANT}";
    let fields = value.as_object().ok_or(wanted)?;
    only("when", fields, &["source", "transform", "feature_view", "entity", "at", "known_at", "available_at"])?;
    let text = |key: &str| fields.get(key).and_then(Value::as_str).map(str::to_owned);
    let instant = |key: &str| match text(key) {
        None => Ok(None),
        Some(text) => text
            .parse::<Instant>()
            .map(Some)
            .map_err(|_| format!("SW1720: `when.{key}` is {text:?}, which is no instant")),
    };
    match (text("source"), text("transform"), text("feature_view")) {
        (Some(source), None, None) => Ok(When::Source(source)),
        (None, Some(transform), None) => Ok(When::Transform(transform)),
        (None, None, Some(view)) => {
            let entity = fields.get("entity").and_then(Value::as_object).cloned();
            let entity = entity.ok_or("SW1720: `when` names a feature view and no `entity: {COLUMN: VALUE}`")?;
            let at = instant("at")?.ok_or("SW1720: `when` names a feature view and no `at`")?;
            let (known_at, available_at) = (instant("known_at")?, text("available_at"));
            Ok(When::Features { view, entity, at, known_at, available_at })
        }
        _ => Err(wanted.to_owned()),
    }
}

fn expect(value: Option<&Value>) -> Result<Expect, String> {
    let fields = value.and_then(Value::as_object).ok_or("SW1720: `expect` is a mapping")?;
    only("expect", fields, &["accepted", "quarantined", "values"])?;
    if fields.is_empty() {
        return Err("SW1720: `expect` says nothing".to_owned());
    }
    let accepted = match fields.get("accepted") {
        None => None,
        Some(Value::Number(count)) => count.as_u64().map(Accepted::Count),
        Some(Value::Array(rows)) => {
            let rows: Option<Vec<_>> = rows.iter().map(|row| row.as_object().cloned()).collect();
            Some(Accepted::Rows(rows.ok_or("SW1720: `expect.accepted` is a number, or a list of rows")?))
        }
        Some(_) => return Err("SW1720: `expect.accepted` is a number, or a list of rows".to_owned()),
    };
    let quarantined = match fields.get("quarantined") {
        None => None,
        Some(Value::Number(count)) => count.as_u64().map(Quarantined::Count),
        Some(Value::Array(rows)) => Some(Quarantined::Rows(rows.iter().map(stopped).collect::<Result<_, _>>()?)),
        Some(_) => return Err("SW1720: `expect.quarantined` is a number, or a list of {row, reasons}".to_owned()),
    };
    let values = match fields.get("values") {
        None => None,
        Some(Value::Object(values)) => Some(values.clone()),
        Some(_) => return Err("SW1720: `expect.values` is a mapping of features".to_owned()),
    };
    Ok(Expect { accepted, quarantined, values })
}

fn stopped(value: &Value) -> Result<(u64, Vec<String>), String> {
    let wanted = "SW1720: a quarantined row is {row: NUMBER, reasons: [RULE COLUMN, ...]}";
    let fields = value.as_object().ok_or(wanted)?;
    only("quarantined", fields, &["row", "reasons"])?;
    let row = fields.get("row").and_then(Value::as_u64).ok_or(wanted)?;
    let reasons = fields.get("reasons").and_then(Value::as_array).into_iter().flatten();
    let reasons: Option<Vec<String>> = reasons.map(|reason| reason.as_str().map(str::to_owned)).collect();
    Ok((row, reasons.ok_or(wanted)?))
}
