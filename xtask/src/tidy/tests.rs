//! Each rule against a repository that breaks it, and against one that does not.

use std::path::Path;

use serde_json::json;

use super::repository::{self, File, Repository};
use super::strip::{Strings, strip};
use super::{Finding, Severity};

/// A repository of these files.
fn of(files: &[(&str, &str)]) -> Repository {
    let mut repository = Repository::default();
    for (path, text) in files {
        for (slash, _) in path.match_indices('/') {
            repository.paths.insert(path[..slash].to_owned());
        }
        repository.paths.insert((*path).to_owned());
        repository.files.push(File { path: (*path).to_owned(), text: (*text).to_owned() });
    }
    repository
}

/// A package with its dependencies: names and kinds.
type PackageSketch<'a> = (&'a str, &'a [(&'a str, Option<&'a str>)]);

/// The output of `cargo metadata` for packages with dependencies (name, kind).
fn with_packages(packages: &[PackageSketch]) -> Repository {
    let packages: Vec<_> = packages
        .iter()
        .map(|(name, dependencies)| {
            let dependencies: Vec<_> =
                dependencies.iter().map(|(name, kind)| json!({"name": name, "kind": kind, "rename": null})).collect();
            json!({"name": name, "manifest_path": format!("/r/crates/{name}/Cargo.toml"), "dependencies": dependencies})
        })
        .collect();
    let packages = repository::packages(&json!({ "packages": packages }), Path::new("/r")).unwrap();
    Repository { packages, ..Repository::default() }
}

/// Rule and place of each finding that fails the check.
fn failures(repository: &Repository) -> Vec<(&'static str, String)> {
    let findings = super::check(repository);
    let failed = findings.iter().filter(|finding| finding.severity == Severity::Failure);
    failed.map(|finding| (finding.rule, format!("{}:{}", finding.path, finding.line))).collect()
}

