//! The keys of what surrounds the schema: description, servers, team, roles, support, price, service levels,
//! relationships and the block for AI.

use super::super::super::contract::standard::{SERVER_KEYS, SERVER_TYPES};
use super::super::super::shape::{Field, Record, Shape, optional, required, required_since_v3_1};
use super::super::ANY_NUMBER;
use super::{AUTHORITATIVE_DEFINITIONS, CUSTOM_PROPERTIES, DESCRIBED, ID, TAGS};

pub(super) static DESCRIPTION: Record = Record::new(
    "description section",
    "What the data is for.",
    &[
        optional("purpose", Shape::Prose, "Purpose."),
        optional("limitations", Shape::Prose, "Limitations."),
        optional("usage", Shape::Prose, "Intended use."),
        AUTHORITATIVE_DEFINITIONS,
        CUSTOM_PROPERTIES,
    ],
)
.open();

pub(super) static SERVER: Record = Record::new(
    "server",
    "Where the data lies; which keys it has depends on its type.",
    &[
        ID.later(),
        required("server", Shape::Prose, "Its name."),
        required("type", Shape::Choice(SERVER_TYPES), "What kind of server it is."),
        DESCRIBED,
        optional("environment", Shape::Prose, "Environment, for example prod."),
        optional("roles", Shape::AnyList(&Shape::Record(&ROLE)), "Roles with access to it."),
        CUSTOM_PROPERTIES,
        optional("account", Shape::Prose, SERVER_KEYS).later(),
        optional("catalog", Shape::Prose, SERVER_KEYS).later(),
        optional("catalogUrl", Shape::Prose, SERVER_KEYS).later(),
        optional("database", Shape::Prose, SERVER_KEYS).later(),
        optional("dataset", Shape::Prose, SERVER_KEYS).later(),
        optional("delimiter", Shape::Prose, SERVER_KEYS).later(),
        optional("encoding", Shape::Prose, SERVER_KEYS).later(),
        optional("endpointUrl", Shape::Prose, SERVER_KEYS).later(),
        optional("format", Shape::Prose, SERVER_KEYS).later(),
        optional("host", Shape::Prose, SERVER_KEYS).later(),
        optional("location", Shape::Prose, SERVER_KEYS).later(),
        optional("namespace", Shape::Prose, SERVER_KEYS).later(),
        optional("path", Shape::Prose, SERVER_KEYS).later(),
        optional("port", Shape::Port, SERVER_KEYS).later(),
        optional("project", Shape::Prose, SERVER_KEYS).later(),
        optional("region", Shape::Prose, SERVER_KEYS).later(),
        optional("regionName", Shape::Prose, SERVER_KEYS).later(),
        optional("schema", Shape::Prose, SERVER_KEYS).later(),
        optional("serviceName", Shape::Prose, SERVER_KEYS).later(),
        optional("stagingDir", Shape::Prose, SERVER_KEYS).later(),
        optional("stream", Shape::Prose, SERVER_KEYS).later(),
        optional("warehouse", Shape::Prose, SERVER_KEYS).later(),
        optional("workgroup", Shape::Prose, SERVER_KEYS).later(),
    ],
)
.open_in_v3_0();

pub(super) static TEAM: Record = Record::new(
    "team section",
    "Who is responsible.",
    &[
        ID,
        optional("name", Shape::Prose, "Name of the team."),
        DESCRIBED,
        optional("members", Shape::AnyList(&Shape::Record(&TEAM_MEMBER)), "Its members."),
        TAGS,
        CUSTOM_PROPERTIES,
        AUTHORITATIVE_DEFINITIONS,
    ],
);

pub(super) static TEAM_MEMBER: Record = Record::new(
    "team member",
    "A member of the team.",
    &[
        ID.later(),
        required_since_v3_1("username", Shape::Prose, "Name of the account, or address."),
        optional("name", Shape::Prose, "Name of the person."),
        DESCRIBED,
        optional("role", Shape::Prose, "Role within the team."),
        optional("dateIn", Shape::Prose, "First day."),
        optional("dateOut", Shape::Prose, "Last day."),
        optional("replacedByUsername", Shape::Prose, "Who took over."),
        TAGS.later(),
        CUSTOM_PROPERTIES.later(),
        AUTHORITATIVE_DEFINITIONS.later(),
    ],
)
.open_in_v3_0();

pub(super) static ROLE: Record = Record::new(
    "role",
    "Access to the data, and who approves it.",
    &[
        ID.later(),
        required("role", Shape::Prose, "Name of the role."),
        DESCRIBED,
        optional("access", Shape::Prose, "What it may do, for example read."),
        optional("firstLevelApprovers", Shape::Prose, "Who approves first."),
        optional("secondLevelApprovers", Shape::Prose, "Who approves after them."),
        CUSTOM_PROPERTIES,
    ],
)
.open_in_v3_0();

