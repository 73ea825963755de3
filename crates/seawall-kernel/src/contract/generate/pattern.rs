//! Texts that match a pattern.

use regex_syntax::hir::{Class, Hir, HirKind};

use super::super::pattern::{Matcher, linear};
use super::dice::Dice;

/// Repetitions beyond the least that are made of an open one.
const MORE_MAX: u32 = 6;
/// Texts that are tried for patterns that only the backtracking engine runs.
const WORDS: [&str; 12] = ["a", "b", "ab", "abc", "A1", "x7", "ab-12", "1", "42", "2024-01-31", "a@b.org", "Ab1!Ab1!"];

/// Makes texts that match.
#[derive(Debug, Clone)]
pub(super) struct Texts {
    matcher: std::sync::Arc<Matcher>,
    /// The pattern taken apart; absent when only the backtracking engine runs it.
    hir: Option<Hir>,
}

impl Texts {
    pub(super) fn of(pattern: &str) -> Option<Texts> {
        let matcher = std::sync::Arc::new(Matcher::compile(pattern).ok()?);
        let hir = linear(pattern).and_then(|translated| regex_syntax::parse(&translated).ok());
        Some(Texts { matcher, hir })
    }

    /// A text that matches, or a guess.
    pub(super) fn draw(&self, dice: &mut Dice) -> Option<String> {
        let text = match &self.hir {
            Some(hir) => {
                let mut text = String::new();
                write(hir, dice, &mut text);
                text
            }
            None => dice.pick(&WORDS)?.to_string(),
        };
        self.matches(&text).then_some(text)
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        self.matcher.is_match(text) == Ok(true)
    }
}

fn write(hir: &Hir, dice: &mut Dice, text: &mut String) {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => text.push_str(&String::from_utf8_lossy(&literal.0)),
        HirKind::Class(class) => text.extend(member(class, dice)),
        HirKind::Repetition(repetition) => {
            let most = repetition.max.unwrap_or(u32::MAX).min(repetition.min.saturating_add(MORE_MAX));
            let times = dice.within(i64::from(repetition.min), i64::from(most));
            (0..times).for_each(|_| write(&repetition.sub, dice, text));
        }
        HirKind::Capture(capture) => write(&capture.sub, dice, text),
        HirKind::Concat(parts) => parts.iter().for_each(|part| write(part, dice, text)),
        HirKind::Alternation(ways) => {
            if let Some(way) = dice.pick(ways) {
                write(way, dice, text);
            }
        }
    }
}

/// A member of a class, a letter or a digit where it has one.
fn member(class: &Class, dice: &mut Dice) -> Option<char> {
    let ranges: Vec<(char, char)> = match class {
        Class::Unicode(class) => class.ranges().iter().map(|range| (range.start(), range.end())).collect(),
        Class::Bytes(class) => {
            class.ranges().iter().map(|range| (char::from(range.start()), char::from(range.end()))).collect()
        }
    };
    let holds = |c: char| ranges.iter().any(|(low, high)| (*low..=*high).contains(&c));
    let plain: Vec<char> = ('0'..='9').chain('A'..='Z').chain('a'..='z').filter(|c| holds(*c)).collect();
    let visible: Vec<char> = (' '..='~').filter(|c| holds(*c)).collect();
    let chosen = dice.pick(if plain.is_empty() { &visible } else { &plain }).copied();
    chosen.or_else(|| ranges.first().map(|(low, _)| *low))
}
