use super::*;

fn at(seconds: i64) -> Instant {
    Instant(seconds * Span::SECOND.0)
}

#[test]
fn a_repeat_is_told_from_a_conflict() {
    let mut index = DedupIndex::new(None);
    assert_eq!(index.observe(1, 10, at(0)), Seen::New);
    assert_eq!(index.observe(1, 10, at(1_000_000)), Seen::Same);
    assert_eq!(index.observe(1, 11, at(1_000_000)), Seen::Different);
    assert_eq!(index.observe(2, 10, at(1_000_000)), Seen::New);
}

#[test]
fn keys_are_forgotten_after_the_horizon_and_not_before() {
    let mut index = DedupIndex::new(Some(Span::MINUTE));
    assert_eq!(index.observe(1, 10, at(0)), Seen::New);
    assert_eq!(index.observe(1, 10, at(60)), Seen::Same);
    assert_eq!(index.observe(1, 11, at(61)), Seen::New);
    assert_eq!(index.len(), 1);
    assert_eq!(index.observe(1, 11, at(100)), Seen::Same);
}
