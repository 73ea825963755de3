//! Policy files: cut into statements, parsed, each with the place where it stands.

use std::sync::Arc;

use cedar_policy::{Policy, PolicyId};
use miette::Diagnostic;
use seawall_base::Error;

use super::mask;

#[cfg(test)]
mod tests;

/// Largest policy file, in bytes.
const FILE_BYTES_MAX: usize = 1 << 20;

/// What is wrong with a policy, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyProblem {
    /// File, as it was given; empty when the fault is in no file.
    pub file: String,
    /// Line, the first is 1.
    pub line: usize,
    /// Column in characters, the first is 1.
    pub column: usize,
    /// Code that `seawall explain` knows.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl From<PolicyProblem> for Error {
    fn from(problem: PolicyProblem) -> Error {
        let PolicyProblem { file, line, column, code, message, hint } = problem;
        let error = Error::invalid(code, format!("{file}:{line}:{column}: {message}"));
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

/// One policy and where it stands.
pub(super) struct Statement {
    /// The policy; its id is `FILE:LINE:COLUMN`.
    pub(super) policy: Policy,
    file: String,
    /// Text of the whole file.
    text: Arc<str>,
    offset: usize,
}

impl Statement {
    /// A problem with this policy, `within` so many bytes of it when known.
    pub(super) fn problem(
        &self,
        code: &'static str,
        within: Option<usize>,
        message: impl Into<String>,
        hint: Option<String>,
    ) -> PolicyProblem {
        let (line, column) = place(&self.text, self.offset + within.unwrap_or(0));
        PolicyProblem { file: self.file.clone(), line, column, code, message: message.into(), hint }
    }
}

/// Every policy of a file; each statement that does not parse is a problem.
pub(super) fn parse(file: &str, text: &str, problems: &mut Vec<PolicyProblem>) -> Vec<Statement> {
    let problem = |at: usize, message: String, hint: Option<String>| {
        let (line, column) = place(text, at);
        PolicyProblem { file: file.to_owned(), line, column, code: "SW0613", message, hint }
    };
    if text.len() > FILE_BYTES_MAX {
        let message = format!("a policy file of {} bytes is too large", text.len());
        problems.push(problem(0, message, Some(format!("split it: at most {FILE_BYTES_MAX} bytes each"))));
        return Vec::new();
    }
    let whole: Arc<str> = text.into();
    let mut statements = Vec::new();
    for (offset, statement) in cut(text) {
        let (line, column) = place(text, offset);
        match Policy::parse(Some(PolicyId::new(format!("{file}:{line}:{column}"))), statement) {
            Ok(policy) => {
                let parsed = Statement { policy, file: file.to_owned(), text: whole.clone(), offset };
                check_mask(&parsed, problems);
                statements.push(parsed);
            }
            Err(errors) => problems.extend(errors.iter().map(|error| {
                let within = label(error).unwrap_or(0).min(statement.len());
                problem(offset + within, lowercase(&error.to_string()), error.help().map(|help| help.to_string()))
            })),
        }
    }
    statements
}

/// The first byte that a diagnostic points at.
pub(super) fn label(diagnostic: &dyn Diagnostic) -> Option<usize> {
    diagnostic.labels().and_then(|mut labels| labels.next()).map(|label| label.offset())
}

/// Messages begin in lower case, as all of ours do.
pub(super) fn lowercase(message: &str) -> String {
    let mut chars = message.chars();
    let first = chars.next().map(|first| first.to_lowercase().to_string()).unwrap_or_default();
    format!("{first}{}", chars.as_str())
}

fn check_mask(statement: &Statement, problems: &mut Vec<PolicyProblem>) {
    let Some(name) = statement.policy.annotation("mask") else { return };
    let known: Vec<&str> = mask::STRICTEST_FIRST.iter().map(|(_, name)| *name).collect();
    if statement.policy.effect() == cedar_policy::Effect::Permit {
        let hint = "write @mask on a `forbid` of Action::\"read_raw\"".to_owned();
        problems.push(statement.problem("SW0616", None, "a `permit` cannot mask", Some(hint)));
    } else if mask::named(name).is_none() {
        let message = format!("{name:?} is no mask");
        problems.push(statement.problem("SW0616", None, message, Some(format!("use {}", known.join(", ")))));
    }
}

/// Line and column of a byte of `text`, both from 1.
fn place(text: &str, at: usize) -> (usize, usize) {
    let mut end = at.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = &text[..end];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// The statements of a file with their offsets: what stands up to each semicolon outside of texts and comments.
fn cut(text: &str) -> Vec<(usize, &str)> {
    let mut statements = Vec::new();
    let mut start: Option<usize> = None;
    let mut chars = text.char_indices().peekable();
    while let Some((at, char)) = chars.next() {
        let is_comment = char == '/' && chars.peek().is_some_and(|(_, next)| *next == '/');
        if is_comment {
            while chars.next_if(|(_, next)| *next != '\n').is_some() {}
            continue;
        }
        if char.is_whitespace() {
            continue;
        }
        let begin = *start.get_or_insert(at);
        match char {
            ';' => {
                statements.push((begin, &text[begin..=at]));
                start = None;
            }
            '"' => {
                let mut escaped = false;
                for (_, inside) in chars.by_ref() {
                    if inside == '"' && !escaped {
                        break;
                    }
                    escaped = inside == '\\' && !escaped;
                }
            }
            _ => {}
        }
    }
    if let Some(begin) = start {
        statements.push((begin, &text[begin..]));
    }
    statements
}
