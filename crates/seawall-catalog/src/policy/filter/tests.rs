//! Row filters against Cedar itself: a row is kept exactly when `is_authorized` allows to read it.

use std::collections::{BTreeMap, HashSet};

use arrow::datatypes::DataType;
use cedar_policy::{Authorizer, Context, Decision, Entities, Entity, Request, RestrictedExpression};
use proptest::prelude::*;

use super::*;
use crate::policy::decide::{SOME_ROW, Subject, uid};
use crate::policy::set::PolicySet;
use crate::policy::shape::{ColumnShape, READ_ROW, Shape, TableKind, TableShape};
use crate::policy::{PolicyProblem, Principal, Role};

type Row = BTreeMap<&'static str, Literal>;

fn column(name: &str, data_type: DataType) -> ColumnShape {
    ColumnShape { name: name.to_owned(), data_type, classification: None, tags: Vec::new(), derived_from: Vec::new() }
}

fn shape() -> Shape {
    let columns = vec![
        column("country", DataType::Utf8),
        column("team", DataType::LargeUtf8),
        column("n", DataType::Int32),
        column("flag", DataType::Boolean),
        column("amount", DataType::Float64),
        column("big", DataType::UInt64),
    ];
    let table = TableShape {
        name: "payments".to_owned(),
        dataset: "payments".to_owned(),
        kind: TableKind::Dataset,
        owner: None,
        classification: None,
        columns,
    };
    Shape { tables: vec![table] }
}

/// Policies in the place of the default ones, beside the rights that owners must keep.
fn compile(policies: &str) -> PolicySet {
    try_compile(policies).unwrap_or_else(|problems| panic!("{policies}\n{problems:#?}"))
}

fn try_compile(policies: &str) -> Result<PolicySet, Vec<PolicyProblem>> {
    let owner = r#"permit (principal in Role::"owner", action, resource);"#;
    let files = [("policies/default.cedar".to_owned(), format!("{owner}\n{policies}"))];
    PolicySet::compile(&files, &shape())
}

fn rows_of(set: &PolicySet, principal: &Principal) -> Predicate {
    set.inner.rows_of(&Subject::of(principal), &set.inner.shape.tables[0])
}

/// The predicate in three-valued logic, as slowly as it is defined.
fn value(predicate: &Predicate, row: &Row) -> Option<bool> {
    match predicate {
        Predicate::Constant(value) => Some(*value),
        Predicate::Compare { column, operator, literal } => {
            let order = row.get(column.as_str())?.cmp(literal);
            Some(match operator {
                Comparison::Equal => order.is_eq(),
                Comparison::NotEqual => order.is_ne(),
                Comparison::Less => order.is_lt(),
                Comparison::LessOrEqual => order.is_le(),
                Comparison::Greater => order.is_gt(),
                Comparison::GreaterOrEqual => order.is_ge(),
            })
        }
        Predicate::OneOf { column, literals } => Some(literals.contains(row.get(column.as_str())?)),
        Predicate::Present(column) => Some(row.contains_key(column.as_str())),
        Predicate::Like { column, parts } => match row.get(column.as_str())? {
            Literal::Text(text) => Some(is_like(text, parts)),
            other => panic!("like on {other:?}"),
        },
        Predicate::Not(inner) => value(inner, row).map(|value| !value),
        Predicate::All(parts) => {
            let values: Vec<Option<bool>> = parts.iter().map(|part| value(part, row)).collect();
            let is_false = values.contains(&Some(false));
            if is_false {
                Some(false)
            } else if values.contains(&None) {
                None
            } else {
                Some(true)
            }
        }
        Predicate::Any(parts) => {
            let values: Vec<Option<bool>> = parts.iter().map(|part| value(part, row)).collect();
            let is_true = values.contains(&Some(true));
            if is_true {
                Some(true)
            } else if values.contains(&None) {
                None
            } else {
                Some(false)
            }
        }
        Predicate::OrElse(inner, otherwise) => Some(value(inner, row).unwrap_or(*otherwise)),
    }
}

fn is_like(text: &str, parts: &[String]) -> bool {
    match parts {
        [] => false,
        [whole] => text == whole,
        [first, rest @ ..] => match text.strip_prefix(first.as_str()) {
            Some(after) => {
                let starts = after.char_indices().map(|(at, _)| at).chain([after.len()]);
                starts.into_iter().any(|at| is_like(&after[at..], rest))
            }
            None => false,
        },
    }
}

