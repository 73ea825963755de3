use std::collections::BTreeMap;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
    ListArray, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};
use proptest::prelude::*;
use seawall_base::grant::{Comparison, Grants, Literal, Predicate};
use serde_json::{Value, json};

use super::*;
use crate::tests::permit;

fn salt() -> Salt {
    Salt::of_scan(&permit())
}

fn masked(mask: &Mask, value: &str) -> String {
    mask::text(mask, value, salt()).unwrap()
}

#[test]
fn texts_are_masked_by_character() {
    for (mask, value, expected) in [
        (Mask::MaskAlphanum, "Ab-12 é٣_", "xx-nn xn_"),
        (Mask::MaskAlphanum, "", ""),
        (Mask::ShowFirst4, "abcdef", "abcd**"),
        (Mask::ShowFirst4, "äöüßé", "äöüß*"),
        (Mask::ShowFirst4, "abcd", "****"),
        (Mask::ShowFirst4, "ab", "**"),
        (Mask::ShowFirst4, "", ""),
        (Mask::ShowLast4, "abcdef", "**cdef"),
        (Mask::ShowLast4, "日本語日本語", "**語日本語"),
        (Mask::ShowLast4, "abcd", "****"),
        (Mask::ShowLast4, "a", "*"),
        (Mask::MaskToFixedValue, "anything", "XXXXXXXX"),
        (Mask::Sha256Global, "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    ] {
        assert_eq!(masked(&mask, value), expected, "{mask:?} of {value:?}");
    }
}

#[test]
fn local_hashes_depend_on_the_query_and_the_permit() {
    let other = Permit::issued_by_policy(seawall_base::permit::PermitRecord {
        id: "another".into(),
        principal: "suite".into(),
        action: "read".into(),
        resource: "*".into(),
    });
    let salts = [
        Salt::of_query(&permit(), "select 1"),
        Salt::of_query(&permit(), "select 2"),
        Salt::of_query(&other, "select 1"),
        Salt::of_scan(&permit()),
    ];
    let hashes: std::collections::BTreeSet<String> =
        salts.iter().map(|salt| mask::text(&Mask::Sha256QueryLocal, "abc", *salt).unwrap()).collect();
    assert_eq!(hashes.len(), salts.len());
    assert!(!hashes.contains(&masked(&Mask::Sha256Global, "abc")));
}

#[test]
fn fixed_values_hide_nulls_and_keep_types() {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec![Some("a"), None])),
        Arc::new(Int64Array::from(vec![Some(7), None])),
        Arc::new(Int32Array::from(vec![Some(7), None])),
        Arc::new(Float64Array::from(vec![Some(7.5), None])),
        Arc::new(BooleanArray::from(vec![Some(true), None])),
        Arc::new(Date32Array::from(vec![Some(7), None])),
        Arc::new(TimestampMicrosecondArray::from(vec![Some(7), None]).with_timezone("UTC")),
        Arc::new(Decimal128Array::from(vec![Some(725), None]).with_precision_and_scale(10, 2).unwrap()),
        Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1)]), None])),
    ];
    for column in columns {
        let fixed = mask::apply(&Mask::MaskToFixedValue, &column, salt()).unwrap();
        assert_eq!((fixed.data_type(), fixed.len(), fixed.null_count()), (column.data_type(), 2, 0));
        assert_eq!(&fixed.slice(0, 1), &fixed.slice(1, 1));
        assert!(mask::admits(&Mask::ReplaceWithNull, column.data_type()));
        assert_eq!(mask::apply(&Mask::ReplaceWithNull, &column, salt()).unwrap().null_count(), 2);
    }
    let zero: ArrayRef = Arc::new(Decimal128Array::from(vec![725]).with_precision_and_scale(10, 2).unwrap());
    let zero = mask::apply(&Mask::MaskToFixedValue, &zero, salt()).unwrap();
    assert_eq!(zero.as_primitive::<Decimal128Type>().value(0), 0);
    let zero: ArrayRef = Arc::new(Float64Array::from(vec![f64::NAN]));
    let zero = mask::apply(&Mask::MaskToFixedValue, &zero, salt()).unwrap();
    assert_eq!(zero.as_primitive::<Float64Type>().value(0), 0.0);
}

