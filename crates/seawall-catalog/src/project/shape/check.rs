//! The strict check: a node against its shape, everything wrong in one go.

use std::str::FromStr;

use seawall_base::{Span, VersionedName};

use super::super::diagnostic::{Draft, Report};
use super::super::source::Place;
use super::super::words::{bytes, identifier, listed, name_problem, nearest_span, share, suggest};
use super::super::yaml::{Entry, Node, Scalar, ScalarKind, Value, shorten};
use super::{
    Field, Keys, LIFETIME, Least, Need, Record, Shape, Unknown, Variants, WINDOW_MAX, WINDOW_MIN, head,
    reference_reads, stable_id_reads,
};

/// Checks `node` against `record`; true when nothing was found wrong.
pub(crate) fn check_record(node: &Node, record: &'static Record, report: &mut Report) -> bool {
    let before = report.error_count();
    Checker { report, is_v3_0: false }.record(node, record);
    report.error_count() == before
}

/// The same for a contract, whose version decides what an unknown key means.
pub(crate) fn check_contract(node: &Node, record: &'static Record, report: &mut Report) -> bool {
    let before = report.error_count();
    let is_v3_0 = node.get("apiVersion").and_then(Node::text).is_some_and(|version| version.starts_with("v3.0."));
    Checker { report, is_v3_0 }.record(node, record);
    report.error_count() == before
}

const SIZE_HELP: &str = "write a whole number and KiB, MiB, GiB or TiB, for example 2GiB";

struct Checker<'r> {
    report: &'r mut Report,
    /// Whether the node is a contract of v3.0.x.
    is_v3_0: bool,
}

