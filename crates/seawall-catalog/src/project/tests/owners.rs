//! Who answers for a contract, and what its columns are labelled with.

use seawall_kernel::contract::Contract;
use serde_json::{Value, json};

use super::super::{ColumnLabels, column_labels, owner_of};

fn contract(more: Value) -> Contract {
    let mut whole = json!({"apiVersion": "v3.2.0", "kind": "DataContract", "id": "payments", "version": "1.0.0"});
    for (key, value) in more.as_object().unwrap() {
        whole[key] = value.clone();
    }
    serde_json::from_value(whole).unwrap()
}

#[test]
fn owners_are_found_where_contracts_name_them() {
    let check = |more: Value, expected: Option<&str>| {
        assert_eq!(owner_of(&contract(more.clone())).as_deref(), expected, "{more}");
    };
    let member = |name: &str, role: &str| json!({"username": name, "role": role});
    check(json!({}), None);
    check(json!({"team": {"name": "payments"}}), Some("payments"));
    check(json!({"team": {"members": [member("ada", "steward"), member("bob", "Data Owner")]}}), Some("bob"));
    check(json!({"team": [member("ada", "owner")]}), Some("ada"));
    check(json!({"team": [{"name": "Ada", "role": "owner"}]}), Some("Ada"));
    check(json!({"team": [member("ada", "steward")]}), None);
    let left = json!({"username": "ada", "role": "owner", "dateOut": "2024-01-01"});
    check(json!({"team": [left, member("bob", "owner")]}), Some("bob"));
    let custom = json!([{"property": "seawall.owner", "value": "risk"}]);
    check(json!({"team": {"name": "payments"}, "customProperties": custom}), Some("risk"));
    check(json!({"customProperties": [{"property": "owner", "value": " "}]}), None);
    check(json!({"team": 5}), None);
}

#[test]
fn columns_have_the_labels_of_their_parts() {
    let parts = json!([
        {"name": "street", "logicalType": "string", "classification": "personal", "tags": ["gdpr", "home"]},
    ]);
    let contract = contract(json!({"schema": [{"name": "payments", "properties": [
        {"name": "id", "logicalType": "string"},
        {"name": "email", "logicalType": "string", "classification": "pii", "tags": ["gdpr", 5]},
        {"name": "address", "logicalType": "object", "tags": ["gdpr"], "properties": parts},
    ]}]}));
    let labels = |column: &str, classification: Option<&str>, tags: &[&str]| ColumnLabels {
        column: column.to_owned(),
        classification: classification.map(str::to_owned),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
    };
    let expected = [
        labels("id", None, &[]),
        labels("email", Some("pii"), &["gdpr"]),
        labels("address", Some("personal"), &["gdpr", "home"]),
    ];
    assert_eq!(column_labels(&contract.objects()[0]), expected);
}
