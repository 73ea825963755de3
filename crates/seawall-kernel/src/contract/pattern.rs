//! ECMA-262 patterns: translated for the linear-time engine where possible, else run by a backtracking engine with a
//! budget per value.
//!
//! A pattern matches anywhere in the value unless it is anchored, as in JSON Schema. Known difference: `\B` looks at
//! Unicode word characters, ECMA-262 at ASCII ones.

mod table;
#[cfg(test)]
mod tests;

use std::sync::OnceLock;

use arrow::array::{Array, StringArray};
use arrow::buffer::BooleanBuffer;
use regex_automata::meta;

use self::table::{LANES, Table};

/// Steps that the backtracking engine may take for one value.
const BACKTRACK_STEPS_MAX: usize = 100_000;
/// Size of a compiled pattern in bytes.
const PROGRAM_BYTES_MAX: usize = 4 << 20;
/// Values of a column from which on a table is made.
const TABLE_VALUES_MIN: usize = 1_000;
/// ECMA-262 `\s`, for use inside a class.
const SPACE: &str =
    r"\t\n\x0B\x0C\r\x20\u{a0}\u{1680}\u{2000}-\u{200a}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}\u{feff}";

/// A compiled pattern.
#[derive(Debug)]
pub(super) enum Matcher {
    Linear(Box<Linear>),
    Backtracking(Box<fancy_regex::Regex>),
}

/// A pattern that is decided in one pass over a value.
#[derive(Debug)]
pub(super) struct Linear {
    regex: meta::Regex,
    /// In Rust's syntax.
    pattern: String,
    /// For columns; made when the first long one comes.
    table: OnceLock<Option<Table>>,
}

/// What a pattern says of a column.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Searched {
    /// The values that contain a match; of a null, anything.
    pub matched: BooleanBuffer,
    /// The values on which the backtracking engine gave up; they count as matching.
    pub over_budget: Vec<usize>,
}

/// The backtracking engine gave up on a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OverBudget;

impl Matcher {
    /// Compiles an ECMA-262 `pattern`; the error says what is wrong with it.
    pub(super) fn compile(pattern: &str) -> Result<Matcher, String> {
        let translated = Translator::new(pattern).run()?;
        if translated.backtracks {
            let compiled = fancy_regex::RegexBuilder::new(&translated.pattern)
                .backtrack_limit(BACKTRACK_STEPS_MAX)
                .delegate_size_limit(PROGRAM_BYTES_MAX)
                .build()
                .map_err(|e| e.to_string())?;
            return Ok(Matcher::Backtracking(Box::new(compiled)));
        }
        // Tables take the most time to make: columns get one when they come.
        let config = meta::Config::new().nfa_size_limit(Some(PROGRAM_BYTES_MAX)).dfa(false).onepass(false);
        let regex = meta::Builder::new().configure(config).build(&translated.pattern).map_err(|e| refused(&e))?;
        Ok(Matcher::Linear(Box::new(Linear { regex, pattern: translated.pattern, table: OnceLock::new() })))
    }

    /// Whether `text` contains a match.
    pub(super) fn is_match(&self, text: &str) -> Result<bool, OverBudget> {
        match self {
            Matcher::Linear(linear) => Ok(linear.regex.is_match(text)),
            Matcher::Backtracking(regex) => regex.is_match(text).map_err(|_| OverBudget),
        }
    }

    /// The same for every value of a column.
    pub(super) fn search(&self, texts: &StringArray) -> Searched {
        if let Matcher::Linear(linear) = self
            && let Some(table) = linear.table(texts.len())
        {
            return Searched { matched: search_with(table, texts), over_budget: Vec::new() };
        }
        let mut over_budget = Vec::new();
        let matched = BooleanBuffer::collect_bool(texts.len(), |i| {
            texts.is_null(i)
                || self.is_match(texts.value(i)).unwrap_or_else(|OverBudget| {
                    over_budget.push(i);
                    true
                })
        });
        Searched { matched, over_budget }
    }
}

impl Linear {
    /// The table, when there is one and it is worth its while for so many values.
    fn table(&self, values: usize) -> Option<&Table> {
        match values < TABLE_VALUES_MIN {
            true => self.table.get(),
            false => Some(self.table.get_or_init(|| Table::of(&self.pattern))),
        }?
        .as_ref()
    }
}

