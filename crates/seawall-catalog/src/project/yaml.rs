//! YAML text to trees in which every key and value knows its place. The only module that knows the YAML parser.
//!
//! YAML 1.2 with its core schema; several documents per file. Hostile files cost little: nesting, the number of nodes
//! and what aliases expand to are bounded, and a duplicate key is an error rather than a silent choice. Merge keys and
//! custom tags are refused, because what they mean is not visible where they stand.

use std::collections::HashMap;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, Span as ParserSpan, Tag};

use super::diagnostic::Report;
use super::source::{Place, SourceFile, floor_char};

/// Levels of nesting after which a file is refused.
const DEPTH_MAX: usize = 64;
/// Keys and values of one file, aliases expanded, after which it is refused.
const NODES_MAX: usize = 100_000;

/// One YAML value with its place.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub place: Place,
    pub value: Value,
}

/// The value of a [`Node`].
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key with its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub key: String,
    pub key_place: Place,
    pub node: Node,
}

/// A scalar: what is written, and what YAML's core schema makes of it.
#[derive(Debug, Clone)]
pub(crate) struct Scalar {
    pub text: String,
    pub kind: ScalarKind,
    /// Whether `text` stands byte for byte at its place, so that a part of it has a place of its own.
    pub verbatim: bool,
}

/// Type of a scalar by the core schema.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum ScalarKind {
    Null,
    Bool(bool),
    Integer(i64),
    /// Also integers beyond 64 bits.
    Float(f64),
    Text,
}

impl Node {
    /// The value of `key`, when this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// The entry of `key`, when this is a mapping that has it.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The entries of a mapping; none for other values.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            Value::Scalar(_) | Value::List(_) => &[],
        }
    }

    /// The items of a list; none for other values.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            Value::Scalar(_) | Value::Map(_) => &[],
        }
    }

    /// The items of a list, or the node itself when it is no list.
    pub fn one_or_many(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            Value::Scalar(_) | Value::Map(_) => std::slice::from_ref(self),
        }
    }

    /// The scalar, when this is one.
    pub fn scalar(&self) -> Option<&Scalar> {
        match &self.value {
            Value::Scalar(scalar) => Some(scalar),
            Value::List(_) | Value::Map(_) => None,
        }
    }

    /// The text of a scalar that is text.
    pub fn text(&self) -> Option<&str> {
        self.scalar().filter(|scalar| scalar.kind == ScalarKind::Text).map(|scalar| scalar.text.as_str())
    }

    /// Whether this is an absent value.
    pub fn is_null(&self) -> bool {
        self.scalar().is_some_and(|scalar| scalar.kind == ScalarKind::Null)
    }

    /// What this is, for a message.
    pub fn describe(&self) -> String {
        match &self.value {
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
            Value::Scalar(scalar) => match scalar.kind {
                ScalarKind::Null => "nothing".to_owned(),
                ScalarKind::Bool(value) => format!("the boolean {value}"),
                ScalarKind::Integer(_) | ScalarKind::Float(_) => format!("the number {}", scalar.text),
                ScalarKind::Text => format!("the text {:?}", shorten(&scalar.text)),
            },
        }
    }

    /// The value as JSON with the keys of every mapping in alphabetical order. Numbers that JSON cannot hold are text.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::List(items) => Json::Array(items.iter().map(Node::to_json).collect()),
            Value::Map(entries) => {
                let mut sorted: Vec<&Entry> = entries.iter().collect();
                sorted.sort_by(|a, b| a.key.cmp(&b.key));
                Json::Object(sorted.into_iter().map(|entry| (entry.key.clone(), entry.node.to_json())).collect())
            }
            Value::Scalar(scalar) => match scalar.kind {
                ScalarKind::Null => Json::Null,
                ScalarKind::Bool(value) => Json::Bool(value),
                ScalarKind::Integer(value) => Json::from(value),
                ScalarKind::Float(value) => {
                    serde_json::Number::from_f64(value).map_or_else(|| Json::String(scalar.text.clone()), Json::Number)
                }
                ScalarKind::Text => Json::String(scalar.text.clone()),
            },
        }
    }

    fn weight(&self) -> usize {
        match &self.value {
            Value::Scalar(_) => 1,
            Value::List(items) => 1 + items.iter().map(Node::weight).sum::<usize>(),
            Value::Map(entries) => 1 + entries.iter().map(|entry| 1 + entry.node.weight()).sum::<usize>(),
        }
    }
}

