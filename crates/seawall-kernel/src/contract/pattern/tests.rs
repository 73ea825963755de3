//! The table of a pattern says what the engine says, whatever stands beside a value.

use arrow::array::StringArray;
use proptest::prelude::*;

use super::table::{LANES, Table};
use super::*;

/// Patterns of few letters, so that random values often match or nearly do.
fn pattern() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[ab]",
        "[abé]{1,2}",
        Just(".".to_owned()),
        Just("[^a]".to_owned()),
        Just("(a|bb)".to_owned()),
        Just(r"\b".to_owned()),
        Just(r"\w".to_owned()),
        Just("(ab)*".to_owned()),
        Just("b?".to_owned()),
        Just("é+".to_owned()),
        Just("".to_owned()),
    ];
    let body = proptest::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat());
    (any::<bool>(), body, any::<bool>())
        .prop_map(|(from, body, to)| format!("{}{body}{}", if from { "^" } else { "" }, if to { "$" } else { "" }))
}

fn values() -> impl Strategy<Value = Vec<Option<String>>> {
    proptest::collection::vec(proptest::option::weighted(0.9, "[abcé \n]{0,6}"), 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_table_says_what_the_engine_says(pattern in pattern(), values in values()) {
        let matcher = Matcher::compile(&pattern).expect("a sound pattern");
        let Matcher::Linear(linear) = &matcher else { return Ok(()) };
        let table = Table::of(&linear.pattern).expect("a small pattern has a table");
        let texts = StringArray::from(values);
        let matched = search_with(&table, &texts);
        for (i, text) in texts.iter().enumerate() {
            let Some(text) = text else { continue };
            prop_assert_eq!(Ok(matched.value(i)), matcher.is_match(text), "{} on {:?}", pattern, text);
        }
    }
}

#[test]
fn a_long_column_is_searched_with_the_table_and_a_short_one_without() {
    let matcher = Matcher::compile("^a+$").expect("a sound pattern");
    let column = |rows: usize| StringArray::from_iter_values((0..rows).map(|i| if i % 3 == 0 { "aaa" } else { "aab" }));
    let made = || matches!(&matcher, Matcher::Linear(linear) if linear.table.get().is_some());
    for rows in [TABLE_VALUES_MIN - 1, TABLE_VALUES_MIN, TABLE_VALUES_MIN + LANES - 1] {
        let Searched { matched, over_budget } = matcher.search(&column(rows));
        assert!(over_budget.is_empty());
        assert!((0..rows).all(|i| matched.value(i) == (i % 3 == 0)));
        assert_eq!(made(), rows >= TABLE_VALUES_MIN);
    }
}

#[test]
fn what_has_no_small_table_is_searched_all_the_same() {
    let matcher = Matcher::compile(r"^\p{L}{1,40}-\p{L}{1,9}-$").expect("a sound pattern");
    let texts = StringArray::from_iter_values((0..TABLE_VALUES_MIN).map(|i| "é-".repeat(1 + i % 2)));
    let Searched { matched, .. } = matcher.search(&texts);
    assert!(matches!(&matcher, Matcher::Linear(linear) if matches!(linear.table.get(), Some(None))));
    assert!((0..TABLE_VALUES_MIN).all(|i| matched.value(i) == (i % 2 == 1)));
}
