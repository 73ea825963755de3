//! What `plan` says about a change of policies.

use arrow::datatypes::DataType;

use super::*;
use crate::policy::Role;
use crate::policy::shape::{ColumnShape, Shape, TableShape};

fn set(policies: &str) -> PolicySet {
    let column = |name: &str| ColumnShape {
        name: name.to_owned(),
        data_type: DataType::Utf8,
        classification: None,
        tags: vec!["pii".to_owned()],
        derived_from: Vec::new(),
    };
    let table = TableShape {
        name: "payments".to_owned(),
        dataset: "payments".to_owned(),
        kind: TableKind::Dataset,
        owner: None,
        classification: None,
        columns: vec![column("card"), column("country")],
    };
    let files = [("policies/a.cedar".to_owned(), policies.to_owned())];
    PolicySet::compile(&files, &Shape { tables: vec![table] }).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

const CARD: &str = r#"@mask("show-last-4")
forbid (principal in Role::"analyst", action == Action::"read_raw", resource == Column::"payments.card");"#;
const CARD_HASHED: &str = r#"@mask("sha-256-global")
forbid (principal in Role::"analyst", action == Action::"read_raw", resource == Column::"payments.card");"#;
const GERMAN: &str = r#"forbid (principal in Role::"analyst", action == Action::"read_row", resource)
unless { resource has country && resource.country == "de" };"#;
const NO_ROWS: &str = r#"forbid (principal in Role::"analyst", action == Action::"read_row", resource);"#;
const NO_SETS: &str = r#"forbid (principal in Role::"analyst", action == Action::"build_training_set", resource);"#;
const NO_PAYMENTS: &str =
    r#"forbid (principal in Role::"analyst", action == Action::"read_rows", resource == Table::"payments");"#;

#[test]
fn gains_and_losses_are_told_per_principal() {
    let principals = Role::ALL.map(|role| Principal::new(role.as_str(), role));
    let check = |old: &str, new: &str, gains: &[&str], loses: &[&str]| {
        let changes = access_diff(&set(old), &set(new), &principals);
        let [change] = changes.as_slice() else { panic!("{changes:#?}") };
        assert_eq!(change.principal.name, "analyst");
        assert_eq!((change.gains.as_slice(), change.loses.as_slice()), (&owned(gains)[..], &owned(loses)[..]));
        let back = access_diff(&set(new), &set(old), &principals);
        assert!(!back.is_empty(), "what one change does, its reverse undoes");
    };
    check("", CARD, &[], &["payments.card as it is, from now on show-last-4"]);
    check(CARD, "", &["payments.card as it is, so far show-last-4"], &[]);
    check(CARD, CARD_HASHED, &[], &["payments.card by sha-256-global, so far show-last-4"]);
    check(CARD_HASHED, CARD, &["payments.card by show-last-4, so far sha-256-global"], &[]);
    check("", NO_SETS, &[], &["build_training_set"]);
    check("", NO_PAYMENTS, &[], &["read_rows on payments"]);
    check("", NO_ROWS, &[], &["rows of payments other than none"]);
    let german = "not not (country is not null and country = \"de\")";
    check(GERMAN, "", &[&format!("all rows of payments, so far {german}")], &[]);
    check(NO_ROWS, GERMAN, &[&format!("rows of payments where {german}")], &[]);
    assert!(access_diff(&set(CARD), &set(CARD), &principals).is_empty());
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn access_lists_rights_and_sights() {
    let access = set(CARD).access_of(&Principal::new("ada", Role::Analyst));
    let rights: Vec<&str> = access.rights.iter().map(|right| right.as_str()).collect();
    assert_eq!(rights, ["read_rows", "read_metadata", "build_training_set", "verify_skew", "approve_decision"]);
    let payments = &access.tables["payments"];
    assert_eq!(payments.rights, access.rights);
    assert_eq!(payments.grant.masks["card"], Mask::ShowLast4);
}
