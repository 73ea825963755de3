//! The keys of `kind: monitor`, `kind: correction` and `kind: view`.

use super::super::shape::{Keys, Record, Shape, optional, required};
use super::{ANY_NUMBER, FRACTION, NAME_DOC, POSITIVE_SPAN};

pub(super) static MONITOR: Record = Record::new(
    "monitor",
    "How a dataset is watched, where the defaults do not do.",
    &[
        required("kind", Shape::Only("monitor"), "The kind of this declaration."),
        required("name", Shape::Name, NAME_DOC),
        required("dataset", Shape::Name, "The dataset."),
        optional("freshness", POSITIVE_SPAN, "Longest time without an arrival; not watched by default."),
        optional(
            "quarantine_share",
            FRACTION,
            "Share of quarantined rows for one rule within the window that opens an incident; 0.05 by default.",
        ),
        optional("window", POSITIVE_SPAN, "Length of the window that is compared with the baseline; 6h by default."),
        optional(
            "by",
            Shape::List(&Shape::Text),
            "Columns by whose values numbers are watched apart; those with few values by default.",
        ),
        optional("owner", Shape::Text, "Who is told: a team or a person."),
    ],
);

pub(super) static CORRECTION: Record = Record::new(
    "correction",
    "Mends values of a source until upstream does, after the source's map.",
    &[
        required("kind", Shape::Only("correction"), "The kind of this declaration."),
        required("name", Shape::Name, NAME_DOC),
        required("source", Shape::Name, "The source whose rows are mended."),
        required("column", Shape::Text, "Column of the contract that is mended; it holds numbers."),
        required("divide_by", ANY_NUMBER, "What its value is divided by; not 0."),
        optional(
            "only",
            Shape::Map(Keys::Any, &Shape::Literal),
            "One column and the value that a row must have to be mended; every row by default.",
        ),
        optional("from", Shape::Text, "Event time from which rows are mended, in RFC 3339; every row by default."),
        required("reason", Shape::Text, "Why, for people: the incident."),
    ],
);

pub(super) static VIEW: Record = Record::new(
    "view",
    "A named query, planned for each caller with the caller's rights.",
    &[
        required("kind", Shape::Only("view"), "The kind of this declaration."),
        required("name", Shape::Name, "Its name in SQL."),
        optional("sql", Shape::Text, "One select."),
        optional("file", Shape::Text, "A .sql file of the project with one select."),
    ],
)
.exactly_one(&["sql", "file"]);
