//! Service levels. Latency is also executed by the gate, on the newest event of a batch; all of them are watched by the
//! clock.

use seawall_base::Span;

use super::super::gate::Latency;
use super::super::model::{Contract, SchemaObject, SlaProperty};
use super::super::rule::{Column, Kind, Level};
use super::super::service::{self, Promise, Service, ServiceLevel};
use super::super::verdict::Mode;
use super::Compiler;

impl Compiler {
    pub(super) fn service_levels(&mut self, contract: &Contract, object: &SchemaObject, columns: &[Column]) {
        for (i, sla) in contract.sla_properties.iter().enumerate() {
            let json = format!("slaProperties/{i}");
            let element = sla.element.as_deref().or(contract.sla_default_element.as_deref()).unwrap_or_default();
            let elements: Vec<&str> = element.split(',').map(str::trim).filter(|element| !element.is_empty()).collect();
            let is_only = contract.schema.len() == 1;
            let names = |element: &&str, name: &str| element.split('.').next() == Some(name);
            let is_about = elements.iter().any(|e| names(e, &object.name) || (is_only && !e.contains('.')));
            if !elements.is_empty() && !is_about {
                let knows = |name: &str| contract.schema.iter().any(|other| other.name == name);
                if !elements.iter().any(|element| knows(element.split('.').next().unwrap_or_default())) {
                    let reason = format!("its element {element:?} names no object of the contract");
                    self.skip(&json, &sla.property, None, reason);
                }
                continue;
            }
            let column = elements.iter().find_map(|element| column_of(element, object, is_only));
            match level(sla, column, columns, &json) {
                Ok(level) => self.watch(level, columns),
                Err(reason) => self.skip(&json, &sla.property, None, reason),
            }
        }
    }

    fn watch(&mut self, level: ServiceLevel, columns: &[Column]) {
        let at = level.column.as_ref().and_then(|name| columns.iter().position(|column| &column.name == name));
        if let (Service::Latency, Promise::Within(age_max), Some(column)) = (level.service, &level.promise, at) {
            let description = format!("the newest value must be within {age_max} of the present");
            let rule = self.rule(&level.rule, level.column.as_deref(), Mode::Warn, Level::Batch, description);
            self.latencies.push(Latency { rule, column, age_max: *age_max });
        }
        self.service_levels.push(level);
    }
}

/// The column that `object.column` names; with one object its name may be left out.
fn column_of<'e>(element: &'e str, object: &SchemaObject, is_only: bool) -> Option<&'e str> {
    match element.split_once('.') {
        Some((name, column)) if name == object.name => Some(column),
        None if is_only && element != object.name => Some(element),
        _ => None,
    }
}

fn level(sla: &SlaProperty, column: Option<&str>, columns: &[Column], json: &str) -> Result<ServiceLevel, String> {
    let service = Service::named(&sla.property)
        .ok_or_else(|| format!("Seawall does not know the service level {:?}", sla.property))?;
    let found = column.map(|name| columns.iter().find(|column| column.name == name).ok_or(name));
    let column = match found {
        Some(Err(name)) => return Err(format!("its element names {name}, which is no column")),
        Some(Ok(column)) if !matches!(column.kind, Kind::Timestamp(_) | Kind::Date(_)) => {
            return Err(format!("{} is no timestamp column", column.name));
        }
        Some(Ok(column)) => Some(column.name.clone()),
        None if matches!(service, Service::Latency | Service::Retention) => {
            return Err("its element names no column".to_owned());
        }
        None => None,
    };
    let (promise, description) = promise(service, sla)?;
    Ok(ServiceLevel {
        rule: sla.property.clone(),
        service,
        column,
        path: json.to_owned(),
        driver: sla.driver.clone(),
        description,
        promise,
    })
}

fn promise(service: Service, sla: &SlaProperty) -> Result<(Promise, String), String> {
    let text = sla.value.as_ref().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    let text = text.filter(|text| text != "null").ok_or("it has no value")?;
    let number = || {
        let digits = text.trim().trim_end_matches('%').trim();
        digits.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0)
    };
    let no_number = || format!("its value {text:?} is no number");
    match service {
        Service::Latency
        | Service::Frequency
        | Service::Retention
        | Service::TimeToDetect
        | Service::TimeToNotify
        | Service::TimeToRepair => {
            let unit = sla.unit.as_deref().unwrap_or("d");
            let span = service::span(number().ok_or_else(no_number)?, unit, service == Service::Retention);
            let span = span.ok_or_else(|| format!("Seawall does not know the unit {unit:?}"))?;
            Ok((Promise::Within(span), within(service, span)))
        }
        Service::ErrorRate | Service::Availability => {
            if let Some(unit) = sla.unit.as_deref().filter(|unit| !["%", "percent"].contains(unit)) {
                return Err(format!("Seawall does not know the unit {unit:?}; it takes percent"));
            }
            let share = number().filter(|share| *share <= 100.0).ok_or_else(no_number)?;
            let words = if service == Service::ErrorRate { "at most" } else { "at least" };
            Ok((Promise::Percent(share), format!("must be {words} {share} %")))
        }
        Service::Throughput => {
            let unit = sla.unit.as_deref().unwrap_or("d");
            let per = unit.rsplit(['/', ' ']).next().unwrap_or_default();
            let period =
                service::span(1.0, per, false).ok_or_else(|| format!("Seawall does not know the unit {unit:?}"))?;
            let rows = number().ok_or_else(no_number)?;
            Ok((Promise::Rows(rows, period), format!("must be at least {rows} rows in {period}")))
        }
        Service::GeneralAvailability | Service::EndOfSupport | Service::EndOfLife => {
            let at = service::instant(&text).ok_or_else(|| format!("its value {text:?} is no date"))?;
            let words = if service == Service::GeneralAvailability { "must have rows from" } else { "ends at" };
            Ok((Promise::At(at), format!("{words} {at}")))
        }
        Service::TimeOfAvailability => {
            let us = service::time_of_day_utc(&text).ok_or_else(|| format!("its value {text:?} is no time of day"))?;
            Ok((Promise::DailyBy(us), format!("must have new rows by {text} each day")))
        }
    }
}

fn within(service: Service, span: Span) -> String {
    match service {
        Service::Retention => format!("must hold nothing older than {span}"),
        Service::Frequency => format!("must have new rows every {span}"),
        Service::Latency => format!("must have a newest value within {span} of the present"),
        Service::TimeToRepair => format!("must be repaired within {span}"),
        Service::TimeToNotify => format!("must be told within {span}"),
        _ => format!("must be noticed within {span}"),
    }
}