#[test]
fn times_in_text_are_truncated_in_their_spelling() {
    let time = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into()));
    for (mask, value, expected) in [
        (Mask::TruncateToMonth, "2024-03-20T10:00:00Z", Some("2024-03-01T00:00:00Z")),
        (Mask::TruncateToYear, "2024-01-01T00:30:00+02:00", Some("2023-01-01T00:00:00Z")),
        (Mask::TruncateToYear, "2024-03-20T10:00:00", Some("2024-01-01T00:00:00")),
        (Mask::TruncateToMonth, "2024-03-20", Some("2024-03-01")),
        (Mask::TruncateToMonth, "20th of March", None),
        (Mask::TruncateToMonth, "", None),
    ] {
        let shown = mask::json(&mask, Some(&json!(value)), &time, salt());
        assert_eq!(shown, expected.map(Value::from), "{mask:?} of {value}");
    }
    assert_eq!(mask::json(&Mask::ShowLast4, Some(&json!(4111111111u64)), &DataType::Utf8, salt()), None);
    assert_eq!(mask::json(&Mask::MaskToFixedValue, None, &DataType::Utf8, salt()), Some(json!("XXXXXXXX")));
    assert_eq!(mask::json(&Mask::ReplaceWithNull, Some(&json!("x")), &DataType::Utf8, salt()), None);
}

#[test]
fn patterns_know_only_the_star() {
    for (pattern, text, expected) in [
        ("a", "a", true),
        ("a", "ab", false),
        ("a*", "abc", true),
        ("*c", "abc", true),
        ("*", "", true),
        ("", "", true),
        ("", "a", false),
        ("a*a", "a", false),
        ("a*a", "aa", true),
        ("a*b*c", "a--b--c", true),
        ("a*b*c", "acb", false),
        ("*%_*", "x%_y", true),
        ("*%_*", "xab", false),
        ("*ab*ab*", "abxab", true),
        ("*ab*ab*", "abab", true),
        ("*ab*ab*", "abaab", true),
        ("*ab*ab*", "ab", false),
    ] {
        let parts: Vec<String> = pattern.split('*').map(str::to_owned).collect();
        assert_eq!(predicate::is_like(text, &parts), expected, "{text:?} like {pattern:?}");
    }
}

fn civil_first(mask: &Mask, days: i64) -> i64 {
    let day = jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().days(days)).unwrap();
    let first = if *mask == Mask::TruncateToYear { day.first_of_year() } else { day.first_of_month() };
    i64::from(first.since(jiff::civil::date(1970, 1, 1)).unwrap().get_days())
}

/// One row over columns of every type that a filter can look at, as a batch and as JSON.
#[derive(Debug, Clone)]
struct Row {
    text: Option<String>,
    whole: Option<i64>,
    price: Option<i64>,
    flag: Option<bool>,
}

fn row() -> impl Strategy<Value = Row> {
    let text = proptest::option::of("[ab*]{0,3}");
    let numbers = (proptest::option::of(-3i64..4), proptest::option::of(-300i64..400));
    (text, numbers, proptest::option::of(any::<bool>())).prop_map(|(text, (whole, price), flag)| Row {
        text,
        whole,
        price,
        flag,
    })
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("text", DataType::Utf8, true),
        Field::new("whole", DataType::Int64, true),
        Field::new("price", DataType::Decimal128(12, 2), true),
        Field::new("flag", DataType::Boolean, true),
    ]))
}

fn batch(rows: &[Row]) -> RecordBatch {
    let prices: Decimal128Array = rows.iter().map(|row| row.price.map(i128::from)).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| row.text.clone()).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| row.whole).collect::<Int64Array>()),
        Arc::new(prices.with_precision_and_scale(12, 2).unwrap()),
        Arc::new(rows.iter().map(|row| row.flag).collect::<BooleanArray>()),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

fn raw(row: &Row) -> String {
    let price = row.price.map(|cents| cents as f64 / 100.0);
    json!({"text": row.text, "whole": row.whole, "price": price, "flag": row.flag}).to_string()
}

fn comparison() -> impl Strategy<Value = Comparison> {
    use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
    proptest::sample::select(vec![Equal, NotEqual, Less, LessOrEqual, Greater, GreaterOrEqual])
}

