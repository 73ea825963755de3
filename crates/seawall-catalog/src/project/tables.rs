//! The keys of every kind of declaration. What stands here is what the parser accepts and what editors are told.

use super::shape::{Field, Keys, Least, Record, Shape, Variants, optional, required};

mod contract;
mod keep;
mod model;
mod watch;

pub(crate) use contract::CONTRACT;
use keep::{LIFECYCLE, RECOVERY};
use model::MODEL;
use watch::{CORRECTION, MONITOR, VIEW};

/// The kinds that a declaration can have, with their records. Contracts have a file name of their own instead.
pub(crate) static KINDS: &[(&str, &Record)] = &[
    ("project", &PROJECT),
    ("source", &SOURCE),
    ("feature_view", &FEATURE_VIEW),
    ("feature_service", &FEATURE_SERVICE),
    ("training_set", &TRAINING_SET),
    ("model", &MODEL),
    ("monitor", &MONITOR),
    ("correction", &CORRECTION),
    ("view", &VIEW),
    ("transform", &TRANSFORM),
    ("live_view", &LIVE_VIEW),
    ("test", &TEST),
    ("recovery", &RECOVERY),
    ("lifecycle", &LIFECYCLE),
];

/// Name under which the schema of contracts is asked for.
pub(crate) const CONTRACT_KIND: &str = "contract";

const NAME_DOC: &str = "Its name: lower-case letters, digits and underscores.";

const POSITIVE_SPAN: Shape = Shape::Span(Least::Positive);
const COUNT: Shape = Shape::Integer { min: 1, max: u32::MAX as i64 };
const ANY_NUMBER: Shape = Shape::Number { min: f64::NEG_INFINITY, max: f64::INFINITY };
const FROM_ZERO: Shape = Shape::Number { min: 0.0, max: f64::INFINITY };
const FRACTION: Shape = Shape::Number { min: 0.0, max: 1.0 };

static PROJECT: Record = Record::new(
    "project",
    "The project itself, in seawall.yaml.",
    &[
        required("kind", Shape::Only("project"), "The kind of this declaration."),
        required("name", Shape::Name, NAME_DOC),
        optional(
            "variables",
            Shape::Map(Keys::Names, &Shape::Literal),
            "Values for ${name} in declarations; `--set name=value` overrides them.",
        ),
        optional(
            "log_retention",
            Shape::Span(Least::Zero),
            "How long the log keeps entries that everything has taken over; 7d by default.",
        ),
        optional("tables", Shape::Record(&TABLES), "How tables are kept: small files and old versions."),
    ],
);

static TABLES: Record = Record::new(
    "table settings",
    "How tables are kept: small files and old versions.",
    &[
        optional("file_size", Shape::Size, "Size that merged files stay below; 64MiB when absent."),
        optional(
            "similar_files",
            Shape::Integer { min: 2, max: 1_000 },
            "Files of about the same size that are merged once there are so many; 8 when absent.",
        ),
        optional(
            "keep_versions",
            POSITIVE_SPAN,
            "How long a version stays readable after the next one; 30d when absent. Bound versions always do.",
        ),
    ],
);

static SOURCE: Record = Record::new(
    "source",
    "Where rows come from and how they are adapted to a contract.",
    &[
        required("kind", Shape::Only("source"), "The kind of this declaration."),
        required("name", Shape::Name, NAME_DOC),
        optional("http", Shape::Record(&HTTP), "Producers push rows over HTTP."),
        optional("files", Shape::Record(&FILES), "Rows are read from files, each once."),
        optional("simulator", Shape::Record(&SIMULATOR), "Rows come from the built-in simulator of card payments."),
        required("contract", Shape::Versioned, "The contract's id and major version, for example payments@1."),
        optional("dataset", Shape::Name, "Which object of the contract; needed when it has several."),
        optional(
            "map",
            Shape::Text,
            "SQL over the table `input` that adapts rows to the contract, or the path of a .sql file.",
        ),
        optional(
            "references",
            Shape::Map(Keys::Names, &Shape::Record(&REFERENCE)),
            "Files that the map may join, by the table name they get.",
        ),
        optional(
            "available_at",
            Shape::Text,
            "When a row could first be known: `arrival`, or a column or SQL expression over the mapped row.",
        ),
        optional(
            "history",
            Shape::Bool,
            "Whether the source loads the past, so that available_at may precede arrival.",
        ),
    ],
)
.exactly_one(&["http", "files", "simulator"]);

