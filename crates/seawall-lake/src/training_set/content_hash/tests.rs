use std::sync::Arc;

use arrow::array::{Float64Array, Int64Array, ListArray, StringArray, StringViewArray};
use arrow::datatypes::Int32Type;
use proptest::prelude::*;

use super::*;

fn rows(numbers: &[Option<i64>], texts: &[Option<String>]) -> RecordBatch {
    let numbers: ArrayRef = Arc::new(Int64Array::from(numbers.to_vec()));
    let texts: ArrayRef = Arc::new(StringArray::from(texts.to_vec()));
    RecordBatch::try_from_iter_with_nullable([("n", numbers, true), ("t", texts, true)]).unwrap()
}

fn one(name: &str, column: ArrayRef) -> Hash {
    content_hash(&[RecordBatch::try_from_iter([(name, column)]).unwrap()])
}

proptest! {
    #[test]
    fn where_batches_are_cut_does_not_matter_and_every_value_does(
        values in proptest::collection::vec((proptest::option::of(any::<i64>()), proptest::option::of("[a-c]{0,3}")), 1..20),
        cut in any::<prop::sample::Index>(),
        changed in any::<prop::sample::Index>(),
    ) {
        let (numbers, texts): (Vec<_>, Vec<_>) = values.into_iter().unzip();
        let whole = rows(&numbers, &texts);
        let cut = cut.index(numbers.len());
        let halves = [whole.slice(0, cut), whole.slice(cut, numbers.len() - cut)];
        prop_assert_eq!(content_hash(std::slice::from_ref(&whole)), content_hash(&halves));

        let mut other = numbers.clone();
        let at = changed.index(other.len());
        other[at] = Some(other[at].map_or(0, |value| value.wrapping_add(1)));
        prop_assert_ne!(content_hash(&[whole]), content_hash(&[rows(&other, &texts)]));
    }
}

#[test]
fn a_view_hashes_like_plain_text_and_text_keeps_its_borders() {
    let plain = one("t", Arc::new(StringArray::from(vec!["ab", "c"])));
    assert_eq!(plain, one("t", Arc::new(StringViewArray::from(vec!["ab", "c"]))));
    assert_ne!(plain, one("t", Arc::new(StringArray::from(vec!["a", "bc"]))));
    assert_ne!(plain, one("u", Arc::new(StringArray::from(vec!["ab", "c"]))));
}

#[test]
fn zeros_differ_by_sign_and_all_nans_are_one() {
    let hash = |value: f64| one("f", Arc::new(Float64Array::from(vec![value])));
    assert_ne!(hash(0.0), hash(-0.0));
    assert_eq!(hash(f64::NAN), hash(-f64::NAN));
}

#[test]
fn lists_keep_their_borders() {
    let lists = |lists: Vec<Option<Vec<Option<i32>>>>| {
        one("l", Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists)))
    };
    let split = lists(vec![Some(vec![Some(1)]), Some(vec![Some(2)])]);
    assert_ne!(split, lists(vec![Some(vec![Some(1), Some(2)]), Some(vec![])]));
    assert_ne!(split, lists(vec![None, Some(vec![Some(1), Some(2)])]));
}

/// The encoding is part of every fingerprint ever written; this value must stay.
#[test]
fn the_hash_is_what_it_always_was() {
    let hash = content_hash(&[rows(&[Some(1), None], &[Some("a".into()), None])]);
    assert_eq!(hash.to_string(), "659d73e93cd39f728a80bf5bd05f1537e3305f3fabfd41dc557deabbc0e41ebf");
}
