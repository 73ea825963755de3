//! The keys of contracts, by the Open Data Contract Standard.

use super::super::shape::{Field, Record, Shape, optional, required};
use super::{ANY_NUMBER, FROM_ZERO};

/// An ODCS contract, v3.0 to v3.2: what the gate reads is described in full, the rest as it comes.
pub(crate) static CONTRACT: Record = Record::new(
    "contract",
    "A data contract by the Open Data Contract Standard, v3.0 to v3.2.",
    &[
        required("apiVersion", Shape::Text, "Version of the standard, for example v3.2.0."),
        required("kind", Shape::Only("DataContract"), "Always DataContract."),
        required("id", Shape::Text, "Identifier; sources refer to it as id@major."),
        required("version", Shape::Text, "Version of the contract, for example 1.0.0."),
        optional("name", Shape::Text, "Display name."),
        optional("status", Shape::Text, "Lifecycle status, for example active."),
        required("schema", Shape::List(&Shape::Record(&SCHEMA_OBJECT)), "The objects (tables)."),
        optional("slaProperties", Shape::AnyList(&Shape::Record(&SLA)), "Service levels."),
        CUSTOM_PROPERTIES,
        optional("tenant", Shape::Any, "Tenant."),
        optional("domain", Shape::Any, "Domain."),
        optional("dataProduct", Shape::Any, "Data product."),
        optional("description", Shape::Any, "Purpose, limitations and usage."),
        optional("tags", Shape::Any, "Tags."),
        optional("servers", Shape::Any, "Where the data lies."),
        optional("support", Shape::Any, "Support channels."),
        optional("price", Shape::Any, "Price."),
        optional("team", Shape::Any, "Team."),
        optional("roles", Shape::Any, "Roles."),
        optional("slaDefaultElement", Shape::Any, "Element that service levels are about by default."),
        optional("authoritativeDefinitions", Shape::Any, "Links to definitions."),
        optional("contractCreatedTs", Shape::Any, "When the contract was created."),
        optional("context", Shape::Any, "Instructions for AI."),
        optional("synonyms", Shape::Any, "Synonyms."),
        optional("deprecated", Shape::Any, "Whether it is deprecated."),
    ],
)
.open();

const CUSTOM_PROPERTIES: Field = optional(
    "customProperties",
    Shape::AnyList(&CUSTOM_PROPERTY_SHAPE),
    "Extensions; Seawall reads those whose name begins with seawall.",
);

static CUSTOM_PROPERTY_SHAPE: Shape = Shape::Record(&CUSTOM_PROPERTY);

static CUSTOM_PROPERTY: Record = Record::new(
    "custom property",
    "An extension of the standard.",
    &[
        required("property", Shape::Text, "Its name, for example seawall.eventTime."),
        optional("value", Shape::Any, "Its value."),
        optional("id", Shape::Any, "Identifier."),
        optional("description", Shape::Any, "Description."),
        optional("vendor", Shape::Any, "Whose extension it is."),
    ],
)
.open();

static SCHEMA_OBJECT: Record = Record::new(
    "schema object",
    "An object (table) of a contract.",
    &[
        required("name", Shape::Name, "Its name, also of its dataset."),
        optional("properties", Shape::AnyList(&Shape::Record(&PROPERTY)), "Columns."),
        optional("quality", Shape::AnyList(&Shape::Record(&QUALITY)), "Rules about the object as a whole."),
        CUSTOM_PROPERTIES,
        optional("id", Shape::Any, "Identifier."),
        optional("physicalType", Shape::Any, "Type in the source, for example table."),
        optional("physicalName", Shape::Any, "Name in the source."),
        optional("logicalType", Shape::Any, "Always object."),
        optional("description", Shape::Any, "Description."),
        optional("businessName", Shape::Any, "Business name."),
        optional("dataGranularityDescription", Shape::Any, "What one row stands for."),
        optional("tags", Shape::Any, "Tags."),
        optional("authoritativeDefinitions", Shape::Any, "Links to definitions."),
        optional("relationships", Shape::Any, "References to other objects."),
        optional("context", Shape::Any, "Instructions for AI."),
        optional("synonyms", Shape::Any, "Synonyms."),
        optional("deprecated", Shape::Any, "Whether it is deprecated."),
    ],
)
.open();

