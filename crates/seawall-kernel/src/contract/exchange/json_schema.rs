//! JSON Schema (draft 2020-12), one object of a contract as the schema of one row.

use serde_json::{Map, Number, Value, json};

use super::super::model::{Bound, Contract, EnumValue, LogicalTypeOptions, MapProperty, Property, SchemaObject};
use super::{Losses, Lost};

const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";
/// Keywords that describe and promise nothing.
const DESCRIBING: [&str; 9] =
    ["$schema", "$id", "$comment", "title", "description", "examples", "default", "deprecated", "additionalProperties"];

/// The schema of a row of `object`, and what it cannot say.
pub fn to_json_schema(contract: &Contract, object: &SchemaObject) -> (Value, Vec<Lost>) {
    let mut losses = Losses::default();
    let mut schema = Map::new();
    schema.insert("$schema".into(), json!(DRAFT));
    schema.insert("title".into(), json!(object.name));
    fields(&object.name, &object.properties, &[], &mut schema, &mut losses);
    let of_object = [
        ("quality", object.quality.is_empty()),
        ("relationships", object.relationships.is_empty()),
        ("customProperties", object.custom_properties.is_empty()),
    ];
    for (what, _) in of_object.into_iter().filter(|(_, is_empty)| !is_empty) {
        losses.add(&object.name, what, "it is about more than one row, or about Seawall");
    }
    if !contract.sla_properties.is_empty() {
        losses.add(&contract.id, "slaProperties", "a schema promises nothing over time");
    }
    (Value::Object(schema), losses.all)
}

/// The keywords of an object with these fields.
fn fields(
    place: &str,
    properties: &[Property],
    required: &[String],
    schema: &mut Map<String, Value>,
    losses: &mut Losses,
) {
    schema.insert("type".into(), json!("object"));
    let (mut inner, mut needed) = (Map::new(), Vec::new());
    for property in properties {
        let name = property.name.clone().unwrap_or_default();
        let must = property.required == Some(true) || property.primary_key == Some(true) || required.contains(&name);
        inner.insert(name.clone(), one(&format!("{place}.{name}"), property, must, losses));
        if must {
            needed.push(name);
        }
    }
    schema.insert("properties".into(), Value::Object(inner));
    if !needed.is_empty() {
        schema.insert("required".into(), json!(needed));
    }
    schema.insert("additionalProperties".into(), json!(false));
}

fn one(place: &str, property: &Property, must: bool, losses: &mut Losses) -> Value {
    let none = LogicalTypeOptions::default();
    let options = property.logical_type_options.as_ref().unwrap_or(&none);
    let mut schema = Map::new();
    let kind = property.logical_type.as_deref().unwrap_or("string");
    let name = match kind {
        "integer" | "number" | "boolean" | "object" | "array" => kind,
        "map" => "object",
        "vector" => "array",
        _ => "string",
    };
    if let Some(Value::String(text)) = property.other.get("description") {
        schema.insert("description".into(), json!(text));
    }
    match kind {
        "string" => text(place, options, &mut schema, losses),
        "integer" | "number" => numbers(options, &mut schema),
        "date" | "timestamp" | "time" => moments(place, kind, options, &mut schema, losses),
        "object" => {
            let required = options.required.clone().unwrap_or_default();
            fields(place, &property.properties, &required, &mut schema, losses);
            put(&mut schema, "minProperties", options.min_properties);
            put(&mut schema, "maxProperties", options.max_properties);
        }
        "array" => {
            if let Some(items) = &property.items {
                schema.insert("items".into(), one(&format!("{place}[]"), items, items.required == Some(true), losses));
            }
            put(&mut schema, "minItems", options.min_items);
            put(&mut schema, "maxItems", options.max_items);
            if options.unique_items == Some(true) {
                schema.insert("uniqueItems".into(), json!(true));
            }
        }
        "map" => {
            if let Some(map) = &property.map {
                let must = map.value.required == Some(true);
                schema.insert("propertyNames".into(), one(&format!("{place}[].key"), &map.key, true, losses));
                schema
                    .insert("additionalProperties".into(), one(&format!("{place}[].value"), &map.value, must, losses));
            }
        }
        "vector" => {
            schema.insert("items".into(), json!({"type": "number"}));
            put(&mut schema, "minItems", options.dimensions);
            put(&mut schema, "maxItems", options.dimensions);
            losses.add(place, "logicalType", "a vector is an array of numbers there");
        }
        _ => {}
    }
    let types = if must { json!(name) } else { json!([name, "null"]) };
    schema.insert("type".into(), types);
    if let Some(allowed) = &property.allowed {
        let mut values: Vec<Value> = allowed.iter().map(EnumValue::value).cloned().collect();
        if !must && !values.contains(&Value::Null) {
            values.push(Value::Null);
        }
        schema.insert("enum".into(), Value::Array(values));
    }
    lost_of_property(place, property, losses);
    Value::Object(schema)
}

fn put(schema: &mut Map<String, Value>, key: &str, value: Option<u64>) {
    if let Some(value) = value {
        schema.insert(key.into(), json!(value));
    }
}

