//! `cargo xtask tidy`: properties of the repository that neither the compiler nor clippy checks.
//!
//! A rule is a function from a [`Repository`], which is plain data, to findings. Rules read no files and run no
//! commands, so that tests feed them repositories that break exactly one rule.

use std::fmt;

mod calls;
mod codes;
mod crates;
mod links;
mod lock;
mod repository;
mod shape;
mod strip;
mod text;

#[cfg(test)]
mod tests;

pub use repository::Repository;

/// Whether a finding fails the check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The rule is broken.
    Failure,
    /// Worth a look.
    Warning,
}

/// One broken rule at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whether it fails the check.
    pub severity: Severity,
    /// Name of the rule.
    pub rule: &'static str,
    /// Path relative to the root.
    pub path: String,
    /// Line, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
    /// Why the rule exists.
    pub why: &'static str,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Failure => "error",
            Severity::Warning => "warning",
        };
        writeln!(f, "{}:{}: {severity}[{}]: {}", self.path, self.line, self.rule, self.what)?;
        writeln!(f, "    why: {}", self.why)?;
        write!(f, "    do:  {}", self.remedy)
    }
}

/// Every finding, by path and line.
pub fn check(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(crates::edges(repository));
    findings.extend(crates::owned_dependencies(repository));
    findings.extend(lock::one_version(repository));
    findings.extend(calls::forbidden_calls(repository));
    findings.extend(shape::file_shape(repository));
    findings.extend(codes::error_codes(repository));
    findings.extend(text::leftovers(repository));
    findings.extend(links::markdown_links(repository));
    findings.sort_by(|a, b| (&a.path, a.line, a.rule).cmp(&(&b.path, b.line, b.rule)));
    findings
}
