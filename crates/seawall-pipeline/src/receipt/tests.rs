use super::*;

fn verdict(row: Option<u32>, verdict: Outcome) -> RowVerdict {
    RowVerdict { row, verdict, reasons: Vec::new() }
}

#[test]
fn every_row_has_one_verdict_in_order() {
    let counts = Counts { received: 5, accepted: 2, quarantined: 2, deduplicated: 1, ..Counts::default() };
    let mut rows = vec![
        verdict(Some(3), Outcome::Quarantined),
        verdict(None, Outcome::Quarantined),
        verdict(Some(1), Outcome::Deduplicated),
    ];
    add_accepted(&counts, &mut rows);
    let told: Vec<(Option<u32>, Outcome)> = rows.iter().map(|row| (row.row, row.verdict)).collect();
    assert_eq!(
        told,
        [
            (Some(0), Outcome::Accepted),
            (Some(1), Outcome::Deduplicated),
            (Some(2), Outcome::Accepted),
            (Some(3), Outcome::Quarantined),
            (None, Outcome::Quarantined),
        ]
    );
}

#[test]
fn a_rejected_request_has_one_verdict_for_all() {
    let counts = Counts { received: 5, rejected: 5, ..Counts::default() };
    let mut rows = vec![verdict(None, Outcome::Rejected)];
    add_accepted(&counts, &mut rows);
    assert_eq!(rows, [verdict(None, Outcome::Rejected)]);
    assert!(Omitted::of(&counts, &rows).is_none());
}

#[test]
fn what_a_list_leaves_out_is_counted() {
    let counts = Counts { received: 10, accepted: 1, quarantined: 5, deduplicated: 4, ..Counts::default() };
    let rows = [verdict(Some(0), Outcome::Quarantined), verdict(Some(2), Outcome::Deduplicated)];
    assert_eq!(Omitted::of(&counts, &rows), Omitted { quarantined: 4, deduplicated: 3 });
    assert!(!Omitted::of(&counts, &rows).is_none());
}
