//! One version each of the dependencies whose types cross our crates or that are heavy to compile.

use std::collections::BTreeSet;

use super::repository::Repository;
use super::{Finding, Severity};

const ONCE: [&str; 9] =
    ["arrow", "parquet", "datafusion", "object_store", "deltalake-core", "sqlx", "axum", "tokio", "rustls"];

/// Beginnings of the names of their parts, which must not come twice either.
const ONCE_FAMILIES: [&str; 2] = ["arrow-", "datafusion-"];

/// `Cargo.lock` holds one version of each of [`ONCE`] and of every member of [`ONCE_FAMILIES`].
pub fn one_version(repository: &Repository) -> Vec<Finding> {
    let Some(lock) = repository.files.iter().find(|file| file.path == "Cargo.lock") else { return Vec::new() };
    let packages = locked(&lock.text);
    let guarded = |name: &&str| ONCE.contains(name) || ONCE_FAMILIES.iter().any(|family| name.starts_with(family));
    let names: BTreeSet<&str> = packages.iter().map(|package| package.name).filter(guarded).collect();
    let mut findings = Vec::new();
    for name in names {
        let found: Vec<&Locked> = packages.iter().filter(|package| package.name == name).collect();
        if let [first, .., last] = found[..] {
            let versions: Vec<&str> = found.iter().map(|package| package.version).collect();
            findings.push(Finding {
                severity: Severity::Failure,
                rule: "one-version",
                path: lock.path.clone(),
                line: last.line,
                what: format!("{} versions of {name}: {}", found.len(), versions.join(", ")),
                why: "two versions of a crate have two sets of types, and cost minutes to compile",
                remedy: format!("find who asks for {name} {} with `cargo tree -i {name}@{0}`", first.version),
            });
        }
    }
    findings
}

struct Locked<'a> {
    name: &'a str,
    version: &'a str,
    line: usize,
}

/// Name and version of every `[[package]]`, with the line of its name.
fn locked(text: &str) -> Vec<Locked<'_>> {
    let mut packages: Vec<Locked<'_>> = Vec::new();
    let mut in_package = false;
    for (i, line) in text.lines().enumerate() {
        if line.starts_with('[') {
            in_package = line == "[[package]]";
        } else if let Some(name) = quoted(line, "name").filter(|_| in_package) {
            packages.push(Locked { name, version: "", line: i + 1 });
        } else if let Some(version) = quoted(line, "version").filter(|_| in_package)
            && let Some(package) = packages.last_mut()
        {
            package.version = version;
        }
    }
    packages
}

/// The value of `key = "value"`.
fn quoted<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"')
}
