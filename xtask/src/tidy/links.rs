//! Links in Markdown files that lead to files of the repository.

use super::repository::{File, Repository};
use super::{Finding, Severity};

/// Every relative link leads to a file or folder that exists.
pub fn markdown_links(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in repository.files.iter().filter(|file| file.path.ends_with(".md")) {
        for (line, target) in links(&file.text) {
            if !resolves(repository, file, target) {
                findings.push(Finding {
                    severity: Severity::Failure,
                    rule: "link",
                    path: file.path.clone(),
                    line,
                    what: format!("the link to `{target}` leads nowhere"),
                    why: "a reader who follows a link should arrive",
                    remedy: "correct the path, relative to this file, or remove the link".to_owned(),
                });
            }
        }
    }
    findings
}

/// Line and target of every `[text](target)` outside of code.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut links = Vec::new();
    let mut in_code = false;
    for (i, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for (at, opening) in line.match_indices("](") {
            let in_span = line[..at].matches('`').count() % 2 == 1;
            let target = &line[at + opening.len()..];
            if let Some(end) = target.find(')').filter(|_| !in_span) {
                // A title may follow the target.
                links.extend(target[..end].split_whitespace().next().map(|target| (i + 1, target)));
            }
        }
    }
    links
}

fn resolves(repository: &Repository, file: &File, target: &str) -> bool {
    let path = target.split(['#', '?']).next().unwrap_or_default();
    let elsewhere = target.contains("://") || target.starts_with("mailto:");
    if elsewhere || path.is_empty() {
        return true;
    }
    let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                if parts.pop().is_none() {
                    return false;
                }
            }
            name => parts.push(name),
        }
    }
    parts.is_empty() || repository.paths.contains(&parts.join("/"))
}