/// Whether Cedar allows `principal` to read this very row, and whether it did so without an error.
fn is_authorized(set: &PolicySet, principal: &Principal, row: &Row) -> (bool, bool) {
    let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
    let groups = principal.groups.iter().map(|group| text(group));
    let attributes = [("name", text(&principal.name)), ("groups", RestrictedExpression::new_set(groups))];
    let mut parents: HashSet<_> = principal.groups.iter().map(|group| uid("Group", group)).collect();
    parents.insert(uid("Role", principal.role.as_str()));
    let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let user = Entity::new(uid("User", &principal.name), attributes, parents).unwrap();
    let values = row.iter().map(|(name, literal)| {
        let value = match literal {
            Literal::Text(value) => text(value),
            Literal::Integer(value) => RestrictedExpression::new_long(*value),
            Literal::Bool(value) => RestrictedExpression::new_bool(*value),
        };
        ((*name).to_owned(), value)
    });
    let id = uid("Row_payments", SOME_ROW);
    let entity = Entity::new(id.clone(), values.collect(), HashSet::from([uid("Table", "payments")])).unwrap();
    let entities = Entities::from_entities([user.clone(), entity], Some(&set.inner.schema)).unwrap();
    let request = Request::new(user.uid(), uid("Action", READ_ROW), id, Context::empty(), None).unwrap();
    let response = Authorizer::new().is_authorized(&request, &set.inner.rows, &entities);
    (response.decision() == Decision::Allow, response.diagnostics().errors().next().is_none())
}

fn any_text() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["de", "fr", "at", "", "d*e", "ada"])
}

fn any_text_column() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["country", "team"])
}

fn any_sign() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="])
}

