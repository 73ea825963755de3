//! Arrow schemas as Delta writes them: the `schemaString` of a metadata action, and back.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use seawall_base::error::{Error, Result};
use serde_json::{Value, json};

use crate::codes;
use crate::types;

/// The schema as JSON; `Invalid` for types that Delta has no word for.
pub(crate) fn to_delta(schema: &Schema) -> Result<String> {
    Ok(struct_to_json(schema.fields())?.to_string())
}

/// The schema that a `schemaString` describes; `Corrupt` when it is none.
pub(crate) fn from_delta(text: &str) -> Result<SchemaRef> {
    let value: Value = serde_json::from_str(text).map_err(|e| unreadable(text).because(e))?;
    Ok(Arc::new(Schema::new(fields_from_json(&value)?)))
}

fn struct_to_json(fields: &Fields) -> Result<Value> {
    let mut described = Vec::with_capacity(fields.len());
    for field in fields {
        let data_type = type_to_json(field.name(), field.data_type())?;
        let nullable = field.is_nullable();
        described.push(json!({"name": field.name(), "type": data_type, "nullable": nullable, "metadata": {}}));
    }
    Ok(json!({"type": "struct", "fields": described}))
}

fn type_to_json(column: &str, data_type: &DataType) -> Result<Value> {
    let name = match data_type {
        DataType::Utf8 => "string",
        DataType::Int64 => "long",
        DataType::Int32 => "integer",
        DataType::Int16 => "short",
        DataType::Int8 => "byte",
        DataType::Float32 => "float",
        DataType::Float64 => "double",
        DataType::Boolean => "boolean",
        DataType::Binary => "binary",
        DataType::Date32 => "date",
        DataType::Timestamp(TimeUnit::Microsecond, None) => "timestamp_ntz",
        instant if *instant == types::instant_type() => "timestamp",
        DataType::Decimal128(precision, scale) if *scale >= 0 => {
            return Ok(json!(format!("decimal({precision},{scale})")));
        }
        DataType::List(item) => {
            let element = type_to_json(column, item.data_type())?;
            return Ok(json!({"type": "array", "elementType": element, "containsNull": item.is_nullable()}));
        }
        DataType::Struct(fields) => return struct_to_json(fields),
        other => {
            return Err(Error::invalid(
                codes::COLUMN_TYPE,
                format!("column {column:?} of type {other} cannot be stored"),
            )
            .hint("cast it to text, a number, a date or a timestamp"));
        }
    };
    Ok(json!(name))
}

fn fields_from_json(value: &Value) -> Result<Vec<Field>> {
    let described = value.get("fields").and_then(Value::as_array).ok_or_else(|| unreadable(value))?;
    let mut fields = Vec::with_capacity(described.len());
    for field in described {
        let name = field.get("name").and_then(Value::as_str).ok_or_else(|| unreadable(field))?;
        let nullable = field.get("nullable").and_then(Value::as_bool).ok_or_else(|| unreadable(field))?;
        let data_type = type_from_json(field.get("type").ok_or_else(|| unreadable(field))?)?;
        fields.push(Field::new(name, data_type, nullable));
    }
    Ok(fields)
}

fn type_from_json(value: &Value) -> Result<DataType> {
    match value {
        Value::String(name) => primitive_from_name(name).ok_or_else(|| unreadable(value)),
        Value::Object(object) => match object.get("type").and_then(Value::as_str) {
            Some("struct") => Ok(DataType::Struct(fields_from_json(value)?.into())),
            Some("array") => {
                let element = type_from_json(object.get("elementType").ok_or_else(|| unreadable(value))?)?;
                let nullable = object.get("containsNull").and_then(Value::as_bool).unwrap_or(true);
                Ok(DataType::List(Arc::new(Field::new_list_field(element, nullable))))
            }
            _ => Err(unreadable(value)),
        },
        _ => Err(unreadable(value)),
    }
}

fn primitive_from_name(name: &str) -> Option<DataType> {
    Some(match name {
        "string" => DataType::Utf8,
        "long" => DataType::Int64,
        "integer" => DataType::Int32,
        "short" => DataType::Int16,
        "byte" => DataType::Int8,
        "float" => DataType::Float32,
        "double" => DataType::Float64,
        "boolean" => DataType::Boolean,
        "binary" => DataType::Binary,
        "date" => DataType::Date32,
        "timestamp" => types::instant_type(),
        "timestamp_ntz" => DataType::Timestamp(TimeUnit::Microsecond, None),
        decimal => {
            let (precision, scale) = decimal.strip_prefix("decimal(")?.strip_suffix(')')?.split_once(',')?;
            DataType::Decimal128(precision.trim().parse().ok()?, scale.trim().parse().ok()?)
        }
    })
}

fn unreadable(value: impl std::fmt::Display) -> Error {
    Error::corrupt(codes::LOG_BROKEN, format!("{value} is no schema that Seawall can read from a Delta log"))
}

/// Whether a column or a part of one is a timestamp without zone, which Delta counts as a feature of the table.
pub(crate) fn has_local_timestamps(fields: &Fields) -> bool {
    fn is_local(data_type: &DataType) -> bool {
        match data_type {
            DataType::Timestamp(_, None) => true,
            DataType::List(item) => is_local(item.data_type()),
            DataType::Struct(fields) => has_local_timestamps(fields),
            _ => false,
        }
    }
    fields.iter().any(|field| is_local(field.data_type()))
}

#[cfg(test)]
mod tests;