pub(super) static SUPPORT: Record = Record::new(
    "support channel",
    "Where to ask.",
    &[
        ID.later(),
        required("channel", Shape::Prose, "Name of the channel."),
        optional("url", Shape::Prose, "Where it is."),
        DESCRIBED,
        optional("tool", Shape::Prose, "Tool, for example email."),
        optional("scope", Shape::Prose, "What it is for, for example issues."),
        optional("invitationUrl", Shape::Prose, "How to join."),
        CUSTOM_PROPERTIES.later(),
    ],
)
.open_in_v3_0();

pub(super) static PRICE: Record = Record::new(
    "price section",
    "What the data costs.",
    &[
        ID.later(),
        optional("priceAmount", ANY_NUMBER, "Amount."),
        optional("priceCurrency", Shape::Prose, "Currency."),
        optional("priceUnit", Shape::Prose, "For how much."),
    ],
)
.open_in_v3_0();

pub(super) static SLA: Record = Record::new(
    "service level",
    "A service level.",
    &[
        ID.later(),
        required("property", Shape::Prose, "Which one, for example latency."),
        required("value", Shape::Literal, "Its value."),
        optional("valueExt", Shape::Literal, "Extended value."),
        optional("unit", Shape::Prose, "Unit of the value."),
        optional("element", Shape::Prose, "What it is about: object.column, several separated by commas."),
        optional("driver", Shape::Prose, "Why it matters: regulatory, analytics or operational."),
        DESCRIBED.later(),
        optional("schedule", Shape::Prose, "When it is checked.").later(),
        optional("scheduler", Shape::Prose, "What checks it.").later(),
        CUSTOM_PROPERTIES.later(),
        AUTHORITATIVE_DEFINITIONS.later(),
    ],
)
.open_in_v3_0();

pub(super) static RELATIONSHIP: Record = Record::new(
    "relationship",
    "Values that must exist elsewhere: a foreign key.",
    &[
        optional("id", Shape::Prose, "Identifier."),
        optional("type", Shape::Only("foreignKey"), "Always foreignKey."),
        optional("from", Shape::OneOrMany(&Shape::Reference), "Columns that refer; only below a schema object."),
        optional("to", Shape::OneOrMany(&Shape::Reference), "Columns that they refer to."),
        DESCRIBED,
        CUSTOM_PROPERTIES,
    ],
);

pub(super) const CONTEXT: Field =
    optional("context", Shape::Either(&Shape::Prose, &CONTEXT_SECTION), "Guidance for AI, as text or in parts.");

static CONTEXT_SECTION: Record = Record::new(
    "context section",
    "Guidance for AI.",
    &[
        optional("instructions", Shape::Prose, "How to use the data."),
        optional("verifiedStatements", Shape::AnyList(&Shape::Record(&STATEMENT)), "Questions, with their answers."),
        optional("constraints", Shape::AnyList(&Shape::Record(&CONSTRAINT)), "What must not be done."),
    ],
);

static STATEMENT: Record = Record::new(
    "verified statement",
    "A question, with its answer if there is one.",
    &[
        optional("id", Shape::Prose, "Identifier."),
        required("question", Shape::Prose, "The question."),
        optional("answer", Shape::Prose, "The answer."),
        AUTHORITATIVE_DEFINITIONS,
        TAGS,
        CUSTOM_PROPERTIES,
    ],
);

static CONSTRAINT: Record = Record::new(
    "constraint for AI",
    "What must not be done.",
    &[
        optional("id", Shape::Prose, "Identifier."),
        required("constraint", Shape::Prose, "The constraint."),
        AUTHORITATIVE_DEFINITIONS,
        TAGS,
        CUSTOM_PROPERTIES,
    ],
);

pub(super) const SYNONYMS: Field =
    optional("synonyms", Shape::AnyList(&SYNONYM_SHAPE), "Other names, for catalogs and AI.");

static SYNONYM_SHAPE: Shape = Shape::Record(&SYNONYM);

static SYNONYM: Record = Record::new(
    "synonym",
    "Another name.",
    &[
        ID,
        required("synonym", Shape::Prose, "The name."),
        optional("locale", Shape::Prose, "Its language."),
        optional("source", Shape::Prose, "Where it comes from."),
        optional("status", Shape::Prose, "Whether it is approved."),
        DESCRIBED,
        CUSTOM_PROPERTIES,
    ],
);
