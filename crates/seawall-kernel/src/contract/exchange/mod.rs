//! Exchange: contracts as JSON Schema, as SQL and as a page, and back from JSON Schema.
//!
//! Nothing is lost in silence: whatever the other form has no words for is listed as [`Lost`].

mod ddl;
mod html;
mod json_schema;

use serde::Serialize;

pub use ddl::to_ddl;
pub use html::to_html;
pub use json_schema::{from_json_schema, to_json_schema};

/// Something that the other form cannot express.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// Where: `orders.amount`, or a pointer into what was read.
    pub place: String,
    /// What: `quality`, `pattern`.
    pub what: String,
    /// Why.
    pub why: String,
}

/// What was lost so far.
#[derive(Default)]
struct Losses {
    all: Vec<Lost>,
}

impl Losses {
    fn add(&mut self, place: &str, what: &str, why: &str) {
        self.all.push(Lost { place: place.to_owned(), what: what.to_owned(), why: why.to_owned() });
    }
}