impl Checker<'_> {
    /// Checks `node`, the value of `what`.
    fn value(&mut self, node: &Node, shape: &'static Shape, what: &str) {
        match shape {
            Shape::Any => {}
            Shape::Text | Shape::Prose | Shape::Literal | Shape::Only(_) | Shape::Choice(_) => {
                self.texts(node, shape, what);
            }
            Shape::Name | Shape::Versioned | Shape::StableId | Shape::Reference => self.texts(node, shape, what),
            Shape::Port => self.port(node, what),
            Shape::Span(least) => self.span(node, *least, what),
            Shape::Window => self.window(node, what),
            Shape::Size => self.size(node, what),
            Shape::Share => self.share(node, what),
            Shape::Bool | Shape::OnlyBool(_) => self.boolean(node, shape, what),
            Shape::Integer { .. } | Shape::Number { .. } => self.number(node, shape, what),
            Shape::List(item) => self.list(node, item, what),
            Shape::AnyList(item) => self.any_list(node, item, what),
            Shape::OneOrMany(item) => match &node.value {
                Value::List(_) => self.list(node, item, what),
                Value::Scalar(_) | Value::Map(_) => self.value(node, item, what),
            },
            Shape::Map(keys, values) => self.map(node, *keys, values, what),
            Shape::Record(record) if node.is_null() => self.empty_record(node, record, what),
            Shape::Record(record) => self.record(node, record),
            Shape::Variants(variants) => self.variants(node, variants, what),
            Shape::Either(scalar, record) => match &node.value {
                Value::Map(_) => self.record(node, record),
                Value::Scalar(_) | Value::List(_) => self.value(node, scalar, what),
            },
            Shape::RecordOrList(record, item) => match &node.value {
                Value::List(_) => self.any_list(node, item, what),
                Value::Scalar(_) | Value::Map(_) => self.record(node, record),
            },
        }
    }

    fn port(&mut self, node: &Node, what: &str) {
        let kind = node.scalar().map(|scalar| scalar.kind);
        if !matches!(kind, Some(ScalarKind::Integer(_) | ScalarKind::Text)) {
            self.wrong(node, what, &Shape::Port).help("write a number, or a variable such as ${DB_PORT}");
        }
    }

    fn texts(&mut self, node: &Node, shape: &'static Shape, what: &str) {
        let Some(scalar) = node.scalar() else {
            self.wrong(node, what, shape);
            return;
        };
        if matches!(shape, Shape::Literal) {
            return;
        }
        if scalar.kind != ScalarKind::Text {
            let draft = self.wrong(node, what, shape);
            if scalar.kind != ScalarKind::Null && matches!(shape, Shape::Text | Shape::Prose) {
                draft.help(format!("put it in quotes: \"{}\"", scalar.text));
            }
            return;
        }
        match shape {
            Shape::Name => self.name(&scalar.text, node.place, what),
            Shape::Versioned => self.versioned(scalar, node.place, what),
            Shape::Only(text) => self.choice(scalar, &[text], node.place, what),
            Shape::Choice(texts) => self.choice(scalar, texts, node.place, what),
            Shape::Prose => {}
            Shape::StableId if stable_id_reads(&scalar.text) => {}
            Shape::StableId => {
                self.wrong(node, what, shape).help("use no blanks and none of . # / \\ @ ! % & ^");
            }
            Shape::Reference if reference_reads(&scalar.text) => {}
            Shape::Reference => {
                let help = "write OBJECT.PROPERTY by name, or schema/OBJECT/properties/PROPERTY by id";
                self.wrong(node, what, shape).help(help);
            }
            _ if scalar.text.trim().is_empty() => {
                self.wrong(node, what, shape).help("give it a value, or remove the key");
            }
            _ => {}
        }
    }

    fn name(&mut self, text: &str, place: Place, what: &str) {
        let Some(problem) = name_problem(text) else { return };
        let draft = self.report.error("SW0128", format!("{what} cannot be {text:?}: {problem}"), place);
        draft.help(format!("for example `{}`", identifier(text)));
    }

    fn versioned(&mut self, scalar: &Scalar, place: Place, what: &str) {
        if let Err(error) = VersionedName::from_str(&scalar.text) {
            let example = identifier(scalar.text.split('@').next().unwrap_or_default());
            self.report
                .error("SW0106", format!("{what}: {}", error.message()), place)
                .help(format!("write NAME@VERSION with a version from 1, for example {example}@1"));
        }
    }

    fn choice(&mut self, scalar: &Scalar, texts: &[&'static str], place: Place, what: &str) {
        if texts.contains(&scalar.text.as_str()) {
            return;
        }
        let draft = self.report.error("SW0125", format!("{what} cannot be {:?}", shorten(&scalar.text)), place);
        match suggest(&scalar.text, texts.iter().copied()) {
            Some(near) => draft.help(format!("did you mean `{near}`?")),
            None => draft.help(format!("it can be {}", listed(texts.iter().copied(), "or"))),
        };
    }

    fn span(&mut self, node: &Node, least: Least, what: &str) {
        let Some(scalar) = node.scalar() else {
            self.wrong(node, what, &Shape::Span(Least::Zero));
            return;
        };
        match Span::from_str(&scalar.text) {
            Ok(span) if span == Span::ZERO && least == Least::Positive => {
                self.report.error("SW0125", format!("{what} must be longer than nothing"), node.place);
            }
            Ok(_) => {}
            Err(error) => {
                let help = match nearest_span(&scalar.text) {
                    Some(span) => format!("did you mean `{span}`?"),
                    None => error.remedy().unwrap_or_default().to_owned(),
                };
                let message = format!("{what}: {}", error.message());
                self.report.error(error.code(), message, node.place).help(help);
            }
        }
    }

    fn window(&mut self, node: &Node, what: &str) {
        let Some(scalar) = node.scalar() else {
            self.wrong(node, what, &Shape::Window);
            return;
        };
        if scalar.text == LIFETIME {
            return;
        }
        let Ok(window) = Span::from_str(&scalar.text) else {
            self.span(node, Least::Positive, what);
            return;
        };
        if window < WINDOW_MIN || window > WINDOW_MAX {
            self.report
                .error("SW0125", format!("{what} is out of bounds"), node.place)
                .help(format!("give a length from {WINDOW_MIN} to {WINDOW_MAX}, or {LIFETIME} for every row so far"));
        }
    }

    fn size(&mut self, node: &Node, what: &str) {
        let Some(scalar) = node.scalar().filter(|scalar| scalar.kind == ScalarKind::Text) else {
            self.wrong(node, what, &Shape::Size).help(SIZE_HELP);
            return;
        };
        if bytes(&scalar.text).is_none() {
            let message = format!("{what}: {:?} is not a size", shorten(&scalar.text));
            self.report.error("SW0177", message, node.place).help(SIZE_HELP);
        }
    }

    fn share(&mut self, node: &Node, what: &str) {
        if node.scalar().is_none_or(|scalar| share(&scalar.text).is_none()) {
            let help = "write `all`, `none`, or a percentage from 0.0001% to 100%, for example 1%";
            self.wrong(node, what, &Shape::Share).help(help);
        }
    }

    fn boolean(&mut self, node: &Node, shape: &'static Shape, what: &str) {
        let kind = node.scalar().map(|scalar| scalar.kind);
        let Some(ScalarKind::Bool(value)) = kind else {
            self.wrong(node, what, shape).help("write true or false");
            return;
        };
        if let Shape::OnlyBool(expected) = shape
            && value != *expected
        {
            self.report.error("SW0125", format!("{what} can only be {expected}"), node.place);
        }
    }

    fn number(&mut self, node: &Node, shape: &'static Shape, what: &str) {
        let kind = node.scalar().map(|scalar| scalar.kind);
        let outside = match (shape, kind) {
            (Shape::Integer { min, max }, Some(ScalarKind::Integer(value))) => {
                (value < *min || value > *max).then(|| bounds(&min.to_string(), &max.to_string(), *max == i64::MAX))
            }
            (Shape::Number { min, max }, Some(ScalarKind::Integer(value))) => {
                let value = value as f64;
                (value < *min || value > *max).then(|| bounds(&min.to_string(), &max.to_string(), max.is_infinite()))
            }
            (Shape::Number { min, max }, Some(ScalarKind::Float(value))) => {
                let is_within = value >= *min && value <= *max && value.is_finite();
                (!is_within).then(|| bounds(&min.to_string(), &max.to_string(), max.is_infinite()))
            }
            _ => {
                self.wrong(node, what, shape);
                return;
            }
        };
        if let Some(bounds) = outside {
            self.report.error("SW0125", format!("{what} is out of bounds"), node.place).help(bounds);
        }
    }

    fn list(&mut self, node: &Node, item: &'static Shape, what: &str) {
        if matches!(&node.value, Value::List(items) if items.is_empty()) {
            self.report
                .error("SW0125", format!("{what} is an empty list"), node.place)
                .help("give it at least one item, or remove the key");
        }
        self.any_list(node, item, what);
    }

    fn any_list(&mut self, node: &Node, item: &'static Shape, what: &str) {
        let Value::List(items) = &node.value else {
            self.wrong(node, what, &Shape::List(&Shape::Any)).help("write a list: [a, b]");
            return;
        };
        for node in items {
            self.value(node, item, what);
        }
    }

    fn map(&mut self, node: &Node, keys: Keys, values: &'static Shape, what: &str) {
        let Value::Map(entries) = &node.value else {
            self.wrong(node, what, &Shape::Map(keys, &Shape::Any));
            return;
        };
        for entry in entries {
            if keys == Keys::Names {
                self.name(&entry.key, entry.key_place, &format!("a name in {what}"));
            }
            self.value(&entry.node, values, &format!("`{}`", entry.key));
        }
    }

    fn empty_record(&mut self, node: &Node, record: &'static Record, what: &str) {
        let needs_keys =
            !record.exactly_one.is_empty() || record.fields.iter().any(|field| field.need != Need::Optional);
        if needs_keys {
            self.wrong(node, what, &Shape::Record(record));
        }
    }

    fn record(&mut self, node: &Node, record: &'static Record) {
        let Value::Map(entries) = &node.value else {
            self.report
                .error("SW0125", format!("a {} is a mapping, not {}", record.title, node.describe()), node.place)
                .help(format!("give the keys {}", listed(record.fields.iter().map(|f| f.name), "and")));
            return;
        };
        for entry in entries {
            match record.field(&entry.key) {
                Some(field) if self.is_v3_0 && field.is_later && record.unknown != Unknown::Refused => {
                    self.later(entry, field, record);
                }
                Some(field) => self.value(&entry.node, &field.shape, &format!("`{}`", entry.key)),
                None => self.unknown(entry, record),
            }
        }
        let missing =
            record.fields.iter().filter(|field| field.need != Need::Optional && node.get(field.name).is_none());
        for field in missing {
            // A misspelt key is reported once, as unknown.
            let is_misspelt = entries
                .iter()
                .filter(|entry| record.field(&entry.key).is_none())
                .any(|entry| suggest(&entry.key, record.fields.iter().map(|f| f.name)) == Some(field.name));
            if !is_misspelt {
                let message = format!("this {} has no `{}`", record.title, field.name);
                let draft = match field.need {
                    Need::RequiredSinceV31 if self.is_v3_0 => self.report.warning("SW0124", message, head(node)),
                    _ => self.report.error("SW0124", message, head(node)),
                };
                draft.help(format!("add `{}`: {}", field.name, lower_first(field.doc)));
            }
        }
        self.exactly_one(node, record);
    }

    /// A key that v3.0.x does not know: what it holds is checked, but it need not have the form of later versions.
    fn later(&mut self, entry: &Entry, field: &'static Field, record: &'static Record) {
        let what = format!("`{}`", entry.key);
        let mut found = Report::default();
        Checker { report: &mut found, is_v3_0: true }.value(&entry.node, &field.shape, &what);
        if found.error_count() == 0 {
            self.value(&entry.node, &field.shape, &what);
            return;
        }
        let message = format!("{what} is no key of a {} in v3.0.x, nor of the form that it has later", record.title);
        self.report
            .warning("SW0145", message, entry.key_place)
            .help(format!("it is kept, not executed; later it is {}", field.shape.describe()));
    }

    fn exactly_one(&mut self, node: &Node, record: &'static Record) {
        if record.exactly_one.is_empty() {
            return;
        }
        let given: Vec<&Entry> = record.exactly_one.iter().filter_map(|key| node.entry(key)).collect();
        let choice = listed(record.exactly_one.iter().copied(), "or");
        match given.as_slice() {
            [_] => {}
            [] => {
                let fields = record.exactly_one;
                let is_misspelt = node
                    .entries()
                    .iter()
                    .filter(|entry| record.field(&entry.key).is_none())
                    .any(|entry| suggest(&entry.key, fields.iter().copied()).is_some());
                if !is_misspelt {
                    let message = format!("this {} needs one of {choice}", record.title);
                    self.report.error("SW0141", message, head(node));
                }
            }
            [first, others @ ..] => {
                let message = format!("this {} can have only one of {choice}", record.title);
                let draft = self.report.error("SW0141", message, first.key_place);
                for other in others {
                    draft.label(other.key_place, "and here");
                }
                draft.help("keep one of them");
            }
        }
    }

    fn unknown(&mut self, entry: &Entry, record: &'static Record) {
        let near = suggest(&entry.key, record.fields.iter().map(|field| field.name));
        let is_open = match record.unknown {
            Unknown::Refused => false,
            Unknown::RefusedSinceV31 => self.is_v3_0,
            Unknown::Reported => true,
        };
        if is_open {
            let message = format!("`{}` is no key of a {}: it is kept, not executed", entry.key, record.title);
            let draft = self.report.warning("SW0145", message, entry.key_place);
            match near {
                Some(near) => draft.help(format!("did you mean `{near}`?")),
                None => draft.help("put extensions under customProperties"),
            };
            return;
        }
        let draft =
            self.report.error("SW0123", format!("a {} has no key `{}`", record.title, entry.key), entry.key_place);
        match near {
            Some(near) => draft.help(format!("did you mean `{near}`?")),
            None => draft.help(format!("its keys are {}", listed(record.fields.iter().map(|f| f.name), "and"))),
        };
    }

    fn variants(&mut self, node: &Node, variants: &'static Variants, what: &str) {
        let Value::Map(entries) = &node.value else {
            let tags = listed(variants.records.iter().map(|(tag, _)| *tag), "or");
            self.report
                .error("SW0125", format!("{what} must be a {}, not {}", variants.title, node.describe()), node.place)
                .help(format!("write a mapping with one of {tags}"));
            return;
        };
        let tags: Vec<&Entry> =
            entries.iter().filter(|entry| variants.records.iter().any(|(tag, _)| *tag == entry.key)).collect();
        match tags.as_slice() {
            [] => self.no_variant(node, variants),
            [_] => {
                let record = variants.choose(node).expect("the telling key was found just above");
                self.record(node, record);
            }
            [first, others @ ..] => {
                let message = format!("a {} has one of {}", variants.title, keys_of(&tags));
                let draft = self.report.error("SW0141", message, first.key_place);
                for other in others {
                    draft.label(other.key_place, "and here");
                }
                draft.help("keep one; make two of it when both are needed");
            }
        }
    }

    fn no_variant(&mut self, node: &Node, variants: &'static Variants) {
        let all = || variants.records.iter().flat_map(|(_, record)| record.fields.iter().map(|field| field.name));
        let tags = || variants.records.iter().map(|(tag, _)| *tag);
        let unknown: Vec<&Entry> = node.entries().iter().filter(|entry| !all().any(|key| key == entry.key)).collect();
        for entry in &unknown {
            let draft = self.report.error(
                "SW0123",
                format!("a {} has no key `{}`", variants.title, entry.key),
                entry.key_place,
            );
            match suggest(&entry.key, tags()).or_else(|| suggest(&entry.key, all())) {
                Some(near) => draft.help(format!("did you mean `{near}`?")),
                None => draft.help(format!("it has one of {}", listed(tags(), "or"))),
            };
        }
        if unknown.is_empty() {
            self.report.error(
                "SW0141",
                format!("this {} needs one of {}", variants.title, listed(tags(), "or")),
                head(node),
            );
        }
    }

    fn wrong(&mut self, node: &Node, what: &str, shape: &Shape) -> &mut Draft {
        let message = format!("{what} must be {}, not {}", shape.describe(), node.describe());
        self.report.error("SW0125", message, node.place)
    }
}

fn keys_of(entries: &[&Entry]) -> String {
    listed(entries.iter().map(|entry| entry.key.as_str()), "or")
}

fn bounds(min: &str, max: &str, is_unbounded: bool) -> String {
    if is_unbounded { format!("give at least {min}") } else { format!("give a value from {min} to {max}") }
}

fn lower_first(doc: &str) -> String {
    let mut chars = doc.trim_end_matches('.').chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}