#[track_caller]
fn check(repository: &Repository, expected: &[(&'static str, &str)]) {
    let expected: Vec<_> = expected.iter().map(|(rule, place)| (*rule, (*place).to_owned())).collect();
    assert_eq!(failures(repository), expected);
}

/// A source file of `crate_name` with an opening paragraph, so that `code` begins on line 3.
fn source(path: &str, code: &str) -> Repository {
    of(&[(path, &format!("//! A file.\n\n{code}\n"))])
}

#[test]
fn an_empty_repository_is_tidy() {
    check(&Repository::default(), &[]);
}

#[test]
fn a_forbidden_crate_edge_fails() {
    let all = ["seawall-base", "seawall-kernel", "seawall-storage", "seawall-lake", "seawall-catalog"];
    let rest: Vec<PackageSketch> = all.iter().map(|name| (*name, &[][..])).collect();
    let with = |name: &'static str, dependencies: &'static [(&'static str, Option<&'static str>)]| {
        let mut packages = rest.clone();
        packages.retain(|(other, _)| *other != name);
        packages.push((name, dependencies));
        with_packages(&packages)
    };
    let lake = "crates/seawall-lake/Cargo.toml:1";
    check(&with("seawall-lake", &[("seawall-base", None), ("seawall-kernel", None)]), &[]);
    check(&with("seawall-lake", &[("seawall-storage", None)]), &[("crate-edge", lake)]);
    check(&with("seawall-lake", &[("seawall-catalog", Some("dev"))]), &[("crate-edge", lake)]);
    check(&with("seawall-lake", &[("seawall-catalog", Some("build"))]), &[("crate-edge", lake)]);
    let base = "crates/seawall-base/Cargo.toml:1";
    check(&with("seawall-base", &[("seawall-kernel", Some("dev"))]), &[("crate-edge", base)]);
    check(&with("seawall-pipeline", &[("seawall-catalog", None), ("seawall-storage", None)]), &[]);
    let pipeline = "crates/seawall-pipeline/Cargo.toml:1";
    check(&with("seawall-pipeline", &[("seawall-lake", None)]), &[("crate-edge", pipeline)]);
    let server = "crates/seawall-server/Cargo.toml:1";
    check(&with("seawall-server", &[("seawall-lake", None)]), &[("crate-edge", server)]);
    check(&with("seawall", &[("seawall-lake", None), ("seawall-catalog", None)]), &[]);
}

#[test]
fn a_crate_without_declared_edges_fails() {
    check(&with_packages(&[("seawall-extra", &[])]), &[("crate-edge", "crates/seawall-extra/Cargo.toml:1")]);
}

#[test]
fn an_edge_is_reported_at_its_line() {
    let mut repository =
        with_packages(&[("seawall-base", &[]), ("seawall-kernel", &[("seawall-lake", None)]), ("seawall-lake", &[])]);
    let text = "[dependencies]\narrow.workspace = true\nseawall-lake.workspace = true\n".to_owned();
    repository.files.push(File { path: "crates/seawall-kernel/Cargo.toml".to_owned(), text });
    check(&repository, &[("crate-edge", "crates/seawall-kernel/Cargo.toml:3")]);
}

#[test]
fn an_owned_dependency_elsewhere_fails() {
    let place = |name: &str| format!("crates/{name}/Cargo.toml:1");
    for (name, owner) in [
        ("datafusion", "seawall-lake"),
        ("datafusion-expr", "seawall-lake"),
        ("deltalake-core", "seawall-lake"),
        ("object_store", "seawall-lake"),
        ("sqlx", "seawall-catalog"),
        ("cedar-policy", "seawall-catalog"),
        ("axum", "seawall-server"),
        ("axum-server", "seawall-server"),
        ("tonic", "seawall-server"),
    ] {
        for package in ["seawall-lake", "seawall-catalog", "seawall-server", "seawall-pipeline", "seawall"] {
            let repository = with_packages(&[(package, &[(name, None)])]);
            let at = place(package);
            let expected: &[_] = if package == owner { &[] } else { &[("owned-dependency", at.as_str())] };
            check(&repository, expected);
        }
    }
    check(
        &with_packages(&[("seawall-kernel", &[("tokio", Some("dev"))])]),
        &[("owned-dependency", &place("seawall-kernel"))],
    );
    check(&with_packages(&[("seawall-storage", &[("tokio", None)])]), &[]);
}

#[test]
fn a_second_version_fails() {
    let lock = |packages: &[(&str, &str)]| {
        let mut text = "version = 4\n".to_owned();
        for (name, version) in packages {
            text +=
                &format!("\n[[package]]\nname = \"{name}\"\nversion = \"{version}\"\ndependencies = [\n \"x\",\n]\n");
        }
        of(&[("Cargo.lock", &text)])
    };
    check(
        &lock(&[
            ("arrow", "59.0.0"),
            ("arrow-array", "58.0.0"),
            ("datafusion", "55.2.0"),
            ("syn", "1.0.0"),
            ("syn", "2.0.0"),
        ]),
        &[],
    );
    for name in ["arrow", "parquet", "datafusion", "object_store", "deltalake-core", "sqlx", "axum", "tokio", "rustls"]
    {
        let repository = lock(&[(name, "1.0.0"), ("other", "1.0.0"), (name, "2.0.0")]);
        check(&repository, &[("one-version", "Cargo.lock:18")]);
        let findings = super::check(&repository);
        assert_eq!(findings[0].what, format!("2 versions of {name}: 1.0.0, 2.0.0"));
    }
}

#[test]
fn a_clock_in_the_kernel_fails() {
    let path = "crates/seawall-kernel/src/window/mod.rs";
    for call in ["std::time::SystemTime::now()", "Instant::now()", "jiff::Timestamp::now()", "Zoned::now()"] {
        check(&source(path, &format!("fn f() {{ let t = {call}; }}")), &[("clock", &format!("{path}:3"))]);
    }
    check(
        &source("crates/seawall-kernel/src/window/tests.rs", "fn f() { Instant::now(); }"),
        &[("clock", "crates/seawall-kernel/src/window/tests.rs:3")],
    );
    check(&source("crates/seawall-base/src/clock.rs", "fn f() { SystemTime::now(); }"), &[]);
    check(&source("crates/seawall-storage/src/log/tests/timing.rs", "fn f() { Instant::now(); }"), &[]);
    check(&source("crates/seawall/tests/it/main.rs", "fn f() { Instant::now(); }"), &[]);
    check(&source("crates/seawall/src/cli/demo.rs", "fn f() { tokio::time::Instant::now(); }"), &[]);
    check(
        &source("crates/seawall/src/cli/demo.rs", "fn f() { std::time::Instant::now(); }"),
        &[("clock", "crates/seawall/src/cli/demo.rs:3")],
    );
}

#[test]
fn comments_and_strings_are_no_calls() {
    let code = r##"
        // SystemTime::now() in a comment
        /* Instant::now() /* nested */ Uuid::new_v4() */
        fn f<'a>(x: &'a str) -> char { let _ = "Instant::now() \" .unwrap()"; let _ = r#"unimplemented!("#; '"' }
    "##;
    check(&source("crates/seawall-lake/src/table.rs", code), &[]);
}

#[test]
fn randomness_and_syncs_have_one_home() {
    let path = "crates/seawall-storage/src/log/mod.rs";
    for call in ["getrandom::fill(&mut b)", "rand::thread_rng()", "uuid::Uuid::new_v4()"] {
        check(&source(path, &format!("fn f() {{ {call}; }}")), &[("randomness", &format!("{path}:3"))]);
    }
    for call in ["file.sync_all()", "file.sync_data()", "File::sync_all(&file)"] {
        check(&source(path, &format!("fn f() {{ {call}; }}")), &[("sync", &format!("{path}:3"))]);
    }
    check(&source(path, "fn f() { durable::sync_data(&file); }"), &[]);
    check(&source("crates/seawall-base/src/durable/mod.rs", "fn f() { file.sync_all(); }"), &[]);
    check(&source("crates/seawall-base/src/rng.rs", "fn f() { getrandom::fill(b); }"), &[]);
}

#[test]
fn a_permit_built_outside_the_policy_fails() {
    let call = "fn f() { Permit::issued_by_policy(record); }";
    for path in [
        "crates/seawall-pipeline/src/gate.rs",
        "crates/seawall-catalog/src/catalog/mod.rs",
        "crates/seawall/src/main.rs",
    ] {
        check(&source(path, call), &[("permit", &format!("{path}:3"))]);
    }
    check(
        &source(
            "crates/seawall-lake/src/table.rs",
            "use seawall_base::Permit as P;\nfn f() { P::issued_by_policy(r); }",
        ),
        &[("permit", "crates/seawall-lake/src/table.rs:4")],
    );
    for path in [
        "crates/seawall-catalog/src/policy/mod.rs",
        "crates/seawall-catalog/src/policy.rs",
        "crates/seawall-lake/src/table/tests.rs",
        "crates/seawall/tests/it/main.rs",
    ] {
        check(&source(path, call), &[]);
    }
}

#[test]
fn unwrap_and_unfinished_code_fail() {
    let path = "crates/seawall-catalog/src/lib.rs";
    check(&source(path, "fn f() {\n    x\n        .unwrap();\n}"), &[("unwrap", &format!("{path}:5"))]);
    check(&source(path, "fn f() { x.unwrap_or(1).expect(\"why\"); }"), &[]);
    check(&source("crates/seawall-catalog/src/tests.rs", "fn f() { x.unwrap(); }"), &[]);
    check(
        &source(path, "fn f() { todo!() }"),
        &[("promise", &format!("{path}:3")), ("unfinished", &format!("{path}:3"))],
    );
    check(&source(path, "fn f() { unimplemented!(\"later\") }"), &[("unfinished", &format!("{path}:3"))]);
}

#[test]
fn modules_that_only_tests_compile_are_tests() {
    let call = "//! Fixtures.\nfn f() { Permit::issued_by_policy(r).unwrap(); }\n";
    let with = |parent: &str, declaration: &str, child: &str| {
        of(&[(parent, &format!("//! A file.\n{declaration}\n")), (child, call)])
    };
    let (lib, fixtures) = ("crates/seawall-lake/src/lib.rs", "crates/seawall-lake/src/fixtures.rs");
    check(&with(lib, "#[cfg(test)]\npub(crate) mod fixtures;", fixtures), &[]);
    check(
        &with(lib, "#[cfg(test)]\n#[allow(missing_docs)]\nmod fixtures;", "crates/seawall-lake/src/fixtures/mod.rs"),
        &[],
    );
    check(&with("crates/seawall-lake/src/a.rs", "#[cfg(test)]\nmod b;", "crates/seawall-lake/src/a/b.rs"), &[]);
    let at = format!("{fixtures}:2");
    let both = [("permit", at.as_str()), ("unwrap", at.as_str())];
    check(&with(lib, "pub mod fixtures;", fixtures), &both);
    check(&with(lib, "#[cfg(test)]\nmod tests;\npub mod fixtures;", fixtures), &both);
    check(&with(lib, "// #[cfg(test)]\nmod fixtures;", fixtures), &both);
}

#[test]
fn the_kernel_does_no_io() {
    let path = "crates/seawall-kernel/src/contract/mod.rs";
    check(&source(path, "use std::fs::File;"), &[("kernel-io", &format!("{path}:3"))]);
    check(&source(path, "async fn f() { tokio::task::yield_now().await }"), &[("kernel-io", &format!("{path}:3"))]);
    check(&source(path, "fn f() { std::net::TcpStream::connect(a); }"), &[("kernel-io", &format!("{path}:3"))]);
    check(&source(path, "fn f(text: &str) -> bool { text.parse::<std::net::Ipv4Addr>().is_ok() }"), &[]);
    check(&source("crates/seawall-kernel/src/contract/tests.rs", "use std::fs::File;"), &[]);
    check(&source("crates/seawall-storage/src/lib.rs", "use std::fs::File;"), &[]);
}

#[test]
fn a_file_without_an_opening_fails() {
    check(&of(&[("crates/seawall-lake/src/a.rs", "fn f() {}\n")]), &[("opening", "crates/seawall-lake/src/a.rs:1")]);
    check(
        &of(&[("crates/seawall-lake/src/tests.rs", "fn f() {}\n"), ("crates/seawall/tests/it/a.rs", "fn f() {}\n")]),
        &[],
    );
}

#[test]
fn long_files_warn_and_then_fail() {
    let lines = |count: usize| source("crates/seawall-lake/src/a.rs", &"fn f() {}\n".repeat(count - 3));
    let severities = |count| super::check(&lines(count)).iter().map(|f| f.severity).collect::<Vec<_>>();
    assert_eq!(severities(500), []);
    assert_eq!(severities(501), [Severity::Warning]);
    assert_eq!(severities(900), [Severity::Warning]);
    assert_eq!(severities(901), [Severity::Failure]);
}

#[test]
fn tests_inside_a_file_fail() {
    let path = "crates/seawall-lake/src/a.rs";
    let code = "#[cfg(test)]\nmod tests {\n    #[test]\n    fn f() {}\n}";
    check(&source(path, code), &[("inline-tests", &format!("{path}:4"))]);
    check(&source(path, "#[cfg(test)]\nmod tests;\nmod attests { fn f() {} }"), &[]);
}

#[test]
fn codes_and_explanations_match() {
    let code = "//! A file.\n\nfn f() { Error::invalid(\"SW0101\", \"x\"); } // \"SW0999\"\n";
    let file = ("crates/seawall-lake/src/a.rs", code);
    check(&of(&[file]), &[("error-code", "crates/seawall-lake/src/a.rs:3")]);
    check(&of(&[file, ("docs/errors/base.md", "# Errors\n\n## SW0101: bad thing\n\nWhy.\n")]), &[]);
    check(
        &of(&[("docs/errors/base.md", "# Errors\n\n## SW0102: nobody\n")]),
        &[("error-code", "docs/errors/base.md:3")],
    );
    let twice = of(&[file, ("docs/errors/a.md", "## SW0101: x\n"), ("docs/errors/b.md", "\n## SW0101: y\n")]);
    check(&twice, &[("error-code", "docs/errors/b.md:2")]);
    check(&of(&[("crates/seawall-lake/src/tests.rs", "fn f() { check(\"SW9999\"); }")]), &[]);
}

#[test]
fn machine_paths_and_promises_fail() {
    check(
        &of(&[("README.md", "see /home/me/main\nand /root/.cargo\nor file:///Users/x\n")]),
        &[("machine-path", "README.md:1"), ("machine-path", "README.md:2"), ("machine-path", "README.md:3")],
    );
    check(&of(&[("README.md", "https://example.org/home/x and ../home/ and $HOME/root/x\n")]), &[]);
    let promises = of(&[("a.sql", "-- TODO: later\n"), ("b.py", "# good enough for now.\n"), ("c.rs", "// FIXME\n")]);
    check(&promises, &[("promise", "a.sql:1"), ("promise", "b.py:1"), ("promise", "c.rs:1")]);
    check(
        &of(&[("a.md", "waits for now() and todos; mastodon; for nowhere\n"), ("Cargo.toml", "todo = \"warn\"\n")]),
        &[],
    );
}

#[test]
fn a_link_to_nowhere_fails() {
    let text =
        "[a](b.md) [x](https://example.org/x.md) [c](#here) `[d](e.md)`\n```\n[f](g.md)\n```\n[h](../README.md#top)\n";
    check(&of(&[("docs/a.md", text)]), &[("link", "docs/a.md:1"), ("link", "docs/a.md:5")]);
    check(&of(&[("docs/a.md", text), ("docs/b.md", ""), ("README.md", "[docs](docs/) [docs](docs)\n")]), &[]);
    check(&of(&[("docs/a.md", "[up](../../outside.md)\n")]), &[("link", "docs/a.md:1")]);
}

#[test]
fn stripping_keeps_lines_and_columns() {
    let text =
        "let a = \"x // y\"; // z\nlet b = b'\\''; /* 1\n2 */ let c = r##\"q\"# \"##; let d: &'static str = 'x';\n";
    let expected =
        "let a =         ;     \nlet b =      ;     \n     let c =            ; let d: &'static str =    ;\n";
    assert_eq!(expected.lines().map(str::len).collect::<Vec<_>>(), text.lines().map(str::len).collect::<Vec<_>>());
    assert_eq!(strip(text, Strings::Blank), expected);
    assert_eq!(strip("\"a // b\" // c", Strings::Keep), "\"a // b\"     ");
    assert_eq!(strip("let r#type = 1; for\"\" in \"unclosed", Strings::Blank), "let r#type = 1; for   in          ");
}

#[test]
fn a_finding_says_where_what_why_and_what_to_do() {
    let finding = Finding {
        severity: Severity::Failure,
        rule: "clock",
        path: "a.rs".to_owned(),
        line: 7,
        what: "what".to_owned(),
        why: "because",
        remedy: "act".to_owned(),
    };
    assert_eq!(finding.to_string(), "a.rs:7: error[clock]: what\n    why: because\n    do:  act");
}

#[test]
fn a_checkout_without_git_is_read_too() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    std::fs::create_dir_all(root.join("src")).unwrap();
    std::fs::create_dir_all(root.join("target")).unwrap();
    std::fs::write(root.join("Cargo.toml"), "[package]\nname = \"seawall-base\"\n").unwrap();
    std::fs::write(root.join("src/lib.rs"), "//! A file.\n").unwrap();
    std::fs::write(root.join("src/picture.png"), [0u8, 1, 2]).unwrap();
    std::fs::write(root.join("target/x.md"), "[a](nowhere.md)").unwrap();
    let repository = Repository::read(root).unwrap();
    let texts: Vec<&str> = repository.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(texts, ["Cargo.toml", "src/lib.rs"]);
    assert!(repository.paths.contains("src/picture.png"));
    assert_eq!(repository.packages[0].manifest, "Cargo.toml");
    check(&repository, &[]);
}
