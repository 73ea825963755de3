//! Leftovers in text: paths of somebody's machine, and promises to finish later.

use super::repository::Repository;
use super::{Finding, Severity};

/// Folders of the machines that the project was written on; in two parts, or this file would break its own rule.
const MACHINE_PATHS: [&str; 3] = [concat!("/", "home/"), concat!("/", "root/"), concat!("/", "Users/")];

const PROMISES: [&str; 3] = [concat!("for ", "now"), concat!("to", "do"), concat!("fix", "me")];

/// Files that quote these words for a reason: generated text, foreign text, and the lint tables that name them.
const EXEMPT: [&str; 6] =
    ["Cargo.lock", "Cargo.toml", "LICENSE", "xtask/src/tidy/calls.rs", "xtask/src/tidy/tests.rs", "clippy.toml"];
const EXEMPT_ENDS: [&str; 4] = [".json", ".csv", ".svg", ".min.js"];
const EXEMPT_FOLDERS: [&str; 1] = ["ui/dist/"];

/// No machine paths and no promises in text files.
pub fn leftovers(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in repository.files.iter().filter(|file| !is_exempt(&file.path)) {
        for (i, line) in file.text.lines().enumerate() {
            if let Some(path) = MACHINE_PATHS.iter().find(|path| has_path(line, path)) {
                findings.push(Finding {
                    severity: Severity::Failure,
                    rule: "machine-path",
                    path: file.path.clone(),
                    line: i + 1,
                    what: format!("`{path}` names a folder of one machine"),
                    why: "a checkout works wherever it lies",
                    remedy: "use a relative path, an argument or an environment variable".to_owned(),
                });
            }
            if let Some(promise) = PROMISES.iter().find(|promise| has_words(line, promise)) {
                findings.push(Finding {
                    severity: Severity::Failure,
                    rule: "promise",
                    path: file.path.clone(),
                    line: i + 1,
                    what: format!("`{promise}` promises to finish later"),
                    why: "text says what is; plans belong to the tracker",
                    remedy: "finish it, or say what the limit is and why".to_owned(),
                });
            }
        }
    }
    findings
}

fn is_exempt(path: &str) -> bool {
    EXEMPT.contains(&path)
        || EXEMPT_ENDS.iter().any(|end| path.ends_with(end))
        || EXEMPT_FOLDERS.iter().any(|folder| path.starts_with(folder))
}

/// Whether `path` occurs from the root: not as the tail of a longer path or of a web address.
fn has_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        !line[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '}' | '~' | '*'))
    })
}

/// Whether `words` occur as words, in any case, and not as the name of a function.
fn has_words(line: &str, words: &str) -> bool {
    let lower = line.to_ascii_lowercase();
    lower.match_indices(words).any(|(at, _)| {
        let within = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let after = &lower[at + words.len()..];
        !lower[..at].ends_with(within) && !after.starts_with(within) && !after.starts_with('(')
    })
}
