//! What is not as expected, in lines for people.

use seawall_base::Instant;
use serde_json::{Map, Value};

use super::case::{Accepted, Expect, Quarantined};
use super::outcome::Outcome;

/// Every difference between what must follow and what did.
pub(super) fn differences(expect: &Expect, outcome: &Outcome) -> Vec<String> {
    let mut lines = Vec::new();
    match &expect.accepted {
        None => {}
        Some(Accepted::Count(count)) if *count == outcome.accepted.len() as u64 => {}
        Some(Accepted::Count(count)) => {
            lines.push(format!("accepted: expected {count} rows, got {}", outcome.accepted.len()));
            lines.extend(
                outcome.stopped.iter().map(|(row, reasons)| format!("  row {row} is stopped: {}", reasons.join(", "))),
            );
        }
        Some(Accepted::Rows(rows)) => accepted(rows, outcome, &mut lines),
    }
    match &expect.quarantined {
        None => {}
        Some(Quarantined::Count(count)) if *count == outcome.stopped.len() as u64 => {}
        Some(Quarantined::Count(count)) => {
            lines.push(format!("quarantined: expected {count} rows, got {}", outcome.stopped.len()));
            lines.extend(
                outcome.stopped.iter().map(|(row, reasons)| format!("  row {row} is stopped: {}", reasons.join(", "))),
            );
        }
        Some(Quarantined::Rows(rows)) => quarantined(rows, outcome, &mut lines),
    }
    if let Some(values) = &expect.values {
        match &outcome.values {
            None => lines.push("values are expected, and `when` asks for no feature view".to_owned()),
            Some(got) => fields("values", values, got, &mut lines),
        }
    }
    lines
}

fn accepted(rows: &[Map<String, Value>], outcome: &Outcome, lines: &mut Vec<String>) {
    if rows.len() != outcome.accepted.len() {
        lines.push(format!("accepted: expected {} rows, got {}", rows.len(), outcome.accepted.len()));
    }
    for (at, (wanted, got)) in rows.iter().zip(&outcome.accepted).enumerate() {
        fields(&format!("accepted row {at}"), wanted, got, lines);
    }
    for (at, got) in outcome.accepted.iter().enumerate().skip(rows.len()) {
        lines.push(format!("accepted row {at}: + {}", Value::Object(got.clone())));
    }
    for (at, wanted) in rows.iter().enumerate().skip(outcome.accepted.len()) {
        lines.push(format!("accepted row {at}: - {}", Value::Object(wanted.clone())));
    }
}

fn fields(what: &str, wanted: &Map<String, Value>, got: &Map<String, Value>, lines: &mut Vec<String>) {
    for (key, value) in wanted {
        match got.get(key) {
            None => lines.push(format!("{what}: there is no {key}; there is {}", names(got))),
            Some(other) if same(value, other) => {}
            Some(other) => lines.push(format!("{what}: {key} is {other}, expected {value}")),
        }
    }
}

fn names(row: &Map<String, Value>) -> String {
    row.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn quarantined(rows: &[(u64, Vec<String>)], outcome: &Outcome, lines: &mut Vec<String>) {
    for (row, wanted) in rows {
        let Some((_, got)) = outcome.stopped.iter().find(|(stopped, _)| stopped == row) else {
            lines.push(format!("row {row}: expected to be stopped by {}, but it is accepted", wanted.join(", ")));
            continue;
        };
        let is_met = |wanted: &String| got.iter().any(|reason| is_reason(wanted, reason));
        for missing in wanted.iter().filter(|wanted| !is_met(wanted)) {
            lines.push(format!("row {row}: - {missing} (it is stopped by {})", got.join(", ")));
        }
        if !wanted.is_empty() {
            for more in got.iter().filter(|reason| !wanted.iter().any(|wanted| is_reason(wanted, reason))) {
                lines.push(format!("row {row}: + {more}"));
            }
        }
    }
    for (row, reasons) in outcome.stopped.iter().filter(|(row, _)| !rows.iter().any(|(wanted, _)| wanted == row)) {
        lines.push(format!("row {row}: expected to be accepted, but it is stopped by {}", reasons.join(", ")));
    }
}

/// `maximum amount` names a rule of a column, `maximum` that of any.
fn is_reason(wanted: &str, reason: &str) -> bool {
    wanted == reason || reason.split(' ').next() == Some(wanted)
}

/// Numbers are equal when their values are, instants when they are the same moment.
fn same(wanted: &Value, got: &Value) -> bool {
    match (wanted, got) {
        (Value::Number(wanted), Value::Number(got)) => wanted.as_f64() == got.as_f64(),
        (Value::String(wanted), Value::String(got)) => {
            let moment = |text: &str| text.parse::<Instant>().ok();
            wanted == got || moment(wanted).is_some() && moment(wanted) == moment(got)
        }
        (Value::Array(wanted), Value::Array(got)) => {
            wanted.len() == got.len() && wanted.iter().zip(got).all(|(wanted, got)| same(wanted, got))
        }
        (Value::Object(wanted), Value::Object(got)) => {
            wanted.iter().all(|(key, value)| got.get(key).is_some_and(|other| same(value, other)))
        }
        (wanted, got) => wanted == got,
    }
}
