//! JSON values as readable YAML with comments: block style, but small mappings on one line.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

/// Longest mapping that stands on one line, in characters.
const LINE_MAX: usize = 100;

/// Comments by the path of the value that they are about: the steps from the root, indexes of lists as numbers.
pub(super) type Comments = BTreeMap<Vec<String>, Vec<String>>;

/// `value` as YAML, each comment on a line of its own above what it is about.
pub(super) fn to_yaml(value: &Value, comments: &Comments) -> String {
    let mut writer = Writer { comments, path: Vec::new(), text: String::new() };
    writer.block(value, 0);
    writer.text
}

/// A scalar as YAML 1.1 and 1.2 both read it back as the same text.
pub(super) fn quoted(text: &str) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '-');
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '.' || c == '/')
        && text.split(' ').all(|word| !word.is_empty() && word.chars().all(is_word))
        && text.chars().any(|c| c.is_ascii_alphabetic())
        && !text.starts_with(['-', '.'].as_slice()) | text.starts_with("./")
        && !RESERVED.contains(&text.to_lowercase().as_str());
    if is_plain { text.to_owned() } else { Value::from(text).to_string() }
}

/// Words that some YAML readers take for something else than text.
const RESERVED: [&str; 10] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan"];

struct Writer<'c> {
    comments: &'c Comments,
    path: Vec<String>,
    text: String,
}

impl Writer<'_> {
    fn block(&mut self, value: &Value, indent: usize) {
        match value {
            Value::Object(fields) => {
                for (key, field) in fields {
                    self.path.push(key.clone());
                    self.comment(indent);
                    self.pad(indent);
                    let _ = write!(self.text, "{}:", quoted(key));
                    self.after_key(field, indent);
                    self.path.pop();
                }
            }
            Value::Array(items) => {
                for (i, item) in items.iter().enumerate() {
                    self.path.push(i.to_string());
                    self.item(item, indent);
                    self.path.pop();
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                self.pad(indent);
                let _ = writeln!(self.text, "{}", flow(value));
            }
        }
    }

    fn after_key(&mut self, value: &Value, indent: usize) {
        if self.fits(value) {
            let _ = writeln!(self.text, " {}", flow(value));
            return;
        }
        self.text.push('\n');
        self.block(value, indent + 2);
    }

    fn item(&mut self, item: &Value, indent: usize) {
        if self.fits_but_for_comments(item) {
            self.comments_within(indent);
            self.pad(indent);
            let _ = writeln!(self.text, "- {}", flow(item));
            return;
        }
        self.comment(indent);
        let start = self.text.len();
        self.block(item, indent + 2);
        // The first line of the block takes the dash; comments that precede it move in front of it.
        let block = self.text.split_off(start);
        let mut lines = block.split_inclusive('\n').peekable();
        while let Some(comment) = lines.next_if(|line| line.trim_start().starts_with('#')) {
            self.pad(indent);
            self.text.push_str(comment.trim_start());
        }
        if let Some(first) = lines.next() {
            self.pad(indent);
            let _ = write!(self.text, "- {}", first.trim_start());
        }
        lines.for_each(|line| self.text.push_str(line));
    }

    /// Whether `value` stands on one line: it is small, and nothing in it has a comment.
    fn fits(&self, value: &Value) -> bool {
        let has_comment = self.comments.keys().any(|path| path.len() > self.path.len() && path.starts_with(&self.path));
        self.fits_but_for_comments(value) && !has_comment
    }

    fn fits_but_for_comments(&self, value: &Value) -> bool {
        match value {
            Value::Object(fields) => {
                let is_small = fields.values().all(|field| {
                    !field.is_array() && field.as_object().is_none_or(|inner| inner.values().all(is_scalar))
                });
                is_small && flow(value).chars().count() <= LINE_MAX
            }
            Value::Array(items) => items.iter().all(is_scalar) && flow(value).chars().count() <= LINE_MAX,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
        }
    }

    fn comment(&mut self, indent: usize) {
        for comment in self.comments.get(&self.path).cloned().unwrap_or_default() {
            self.comment_line(&comment, indent);
        }
    }

    /// All comments at and below the present path, for a value that stands on one line.
    fn comments_within(&mut self, indent: usize) {
        let within: Vec<String> = self
            .comments
            .iter()
            .filter(|(path, _)| path.starts_with(&self.path))
            .flat_map(|(_, c)| c.clone())
            .collect();
        for comment in within {
            self.comment_line(&comment, indent);
        }
    }

    fn comment_line(&mut self, comment: &str, indent: usize) {
        for line in comment.lines() {
            self.pad(indent);
            let _ = writeln!(self.text, "# {line}");
        }
    }

    fn pad(&mut self, indent: usize) {
        self.text.extend(std::iter::repeat_n(' ', indent));
    }
}

fn is_scalar(value: &Value) -> bool {
    !value.is_array() && !value.is_object()
}

fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|(key, field)| format!("{}: {}", quoted(key), flow(field))).collect();
            format!("{{{}}}", fields.join(", "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}
