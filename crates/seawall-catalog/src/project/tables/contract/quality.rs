//! The keys of quality rules. Which of them belong together depends on the type of the rule.

use super::super::super::shape::{Field, Record, Shape, optional};
use super::super::ANY_NUMBER;
use super::{AUTHORITATIVE_DEFINITIONS, CUSTOM_PROPERTIES, DESCRIBED, ID, TAGS};

pub(super) const QUALITY_RULES: Field = optional("quality", Shape::AnyList(&QUALITY_SHAPE), "Quality rules.");

/// The seven dimensions and their synonyms.
const DIMENSIONS: &[&str] = &[
    "accuracy",
    "completeness",
    "conformity",
    "consistency",
    "coverage",
    "timeliness",
    "uniqueness",
    "ac",
    "cp",
    "cf",
    "cs",
    "cv",
    "tm",
    "uq",
];

static QUALITY_SHAPE: Shape = Shape::Record(&QUALITY);

static QUALITY: Record = Record::new(
    "quality rule",
    "A rule about a column or an object.",
    &[
        ID,
        optional("name", Shape::Prose, "Name, used in reasons when there is no id."),
        optional("type", Shape::Choice(&["library", "text", "sql", "custom"]), "Kind of rule."),
        optional("metric", Shape::Prose, "Metric of the library."),
        optional("rule", Shape::Prose, "Metric of the library, as v3.0 calls it."),
        optional("arguments", Shape::Record(&ARGUMENTS), "Arguments of the metric."),
        optional("unit", Shape::Prose, "rows or percent."),
        optional("severity", Shape::Prose, "info, warning or error."),
        optional("mustBe", Shape::Any, "The metric equals."),
        optional("mustNotBe", Shape::Any, "The metric differs."),
        optional("mustBeGreaterThan", ANY_NUMBER, "The metric exceeds."),
        optional("mustBeGreaterOrEqualTo", ANY_NUMBER, "The metric reaches or exceeds."),
        optional("mustBeLessThan", ANY_NUMBER, "The metric stays below."),
        optional("mustBeLessOrEqualTo", ANY_NUMBER, "The metric does not exceed."),
        optional("mustBeBetween", Shape::AnyList(&ANY_NUMBER), "The metric lies strictly between the two."),
        optional("mustNotBeBetween", Shape::AnyList(&ANY_NUMBER), "The metric does not lie strictly between the two."),
        optional("query", Shape::Prose, "The SQL of a rule of type sql."),
        optional("engine", Shape::Prose, "Engine of a custom rule."),
        optional("implementation", Shape::Any, "Custom rule for that engine."),
        CUSTOM_PROPERTIES,
        DESCRIBED,
        optional("dimension", Shape::Choice(DIMENSIONS), "Quality dimension."),
        optional("method", Shape::Prose, "Method, for example reconciliation."),
        optional("businessImpact", Shape::Prose, "Business impact."),
        optional("schedule", Shape::Prose, "When it runs."),
        optional("scheduler", Shape::Prose, "What runs it."),
        TAGS,
        AUTHORITATIVE_DEFINITIONS,
        optional("validValues", Shape::AnyList(&Shape::Any), "Valid values, as v3.0 writes them."),
        optional("mustBeGreaterThanOrEqualTo", ANY_NUMBER, "The metric reaches or exceeds, as v3.0 writes it."),
        optional("mustBeLessThanOrEqualTo", ANY_NUMBER, "The metric does not exceed, as v3.0 writes it."),
    ],
)
.open_in_v3_0();

static ARGUMENTS: Record = Record::new(
    "arguments section",
    "Arguments of a library metric.",
    &[
        optional("missingValues", Shape::AnyList(&Shape::Any), "Values that count as missing."),
        optional("validValues", Shape::AnyList(&Shape::Any), "The only valid values."),
        optional("pattern", Shape::Prose, "ECMA-262 expression of valid values."),
        optional("properties", Shape::AnyList(&Shape::Prose), "Columns that are unique together."),
    ],
)
.open();
