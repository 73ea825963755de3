//! Rust text without comments, and where wanted without the content of strings, every line and column in place.
//!
//! This is a lexer for exactly that purpose: it knows line and nested block comments, plain, byte, C and raw strings,
//! and characters as opposed to lifetimes.

/// What to blank out besides comments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strings {
    /// Keep strings as they stand.
    Keep,
    /// Blank out what is between the quotes.
    Blank,
}

/// `text` with comments, and strings if asked, replaced by spaces; line breaks stay.
pub fn strip(text: &str, strings: Strings) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = if starts_with(&chars, at, "//") {
            end_of_line(&chars, at)
        } else if starts_with(&chars, at, "/*") {
            end_of_block_comment(&chars, at)
        } else {
            at
        };
        if end > at {
            blank(&chars[at..end], &mut out);
            at = end;
            continue;
        }
        let end = end_of_literal(&chars, at);
        match (end, strings) {
            (None, _) => {
                out.push(chars[at]);
                at += 1;
            }
            (Some(end), Strings::Keep) => {
                out.extend(&chars[at..end]);
                at = end;
            }
            (Some(end), Strings::Blank) => {
                blank(&chars[at..end], &mut out);
                at = end;
            }
        }
    }
    out
}

fn blank(chars: &[char], out: &mut String) {
    out.extend(chars.iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
}

fn starts_with(chars: &[char], at: usize, prefix: &str) -> bool {
    prefix.chars().enumerate().all(|(i, c)| chars.get(at + i) == Some(&c))
}

fn end_of_line(chars: &[char], at: usize) -> usize {
    chars[at..].iter().position(|c| *c == '\n').map_or(chars.len(), |length| at + length)
}

fn end_of_block_comment(chars: &[char], start: usize) -> usize {
    let mut depth = 0usize;
    let mut at = start;
    while at < chars.len() {
        if starts_with(chars, at, "/*") {
            depth += 1;
            at += 2;
        } else if starts_with(chars, at, "*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    chars.len()
}

/// The end of the string or character that begins at `at`; none when nothing of the kind begins there.
fn end_of_literal(chars: &[char], at: usize) -> Option<usize> {
    let in_word = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    match chars[at] {
        '"' => Some(end_of_string(chars, at + 1)),
        'r' if !in_word => end_of_raw_string(chars, at + 1),
        'b' | 'c' if !in_word => match chars.get(at + 1) {
            Some('"') => Some(end_of_string(chars, at + 2)),
            Some('\'') => end_of_char(chars, at + 1),
            Some('r') => end_of_raw_string(chars, at + 2),
            _ => None,
        },
        '\'' => end_of_char(chars, at),
        _ => None,
    }
}

/// After the closing quote of a string whose content begins at `at`.
fn end_of_string(chars: &[char], mut at: usize) -> usize {
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// After the end of a raw string whose `r` lies before `at`; none when it is something else, such as `r#type`.
fn end_of_raw_string(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[at..].iter().take_while(|c| **c == '#').count();
    if chars.get(at + hashes) != Some(&'"') {
        return None;
    }
    let closing: String = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let content = at + hashes + 1;
    let end = (content..chars.len()).find(|i| starts_with(chars, *i, &closing));
    Some(end.map_or(chars.len(), |end| end + closing.len()))
}

/// After the closing quote of a character; none when the quote begins a lifetime.
fn end_of_char(chars: &[char], quote: usize) -> Option<usize> {
    if chars.get(quote + 1) == Some(&'\\') {
        let closing = (quote + 3..chars.len()).find(|i| chars[*i] == '\'');
        return Some(closing.map_or(chars.len(), |closing| closing + 1));
    }
    (chars.get(quote + 2) == Some(&'\'')).then_some(quote + 3)
}
