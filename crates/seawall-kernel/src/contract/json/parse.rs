//! A strict JSON reader for untrusted lines: RFC 8259, duplicate keys refused, depth limited, one pass.
//!
//! Numbers stay text, so that no digit is lost before the contract says what type they have. Time is linear in the
//! input and recursion is bounded by [`DEPTH_MAX`], whatever the input nests.

use std::borrow::Cow;
use std::collections::HashSet;

/// Nesting that is read; deeper values are refused.
pub(in super::super) const DEPTH_MAX: usize = 64;
/// Objects with more fields than this look up duplicates in a set.
const FIELDS_SCANNED_MAX: usize = 16;

/// A value, borrowing from its text where possible.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) enum Json<'a> {
    Null,
    Bool(bool),
    /// A number as it was written.
    Number(&'a str),
    String(Cow<'a, str>),
    Array(Vec<Json<'a>>),
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

impl Json<'_> {
    /// The value as compact JSON, numbers as they were written.
    pub(in super::super) fn to_text(&self) -> String {
        let mut text = String::new();
        self.push_to(&mut text);
        text
    }

    fn push_to(&self, text: &mut String) {
        match self {
            Json::Null => text.push_str("null"),
            Json::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
            Json::Number(number) => text.push_str(number),
            Json::String(string) => push_quoted(string, text),
            Json::Array(values) => {
                text.push('[');
                for (i, value) in values.iter().enumerate() {
                    if i > 0 {
                        text.push(',');
                    }
                    value.push_to(text);
                }
                text.push(']');
            }
            Json::Object(members) => {
                text.push('{');
                for (i, (name, value)) in members.iter().enumerate() {
                    if i > 0 {
                        text.push(',');
                    }
                    push_quoted(name, text);
                    text.push(':');
                    value.push_to(text);
                }
                text.push('}');
            }
        }
    }
}

fn push_quoted(string: &str, text: &mut String) {
    text.push_str(&serde_json::Value::from(string).to_string());
}

/// Why a text is no value, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct SyntaxError {
    /// Byte offset in the text.
    pub offset: usize,
    /// `syntax`, `truncated`, `duplicate_key` or `depth`.
    pub rule: &'static str,
    /// What is wrong.
    pub message: String,
}

type Result<T> = std::result::Result<T, SyntaxError>;

/// Reads one value that takes up the whole of `text`.
pub(in super::super) fn parse(text: &str) -> Result<Json<'_>> {
    let mut reader = Reader { text, at: 0 };
    reader.space();
    let value = reader.value(0)?;
    reader.space();
    if reader.at < text.len() {
        return Err(reader.error("syntax", "something follows the value"));
    }
    Ok(value)
}