/// What is wrong with a pattern.
fn refused(error: &meta::BuildError) -> String {
    match (error.syntax_error(), error.size_limit()) {
        (Some(syntax), _) => syntax.to_string(),
        (None, Some(limit)) => format!("it compiles to more than {limit} bytes"),
        (None, None) => error.to_string(),
    }
}

fn search_with(table: &Table, texts: &StringArray) -> BooleanBuffer {
    let mut matched = Vec::with_capacity(texts.len().next_multiple_of(LANES));
    for first in (0..texts.len()).step_by(LANES) {
        let value = |i: usize| if i < texts.len() { texts.value(i).as_bytes() } else { b"" };
        matched.extend(table.is_match(std::array::from_fn(|lane| value(first + lane))));
    }
    matched.truncate(texts.len());
    BooleanBuffer::from(matched)
}

/// The pattern in Rust's syntax, when the linear engine runs it.
pub(super) fn linear(pattern: &str) -> Option<String> {
    let translated = Translator::new(pattern).run().ok()?;
    (!translated.backtracks).then_some(translated.pattern)
}

struct Translated {
    pattern: String,
    backtracks: bool,
}

/// One pass over the pattern. Rust's syntax differs in shorthand classes, in what must be escaped, and in look-around
/// and backreferences, which only the backtracking engine knows.
struct Translator<'a> {
    input: &'a str,
    at: usize,
    output: String,
    backtracks: bool,
}

impl<'a> Translator<'a> {
    fn new(input: &'a str) -> Self {
        Translator { input, at: 0, output: String::with_capacity(input.len() + 16), backtracks: false }
    }

    fn rest(&self) -> &'a str {
        &self.input[self.at..]
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest().chars().next()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn run(mut self) -> Result<Translated, String> {
        while let Some(c) = self.next() {
            match c {
                '\\' => self.escape(false)?,
                '[' => self.class()?,
                '.' => self.output.push_str(r"[^\n\r\u{2028}\u{2029}]"),
                '(' => self.group(),
                '{' if !self.begins_quantifier() => self.output.push_str(r"\{"),
                '{' => self.quantifier(),
                '}' | ']' => {
                    self.output.push('\\');
                    self.output.push(c);
                }
                _ => self.output.push(c),
            }
        }
        Ok(Translated { pattern: self.output, backtracks: self.backtracks })
    }

    fn group(&mut self) {
        self.output.push('(');
        let looks_around = ["?=", "?!", "?<=", "?<!"].iter().any(|mark| self.rest().starts_with(mark));
        self.backtracks |= looks_around;
        // The name of a group is copied as it is.
        if self.rest().starts_with("?<")
            && !looks_around
            && let Some(end) = self.rest().find('>')
        {
            self.output.push_str(&self.rest()[..=end]);
            self.at += end + 1;
        }
    }

    /// Whether `n}`, `n,}` or `n,m}` follows.
    fn begins_quantifier(&self) -> bool {
        let Some(end) = self.rest().find('}') else { return false };
        let inner = &self.rest()[..end];
        let (low, high) = inner.split_once(',').unwrap_or((inner, ""));
        let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        !low.is_empty() && all_digits(low) && all_digits(high)
    }

    fn quantifier(&mut self) {
        let end = self.rest().find('}').map_or(self.rest().len(), |end| end + 1);
        self.output.push('{');
        self.output.push_str(&self.rest()[..end]);
        self.at += end;
    }

    fn class(&mut self) -> Result<(), String> {
        let negated = self.rest().starts_with('^');
        self.at += usize::from(negated);
        if self.rest().starts_with(']') {
            // ECMA-262: the empty class matches nothing, its negation everything.
            self.at += 1;
            self.output.push_str(if negated { r"[\s\S]" } else { r"[^\s\S]" });
            return Ok(());
        }
        self.output.push_str(if negated { "[^" } else { "[" });
        loop {
            match self.next().ok_or("a character class is not closed")? {
                ']' => break,
                '\\' => self.escape(true)?,
                // Rust gives these a meaning inside classes that ECMA-262 does not.
                c @ ('[' | '&' | '~') => {
                    self.output.push('\\');
                    self.output.push(c);
                }
                '-' if self.rest().starts_with(']') || self.output.ends_with('[') => self.output.push_str(r"\-"),
                '-' if self.rest().starts_with('-') => self.output.push('-'),
                c => self.output.push(c),
            }
        }
        self.output.push(']');
        Ok(())
    }

