//! The keys of `kind: recovery`.

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
        required("to", Shape::Text, "The folder of backups, outside of the data folder."),
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
