//! Which tables a SQL text reads: enough of SQL's words to order transforms, without an engine.

use std::collections::BTreeSet;

pub(crate) mod expression;

/// Names that stand where a table is read (after `from`, `join` and the commas of a `from` list), unquoted ones in
/// lower case, without those that the text itself defines with `with`. Qualified names give their last part.
pub(crate) fn tables_read(sql: &str) -> BTreeSet<String> {
    let tokens = tokens(sql);
    let mut read = BTreeSet::new();
    let mut defined = BTreeSet::new();
    let mut lists: Vec<bool> = vec![false];
    let mut expects_table = false;
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let in_list = lists.last_mut().expect("the outermost list is never closed");
        match token {
            Token::Word(word) if matches!(word.as_str(), "from" | "join") => {
                expects_table = true;
                *in_list = true;
            }
            Token::Word(word) if expects_table && matches!(word.as_str(), "lateral" | "only") => {}
            Token::Word(word) if !expects_table && ENDS_FROM.contains(&word.as_str()) => *in_list = false,
            Token::Word(name) | Token::Quoted(name) if expects_table => {
                let mut name = name;
                while let (Some(Token::Mark('.')), Some(Token::Word(next) | Token::Quoted(next))) =
                    (tokens.get(at + 1), tokens.get(at + 2))
                {
                    name = next;
                    at += 2;
                }
                // A name with parentheses is a table function.
                if tokens.get(at + 1) != Some(&Token::Mark('(')) {
                    read.insert(name.clone());
                }
                expects_table = false;
            }
            Token::Word(name) | Token::Quoted(name) => {
                let defines = matches!(tokens.get(at + 1), Some(Token::Word(word)) if word == "as")
                    && tokens.get(at + 2) == Some(&Token::Mark('('));
                if defines {
                    defined.insert(name.clone());
                }
            }
            Token::Mark('(') => {
                expects_table = false;
                lists.push(false);
            }
            Token::Mark(')') => {
                expects_table = false;
                if lists.len() > 1 {
                    lists.pop();
                }
            }
            Token::Mark(',') => expects_table = *in_list,
            Token::Mark(_) => expects_table = false,
        }
        at += 1;
    }
    read.difference(&defined).cloned().collect()
}

/// Whether `sql` names `word`, in lower case, outside of texts and comments.
pub(crate) fn mentions(sql: &str, word: &str) -> bool {
    tokens(sql).iter().any(|token| matches!(token, Token::Word(name) | Token::Quoted(name) if name == word))
}

/// `sql` without the semicolon at its end, when it is one select.
pub(crate) fn one_select(sql: &str) -> Option<&str> {
    let tokens = tokens(sql);
    let statement = match tokens.as_slice() {
        [statement @ .., Token::Mark(';')] => statement,
        statement => statement,
    };
    let begins = statement.iter().find(|token| **token != Token::Mark('('));
    let is_select = matches!(begins, Some(Token::Word(word)) if word == "select" || word == "with");
    let is_one = !statement.contains(&Token::Mark(';'));
    let sql = sql.trim();
    (is_select && is_one).then(|| sql.strip_suffix(';').unwrap_or(sql).trim_end())
}

/// Words after which commas no longer separate tables.
const ENDS_FROM: [&str; 12] =
    ["where", "group", "having", "order", "limit", "union", "intersect", "except", "select", "window", "qualify", "on"];

#[derive(Debug, PartialEq)]
enum Token {
    /// A word or number, in lower case.
    Word(String),
    /// A quoted name, as written.
    Quoted(String),
    Mark(char),
}

fn tokens(sql: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        if rest.starts_with("--") {
            rest = rest.find('\n').map_or("", |end| &rest[end..]);
        } else if rest.starts_with("/*") {
            rest = rest.find("*/").map_or("", |end| &rest[end + 2..]);
        } else if first == '\'' || first == '"' {
            let (text, after) = quoted(rest, first);
            if first == '"' {
                tokens.push(Token::Quoted(text));
            } else {
                tokens.push(Token::Mark('\''));
            }
            rest = after;
        } else if first.is_alphanumeric() || first == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '$').unwrap_or(rest.len());
            tokens.push(Token::Word(rest[..end].to_lowercase()));
            rest = &rest[end..];
        } else {
            if !first.is_whitespace() {
                tokens.push(Token::Mark(first));
            }
            rest = &rest[first.len_utf8()..];
        }
    }
    tokens
}

/// The text between quotes, doubled quotes undone, and what follows.
fn quoted(sql: &str, quote: char) -> (String, &str) {
    let mut text = String::new();
    let mut rest = &sql[1..];
    while let Some(end) = rest.find(quote) {
        text.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix(quote) {
            Some(after) => {
                text.push(quote);
                rest = after;
            }
            None => return (text, rest),
        }
    }
    text.push_str(rest);
    (text, "")
}

#[cfg(test)]
mod tests;
