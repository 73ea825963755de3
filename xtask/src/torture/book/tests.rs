use super::*;

fn book(acknowledged: u64, unknown: u64) -> Book {
    let origin = Origin { seed: 1, began_s: 1_700_000_000, producer: 0 };
    let fates = std::iter::repeat_n(Fate::Acknowledged, acknowledged as usize);
    let accepted = fates.chain(std::iter::repeat_n(Fate::Unknown, unknown as usize)).collect();
    Book { accepted, stopped: vec![(None, Fate::Acknowledged), (Some(0), Fate::Unknown)], ..Book::new(origin) }
}

fn rows(book: &Book, numbers: &[u64]) -> Vec<Row> {
    let row = |(at, number): (usize, &u64)| Row {
        content: book.origin.accepted(*number),
        identity: (0, at as i64),
        arrival: 10 + at as i64,
    };
    numbers.iter().enumerate().map(row).collect()
}

/// Audits the rows of `numbers` after `change`; lost, duplicated, silent.
fn check(numbers: &[u64], stopped: &[&str], change: impl Fn(&mut Vec<Row>), expected: (u64, u64, u64)) {
    let book = book(3, 2);
    let mut rows = rows(&book, numbers);
    change(&mut rows);
    let stopped: Vec<String> = stopped.iter().map(|tag| (*tag).to_owned()).collect();
    let findings = audit(&[book], &rows, &stopped);
    assert_eq!((findings.lost, findings.duplicated, findings.silent), expected, "{findings:?}");
}

#[test]
fn what_was_not_answered_may_be_there_or_not() {
    check(&[0, 1, 2], &["q0-0"], |_| {}, (0, 0, 0));
    check(&[2, 0, 1, 4], &["q0-0", "q0-1"], |_| {}, (0, 0, 0));
}

#[test]
fn each_kind_of_damage_is_told_apart() {
    check(&[0, 2], &["q0-0"], |_| {}, (1, 0, 0));
    check(&[0, 1, 2], &[], |_| {}, (1, 0, 0));
    check(&[0, 1, 2, 1], &["q0-0"], |_| {}, (0, 1, 0));
    check(&[0, 1, 2], &["q0-0", "q0-0"], |_| {}, (0, 1, 0));
    check(&[0, 1, 2, 5], &["q0-0"], |_| {}, (0, 0, 1));
    check(&[0, 1, 2], &["q0-0", "q0-7"], |_| {}, (0, 0, 1));
    check(&[0, 1, 2], &["q0-0"], |rows| rows[1].content.amount += 1.0, (0, 0, 1));
    check(&[0, 1, 2], &["q0-0"], |rows| rows[1].arrival = 99, (0, 0, 1));
    check(&[0, 1, 2], &["q0-0"], |rows| rows[1].identity = (0, 0), (0, 1, 0));
}