fn any_atom() -> impl Strategy<Value = String> {
    prop_oneof![
        (any_text_column(), any_text(), prop::bool::ANY).prop_map(|(column, text, equal)| {
            let sign = if equal { "==" } else { "!=" };
            format!("(resource has {column} && resource.{column} {sign} {text:?})")
        }),
        any_text_column().prop_map(|c| format!("(resource has {c} && principal.groups.contains(resource.{c}))")),
        any_text_column().prop_map(|c| format!("(resource has {c} && principal.name == resource.{c})")),
        any_text_column().prop_map(|c| format!("!(resource has {c})")),
        any_text_column()
            .prop_map(|c| format!(r#"(resource has {c} && ["de", "at", principal.name].contains(resource.{c}))"#)),
        (any_text_column(), prop::sample::select(vec!["*", "d*", "*e", "d\\*e", "*a*", "", "a*a"]))
            .prop_map(|(c, pattern)| format!("(resource has {c} && resource.{c} like \"{pattern}\")")),
        (any_sign(), -2i64..4).prop_map(|(sign, n)| format!("(resource has n && resource.n {sign} {n})")),
        (any_sign(), -2i64..4).prop_map(|(sign, n)| format!("(resource has n && {n} {sign} resource.n)")),
        Just("(resource has flag && resource.flag)".to_owned()),
        Just("(resource has flag && !resource.flag)".to_owned()),
        Just("(resource has flag && resource.flag != true)".to_owned()),
        Just(r#"principal in Group::"de""#.to_owned()),
        Just(r#"principal.name == "ada""#.to_owned()),
        Just(r#"resource in Table::"payments""#.to_owned()),
        Just(r#"(if resource has n then resource.n > 1 else principal in Role::"analyst")"#.to_owned()),
        Just(r#"(if principal in Group::"fr" then resource has n else !(resource has country))"#.to_owned()),
    ]
}

fn any_condition() -> impl Strategy<Value = String> {
    any_atom().prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
            inner.clone().prop_map(|a| format!("!({a})")),
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("(if {a} then {b} else {c})")),
        ]
    })
}

fn any_policy() -> impl Strategy<Value = String> {
    let effect = prop::sample::select(vec!["permit", "permit", "forbid"]);
    let principal = prop::sample::select(vec![
        "principal",
        r#"principal in Role::"analyst""#,
        r#"principal in Group::"de""#,
        r#"principal == User::"ada""#,
        "principal is User",
    ]);
    let resource = prop::sample::select(vec![
        "resource is Row_payments",
        r#"resource is Row_payments in Table::"payments""#,
        r#"resource in Table::"payments""#,
        "resource",
    ]);
    let clause = prop::sample::select(vec!["when", "unless"]);
    (effect, principal, resource, clause, any_condition()).prop_map(
        |(effect, principal, resource, clause, condition)| {
            // Without a type in the scope, the policy is also checked on a row without columns, where `has` is false.
            let action = r#"action == Action::"read_row""#;
            format!("{effect} ({principal}, {action}, {resource}) {clause} {{ {condition} }};")
        },
    )
}

fn any_row() -> impl Strategy<Value = Row> {
    let text = || prop::option::of(any_text());
    (text(), text(), prop::option::of(-2i64..4), prop::option::of(prop::bool::ANY)).prop_map(
        |(country, team, n, flag)| {
            let mut row = Row::new();
            row.extend(country.map(|text| ("country", Literal::Text(text.to_owned()))));
            row.extend(team.map(|text| ("team", Literal::Text(text.to_owned()))));
            row.extend(n.map(|n| ("n", Literal::Integer(n))));
            row.extend(flag.map(|flag| ("flag", Literal::Bool(flag))));
            row
        },
    )
}

fn principals() -> Vec<Principal> {
    vec![
        Principal::new("ada", Role::Analyst),
        Principal::new("bob", Role::Analyst).in_groups(["de", "fr"]),
        Principal::new("till", Role::Service).in_groups(["at"]),
    ]
}

proptest! {
    // 400 policy sets, 3 principals, 10 rows: 12,000 decisions.
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_row_is_kept_exactly_when_cedar_allows_it(
        policies in prop::collection::vec(any_policy(), 1..5),
        rows in prop::collection::vec(any_row(), 10),
    ) {
        let text = policies.join("\n");
        // A policy that can never apply, such as `has n && !(has n)`, is refused; only for that is a set of these left out.
        let set = match try_compile(&text) {
            Ok(set) => set,
            Err(problems) => {
                prop_assert!(problems.iter().all(|one| one.message.contains("can never apply")), "{problems:?}");
                return Ok(());
            }
        };
        for principal in principals() {
            let filter = rows_of(&set, &principal);
            for row in &rows {
                let kept = value(&filter, row) == Some(true);
                let (is_allowed, is_certain) = is_authorized(&set, &principal, row);
                prop_assert!(is_certain, "{text}\nvalidated policies have no errors: {row:?}");
                prop_assert_eq!(kept, is_allowed, "{}\n{:?}\n{:?}\n{:?}", text, principal, row, filter);
            }
        }
    }
}

#[test]
fn a_policy_becomes_the_shortest_predicate() {
    let analyst = Principal::new("ada", Role::Analyst).in_groups(["fr", "de"]);
    let check = |policies: &str, expected: Predicate| {
        assert_eq!(rows_of(&compile(policies), &analyst), expected, "{policies}");
    };
    let all_rows = r#"permit (principal, action == Action::"read_row", resource);"#;
    let present = Predicate::Present("country".to_owned());
    let mine = Predicate::OneOf {
        column: "country".to_owned(),
        literals: vec![Literal::Text("de".to_owned()), Literal::Text("fr".to_owned())],
    };
    let both = Predicate::All(vec![present, mine]);
    check("", Predicate::Constant(false));
    check(all_rows, Predicate::Constant(true));
    check(
        r#"permit (principal, action == Action::"read_row", resource)
           when { resource has country && principal.groups.contains(resource.country) };"#,
        Predicate::OrElse(Box::new(both.clone()), false),
    );
    check(
        &format!(
            "{all_rows} {}",
            r#"forbid (principal in Role::"analyst", action == Action::"read_row", resource is Row_payments)
               unless { resource has country && principal.groups.contains(resource.country) };"#
        ),
        Predicate::Not(Box::new(Predicate::OrElse(Box::new(Predicate::Not(Box::new(both))), true))),
    );
    check(
        &format!("{all_rows} forbid (principal in Role::\"service\", action, resource is Row_payments);"),
        Predicate::Constant(true),
    );
}

#[test]
fn a_prohibition_that_cannot_be_decided_prohibits() {
    let analyst = Principal::new("ada", Role::Analyst);
    let all_rows = r#"permit (principal, action == Action::"read_row", resource);"#;
    let overflow = "9223372036854775807 + 1 > 0";
    let forbid =
        format!(r#"{all_rows} forbid (principal, action == Action::"read_row", resource) when {{ {overflow} }};"#);
    assert_eq!(rows_of(&compile(&forbid), &analyst), Predicate::Constant(false));
    let permit = format!(r#"permit (principal, action == Action::"read_row", resource) when {{ {overflow} }};"#);
    assert_eq!(rows_of(&compile(&permit), &analyst), Predicate::Constant(false));
}

#[test]
fn what_has_no_translation_is_refused_where_it_stands() {
    let check = |condition: &str, expected: &str| {
        let policy = format!(
            "permit (principal in Role::\"analyst\", action == Action::\"read_row\", resource is Row_payments)\n\
             when {{ {condition} }};"
        );
        let problems = PolicySet::compile(&[("policies/rows.cedar".to_owned(), policy)], &shape()).unwrap_err();
        let [problem] = problems.as_slice() else { panic!("{condition}: {problems:#?}") };
        assert_eq!((problem.code, problem.line, problem.column), ("SW0615", 1, 1), "{condition}");
        assert_eq!(problem.message, format!("{expected} cannot be a row filter"));
    };
    check("resource has n && resource.n + 1 > 2", "`resource.n + 1 <= 2`");
    check("resource has n && resource.n > 9223372036854775807 + 1", "`error()`");
    check(
        "resource has country && resource has team && resource.country == resource.team",
        "`resource.country == resource.team`",
    );
    check(
        "resource has country && [resource.country].contains(principal.name)",
        "`[resource.country].contains(principal.name)`",
    );
    check(
        "resource has flag && (resource.flag == (principal.name == \"ada\" && resource.flag))",
        "`resource.flag == (principal.name == \"ada\") && resource.flag`",
    );
    check("principal.name == \"ada\" || resource has n && resource.n * 2 == 4", "`resource.n * 2 == 4`");
}
