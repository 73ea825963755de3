//! The keys of `kind: recovery` and `kind: lifecycle`.

use super::super::shape::{Record, Shape, optional, required};
use super::{COUNT, NAME_DOC, POSITIVE_SPAN};

pub(super) static RECOVERY: Record = Record::new(
    "recovery",
    "How much may be lost, how long a restore may take, and the backups and checks that keep to it.",
    &[
        required("kind", Shape::Only("recovery"), "The kind of this declaration."),
        required("name", Shape::Name, NAME_DOC),
        optional("rpo", POSITIVE_SPAN, "The recovery point objective: the age that the newest backup may reach."),
        optional("rto", POSITIVE_SPAN, "The recovery time objective: how long a restore may take."),
        optional("backup", Shape::Record(&BACKUP), "Backups that the server takes."),
        optional("scrub", Shape::Record(&SCRUB), "How the server checks what is kept, in the background."),
    ],
);

static BACKUP: Record = Record::new(
    "backups",
    "Backups that the server takes.",
    &[
        required("to", Shape::Text, "The folder of backups, outside of the data folder, or s3://BUCKET/PREFIX."),
        required("every", POSITIVE_SPAN, "From the beginning of one backup to that of the next."),
        optional("keep", COUNT, "How many of the newest stay; all of them by default."),
    ],
);

static SCRUB: Record = Record::new(
    "scrub",
    "How the server checks what is kept, in the background.",
    &[
        required("bytes_per_second", Shape::Size, "How much it reads per second at most, for example 8MiB."),
        required("every", POSITIVE_SPAN, "From the beginning of one check of everything to that of the next."),
    ],
);

pub(super) static LIFECYCLE: Record = Record::new(
    "lifecycle",
    "What is given up when, by class; whatever something is bound to stays.",
    &[
        required("kind", Shape::Only("lifecycle"), "The kind of this declaration."),
        required("name", Shape::Name, NAME_DOC),
        optional("every", POSITIVE_SPAN, "How often a server carries it out; 1d when absent."),
        optional("raw", Shape::Record(&RAW), "What came in: datasets, and what was stopped at the gate."),
        optional("derived", Shape::Record(&VERSIONS), "Datasets that transforms make."),
        optional("features", Shape::Record(&VERSIONS), "Served vectors and training sets."),
        optional("models", Shape::Record(&MODELS), "Predictions, and artifacts of models."),
    ],
);

const KEEP_VERSIONS: &str = "How long a version stays readable after another one took its place.";

static RAW: Record = Record::new(
    "lifecycle of what came in",
    "What came in: datasets, and what was stopped at the gate.",
    &[
        optional("keep_versions", POSITIVE_SPAN, KEEP_VERSIONS),
        optional("quarantine", POSITIVE_SPAN, "How long stopped rows are kept after they arrived."),
    ],
);

static VERSIONS: Record = Record::new(
    "lifecycle of tables",
    "How long older versions stay.",
    &[optional("keep_versions", POSITIVE_SPAN, KEEP_VERSIONS)],
);

static MODELS: Record = Record::new(
    "lifecycle of models",
    "Predictions, and artifacts of models.",
    &[
        optional("keep_versions", POSITIVE_SPAN, KEEP_VERSIONS),
        optional("unused", POSITIVE_SPAN, "How long an artifact is kept after its training while nothing uses it."),
        optional("move_to", Shape::Text, "A folder that such artifacts are moved to, instead of being removed."),
    ],
);
