use std::collections::BTreeSet;

use super::*;

/// The variants of an enum in Rust source, in snake case.
fn variants(source: &str) -> BTreeSet<String> {
    let body = source.split("pub enum Bug {").nth(1).and_then(|rest| rest.split('}').next()).expect("an enum Bug");
    let lines = body.lines().map(str::trim).filter(|line| !line.starts_with("//"));
    lines.filter_map(|line| line.strip_suffix(',')).map(snake).collect()
}

fn snake(name: &str) -> String {
    let mut snake = String::new();
    for (at, letter) in name.char_indices() {
        if letter.is_uppercase() && at > 0 {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

#[test]
fn every_planted_bug_is_hunted_and_no_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the repository");
    let source = std::fs::read_to_string(root.join("crates/seawall-base/src/sabotage.rs")).expect("the bugs");
    let hunted: BTreeSet<String> = HUNTS.iter().map(|hunt| hunt.bug.to_owned()).collect();
    assert_eq!(variants(&source), hunted);
    assert_eq!(hunted.len(), HUNTS.len());
}

#[test]
fn every_hunter_exists() {
    for Hunt { bug, harness, .. } in &HUNTS {
        assert!(HARNESSES.iter().any(|known| known.name == *harness), "{bug} is to be found by {harness}");
    }
}
