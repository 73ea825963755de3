//! The shape of declarations: one description from which the strict check and the JSON Schemas for editors both follow,
//! so that an editor and `seawall check` cannot disagree. The descriptions themselves are in `tables`.

use super::source::Place;
use super::words::listed;
use super::yaml::Node;

mod check;
mod schema;

pub(crate) use check::check_record;
pub(crate) use schema::json_schema;

/// What a value must look like.
pub(crate) enum Shape {
    /// Any value.
    Any,
    /// Text that is not empty.
    Text,
    /// Any scalar, taken as it is written.
    Literal,
    /// Exactly this text.
    Only(&'static str),
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// A name that Seawall can use for tables and columns: see [`name_problem`].
    Name,
    /// `NAME@VERSION`.
    Versioned,
    /// A length of time such as `24h`.
    Span(Least),
    /// A size in bytes such as `2GiB`: see [`bytes`](super::words::bytes).
    Size,
    /// `true` or `false`.
    Bool,
    /// Exactly this boolean.
    OnlyBool(bool),
    /// A whole number within bounds, both included.
    Integer { min: i64, max: i64 },
    /// A number within bounds, both included.
    Number { min: f64, max: f64 },
    /// A list of values, at least one.
    List(&'static Shape),
    /// A list of values, which may be empty.
    AnyList(&'static Shape),
    /// A value, or a list of at least one.
    OneOrMany(&'static Shape),
    /// Values under keys of the author's choosing.
    Map(Keys, &'static Shape),
    /// Known keys.
    Record(&'static Record),
    /// One of several records, told apart by the key that only one of them has.
    Variants(&'static Variants),
    /// The first shape for scalars, the record for mappings.
    Either(&'static Shape, &'static Record),
}

/// The least length of time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Least {
    /// `0s` is allowed.
    Zero,
    /// It must last.
    Positive,
}

/// Keys of a [`Shape::Map`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keys {
    /// Each is a [`Shape::Name`].
    Names,
    /// Any text.
    Any,
}

/// A mapping with known keys.
pub(crate) struct Record {
    /// What it is, as a noun phrase without article: `source`.
    pub title: &'static str,
    /// One sentence for editors.
    pub doc: &'static str,
    /// The keys.
    pub fields: &'static [Field],
    /// Keys of which exactly one must be given; empty for none.
    pub exactly_one: &'static [&'static str],
    /// What an unknown key means.
    pub unknown: Unknown,
}

/// What an unknown key of a [`Record`] means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// An error.
    Refused,
    /// An error when it looks like a typing mistake, a warning otherwise: the standard behind it may grow.
    Reported,
}

/// One key of a [`Record`].
pub(crate) struct Field {
    pub name: &'static str,
    pub shape: Shape,
    pub required: bool,
    /// One sentence for editors.
    pub doc: &'static str,
}

/// Records told apart by a key.
pub(crate) struct Variants {
    /// What it is, as a noun phrase without article.
    pub title: &'static str,
    /// The telling key and its record.
    pub records: &'static [(&'static str, &'static Record)],
}

/// A key that must be given.
pub(crate) const fn required(name: &'static str, shape: Shape, doc: &'static str) -> Field {
    Field { name, shape, required: true, doc }
}

/// A key that may be left out.
pub(crate) const fn optional(name: &'static str, shape: Shape, doc: &'static str) -> Field {
    Field { name, shape, required: false, doc }
}

impl Record {
    /// A record that refuses unknown keys.
    pub const fn new(title: &'static str, doc: &'static str, fields: &'static [Field]) -> Self {
        Record { title, doc, fields, exactly_one: &[], unknown: Unknown::Refused }
    }

    /// The same, with keys of which exactly one must be given.
    pub const fn exactly_one(self, keys: &'static [&'static str]) -> Self {
        Record { exactly_one: keys, ..self }
    }

    /// The same, for a standard that may grow.
    pub const fn open(self) -> Self {
        Record { unknown: Unknown::Reported, ..self }
    }

    fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

impl Variants {
    /// The record whose telling key `node` has.
    pub fn choose(&self, node: &Node) -> Option<&'static Record> {
        self.records.iter().find(|(tag, _)| node.get(tag).is_some()).map(|(_, record)| *record)
    }
}

impl Shape {
    /// What it asks for, with its article.
    fn describe(&self) -> String {
        match self {
            Shape::Any => "a value".to_owned(),
            Shape::Text => "text".to_owned(),
            Shape::Literal => "a single value".to_owned(),
            Shape::Only(text) => format!("{text:?}"),
            Shape::Choice(texts) => listed(texts.iter().copied(), "or"),
            Shape::Name => "a name".to_owned(),
            Shape::Versioned => "a name with a version".to_owned(),
            Shape::Span(_) => "a length of time such as 24h".to_owned(),
            Shape::Size => "a size such as 2GiB".to_owned(),
            Shape::Bool => "true or false".to_owned(),
            Shape::OnlyBool(value) => value.to_string(),
            Shape::Integer { .. } => "a whole number".to_owned(),
            Shape::Number { .. } => "a number".to_owned(),
            Shape::List(_) | Shape::AnyList(_) => "a list".to_owned(),
            Shape::OneOrMany(item) => format!("{}, or a list of that", item.describe()),
            Shape::Map(..) | Shape::Record(_) => "a mapping".to_owned(),
            Shape::Variants(variants) => format!("a {}", variants.title),
            Shape::Either(scalar, _) => format!("{} or a mapping", scalar.describe()),
        }
    }
}

/// The part of a mapping that stands for it: a short one as a whole, a long one by its first line.
pub(crate) fn head(node: &Node) -> Place {
    match node.entries().first() {
        Some(first) if first.key_place.start == node.place.start => {
            Place { end: first.node.place.end.max(first.key_place.end), ..first.key_place }
        }
        _ => node.place,
    }
}
