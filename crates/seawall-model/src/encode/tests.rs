use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, DictionaryArray, Float64Array, Int64Array, NullArray, StringArray,
    StringViewArray, TimestampMicrosecondArray,
};
use arrow::datatypes::Int32Type;
use proptest::prelude::*;

use super::*;

fn rows(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

fn names(of: &[&str]) -> Vec<String> {
    of.iter().map(|name| (*name).to_owned()).collect()
}

/// Encodes one column by what was learned from it.
fn check(column: ArrayRef, expected: &[f64]) {
    let rows = rows(vec![("x", column)]);
    let matrix = encode(&rows, &learn(&rows, &names(&["x"])).unwrap()).unwrap();
    let bits = |values: &[f64]| values.iter().map(|v| if v.is_nan() { None } else { Some(*v) }).collect::<Vec<_>>();
    assert_eq!(bits(&matrix.columns[0]), bits(expected));
}

#[test]
fn numbers_are_taken_as_they_are_and_missing_is_nan() {
    let nan = f64::NAN;
    check(Arc::new(Int64Array::from(vec![Some(3), None, Some(-1)])), &[3.0, nan, -1.0]);
    check(Arc::new(Float64Array::from(vec![Some(0.5), Some(nan), None])), &[0.5, nan, nan]);
    check(Arc::new(Float64Array::from(vec![f64::INFINITY, f64::NEG_INFINITY])), &[1e300, -1e300]);
    check(Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])), &[1.0, 0.0, nan]);
    let decimals = Decimal128Array::from(vec![Some(1250), None]).with_precision_and_scale(10, 2).unwrap();
    check(Arc::new(decimals), &[12.5, nan]);
    check(Arc::new(NullArray::new(2)), &[nan, nan]);
}

#[test]
fn text_is_coded_by_frequency_and_then_by_name() {
    let texts = vec![Some("b"), Some("c"), Some("a"), Some("c"), None];
    let expected = [1.0 + 1.0, 0.0, 1.0, 0.0, f64::NAN];
    check(Arc::new(StringArray::from(texts.clone())), &expected);
    check(Arc::new(StringViewArray::from(texts.clone())), &expected);
    check(Arc::new(DictionaryArray::<Int32Type>::from_iter(texts)), &expected);
}

#[test]
fn what_training_did_not_see_is_missing() {
    let trained = rows(vec![("x", Arc::new(StringArray::from(vec!["a", "b"])))]);
    let inputs = learn(&trained, &names(&["x"])).unwrap();
    let served = rows(vec![("x", Arc::new(StringArray::from(vec!["b", "new"])))]);
    let matrix = encode(&served, &inputs).unwrap();
    assert_eq!(matrix.columns[0][0], 1.0);
    assert!(matrix.columns[0][1].is_nan());
    assert_eq!(text(&served, &inputs[0], 1).unwrap().as_deref(), Some("new"), "its text is still known");
}

#[test]
fn what_does_not_fit_is_refused() {
    let at = TimestampMicrosecondArray::from(vec![1]);
    let trained = rows(vec![("at", Arc::new(at)), ("n", Arc::new(Int64Array::from(vec![1])))]);
    assert_eq!(learn(&trained, &names(&["at"])).unwrap_err().code(), "SW1002");
    assert_eq!(learn(&trained, &names(&["elsewhere"])).unwrap_err().code(), "SW1001");
    assert_eq!(learn(&trained, &names(&["n", "n"])).unwrap_err().code(), "SW1001");
    let inputs = learn(&trained, &names(&["n"])).unwrap();
    let served = rows(vec![("n", Arc::new(StringArray::from(vec!["1"])))]);
    assert_eq!(encode(&served, &inputs).unwrap_err().code(), "SW1003");
    let served = rows(vec![("m", Arc::new(Int64Array::from(vec![1])))]);
    assert_eq!(encode(&served, &inputs).unwrap_err().code(), "SW1001");
    let float = rows(vec![("n", Arc::new(Float64Array::from(vec![1.5])))]);
    assert_eq!(encode(&float, &inputs).unwrap().columns[0], [1.5], "any number fits a number");
}

#[test]
fn values_have_texts_unless_they_are_missing() {
    let rows = rows(vec![
        ("n", Arc::new(Float64Array::from(vec![Some(1.5), Some(f64::NAN), None]))),
        ("t", Arc::new(StringArray::from(vec![Some("a"), Some("NaN"), None]))),
    ]);
    let inputs = learn(&rows, &names(&["n", "t"])).unwrap();
    let texts = |input: &Input| (0..3).map(|row| text(&rows, input, row).unwrap()).collect::<Vec<_>>();
    assert_eq!(texts(&inputs[0]), [Some("1.5".to_owned()), None, None]);
    assert_eq!(texts(&inputs[1]), [Some("a".to_owned()), Some("NaN".to_owned()), None]);
}

proptest! {
    #[test]
    fn codes_lead_back_to_the_texts(texts in prop::collection::vec(prop::option::of("[a-d]{0,2}"), 1..60)) {
        let rows = rows(vec![("x", Arc::new(StringArray::from(texts.clone())))]);
        let inputs = learn(&rows, &names(&["x"])).unwrap();
        let InputKind::Categorical { categories } = &inputs[0].kind else { panic!("text is categorical") };
        let count = |name: &String| texts.iter().flatten().filter(|text| *text == name).count();
        for pair in categories.windows(2) {
            prop_assert!((count(&pair[1]), &pair[0]) < (count(&pair[0]), &pair[1]) || count(&pair[0]) > count(&pair[1]));
        }
        for (code, text) in encode(&rows, &inputs).unwrap().columns[0].iter().zip(&texts) {
            let back = if code.is_nan() { None } else { Some(&categories[*code as usize]) };
            prop_assert_eq!(back, text.as_ref());
        }
    }
}