fn text(place: &str, options: &LogicalTypeOptions, schema: &mut Map<String, Value>, losses: &mut Losses) {
    put(schema, "minLength", options.min_length);
    put(schema, "maxLength", options.max_length);
    if let Some(pattern) = &options.pattern {
        schema.insert("pattern".into(), json!(pattern));
    }
    match options.format.as_deref() {
        None => {}
        Some("byte") => {
            schema.insert("contentEncoding".into(), json!("base64"));
        }
        Some(format @ ("email" | "uuid" | "uri" | "hostname" | "ipv4" | "ipv6")) => {
            schema.insert("format".into(), json!(format));
        }
        Some(_) => losses.add(place, "format", "JSON Schema has no such format"),
    }
}

fn numbers(options: &LogicalTypeOptions, schema: &mut Map<String, Value>) {
    let flag = |bound: &Option<Bound>| matches!(bound, Some(Bound::Flag(true)));
    let mut set = |key: &str, exclusive_key: &str, bound: &Option<Bound>, exclusive: &Option<Bound>| {
        if let Some(Bound::Number(number)) = bound {
            let key = if flag(exclusive) { exclusive_key } else { key };
            schema.insert(key.into(), Value::Number(number.clone()));
        }
        if let Some(Bound::Number(number)) = exclusive {
            schema.insert(exclusive_key.into(), Value::Number(number.clone()));
        }
    };
    set("minimum", "exclusiveMinimum", &options.minimum, &options.exclusive_minimum);
    set("maximum", "exclusiveMaximum", &options.maximum, &options.exclusive_maximum);
    if let Some(divisor) = &options.multiple_of {
        schema.insert("multipleOf".into(), Value::Number(divisor.clone()));
    }
}

fn moments(
    place: &str,
    kind: &str,
    options: &LogicalTypeOptions,
    schema: &mut Map<String, Value>,
    losses: &mut Losses,
) {
    let name = if kind == "timestamp" { "date-time" } else { kind };
    match &options.format {
        None => {
            schema.insert("format".into(), json!(name));
        }
        Some(_) => losses.add(place, "format", "JSON Schema knows ISO 8601 only"),
    }
    let bounds = [&options.minimum, &options.maximum, &options.exclusive_minimum, &options.exclusive_maximum];
    if bounds.into_iter().any(Option::is_some) {
        losses.add(place, "minimum, maximum", "JSON Schema has no bounds of dates and times");
    }
}

/// What a property says beyond the value of one row.
fn lost_of_property(place: &str, property: &Property, losses: &mut Losses) {
    let said = [
        ("unique", property.unique == Some(true)),
        ("primaryKey", property.primary_key == Some(true)),
        ("classification", property.classification.is_some()),
        ("physicalName", property.physical_name.is_some()),
        ("physicalType", property.physical_type.is_some()),
        ("quality", !property.quality.is_empty()),
        ("relationships", !property.relationships.is_empty()),
        ("customProperties", !property.custom_properties.is_empty()),
    ];
    for (what, _) in said.into_iter().filter(|(_, is_said)| *is_said) {
        losses.add(place, what, "a schema speaks about one value of one row");
    }
}

/// A contract called `name` out of a JSON Schema of one row, and what a contract cannot say.
///
/// # Errors
/// What was read does not describe an object with properties.
pub fn from_json_schema(name: &str, schema: &Value) -> Result<(Contract, Vec<Lost>), String> {
    let described = schema.get("properties").and_then(Value::as_object);
    let described = described.filter(|fields| !fields.is_empty());
    let described = described.ok_or("the schema describes no object with `properties`")?;
    let mut losses = Losses::default();
    let required = names(schema.get("required"));
    let mut properties = Vec::with_capacity(described.len());
    for (field, inner) in described {
        properties.push(property(
            &format!("/properties/{field}"),
            Some(field),
            inner,
            required.contains(field),
            &mut losses,
        ));
    }
    unread("", schema, &["type", "properties", "required"], &mut losses);
    let object = SchemaObject { name: name.to_owned(), properties, ..SchemaObject::default() };
    let contract = Contract::draft(object);
    Ok((contract, losses.all))
}

