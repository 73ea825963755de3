//! Tests of hops, edges and covers.

use proptest::prelude::*;

use super::*;

#[test]
fn the_hop_follows_the_length() {
    for (window, level) in [
        ("1s", Level::Minute),
        ("719m", Level::Minute),
        ("12h", Level::Hour),
        ("287h", Level::Hour),
        ("12d", Level::Day),
        ("90d", Level::Day),
    ] {
        assert_eq!(hop(window.parse().unwrap()), level, "{window}");
    }
}

#[test]
fn edges_are_as_declared() {
    let check = |edge, window: &str, at: &str, first: &str| {
        let got = first_inside(edge, window.parse().unwrap(), at.parse().unwrap());
        assert_eq!(got, first.parse().unwrap(), "{window} before {at}");
    };
    check(WindowEdge::Exact, "1h", "2026-01-01T10:00:30Z", "2026-01-01T09:00:30.000001Z");
    check(WindowEdge::Sawtooth, "1h", "2026-01-01T10:00:30Z", "2026-01-01T09:00:00Z");
    check(WindowEdge::Sawtooth, "24h", "2026-01-02T10:59:59Z", "2026-01-01T10:00:00Z");
    check(WindowEdge::Sawtooth, "30d", "2026-01-31T10:59:59Z", "2026-01-01T00:00:00Z");
    check(WindowEdge::Sawtooth, "1h", "1969-12-31T23:59:59.5Z", "1969-12-31T22:59:00Z");
}

#[test]
fn edges_saturate_at_the_ends_of_time() {
    assert_eq!(first_inside(WindowEdge::Exact, Span::DAY, Instant::MIN), Instant::MIN);
    assert_eq!(first_inside(WindowEdge::Sawtooth, Span(12 * Span::DAY.0), Instant::MIN), Instant::MIN);
    assert_eq!(first_inside(WindowEdge::Exact, Span(1), Instant::MAX), Instant::MAX);
}

proptest! {
    #[test]
    fn a_cover_holds_every_minute_once(from in -5_000i64..5_000, length in 0i64..6_000, hour: bool, day: bool) {
        let levels = [true, hour, day];
        let mut minutes = Vec::new();
        cover(from, from + length, &levels, |tiles| {
            assert!(levels[tiles.level as usize]);
            for tile in tiles.from..tiles.until {
                let first = tile * tiles.level.minutes();
                minutes.extend(first..first + tiles.level.minutes());
            }
        });
        prop_assert_eq!(minutes, (from..from + length).collect::<Vec<_>>());
    }
}