static HTTP: Record = Record::new("http connector", "Producers push rows over HTTP.", &[]);

const FILE_FIELDS: [Field; 3] = [
    required("path", Shape::Text, "A file, or a folder with *.ext as its last part; relative to the project."),
    required("format", Shape::Choice(&["csv", "ndjson", "parquet"]), "The format of the files."),
    optional("null_values", Shape::List(&Shape::Literal), "Texts that mean null, besides the empty field."),
];

static FILES: Record = Record::new("files connector", "Rows are read from files, each once.", &FILE_FIELDS);

static REFERENCE: Record = Record::new("reference", "A file that a map may join.", &FILE_FIELDS);

static SIMULATOR: Record = Record::new(
    "simulator",
    "One stream of simulated card payments.",
    &[
        required("stream", Shape::Choice(&["payments", "chargebacks"]), "Which stream."),
        optional("seed", Shape::Integer { min: 0, max: i64::MAX }, "The same seed gives the same rows; 7 by default."),
        optional("length", POSITIVE_SPAN, "How long the simulated period is; 90d by default."),
        optional("payments_per_day", COUNT, "Mean payments per day; 2000 by default."),
        optional("faults", Shape::AnyList(&Shape::Text), "Faults to inject, by name."),
    ],
);

static FEATURE_VIEW: Record = Record::new(
    "feature view",
    "Features of one entity over one dataset.",
    &[
        required("kind", Shape::Only("feature_view"), "The kind of this declaration."),
        required("name", Shape::Name, NAME_DOC),
        required("entity", Shape::OneOrMany(&Shape::Text), "The column or columns that identify the entity."),
        required("from", Shape::Name, "The dataset whose rows are aggregated."),
        required("time", Shape::Text, "The column with the event time."),
        required("features", Shape::Map(Keys::Names, &Shape::Variants(&FEATURE)), "The features by name."),
    ],
);

/// A windowed aggregate of a column.
macro_rules! windowed {
    ($name:ident, $key:literal, $doc:literal) => {
        static $name: Record = Record::new(
            concat!($key, " feature"),
            $doc,
            &[required($key, Shape::Text, $doc), required("window", Shape::Window, WINDOW_DOC), EDGE, WHERE],
        );
    };
}

const WINDOW_DOC: &str = "How far back the window reaches, for example 24h, or lifetime.";
const WHERE: Field =
    optional("where", Shape::Text, "A condition in SQL over the row's columns: only rows for which it is true count.");
const EDGE: Field = optional(
    "edge",
    Shape::Choice(&["sawtooth", "exact"]),
    "Where the window begins: at a multiple of its hop (sawtooth, the default) or exactly.",
);
const TTL: Field = optional("ttl", POSITIVE_SPAN, "After how long the value is forgotten; never by default.");

windowed!(COUNT_FEATURE, "count", "Counts rows (\"*\") or the values of a column that are not null.");
windowed!(SUM_FEATURE, "sum", "Adds up a column.");
windowed!(MEAN_FEATURE, "mean", "The arithmetic mean of a column.");
windowed!(MIN_FEATURE, "min", "The least value of a column.");
windowed!(MAX_FEATURE, "max", "The greatest value of a column.");
windowed!(VARIANCE_FEATURE, "variance", "The sample variance of a column.");
windowed!(STDDEV_FEATURE, "stddev", "The sample standard deviation of a column.");
windowed!(FIRST_FEATURE, "first", "The first value of a column in the window.");
windowed!(LAST_FEATURE, "last", "The last value of a column in the window.");
windowed!(MOST_FREQUENT_FEATURE, "most_frequent", "The value of a column that occurs most often.");