static PROPERTY: Record = Record::new(
    "property",
    "A column, a field of a nested object, or the items of an array.",
    &[
        optional("name", Shape::Text, "Name of the column."),
        optional("logicalType", Shape::Choice(LOGICAL_TYPES), "Its type."),
        optional("logicalTypeOptions", Shape::Record(&TYPE_OPTIONS), "Limits that belong to the type."),
        optional("required", Shape::Bool, "Whether null is a breach."),
        optional("unique", Shape::Bool, "Whether a value may occur only once."),
        optional("primaryKey", Shape::Bool, "Whether it is part of the primary key."),
        optional("primaryKeyPosition", Shape::Integer { min: -1, max: 10_000 }, "Place within a composite key."),
        optional("classification", Shape::Text, "Confidentiality, for example personal."),
        optional("enum", Shape::AnyList(&Shape::Any), "Allowed values."),
        optional("properties", Shape::AnyList(&Shape::Record(&PROPERTY)), "Fields of an object."),
        optional("items", Shape::Record(&PROPERTY), "Elements of an array."),
        optional("quality", Shape::AnyList(&Shape::Record(&QUALITY)), "Rules about the column."),
        optional("physicalName", Shape::Text, "Name in the source."),
        optional("physicalType", Shape::Text, "Type in the source; decimal(p,s) makes a number exact."),
        CUSTOM_PROPERTIES,
        optional("id", Shape::Any, "Identifier."),
        optional("description", Shape::Any, "Description."),
        optional("businessName", Shape::Any, "Business name."),
        optional("partitioned", Shape::Bool, "Whether the source is partitioned by it."),
        optional("partitionKeyPosition", Shape::Any, "Place within the partition key."),
        optional("encryptedName", Shape::Any, "Name of the encrypted column."),
        optional("criticalDataElement", Shape::Any, "Whether it is critical."),
        optional("transformSourceObjects", Shape::Any, "Objects that it is made of."),
        optional("transformLogic", Shape::Any, "How it is made."),
        optional("transformDescription", Shape::Any, "How it is made, for people."),
        optional("examples", Shape::Any, "Examples."),
        optional("relationships", Shape::Any, "References to other columns."),
        optional("tags", Shape::Any, "Tags."),
        optional("authoritativeDefinitions", Shape::Any, "Links to definitions."),
        optional("map", Shape::Any, "Keys and values of a map."),
        optional("semanticType", Shape::Any, "column, measure or dimension."),
        optional("context", Shape::Any, "Instructions for AI."),
        optional("synonyms", Shape::Any, "Synonyms."),
        optional("deprecated", Shape::Any, "Whether it is deprecated."),
    ],
)
.open();

const LOGICAL_TYPES: &[&str] =
    &["string", "integer", "number", "boolean", "date", "timestamp", "time", "object", "array", "map", "vector"];

const LENGTH: Shape = Shape::Integer { min: 0, max: i64::MAX };

static TYPE_OPTIONS: Record = Record::new(
    "logicalTypeOptions section",
    "Limits that belong to a logical type.",
    &[
        optional("minLength", LENGTH, "Least number of characters."),
        optional("maxLength", LENGTH, "Greatest number of characters."),
        optional("pattern", Shape::Text, "ECMA-262 expression that must match."),
        optional("format", Shape::Text, "Format of the text, the number or the time."),
        optional("minimum", Shape::Literal, "Least value."),
        optional("maximum", Shape::Literal, "Greatest value."),
        optional("exclusiveMinimum", Shape::Literal, "Value that must be exceeded."),
        optional("exclusiveMaximum", Shape::Literal, "Value that must not be reached."),
        optional("multipleOf", FROM_ZERO, "Number of which the value is a multiple."),
        optional("minItems", LENGTH, "Least number of elements."),
        optional("maxItems", LENGTH, "Greatest number of elements."),
        optional("uniqueItems", Shape::Bool, "Whether elements must differ."),
        optional("minProperties", LENGTH, "Least number of fields that are not null."),
        optional("maxProperties", LENGTH, "Greatest number of fields that are not null."),
        optional("required", Shape::AnyList(&Shape::Text), "Fields that must not be null."),
        optional("timezone", Shape::Any, "Whether times carry a zone."),
        optional("defaultTimezone", Shape::Any, "Zone of times without one."),
        optional("dimensions", LENGTH, "Number of elements of a vector."),
        optional("elementType", Shape::Any, "Type of a vector's elements."),
        optional("distanceMetric", Shape::Any, "Distance between vectors."),
        optional("embeddingModel", Shape::Any, "Model that made a vector."),
        optional("embeddingModelVersion", Shape::Any, "Version of that model."),
        optional("normalized", Shape::Any, "Whether vectors have length 1."),
    ],
)
.open();