fn predicate() -> impl Strategy<Value = Predicate> {
    let numbers = proptest::sample::select(vec!["whole", "price"]);
    let compare = |column: &str, operator, literal| Predicate::Compare { column: column.into(), operator, literal };
    let equality = proptest::sample::select(vec![Comparison::Equal, Comparison::NotEqual]);
    let leaf = prop_oneof![
        any::<bool>().prop_map(Predicate::Constant),
        (comparison(), "[ab]{0,2}").prop_map(move |(operator, text)| compare("text", operator, Literal::Text(text))),
        (numbers.clone(), comparison(), -3i64..4).prop_map(move |(column, operator, value)| compare(
            column,
            operator,
            Literal::Integer(value)
        )),
        (equality, any::<bool>()).prop_map(move |(operator, flag)| compare("flag", operator, Literal::Bool(flag))),
        (numbers, proptest::collection::vec(-3i64..4, 0..3)).prop_map(|(column, values)| Predicate::OneOf {
            column: column.into(),
            literals: values.into_iter().map(Literal::Integer).collect(),
        }),
        proptest::collection::vec("[ab]{0,2}", 0..3).prop_map(|texts| Predicate::OneOf {
            column: "text".into(),
            literals: texts.into_iter().map(Literal::Text).collect(),
        }),
        proptest::sample::select(vec!["text", "whole", "price", "flag"]).prop_map(|c| Predicate::Present(c.into())),
        proptest::collection::vec("[ab]{0,1}", 1..4).prop_map(|parts| Predicate::Like { column: "text".into(), parts }),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|p| Predicate::Not(Box::new(p))),
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Predicate::All),
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Predicate::Any),
            (inner, any::<bool>()).prop_map(|(p, otherwise)| Predicate::OrElse(Box::new(p), otherwise)),
        ]
    })
}

/// The slow obvious way: one row, one value, SQL's three-valued logic spelled out.
fn decide(predicate: &Predicate, row: &Row) -> Option<bool> {
    let is_true = |part: &Predicate| decide(part, row) == Some(true);
    let is_false = |part: &Predicate| decide(part, row) == Some(false);
    match predicate {
        Predicate::Constant(value) => Some(*value),
        Predicate::Compare { column, operator, literal } => {
            Some(predicate::holds(*operator, order(column, literal, row)?))
        }
        Predicate::OneOf { column, literals } => {
            has(column, row).then(|| literals.iter().any(|literal| order(column, literal, row).unwrap().is_eq()))
        }
        Predicate::Present(column) => Some(has(column, row)),
        Predicate::Like { parts, .. } => {
            let pattern = format!("^{}$", parts.join(".*"));
            row.text.as_ref().map(|text| is_match(&pattern, text))
        }
        Predicate::Not(inner) => decide(inner, row).map(|value| !value),
        Predicate::All(parts) if parts.iter().any(is_false) => Some(false),
        Predicate::All(parts) => parts.iter().all(is_true).then_some(true),
        Predicate::Any(parts) if parts.iter().any(is_true) => Some(true),
        Predicate::Any(parts) => parts.iter().all(is_false).then_some(false),
        Predicate::OrElse(inner, otherwise) => Some(decide(inner, row).unwrap_or(*otherwise)),
    }
}

/// `^`, letters, stars, `.*` and `$`, by trying everything.
fn is_match(pattern: &str, text: &str) -> bool {
    fn matches(pattern: &[u8], text: &[u8]) -> bool {
        match pattern {
            [] => text.is_empty(),
            [b'.', b'*', rest @ ..] => (0..=text.len()).any(|skip| matches(rest, &text[skip..])),
            [first, rest @ ..] => text.first() == Some(first) && matches(rest, &text[1..]),
        }
    }
    matches(pattern.trim_start_matches('^').trim_end_matches('$').as_bytes(), text.as_bytes())
}

fn has(column: &str, row: &Row) -> bool {
    match column {
        "text" => row.text.is_some(),
        "whole" => row.whole.is_some(),
        "price" => row.price.is_some(),
        _ => row.flag.is_some(),
    }
}

fn order(column: &str, literal: &Literal, row: &Row) -> Option<std::cmp::Ordering> {
    match (column, literal) {
        ("text", Literal::Text(text)) => row.text.as_ref().map(|value| value.cmp(text)),
        ("whole", Literal::Integer(literal)) => row.whole.map(|value| value.cmp(literal)),
        ("price", Literal::Integer(literal)) => row.price.map(|cents| cents.cmp(&(literal * 100))),
        ("flag", Literal::Bool(literal)) => row.flag.map(|value| value.cmp(literal)),
        _ => unreachable!("the strategy makes no such comparison"),
    }
}

