//! An ODCS v3.2 contract as data (v3.0.x and v3.1 are read).
//!
//! What the gate executes is typed; every other section is kept as JSON beside it, so that reading and writing a
//! contract loses nothing. Whether the contract makes sense is decided by [`compile`](super::compile), not here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

/// A data contract.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Contract {
    /// Version of the standard: `v3.0.0` to `v3.2.0`.
    pub api_version: String,
    /// Always `DataContract`.
    #[serde(default = "data_contract")]
    pub kind: String,
    /// Identifier of the contract; sources refer to it as `id@major`.
    pub id: String,
    /// Version of the contract, `MAJOR.MINOR.PATCH`.
    pub version: String,
    /// Display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Lifecycle status, for example `active`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The objects (tables) that the contract describes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schema: Vec<SchemaObject>,
    /// Service levels; executed ones are listed by the gate, the others are reported as not executed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sla_properties: Vec<SlaProperty>,
    /// What service levels are about that name no element; deprecated since v3.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sla_default_element: Option<String>,
    /// Roles, with who approves access in two levels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<Role>,
    /// Extensions; Seawall reads those whose name begins with `seawall.`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub custom_properties: Vec<CustomProperty>,
    /// Every other section, as it was written.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

fn data_contract() -> String {
    "DataContract".to_owned()
}

/// A role: what it may do with the data, and who approves it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Role {
    /// Its name.
    pub role: String,
    /// What it may do, for example `read`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<String>,
    /// Who approves first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_level_approvers: Option<String>,
    /// Who approves after them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second_level_approvers: Option<String>,
    /// Every other key.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// One object (table) of a contract.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SchemaObject {
    /// Name of the object, also of its dataset.
    pub name: String,
    /// Columns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub properties: Vec<Property>,
    /// Rules about the object as a whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quality: Vec<Quality>,
    /// Foreign keys of several columns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relationships: Vec<Relationship>,
    /// Extensions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub custom_properties: Vec<CustomProperty>,
    /// Every other key.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// A column, a field of a nested object, or the items of an array.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Property {
    /// Name; may be missing for the items of an array.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Name in the source, tried when the batch has no column called [`name`](Self::name).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub physical_name: Option<String>,
    /// `string`, `integer`, `number`, `boolean`, `date`, `timestamp`, `time`, `object`, `array`, `map` or `vector`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logical_type: Option<String>,
    /// Limits that belong to the logical type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logical_type_options: Option<LogicalTypeOptions>,
    /// Type in the source; `decimal(p,s)` makes a number exact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub physical_type: Option<String>,
    /// Whether null is a breach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required: Option<bool>,
    /// Whether a value may occur only once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique: Option<bool>,
    /// Whether the column is part of the primary key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary_key: Option<bool>,
    /// Place within a composite key, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary_key_position: Option<i64>,
    /// Confidentiality; `personal`, `pii` and `restricted` mark personal data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classification: Option<String>,
    /// Allowed values (since v3.2).
    #[serde(default, rename = "enum", skip_serializing_if = "Option::is_none")]
    pub allowed: Option<Vec<EnumValue>>,
    /// Fields of an `object`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub properties: Vec<Property>,
    /// Elements of an `array`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<Box<Property>>,
    /// Keys and values of a `map` (since v3.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map: Option<Box<MapProperty>>,
    /// Foreign keys of the column.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relationships: Vec<Relationship>,
    /// Rules about the column.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quality: Vec<Quality>,
    /// Extensions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub custom_properties: Vec<CustomProperty>,
    /// Every other key.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// What the keys and the values of a map are.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct MapProperty {
    /// The keys.
    pub key: Property,
    /// The values.
    pub value: Property,
}

/// Values that must exist elsewhere: a foreign key.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Relationship {
    /// The referring columns; absent below a property, which refers by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<References>,
    /// The columns that are referred to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<References>,
    /// Every other key.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// One reference, or several that belong together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum References {
    /// `customers.id`
    One(String),
    /// `[customers.tenant, customers.id]`
    Several(Vec<String>),
}

impl References {
    /// The references, in order.
    pub fn all(&self) -> &[String] {
        match self {
            References::One(reference) => std::slice::from_ref(reference),
            References::Several(references) => references,
        }
    }
}

/// Limits of a logical type. Which of them apply depends on the type.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogicalTypeOptions {
    /// Least length of a string, in characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_length: Option<u64>,
    /// Greatest length of a string, in characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u64>,
    /// ECMA-262 expression that a string must contain a match of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// Format: of strings (`email`), of integers and numbers (`i32`), or a JDK date pattern.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Least value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<Bound>,
    /// Greatest value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum: Option<Bound>,
    /// Value that must be exceeded; in v3.0.x a flag that makes `minimum` exclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exclusive_minimum: Option<Bound>,
    /// Value that must not be reached; in v3.0.x a flag that makes `maximum` exclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exclusive_maximum: Option<Bound>,
    /// Number of which the value must be a multiple.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multiple_of: Option<Number>,
    /// Least number of elements of an array.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_items: Option<u64>,
    /// Greatest number of elements of an array.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_items: Option<u64>,
    /// Whether the elements of an array must differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique_items: Option<bool>,
    /// Least number of fields of an object that are not null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_properties: Option<u64>,
    /// Greatest number of fields of an object that are not null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_properties: Option<u64>,
    /// Fields of an object that must not be null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required: Option<Vec<String>>,
    /// Number of elements of a vector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dimensions: Option<u64>,
    /// Type of a vector's elements, for example `float32`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub element_type: Option<String>,
    /// Whether a vector has length 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalized: Option<bool>,
    /// Whether times name their zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<bool>,
    /// Zone of times that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_timezone: Option<String>,
    /// Every other key.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// A bound: a number, a date or time as text, or the flag of v3.0.x.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Bound {
    /// `exclusiveMinimum: true` of v3.0.x.
    Flag(bool),
    /// Bound of an integer or a number.
    Number(Number),
    /// Bound of a date, timestamp or time.
    Text(String),
}

