use proptest::prelude::*;

use super::*;

fn row(offset: u64) -> RecentRow {
    RecentRow {
        id: RowId { partition: Partition::LIVE, offset: Offset(offset) },
        arrival: Instant(offset as i64 / 3),
        source: "source".into(),
        slices: if offset.is_multiple_of(2) { vec![format!("country={offset}")] } else { Vec::new() },
        numbers: if offset.is_multiple_of(5) { Vec::new() } else { vec![("amount".into(), offset as f64)] },
        ahead: offset.is_multiple_of(7),
        broken: Vec::new(),
    }
}

/// The same rows by column.
fn rows(first: u64, count: u64) -> RecentRows {
    let each = || (first..first + count).map(row);
    RecentRows {
        first: Offset(first),
        source: "source".into(),
        arrivals: each().map(|row| row.arrival).collect(),
        slices: vec![each().map(|row| row.slices.first().cloned()).collect()],
        numbers: vec![("amount".into(), each().map(|row| row.numbers.first().map(|(_, value)| *value)).collect())],
        ahead: each().map(|row| row.ahead).collect(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_newest_rows_are_kept_however_they_come(frames in prop::collection::vec((0u64..30_000, any::<bool>()), 1..12)) {
        let mut recent = Recent::default();
        let mut end = 0;
        for (count, one_by_one) in frames {
            match one_by_one {
                true => (end..end + count % 50).for_each(|offset| recent.push(row(offset))),
                false => recent.extend(rows(end, count)),
            }
            end += if one_by_one { count % 50 } else { count };
        }
        let kept: Vec<RecentRow> = recent.iter().collect();
        let expected: Vec<RecentRow> = (end.saturating_sub(ROWS_MAX as u64)..end).map(row).collect();
        prop_assert_eq!(&kept, &expected);
        let again: Recent = serde_json::from_str(&serde_json::to_string(&recent).unwrap()).unwrap();
        prop_assert_eq!(&again, &recent);
    }
}