static QUALITY: Record = Record::new(
    "quality rule",
    "A rule about a column or an object.",
    &[
        optional("id", Shape::Text, "Identifier, used in reasons."),
        optional("name", Shape::Text, "Name, used in reasons when there is no id."),
        optional("type", Shape::Choice(&["library", "text", "sql", "custom"]), "Kind of rule."),
        optional("metric", Shape::Text, "Metric of the library."),
        optional("rule", Shape::Text, "Metric of the library, as v3.0 calls it."),
        optional("arguments", Shape::Record(&ARGUMENTS), "Arguments of the metric."),
        optional("validValues", Shape::AnyList(&Shape::Any), "Valid values, as v3.0 writes them."),
        optional("unit", Shape::Text, "rows or percent."),
        optional("severity", Shape::Text, "info, warning or error."),
        optional("mustBe", Shape::Any, "The metric equals."),
        optional("mustNotBe", Shape::Any, "The metric differs."),
        optional("mustBeGreaterThan", ANY_NUMBER, "The metric exceeds."),
        optional("mustBeGreaterOrEqualTo", ANY_NUMBER, "The metric reaches or exceeds."),
        optional("mustBeGreaterThanOrEqualTo", ANY_NUMBER, "The same, as v3.0 writes it."),
        optional("mustBeLessThan", ANY_NUMBER, "The metric stays below."),
        optional("mustBeLessOrEqualTo", ANY_NUMBER, "The metric does not exceed."),
        optional("mustBeLessThanOrEqualTo", ANY_NUMBER, "The same, as v3.0 writes it."),
        optional("mustBeBetween", Shape::AnyList(&ANY_NUMBER), "The metric lies between the two."),
        optional("mustNotBeBetween", Shape::AnyList(&ANY_NUMBER), "The metric does not lie between the two."),
        optional("query", Shape::Any, "The SQL of a rule of type sql."),
        optional("engine", Shape::Any, "Engine of a custom rule."),
        optional("implementation", Shape::Any, "Custom rule for that engine."),
        CUSTOM_PROPERTIES,
        optional("description", Shape::Any, "Description."),
        optional("dimension", Shape::Any, "Quality dimension."),
        optional("method", Shape::Any, "Method."),
        optional("businessImpact", Shape::Any, "Business impact."),
        optional("schedule", Shape::Any, "When it runs."),
        optional("scheduler", Shape::Any, "What runs it."),
        optional("tags", Shape::Any, "Tags."),
        optional("authoritativeDefinitions", Shape::Any, "Links to definitions."),
    ],
)
.open();

static ARGUMENTS: Record = Record::new(
    "arguments section",
    "Arguments of a library metric.",
    &[
        optional("missingValues", Shape::AnyList(&Shape::Any), "Values that count as missing."),
        optional("validValues", Shape::AnyList(&Shape::Any), "The only valid values."),
        optional("pattern", Shape::Text, "ECMA-262 expression of valid values."),
        optional("properties", Shape::AnyList(&Shape::Text), "Columns that are unique together."),
    ],
)
.open();

static SLA: Record = Record::new(
    "service level",
    "A service level.",
    &[
        required("property", Shape::Text, "Which one, for example latency."),
        optional("value", Shape::Any, "Its value."),
        optional("unit", Shape::Text, "Unit of the value."),
        optional("element", Shape::Text, "What it is about: object.column."),
        optional("valueExt", Shape::Any, "Extended value."),
        optional("driver", Shape::Any, "Why it matters."),
        optional("description", Shape::Any, "Description."),
        optional("schedule", Shape::Any, "When it is checked."),
        optional("scheduler", Shape::Any, "What checks it."),
        CUSTOM_PROPERTIES,
        optional("id", Shape::Any, "Identifier."),
        optional("authoritativeDefinitions", Shape::Any, "Links to definitions."),
    ],
)
.open();