/// An allowed value: the object form of the standard, or the bare value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum EnumValue {
    /// `{value: EUR, label: Euro}`.
    Described(DescribedValue),
    /// `EUR`.
    Bare(Value),
}

impl EnumValue {
    /// The value itself.
    pub fn value(&self) -> &Value {
        match self {
            EnumValue::Described(described) => &described.value,
            EnumValue::Bare(value) => value,
        }
    }
}

/// An allowed value with its description.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DescribedValue {
    /// The value.
    pub value: Value,
    /// Label, id, description and the like.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// A quality rule.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Quality {
    /// Identifier, used in reasons when given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Name, used in reasons when there is no identifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `library` (default), `text`, `sql` or `custom`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Library metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// Library metric as v3.0.x calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Arguments of the metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<QualityArguments>,
    /// Valid values as v3.0.x writes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_values: Option<Vec<Value>>,
    /// The SQL of a rule of type `sql`, with `{object}` and `{property}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// Engine of a rule of type `custom`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// The rule in the words of that engine: text, or a mapping.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub implementation: Option<Value>,
    /// `rows` (default) or `percent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// `info`, `warning` or `error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    /// The metric equals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub must_be: Option<Value>,
    /// The metric differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub must_not_be: Option<Value>,
    /// The metric exceeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub must_be_greater_than: Option<Number>,
    /// The metric reaches or exceeds. v3.0.x also writes `mustBeGreaterThanOrEqualTo`.
    #[serde(default, alias = "mustBeGreaterThanOrEqualTo", skip_serializing_if = "Option::is_none")]
    pub must_be_greater_or_equal_to: Option<Number>,
    /// The metric stays below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub must_be_less_than: Option<Number>,
    /// The metric does not exceed.
    #[serde(default, alias = "mustBeLessThanOrEqualTo", skip_serializing_if = "Option::is_none")]
    pub must_be_less_or_equal_to: Option<Number>,
    /// The metric lies strictly between the two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub must_be_between: Option<Vec<Number>>,
    /// The metric does not lie strictly between the two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub must_not_be_between: Option<Vec<Number>>,
    /// Extensions; `seawall.mode` overrides the severity.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub custom_properties: Vec<CustomProperty>,
    /// Every other key.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// Arguments of a library metric.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QualityArguments {
    /// Values that count as missing, null among them when listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_values: Option<Vec<Value>>,
    /// The only valid values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_values: Option<Vec<Value>>,
    /// ECMA-262 expression of valid values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// Columns that are unique together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<Vec<String>>,
    /// Every other key.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// A service level.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SlaProperty {
    /// Which one, for example `latency`.
    pub property: String,
    /// Its value, in `unit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// Unit, for example `d`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// What it is about: `object.column`, several separated by commas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub element: Option<String>,
    /// Second part of the value, where the property needs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_ext: Option<Value>,
    /// Why it matters: `regulatory`, `analytics` or `operational`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// Every other key.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// An extension of the standard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CustomProperty {
    /// Name, for example `seawall.eventTime`; empty in contracts of v3.0.x that give none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub property: String,
    /// Value.
    #[serde(default)]
    pub value: Value,
    /// Every other key.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// The value of extension `name` in `properties`.
pub(super) fn custom<'a>(properties: &'a [CustomProperty], name: &str) -> Option<&'a Value> {
    properties.iter().find(|custom| custom.property == name).map(|custom| &custom.value)
}

impl Contract {
    /// A first draft that promises `object` and nothing else.
    pub(super) fn draft(object: SchemaObject) -> Self {
        Contract {
            api_version: "v3.2.0".to_owned(),
            kind: data_contract(),
            id: object.name.clone(),
            version: "1.0.0".to_owned(),
            name: None,
            status: Some("draft".to_owned()),
            schema: vec![object],
            sla_properties: Vec::new(),
            sla_default_element: None,
            roles: Vec::new(),
            custom_properties: Vec::new(),
            other: Default::default(),
        }
    }

    /// Identifier of the contract.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Version as written, `1.4.0`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Major version, the number that sources name in `id@major`; `None` when the version does not begin with a number
    /// from 1, which [`compile`](super::compile) refuses.
    pub fn major(&self) -> Option<u32> {
        let digits = self.version.strip_prefix('v').unwrap_or(&self.version);
        digits.split('.').next()?.parse().ok().filter(|major| *major > 0)
    }

    /// Names of the objects, in the order of the contract.
    pub fn object_names(&self) -> Vec<String> {
        self.schema.iter().map(|object| object.name.clone()).collect()
    }

    /// The objects (tables) of the contract.
    pub fn objects(&self) -> &[SchemaObject] {
        &self.schema
    }
}
