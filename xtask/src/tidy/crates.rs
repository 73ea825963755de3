//! Which crate may know which: the edges between our crates, and the dependencies that have one owner.

use super::repository::{Package, Repository};
use super::{Finding, Severity};

const BELOW: [&str; 2] = ["seawall-base", "seawall-kernel"];

/// The edges allowed between our crates, whatever the kind of the dependency.
const EDGES: [(&str, &[&str]); 11] = [
    ("seawall-base", &[]),
    ("seawall-kernel", &["seawall-base"]),
    ("seawall-storage", &BELOW),
    ("seawall-lake", &BELOW),
    ("seawall-model", &BELOW),
    ("seawall-catalog", &BELOW),
    ("seawall-pipeline", &["seawall-base", "seawall-kernel", "seawall-storage", "seawall-catalog"]),
    ("seawall-server", &["seawall-base", "seawall-kernel", "seawall-storage", "seawall-catalog", "seawall-pipeline"]),
    (
        "seawall",
        &[
            "seawall-base",
            "seawall-kernel",
            "seawall-storage",
            "seawall-lake",
            "seawall-model",
            "seawall-catalog",
            "seawall-pipeline",
            "seawall-server",
        ],
    ),
    ("seawall-sim", &["seawall-base", "seawall-kernel", "seawall-storage", "seawall-catalog", "seawall-pipeline"]),
    ("xtask", &[]),
];

/// Dependencies with one owner: a name or a beginning (`datafusion-`), and the only crate that may name it.
const OWNED: [(&str, &str); 14] = [
    ("datafusion", "seawall-lake"),
    ("datafusion-", "seawall-lake"),
    ("deltalake", "seawall-lake"),
    ("deltalake-", "seawall-lake"),
    ("delta_kernel", "seawall-lake"),
    ("object_store", "seawall-lake"),
    ("sqlx", "seawall-catalog"),
    ("sqlx-", "seawall-catalog"),
    ("cedar-", "seawall-catalog"),
    ("axum", "seawall-server"),
    ("axum-", "seawall-server"),
    ("tonic", "seawall-server"),
    ("tonic-", "seawall-server"),
    ("arrow-flight", "seawall-server"),
];

/// Dependencies that the kernel may not have at all.
const NOT_IN_KERNEL: [&str; 2] = ["tokio", "futures"];

/// Our crates depend on each other only along [`EDGES`].
pub fn edges(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &repository.packages {
        let Some((_, allowed)) = EDGES.iter().find(|(name, _)| *name == package.name) else {
            findings.push(unknown_crate(package));
            continue;
        };
        for dependency in &package.dependencies {
            let ours = repository.packages.iter().any(|other| other.name == dependency.name);
            if ours && !allowed.contains(&dependency.name.as_str()) {
                let may = if allowed.is_empty() { "none of our crates".to_owned() } else { allowed.join(", ") };
                findings.push(Finding {
                    severity: Severity::Failure,
                    rule: "crate-edge",
                    path: package.manifest.clone(),
                    line: line_of(repository, package, &dependency.name),
                    what: format!(
                        "{} has a {} dependency on {}; it may know: {may}",
                        package.name, dependency.kind, dependency.name
                    ),
                    why: "base <- kernel <- {storage, lake, model, catalog} <- pipeline <- server <- seawall: what may \
                          not see each other cannot grow together",
                    remedy: "reach it through a port in seawall-base, implemented where it may be known".to_owned(),
                });
            }
        }
    }
    findings
}

fn unknown_crate(package: &Package) -> Finding {
    Finding {
        severity: Severity::Failure,
        rule: "crate-edge",
        path: package.manifest.clone(),
        line: 1,
        what: format!("{} is a crate without declared edges", package.name),
        why: "every edge between our crates is a decision",
        remedy: "give it a line in EDGES, xtask/src/tidy/crates.rs, and record the decision in docs/adr".to_owned(),
    }
}

/// Heavy dependencies stay with the crate that owns them, and the kernel stays free of I/O.
pub fn owned_dependencies(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &repository.packages {
        for dependency in &package.dependencies {
            let name = dependency.name.as_str();
            let line = line_of(repository, package, name);
            let owner = OWNED.iter().find(|(pattern, _)| matches_name(pattern, name)).map(|(_, owner)| *owner);
            if let Some(owner) = owner.filter(|owner| *owner != package.name) {
                findings.push(Finding {
                    severity: Severity::Failure,
                    rule: "owned-dependency",
                    path: package.manifest.clone(),
                    line,
                    what: format!("{} depends on {name}, which only {owner} may know", package.name),
                    why: "one owner per heavy dependency keeps compile times short and replacements possible",
                    remedy: format!("move the code into {owner}, or reach it through a port in seawall-base"),
                });
            }
            if package.name == "seawall-kernel" && NOT_IN_KERNEL.contains(&name) {
                findings.push(Finding {
                    severity: Severity::Failure,
                    rule: "owned-dependency",
                    path: package.manifest.clone(),
                    line,
                    what: format!("the kernel depends on {name}"),
                    why: "the kernel decides on batches in memory: no I/O, no runtime, no clock",
                    remedy: "make the decision synchronous and let a caller move the bytes".to_owned(),
                });
            }
        }
    }
    findings
}

fn matches_name(pattern: &str, name: &str) -> bool {
    if pattern.ends_with('-') { name.starts_with(pattern) } else { name == pattern }
}

/// The line of the manifest that names `dependency`; 1 when a rename hides it.
fn line_of(repository: &Repository, package: &Package, dependency: &str) -> usize {
    let manifest = repository.files.iter().find(|file| file.path == package.manifest);
    let names = |line: &str| {
        let rest = line.trim_start().strip_prefix(dependency);
        rest.is_some_and(|rest| rest.starts_with([' ', '.', '=']))
    };
    manifest.and_then(|file| file.text.lines().position(names)).map_or(1, |at| at + 1)
}
