//! Shares of bad rows and volumes.

use super::super::share::share_rises;
use super::super::volume::volume_falls;

#[test]
fn shares_rise_beyond_limit_and_chance() {
    for (baseline, current, expected) in [
        ((0, 10_000), (300, 1_000), true),
        ((0, 10_000), (3, 10), true),
        // Two of ten happen by chance too often for an alarm.
        ((0, 10_000), (2, 10), false),
        // Significant, but tolerated.
        ((0, 1_000_000), (500, 10_000), false),
        ((0, 1_000_000), (501, 10_000), true),
        // As bad as ever.
        ((3_000, 10_000), (300, 1_000), false),
        ((3_000, 10_000), (600, 1_000), true),
        // Without a baseline the limit is held against chance.
        ((0, 0), (60, 1_000), false),
        ((0, 0), (200, 1_000), true),
        ((0, 0), (1, 1), false),
        ((0, 3), (3, 10), false),
        ((0, 0), (0, 0), false),
        ((0, 100), (0, 100), false),
    ] {
        assert_eq!(share_rises(baseline, current, 0.05), expected, "{baseline:?} {current:?}");
    }
}

#[test]
fn volumes_fall_beyond_fraction_and_chance() {
    for (expected_rows, observed, expected) in [
        (1_000.0, 0, true),
        (1_000.0, 499, true),
        (1_000.0, 501, false),
        // Chance leaves 20 expected rows out more often than once in a thousand million times.
        (20.0, 0, false),
        (21.0, 0, true),
        (40.0, 15, false),
        (0.0, 0, false),
        (f64::NAN, 0, false),
        (1e9, 400_000_000, true),
    ] {
        assert_eq!(volume_falls(expected_rows, observed, 0.5), expected, "{observed} of {expected_rows}");
    }
}
