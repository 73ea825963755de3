//! Calls that have one home: clocks, randomness, syncs, permits; and calls that have none.

use super::repository::{File, Repository};
use super::strip::{Strings, strip};
use super::{Finding, Severity};

/// Whether a rule looks into test files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tests {
    /// Test files may do it.
    Free,
    /// Test files may do it, except in the kernel, whose tests have nothing to wait for.
    FreeOutsideKernel,
    /// Tests in a crate's `src` may not; folders `tests` beside it, which run the whole system, may.
    InsideBound,
}

struct Call {
    rule: &'static str,
    /// Texts that give the call away.
    patterns: &'static [&'static str],
    /// Beginnings of the paths where it is at home.
    homes: &'static [&'static str],
    /// Beginnings of the paths that are looked at.
    within: &'static str,
    tests: Tests,
    why: &'static str,
    remedy: &'static str,
}

const CALLS: [Call; 7] = [
    Call {
        rule: "clock",
        patterns: &["SystemTime::now", "Instant::now", "Timestamp::now", "Zoned::now"],
        homes: &[
            "crates/seawall-base/src/clock.rs",
            // Measurements, run by hand.
            "crates/seawall-kernel/src/contract/tests/speed.rs",
            "crates/seawall-kernel/src/feature/tests/timing.rs",
        ],
        within: "crates/",
        tests: Tests::FreeOutsideKernel,
        why: "time enters through the Clock port, so that replay and simulation can drive it",
        remedy: "take an Instant, or a Clock where the time must be read later",
    },
    Call {
        rule: "randomness",
        patterns: &["getrandom::", "rand::thread_rng", "rand::rng(", "rand::random", "Uuid::new_v4", "Uuid::now_v7"],
        homes: &["crates/seawall-base/src/rng.rs"],
        within: "crates/",
        tests: Tests::InsideBound,
        why: "randomness enters through the Rng port, so that every run can be repeated from its seed",
        remedy: "take a seawall_base::Rng",
    },
    Call {
        rule: "sync",
        patterns: &[".sync_all(", ".sync_data(", "File::sync_all", "File::sync_data"],
        homes: &["crates/seawall-base/src/durable"],
        within: "crates/",
        tests: Tests::InsideBound,
        why: "durability is proved in one place: bytes, then the folder entry, and no retry after a failed sync",
        remedy: "call a function of seawall_base::durable, or add one there",
    },
    Call {
        rule: "permit",
        patterns: &["issued_by_policy"],
        homes: &["crates/seawall-catalog/src/policy", "crates/seawall-base/src/permit.rs"],
        within: "crates/",
        tests: Tests::Free,
        why: "a permit proves that a policy allowed the action; built elsewhere it proves nothing",
        remedy: "ask seawall_catalog::policy for the permit and pass it down",
    },
    Call {
        rule: "unwrap",
        patterns: &[".unwrap()", ".unwrap_err()"],
        homes: &[],
        within: "crates/",
        tests: Tests::Free,
        why: "data from disk or wire must never panic",
        remedy: "return an error, or write expect(\"why this cannot fail\") for an invariant",
    },
    Call {
        rule: "unfinished",
        patterns: &["todo!", "unimplemented!"],
        homes: &[],
        within: "crates/",
        tests: Tests::InsideBound,
        why: "what is not built is not offered",
        remedy: "build it, or leave the way to it out",
    },
    Call {
        rule: "kernel-io",
        patterns: &["std::fs", "std::process", "std::env", "TcpStream", "TcpListener", "UdpSocket", "tokio"],
        homes: &[],
        within: "crates/seawall-kernel/src/",
        tests: Tests::Free,
        why: "the kernel decides on batches in memory: no I/O, no runtime",
        remedy: "take the bytes or rows as an argument; the caller reads and writes",
    },
];

/// No forbidden call outside its home.
pub fn forbidden_calls(repository: &Repository) -> Vec<Finding> {
    let test_modules = test_modules(repository);
    let mut findings = Vec::new();
    for file in repository.files.iter().filter(|file| file.is_rust()) {
        let code = strip(&file.text, Strings::Blank);
        let is_test = file.is_test() || test_modules.iter().any(|module| file.path.starts_with(module));
        for call in CALLS.iter().filter(|call| applies(call, file, is_test)) {
            for (i, line) in code.lines().enumerate() {
                let found = call.patterns.iter().find(|pattern| occurs(line, pattern, file));
                findings.extend(found.map(|pattern| finding(call, pattern, file, i + 1)));
            }
        }
    }
    findings
}

/// The file and the folder of every module that is compiled for tests only: `#[cfg(test)] mod NAME;`.
fn test_modules(repository: &Repository) -> Vec<String> {
    let mut modules = Vec::new();
    for file in repository.files.iter().filter(|file| file.is_rust()) {
        let Some((folder, name)) = file.path.rsplit_once('/') else { continue };
        let folder = match name {
            "lib.rs" | "main.rs" | "mod.rs" => folder.to_owned(),
            _ => file.path.trim_end_matches(".rs").to_owned(),
        };
        for declared in strip(&file.text, Strings::Blank).split("#[cfg(test)]").skip(1).filter_map(declared_module) {
            modules.extend([format!("{folder}/{declared}.rs"), format!("{folder}/{declared}/")]);
        }
    }
    modules
}

/// The name in `mod NAME;`, after further attributes and a visibility; none when something else follows.
fn declared_module(code: &str) -> Option<String> {
    let mut item = code.trim_start();
    while let Some(attribute) = item.strip_prefix("#[") {
        item = attribute.split_once(']')?.1.trim_start();
    }
    let (declaration, _) = item.split_once(';')?;
    let name = match declaration.split_whitespace().collect::<Vec<_>>()[..] {
        ["mod", name] | ["pub" | "pub(crate)" | "pub(super)", "mod", name] => name,
        _ => return None,
    };
    Some(name.to_owned())
}

fn applies(call: &Call, file: &File, is_test: bool) -> bool {
    let at_home = call.homes.iter().any(|home| file.path.starts_with(home));
    let free = match call.tests {
        Tests::Free => is_test,
        Tests::FreeOutsideKernel => is_test && file.crate_source() != Some("seawall-kernel"),
        Tests::InsideBound => is_test && file.crate_source().is_none(),
    };
    file.path.starts_with(call.within) && !at_home && !free
}

/// Whether `pattern` occurs as a word of its own: `sha::getrandom::` is one, `my_getrandom::` is not.
fn occurs(line: &str, pattern: &str, file: &File) -> bool {
    line.match_indices(pattern).any(|(at, _)| {
        let before = &line[..at];
        let own_word = pattern.starts_with('.') || !before.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        // The command line may measure how long a person waited.
        let measured = pattern == "Instant::now"
            && before.ends_with("tokio::time::")
            && file.path.starts_with("crates/seawall/src/");
        own_word && !measured
    })
}

fn finding(call: &Call, pattern: &str, file: &File, line: usize) -> Finding {
    Finding {
        severity: Severity::Failure,
        rule: call.rule,
        path: file.path.clone(),
        line,
        what: format!("`{}` outside its home", pattern.trim_matches(['.', '(', ')', ':'])),
        why: call.why,
        remedy: call.remedy.to_owned(),
    }
}
