//! Messages of reasons: which column, which value (never of a personal column), which limit.

use super::text::Fault;

/// Characters of a value that a message shows.
const SHOWN_CHARACTERS_MAX: usize = 60;

/// `text`, cut off when it is long.
pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// `text` in quotes with control characters escaped, cut off when it is long.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARACTERS_MAX) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// `amount is "x", which is not a number`, or the same without the value.
pub(super) fn fault_message(column: &str, shown: Option<&str>, fault: Fault) -> String {
    match shown {
        Some(value) => format!("{column} is {value}, {}", fault.message()),
        None => format!("{column} holds a value {}", fault.message()),
    }
}

/// `amount is 70000; it must be at most 50000`, or the same without the value.
pub(super) fn limit_message(column: &str, shown: Option<&str>, limit: &str) -> String {
    match shown {
        Some(value) => format!("{column} is {value}; it {limit}"),
        None => format!("{column} {limit}"),
    }
}