/// Reads an object that takes up the whole of `text`, field by field, without keeping any. False when `text` is anything
/// else, or as soon as `take` says so of a field; it is `take` that must notice a key that occurs twice.
pub(in super::super) fn fields<'a>(text: &'a str, mut take: impl FnMut(&str, Json<'a>) -> bool) -> bool {
    let mut reader = Reader { text, at: 0 };
    reader.space();
    reader.each_field(&mut take).is_some_and(|goes_on| goes_on) && reader.is_at_end()
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn is_at_end(&mut self) -> bool {
        self.space();
        self.at == self.text.len()
    }

    /// None when no object stands here.
    fn each_field(&mut self, take: &mut impl FnMut(&str, Json<'a>) -> bool) -> Option<bool> {
        self.expect(b'{')?;
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Some(true);
        }
        loop {
            self.space();
            (self.peek() == Some(b'"')).then_some(())?;
            let name = self.string().ok()?;
            self.space();
            self.expect(b':')?;
            self.space();
            let value = self.value(1).ok()?;
            if !take(&name, value) {
                return Some(false);
            }
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Some(true);
                }
                _ => return None,
            }
        }
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek() == Some(byte)).then(|| self.at += 1)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn error(&self, rule: &'static str, message: impl Into<String>) -> SyntaxError {
        SyntaxError { offset: self.at, rule, message: message.into() }
    }

    /// The error for a byte that cannot stand here, or for the end of the text.
    fn unexpected(&self, wanted: &str) -> SyntaxError {
        match self.text[self.at..].chars().next() {
            Some(c) => self.error("syntax", format!("{c:?} stands where {wanted} was expected")),
            None => self.error("truncated", format!("the JSON ends where {wanted} was expected")),
        }
    }

    fn value(&mut self, depth: usize) -> Result<Json<'a>> {
        if depth > DEPTH_MAX {
            return Err(self.error("depth", format!("the JSON nests deeper than {DEPTH_MAX} levels")));
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => Ok(Json::String(self.string()?)),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(self.unexpected("a value")),
        }
    }

    fn word(&mut self, word: &'static str, value: Json<'a>) -> Result<Json<'a>> {
        let rest = &self.text.as_bytes()[self.at..];
        if rest.starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(value);
        }
        if word.as_bytes().starts_with(rest) {
            self.at = self.text.len();
        }
        Err(self.unexpected("a value"))
    }

    fn number(&mut self) -> Result<Json<'a>> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        let leading_zero = self.peek() == Some(b'0');
        let whole = self.skip_digits();
        if whole == 0 {
            return Err(self.unexpected("a digit"));
        }
        if leading_zero && whole > 1 {
            self.at = start;
            return Err(self.error("syntax", "a number begins with 0"));
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if self.skip_digits() == 0 {
                return Err(self.unexpected("a digit"));
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            if self.skip_digits() == 0 {
                return Err(self.unexpected("a digit"));
            }
        }
        Ok(Json::Number(&self.text[start..self.at]))
    }

    fn skip_digits(&mut self) -> usize {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at - start
    }

    fn array(&mut self, depth: usize) -> Result<Json<'a>> {
        self.at += 1;
        let mut elements = Vec::new();
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Json::Array(elements));
        }
        loop {
            self.space();
            elements.push(self.value(depth + 1)?);
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Json::Array(elements));
                }
                _ => return Err(self.unexpected("',' or ']'")),
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json<'a>> {
        self.at += 1;
        let mut fields: Vec<(Cow<'a, str>, Json<'a>)> = Vec::new();
        let mut names: HashSet<Cow<'a, str>> = HashSet::new();
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Json::Object(fields));
        }
        loop {
            self.space();
            let name_at = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("a key in quotes"));
            }
            let name = self.string()?;
            if is_duplicate(&fields, &mut names, &name) {
                let shown: String = name.chars().take(64).collect();
                let message = format!("the key {shown:?} occurs twice");
                return Err(SyntaxError { offset: name_at, rule: "duplicate_key", message });
            }
            self.space();
            if self.peek() != Some(b':') {
                return Err(self.unexpected("':'"));
            }
            self.at += 1;
            self.space();
            let value = self.value(depth + 1)?;
            fields.push((name, value));
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Json::Object(fields));
                }
                _ => return Err(self.unexpected("',' or '}'")),
            }
        }
    }

    fn string(&mut self) -> Result<Cow<'a, str>> {
        self.at += 1;
        let start = self.at;
        loop {
            match self.peek() {
                Some(b'"') => {
                    let text = &self.text[start..self.at];
                    self.at += 1;
                    return Ok(Cow::Borrowed(text));
                }
                Some(b'\\') => break,
                Some(0..=0x1F) => return Err(self.error("syntax", "a control character stands in a string")),
                Some(_) => self.at += 1,
                None => return Err(self.unexpected("the end of a string")),
            }
        }
        self.string_with_escapes(start)
    }

    fn string_with_escapes(&mut self, start: usize) -> Result<Cow<'a, str>> {
        let mut owned = self.text[start..self.at].to_owned();
        loop {
            let plain = self.at;
            while self.peek().is_some_and(|b| b != b'"' && b != b'\\' && b > 0x1F) {
                self.at += 1;
            }
            owned.push_str(&self.text[plain..self.at]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(owned));
                }
                Some(b'\\') => owned.push(self.escape()?),
                Some(_) => return Err(self.error("syntax", "a control character stands in a string")),
                None => return Err(self.unexpected("the end of a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<char> {
        self.at += 1;
        let plain = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => return Err(self.unexpected("an escape")),
        };
        self.at += 1;
        Ok(plain)
    }

    fn unicode_escape(&mut self) -> Result<char> {
        let begin = self.at;
        let high = self.hex4()?;
        let code = if (0xD800..0xDC00).contains(&high) && self.text.as_bytes()[self.at..].starts_with(b"\\u") {
            self.at += 1;
            let low = self.hex4()?;
            if !(0xDC00..0xE000).contains(&low) {
                return Err(SyntaxError { offset: begin, rule: "syntax", message: "a surrogate stands alone".into() });
            }
            0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00)
        } else {
            high
        };
        char::from_u32(code).ok_or(SyntaxError {
            offset: begin,
            rule: "syntax",
            message: "a surrogate stands alone".into(),
        })
    }

    /// Four hexadecimal digits after the `u` at the present place.
    fn hex4(&mut self) -> Result<u32> {
        self.at += 1;
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|b| char::from(b).to_digit(16));
            code = code * 16 + digit.ok_or_else(|| self.unexpected("a hexadecimal digit"))?;
            self.at += 1;
        }
        Ok(code)
    }
}

fn is_duplicate<'a>(fields: &[(Cow<'a, str>, Json<'a>)], names: &mut HashSet<Cow<'a, str>>, name: &str) -> bool {
    if fields.len() < FIELDS_SCANNED_MAX {
        return fields.iter().any(|(known, _)| known == name);
    }
    if names.is_empty() {
        names.extend(fields.iter().map(|(known, _)| known.clone()));
    }
    !names.insert(Cow::Owned(name.to_owned()))
}