static DISTINCT_FEATURE: Record = Record::new(
    "distinct feature",
    "How many different values a column has.",
    &[
        required("distinct", Shape::Text, "The column."),
        optional(
            "exact",
            Shape::Bool,
            "Whether every different value is kept, instead of a sketch within about 1.6 %.",
        ),
        required("window", Shape::Window, WINDOW_DOC),
        EDGE,
        WHERE,
    ],
);

static QUANTILE_FEATURE: Record = Record::new(
    "quantile feature",
    "A quantile of a column, within 1 %.",
    &[
        required("quantile", Shape::Text, "The column."),
        required("q", FRACTION, "Which quantile, from 0 to 1: 0.95 for the 95th percentile."),
        required("window", Shape::Window, WINDOW_DOC),
        EDGE,
        WHERE,
    ],
);
static RATE_FEATURE: Record = Record::new(
    "rate feature",
    "Rows, or the sum of a column, per unit of time.",
    &[
        required("rate", Shape::Text, "\"*\" for rows, or the column that is summed."),
        required("per", POSITIVE_SPAN, "The unit of time, for example 1h."),
        required("window", Shape::Window, "How far back the window reaches, for example 24h."),
        EDGE,
        WHERE,
    ],
);
static RATIO_FEATURE: Record = Record::new(
    "ratio feature",
    "One count or sum over another.",
    &[
        required("ratio", Shape::Variants(&SIDE), "What is divided."),
        required("to", Shape::Variants(&SIDE), "By what."),
        required("window", Shape::Window, WINDOW_DOC),
        EDGE,
    ],
);
static SIDE: Variants = Variants { title: "side of a ratio", records: &[("count", &COUNT_SIDE), ("sum", &SUM_SIDE)] };
static COUNT_SIDE: Record = Record::new(
    "count side",
    "Counts rows or values.",
    &[required("count", Shape::Text, "\"*\" for rows, or the column whose values are counted."), WHERE],
);
static SUM_SIDE: Record =
    Record::new("sum side", "Adds up a column.", &[required("sum", Shape::Text, "The column."), WHERE]);
static LATEST_FEATURE: Record = Record::new(
    "latest feature",
    "The newest value of a column.",
    &[required("latest", Shape::Text, "The column."), TTL, WHERE],
);
static TIME_SINCE_FEATURE: Record = Record::new(
    "time_since feature",
    "Seconds since the newest row.",
    &[required("time_since", Shape::Only("*"), "Always \"*\": the newest row counts."), TTL, WHERE],
);
static TIME_SINCE_FIRST_FEATURE: Record = Record::new(
    "time_since_first feature",
    "Seconds since the first row.",
    &[required("time_since_first", Shape::Only("*"), "Always \"*\": the first row counts."), WHERE],
);

static FEATURE: Variants = Variants {
    title: "feature",
    records: &[
        ("count", &COUNT_FEATURE),
        ("sum", &SUM_FEATURE),
        ("mean", &MEAN_FEATURE),
        ("min", &MIN_FEATURE),
        ("max", &MAX_FEATURE),
        ("variance", &VARIANCE_FEATURE),
        ("stddev", &STDDEV_FEATURE),
        ("rate", &RATE_FEATURE),
        ("ratio", &RATIO_FEATURE),
        ("first", &FIRST_FEATURE),
        ("last", &LAST_FEATURE),
        ("distinct", &DISTINCT_FEATURE),
        ("most_frequent", &MOST_FREQUENT_FEATURE),
        ("quantile", &QUANTILE_FEATURE),
        ("latest", &LATEST_FEATURE),
        ("time_since", &TIME_SINCE_FEATURE),
        ("time_since_first", &TIME_SINCE_FIRST_FEATURE),
    ],
};

