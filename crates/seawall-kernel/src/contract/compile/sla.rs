//! Service levels. The gate executes latency, the age of the newest event of a batch; the others are about the service,
//! not about rows, and are listed as not executed.

use seawall_base::Span;
use serde_json::Value;

use super::super::gate::Latency;
use super::super::model::{Contract, SchemaObject, SlaProperty};
use super::super::rule::{Column, Kind, Level};
use super::super::verdict::Mode;
use super::Compiler;

impl Compiler {
    pub(super) fn service_levels(&mut self, contract: &Contract, object: &SchemaObject, columns: &[Column]) {
        for (i, sla) in contract.sla_properties.iter().enumerate() {
            let json = format!("slaProperties/{i}");
            let elements: Vec<&str> = sla.element.as_deref().unwrap_or_default().split(',').map(str::trim).collect();
            let about_others = sla.element.is_some()
                && elements.iter().all(|element| element.split('.').next() != Some(object.name.as_str()));
            if about_others {
                continue;
            }
            if !["latency", "ly", "freshness"].iter().any(|name| sla.property.eq_ignore_ascii_case(name)) {
                self.skip(&json, &sla.property, None, "it is about the service over time, not about rows of a batch");
                continue;
            }
            match self.latency(sla, &elements, object, columns) {
                Ok(latency) => self.latencies.push(latency),
                Err(reason) => self.skip(&json, &sla.property, None, reason),
            }
        }
    }

    fn latency(
        &mut self,
        sla: &SlaProperty,
        elements: &[&str],
        object: &SchemaObject,
        columns: &[Column],
    ) -> Result<Latency, String> {
        let element = elements.iter().find_map(|element| element.strip_prefix(&format!("{}.", object.name)));
        let element = element.ok_or("its element names no column")?;
        let column = columns.iter().position(|column| column.name == element && matches!(column.kind, Kind::Timestamp));
        let column = column.ok_or_else(|| format!("{element} is no timestamp column"))?;
        let unit = unit(sla.unit.as_deref().unwrap_or("d")).ok_or("its unit is not known")?;
        let value = sla.value.as_ref().and_then(Value::as_i64).filter(|value| *value >= 0);
        let age = value.and_then(|value| value.checked_mul(unit.0)).ok_or("its value is no whole number")?;
        let age_max = Span(age);
        let description = format!("the newest value must be within {age_max} of the present");
        let rule = self.rule(&sla.property, Some(element), Mode::Warn, Level::Batch, description);
        Ok(Latency { rule, column, age_max })
    }
}

/// A unit of ISO 80000 or its English name; `m` is a minute, as for freshness elsewhere.
fn unit(name: &str) -> Option<Span> {
    Some(match name.to_ascii_lowercase().as_str() {
        "s" | "sec" | "second" | "seconds" => Span::SECOND,
        "m" | "min" | "minute" | "minutes" => Span::MINUTE,
        "h" | "hr" | "hour" | "hours" => Span::HOUR,
        "d" | "day" | "days" => Span::DAY,
        "w" | "week" | "weeks" => Span(7 * Span::DAY.0),
        _ => return None,
    })
}