fn names(value: Option<&Value>) -> Vec<String> {
    let list = value.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn property(place: &str, name: Option<&str>, schema: &Value, required: bool, losses: &mut Losses) -> Property {
    let types: Vec<&str> = match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let admits_null = types.contains(&"null");
    let mut kinds = types.iter().filter(|kind| **kind != "null");
    let kind = match (kinds.next(), kinds.next()) {
        (Some(one), None) => *one,
        (None, _) => "string",
        (Some(_), Some(_)) => {
            losses.add(place, "type", "a column has one type; it is taken for text");
            "string"
        }
    };
    if types.is_empty() && schema.get("enum").is_none() {
        losses.add(place, "type", "no type is given; it is taken for text");
    }
    let mut options = LogicalTypeOptions::default();
    let format = schema.get("format").and_then(Value::as_str);
    let mut property = Property { name: name.map(str::to_owned), ..Property::default() };
    let logical = match (kind, format) {
        ("string", Some("date")) => "date",
        ("string", Some("date-time")) => "timestamp",
        ("string", Some("time")) => "time",
        ("object", _)
            if schema.get("properties").is_none()
                && schema.get("additionalProperties").is_some_and(Value::is_object) =>
        {
            "map"
        }
        (kind, _) => kind,
    };
    property.logical_type = Some(logical.to_owned());
    if required && !admits_null {
        property.required = Some(true);
    }
    if let Some(text) = schema.get("description").and_then(Value::as_str) {
        property.other.insert("description".into(), json!(text));
    }
    let mut read = vec!["type", "enum", "description"];
    read.extend(match logical {
        "string" => read_text(place, schema, &mut options, losses),
        "integer" | "number" => read_numbers(schema, &mut options),
        "date" | "timestamp" | "time" => vec!["format"],
        "object" => read_object(place, schema, &mut property, &mut options, losses),
        "array" => read_array(place, schema, &mut property, &mut options, losses),
        "map" => read_map(place, schema, &mut property, losses),
        _ => Vec::new(),
    });
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        let values: Vec<EnumValue> =
            values.iter().filter(|value| !value.is_null()).cloned().map(EnumValue::Bare).collect();
        property.allowed = Some(values).filter(|values| !values.is_empty());
    }
    if options != LogicalTypeOptions::default() {
        property.logical_type_options = Some(options);
    }
    unread(place, schema, &read, losses);
    property
}

/// Keywords that were not read.
fn unread(place: &str, schema: &Value, read: &[&str], losses: &mut Losses) {
    for key in schema.as_object().into_iter().flat_map(Map::keys) {
        if !read.contains(&key.as_str()) && !DESCRIBING.contains(&key.as_str()) {
            losses.add(place, key, "a contract has no words for this keyword here");
        }
    }
}

fn read_text(place: &str, schema: &Value, options: &mut LogicalTypeOptions, losses: &mut Losses) -> Vec<&'static str> {
    let count = |key: &str| schema.get(key).and_then(Value::as_u64);
    (options.min_length, options.max_length) = (count("minLength"), count("maxLength"));
    options.pattern = schema.get("pattern").and_then(Value::as_str).map(str::to_owned);
    match schema.get("format").and_then(Value::as_str) {
        None => {}
        Some(format @ ("email" | "uuid" | "uri" | "hostname" | "ipv4" | "ipv6")) => {
            options.format = Some(format.to_owned())
        }
        Some(_) => losses.add(place, "format", "contracts have no such format of texts"),
    }
    if schema.get("contentEncoding").and_then(Value::as_str) == Some("base64") {
        options.format = Some("byte".to_owned());
    }
    vec!["minLength", "maxLength", "pattern", "format", "contentEncoding"]
}

fn read_numbers(schema: &Value, options: &mut LogicalTypeOptions) -> Vec<&'static str> {
    let number = |key: &str| -> Option<Number> { schema.get(key).and_then(Value::as_number).cloned() };
    let bound = |key: &str| number(key).map(Bound::Number);
    options.minimum = bound("minimum");
    options.maximum = bound("maximum");
    options.exclusive_minimum = bound("exclusiveMinimum");
    options.exclusive_maximum = bound("exclusiveMaximum");
    options.multiple_of = number("multipleOf");
    vec!["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"]
}

fn read_object(
    place: &str,
    schema: &Value,
    found: &mut Property,
    options: &mut LogicalTypeOptions,
    losses: &mut Losses,
) -> Vec<&'static str> {
    let required = names(schema.get("required"));
    for (name, inner) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let place = format!("{place}/properties/{name}");
        found.properties.push(property(&place, Some(name), inner, required.contains(name), losses));
    }
    options.min_properties = schema.get("minProperties").and_then(Value::as_u64);
    options.max_properties = schema.get("maxProperties").and_then(Value::as_u64);
    vec!["properties", "required", "minProperties", "maxProperties"]
}

fn read_array(
    place: &str,
    schema: &Value,
    found: &mut Property,
    options: &mut LogicalTypeOptions,
    losses: &mut Losses,
) -> Vec<&'static str> {
    if let Some(items) = schema.get("items").filter(|items| items.is_object()) {
        found.items = Some(Box::new(property(&format!("{place}/items"), None, items, true, losses)));
    }
    options.min_items = schema.get("minItems").and_then(Value::as_u64);
    options.max_items = schema.get("maxItems").and_then(Value::as_u64);
    options.unique_items = schema.get("uniqueItems").and_then(Value::as_bool).filter(|unique| *unique);
    vec!["items", "minItems", "maxItems", "uniqueItems"]
}

fn read_map(place: &str, schema: &Value, found: &mut Property, losses: &mut Losses) -> Vec<&'static str> {
    let string = json!({"type": "string"});
    let key = schema.get("propertyNames").unwrap_or(&string);
    let value = schema.get("additionalProperties").unwrap_or(&Value::Null);
    let mut key = property(&format!("{place}/propertyNames"), None, key, true, losses);
    key.required = None;
    let value = property(&format!("{place}/additionalProperties"), None, value, true, losses);
    found.map = Some(Box::new(MapProperty { key, value }));
    vec!["propertyNames"]
}