static TRAINING_SET: Record = Record::new(
    "training set",
    "Decisions with their features and their labels.",
    &[
        required("kind", Shape::Only("training_set"), "The kind of this declaration."),
        required("name", Shape::Name, NAME_DOC),
        required("rows", Shape::Record(&ROWS), "The rows to decide on."),
        optional("label", Shape::Variants(&LABEL), "What is to be predicted."),
        optional("features", VIEW_REFERENCES, "The feature views, for example [card@1]."),
        optional("service", Shape::Versioned, "The feature service whose features these are, for example fraud@1."),
        optional("derived", Shape::Map(Keys::Names, &Shape::Text), DERIVED_DOC),
        optional(
            "context",
            Shape::Map(Keys::Names, &Shape::Text),
            "Columns computed from the row itself: name and SQL expression.",
        ),
        optional(
            "visibility_lag",
            Shape::Span(Least::Zero),
            "How much later than its availability a row is visible to serving; 0s by default.",
        ),
        optional(
            "known",
            Shape::Choice(&["in_time", "ignore"]),
            "Whether a decision sees only what was known at its time (in_time, the default); `ignore` shows what a leak is worth, and such a set is never served.",
        ),
        optional(
            "contract",
            Shape::Record(&contract::OWN_CONTRACT),
            "Rules that its rows keep before a version is published.",
        ),
    ],
)
.exactly_one(&["features", "service"]);

static FEATURE_SERVICE: Record = Record::new(
    "feature service",
    "A named, versioned bundle of features of several views, asked for as one.",
    &[
        required("kind", Shape::Only("feature_service"), "The kind of this declaration."),
        required("name", Shape::Name, NAME_DOC),
        required("features", VIEW_REFERENCES, "The feature views, for example [card@1]."),
        optional(
            "request",
            Shape::Map(Keys::Names, &Shape::Choice(&VALUE_TYPES)),
            "What a request tells besides entities: name and type.",
        ),
        optional("derived", Shape::Map(Keys::Names, &Shape::Text), DERIVED_DOC),
        optional("budget", POSITIVE_SPAN, "How long an answer may take, for example 10ms."),
        optional("log", Shape::Share, "Which answers are recorded: all, none (the default), or a share such as 1%."),
    ],
);

/// Types of what a request tells.
const VALUE_TYPES: [&str; 6] = ["string", "integer", "double", "boolean", "timestamp", "date"];
const DERIVED_DOC: &str = "Features computed from the others: name and SQL expression over VIEW__FEATURE, what the request or the context tells, and each other.";
const VIEW_REFERENCES: Shape = Shape::List(&Shape::Either(&Shape::Versioned, &VIEW_REFERENCE));

static ROWS: Record = Record::new(
    "rows section",
    "The rows to decide on.",
    &[
        required("from", Shape::Name, "The dataset; its contract has a primary key."),
        required("at", Shape::Text, "The column with the decision time."),
        optional("own_row", Shape::Only("exclude"), "A decision never sees its own row."),
    ],
);

static LABEL: Variants =
    Variants { title: "label", records: &[("present", &PRESENT_LABEL), ("column", &COLUMN_LABEL)] };

static PRESENT_LABEL: Record = Record::new(
    "label by presence",
    "True when there is an outcome, false when there is none for long enough.",
    &[
        required("from", Shape::Name, "The dataset with the outcomes."),
        required("join", Shape::OneOrMany(&Shape::Text), "The columns, equal on both sides, that join an outcome."),
        required("present", Shape::OnlyBool(true), "The label of a row with an outcome."),
        required("absent", Shape::OnlyBool(false), "The label of a row that stays without one."),
        required("final_after", POSITIVE_SPAN, "When presence or absence is final, counted from the decision."),
    ],
);

static COLUMN_LABEL: Record = Record::new(
    "label by column",
    "The value of a column of the outcome.",
    &[
        required("from", Shape::Name, "The dataset with the outcomes."),
        required("join", Shape::OneOrMany(&Shape::Text), "The columns, equal on both sides, that join an outcome."),
        required("column", Shape::Text, "The column of the outcome that is the label."),
    ],
);

