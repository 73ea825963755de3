//! JSON Schemas (draft-07) of shapes.

use std::collections::BTreeMap;

use super::super::words::{NAME_BYTES_MAX, NAME_PATTERN, SHARE_PATTERN, SIZE_PATTERN};
use super::{
    FULL_REFERENCE_PATTERN, Keys, Least, Need, Record, SHORT_REFERENCE_PATTERN, STABLE_ID_PATTERN, Shape, Unknown,
};

/// JSON Schema (draft-07) of `record`, with the records that it refers to as definitions.
pub(crate) fn json_schema(record: &'static Record) -> serde_json::Value {
    let mut definitions = BTreeMap::new();
    let root = record.schema(&mut definitions);
    let mut schema = serde_json::Map::new();
    schema.insert("$schema".into(), "http://json-schema.org/draft-07/schema#".into());
    schema.insert("title".into(), record.title.into());
    if let serde_json::Value::Object(fields) = root {
        schema.extend(fields);
    }
    let definitions: serde_json::Map<_, _> = definitions.into_iter().collect();
    schema.insert("definitions".into(), definitions.into());
    schema.into()
}

type Definitions = BTreeMap<String, serde_json::Value>;

impl Record {
    fn reference(&'static self, definitions: &mut Definitions) -> serde_json::Value {
        let name = self.title.replace(' ', "_");
        if !definitions.contains_key(&name) {
            // Holds the place, so that a record that contains itself ends here.
            definitions.insert(name.clone(), serde_json::Value::Null);
            let schema = self.schema(definitions);
            definitions.insert(name.clone(), schema);
        }
        serde_json::json!({"$ref": format!("#/definitions/{name}")})
    }

    fn schema(&'static self, definitions: &mut Definitions) -> serde_json::Value {
        let mut properties = serde_json::Map::new();
        for field in self.fields {
            let mut schema = field.shape.schema(definitions);
            if let serde_json::Value::Object(object) = &mut schema {
                // Draft-07 ignores what stands beside a `$ref`.
                if object.contains_key("$ref") {
                    schema = serde_json::json!({"allOf": [schema], "description": field.doc});
                } else {
                    object.insert("description".into(), field.doc.into());
                }
            }
            properties.insert(field.name.into(), schema);
        }
        let required: Vec<&str> =
            self.fields.iter().filter(|field| field.need != Need::Optional).map(|field| field.name).collect();
        let mut schema = serde_json::json!({
            "type": "object",
            "description": self.doc,
            "properties": properties,
            "required": required,
            "additionalProperties": self.unknown == Unknown::Reported,
        });
        if !self.exactly_one.is_empty() {
            let one_of: Vec<_> = self.exactly_one.iter().map(|key| serde_json::json!({"required": [key]})).collect();
            schema["oneOf"] = one_of.into();
        }
        schema
    }
}

impl Shape {
    fn schema(&'static self, definitions: &mut Definitions) -> serde_json::Value {
        use serde_json::json;
        match self {
            Shape::Any => json!({}),
            Shape::Text => json!({"type": "string", "minLength": 1}),
            Shape::Prose => json!({"type": "string"}),
            Shape::StableId => json!({"type": "string", "pattern": STABLE_ID_PATTERN}),
            Shape::Reference => json!({
                "type": "string",
                "anyOf": [{"pattern": SHORT_REFERENCE_PATTERN}, {"pattern": FULL_REFERENCE_PATTERN}],
            }),
            Shape::Port => json!({"type": ["integer", "string"]}),
            Shape::Literal => json!({"type": ["string", "number", "boolean", "null"]}),
            Shape::Only(text) => json!({"const": text}),
            Shape::Choice(texts) => json!({"enum": texts}),
            Shape::Name => json!({"type": "string", "pattern": NAME_PATTERN, "maxLength": NAME_BYTES_MAX}),
            Shape::Versioned => json!({"type": "string", "pattern": "^[^@]+@[1-9][0-9]*$"}),
            Shape::Span(Least::Zero) => json!({"type": "string", "pattern": "^[0-9]+(us|ms|s|m|h|d|w)$"}),
            Shape::Span(Least::Positive) => {
                json!({"type": "string", "pattern": "^0*[1-9][0-9]*(us|ms|s|m|h|d|w)$"})
            }
            Shape::Window => json!({"type": "string", "pattern": "^(lifetime|0*[1-9][0-9]*(us|ms|s|m|h|d|w))$"}),
            Shape::Size => json!({"type": "string", "pattern": SIZE_PATTERN}),
            Shape::Share => json!({"type": "string", "pattern": SHARE_PATTERN}),
            Shape::Bool => json!({"type": "boolean"}),
            Shape::OnlyBool(value) => json!({"const": value}),
            Shape::Integer { min, max } => json!({"type": "integer", "minimum": min, "maximum": max}),
            Shape::Number { min, max } => {
                let mut schema = json!({"type": "number"});
                for (key, bound) in [("minimum", min), ("maximum", max)] {
                    if bound.is_finite() {
                        schema[key] = (*bound).into();
                    }
                }
                schema
            }
            Shape::AnyList(item) => json!({"type": "array", "items": item.schema(definitions)}),
            Shape::List(item) => json!({"type": "array", "minItems": 1, "items": item.schema(definitions)}),
            Shape::OneOrMany(item) => {
                let one = item.schema(definitions);
                json!({"anyOf": [one, {"type": "array", "minItems": 1, "items": one}]})
            }
            Shape::Map(keys, values) => {
                let values = values.schema(definitions);
                match keys {
                    Keys::Any => json!({"type": "object", "additionalProperties": values}),
                    Keys::Names => json!({
                        "type": "object",
                        "additionalProperties": values,
                        "propertyNames": {"pattern": NAME_PATTERN, "maxLength": NAME_BYTES_MAX},
                    }),
                }
            }
            Shape::Record(record) => {
                let reference = record.reference(definitions);
                let may_be_empty =
                    record.exactly_one.is_empty() && record.fields.iter().all(|field| field.need == Need::Optional);
                if may_be_empty { json!({"anyOf": [reference, {"type": "null"}]}) } else { reference }
            }
            Shape::Variants(variants) => {
                let records: Vec<_> =
                    variants.records.iter().map(|(_, record)| record.reference(definitions)).collect();
                json!({"oneOf": records})
            }
            Shape::Either(scalar, record) => {
                json!({"anyOf": [scalar.schema(definitions), record.reference(definitions)]})
            }
            Shape::RecordOrList(record, item) => {
                let list = json!({"type": "array", "items": item.schema(definitions)});
                json!({"anyOf": [record.reference(definitions), list]})
            }
        }
    }
}
