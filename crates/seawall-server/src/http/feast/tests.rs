//! References and entities; the whole way is tested against a running server in `tests/it`.

use seawall_base::declare::{Aggregation, Feature, WindowEdge};
use serde_json::json;

use super::*;

fn view(version: u32, features: &[&str]) -> FeatureView {
    let aggregation = Aggregation::Latest { column: "x".to_owned() };
    let feature = |name: &&str| Feature {
        name: (*name).to_owned(),
        aggregation: aggregation.clone(),
        window: None,
        edge: WindowEdge::Exact,
        filter: None,
    };
    FeatureView {
        name: "card".to_owned(),
        version,
        entity: vec!["card_id".to_owned()],
        from: "payments".to_owned(),
        time: "paid_at".to_owned(),
        features: features.iter().map(feature).collect(),
        computed: Vec::new(),
    }
}

#[test]
fn references_name_a_version_or_the_newest() {
    let views = [view(1, &["a", "b"]), view(3, &["b"]), view(2, &["c", "a"])];
    let check = |reference: &str, version: u32, place: usize| {
        let (view, feature) = find_feature(&views, reference).unwrap();
        assert_eq!((view.version, feature), (version, place), "{reference}");
    };
    check("card:b", 3, 0);
    check("card@1:b", 1, 1);
    check("card@v2:a", 2, 1);
    let refused = |reference: &str, code: &str| {
        assert_eq!(find_feature(&views, reference).unwrap_err().code(), code, "{reference}");
    };
    refused("card", "SW0886");
    refused("card@x:a", "SW0886");
    refused("card@9:a", "SW0824");
    refused("shop:a", "SW0824");
    refused("card:a", "SW0340");
}

#[test]
fn arrays_of_keys_become_rows() {
    let rows = |entities: Value| rows_of(entities.as_object().unwrap());
    let two = rows(json!({"a": [1, 2], "b": ["x", null]})).unwrap();
    assert_eq!(
        Value::from(two.into_iter().map(Value::from).collect::<Vec<_>>()),
        json!([{"a": 1, "b": "x"}, {"a": 2, "b": null}])
    );
    assert_eq!(rows(json!({"a": [1], "b": []})).unwrap_err().code(), "SW0886");
    assert_eq!(rows(json!({"a": 1})).unwrap_err().code(), "SW0886");
    assert!(rows(json!({})).unwrap().is_empty());
}