static VIEW_REFERENCE: Record = Record::new(
    "feature view reference",
    "A feature view of which not everything is taken, or whose entity columns have other names in the rows.",
    &[
        required("view", Shape::Versioned, "The feature view, for example weather@1."),
        optional(
            "entity",
            Shape::Map(Keys::Any, &Shape::Text),
            "For each entity column of the view, a column of the rows; of the same name when absent.",
        ),
        optional("only", Shape::List(&Shape::Name), "The features that are taken, in this order; all when absent."),
    ],
);

static TRANSFORM: Record = Record::new(
    "transform",
    "SQL that makes one dataset of others.",
    &[
        required("kind", Shape::Only("transform"), "The kind of this declaration."),
        required("name", Shape::Name, NAME_DOC),
        optional("sql", Shape::Text, "The SQL."),
        optional("file", Shape::Text, "A .sql file of the project."),
        required("to", Shape::Name, "The dataset that it makes; a contract describes it."),
        optional(
            "available_at",
            Shape::Text,
            "When a row could first be known: a column or an SQL expression over the row. SQL that only projects and \
             filters one dataset hands on what its rows knew, and needs none.",
        ),
        optional("history", Shape::Bool, "Whether `available_at` may lie before the row was made; no by default."),
    ],
)
.exactly_one(&["sql", "file"]);

static LIVE_VIEW: Record = Record::new(
    "live view",
    "Aggregates over tumbling windows, kept current while rows arrive.",
    &[
        required("kind", Shape::Only("live_view"), "The kind of this declaration."),
        required("name", Shape::Name, NAME_DOC),
        required("from", Shape::Name, "The dataset."),
        optional("time", Shape::Text, "The column with the event time; the contract's by default."),
        optional("by", Shape::OneOrMany(&Shape::Text), "Columns to group by."),
        required("window", POSITIVE_SPAN, "How long each window is."),
        optional("allowed_lateness", Shape::Span(Least::Zero), "How late a row may be and still count; 0s by default."),
        required("columns", Shape::Map(Keys::Names, &Shape::Variants(&LIVE_COLUMN)), "The aggregates by name."),
    ],
);

/// An aggregate of a live view: the window is the view's.
macro_rules! live {
    ($name:ident, $key:literal, $doc:literal) => {
        static $name: Record = Record::new(concat!($key, " column"), $doc, &[required($key, Shape::Text, $doc)]);
    };
}

live!(COUNT_COLUMN, "count", "Counts rows (\"*\") or the values of a column that are not null.");
live!(SUM_COLUMN, "sum", "Adds up a column.");
live!(MEAN_COLUMN, "mean", "The arithmetic mean of a column.");
live!(MIN_COLUMN, "min", "The least value of a column.");
live!(MAX_COLUMN, "max", "The greatest value of a column.");
live!(DISTINCT_COLUMN, "distinct", "About how many different values a column has.");

static LIVE_COLUMN: Variants = Variants {
    title: "live aggregate",
    records: &[
        ("count", &COUNT_COLUMN),
        ("sum", &SUM_COLUMN),
        ("mean", &MEAN_COLUMN),
        ("min", &MIN_COLUMN),
        ("max", &MAX_COLUMN),
        ("distinct", &DISTINCT_COLUMN),
    ],
};

static TEST: Record = Record::new(
    "test",
    "Rows that are given and what must follow from them.",
    &[
        required("kind", Shape::Only("test"), "The kind of this declaration."),
        required("name", Shape::Name, NAME_DOC),
        required(
            "given",
            Shape::Map(Keys::Names, &Shape::AnyList(&Shape::Map(Keys::Any, &Shape::Any))),
            "Rows by dataset.",
        ),
        optional(
            "when",
            Shape::Any,
            "`gate` (default), `{source: NAME}`, `{transform: NAME}`, or `{feature_view: NAME, entity: {...}, at: INSTANT}`.",
        ),
        required("expect", Shape::Any, "`accepted`, `quarantined`, or `values` of features."),
    ],
);
