//! Error codes and their explanations: each exists exactly once on both sides.

use std::collections::BTreeMap;

use super::repository::{File, Repository};
use super::strip::{Strings, strip};
use super::{Finding, Severity};

const WHY: &str = "every error a user sees can be explained by `seawall explain`, and nothing is explained that cannot \
                   happen";

/// Every code in the crates has a section `## SWdddd: title` in `docs/errors/*.md`, and the other way round.
pub fn error_codes(repository: &Repository) -> Vec<Finding> {
    let used = codes_used(repository);
    let mut explained: BTreeMap<String, (&File, usize)> = BTreeMap::new();
    let mut findings = Vec::new();
    for (code, file, line) in sections(repository) {
        if let Some((first, first_line)) = explained.get(&code) {
            let what = format!("{code} is explained twice, first in {}:{first_line}", first.path);
            findings.push(finding(&file.path, line, what, "keep one of the two sections"));
        } else if !used.contains_key(&code) {
            let what = format!("{code} is explained, but nothing uses it");
            findings.push(finding(&file.path, line, what, "delete the section"));
        }
        explained.entry(code).or_insert((file, line));
    }
    for (code, (path, line)) in &used {
        if !explained.contains_key(code) {
            let remedy = "write a section `## CODE: short title` in docs/errors: what happened, why, what to do";
            findings.push(finding(path, *line, format!("{code} has no explanation"), remedy));
        }
    }
    findings
}

fn finding(path: &str, line: usize, what: String, remedy: &str) -> Finding {
    Finding {
        severity: Severity::Failure,
        rule: "error-code",
        path: path.to_owned(),
        line,
        what,
        why: WHY,
        remedy: remedy.to_owned(),
    }
}

/// Codes that stand as string literals in the crates, tests aside, with the first place of each.
fn codes_used(repository: &Repository) -> BTreeMap<String, (String, usize)> {
    let mut used = BTreeMap::new();
    let sources = repository.files.iter().filter(|file| file.is_rust() && file.path.starts_with("crates/"));
    for file in sources.filter(|file| !file.is_test()) {
        for (i, line) in strip(&file.text, Strings::Keep).lines().enumerate() {
            for literal in line.split('"').skip(1).filter(|literal| is_code(literal)) {
                used.entry(literal.to_owned()).or_insert((file.path.clone(), i + 1));
            }
        }
    }
    used
}

fn sections(repository: &Repository) -> Vec<(String, &File, usize)> {
    let mut sections = Vec::new();
    let pages = repository.files.iter().filter(|file| file.path.starts_with("docs/errors/"));
    for file in pages.filter(|file| file.path.ends_with(".md")) {
        for (i, line) in file.text.lines().enumerate() {
            let title = line.strip_prefix("## ").unwrap_or_default();
            let code = title.split([':', ' ']).next().unwrap_or_default();
            if is_code(code) {
                sections.push((code.to_owned(), file, i + 1));
            }
        }
    }
    sections
}

fn is_code(text: &str) -> bool {
    let digits = text.strip_prefix("SW").unwrap_or_default();
    digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit())
}
