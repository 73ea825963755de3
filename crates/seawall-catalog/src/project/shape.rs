//! The shape of declarations: one description from which the strict check and the JSON Schemas for editors both follow,
//! so that an editor and `seawall check` cannot disagree. The descriptions themselves are in `tables`.

use seawall_base::Span;

use super::source::Place;
use super::words::listed;
use super::yaml::Node;

mod check;
mod schema;

pub(crate) use check::{check_contract, check_record};
pub(crate) use schema::json_schema;

/// What a value must look like.
pub(crate) enum Shape {
    /// Any value.
    Any,
    /// Text that is not empty.
    Text,
    /// Text, which may be empty.
    Prose,
    /// An identifier of the contract standard: see [`stable_id_reads`].
    StableId,
    /// A reference of the contract standard to a property: see [`reference_reads`].
    Reference,
    /// A whole number or text: a port, or a variable that stands for one.
    Port,
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
    /// The length of a feature's window, or `lifetime`.
    Window,
    /// A size in bytes such as `2GiB`: see [`bytes`](super::words::bytes).
    Size,
    /// `all`, `none`, or a percentage: see [`share`](super::words::share).
    Share,
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
    /// The record, or a list of the shape.
    RecordOrList(&'static Record, &'static Shape),
}

/// The word for a window without beginning.
pub(crate) const LIFETIME: &str = "lifetime";
/// The shortest window of a feature, which is also the shortest tile.
pub(crate) const WINDOW_MIN: Span = Span::MINUTE;
/// The longest window of a feature: two years, one of them a leap year.
pub(crate) const WINDOW_MAX: Span = Span(731 * Span::DAY.0);

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
    /// An error, but a warning in contracts of v3.0.x, whose JSON Schema leaves this part open.
    RefusedSinceV31,
    /// A warning: the standard leaves this part open.
    Reported,
}

/// One key of a [`Record`].
pub(crate) struct Field {
    pub name: &'static str,
    pub shape: Shape,
    pub need: Need,
    /// Whether v3.0.x of the contract standard does not know it yet, see [`Field::later`].
    pub is_later: bool,
    /// One sentence for editors.
    pub doc: &'static str,
}

/// Whether a key must be given.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// It may be left out.
    Optional,
    /// It must be given.
    Required,
    /// It must be given, but is only missed in contracts of v3.0.x, whose JSON Schema does not ask for it.
    RequiredSinceV31,
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
    Field { name, shape, need: Need::Required, is_later: false, doc }
}

/// A key that must be given in contracts of v3.1 and later.
pub(crate) const fn required_since_v3_1(name: &'static str, shape: Shape, doc: &'static str) -> Field {
    Field { name, shape, need: Need::RequiredSinceV31, is_later: false, doc }
}

/// A key that may be left out.
pub(crate) const fn optional(name: &'static str, shape: Shape, doc: &'static str) -> Field {
    Field { name, shape, need: Need::Optional, is_later: false, doc }
}

impl Field {
    /// The same, for a key of the contract standard that v3.0.x does not know yet, or only beside some other key: where it
    /// leaves the place open, the key may hold anything.
    pub const fn later(self) -> Self {
        Field { is_later: true, ..self }
    }
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

    /// The same, for a part of the contract standard that v3.0.x leaves open.
    pub const fn open_in_v3_0(self) -> Self {
        Record { unknown: Unknown::RefusedSinceV31, ..self }
    }

    /// The same, for a part that the contract standard leaves open.
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
            Shape::Text | Shape::Prose => "text".to_owned(),
            Shape::StableId => "an identifier".to_owned(),
            Shape::Reference => "a reference such as customers.id".to_owned(),
            Shape::Port => "a port number".to_owned(),
            Shape::Literal => "a single value".to_owned(),
            Shape::Only(text) => format!("{text:?}"),
            Shape::Choice(texts) => listed(texts.iter().copied(), "or"),
            Shape::Name => "a name".to_owned(),
            Shape::Versioned => "a name with a version".to_owned(),
            Shape::Span(_) => "a length of time such as 24h".to_owned(),
            Shape::Window => "a length of time such as 24h, or lifetime".to_owned(),
            Shape::Size => "a size such as 2GiB".to_owned(),
            Shape::Share => "all, none, or a percentage such as 1%".to_owned(),
            Shape::Bool => "true or false".to_owned(),
            Shape::OnlyBool(value) => value.to_string(),
            Shape::Integer { .. } => "a whole number".to_owned(),
            Shape::Number { .. } => "a number".to_owned(),
            Shape::List(_) | Shape::AnyList(_) => "a list".to_owned(),
            Shape::OneOrMany(item) => format!("{}, or a list of that", item.describe()),
            Shape::Map(..) | Shape::Record(_) => "a mapping".to_owned(),
            Shape::Variants(variants) => format!("a {}", variants.title),
            Shape::Either(scalar, _) => format!("{} or a mapping", scalar.describe()),
            Shape::RecordOrList(..) => "a mapping".to_owned(),
        }
    }
}

/// The characters that the standard denies in an `id`, as a pattern of what is left.
pub(crate) const STABLE_ID_PATTERN: &str = r"^[^\s.#/\\@!%&^]+$";

/// Whether `text` can be an `id` of the contract standard: it must not be mistaken for a part of a reference.
pub(crate) fn stable_id_reads(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(|c| c.is_whitespace() || ".#/\\@!%&^".contains(c))
}

/// `object.property`, deeper when nested: the short form of references.
pub(crate) const SHORT_REFERENCE_PATTERN: &str = r"^[A-Za-z_][A-Za-z0-9_\-]*(\.[A-Za-z_][A-Za-z0-9_\-]*)+$";
/// `schema/OBJECT/properties/PROPERTY` by id, with the file of another contract before it.
pub(crate) const FULL_REFERENCE_PATTERN: &str = concat!(
    r"^(?:(?:https?:\/\/)?[A-Za-z0-9._\-\/]+\.ya?ml#)?\/?[A-Za-z_][A-Za-z0-9_]*\/[^\s.#/\\@!%&^]+",
    r"(?:\/[A-Za-z_][A-Za-z0-9_]*\/[^\s.#/\\@!%&^]+)*$"
);

/// Whether `text` is a reference of the contract standard, in its short or its full form.
pub(crate) fn reference_reads(text: &str) -> bool {
    short_reference_reads(text) || full_reference_reads(text)
}

fn short_reference_reads(text: &str) -> bool {
    let part_reads = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
    };
    text.contains('.') && text.split('.').all(part_reads)
}

fn full_reference_reads(text: &str) -> bool {
    let (file, path) = text.split_once('#').map_or((None, text), |(file, path)| (Some(file), path));
    let file_reads = file.is_none_or(|file| {
        let file = ["https://", "http://"].iter().find_map(|scheme| file.strip_prefix(scheme)).unwrap_or(file);
        let stem = file.strip_suffix(".yaml").or_else(|| file.strip_suffix(".yml")).unwrap_or_default();
        !stem.is_empty() && stem.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c))
    });
    let section_reads = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let parts: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
    let pairs_read = parts.chunks(2).all(|pair| match pair {
        [section, id] => section_reads(section) && stable_id_reads(id),
        _ => false,
    });
    file_reads && pairs_read
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
