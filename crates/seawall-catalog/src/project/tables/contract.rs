//! The keys of contracts, by the Open Data Contract Standard v3.2: the head, the schema and what stands below it.
//!
//! What depends on another key, such as the keys that belong to a type of server, is in
//! [`standard`](super::super::contract::standard).

mod around;
mod quality;

use super::super::shape::{Field, Record, Shape, optional, required, required_since_v3_1};
use around::{CONTEXT, DESCRIPTION, PRICE, RELATIONSHIP, ROLE, SERVER, SLA, SUPPORT, SYNONYMS, TEAM, TEAM_MEMBER};
use quality::QUALITY_RULES;

/// An ODCS contract, v3.0 to v3.2.
pub(crate) static CONTRACT: Record = Record::new(
    "contract",
    "A data contract by the Open Data Contract Standard, v3.0 to v3.2.",
    &[
        required("apiVersion", Shape::Text, "Version of the standard, for example v3.2.0."),
        required("kind", Shape::Only("DataContract"), "Always DataContract."),
        required("id", Shape::Text, "Identifier; sources refer to it as id@major."),
        required("version", Shape::Prose, "Version of the contract, for example 1.0.0."),
        optional("name", Shape::Prose, "Display name."),
        optional("status", Shape::Prose, "Lifecycle status, for example active."),
        optional("schema", Shape::AnyList(&Shape::Record(&SCHEMA_OBJECT)), "The objects (tables)."),
        optional("slaProperties", Shape::AnyList(&Shape::Record(&SLA)), "Service levels."),
        CUSTOM_PROPERTIES,
        optional("tenant", Shape::Prose, "Tenant."),
        optional("domain", Shape::Prose, "Domain."),
        optional("dataProduct", Shape::Prose, "Data product; deprecated since v3.1."),
        optional("description", Shape::Record(&DESCRIPTION), "Purpose, limitations and usage."),
        TAGS,
        optional("servers", Shape::AnyList(&Shape::Record(&SERVER)), "Where the data lies."),
        optional("support", Shape::AnyList(&Shape::Record(&SUPPORT)), "Support channels."),
        optional("price", Shape::Record(&PRICE), "Price."),
        optional("team", Shape::RecordOrList(&TEAM, &Shape::Record(&TEAM_MEMBER)), "Team; before v3.1 its members."),
        optional("roles", Shape::AnyList(&Shape::Record(&ROLE)), "Roles, with who approves access in two levels."),
        optional("slaDefaultElement", Shape::Prose, "What service levels are about by default; deprecated since v3.1."),
        AUTHORITATIVE_DEFINITIONS,
        optional("contractCreatedTs", Shape::Prose, "When the contract was created."),
        CONTEXT,
    ],
);

const TAGS: Field = optional("tags", Shape::AnyList(&Shape::Prose), "Tags.");
const ID: Field = optional("id", Shape::StableId, "Identifier for references.");
const DESCRIBED: Field = optional("description", Shape::Prose, "Description.");
const DEPRECATED: Field = optional("deprecated", Shape::Bool, "Whether it should not be used any more.");

const AUTHORITATIVE_DEFINITIONS: Field =
    optional("authoritativeDefinitions", Shape::AnyList(&AUTHORITATIVE_DEFINITION_SHAPE), "Links to definitions.");

static AUTHORITATIVE_DEFINITION_SHAPE: Shape = Shape::Record(&AUTHORITATIVE_DEFINITION);

static AUTHORITATIVE_DEFINITION: Record = Record::new(
    "authoritative definition",
    "A link to a definition.",
    &[
        ID.later(),
        required("url", Shape::Prose, "Where it is."),
        required("type", Shape::Prose, "What it is, for example businessDefinition."),
        DESCRIBED.later(),
    ],
)
.open_in_v3_0();

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
        ID.later(),
        required_since_v3_1("property", Shape::Prose, "Its name, for example seawall.eventTime."),
        required_since_v3_1("value", Shape::Any, "Its value."),
        DESCRIBED.later(),
        optional("vendor", Shape::Prose, "Whose extension it is.").later(),
    ],
)
.open_in_v3_0();

/// The inside of a schema object, for rows that Seawall makes itself.
pub(super) static OWN_CONTRACT: Record = Record::new(
    "contract section",
    "Rules about the rows of a training set, as in a contract.",
    &[
        optional(
            "properties",
            Shape::AnyList(&Shape::Record(&PROPERTY)),
            "Its columns: VIEW__FEATURE, label and others.",
        ),
        QUALITY_RULES,
        CUSTOM_PROPERTIES,
    ],
);

