//! Order and circles; values are checked where there is an evaluator.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};

use super::Compiling;
use crate::declare::{DerivedFeature, LogShare};

fn derived(name: &str, sql: &str, reads: &[&str]) -> DerivedFeature {
    let reads = reads.iter().map(|read| (*read).to_owned()).collect();
    DerivedFeature { name: name.to_owned(), sql: sql.to_owned(), reads }
}

#[test]
fn features_that_read_nothing_derived_come_first() {
    let schema = Arc::new(Schema::new(vec![Field::new("amount", DataType::Float64, true)]));
    let features = [derived("twice_more", "more * 2", &["more"]), derived("more", "amount + 1", &["amount"])];
    let compiling = Compiling::begin("shop@1", &features, schema).expect("no circle");
    let first = compiling.next().expect("amount is known").expect("there is a layer");
    let texts: Vec<&str> = first.iter().map(|statement| statement.sql.as_str()).collect();
    assert_eq!(texts, ["select (amount + 1\n) as \"more\" from input"; 2], "alone, and all of the layer at once");
}

#[test]
fn a_circle_is_refused_with_its_members() {
    let schema = Arc::new(Schema::new(vec![Field::new("amount", DataType::Float64, true)]));
    let features = [derived("a", "b + 1", &["b"]), derived("b", "a + 1", &["a"]), derived("c", "amount", &["amount"])];
    let refused = Compiling::begin("shop@1", &features, schema).err().expect("a circle");
    assert_eq!(refused.code(), "SW0315");
    assert!(refused.to_string().contains("circle: a, b"), "{refused}");
}

#[test]
fn a_column_that_is_not_there_is_refused() {
    let schema = Arc::new(Schema::new(vec![Field::new("amount", DataType::Float64, true)]));
    let features = [derived("a", "amont + 1", &["amont"])];
    let compiling = Compiling::begin("shop@1", &features, schema).expect("no circle");
    let refused = compiling.next().expect_err("there is no such column");
    assert!(refused.to_string().contains("amont"), "{refused}");
}

#[test]
fn a_share_is_taken_by_the_upper_half_of_the_hash() {
    let at = |share: f64| ((share * 2f64.powi(64)) as u128) << 64;
    assert!(LogShare::ALL.takes(u128::MAX) && LogShare::ALL.takes(0));
    assert!(!LogShare(0).takes(0));
    let one_percent = LogShare(10_000);
    assert!(one_percent.takes(at(0.0099)) && !one_percent.takes(at(0.0101)));
    assert!(!one_percent.takes(u128::MAX));
}
