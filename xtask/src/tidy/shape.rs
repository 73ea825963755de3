//! The shape of source files: an opening paragraph, a length one can read, tests beside and not inside.

use super::repository::{File, Repository};
use super::strip::{Strings, strip};
use super::{Finding, Severity};

const LINES_WARN: usize = 500;
const LINES_MAX: usize = 900;

/// Every source file opens with a `//!` paragraph, is short enough, and keeps its tests in a file of their own.
pub fn file_shape(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    let sources = repository.files.iter().filter(|file| file.is_rust());
    for file in sources.filter(|file| file.crate_source().is_some() || file.path.starts_with("xtask/src/")) {
        findings.extend(opening(file));
        findings.extend(length(file));
        findings.extend(inline_tests(file));
    }
    findings
}

fn opening(file: &File) -> Option<Finding> {
    let opens = file.text.trim_start().starts_with("//! ");
    (!file.is_test() && !opens).then(|| Finding {
        severity: Severity::Failure,
        rule: "opening",
        path: file.path.clone(),
        line: 1,
        what: "the file does not begin with a //! paragraph".to_owned(),
        why: "a reader learns first what a file does, what it promises and what it leaves to others",
        remedy: "write that paragraph".to_owned(),
    })
}

fn length(file: &File) -> Option<Finding> {
    let lines = file.text.lines().count();
    let severity = match lines {
        0..=LINES_WARN => return None,
        _ if lines <= LINES_MAX => Severity::Warning,
        _ => Severity::Failure,
    };
    Some(Finding {
        severity,
        rule: "length",
        path: file.path.clone(),
        line: lines,
        what: format!("{lines} lines; a file asks for a split near {LINES_WARN} and must not pass {LINES_MAX}"),
        why: "a file is one idea",
        remedy: "look for the second idea and give it a file of its own".to_owned(),
    })
}

fn inline_tests(file: &File) -> Option<Finding> {
    let code = strip(&file.text, Strings::Blank);
    let (at, _) = code.match_indices("mod tests {").find(|(at, opening)| {
        let own_word = !code[..*at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        own_word && !code[at + opening.len()..].trim_start().starts_with('}')
    })?;
    Some(Finding {
        severity: Severity::Failure,
        rule: "inline-tests",
        path: file.path.clone(),
        line: code[..at].lines().count().max(1) + usize::from(code[..at].ends_with('\n')),
        what: "tests inside the file they test".to_owned(),
        why: "tests live in tests.rs beside the module, so that both stay short",
        remedy: "write `mod tests;` and move them".to_owned(),
    })
}
