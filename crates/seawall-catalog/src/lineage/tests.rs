//! Walks through a small graph: source -> payments -> card@1 -> fraud.

use super::*;

fn edge(text: &str) -> LineageEdge {
    let mut words = text.split_whitespace();
    let (from_object, from_column) = words.next().unwrap().split_once('.').unwrap();
    let (to_object, to_column) = words.next().unwrap().split_once('.').unwrap();
    LineageEdge {
        from_object: from_object.to_owned(),
        from_column: from_column.to_owned(),
        to_object: to_object.to_owned(),
        to_column: to_column.to_owned(),
        via: words.next().unwrap_or("map").to_owned(),
    }
}

fn graph() -> Vec<LineageEdge> {
    [
        "raw.cents payments.amount",
        "raw.card payments.card_id",
        "payments.amount card@1.sum feature",
        "payments.* card@1.n feature",
        "card@1.sum fraud.card__sum",
        "card@1.n fraud.card__n",
    ]
    .iter()
    .map(|text| edge(text))
    .collect()
}

fn check(edges: &[LineageEdge], start: &str, direction: Direction, depth: u32, expected: &[&str]) {
    let (object, column) = match start.split_once('.') {
        Some((object, column)) => (object, Some(column)),
        None => (start, None),
    };
    let found: Vec<String> = walk(edges, object, column, direction, depth)
        .iter()
        .map(|e| format!("{}.{} {}.{}", e.from_object, e.from_column, e.to_object, e.to_column))
        .collect();
    assert_eq!(found, expected, "{start} {direction:?} {depth}");
}

#[test]
fn a_walk_from_a_column_follows_that_column() {
    let edges = graph();
    check(
        &edges,
        "raw.cents",
        Direction::Down,
        9,
        &["raw.cents payments.amount", "payments.amount card@1.sum", "card@1.sum fraud.card__sum"],
    );
    check(
        &edges,
        "fraud.card__sum",
        Direction::Up,
        9,
        &["card@1.sum fraud.card__sum", "payments.amount card@1.sum", "raw.cents payments.amount"],
    );
    check(&edges, "fraud.card__sum", Direction::Up, 2, &["card@1.sum fraud.card__sum", "payments.amount card@1.sum"]);
    check(&edges, "fraud.card__sum", Direction::Up, 0, &[]);
    check(&edges, "payments.nothing", Direction::Down, 9, &[]);
}

#[test]
fn the_rows_of_an_object_are_made_of_all_of_its_columns() {
    let edges = graph();
    check(
        &edges,
        "fraud.card__n",
        Direction::Up,
        9,
        &["card@1.n fraud.card__n", "payments.* card@1.n", "raw.cents payments.amount", "raw.card payments.card_id"],
    );
    check(&edges, "payments", Direction::Down, 1, &["payments.amount card@1.sum", "payments.* card@1.n"]);
}

#[test]
fn a_cycle_ends_and_gives_every_edge_once() {
    let edges = [edge("a.x b.x"), edge("b.x a.x")];
    check(&edges, "a.x", Direction::Down, u32::MAX, &["a.x b.x", "b.x a.x"]);
}