/// At most 40 characters of `text`.
pub(crate) fn shorten(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// The documents of `file`, in order. What cannot be read is reported; documents before it are kept.
pub(crate) fn documents(index: usize, file: &SourceFile, report: &mut Report) -> Vec<Node> {
    let mut reader = Reader { index, text: &file.text, anchors: HashMap::new(), nodes: 0, report };
    let mut events = Parser::new_from_str(&file.text);
    let mut documents = Vec::new();
    loop {
        match reader.next(&mut events) {
            Ok((Event::DocumentStart(..), _)) => {
                reader.anchors.clear();
                match reader.document(&mut events) {
                    Ok(Some(node)) => documents.push(node),
                    Ok(None) => {}
                    Err(Stop) => return documents,
                }
            }
            Ok((Event::StreamEnd, _)) | Err(Stop) => return documents,
            Ok(_) => {}
        }
    }
}

/// Reading of the file cannot go on; the reason is in the report.
struct Stop;

type Events<'t> = Parser<'t, serde_saphyr::granit_parser::StrInput<'t>>;

struct Reader<'t, 'r> {
    index: usize,
    text: &'t str,
    /// Values with an anchor; weights are kept so that an alias is charged before it is copied.
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
    report: &'r mut Report,
}

impl<'t> Reader<'t, '_> {
    /// The next event that is not a comment.
    fn next(&mut self, events: &mut Events<'t>) -> Result<(Event<'t>, Place), Stop> {
        loop {
            match events.next_event() {
                Some(Ok((Event::Comment(..), _))) => {}
                Some(Ok((event, span))) => return Ok((event, self.place(span))),
                Some(Err(error)) => {
                    let at = error.marker().byte_offset().unwrap_or(self.text.len());
                    self.report
                        .error("SW0120", format!("this is not YAML: {}", error.info()), self.place_at(at))
                        .help(syntax_help(self.text, at));
                    return Err(Stop);
                }
                None => return Ok((Event::StreamEnd, self.place_at(self.text.len()))),
            }
        }
    }

    fn place(&self, span: ParserSpan) -> Place {
        let start = span.start.byte_offset().unwrap_or(0);
        let end = span.end.byte_offset().unwrap_or(start).max(start);
        Place { file: self.index, start, end }
    }

    fn place_at(&self, byte: usize) -> Place {
        Place { file: self.index, start: byte, end: byte }
    }

    /// A document's root value; none for an empty document.
    fn document(&mut self, events: &mut Events<'t>) -> Result<Option<Node>, Stop> {
        let (event, place) = self.next(events)?;
        if matches!(event, Event::DocumentEnd) {
            return Ok(None);
        }
        let node = self.node(events, event, place, 0)?;
        // An empty document is a null that takes no room, such as after a `---` at the end of a file.
        let is_empty = node.is_null() && node.place.start == node.place.end;
        Ok((!is_empty).then_some(node))
    }

    fn node(&mut self, events: &mut Events<'t>, event: Event<'t>, place: Place, depth: usize) -> Result<Node, Stop> {
        self.charge(1, place)?;
        if depth > DEPTH_MAX {
            self.report
                .error("SW0121", format!("this file nests values more than {DEPTH_MAX} levels deep"), place)
                .help("no declaration needs that depth: flatten it");
            return Err(Stop);
        }
        let (node, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                (self.scalar(text.into_owned(), style, tag.as_deref(), place), anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), place);
                (self.list(events, place, depth)?, anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), place);
                (self.map(events, place, depth)?, anchor)
            }
            Event::Alias(id) => (self.alias(id, place)?, 0),
            other => {
                self.report.error("SW0120", format!("this is not YAML: unexpected {other:?}"), place);
                return Err(Stop);
            }
        };
        if anchor != 0 {
            // The copy that waits for aliases is charged too, so that nested anchors cannot multiply what is held.
            let weight = node.weight();
            self.charge(weight, place)?;
            self.anchors.insert(anchor, (node.clone(), weight));
        }
        Ok(node)
    }

    fn charge(&mut self, nodes: usize, place: Place) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes <= NODES_MAX {
            return Ok(());
        }
        self.report
            .error("SW0121", format!("this file holds more than {NODES_MAX} keys and values, aliases expanded"), place)
            .help("split the file, or write out less with aliases");
        Err(Stop)
    }

    fn list(&mut self, events: &mut Events<'t>, start: Place, depth: usize) -> Result<Node, Stop> {
        let mut items: Vec<Node> = Vec::new();
        loop {
            let (event, place) = self.next(events)?;
            if matches!(event, Event::SequenceEnd) {
                let end = items.last().map_or(start.end, |item| item.place.end).max(flow_end(self.text, place));
                return Ok(Node { place: Place { end, ..start }, value: Value::List(items) });
            }
            items.push(self.node(events, event, place, depth + 1)?);
        }
    }

    fn map(&mut self, events: &mut Events<'t>, start: Place, depth: usize) -> Result<Node, Stop> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let (event, place) = self.next(events)?;
            if matches!(event, Event::MappingEnd) {
                let end = entries.last().map_or(start.end, |e| e.node.place.end).max(flow_end(self.text, place));
                return Ok(Node { place: Place { end, ..start }, value: Value::Map(entries) });
            }
            let key = self.node(events, event, place, depth + 1)?;
            let (event, place) = self.next(events)?;
            let node = self.node(events, event, place, depth + 1)?;
            let Value::Scalar(scalar) = &key.value else {
                self.report
                    .error("SW0122", format!("a key must be text, not {}", key.describe()), key.place)
                    .help("quote it when it begins with a bracket or brace");
                continue;
            };
            let entry = Entry { key: scalar.text.clone(), key_place: key.place, node };
            self.push(&mut entries, entry);
        }
    }

    fn push(&mut self, entries: &mut Vec<Entry>, entry: Entry) {
        if entry.key == "<<" {
            self.report
                .error("SW0122", "merge keys (`<<`) are not read", entry.key_place)
                .help("write the keys out, so that what holds stands where it is read");
            return;
        }
        match entries.iter().find(|earlier| earlier.key == entry.key) {
            None => entries.push(entry),
            Some(earlier) => {
                self.report
                    .error("SW0122", format!("the key `{}` is given twice", entry.key), entry.key_place)
                    .here("given again here")
                    .label(earlier.key_place, "first given here")
                    .help("keep one of the two");
            }
        }
    }

    fn alias(&mut self, id: usize, place: Place) -> Result<Node, Stop> {
        let Some(weight) = self.anchors.get(&id).map(|(_, weight)| *weight) else {
            self.report
                .error("SW0120", "this alias stands inside the value that it refers to", place)
                .help("write the value out");
            return Err(Stop);
        };
        self.charge(weight, place)?;
        let (node, _) = self.anchors.get(&id).cloned().expect("the anchor was found just above");
        Ok(Node { place, value: without_places(node.value) })
    }

    fn scalar(&mut self, text: String, style: ScalarStyle, tag: Option<&Tag>, place: Place) -> Node {
        let is_plain = style == ScalarStyle::Plain;
        let kind = match tag.map(|tag| tag.core_suffix()) {
            Some(Some("str")) => ScalarKind::Text,
            Some(Some("int" | "float" | "bool" | "null")) => resolve(&text),
            Some(_) => {
                self.refuse_tag(tag, place);
                ScalarKind::Text
            }
            None if is_plain => resolve(&text),
            None => ScalarKind::Text,
        };
        // An empty value is read as `~` at an empty place.
        let text = if place.start == place.end && text == "~" { String::new() } else { text };
        let verbatim = self.text.get(place.range()) == Some(text.as_str());
        Node { place, value: Value::Scalar(Scalar { text, kind, verbatim }) }
    }

    fn refuse_tag(&mut self, tag: Option<&Tag>, place: Place) {
        let Some(tag) = tag else { return };
        if tag.is_yaml_core_schema() {
            return;
        }
        self.report
            .error("SW0122", format!("the tag `{}` is not read", tag.original()), place)
            .help("remove it: declarations are plain YAML");
    }
}

