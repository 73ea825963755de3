//! What the harnesses send: a project with one dataset, and events whose content follows from seed and number.
//!
//! Because content is a function, the oracle needs no copy of what was sent: it can tell any row in the table from the
//! one that should be there.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::seeded::Seeded;

/// Entities that events are spread over.
pub const USERS: u64 = 7;
/// Amounts above this are stopped at the gate.
const AMOUNT_MAX: u64 = 1_000;

const CONTRACT: &str = "\
apiVersion: v3.2.0
kind: DataContract
id: events
version: 1.0.0
name: Events
status: active
schema:
  - name: events
    properties:
      - {name: event_id, logicalType: string, primaryKey: true, required: true}
      - {name: happened_at, logicalType: timestamp, required: true}
      - {name: user_id, logicalType: string, required: true}
      - {name: amount, logicalType: number, logicalTypeOptions: {minimum: 0, maximum: 1000}}
      - {name: note, logicalType: string}
    customProperties:
      - {property: seawall.eventTime, value: happened_at}
";

/// What the contract says of persons, when it does.
const PERSONAL: [(&str, &str); 2] = [
    ("{name: note, logicalType: string}", "{name: note, logicalType: string, classification: personal}"),
    (
        "- {property: seawall.eventTime, value: happened_at}",
        "- {property: seawall.eventTime, value: happened_at}\n      - {property: seawall.subject, value: user_id}",
    ),
];

const DECLARATIONS: &str = "\
kind: source
name: events
http: {}
contract: events@1
---
kind: feature_view
name: users
entity: user_id
from: events
time: happened_at
features:
  n_30d: {count: \"*\", window: 30d}
";

/// Which project is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Project {
    /// Nothing is about persons.
    Plain,
    /// Users are persons, and notes are personal: the log has them sealed.
    Personal,
}

impl Project {
    /// The folder of its template.
    pub fn template(self) -> &'static str {
        match self {
            Project::Plain => "template",
            Project::Personal => "template-personal",
        }
    }
}

/// Writes the project's declarations into `folder`.
pub fn write_project(folder: &Path, project: Project) -> Result<()> {
    let write = |name: &str, content: &str| {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        fs::write(&path, content).with_context(|| format!("writing {}", path.display()))
    };
    // Whatever nobody needs any more is given up at once.
    write("seawall.yaml", "kind: project\nname: torture\nlog_retention: 0s\n")?;
    let mut contract = CONTRACT.to_owned();
    if project == Project::Personal {
        for (plain, personal) in PERSONAL {
            contract = contract.replace(plain, personal);
        }
    }
    write("contracts/events.odcs.yaml", &contract)?;
    write("declarations.yaml", DECLARATIONS)
}

/// Where an event's content comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// Seed of the run.
    pub seed: u64,
    /// When the run began, in seconds since 1970: event times follow it.
    pub began_s: u64,
    /// The producer.
    pub producer: u64,
}

/// The columns of a row that its producer chose.
#[derive(Debug, Clone, PartialEq)]
pub struct Content {
    /// The key.
    pub event_id: String,
    /// Microseconds since 1970.
    pub happened_at: i64,
    /// The entity.
    pub user_id: String,
    /// A whole number, as the wire carries it.
    pub amount: f64,
    /// Text that fills the event to about a hundred bytes.
    pub note: String,
}

impl Origin {
    /// Event `number`, which the contract accepts.
    pub fn accepted(&self, number: u64) -> Content {
        let mut draw = Seeded::new(self.seed, (self.producer << 40) + number);
        let micros = self.began_s * 1_000_000 + number;
        Content {
            event_id: format!("p{}-{number}", self.producer),
            happened_at: i64::try_from(micros).expect("a time of this century fits"),
            user_id: format!("u{}", draw.below(USERS)),
            amount: draw.below(AMOUNT_MAX) as f64,
            note: format!("{:016x}{:016x}", draw.next(), draw.next()),
        }
    }

    /// A row that the contract stops: number `number` of this producer's stopped rows.
    pub fn stopped(&self, number: u64) -> Content {
        let tag = self.stopped_tag(number);
        Content { event_id: tag.clone(), amount: 5_000.0, note: tag, ..self.accepted(number) }
    }

    /// A row with the key of the accepted event `of` and another content: number `number` of the stopped rows.
    pub fn conflict(&self, number: u64, of: u64) -> Content {
        Content { note: self.stopped_tag(number), ..self.accepted(of) }
    }

    /// What tells a stopped row apart in the quarantine: its note.
    pub fn stopped_tag(&self, number: u64) -> String {
        format!("q{}-{number}", self.producer)
    }
}

impl Content {
    /// The row as a line of a request.
    pub fn line(&self) -> Value {
        let happened_at = jiff::Timestamp::from_microsecond(self.happened_at).expect("a time of this century");
        json!({
            "event_id": self.event_id,
            "happened_at": happened_at.to_string(),
            "user_id": self.user_id,
            "amount": self.amount,
            "note": self.note,
        })
    }

    /// The row that an answer to [`COLUMNS`] shows.
    pub fn of_answer(row: &Value) -> Option<Content> {
        Some(Content {
            event_id: row["event_id"].as_str()?.to_owned(),
            happened_at: row["happened"].as_i64()?,
            user_id: row["user_id"].as_str()?.to_owned(),
            amount: row["amount"].as_f64()?,
            note: row["note"].as_str()?.to_owned(),
        })
    }
}

/// What an audit selects of each row.
pub const COLUMNS: &str = "event_id, cast(happened_at as bigint) as happened, user_id, amount, note, \
                           cast(_partition as bigint) as part, cast(_lsn as bigint) as lsn, \
                           cast(_arrival as bigint) as arrival";
