//! Service levels against what was observed.

use seawall_base::Span;

use super::super::{Observed, ServiceFault, compile};
use super::*;

fn at(text: &str) -> Instant {
    text.parse().unwrap()
}

/// Compiles one service level and says how it stands: `kept`, `broken`, or that nothing can be said.
#[track_caller]
fn check(level: Value, observed: Observed, expected: &str) {
    let mut contract = contract(json!([{"name": "at", "logicalType": "timestamp"}]));
    contract.sla_properties = serde_json::from_value(json!([level])).unwrap();
    let gate = compile(&contract, None).unwrap();
    let stands = match gate.service_levels() {
        [level] => match level.judge(&observed, at("2024-05-10T12:00:00Z")) {
            Some(measurement) if measurement.holds => "kept".to_owned(),
            Some(measurement) => format!("broken: {}", measurement.message),
            None => "open".to_owned(),
        },
        _ => format!("not executed: {}", gate.not_executed()[0].reason),
    };
    assert_eq!(stands, expected);
}

fn newest(text: &str) -> Observed {
    Observed { newest: Some(at(text)), oldest: Some(at(text)), last_arrival: Some(at(text)), ..Observed::default() }
}

#[test]
fn ages() {
    let latency = json!({"property": "Latency", "value": 4, "unit": "d", "element": "t.at"});
    check(latency.clone(), newest("2024-05-06T12:00:00Z"), "kept");
    check(
        latency.clone(),
        newest("2024-05-06T11:59:59Z"),
        "broken: Latency: 345601s; it must have a newest value within 4d of the present",
    );
    check(latency, Observed::default(), "open");
    check(
        json!({"property": "ly", "value": "30", "unit": "m", "element": "at"}),
        newest("2024-05-10T11:30:00Z"),
        "kept",
    );
    let retention = json!({"property": "retention", "value": 1, "unit": "m", "element": "t.at"});
    check(retention.clone(), newest("2024-04-11T12:00:00Z"), "kept");
    check(retention, newest("2024-04-01T12:00:00Z"), "broken: retention: 39d; it must hold nothing older than 30d");
    let frequency = json!({"property": "fy", "value": 1, "unit": "h"});
    check(frequency.clone(), newest("2024-05-10T11:00:00Z"), "kept");
    check(frequency, newest("2024-05-10T10:00:00Z"), "broken: fy: 2h; it must have new rows every 1h");
}

#[test]
fn counts() {
    let error_rate = json!({"property": "errorRate", "value": 1, "unit": "percent"});
    let counts = |received, refused| Observed {
        received,
        refused,
        since: Some(at("2024-01-01T00:00:00Z")),
        ..Observed::default()
    };
    check(error_rate.clone(), counts(200, 2), "kept");
    check(error_rate.clone(), counts(200, 3), "broken: errorRate: 1.500 %; it must be at most 1 %");
    check(error_rate, counts(0, 0), "open");
    let throughput = json!({"property": "throughput", "value": 100, "unit": "rows/h"});
    check(throughput.clone(), counts(100, 0), "kept");
    check(throughput.clone(), counts(99, 0), "broken: throughput: 99 rows; it must be at least 100 rows in 1h");
    let young = Observed { since: Some(at("2024-05-10T11:30:00Z")), ..Observed::default() };
    check(throughput, young, "open");
    let availability = json!({"property": "availability", "value": "99.5%"});
    check(availability.clone(), Observed { looks: 200, looks_up: 199, ..Observed::default() }, "kept");
    check(
        availability,
        Observed { looks: 200, looks_up: 198, ..Observed::default() },
        "broken: availability: 99.000 %; it must be at least 99.5 %",
    );
}

#[test]
fn dates() {
    let ga = |value: &str| json!({"property": "ga", "value": value});
    check(ga("2024-06-01"), Observed::default(), "kept");
    check(ga("2024-05-01"), newest("2024-05-10T11:00:00Z"), "kept");
    check(
        ga("2024-05-01T00:00:00-08:00"),
        Observed::default(),
        "broken: ga: no rows have come in; it must have rows from 2024-05-01T08:00:00Z",
    );
    check(json!({"property": "endOfSupport", "value": "2032-05-12T09:30:10-08:00"}), Observed::default(), "kept");
    check(
        json!({"property": "el", "value": "2024-05-10"}),
        Observed::default(),
        "broken: el: 2024-05-10T12:00:00Z; it ends at 2024-05-10T00:00:00Z",
    );
    let daily = json!({"property": "timeOfAvailability", "value": "01:00-08:00"});
    let arrived = |text: &str| Observed { since: Some(at("2024-01-01T00:00:00Z")), ..newest(text) };
    check(daily.clone(), arrived("2024-05-10T08:59:00Z"), "kept");
    check(daily.clone(), arrived("2024-05-09T09:00:01Z"), "kept");
    check(
        daily,
        arrived("2024-05-09T08:59:00Z"),
        "broken: timeOfAvailability: rows last came in 2024-05-09T08:59:00Z; it must have new rows by 01:00-08:00 each day",
    );
}

#[test]
fn faults() {
    let observed = || Observed {
        faults: vec![
            ServiceFault {
                began: at("2024-05-10T08:00:00Z"),
                noticed: at("2024-05-10T09:00:00Z"),
                over: Some(at("2024-05-10T09:30:00Z")),
            },
            ServiceFault { began: at("2024-05-10T10:00:00Z"), noticed: at("2024-05-10T10:10:00Z"), over: None },
        ],
        ..Observed::default()
    };
    check(json!({"property": "td", "value": 60, "unit": "min"}), observed(), "kept");
    check(
        json!({"property": "timeToDetect", "value": 59, "unit": "min"}),
        observed(),
        "broken: timeToDetect: 1h; it must be noticed within 59m",
    );
    check(json!({"property": "timeToNotify", "value": 2, "unit": "h"}), observed(), "kept");
    check(
        json!({"property": "tr", "value": 1, "unit": "h"}),
        observed(),
        "broken: tr: 110m; it must be repaired within 1h",
    );
    check(json!({"property": "tr", "value": 1, "unit": "h"}), Observed::default(), "open");
    assert_eq!(Span::HOUR.to_string(), "1h");
}

#[test]
fn what_cannot_be_watched_says_why() {
    check(
        json!({"property": "beauty", "value": 1}),
        Observed::default(),
        "not executed: Seawall does not know the service level \"beauty\"",
    );
    check(json!({"property": "latency", "value": 1}), Observed::default(), "not executed: its element names no column");
    check(
        json!({"property": "latency", "value": 1, "element": "t.x"}),
        Observed::default(),
        "not executed: its element names x, which is no column",
    );
    check(
        json!({"property": "frequency", "value": "often"}),
        Observed::default(),
        "not executed: its value \"often\" is no number",
    );
    check(
        json!({"property": "frequency", "value": 1, "unit": "blink"}),
        Observed::default(),
        "not executed: Seawall does not know the unit \"blink\"",
    );
    check(
        json!({"property": "endOfLife", "value": "soon"}),
        Observed::default(),
        "not executed: its value \"soon\" is no date",
    );
    check(json!({"property": "throughput", "value": null}), Observed::default(), "not executed: it has no value");
}