/// The usual reasons why YAML cannot be read.
fn syntax_help(text: &str, at: usize) -> &'static str {
    let at = floor_char(text, at);
    let line_start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[line_start..].lines().next().unwrap_or_default();
    if [": *,", ": *}", ": *]"].iter().any(|star| line.contains(star)) || line.trim_end().ends_with(": *") {
        "a star has a meaning in YAML: put it in quotes, \"*\""
    } else if line.contains("${") {
        "put values with ${...} in quotes when they stand within braces or brackets"
    } else if line.starts_with('\t') {
        "indent with blanks: YAML knows no tabs there"
    } else {
        "check indentation, quotes and brackets just before this place"
    }
}

/// The end of a flow collection is its bracket; the end of a block collection is wherever the next thing begins, which
/// is too far to be shown.
fn flow_end(text: &str, end: Place) -> usize {
    match text.get(end.range()) {
        Some("]" | "}") => end.end,
        _ => 0,
    }
}

/// A copy behind an alias: its parts keep the places of the original, its scalars lose the claim to stand verbatim.
fn without_places(value: Value) -> Value {
    match value {
        Value::Scalar(scalar) => Value::Scalar(Scalar { verbatim: false, ..scalar }),
        Value::List(_) | Value::Map(_) => value,
    }
}

/// YAML 1.2 core schema.
fn resolve(text: &str) -> ScalarKind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return ScalarKind::Null,
        "true" | "True" | "TRUE" => return ScalarKind::Bool(true),
        "false" | "False" | "FALSE" => return ScalarKind::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return ScalarKind::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return ScalarKind::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return ScalarKind::Float(f64::NEG_INFINITY),
        _ => {}
    }
    let based = [("0x", 16), ("0o", 8)];
    for (prefix, radix) in based {
        let digits = text.strip_prefix(prefix).filter(|digits| digits.chars().all(|c| c.is_digit(radix)));
        if let Some(Ok(value)) = digits.map(|digits| i64::from_str_radix(digits, radix)) {
            return ScalarKind::Integer(value);
        }
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let looks_numeric = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned.contains(|c: char| c.is_ascii_digit())
        && unsigned.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'));
    if !looks_numeric {
        return ScalarKind::Text;
    }
    if let Ok(value) = text.parse::<i64>() {
        return ScalarKind::Integer(value);
    }
    text.parse::<f64>().map_or(ScalarKind::Text, ScalarKind::Float)
}

#[cfg(test)]
mod tests;