static SCHEMA_OBJECT: Record = Record::new(
    "schema object",
    "An object (table) of a contract.",
    &[
        required("name", Shape::Text, "Its name, also of its dataset."),
        optional("properties", Shape::AnyList(&Shape::Record(&PROPERTY)), "Columns."),
        QUALITY_RULES,
        CUSTOM_PROPERTIES,
        ID,
        optional("physicalType", Shape::Prose, "Type in the source, for example table."),
        optional("physicalName", Shape::Prose, "Name in the source."),
        optional("logicalType", Shape::Choice(&["object", "blob"]), "Always object, or blob."),
        DESCRIBED,
        optional("businessName", Shape::Prose, "Business name."),
        optional("dataGranularityDescription", Shape::Prose, "What one row stands for."),
        TAGS,
        AUTHORITATIVE_DEFINITIONS,
        optional("relationships", Shape::AnyList(&Shape::Record(&RELATIONSHIP)), "References to other objects."),
        CONTEXT,
        SYNONYMS,
        DEPRECATED,
    ],
);

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
        optional("primaryKeyPosition", POSITION, "Place within a composite key, from 1."),
        optional("classification", Shape::Prose, "Confidentiality, for example personal."),
        optional("enum", Shape::List(&Shape::Either(&Shape::Literal, &ENUM_VALUE)), "Allowed values."),
        optional("properties", Shape::AnyList(&Shape::Record(&PROPERTY)), "Fields of an object."),
        optional("items", Shape::Record(&PROPERTY), "Elements of an array."),
        optional("map", Shape::Record(&MAP), "Keys and values of a map."),
        QUALITY_RULES,
        optional("physicalName", Shape::Prose, "Name in the source."),
        optional("physicalType", Shape::Prose, "Type in the source; decimal(p,s) makes a number exact."),
        CUSTOM_PROPERTIES,
        ID,
        DESCRIBED,
        optional("businessName", Shape::Prose, "Business name."),
        optional("partitioned", Shape::Bool, "Whether the source is partitioned by it."),
        optional("partitionKeyPosition", POSITION, "Place within the partition key, from 1."),
        optional("encryptedName", Shape::Prose, "Name of the encrypted column."),
        optional("criticalDataElement", Shape::Bool, "Whether it is critical."),
        optional("transformSourceObjects", Shape::AnyList(&Shape::Prose), "Objects that it is made of."),
        optional("transformLogic", Shape::Prose, "How it is made."),
        optional("transformDescription", Shape::Prose, "How it is made, for people."),
        optional("examples", Shape::AnyList(&Shape::Any), "Examples."),
        optional("relationships", Shape::AnyList(&Shape::Record(&RELATIONSHIP)), "References to other columns."),
        TAGS,
        AUTHORITATIVE_DEFINITIONS,
        optional(
            "semanticType",
            Shape::Choice(&["column", "measure", "dimension"]),
            "column, or a measure or dimension that is computed of columns.",
        ),
        SYNONYMS,
        DEPRECATED,
    ],
);

const POSITION: Shape = Shape::Integer { min: i64::MIN, max: i64::MAX };

const LOGICAL_TYPES: &[&str] =
    &["string", "integer", "number", "boolean", "date", "timestamp", "time", "object", "array", "map", "vector"];

static ENUM_VALUE: Record = Record::new(
    "enum value",
    "An allowed value.",
    &[
        required("value", Shape::Literal, "The value."),
        optional("label", Shape::Prose, "How it is shown."),
        ID,
        DESCRIBED,
        TAGS,
        CUSTOM_PROPERTIES,
        AUTHORITATIVE_DEFINITIONS,
    ],
);

static MAP: Record = Record::new(
    "map section",
    "What the keys and the values of a map are.",
    &[
        required("key", Shape::Record(&PROPERTY), "The keys."),
        required("value", Shape::Record(&PROPERTY), "The values."),
    ],
);

const LENGTH: Shape = Shape::Integer { min: 0, max: i64::MAX };

static TYPE_OPTIONS: Record = Record::new(
    "logicalTypeOptions section",
    "Limits that belong to a logical type.",
    &[
        optional("minLength", LENGTH, "Least number of characters."),
        optional("maxLength", LENGTH, "Greatest number of characters."),
        optional("pattern", Shape::Prose, "ECMA-262 expression that must match."),
        optional("format", Shape::Prose, "Format of the text, the number or the time."),
        optional("minimum", Shape::Literal, "Least value."),
        optional("maximum", Shape::Literal, "Greatest value."),
        optional("exclusiveMinimum", Shape::Literal, "Value that must be exceeded."),
        optional("exclusiveMaximum", Shape::Literal, "Value that must not be reached."),
        optional("multipleOf", super::FROM_ZERO, "Number of which the value is a multiple."),
        optional("minItems", LENGTH, "Least number of elements."),
        optional("maxItems", LENGTH, "Greatest number of elements."),
        optional("uniqueItems", Shape::Bool, "Whether elements must differ."),
        optional("minProperties", LENGTH, "Least number of fields that are not null."),
        optional("maxProperties", LENGTH, "Greatest number of fields that are not null."),
        optional("required", Shape::List(&Shape::Prose), "Fields that must not be null."),
        optional("timezone", Shape::Bool, "Whether times carry a zone."),
        optional("defaultTimezone", Shape::Prose, "Zone of times without one."),
        optional("dimensions", Shape::Integer { min: 1, max: i64::MAX }, "Number of elements of a vector."),
        optional(
            "elementType",
            Shape::Choice(&["bfloat16", "binary", "float16", "float32", "float64", "int8", "uint8"]),
            "Type of a vector's elements.",
        ),
        optional(
            "distanceMetric",
            Shape::Choice(&["cosine", "dotProduct", "euclidean", "hamming", "manhattan"]),
            "Distance between vectors.",
        ),
        optional("embeddingModel", Shape::Prose, "Model that made a vector."),
        optional("embeddingModelVersion", Shape::Prose, "Version of that model."),
        optional("normalized", Shape::Bool, "Whether vectors have length 1."),
    ],
);