proptest! {
    #[test]
    fn filters_over_columns_and_over_json_agree_with_one_row_at_a_time(
        predicate in predicate(), rows in proptest::collection::vec(row(), 1..20)
    ) {
        let expected: Vec<bool> = rows.iter().map(|row| decide(&predicate, row) == Some(true)).collect();
        let batch = batch(&rows);
        let schema = schema();
        let mut find = |name: &str| Ok(Some((schema.index_of(name).unwrap(), schema.field_with_name(name).unwrap().data_type().clone())));
        let kept = Filter::bind(&predicate, &mut find).unwrap().keep(&batch).unwrap();
        prop_assert_eq!(kept.null_count(), 0);
        prop_assert_eq!(kept.values().iter().collect::<Vec<_>>(), expected.clone());
        let grant = TableGrant { rows: Some(predicate), ..TableGrant::default() };
        let texts: ArrayRef = Arc::new(rows.iter().map(|row| Some(raw(row))).collect::<StringArray>());
        let kept = RawPolicy::new(&grant, schema, salt()).keep(&texts).unwrap();
        prop_assert_eq!(kept.values().iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn times_are_truncated_as_the_calendar_says(days in -700_000i64..2_900_000, micros in 0i64..86_400_000_000) {
        for mask in [Mask::TruncateToYear, Mask::TruncateToMonth] {
            let expected = civil_first(&mask, days);
            let dates: ArrayRef = Arc::new(Date32Array::from(vec![Some(days as i32), None]));
            let dates = mask::apply(&mask, &dates, salt()).unwrap();
            prop_assert_eq!(i64::from(dates.as_primitive::<Date32Type>().value(0)), expected);
            prop_assert!(dates.is_null(1));
            let times = TimestampMicrosecondArray::from(vec![Some(days * 86_400_000_000 + micros), None]);
            let times: ArrayRef = Arc::new(times.with_timezone("UTC"));
            let truncated = mask::apply(&mask, &times, salt()).unwrap();
            prop_assert_eq!(truncated.data_type(), times.data_type());
            prop_assert_eq!(truncated.as_primitive::<TimestampMicrosecondType>().value(0), expected * 86_400_000_000);
        }
    }

    #[test]
    fn partial_masks_show_four_characters_at_most(value in "\\PC{0,12}") {
        for mask in [Mask::ShowFirst4, Mask::ShowLast4] {
            let shown = masked(&mask, &value);
            let same = value.chars().zip(shown.chars()).filter(|(a, b)| a == b && *a != '*').count();
            prop_assert_eq!(shown.chars().count(), value.chars().count());
            prop_assert!(same <= 4 && (value.chars().count() > 4 || same == 0), "{value:?} as {shown:?}");
        }
    }
}

#[test]
fn decimals_and_literals_beyond_them_compare() {
    let wide: ArrayRef =
        Arc::new(Decimal128Array::from(vec![Some(5), Some(-5), None]).with_precision_and_scale(38, 37).unwrap());
    let schema = Arc::new(Schema::new(vec![Field::new("d", wide.data_type().clone(), true)]));
    let batch = RecordBatch::try_new(schema, vec![wide]).unwrap();
    for (operator, literal, expected) in [
        (Comparison::Less, i64::MAX, [true, true, false]),
        (Comparison::Greater, i64::MIN, [true, true, false]),
        (Comparison::Equal, i64::MAX, [false, false, false]),
        (Comparison::NotEqual, i64::MIN, [true, true, false]),
        (Comparison::Less, 0, [false, true, false]),
    ] {
        let literal = Literal::Integer(literal);
        let predicate = Predicate::Compare { column: "d".into(), operator, literal };
        let mut find = |_: &str| Ok(Some((0, batch.column(0).data_type().clone())));
        let kept = Filter::bind(&predicate, &mut find).unwrap().keep(&batch).unwrap();
        assert_eq!(kept.values().iter().collect::<Vec<_>>(), expected, "{predicate:?}");
    }
}

#[test]
fn full_rows_need_full_grants() {
    let masks = BTreeMap::from([("b".to_owned(), Mask::ReplaceWithNull)]);
    let tables = BTreeMap::from([
        ("whole".to_owned(), TableGrant::default()),
        ("part".to_owned(), TableGrant { masks, ..TableGrant::default() }),
    ]);
    let restricted = permit().restricted_by_policy(Grants::Tables(tables));
    let check = |permit: &Permit, tables: &[&str]| check_full(permit, tables.iter().copied(), "training set x");
    assert!(check(&permit(), &["whole", "part", "none"]).is_ok());
    assert!(check(&restricted, &["whole"]).is_ok());
    for tables in [["whole", "part"], ["whole", "none"]] {
        let error = check(&restricted, &tables).unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Denied, codes::ROWS_RESTRICTED));
        assert!(!error.to_string().contains("part") && !error.to_string().contains("none"));
    }
}