    fn escape(&mut self, in_class: bool) -> Result<(), String> {
        let c = self.next().ok_or("the pattern ends with a backslash")?;
        match c {
            'd' => self.shorthand(in_class, false, "0-9"),
            'D' => self.shorthand(in_class, true, "0-9"),
            'w' => self.shorthand(in_class, false, "0-9A-Za-z_"),
            'W' => self.shorthand(in_class, true, "0-9A-Za-z_"),
            's' => self.shorthand(in_class, false, SPACE),
            'S' => self.shorthand(in_class, true, SPACE),
            'b' if in_class => self.output.push_str(r"\x08"),
            'b' => self.output.push_str(r"(?-u:\b)"),
            'B' if !in_class => self.output.push_str(r"\B"),
            't' | 'n' | 'r' | 'f' | 'v' => {
                self.output.push('\\');
                self.output.push(c);
            }
            '0' if !self.rest().starts_with(|d: char| d.is_ascii_digit()) => self.output.push_str(r"\x00"),
            '1'..='9' if !in_class => {
                self.backtracks = true;
                self.output.push('\\');
                self.output.push(c);
                while let Some(digit) = self.rest().chars().next().filter(char::is_ascii_digit) {
                    self.output.push(digit);
                    self.at += 1;
                }
            }
            'k' if self.rest().starts_with('<') => {
                self.backtracks = true;
                let end = self.rest().find('>').ok_or("a group reference is not closed")?;
                self.output.push_str(r"\k");
                self.output.push_str(&self.rest()[..=end]);
                self.at += end + 1;
            }
            'c' => {
                let letter = self.next().filter(char::is_ascii_alphabetic).ok_or(r"\c needs a letter")?;
                self.push_code(u32::from(letter) % 32)?;
            }
            'x' => {
                let code = self.hex(2).ok_or(r"\x needs two hexadecimal digits")?;
                self.push_code(code)?;
            }
            'u' => self.unicode()?,
            'p' | 'P' if self.rest().starts_with('{') => {
                let end = self.rest().find('}').ok_or("a property of characters is not closed")?;
                self.output.push('\\');
                self.output.push(c);
                self.output.push_str(&self.rest()[..=end]);
                self.at += end + 1;
            }
            c => self.push_literal(c),
        }
        Ok(())
    }

    fn shorthand(&mut self, in_class: bool, negated: bool, members: &str) {
        match (in_class, negated) {
            (true, false) => self.output.push_str(members),
            (_, true) => {
                self.output.push_str("[^");
                self.output.push_str(members);
                self.output.push(']');
            }
            (false, false) => {
                self.output.push('[');
                self.output.push_str(members);
                self.output.push(']');
            }
        }
    }

    fn hex(&mut self, count: usize) -> Option<u32> {
        let digits = self.rest().get(..count).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
        self.at += count;
        u32::from_str_radix(digits, 16).ok()
    }

    fn unicode(&mut self) -> Result<(), String> {
        let malformed = r"\u needs four hexadecimal digits or braces";
        if self.rest().starts_with('{') {
            let end = self.rest().find('}').ok_or(malformed)?;
            let code = u32::from_str_radix(&self.rest()[1..end], 16).map_err(|_| malformed)?;
            self.at += end + 1;
            return self.push_code(code);
        }
        let code = self.hex(4).ok_or(malformed)?;
        if (0xD800..0xDC00).contains(&code) && self.rest().starts_with(r"\u") {
            self.at += 2;
            let low = self.hex(4).filter(|low| (0xDC00..0xE000).contains(low)).ok_or("a surrogate stands alone")?;
            return self.push_code(0x1_0000 + ((code - 0xD800) << 10) + (low - 0xDC00));
        }
        self.push_code(code)
    }

    fn push_code(&mut self, code: u32) -> Result<(), String> {
        let c = char::from_u32(code).ok_or("a code point is not a character")?;
        self.output.push_str(&format!(r"\x{{{:x}}}", u32::from(c)));
        Ok(())
    }

    fn push_literal(&mut self, c: char) {
        if c.is_ascii_alphanumeric() || !c.is_ascii() || matches!(c, '<' | '>' | '/' | '"' | '\'' | ' ' | ',' | ':') {
            self.output.push(c);
        } else {
            self.output.push('\\');
            self.output.push(c);
        }
    }
}
