//! SQL: an object of a contract as CREATE TABLE, in words that PostgreSQL and most others take.

use serde_json::Value;

use super::super::model::{Bound, Contract, EnumValue, LogicalTypeOptions, Property, SchemaObject};
use super::{Losses, Lost};

/// The table of `object`, and what SQL cannot say of it.
pub fn to_ddl(contract: &Contract, object: &SchemaObject) -> (String, Vec<Lost>) {
    let mut losses = Losses::default();
    let mut lines: Vec<String> = object.properties.iter().map(|one| column(&object.name, one, &mut losses)).collect();
    let mut key: Vec<&Property> = object.properties.iter().filter(|one| one.primary_key == Some(true)).collect();
    key.sort_by_key(|property| property.primary_key_position.unwrap_or(i64::MAX));
    if !key.is_empty() {
        let names: Vec<String> =
            key.iter().map(|property| quoted(property.name.as_deref().unwrap_or_default())).collect();
        lines.push(format!("PRIMARY KEY ({})", names.join(", ")));
    }
    for (what, is_empty) in [("quality", object.quality.is_empty()), ("relationships", object.relationships.is_empty())]
    {
        if !is_empty {
            losses.add(&object.name, what, "it is a rule of its own, not of the table's columns");
        }
    }
    if !object.custom_properties.is_empty() {
        losses.add(&object.name, "customProperties", "SQL has no place for them");
    }
    if !contract.sla_properties.is_empty() {
        losses.add(&contract.id, "slaProperties", "a table promises nothing over time");
    }
    let body = lines.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join(",\n");
    (format!("CREATE TABLE {} (\n{body}\n);\n", quoted(&object.name)), losses.all)
}

/// A name in quotes, so that no word is taken for a keyword.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(value: &Value) -> String {
    match value {
        Value::String(text) => format!("'{}'", text.replace('\'', "''")),
        other => other.to_string(),
    }
}

fn column(object: &str, property: &Property, losses: &mut Losses) -> String {
    let name = property.name.clone().unwrap_or_default();
    let place = format!("{object}.{name}");
    let none = LogicalTypeOptions::default();
    let options = property.logical_type_options.as_ref().unwrap_or(&none);
    let mut words = vec![quoted(&name), data_type(&place, property, options, losses)];
    if property.required == Some(true) || property.primary_key == Some(true) {
        words.push("NOT NULL".to_owned());
    }
    if property.unique == Some(true) {
        words.push("UNIQUE".to_owned());
    }
    let checks = checks(&name, property, options);
    if !checks.is_empty() {
        words.push(format!("CHECK ({})", checks.join(" AND ")));
    }
    let inexpressible = [
        ("pattern", options.pattern.is_some()),
        ("format", options.format.is_some()),
        ("multipleOf", options.multiple_of.is_some()),
        ("classification", property.classification.is_some()),
        ("quality", !property.quality.is_empty()),
        ("relationships", !property.relationships.is_empty()),
    ];
    for (what, _) in inexpressible.into_iter().filter(|(_, is_said)| *is_said) {
        losses.add(&place, what, "SQL has no words for it that most databases take");
    }
    words.join(" ")
}

fn data_type(place: &str, property: &Property, options: &LogicalTypeOptions, losses: &mut Losses) -> String {
    let physical = property.physical_type.as_deref().unwrap_or_default().trim().to_ascii_lowercase();
    match property.logical_type.as_deref().unwrap_or("string") {
        "string" => options.max_length.map_or("TEXT".to_owned(), |most| format!("VARCHAR({most})")),
        "integer" => match physical.as_str() {
            "smallint" | "int2" | "int16" => "SMALLINT".to_owned(),
            "int" | "integer" | "int4" | "int32" => "INTEGER".to_owned(),
            _ => "BIGINT".to_owned(),
        },
        "number" if physical.starts_with("decimal(") || physical.starts_with("numeric(") => {
            physical.to_ascii_uppercase()
        }
        "number" => "DOUBLE PRECISION".to_owned(),
        "boolean" => "BOOLEAN".to_owned(),
        "date" => "DATE".to_owned(),
        "timestamp" => "TIMESTAMP WITH TIME ZONE".to_owned(),
        "time" => "TIME".to_owned(),
        other => {
            losses.add(place, other, "nested values are one JSON value there, without their rules");
            "JSON".to_owned()
        }
    }
}

fn checks(name: &str, property: &Property, options: &LogicalTypeOptions) -> Vec<String> {
    let column = quoted(name);
    let mut checks = Vec::new();
    let value = |bound: &Bound| match bound {
        Bound::Flag(_) => None,
        Bound::Number(number) => Some(number.to_string()),
        Bound::Text(text) => Some(format!("'{}'", text.replace('\'', "''"))),
    };
    let flag = |bound: &Option<Bound>| matches!(bound, Some(Bound::Flag(true)));
    let bounds = [
        (&options.minimum, if flag(&options.exclusive_minimum) { ">" } else { ">=" }),
        (&options.exclusive_minimum, ">"),
        (&options.maximum, if flag(&options.exclusive_maximum) { "<" } else { "<=" }),
        (&options.exclusive_maximum, "<"),
    ];
    for (bound, sign) in bounds {
        checks.extend(bound.as_ref().and_then(value).map(|value| format!("{column} {sign} {value}")));
    }
    if let Some(least) = options.min_length {
        checks.push(format!("char_length({column}) >= {least}"));
    }
    if let Some(allowed) = &property.allowed {
        let values: Vec<String> = allowed.iter().map(EnumValue::value).map(literal).collect();
        checks.push(format!("{column} IN ({})", values.join(", ")));
    }
    checks
}
