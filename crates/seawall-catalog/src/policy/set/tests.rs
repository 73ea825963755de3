//! What is found out about policies before they take effect.

use arrow::datatypes::DataType;
use seawall_base::Error;

use super::*;
use crate::policy::shape::ColumnShape;

fn shape() -> Shape {
    let column = |name: &str, data_type: DataType| ColumnShape {
        name: name.to_owned(),
        data_type,
        classification: None,
        tags: Vec::new(),
        derived_from: Vec::new(),
    };
    let table = |name: &str| TableShape {
        name: name.to_owned(),
        dataset: name.to_owned(),
        kind: TableKind::Dataset,
        owner: None,
        classification: None,
        columns: vec![column("country", DataType::Utf8), column("amount", DataType::Float64)],
    };
    Shape { tables: vec![table("payments"), table("in")] }
}

fn problems(text: &str) -> Vec<PolicyProblem> {
    let files = [("policies/a.cedar".to_owned(), text.to_owned())];
    PolicySet::compile(&files, &shape()).err().unwrap_or_default()
}

#[test]
fn the_shipped_policies_compile_for_every_project() {
    assert_eq!(PolicySet::defaults().inner.statements.len(), 5);
    PolicySet::compile(&[], &shape()).unwrap();
}

#[test]
fn a_policy_that_does_not_fit_the_project_is_refused() {
    let check = |policy: &str, place: (usize, usize), message: &str, hint: &str| {
        let found = problems(&format!("// Ours.\n{policy}"));
        let [problem] = found.as_slice() else { panic!("{policy}: {found:#?}") };
        assert_eq!((problem.file.as_str(), problem.code), ("policies/a.cedar", "SW0614"), "{policy}");
        assert_eq!((problem.line, problem.column), place, "{policy}: {}", problem.message);
        assert!(problem.message.contains(message), "{policy}: {}", problem.message);
        assert!(problem.hint.as_deref().unwrap_or_default().contains(hint), "{policy}: {:?}", problem.hint);
    };
    check(
        r#"forbid (principal in Role::"analist", action, resource);"#,
        (2, 1),
        r#""analist" is not a role"#,
        "owner, engineer, analyst, service",
    );
    check(
        r#"forbid (principal, action == Action::"read_rows", resource == Table::"payment");"#,
        (2, 1),
        r#"there is no table "payment""#,
        r#"did you mean "payments"?"#,
    );
    check(
        r#"forbid (principal, action, resource) when { resource == Column::"payments.card" };"#,
        (2, 1),
        r#"there is no column "payments.card""#,
        "TABLE.COLUMN",
    );
    check(
        r#"forbid (principal, action, resource) when { resource == Row_payments::"7" };"#,
        (2, 1),
        "rows have no names",
        "resource is Row_payments",
    );
    check(
        r#"forbid (principal, action == Action::"reed_rows", resource);"#,
        (2, 30),
        "unrecognized action",
        "read_row",
    );
    check(
        "forbid (principal, action == Action::\"read_row\", resource is Row_payments)\n  when { resource.country == \"de\" };",
        (3, 10),
        "country",
        "resource has country",
    );
    check(
        r#"forbid (principal, action == Action::"read_row", resource) when { resource has contry };"#,
        (2, 1),
        "can never apply",
        "misspelt",
    );
    check(
        r#"forbid (principal, action == Action::"read_row", resource) when { resource has amount };"#,
        (2, 1),
        "can never apply",
        "amount is Float64",
    );
    check(
        r#"forbid (principal, action == Action::"read_row", resource == Table::"payments");"#,
        (2, 1),
        "can never apply",
        "",
    );
    check(
        r#"forbid (principal, action == Action::"ingest", resource) when { principal.name == 1 };"#,
        (2, 65),
        "types",
        "",
    );
}

#[test]
fn all_problems_are_told_in_order_of_their_places() {
    let found = problems(
        "permit (principal, action, resource) when { 1 };\npermit (principal in Role::\"x\", action, resource);",
    );
    let lines: Vec<usize> = found.iter().map(|one| one.line).collect();
    assert_eq!(lines, [1, 2]);
    let error = Error::from(found[1].clone());
    assert_eq!((error.code(), error.message()), ("SW0614", "policies/a.cedar:2:1: \"x\" is not a role"));
}

#[test]
fn owners_cannot_lock_themselves_out() {
    let found = problems(r#"forbid (principal, action == Action::"apply_project", resource);"#);
    assert_eq!(found[0].code, "SW0617");
    assert!(found[0].message.contains("owners would lose apply_project"));
    let nothing = [("policies/default.cedar".to_owned(), "// none".to_owned())];
    assert_eq!(PolicySet::compile(&nothing, &shape()).unwrap_err()[0].code, "SW0617");
}

#[test]
fn a_file_named_default_takes_the_place_of_the_shipped_policies() {
    let text = r#"permit (principal in Role::"owner", action, resource);"#;
    let files = [("policies/default.cedar".to_owned(), text.to_owned())];
    let set = PolicySet::compile(&files, &shape()).unwrap();
    assert_eq!(set.inner.statements.len(), 1);
    let analyst = Subject::of(&Principal::new("ada", Role::Analyst));
    assert!(!set.inner.allows(&analyst, Action::ReadRows, "payments"));
}
